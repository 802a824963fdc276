/** What a rolling update under load costs, by the length of the preStop hook: whole trials, several seeds, every engine. */
import { describe, expect, it } from 'vitest';
import type { EngineName } from '../engines/engine.ts';
import { ENGINES } from '../engines/registry.ts';
import type { Observation } from '../model/observation.ts';
import { HEAD, load } from '../scenarios/load-fixtures.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

const TEN = `apiVersion: apps/v1
kind: Deployment
metadata: { name: shop }
spec:
  replicas: 10
  selector: { matchLabels: { app: shop } }
  template:
    metadata: { labels: { app: shop } }
    spec:
      containers:
        - name: shop
          readinessProbe: { httpGet: { path: /ready, port: 8080 }, periodSeconds: 2 }
---
apiVersion: v1
kind: Service
metadata: { name: shop }
spec: { selector: { app: shop }, ports: [{ port: 80, targetPort: 8080 }] }
`;

interface World {
  readonly seed: number;
  readonly pre_stop_s?: number;
  readonly grace_s?: number;
  readonly min_sync_period_s?: number;
  /** Of each connection, in half seconds. */
  readonly life?: number;
  /** What the pods' processes do. */
  readonly pods?: string;
  readonly change?: string;
}

/** 80 connections a second for 20 s; unless told otherwise a rolling update at 3 s. Processes stop by SIGKILL alone. */
function observe(engine: EngineName, world: World): Observation {
  const { seed, pre_stop_s = 0, grace_s = 30, min_sync_period_s = 1, life = 2, pods = 'shutdown_s: 60' } = world;
  const { change = 'rolling_update: { deployment: shop, at_s: 3 }' } = world;
  const version = engine === 'userspace' ? 'kubeProxy: v1.25\n' : '';
  const text = `${HEAD}${version}engines: [${engine}]
seed: ${seed}
cluster: { manifests: [m.yaml], pre_stop_s: ${pre_stop_s}, grace_s: ${grace_s} }
traffic: { connections: 1600, connections_per_s: 80, packets_per_connection: ${life + 1}, packet_gap_s: 0.5 }
churn:
  - ${change}
  - pods: { deployment: shop, ${pods} }
proxy: { min_sync_period_s: ${min_sync_period_s} }
`;
  return runTrial(planSweep(load(text, {}, { 'm.yaml': TEN })).trials[0]).observation;
}

const n = (row: Observation, name: string): number => Number(row[name]);
const lost = (engine: EngineName, world: World): number => n(observe(engine, world), 'failed_connections');
const cut = (engine: EngineName, world: World): number => n(observe(engine, world), 'broken_connections');
/** A preStop hook in seconds that is a millisecond longer than the trial's longest programming latency, which it does not change. */
const longEnough = (row: Observation): number => (n(row, 'programming_latency_max_ms') + 1) / 1000;

const SEEDS = [1, 2, 3];
const engines = Object.keys(ENGINES) as EngineName[];
/** A process that carries the traffic dials another endpoint when one refuses, so userspace mode loses no new connection. */
const kernelEngines = engines.filter((engine) => engine !== 'userspace');

describe.each(kernelEngines)('%s: new connections under a rolling update', (engine) => {
  it.each(SEEDS)(
    'are lost without a preStop hook, and none with one longer than the longest latency (seed %i)',
    (seed) => {
      const bare = observe(engine, { seed });
      expect(n(bare, 'failed_connections')).toBeGreaterThan(15);
      // Whoever comes too late meets a closed socket, or no pod at all.
      expect(n(bare, 'refused_connections') + n(bare, 'timed_out_connections')).toBe(n(bare, 'failed_connections'));
      const long = longEnough(bare);
      const curve = [0, 0.1, 0.25, 0.5, 1].map((share) => lost(engine, { seed, pre_stop_s: share * long }));
      expect(curve[0]).toBe(n(bare, 'failed_connections'));
      // The same connections meet the same rules: a longer hook can only save some.
      expect([...curve].sort((a, b) => b - a)).toEqual(curve);
      expect(curve[3]).toBeGreaterThan(0);
      expect(curve[3]).toBeLessThan(curve[0]);
      expect(curve[4]).toBe(0);
    },
  );

  it.each([0, 10])('are none for the same reason at a minSyncPeriod of %i s', (min_sync_period_s) => {
    const bare = observe(engine, { seed: 4, min_sync_period_s });
    expect(n(bare, 'failed_connections')).toBeGreaterThan(0);
    const saved = observe(engine, { seed: 4, min_sync_period_s, pre_stop_s: longEnough(bare) });
    expect(saved['programming_latency_max_ms']).toBe(bare['programming_latency_max_ms']);
    expect(saved['failed_connections']).toBe(0);
    if (min_sync_period_s === 10)
      expect(lost(engine, { seed: 4, min_sync_period_s, pre_stop_s: 2 })).toBeGreaterThan(0);
  });

  it('are none where the process works on until SIGKILL, whatever the rules say', () => {
    expect(lost(engine, { seed: 1, pods: 'on_sigterm: ignore' })).toBe(0);
  });
});

describe.each(engines)('%s: established connections under a rolling update', (engine) => {
  it.each([1, 2])('end within the grace period, or are reset at its end (seed %i)', (seed) => {
    // Each lives 8 s, and the last of a pod begins right before SIGTERM.
    const life = 16;
    expect(cut(engine, { seed, life, grace_s: 8 })).toBe(0);
    const short = observe(engine, { seed, life, grace_s: 6 });
    expect(n(short, 'broken_connections')).toBeGreaterThan(0);
    expect(short).toMatchObject({ silent_connections: 0, reset_connections: short['broken_connections'] });
  });

  it.each([1, 2])('end within grace - preStop beside a hook that saves the new ones (seed %i)', (seed) => {
    const world = { seed, life: 16, pre_stop_s: 2 };
    const saved = observe(engine, { ...world, grace_s: 10 });
    expect(n(saved, 'programming_latency_max_ms')).toBeLessThan(2000);
    expect(saved).toMatchObject({ failed_connections: 0, broken_connections: 0, availability_ratio: 1 });
    expect(n(saved, 'removed_pod_connections')).toBeGreaterThan(0);
    // Too little is left of the grace period, the process does not take it, or it is not one that shuts down in order.
    expect(cut(engine, { ...world, grace_s: 6 })).toBeGreaterThan(0);
    expect(cut(engine, { ...world, pods: 'shutdown_s: 2' })).toBeGreaterThan(0);
    expect(cut(engine, { ...world, pods: 'on_sigterm: exit' })).toBeGreaterThan(0);
  });
});

describe.each(engines)('%s: established connections whose pod ends without warning', (engine) => {
  const world = { seed: 2, life: 4 };

  it('are reset by a crash', () => {
    const row = observe(engine, { ...world, change: 'crash: { deployment: shop, at_s: 8 }' });
    // A tenth of 80 connections a second, of 1.5 s each until they close.
    expect(n(row, 'reset_connections')).toBeGreaterThan(3);
    expect(n(row, 'reset_connections')).toBeLessThan(24);
    expect(row).toMatchObject({ silent_connections: 0, broken_connections: row['reset_connections'] });
  });

  it('hear nothing when its machine fails', () => {
    const row = observe(engine, { ...world, change: 'node_failure: { node: node-2, at_s: 8, duration_s: 6 }' });
    expect(n(row, 'silent_connections')).toBeGreaterThan(24);
    expect(row).toMatchObject({ reset_connections: 0, broken_connections: row['silent_connections'] });
  });
});
