/** A small world for the tests of this room: one Deployment `web`, two nodes, and a sync port that keeps a log. */
import type { ChurnEvent, PodBehaviour } from '../model/churn.ts';
import type { ClusterState, Endpoint, ServicePort } from '../model/cluster.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { Deployment, Probe, WorkloadPlan } from '../model/workload.ts';
import type { Distribution } from '../sim/distributions.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import type { ControlEvent } from './control-event.ts';
import { ControlPlane } from './control-plane.ts';
import type { ProxierTiming, SyncRequest } from './proxier.ts';

/** 10.1.0.1 */
export const FIRST_POD = 0x0a010001;
export const FIRST_FREE = 0x0a018000;
export const WEB = 7;

export function constantly(seconds: number): Distribution {
  return { mean: seconds, next: () => seconds };
}

/** Uniform in [from, to) seconds. */
export function between(from: number, to: number): Distribution {
  return { mean: (from + to) / 2, next: (stream) => from + (to - from) * stream.nextFloat() };
}

/** The API server's defaults. */
export function probeOf(changes: Partial<Probe> = {}): Probe {
  return {
    kind: 'httpGet',
    path: '/ready',
    port: 8080,
    periodSeconds: 10,
    timeoutSeconds: 1,
    initialDelaySeconds: 0,
    successThreshold: 1,
    failureThreshold: 3,
    ...changes,
  };
}

export function deploymentOf(changes: Partial<Deployment> = {}): Deployment {
  return {
    namespace: 'default',
    name: 'web',
    replicas: 3,
    labels: { app: 'web' },
    strategy: 'RollingUpdate',
    maxSurge: { value: 25, percent: true },
    maxUnavailable: { value: 25, percent: true },
    minReadySeconds: 0,
    progressDeadlineSeconds: 600,
    terminationGracePeriodSeconds: 30,
    preStopSleepSeconds: 0,
    readinessProbe: probeOf(),
    ...changes,
  };
}

export function planOf(deployment: Deployment): WorkloadPlan {
  const nodes = [1, 2].map((i) => ({ name: `node-${i}`, address: 0x0a000000 + i, zone: 'a' }));
  return {
    nodes,
    deployments: [deployment],
    pods: Array.from({ length: deployment.replicas }, (_, i) => ({
      name: `web-old-${i}`,
      address: FIRST_POD + i,
      nodeName: nodes[i % 2].name,
      deployment: 0,
    })),
    bindings: [{ servicePortId: WEB, deployment: 0, targetPort: 8080, protocol: PROTOCOL_TCP }],
    firstFreePodAddress: FIRST_FREE,
  };
}

/** The bound service port `default/web` (id 7) and a synthetic one (id 9) with one endpoint of its own. */
export function stateOf(plan: WorkloadPlan): ClusterState {
  const endpoint = (address: number, nodeName: string): Endpoint => ({
    address,
    port: 8080,
    nodeName,
    ready: true,
    serving: true,
    terminating: false,
  });
  const servicePort = (id: number, name: string, endpoints: Endpoint[]): ServicePort => ({
    id,
    namespace: 'default',
    name,
    portName: '',
    protocol: PROTOCOL_TCP,
    clusterIp: 0x0a600000 + id,
    port: 80,
    nodePort: 0,
    endpoints,
  });
  return {
    servicePorts: [
      servicePort(
        WEB,
        'web',
        plan.pods.map((pod) => endpoint(pod.address, pod.nodeName)),
      ),
      servicePort(9, 'synthetic', [endpoint(0x0a020001, 'node-1')]),
    ],
  };
}

export interface WorldOptions {
  readonly deployment?: Partial<Deployment>;
  readonly withoutReadinessProbe?: boolean;
  readonly churn?: readonly ChurnEvent[];
  readonly behaviours?: readonly PodBehaviour[];
  readonly seed?: number;
  readonly timing?: Partial<ProxierTiming>;
  readonly statusUpdate?: Distribution;
  readonly endpointSlice?: Distribution;
  readonly watch?: Distribution;
  readonly podStart?: Distribution;
  readonly apiCall?: Distribution;
  readonly publishNotReadyAddresses?: boolean;
  /** Time of one sync, ns. */
  readonly syncNs?: SimTime;
}

export interface World {
  readonly simulation: Simulation;
  readonly plane: ControlPlane;
  readonly events: ControlEvent[];
  readonly begun: { readonly at: SimTime; readonly request: SyncRequest }[];
  readonly committed: { readonly at: SimTime; readonly request: SyncRequest }[];
  readonly failed: { readonly at: SimTime; readonly request: SyncRequest }[];
  /** Time in ns of the first event of this kind after `from`, NaN when there is none. */
  timeOf(kind: ControlEvent['kind'], from?: SimTime): number;
}

/** Delays default to 10 ms each, a pod's start to 2 s, a sync to 20 ms. Started; run it with `simulation.runUntil`. */
export function worldOf(options: WorldOptions = {}): World {
  const simulation = new Simulation();
  const { readinessProbe, ...withoutProbe } = deploymentOf(options.deployment);
  const hasProbe = readinessProbe !== undefined && options.withoutReadinessProbe !== true;
  const plan = planOf(hasProbe ? { ...withoutProbe, readinessProbe } : withoutProbe);
  const publishNotReadyAddresses = options.publishNotReadyAddresses ?? false;
  const workload = { ...plan, bindings: plan.bindings.map((each) => ({ ...each, publishNotReadyAddresses })) };
  const events: ControlEvent[] = [];
  const begun: World['begun'] = [];
  const committed: World['committed'] = [];
  const failed: World['failed'] = [];
  const plane = new ControlPlane({
    simulation,
    rng: new Rng(options.seed ?? 1),
    state: stateOf(workload),
    workload,
    churn: { events: options.churn ?? [], behaviours: options.behaviours ?? [] },
    nodeName: 'node-1',
    proxier: {
      syncRunner: 'from-completion',
      minSyncPeriodNs: NS_PER_S,
      syncPeriodNs: 30 * NS_PER_S,
      maxIntervalNs: 3600 * NS_PER_S,
      ...options.timing,
    },
    propagation: {
      statusUpdate: options.statusUpdate ?? constantly(0.01),
      endpointSlice: options.endpointSlice ?? constantly(0.01),
      watch: options.watch ?? constantly(0.01),
      podStart: options.podStart ?? constantly(2),
      apiCall: options.apiCall ?? constantly(0),
    },
    sync: {
      begin: (request) => {
        begun.push({ at: simulation.now, request });
        return options.syncNs ?? 20 * NS_PER_MS;
      },
      commit: (request) => {
        committed.push({ at: simulation.now, request });
      },
      fail: (request) => {
        failed.push({ at: simulation.now, request });
      },
    },
    onEvent: (event) => events.push(event),
  });
  plane.start();
  return {
    simulation,
    plane,
    events,
    begun,
    committed,
    failed,
    timeOf: (kind, from = 0) => events.find((event) => event.kind === kind && event.at >= from)?.at ?? NaN,
  };
}
