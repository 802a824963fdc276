/**
 * The iptables rules of IPVS mode (pkg/proxy/ipvs/proxier.go writeIptablesRules, iptablesJumpChain), as data: what the
 * literal walk visits, what `dump` prints, and what the indexed walk adds up. Their number does not depend on that of
 * the services; which of them exist depends on which ipsets are empty.
 */
import type { Cidr } from '../../model/address.ts';
import type { IpSets } from './ipsets.ts';

export const IP_ANY = 0;
/** `-s 127.0.0.0/8` */
export const IP_SRC_LOOPBACK = 1;
/** `! -s clusterCidr` */
export const IP_SRC_NOT_CLUSTER = 2;
/** `-p tcp`, `-p udp` */
export const IP_TCP = 3;
const IP_UDP = 4;

export const MATCH_NONE = 0;
export const MATCH_DST_LOCAL = 1;
export const MATCH_UNMARKED = 2;
export const MATCH_MARKED = 3;
export const MATCH_NEW = 4;
const MATCH_ESTABLISHED = 5;

export const SET_NONE = 0;
/** One of the sets that are always empty now. */
const SET_EMPTY = 1;
export const SET_CLUSTER_IP_DST = 2;
/** CLUSTER-IP tested with the source address and the destination port. */
export const SET_CLUSTER_IP_SRC = 3;
export const SET_NODE_PORT = 4;
export const SET_LOOP_BACK = 5;
export const SET_IPVS_IPS = 6;

/** Targets below TARGET_JUMP are final or act on the mark; TARGET_JUMP + chain jumps. */
export const TARGET_RETURN = 0;
const TARGET_ACCEPT = 1;
export const TARGET_REJECT = 2;
export const TARGET_MASQUERADE = 3;
export const TARGET_MARK = 4;
export const TARGET_UNMARK = 5;
const TARGET_DROP = 6;
export const TARGET_JUMP = 16;

export const NAT_PREROUTING = 0;
const NAT_OUTPUT = 1;
export const NAT_POSTROUTING = 2;
const NAT_SERVICES = 3;
const NAT_NODE_PORT = 4;
const NAT_MARK_MASQ = 5;
const NAT_KUBE_POSTROUTING = 6;
const NAT_LOAD_BALANCER = 7;
export const FILTER_INPUT = 8;
export const FILTER_FORWARD = 9;
export const FILTER_OUTPUT = 10;
const FILTER_IPVS_FILTER = 11;
const FILTER_PROXY_FIREWALL = 12;
const FILTER_NODE_PORT = 13;
const FILTER_KUBE_FORWARD = 14;
const FILTER_IPVS_OUT = 15;
const FILTER_SOURCE_RANGES = 16;

/** By chain number: table and name. */
export const CHAINS: readonly { readonly table: 'nat' | 'filter'; readonly name: string; readonly builtIn: boolean }[] =
  [
    { table: 'nat', name: 'PREROUTING', builtIn: true },
    { table: 'nat', name: 'OUTPUT', builtIn: true },
    { table: 'nat', name: 'POSTROUTING', builtIn: true },
    { table: 'nat', name: 'KUBE-SERVICES', builtIn: false },
    { table: 'nat', name: 'KUBE-NODE-PORT', builtIn: false },
    { table: 'nat', name: 'KUBE-MARK-MASQ', builtIn: false },
    { table: 'nat', name: 'KUBE-POSTROUTING', builtIn: false },
    { table: 'nat', name: 'KUBE-LOAD-BALANCER', builtIn: false },
    { table: 'filter', name: 'INPUT', builtIn: true },
    { table: 'filter', name: 'FORWARD', builtIn: true },
    { table: 'filter', name: 'OUTPUT', builtIn: true },
    { table: 'filter', name: 'KUBE-IPVS-FILTER', builtIn: false },
    { table: 'filter', name: 'KUBE-PROXY-FIREWALL', builtIn: false },
    { table: 'filter', name: 'KUBE-NODE-PORT', builtIn: false },
    { table: 'filter', name: 'KUBE-FORWARD', builtIn: false },
    { table: 'filter', name: 'KUBE-IPVS-OUT-FILTER', builtIn: false },
    { table: 'filter', name: 'KUBE-SOURCE-RANGES-FIREWALL', builtIn: false },
  ];

export interface Rule {
  readonly chain: number;
  readonly ip: number;
  readonly match: number;
  readonly set: number;
  readonly target: number;
  /** Bytes of the ipt_entry with its matches and its target. */
  readonly size: number;
  /** As iptables-restore takes it, without `-A CHAIN`. */
  readonly text: string;
}

/* Sizes in bytes on x86-64: include/uapi/linux/netfilter/xt_*.h, netfilter_ipv4/ip_tables.h. */
const ENTRY_BYTES = 112;
const COMMENT_BYTES = 288;
const SET_BYTES = 40;
/** addrtype, mark, conntrack, by MATCH_*. */
const MATCH_BYTES = [0, 40, 48, 48, 200, 200];
/** Verdicts and jumps 40, MASQUERADE 56, MARK 40. */
const MASQUERADE_BYTES = 56;
const TARGET_BYTES = 40;

const IP_SRC_TEXT = ['', '-s 127.0.0.0/8', '', '-p tcp', '-p udp'];
const TARGET_TEXT = ['RETURN', 'ACCEPT', 'REJECT', 'MASQUERADE', '', '', 'DROP'];

export interface RuleOptions {
  readonly masqueradeAll: boolean;
  readonly masqueradeBit: number;
  readonly clusterCidr: Cidr | undefined;
  readonly clusterCidrText: string;
}

interface Parts {
  readonly ip?: number;
  readonly comment?: string;
  readonly match?: number;
  readonly set?: number;
  readonly setText?: string;
}

/** Collects rules in the order in which they stand in their chains. */
class RuleList {
  readonly rules: Rule[] = [];
  readonly #mark: string;
  readonly #clusterCidrText: string;

  constructor(options: RuleOptions) {
    const bits = `0x${((1 << options.masqueradeBit) >>> 0).toString(16).padStart(8, '0')}`;
    this.#mark = bits;
    this.#clusterCidrText = options.clusterCidrText;
  }

  append(chain: number, target: number, parts: Parts = {}): void {
    const { ip = IP_ANY, comment, match = MATCH_NONE, set = SET_NONE, setText } = parts;
    const words: string[] = [];
    if (ip !== IP_ANY && ip !== IP_SRC_NOT_CLUSTER) words.push(IP_SRC_TEXT[ip]);
    if (comment !== undefined) words.push(`-m comment --comment "${comment}"`);
    if (match !== MATCH_NONE) words.push(this.#matchText(match));
    if (setText !== undefined) words.push(`-m set --match-set ${setText}`);
    // kube-proxy writes its local detector last.
    if (ip === IP_SRC_NOT_CLUSTER) words.push(`! -s ${this.#clusterCidrText}`);
    if (target === TARGET_MARK) words.push(`-j MARK --or-mark ${this.#mark}`);
    else if (target === TARGET_UNMARK) words.push(`-j MARK --xor-mark ${this.#mark}`);
    else if (target >= TARGET_JUMP) words.push(`-j ${(CHAINS[target - TARGET_JUMP] as { name: string }).name}`);
    else words.push(`-j ${TARGET_TEXT[target]}`);
    const size =
      ENTRY_BYTES +
      (comment === undefined ? 0 : COMMENT_BYTES) +
      MATCH_BYTES[match] +
      (set === SET_NONE ? 0 : SET_BYTES) +
      (target === TARGET_MASQUERADE ? MASQUERADE_BYTES : TARGET_BYTES);
    this.rules.push({ chain, ip, match, set, target, size, text: words.join(' ') });
  }

  #matchText(match: number): string {
    switch (match) {
      case MATCH_DST_LOCAL:
        return '-m addrtype --dst-type LOCAL';
      case MATCH_UNMARKED:
        return `-m mark ! --mark ${this.#mark}/${this.#mark}`;
      case MATCH_MARKED:
        return `-m mark --mark ${this.#mark}/${this.#mark}`;
      case MATCH_NEW:
        return '-m conntrack --ctstate NEW';
      default:
        return '-m conntrack --ctstate RELATED,ESTABLISHED';
    }
  }
}

/** Every rule of nat and filter that is in the kernel after a sync, chain by chain in the order of CHAINS. */
export function buildRules(options: RuleOptions, sets: IpSets): readonly Rule[] {
  const list = new RuleList(options);
  appendNat(list, options, sets);
  appendFilter(list);
  return list.rules;
}

function appendNat(list: RuleList, options: RuleOptions, sets: IpSets): void {
  const portals = { comment: 'kubernetes service portals' };
  list.append(NAT_PREROUTING, TARGET_JUMP + NAT_SERVICES, portals);
  list.append(NAT_OUTPUT, TARGET_JUMP + NAT_SERVICES, portals);
  list.append(NAT_POSTROUTING, TARGET_JUMP + NAT_KUBE_POSTROUTING, { comment: 'kubernetes postrouting rules' });

  list.append(NAT_SERVICES, TARGET_RETURN, { ip: IP_SRC_LOOPBACK });
  if (sets.clusterIpSize > 0) {
    const comment = 'Kubernetes service cluster ip + port for masquerade purpose';
    const jump = TARGET_JUMP + NAT_MARK_MASQ;
    const dst = { comment, set: SET_CLUSTER_IP_DST, setText: 'KUBE-CLUSTER-IP dst,dst' };
    if (options.masqueradeAll) list.append(NAT_SERVICES, jump, dst);
    else if (options.clusterCidr !== undefined) list.append(NAT_SERVICES, jump, { ...dst, ip: IP_SRC_NOT_CLUSTER });
    else list.append(NAT_SERVICES, jump, { comment, set: SET_CLUSTER_IP_SRC, setText: 'KUBE-CLUSTER-IP src,dst' });
  }
  list.append(NAT_SERVICES, TARGET_JUMP + NAT_NODE_PORT, { match: MATCH_DST_LOCAL });
  if (sets.clusterIpSize > 0) {
    list.append(NAT_SERVICES, TARGET_ACCEPT, { set: SET_CLUSTER_IP_DST, setText: 'KUBE-CLUSTER-IP dst,dst' });
  }

  if (sets.nodePortTcpSize > 0) {
    const comment = 'Kubernetes nodeport TCP port for masquerade purpose';
    const setText = 'KUBE-NODE-PORT-TCP dst';
    list.append(NAT_NODE_PORT, TARGET_JUMP + NAT_MARK_MASQ, { ip: IP_TCP, comment, set: SET_NODE_PORT, setText });
  }
  if (sets.nodePortUdpSize > 0) {
    const comment = 'Kubernetes nodeport UDP port for masquerade purpose';
    const setText = 'KUBE-NODE-PORT-UDP dst';
    list.append(NAT_NODE_PORT, TARGET_JUMP + NAT_MARK_MASQ, { ip: IP_UDP, comment, set: SET_NODE_PORT, setText });
  }

  list.append(NAT_MARK_MASQ, TARGET_MARK);

  if (sets.loopBackSize > 0) {
    const comment = 'Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose';
    const setText = 'KUBE-LOOP-BACK dst,dst,src';
    list.append(NAT_KUBE_POSTROUTING, TARGET_MASQUERADE, { comment, set: SET_LOOP_BACK, setText });
  }
  list.append(NAT_KUBE_POSTROUTING, TARGET_RETURN, { match: MATCH_UNMARKED });
  list.append(NAT_KUBE_POSTROUTING, TARGET_UNMARK);
  const comment = 'kubernetes service traffic requiring SNAT';
  list.append(NAT_KUBE_POSTROUTING, TARGET_MASQUERADE, { comment });

  list.append(NAT_LOAD_BALANCER, TARGET_JUMP + NAT_MARK_MASQ);
}

function appendFilter(list: RuleList): void {
  const access = 'kubernetes ipvs access filter';
  const firewall = 'kube-proxy firewall rules';
  list.append(FILTER_INPUT, TARGET_JUMP + FILTER_IPVS_FILTER, { comment: access });
  list.append(FILTER_INPUT, TARGET_JUMP + FILTER_PROXY_FIREWALL, { comment: firewall });
  list.append(FILTER_INPUT, TARGET_JUMP + FILTER_NODE_PORT, { comment: 'kubernetes health check rules' });
  list.append(FILTER_FORWARD, TARGET_JUMP + FILTER_PROXY_FIREWALL, { comment: firewall });
  list.append(FILTER_FORWARD, TARGET_JUMP + FILTER_KUBE_FORWARD, { comment: 'kubernetes forwarding rules' });
  list.append(FILTER_OUTPUT, TARGET_JUMP + FILTER_IPVS_OUT, { comment: access });

  const returns: [number, string][] = [
    [SET_EMPTY, 'KUBE-LOAD-BALANCER dst,dst'],
    [SET_CLUSTER_IP_DST, 'KUBE-CLUSTER-IP dst,dst'],
    [SET_EMPTY, 'KUBE-EXTERNAL-IP dst,dst'],
    [SET_EMPTY, 'KUBE-EXTERNAL-IP-LOCAL dst,dst'],
    [SET_EMPTY, 'KUBE-HEALTH-CHECK-NODE-PORT dst'],
  ];
  for (const [set, setText] of returns) list.append(FILTER_IPVS_FILTER, TARGET_RETURN, { set, setText });
  const unused = { match: MATCH_NEW, set: SET_IPVS_IPS, setText: 'KUBE-IPVS-IPS dst' };
  list.append(FILTER_IPVS_FILTER, TARGET_REJECT, unused);

  const health = {
    comment: 'Kubernetes health check node port',
    set: SET_EMPTY,
    setText: 'KUBE-HEALTH-CHECK-NODE-PORT dst',
  };
  list.append(FILTER_NODE_PORT, TARGET_ACCEPT, health);
  list.append(FILTER_KUBE_FORWARD, TARGET_ACCEPT, { comment: 'kubernetes forwarding rules', match: MATCH_MARKED });
  const established = { comment: 'kubernetes forwarding conntrack rule', match: MATCH_ESTABLISHED };
  list.append(FILTER_KUBE_FORWARD, TARGET_ACCEPT, established);
  list.append(FILTER_SOURCE_RANGES, TARGET_DROP);
}
