/** The rules of one service port in iptables mode, in the order in which kube-proxy writes them (README 5; proxier.go syncProxyRules). */
import { cidrContains } from '../../model/address.ts';
import { servicePortName } from '../../model/cluster.ts';
import type { Endpoint, NodeSpec, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { endpointLists, extrasOf, isFromOutside, partyText } from './endpoints.ts';
import type { EndpointLists } from './endpoints.ts';
import { endpointChain, externalChain, firewallChain, localChain, serviceChain } from './iptables-chains.ts';
import { comment, hasLocalhostNodePorts, host, jump, LOOPBACK } from './iptables-rules.ts';
import type { RestoreInput, WriteOptions } from './iptables-rules.ts';
import type { Match, Rule, Target } from './netfilter.ts';

const MARK_MASQ = jump('KUBE-MARK-MASQ');

/** What kube-proxy decides about a service port before it writes. */
interface Plan {
  readonly svc: ServicePort;
  readonly extras: ServiceExtras;
  readonly name: string;
  readonly lists: EndpointLists;
  readonly hasInternal: boolean;
  readonly hasExternal: boolean;
  readonly usesExternal: boolean;
  readonly usesFirewall: boolean;
  readonly internalChain: string;
  readonly policyChain: string;
  /** The masquerade rule of external traffic stands in front of the jumps to KUBE-EXT. */
  readonly marksAtDispatch: boolean;
}

function planOf(svc: ServicePort, { node, options }: WriteOptions): Plan {
  const extras = extrasOf(svc);
  const lists = endpointLists(svc, node);
  const hasLocal = lists.hasAny && lists.local.length > 0;
  const { loadBalancerVips, loadBalancerSourceRanges } = extras;
  const usesExternal = lists.hasAny && isFromOutside(svc);
  const dispatch = options.kubeProxy.masqueradeRules === 'dispatch';
  return {
    svc,
    extras,
    name: servicePortName(svc),
    lists,
    hasInternal: extras.internalPolicyLocal ? hasLocal : lists.hasAny,
    hasExternal: extras.externalPolicyLocal ? hasLocal : lists.hasAny,
    usesExternal,
    usesFirewall: lists.hasAny && loadBalancerVips.length > 0 && loadBalancerSourceRanges.length > 0,
    internalChain: extras.internalPolicyLocal ? localChain(svc) : serviceChain(svc),
    policyChain: extras.externalPolicyLocal ? localChain(svc) : serviceChain(svc),
    marksAtDispatch: dispatch && usesExternal && loadBalancerVips.length === 0 && !extras.externalPolicyLocal,
  };
}

/** The service port's own chains that are in use. */
export function usedChains(svc: ServicePort, write: WriteOptions): string[] {
  const { lists, usesExternal, usesFirewall } = planOf(svc, write);
  const chains = lists.reachable.map((endpoint) => endpointChain(svc, endpoint));
  if (lists.cluster.length > 0) chains.push(serviceChain(svc));
  if (lists.local.length > 0) chains.push(localChain(svc));
  if (usesExternal) chains.push(externalChain(svc));
  if (usesFirewall) chains.push(firewallChain(svc));
  return chains;
}

function add(table: Map<string, Rule[]>, chain: string, rule: Rule): void {
  const rules = table.get(chain);
  if (rules === undefined) table.set(chain, [rule]);
  else rules.push(rule);
}

/** `m -d address --dport port` under a comment. */
function toVirtual({ svc }: Plan, text: string, address: number, target: Target): Rule {
  const matches: Match[] = [comment(text), { kind: 'transport', dport: svc.port }];
  return { protocol: svc.protocol, dst: host(address), matches, target, servicePortId: svc.id };
}

/** Nobody serves, or nobody does on this node. */
function refusal({ lists, name }: Plan): { text: string; target: Target } {
  if (lists.hasAny) return { text: `${name} has no local endpoints`, target: { kind: 'DROP' } };
  return { text: `${name} has no endpoints`, target: { kind: 'REJECT' } };
}

/** Rules in the chains that all service ports share: every sync writes them. */
export function writeEntrances(input: RestoreInput, svc: ServicePort, write: WriteOptions): void {
  const plan = planOf(svc, write);
  const { nat, filter } = input;
  const { name, extras } = plan;
  const refused = refusal(plan);
  if (plan.hasInternal) {
    const masquerade = clusterIpMasquerade(plan, write);
    if (write.options.kubeProxy.masqueradeRules === 'dispatch' && masquerade !== undefined) {
      add(nat, 'KUBE-SERVICES', masquerade);
    }
    add(nat, 'KUBE-SERVICES', toVirtual(plan, `${name} cluster IP`, svc.clusterIp, jump(plan.internalChain)));
  } else add(filter, 'KUBE-SERVICES', toVirtual(plan, refused.text, svc.clusterIp, refused.target));

  const refuse = (address: number): void => {
    if (plan.hasExternal) return;
    add(filter, 'KUBE-EXTERNAL-SERVICES', toVirtual(plan, refused.text, address, refused.target));
  };
  for (const address of extras.externalIps) {
    const text = `${name} external IP`;
    if (plan.marksAtDispatch) add(nat, 'KUBE-SERVICES', toVirtual(plan, text, address, MARK_MASQ));
    if (plan.lists.hasAny) add(nat, 'KUBE-SERVICES', toVirtual(plan, text, address, jump(externalChain(svc))));
    refuse(address);
  }
  for (const address of extras.loadBalancerVips) {
    const chain = plan.usesFirewall ? firewallChain(svc) : externalChain(svc);
    if (plan.lists.hasAny) {
      add(nat, 'KUBE-SERVICES', toVirtual(plan, `${name} loadbalancer IP`, address, jump(chain)));
    }
    if (plan.usesFirewall) {
      const text = `${name} traffic not accepted by ${firewallChain(svc)}`;
      add(filter, 'KUBE-PROXY-FIREWALL', toVirtual(plan, text, address, { kind: 'DROP' }));
    }
  }
  for (const address of extras.loadBalancerVips) refuse(address);
  if (svc.nodePort > 0) writeNodePort(input, plan, write);
  if (extras.healthCheckNodePort > 0) {
    const text = comment(`${name} health check node port`);
    const matches: Match[] = [text, { kind: 'transport', dport: extras.healthCheckNodePort }];
    const target: Target = { kind: 'ACCEPT' };
    add(filter, 'KUBE-NODEPORTS', { protocol: PROTOCOL_TCP, matches, target, servicePortId: svc.id });
  }
}

function writeNodePort({ nat, filter }: RestoreInput, plan: Plan, { options }: WriteOptions): void {
  const { svc, name } = plan;
  const common = { protocol: svc.protocol, servicePortId: svc.id };
  const toPort: Match = { kind: 'transport', dport: svc.nodePort };
  const matches: Match[] = [comment(name), toPort];
  const target = jump(externalChain(svc));
  if (plan.marksAtDispatch) add(nat, 'KUBE-NODEPORTS', { ...common, matches, target: MARK_MASQ });
  if (plan.lists.hasAny) {
    if (options.nfacct.localhostNodePorts && hasLocalhostNodePorts(options)) {
      const counted: Match[] = [...matches, { kind: 'nfacct', name: 'localhost_nps_accepted_pkts' }];
      add(nat, 'KUBE-NODEPORTS', { ...common, dst: LOOPBACK, matches: counted, target });
    }
    add(nat, 'KUBE-NODEPORTS', { ...common, matches, target });
  }
  if (!plan.hasExternal) {
    const refused = refusal(plan);
    const external: Match[] = [comment(refused.text), { kind: 'dst-local' }, toPort];
    add(filter, 'KUBE-EXTERNAL-SERVICES', { ...common, matches: external, target: refused.target });
  }
}

/** Chains of the service port alone: a partial sync writes them when it has changed. */
export function writeOwnChains({ nat }: RestoreInput, svc: ServicePort, write: WriteOptions): void {
  const plan = planOf(svc, write);
  const { lists } = plan;
  if (plan.usesExternal) nat.set(externalChain(svc), externalRules(plan, write.node));
  if (plan.usesFirewall) nat.set(firewallChain(svc), firewallRules(plan, write.node));
  for (const [chain, endpoints] of [
    [serviceChain(svc), lists.cluster],
    [localChain(svc), lists.local],
  ] as const) {
    if (endpoints.length === 0) continue;
    const rules = loadBalancing(plan, endpoints, write);
    const masquerade = clusterIpMasquerade(plan, write);
    const isEntry = plan.hasInternal && chain === plan.internalChain;
    if (isEntry && write.options.kubeProxy.masqueradeRules === 'service' && masquerade !== undefined) {
      rules.unshift(masquerade);
    }
    nat.set(chain, rules);
  }
  for (const endpoint of lists.reachable) nat.set(endpointChain(svc, endpoint), endpointRules(plan, endpoint, write));
}

/** `-s clusterCidr`, `-i cni0`, or the negation; undefined when kube-proxy cannot tell pods from others. */
function detector(node: NodeSpec, not: boolean): Pick<Rule, 'src' | 'notSrc' | 'fromPod'> | undefined {
  const { podInterface, clusterCidr } = node;
  if (podInterface !== undefined) {
    return { fromPod: { name: podInterface.kind === 'prefix' ? `${podInterface.name}+` : podInterface.name, not } };
  }
  return clusterCidr === undefined ? undefined : { src: clusterCidr, notSrc: not };
}

function clusterIpMasquerade(plan: Plan, { node, options }: WriteOptions): Rule | undefined {
  const rule = toVirtual(plan, `${plan.name} cluster IP`, plan.svc.clusterIp, MARK_MASQ);
  if (options.masqueradeAll) return rule;
  const outside = detector(node, true);
  return outside === undefined ? undefined : { ...rule, ...outside };
}

/** KUBE-EXT. */
function externalRules(plan: Plan, node: NodeSpec): Rule[] {
  const { svc, name } = plan;
  const own = { servicePortId: svc.id };
  const rules: Rule[] = [];
  const toAll = jump(serviceChain(svc));
  if (plan.extras.externalPolicyLocal) {
    const pod = detector(node, false);
    if (pod !== undefined) {
      rules.push({
        ...own,
        ...pod,
        matches: [comment(`pod traffic for ${name} external destinations`)],
        target: toAll,
      });
    }
    const isLocal: Match = { kind: 'src-local' };
    const masquerade = comment(`masquerade LOCAL traffic for ${name} external destinations`);
    const route = comment(`route LOCAL traffic for ${name} external destinations`);
    rules.push({ ...own, matches: [masquerade, isLocal], target: MARK_MASQ });
    rules.push({ ...own, matches: [route, isLocal], target: toAll });
  } else if (!plan.marksAtDispatch) {
    const says = comment(`masquerade traffic for ${name} external destinations`);
    rules.push({ ...own, matches: [says], target: MARK_MASQ });
  }
  if (plan.hasExternal) rules.push({ ...own, matches: [], target: jump(plan.policyChain) });
  return rules;
}

/** KUBE-FW. */
function firewallRules({ svc, extras, name }: Plan, node: NodeSpec): Rule[] {
  const { loadBalancerVips, loadBalancerSourceRanges } = extras;
  const allowed = {
    matches: [comment(`${name} loadbalancer IP`)],
    target: jump(externalChain(svc)),
    servicePortId: svc.id,
  };
  const rules: Rule[] = loadBalancerSourceRanges.map((src) => ({ ...allowed, src }));
  // The node's own requests to the VIP may come back with the VIP as their source.
  if (loadBalancerSourceRanges.some((range) => cidrContains(range, node.addresses[0]))) {
    for (const vip of loadBalancerVips) rules.push({ ...allowed, src: host(vip) });
  }
  const other = comment(`other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL`);
  rules.push({ matches: [other], target: { kind: 'none' }, servicePortId: svc.id });
  return rules;
}

function optional(text: string, { largeCluster }: WriteOptions): Match[] {
  return largeCluster ? [] : [comment(text)];
}

/** KUBE-SVC and KUBE-SVL after their masquerade rule. */
function loadBalancing({ svc, extras, name }: Plan, endpoints: readonly Endpoint[], write: WriteOptions): Rule[] {
  const rules: Rule[] = [];
  const seconds = extras.affinitySeconds;
  const toEndpoint = (endpoint: Endpoint, match: Match | undefined): Rule => {
    const matches = optional(`${name} -> ${partyText(endpoint)}`, write);
    if (match !== undefined) matches.push(match);
    return { matches, target: jump(endpointChain(svc, endpoint)), servicePortId: svc.id };
  };
  if (seconds > 0) {
    for (const endpoint of endpoints) {
      rules.push(toEndpoint(endpoint, { kind: 'recent check', list: endpointChain(svc, endpoint), seconds }));
    }
  }
  endpoints.forEach((endpoint, i) => {
    const left = endpoints.length - i;
    const drawn: Match = { kind: 'statistic', probability: (1 / left).toFixed(10) };
    rules.push(toEndpoint(endpoint, left > 1 ? drawn : undefined));
  });
  return rules;
}

/** KUBE-SEP. */
function endpointRules({ svc, extras, name }: Plan, endpoint: Endpoint, write: WriteOptions): Rule[] {
  const own = { servicePortId: svc.id };
  const hairpin: Rule = { ...own, src: host(endpoint.address), matches: optional(name, write), target: MARK_MASQ };
  const matches = optional(name, write);
  if (extras.affinitySeconds > 0) matches.push({ kind: 'recent set', list: endpointChain(svc, endpoint) });
  matches.push({ kind: 'transport' });
  const to = { address: endpoint.address, port: endpoint.port };
  return [hairpin, { ...own, protocol: svc.protocol, matches, target: { kind: 'DNAT', to } }];
}
