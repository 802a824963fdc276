import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Observation } from '../model/observation.ts';
import { compareAll, compareWithBaseline, formatDifference, readBaselines, writeBaseline } from './gate.ts';

const folder = mkdtempSync(join(tmpdir(), 'chainwalk-gate-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function row(services: number, change: Observation = {}): Observation {
  return {
    experiment: 'x',
    engine: 'iptables',
    services,
    endpoints_per_service: 2,
    replication: 1,
    seed: 1,
    rules_evaluated_total: 100 * services,
    cost_first_packet_mean_ns: 1234.5,
    programming_latency_p50_ms: null,
    ...change,
  };
}

describe('gate', () => {
  it('writes a baseline, one trial a line, that equals its own rows', () => {
    writeBaseline(folder, 'x', 'first numbers', [row(1), row(10)]);
    const [baseline] = readBaselines(folder);
    expect(baseline?.reason).toBe('first numbers');
    expect(
      readFileSync(join(folder, 'x.json'), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('    {')),
    ).toHaveLength(2);
    expect(compareWithBaseline(baseline, [row(10), row(1)])).toEqual([]);
  });

  it('shows each difference with both values, the ratio and the counter that moved', () => {
    const [baseline] = readBaselines(folder);
    const differences = compareWithBaseline(baseline, [
      row(1, { rules_evaluated_total: 150, cost_first_packet_mean_ns: 2469 }),
      row(10),
    ]);
    expect(differences.map((d) => d.metric)).toEqual(['rules_evaluated_total', 'cost_first_packet_mean_ns']);
    const lines = differences.map((d) => formatDifference(d, differences));
    expect(lines[0]).toContain('was 100, is 150 (x 1.500)');
    expect(lines[1]).toContain('rules_evaluated_total moved, too');
  });

  it('fails on missing and extra trials, and on a column that came or went', () => {
    const [baseline] = readBaselines(folder);
    const differences = compareWithBaseline(baseline, [row(1, { extra: 1 }), row(100)]);
    expect(differences.map((d) => `${d.metric} ${d.current}`)).toEqual(['extra 1', 'trial missing', 'trial present']);
  });

  it('notices an experiment without baseline, and one without results', () => {
    const baselines = readBaselines(folder);
    const differences = compareAll(baselines, new Map([['y', [row(1)]]]));
    expect(differences.map((d) => `${d.experiment} ${d.metric} ${d.current}`)).toEqual([
      'x trial missing',
      'x trial missing',
      'y baseline present',
    ]);
  });

  it('refuses an empty folder', () => {
    expect(() => readBaselines(join(folder, 'empty'))).toThrow(/no baselines/);
  });

  it('says which file is no baseline', () => {
    for (const text of ['{', '{}', '[]', '{"experiment":"x","reason":"","chainwalk":"","trials":[]}']) {
      writeFileSync(join(folder, 'broken.json'), text);
      expect(() => readBaselines(folder)).toThrow(/Not a baseline/);
    }
  });
});
