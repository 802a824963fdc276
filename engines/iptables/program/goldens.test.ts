/** The upstream cases of iptables mode, where they are present: dumps, named chains, packet flows, counts, step sequences. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { probabilityText } from '../probability.ts';
import { portProtoHash, servicePortEndpointHash } from './chain-names.ts';
import { GoldenObjects, proxyConfig } from './golden-input.ts';
import type { IptablesProgram } from './program.ts';
import { IptablesProgrammer } from './programmer.ts';
import type { Protocol } from './rules.ts';

const goldens = join(process.env.CHAINWALK_SHARED ?? '../shared', 'goldens', 'iptables');
const present = existsSync(goldens);
const skipped = present ? '' : ' (skipped: not present)';

interface GoldenFlow {
  readonly name: string;
  readonly sourceIP: string;
  readonly protocol: Protocol;
  readonly destIP: string;
  readonly destPort: number;
  readonly output: string;
  readonly masq: boolean;
}

interface Expectations {
  readonly natKubeServicesRuleForLBIP?: boolean;
  readonly syncProxyRulesNoLocalEndpointsTotal?: { internal: number; external: number };
  readonly sepDnatLines?: number;
  readonly commented?: number;
  readonly contains?: readonly string[];
  readonly notContains?: readonly string[];
}

interface GoldenStep {
  readonly step: number;
  readonly title?: string;
  readonly sync?: string;
  readonly apply?: readonly unknown[];
  readonly delete?: readonly { kind: string; namespace: string; name: string }[];
  readonly expected?: string;
  readonly natRulesTotalMetric?: number;
  readonly secondsSinceLastChainCleanup?: number;
  readonly expect?: Expectations;
  readonly flow?: GoldenFlow;
  readonly note?: string;
}

interface GoldenInput {
  readonly proxy?: unknown;
  readonly objects?: readonly unknown[];
  readonly steps?: readonly GoldenStep[];
  readonly then?: readonly GoldenStep[];
  readonly expect?: Expectations;
}

const KNOWN_KEYS = ['golden', 'source', 'note', 'proxy', 'objects', 'steps', 'then', 'expect'];
const STEP_KEYS = ['step', 'title', 'sync', 'apply', 'delete', 'expected', 'natRulesTotalMetric', 'note'];
const MORE_STEP_KEYS = ['secondsSinceLastChainCleanup', 'expect', 'flow'];
const EXPECT_KEYS = [
  'natKubeServicesRuleForLBIP',
  'syncProxyRulesNoLocalEndpointsTotal',
  'sepDnatLines',
  'commented',
  'contains',
  'notContains',
];

/** These have a layout of their own and tests of their own below, or test what is not the engine's (endpoints-map-order). */
const SPECIAL = ['chain-name-hashes', 'compute-probability', 'endpoints-map-order', 'rule-counts-clusterip'];

function read(path: string): string {
  return readFileSync(join(goldens, path), 'utf8');
}

function refuseUnknownKeys(value: object, known: readonly string[], where: string): void {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Error(`unknown key ${unknown.join(', ')} in ${where}`);
}

function checkFlow(program: IptablesProgram, flow: GoldenFlow, localIps?: readonly string[]): void {
  const { sourceIP, destIP, protocol, destPort } = flow;
  const given = { sourceIp: sourceIP, destIp: destIP, protocol, destPort };
  const { output, masq } = program.trace(localIps === undefined ? given : { ...given, localIps });
  expect({ name: flow.name, output, masq }).toEqual({ name: flow.name, output: flow.output, masq: flow.masq });
}

function checkExpectations(program: IptablesProgram, expected: Expectations, input: GoldenInput): void {
  refuseUnknownKeys(expected, EXPECT_KEYS, 'expect');
  const text = program.restoreText();
  const dnats = text.split('\n').filter((line) => line.startsWith('-A KUBE-SEP-') && line.includes('-j DNAT'));
  if (expected.sepDnatLines !== undefined) expect(dnats.length).toBe(expected.sepDnatLines);
  if (expected.commented !== undefined) {
    expect(dnats.filter((line) => line.includes('--comment')).length).toBe(expected.commented);
  }
  for (const part of expected.contains ?? []) expect(text).toContain(part);
  for (const part of expected.notContains ?? []) expect(text).not.toContain(part);
  if (expected.syncProxyRulesNoLocalEndpointsTotal !== undefined) {
    expect(program.noLocalEndpoints).toEqual(expected.syncProxyRulesNoLocalEndpointsTotal);
  }
  if (expected.natKubeServicesRuleForLBIP !== undefined) {
    const [service] = input.objects as { status: { loadBalancer: { ingress: { ip: string }[] } } }[];
    const [{ ip }] = service.status.loadBalancer.ingress;
    const rules = program.chains.get('nat/KUBE-SERVICES') ?? [];
    expect(rules.some((rule) => rule.includes(` -d ${ip} `))).toBe(expected.natKubeServicesRuleForLBIP);
  }
}

/** A program's chains hold together: what is jumped to exists, and what kube-proxy wants is not stale. */
function checkJumps(program: IptablesProgram): void {
  for (const [chain, rules] of program.rules) {
    const table = chain.split('/')[0];
    for (const { target } of rules)
      if (target.kind === 'jump') expect(program.rules.has(`${table}/${target.chain}`)).toBe(true);
  }
}

function runCase(name: string): void {
  const input = parse(read(`${name}/input.yaml`)) as GoldenInput;
  refuseUnknownKeys(input, KNOWN_KEYS, name);
  const config = proxyConfig(input.proxy);
  const objects = new GoldenObjects(config);
  const programmer = new IptablesProgrammer(config);
  const sync = (full: boolean, nowSeconds = 0): IptablesProgram => {
    const changed = objects.takeChanged();
    const program = programmer.sync(objects.servicePortConfigs(), { full, changed, nowSeconds });
    checkJumps(program);
    return program;
  };
  objects.apply(input.objects ?? []);
  const files = new Set(readdirSync(join(goldens, name)));
  let checks = 0;
  if (input.objects !== undefined) {
    const program = sync(true);
    if (files.delete('expected.txt')) {
      checks++;
      expect(program.restoreText().trimEnd()).toBe(read(`${name}/expected.txt`).trimEnd());
    }
    if (files.delete('expected-chains.json')) {
      const chains = JSON.parse(read(`${name}/expected-chains.json`)) as Record<string, string[]>;
      for (const [chain, rules] of Object.entries(chains)) {
        checks++;
        expect(program.chains.get(chain)).toEqual(rules);
      }
    }
    if (files.delete('cases.json')) {
      const { localIPs, flows } = JSON.parse(read(`${name}/cases.json`)) as { localIPs: string[]; flows: GoldenFlow[] };
      for (const flow of flows) {
        checks++;
        checkFlow(program, flow, localIPs);
      }
    }
    if (input.expect !== undefined) {
      checks++;
      checkExpectations(program, input.expect, input);
    }
  }
  for (const step of [...(input.steps ?? []), ...(input.then ?? [])]) {
    refuseUnknownKeys(step, [...STEP_KEYS, ...MORE_STEP_KEYS], `${name} step`);
    objects.remove(step.delete ?? []);
    objects.apply(step.apply ?? []);
    const since = step.secondsSinceLastChainCleanup;
    const now = since === undefined ? 0 : programmer.lastChainCleanupSeconds + since;
    const program = sync(step.sync?.startsWith('full') ?? false, now);
    if (step.expected !== undefined) {
      expect(program.restoreText().trimEnd()).toBe(read(`${name}/${step.expected}`).trimEnd());
      files.delete(step.expected);
    }
    if (step.natRulesTotalMetric !== undefined) expect(program.counts.natRules).toBe(step.natRulesTotalMetric);
    if (step.expect !== undefined) checkExpectations(program, step.expect, input);
    if (step.flow !== undefined) checkFlow(program, step.flow);
    checks++;
  }
  files.delete('input.yaml');
  expect([...files]).toEqual([]);
  expect(checks).toBeGreaterThan(0);
}

describe.skipIf(!present)(`upstream goldens of iptables mode${skipped}`, () => {
  const names = present ? readdirSync(goldens).sort((a, b) => (a < b ? -1 : 1)) : [];
  for (const name of names.filter((each) => !SPECIAL.includes(each))) {
    it(name, () => {
      runCase(name);
    });
  }

  it('chain-name-hashes', () => {
    const { cases } = JSON.parse(read('chain-name-hashes/expected.json')) as {
      cases: { servicePortName: string; protocol: string; endpoint: string | null; hash16: string }[];
    };
    for (const { servicePortName, protocol, endpoint, hash16 } of cases) {
      const hash =
        endpoint === null
          ? portProtoHash(servicePortName, protocol)
          : servicePortEndpointHash(servicePortName, protocol, endpoint);
      expect(hash).toBe(hash16);
    }
  });

  it('compute-probability', () => {
    const { probability } = JSON.parse(read('compute-probability/expected.json')) as {
      probability: Record<string, string>;
    };
    for (const [n, text] of Object.entries(probability)) expect(probabilityText(Number(n))).toBe(text);
  });

  it('endpoints-map-order: the balancing rules follow the order given', () => {
    const config = proxyConfig({ nodeName: 'test-node' });
    const { cases } = JSON.parse(read('endpoints-map-order/expected.json')) as {
      cases: { name: string; endpoints: Record<string, string[]> }[];
    };
    const input = parse(read('endpoints-map-order/input.yaml')) as { cases: { name: string; slices: unknown[] }[] };
    for (const { name, endpoints } of cases) {
      for (const [port, expected] of Object.entries(endpoints)) {
        const [service, portName] = port.split('/UDP')[0].split(':');
        const [namespace, serviceName] = service.split('/');
        const objects = new GoldenObjects(config);
        objects.apply(input.cases.find((each) => each.name === name)?.slices ?? []);
        const ports = [{ name: portName, protocol: 'UDP', port: 1 }];
        const spec = { type: 'ClusterIP', clusterIP: '10.96.0.1', ports };
        objects.apply([{ kind: 'Service', metadata: { namespace, name: serviceName }, spec }]);
        const programmer = new IptablesProgrammer(config);
        const svc = objects.servicePortConfigs();
        const program = programmer.sync(svc, { full: true, changed: objects.takeChanged(), nowSeconds: 0 });
        const flow = { sourceIp: '10.0.0.1', destIp: '10.96.0.1', protocol: 'udp', destPort: 1 } as const;
        const marked = svc[0].endpoints.map(
          (endpoint) => `${endpoint.address}:${endpoint.port}${endpoint.isLocal ? '*' : ''}`,
        );
        expect(marked).toEqual(expected);
        expect(program.trace(flow).endpoints).toEqual(expected.map((text) => text.replace('*', '')));
      }
    }
  });

  it('rule-counts-clusterip', () => {
    const { proxy } = parse(read('rule-counts-clusterip/input.yaml')) as GoldenInput;
    const { cases } = JSON.parse(read('rule-counts-clusterip/expected.json')) as {
      cases: { services: number; endpointsPerService: number; filterRules: number; natRules: number }[];
    };
    const config = proxyConfig(proxy);
    for (const row of cases) {
      const objects = new GoldenObjects(config);
      for (let i = 0; i < row.services; i++) {
        const ports = [{ name: '8080', protocol: 'TCP', port: 80 + i }];
        const metadata = { namespace: 'namespace', name: `svc${i}` };
        objects.apply([{ kind: 'Service', metadata, spec: { clusterIP: `10.0.0.${1 + i}`, ports } }]);
        const endpoints = Array.from({ length: row.endpointsPerService }, (_, j) => ({
          addresses: [`172.16.0.${1 + j}`],
        }));
        const slice = { ...metadata, labels: { 'kubernetes.io/service-name': metadata.name } };
        const slicePorts = [{ name: '8080', protocol: 'TCP', port: 8080 }];
        objects.apply([{ kind: 'EndpointSlice', metadata: slice, addressType: 'IPv4', ports: slicePorts, endpoints }]);
      }
      const change = { full: true, changed: objects.takeChanged(), nowSeconds: 0 };
      const { counts } = new IptablesProgrammer(config).sync(objects.servicePortConfigs(), change);
      expect([counts.filterRules, counts.natRules]).toEqual([row.filterRules, row.natRules]);
    }
  });
});
