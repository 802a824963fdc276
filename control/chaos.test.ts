/** Everything at once: whatever happens in whatever order, no assertion fails, and what is asked for last comes true once all is well again. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChurnEvent, PodBehaviour } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import { between, constantly, FIRST_FREE, FIRST_POD, probeOf, WEB, worldOf } from './test-world.ts';

/** Faults end before this; back-offs and evictions may last a while longer. */
const QUIET_S = 900;

const at = fc.integer({ min: 0, max: 600_000 }).map((ms) => ms * 1e6);
const durationNs = fc.integer({ min: 1, max: 300_000 }).map((ms) => ms * 1e6);
const node = fc.constantFrom('node-1', 'node-2');
const pod = fc.integer({ min: 0, max: 5 });
const fault = {
  at,
  deployment: fc.constant(0),
  pod,
  durationNs,
  probe: fc.constantFrom('readiness', 'liveness', 'startup', 'all'),
  mode: fc.constantFrom('error', 'refuse', 'hang', 'probe_error'),
} as const;

const event: fc.Arbitrary<ChurnEvent> = fc.oneof(
  fc.record({ kind: fc.constant('rolling_update'), at, deployment: fc.constant(0) }),
  fc.record({ kind: fc.constant('scale'), at, deployment: fc.constant(0), replicas: fc.integer({ min: 0, max: 6 }) }),
  fc.record({ kind: fc.constant('crash'), at, deployment: fc.constant(0), pod }),
  fc.record({ kind: fc.constant('probe_failure'), ...fault }),
  fc.record({
    kind: fc.constant('probe_flapping'),
    ...fault,
    periodNs: fc.constant(20 * NS_PER_S),
    failingNs: fc.integer({ min: 0, max: 20 }).map((seconds) => seconds * NS_PER_S),
  }),
  fc.record({ kind: fc.constant('node_drain'), at, node, intervalNs: fc.constant(NS_PER_S), durationNs }),
  fc.record({
    kind: fc.constant('node_failure'),
    at,
    node,
    what: fc.constantFrom('machine', 'kubelet'),
    durationNs,
    graceNs: fc.constantFrom(0, 10 * NS_PER_S, 40 * NS_PER_S),
    evictionNs: fc.constantFrom(0, 30 * NS_PER_S, 300 * NS_PER_S),
  }),
);

const behaviour: PodBehaviour = {
  deployment: 0,
  startSeconds: between(0, 4),
  warmUpSeconds: between(0, 4),
  warmUpMode: 'hang',
  shutdownSeconds: between(0, 40),
};

describe('the control plane', () => {
  it('comes to rest with as many ready endpoints as were asked for', () => {
    let restarts = 0;
    let evictions = 0;
    let detections = 0;
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 14 }),
        fc.record({
          seed: fc.nat(1000),
          isRecreate: fc.boolean(),
          hasStartup: fc.boolean(),
          behaves: fc.boolean(),
          onSigterm: fc.constantFrom('close', 'ignore', 'exit'),
          preStopSleepSeconds: fc.integer({ min: 0, max: 5 }),
          callSeconds: fc.constantFrom(0, 0.3),
        }),
        (events, plan) => {
          const churn = [...events].sort((a, b) => a.at - b.at);
          const probe = probeOf({ periodSeconds: 2, failureThreshold: 2 });
          const world = worldOf({
            seed: plan.seed,
            churn,
            deployment: {
              strategy: plan.isRecreate ? 'Recreate' : 'RollingUpdate',
              preStopSleepSeconds: plan.preStopSleepSeconds,
              readinessProbe: probe,
              livenessProbe: { ...probe, failureThreshold: 6 },
              ...(plan.hasStartup ? { startupProbe: { ...probe, failureThreshold: 10 } } : {}),
            },
            behaviours: plan.behaves ? [{ ...behaviour, onSigterm: plan.onSigterm }] : [],
            apiCall: constantly(plan.callSeconds),
            podStart: between(0, 5),
            statusUpdate: between(0, 0.5),
            endpointSlice: between(0, 0.5),
            watch: between(0, 0.5),
          });
          world.simulation.runUntil((QUIET_S + 1200) * NS_PER_S);
          const scales = churn.filter((each) => each.kind === 'scale');
          const replicas = scales[scales.length - 1]?.replicas ?? 3;
          expect(world.plane.podCounts(0)).toEqual({ available: replicas, total: replicas });
          expect(world.plane.readyEndpoints(WEB)).toBe(replicas);
          expect(world.plane.installedEndpoints(WEB)).toBe(replicas);
          expect(world.plane.servingEndpoints(WEB)).toBe(replicas);
          // Every other pod has come to its end.
          const created = world.events.filter(({ kind, text }) => kind === 'pod_created' && !text.includes('placed'));
          const addresses = [0, 1, 2].map((i) => FIRST_POD + i);
          for (let i = 0; i < created.length; i++) addresses.push(FIRST_FREE + i);
          expect(addresses.filter((each) => world.plane.podCondition(each) === 'serving')).toHaveLength(replicas);
          expect(addresses.filter((each) => world.plane.podCondition(each) === 'not_listening')).toEqual([]);
          expect(world.plane.probeDetections.every((ns) => ns >= 0 && ns < QUIET_S * NS_PER_S)).toBe(true);
          detections += world.plane.probeDetections.length;
          restarts += world.events.filter(({ kind }) => kind === 'container_restarted').length;
          evictions += world.events.filter(({ kind }) => kind === 'pod_evicted').length;
        },
      ),
      { seed: 7, numRuns: 250 },
    );
    // Coverage marks.
    expect(restarts).toBeGreaterThan(100);
    expect(evictions).toBeGreaterThan(100);
    expect(detections).toBeGreaterThan(100);
  });
});
