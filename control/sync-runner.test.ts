import { describe, expect, it } from 'vitest';
import { Simulation } from '../sim/simulation.ts';
import { PRIORITY_PROXIER_COMMIT, PRIORITY_WATCH } from './priorities.ts';
import { createSyncRunner } from './sync-runner.ts';
import type { SyncRunnerKind } from './sync-runner.ts';

interface Rig {
  readonly simulation: Simulation;
  readonly runs: [number, string][];
  request(at: number): void;
}

/** A first run that ends at 0, further runs of `duration`, in vain if they end before `failsUntil`. */
function rigOf(
  kind: SyncRunnerKind,
  minInterval: number,
  maxInterval: number,
  duration: number,
  failsUntil = 0,
  retryInterval = maxInterval,
): Rig {
  const simulation = new Simulation();
  const runs: [number, string][] = [];
  const runner = createSyncRunner(kind, {
    simulation,
    minIntervalNs: minInterval,
    maxIntervalNs: maxInterval,
    retryIntervalNs: retryInterval,
    run: (reason) => {
      runs.push([simulation.now, reason]);
      simulation.at(simulation.now + duration, PRIORITY_PROXIER_COMMIT, () => {
        if (simulation.now < failsUntil) runner.failed();
        else runner.completed();
      });
    },
  });
  runner.completed();
  return {
    simulation,
    runs,
    request: (at) => {
      simulation.at(at, PRIORITY_WATCH, () => {
        runner.request();
      });
    },
  };
}

describe('the runner that counts from the completion', () => {
  it('serves a request at once when it has rested', () => {
    const rig = rigOf('from-completion', 10, 1000, 3);
    rig.request(25);
    rig.simulation.runUntil(100);
    expect(rig.runs).toEqual([[25, 'requested']]);
  });

  it('counts the minimum interval from the completion, without a burst', () => {
    const rig = rigOf('from-completion', 10, 1000, 3);
    for (const at of [20, 21, 24, 40, 41]) rig.request(at);
    rig.simulation.runUntil(100);
    // 20..23; 21 and 24 wait until 33; 33..36; 40 and 41 wait until 46.
    expect(rig.runs.map(([at]) => at)).toEqual([20, 33, 46]);
  });

  it('rests after the first run, too', () => {
    const rig = rigOf('from-completion', 10, 1000, 3);
    rig.request(4);
    rig.simulation.runUntil(100);
    expect(rig.runs.map(([at]) => at)).toEqual([10]);
  });

  it('runs by itself after the maximum interval, counted from the last completion', () => {
    const rig = rigOf('from-completion', 10, 50, 3);
    rig.request(30);
    rig.simulation.runUntil(140);
    expect(rig.runs).toEqual([
      [30, 'requested'],
      [83, 'interval'],
      [136, 'interval'],
    ]);
  });
});

describe('the runner with a token bucket', () => {
  it('lets two runs follow each other after a quiet while, then one a minimum interval', () => {
    const rig = rigOf('token-bucket', 10, 1000, 3);
    for (const at of [100, 101, 104, 105, 120, 124]) rig.request(at);
    rig.simulation.runUntil(200);
    // 100..103 and 103..106 by the two tokens, of the second 0.3 are left; 104 and 105 wait until 106 + 10, when the bucket holds 1.6.
    // The run of 116 leaves 0.6, so at 120 there is a whole token again; 124 waits for 123 + 10.
    expect(rig.runs.map(([at]) => at)).toEqual([100, 103, 116, 120, 133]);
  });

  it('starts with a full bucket: the first sync took no token, and no rest follows it', () => {
    const rig = rigOf('token-bucket', 10, 1000, 0);
    for (const at of [1, 2, 3]) rig.request(at);
    rig.simulation.runUntil(100);
    expect(rig.runs.map(([at]) => at)).toEqual([1, 2, 12]);
  });

  it('fills the bucket by one token a minimum interval, never beyond two', () => {
    const rig = rigOf('token-bucket', 10, 1000, 0);
    // 50 and 51 empty the bucket; at 65 it holds 1.5 tokens, at 66 0.6, at 300 two.
    for (const at of [50, 51, 65, 66, 300, 301, 302]) rig.request(at);
    rig.simulation.runUntil(400);
    expect(rig.runs.map(([at]) => at)).toEqual([50, 51, 65, 75, 300, 301, 311]);
  });

  it('runs by itself after the maximum interval, which takes a token like any run', () => {
    const rig = rigOf('token-bucket', 10, 50, 3);
    rig.request(30);
    rig.request(84);
    rig.request(87);
    rig.simulation.runUntil(150);
    // 83 is 50 after the completion of the run of 30; the request of 84 has a token left, that of 87 waits for 89 + 10.
    expect(rig.runs).toEqual([
      [30, 'requested'],
      [83, 'interval'],
      [86, 'requested'],
      [99, 'requested'],
    ]);
  });

  it('keeps the reason of a periodic run that has to wait for a token', () => {
    const rig = rigOf('token-bucket', 10, 10, 0);
    rig.request(1);
    rig.request(2);
    rig.simulation.runUntil(13);
    // 12 is both the maximum after 2 and the earliest moment that is allowed.
    expect(rig.runs).toEqual([
      [1, 'requested'],
      [2, 'requested'],
      [12, 'interval'],
    ]);
  });

  it('has no limit at a minimum interval of 0', () => {
    const rig = rigOf('token-bucket', 0, 1000, 1);
    for (const at of [5, 6, 7, 8]) rig.request(at);
    rig.simulation.runUntil(20);
    expect(rig.runs.map(([at]) => at)).toEqual([5, 6, 7, 8]);
  });
});

describe('a run that fails', () => {
  it('from-completion: is tried again when the retry interval is over, counted from the last failure', () => {
    const rig = rigOf('from-completion', 10, 1000, 3, 50, 40);
    rig.request(20);
    rig.request(30);
    rig.simulation.runUntil(500);
    // 20..23 fails; 30 waits until 33; 33..36 fails and moves the retry from 63 to 76; 76..79 succeeds.
    expect(rig.runs).toEqual([
      [20, 'requested'],
      [33, 'requested'],
      [76, 'retry'],
    ]);
  });

  it('token-bucket: is tried again when the retry interval is over, counted from the last failure', () => {
    const rig = rigOf('token-bucket', 10, 1000, 3, 50, 40);
    rig.request(20);
    rig.request(30);
    rig.simulation.runUntil(500);
    // There is a token at 30; 30..33 fails, so 33 + 40.
    expect(rig.runs).toEqual([
      [20, 'requested'],
      [30, 'requested'],
      [73, 'retry'],
    ]);
  });

  it('token-bucket: a request without a token comes before the retry and takes its place', () => {
    const rig = rigOf('token-bucket', 10, 1000, 0, 22, 40);
    for (const at of [20, 21, 22]) rig.request(at);
    rig.simulation.runUntil(500);
    expect(rig.runs.map(([at]) => at)).toEqual([20, 21, 31]);
  });

  it('from-completion: waits for the rest to be over where the retry interval is the shorter one', () => {
    const rig = rigOf('from-completion', 10, 1000, 3, 30, 4);
    rig.request(20);
    rig.simulation.runUntil(500);
    expect(rig.runs).toEqual([
      [20, 'requested'],
      [33, 'retry'],
    ]);
  });
});

describe.each(['token-bucket', 'from-completion'] as const)('the %s runner', (kind) => {
  it('has no retry any more once a run has succeeded', () => {
    const rig = rigOf(kind, 10, 1000, 3, 30, 40);
    rig.request(20);
    rig.request(40);
    rig.simulation.runUntil(500);
    expect(rig.runs.map(([at]) => at)).toEqual([20, 40]);
  });

  it('runs once where the maximum interval is the retry interval', () => {
    const rig = rigOf(kind, 10, 40, 0, 30, 40);
    rig.request(20);
    rig.simulation.runUntil(99);
    expect(rig.runs).toEqual([
      [20, 'requested'],
      [60, 'interval'],
    ]);
  });

  it('never overlaps runs that are longer than the interval', () => {
    const rig = rigOf(kind, 0, 1000, 30);
    for (let at = 5; at < 100; at += 5) rig.request(at);
    rig.simulation.runUntil(100);
    expect(rig.runs.map(([at]) => at)).toEqual([5, 35, 65, 95]);
  });

  it('takes all requests of one instant into one run', () => {
    const rig = rigOf(kind, 0, 1000, 0);
    for (let i = 0; i < 5; i++) rig.request(7);
    rig.simulation.runUntil(20);
    expect(rig.runs).toEqual([[7, 'requested']]);
  });

  it('refuses a maximum below the minimum', () => {
    const simulation = new Simulation();
    const make = (): unknown =>
      createSyncRunner(kind, {
        simulation,
        minIntervalNs: 2,
        maxIntervalNs: 1,
        retryIntervalNs: 1,
        run: () => undefined,
      });
    expect(make).toThrow(/maximum interval/);
  });
});
