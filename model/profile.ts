/**
 * A cost profile as data: what one kernel on one machine takes for each kind of work. `costs/` turns counters into
 * nanoseconds with it; `scenarios/profiles/*.yaml` holds the committed ones (the same keys in snake_case).
 */

/** One number of a profile: its value in the unit that the key ends in, the range that it may lie in, and where it comes from. */
export interface Quantity {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly source: string;
}

/** The part of a packet that no rule, service or endpoint changes. `first` = the packet that opens the connection. */
export interface PacketCosts {
  /** No netfilter at all: system call, route, loopback, receive. */
  readonly bareFirstNs: Quantity;
  readonly bareEstablishedNs: Quantity;
  /** Connection tracking: look-up, and for a first packet allocation and confirmation. */
  readonly conntrackFirstNs: Quantity;
  readonly conntrackEstablishedNs: Quantity;
  /** Hooks of the nat table with empty chains. */
  readonly natHooksFirstNs: Quantity;
  readonly natHooksEstablishedNs: Quantity;
  /** Added to a packet whose connection-tracking entry has left the L2 cache. */
  readonly conntrackColdNs: Quantity;
  /** Memory that one live flow occupies in the connection-tracking table. */
  readonly conntrackFlowBytes: Quantity;
  /** One try of the search for a free source port: one more look-up. */
  readonly portTryNs: Quantity;
  /** Added when other memory has taken the whole L2 cache before the packet. */
  readonly coldFirstNs: Quantity;
  readonly coldEstablishedNs: Quantity;
}

/** Work of the iptables data path. */
export interface IptablesCosts {
  /** The rig's receiving side: filter INPUT of the loopback device, which no counter of an outgoing packet holds. */
  readonly receiveFirstNs: Quantity;
  readonly receiveEstablishedNs: Quantity;
  /** Rewriting the addresses of a later packet of a translated flow. */
  readonly translateNs: Quantity;
  /** nf_nat_setup_info with a change of the tuple: DNAT, masquerade. */
  readonly natSetupNs: Quantity;
  /** A rule of KUBE-SERVICES that is passed while its cache lines are in the L2 cache. */
  readonly serviceRuleNs: Quantity;
  /** A rule with `-m statistic`. */
  readonly statisticRuleNs: Quantity;
  /** Any other rule. */
  readonly otherRuleNs: Quantity;
  /** The two chains (KUBE-SVC, KUBE-SEP) of a service whose lines have left the L2 cache, a first packet. */
  readonly coldServiceChainsNs: Quantity;
  /** Bytes of a passed rule that land in the cache (lines and the adjacent-line prefetch); never more than the rule. */
  readonly scanTouchedBytes: Quantity;
  /** Bytes that one rule of a service's own chains takes in the cache, with what its packets leave there. */
  readonly chainTouchedBytes: Quantity;
  /** A passed rule out of cache costs `coldScanNsPerByte` x (rule size - `coldScanHiddenBytes`) more: a dense scan is prefetched. */
  readonly coldScanNsPerByte: Quantity;
  readonly coldScanHiddenBytes: Quantity;
}

/** Where a repeated scan stops being hot: bytes in use / L2 bytes at which misses begin, and at which everything misses. */
export interface CacheCosts {
  readonly l2Bytes: Quantity;
  readonly kneeStartRatio: Quantity;
  readonly kneeEndRatio: Quantity;
}

/** What a scheduler takes beside round robin's own cost: once, and for each real server that it looks at. */
export interface SchedulerCosts {
  readonly fixedInstructions: Quantity;
  readonly destinationInstructions: Quantity;
}

/**
 * Work of the IPVS data path in instructions. ns = bare packet + (instructions - bare instructions) x `firstNsPerInstruction`
 * (or `establishedNsPerInstruction`): the only bridge, as IPVS was measured in an emulated guest.
 */
export interface IpvsCosts {
  readonly firstNsPerInstruction: Quantity;
  readonly establishedNsPerInstruction: Quantity;
  readonly bareFirstInstructions: Quantity;
  readonly bareEstablishedInstructions: Quantity;
  /** kube-proxy's IPVS mode with kube-ipvs0, without everything below: conntrack, nat hooks, IPVS hooks, receiving side. */
  readonly modeFirstInstructions: Quantity;
  readonly modeEstablishedInstructions: Quantity;
  readonly ruleInstructions: Quantity;
  readonly ipsetTestInstructions: Quantity;
  readonly hashProbeInstructions: Quantity;
  readonly serviceChainEntryInstructions: Quantity;
  /** For one counted entry: a first packet is counted two walks and the kernel makes three. */
  readonly connectionChainEntryFirstInstructions: Quantity;
  readonly connectionChainEntryEstablishedInstructions: Quantity;
  readonly connectionInsertInstructions: Quantity;
  /** nf_nat_setup_info beyond the one that IPVS makes itself: masquerade. */
  readonly natSetupInstructions: Quantity;
  /** The first packet to a real server finds no cached route. */
  readonly routeFillInstructions: Quantity;
  /** Addresses on kube-ipvs0 lengthen the chains of the kernel's 256-bucket address hash and deepen the local route trie. */
  readonly boundAddressInstructions: Quantity;
  readonly boundAddressDoublingInstructions: Quantity;
  /** By scheduler name; a scheduler that is missing here costs what `wlc` costs. */
  readonly schedulers: Readonly<Record<string, SchedulerCosts>>;
}

/** CPU time (user + system) of programming: kube-proxy, its tools and the kernel. */
export interface SyncCosts {
  /** Starting one command (iptables-restore, iptables-save, ipset). */
  readonly execNs: Quantity;
  /** kube-proxy's own walk over its service ports, one of them. */
  readonly proxyServicePortNs: Quantity;
  readonly restoreLineNs: Quantity;
  /** A legacy commit reads, checks and replaces the whole table, whatever changed: one rule of it. */
  readonly tableRuleNs: Quantity;
  /** A rule of KUBE-SERVICES in it, beyond that: written again by every sync. */
  readonly serviceRuleNs: Quantity;
  /** One line x one rule of the table: iptables-restore looks the line's chains up in an index that grows with the table. */
  readonly lineTimesTableRuleNs: Quantity;
  readonly saveLineNs: Quantity;
  readonly nsPerInstruction: Quantity;
  readonly netlinkRequestInstructions: Quantity;
  readonly netlinkReadInstructions: Quantity;
  readonly conntrackDeleteInstructions: Quantity;
  /** An address added to or removed from kube-ipvs0, and for each address that is already there. */
  readonly addressInstructions: Quantity;
  readonly addressTimesBoundInstructions: Quantity;
}

export interface CostProfile {
  readonly name: string;
  readonly description: string;
  /** Kernel whose iptables was measured, and kernel whose IPVS instructions were counted. */
  readonly kernel: string;
  readonly ipvsKernel: string;
  readonly packet: PacketCosts;
  readonly iptables: IptablesCosts;
  readonly cache: CacheCosts;
  readonly ipvs: IpvsCosts;
  readonly sync: SyncCosts;
}
