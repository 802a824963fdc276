/** What the control plane tells of itself: one entry of the timeline. */
import type { SimTime } from '../model/time.ts';

type ControlEventKind =
  | 'probe_failing'
  | 'probe_answering'
  | 'probe_flapping'
  | 'rollout_started'
  | 'scaled'
  | 'pod_created'
  | 'pod_ready'
  | 'pod_not_ready'
  | 'pod_terminating'
  | 'process_stopped'
  | 'process_killed'
  | 'process_crashed'
  | 'pod_gone'
  | 'container_started'
  | 'container_restarted'
  | 'endpoints_changed'
  | 'proxy_stopped'
  | 'proxy_started'
  | 'sync_started'
  | 'sync_finished'
  | 'sync_failed'
  | 'rollout_finished'
  | 'progress_deadline_exceeded'
  | 'node_cordoned'
  | 'node_open'
  | 'node_failed'
  | 'node_returned'
  | 'node_not_ready'
  | 'node_ready'
  | 'pod_evicted';

export interface ControlEvent {
  readonly at: SimTime;
  readonly kind: ControlEventKind;
  /** A clause for people, e.g. `pod web-5d8f-x2k not ready`. */
  readonly text: string;
  /** The service ports that the event concerns, ascending; absent when it concerns the node as a whole. */
  readonly servicePortIds?: readonly number[];
}

/** Takes an event of the present instant. */
export type EmitEvent = (kind: ControlEventKind, text: string, servicePortIds?: readonly number[]) => void;

/** The same for an event of a workload: `deployment` is an index into WorkloadPlan.deployments. */
export type EmitWorkloadEvent = (kind: ControlEventKind, text: string, deployment: number) => void;
