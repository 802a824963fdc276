import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextRolloutStep, resolveFenceposts, scaledReplicas } from './rolling-update.ts';

const percent = (value: number): { value: number; percent: boolean } => ({ value, percent: true });
const pods = (value: number): { value: number; percent: boolean } => ({ value, percent: false });

/** Names of the steps of a rollout in which every new pod is available at once. */
function stepsOf(desired: number, maxSurge: number, maxUnavailable: number): string[] {
  const steps: string[] = [];
  let [fresh, old] = [0, desired];
  for (;;) {
    const step = nextRolloutStep({
      desired,
      maxSurge,
      maxUnavailable,
      newSet: { replicas: fresh, available: fresh },
      oldSets: [{ replicas: old, available: old }],
    });
    if (step === undefined) return steps;
    if (step.newReplicas !== fresh) steps.push(`new+${step.newReplicas - fresh}`);
    else steps.push(`old-${old - step.oldReplicas[0]}`);
    fresh = step.newReplicas;
    old = step.oldReplicas[0];
  }
}

describe('resolveFenceposts', () => {
  it.each([
    [10, percent(25), percent(25), 3, 2],
    [4, percent(25), percent(25), 1, 1],
    [1, percent(25), percent(25), 1, 0],
    [2, pods(0), percent(1), 0, 1],
    [3, pods(2), pods(1), 2, 1],
    [1, pods(0), percent(1), 0, 1],
    [7, percent(100), percent(100), 7, 7],
  ])('%i replicas, surge %o, unavailable %o: %i and %i', (desired, surge, unavailable, wantSurge, wantUnavailable) => {
    expect(resolveFenceposts(surge, unavailable, desired)).toEqual({ surge: wantSurge, unavailable: wantUnavailable });
  });
});

describe('nextRolloutStep', () => {
  it('goes in the order of the examples in deployment_util.go', () => {
    const one = ['new+1', 'old-1'];
    expect(stepsOf(2, 1, 0)).toEqual([...one, ...one]);
    expect(stepsOf(1, 1, 0)).toEqual(one);
    expect(stepsOf(2, 0, 1)).toEqual(['old-1', 'new+1', 'old-1', 'new+1']);
    expect(stepsOf(1, 0, 1)).toEqual(['old-1', 'new+1']);
  });

  it('removes unhealthy old replicas first, from the oldest set on', () => {
    const step = nextRolloutStep({
      desired: 10,
      maxSurge: 3,
      maxUnavailable: 2,
      newSet: { replicas: 5, available: 0 },
      oldSets: [
        { replicas: 2, available: 0 },
        { replicas: 6, available: 6 },
      ],
    });
    // 13 - 8 - 5 = 0: nothing may go while the new pods are not available.
    expect(step).toBeUndefined();
    const later = nextRolloutStep({
      desired: 10,
      maxSurge: 3,
      maxUnavailable: 2,
      newSet: { replicas: 5, available: 3 },
      oldSets: [
        { replicas: 2, available: 0 },
        { replicas: 6, available: 6 },
      ],
    });
    // 13 - 8 - 2 = 3 may go: two sick ones, and 9 - 8 = 1 healthy one.
    expect(later).toEqual({ newReplicas: 5, oldReplicas: [0, 5] });
  });

  it('shrinks the new set when the Deployment was made smaller', () => {
    const view = { desired: 2, maxSurge: 1, maxUnavailable: 0, newSet: { replicas: 4, available: 4 }, oldSets: [] };
    expect(nextRolloutStep(view)).toEqual({ newReplicas: 2, oldReplicas: [] });
  });

  it('never asks for more than desired + surge, nor leaves fewer available than desired - unavailable', () => {
    const count = fc.integer({ min: 0, max: 12 });
    fc.assert(
      fc.property(
        fc.record({ desired: count, surge: count, unavailable: count }),
        fc.infiniteStream(fc.nat(99)),
        (plan, dice) => {
          if (plan.surge === 0 && plan.unavailable === 0) return;
          const roll = (bound: number): number => (bound <= 0 ? 0 : (dice.next().value as number) % (bound + 1));
          let fresh = { replicas: 0, available: 0 };
          let old = { replicas: plan.desired, available: plan.desired };
          for (let i = 0; i < 200; i++) {
            const step = nextRolloutStep({
              desired: plan.desired,
              maxSurge: plan.surge,
              maxUnavailable: plan.unavailable,
              newSet: fresh,
              oldSets: [old],
            });
            if (step !== undefined) {
              fresh = { replicas: step.newReplicas, available: Math.min(fresh.available, step.newReplicas) };
              old = { replicas: step.oldReplicas[0], available: Math.min(old.available, step.oldReplicas[0]) };
            } else if (old.replicas === 0 && fresh.available === plan.desired) {
              break;
            } else {
              fresh = { ...fresh, available: fresh.available + Math.max(1, roll(fresh.replicas - fresh.available)) };
            }
            expect(fresh.replicas + old.replicas).toBeLessThanOrEqual(plan.desired + plan.surge);
            expect(fresh.available + old.available).toBeGreaterThanOrEqual(plan.desired - plan.unavailable);
          }
          expect({ fresh: fresh.available, old: old.replicas }).toEqual({ fresh: plan.desired, old: 0 });
        },
      ),
      { seed: 2, numRuns: 300 },
    );
  });
});

describe('scaledReplicas', () => {
  const set = (
    replicas: number,
    maxReplicas: number,
    available = replicas,
  ): { replicas: number; available: number; maxReplicas: number } => ({
    replicas,
    available,
    maxReplicas,
  });

  it('gives the whole size to the only active set', () => {
    expect(scaledReplicas([set(3, 4)], 7, 2)).toEqual([7]);
    expect(scaledReplicas([set(0, 4), set(3, 4)], 7, 2)).toEqual([0, 7]);
    expect(scaledReplicas([set(0, 1)], 5, 2)).toEqual([5]);
    expect(scaledReplicas([set(3, 4)], 0, 0)).toEqual([0]);
  });

  it('empties the old sets when the new one has all', () => {
    expect(scaledReplicas([set(2, 8), set(6, 8)], 6, 2)).toEqual([0, 6]);
  });

  it('shares by size in the midst of a rollout, and the total is desired + surge', () => {
    // The documentation's example: 10 replicas, surge 3, unavailable 2, 8 old and 5 new; scaled to 15.
    expect(scaledReplicas([set(8, 13), set(5, 13, 0)], 15, 3)).toEqual([11, 7]);
    expect(scaledReplicas([set(8, 13), set(5, 13, 0)], 5, 3)).toEqual([5, 3]);
    expect(scaledReplicas([set(8, 13), set(5, 13, 0)], 0, 0)).toEqual([0, 0]);
  });
});
