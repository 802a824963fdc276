/** Which pods a ReplicaSet deletes first [pkg/controller/controller_utils.go ActivePodsWithRanks, replicaset/replica_set.go getPodsToDelete]. */
import type { SimTime } from '../model/time.ts';
import type { PodRecord } from './pod-store.ts';

/**
 * The `count` pods to delete of `pods`, judged by what the API server knows of them. Not yet running before running, not
 * ready before ready, pods on crowded nodes first (`related` = all pods of the Deployment that are not being deleted),
 * then shorter ready before longer, more restarts before fewer, younger before older. Ages are compared by their binary
 * logarithm (LogarithmicScaleDown); the uid, which is random, breaks ties.
 */
export function podsToDelete(
  pods: readonly PodRecord[],
  related: readonly PodRecord[],
  count: number,
  now: SimTime,
): PodRecord[] {
  if (count >= pods.length) return [...pods];
  const podsOnNode = new Map<string, number>();
  for (const pod of related) podsOnNode.set(pod.nodeName, (podsOnNode.get(pod.nodeName) ?? 0) + 1);
  const rank = (pod: PodRecord): number => podsOnNode.get(pod.nodeName) ?? 0;
  const ordered = [...pods].sort(
    (a, b) =>
      Number(a.status.running) - Number(b.status.running) ||
      Number(a.status.ready) - Number(b.status.ready) ||
      rank(b) - rank(a) ||
      (a.status.ready ? compareAge(a.status.readyChangedAt, b.status.readyChangedAt, now) || a.uid - b.uid : 0) ||
      b.restarts - a.restarts ||
      compareAge(a.createdAt, b.createdAt, now) ||
      a.uid - b.uid,
  );
  return ordered.slice(0, count);
}

function compareAge(a: SimTime, b: SimTime, now: SimTime): number {
  return log2Floor(now - a) - log2Floor(now - b);
}

/** floor(log2(value)), -1 for 0 and below. */
function log2Floor(value: number): number {
  if (value < 1) return -1;
  const high = Math.floor(value / 4294967296);
  return high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(value >>> 0);
}

/** A ReplicaSet makes or deletes no more pods in one sync [replica_set.go BurstReplicas]. */
export const BURST_REPLICAS = 500;

/** Sizes of the batches in which `count` pods are made, each after the one before has come back: 1, 2, 4, ... [replica_set.go slowStartBatch]. */
export function slowStartBatches(count: number): number[] {
  const batches: number[] = [];
  let rest = count;
  for (let size = 1; rest > 0; size *= 2) {
    batches.push(Math.min(size, rest));
    rest -= size;
  }
  return batches;
}
