/** Every golden case of nftables mode, where the shared material is present. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { hash8 } from './names.ts';
import { NftablesProgrammer } from './programmer.ts';
import type { GoldenObject, GoldenProxy } from './test-objects.ts';
import { goldenConfig, goldenServicePorts } from './test-objects.ts';

const goldens = join(process.env['CHAINWALK_SHARED'] ?? '../shared', 'goldens', 'nftables');
const present = existsSync(goldens);

interface GoldenStep {
  readonly step: number;
  readonly ageStaleChainsSeconds: number;
  readonly apply: readonly GoldenObject[];
  readonly delete: readonly { readonly kind: string; readonly namespace: string; readonly name: string }[];
  readonly expected: string;
  readonly lastTransactionOperations: number | null;
}

interface GoldenInput {
  readonly proxy: GoldenProxy;
  readonly objects?: readonly GoldenObject[];
  readonly steps?: readonly GoldenStep[];
  readonly kernelBefore?: string;
}

interface GoldenFlow {
  readonly name: string;
  readonly sourceIP: string;
  readonly protocol: string;
  readonly destIP: string;
  readonly destPort: number;
  readonly output: string;
  readonly masq: boolean;
}

function read(name: string, file: string): string {
  return readFileSync(join(goldens, name, file), 'utf8');
}

function input(name: string): GoldenInput {
  return parse(read(name, 'input.yaml')) as GoldenInput;
}

/** Lines but for rules as a sorted list, rules by chain in their order. */
function canonical(text: string): { lines: string[]; rules: Record<string, string[]> } {
  const lines: string[] = [];
  const rules: Record<string, string[]> = {};
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const chain = /^add rule ip6? kube-proxy (\S+)/.exec(line)?.[1];
    if (chain === undefined) lines.push(line);
    else (rules[chain] ??= []).push(line);
  }
  return { lines: lines.sort((a, b) => (a < b ? -1 : 1)), rules };
}

const SYNC_ALL = { full: true, changed: new Set<string>(), nowSeconds: 0 };
const names = present ? readdirSync(goldens) : [];
const withFile = (file: string): string[] => names.filter((name) => existsSync(join(goldens, name, file)));
const note = present ? '' : ' (skipped: not present in shared material)';

describe.skipIf(!present)(`upstream goldens${note}`, () => {
  it('has the cases it is written for', () => {
    expect(names.length).toBeGreaterThanOrEqual(12);
    expect(withFile('cases.json').length).toBeGreaterThanOrEqual(8);
  });

  it('chain-name-hashes', () => {
    const { cases } = JSON.parse(read('chain-name-hashes', 'expected.json')) as {
      cases: { name: string; hash8: string }[];
    };
    expect(cases.length).toBeGreaterThan(10);
    for (const row of cases) expect(hash8(row.name)).toBe(row.hash8);
  });

  it.each(withFile('expected.txt'))('%s: dump', (name) => {
    const { proxy, objects, kernelBefore } = input(name);
    const before = kernelBefore === undefined ? undefined : read(name, kernelBefore);
    const programmer = new NftablesProgrammer(goldenConfig(proxy), before);
    const program = programmer.sync(goldenServicePorts(objects ?? [], proxy), SYNC_ALL);
    expect(canonical(program.dumpText())).toEqual(canonical(read(name, 'expected.txt')));
  });

  it('startup-adopts-existing-table: writes only what is not in the kernel', () => {
    const { proxy, objects } = input('startup-adopts-existing-table');
    const config = goldenConfig(proxy);
    const setup = new NftablesProgrammer(config).sync([], SYNC_ALL).operations;
    const before = read('startup-adopts-existing-table', 'kernel-before.txt');
    const program = new NftablesProgrammer(config, before).sync(goldenServicePorts(objects ?? [], proxy), SYNC_ALL);
    expect(program.operations).toBe(setup + 14);
    expect(program.transaction).toHaveLength(setup + 14);
  });

  it('repeated-syncs-incremental', () => {
    const { proxy, steps = [] } = input('repeated-syncs-incremental');
    const programmer = new NftablesProgrammer(goldenConfig(proxy));
    const objects = new Map<string, GoldenObject>();
    let nowSeconds = 0;
    expect(steps).toHaveLength(11);
    for (const step of steps) {
      nowSeconds += step.ageStaleChainsSeconds;
      const changed = new Set<string>();
      for (const object of step.apply) {
        const { namespace, name, labels } = object.metadata;
        objects.set(`${object.kind} ${namespace}/${name}`, object);
        changed.add(`${namespace}/${labels?.['kubernetes.io/service-name'] ?? name}`);
      }
      for (const { kind, namespace, name } of step.delete) {
        objects.delete(`${kind} ${namespace}/${name}`);
        changed.add(`${namespace}/${name}`);
      }
      const services = goldenServicePorts([...objects.values()], proxy);
      const program = programmer.sync(services, { full: false, changed, nowSeconds });
      expect(canonical(program.dumpText()), `step ${step.step}`).toEqual(
        canonical(read('repeated-syncs-incremental', step.expected)),
      );
      if (step.lastTransactionOperations !== null) {
        expect(program.operations, `step ${step.step}`).toBe(step.lastTransactionOperations);
      }
    }
  });

  it.each(withFile('cases.json'))('%s: flows', (name) => {
    const { proxy, objects } = input(name);
    const { localIPs, flows } = JSON.parse(read(name, 'cases.json')) as { localIPs: string[]; flows: GoldenFlow[] };
    const program = new NftablesProgrammer(goldenConfig(proxy)).sync(
      goldenServicePorts(objects ?? [], proxy),
      SYNC_ALL,
    );
    expect(flows.length).toBeGreaterThan(0);
    for (const flow of flows) {
      const { output, masq } = program.trace({
        sourceIp: flow.sourceIP,
        protocol: flow.protocol,
        destIp: flow.destIP,
        destPort: flow.destPort,
        localIps: localIPs,
      });
      expect({ flow: flow.name, output, masq }).toEqual({ flow: flow.name, output: flow.output, masq: flow.masq });
    }
  });
});
