/** Upstream's own expectations for IPVS mode, where the shared folder is present: every case of it. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { InitialVirtualServer, Protocol, VirtualServerSpec } from './ipvs-table.ts';
import { FLAG_PERSISTENT } from './ipvs-table.ts';
import { IpvsProgrammer } from './programmer.ts';
import type { IpvsProgram } from './program.ts';
import type { GoldenObject, GoldenProxy } from './test-objects.ts';
import { changeAt, goldenConfig, goldenServices, TEST_CONFIG, testService } from './test-objects.ts';

const goldens = join(process.env.CHAINWALK_SHARED ?? '../shared', 'goldens', 'ipvs');
const present = existsSync(goldens);

interface GoldenServer {
  readonly name?: string;
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
  readonly scheduler: string;
  readonly flags?: string;
}

interface Expected {
  readonly complete?: boolean;
  readonly virtualServers?: readonly {
    readonly ip: string;
    readonly port: number;
    readonly protocol: string;
    readonly scheduler: string;
    readonly flags: number;
    readonly timeout: number;
    readonly realServers: readonly unknown[];
  }[];
  readonly virtualServerCount?: number;
  readonly realServers?: readonly string[];
  readonly realServersInOrder?: readonly string[];
  readonly ipsets?: Record<string, readonly string[]>;
  readonly iptablesChains?: Record<string, readonly { readonly jump: string; readonly matchSet: string }[]>;
  readonly note?: string;
  readonly step?: number;
  readonly 'kube-ipvs0 addresses'?: readonly string[];
  readonly 'KUBE-HEALTH-CHECK-NODE-PORT'?: readonly string[];
}

const CHECKED = new Set([
  'complete',
  'virtualServers',
  'virtualServerCount',
  'realServers',
  'realServersInOrder',
  'ipsets',
  'iptablesChains',
  'note',
  'step',
  'kube-ipvs0 addresses',
  'KUBE-HEALTH-CHECK-NODE-PORT',
]);

function read(name: string, file: string): string {
  return readFileSync(join(goldens, name, file), 'utf8');
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function check(program: IpvsProgram, expected: Expected): void {
  expect(Object.keys(expected).filter((key) => !CHECKED.has(key))).toEqual([]);
  const found = program.virtualServers.map((virtual) => ({
    ip: virtual.address,
    port: virtual.port,
    protocol: virtual.protocol.toUpperCase(),
    scheduler: virtual.scheduler,
    flags: virtual.flags,
    timeout: virtual.timeoutSeconds,
    realServers: virtual.realServers,
  }));
  for (const virtual of expected.virtualServers ?? []) expect(found).toContainEqual(virtual);
  if (expected.complete === true) expect(found).toHaveLength(expected.virtualServers?.length ?? 0);
  if (expected.virtualServerCount !== undefined) expect(found).toHaveLength(expected.virtualServerCount);
  const servers = program.virtualServers.flatMap(({ realServers }) => realServers.map((s) => `${s.address}:${s.port}`));
  if (expected.realServers !== undefined) expect(new Set(servers)).toEqual(new Set(expected.realServers));
  if (expected.realServersInOrder !== undefined) expect(servers).toEqual(expected.realServersInOrder);
  const health = expected['KUBE-HEALTH-CHECK-NODE-PORT'];
  const sets = { ...expected.ipsets, ...(health === undefined ? {} : { 'KUBE-HEALTH-CHECK-NODE-PORT': health }) };
  const known = new Map<string, { readonly entries: readonly string[] }>(program.ipsets);
  for (const [set, entries] of Object.entries(sets)) expect(known.get(set)?.entries).toEqual(entries);
  const bound = expected['kube-ipvs0 addresses'];
  if (bound !== undefined) expect(program.boundAddresses).toEqual(bound);
  checkChains(program, expected);
}

/** Upstream's test reads the chains of both tables together, without the rule for loopback sources. */
function checkChains(program: IpvsProgram, expected: Expected): void {
  for (const [chain, wanted] of Object.entries(expected.iptablesChains ?? {})) {
    const rules = [...(program.chains.get(`nat/${chain}`) ?? []), ...(program.chains.get(`filter/${chain}`) ?? [])];
    const found = rules
      .filter((rule) => !rule.includes(' -s 127.0.0.0/8 '))
      .map((rule) => ({ jump: /-j (\S+)/.exec(rule)?.[1], matchSet: /--match-set (\S+)/.exec(rule)?.[1] ?? '' }));
    expect(found).toEqual(wanted);
  }
}

function checkObjects(name: string): void {
  const input = parse(read(name, 'input.yaml')) as {
    readonly proxy: GoldenProxy;
    readonly objects?: readonly GoldenObject[];
    readonly steps?: readonly { readonly apply?: readonly GoldenObject[]; readonly delete?: readonly GoldenObject[] }[];
  };
  const expected = JSON.parse(read(name, 'expected.json')) as Expected & { readonly steps?: readonly Expected[] };
  const programmer = new IpvsProgrammer(goldenConfig(input.proxy));
  const known = new Map<string, GoldenObject>();
  const nameOf = (object: GoldenObject): string => {
    const { namespace, name: own } = object.metadata ?? object;
    return `${object.kind} ${namespace}/${own}`;
  };
  const steps = input.steps ?? [{ apply: input.objects ?? [] }];
  steps.forEach((step, at) => {
    for (const object of step.apply ?? []) known.set(nameOf(object), object);
    for (const object of step.delete ?? []) known.delete(nameOf(object));
    const program = programmer.sync(goldenServices([...known.values()], input.proxy), changeAt(at));
    check(program, expected.steps?.[at] ?? expected);
    if (existsSync(join(goldens, name, 'expected.txt'))) {
      const lines = (text: string): string[] => text.trim().split('\n').sort(byText);
      expect(lines(program.ipvsText())).toEqual(lines(read(name, 'expected.txt')));
    }
  });
}

function specOf(server: GoldenServer): VirtualServerSpec {
  const { address, port, scheduler } = server;
  const flags = server.flags === 'persistent' ? FLAG_PERSISTENT : 0;
  return { address, port, scheduler, flags, protocol: server.protocol.toLowerCase() as Protocol, timeoutSeconds: 0 };
}

const SPECIAL: Readonly<Record<string, () => void>> = {
  'clean-legacy-services': () => {
    const input = parse(read('clean-legacy-services', 'input.yaml')) as {
      readonly proxy: GoldenProxy;
      readonly activeServices: readonly string[];
      readonly currentServices: readonly GoldenServer[];
    };
    const expected = JSON.parse(read('clean-legacy-services', 'expected.json')) as {
      readonly remaining: readonly string[];
      readonly deleted: readonly string[];
    };
    const services = input.currentServices
      .filter(({ name }) => input.activeServices.includes(name ?? ''))
      .map(({ name = '', address, port }) =>
        testService({ name, clusterIp: address, port, protocol: 'udp', endpoints: [] }),
      );
    const programmer = new IpvsProgrammer(goldenConfig(input.proxy), {
      virtualServers: input.currentServices.map(specOf),
    });
    const program = programmer.sync(services, changeAt(0));
    const left = new Set(program.virtualServers.map(({ address }) => address));
    const isLeft = ({ address }: GoldenServer): boolean => left.has(address);
    const names = (servers: readonly GoldenServer[]): string[] => servers.map(({ name = '' }) => name);
    expect(names(input.currentServices.filter(isLeft))).toEqual(expected.remaining);
    expect(names(input.currentServices.filter((server) => !isLeft(server)))).toEqual(expected.deleted);
  },

  'sync-virtual-server': () => {
    const input = parse(read('sync-virtual-server', 'input.yaml')) as {
      readonly cases: readonly {
        readonly existing: GoldenServer | null;
        readonly desired: GoldenServer;
        readonly bindAddr: boolean;
        readonly alreadyBound: readonly string[];
      }[];
    };
    const expected = JSON.parse(read('sync-virtual-server', 'expected.json')) as {
      readonly cases: readonly { readonly virtualServers: readonly GoldenServer[]; readonly action: string }[];
    };
    const specs = (list: readonly VirtualServerSpec[]) => list.map((server) => ({ ...server, realServers: [] }));
    input.cases.forEach(({ existing, desired, bindAddr, alreadyBound }, at) => {
      const virtualServers = existing === null ? [] : [specOf(existing)];
      const programmer = new IpvsProgrammer(TEST_CONFIG, { virtualServers, boundAddresses: alreadyBound });
      expect(programmer.syncVirtualServer(specOf(desired), bindAddr)).toBe(expected.cases[at].action);
      expect(programmer.kernelState.virtualServers).toEqual(specs(expected.cases[at].virtualServers.map(specOf)));
      if (bindAddr) expect(programmer.kernelState.boundAddresses).toEqual([desired.address]);
    });
  },

  'graceful-delete': () => {
    const input = parse(read('graceful-delete', 'input.yaml')) as {
      readonly cases: readonly {
        readonly name: string;
        readonly virtualServer: string;
        readonly realServerInKernel: {
          readonly address: string;
          readonly port: number;
          readonly weight: number;
          readonly activeConn: number;
          readonly inactiveConn: number;
        };
        readonly request: { readonly address: string; readonly port: number };
      }[];
    };
    const expected = JSON.parse(read('graceful-delete', 'expected.json')) as {
      readonly cases: readonly { readonly result: string; readonly weightAfter: number | null }[];
    };
    input.cases.forEach(({ name, virtualServer, realServerInKernel: real, request }, at) => {
      const [, address, port, protocol] = /^(.*):(\d+)\/(\w+)$/.exec(virtualServer) ?? [];
      const virtual: InitialVirtualServer = {
        address,
        port: Number(port),
        protocol: protocol as Protocol,
        scheduler: 'rr',
        flags: 0,
        timeoutSeconds: 0,
        realServers: [{ ...real, inactConn: real.inactiveConn }],
      };
      const programmer = new IpvsProgrammer(TEST_CONFIG, { virtualServers: [virtual] });
      programmer.gracefulDelete(virtual, request);
      const left = programmer.kernelState.virtualServers[0].realServers?.[0];
      const result = left === undefined ? 'deleted' : 'kept';
      expect({ name, result, weightAfter: left?.weight ?? null }).toEqual(expected.cases[at]);
    });
  },
};

describe('upstream goldens of IPVS mode', () => {
  if (!present) {
    it('of the shared folder', (context) => context.skip('skipped: not present (shared/goldens)'));
    return;
  }
  it.each(readdirSync(goldens).sort(byText))('%s', (name) => {
    const special = SPECIAL[name] as (() => void) | undefined;
    if (special === undefined) checkObjects(name);
    else special();
  });
});
