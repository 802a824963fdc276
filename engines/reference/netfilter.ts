/** Tables, chains and rules as objects, and the walk through them (ipt_do_table), counting as README 4 says. */
import type { Cidr } from '../../model/address.ts';
import { cidrContains } from '../../model/address.ts';
import {
  IPSET_TESTS,
  JUMPS,
  RULES_EVALUATED,
  RULES_MATCHED,
  RULE_BYTES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../../model/counters.ts';
import { PROTOCOL_SCTP } from '../../model/protocol.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { chainClass, mark } from './marks.ts';
import { count } from './packet.ts';
import type { ConntrackState, Packet, Party, Work } from './packet.ts';
import type { RecentLists } from './recent.ts';

/** Which of the packet's values a set is asked for: `dst,dst` and so on as in ipset's manual; `dst-port` and `dst-address` for `dst` on a bitmap and a hash:ip. */
export type SetKey = 'dst,dst' | 'src,dst' | 'dst,dst,src' | 'dst-port' | 'dst-address';

export type Match =
  | { readonly kind: 'comment'; readonly text: string }
  /** `-m tcp`, `-m udp` or `-m sctp`, with the destination port when one is asked for. */
  | { readonly kind: 'transport'; readonly dport?: number }
  /** `-m addrtype` */
  | { readonly kind: 'src-local' | 'dst-local'; readonly not?: boolean }
  | {
      readonly kind: 'ctstate';
      readonly states: readonly (ConntrackState | 'RELATED' | 'DNAT')[];
      readonly not?: boolean;
    }
  | { readonly kind: 'mark'; readonly not?: boolean }
  | { readonly kind: 'statistic'; readonly probability: string }
  /** `-m recent`, by the source address. */
  | { readonly kind: 'recent set'; readonly list: string }
  | { readonly kind: 'recent check'; readonly list: string; readonly seconds: number }
  /** A counter: matches always. */
  | { readonly kind: 'nfacct'; readonly name: string }
  /** `-m state --state NEW`, the older name of ctstate. */
  | { readonly kind: 'state new' }
  | { readonly kind: 'set'; readonly set: string; readonly key: SetKey }
  /** `! --physdev-is-in`: matches always, for bridges do not call iptables here. */
  | { readonly kind: 'physdev' }
  | IpvsMatch;

/** `-m ipvs`: of a connection to that virtual server. */
export interface IpvsMatch {
  readonly kind: 'ipvs';
  readonly virtual: Party;
  readonly protocol: number;
}

export type Target =
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'ACCEPT' | 'DROP' | 'RETURN' | 'REJECT' | 'MARK or' | 'MARK xor' }
  /** The walk goes on behind the rule. */
  | { readonly kind: 'none' }
  | { readonly kind: 'MASQUERADE'; readonly randomFully?: boolean }
  | { readonly kind: 'DNAT'; readonly to: Party }
  /** To that port of the node; `to` has the address that the kernel takes. */
  | { readonly kind: 'REDIRECT'; readonly to: Party };

/** What `-s` and `-d` name; a single address is written without `/32`. */
export interface Block extends Cidr {
  readonly isAddress?: boolean;
}

export interface Rule {
  readonly protocol?: number;
  readonly src?: Block;
  readonly dst?: Block;
  /** `! -s` and `! -d` */
  readonly notSrc?: boolean;
  readonly notDst?: boolean;
  /** `-i` the pods' interface. */
  readonly fromPod?: { readonly name: string; readonly not?: boolean };
  readonly matches: readonly Match[];
  readonly target: Target;
  /** The service port that the rule belongs to, or -1. */
  readonly servicePortId: number;
}

/** Chain name to rules in order. */
export type Table = Map<string, readonly Rule[]>;

export type Ruling =
  | { readonly kind: 'accept' }
  | { readonly kind: 'dnat'; readonly to: Party; readonly servicePortId: number }
  | { readonly kind: 'masquerade'; readonly randomFully: boolean }
  /** By a rule of that chain. */
  | { readonly kind: 'reject' | 'drop'; readonly chain: string; readonly servicePortId: number };

/** An ipset. */
export interface TestedSet {
  holds(key: SetKey, packet: Packet): boolean;
}

/** What matches ask of the world around the packet. */
export interface Surroundings {
  readonly isLocal: (address: number) => boolean;
  readonly sets: ReadonlyMap<string, TestedSet>;
  /** `-m ipvs`; absent where no packet can match. */
  readonly isOfVirtual?: (match: IpvsMatch, packet: Packet, work: Work) => boolean;
  readonly statistic: RandomStream;
  readonly recent: RecentLists;
  /** Chains whose visits are counted as service rules. */
  readonly serviceChains: ReadonlySet<string>;
}

const TARGET_BYTES = { DNAT: 56, REDIRECT: 56, MASQUERADE: 56, OTHER: 40 };

function matchBytes(match: Match, protocol: number | undefined): number {
  switch (match.kind) {
    case 'comment':
      return 288;
    case 'transport':
      return protocol === PROTOCOL_SCTP ? 328 : 48;
    case 'mark':
      return 48;
    case 'recent set':
    case 'recent check':
      return 264;
    case 'nfacct':
    case 'ipvs':
      return 72;
    case 'physdev':
      return 104;
    case 'state new':
    case 'src-local':
    case 'dst-local':
    case 'set':
      return 40;
    case 'ctstate':
      return 200;
    case 'statistic':
      return 56;
  }
}

/** Size of a rule in bytes on x86-64: entry, matches and target. */
export function ruleBytes(rule: Rule): number {
  let bytes = 112;
  for (const match of rule.matches) bytes += matchBytes(match, rule.protocol);
  if (rule.target.kind === 'DNAT') return bytes + TARGET_BYTES.DNAT;
  if (rule.target.kind === 'REDIRECT') return bytes + TARGET_BYTES.REDIRECT;
  if (rule.target.kind === 'MASQUERADE') return bytes + TARGET_BYTES.MASQUERADE;
  return bytes + TARGET_BYTES.OTHER;
}

/** The ip part of a rule, tested before any match is called [ip_packet_match]. */
function ipPartHolds(rule: Rule, packet: Packet): boolean {
  if (rule.src !== undefined && cidrContains(rule.src, packet.src.address) === (rule.notSrc === true)) return false;
  if (rule.dst !== undefined && cidrContains(rule.dst, packet.dst.address) === (rule.notDst === true)) return false;
  if (rule.fromPod !== undefined && packet.fromPod === (rule.fromPod.not === true)) return false;
  return rule.protocol === undefined || rule.protocol === packet.protocol;
}

function matchHolds(match: Match, packet: Packet, world: Surroundings, work: Work): boolean {
  switch (match.kind) {
    case 'comment':
      return true;
    case 'transport':
      return match.dport === undefined || match.dport === packet.dst.port;
    case 'src-local':
      return world.isLocal(packet.src.address) !== (match.not === true);
    case 'dst-local':
      return world.isLocal(packet.dst.address) !== (match.not === true);
    case 'nfacct':
      return true;
    case 'state new':
      return packet.state === 'NEW';
    case 'recent set':
      return world.recent.set(match.list, packet.src.address, packet.time, work);
    case 'recent check':
      return world.recent.check(match.list, match.seconds, packet.src.address, packet.time, work);
    case 'ctstate': {
      const listed = match.states.includes(packet.state) || (packet.dnat && match.states.includes('DNAT'));
      return listed !== (match.not === true);
    }
    case 'mark':
      return packet.marked !== (match.not === true);
    case 'statistic': {
      const threshold = Math.round(Number(match.probability) * 2147483648);
      return (world.statistic.nextUint32() & 0x7fffffff) < threshold;
    }
    case 'set':
      count(work, IPSET_TESTS);
      return world.sets.get(match.set)?.holds(match.key, packet) === true;
    case 'physdev':
      return true;
    case 'ipvs':
      return world.isOfVirtual?.(match, packet, work) === true;
  }
}

const kinds = new WeakMap<Rule, string>();

/** What kind of rule it is, as a mark: `KUBE-EXT: src-local -> KUBE-SVC`. */
function kindOf(chain: string, rule: Rule): string {
  const known = kinds.get(rule);
  if (known !== undefined) return known;
  const words: string[] = [];
  const sign = (inverted: boolean | undefined): string => (inverted === true ? '! ' : '');
  if (rule.src !== undefined) words.push(`${sign(rule.notSrc)}-s ${rule.src.isAddress === true ? 'address' : 'block'}`);
  if (rule.dst !== undefined) words.push(`${sign(rule.notDst)}-d ${rule.dst.isAddress === true ? 'address' : 'block'}`);
  if (rule.fromPod !== undefined) words.push(`${sign(rule.fromPod.not)}-i`);
  for (const match of rule.matches) {
    if (match.kind !== 'comment' && match.kind !== 'transport')
      words.push(match.kind === 'set' ? match.set : match.kind);
  }
  const { target } = rule;
  const kind = `${chainClass(chain)}: ${[...words, '->'].join(' ')} ${target.kind === 'jump' ? chainClass(target.chain) : target.kind}`;
  kinds.set(rule, kind);
  return kind;
}

/** Walks one built-in chain of a table; rules may set or clear the packet's mark on the way. */
export function walk(table: Table, builtIn: string, packet: Packet, world: Surroundings, work: Work): Ruling {
  const stack: { chain: string; next: number }[] = [];
  let chain = builtIn;
  let next = 0;
  for (;;) {
    const rule = table.get(chain)?.[next];
    if (rule === undefined) {
      const caller = stack.pop();
      if (caller === undefined) return { kind: 'accept' };
      if (chain !== 'KUBE-MARK-MASQ') mark(`${chainClass(chain)}: end`);
      chain = caller.chain;
      next = caller.next;
      continue;
    }
    next++;
    count(work, RULES_EVALUATED);
    count(work, RULE_BYTES, ruleBytes(rule));
    if (world.serviceChains.has(chain)) count(work, SERVICE_RULES_SCANNED);
    if (rule.matches.some((match) => match.kind === 'statistic')) count(work, STATISTIC_RULES);
    if (!ipPartHolds(rule, packet)) continue;
    if (!rule.matches.every((match) => matchHolds(match, packet, world, work))) continue;
    count(work, RULES_MATCHED);
    if (chain !== builtIn) mark(kindOf(chain, rule));
    const target = rule.target;
    switch (target.kind) {
      case 'jump':
        count(work, JUMPS);
        stack.push({ chain, next });
        chain = target.chain;
        next = 0;
        break;
      case 'RETURN':
        next = Infinity;
        break;
      case 'MARK or':
        packet.marked = true;
        break;
      case 'MARK xor':
        packet.marked = !packet.marked;
        break;
      case 'ACCEPT':
        return { kind: 'accept' };
      case 'DROP':
        return { kind: 'drop', chain, servicePortId: rule.servicePortId };
      case 'REJECT':
        return { kind: 'reject', chain, servicePortId: rule.servicePortId };
      case 'MASQUERADE':
        return { kind: 'masquerade', randomFully: target.randomFully === true };
      case 'none':
        break;
      case 'DNAT':
      case 'REDIRECT':
        return { kind: 'dnat', to: target.to, servicePortId: rule.servicePortId };
    }
  }
}

/** Rules in all chains of the table, built-in ones included. */
export function countRules(table: Table): number {
  let rules = 0;
  for (const chain of table.values()) rules += chain.length;
  return rules;
}
