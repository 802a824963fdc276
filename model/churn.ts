/** What happens to the workloads during a trial, as data: the churn plan that the control plane replays. */
import type { SimTime } from './time.ts';

/** The probes of a container. */
export type ProbeName = 'readiness' | 'liveness' | 'startup';

/**
 * What a probe meets while a pod fails. error: the handler answers that it is not well (a status of 500, NOT_SERVING, an exit status
 * above 0); refuse: nobody listens on the probe's port; hang: connections are accepted and never answered; probe_error: the kubelet
 * cannot run the probe, so it learns nothing. What each kind of probe makes of them is control/probe-outcome.ts.
 */
export type FailureMode = 'error' | 'refuse' | 'hang' | 'probe_error';

/** A probe, or all that the pod has. */
export type ProbeSelection = ProbeName | 'all';

interface PodEvent {
  readonly at: SimTime;
  readonly deployment: number;
  /** Ordinal among the Deployment's running pods, in order of creation. */
  readonly pod: number;
}

export type ChurnEvent =
  /** `kubectl rollout restart`: a new pod template, replaced under the Deployment's strategy. */
  | { readonly kind: 'rolling_update'; readonly at: SimTime; readonly deployment: number }
  /** A check of one running pod fails from `at` for `durationNs`; the process goes on serving traffic. */
  | (PodEvent & {
      readonly kind: 'probe_failure';
      readonly probe: ProbeSelection;
      readonly mode: FailureMode;
      readonly durationNs: SimTime;
    })
  /** The same again and again: `failingNs` of each `periodNs` it fails, the first time at once. */
  | (PodEvent & {
      readonly kind: 'probe_flapping';
      readonly probe: ProbeSelection;
      readonly mode: FailureMode;
      readonly durationNs: SimTime;
      readonly periodNs: SimTime;
      readonly failingNs: SimTime;
    })
  /** The process of one running pod ends of itself; its container is started again. */
  | (PodEvent & { readonly kind: 'crash' })
  | { readonly kind: 'scale'; readonly at: SimTime; readonly deployment: number; readonly replicas: number }
  /** `kubectl drain`: no new pods on the node, and its pods are evicted, one each `intervalNs`. Open for pods again after `durationNs`. */
  | {
      readonly kind: 'node_drain';
      readonly at: SimTime;
      readonly node: string;
      readonly intervalNs: SimTime;
      readonly durationNs: SimTime | undefined;
    }
  /** The node's kubelet is not heard of for `durationNs`, or for good. */
  | {
      readonly kind: 'node_failure';
      readonly at: SimTime;
      readonly node: string;
      /** machine: its pods are gone with it; kubelet: they go on serving. */
      readonly what: 'machine' | 'kubelet';
      readonly durationNs: SimTime | undefined;
      /** The node controller's node-monitor-grace-period. */
      readonly graceNs: SimTime;
      /** tolerationSeconds of the pods for an unreachable node. */
      readonly evictionNs: SimTime;
    }
  /** Pods of all Deployments are deleted at random, `perSecond` on average, for `durationNs` or for good. */
  | {
      readonly kind: 'pod_churn';
      readonly at: SimTime;
      readonly perSecond: number;
      readonly durationNs: SimTime | undefined;
    }
  /** kube-proxy on the observed node stops, and starts again `downNs` later. */
  | { readonly kind: 'proxy_restart'; readonly at: SimTime; readonly downNs: SimTime }
  /**
   * Syncs of kube-proxy that would end from `at` on within `durationNs` fail: the xtables lock is held, iptables-restore or the transaction
   * returns an error. `node`: of that node alone; undefined: of every observed one.
   */
  | {
      readonly kind: 'sync_failure';
      readonly at: SimTime;
      readonly durationNs: SimTime;
      readonly node: string | undefined;
    };

/** A random time in seconds. The distributions of sim/ have this shape, and are drawn from sim/'s streams. */
export interface RandomSeconds {
  readonly mean: number;
  next(stream: { nextUint32(): number; nextFloat(): number; below(bound: number): number }): number;
}

/** What a process does at SIGTERM: it closes its listening socket and ends a while later, it ignores the signal, or it ends at once. */
export type SigtermMode = 'close' | 'lame_duck' | 'ignore' | 'exit';

/** How the processes of a Deployment's pods behave by chance: each draw is anew for each start of a container. */
export interface PodBehaviour {
  readonly deployment: number;
  /** From the container's start to the process listening. */
  readonly startSeconds?: RandomSeconds;
  /** From then on the readiness check fails for so long. */
  readonly warmUpSeconds?: RandomSeconds;
  readonly warmUpMode: FailureMode;
  /** From then on (pods that ran before: from the beginning of the trial) to the process ending of itself. */
  readonly crashSeconds?: RandomSeconds;
  /** close unless given. */
  readonly onSigterm?: SigtermMode;
  /** Of close: from SIGTERM to the process's end, unless SIGKILL is first. */
  readonly shutdownSeconds?: RandomSeconds;
  readonly flapping?: {
    readonly probe: ProbeSelection;
    readonly mode: FailureMode;
    /** One draw a cycle; a cycle begins well and ends failing. */
    readonly periodSeconds: RandomSeconds;
    /** Share of a cycle that fails, 0 .. 1. */
    readonly failingRatio: number;
  };
}

export interface ChurnPlan {
  /** In ascending order of time. */
  readonly events: readonly ChurnEvent[];
  /** At most one a Deployment. */
  readonly behaviours?: readonly PodBehaviour[];
}
