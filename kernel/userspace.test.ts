/** userspace mode: the rules that lead to kube-proxy's process, put to a real kernel whole and command by command. */
import { beforeAll, describe, expect, it } from 'vitest';
import { openPorts, UserspaceProgram } from '../engines/userspace/program.ts';
import type { IpFamily, ServicePortConfig } from '../model/service-config.ts';
import { readTables } from './iptables-text.ts';
import { runInNamespace } from './namespace.ts';
import { differences } from './normalise.ts';
import { syntheticCluster, syntheticConfig } from './synthetic-cluster.ts';
import { whatIsMissing } from './tools.ts';

const SERVICES = 300;
/** A process of its own for each command takes its time. */
const SERVICES_BY_COMMAND = 15;
const FLAVOURS = ['legacy', 'nft'] as const;
const FAMILIES = ['IPv4', 'IPv6'] as const;
const TIMEOUT_SECONDS = 40;

const MISSING = whatIsMissing(['iptables']);

/** Whether this kernel has the physdev match (xt_physdev with br_netfilter), which only external IPs need. */
let hasPhysdev = false;

beforeAll(async () => {
  if (MISSING !== undefined) return;
  const rule = '*filter\n-A INPUT -m physdev ! --physdev-is-in -j ACCEPT\nCOMMIT\n';
  const script = 'iptables-legacy-restore < rule';
  hasPhysdev = (await runInNamespace({ script, files: { rule }, timeoutSeconds: 10 })).status === 0;
  if (!hasPhysdev) console.info('This kernel has no physdev match: no service here has external IPs.');
});

function compile(family: IpFamily, count: number): UserspaceProgram {
  const services = syntheticCluster(family, count).map((svc): ServicePortConfig =>
    hasPhysdev ? svc : { ...svc, externalIps: [] },
  );
  return new UserspaceProgram(syntheticConfig(family), openPorts(services));
}

function tool(family: IpFamily, flavour: string): string {
  return `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${flavour}`;
}

/** Runs the script in a namespace where `rules` is that text; what iptables-save prints afterwards. */
async function saved(family: IpFamily, flavour: string, script: string, rules: string): Promise<string> {
  const result = await runInNamespace({
    script: `${script}\n${tool(family, flavour)}-save > save`,
    files: { rules },
    outputs: ['save'],
    timeoutSeconds: TIMEOUT_SECONDS,
  });
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' });
  return result.outputs.get('save') ?? '';
}

function ruleCount(text: string): number {
  return text.split('\n').filter((line) => line.startsWith('-A')).length;
}

/** Dumps that a comparison must tell from `dump`, by what is wrong with them. */
function wrongDumps(dump: string): Record<string, string> {
  const wrong: Record<string, string> = {
    'another proxy port': dump.replace(/--to-ports \d+/, '--to-ports 1'),
    'another destination': dump.replace(/--to-destination \S+/, '--to-destination 10.9.9.9:1'),
    'another target': dump.replace(/-j DNAT --to-destination \S+:(\d+)/, '-j REDIRECT --to-ports $1'),
    'another state': dump.replace('--state NEW', '--state ESTABLISHED'),
    'no local addresses': dump.replace(/ -m addrtype --dst-type LOCAL/, ''),
    'the jumps of nat OUTPUT the other way round': dump.replace(/(-A OUTPUT .*\n)(-A OUTPUT .*\n)/, '$2$1'),
    'a rule more': dump.replace(/(-A KUBE-PORTALS-HOST .*\n)/, '$1$1'),
  };
  if (hasPhysdev) wrong['physdev the other way round'] = dump.replace('! --physdev-is-in', '--physdev-is-in');
  return wrong;
}

describe.each(FLAVOURS)('rules of userspace mode in a kernel, %s', (flavour) => {
  it.for(FAMILIES)('are accepted for 300 services and come back rule by rule, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const dump = compile(family, SERVICES).kernelText();
    const restore = `${tool(family, flavour)}-restore`;
    const save = await saved(family, flavour, `${restore} --test < rules\n${restore} < rules`, dump);
    expect(differences(readTables(dump, family), readTables(save, family))).toEqual([]);
    expect(ruleCount(save)).toBe(ruleCount(dump));
    expect(ruleCount(save)).toBeGreaterThan(SERVICES * 2);
    for (const words of ['-j REDIRECT', '-j DNAT', '--state NEW', '--dst-type LOCAL']) expect(save).toContain(words);
    if (hasPhysdev) expect(save).toContain('! --physdev-is-in');
    for (const [what, wrong] of Object.entries(wrongDumps(dump))) {
      expect(wrong, what).not.toBe(dump);
      expect(differences(readTables(wrong, family), readTables(save, family)), what).not.toEqual([]);
    }
  });

  it.for(FAMILIES)('are made by the commands that kube-proxy runs, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const program = compile(family, SERVICES_BY_COMMAND);
    const plain = tool(family, '').slice(0, -1);
    const script = `${plain}() { ${tool(family, flavour)} "$@"; }\n. ./rules`;
    const save = await saved(family, flavour, script, program.commandText());
    const wanted = program.kernelText();
    expect(differences(readTables(wanted, family), readTables(save, family))).toEqual([]);
    expect(ruleCount(save)).toBe(ruleCount(wanted));
  });
});
