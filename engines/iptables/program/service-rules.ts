/**
 * The rules of one service port (kube-proxy pkg/proxy/iptables/proxier.go syncProxyRules, writeServiceToEndpointRules): those in the
 * chains that all share, and its own chains in the nat table.
 */
import { cidrContainsIp } from '../../../model/ip-text.ts';
import type { EndpointConfig, ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { hostPort, portNameText } from '../../../model/service-config.ts';
import { assert } from '../../../sim/assert.ts';
import type { EndpointCategories } from '../../proxy/topology.ts';
import { categorizeEndpoints, externallyAccessible } from '../../proxy/topology.ts';
import { portProtoHash, servicePortEndpointHash } from './chain-names.ts';
import { probabilityText } from '../probability.ts';
import { hasLocalhostCounter } from './node-ports.ts';
import type { Match, Rule, Target } from './rules.ts';
import { comment, destination, destinationPort, jump, rule, source } from './rules.ts';

export interface ServicePortRules {
  /** Rules for shared chains, with the `table/CHAIN` that each goes to, in the order of writing. */
  readonly shared: readonly (readonly [string, Rule])[];
  /** Chains of the nat table that belong to this service port alone. */
  readonly chains: readonly (readonly [string, readonly Rule[]])[];
  /** A Local policy has endpoints somewhere but none here: counted in kube-proxy's no_local_endpoints_total metrics. */
  readonly noLocalInternal: boolean;
  readonly noLocalExternal: boolean;
}

/** What kube-proxy decides about a service port before it writes. */
interface Plan {
  readonly svc: ServicePortConfig;
  readonly config: ProxyConfig;
  readonly endpoints: EndpointCategories;
  readonly name: string;
  readonly protocol: Match;
  readonly clusterChain: string;
  readonly localChain: string;
  readonly externalChain: string;
  readonly firewallChain: string;
  /** KUBE-SEP chains of the reachable endpoints. */
  readonly endpointChains: ReadonlyMap<EndpointConfig, string>;
  readonly hasInternal: boolean;
  readonly hasExternal: boolean;
  readonly usesExternal: boolean;
  readonly usesFirewall: boolean;
  /** Comments on rules of endpoints, which a large cluster does without. */
  readonly commented: boolean;
}

const MARK_MASQ = jump('KUBE-MARK-MASQ');

/** `commented` is false in large-cluster mode. */
export function servicePortRules(svc: ServicePortConfig, config: ProxyConfig, commented: boolean): ServicePortRules {
  const plan = planServicePort(svc, config, commented);
  return {
    shared: [...clusterIpDispatch(plan), ...externalDispatch(plan), ...nodePortDispatch(plan)],
    chains: ownChains(plan),
    noLocalInternal: plan.endpoints.hasAny && !plan.hasInternal,
    noLocalExternal: plan.endpoints.hasAny && !plan.hasExternal,
  };
}

function planServicePort(svc: ServicePortConfig, config: ProxyConfig, commented: boolean): Plan {
  const endpoints = categorizeEndpoints(svc, config.zone, config.nodeName);
  const name = portNameText(svc);
  const hash = portProtoHash(name, svc.protocol);
  const { hasAny } = endpoints;
  const hasLocal = hasAny && endpoints.local.length > 0;
  return {
    svc,
    config,
    endpoints,
    name,
    protocol: { kind: 'protocol', protocol: svc.protocol },
    clusterChain: `KUBE-SVC-${hash}`,
    localChain: `KUBE-SVL-${hash}`,
    externalChain: `KUBE-EXT-${hash}`,
    firewallChain: `KUBE-FW-${hash}`,
    endpointChains: new Map(
      endpoints.reachable.map((endpoint) => [
        endpoint,
        `KUBE-SEP-${servicePortEndpointHash(name, svc.protocol, hostPort(endpoint.address, endpoint.port))}`,
      ]),
    ),
    hasInternal: svc.internalPolicyLocal ? hasLocal : hasAny,
    hasExternal: svc.externalPolicyLocal ? hasLocal : hasAny,
    usesExternal: hasAny && externallyAccessible(svc),
    usesFirewall: hasAny && svc.loadBalancerVips.length > 0 && svc.loadBalancerSourceRanges.length > 0,
    commented,
  };
}

type SharedRule = readonly [string, Rule];

function toVip({ protocol, svc }: Plan, vip: string): readonly Match[] {
  return [protocol, destination(vip), destinationPort(svc.port)];
}

/** The comment and the target of a rule that turns packets away: nobody serves them, or nobody does on this node. */
function refusal({ name, endpoints }: Plan): readonly [Match, Target] {
  return endpoints.hasAny
    ? [comment(`${name} has no local endpoints`), { kind: 'DROP' }]
    : [comment(`${name} has no endpoints`), { kind: 'REJECT' }];
}

function internalChain({ svc, clusterChain, localChain }: Plan): string {
  return svc.internalPolicyLocal ? localChain : clusterChain;
}

/** kube-proxy before kubernetes PR 96959 wrote the masquerade rules in front of the jumps that they belong to. */
function marksInDispatch({ config }: Plan): boolean {
  return config.kubeProxy.masqueradeRules === 'dispatch';
}

/** KUBE-EXT keeps its own where a load balancer's address leads there, perhaps by way of KUBE-FW. */
function marksExternalInDispatch(plan: Plan): boolean {
  const { svc } = plan;
  return marksInDispatch(plan) && !svc.externalPolicyLocal && svc.loadBalancerVips.length === 0;
}

function clusterIpDispatch(plan: Plan): SharedRule[] {
  const matches = toVip(plan, plan.svc.clusterIp);
  if (plan.hasInternal) {
    const text = comment(`${plan.name} cluster IP`);
    const dispatch: SharedRule = ['nat/KUBE-SERVICES', rule(jump(internalChain(plan)), text, ...matches)];
    if (!marksInDispatch(plan)) return [dispatch];
    return [...clusterIpMasquerade(plan).map((mark): SharedRule => ['nat/KUBE-SERVICES', mark]), dispatch];
  }
  const [text, target] = refusal(plan);
  return [['filter/KUBE-SERVICES', rule(target, text, ...matches)]];
}

function externalDispatch(plan: Plan): SharedRule[] {
  const { svc, name, externalChain, firewallChain } = plan;
  const [refused, refusalTarget] = refusal(plan);
  const refuse = (vip: string): SharedRule => [
    'filter/KUBE-EXTERNAL-SERVICES',
    rule(refusalTarget, refused, ...toVip(plan, vip)),
  ];
  const rules: SharedRule[] = [];
  for (const ip of svc.externalIps) {
    if (plan.endpoints.hasAny) {
      const text = comment(`${name} external IP`);
      if (marksExternalInDispatch(plan)) {
        rules.push(['nat/KUBE-SERVICES', rule(MARK_MASQ, text, ...toVip(plan, ip))]);
      }
      rules.push(['nat/KUBE-SERVICES', rule(jump(externalChain), text, ...toVip(plan, ip))]);
    }
    if (!plan.hasExternal) rules.push(refuse(ip));
  }
  for (const vip of svc.loadBalancerVips) {
    if (plan.endpoints.hasAny) {
      const text = comment(`${name} loadbalancer IP`);
      const chain = plan.usesFirewall ? firewallChain : externalChain;
      rules.push(['nat/KUBE-SERVICES', rule(jump(chain), text, ...toVip(plan, vip))]);
    }
    if (plan.usesFirewall) {
      const text = comment(`${name} traffic not accepted by ${firewallChain}`);
      rules.push(['filter/KUBE-PROXY-FIREWALL', rule({ kind: 'DROP' }, text, ...toVip(plan, vip))]);
    }
  }
  if (!plan.hasExternal) for (const vip of svc.loadBalancerVips) rules.push(refuse(vip));
  return rules;
}

function nodePortDispatch(plan: Plan): SharedRule[] {
  const { svc, config, name, protocol } = plan;
  const rules: SharedRule[] = [];
  if (svc.nodePort !== 0) {
    const port = destinationPort(svc.nodePort);
    const toExternal = jump(plan.externalChain);
    if (plan.endpoints.hasAny) {
      if (marksExternalInDispatch(plan)) {
        rules.push(['nat/KUBE-NODEPORTS', rule(MARK_MASQ, comment(name), protocol, port)]);
      }
      if (hasLocalhostCounter(config)) {
        const counter: Match = { kind: 'nfacct', name: 'localhost_nps_accepted_pkts' };
        const matches = [comment(name), protocol, destination('127.0.0.0/8'), port, counter];
        rules.push(['nat/KUBE-NODEPORTS', rule(toExternal, ...matches)]);
      }
      rules.push(['nat/KUBE-NODEPORTS', rule(toExternal, comment(name), protocol, port)]);
    }
    if (!plan.hasExternal) {
      const [refused, target] = refusal(plan);
      const local: Match = { kind: 'destinationIsLocal' };
      rules.push(['filter/KUBE-EXTERNAL-SERVICES', rule(target, refused, local, protocol, port)]);
    }
  }
  if (svc.healthCheckNodePort !== 0) {
    const text = comment(`${name} health check node port`);
    const port = destinationPort(svc.healthCheckNodePort);
    const tcp: Match = { kind: 'protocol', protocol: 'tcp' };
    rules.push(['filter/KUBE-NODEPORTS', rule({ kind: 'ACCEPT' }, text, tcp, port)]);
  }
  return rules;
}

function ownChains(plan: Plan): (readonly [string, readonly Rule[]])[] {
  const { endpoints, clusterChain, localChain } = plan;
  const chains: (readonly [string, readonly Rule[]])[] = [];
  if (plan.usesExternal) chains.push([plan.externalChain, externalRules(plan)]);
  if (plan.usesFirewall) chains.push([plan.firewallChain, firewallRules(plan)]);
  for (const [chain, list] of [
    [clusterChain, endpoints.cluster],
    [localChain, endpoints.local],
  ] as const) {
    if (list.length === 0) continue;
    const isEntry = plan.hasInternal && chain === internalChain(plan) && !marksInDispatch(plan);
    const entry = isEntry ? clusterIpMasquerade(plan) : [];
    chains.push([chain, [...entry, ...loadBalancingRules(plan, list)]]);
  }
  for (const [endpoint, chain] of plan.endpointChains) chains.push([chain, endpointRules(plan, endpoint, chain)]);
  return chains;
}

/** Which packets come from a pod of this node or cluster, as the local detector sees it; `undefined` when there is none. */
function fromPod({ localDetector }: ProxyConfig, inverted: boolean): Match | undefined {
  switch (localDetector.kind) {
    case 'none':
      return undefined;
    case 'cidr':
      return source(localDetector.cidr, inverted);
    case 'bridge':
      return { kind: 'input', name: localDetector.name, inverted };
    case 'prefix':
      return { kind: 'input', name: `${localDetector.name}+`, inverted };
  }
}

function clusterIpMasquerade(plan: Plan): readonly Rule[] {
  const matches = [comment(`${plan.name} cluster IP`), ...toVip(plan, plan.svc.clusterIp)];
  if (plan.config.masqueradeAll) return [rule(MARK_MASQ, ...matches)];
  const notFromPod = fromPod(plan.config, true);
  return notFromPod === undefined ? [] : [rule(MARK_MASQ, ...matches, notFromPod)];
}

/** KUBE-EXT. Under the Local policy, pods and the node itself take the short way to all endpoints, as if they had gone out and come back in. */
function externalRules(plan: Plan): readonly Rule[] {
  const { svc, name, clusterChain, localChain } = plan;
  const rules: Rule[] = [];
  if (svc.externalPolicyLocal) {
    const pod = fromPod(plan.config, false);
    const local: Match = { kind: 'sourceIsLocal' };
    const all = jump(clusterChain);
    if (pod !== undefined) rules.push(rule(all, comment(`pod traffic for ${name} external destinations`), pod));
    rules.push(
      rule(MARK_MASQ, comment(`masquerade LOCAL traffic for ${name} external destinations`), local),
      rule(all, comment(`route LOCAL traffic for ${name} external destinations`), local),
    );
  } else if (!marksExternalInDispatch(plan)) {
    rules.push(rule(MARK_MASQ, comment(`masquerade traffic for ${name} external destinations`)));
  }
  if (plan.hasExternal) rules.push(rule(jump(svc.externalPolicyLocal ? localChain : clusterChain)));
  return rules;
}

/** KUBE-FW. What falls off its end was not translated, so that KUBE-PROXY-FIREWALL still sees the load balancer's address. */
function firewallRules({ svc, config, name, externalChain }: Plan): readonly Rule[] {
  const text = comment(`${name} loadbalancer IP`);
  const toExternal = jump(externalChain);
  const rules = svc.loadBalancerSourceRanges.map((range) => rule(toExternal, text, source(range)));
  // A load balancer that keeps the VIP on the node makes the node's own requests come back with the VIP as their source.
  const includesNode = svc.loadBalancerSourceRanges.some((range) => cidrContainsIp(range, config.nodeIp));
  if (includesNode) for (const vip of svc.loadBalancerVips) rules.push(rule(toExternal, text, source(vip)));
  const other = comment(`other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL`);
  return [...rules, rule({ kind: 'none' }, other)];
}

function endpointChain({ endpointChains }: Plan, endpoint: EndpointConfig): string {
  const chain = endpointChains.get(endpoint);
  assert(chain !== undefined, 'an endpoint that is used is reachable');
  return chain;
}

function loadBalancingRules(plan: Plan, endpoints: readonly EndpointConfig[]): readonly Rule[] {
  const { svc, name, commented } = plan;
  const rows = endpoints.map((endpoint) => ({
    chain: endpointChain(plan, endpoint),
    text: commented ? [comment(`${name} -> ${hostPort(endpoint.address, endpoint.port)}`)] : [],
  }));
  const rules: Rule[] = [];
  if (svc.affinitySeconds > 0) {
    for (const { chain, text } of rows) {
      rules.push(rule(jump(chain), ...text, { kind: 'recentCheck', list: chain, seconds: svc.affinitySeconds }));
    }
  }
  rows.forEach(({ chain, text }, i) => {
    const remaining = rows.length - i;
    const chance: Match[] = remaining > 1 ? [{ kind: 'statistic', probability: probabilityText(remaining) }] : [];
    rules.push(rule(jump(chain), ...text, ...chance));
  });
  return rules;
}

/** KUBE-SEP. A pod that reaches itself through the Service must see another source, or it would answer itself directly. */
function endpointRules(plan: Plan, endpoint: EndpointConfig, chain: string): readonly Rule[] {
  const text = plan.commented ? [comment(plan.name)] : [];
  const remember: Match[] = plan.svc.affinitySeconds > 0 ? [{ kind: 'recentSet', list: chain }] : [];
  return [
    rule(MARK_MASQ, ...text, source(endpoint.address)),
    rule({ kind: 'DNAT', endpoint: hostPort(endpoint.address, endpoint.port) }, ...text, ...remember, plan.protocol),
  ];
}
