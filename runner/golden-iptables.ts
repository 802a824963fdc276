/** Runs a golden case of iptables mode. */
import { portProtoHash, servicePortEndpointHash } from '../engines/iptables/program/chain-names.ts';
import { IptablesProgrammer } from '../engines/iptables/program/programmer.ts';
import { probabilityText } from '../engines/iptables/probability.ts';
import { hostPort } from '../model/service-config.ts';
import { endpointsByPort } from '../scenarios/service-config.ts';
import { checkFlows, GoldenFeed, labelled, proxyConfig } from './golden-config.ts';
import { compareLists, compareRestore, compareSets } from './golden-dumps.ts';
import type { IptablesProgram } from '../engines/iptables/program/program.ts';
import type { EndpointConfig } from '../model/service-config.ts';
import type { GoldenBody, GoldenStep } from '../scenarios/golden-case.ts';
import type { GoldenExpect } from '../scenarios/golden-schema.ts';

type Body<K extends GoldenBody['kind']> = Extract<GoldenBody, { kind: K }>;

export function checkIptablesSync(body: Body<'sync'>): string[] {
  const config = proxyConfig(body.proxy);
  const feed = new GoldenFeed(config);
  const programmer = new IptablesProgrammer(config);
  const failures: string[] = [];
  let nowSeconds = 0;
  for (const [index, step] of body.steps.entries()) {
    const { services, changed } = feed.advance(step);
    nowSeconds += step.ageSeconds;
    if (step.secondsSinceCleanup !== undefined) {
      nowSeconds = Math.max(0, programmer.lastChainCleanupSeconds) + step.secondsSinceCleanup;
    }
    const full = step.sync === undefined ? index === 0 : step.sync === 'full';
    const program = programmer.sync(services, { full, changed, nowSeconds });
    failures.push(...labelled(step, checkStep(step, program, body.localIps, feed.loadBalancerIps())));
  }
  return failures;
}

function checkStep(
  step: GoldenStep,
  program: IptablesProgram,
  localIps: readonly string[],
  loadBalancerIps: readonly string[],
): string[] {
  const failures: string[] = [];
  if (step.dump !== undefined) failures.push(...compareDump(step.dump, program.restoreText()));
  for (const [chain, rules] of Object.entries(step.chains ?? {})) {
    // A chain without rules and no chain are the same to kube-proxy's tests.
    const got = program.chains.get(chain) ?? (rules.length === 0 ? [] : undefined);
    if (got === undefined) failures.push(`chain ${chain} does not exist`);
    else failures.push(...compareLists(`chain ${chain}`, rules, got));
  }
  failures.push(...checkFlows(step.flows, localIps, (flow) => program.trace(flow)));
  for (const expect of step.expects) failures.push(...checkExpect(expect, program, loadBalancerIps));
  return failures;
}

function compareDump(expected: string, actual: string): string[] {
  const lines = compareRestore(expected, actual);
  return lines.length === 0 ? [] : [['the restore input differs:', ...lines].join('\n')];
}

function checkExpect(expect: GoldenExpect, program: IptablesProgram, loadBalancerIps: readonly string[]): string[] {
  const failures: string[] = [];
  const same = (what: string, expected: number | null | undefined, got: number): void => {
    if (expected !== undefined && expected !== null && expected !== got) {
      failures.push(`${what}: expected ${expected}, got ${got}`);
    }
  };
  const restore = program.restoreText().split('\n');
  for (const text of expect.contains ?? []) {
    if (!restore.some((line) => line.includes(text.trim()))) failures.push(`the restore input lacks ${text}`);
  }
  for (const text of expect.notContains ?? []) {
    const line = restore.find((each) => each.includes(text));
    if (line !== undefined) failures.push(`the restore input must not contain ${text}, but holds ${line}`);
  }
  const dnat = restore.filter((line) => line.startsWith('-A KUBE-SEP-') && line.includes(' -j DNAT '));
  same('DNAT rules in KUBE-SEP chains', expect.sepDnatLines, dnat.length);
  const commented = dnat.filter((line) => line.includes(' --comment '));
  same('of these with a comment', expect.commented, commented.length);
  same('rules of table nat', expect.natRulesTotalMetric, program.counts.natRules);
  same(
    'internal traffic without local endpoints',
    expect.syncProxyRulesNoLocalEndpointsTotal?.internal,
    program.noLocalEndpoints.internal,
  );
  same(
    'external traffic without local endpoints',
    expect.syncProxyRulesNoLocalEndpointsTotal?.external,
    program.noLocalEndpoints.external,
  );
  if (expect.sync !== undefined && program.full !== (expect.sync !== 'partial')) {
    failures.push(`sync: expected ${expect.sync}, got ${program.full ? 'full' : 'partial'}`);
  }
  if (expect.natKubeServicesRuleForLBIP !== undefined) {
    failures.push(...checkLoadBalancerRules(expect.natKubeServicesRuleForLBIP, program, loadBalancerIps));
  }
  if (expect.lastTransactionOperations !== undefined && expect.lastTransactionOperations !== null) {
    failures.push('lastTransactionOperations has no meaning for iptables');
  }
  return failures;
}

function checkLoadBalancerRules(expected: boolean, program: IptablesProgram, addresses: readonly string[]): string[] {
  if (addresses.length === 0) return ['natKubeServicesRuleForLBIP needs a Service with a load balancer address'];
  const rules = program.chains.get('nat/KUBE-SERVICES') ?? [];
  return addresses
    .filter((address) => rules.some((rule) => rule.includes(` -d ${address} `)) !== expected)
    .map((address) => `nat KUBE-SERVICES must ${expected ? '' : 'not '}have a rule for ${address}`);
}

export function checkHashes({ cases }: Body<'hashes'>): string[] {
  return cases.flatMap(({ servicePortName, protocol, endpoint, hash16 }) => {
    const got =
      endpoint === null || endpoint === undefined
        ? portProtoHash(servicePortName, protocol.toLowerCase())
        : servicePortEndpointHash(servicePortName, protocol.toLowerCase(), endpoint);
    return got === hash16 ? [] : [`hash of ${servicePortName} ${endpoint ?? ''}: expected ${hash16}, got ${got}`];
  });
}

export function checkProbabilities({ expected, increasing }: Body<'probability'>): string[] {
  const failures = expected.flatMap(({ n, text }) => {
    const got = probabilityText(n);
    return got === text ? [] : [`probability for ${n}: expected ${text}, got ${got}`];
  });
  if (!increasing) return failures;
  let last = '';
  for (let n = 100_000; n >= 2; n--) {
    const text = probabilityText(n);
    // Digits of one length compare as text does. Beyond that many endpoints ten digits cannot tell neighbours apart.
    if (text <= last) return [...failures, `the probability for ${n} is ${text}, not more than ${last} for ${n + 1}`];
    last = text;
  }
  return failures;
}

export function checkOrder({ nodeName, cases }: Body<'order'>): string[] {
  return cases.flatMap((each) => {
    const byPort = endpointsByPort(each.slices, { ipFamily: 'IPv4', nodeName });
    const failures = compareSets(`service ports of "${each.name}"`, Object.keys(each.endpoints), [...byPort.keys()]);
    for (const [key, expected] of Object.entries(each.endpoints)) {
      const got = (byPort.get(key) ?? []).map((e) => `${hostPort(e.address, e.port)}${e.isLocal ? '*' : ''}`);
      failures.push(...compareLists(`endpoints of ${key} in "${each.name}"`, expected, got));
    }
    if (each.localReadyEndpoints === undefined) return failures;
    const expected = Object.entries(each.localReadyEndpoints).map(([service, count]) => `${service}: ${count}`);
    return [...failures, ...compareSets(`local ready endpoints of "${each.name}"`, expected, localReady(byPort))];
  });
}

/** `ns/name: N` for each Service with N > 0 addresses that are local and ready, whatever the port. */
function localReady(byPort: ReadonlyMap<string, readonly EndpointConfig[]>): string[] {
  const addresses = new Map<string, Set<string>>();
  for (const [key, endpoints] of byPort) {
    const service = key.split(/[:/]/, 2).join('/');
    const known = addresses.get(service) ?? new Set<string>();
    for (const endpoint of endpoints) if (endpoint.isLocal && endpoint.ready) known.add(endpoint.address);
    if (known.size > 0) addresses.set(service, known);
  }
  return [...addresses].map(([service, known]) => `${service}: ${known.size}`);
}

export function checkCounts({ proxy, generator, cases }: Body<'counts'>): string[] {
  return cases.flatMap(({ services: count, endpointsPerService, natRules, filterRules }) => {
    const config = proxyConfig(proxy);
    const feed = new GoldenFeed(config);
    const numbers = Array.from({ length: count }, (_, i) => i);
    const apply = numbers.flatMap((i) => [generator.service(i), generator.slice(i, endpointsPerService)]);
    const { services, changed } = feed.advance({ apply, remove: [] });
    const { counts } = new IptablesProgrammer(config).sync(services, { full: true, changed, nowSeconds: 0 });
    const what = `rules of ${count} services with ${endpointsPerService} endpoints`;
    const expected = [`nat ${natRules}`, `filter ${filterRules}`];
    return compareLists(what, expected, [`nat ${counts.natRules}`, `filter ${counts.filterRules}`]);
  });
}
