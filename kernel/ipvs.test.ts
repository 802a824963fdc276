import { beforeAll, describe, expect, it } from 'vitest';
import type { IpvsProgram } from '../engines/ipvs/program/program.ts';
import { IpvsProgrammer } from '../engines/ipvs/program/programmer.ts';
import type { IpFamily, ServicePortConfig } from '../model/service-config.ts';
import { readTables } from './iptables-text.ts';
import { setDifferences } from './ipset-listing.ts';
import { runInNamespace } from './namespace.ts';
import { differences } from './normalise.ts';
import { laterCluster, syntheticCluster, syntheticConfig } from './synthetic-cluster.ts';
import { whatIsMissing } from './tools.ts';

const SERVICES = 1000;
const FLAVOURS = ['legacy', 'nft'] as const;
const FAMILIES = ['IPv4', 'IPv6'] as const;
const TIMEOUT_SECONDS = 40;

const MISSING = whatIsMissing(['iptables', 'ipset']);

/** Whether this kernel has the ipvs match (xt_ipvs), which only load balancers that are closed to the node need. */
let hasIpvsMatch = false;

beforeAll(async () => {
  if (MISSING !== undefined) return;
  const rule = '*filter\n-A OUTPUT -m ipvs --vaddr 10.0.0.1 --vproto tcp --vport 80 -j DROP\nCOMMIT\n';
  const script = 'iptables-legacy-restore < rule';
  hasIpvsMatch = (await runInNamespace({ script, files: { rule }, timeoutSeconds: 10 })).status === 0;
  if (!hasIpvsMatch) console.info('This kernel has no ipvs match: no load balancer here is closed to its own node.');
});

function openToNode(services: readonly ServicePortConfig[], family: IpFamily): ServicePortConfig[] {
  const node = family === 'IPv4' ? '192.168.0.0/24' : '2001:db8::/64';
  return services.map((svc) =>
    svc.loadBalancerSourceRanges.length === 0 || svc.loadBalancerSourceRanges.includes(node)
      ? svc
      : { ...svc, loadBalancerSourceRanges: [...svc.loadBalancerSourceRanges, node] },
  );
}

function cluster(family: IpFamily, count: number): ServicePortConfig[] {
  const services = syntheticCluster(family, count);
  return hasIpvsMatch ? services : openToNode(services, family);
}

/** Loads sets and rules; with `partial`, then the rules of a later sync on top. */
async function load(family: IpFamily, flavour: string, program: IpvsProgram, how: 'kernel' | 'restore') {
  const iptables = `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${flavour}`;
  const [options, text] =
    how === 'kernel' ? ['', program.kernelText()] : ['--noflush --counters', program.restoreText()];
  const script = `ipset restore < sets
ipset save > sets.save
${iptables}-restore --test ${options} < rules
${iptables}-restore ${options} < rules
${iptables}-save > rules.save`;
  const files = { sets: program.ipsetText(), rules: text };
  const outputs = ['sets.save', 'rules.save'];
  const result = await runInNamespace({ script, files, outputs, timeoutSeconds: TIMEOUT_SECONDS });
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' });
  return { sets: result.outputs.get('sets.save') ?? '', rules: result.outputs.get('rules.save') ?? '', text };
}

describe.each(FLAVOURS)('sets and rules of IPVS mode in a kernel, %s', (flavour) => {
  it.for(FAMILIES)(
    'are accepted for 1,000 services and come back entry by entry and rule by rule, %s',
    async (family, ctx) => {
      ctx.skip(MISSING !== undefined, MISSING);
      const programmer = new IpvsProgrammer(syntheticConfig(family));
      const change = { full: true, changed: new Set<string>(), nowSeconds: 0 };
      const program = programmer.sync(cluster(family, SERVICES), change);
      const found = await load(family, flavour, program, 'kernel');
      expect(setDifferences(program.ipsetText(), found.sets)).toEqual([]);
      expect(found.sets.split('\n').filter((line) => line.startsWith('add')).length).toBeGreaterThan(3000);
      expect(differences(readTables(found.text, family), readTables(found.rules, family))).toEqual([]);

      const wrong = program.ipsetText().replace(/^(add KUBE\S*-CLUSTER-IP .*):80$/m, '$1:81');
      expect(setDifferences(wrong, found.sets)).toHaveLength(2);
      const wrongRules = found.text.replace('dst,dst', 'dst,src');
      expect(differences(readTables(wrongRules, family), readTables(found.rules, family))).toHaveLength(2);
    },
  );

  it.for(FAMILIES)('are right for every setting of kube-proxy, and after a later sync, %s', async (family, ctx) => {
    ctx.skip(MISSING !== undefined, MISSING);
    const settings = [
      { localDetector: { kind: 'none' }, masqueradeRandomFully: false },
      { localDetector: { kind: 'bridge', name: 'cbr0' }, ipvsScheduler: 'mh' },
      { localDetector: { kind: 'prefix', name: 'veth' }, nodePortAddresses: ['192.168.0.0/16', '2001:db8::/64'] },
      { masqueradeAll: true },
    ] as const;
    const before = cluster(family, 60);
    const later = laterCluster(before, family);
    const laterServices = hasIpvsMatch ? later.services : openToNode(later.services, family);
    for (const overrides of settings) {
      const programmer = new IpvsProgrammer(syntheticConfig(family, overrides));
      programmer.sync(before, { full: true, changed: new Set(), nowSeconds: 0 });
      const program = programmer.sync(laterServices, { full: false, changed: later.changed, nowSeconds: 30 });
      const found = await load(family, flavour, program, 'restore');
      expect(setDifferences(program.ipsetText(), found.sets)).toEqual([]);
      expect(differences(readTables(found.text, family), readTables(found.rules, family))).toEqual([]);
    }
  });
});
