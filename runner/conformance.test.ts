/** kube-proxy's own golden cases in all modes, where the shared folder is present; and that the runner notices what is wrong. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { conformanceCommand } from './commands/conformance.ts';
import { findCases, runCase } from './conformance.ts';
import { projectRoot } from './host.ts';

const goldens = join(process.env['CHAINWALK_SHARED'] ?? join(projectRoot(), '..', 'shared'), 'goldens');
const present = existsSync(goldens);
const NOT_PRESENT = 'skipped: not present (shared/goldens)';
const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-conformance-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('golden cases', () => {
  if (!present) {
    it('of the shared folder', (context) => context.skip(NOT_PRESENT));
    return;
  }
  it.each(findCases(goldens).map((folder) => relative(goldens, folder)))('%s', (name) => {
    expect(runCase(join(goldens, name)).failures).toEqual([]);
  });
});

const own = join(projectRoot(), 'engines', 'conformance', 'goldens');

describe("the project's own cases", () => {
  it.each(findCases(own).map((folder) => relative(own, folder)))('%s', (name) => {
    expect(runCase(join(own, name)).failures).toEqual([]);
  });
});

/** A copy of a golden case with one text of one file replaced everywhere by another. */
function falsified(name: string, file: string, from: string | RegExp, to: string): readonly string[] {
  const folder = join(scratch, `${name.replaceAll('/', '-')}-${file}`);
  rmSync(folder, { recursive: true, force: true });
  cpSync(join(goldens, name), folder, { recursive: true });
  const before = readFileSync(join(folder, file), 'utf8');
  const after = before.replaceAll(from, to);
  expect(after).not.toBe(before);
  rmSync(join(folder, file), { force: true });
  writeFileSync(join(folder, file), after);
  return runCase(folder).failures;
}

describe('a golden case that is wrong', () => {
  const changes: readonly (readonly [string, string, string | RegExp, string, string])[] = [
    ['iptables/overall-six-services', 'expected.txt', '--dport 3003', '--dport 3004', '--dport 3004'],
    ['iptables/overall-six-services', 'expected.txt', '-s 203.0.113.0/25', '-s 203.0.113.0/24', '203.0.113.0/24'],
    ['iptables/repeated-syncs-partial', 'expected-03.txt', /-X KUBE-SEP.*\n/g, '', '-X KUBE-SEP-UHEGFW77JX3KXTOV'],
    ['iptables/repeated-syncs-partial', 'input.yaml', 'Metric: 18', 'Metric: 19', 'step 9: rules of table nat'],
    ['iptables/large-cluster-mode', 'input.yaml', 'commented: 998', 'commented: 997', 'got 998'],
    ['iptables/large-cluster-mode', 'input.yaml', "- '-X '", "- ':KUBE-SERVICES '", 'must not contain'],
    ['iptables/large-cluster-mode', 'input.yaml', 'SU5STNODRYEWJAUF', 'SU5STNODRYEWJAUG', 'the restore input lacks'],
    ['iptables/clusterip-general', 'cases.json', '"masq": true', '"masq": false', 'masq true'],
    ['iptables/healthcheck-nodeport', 'input.yaml', "output: ''", 'output: ACCEPT', 'then 1: flow'],
    ['iptables/nodeports-v4-localhost-on', 'expected-chains.json', '127.0.0.0/8', '127.0.0.0/9', 'KUBE-FIREWALL'],
    ['iptables/lb-ipmode-vip', 'input.yaml', 'LBIP: true', 'LBIP: false', 'must not have a rule for 1.2.3.4'],
    ['iptables/lb-ipmode-vip', 'input.yaml', 'ipMode: VIP', 'ipMode: Proxy', 'must have a rule for 1.2.3.4'],
    ['iptables/no-local-endpoints-metric-both-local', 'input.yaml', 'external: 0', 'external: 1', 'external traffic'],
    ['iptables/chain-name-hashes', 'expected.json', 'XPGD46QRK7WJZT7O', 'XPGD46QRK7WJZT70', 'ns1/svc1:p80'],
    ['iptables/compute-probability', 'expected.json', '0.0000099999', '0.0000100000', 'probability for 100001'],
    ['iptables/endpoints-map-order', 'expected.json', '10.2.2.22:22*', '10.2.2.22:22', 'endpoints of ns2/ep2:p22'],
    ['iptables/endpoints-map-order', 'expected.json', '"ns1/ep1": 2', '"ns1/ep1": 3', 'local ready endpoints'],
    ['iptables/rule-counts-clusterip', 'expected.json', '"natRules": 325', '"natRules": 326', '10 services with 10'],
    ['ipvs/nodeport-udp', 'expected.txt', '-w 1', '-w 2', '-w 2'],
    ['ipvs/nodeport-udp', 'expected.json', '"weight": 1', '"weight": 2', 'weight 2'],
    ['ipvs/nodeport-udp', 'expected.json', '"timeout": 0', '"timeout": 9', 'timeout 9'],
    ['ipvs/nodeport-udp', 'expected.json', '"3001"', '"3002"', 'ipset KUBE-NODE-PORT-UDP'],
    ['ipvs/nodeport-udp', 'expected.json', '"ACCEPT"', '"DROP"', 'DROP if in KUBE-HEALTH-CHECK-NODE-PORT'],
    ['ipvs/loadbalancer', 'expected.json', '"complete": false', '"complete": true', 'must not exist'],
    ['ipvs/loadbalancer', 'expected.json', '"virtualServerCount": 2', '"virtualServerCount": 3', 'expected 3, got 2'],
    ['ipvs/endpointslice-lifecycle', 'expected.json', '10.0.1.2:80', '10.0.1.4:80', 'step 1: real servers'],
    ['ipvs/multi-port-bind-address', 'expected.json', '172.16.55.4', '172.16.55.5', 'kube-ipvs0'],
    ['ipvs/healthcheck-nodeport-lifecycle', 'expected.json', '30001', '30002', 'KUBE-HEALTH-CHECK-NODE-PORT'],
    ['ipvs/clean-legacy-services', 'input.yaml', '3.3.3.0/24', '3.3.4.0/24', 'ipvs2'],
    ['ipvs/graceful-delete', 'expected.json', '"weightAfter": 0', '"weightAfter": 1', 'kept, weight 1'],
    ['ipvs/sync-virtual-server', 'expected.json', 'wlc', 'rr', 'case 2'],
    ['ipvs/sync-virtual-server', 'expected.json', 'add+bind', 'add', 'case 3'],
    ['nftables/overall-six-services', 'expected.txt', 'th dport vmap @service-ips', 'th dport vmap @x', 'vmap @x'],
    ['nftables/repeated-syncs-incremental', 'input.yaml', 'Operations: 9', 'Operations: 8', 'step 7: operations'],
    ['nftables/startup-adopts-existing-table', 'input.yaml', 'setupOps + 14', 'setupOps + 15', 'operations'],
    ['nftables/clusterip-general', 'cases.json', '"DROP"', '"REJECT"', 'DROP'],
    ['nftables/chain-name-hashes', 'expected.json', 'ULMVA6XW', 'ULMVA6XX', 'ns1/svc1/tcp/p80'],
  ];
  it.for(changes)('fails: %s with another %s (%s)', ([name, file, from, to, message], context) => {
    context.skip(!present, NOT_PRESENT);
    expect(falsified(name, file, from, to).join('\n')).toContain(message);
  });

  it('fails by a rule out of order', (context) => {
    context.skip(!present, NOT_PRESENT);
    const swap = '$2\n$1\n';
    const lines = /^(.*-j MARK --xor-mark.*)\n(.*-j MASQUERADE.*)\n/gm;
    expect(falsified('iptables/overall-six-services', 'expected.txt', lines, swap).join('\n')).toContain(
      'another order',
    );
    const nft = /^(.*masquerading mark set.*)\n(.*masquerading masquerade.*)\n/gm;
    expect(falsified('nftables/overall-six-services', 'expected.txt', nft, swap).join('\n')).toContain('another order');
  });

  it('fails by a key that is not known, whose name it tells', () => {
    const folder = join(scratch, 'unknown');
    mkdirSync(folder);
    const input = { golden: 'iptables/x', source: 'here', proxy: { surprise: 1 }, objects: [] };
    writeFileSync(join(folder, 'input.yaml'), JSON.stringify(input));
    const { name, mode, failures } = runCase(folder, scratch);
    expect([name, mode]).toEqual(['unknown', undefined]);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toContain('Unknown key "surprise" in proxy');
  });

  const service = (spec: unknown) => ({
    ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'shop' } },
    spec: { clusterIP: '10.50.0.1', ports: [{ port: 80 }], ...(spec as object) },
  });
  it.each([
    [{}, service({ clusterIP: '10.50.0.300' }), '"spec.clusterIP" of Service shop/web must be an IP address'],
    [{}, service({ externalIPs: ['x'] }), '"spec.externalIPs" of Service shop/web must be an IP address, got "x"'],
    [{}, service({ ports: [] }), 'In Service shop/web: "spec.ports" is missing or empty'],
    [{ scheduler: 'fastest' }, service({}), '"proxy.scheduler" must be one of rr, wrr'],
    [{ detectLocalCIDR: '10.60.0.0' }, service({}), '"proxy.detectLocalCIDR" must be a block'],
    [{ nodePortAddresses: ['all'] }, service({}), '"proxy.nodePortAddresses" must be blocks'],
    [{ interfaceAddresses: ['eth0'] }, service({}), '"proxy.interfaceAddresses" must be IP addresses, got "eth0"'],
    [{ masqueradeMark: '14' }, service({}), '"proxy.masqueradeMark" must be a mark'],
  ])('calls a case bad that has %j and %j', (proxy, object, message) => {
    const folder = mkdtempSync(join(scratch, 'bad-'));
    const input = { golden: 'ipvs/x', source: 'here', proxy, objects: [object], expect: { notContains: ['nothing'] } };
    writeFileSync(join(folder, 'input.yaml'), JSON.stringify(input));
    const { failures, badInput } = runCase(folder);
    expect(badInput).toBe(true);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toContain(`${join(folder, 'input.yaml')}: `);
    expect(failures[0]).toContain(message);
  });

  it('takes a chain without rules for one that is not there, and compares the RETURN for loopback where it is named', () => {
    const folder = mkdtempSync(join(scratch, 'chains-'));
    const input = { golden: 'ipvs/x', source: 'here', proxy: { ipFamily: 'IPv6' }, objects: [] };
    writeFileSync(join(folder, 'input.yaml'), JSON.stringify(input));
    writeFileSync(join(folder, 'expected-chains.json'), JSON.stringify({ 'nat/KUBE-ABSENT': [] }));
    const expectJumps = (jumps: readonly string[]): readonly string[] => {
      const rules = jumps.map((jump) => ({ jump, matchSet: '' }));
      writeFileSync(join(folder, 'expected.json'), JSON.stringify({ iptablesChains: { 'KUBE-SERVICES': rules } }));
      return runCase(folder).failures;
    };
    expect(expectJumps(['RETURN', 'KUBE-NODE-PORT'])).toEqual([]);
    expect(expectJumps(['KUBE-NODE-PORT'])).toEqual([]);
    expect(expectJumps(['RETURN'])).toHaveLength(1);
    writeFileSync(join(folder, 'expected-chains.json'), JSON.stringify({ 'nat/KUBE-ABSENT': ['-A X'] }));
    expect(expectJumps(['KUBE-NODE-PORT']).join()).toContain('chain nat/KUBE-ABSENT does not exist');
  });
});

describe('findCases', () => {
  it('names a folder that is not there, is none, or holds no case', () => {
    expect(() => findCases(join(scratch, 'absent'))).toThrow('No such folder');
    writeFileSync(join(scratch, 'file'), 'x');
    expect(() => findCases(join(scratch, 'file'))).toThrow('no folder');
    mkdirSync(join(scratch, 'empty'));
    expect(() => findCases(join(scratch, 'empty'))).toThrow('input.yaml');
  });
});

describe('chainwalk conformance', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    process.exitCode = undefined;
  });

  function run(folder: string, flags: { mode?: string; case?: string } = {}): { text: string; code: unknown } {
    let text = '';
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
      text += String(chunk);
      return true;
    });
    conformanceCommand(folder, flags);
    return { text, code: process.exitCode };
  }

  it('prints a line a case and how many passed', () => {
    const { text, code } = run(own);
    const cases = findCases(own).length;
    expect(text.trimEnd().split('\n')).toHaveLength(cases + 2);
    expect(text).toMatch(new RegExp(`\\n${cases} passed, 0 failed, 0 skipped\\n$`));
    expect(code).toBeUndefined();
  });

  it('chooses by mode and by name', () => {
    expect(run(own, { mode: 'ipvs' }).text).not.toContain('iptables/');
    const { text } = run(own, { case: 'iptables/non-canonical-ips' });
    expect(text.trimEnd().split('\n')).toHaveLength(3);
    expect(() => run(own, { mode: 'userspace' })).toThrow('--mode "userspace" is not known');
    expect(() => run(own, { case: 'nothing' })).toThrow('No case');
  });

  it('fails with the difference and exit code 1', () => {
    const folder = join(scratch, 'one-wrong');
    cpSync(join(own, 'iptables'), folder, { recursive: true });
    const file = join(folder, 'non-canonical-ips', 'cases.json');
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll('10.180.0.1:80', '10.180.0.9:80'));
    const { text, code } = run(folder);
    expect(text).toContain('FAILED');
    expect(text).toContain('expected  10.180.0.9:80, masq false');
    expect(text).toContain('1 failed, 0 skipped');
    expect(code).toBe(1);
  });

  it('exits with 2 where a case itself is wrong, whatever others found', () => {
    const folder = join(scratch, 'bad-and-good');
    cpSync(join(own, 'iptables', 'non-canonical-ips'), join(folder, 'one'), { recursive: true });
    cpSync(join(own, 'iptables', 'non-canonical-ips'), join(folder, 'two'), { recursive: true });
    const file = join(folder, 'two', 'input.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('protocol: TCP', 'protocol: ICMP'));
    const { text, code } = run(folder);
    expect(text).toContain('1 passed, 1 failed, 0 skipped');
    expect(text).toContain('protocol" must be one of TCP, UDP, SCTP, got "ICMP"');
    expect(code).toBe(2);
  });
});
