/** iptables-restore text of rule objects, in the canonical order of kube-proxy's dumps. */
import { formatCidr, formatIpv4 } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import { partyText } from './endpoints.ts';
import type { Match, Rule, Table } from './netfilter.ts';

function cidrText(cidr: Cidr): string {
  return cidr.prefixLength === 32 ? formatIpv4(cidr.address) : formatCidr(cidr);
}

function quoted(text: string): string {
  return text.includes(' ') ? `"${text}"` : text;
}

function hex(mark: number): string {
  return `0x${mark.toString(16).padStart(8, '0')}`;
}

function matchText(match: Match, protocol: string, mark: number): string {
  switch (match.kind) {
    case 'comment':
      return `-m comment --comment ${quoted(match.text)}`;
    case 'transport':
      return `-m ${protocol} -p ${protocol}`;
    case 'dst-local':
      return '-m addrtype --dst-type LOCAL';
    case 'ctstate':
      return `-m conntrack ${match.not === true ? '! ' : ''}--ctstate ${match.states.join(',')}`;
    case 'mark':
      return `-m mark ${match.not === true ? '! ' : ''}--mark ${hex(mark)}/${hex(mark)}`;
    case 'statistic':
      return `-m statistic --mode random --probability ${match.probability}`;
    case 'set':
      return `-m set --match-set ${match.set} ${match.key.replace(/-.*/, '')}`;
  }
}

function targetText(rule: Rule, mark: number): string {
  const { target } = rule;
  if (target.kind === 'jump') return `-j ${target.chain}`;
  if (target.kind === 'DNAT') return `-j DNAT --to-destination ${partyText(target.to)}`;
  if (target.kind === 'MARK or') return `-j MARK --or-mark ${hex(mark)}`;
  if (target.kind === 'MARK xor') return `-j MARK --xor-mark ${hex(mark)}`;
  return `-j ${target.kind}`;
}

/** Word order of proxier.go: comment and addrtype, protocol, destination, source, then the other matches. */
function ruleText(chain: string, rule: Rule, mark: number): string {
  const protocol = rule.protocol === 17 ? 'udp' : 'tcp';
  const words: string[] = [`-A ${chain}`];
  // The jumps of built-in chains ask for ctstate first, before their comment.
  const isEarly = (m: Match): boolean =>
    m.kind === 'comment' ||
    m.kind === 'dst-local' ||
    m.kind === 'transport' ||
    (m.kind === 'ctstate' && m === rule.matches[0] && rule.target.kind === 'jump');
  const early = rule.matches.filter(isEarly);
  const late = rule.matches.filter((m) => !isEarly(m));
  for (const match of early) words.push(matchText(match, protocol, mark));
  if (rule.protocol !== undefined && !early.some((m) => m.kind === 'transport')) words.push(`-p ${protocol}`);
  if (rule.dst !== undefined) words.push(`-d ${cidrText(rule.dst)}`);
  for (const match of early) {
    if (match.kind === 'transport' && match.dport !== undefined) words.push(`--dport ${match.dport}`);
  }
  if (rule.src !== undefined) words.push(`${rule.notSrc === true ? '! ' : ''}-s ${cidrText(rule.src)}`);
  for (const match of late) words.push(matchText(match, protocol, mark));
  words.push(targetText(rule, mark));
  return words.join(' ');
}

const BUILT_IN = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

function chainRank(chain: string): string {
  if (BUILT_IN.has(chain)) return `0${chain}`;
  if (chain === 'KUBE-NODEPORTS') return '1';
  return chain === 'KUBE-SERVICES' ? '2' : `3${chain}`;
}

function serviceOf(rule: Rule): string {
  const first = rule.matches[0];
  return first?.kind === 'comment' ? first.text.split(/[ :]/)[0] : '';
}

function inDumpOrder(chain: string, rules: readonly Rule[]): readonly Rule[] {
  if (chain !== 'KUBE-NODEPORTS' && chain !== 'KUBE-SERVICES') return rules;
  const own = rules.filter((rule) => rule.servicePortId >= 0);
  const last = rules.filter((rule) => rule.servicePortId < 0);
  own.sort((a, b) => (serviceOf(a) < serviceOf(b) ? -1 : serviceOf(a) > serviceOf(b) ? 1 : 0));
  return [...own, ...last];
}

/** `*filter` and `*nat` with the chains that `wanted` accepts. */
export function tablesText(nat: Table, filter: Table, mark: number, wanted: (chain: string) => boolean): string {
  const lines: string[] = [];
  for (const [name, table] of [
    ['filter', filter],
    ['nat', nat],
  ] as const) {
    const chains = [...table.keys()].filter(wanted).sort((a, b) => (chainRank(a) < chainRank(b) ? -1 : 1));
    lines.push(`*${name}`);
    for (const chain of chains) lines.push(`:${chain} ${BUILT_IN.has(chain) ? 'ACCEPT' : '-'} [0:0]`);
    for (const chain of chains) {
      for (const rule of inDumpOrder(chain, table.get(chain) ?? [])) lines.push(ruleText(chain, rule, mark));
    }
    lines.push('COMMIT');
  }
  return `${lines.join('\n')}\n`;
}

export function isBuiltIn(chain: string): boolean {
  return BUILT_IN.has(chain);
}
