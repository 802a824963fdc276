/** Sizes of kube-proxy's rules in bytes (x86-64 xtables headers: ipt_entry, matches and target of one rule). */

const ENTRY = 112;
const COMMENT = 288;
const PORT_MATCH = 48;
const STATISTIC = 56;
const MARK_MATCH = 48;
const ADDRTYPE = 40;
const CONNTRACK = 200;
/** A standard target, MARK and REJECT. */
const TARGET = 40;
const NAT_TARGET = 56;

/** `-j CHAIN`, and the MARK rules. */
export const PLAIN_BYTES = ENTRY + TARGET;
/** Comment and jump. */
export const COMMENTED_BYTES = ENTRY + COMMENT + TARGET;
/** Comment, `--ctstate NEW` and jump; also the rules of comment, ctstate and verdict. */
export const STATE_BYTES = ENTRY + COMMENT + CONNTRACK + TARGET;
/** `--ctstate INVALID -j DROP`. */
export const INVALID_BYTES = ENTRY + CONNTRACK + TARGET;
/** Comment, mark, ACCEPT. */
export const MARK_ACCEPT_BYTES = ENTRY + COMMENT + MARK_MATCH + TARGET;
/** Mark, RETURN. */
export const MARK_RETURN_BYTES = ENTRY + MARK_MATCH + TARGET;
/** Comment, MASQUERADE. */
export const MASQUERADE_BYTES = ENTRY + COMMENT + NAT_TARGET;
/** Comment, `-p proto --dport`, and a jump or REJECT: KUBE-SERVICES, KUBE-NODEPORTS and the first rule of KUBE-SVC. */
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
