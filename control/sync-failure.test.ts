/** Syncs that fail: what is tried again and when, and that the rules catch up in the end. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import type { ClusterState, Endpoint } from '../model/cluster.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import { between, FIRST_POD, probeOf, WEB, worldOf } from './test-world.ts';
import type { World, WorldOptions } from './test-world.ts';

const SECOND = NS_PER_S;
const HALF = 500 * NS_PER_MS;
const NEW_RUNNER = { minSyncPeriodNs: SECOND, syncPeriodNs: 30 * SECOND, maxIntervalNs: 3600 * SECOND };
const OLD_RUNNER = { ...NEW_RUNNER, syncRunner: 'token-bucket' } as const;
/** IPVS mode: everything is written anew each syncPeriod. */
const EACH_PERIOD = { ...NEW_RUNNER, maxIntervalNs: 30 * SECOND };

const failure = (from_s: number, to_s: number, node?: string): ChurnEvent => ({
  kind: 'sync_failure',
  at: from_s * SECOND,
  durationNs: (to_s - from_s) * SECOND,
  node,
});
const scale = (at_s: number, replicas: number): ChurnEvent => ({
  kind: 'scale',
  at: at_s * SECOND,
  deployment: 0,
  replicas,
});

/** A pod that is scaled away is deleted at once, its slice is at the node 20 ms later, and it stays for a while. A sync takes half a second. */
function play(churn: ChurnEvent[], until_s: number, options: WorldOptions = {}): World {
  const deployment = { preStopSleepSeconds: 500, terminationGracePeriodSeconds: 500 };
  const world = worldOf({ churn, syncNs: HALF, timing: NEW_RUNNER, deployment, ...options });
  world.simulation.runUntil(until_s * SECOND);
  return world;
}

const seconds = (entries: readonly { readonly at: number }[]): number[] => entries.map(({ at }) => at / SECOND);

describe('a sync that fails', () => {
  it.each([
    ['from-completion', NEW_RUNNER],
    ['token-bucket', OLD_RUNNER],
    ['with a period of its own', EACH_PERIOD],
  ])('%s: changes no rule, and a full one does it all after syncPeriod', (_, timing) => {
    const world = play([failure(9, 12), scale(10, 2)], 42, { timing });
    // 10.02 .. 10.52 fails; 30 s later 40.52 .. 41.02.
    expect(seconds(world.failed)).toEqual([10.52]);
    expect(seconds(world.committed)).toEqual([0, 41.02]);
    expect(world.begun.map(({ request }) => request.kind)).toEqual(['full', 'partial', 'full']);
    expect([world.plane.syncs(), world.plane.failedSyncs()]).toEqual([3, 1]);
    expect(world.plane.installedEndpoints(WEB)).toBe(2);
    // The pod was deleted at 10, its change came at 10.02.
    expect(world.plane.latencies().map((ns) => ns / SECOND)).toEqual([31.02]);
    expect(world.plane.behindNs() / SECOND).toBe(31);
  });

  it('goes along with the next change, and the retry is off', () => {
    const world = play([failure(9, 12), scale(10, 2), scale(20, 1)], 100);
    expect(seconds(world.committed)).toEqual([0, 20.52]);
    expect(world.begun.map(({ request }) => request.kind)).toEqual(['full', 'partial', 'full']);
    expect(world.plane.latencies().map((ns) => ns / SECOND)).toEqual([10.52, 0.52]);
    expect(world.plane.behindNs() / SECOND).toBe(10.5);
  });

  it('is one that would end in the window, wherever it began', () => {
    // 10.02 .. 10.52
    expect(play([scale(10, 2), failure(10.51, 10.53)], 20).failed).toHaveLength(1);
    expect(play([scale(10, 2), failure(10.03, 10.52)], 20).failed).toHaveLength(0);
    expect(play([scale(10, 2), failure(10.52, 11)], 20).failed).toHaveLength(1);
  });

  it('counts the time that rules lack a change, the open one at the end included', () => {
    expect(play([], 50).plane.behindNs()).toBe(0);
    // 10.02 .. 10.52, then a rest until 11.52 .. 12.02 for what came at 10.32.
    expect(play([scale(10, 2), scale(10.3, 1)], 50).plane.behindNs() / SECOND).toBe(2);
    expect(play([failure(9, 60), scale(10, 2)], 50).plane.behindNs() / SECOND).toBeCloseTo(39.98, 9);
  });

  it('of another node fails there alone; two windows add up', () => {
    expect(play([failure(9, 60, 'node-2'), scale(10, 2)], 50).failed).toEqual([]);
    const world = play([failure(9, 12, 'node-1'), failure(10, 11), scale(11, 2)], 50);
    expect(seconds(world.failed)).toEqual([11.52]);
  });

  it('is told of in the order of things, with the time until it is tried again', () => {
    const { events } = play([failure(9, 12), scale(10, 2)], 42);
    expect(events.filter(({ kind }) => kind.startsWith('sync_')).map(({ kind, text }) => `${kind}: ${text}`)).toEqual([
      'sync_started: first full sync on node-1 started',
      'sync_finished: full sync on node-1 finished after 500 ms',
      'sync_started: partial sync on node-1 started: 1 service ports changed',
      'sync_failed: partial sync on node-1 failed after 500 ms; again after 30 s at the latest',
      'sync_started: full sync on node-1 started: 1 service ports changed',
      'sync_finished: full sync on node-1 finished after 500 ms',
    ]);
    expect(events.find(({ kind }) => kind === 'sync_failed')?.servicePortIds).toEqual([WEB]);
  });

  it('of a process that starts again is tried again in full', () => {
    const restart: ChurnEvent = { kind: 'proxy_restart', at: 20 * SECOND, downNs: SECOND };
    const world = play([scale(20.5, 2), restart, failure(19, 25)], 100);
    expect(seconds(world.failed)).toEqual([21.5]);
    expect(seconds(world.committed)).toEqual([0, 52]);
    expect(world.plane.installedEndpoints(WEB)).toBe(2);
  });
});

describe('a sync that fails of a process that carries the traffic', () => {
  const timing = { ...EACH_PERIOD, carriesTraffic: true };

  it('keeps nothing from the traffic, and no full one follows that would cut connections', () => {
    const world = play([failure(9, 40), scale(10, 2)], 70, { timing });
    // 30 .. 30.5 fails, 60.5 .. 61 does not.
    expect(seconds(world.failed)).toEqual([30.5]);
    expect(world.begun.map(({ request }) => request.kind)).toEqual(['full', 'partial', 'partial']);
    expect(seconds(world.committed)).toEqual([0, 10.02, 61]);
    expect([world.plane.installedEndpoints(WEB), world.plane.behindNs()]).toEqual([2, 0]);
  });

  it('is tried again in full where it was the first of its process', () => {
    const restart: ChurnEvent = { kind: 'proxy_restart', at: 20 * SECOND, downNs: SECOND };
    const world = play([restart, failure(19, 25)], 60, { timing });
    expect(world.begun.map(({ request }) => request.kind)).toEqual(['full', 'full', 'full']);
  });
});

/** What is in the kernel when the commits of a trial are written in order: full ones anew, partial ones over what was there. */
function kernelOf(commits: World['committed']): Map<number, readonly Endpoint[]> {
  const kernel = new Map<number, readonly Endpoint[]>();
  for (const { request } of commits) {
    if (request.kind === 'full') kernel.clear();
    const ports = request.kind === 'full' ? request.state.servicePorts : request.delta.upserted;
    for (const { id, endpoints } of ports) kernel.set(id, endpoints);
  }
  return kernel;
}

/** In an order of its own, as slices order endpoints by who came first. */
function sortedState(state: Iterable<readonly [number, readonly Endpoint[]]>) {
  return [...state].map(([id, endpoints]) => [id, [...endpoints].sort((a, b) => a.address - b.address)]);
}

describe('whatever syncs fail', () => {
  const at = fc.integer({ min: 0, max: 300_000 }).map((ms) => ms * NS_PER_MS);
  const event: fc.Arbitrary<ChurnEvent> = fc.oneof(
    fc.record({ kind: fc.constant('scale'), at, deployment: fc.constant(0), replicas: fc.integer({ min: 0, max: 6 }) }),
    fc.record({ kind: fc.constant('rolling_update'), at, deployment: fc.constant(0) }),
    fc.record({ kind: fc.constant('crash'), at, deployment: fc.constant(0), pod: fc.nat(3) }),
    fc.record({ kind: fc.constant('proxy_restart'), at, downNs: fc.constantFrom(0, SECOND, 5 * SECOND) }),
    fc.record({
      kind: fc.constant('sync_failure'),
      at,
      durationNs: fc.integer({ min: 1, max: 120_000 }).map((ms) => ms * NS_PER_MS),
      node: fc.constantFrom(undefined, 'node-1'),
    }),
  );

  it('the rules are those of a fresh sync once syncPeriod has passed since the last failure', () => {
    let failures = 0;
    let retries = 0;
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(NEW_RUNNER, OLD_RUNNER, EACH_PERIOD, { ...OLD_RUNNER, minSyncPeriodNs: 0 }),
        fc.constantFrom(0, HALF, 4 * SECOND),
        fc.nat(1000),
        fc.integer({ min: 300, max: 899 }),
        (events, timing, syncNs, seed, lastFrom_s) => {
          // All is at rest before the last window ends; a sync that ends just inside it is followed by a rest and the retry.
          const churn = [...events, failure(lastFrom_s, 900)].sort((a, b) => a.at - b.at);
          const until_s = 900 + 30 + syncNs / SECOND;
          const options: WorldOptions = {
            timing,
            syncNs,
            seed,
            deployment: { readinessProbe: probeOf({ periodSeconds: 2, failureThreshold: 1 }) },
            podStart: between(0, 3),
            watch: between(0, 0.5),
          };
          const world = play(churn, until_s, options);
          const undisturbed = play(
            churn.filter((each) => each.kind !== 'sync_failure' && each.kind !== 'proxy_restart'),
            until_s,
            options,
          );
          const fresh: ClusterState = undisturbed.committed[undisturbed.committed.length - 1].request.state;
          expect(sortedState(kernelOf(world.committed))).toEqual(
            sortedState(fresh.servicePorts.map(({ id, endpoints }) => [id, endpoints])),
          );
          expect(world.plane.latencies()).toHaveLength(undisturbed.plane.latencies().length);
          failures += world.failed.length;
          retries += world.failed.filter(({ at: failedAt }) =>
            world.begun.some((each) => each.at === failedAt + timing.syncPeriodNs),
          ).length;
        },
      ),
      { seed: 11, numRuns: 200 },
    );
    // Coverage marks.
    expect(failures).toBeGreaterThan(100);
    expect(retries).toBeGreaterThan(50);
  });

  it('the rules of a failed sync are not there', () => {
    const { committed } = play([failure(9, 1000), scale(10, 1)], 200);
    const [web] = [...kernelOf(committed).values()];
    expect(web.map((each) => each.address)).toEqual([FIRST_POD, FIRST_POD + 1, FIRST_POD + 2]);
  });
});
