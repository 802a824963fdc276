/** Every order in which the steps of a small rolling update and the pods' getting available can follow each other. */
import { describe, expect, it } from 'vitest';
import { nextRecreateStep, nextRolloutStep, resolveFenceposts } from './rolling-update.ts';

interface Sets {
  readonly fresh: number;
  readonly freshAvailable: number;
  readonly old: number;
  readonly oldAvailable: number;
}

interface Plan {
  readonly desired: number;
  readonly surge: number;
  readonly unavailable: number;
}

/** All that may happen next: the controller does its step, or one more new pod becomes available. */
function successors(sets: Sets, plan: Plan): Sets[] {
  const next: Sets[] = [];
  const step = nextRolloutStep({
    desired: plan.desired,
    maxSurge: plan.surge,
    maxUnavailable: plan.unavailable,
    newSet: { replicas: sets.fresh, available: sets.freshAvailable },
    oldSets: [{ replicas: sets.old, available: sets.oldAvailable }],
  });
  if (step !== undefined) {
    const [old] = step.oldReplicas;
    // A ReplicaSet that shrinks deletes pods that are not ready first.
    next.push({ ...sets, fresh: step.newReplicas, old, oldAvailable: Math.min(sets.oldAvailable, old) });
  }
  if (sets.freshAvailable < sets.fresh) next.push({ ...sets, freshAvailable: sets.freshAvailable + 1 });
  return next;
}

/** Visits every state that can be reached; a state with nothing to do has to be the end. Returns how many there are. */
function explore(plan: Plan, oldAvailable: number): number {
  const floor = Math.min(oldAvailable, plan.desired - plan.unavailable);
  const seen = new Set<string>();
  const open: Sets[] = [{ fresh: 0, freshAvailable: 0, old: plan.desired, oldAvailable }];
  let ends = 0;
  for (let sets = open.pop(); sets !== undefined; sets = open.pop()) {
    const key = JSON.stringify(sets);
    if (seen.has(key)) continue;
    seen.add(key);
    const { fresh, freshAvailable, old } = sets;
    const where = `${JSON.stringify(plan)} ${key}`;
    expect(freshAvailable + sets.oldAvailable, where).toBeGreaterThanOrEqual(floor);
    expect(fresh + old, where).toBeLessThanOrEqual(plan.desired + plan.surge);
    const next = successors(sets, plan);
    // Something grows with each step and nothing shrinks again, so no order goes on for ever.
    for (const after of next) {
      expect(after.fresh + after.freshAvailable - after.old, where).toBeGreaterThan(fresh + freshAvailable - old);
    }
    if (next.length === 0) {
      ends++;
      expect(sets, where).toEqual({ fresh: plan.desired, freshAvailable: plan.desired, old: 0, oldAvailable: 0 });
    }
    open.push(...next);
  }
  expect(ends).toBe(1);
  return seen.size;
}

describe('every order of a rolling update', () => {
  it('of up to 6 replicas keeps the limits and ends, with every surge and every unavailability', () => {
    let states = 0;
    for (let desired = 1; desired <= 6; desired++) {
      for (let surge = 0; surge <= desired + 1; surge++) {
        for (let most = 0; most <= desired + 1; most++) {
          if (surge === 0 && most === 0) continue;
          const plan = { desired, surge, unavailable: Math.min(most, desired) };
          for (let available = 0; available <= desired; available++) states += explore(plan, available);
        }
      }
    }
    // Enough for a coverage mark: orders differ, they are not one line of steps each.
    expect(states).toBeGreaterThan(20_000);
  });

  it('is covered for every percentage, which comes to one of these settings', () => {
    for (let desired = 1; desired <= 6; desired++) {
      for (let surgePercent = 0; surgePercent <= 100; surgePercent++) {
        for (let mostPercent = 0; mostPercent <= 100; mostPercent++) {
          const { surge, unavailable } = resolveFenceposts(
            { value: surgePercent, percent: true },
            { value: mostPercent, percent: true },
            desired,
          );
          if (surge < 0 || surge > desired || unavailable < 0 || unavailable > desired || surge + unavailable === 0) {
            throw new Error(`${desired} replicas, ${surgePercent} % and ${mostPercent} %: ${surge}, ${unavailable}`);
          }
        }
      }
    }
  });
});

describe('every order of Recreate', () => {
  it('never has old and new pods at once, and ends', () => {
    for (let desired = 0; desired <= 6; desired++) {
      for (let before = 0; before <= 6; before++) {
        let [fresh, old, ending, steps] = [0, before, 0, 0];
        for (;;) {
          const view = { desired, newReplicas: fresh, oldReplicas: [old], oldPodsRemain: old + ending > 0 };
          const step = nextRecreateStep(view);
          if (step === undefined && ending === 0) break;
          if (step === undefined) ending--;
          else {
            ending += old - step.oldReplicas[0];
            [fresh, old] = [step.newReplicas, step.oldReplicas[0]];
          }
          expect(fresh === 0 || old + ending === 0).toBe(true);
          expect(++steps).toBeLessThan(20);
        }
        expect([fresh, old]).toEqual([desired, 0]);
      }
    }
  });
});
