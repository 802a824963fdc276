/** The typed sync against the rule compiler: over random lives an engine reports what the program sends, and dumps what it leaves. */
import { describe, expect, it } from 'vitest';
import type { ClusterDelta, ServicePort } from '../../model/cluster.ts';
import type { SimTime } from '../../model/time.ts';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import { generateProgram } from '../conformance/generate.ts';
import type { Program } from '../conformance/program.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { proxyConfig, servicePortConfig } from '../proxy/configs.ts';
import { createNftablesEngine } from './engine.ts';
import { NftablesProgrammer } from './program/programmer.ts';
import { TRACKED_CONTAINERS } from './program/setup.ts';
import type { NftablesProgram } from './program/program.ts';

const LIVES = 150;

/** An engine and the program of one node, told the same. */
class Pair {
  readonly engine: Engine;
  readonly #node: Program['node'];
  readonly #programmer: NftablesProgrammer;
  readonly #known = new Map<number, ServicePort>();
  readonly seen = new Set<string>();

  constructor({ node, options: drawn, seed }: Pick<Program, 'node' | 'options' | 'seed'>) {
    const options: EngineOptions = { ...drawn, evaluator: 'indexed' };
    this.#node = node;
    this.engine = createNftablesEngine({ node, options, rng: new Rng(seed) });
    this.#programmer = new NftablesProgrammer(proxyConfig(node, options));
  }

  sync(servicePorts: readonly ServicePort[], at: SimTime, what: string): void {
    this.#known.clear();
    for (const svc of servicePorts) this.#known.set(svc.id, svc);
    const report = this.engine.sync({ servicePorts }, at);
    expect(report.kind).toBe('full');
    this.#compare(report, this.#program(true, new Set(), at), what);
  }

  apply(delta: ClusterDelta, at: SimTime, what: string): void {
    const changed = new Set<string>();
    const note = (svc: ServicePort | undefined): void => {
      if (svc !== undefined) changed.add(`${svc.namespace}/${svc.name}`);
    };
    for (const id of delta.removedIds) {
      note(this.#known.get(id));
      this.#known.delete(id);
    }
    for (const svc of delta.upserted) {
      note(this.#known.get(svc.id));
      note(svc);
      this.#known.set(svc.id, svc);
    }
    const report = this.engine.apply(delta, at);
    expect(report.kind).toBe('partial');
    this.#compare(report, this.#program(false, changed, at), what);
  }

  #program(full: boolean, changed: ReadonlySet<string>, at: SimTime): NftablesProgram {
    const services = [...this.#known.values()].sort((a, b) => a.id - b.id);
    const configs = services.map((svc) => servicePortConfig(svc, this.#node));
    return this.#programmer.sync(configs, { full, changed, nowSeconds: at / NS_PER_S });
  }

  #compare(report: ReturnType<Engine['sync']>, program: NftablesProgram, what: string): void {
    const { table, cleanup, operations } = program;
    let tableRules = 0;
    for (const { rules } of table.chains.values()) tableRules += rules.length;
    let elements = 0;
    for (const name of TRACKED_CONTAINERS) elements += table.container(name).elements.size;
    expect(report, what).toMatchObject({
      servicePorts: this.#known.size,
      rules: tableRules + elements,
      tableRules,
      transactions: (cleanup.length > 0 ? 1 : 0) + (operations > 0 ? 1 : 0),
      transactionOperations: cleanup.length + operations,
    });
    expect(this.engine.dump('restore'), what).toBe(program.dumpText());
    expect(this.engine.dump('kernel'), what).toBe(program.kernelText());
    this.#mark(program);
  }

  /** What the lives must have met. */
  #mark({ transaction, cleanup, operations }: NftablesProgram): void {
    if (cleanup.length > 0) this.seen.add('stale chains deleted');
    if (operations === 0) this.seen.add('nothing sent');
    for (const line of transaction) {
      if (line.startsWith('delete set') && line.includes('affinity-')) this.seen.add('affinity set deleted');
      if (line.startsWith('delete element')) this.seen.add('element deleted');
    }
  }
}

/** Whole quarters of a second: then seconds and nanoseconds agree on what is a second old. */
function quarters(at: SimTime): SimTime {
  return Math.ceil(at / (NS_PER_S / 4)) * (NS_PER_S / 4);
}

describe('sync of the nftables engine', () => {
  for (const world of ['plain', 'whole'] as const) {
    it(`sends and leaves what the program does, ${world} worlds`, () => {
      const seen = new Set<string>();
      let applies = 0;
      for (let seed = 1; seed <= LIVES; seed++) {
        const program = generateProgram({ mode: 'nftables', seed, packets: 600, world });
        const pair = new Pair(program);
        for (const [i, step] of program.steps.entries()) {
          const what = `seed ${seed}, step ${i}`;
          if (step.kind === 'sync') pair.sync(step.state.servicePorts, quarters(step.at), what);
          else if (step.kind === 'apply') {
            applies++;
            pair.apply(step.delta, quarters(step.at), what);
          }
        }
        for (const mark of pair.seen) seen.add(mark);
      }
      expect(applies).toBeGreaterThan(1000);
      const rare = ['stale chains deleted', 'nothing sent', 'element deleted'];
      expect([...seen].sort((a, b) => (a < b ? -1 : 1))).toEqual(
        expect.arrayContaining(world === 'whole' ? [...rare, 'affinity set deleted'] : rare),
      );
    });
  }

  const node = { name: 'node-a', addresses: [0xc0a80001] };
  const pairOf = (): Pair => new Pair({ node, options: DEFAULT_ENGINE_OPTIONS, seed: 1 });
  const svc = (id: number, name: string, more: Partial<ServicePort> = {}): ServicePort => ({
    id,
    namespace: 'ns',
    name,
    portName: '',
    protocol: 6,
    clusterIp: 0x0a600001 + id,
    port: 80,
    nodePort: 0,
    endpoints: [
      { address: 0x0af40101, port: 80, nodeName: 'node-b', ready: true, serving: true, terminating: false },
      { address: 0x0af40102, port: 80, nodeName: 'node-b', ready: true, serving: true, terminating: false },
    ],
    ...more,
  });
  const withAffinity = {
    extras: {
      externalIps: [0xcb007101],
      loadBalancerVips: [],
      loadBalancerSourceRanges: [],
      externalPolicyLocal: false,
      internalPolicyLocal: false,
      affinitySeconds: 60,
      healthCheckNodePort: 0,
    },
  };

  it('two Services that want one external IP write it at every sync, and the later one has it', () => {
    const pair = pairOf();
    const both = [svc(1, 'a', withAffinity), svc(2, 'b', withAffinity), svc(3, 'c', withAffinity)];
    pair.sync(both, 0, 'first');
    pair.apply({ upserted: [], removedIds: [] }, NS_PER_S, 'nothing changed');
    expect(pair.engine.apply({ upserted: [], removedIds: [] }, 2 * NS_PER_S).transactionOperations).toBeGreaterThan(0);
  });

  it('follows wishes for one element as they come and go', () => {
    const pair = pairOf();
    pair.sync([svc(1, 'a', withAffinity)], 0, 'one');
    pair.apply({ upserted: [svc(3, 'c', withAffinity)], removedIds: [] }, 1e9, 'a later one');
    pair.apply({ upserted: [svc(2, 'b', withAffinity)], removedIds: [] }, 2e9, 'one between');
    pair.apply({ upserted: [svc(3, 'c', { ...withAffinity, endpoints: [] })], removedIds: [] }, 3e9, 'one closes');
    pair.apply({ upserted: [svc(1, 'a', { ...withAffinity, endpoints: [] })], removedIds: [] }, 4e9, 'another closes');
    pair.apply({ upserted: [svc(2, 'b')], removedIds: [3] }, 5e9, 'the later ones go');
    pair.sync([], 6e9, 'all go');
  });

  it('takes over the names of service ports that leave or swap them', () => {
    const pair = pairOf();
    pair.sync([svc(1, 'a', withAffinity), svc(2, 'b')], 0, 'first');
    pair.apply({ upserted: [svc(7, 'a', withAffinity)], removedIds: [1] }, 1e9, 'another id');
    pair.apply({ upserted: [svc(7, 'b'), svc(2, 'a', withAffinity)], removedIds: [] }, 2e9, 'swapped');
    pair.apply({ upserted: [svc(7, 'd'), svc(2, 'e')], removedIds: [] }, 2.5e9, 'renamed');
    pair.sync([svc(9, 'a'), svc(8, 'd')], 2.75e9, 'full, stale chains used again');
  });

  it('keeps the comment of an element whose verdict stays although its service port goes', () => {
    const pair = pairOf();
    const closed = { endpoints: [], nodePort: 30_000, clusterIp: 0x0a600009 };
    pair.sync([svc(1, 'a', closed)], 0, 'first');
    pair.apply({ upserted: [svc(2, 'b', closed)], removedIds: [1] }, 1e9, 'moved');
    pair.apply({ upserted: [svc(2, 'b', closed)], removedIds: [] }, 2e9, 'unchanged');
    pair.apply({ upserted: [svc(3, 'c', closed)], removedIds: [2] }, 3e9, 'moved again');
    pair.apply({ upserted: [svc(3, 'c', { ...closed, nodePort: 0 })], removedIds: [] }, 4e9, 'node port gone');
    pair.apply({ upserted: [svc(3, 'c', closed)], removedIds: [] }, 5e9, 'node port back');
  });

  it('refuses two service ports of one name', () => {
    const { engine } = pairOf();
    expect(() => engine.sync({ servicePorts: [svc(1, 'a'), svc(2, 'a')] }, 0)).toThrow('ns/a/tcp/');
  });
});
