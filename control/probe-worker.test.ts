import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NS_PER_S } from '../model/time.ts';
import type { FailureMode, ProbeName } from '../model/churn.ts';
import type { Probe } from '../model/workload.ts';
import { Simulation } from '../sim/simulation.ts';
import { LONG_AGO } from './pod-store.ts';
import { PRIORITY_CHURN } from './priorities.ts';
import { ProbeWorker } from './probe-worker.ts';
import { probeOf } from './test-world.ts';

interface Rig {
  readonly simulation: Simulation;
  readonly worker: ProbeWorker;
  /** Time in seconds and value of each published change. */
  readonly results: [number, boolean][];
  /** Times in seconds at which the container was asked. */
  readonly asked: number[];
  answer: 'success' | FailureMode;
  running: boolean;
  startedAt: number;
  deleted: boolean;
  started: boolean;
  watched: boolean;
}

function rigOf(probe: Probe, options: { name?: ProbeName; phase?: number; wasRunning?: boolean } = {}): Rig {
  const simulation = new Simulation();
  const { name = 'readiness', phase = 0, wasRunning = true } = options;
  const state = {
    answer: 'success' as Rig['answer'],
    running: true,
    startedAt: LONG_AGO,
    deleted: false,
    started: name !== 'startup',
    watched: true,
  };
  const results: Rig['results'] = [];
  const asked: number[] = [];
  const worker = new ProbeWorker({
    simulation,
    name,
    probe,
    phaseNs: phase * NS_PER_S,
    wasRunning,
    target: {
      isRunning: () => state.running,
      hasStarted: () => state.started,
      isWatched: () => state.watched,
      startedAt: () => state.startedAt,
      isBeingDeleted: () => state.deleted,
      failingSince: () => simulation.now,
      answer: () => {
        asked.push(simulation.now / NS_PER_S);
        return state.answer;
      },
    },
    onResult: (success) => results.push([simulation.now / NS_PER_S, success]),
  });
  return Object.assign(state, { simulation, worker, results, asked });
}

/** Seconds from the fault's begin at `from` to the published failure. */
function detectionOf(probe: Probe, mode: FailureMode, phase: number, from: number): number {
  const rig = rigOf(probe, { phase });
  rig.simulation.at(Math.round(from * NS_PER_S), PRIORITY_CHURN, () => {
    rig.answer = mode;
  });
  rig.simulation.runUntil(200 * NS_PER_S);
  expect(rig.results).toHaveLength(1);
  expect(rig.results[0][1]).toBe(false);
  return rig.results[0][0] - from;
}

describe('ProbeWorker', () => {
  it('probes after the phase and then on the ticker', () => {
    const rig = rigOf(probeOf({ periodSeconds: 10 }), { phase: 3 });
    rig.simulation.runUntil(25 * NS_PER_S);
    expect(rig.asked).toEqual([3, 13, 23]);
    expect(rig.results).toEqual([]);
  });

  it('notices a failure after 20 to 30 s by default, and a hang a timeout later', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9999 }), fc.integer({ min: 0, max: 9999 }), (phase, from) => {
        const waits = (((phase - from) % 10000) + 10000) % 10000;
        for (const mode of ['error', 'refuse', 'hang'] as const) {
          const detection = detectionOf(probeOf(), mode, phase / 1000, from / 1000);
          expect(detection).toBeGreaterThanOrEqual(20 - 1e-6);
          expect(detection).toBeLessThan(mode === 'hang' ? 31 : 30);
          expect(detection).toBeCloseTo(waits / 1000 + 20 + (mode === 'hang' ? 1 : 0), 6);
        }
      }),
      { seed: 1, numRuns: 50 },
    );
  });

  it('notices after phase + 4 s with a period of 2 s and three failures', () => {
    const probe = probeOf({ periodSeconds: 2 });
    expect(detectionOf(probe, 'error', 0.5, 10)).toBeCloseTo(4.5, 9);
    expect(detectionOf(probe, 'error', 0, 10)).toBe(4);
    expect(detectionOf(probe, 'error', 1.999, 10)).toBeCloseTo(5.999, 9);
  });

  it('keeps one tick while a probe hangs and drops the others', () => {
    const rig = rigOf(probeOf({ periodSeconds: 1, timeoutSeconds: 5 }));
    rig.answer = 'hang';
    rig.simulation.runUntil(12 * NS_PER_S);
    // The tick of second 1 waits for the answer of second 5.
    expect(rig.asked).toEqual([0, 5, 10]);
  });

  it('counts equal results in a row, and one success in between starts anew', () => {
    const rig = rigOf(probeOf({ periodSeconds: 1, failureThreshold: 2, successThreshold: 3 }));
    const answers = [
      'error',
      'success',
      'error',
      'error',
      'success',
      'success',
      'error',
      'success',
      'success',
      'success',
    ];
    answers.forEach((answer, second) => {
      rig.simulation.at(second * NS_PER_S, PRIORITY_CHURN, () => {
        rig.answer = answer as Rig['answer'];
      });
    });
    rig.simulation.runUntil(9 * NS_PER_S);
    expect(rig.results).toEqual([
      [3, false],
      [9, true],
    ]);
  });

  it('waits for the initial delay in whole seconds, so up to a second less', () => {
    const rig = rigOf(probeOf({ periodSeconds: 1, initialDelaySeconds: 3 }), { wasRunning: false });
    rig.startedAt = 0.9 * NS_PER_S;
    rig.simulation.runUntil(5 * NS_PER_S);
    // 3 s after second 0, not after 0.9 s.
    expect(rig.asked[0]).toBe(3);
    expect(rig.results).toEqual([[3, true]]);
  });

  it('probes at once when it is triggered, else at the next tick', () => {
    for (const name of ['readiness', 'liveness'] as const) {
      const rig = rigOf(probeOf({ periodSeconds: 4 }), { name, wasRunning: false });
      rig.running = false;
      rig.simulation.at(1 * NS_PER_S, PRIORITY_CHURN, () => {
        rig.running = true;
        rig.startedAt = rig.simulation.now;
        rig.worker.containerStarted();
        if (name === 'readiness') rig.worker.trigger();
      });
      rig.simulation.runUntil(5 * NS_PER_S);
      expect(rig.asked).toEqual(name === 'readiness' ? [1, 4] : [4]);
    }
  });

  it('publishes not ready for a container that does not run', () => {
    const rig = rigOf(probeOf());
    rig.running = false;
    rig.simulation.runUntil(1);
    expect(rig.results).toEqual([[0, false]]);
    expect(rig.asked).toEqual([]);
  });

  it('holds a failed liveness probe until there is a new container, and begins to count anew', () => {
    const rig = rigOf(probeOf({ periodSeconds: 1, failureThreshold: 2 }), { name: 'liveness' });
    rig.answer = 'error';
    rig.simulation.at(5.5 * NS_PER_S, PRIORITY_CHURN, () => rig.worker.containerStarted());
    rig.simulation.runUntil(9.5 * NS_PER_S);
    expect(rig.asked).toEqual([0, 1, 6, 7]);
    expect(rig.results).toEqual([
      [1, false],
      [5.5, true],
      [7, false],
    ]);
  });

  it('stops liveness, but not readiness, when the pod is deleted', () => {
    for (const name of ['readiness', 'liveness'] as const) {
      const rig = rigOf(probeOf({ periodSeconds: 1 }), { name });
      rig.deleted = true;
      rig.simulation.runUntil(2 * NS_PER_S);
      expect(rig.asked).toEqual(name === 'readiness' ? [0, 1, 2] : []);
    }
  });

  it('throws away the answer of a container that is no more', () => {
    const rig = rigOf(probeOf({ periodSeconds: 10, timeoutSeconds: 3, failureThreshold: 1 }));
    rig.answer = 'hang';
    rig.simulation.at(1 * NS_PER_S, PRIORITY_CHURN, () => {
      rig.answer = 'success';
      rig.worker.containerStarted();
      rig.worker.trigger();
    });
    rig.simulation.runUntil(9 * NS_PER_S);
    // Not ready at the new start; ready when the trigger is served after the hanging probe has come back.
    expect(rig.results).toEqual([
      [1, false],
      [3, true],
    ]);
  });
});

describe('ProbeWorker: kinds of probes', () => {
  const quick = { periodSeconds: 2, timeoutSeconds: 1, failureThreshold: 3 } as const;

  it("notices with the seed's probe after 4 to 6 s a status of 500, after 5 to 7 s a hang", () => {
    for (let phase = 0; phase < 2; phase += 0.25) {
      for (const [mode, extra] of [
        ['error', 0],
        ['refuse', 0],
        ['hang', 1],
      ] as const) {
        const detection = detectionOf(probeOf(quick), mode, phase, 10);
        // phase + (failureThreshold - 1) x period + response time
        expect(detection).toBeCloseTo(phase + 2 * 2 + extra, 9);
        expect(detection).toBeGreaterThanOrEqual(4 + extra);
        expect(detection).toBeLessThan(6 + extra);
      }
    }
  });

  it('a grpc probe needs its timeout for a refusal, too; an exec probe does not', () => {
    expect(detectionOf(probeOf({ ...quick, kind: 'grpc' }), 'refuse', 0, 10)).toBe(5);
    expect(detectionOf(probeOf({ ...quick, kind: 'grpc' }), 'error', 0, 10)).toBe(4);
    expect(detectionOf(probeOf({ ...quick, kind: 'exec' }), 'refuse', 0, 10)).toBe(4);
    expect(detectionOf(probeOf({ ...quick, kind: 'exec' }), 'hang', 0, 10)).toBe(5);
  });

  it('a tcpSocket probe sees neither a failing nor a hanging handler', () => {
    for (const mode of ['error', 'hang'] as const) {
      const rig = rigOf(probeOf({ ...quick, kind: 'tcpSocket' }));
      rig.answer = mode;
      rig.simulation.runUntil(100 * NS_PER_S);
      expect(rig.results).toEqual([]);
    }
    expect(detectionOf(probeOf({ ...quick, kind: 'tcpSocket' }), 'refuse', 0, 10)).toBe(4);
  });

  it('throws the errors of an exec probe away: they neither count nor end a run', () => {
    const rig = rigOf(probeOf({ kind: 'exec', periodSeconds: 1, failureThreshold: 3 }));
    const answers: Rig['answer'][] = ['error', 'probe_error', 'error', 'probe_error', 'probe_error', 'error'];
    answers.forEach((answer, second) => {
      rig.simulation.at(second * NS_PER_S, PRIORITY_CHURN, () => {
        rig.answer = answer;
      });
    });
    rig.simulation.runUntil(5 * NS_PER_S);
    expect(rig.results).toEqual([[5, false]]);
    rig.answer = 'probe_error';
    rig.simulation.runUntil(100 * NS_PER_S);
    // Not ready as it was; an error is no success, either.
    expect(rig.results).toEqual([[5, false]]);
  });
});

describe('ProbeWorker: startup', () => {
  const probe = probeOf({ periodSeconds: 1, failureThreshold: 3 });

  it('tells success once, and does not run again until there is a new container', () => {
    const rig = rigOf(probe, { name: 'startup', wasRunning: false });
    rig.answer = 'refuse';
    rig.simulation.at(1.5 * NS_PER_S, PRIORITY_CHURN, () => {
      rig.answer = 'success';
    });
    rig.simulation.at(2.5 * NS_PER_S, PRIORITY_CHURN, () => {
      rig.started = true;
    });
    rig.simulation.at(9.5 * NS_PER_S, PRIORITY_CHURN, () => {
      rig.started = false;
      rig.worker.containerStarted();
    });
    rig.simulation.runUntil(10 * NS_PER_S);
    expect(rig.asked).toEqual([0, 1, 2, 10]);
    expect(rig.results).toEqual([
      [2, true],
      [10, true],
    ]);
  });

  it('fails after its threshold and holds', () => {
    const rig = rigOf(probe, { name: 'startup', wasRunning: false });
    rig.answer = 'error';
    rig.simulation.runUntil(20 * NS_PER_S);
    expect(rig.results).toEqual([[2, false]]);
    expect(rig.asked).toEqual([0, 1, 2]);
  });

  it('is called a success when the pod is deleted', () => {
    const rig = rigOf(probe, { name: 'startup', wasRunning: false });
    rig.answer = 'error';
    rig.simulation.at(0.5 * NS_PER_S, PRIORITY_CHURN, () => {
      rig.deleted = true;
    });
    rig.simulation.runUntil(20 * NS_PER_S);
    expect(rig.results).toEqual([[1, true]]);
    expect(rig.asked).toEqual([0]);
  });

  it('keeps the others from running until then', () => {
    for (const name of ['readiness', 'liveness'] as const) {
      const rig = rigOf(probe, { name, wasRunning: false });
      rig.started = false;
      rig.answer = 'error';
      rig.simulation.at(3.5 * NS_PER_S, PRIORITY_CHURN, () => {
        rig.started = true;
      });
      rig.simulation.runUntil(5 * NS_PER_S);
      expect(rig.asked).toEqual([4, 5]);
    }
  });
});
