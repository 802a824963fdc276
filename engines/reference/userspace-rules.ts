/** The rules of userspace mode as objects, and the iptables commands that kube-proxy runs one by one for them (README 10.1, 10.4). */
import type { ServicePort } from '../../model/cluster.ts';
import { extrasOf } from './endpoints.ts';
import type { Match, Rule, Table } from './netfilter.ts';
import type { Party } from './packet.ts';
import { isBuiltIn, matchText, targetText } from './restore-text.ts';
import { formatIpv4 } from '../../model/address.ts';
import { protocolName } from '../../model/protocol.ts';

const CONTAINER_PORTALS = 'KUBE-PORTALS-CONTAINER';
const HOST_PORTALS = 'KUBE-PORTALS-HOST';
const CONTAINER_NODE_PORTS = 'KUBE-NODEPORT-CONTAINER';
const HOST_NODE_PORTS = 'KUBE-NODEPORT-HOST';
const NON_LOCAL_NODE_PORTS = 'KUBE-NODEPORT-NON-LOCAL';

const NAT_CHAINS = [CONTAINER_PORTALS, HOST_PORTALS, CONTAINER_NODE_PORTS, HOST_NODE_PORTS];
const FILTER_CHAINS = [NON_LOCAL_NODE_PORTS];
export const USERSPACE_CHAINS: readonly string[] = [...NAT_CHAINS, ...FILTER_CHAINS];

export interface PlacedRule {
  readonly chain: string;
  readonly rule: Rule;
}

function jump(chain: string, comment: string, ...first: Match[]): Rule {
  return {
    matches: [...first, { kind: 'comment', text: comment }],
    target: { kind: 'jump', chain },
    servicePortId: -1,
  };
}

/** proxier.go iptablesInit, in the order of its calls. */
function initialJumps(): PlacedRule[] {
  const portals = 'handle ClusterIPs; NOTE: this must be before the NodePort rules';
  const nodePorts = 'handle service NodePorts; NOTE: this must be the last rule in the chain';
  const nonLocal = 'Ensure that non-local NodePort traffic can flow';
  return [
    { chain: 'PREROUTING', rule: jump(CONTAINER_PORTALS, portals) },
    { chain: 'OUTPUT', rule: jump(HOST_PORTALS, portals) },
    { chain: 'PREROUTING', rule: jump(CONTAINER_NODE_PORTS, nodePorts, { kind: 'dst-local' }) },
    { chain: 'OUTPUT', rule: jump(HOST_NODE_PORTS, nodePorts, { kind: 'dst-local' }) },
    { chain: 'INPUT', rule: jump(NON_LOCAL_NODE_PORTS, nonLocal) },
  ];
}

function servicePortName({ namespace, name, portName }: ServicePort): string {
  return portName === '' ? `${namespace}/${name}` : `${namespace}/${name}:${portName}`;
}

/** All rules of an open service port, in the order in which openPortal appends them. `listener`: where the process takes its connections. */
export function rulesOf(svc: ServicePort, listener: Party): PlacedRule[] {
  const placed: PlacedRule[] = [];
  const append = (
    chain: string,
    address: number | undefined,
    dport: number,
    last: Match[],
    target: Rule['target'],
  ): void => {
    const rule: Rule = {
      protocol: svc.protocol,
      matches: [{ kind: 'comment', text: servicePortName(svc) }, { kind: 'transport', dport }, ...last],
      target,
      servicePortId: svc.id,
      ...(address === undefined ? {} : { dst: { address, mask: 0xffffffff, prefixLength: 32, isAddress: true } }),
    };
    placed.push({ chain, rule });
  };
  const redirect = { kind: 'REDIRECT', to: listener } as const;
  const dnat = { kind: 'DNAT', to: listener } as const;
  const portal = (address: number): void => {
    append(CONTAINER_PORTALS, address, svc.port, [], redirect);
    append(HOST_PORTALS, address, svc.port, [], dnat);
  };
  const externalPortal = (address: number): void => {
    append(CONTAINER_PORTALS, address, svc.port, [{ kind: 'physdev' }], redirect);
    append(CONTAINER_PORTALS, address, svc.port, [{ kind: 'dst-local' }], redirect);
    append(HOST_PORTALS, address, svc.port, [{ kind: 'dst-local' }], dnat);
  };
  portal(svc.clusterIp);
  for (const address of extrasOf(svc).externalIps) externalPortal(address);
  for (const address of extrasOf(svc).loadBalancerVips) portal(address);
  if (svc.nodePort > 0) {
    append(CONTAINER_NODE_PORTS, undefined, svc.nodePort, [], redirect);
    append(HOST_NODE_PORTS, undefined, svc.nodePort, [], dnat);
    append(NON_LOCAL_NODE_PORTS, undefined, listener.port, [{ kind: 'state new' }], { kind: 'ACCEPT' });
  }
  return placed;
}

/** The two tables of the node, changed by one iptables command after the other [pkg/util/iptables]. */
export class IptablesCommands {
  readonly nat: Table = new Map();
  readonly filter: Table = new Map();
  /** Commands run since the last `startCounting`. */
  count = 0;

  startCounting(): void {
    this.count = 0;
  }

  /** iptablesInit: chains and jumps, where they are not there yet. */
  init(): void {
    for (const chain of USERSPACE_CHAINS) {
      this.count++;
      const table = this.#tableOf(chain);
      if (!table.has(chain)) table.set(chain, []);
    }
    for (const placed of initialJumps()) this.ensureRule(placed);
  }

  /** iptablesFlush */
  flush(): void {
    for (const chain of USERSPACE_CHAINS) {
      this.count++;
      this.#tableOf(chain).set(chain, []);
    }
  }

  /** `-C`, and `-A` if it was not there. */
  ensureRule({ chain, rule }: PlacedRule): void {
    const table = this.#tableOf(chain);
    const rules = table.get(chain) ?? [];
    this.count++;
    if (rules.some((known) => ruleText(known) === ruleText(rule))) return;
    this.count++;
    table.set(chain, [...rules, rule]);
  }

  /** `-C`, and `-D` if it is there. */
  deleteRule({ chain, rule }: PlacedRule): void {
    const table = this.#tableOf(chain);
    const rules = table.get(chain) ?? [];
    const at = rules.findIndex((known) => ruleText(known) === ruleText(rule));
    this.count++;
    if (at < 0) return;
    this.count++;
    table.set(
      chain,
      rules.filter((_, i) => i !== at),
    );
  }

  #tableOf(chain: string): Table {
    return chain === 'INPUT' || FILTER_CHAINS.includes(chain) ? this.filter : this.nat;
  }
}

const texts = new WeakMap<Rule, string>();

/** Word order of proxier.go iptablesCommonPortalArgs. */
function ruleText(rule: Rule): string {
  const known = texts.get(rule);
  if (known !== undefined) return known;
  const words: string[] = [];
  for (const match of rule.matches) {
    if (match.kind !== 'transport') {
      words.push(matchText(match, '', 0));
      continue;
    }
    const protocol = protocolName(rule.protocol as ServicePort['protocol']);
    words.push(`-p ${protocol} -m ${protocol} --dport ${match.dport}`);
    if (rule.dst !== undefined) words.push(`-d ${formatIpv4(rule.dst.address)}/32`);
  }
  words.push(targetText(rule, 0));
  const text = words.join(' ');
  texts.set(rule, text);
  return text;
}

/** iptables-restore text of both tables, or the commands that make them. */
export function userspaceText(form: 'kernel' | 'restore', { nat, filter }: IptablesCommands): string {
  return form === 'kernel' ? `${tableText('filter', filter)}${tableText('nat', nat)}` : commandText(nat, filter);
}

function tableText(name: string, table: Table): string {
  const builtIn = ['PREROUTING', 'INPUT', 'OUTPUT'].filter((chain) => table.has(chain));
  const chains = [...builtIn, ...USERSPACE_CHAINS.filter((chain) => table.has(chain))];
  const lines = [`*${name}`, ...chains.map((chain) => `:${chain} ${isBuiltIn(chain) ? 'ACCEPT' : '-'} [0:0]`)];
  for (const chain of chains) for (const rule of table.get(chain) ?? []) lines.push(`-A ${chain} ${ruleText(rule)}`);
  return `${[...lines, 'COMMIT'].join('\n')}\n`;
}

function commandText(nat: Table, filter: Table): string {
  const lines: string[] = [];
  const nameOf = (chain: string): string => (filter.has(chain) && !nat.has(chain) ? 'filter' : 'nat');
  for (const chain of USERSPACE_CHAINS) lines.push(`iptables -t ${nameOf(chain)} -N ${chain}`);
  for (const chain of ['PREROUTING', 'OUTPUT', 'INPUT']) {
    const table = nat.get(chain) ?? filter.get(chain) ?? [];
    table.forEach((rule, i) =>
      lines.push(`iptables -t ${nameOf(chain)} ${i === 0 ? '-I' : '-A'} ${chain} ${ruleText(rule)}`),
    );
  }
  for (const chain of USERSPACE_CHAINS) {
    for (const rule of nat.get(chain) ?? filter.get(chain) ?? []) {
      lines.push(`iptables -t ${nameOf(chain)} -A ${chain} ${ruleText(rule)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
