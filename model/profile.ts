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
  /** The ICMP error or TCP reset that a refused packet is answered with. */
  readonly rejectNs: Quantity;
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
  /** A `recent` match beyond the rule that it stands in: its lock, the entry's look-up, the stamp. */
  readonly recentTestNs: Quantity;
  /** A list of `recent` that is passed on the way to the match's own: one comparison of names. */
  readonly recentListNs: Quantity;
}

/** Work of the nftables data path. Translating a later packet costs what it does in iptables mode: the same code of nf_nat. */
export interface NftablesCosts {
  /** The rig's receiving side: filter input of the loopback device, which no counter of an outgoing packet holds. */
  readonly receiveFirstNs: Quantity;
  readonly receiveEstablishedNs: Quantity;
  /** A rule visited, and a look-up in a set or map; both while hot. */
  readonly ruleNs: Quantity;
  readonly mapLookupNs: Quantity;
  /** nf_nat_setup_info with a change of the tuple, and the random number that chose the endpoint. */
  readonly natSetupNs: Quantity;
  /** Map element, chains and rules of a service that have left the L2 cache, a first packet; and on top, the last-level cache. */
  readonly coldServiceChainsNs: Quantity;
  readonly farServiceChainsNs: Quantity;
  /** Bytes that one rule of a service's own chains takes in the cache, with its chain, its map elements and what its packets leave there. */
  readonly chainTouchedBytes: Quantity;
  /** As `coldFirstNs` and `coldEstablishedNs` of the packet, in nftables mode. */
  readonly coldFirstNs: Quantity;
  readonly coldEstablishedNs: Quantity;
}

/**
 * kube-proxy's own process as a proxy (removed in Kubernetes 1.26). Its rules cost what iptables' do; the second connection of each flow is
 * composed of the packet's parts; what is here comes on top. Nothing of it was measured on the rig.
 */
export interface UserspaceCosts {
  /** One payload from one socket to the other: waking the goroutine, one read and one write; and each byte, copied twice. */
  readonly copyNs: Quantity;
  readonly copyByteNs: Quantity;
  /** Accepting a connection and opening another: accept, socket, connect with its handshake, two goroutines. */
  readonly connectionNs: Quantity;
}

/** Where a repeated scan stops being hot: bytes in use / L2 bytes at which misses begin, and at which everything misses. */
export interface CacheCosts {
  readonly l2Bytes: Quantity;
  readonly kneeStartRatio: Quantity;
  readonly kneeEndRatio: Quantity;
  /** What one core gets of the last-level cache that it shares with others. */
  readonly lastLevelBytes: Quantity;
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
  /** One `iptables` command that checks or changes one rule: each rule of the table, which it reads and replaces. */
  readonly commandTableRuleNs: Quantity;
}

/** CPU time of programming in nftables mode, for the version of nft that the profile names. */
export interface NftSyncCosts {
  /** A transaction reads the table that it changes, and the kernel checks it as a whole: one rule of it, and one rule x one rule. */
  readonly tableRuleNs: Quantity;
  readonly tableRuleSquaredNs: Quantity;
  /** One operation of a transaction: a line read, a netlink message, an object. */
  readonly operationNs: Quantity;
  /** An anonymous map that is made (one for each service chain written) x one that is there: the kernel looks for a free name. */
  readonly mapTimesMapsNs: Quantity;
  /** An anonymous map that is made x one operation of its transaction: the kernel looks it up among what is not committed yet. */
  readonly mapTimesOperationsNs: Quantity;
  /** kube-proxy lists chains and sets at each sync to find stale ones: how often, one rule of the table, one service port x one service port. */
  readonly listings: Quantity;
  readonly listRuleNs: Quantity;
  readonly listServicesSquaredNs: Quantity;
}

export interface CostProfile {
  readonly name: string;
  readonly description: string;
  /** Kernel whose iptables and nftables were measured, and kernel whose IPVS instructions were counted. */
  readonly kernel: string;
  readonly ipvsKernel: string;
  /** The nft that programming was measured with: its cost differs between versions. */
  readonly nftVersion: string;
  readonly packet: PacketCosts;
  readonly iptables: IptablesCosts;
  readonly nftables: NftablesCosts;
  readonly userspace: UserspaceCosts;
  readonly cache: CacheCosts;
  readonly ipvs: IpvsCosts;
  readonly sync: SyncCosts;
  readonly nftSync: NftSyncCosts;
}
