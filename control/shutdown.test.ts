/** How containers stop: what their process does at SIGTERM, when SIGKILL comes, and what becomes of connections; times known by hand. */
import { describe, expect, it } from 'vitest';
import type { ChurnEvent, PodBehaviour } from '../model/churn.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import { PROCESS_EXIT_NS, shutdownOf, stopTimes } from './shutdown.ts';
import { constantly, deploymentOf, FIRST_POD, probeOf, worldOf } from './test-world.ts';
import type { World, WorldOptions } from './test-world.ts';

/** Of a deletion on its way to the kubelet. */
const DELAY = 10 * NS_PER_MS;
const END = 200 * NS_PER_S;
const shrink: ChurnEvent = { kind: 'scale', at: 5 * NS_PER_S, deployment: 0, replicas: 0 };
const behaviourOf = (changes: Partial<PodBehaviour>): PodBehaviour[] => [
  { deployment: 0, warmUpMode: 'error', ...changes },
];

/** All three pods are deleted at 5 s. */
function stopped(options: WorldOptions): World {
  const world = worldOf({ churn: [shrink], ...options });
  world.simulation.runUntil(END);
  return world;
}

/** What the first pod is at a time in seconds. */
function conditionAt(options: WorldOptions, seconds: number): string {
  const world = worldOf({ churn: [shrink], ...options });
  world.simulation.runUntil(Math.round(seconds * NS_PER_S));
  return world.plane.podCondition(FIRST_POD);
}

const seconds = (ns: number): number => (ns - DELAY) / NS_PER_S - 5;
const endOf = (world: World): number[] => world.ended.map(({ at }) => seconds(at));

describe('stopTimes', () => {
  it('takes the hook from the grace period, and leaves SIGTERM at least two seconds', () => {
    const times = (preStopSleepSeconds: number, terminationGracePeriodSeconds: number): number[] => {
      const { sigtermNs, sigkillNs } = stopTimes(deploymentOf({ preStopSleepSeconds, terminationGracePeriodSeconds }));
      return [sigtermNs / NS_PER_S, sigkillNs / NS_PER_S];
    };
    expect(times(0, 30)).toEqual([0, 30]);
    expect(times(12.5, 30)).toEqual([12.5, 17.5]);
    expect(times(29, 30)).toEqual([29, 2]);
    expect(times(60, 30)).toEqual([30, 2]);
    expect(times(60, 0)).toEqual([0, 0]);
  });
});

describe('shutdownOf', () => {
  it('ends a process by itself or by SIGKILL, whichever is first', () => {
    expect(shutdownOf('close', 3, 10)).toEqual({ exitNs: 3, listensOn: false, isKilled: false });
    expect(shutdownOf('close', 10, 10)).toEqual({ exitNs: 10, listensOn: false, isKilled: false });
    expect(shutdownOf('close', 11, 10)).toEqual({ exitNs: 10, listensOn: false, isKilled: true });
    expect(shutdownOf('exit', 11, 10)).toEqual({ exitNs: 0, listensOn: false, isKilled: false });
    expect(shutdownOf('ignore', 3, 10)).toEqual({ exitNs: 10, listensOn: true, isKilled: true });
  });
});

describe('a process that closes its listening socket at SIGTERM', () => {
  const deployment = { preStopSleepSeconds: 4, terminationGracePeriodSeconds: 20 };

  it('serves what it has until it ends of itself', () => {
    const options = { deployment, behaviours: behaviourOf({ shutdownSeconds: constantly(7) }) };
    const world = stopped(options);
    expect(seconds(world.timeOf('process_stopped'))).toBeCloseTo(4, 9);
    expect(endOf(world)).toEqual([11, 11, 11]);
    expect(new Set(world.ended.map(({ how }) => how))).toEqual(new Set(['closed']));
    expect(seconds(world.timeOf('pod_gone'))).toBeCloseTo(11, 9);
    expect(world.timeOf('process_killed')).toBeNaN();
    expect([8.9, 9.1, 15.9, 16.1].map((at) => conditionAt(options, at))).toEqual([
      'serving', 'not_listening', 'not_listening', 'gone',
    ]); // prettier-ignore
  });

  it('is killed at the end of the grace period', () => {
    const world = stopped({ deployment, behaviours: behaviourOf({ shutdownSeconds: constantly(99) }) });
    expect(endOf(world)).toEqual([20, 20, 20]);
    expect(world.timeOf('process_killed')).toBe(world.timeOf('pod_gone'));
  });

  it('takes PROCESS_EXIT_NS unless told otherwise', () => {
    const world = stopped({ deployment });
    expect(world.timeOf('pod_gone') - world.timeOf('process_stopped')).toBe(PROCESS_EXIT_NS);
  });

  it('draws its time anew for each pod, from streams that leave the others alone', () => {
    const behaviours = behaviourOf({ shutdownSeconds: { mean: 5, next: (stream) => 10 * stream.nextFloat() } });
    const world = stopped({ deployment, behaviours, seed: 3 });
    expect(new Set(endOf(world)).size).toBe(3);
    const bare = stopped({ deployment, seed: 3 });
    const others = ({ events }: World): string[] =>
      events.filter(({ kind }) => kind === 'endpoints_changed').map(({ at, text }) => `${at} ${text}`);
    expect(others(world).slice(0, 1)).toEqual(others(bare).slice(0, 1));
  });
});

describe('a process that ignores SIGTERM', () => {
  const options = { deployment: { preStopSleepSeconds: 4 }, behaviours: behaviourOf({ onSigterm: 'ignore' }) };

  it('accepts connections until SIGKILL', () => {
    const world = stopped(options);
    expect(endOf(world)).toEqual([30, 30, 30]);
    expect(world.timeOf('process_stopped')).toBeNaN();
    expect(world.timeOf('process_killed')).toBe(world.timeOf('pod_gone'));
    expect([9.1, 34.9, 35.1].map((at) => conditionAt(options, at))).toEqual(['serving', 'serving', 'gone']);
  });

  it('holds up the restart that its liveness probe asks for', () => {
    const fault: ChurnEvent = {
      kind: 'probe_failure', at: 5 * NS_PER_S, deployment: 0, pod: 0, probe: 'liveness', mode: 'error', durationNs: 9 * NS_PER_S,
    }; // prettier-ignore
    const livenessProbe = probeOf({ periodSeconds: 1, failureThreshold: 1 });
    const restarted = (behaviours: PodBehaviour[]): number => {
      const world = worldOf({ churn: [fault], deployment: { livenessProbe }, behaviours });
      world.simulation.runUntil(END);
      return world.timeOf('container_restarted') / NS_PER_S;
    };
    expect(restarted(options.behaviours) - restarted([])).toBeCloseTo(30 - 0.1, 9);
  });
});

describe('a process without a handler of SIGTERM', () => {
  it('ends at once', () => {
    const world = stopped({ deployment: { preStopSleepSeconds: 4 }, behaviours: behaviourOf({ onSigterm: 'exit' }) });
    expect(endOf(world)).toEqual([4, 4, 4]);
    expect(world.timeOf('process_stopped')).toBe(world.timeOf('pod_gone'));
  });
});

describe('the end of a process', () => {
  it('is told at a crash, and again for the next container', () => {
    const crashes = [10, 40].map((at): ChurnEvent => ({ kind: 'crash', at: at * NS_PER_S, deployment: 0, pod: 0 }));
    const world = worldOf({ churn: crashes });
    world.simulation.runUntil(END);
    expect(world.ended).toEqual([10, 40].map((at) => ({ at: at * NS_PER_S, address: FIRST_POD, how: 'closed' })));
  });

  it('is silent where the machine fails, and is no end where the kubelet does', () => {
    const failure = (what: 'machine' | 'kubelet'): World => {
      const world = worldOf({
        churn: [
          {
            kind: 'node_failure', at: 10 * NS_PER_S, node: 'node-1', what, durationNs: 20 * NS_PER_S, graceNs: 40 * NS_PER_S, evictionNs: END,
          },
        ],
      }); // prettier-ignore
      world.simulation.runUntil(END);
      return world;
    };
    // Pods 0 and 2 are on node-1.
    expect(failure('machine').ended).toEqual(
      [0, 2].map((i) => ({ at: 10 * NS_PER_S, address: FIRST_POD + i, how: 'lost' })),
    );
    expect(failure('kubelet').ended).toEqual([]);
  });

  it('does not come where no process has been', () => {
    const churn: ChurnEvent[] = [
      { kind: 'scale', at: 5 * NS_PER_S, deployment: 0, replicas: 4 },
      { kind: 'scale', at: 6 * NS_PER_S, deployment: 0, replicas: 3 },
    ];
    expect(stopped({ churn, podStart: constantly(10) }).ended).toEqual([]);
  });
});
