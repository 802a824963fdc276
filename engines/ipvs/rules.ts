/**
 * The iptables rules of IPVS mode (pkg/proxy/ipvs/proxier.go createAndLinkKubeChain, writeIptablesRules) as numbers: what the
 * literal walk visits. Which of them exist depends on which ipsets are empty; only the load balancers' addresses that are closed to
 * the node have a rule each. Their text comes from program/ (dump.ts).
 */
import type { Cidr } from '../../model/address.ts';
import * as sets from './ipsets.ts';
import type { IpSets } from './ipsets.ts';

/* The ip part of a rule, tested before its matches. */
export const IP_ANY = 0;
/** `-s 127.0.0.0/8` */
export const IP_SRC_LOOPBACK = 1;
/** The local detector, negated: `! -s clusterCidr` or `! -i interface`. */
export const IP_NOT_FROM_POD = 2;
/** `-p tcp`, `-p udp`, `-p sctp` */
export const IP_TCP = 3;
export const IP_UDP = 4;
export const IP_SCTP = 5;
/** `-s` an address closed to the node: that of the rule's place in KUBE-IPVS-OUT-FILTER. */
const IP_SRC_BLOCKED_VIP = 6;

/* Matches in front of the set match. */
export const MATCH_NONE = 0;
export const MATCH_DST_LOCAL = 1;
export const MATCH_UNMARKED = 2;
export const MATCH_MARKED = 3;
export const MATCH_NEW = 4;
export const MATCH_ESTABLISHED = 5;
/** `-m ipvs --vaddr --vproto --vport`. */
const MATCH_IPVS = 6;

/* Set matches: a set of ipsets.ts, tested with the destination unless it says otherwise. */
export const SET_NONE = -1;
/** CLUSTER-IP tested with the source address and the destination port. */
const SET_CLUSTER_IP_SRC = 17;

/* Matches behind the set match. */
export const THEN_NOTHING = 0;
/** `-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL`; the first always holds, for no bridge filters here. */
const THEN_SRC_NOT_LOCAL = 1;
/** `-m addrtype --dst-type LOCAL`. */
export const THEN_DST_LOCAL = 2;

/** Targets below TARGET_JUMP are final or act on the mark; TARGET_JUMP + chain jumps. */
export const TARGET_RETURN = 0;
const TARGET_ACCEPT = 1;
export const TARGET_REJECT = 2;
export const TARGET_MASQUERADE = 3;
export const TARGET_MARK = 4;
export const TARGET_UNMARK = 5;
export const TARGET_DROP = 6;
/** The MASQUERADE of hairpin packets, which never has --random-fully. */
export const TARGET_MASQUERADE_HAIRPIN = 7;
export const TARGET_JUMP = 16;

export const NAT_PREROUTING = 0;
const NAT_OUTPUT = 1;
export const NAT_POSTROUTING = 2;
export const FILTER_INPUT = 3;
export const FILTER_FORWARD = 4;
export const FILTER_OUTPUT = 5;
/** Chains from here on are kube-proxy's own. */
const FIRST_OWN_CHAIN = 6;
const NAT_SERVICES = 6;
const NAT_NODE_PORT = 7;
const NAT_LOAD_BALANCER = 8;
const NAT_MARK_MASQ = 9;
const NAT_KUBE_POSTROUTING = 10;
const FILTER_IPVS_FILTER = 11;
const FILTER_PROXY_FIREWALL = 12;
const FILTER_SOURCE_RANGES = 13;
const FILTER_NODE_PORT = 14;
const FILTER_KUBE_FORWARD = 15;
export const FILTER_IPVS_OUT = 16;
export const CHAINS = 17;

export interface Rule {
  readonly chain: number;
  readonly ip: number;
  readonly match: number;
  readonly set: number;
  readonly then: number;
  readonly target: number;
  /** Bytes of the ipt_entry with its matches and its target. */
  readonly size: number;
}

/* Sizes in bytes on x86-64: include/uapi/linux/netfilter/xt_*.h, netfilter_ipv4/ip_tables.h. */
const ENTRY_BYTES = 112;
const COMMENT_BYTES = 288;
const SET_BYTES = 40;
/** addrtype, mark, conntrack, ipvs, by MATCH_*. */
const MATCH_BYTES = [0, 40, 48, 48, 200, 200, 72];
/** physdev 104 and addrtype 40; addrtype. */
const THEN_BYTES = [0, 104 + 40, 40];
/** Verdicts and jumps 40, MASQUERADE 56, MARK 40. */
const MASQUERADE_BYTES = 56;
const TARGET_BYTES = 40;

/** Where a pod's packets are told from others: by source address, by interface, or not at all. */
export type LocalDetector =
  { readonly kind: 'cidr'; readonly cidr: Cidr } | { readonly kind: 'interface' } | { readonly kind: 'none' };

export interface RuleOptions {
  readonly masqueradeAll: boolean;
  readonly detector: LocalDetector;
}

interface Parts {
  readonly ip?: number;
  readonly match?: number;
  readonly set?: number;
  readonly then?: number;
  /** kube-proxy writes a comment. */
  readonly commented?: boolean;
}

function rule(chain: number, target: number, parts: Parts = {}): Rule {
  const { ip = IP_ANY, match = MATCH_NONE, set = SET_NONE, then = THEN_NOTHING, commented = false } = parts;
  const size =
    ENTRY_BYTES +
    (commented ? COMMENT_BYTES : 0) +
    MATCH_BYTES[match] +
    (set === SET_NONE ? 0 : SET_BYTES) +
    THEN_BYTES[then] +
    (target === TARGET_MASQUERADE || target === TARGET_MASQUERADE_HAIRPIN ? MASQUERADE_BYTES : TARGET_BYTES);
  return { chain, ip, match, set, then, target, size };
}

const COMMENTED = { commented: true };
const TO_MARK_MASQ = TARGET_JUMP + NAT_MARK_MASQ;

/** The jumps from built-in chains. */
const JUMPS: readonly Rule[] = [
  rule(NAT_PREROUTING, TARGET_JUMP + NAT_SERVICES, COMMENTED),
  rule(NAT_OUTPUT, TARGET_JUMP + NAT_SERVICES, COMMENTED),
  rule(NAT_POSTROUTING, TARGET_JUMP + NAT_KUBE_POSTROUTING, COMMENTED),
  rule(FILTER_INPUT, TARGET_JUMP + FILTER_IPVS_FILTER, COMMENTED),
  rule(FILTER_INPUT, TARGET_JUMP + FILTER_PROXY_FIREWALL, COMMENTED),
  rule(FILTER_INPUT, TARGET_JUMP + FILTER_NODE_PORT, COMMENTED),
  rule(FILTER_FORWARD, TARGET_JUMP + FILTER_PROXY_FIREWALL, COMMENTED),
  rule(FILTER_FORWARD, TARGET_JUMP + FILTER_KUBE_FORWARD, COMMENTED),
  rule(FILTER_OUTPUT, TARGET_JUMP + FILTER_IPVS_OUT, COMMENTED),
];

/** Every rule of nat and filter that is in the kernel after a sync, in the order of their chains' numbers. */
export function buildRules(options: RuleOptions, ipSets: IpSets, blockedVips: number): readonly Rule[] {
  const rules = [...JUMPS];
  appendServices(rules, options, ipSets);
  appendNodePort(rules, ipSets);
  appendIfUsed(rules, ipSets, sets.SET_LOAD_BALANCER_LOCAL, NAT_LOAD_BALANCER, TARGET_RETURN);
  rules.push(rule(NAT_LOAD_BALANCER, TO_MARK_MASQ), rule(NAT_MARK_MASQ, TARGET_MARK));
  appendIfUsed(rules, ipSets, sets.SET_LOOP_BACK, NAT_KUBE_POSTROUTING, TARGET_MASQUERADE_HAIRPIN);
  rules.push(
    rule(NAT_KUBE_POSTROUTING, TARGET_RETURN, { match: MATCH_UNMARKED }),
    rule(NAT_KUBE_POSTROUTING, TARGET_UNMARK),
    rule(NAT_KUBE_POSTROUTING, TARGET_MASQUERADE, COMMENTED),
  );
  appendFilter(rules, ipSets);
  for (let i = 0; i < blockedVips; i++) {
    rules.push(rule(FILTER_IPVS_OUT, TARGET_DROP, { ip: IP_SRC_BLOCKED_VIP, match: MATCH_IPVS }));
  }
  return rules;
}

/** How many of the rules kube-proxy feeds to iptables-restore: all but the jumps. */
export function countOwnRules(rules: readonly Rule[]): number {
  return rules.filter(({ chain }) => chain >= FIRST_OWN_CHAIN).length;
}

function appendIfUsed(
  rules: Rule[],
  ipSets: IpSets,
  set: number,
  chain: number,
  target: number,
  ip: number = IP_ANY,
): void {
  if (!ipSets.isEmpty(set)) rules.push(rule(chain, target, { set, ip, commented: true }));
}

function appendServices(rules: Rule[], { masqueradeAll, detector }: RuleOptions, ipSets: IpSets): void {
  rules.push(rule(NAT_SERVICES, TARGET_RETURN, { ip: IP_SRC_LOOPBACK }));
  appendIfUsed(rules, ipSets, sets.SET_LOAD_BALANCER, NAT_SERVICES, TARGET_JUMP + NAT_LOAD_BALANCER);
  if (!ipSets.isEmpty(sets.SET_CLUSTER_IP)) {
    const byDestination = { set: sets.SET_CLUSTER_IP, commented: true };
    if (masqueradeAll) rules.push(rule(NAT_SERVICES, TO_MARK_MASQ, byDestination));
    else if (detector.kind !== 'none') {
      rules.push(rule(NAT_SERVICES, TO_MARK_MASQ, { ...byDestination, ip: IP_NOT_FROM_POD }));
    } else rules.push(rule(NAT_SERVICES, TO_MARK_MASQ, { set: SET_CLUSTER_IP_SRC, commented: true }));
  }
  if (!ipSets.isEmpty(sets.SET_EXTERNAL_IP)) {
    rules.push(rule(NAT_SERVICES, TO_MARK_MASQ, { set: sets.SET_EXTERNAL_IP, commented: true }));
  }
  for (const set of [sets.SET_EXTERNAL_IP, sets.SET_EXTERNAL_IP_LOCAL]) {
    if (ipSets.isEmpty(set)) continue;
    rules.push(
      rule(NAT_SERVICES, TARGET_ACCEPT, { set, then: THEN_SRC_NOT_LOCAL, commented: true }),
      rule(NAT_SERVICES, TARGET_ACCEPT, { set, then: THEN_DST_LOCAL, commented: true }),
    );
  }
  rules.push(rule(NAT_SERVICES, TARGET_JUMP + NAT_NODE_PORT, { match: MATCH_DST_LOCAL }));
  for (const set of [sets.SET_CLUSTER_IP, sets.SET_LOAD_BALANCER]) {
    if (!ipSets.isEmpty(set)) rules.push(rule(NAT_SERVICES, TARGET_ACCEPT, { set }));
  }
}

function appendNodePort(rules: Rule[], ipSets: IpSets): void {
  const chain = NAT_NODE_PORT;
  appendIfUsed(rules, ipSets, sets.SET_NODE_PORT_LOCAL_TCP, chain, TARGET_RETURN, IP_TCP);
  appendIfUsed(rules, ipSets, sets.SET_NODE_PORT_TCP, chain, TO_MARK_MASQ, IP_TCP);
  appendIfUsed(rules, ipSets, sets.SET_NODE_PORT_LOCAL_UDP, chain, TARGET_RETURN, IP_UDP);
  appendIfUsed(rules, ipSets, sets.SET_NODE_PORT_UDP, chain, TO_MARK_MASQ, IP_UDP);
  appendIfUsed(rules, ipSets, sets.SET_NODE_PORT_LOCAL_SCTP, chain, TARGET_RETURN, IP_SCTP);
  appendIfUsed(rules, ipSets, sets.SET_NODE_PORT_SCTP, chain, TO_MARK_MASQ, IP_SCTP);
}

function appendFilter(rules: Rule[], ipSets: IpSets): void {
  const open = [
    sets.SET_LOAD_BALANCER,
    sets.SET_CLUSTER_IP,
    sets.SET_EXTERNAL_IP,
    sets.SET_EXTERNAL_IP_LOCAL,
    sets.SET_HEALTH_CHECK_NODE_PORT,
  ];
  for (const set of open) rules.push(rule(FILTER_IPVS_FILTER, TARGET_RETURN, { set }));
  rules.push(rule(FILTER_IPVS_FILTER, TARGET_REJECT, { match: MATCH_NEW, set: sets.SET_IPVS_IPS }));
  const toRanges = TARGET_JUMP + FILTER_SOURCE_RANGES;
  appendIfUsed(rules, ipSets, sets.SET_LOAD_BALANCER_FW, FILTER_PROXY_FIREWALL, toRanges);
  appendIfUsed(rules, ipSets, sets.SET_SOURCE_CIDR, FILTER_SOURCE_RANGES, TARGET_RETURN);
  appendIfUsed(rules, ipSets, sets.SET_SOURCE_IP, FILTER_SOURCE_RANGES, TARGET_RETURN);
  rules.push(
    rule(FILTER_SOURCE_RANGES, TARGET_DROP),
    rule(FILTER_NODE_PORT, TARGET_ACCEPT, { set: sets.SET_HEALTH_CHECK_NODE_PORT, commented: true }),
    rule(FILTER_KUBE_FORWARD, TARGET_ACCEPT, { match: MATCH_MARKED, commented: true }),
    rule(FILTER_KUBE_FORWARD, TARGET_ACCEPT, { match: MATCH_ESTABLISHED, commented: true }),
  );
}
