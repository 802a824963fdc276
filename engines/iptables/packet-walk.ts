/** What the engine hands to an evaluator: one packet on its way through the hooks, and the contract of the two evaluators. */

export const HOOK_INPUT = 0;
export const HOOK_FORWARD = 1;
export const HOOK_OUTPUT = 2;
/** Of the nat table alone. */
export const HOOK_PREROUTING = 3;
export const HOOK_POSTROUTING = 4;

/** ctstate as xt_conntrack.c sees it; RELATED does not happen here. DNAT is a bit of its own. */
export const STATE_NEW = 1;
export const STATE_ESTABLISHED = 2;
export const STATE_INVALID = 4;
export const STATE_DNAT = 8;

/** How the walk of a chain or of a hook ends: at its end (a built-in chain's policy is ACCEPT), or at a target. */
export const FELL_OFF = 0;
export const ACCEPTED = 1;
export const DROPPED = 2;
export const REJECTED = 3;
export const DNATED = 4;
export const MASQUERADED = 5;

/** One packet while it is walked. Addresses are signed 32-bit integers, so that they stay small integers in V8. */
export class PacketWalk {
  protocol = 0;
  src = 0;
  /** Destination as it is at the hook: after DNAT once that has happened. */
  dst = 0;
  dstPort = 0;
  /** It came in by a pod's interface. */
  fromPod = false;
  /** STATE_* bits. */
  state = 0;
  /** kube-proxy's mark is set. */
  marked = false;
  /** Answers of the walks: whether DNAT happened, and the id of the service port whose rule decided, or -1. */
  translated = false;
  servicePortId = -1;
  /** REASON_* of a drop or reject. */
  reason = 0;
  /** Element 0: time of the packet. In an array: a field of a large number may be boxed anew at each write. */
  readonly clock = new Float64Array(1);
}

/** One way to carry out the rules. All three walks add to the counters that start at rows[row]. */
export interface Evaluator {
  /** After every sync. `changed` holds the slots that a partial sync wrote; absent after a full sync. */
  update(changed?: readonly number[]): void;
  /** nat PREROUTING or OUTPUT: may set the walk's destination, mark, `translated` and `servicePortId`. */
  natDestination(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): void;
  /** filter INPUT, FORWARD or OUTPUT: OUTCOME_ACCEPT, OUTCOME_DROP or OUTCOME_REJECT, the last two with `reason`. */
  filter(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): number;
  /** filter FORWARD for a packet of an established flow, which passes: counts it, or counts nothing and answers false where it must be walked. */
  forwardsEstablished(rows: Uint32Array, row: number): boolean;
  /** nat POSTROUTING: whether MASQUERADE was reached. */
  natSource(walk: PacketWalk, rows: Uint32Array, row: number): boolean;
}
