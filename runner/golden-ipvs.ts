/** Runs a golden case of IPVS mode. */
import { IpvsProgrammer } from '../engines/ipvs/program/programmer.ts';
import { canonicalIp } from '../model/ip-text.ts';
import { hostPort } from '../model/service-config.ts';
import { InputError } from '../scenarios/errors.ts';
import { serviceConfigs } from '../scenarios/service-config.ts';
import { checkFlows, GoldenFeed, labelled, proxyConfig } from './golden-config.ts';
import { readIpvsList } from './golden-ipvs-kernel.ts';
import { compareIpvs, compareLists, compareSets } from './golden-dumps.ts';
import type { IpvsProgram } from '../engines/ipvs/program/program.ts';
import type { GoldenBody, GoldenStep } from '../scenarios/golden-case.ts';
import type { GoldenExpect, GoldenVirtualServer, IpvsExpected } from '../scenarios/golden-schema.ts';
import type { ServiceObject } from '../scenarios/service-config.ts';

type Body<K extends GoldenBody['kind']> = Extract<GoldenBody, { kind: K }>;
type Protocol = 'tcp' | 'udp' | 'sctp';

/** IP_VS_SVC_F_PERSISTENT. The kernel's own "hashed" bit is left out everywhere. */
const PERSISTENT = 0x1;

export function checkIpvsSync(body: Body<'sync'>): string[] {
  const config = proxyConfig(body.proxy);
  const feed = new GoldenFeed(config);
  const programmer = new IpvsProgrammer(config, { virtualServers: readIpvsList(body.kernelBefore ?? '') });
  const failures: string[] = [];
  let nowSeconds = 0;
  for (const [index, step] of body.steps.entries()) {
    const { services, changed } = feed.advance(step);
    nowSeconds += step.ageSeconds;
    const program = programmer.sync(services, { full: index === 0, changed, nowSeconds });
    failures.push(...labelled(step, checkStep(step, program, body.localIps)));
  }
  return failures;
}

function checkStep(step: GoldenStep, program: IpvsProgram, localIps: readonly string[]): string[] {
  const failures: string[] = [];
  if (step.dump !== undefined) {
    const lines = compareIpvs(step.dump, program.ipvsText());
    if (lines.length > 0) failures.push(['the virtual servers differ:', ...lines].join('\n'));
  }
  for (const [chain, rules] of Object.entries(step.chains ?? {})) {
    // A chain without rules and no chain are the same to kube-proxy's tests.
    const got = program.chains.get(chain) ?? (rules.length === 0 ? [] : undefined);
    if (got === undefined) failures.push(`chain ${chain} does not exist`);
    else failures.push(...compareLists(`chain ${chain}`, rules, got));
  }
  if (step.secondsSinceCleanup !== undefined) failures.push('secondsSinceLastChainCleanup has no meaning for IPVS');
  if (step.ipvs !== undefined) failures.push(...checkState(step.ipvs, program));
  failures.push(...checkFlows(step.flows, localIps, (flow) => program.trace(flow)));
  for (const expect of step.expects) failures.push(...checkExpect(expect, program));
  return failures;
}

function checkState(expected: IpvsExpected, program: IpvsProgram): string[] {
  const servers = program.virtualServers;
  const failures = checkServers(expected, program);
  if (expected.virtualServerCount !== undefined && expected.virtualServerCount !== servers.length) {
    failures.push(`virtual servers: expected ${expected.virtualServerCount}, got ${servers.length}`);
  }
  const names = servers.map((server) => server.realServers.map((real) => hostPort(real.address, real.port)));
  if (expected.realServers !== undefined) {
    for (const got of names) failures.push(...compareSets('real servers', expected.realServers, got));
  }
  if (expected.realServersInOrder !== undefined) {
    for (const got of names) failures.push(...compareLists('real servers', expected.realServersInOrder, got));
  }
  if ((expected.realServers ?? expected.realServersInOrder ?? []).length > 0 && servers.length === 0) {
    failures.push('real servers: there is no virtual server that could have them');
  }
  const sets = setsByName(program);
  for (const [name, entries] of Object.entries(expected.ipsets ?? {})) {
    const got = sets.get(name);
    if (got === undefined) failures.push(`ipset ${name} does not exist`);
    else failures.push(...compareSets(`ipset ${name}`, entries, got));
  }
  for (const [chain, rules] of Object.entries(expected.iptablesChains ?? {})) {
    failures.push(...compareJumps(chain, rules.map(jumpText), program));
  }
  const bound = expected['kube-ipvs0 addresses'];
  if (bound !== undefined) failures.push(...compareSets('addresses on kube-ipvs0', bound, program.boundAddresses));
  return failures;
}

/** `virtualServers` must be there, in every detail; with `complete`, nothing else. */
function checkServers(expected: IpvsExpected, program: IpvsProgram): string[] {
  if (expected.virtualServers === undefined) {
    return expected.complete === true ? ['"complete" needs "virtualServers"'] : [];
  }
  const wanted = expected.virtualServers.map((server) => ({
    name: `${hostPort(server.ip, server.port)}/${server.protocol.toUpperCase()}`,
    text: `scheduler ${server.scheduler} flags ${flagBits(server.flags)} timeout ${server.timeout}`,
    real: server.realServers.map((real) => `${hostPort(real.address, real.port)} weight ${real.weight}`),
  }));
  const held = program.virtualServers.map((server) => ({
    name: `${hostPort(server.address, server.port)}/${server.protocol.toUpperCase()}`,
    text: `scheduler ${server.scheduler} flags ${server.flags} timeout ${server.timeoutSeconds}`,
    real: server.realServers.map((real) => `${hostPort(real.address, real.port)} weight ${real.weight}`),
  }));
  const failures: string[] = [];
  for (const { name, text, real } of wanted) {
    const got = held.find((server) => server.name === name);
    if (got === undefined) {
      failures.push(`there is no virtual server ${name}`);
      continue;
    }
    failures.push(...compareLists(`virtual server ${name}`, [text], [got.text]));
    failures.push(...compareSets(`real servers of ${name}`, real, got.real));
  }
  const surplus = held.filter((server) => !wanted.some(({ name }) => name === server.name));
  if (expected.complete === true) failures.push(...surplus.map(({ name }) => `virtual server ${name} must not exist`));
  return failures;
}

function flagBits(flags: GoldenVirtualServer['flags']): number {
  if (typeof flags === 'number') return flags;
  return flags === 'persistent' ? PERSISTENT : 0;
}

function jumpText({ jump, matchSet }: { readonly jump: string; readonly matchSet: string }): string {
  return `${jump}${matchSet === '' ? '' : ` if in ${matchSet}`}`;
}

/** A set's entries by its name and, for IPv6, by the IPv4 name as well: kube-proxy's tests make both families under that. */
function setsByName(program: IpvsProgram): ReadonlyMap<string, readonly string[]> {
  return new Map<string, readonly string[]>(
    [...program.ipsets].flatMap(([name, { kernelName, entries }]) => [
      [name, entries],
      [kernelName, entries],
    ]),
  );
}

/** Goldens name chains without a table: nat comes first. They may leave out the RETURN for loopback sources, and name sets as IPv4 does. */
function compareJumps(chain: string, expected: readonly string[], program: IpvsProgram): string[] {
  const rules = [...(program.chains.get(`nat/${chain}`) ?? []), ...(program.chains.get(`filter/${chain}`) ?? [])];
  const wantsLoopback = expected[0] === 'RETURN';
  const got = rules
    .filter((rule) => wantsLoopback || !/ -s (127\.0\.0\.0\/8|::1\/128) -j RETURN$/.test(rule))
    .map((rule) => ({
      jump: / -j (\S+)/.exec(rule)?.[1] ?? '',
      matchSet: / --match-set (\S+)/.exec(rule)?.[1] ?? '',
    }))
    .map(jumpText);
  const kernelNames = new Map<string, string>([...program.ipsets].map(([name, set]) => [name, set.kernelName]));
  const named = expected.map((text) => text.replace(/\S+$/, (name) => kernelNames.get(name) ?? name));
  return compareLists(`chain ${chain}`, named, got);
}

function checkExpect(expect: GoldenExpect, program: IpvsProgram): string[] {
  const failures: string[] = [];
  const metric = expect.syncProxyRulesNoLocalEndpointsTotal;
  const got = program.noLocalEndpoints;
  if (metric !== undefined && (metric.internal !== got.internal || metric.external !== got.external)) {
    failures.push(
      `traffic without local endpoints: expected ${metric.internal} internal and ${metric.external} external, ` +
        `got ${got.internal} and ${got.external}`,
    );
  }
  const dump = `${program.ipvsText()}${program.ipsetText()}${program.restoreText()}`;
  for (const text of expect.contains ?? []) if (!dump.includes(text)) failures.push(`the dumps lack ${text}`);
  for (const text of expect.notContains ?? [])
    if (dump.includes(text)) failures.push(`the dumps must not contain ${text}`);
  const foreign = [
    ['sepDnatLines', expect.sepDnatLines],
    ['commented', expect.commented],
    ['natKubeServicesRuleForLBIP', expect.natKubeServicesRuleForLBIP],
    ['natRulesTotalMetric', expect.natRulesTotalMetric],
    ['lastTransactionOperations', expect.lastTransactionOperations],
  ] as const;
  for (const [key, value] of foreign) {
    if (value !== undefined && value !== null) failures.push(`${key} has no meaning for IPVS`);
  }
  return failures;
}

/** Virtual servers found at start: those of `activeServices` have a Service, of the others some are nobody's business. */
export function checkLegacy({ input, expected }: Body<'legacy'>): string[] {
  const config = proxyConfig(input.proxy);
  const virtualServers = input.currentServices.map((server) => ({
    address: address(server.address),
    protocol: server.protocol.toLowerCase() as Protocol,
    port: server.port,
    scheduler: server.scheduler,
    flags: flagBits(server.flags ?? 0),
    timeoutSeconds: server.timeout ?? 0,
    realServers: (server.realServers ?? []).map((real) => ({
      ...real,
      address: address(real.address),
      weight: real.weight ?? 1,
    })),
  }));
  const active = input.activeServices.map((name): ServiceObject => {
    const server = input.currentServices.find((each) => each.name === name);
    if (server === undefined) throw new InputError(`"activeServices" names "${name}", which is no current service.`);
    const port = { protocol: server.protocol.toUpperCase() as 'TCP', port: server.port };
    const spec = { clusterIP: server.address, ports: [port] };
    return { apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'ns1', name }, spec };
  });
  const services = serviceConfigs(active, [], config);
  const programmer = new IpvsProgrammer(config, { virtualServers });
  const program = programmer.sync(services, { full: true, changed: new Set(), nowSeconds: 0 });
  const remaining = input.currentServices.filter((server) =>
    program.virtualServers.some((held) => held.address === address(server.address) && held.port === server.port),
  );
  return compareSets(
    'remaining virtual servers',
    expected.remaining,
    remaining.map(({ name }) => name),
  );
}

export function checkGraceful({ cases }: Body<'graceful'>): string[] {
  return cases.flatMap(({ input, expected }) => {
    const virtual = virtualServerOf(input.virtualServer);
    const { activeConn, inactiveConn, ...real } = input.realServerInKernel;
    const server = { ...real, address: address(real.address), activeConn, inactConn: inactiveConn };
    const kernel = {
      virtualServers: [{ ...virtual, scheduler: 'rr', flags: 0, timeoutSeconds: 0, realServers: [server] }],
    };
    const programmer = new IpvsProgrammer(proxyConfig({}), kernel);
    programmer.gracefulDelete(virtual, { address: address(input.request.address), port: input.request.port });
    const left = programmer.kernelState.virtualServers[0]?.realServers?.[0];
    const said = (result: string, weight: number | null): string => `${result}, weight ${weight ?? 'none'}`;
    return compareLists(
      `"${input.name}"`,
      [said(expected.result, expected.weightAfter)],
      [said(left === undefined ? 'deleted' : 'kept', left?.weight ?? null)],
    );
  });
}

/** `1.1.1.1:80/tcp`, IPv6 in brackets. */
function virtualServerOf(text: string): { address: string; protocol: Protocol; port: number } {
  const match = /^\[?([^\]]+?)\]?:(\d+)\/(tcp|udp|sctp)$/i.exec(text);
  if (match === null) throw new InputError(`"${text}" is no virtual server; expected ip:port/protocol.`);
  return { address: address(match[1]), protocol: match[3].toLowerCase() as Protocol, port: Number(match[2]) };
}

export function checkSyncService({ cases }: Body<'sync-service'>): string[] {
  return cases.flatMap(({ input, expected }) => {
    const existing = input.existing === null ? [] : [specOf(input.existing)];
    const kernel = { virtualServers: existing, boundAddresses: input.alreadyBound };
    const programmer = new IpvsProgrammer(proxyConfig({}), kernel);
    const action = programmer.syncVirtualServer(specOf(input.desired), input.bindAddr);
    const text = (server: ReturnType<typeof specOf>): string =>
      `${hostPort(server.address, server.port)}/${server.protocol} ${server.scheduler} flags ${server.flags} timeout ${server.timeoutSeconds}`;
    const failures = compareSets(
      `virtual servers of case ${input.case}`,
      expected.virtualServers.map((server) => text(specOf(server))),
      programmer.kernelState.virtualServers.map(text),
    );
    if (expected.action !== undefined && expected.action !== action) {
      failures.push(`action of case ${input.case}: expected ${expected.action}, got ${action}`);
    }
    return failures;
  });
}

function specOf(server: GoldenVirtualServer) {
  return {
    address: address(server.address),
    protocol: server.protocol.toLowerCase() as Protocol,
    port: server.port,
    scheduler: server.scheduler,
    flags: flagBits(server.flags),
    timeoutSeconds: server.timeout ?? 0,
  };
}

function address(text: string): string {
  const canonical = canonicalIp(text);
  if (canonical === undefined) throw new InputError(`"${text}" is no IP address.`);
  return canonical;
}
