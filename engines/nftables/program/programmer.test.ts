/** What lives from sync to sync: differences, stale chains, adoption at start-up. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServicePortConfig } from '../../../model/service-config.ts';
import { parseRule } from './parse-rule.ts';
import type { NftablesProgram } from './program.ts';
import { NftablesProgrammer } from './programmer.ts';
import { NftTable } from './table.ts';
import { readTable, tableText } from './table-text.ts';
import { TEST_CONFIG, testEndpoint, testServicePort } from './test-objects.ts';

const CLUSTER = 'service-ULMVA6XW-ns1/svc1/tcp/p80';
const LOCAL = 'local-ULMVA6XW-ns1/svc1/tcp/p80';
const HERE = 'endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80';
const ONE = [testEndpoint('10.180.0.1', 80, { isLocal: true })];

/** A programmer whose syncs name every Service as changed, a clock beside it. */
class Life {
  readonly programmer: NftablesProgrammer;
  nowSeconds = 0;

  constructor(kernelBefore?: string) {
    this.programmer = new NftablesProgrammer(TEST_CONFIG, kernelBefore);
  }

  sync(
    services: readonly ServicePortConfig[],
    change: { changed?: readonly string[]; full?: boolean } = {},
  ): NftablesProgram {
    const changed = new Set(change.changed ?? services.map((svc) => `${svc.namespace}/${svc.name}`));
    return this.programmer.sync(services, { full: change.full ?? false, changed, nowSeconds: this.nowSeconds });
  }
}

const svc1 = testServicePort({ endpoints: ONE });
const svc2 = testServicePort({ name: 'svc2', clusterIp: '172.30.0.42', endpoints: [testEndpoint('10.180.0.2', 80)] });

describe('incremental syncs', () => {
  it('write nothing when nothing changed, and everything again when full', () => {
    const life = new Life();
    const first = life.sync([svc1, svc2]).operations;
    expect(life.sync([svc1, svc2], { changed: [] }).transaction).toEqual([]);
    const again = life.sync([svc1, svc2], { changed: [], full: true });
    // Base chains are made anew at the first sync only (8 x 2); elements, 2 a service, are there already.
    expect(again.operations).toBe(first - 16 - 4);
  });

  it('replace a changed verdict by delete and add', () => {
    const life = new Life();
    life.sync([svc1]);
    expect(life.sync([{ ...svc1, internalPolicyLocal: true }]).transaction).toEqual([
      `add chain ip kube-proxy ${HERE}`,
      `flush chain ip kube-proxy ${HERE}`,
      `add chain ip kube-proxy ${LOCAL}`,
      `flush chain ip kube-proxy ${LOCAL}`,
      'delete element ip kube-proxy service-ips { 172.30.0.41 . tcp . 80 }',
      `add element ip kube-proxy service-ips { 172.30.0.41 . tcp . 80 : goto ${LOCAL} }`,
      `add rule ip kube-proxy ${LOCAL} ip daddr 172.30.0.41 ip saddr != 10.0.0.0/8 jump mark-for-masquerade`,
      `add rule ip kube-proxy ${LOCAL} numgen random mod 1 vmap { 0 : goto ${HERE} }`,
      `add rule ip kube-proxy ${HERE} ip saddr 10.180.0.1 jump mark-for-masquerade`,
      `add rule ip kube-proxy ${HERE} meta l4proto tcp dnat to 10.180.0.1:80`,
      `flush chain ip kube-proxy ${CLUSTER}`,
    ]);
  });

  it('leave the chains of unchanged services alone', () => {
    const life = new Life();
    life.sync([svc1]);
    const { transaction } = life.sync([svc1, svc2], { changed: ['ns1/svc2'] });
    expect(transaction).toHaveLength(10);
    expect(transaction.some((line) => line.includes('svc1'))).toBe(false);
  });

  it('drop affinity sets at once and change a timeout in place', () => {
    const life = new Life();
    const sets = (program: NftablesProgram): string[] =>
      program.dumpText().match(/^add set ip kube-proxy affinity.*$/gm) ?? [];
    expect(sets(life.sync([{ ...svc1, affinitySeconds: 60 }]))[0]).toContain('timeout 60s');
    expect(sets(life.sync([{ ...svc1, affinitySeconds: 90 }]))[0]).toContain('timeout 90s');
    const without = life.sync([svc1]);
    expect(sets(without)).toEqual([]);
    expect(without.transaction.at(-1)).toBe(
      'delete set ip kube-proxy affinity-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80',
    );
  });
});

describe('stale chains', () => {
  const staleSync = (): Life => {
    const life = new Life();
    life.sync([svc1, svc2]);
    life.sync([svc1], { changed: ['ns1/svc2'] });
    return life;
  };

  it('are emptied at once and deleted a second later, in a transaction before the main one', () => {
    const life = staleSync();
    life.nowSeconds = 1;
    const later = life.sync([svc1], { changed: [] });
    expect(later.operations).toBe(0);
    expect(later.cleanup).toHaveLength(2);
    for (const line of later.cleanup) expect(line).toMatch(/^delete chain ip kube-proxy (service|endpoint)-.*svc2/);
    expect(later.dumpText()).not.toContain('svc2');
  });

  it('wait anew when a sync finds them too early', () => {
    const life = staleSync();
    life.nowSeconds = 0.5;
    const early = life.sync([svc1], { changed: [] });
    expect(early.cleanup).toEqual([]);
    expect(early.operations).toBe(2);
    life.nowSeconds = 1.25;
    expect(life.sync([svc1], { changed: [] }).cleanup).toEqual([]);
    life.nowSeconds = 2.25;
    expect(life.sync([svc1], { changed: [] }).cleanup).toHaveLength(2);
  });

  it('live again when their service comes back in time', () => {
    const life = staleSync();
    const back = life.sync([svc1, svc2], { changed: ['ns1/svc2'] });
    expect(back.operations).toBe(10);
    life.nowSeconds = 5;
    expect(life.sync([svc1, svc2], { changed: [] }).cleanup).toEqual([]);
    expect(life.sync([svc1, svc2]).dumpText()).toBe(new Life().sync([svc1, svc2]).dumpText());
  });
});

describe('start-up over an existing table', () => {
  const setup = new Life().sync([]).operations;

  it('writes service chains again, but neither elements nor endpoint chains', () => {
    const before = new Life().sync([svc1]).dumpText();
    const program = new Life(before).sync([svc1]);
    expect(program.operations).toBe(setup + 4);
    expect(program.dumpText()).toBe(before);
  });

  it('writes an endpoint chain whose affinity is another now', () => {
    const before = new Life().sync([{ ...svc1, affinitySeconds: 60 }]).dumpText();
    const program = new Life(before).sync([svc1]);
    expect(program.dumpText()).toBe(new Life().sync([svc1]).dumpText());
  });

  it('writes an endpoint chain that was left empty', () => {
    const life = new Life();
    life.sync([svc1, svc2]);
    const before = life.sync([svc1], { changed: ['ns1/svc2'] }).dumpText();
    const program = new Life(before).sync([svc1, svc2]);
    expect(program.dumpText()).toBe(new Life().sync([svc1, svc2]).dumpText());
  });

  it('clears away what it does not know, and keeps base chains of its own version', () => {
    const before = new Life()
      .sync([svc1, svc2])
      .dumpText()
      .replace('hook forward priority 0', 'hook forward priority -110');
    const life = new Life(before);
    const program = life.sync([svc2]);
    expect(program.dumpText()).toContain('filter-forward { type filter hook forward priority 0 ; }');
    expect(program.transaction).toContain('delete element ip kube-proxy cluster-ips { 172.30.0.41 }');
    life.nowSeconds = 2;
    expect(life.sync([svc2], { changed: [] }).dumpText()).toBe(new Life().sync([svc2]).dumpText());
  });
});

const randomEndpoint = fc
  .record({
    last: fc.integer({ min: 1, max: 4 }),
    isLocal: fc.boolean(),
    ready: fc.boolean(),
    terminating: fc.boolean(),
  })
  .map(({ last, ...state }) => testEndpoint(`10.180.0.${last}`, 80, state));

const randomService = (index: number): fc.Arbitrary<ServicePortConfig> =>
  fc
    .record({
      nodePort: fc.constantFrom(0, 30000 + index),
      externalIps: fc.constantFrom([], [`192.168.99.${index}`]),
      loadBalancerVips: fc.constantFrom([], [`1.2.3.${index}`]),
      loadBalancerSourceRanges: fc.constantFrom([], ['203.0.113.0/25'], ['192.168.0.0/16', '203.0.113.0/25']),
      externalPolicyLocal: fc.boolean(),
      internalPolicyLocal: fc.boolean(),
      affinitySeconds: fc.constantFrom(0, 60),
      endpoints: fc.uniqueArray(randomEndpoint, { selector: ({ address }) => address, maxLength: 4 }),
    })
    .map((more) => testServicePort({ name: `svc${index}`, clusterIp: `172.30.0.${index}`, ...more }));

const randomCluster = fc
  .tuple(...[1, 2, 3].map((index) => fc.option(randomService(index), { nil: undefined })))
  .map((services) => services.filter((svc) => svc !== undefined));

describe('properties', () => {
  it('steps lead where a fresh start leads, once stale chains have gone', () => {
    fc.assert(
      fc.property(fc.array(randomCluster, { minLength: 2, maxLength: 5 }), (clusters) => {
        const life = new Life();
        let previous: readonly ServicePortConfig[] = [];
        for (const cluster of clusters) {
          const touched = [...previous, ...cluster].map((svc) => `${svc.namespace}/${svc.name}`);
          life.sync(cluster, { changed: touched });
          life.nowSeconds += 0.6;
          previous = cluster;
        }
        life.nowSeconds += 1;
        const end = life.sync(previous, { changed: [] });
        expect(end.dumpText()).toBe(new Life().sync(previous).dumpText());
      }),
      { seed: 20, numRuns: 150 },
    );
  });

  it('a restart over any state leads there as well, and a dump reads back as itself', () => {
    fc.assert(
      fc.property(randomCluster, randomCluster, (before, after) => {
        const life = new Life();
        life.sync(before);
        const dump = life
          .sync(after, { changed: before.map((svc) => `${svc.namespace}/${svc.name}`), full: true })
          .dumpText();
        const read = new NftTable();
        readTable('IPv4', dump, read);
        expect(tableText('IPv4', read)).toBe(dump);
        const restarted = new Life(dump);
        restarted.sync(after);
        restarted.nowSeconds = 2;
        expect(restarted.sync(after, { changed: [] }).dumpText()).toBe(new Life().sync(after).dumpText());
      }),
      { seed: 21, numRuns: 150 },
    );
  });

  it('rules read from their text are the rules that were written', () => {
    fc.assert(
      fc.property(randomCluster, (cluster) => {
        for (const { rules } of new Life().sync(cluster).table.chains.values()) {
          for (const rule of rules) expect(parseRule(rule.text)).toEqual(rule);
        }
      }),
      { seed: 22, numRuns: 50 },
    );
  });

  it('an unrelated service changes no flow', () => {
    const flows = ['172.30.0.1', '192.168.99.1', '1.2.3.1', '192.168.0.2'].flatMap((destIp) =>
      ['10.0.0.9', '192.168.0.2', '203.0.113.200'].map((sourceIp) => ({
        sourceIp,
        protocol: 'tcp',
        destIp,
        destPort: destIp === '192.168.0.2' ? 30001 : 80,
        localIps: TEST_CONFIG.interfaceAddresses,
      })),
    );
    fc.assert(
      fc.property(randomService(1), randomService(2), (svc, other) => {
        const alone = new Life().sync([svc]);
        const beside = new Life().sync([svc, other]);
        for (const flow of flows) {
          const { output, masq } = alone.trace(flow);
          expect(beside.trace(flow)).toMatchObject({ output, masq });
        }
      }),
      { seed: 23, numRuns: 100 },
    );
  });
});
