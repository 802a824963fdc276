/** iptables-restore text of rule objects, in the canonical order of kube-proxy's dumps. */
import { formatCidr, formatIpv4 } from '../../model/address.ts';
import { protocolName } from '../../model/protocol.ts';
import type { Protocol } from '../../model/protocol.ts';
import { partyText } from './endpoints.ts';
import type { Block, Match, Rule, Table } from './netfilter.ts';

export function blockText(block: Block): string {
  return block.isAddress === true ? formatIpv4(block.address) : formatCidr(block);
}

export function not(inverted: boolean | undefined): string {
  return inverted === true ? '! ' : '';
}

function quoted(text: string): string {
  return text.includes(' ') ? `"${text}"` : text;
}

function hex(mark: number): string {
  return `0x${mark.toString(16).padStart(8, '0')}`;
}

export function matchText(match: Match, protocol: string, mark: number): string {
  switch (match.kind) {
    case 'comment':
      return `-m comment --comment ${quoted(match.text)}`;
    case 'transport':
      return `-m ${protocol} -p ${protocol}`;
    case 'src-local':
      return `-m addrtype ${not(match.not)}--src-type LOCAL`;
    case 'dst-local':
      return `-m addrtype ${not(match.not)}--dst-type LOCAL`;
    case 'ctstate':
      return `-m conntrack ${not(match.not)}--ctstate ${match.states.join(',')}`;
    case 'mark':
      return `-m mark ${not(match.not)}--mark ${hex(mark)}/${hex(mark)}`;
    case 'recent set':
      return `-m recent --name ${match.list} --set`;
    case 'recent check':
      return `-m recent --name ${match.list} --rcheck --seconds ${match.seconds} --reap`;
    case 'nfacct':
      return `-m nfacct --nfacct-name ${match.name}`;
    case 'state new':
      return '-m state --state NEW';
    case 'physdev':
      return '-m physdev ! --physdev-is-in';
    case 'statistic':
      return `-m statistic --mode random --probability ${match.probability}`;
    case 'set':
      return `-m set --match-set ${match.set} ${match.key.replace(/-.*/, '')}`;
    case 'ipvs': {
      const { address, port } = match.virtual;
      return `-m ipvs --vaddr ${formatIpv4(address)} --vproto ${protocolName(match.protocol as Protocol)} --vport ${port}`;
    }
  }
}

export function targetText(rule: Rule, mark: number): string {
  const { target } = rule;
  switch (target.kind) {
    case 'jump':
      return `-j ${target.chain}`;
    case 'DNAT':
      return `-j DNAT --to-destination ${partyText(target.to)}`;
    case 'REDIRECT':
      return `-j REDIRECT --to-ports ${target.to.port}`;
    case 'MARK or':
      return `-j MARK --or-mark ${hex(mark)}`;
    case 'MARK xor':
      return `-j MARK --xor-mark ${hex(mark)}`;
    case 'MASQUERADE':
      return target.randomFully === true ? '-j MASQUERADE --random-fully' : '-j MASQUERADE';
    case 'none':
      return '';
    default:
      return `-j ${target.kind}`;
  }
}

const EARLY = new Set(['comment', 'src-local', 'dst-local', 'recent set', 'recent check', 'transport']);

/** Word order of proxier.go: comment, addrtype and recent, protocol, destination, port, source, then the other matches. */
function ruleText(chain: string, rule: Rule, mark: number): string {
  const protocol = rule.protocol === undefined ? '' : protocolName(rule.protocol as Protocol);
  const words: string[] = [`-A ${chain}`];
  // The jumps of built-in chains ask for ctstate first, before their comment.
  const isEarly = (m: Match): boolean =>
    EARLY.has(m.kind) || (m.kind === 'ctstate' && m === rule.matches[0] && rule.target.kind === 'jump');
  const early = rule.matches.filter(isEarly);
  const late = rule.matches.filter((m) => !isEarly(m));
  for (const match of early) words.push(matchText(match, protocol, mark));
  if (protocol !== '' && !early.some((m) => m.kind === 'transport')) words.push(`-p ${protocol}`);
  if (rule.dst !== undefined) words.push(`${not(rule.notDst)}-d ${blockText(rule.dst)}`);
  for (const match of early) {
    if (match.kind === 'transport' && match.dport !== undefined) words.push(`--dport ${match.dport}`);
  }
  if (rule.src !== undefined) words.push(`${not(rule.notSrc)}-s ${blockText(rule.src)}`);
  if (rule.fromPod !== undefined) words.push(`${not(rule.fromPod.not)}-i ${rule.fromPod.name}`);
  for (const match of late) words.push(matchText(match, protocol, mark));
  words.push(targetText(rule, mark));
  return words.join(' ').trimEnd();
}

/** In the order of the hooks. */
const BUILT_IN = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'];

function chainRank(chain: string): string {
  if (isBuiltIn(chain)) return `0${BUILT_IN.indexOf(chain)}`;
  if (chain === 'KUBE-NODEPORTS') return '1';
  return chain === 'KUBE-SERVICES' ? '2' : `3${chain}`;
}

function serviceOf(rule: Rule): string {
  const first = rule.matches[0];
  return first?.kind === 'comment' ? first.text.split(/[ :]/)[0] : '';
}

const IN_SERVICE_ORDER = new Set(['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-EXTERNAL-SERVICES', 'KUBE-PROXY-FIREWALL']);

/** By the name of the Service, then by id, instead of by the order that a sync happened to draw. */
function inDumpOrder(chain: string, rules: readonly Rule[]): readonly Rule[] {
  if (!IN_SERVICE_ORDER.has(chain)) return rules;
  const own = rules.filter((rule) => rule.servicePortId >= 0);
  const last = rules.filter((rule) => rule.servicePortId < 0);
  own.sort((a, b) => {
    const [from, to] = [serviceOf(a), serviceOf(b)];
    return from < to ? -1 : from > to ? 1 : a.servicePortId - b.servicePortId;
  });
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
    for (const chain of chains) lines.push(`:${chain} ${isBuiltIn(chain) ? 'ACCEPT' : '-'} [0:0]`);
    for (const chain of chains) {
      for (const rule of inDumpOrder(chain, table.get(chain) ?? [])) lines.push(ruleText(chain, rule, mark));
    }
    lines.push('COMMIT');
  }
  return `${lines.join('\n')}\n`;
}

export function isBuiltIn(chain: string): boolean {
  return BUILT_IN.includes(chain);
}
