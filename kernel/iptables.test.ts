import { describe, expect, it } from 'vitest';
import { IptablesProgrammer } from '../engines/iptables/program/programmer.ts';
import { kubeProxyBehaviour } from '../model/kube-proxy-versions.ts';
import type { IptablesProgram } from '../engines/iptables/program/program.ts';
import type { IpFamily, ProxyConfig, ServicePortConfig } from '../model/service-config.ts';
import type { ParsedTables } from './iptables-text.ts';
import { readTables } from './iptables-text.ts';
import { runInNamespace } from './namespace.ts';
import { differences } from './normalise.ts';
import { laterCluster, syntheticCluster, syntheticConfig } from './synthetic-cluster.ts';
import { whatIsMissing } from './tools.ts';

const SERVICES = 1000;
const FLAVOURS = ['legacy', 'nft'] as const;
const FAMILIES = ['IPv4', 'IPv6'] as const;
const TIMEOUT_SECONDS = 40;

const SETTINGS: readonly Partial<ProxyConfig>[] = [
  {},
  { localDetector: { kind: 'none' }, masqueradeRandomFully: false },
  { localDetector: { kind: 'bridge', name: 'cbr0' }, conntrackTcpLiberal: true },
  { localDetector: { kind: 'prefix', name: 'veth' }, masqueradeMark: '0x80000000' },
  { masqueradeAll: true, localhostNodePorts: false },
  { nodePortAddresses: ['192.168.0.0/16', '2001:db8::/64'], localhostNodePorts: false },
  { largeClusterEndpoints: 10 },
  { kubeProxy: kubeProxyBehaviour(20) },
];

const MISSING = whatIsMissing(['iptables']);

function tool(family: IpFamily, flavour: string, action: 'restore' | 'save'): string {
  return `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${flavour}-${action}`;
}

function firstSync(services: readonly ServicePortConfig[], config: ProxyConfig): IptablesProgram {
  return new IptablesProgrammer(config).sync(services, { full: true, changed: new Set(), nowSeconds: 0 });
}

function ruleCount(tables: ParsedTables): number {
  return [...tables.values()].reduce((sum, { rules }) => sum + rules.length, 0);
}

function expectSame(dump: string, save: string, family: IpFamily): void {
  const found = readTables(save, family);
  expect(differences(readTables(dump, family), found)).toEqual([]);
  // Counted in the text itself, so that a reader that skips rules is found out.
  expect(ruleCount(found)).toBe(dump.split('\n').filter((line) => line.startsWith('-A')).length);
}

/** Loads the texts one after the other into one namespace; gives what the kernel had after each. */
async function loadInTurn(
  family: IpFamily,
  flavour: string,
  texts: readonly string[],
  options = '',
): Promise<string[]> {
  const restore = tool(family, flavour, 'restore');
  const steps = texts.map((_, i) => {
    const how = i === 0 ? '' : options;
    return `${restore} --test ${how} < ${i}.rules\n${restore} ${how} < ${i}.rules\n${tool(family, flavour, 'save')} > ${i}.save`;
  });
  const outputs = texts.map((_, i) => `${i}.save`);
  const files = Object.fromEntries(texts.map((text, i) => [`${i}.rules`, text]));
  const result = await runInNamespace({ script: steps.join('\n'), files, outputs, timeoutSeconds: TIMEOUT_SECONDS });
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' });
  return outputs.map((name) => result.outputs.get(name) ?? '');
}

/** The text with one line changed; the line must be there. */
function altered(text: string, line: RegExp, change: (found: string) => string): string {
  const found = text.split('\n').find((candidate) => line.test(candidate));
  if (found === undefined) throw new Error(`no line ${line.source}`);
  return text.replace(found, change(found));
}

/** Dumps that a comparison must tell from `dump`, by what is wrong with them. */
function wrongDumps(dump: string): Record<string, string> {
  const twoDifferent = /^(-A (KUBE-SVC-\S+) .*--probability .*)\n(-A \2 .*)$/m.exec(dump);
  if (twoDifferent === null) throw new Error('no chain with two endpoints');
  const [, first, , second] = twoDifferent;
  return {
    'another port': altered(dump, /--dport 80 -j KUBE-SVC/, (line) => line.replace('--dport 80', '--dport 81')),
    'another order': dump.replace(`${first}\n${second}`, `${second}\n${first}`),
    'another mark': altered(dump, /--or-mark/, (line) => line.replace('0x00004000', '0x00008000')),
    'another mark in a match': altered(dump, /--mark/, (line) => line.replaceAll('0x00004000', '0x00008000')),
    'another kind of mark': altered(dump, /--or-mark/, (line) => line.replace('--or-mark', '--xor-mark')),
    'another chance': altered(dump, /--probability 0\.5/, (line) => line.replace('0.5000000000', '0.5000000010')),
    'another endpoint': altered(dump, /-j DNAT/, (line) => line.replace(/\d+$/, '1')),
    'another comment': altered(dump, /kubernetes forwarding rules"? -m/, (line) =>
      line.replace('forwarding', 'sending'),
    ),
    'another source': altered(dump, /KUBE-SEP-\S+ .*-s \S+/, (line) => line.replace(/-s \S+/, '-s 10.99.99.99')),
    'no inversion': altered(dump, /! -s/, (line) => line.replace('! -s', '-s')),
    'another verdict': altered(dump, /-j REJECT/, (line) => line.replace('REJECT', 'DROP')),
    'another time': altered(dump, /--seconds/, (line) => line.replace(/--seconds \d+/, '--seconds 1')),
    'a rule missing': altered(dump, /-j REJECT/, () => '# nothing'),
    'a rule more': altered(dump, /-j REJECT/, (line) => `${line}\n${line}`),
    'a policy': dump.replace(':FORWARD ACCEPT', ':FORWARD DROP'),
  };
}

describe.each(FLAVOURS)('iptables dumps in a kernel, %s', (flavour) => {
  it.for(FAMILIES)('are accepted for 1,000 services and come back rule by rule, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const dump = firstSync(syntheticCluster(family, SERVICES), syntheticConfig(family)).kernelText();
    const [save] = await loadInTurn(family, flavour, [dump]);
    expectSame(dump, save, family);
    expect(ruleCount(readTables(save, family))).toBeGreaterThan(10_000);
  });

  it('are told from dumps with one wrong line', async (ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const dump = firstSync(syntheticCluster('IPv4', 60), syntheticConfig('IPv4')).kernelText();
    const [save] = await loadInTurn('IPv4', flavour, [dump]);
    expectSame(dump, save, 'IPv4');
    const found = readTables(save, 'IPv4');
    for (const [what, wrong] of Object.entries(wrongDumps(dump))) {
      expect(wrong, what).not.toBe(dump);
      const lines = differences(readTables(wrong, 'IPv4'), found);
      expect(lines, what).not.toEqual([]);
    }
  });

  it.for(FAMILIES)('come back for every setting of kube-proxy, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const services = syntheticCluster(family, 60);
    const dumps = SETTINGS.map((overrides) => firstSync(services, syntheticConfig(family, overrides)).kernelText());
    expect(new Set(dumps).size).toBe(SETTINGS.length);
    const saves = await loadInTurn(family, flavour, dumps);
    dumps.forEach((dump, i) => expectSame(dump, saves[i], family));
  });

  it.for(FAMILIES)('stay right when partial syncs are loaded on top, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    for (const largeClusterEndpoints of [1_000_000, 100]) {
      const programmer = new IptablesProgrammer(syntheticConfig(family, { largeClusterEndpoints }));
      const before = syntheticCluster(family, 120);
      const { services, changed } = laterCluster(before, family);
      const none = new Set<string>();
      const first = programmer.sync(before, { full: true, changed: none, nowSeconds: 0 });
      const partial = programmer.sync(services, { full: false, changed, nowSeconds: 1 });
      const back = programmer.sync(before, { full: false, changed, nowSeconds: 40 });
      const again = programmer.sync(before, { full: true, changed: none, nowSeconds: 80 });
      expect([partial.full, back.full, again.full]).toEqual([false, false, true]);
      // A large cluster's unused chains stay until a later sync.
      expect(partial.staleChains.length > 0).toBe(largeClusterEndpoints === 100);
      expect(partial.restoreText().length).toBeLessThan(first.kernelText().length / 2);
      const texts = [first.kernelText(), partial.restoreText(), back.restoreText(), again.restoreText()];
      const saves = await loadInTurn(family, flavour, texts, '--noflush --counters');
      [first, partial, back, again].forEach((program, i) => expectSame(program.kernelText(), saves[i], family));
      expect(differences(readTables(partial.kernelText(), family), readTables(saves[0], family))).not.toEqual([]);
    }
  });
});
