/**
 * The compiled rules as iptables text, chains in a canonical order: kube-proxy itself walks services in an order that is
 * new at each sync (proxier.go syncProxyRules, writeServiceToEndpointRules).
 */
import { formatCidr, formatIpv4 } from '../../model/address.ts';
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { servicePortName } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import type { EngineOptions } from '../engine.ts';
import type { ServiceTable } from './compile.ts';
import { endpointChainName, externalChainName, serviceChainName } from './names.ts';
import { probabilityText } from './probability.ts';

export type DumpForm = 'kernel' | 'restore';

const LAST_RULE =
  '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS';

/** Chain name to its rules without `-A CHAIN`, in order. */
type Table = Map<string, string[]>;

const NEW = '-m conntrack --ctstate NEW ';
const PORTALS = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES';
const LB_FIREWALL = `${NEW}-m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL`;
const EXTERNAL = `${NEW}-m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES`;

const NAT_BUILT_IN: readonly (readonly [string, readonly string[]])[] = [
  ['PREROUTING', [PORTALS]],
  ['OUTPUT', [PORTALS]],
  ['POSTROUTING', ['-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING']],
];
const FILTER_BUILT_IN: readonly (readonly [string, readonly string[]])[] = [
  [
    'INPUT',
    [
      '-j KUBE-FIREWALL',
      LB_FIREWALL,
      '-m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
      EXTERNAL,
    ],
  ],
  [
    'FORWARD',
    [LB_FIREWALL, '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD', NEW + PORTALS, EXTERNAL],
  ],
  ['OUTPUT', ['-j KUBE-FIREWALL', LB_FIREWALL, NEW + PORTALS]],
];

/** `restore` is what a full sync would write now, so it decides about comments anew; `kernel` has stale chains, too. */
export function dumpRules(form: DumpForm, table: ServiceTable, node: NodeSpec, options: EngineOptions): string {
  const kernel = form === 'kernel';
  const large = table.knownEndpoints > options.largeClusterEndpoints;
  const mark = `0x${((1 << options.masqueradeBit) >>> 0).toString(16).padStart(8, '0')}`;
  const source = options.masqueradeAll ? '' : node.clusterCidr && ` ! -s ${formatCidr(node.clusterCidr)}`;
  const filter: Table = filterChains(mark);
  const nat: Table = natChains(mark);
  for (const slot of slotsByName(table)) {
    const svc = table.servicePorts[slot] as ServicePort;
    const start = table.endpointStart[slot];
    const endpoints = Array.from({ length: table.endpointCount[slot] }, (_, i) => table.endpointText(start + i));
    if (endpoints.length === 0) {
      writeRejects(filter, svc);
      continue;
    }
    writeDispatch(nat, svc);
    if (svc.nodePort !== 0) writeExternalChain(nat, svc);
    const commented = kernel ? table.commented[slot] === 1 : !large;
    writeServiceChain(nat, svc, commented, endpoints, source);
    for (const endpoint of endpoints) writeEndpointChain(nat, svc, commented, endpoint);
  }
  const stale = kernel ? table.staleChains.all() : [];
  for (const { kind, svc, commented, endpoints } of stale) {
    if (kind === 'EXT') writeExternalChain(nat, svc);
    else if (kind === 'SEP') writeEndpointChain(nat, svc, commented, endpoints[0]);
    else writeServiceChain(nat, svc, commented, endpoints, source);
  }
  append(nat, 'KUBE-SERVICES', LAST_RULE);
  return tableText('filter', kernel ? FILTER_BUILT_IN : [], filter) + tableText('nat', kernel ? NAT_BUILT_IN : [], nat);
}

function filterChains(mark: string): Table {
  return new Map([
    ['KUBE-NODEPORTS', []],
    ['KUBE-SERVICES', []],
    ['KUBE-EXTERNAL-SERVICES', []],
    [
      'KUBE-FIREWALL',
      [
        '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
      ],
    ],
    [
      'KUBE-FORWARD',
      [
        '-m conntrack --ctstate INVALID -j DROP',
        `-m comment --comment "kubernetes forwarding rules" -m mark --mark ${mark}/${mark} -j ACCEPT`,
        '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ],
    ],
    ['KUBE-PROXY-FIREWALL', []],
  ]);
}

function natChains(mark: string): Table {
  return new Map([
    ['KUBE-NODEPORTS', []],
    ['KUBE-SERVICES', []],
    ['KUBE-MARK-MASQ', [`-j MARK --or-mark ${mark}`]],
    [
      'KUBE-POSTROUTING',
      [
        `-m mark ! --mark ${mark}/${mark} -j RETURN`,
        `-j MARK --xor-mark ${mark}`,
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE',
      ],
    ],
  ]);
}

function portMatch(svc: ServicePort): string {
  const protocol = protocolName(svc.protocol);
  return `-m ${protocol} -p ${protocol}`;
}

function clusterIpMatch(svc: ServicePort): string {
  return `${portMatch(svc)} -d ${formatIpv4(svc.clusterIp)} --dport ${svc.port}`;
}

function serviceChain(svc: ServicePort): string {
  return serviceChainName(servicePortName(svc), protocolName(svc.protocol));
}

function externalChain(svc: ServicePort): string {
  return externalChainName(servicePortName(svc), protocolName(svc.protocol));
}

function endpointChain(svc: ServicePort, endpoint: string): string {
  return endpointChainName(servicePortName(svc), protocolName(svc.protocol), endpoint);
}

function writeRejects(filter: Table, svc: ServicePort): void {
  const comment = `-m comment --comment "${servicePortName(svc)} has no endpoints"`;
  append(filter, 'KUBE-SERVICES', `${comment} ${clusterIpMatch(svc)} -j REJECT`);
  if (svc.nodePort === 0) return;
  const local = `-m addrtype --dst-type LOCAL ${portMatch(svc)} --dport ${svc.nodePort}`;
  append(filter, 'KUBE-EXTERNAL-SERVICES', `${comment} ${local} -j REJECT`);
}

function writeDispatch(nat: Table, svc: ServicePort): void {
  const name = servicePortName(svc);
  append(
    nat,
    'KUBE-SERVICES',
    `-m comment --comment "${name} cluster IP" ${clusterIpMatch(svc)} -j ${serviceChain(svc)}`,
  );
  if (svc.nodePort === 0) return;
  const port = `${portMatch(svc)} --dport ${svc.nodePort}`;
  append(nat, 'KUBE-NODEPORTS', `-m comment --comment ${name} ${port} -j ${externalChain(svc)}`);
}

function writeExternalChain(nat: Table, svc: ServicePort): void {
  const comment = `masquerade traffic for ${servicePortName(svc)} external destinations`;
  append(nat, externalChain(svc), `-m comment --comment "${comment}" -j KUBE-MARK-MASQ`);
  append(nat, externalChain(svc), `-j ${serviceChain(svc)}`);
}

/** `source` is the source match of the masquerade rule; undefined when there is no such rule. */
function writeServiceChain(
  nat: Table,
  svc: ServicePort,
  commented: boolean,
  endpoints: readonly string[],
  source: string | undefined,
): void {
  const name = servicePortName(svc);
  const chain = serviceChain(svc);
  if (source !== undefined) {
    const match = `-m comment --comment "${name} cluster IP" ${clusterIpMatch(svc)}${source}`;
    append(nat, chain, `${match} -j KUBE-MARK-MASQ`);
  }
  endpoints.forEach((endpoint, i) => {
    const remaining = endpoints.length - i;
    const comment = commented ? `-m comment --comment "${name} -> ${endpoint}" ` : '';
    const chance = remaining > 1 ? `-m statistic --mode random --probability ${probabilityText(remaining)} ` : '';
    append(nat, chain, `${comment}${chance}-j ${endpointChain(svc, endpoint)}`);
  });
}

function writeEndpointChain(nat: Table, svc: ServicePort, commented: boolean, endpoint: string): void {
  const chain = endpointChain(svc, endpoint);
  const comment = commented ? `-m comment --comment ${servicePortName(svc)} ` : '';
  append(nat, chain, `${comment}-s ${endpoint.split(':')[0]} -j KUBE-MARK-MASQ`);
  append(nat, chain, `${comment}${portMatch(svc)} -j DNAT --to-destination ${endpoint}`);
}

function append(table: Table, chain: string, rule: string): void {
  const rules = table.get(chain);
  if (rules === undefined) table.set(chain, [rule]);
  else rules.push(rule);
}

/** Byte order of the Services' names, then of their ports' names; of one name (two protocols), by id. */
function slotsByName(table: ServiceTable): number[] {
  const named = [...table.order.subarray(0, table.count)].map((slot) => {
    const { namespace, name, portName, id } = table.servicePorts[slot] as ServicePort;
    return { slot, service: `${namespace}/${name}`, portName, id };
  });
  named.sort((a, b) => compare(a.service, b.service) || compare(a.portName, b.portName) || a.id - b.id);
  return named.map((entry) => entry.slot);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Built-in chains, KUBE-NODEPORTS, KUBE-SERVICES, then the others by name; chain lines first, then rules chain by chain. */
function tableText(name: string, builtIn: readonly (readonly [string, readonly string[]])[], table: Table): string {
  const others = [...table.keys()].filter((chain) => chain !== 'KUBE-NODEPORTS' && chain !== 'KUBE-SERVICES');
  others.sort((a, b) => (a < b ? -1 : 1));
  const chains = ['KUBE-NODEPORTS', 'KUBE-SERVICES', ...others];
  const lines = [`*${name}`];
  for (const [chain] of builtIn) lines.push(`:${chain} ACCEPT [0:0]`);
  for (const chain of chains) lines.push(`:${chain} - [0:0]`);
  for (const [chain, rules] of builtIn) for (const rule of rules) lines.push(`-A ${chain} ${rule}`);
  for (const chain of chains) for (const rule of table.get(chain) ?? []) lines.push(`-A ${chain} ${rule}`);
  lines.push('COMMIT', '');
  return lines.join('\n');
}
