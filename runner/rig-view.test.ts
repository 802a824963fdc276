import { describe, expect, it } from 'vitest';
import type { Cell } from '../model/observation.ts';
import type { NanosecondProfile, RigCosts } from '../model/profile.ts';
import { loadExperiment, scenariosFolder } from '../scenarios/load.ts';
import { loadProfile } from '../scenarios/load-profile.ts';
import { observationColumns } from './columns.ts';
import { roundTripGrid } from './rig-view.ts';
import { quantileSorted } from './statistics.ts';
import { runTrial } from './trial.ts';

const era = loadProfile('era-2019') as NanosecondProfile & { rig: RigCosts };

function observe(at: Record<string, number | string>, engine: 'iptables' | 'ipvs' = 'iptables'): Record<string, Cell> {
  const experiment = loadExperiment(`${scenariosFolder()}/experiments/published-2019.yaml`);
  const point = experiment.resolvePoint({ services: 100, 'traffic.connections': 300, ...at });
  return runTrial({
    index: 0,
    experiment: experiment.name,
    engine,
    replication: 1,
    seed: 1,
    values: {},
    point,
  }).observation;
}

describe('roundTripGrid', () => {
  it('has the median, the 99th percentile and the floor of the rig', () => {
    const { rig } = era;
    const grid = roundTripGrid(rig);
    const at = (q: number): number => quantileSorted(grid, grid.length, q);
    expect(at(0.5) / rig.roundTripMedian.value).toBeCloseTo(1, 3);
    expect(at(0.99) / rig.roundTripP99.value).toBeCloseTo(1, 1);
    expect(at(0)).toBeGreaterThan(rig.roundTripFloor.value);
  });
});

describe('columns of what clients see', () => {
  it('are there where the profile has a rig, and nowhere else', () => {
    const columns = observationColumns([], { units: ['ns'], hasRig: true });
    const own = columns.slice(observationColumns([]).length);
    const row = observe({});
    for (const column of own) expect(typeof row[column], column).toBe('number');
    const without = observe({ profile: 'linux-6.18-native' });
    for (const column of own) expect(without, column).not.toHaveProperty(column);
  });

  it('rise with the load, and are empty beyond what the rig bears', () => {
    const mean = (perSecond: number): Cell =>
      observe({ 'traffic.connections_per_s': perSecond })['request_latency_mean_ms'] ?? null;
    expect(Number(mean(6000))).toBeGreaterThan(Number(mean(100)) * 1.02);
    expect(mean(20_000)).toBeNull();
    expect(Number(observe({ 'traffic.connections_per_s': 20_000 })['requests_per_second_saturated'])).toBeLessThan(
      20_000,
    );
  });

  it('leave the trial as it was: the probe of the server walk comes after everything', () => {
    const digest = (profile: string): Cell => observe({ profile })['digest'] ?? null;
    expect(digest('era-2019')).toBe(digest('linux-6.18-native'));
  });

  it('count whole syncs each syncPeriod into CPU in old iptables mode', () => {
    const cores = (at: Record<string, number | string>): number => Number(observe(at)['client_node_cpu_cores']);
    expect(cores({ 'proxy.sync_period_s': 3 }) - cores({ 'proxy.sync_period_s': 30 })).toBeGreaterThan(0.001);
    expect(cores({ 'proxy.sync_period_s': 3, kubeProxy: 'v1.31' })).toBeCloseTo(
      cores({ 'proxy.sync_period_s': 30, kubeProxy: 'v1.31' }),
      9,
    );
  });
});
