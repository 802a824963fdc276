/** Work counted for each packet: one row of unsigned 32-bit counters a packet. Exact, not modelled. */

/** Rules (iptables or nftables) visited in every chain and table, built-in and base chains included. */
export const RULES_EVALUATED = 0;
/** Rules whose every match held (a `statistic` rule that fired included, a target-less rule too). */
export const RULES_MATCHED = 1;
/** Rules visited in chains that grow with services: KUBE-SERVICES, KUBE-NODEPORTS, KUBE-EXTERNAL-SERVICES. Part of RULES_EVALUATED. */
export const SERVICE_RULES_SCANNED = 2;
/** Rules with `-m statistic` visited. Part of RULES_EVALUATED. */
export const STATISTIC_RULES = 3;
/** Jumps taken to a user-defined chain. */
export const JUMPS = 4;
/** Bytes of the rules visited: the sum of their ipt_entry sizes (next_offset). */
export const RULE_BYTES = 5;
/** ipset membership tests (`-m set`) carried out. */
export const IPSET_TESTS = 6;
/** Look-ups in the connection-tracking hash table, the searches for a free source port included. */
export const CONNTRACK_LOOKUPS = 7;
/** Connection-tracking entries confirmed (two hash nodes each). */
export const CONNTRACK_INSERTS = 8;
/** Look-ups in the IPVS service table and the IPVS connection table. */
export const HASH_PROBES = 9;
/** Entries passed in a chain of the IPVS service table, the one found included. */
export const SERVICE_CHAIN_ENTRIES = 10;
/** Entries passed in chains of the IPVS connection table, the one found included. */
export const CONNECTION_CHAIN_ENTRIES = 11;
/** Real servers looked at by the IPVS scheduler. */
export const DESTINATIONS_EXAMINED = 12;
/** IPVS connections created. */
export const IPVS_CONNECTION_INSERTS = 13;
/** nf_nat_setup_info calls that changed a tuple: DNAT and masquerade. */
export const NAT_SETUPS = 14;
/** Source ports tried by the search for a free one (0 when the first was free). */
export const PORT_TRIES = 15;
/** Look-ups in nftables sets and maps (`@set`, `vmap @map`, the anonymous map of `numgen ... vmap` included). */
export const MAP_LOOKUPS = 16;
/** Evaluations of `-m recent` (check and set). */
export const RECENT_TESTS = 17;
/** Lists passed while such an evaluation looks for its own, the one found included (net/netfilter/xt_recent.c recent_table_lookup). */
export const RECENT_LISTS_PASSED = 18;
/** Payloads that kube-proxy's process copied from one socket to another (userspace mode). */
export const USERSPACE_COPIES = 19;

export const COUNTER_STRIDE = 20;

/** CSV names, in the order of the indices above. */
export const COUNTER_NAMES = [
  'rules_evaluated',
  'rules_matched',
  'service_rules_scanned',
  'statistic_rules',
  'jumps',
  'rule_bytes',
  'ipset_tests',
  'conntrack_lookups',
  'conntrack_inserts',
  'hash_probes',
  'service_chain_entries',
  'connection_chain_entries',
  'destinations_examined',
  'ipvs_connection_inserts',
  'nat_setups',
  'port_tries',
  'map_lookups',
  'recent_tests',
  'recent_lists_passed',
  'userspace_copies',
] as const;

/** `rows` has COUNTER_STRIDE values a packet: packet i's counters start at i * COUNTER_STRIDE. `process` overwrites them. */
export class Counters {
  readonly capacity: number;
  readonly rows: Uint32Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.rows = new Uint32Array(capacity * COUNTER_STRIDE);
  }

  /** Adds the rows of packets 0 .. length - 1 to `sums`, COUNTER_STRIDE of them. */
  addTo(sums: Float64Array, length: number): void {
    const rows = this.rows;
    const end = length * COUNTER_STRIDE;
    // Four columns a pass: so many sums stay in registers. Sums of integers are exact in any order.
    for (let c = 0; c < COUNTER_STRIDE; c += 4) {
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let at = c; at < end; at += COUNTER_STRIDE) {
        s0 += rows[at];
        s1 += rows[at + 1];
        s2 += rows[at + 2];
        s3 += rows[at + 3];
      }
      sums[c] += s0;
      sums[c + 1] += s1;
      sums[c + 2] += s2;
      sums[c + 3] += s3;
    }
  }
}
