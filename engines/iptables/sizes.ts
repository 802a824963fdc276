/** Sizes of kube-proxy's rules in bytes (x86-64 xtables headers: ipt_entry, matches and target of one rule). */
import type { Match, Rule } from './program/rules.ts';

const ENTRY = 112;
const COMMENT = 288;
/** `-m tcp`, `-m udp`; that of SCTP holds a map of chunk types. */
const PORT_MATCH = 48;
const SCTP_MATCH = 328;
const STATISTIC = 56;
const MARK_MATCH = 48;
const ADDRTYPE = 40;
const CONNTRACK = 200;
const RECENT = 264;
const NFACCT = 72;
/** A standard target (a rule without target has one, too), MARK and REJECT. */
const TARGET = 40;
const NAT_TARGET = 56;

/** `-j CHAIN`, and the MARK rules. */
export const PLAIN_BYTES = ENTRY + TARGET;
/** Comment and jump, whatever the addresses. */
export const COMMENTED_BYTES = ENTRY + COMMENT + TARGET;
/** Comment, `--ctstate NEW` and jump; also the rules of comment, ctstate and verdict. */
export const STATE_BYTES = ENTRY + COMMENT + CONNTRACK + TARGET;
/** Comment, mark, ACCEPT. */
export const MARK_ACCEPT_BYTES = ENTRY + COMMENT + MARK_MATCH + TARGET;
/** Mark, RETURN. */
export const MARK_RETURN_BYTES = ENTRY + MARK_MATCH + TARGET;
/** Comment, MASQUERADE. */
export const MASQUERADE_BYTES = ENTRY + COMMENT + NAT_TARGET;
/** From here on the sizes of TCP and UDP. Comment, `-p proto --dport`, and a jump, REJECT or DROP: KUBE-SERVICES, KUBE-NODEPORTS and the first rule of KUBE-SVC. */
export const SERVICE_BYTES = ENTRY + COMMENT + PORT_MATCH + TARGET;
/** Comment, addrtype, `--dport`, REJECT. */
export const EXTERNAL_BYTES = ENTRY + COMMENT + ADDRTYPE + PORT_MATCH + TARGET;
/** Comment, addrtype, jump: the last rule of nat KUBE-SERVICES. */
export const LAST_BYTES = ENTRY + COMMENT + ADDRTYPE + TARGET;

/** KUBE-SVC's jump to an endpoint. */
export function endpointJumpBytes(statistic: boolean, commented: boolean): number {
  return ENTRY + (commented ? COMMENT : 0) + (statistic ? STATISTIC : 0) + TARGET;
}

/** KUBE-SEP's hairpin rule. */
export function hairpinBytes(commented: boolean): number {
  return ENTRY + (commented ? COMMENT : 0) + TARGET;
}

/** KUBE-SEP's DNAT rule. */
export function dnatBytes(commented: boolean): number {
  return ENTRY + (commented ? COMMENT : 0) + PORT_MATCH + NAT_TARGET;
}

/** Addresses, ports and interfaces are fields of the entry or of the protocol's match. */
function matchBytes(match: Match): number {
  switch (match.kind) {
    case 'comment':
      return COMMENT;
    case 'protocol':
      return match.protocol === 'sctp' ? SCTP_MATCH : PORT_MATCH;
    case 'sourceIsLocal':
    case 'destinationIsLocal':
      return ADDRTYPE;
    case 'mark':
      return MARK_MATCH;
    case 'conntrack':
      return CONNTRACK;
    case 'nfacct':
      return NFACCT;
    case 'statistic':
      return STATISTIC;
    case 'recentCheck':
    case 'recentSet':
      return RECENT;
    default:
      return 0;
  }
}

/** Any rule of kube-proxy's. */
export function ruleBytes({ matches, target }: Rule): number {
  let bytes = ENTRY + (target.kind === 'DNAT' || target.kind === 'MASQUERADE' ? NAT_TARGET : TARGET);
  for (const match of matches) bytes += matchBytes(match);
  return bytes;
}
