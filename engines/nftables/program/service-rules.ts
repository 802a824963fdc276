/** Chains, rules and elements of one service port (kube-proxy pkg/proxy/nftables/proxier.go syncProxyRules, per service port). */
import { cidrContainsIp } from '../../../model/ip-text.ts';
import type { EndpointConfig, ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { hostPort, portNameText } from '../../../model/service-config.ts';
import type { EndpointCategories } from '../../proxy/topology.ts';
import { categorizeEndpoints, externallyAccessible } from '../../proxy/topology.ts';
import type { EndpointNames, NameCache, ServiceChainNames } from './names.ts';
import type { Statement, Verdict } from './rules.ts';
import { buildRule, goTo, jump } from './rules.ts';
import type { SyncWriter } from './sync-writer.ts';
import {
  CLUSTER_IPS,
  FIREWALL_IPS,
  MARK_CHAIN,
  NO_ENDPOINT_NODE_PORTS,
  NO_ENDPOINT_SERVICES,
  REJECT_CHAIN,
  SERVICE_IPS,
  SERVICE_NODE_PORTS,
  addressType,
} from './setup.ts';

export interface ServicePortContext {
  readonly config: ProxyConfig;
  readonly names: NameCache;
  readonly writer: SyncWriter;
  /** The Service did not change: its chains stay as they are; elements are still compared. */
  readonly keepChains: boolean;
  /** Whether this endpoint's chain is in the kernel as it should be, although the service is written. */
  readonly keepEndpointChain: (names: EndpointNames, hasAffinity: boolean) => boolean;
}

export interface ServicePortResult {
  /** Endpoints exist, but none on this node, where the policy for traffic from inside or outside is Local. */
  readonly noLocalInternal: boolean;
  readonly noLocalExternal: boolean;
}

/** What the rules of one service port follow from. */
interface Plan {
  readonly svc: ServicePortConfig;
  readonly chains: ServiceChainNames;
  readonly endpoints: EndpointCategories;
  readonly reachable: readonly (readonly [EndpointConfig, EndpointNames])[];
  readonly hasAffinity: boolean;
  readonly hasInternal: boolean;
  readonly hasExternal: boolean;
  readonly internalChain: string;
  readonly externalPolicyChain: string;
  readonly usesExternal: boolean;
  readonly usesFirewall: boolean;
}

export function writeServicePort(svc: ServicePortConfig, context: ServicePortContext): ServicePortResult {
  const plan = planServicePort(svc, context);
  ensureChains(plan, context);
  ensureElements(plan, context.writer);
  if (!context.keepChains) {
    writeEntryRules(plan, context);
    if (plan.hasAffinity) writeAffinitySets(plan, context);
    writeBalancing(plan.chains.cluster, plan.endpoints.cluster, plan, context);
    writeBalancing(plan.chains.local, plan.endpoints.local, plan, context);
    writeEndpointChains(plan, context);
  }
  return {
    noLocalInternal: plan.endpoints.hasAny && !plan.hasInternal,
    noLocalExternal: plan.endpoints.hasAny && !plan.hasExternal,
  };
}

function planServicePort(svc: ServicePortConfig, { config, names }: ServicePortContext): Plan {
  const endpoints = categorizeEndpoints(svc, config.zone, config.nodeName);
  const chains = names.service(svc);
  const noneLocal = endpoints.local.length === 0;
  return {
    svc,
    chains,
    endpoints,
    reachable: endpoints.reachable.map((endpoint) => [endpoint, names.endpoint(svc, endpoint)] as const),
    hasAffinity: svc.affinitySeconds > 0,
    hasInternal: endpoints.hasAny && !(svc.internalPolicyLocal && noneLocal),
    hasExternal: endpoints.hasAny && !(svc.externalPolicyLocal && noneLocal),
    internalChain: svc.internalPolicyLocal ? chains.local : chains.cluster,
    externalPolicyChain: svc.externalPolicyLocal ? chains.local : chains.cluster,
    // Also without endpoints for outside traffic: the short circuits for pods and for this node are in it.
    usesExternal: endpoints.hasAny && externallyAccessible(svc),
    // Whether or not there are endpoints.
    usesFirewall: svc.loadBalancerVips.length > 0 && svc.loadBalancerSourceRanges.length > 0,
  };
}

function ensureChains(plan: Plan, { writer, keepChains, keepEndpointChain }: ServicePortContext): void {
  const { chains, endpoints, hasAffinity } = plan;
  for (const [, names] of plan.reachable) {
    writer.ensureChain(names.chain, keepChains || keepEndpointChain(names, hasAffinity));
    if (hasAffinity) writer.activeAffinitySets.add(names.affinitySet);
  }
  if (endpoints.cluster.length > 0) writer.ensureChain(chains.cluster, keepChains);
  if (endpoints.local.length > 0) writer.ensureChain(chains.local, keepChains);
  if (plan.usesExternal) writer.ensureChain(chains.external, keepChains);
  if (plan.usesFirewall) writer.ensureChain(chains.firewall, keepChains);
}

function ensureElements(plan: Plan, writer: SyncWriter): void {
  const { svc, chains, endpoints, hasInternal, hasExternal } = plan;
  // Refused where there is no endpoint at all, dropped where there is one elsewhere.
  const closed: Verdict = endpoints.hasAny ? { kind: 'drop' } : { kind: 'goto', chain: REJECT_CHAIN };
  const toExternal: Verdict = { kind: 'goto', chain: chains.external };
  const name = portNameText(svc);
  const key = (ip: string): string => `${ip} . ${svc.protocol} . ${svc.port}`;

  writer.ensureElement(CLUSTER_IPS, svc.clusterIp);
  if (hasInternal) writer.ensureElement(SERVICE_IPS, key(svc.clusterIp), { kind: 'goto', chain: plan.internalChain });
  else writer.ensureElement(NO_ENDPOINT_SERVICES, key(svc.clusterIp), closed, name);

  for (const ip of svc.externalIps) {
    if (endpoints.hasAny) writer.ensureElement(SERVICE_IPS, key(ip), toExternal);
    if (!hasExternal) writer.ensureElement(NO_ENDPOINT_SERVICES, key(ip), closed, name);
  }
  for (const vip of svc.loadBalancerVips) {
    if (endpoints.hasAny) writer.ensureElement(SERVICE_IPS, key(vip), toExternal);
    if (plan.usesFirewall) writer.ensureElement(FIREWALL_IPS, key(vip), { kind: 'goto', chain: chains.firewall });
  }
  if (!hasExternal) {
    for (const vip of svc.loadBalancerVips) writer.ensureElement(NO_ENDPOINT_SERVICES, key(vip), closed, name);
  }
  if (svc.nodePort !== 0) {
    // Source ranges do not hold for node ports.
    const nodePortKey = `${svc.protocol} . ${svc.nodePort}`;
    if (endpoints.hasAny) writer.ensureElement(SERVICE_NODE_PORTS, nodePortKey, toExternal);
    if (!hasExternal) writer.ensureElement(NO_ENDPOINT_NODE_PORTS, nodePortKey, closed, name);
  }
}

/** What a packet meets first in the service's chains: masquerading, the external chain, the firewall chain. */
function writeEntryRules(plan: Plan, context: ServicePortContext): void {
  const { config, writer } = context;
  const { svc, chains } = plan;
  const detector = config.localDetector.kind !== 'none';
  if (plan.hasInternal && (config.masqueradeAll || detector)) {
    const toClusterIp: Statement = {
      kind: 'address',
      field: 'daddr',
      negated: false,
      blocks: [svc.clusterIp],
      form: 'single',
    };
    // Nothing but the cluster IP's own port leads here; kube-proxy tested it all the same before kubernetes PR 131492.
    const port: Statement = { kind: 'destination-port', protocol: svc.protocol, port: svc.port };
    const toPort = config.kubeProxy.nftablesClusterIpPort ? [port] : [];
    const fromOutside = config.masqueradeAll ? [] : [fromPod(config, true)];
    const matches = [toClusterIp, ...toPort, ...fromOutside];
    writer.addRule(plan.internalChain, buildRule(config.ipFamily, [...matches, jump(MARK_CHAIN)]));
  }
  if (plan.usesExternal) writeExternalChain(plan, context);
  if (plan.usesFirewall) {
    const drop: Statement = { kind: 'verdict', verdict: { kind: 'drop' } };
    writer.addRule(chains.firewall, buildRule(config.ipFamily, [notFrom(allowedSources(svc, config)), drop]));
  }
}

function writeExternalChain(plan: Plan, { config, writer }: ServicePortContext): void {
  const { svc, chains } = plan;
  const add = (statements: readonly Statement[], comment?: string): void =>
    writer.addRule(chains.external, buildRule(config.ipFamily, statements, comment));
  if (!svc.externalPolicyLocal) {
    add([jump(MARK_CHAIN)]);
  } else {
    // As if the packet went out to the load balancer and came back: to any endpoint, whatever the policy.
    if (config.localDetector.kind !== 'none') {
      add([fromPod(config, false), goTo(chains.cluster)], 'short-circuit pod traffic');
    }
    const fromHere: Statement = { kind: 'fib-local', field: 'saddr' };
    add([fromHere, jump(MARK_CHAIN)], 'masquerade local traffic');
    add([fromHere, goTo(chains.cluster)], 'short-circuit local traffic');
  }
  if (plan.hasExternal) add([goTo(plan.externalPolicyChain)]);
}

/** Matches traffic of this node's pods, or all other traffic (kube-proxy pkg/proxy/util/localdetector.go, nft forms). */
function fromPod(config: ProxyConfig, negated: boolean): Statement {
  const detector = config.localDetector;
  switch (detector.kind) {
    case 'cidr':
      return { kind: 'address', field: 'saddr', negated, blocks: [detector.cidr], form: 'single' };
    case 'bridge':
      return { kind: 'interface', negated, name: detector.name };
    case 'prefix':
      return { kind: 'interface', negated, name: `${detector.name}*` };
    case 'none':
      throw new Error('Assertion failed: without a local detector nothing tells pods from other sources');
  }
}

/** A node that may reach the load balancer sends to itself from the VIP where the VIP is one of its addresses. */
function allowedSources(svc: ServicePortConfig, config: ProxyConfig): readonly string[] {
  const ranges = svc.loadBalancerSourceRanges;
  const nodeAllowed = ranges.some((range) => cidrContainsIp(range, config.nodeIp));
  return nodeAllowed ? [...ranges, ...svc.loadBalancerVips] : ranges;
}

function notFrom(blocks: readonly string[]): Statement {
  return { kind: 'address', field: 'saddr', negated: true, blocks, form: 'spaced' };
}

function writeAffinitySets(plan: Plan, { config, writer }: ServicePortContext): void {
  for (const [, names] of plan.reachable) {
    writer.addSet({
      kind: 'set',
      name: names.affinitySet,
      type: addressType(config.ipFamily),
      flags: 'dynamic,timeout',
      timeoutSeconds: plan.svc.affinitySeconds,
      comment: '',
    });
  }
}

function writeBalancing(
  chain: string,
  endpoints: readonly EndpointConfig[],
  plan: Plan,
  { config, names, writer }: ServicePortContext,
): void {
  if (endpoints.length === 0) return;
  const targets = endpoints.map((endpoint) => names.endpoint(plan.svc, endpoint));
  if (plan.hasAffinity) {
    for (const { affinitySet, chain: target } of targets) {
      const seen: Statement = { kind: 'address-set', field: 'saddr', set: affinitySet };
      writer.addRule(chain, buildRule(config.ipFamily, [seen, goTo(target)]));
    }
  }
  const balance: Statement = { kind: 'balance', chains: targets.map((target) => target.chain) };
  writer.addRule(chain, buildRule(config.ipFamily, [balance]));
}

function writeEndpointChains(plan: Plan, { config, writer, keepEndpointChain }: ServicePortContext): void {
  const family = config.ipFamily;
  for (const [endpoint, names] of plan.reachable) {
    if (keepEndpointChain(names, plan.hasAffinity)) continue;
    const fromItself: Statement = {
      kind: 'address',
      field: 'saddr',
      negated: false,
      blocks: [endpoint.address],
      form: 'single',
    };
    writer.addRule(names.chain, buildRule(family, [fromItself, jump(MARK_CHAIN)]));
    if (plan.hasAffinity) {
      writer.addRule(names.chain, buildRule(family, [{ kind: 'update-affinity', set: names.affinitySet }]));
    }
    writer.addRule(
      names.chain,
      buildRule(family, [
        { kind: 'protocol', protocol: plan.svc.protocol },
        { kind: 'dnat', to: hostPort(endpoint.address, endpoint.port) },
      ]),
    );
  }
}
