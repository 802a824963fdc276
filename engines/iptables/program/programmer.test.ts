import { describe, expect, it } from 'vitest';
import type { ServicePortConfig } from '../../../model/service-config.ts';
import { Rng } from '../../../sim/rng.ts';
import { IptablesProgrammer } from './programmer.ts';
import type { IptablesProgram } from './program.ts';
import {
  chainRules,
  chainsOf,
  firstSync,
  local,
  randomServicePort,
  remote,
  servicePort,
  testConfig,
} from './test-services.ts';

const a = servicePort({ name: 'a', clusterIp: '172.30.0.1', endpoints: [remote('10.1.0.1')] });
const b = servicePort({ name: 'b', clusterIp: '172.30.0.2', endpoints: [remote('10.2.0.1')] });

function partial(changed: readonly string[], nowSeconds = 0) {
  return { full: false, changed: new Set(changed), nowSeconds };
}

function restoredChains(program: IptablesProgram): string[] {
  return [...program.restoreText().matchAll(/^:(KUBE-(?:SVC|SVL|EXT|FW|SEP)-\S+)/gm)].map((match) => match[1]);
}

describe('a partial sync', () => {
  it('writes the chains of changed Services only, and all of KUBE-SERVICES', () => {
    const programmer = new IptablesProgrammer(testConfig());
    programmer.sync([a, b], partial([]));
    const more = { ...b, endpoints: [remote('10.2.0.1'), remote('10.2.0.2')] };
    const program = programmer.sync([a, more], partial(['ns/b']));
    expect(program.full).toBe(false);
    expect(restoredChains(program).sort((x, y) => (x < y ? -1 : 1))).toEqual(restoredChains(firstSync([more])));
    expect(chainRules(program, 'nat/KUBE-SERVICES')?.length).toBe(3);
    expect(program.counts.natRules).toBe(5 + 2 + 3 + 2 + 6);
    expect(program.writtenCounts.natRules).toBe(7 + 1 + 2 + 4);
    expect(program.kernelText()).toBe(firstSync([a, more]).kernelText());
  });

  it('comes to nothing but the fixed chains when nothing changed', () => {
    const programmer = new IptablesProgrammer(testConfig());
    programmer.sync([a], partial([]));
    const program = programmer.sync([a], partial([]));
    expect(restoredChains(program)).toEqual([]);
    expect(program.rewrittenChains.length).toBe(10);
  });

  it('deletes the chains that nobody needs any more', () => {
    const programmer = new IptablesProgrammer(testConfig());
    const first = programmer.sync([a, b], partial([]));
    const gone = [...chainsOf(first, 'KUBE-SEP'), ...chainsOf(first, 'KUBE-SVC')].filter((chain) =>
      chainRules(first, `nat/${chain}`)?.some((text) => text.includes('ns/b')),
    );
    const program = programmer.sync([a], partial(['ns/b']));
    expect(program.deletedChains).toEqual(gone);
    expect(program.restoreText().split('\n').slice(-4, -2)).toEqual(gone.map((chain) => `-X ${chain}`));
    expect(restoredChains(program)).toEqual(gone);
    expect(program.kernelText()).toBe(firstSync([a]).kernelText());
  });

  it('is refused when it meets a Service that it does not know', () => {
    const programmer = new IptablesProgrammer(testConfig());
    programmer.sync([a], partial([]));
    expect(() => programmer.sync([a, b], partial([]))).toThrow('ns/b:http/tcp is new in a partial sync');
    expect(() => new IptablesProgrammer(testConfig()).sync([a, a], partial([]))).toThrow('given twice');
  });

  it('leaves earlier programs as they were', () => {
    const programmer = new IptablesProgrammer(testConfig());
    const before = programmer.sync([a, b], partial([]));
    const text = before.kernelText();
    programmer.sync([b], partial(['ns/a']));
    expect(before.kernelText()).toBe(text);
  });
});

describe('a large cluster', () => {
  const many = (count: number): ServicePortConfig =>
    servicePort({
      name: 'many',
      clusterIp: '172.30.0.9',
      affinitySeconds: 60,
      nodePort: 30001,
      endpoints: Array.from({ length: count }, (_, i) => remote(`10.3.0.${i + 1}`, { ready: i === 0 })),
    });

  it('begins above the threshold, unusable endpoints counted', () => {
    const commented = (count: number): boolean =>
      firstSync([many(count)], { largeClusterEndpoints: 10 })
        .kernelText()
        .includes('many:http -> ');
    expect([commented(10), commented(11)]).toEqual([true, false]);
  });

  it('drops comments on rules of endpoints, and no others', () => {
    const program = firstSync([many(11)], { largeClusterEndpoints: 10 });
    const [ext] = chainsOf(program, 'KUBE-EXT');
    const [svc] = chainsOf(program, 'KUBE-SVC');
    const [sep] = chainsOf(program, 'KUBE-SEP');
    expect(chainRules(program, `nat/${ext}`)?.[0]).toContain('--comment "masquerade traffic for');
    expect(chainRules(program, `nat/${svc}`)?.[0]).toContain('--comment "ns/many:http cluster IP"');
    expect(chainRules(program, `nat/${svc}`)?.slice(1)).toEqual([
      `-m recent --name ${sep} --rcheck --seconds 60 --reap -j ${sep}`,
      `-j ${sep}`,
    ]);
    expect(chainRules(program, `nat/${sep}`)).toEqual([
      '-s 10.3.0.1 -j KUBE-MARK-MASQ',
      `-m recent --name ${sep} --set -m tcp -p tcp -j DNAT --to-destination 10.3.0.1:8080`,
    ]);
  });

  it('keeps stale chains for up to a sync period', () => {
    const programmer = new IptablesProgrammer(testConfig({ largeClusterEndpoints: 10 }));
    programmer.sync([a, many(20)], partial([], 100));
    const soon = programmer.sync([many(20)], partial(['ns/a'], 130));
    expect([soon.deletedChains.length, soon.staleChains.length]).toEqual([0, 2]);
    expect(soon.kernelText()).toContain('ns/a:http cluster IP" -m tcp -p tcp -d 172.30.0.1 --dport 80 ! -s');
    expect(soon.counts).toEqual(firstSync([many(20)], { largeClusterEndpoints: 10 }).counts);
    const later = programmer.sync([many(20)], partial([], 131));
    expect([later.deletedChains.length, later.staleChains.length]).toEqual([2, 0]);
    expect(programmer.lastChainCleanupSeconds).toBe(131);
  });

  it('takes a stale chain back into use', () => {
    const programmer = new IptablesProgrammer(testConfig({ largeClusterEndpoints: 10 }));
    programmer.sync([a, many(20)], partial([], 0));
    programmer.sync([many(20)], partial(['ns/a'], 1));
    const program = programmer.sync([a, many(20)], partial(['ns/a'], 2));
    expect(program.staleChains).toEqual([]);
    expect(program.kernelText()).toBe(firstSync([a, many(20)], { largeClusterEndpoints: 10 }).kernelText());
  });
});

describe('the canonical order', () => {
  it('goes by the name in the comment, and keeps the ports of a Service as given', () => {
    const named = (namespace: string, name: string, portName: string) => servicePort({ namespace, name, portName });
    const program = firstSync([
      named('a', 'z', 'p2'),
      named('a', 'z', 'p1'),
      named('a-b', 'c', ''),
      named('a', 'b', ''),
    ]);
    const comments = chainRules(program, 'nat/KUBE-SERVICES')?.map((text) => text.split('"')[1].split(' ')[0]);
    expect(comments).toEqual(['a-b/c', 'a/b', 'a/z:p2', 'a/z:p1', 'kubernetes']);
  });
});

describe('counts', () => {
  it('follow the closed forms of the specification', () => {
    const n = 5;
    const l = 2;
    const endpoints = Array.from({ length: n }, (_, i) => (i < l ? local : remote)(`10.1.0.${i + 1}`));
    const natOf = (overrides: Partial<ServicePortConfig>): number =>
      firstSync([servicePort({ endpoints, ...overrides })]).counts.natRules;
    const plain = 5 + 2 + 3 * n;
    expect(natOf({})).toBe(plain);
    expect(firstSync([servicePort({ endpoints })]).counts.natChains).toBe(4 + 1 + n);
    expect(natOf({ affinitySeconds: 60 })).toBe(plain + n);
    expect(natOf({ nodePort: 30080 })).toBe(plain + 1 + 2);
    expect(natOf({ nodePort: 30080, externalPolicyLocal: true })).toBe(plain + 1 + 4 + l);
  });
});

describe('random clusters', () => {
  const random = new Rng(20).stream('program/programmer.test');

  it('are the same after partial syncs as after a fresh start, and every jump has its chain', () => {
    for (let run = 0; run < 40; run++) {
      const programmer = new IptablesProgrammer(testConfig());
      const services = new Map<number, ServicePortConfig>();
      for (let sync = 0; sync < 6; sync++) {
        const changed = new Set<string>();
        for (let change = 0; change < 3; change++) {
          const index = 1 + random.below(9);
          const old = services.get(index);
          changed.add(`ns${index % 3}/svc${index}`);
          if (old !== undefined && random.below(3) === 0) services.delete(index);
          else services.set(index, randomServicePort(index, random));
        }
        const given = [...services.values()];
        const program = programmer.sync(given, { full: random.below(5) === 0, changed, nowSeconds: sync });
        const fresh = firstSync(given);
        expect(program.kernelText()).toBe(fresh.kernelText());
        expect(program.counts).toEqual(fresh.counts);
        for (const [chain, rules] of program.rules) {
          for (const { target } of rules) {
            if (target.kind === 'jump') expect(program.rules.has(`${chain.split('/')[0]}/${target.chain}`)).toBe(true);
          }
        }
      }
    }
  });
});
