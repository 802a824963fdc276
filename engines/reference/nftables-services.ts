/** What one service port wants of the table: chains with their rules, affinity sets, elements (README 9.2; proxier.go syncProxyRules). */
import { createHash } from 'node:crypto';
import { cidrContains, formatIpv4 } from '../../model/address.ts';
import { servicePortName } from '../../model/cluster.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import type { EngineOptions } from '../engine.ts';
import { endpointLists, extrasOf, isFromOutside } from './endpoints.ts';
import type { EndpointLists } from './endpoints.ts';
import {
  addressIs,
  dnatTo,
  DROP,
  fibLocal,
  fromPods,
  goTo,
  inSet,
  isProtocol,
  jump,
  numgen,
  rule,
  saddrNotAmong,
  toPort,
  update,
} from './nftables-rules.ts';
import type { NftRule, NftVerdict, Statement } from './nftables-rules.ts';

export interface WantedElement {
  readonly container: string;
  readonly key: string;
  readonly verdict?: NftVerdict;
  readonly comment: string;
}

export interface Wants {
  readonly owner: number;
  readonly chains: readonly { readonly name: string; readonly rules: readonly NftRule[] }[];
  readonly affinitySets: readonly string[];
  readonly affinitySeconds: number;
  readonly elements: readonly WantedElement[];
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const NAME_BYTES_MAX = 240;
const bases = new Map<string, string>();

/** `hash8-text`, cut when it is too long [hashAndTruncate]. */
function nameBase(text: string): string {
  const known = bases.get(text);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(text).digest();
  let bits = '';
  for (const byte of digest.subarray(0, 5)) bits += byte.toString(2).padStart(8, '0');
  let hash = '';
  for (let letter = 0; letter < 8; letter++) hash += BASE32[parseInt(bits.slice(letter * 5, letter * 5 + 5), 2)];
  let base = `${hash}-${text}`;
  if (base.length > NAME_BYTES_MAX) base = `${base.slice(0, NAME_BYTES_MAX - 3)}...`;
  bases.set(text, base);
  return base;
}

function serviceText(svc: ServicePort): string {
  return `${svc.namespace}/${svc.name}/${protocolName(svc.protocol)}/${svc.portName}`;
}

export function chainName(kind: 'service' | 'local' | 'external' | 'firewall', svc: ServicePort): string {
  return `${kind}-${nameBase(serviceText(svc))}`;
}

export function endpointName(kind: 'endpoint' | 'affinity', svc: ServicePort, endpoint: Endpoint): string {
  return `${kind}-${nameBase(`${serviceText(svc)}__${formatIpv4(endpoint.address)}/${endpoint.port}`)}`;
}

export function wantsOf(svc: ServicePort, node: NodeSpec, options: EngineOptions): Wants {
  return new Planner(svc, node, options).wants();
}

class Planner {
  readonly #svc: ServicePort;
  readonly #node: NodeSpec;
  readonly #options: EngineOptions;
  readonly #lists: EndpointLists;
  readonly #hasInternal: boolean;
  readonly #hasExternal: boolean;
  readonly #usesExternal: boolean;
  readonly #usesFirewall: boolean;
  readonly #hasAffinity: boolean;

  constructor(svc: ServicePort, node: NodeSpec, options: EngineOptions) {
    this.#svc = svc;
    this.#node = node;
    this.#options = options;
    this.#lists = endpointLists(svc, node);
    const { internalPolicyLocal, externalPolicyLocal, affinitySeconds, ...extras } = extrasOf(svc);
    const { hasAny, local } = this.#lists;
    this.#hasInternal = hasAny && !(internalPolicyLocal && local.length === 0);
    this.#hasExternal = hasAny && !(externalPolicyLocal && local.length === 0);
    this.#usesExternal = hasAny && isFromOutside(svc);
    this.#usesFirewall = extras.loadBalancerVips.length > 0 && extras.loadBalancerSourceRanges.length > 0;
    this.#hasAffinity = affinitySeconds > 0;
  }

  wants(): Wants {
    const { reachable, cluster, local } = this.#lists;
    const chains = reachable.map((endpoint) => ({
      name: endpointName('endpoint', this.#svc, endpoint),
      rules: this.#endpointRules(endpoint),
    }));
    if (cluster.length > 0) chains.push({ name: this.#name('service'), rules: this.#balancing('service', cluster) });
    if (local.length > 0) chains.push({ name: this.#name('local'), rules: this.#balancing('local', local) });
    if (this.#usesExternal) chains.push({ name: this.#name('external'), rules: this.#externalRules() });
    if (this.#usesFirewall) chains.push({ name: this.#name('firewall'), rules: [this.#firewallRule()] });
    return {
      owner: this.#svc.id,
      chains,
      affinitySets: this.#hasAffinity ? reachable.map((e) => endpointName('affinity', this.#svc, e)) : [],
      affinitySeconds: extrasOf(this.#svc).affinitySeconds,
      elements: this.#elements(),
    };
  }

  #name(kind: 'service' | 'local' | 'external' | 'firewall'): string {
    return chainName(kind, this.#svc);
  }

  #rule(statements: readonly Statement[], comment = ''): NftRule {
    return rule(statements, this.#svc.id, comment);
  }

  /** The list that traffic to the cluster IP, or from outside, may use. */
  #chainFor(isLocalOnly: boolean): 'service' | 'local' {
    return isLocalOnly ? 'local' : 'service';
  }

  #elements(): WantedElement[] {
    const { clusterIp, port, nodePort, protocol } = this.#svc;
    const { externalIps, loadBalancerVips, internalPolicyLocal } = extrasOf(this.#svc);
    const proto = protocolName(protocol);
    const keyOf = (address: number): string => `${formatIpv4(address)} . ${proto} . ${port}`;
    const closed: NftVerdict = this.#lists.hasAny ? { kind: 'drop' } : { kind: 'goto', chain: 'reject-chain' };
    const elements: WantedElement[] = [];
    const go = (container: string, key: string, kind: Parameters<typeof chainName>[0]): void => {
      elements.push({ container, key, verdict: { kind: 'goto', chain: this.#name(kind) }, comment: '' });
    };
    const close = (container: string, key: string): void => {
      elements.push({ container, key, verdict: closed, comment: servicePortName(this.#svc) });
    };
    elements.push({ container: 'cluster-ips', key: formatIpv4(clusterIp), comment: '' });
    if (this.#hasInternal) go('service-ips', keyOf(clusterIp), this.#chainFor(internalPolicyLocal));
    else close('no-endpoint-services', keyOf(clusterIp));
    for (const address of [...externalIps, ...loadBalancerVips]) {
      if (this.#lists.hasAny) go('service-ips', keyOf(address), 'external');
      if (!this.#hasExternal) close('no-endpoint-services', keyOf(address));
    }
    if (this.#usesFirewall) for (const vip of loadBalancerVips) go('firewall-ips', keyOf(vip), 'firewall');
    if (nodePort > 0) {
      if (this.#lists.hasAny) go('service-nodeports', `${proto} . ${nodePort}`, 'external');
      if (!this.#hasExternal) close('no-endpoint-nodeports', `${proto} . ${nodePort}`);
    }
    return elements;
  }

  /** Rules of a service or local chain: masquerading of what comes to the cluster IP, affinity, the draw. */
  #balancing(kind: 'service' | 'local', endpoints: readonly Endpoint[]): NftRule[] {
    const rules: NftRule[] = [];
    const { internalPolicyLocal } = extrasOf(this.#svc);
    if (this.#hasInternal && this.#chainFor(internalPolicyLocal) === kind) rules.push(...this.#masqueradeRules());
    const chains = endpoints.map((endpoint) => endpointName('endpoint', this.#svc, endpoint));
    if (this.#hasAffinity) {
      endpoints.forEach((endpoint, i) => {
        const seen = inSet('saddr', endpointName('affinity', this.#svc, endpoint));
        rules.push(this.#rule([seen, goTo(chains[i] ?? '')]));
      });
    }
    rules.push(this.#rule([numgen(chains)]));
    return rules;
  }

  #masqueradeRules(): NftRule[] {
    const { clusterIp, protocol, port } = this.#svc;
    const { masqueradeAll, kubeProxy } = this.#options;
    const statements = [addressIs('daddr', clusterIp)];
    if (kubeProxy.nftablesClusterIpPort) statements.push(toPort(protocol, port));
    if (!masqueradeAll) {
      const notFromPods = fromPods(this.#node, true);
      if (notFromPods === undefined) return [];
      statements.push(notFromPods);
    }
    return [this.#rule([...statements, jump('mark-for-masquerade')])];
  }

  #externalRules(): NftRule[] {
    const { externalPolicyLocal } = extrasOf(this.#svc);
    const rules: NftRule[] = [];
    if (externalPolicyLocal) {
      const toAll = goTo(this.#name('service'));
      const fromThesePods = fromPods(this.#node, false);
      if (fromThesePods !== undefined) rules.push(this.#rule([fromThesePods, toAll], 'short-circuit pod traffic'));
      rules.push(this.#rule([fibLocal('saddr'), jump('mark-for-masquerade')], 'masquerade local traffic'));
      rules.push(this.#rule([fibLocal('saddr'), toAll], 'short-circuit local traffic'));
    } else {
      rules.push(this.#rule([jump('mark-for-masquerade')]));
    }
    if (this.#hasExternal) rules.push(this.#rule([goTo(this.#name(this.#chainFor(externalPolicyLocal)))]));
    return rules;
  }

  #firewallRule(): NftRule {
    const { loadBalancerSourceRanges, loadBalancerVips } = extrasOf(this.#svc);
    const primary = this.#node.addresses[0];
    const nodeMayPass = primary !== undefined && loadBalancerSourceRanges.some((range) => cidrContains(range, primary));
    return this.#rule([saddrNotAmong(loadBalancerSourceRanges, nodeMayPass ? loadBalancerVips : []), DROP]);
  }

  #endpointRules(endpoint: Endpoint): NftRule[] {
    const rules = [this.#rule([addressIs('saddr', endpoint.address), jump('mark-for-masquerade')])];
    if (this.#hasAffinity) rules.push(this.#rule([update(endpointName('affinity', this.#svc, endpoint))]));
    rules.push(this.#rule([isProtocol(this.#svc.protocol), dnatTo(endpoint)]));
    return rules;
  }
}
