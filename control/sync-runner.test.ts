import { describe, expect, it } from 'vitest';
import { Simulation } from '../sim/simulation.ts';
import { PRIORITY_PROXIER_COMMIT, PRIORITY_WATCH } from './priorities.ts';
import { SyncRunner } from './sync-runner.ts';

interface Rig {
  readonly simulation: Simulation;
  readonly runs: [number, string][];
  request(at: number): void;
}

/** A first run that ends at 0, further runs of `duration`. */
function rigOf(minInterval: number, maxInterval: number, duration: number): Rig {
  const simulation = new Simulation();
  const runs: [number, string][] = [];
  const runner = new SyncRunner({
    simulation,
    minIntervalNs: minInterval,
    maxIntervalNs: maxInterval,
    run: (reason) => {
      runs.push([simulation.now, reason]);
      simulation.at(simulation.now + duration, PRIORITY_PROXIER_COMMIT, () => runner.completed());
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

describe('SyncRunner', () => {
  it('serves a request at once when it has rested', () => {
    const rig = rigOf(10, 1000, 3);
    rig.request(25);
    rig.simulation.runUntil(100);
    expect(rig.runs).toEqual([[25, 'requested']]);
  });

  it('counts the minimum interval from the completion, without a burst', () => {
    const rig = rigOf(10, 1000, 3);
    for (const at of [20, 21, 24, 40, 41]) rig.request(at);
    rig.simulation.runUntil(100);
    // 20..23; 21 and 24 wait until 33; 33..36; 40 and 41 wait until 46.
    expect(rig.runs.map(([at]) => at)).toEqual([20, 33, 46]);
  });

  it('rests after the first run, too', () => {
    const rig = rigOf(10, 1000, 3);
    rig.request(4);
    rig.simulation.runUntil(100);
    expect(rig.runs.map(([at]) => at)).toEqual([10]);
  });

  it('runs by itself after the maximum interval, counted from the last completion', () => {
    const rig = rigOf(10, 50, 3);
    rig.request(30);
    rig.simulation.runUntil(140);
    expect(rig.runs).toEqual([
      [30, 'requested'],
      [83, 'interval'],
      [136, 'interval'],
    ]);
  });

  it('never overlaps runs that are longer than the interval', () => {
    const rig = rigOf(0, 1000, 30);
    for (let at = 5; at < 100; at += 5) rig.request(at);
    rig.simulation.runUntil(100);
    expect(rig.runs.map(([at]) => at)).toEqual([5, 35, 65, 95]);
  });

  it('takes all requests of one instant into one run', () => {
    const rig = rigOf(0, 1000, 0);
    for (let i = 0; i < 5; i++) rig.request(7);
    rig.simulation.runUntil(20);
    expect(rig.runs).toEqual([[7, 'requested']]);
  });

  it('refuses a maximum below the minimum', () => {
    const simulation = new Simulation();
    const make = (): unknown =>
      new SyncRunner({ simulation, minIntervalNs: 2, maxIntervalNs: 1, run: () => undefined });
    expect(make).toThrow(/maximum interval/);
  });
});
