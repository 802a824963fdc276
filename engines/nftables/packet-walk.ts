/** One packet on its way through the hooks, as the engine hands it to the rules. */

/** Addresses are signed 32-bit integers, so that they stay small integers in V8. */
export class PacketWalk {
  protocol = 0;
  src = 0;
  /** Destination as it is at the hook: after DNAT once that has happened. */
  dst = 0;
  dstPort = 0;
  /** ctstate NEW. */
  isNew = false;
  /** The packet came in by an interface of the node's pods, where a local detector asks for that. */
  fromPodInterface = false;
  /** kube-proxy's mark is set. */
  marked = false;
  /** Answers of the rules: whether DNAT happened, and the id of the service port whose rule decided, or -1. */
  translated = false;
  servicePortId = -1;
  /** REASON_* of a drop or reject. */
  reason = 0;
}
