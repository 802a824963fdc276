/**
 * The oracle of nftables mode against the program compiler: two statements of kube-proxy's table that share no code, compared as
 * text, line by line, and their operations counted, on random whole worlds.
 */
import { describe, expect, it } from 'vitest';
import type { NodeSpec } from '../../model/cluster.ts';
import { Rng } from '../../sim/rng.ts';
import type { EngineOptions } from '../engine.ts';
import { NftablesProgrammer } from '../nftables/program/programmer.ts';
import { proxyConfig } from '../proxy/configs.ts';
import { referenceNftables } from '../reference/nftables.ts';
import type { ControlStep } from './control-step.ts';
import { configsOf, control, isControl, KnownServices } from './control-step.ts';
import { generateProgram } from './generate.ts';

const WORLDS = 200;
/** Enough for some ten syncs a world. */
const PACKETS = 400;

/** What a world writes at least once over all seeds. */
const MUST_WRITE = [
  'filter-output-post-dnat', 'filter-output-pre-dnat', 'filter hook forward priority -110', 'sctp dport', 'meta l4proto sctp',
  'set ip kube-proxy nodeport-ips', 'nodeport-ips { 192.168.0.1 }', 'fib daddr type local', '10.96.0.0/12', 'iifname cni0', 'iifname != veth*',
  'saddr != 10.244.0.0/16', 'short-circuit pod', 'timeout 10s', '@affinity-', 'firewall-', ' , 198.51.100.', ': drop', 'goto reject-chain', 'local-',
  '0x80000000',
]; // prettier-ignore

interface RandomWorld {
  readonly node: NodeSpec;
  readonly options: EngineOptions;
  readonly steps: readonly ControlStep[];
}

/** Times are whole eighths of a second, which the program's seconds hold exactly. */
function randomWorld(seed: number): RandomWorld {
  const { node, options, steps } = generateProgram({ mode: 'nftables', seed, packets: PACKETS, world: 'whole' });
  const gaps = new Rng(seed).stream('gaps');
  let at = 0;
  const syncs: ControlStep[] = [];
  for (const step of steps.filter(isControl)) {
    syncs.push({ ...step, at });
    at += gaps.below(12) * 125e6;
  }
  return { node, options: { ...options, evaluator: 'literal' }, steps: syncs };
}

class Pair {
  readonly #world: RandomWorld;
  readonly #oracle;
  readonly #programmer: NftablesProgrammer;
  readonly #services = new KnownServices();
  readonly written = { cleanups: 0, silent: 0, partial: 0 };

  constructor(world: RandomWorld, seed: number) {
    const { node, options } = world;
    this.#world = world;
    this.#oracle = referenceNftables({ node, options, rng: new Rng(seed) });
    this.#programmer = new NftablesProgrammer(proxyConfig(node, options));
  }

  /** One sync on both; gives the table's text. */
  step(step: ControlStep, where: string): string {
    const services = this.#services;
    const changes = step.kind === 'sync' ? { upserted: [], removedIds: [] } : step.delta;
    const ids = [...changes.removedIds, ...changes.upserted.map(({ id }) => id)];
    const touched = ids.map((id) => services.byId.get(id));
    services.take(step);
    touched.push(...ids.map((id) => services.byId.get(id)));
    const names = touched.filter((svc) => svc !== undefined).map((svc) => `${svc.namespace}/${svc.name}`);
    const report = control(this.#oracle, step);
    const program = this.#programmer.sync(configsOf(services.inOrder(), this.#world.node), {
      full: step.kind === 'sync',
      changed: new Set(names),
      nowSeconds: step.at / 1e9,
    });
    const text = program.dumpText();
    expect(this.#oracle.dump('restore'), where).toBe(text);
    expect(this.#oracle.dump('kernel'), where).toBe(program.kernelText());
    const lines = text.split('\n');
    const rules = lines.filter((line) => line.startsWith('add rule')).length;
    const elements = lines.filter((line) => line.startsWith('add element') && !line.includes(' nodeport-ips {')).length;
    expect(report, where).toMatchObject({
      kind: step.kind === 'sync' ? 'full' : 'partial',
      servicePorts: services.byId.size,
      changedServicePorts: step.kind === 'sync' ? services.byId.size : step.delta.upserted.length,
      tableRules: rules,
      rules: rules + elements,
      transactions: Math.sign(program.operations) + Math.sign(program.cleanup.length),
      transactionOperations: program.operations + program.cleanup.length,
    });
    if (program.cleanup.length > 0) this.written.cleanups++;
    if (program.operations === 0) this.written.silent++;
    if (step.kind === 'apply') this.written.partial++;
    return text;
  }
}

describe('oracle and program of nftables mode', () => {
  it('leave the same table after full syncs and after changes, and count the same operations', () => {
    const unwritten = new Set(MUST_WRITE);
    const total = { cleanups: 0, silent: 0, partial: 0 };
    for (let seed = 1; seed <= WORLDS; seed++) {
      const world = randomWorld(seed);
      const pair = new Pair(world, seed);
      world.steps.forEach((step, i) => {
        const text = pair.step(step, `seed ${seed}, sync ${i}`);
        for (const words of unwritten) if (text.includes(words)) unwritten.delete(words);
      });
      total.cleanups += pair.written.cleanups;
      total.silent += pair.written.silent;
      total.partial += pair.written.partial;
    }
    expect([...unwritten]).toEqual([]);
    expect(total.partial).toBeGreaterThan(1000);
    expect(total.cleanups).toBeGreaterThan(300);
    expect(total.silent).toBeGreaterThan(10);
  });
});
