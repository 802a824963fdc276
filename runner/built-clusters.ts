/** The cluster that this thread has built last: trials of one point, whatever their engine and replication, begin with the same one. */
import { buildCluster, type BuiltCluster } from '../scenarios/cluster-builder.ts';
import type { ClusterSpec } from '../scenarios/spec.ts';
import type { Rng } from '../sim/rng.ts';

let lastKey: string | ClusterSpec | undefined;
let last: BuiltCluster | undefined;

/**
 * A cluster takes nothing from `rng` (buildCluster says so), and no trial changes one: what a trial changes it has copied. So equal
 * specs may share what was built. A synthetic spec is known by its text, one of manifests, which is long, by being the same object.
 */
export function builtCluster(spec: ClusterSpec, rng: Rng): BuiltCluster {
  const key = spec.kind === 'synthetic' ? JSON.stringify(spec) : spec;
  if (last !== undefined && key === lastKey) return last;
  // First let go of the old one: two large clusters need not be in memory at once.
  last = undefined;
  lastKey = key;
  last = buildCluster(spec, rng);
  return last;
}
