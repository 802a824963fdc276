/** What happens to the workloads during a trial, as data: the churn plan that the control plane replays. */
import type { SimTime } from './time.ts';

/** What a pod's `/ready` handler (or its socket) does while it fails. */
export type FailureMode = 'error' | 'refuse' | 'hang';

export type ChurnEvent =
  /** `kubectl rollout restart`: a new pod template, replaced under the Deployment's strategy. */
  | { readonly kind: 'rolling_update'; readonly at: SimTime; readonly deployment: number }
  /** The readiness check of one running pod fails from `at` for `durationNs`; the process goes on serving traffic. */
  | {
      readonly kind: 'probe_failure';
      readonly at: SimTime;
      readonly deployment: number;
      /** Ordinal among the Deployment's running pods, in order of creation. */
      readonly pod: number;
      readonly probe: 'readiness' | 'liveness';
      readonly mode: FailureMode;
      readonly durationNs: SimTime;
    }
  | { readonly kind: 'scale'; readonly at: SimTime; readonly deployment: number; readonly replicas: number }
  /** kube-proxy on the observed node stops, and starts again `downNs` later. */
  | { readonly kind: 'proxy_restart'; readonly at: SimTime; readonly downNs: SimTime };

export interface ChurnPlan {
  /** In ascending order of time. */
  readonly events: readonly ChurnEvent[];
}
