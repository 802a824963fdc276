/**
 * Priorities of events that fall on one instant: the smaller runs first. They follow the way that a change takes through
 * a cluster, so a change whose delays are all zero reaches the kernel within its instant, and the traffic of that
 * instant meets what was decided in it. Without them the order would be that of scheduling, and would shift whenever a
 * part of the model plans an event earlier than before.
 */

/** The user's acts (`kubectl`, a fault that begins) come before everybody's reaction to them. */
export const PRIORITY_CHURN = 0;

/** Containers start, stop and are probed. */
export const PRIORITY_KUBELET = 10;

/** A kubelet sends a pod's status after all that happened to the pod at this instant, so one instant is one status update. */
export const PRIORITY_STATUS_UPDATE = 20;

/** The API server stores a status; the Deployment controller, the ReplicaSets and the EndpointSlice controller act. */
export const PRIORITY_CONTROLLER = 30;

/** EndpointSlice events reach the observed node, all of this instant before a sync begins. */
export const PRIORITY_WATCH = 40;

/** Rules take effect. Before the next begin, as syncs of one kube-proxy never overlap; after the watch, whose events wait for the next sync. */
export const PRIORITY_PROXIER_COMMIT = 50;

/** A sync begins and takes every change that has arrived by this instant. */
export const PRIORITY_PROXIER_SYNC = 60;

/** Packets come last: they meet rules and processes as this instant leaves them. */
export const PRIORITY_TRAFFIC = 100;
