/** A small world for the tests of this room: one Deployment `web`, two nodes, and a sync port that keeps a log. */
import type { ChurnEvent, PodBehaviour } from '../model/churn.ts';
import type { ClusterState, Endpoint, ServicePort } from '../model/cluster.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import { FIRST_HEADLESS_ID } from '../model/workload.ts';
import type { Deployment, Node, Probe, WorkloadPlan } from '../model/workload.ts';
import type { Distribution } from '../sim/distributions.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import type { ControlEvent } from './control-event.ts';
import { ControlPlane } from './control-plane.ts';
import { DEFAULT_ENDPOINTS_API } from './endpoint-slices.ts';
import type { EndpointsApi } from './endpoint-slices.ts';
import type { ProxierTiming, SyncRequest } from './proxier.ts';
import type { ProcessEnd } from './shutdown.ts';

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

function nodesOf(count: number): Node[] {
  return Array.from({ length: count }, (_, i) => ({ name: `node-${i + 1}`, address: 0x0a000001 + i, zone: 'a' }));
}

export function planOf(deployment: Deployment): WorkloadPlan {
  const nodes = nodesOf(2);
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

export const HEADLESS = FIRST_HEADLESS_ID;

function withHeadless(plan: WorkloadPlan): WorkloadPlan {
  const [web] = stateOf(plan).servicePorts;
  const binding = { servicePortId: HEADLESS, deployment: 0, targetPort: 9090, protocol: PROTOCOL_TCP } as const;
  return {
    ...plan,
    headlessPorts: [{ ...web, id: HEADLESS, name: 'web-pods', clusterIp: 0 }],
    bindings: [...plan.bindings, binding],
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
  /** CoreDNS watches, and a headless Service `web-pods` selects the same pods. */
  readonly withDns?: boolean;
  /** Changes to kube-controller-manager's defaults. */
  readonly endpointsApi?: Partial<EndpointsApi>;
  /** Number of nodes; the plan's two unless given. */
  readonly nodes?: number;
  /** Time of one sync, ns. */
  readonly syncNs?: SimTime;
}

export interface World {
  readonly simulation: Simulation;
  readonly plane: ControlPlane;
  readonly events: ControlEvent[];
  readonly begun: { readonly at: SimTime; readonly request: SyncRequest }[];
  readonly committed: { readonly at: SimTime; readonly request: SyncRequest }[];
  /** The processes that are no more. */
  readonly ended: { readonly at: SimTime; readonly address: number; readonly how: ProcessEnd }[];
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
  const published = plan.bindings.map((each) => ({ ...each, publishNotReadyAddresses }));
  const withDns = options.withDns ?? false;
  const nodes = options.nodes === undefined ? plan.nodes : nodesOf(options.nodes);
  const clusterIpOnly = { ...plan, nodes, bindings: published };
  const workload = withDns ? withHeadless(clusterIpOnly) : clusterIpOnly;
  const events: ControlEvent[] = [];
  const begun: World['begun'] = [];
  const committed: World['committed'] = [];
  const timing: ProxierTiming = {
    syncRunner: 'from-completion',
    minSyncPeriodNs: NS_PER_S,
    syncPeriodNs: 30 * NS_PER_S,
    maxIntervalNs: 3600 * NS_PER_S,
    ...options.timing,
  };
  const ended: World['ended'] = [];
  const failed: World['failed'] = [];
  const plane = new ControlPlane({
    simulation,
    rng: new Rng(options.seed ?? 1),
    endpointsApi: { ...DEFAULT_ENDPOINTS_API, ...options.endpointsApi },
    state: stateOf(workload),
    workload,
    churn: { events: options.churn ?? [], behaviours: options.behaviours ?? [] },
    observed: [
      {
        name: 'node-1',
        phaseNs: timing.maxIntervalNs,
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
      },
    ],
    proxier: timing,
    withDns,
    propagation: {
      statusUpdate: options.statusUpdate ?? constantly(0.01),
      endpointSlice: options.endpointSlice ?? constantly(0.01),
      watch: options.watch ?? constantly(0.01),
      podStart: options.podStart ?? constantly(2),
      apiCall: options.apiCall ?? constantly(0),
    },
    onEvent: (event) => events.push(event),
    onProcessEnd: (address, how) => ended.push({ at: simulation.now, address, how }),
  });
  plane.start();
  return {
    simulation,
    plane,
    events,
    begun,
    committed,
    ended,
    failed,
    timeOf: (kind, from = 0) => events.find((event) => event.kind === kind && event.at >= from)?.at ?? NaN,
  };
}
