/** Nouns of the control plane: nodes, Deployments, probes and the Services that select their pods. */
import type { ServicePort } from './cluster.ts';
import type { Protocol } from './protocol.ts';
import type { TrafficDistribution } from './topology-hints.ts';

export interface Node {
  readonly name: string;
  readonly address: number;
  readonly zone: string;
  /** spec.unschedulable: the scheduler puts no new pod there. */
  readonly unschedulable?: boolean;
}

/** A probe with the API server's defaults filled in. */
export interface Probe {
  readonly kind: 'httpGet' | 'tcpSocket' | 'exec' | 'grpc';
  /** For httpGet; empty otherwise. */
  readonly path: string;
  /** Resolved number; 0 for exec. */
  readonly port: number;
  readonly periodSeconds: number;
  readonly timeoutSeconds: number;
  readonly initialDelaySeconds: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** A replica count, or a share of the replicas in percent. */
export type IntOrPercent = { readonly value: number; readonly percent: boolean };

export interface Deployment {
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Recreate: all old pods end before the first new one is made; maxSurge and maxUnavailable mean nothing then. */
  readonly strategy: 'RollingUpdate' | 'Recreate';
  readonly maxSurge: IntOrPercent;
  readonly maxUnavailable: IntOrPercent;
  readonly minReadySeconds: number;
  /** A rollout without progress for so long is called failed, and goes on nevertheless. */
  readonly progressDeadlineSeconds: number;
  readonly terminationGracePeriodSeconds: number;
  /** Length of a preStop sleep; 0 when there is no hook. */
  readonly preStopSleepSeconds: number;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  /** Until it has succeeded once a container start, the others do not run. */
  readonly startupProbe?: Probe;
}

/** A pod as it stands before the simulation starts: running and ready. */
export interface Pod {
  readonly name: string;
  readonly address: number;
  readonly nodeName: string;
  /** Index into WorkloadPlan.deployments. */
  readonly deployment: number;
}

/** Ties a service port to the Deployment whose pods are its endpoints. */
export interface ServiceBinding {
  readonly servicePortId: number;
  /** Index into WorkloadPlan.deployments. */
  readonly deployment: number;
  /** Resolved port number on the pods. */
  readonly targetPort: number;
  readonly protocol: Protocol;
  /** Of the Service: the hints of its EndpointSlices follow it. */
  readonly trafficDistribution?: TrafficDistribution;
  /** Of the Service: its endpoints are ready whatever their pods say, terminating ones included. */
  readonly publishNotReadyAddresses?: boolean;
}

/** A Service that is another name for a host. */
export interface ServiceAlias {
  readonly namespace: string;
  readonly name: string;
  readonly target: string;
}

/** Far above the ids of service ports, which arrays are indexed by. */
export const FIRST_HEADLESS_ID = 1_000_000_000;

/** Everything that the control plane needs to know of the workloads. Empty for a synthetic cluster without churn. */
export interface WorkloadPlan {
  readonly nodes: readonly Node[];
  readonly deployments: readonly Deployment[];
  readonly pods: readonly Pod[];
  readonly bindings: readonly ServiceBinding[];
  /** New pods take addresses from here upwards; none of them is in use. */
  readonly firstFreePodAddress: number;
  /**
   * Ports of headless Services, whose cluster IP is 0: EndpointSlices are kept for them, kube-proxy knows nothing of them. Their ids are
   * those of no service port, from FIRST_HEADLESS_ID up.
   */
  readonly headlessPorts?: readonly ServicePort[];
  /** Services of type ExternalName. */
  readonly aliases?: readonly ServiceAlias[];
}
