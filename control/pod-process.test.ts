import { describe, expect, it } from 'vitest';
import type { PodBehaviour } from '../model/churn.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import { Rng } from '../sim/rng.ts';
import { PodProcess } from './pod-process.ts';
import { PodRecord } from './pod-store.ts';
import { between, constantly } from './test-world.ts';

const podOf = (name: string): PodRecord =>
  new PodRecord({
    namespace: 'default',
    name,
    address: 1,
    nodeName: 'node-1',
    deployment: 0,
    revision: 1,
    uid: 1,
    createdAt: 0,
  });

const processOf = (behaviour?: Partial<PodBehaviour>, seed = 1, name = 'web-1'): PodProcess =>
  new PodProcess(
    behaviour === undefined ? undefined : { deployment: 0, warmUpMode: 'error', ...behaviour },
    new Rng(seed),
    podOf(name),
    0,
  );

/** Share of the first `seconds` in which the probe fails, looked at each millisecond. */
function failingShare(process: PodProcess, seconds: number): number {
  let failing = 0;
  for (let ms = 0; ms < seconds * 1000; ms++) {
    if (process.answer('readiness', ms * NS_PER_MS) !== 'success') failing++;
  }
  return failing / (seconds * 1000);
}

describe('PodProcess', () => {
  it('answers well, starts at once and never crashes unless told otherwise', () => {
    const process = processOf();
    expect(process.drawStartNs()).toBe(0);
    expect(process.drawCrashNs()).toBeUndefined();
    process.beginWarmUp(0);
    expect(process.answer('readiness', 0)).toBe('success');
  });

  it('has faults for one probe or for all, from their beginning to their end', () => {
    const process = processOf();
    process.addFault({ probe: 'liveness', mode: 'hang', from: 10, until: 20 });
    process.addFault({ probe: 'all', mode: 'error', from: 15, until: 30 });
    expect([9, 10, 15, 19, 20, 29, 30].map((now) => process.answer('liveness', now))).toEqual(
      ['success', 'hang', 'hang', 'hang', 'error', 'error', 'success'], // prettier-ignore
    );
    expect([10, 15, 30].map((now) => process.answer('startup', now))).toEqual(['success', 'error', 'success']);
  });

  it('flaps by a script: failing at the beginning of each period', () => {
    const process = processOf();
    const flapping = { periodNs: 10, failingNs: 3 };
    process.addFault({ probe: 'readiness', mode: 'refuse', from: 100, until: 125, flapping });
    const failing = Array.from({ length: 140 }, (_, now) => now).filter(
      (now) => process.answer('readiness', now) === 'refuse',
    );
    expect(failing).toEqual([100, 101, 102, 110, 111, 112, 120, 121, 122]);
  });

  it('warms up after it listens: readiness alone fails', () => {
    const process = processOf({ warmUpSeconds: constantly(3), warmUpMode: 'hang' });
    process.beginWarmUp(5 * NS_PER_S);
    expect(process.answer('readiness', 8 * NS_PER_S - 1)).toBe('hang');
    expect(process.answer('readiness', 8 * NS_PER_S)).toBe('success');
    expect(process.answer('liveness', 6 * NS_PER_S)).toBe('success');
  });

  it('flaps by chance with the given share, each pod in a phase of its own', () => {
    const flapping = { probe: 'readiness', mode: 'error', periodSeconds: constantly(4), failingRatio: 0.25 } as const;
    const begins = [1, 2, 3, 4].map((number) => {
      const process = processOf({ flapping }, 1, `web-${number}`);
      expect(failingShare(process, 40)).toBeCloseTo(0.25, 3);
      const fresh = processOf({ flapping }, 1, `web-${number}`);
      for (let ms = 0; ; ms++) if (fresh.answer('readiness', ms * NS_PER_MS) !== 'success') return ms;
    });
    expect(new Set(begins).size).toBe(4);
    const varied = processOf({ flapping: { ...flapping, periodSeconds: between(1, 9) } });
    expect(failingShare(varied, 400)).toBeCloseTo(0.25, 1);
  });

  it('flaps the same whoever looks and how often', () => {
    const flapping = { probe: 'all', mode: 'error', periodSeconds: between(1, 5), failingRatio: 0.5 } as const;
    const [often, seldom] = [processOf({ flapping }), processOf({ flapping })];
    failingShare(often, 97);
    for (let second = 97; second < 200; second += 7) {
      expect(often.answer('readiness', second * NS_PER_S)).toBe(seldom.answer('readiness', second * NS_PER_S));
    }
  });

  it('never ends in cycles without length', () => {
    const flapping = { probe: 'all', mode: 'error', periodSeconds: constantly(0), failingRatio: 1 } as const;
    expect(processOf({ flapping }).answer('readiness', NS_PER_S)).toBe('error');
  });
});
