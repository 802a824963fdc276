import { describe, expect, it } from 'vitest';
import { NftablesProgrammer } from '../engines/nftables/program/programmer.ts';
import { kubeProxyBehaviour } from '../model/kube-proxy-versions.ts';
import type { IpFamily, ProxyConfig } from '../model/service-config.ts';
import { runInNamespace } from './namespace.ts';
import type { TableView } from './nft-listing.ts';
import { tableDifferences, viewOfDump, viewOfListing } from './nft-listing.ts';
import { laterCluster, syntheticCluster, syntheticConfig } from './synthetic-cluster.ts';
import { whatIsMissing } from './tools.ts';

const SERVICES = 1000;
const FAMILIES = ['IPv4', 'IPv6'] as const;
const TIMEOUT_SECONDS = 40;
const FULL = { full: true, changed: new Set<string>(), nowSeconds: 0 };

const SETTINGS: readonly Partial<ProxyConfig>[] = [
  { localDetector: { kind: 'none' } },
  { localDetector: { kind: 'bridge', name: 'cbr0' }, masqueradeMark: '0x80000000' },
  { localDetector: { kind: 'prefix', name: 'veth' }, serviceCidrs: [] },
  { masqueradeAll: true },
  { nodePortAddresses: ['192.168.0.0/16', '2001:db8::/64'] },
  { kubeProxy: kubeProxyBehaviour(31) },
];

const MISSING = whatIsMissing(['nftables']);

/** Loads the scripts one after the other into one namespace; gives the listing after each. */
async function loadInTurn(family: IpFamily, scripts: readonly string[]): Promise<string[]> {
  const table = `${family === 'IPv4' ? 'ip' : 'ip6'} kube-proxy`;
  const steps = scripts.map((_, i) => `nft -c -f ${i}.nft\nnft -f ${i}.nft\nnft -s list table ${table} > ${i}.list`);
  const outputs = scripts.map((_, i) => `${i}.list`);
  const files = Object.fromEntries(scripts.map((text, i) => [`${i}.nft`, text]));
  const result = await runInNamespace({ script: steps.join('\n'), files, outputs, timeoutSeconds: TIMEOUT_SECONDS });
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' });
  return outputs.map((name) => result.outputs.get(name) ?? '');
}

function objectCount({ containers, chains }: TableView): number {
  const elements = [...containers.values()].reduce((sum, { elements }) => sum + elements.length, 0);
  const rules = [...chains.values()].reduce((sum, { rules }) => sum + rules.length, 0);
  return 1 + containers.size + chains.size + elements + rules;
}

function expectSame(family: IpFamily, dump: string, listing: string): void {
  const found = viewOfListing(family, listing);
  expect(tableDifferences(viewOfDump(family, dump), found)).toEqual([]);
  // Counted in the text itself, so that a reader that skips lines is found out.
  expect(objectCount(found)).toBe(dump.trimEnd().split('\n').length);
}

function wrongDumps(dump: string): Record<string, string> {
  const swapped = /^(add rule ip kube-proxy (external-\S+) .*)\n(add rule ip kube-proxy \2 .*)$/m.exec(dump);
  if (swapped === null) throw new Error('no chain with two rules');
  return {
    'another port': dump.replace(/dnat to (\S+):8080/, 'dnat to $1:8081'),
    'another order': dump.replace(swapped[0], `${swapped[3]}\n${swapped[1]}`),
    'another mark': dump.replace('mark or 0x00004000', 'mark or 0x00008000'),
    'another kind of mark': dump.replace('mark or 0x00004000', 'mark xor 0x00004000'),
    'another mark in a match': dump.replace('mark and 0x00004000', 'mark and 0x00008000'),
    'another verdict': dump.replace(/(no-endpoint-services \{ .*) : goto reject-chain/, '$1 : drop'),
    'another element': dump.replace(/(element ip kube-proxy service-ips \{ \S+ \. tcp \. )80/, '$181'),
    'another block': dump.replace(/saddr != \{ 203.0.113.0\/25/, 'saddr != { 203.0.113.0/24'),
    'another comment': dump.replace('short-circuit', 'short'),
    'another endpoint': dump.replace(/vmap \{ 0 : goto (\S+) , 1 : goto (\S+) /, 'vmap { 0 : goto $2 , 1 : goto $1 '),
    'another priority': dump.replace('priority -110', 'priority -109'),
    'another timeout': dump.replace('timeout 10800s', 'timeout 10799s'),
    'a rule missing': dump.replace(/^add rule ip kube-proxy masquerading .*\n/m, ''),
    'an element missing': dump.replace(/^add element ip kube-proxy cluster-ips .*\n/m, ''),
    'a chain more': `${dump}add chain ip kube-proxy other\n`,
  };
}

describe('nftables dumps in a kernel', () => {
  it.for(FAMILIES)('are accepted for 1,000 services and come back object by object, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const program = new NftablesProgrammer(syntheticConfig(family)).sync(syntheticCluster(family, SERVICES), FULL);
    const [listing] = await loadInTurn(family, [program.kernelText()]);
    expectSame(family, program.dumpText(), listing);
    expect(objectCount(viewOfListing(family, listing))).toBeGreaterThan(10_000);
  });

  it('are told from dumps with one wrong line', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const program = new NftablesProgrammer(syntheticConfig('IPv4')).sync(syntheticCluster('IPv4', 60), FULL);
    const dump = program.dumpText();
    const [listing] = await loadInTurn('IPv4', [program.kernelText()]);
    expectSame('IPv4', dump, listing);
    const found = viewOfListing('IPv4', listing);
    for (const [what, wrong] of Object.entries(wrongDumps(dump))) {
      expect(wrong === dump, what).toBe(false);
      expect(tableDifferences(viewOfDump('IPv4', wrong), found), what).not.toEqual([]);
    }
  });

  it.for(FAMILIES)('come back for every setting of kube-proxy, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const services = syntheticCluster(family, 60);
    const programs = SETTINGS.map((overrides) =>
      new NftablesProgrammer(syntheticConfig(family, overrides)).sync(services, FULL),
    );
    const listings = await loadInTurn(
      family,
      programs.map((program) => program.kernelText()),
    );
    programs.forEach((program, i) => expectSame(family, program.dumpText(), listings[i]));
  });

  it.for(FAMILIES)('are what the transactions of several syncs leave in the kernel, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const programmer = new NftablesProgrammer(syntheticConfig(family));
    const before = syntheticCluster(family, 120);
    const { services, changed } = laterCluster(before, family);
    const syncs = [
      { services: before, change: FULL },
      { services, change: { full: false, changed, nowSeconds: 1 } },
      { services: before, change: { full: false, changed, nowSeconds: 40 } },
      { services: before, change: { full: false, changed: new Set<string>(), nowSeconds: 80 } },
      { services, change: { full: true, changed, nowSeconds: 120 } },
    ];
    const steps = syncs.flatMap(({ services, change }) => {
      const program = programmer.sync(services, change);
      const dump = program.dumpText();
      const cleanup = { text: program.cleanup, dump: undefined };
      return [cleanup, { text: program.transaction, dump }].filter(({ text }) => text.length > 0);
    });
    expect(steps.length).toBeGreaterThan(syncs.length);
    const listings = await loadInTurn(
      family,
      steps.map(({ text }) => `${text.join('\n')}\n`),
    );
    steps.forEach(({ dump }, i) => {
      if (dump !== undefined) expectSame(family, dump, listings[i]);
    });
  });
});
