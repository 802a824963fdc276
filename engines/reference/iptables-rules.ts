/** The rules that kube-proxy's iptables mode writes, as objects (README 5; proxier.go syncProxyRules, writeServiceToEndpointRules). */
import { createHash } from 'node:crypto';
import { servicePortName } from '../../model/cluster.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import type { Cidr } from '../../model/address.ts';
import { partyText, usableEndpoints } from './endpoints.ts';
import type { Match, Rule, Table, Target } from './netfilter.ts';

const LOOPBACK: Cidr = { address: 0x7f000000, mask: 0xff000000, prefixLength: 8 };

function host(address: number): Cidr {
  return { address, mask: 0xffffffff, prefixLength: 32 };
}

export function comment(text: string): Match {
  return { kind: 'comment', text };
}

export function jump(chain: string): Target {
  return { kind: 'jump', chain };
}

/** A rule that belongs to no service port. */
export function plainRule(matches: readonly Match[], target: Target): Rule {
  return { matches, target, servicePortId: -1 };
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const hashes = new Map<string, string>();

/** First 16 letters of the base-32 SHA-256 [portProtoHash, servicePortEndpointChainName]. */
function hash16(text: string): string {
  const known = hashes.get(text);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(text).digest();
  let letters = '';
  for (let letter = 0; letter < 16; letter++) {
    let value = 0;
    for (let bit = letter * 5; bit < letter * 5 + 5; bit++) {
      value = value * 2 + ((digest[bit >> 3] >> (7 - (bit & 7))) & 1);
    }
    letters += BASE32[value];
  }
  hashes.set(text, letters);
  return letters;
}

function chainKey(svc: ServicePort): string {
  return servicePortName(svc) + protocolName(svc.protocol);
}

export function serviceChain(svc: ServicePort): string {
  return `KUBE-SVC-${hash16(chainKey(svc))}`;
}

function externalChain(svc: ServicePort): string {
  return `KUBE-EXT-${hash16(chainKey(svc))}`;
}

export function endpointChain(svc: ServicePort, endpoint: Endpoint): string {
  return `KUBE-SEP-${hash16(chainKey(svc) + partyText(endpoint))}`;
}

/** The chains of a service port that are in use: SVC and SEP when it has usable endpoints, EXT when it has a nodePort, too. */
export function usedChains(svc: ServicePort): string[] {
  const endpoints = usableEndpoints(svc);
  if (endpoints.length === 0) return [];
  const chains = [serviceChain(svc), ...endpoints.map((endpoint) => endpointChain(svc, endpoint))];
  if (svc.nodePort > 0) chains.push(externalChain(svc));
  return chains;
}

/** kube-proxy's jumps from the built-in chains, which a restore does not contain. */
export function builtInJumps(): { nat: Table; filter: Table } {
  const whenNew: Match = { kind: 'ctstate', states: ['NEW'] };
  const portals = comment('kubernetes service portals');
  const firewall = plainRule([whenNew, comment('kubernetes load balancer firewall')], jump('KUBE-PROXY-FIREWALL'));
  const external = plainRule(
    [whenNew, comment('kubernetes externally-visible service portals')],
    jump('KUBE-EXTERNAL-SERVICES'),
  );
  const services = plainRule([whenNew, portals], jump('KUBE-SERVICES'));
  const localnet = plainRule([], jump('KUBE-FIREWALL'));
  return {
    nat: new Map([
      ['PREROUTING', [plainRule([portals], jump('KUBE-SERVICES'))]],
      ['OUTPUT', [plainRule([portals], jump('KUBE-SERVICES'))]],
      ['POSTROUTING', [plainRule([comment('kubernetes postrouting rules')], jump('KUBE-POSTROUTING'))]],
    ]),
    filter: new Map([
      [
        'INPUT',
        [
          localnet,
          firewall,
          plainRule([comment('kubernetes health check service ports')], jump('KUBE-NODEPORTS')),
          external,
        ],
      ],
      [
        'FORWARD',
        [firewall, plainRule([comment('kubernetes forwarding rules')], jump('KUBE-FORWARD')), services, external],
      ],
      ['OUTPUT', [localnet, firewall, services]],
    ]),
  };
}

/** Rules common to both modes: nat KUBE-MARK-MASQ, and the last three of nat KUBE-POSTROUTING. */
export function markRules(): { markMasq: Rule[]; postrouting: Rule[] } {
  return {
    markMasq: [plainRule([], { kind: 'MARK or' })],
    postrouting: [
      plainRule([{ kind: 'mark', not: true }], { kind: 'RETURN' }),
      plainRule([], { kind: 'MARK xor' }),
      plainRule([comment('kubernetes service traffic requiring SNAT')], { kind: 'MASQUERADE' }),
    ],
  };
}

export interface RestoreInput {
  readonly nat: Map<string, Rule[]>;
  readonly filter: Map<string, Rule[]>;
}

export interface WriteOptions {
  readonly node: NodeSpec;
  readonly masqueradeAll: boolean;
  readonly largeCluster: boolean;
}

function fixedChains(): RestoreInput {
  const { markMasq, postrouting } = markRules();
  const firewall: Rule = {
    src: LOOPBACK,
    notSrc: true,
    dst: LOOPBACK,
    matches: [
      comment('block incoming localnet connections'),
      { kind: 'ctstate', states: ['RELATED', 'ESTABLISHED', 'DNAT'], not: true },
    ],
    target: { kind: 'DROP' },
    servicePortId: -1,
  };
  return {
    nat: new Map([
      ['KUBE-SERVICES', []],
      ['KUBE-NODEPORTS', []],
      ['KUBE-POSTROUTING', postrouting],
      ['KUBE-MARK-MASQ', markMasq],
    ]),
    filter: new Map([
      ['KUBE-SERVICES', []],
      ['KUBE-EXTERNAL-SERVICES', []],
      [
        'KUBE-FORWARD',
        [
          plainRule([{ kind: 'ctstate', states: ['INVALID'] }], { kind: 'DROP' }),
          plainRule([comment('kubernetes forwarding rules'), { kind: 'mark' }], { kind: 'ACCEPT' }),
          plainRule(
            [comment('kubernetes forwarding conntrack rule'), { kind: 'ctstate', states: ['RELATED', 'ESTABLISHED'] }],
            { kind: 'ACCEPT' },
          ),
        ],
      ],
      ['KUBE-NODEPORTS', []],
      ['KUBE-PROXY-FIREWALL', []],
      ['KUBE-FIREWALL', [firewall]],
    ]),
  };
}

/** What kube-proxy feeds to iptables-restore: the always rewritten chains, and the own chains of `changed` service ports. */
export function writeRestore(
  services: readonly ServicePort[],
  changed: ReadonlySet<number>,
  options: WriteOptions,
): RestoreInput {
  const input = fixedChains();
  for (const svc of services) {
    if (usableEndpoints(svc).length === 0) writeRejects(input, svc);
    else {
      writeEntrances(input, svc);
      if (changed.has(svc.id)) writeOwnChains(input, svc, options);
    }
  }
  add(
    input.nat,
    'KUBE-SERVICES',
    plainRule(
      [comment('kubernetes service nodeports; NOTE: this must be the last rule in this chain'), { kind: 'dst-local' }],
      jump('KUBE-NODEPORTS'),
    ),
  );
  return input;
}

function add(table: Map<string, Rule[]>, chain: string, rule: Rule): void {
  const rules = table.get(chain);
  if (rules === undefined) table.set(chain, [rule]);
  else rules.push(rule);
}

function writeRejects(input: RestoreInput, svc: ServicePort): void {
  const says = comment(`${servicePortName(svc)} has no endpoints`);
  const target: Target = { kind: 'REJECT' };
  const common = { protocol: svc.protocol, target, servicePortId: svc.id };
  const matches: Match[] = [says, { kind: 'transport', dport: svc.port }];
  add(input.filter, 'KUBE-SERVICES', { ...common, dst: host(svc.clusterIp), matches });
  if (svc.nodePort > 0) {
    const external: Match[] = [says, { kind: 'dst-local' }, { kind: 'transport', dport: svc.nodePort }];
    add(input.filter, 'KUBE-EXTERNAL-SERVICES', { ...common, matches: external });
  }
}

function writeEntrances(input: RestoreInput, svc: ServicePort): void {
  const name = servicePortName(svc);
  const common = { protocol: svc.protocol, servicePortId: svc.id };
  add(input.nat, 'KUBE-SERVICES', {
    ...common,
    dst: host(svc.clusterIp),
    matches: [comment(`${name} cluster IP`), { kind: 'transport', dport: svc.port }],
    target: jump(serviceChain(svc)),
  });
  if (svc.nodePort > 0) {
    add(input.nat, 'KUBE-NODEPORTS', {
      ...common,
      matches: [comment(name), { kind: 'transport', dport: svc.nodePort }],
      target: jump(externalChain(svc)),
    });
  }
}

function writeOwnChains(input: RestoreInput, svc: ServicePort, options: WriteOptions): void {
  const { nat } = input;
  const name = servicePortName(svc);
  const own = { servicePortId: svc.id };
  const svcChain = serviceChain(svc);
  const optional = (text: string): Match[] => (options.largeCluster ? [] : [comment(text)]);
  const detector = options.node.clusterCidr;
  if (options.masqueradeAll || detector !== undefined) {
    const rule: Rule = {
      ...own,
      protocol: svc.protocol,
      dst: host(svc.clusterIp),
      matches: [comment(`${name} cluster IP`), { kind: 'transport', dport: svc.port }],
      target: jump('KUBE-MARK-MASQ'),
    };
    const outside = !options.masqueradeAll && detector !== undefined;
    add(nat, svcChain, outside ? { ...rule, src: detector, notSrc: true } : rule);
  }
  if (svc.nodePort > 0) {
    const says = comment(`masquerade traffic for ${name} external destinations`);
    add(nat, externalChain(svc), { ...own, matches: [says], target: jump('KUBE-MARK-MASQ') });
    add(nat, externalChain(svc), { ...own, matches: [], target: jump(svcChain) });
  }
  const endpoints = usableEndpoints(svc);
  endpoints.forEach((endpoint, i) => {
    const sepChain = endpointChain(svc, endpoint);
    const left = endpoints.length - i;
    const matches = optional(`${name} -> ${partyText(endpoint)}`);
    if (left > 1) matches.push({ kind: 'statistic', probability: (1 / left).toFixed(10) });
    add(nat, svcChain, { ...own, matches, target: jump(sepChain) });
    const hairpin = { ...own, src: host(endpoint.address), matches: optional(name) };
    add(nat, sepChain, { ...hairpin, target: jump('KUBE-MARK-MASQ') });
    const translate: Match[] = [...optional(name), { kind: 'transport' }];
    const to = { address: endpoint.address, port: endpoint.port };
    add(nat, sepChain, { ...own, protocol: svc.protocol, matches: translate, target: { kind: 'DNAT', to } });
  });
}
