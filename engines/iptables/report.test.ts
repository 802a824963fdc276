/** The counts of a sync are those of the text that the dump prints. */
import { describe, expect, it } from 'vitest';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine } from '../engine.ts';
import { readyEndpoint, syntheticService, syntheticServices, syntheticWorld } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';
import { randomDelta, randomState } from './random-world.ts';

function lines(engine: Engine, form: 'kernel' | 'restore', prefix: string): number {
  return engine
    .dump(form)
    .split('\n')
    .filter((line) => line.startsWith(prefix)).length;
}

describe('sync report', () => {
  it('counts the lines of a first full sync as the dump prints them', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const engine = createIptablesEngine(syntheticWorld({ masqueradeAll: seed % 3 === 0 }));
      const report = engine.sync(randomState(new Rng(seed).stream('test')), 0);
      expect(report.restoreLines).toBe(lines(engine, 'restore', '') - 1);
      expect(report.restoreBytes).toBe(engine.dump('restore').length);
      expect(report.tableRules).toBe(lines(engine, 'kernel', '-A '));
      expect(report.savedLines).toBe(0);
    }
  });

  it('keeps its counts over a life of changes, and reads back what the sync before left', () => {
    const stream = new Rng(5).stream('test');
    const engine = createIptablesEngine(syntheticWorld());
    engine.sync(randomState(stream), 0);
    for (let round = 0; round < 60; round++) {
      const nat = engine.dump('kernel').split('*nat')[1].split('\n');
      const saved = nat.filter((line) => line.startsWith('-A') || line.startsWith(':KUBE')).length;
      const full = stream.below(5) === 0;
      const report = full ? engine.sync(randomState(stream), round) : engine.apply(randomDelta(stream), round);
      expect(report.savedLines).toBe(saved);
      expect(report.tableRules).toBe(lines(engine, 'kernel', '-A '));
      expect(report.kind).toBe(full ? 'full' : 'partial');
    }
  });

  it('leaves stale chains for 30 s in large-cluster mode, and uses one again when its endpoint comes back', () => {
    const engine = createIptablesEngine(syntheticWorld({ largeClusterEndpoints: 1 }));
    const endpoints = [1, 2, 3].map((k) => readyEndpoint(0x0a000000 + k, 80));
    const svc = syntheticService({ id: 1, nodePort: 30_001, endpoints });
    const first = engine.sync({ servicePorts: [svc] }, 0);
    const two = { ...svc, endpoints: endpoints.slice(0, 2) };
    const soon = engine.apply({ upserted: [two], removedIds: [] }, 30 * NS_PER_S);
    // One rule of KUBE-SVC is gone; the KUBE-SEP chain's two stay, and nothing was read back.
    expect([soon.tableRules, soon.savedLines]).toEqual([first.tableRules - 1, 0]);
    expect(lines(engine, 'kernel', '-A ')).toBe(soon.tableRules);
    expect(lines(engine, 'restore', '-A KUBE-SEP')).toBe(2 * 2);
    const back = engine.apply({ upserted: [svc], removedIds: [] }, 30 * NS_PER_S);
    expect(back.tableRules).toBe(first.tableRules);
    engine.apply({ upserted: [two], removedIds: [] }, 30 * NS_PER_S);
    const late = engine.apply({ upserted: [], removedIds: [] }, 31 * NS_PER_S);
    expect(late.tableRules).toBe(first.tableRules - 3);
    expect(late.savedLines).toBeGreaterThan(0);
    const gone = engine.apply({ upserted: [], removedIds: [1] }, 32 * NS_PER_S);
    // Not large any more: looked for at once. KUBE-SVC, KUBE-EXT and two KUBE-SEP.
    expect(gone.restoreLines).toBe(late.restoreLines + 2 * 4 - 2 * 1 - 2);
  });

  it('writes a partial sync in proportion to what changed', () => {
    const services = syntheticServices(500, 4);
    const engine = createIptablesEngine(syntheticWorld({ largeClusterEndpoints: 100_000 }));
    const full = engine.sync({ servicePorts: services }, 0);
    const partial = engine.apply({ upserted: [services[7]], removedIds: [] }, 0);
    // Fixed lines, KUBE-SERVICES, KUBE-NODEPORTS, and the 5 chains and 13 rules of one service port.
    expect(partial.restoreLines).toBe(7 + 4 + 1 + 5 + (500 + 1) + 50 + 4 + 5 + 13 + 1);
    expect(full.restoreLines - partial.restoreLines).toBe(499 * 18 + 50 * 3);
    expect(partial.changedServicePorts).toBe(1);
  });
});
