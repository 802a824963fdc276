/**
 * The Deployment controller's arithmetic: how many replicas each ReplicaSet should have next
 * [pkg/controller/deployment/rolling.go, sync.go, util/deployment_util.go]. Pure functions.
 */
import type { IntOrPercent } from '../model/workload.ts';

/** A ReplicaSet as the controller sees it. */
interface ReplicaSetView {
  /** spec.replicas */
  readonly replicas: number;
  /** status.availableReplicas */
  readonly available: number;
}

export interface RolloutView {
  /** The Deployment's spec.replicas. */
  readonly desired: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
  readonly newSet: ReplicaSetView;
  /** Oldest first. */
  readonly oldSets: readonly ReplicaSetView[];
}

/** spec.replicas of each ReplicaSet after a reconcile. */
export interface RolloutStep {
  readonly newReplicas: number;
  readonly oldReplicas: readonly number[];
}

/** Surge is rounded up, unavailable down; when both come to nothing, one pod may be unavailable [ResolveFenceposts]. */
export function resolveFenceposts(
  maxSurge: IntOrPercent,
  maxUnavailable: IntOrPercent,
  desired: number,
): { surge: number; unavailable: number } {
  const surge = maxSurge.percent ? Math.ceil((maxSurge.value * desired) / 100) : maxSurge.value;
  const unavailable = maxUnavailable.percent
    ? Math.floor((maxUnavailable.value * desired) / 100)
    : maxUnavailable.value;
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

/**
 * What one reconcile of a rolling update does: it scales the new ReplicaSet, or else the old ones, or nothing
 * (undefined) [rolloutRolling].
 */
export function nextRolloutStep(view: RolloutView): RolloutStep | undefined {
  const oldReplicas = view.oldSets.map((set) => set.replicas);
  const newReplicas = newReplicasOf(view);
  if (newReplicas !== view.newSet.replicas) return { newReplicas, oldReplicas };
  const scaledDown = scaleDownOldSets(view, oldReplicas);
  return scaledDown ? { newReplicas, oldReplicas } : undefined;
}

/** What one reconcile of strategy Recreate does: no new pod is made while one of the old ones, terminating ones included, has not ended [recreate.go]. */
export function nextRecreateStep(view: {
  readonly desired: number;
  readonly newReplicas: number;
  readonly oldReplicas: readonly number[];
  readonly oldPodsRemain: boolean;
}): RolloutStep | undefined {
  const { desired, newReplicas, oldReplicas, oldPodsRemain } = view;
  if (oldReplicas.some((replicas) => replicas > 0)) return { newReplicas, oldReplicas: oldReplicas.map(() => 0) };
  if (oldPodsRemain || newReplicas === desired) return undefined;
  return { newReplicas: desired, oldReplicas };
}

/** [reconcileNewReplicaSet, NewRSNewReplicas] */
function newReplicasOf(view: RolloutView): number {
  const current = view.newSet.replicas;
  if (current >= view.desired) return view.desired;
  const room = view.desired + view.maxSurge - totalReplicas(view);
  return room <= 0 ? current : current + Math.min(room, view.desired - current);
}

/** Takes replicas away in place; false when nothing may go [reconcileOldReplicaSets, cleanupUnhealthyReplicas, scaleDownOldReplicaSetsForRollingUpdate]. */
function scaleDownOldSets(view: RolloutView, oldReplicas: number[]): boolean {
  const minAvailable = view.desired - Math.min(view.maxUnavailable, view.desired);
  const unavailableOfNew = view.newSet.replicas - view.newSet.available;
  const mayGo = totalReplicas(view) - minAvailable - unavailableOfNew;
  if (mayGo <= 0) return false;
  // Unhealthy replicas first: they do not serve, and they would block the rollout.
  let gone = 0;
  view.oldSets.forEach((set, i) => {
    const count = Math.min(mayGo - gone, set.replicas - set.available);
    if (count <= 0) return;
    oldReplicas[i] -= count;
    gone += count;
  });
  let spare = view.newSet.available + view.oldSets.reduce((sum, set) => sum + set.available, 0) - minAvailable;
  for (let i = 0; i < oldReplicas.length && spare > 0; i++) {
    const count = Math.min(oldReplicas[i], spare);
    oldReplicas[i] -= count;
    gone += count;
    spare -= count;
  }
  return gone > 0;
}

function totalReplicas(view: RolloutView): number {
  return view.newSet.replicas + view.oldSets.reduce((sum, set) => sum + set.replicas, 0);
}

/** A ReplicaSet while the Deployment is scaled. */
export interface ScaledSet extends ReplicaSetView {
  /** Annotation deployment.kubernetes.io/max-replicas: the most pods allowed when the set was last sized. */
  readonly maxReplicas: number;
}

/**
 * spec.replicas of each ReplicaSet after `kubectl scale`. `sets` is in order of age, the new one last. One active set
 * takes the whole size; in the midst of a rollout every set grows or shrinks by its share [sync.go scale].
 */
export function scaledReplicas(sets: readonly ScaledSet[], desired: number, maxSurge: number): number[] {
  const result = sets.map((set) => set.replicas);
  const newest = sets.length - 1;
  const active = result.flatMap((replicas, i) => (replicas > 0 ? [i] : []));
  if (active.length <= 1) {
    result[active.length === 1 ? active[0] : newest] = desired;
    return result;
  }
  const newSet = sets[newest];
  if (newSet.replicas === desired && newSet.available === desired)
    return result.map((_, i) => (i === newest ? desired : 0));
  const allowed = desired > 0 ? desired + maxSurge : 0;
  const toAdd = allowed - result.reduce((sum, replicas) => sum + replicas, 0);
  if (toAdd === 0) return result;
  // The largest first; of equal ones the newer when there is something to add, the older when something must go.
  const age = toAdd > 0 ? -1 : 1;
  active.sort((a, b) => sets[b].replicas - sets[a].replicas || age * (a - b));
  let added = 0;
  for (const i of active) {
    const share = shareOf(sets[i], desired, maxSurge);
    const limited = toAdd > 0 ? Math.min(share, toAdd - added) : Math.max(share, toAdd - added);
    result[i] += limited;
    added += limited;
  }
  // Rounding's remainder goes to the largest.
  result[active[0]] = Math.max(0, result[active[0]] + toAdd - added);
  return result;
}

/** [deployment_util.go getReplicaSetFraction] */
function shareOf(set: ScaledSet, desired: number, maxSurge: number): number {
  if (desired === 0) return -set.replicas;
  const exact = (set.replicas * (desired + maxSurge)) / set.maxReplicas;
  return Math.floor(exact + 0.5) - set.replicas;
}
