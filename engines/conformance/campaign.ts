/** The lockstep campaign of one mode: random programs on both evaluators against the oracle, and the rare branches it must have seen. */
import { expect } from 'vitest';
import type { EngineFactory, EngineManifest, EngineName } from '../engine.ts';
import { clearMarks, reachedMarks } from '../reference/marks.ts';
import type { WorldKind } from './generate-cluster.ts';
import { runLockstep } from './lockstep.ts';

export interface Campaign {
  readonly mode: EngineName;
  readonly reference: EngineFactory;
  readonly factory: EngineFactory;
  /** Names of marks.ts that must have been reached. */
  readonly mustReach: readonly string[];
  /** `plain` unless given. */
  readonly world?: WorldKind;
}

/** More than CI does: CHAINWALK_LOCKSTEP_CLUSTERS=20000 CHAINWALK_LOCKSTEP_SEED=7. */
const CLUSTERS = Number(process.env['CHAINWALK_LOCKSTEP_CLUSTERS'] ?? 1000);
const SEED = Number(process.env['CHAINWALK_LOCKSTEP_SEED'] ?? 1);
const PACKETS = 1000;

export function runCampaign({ mode, reference, factory, mustReach, world = 'plain' }: Campaign): void {
  clearMarks();
  const mismatch = runLockstep({
    mode,
    engines: [
      { name: 'reference', factory: reference },
      { name: 'literal', factory, evaluator: 'literal' },
      { name: 'indexed', factory, evaluator: 'indexed' },
    ],
    seed: SEED,
    clusters: CLUSTERS,
    packetsPerCluster: PACKETS,
    world,
  });
  if (mismatch !== undefined) throw new Error(mismatch.text);
  const reached = reachedMarks();
  expect(mustReach.filter((name) => !reached.has(name))).toEqual([]);
}

/** Whether an engine says that it can do all that random whole worlds hold; what it cannot do is not asked of it. */
export function modelsWholeWorlds(supports: EngineManifest): boolean {
  return (
    supports.protocols.includes('sctp') &&
    supports.serviceTypes.includes('LoadBalancer') &&
    supports.externalIps &&
    supports.sessionAffinity &&
    supports.trafficPolicyLocal &&
    supports.sourceRanges
  );
}
