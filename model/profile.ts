/**
 * A cost profile as data: what one kernel on one machine takes for each kind of work. `costs/` turns counters into time with it;
 * `scenarios/profiles/*.yaml` holds the committed ones. A quantity without a unit in its name is in the profile's `unit`; its key in YAML ends
 * in that unit (`serviceRule` is `service_rule_ns` or `service_rule_instructions`).
 */

/** One number of a profile: its value, the range that it may lie in, and where it comes from. */
export interface Quantity {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly source: string;
}

export type CostUnit = 'ns' | 'instructions';

/** The part of a packet that no rule, service or endpoint changes. `first` = the packet that opens the connection. */
export interface PacketCosts {
  /** No netfilter at all: system call, route, loopback, receive. */
  readonly bareFirst: Quantity;
  readonly bareEstablished: Quantity;
  /** Connection tracking: look-up, and for a first packet allocation and confirmation. */
  readonly conntrackFirst: Quantity;
  readonly conntrackEstablished: Quantity;
  /** Hooks of the nat table with empty chains. */
  readonly natHooksFirst: Quantity;
  readonly natHooksEstablished: Quantity;
  /** Added to a packet whose connection-tracking entry has left the L2 cache. */
  readonly conntrackCold: Quantity;
  /** Memory that one live flow occupies in the connection-tracking table. */
  readonly conntrackFlowBytes: Quantity;
  /** One try of the search for a free source port: one more look-up. */
  readonly portTry: Quantity;
  /** The ICMP error or TCP reset that a refused packet is answered with. */
  readonly reject: Quantity;
}

/** Work of the iptables data path: of iptables-legacy's tables, or of the same rules in iptables-nft's. */
export interface IptablesCosts {
  /** Rewriting the addresses of a later packet of a translated flow. */
  readonly translate: Quantity;
  /** nf_nat_setup_info with a change of the tuple: DNAT, masquerade. */
  readonly natSetup: Quantity;
  /** A rule of KUBE-SERVICES that is passed while its cache lines are in the L2 cache. */
  readonly serviceRule: Quantity;
  /** A rule with `-m statistic` and a comment. */
  readonly statisticRule: Quantity;
  /** Any other rule, with the comments that kube-proxy writes. */
  readonly otherRule: Quantity;
  /** What a rule whose comment would be evaluated takes less without it. */
  readonly comment: Quantity;
  /** The two chains (KUBE-SVC, KUBE-SEP) of a service whose lines have left the L2 cache, a first packet. */
  readonly coldServiceChains: Quantity;
  /** Bytes of a passed rule that land in the cache (lines and the adjacent-line prefetch); never more than the rule. */
  readonly scanTouchedBytes: Quantity;
  /** Bytes that one rule of a service's own chains takes in the cache, with what its packets leave there. */
  readonly chainTouchedBytes: Quantity;
  /** What a passed rule out of cache costs more: one of 488 bytes, as kube-proxy writes them, and one of 200, without a comment. */
  readonly coldRule: Quantity;
  readonly coldUncommentedRule: Quantity;
  /** Added when other memory has taken the whole L2 cache before the packet. */
  readonly coldFirst: Quantity;
  readonly coldEstablished: Quantity;
  /** A `recent` match beyond the rule that it stands in: its lock, the entry's look-up, the stamp. */
  readonly recentTest: Quantity;
  /** A list of `recent` that is passed on the way to the match's own: one comparison of names. */
  readonly recentList: Quantity;
}

/** Work of the nftables data path. */
export interface NftablesCosts {
  /** A rule visited, or a look-up in a set or map, while hot: on the rig they come in one proportion, so each is one step. */
  readonly step: Quantity;
  readonly translate: Quantity;
  /** nf_nat_setup_info with a change of the tuple, and the random number that chose the endpoint. */
  readonly natSetup: Quantity;
  /** Map element, chains and rules of a service that have left the L2 cache, a first packet; and on top, the last-level cache. */
  readonly coldServiceChains: Quantity;
  readonly farServiceChains: Quantity;
  /** Bytes that one rule of a service's own chains takes in the cache, with its chain, its map elements and what its packets leave there. */
  readonly chainTouchedBytes: Quantity;
  /** As in iptables mode: added when other memory has taken the whole L2 cache before the packet. */
  readonly coldFirst: Quantity;
  readonly coldEstablished: Quantity;
}

/**
 * kube-proxy's own process as a proxy (removed in Kubernetes 1.26). Its rules cost what iptables' do; the second connection of each flow is
 * composed of the packet's parts; what is here comes on top. Nothing of it was measured on the rig.
 */
export interface UserspaceCosts {
  /** One payload from one socket to the other: waking the goroutine, one read and one write; and each byte, copied twice. */
  readonly copy: Quantity;
  readonly copyByte: Quantity;
  /** Accepting a connection and opening another: accept, socket, connect with its handshake, two goroutines. */
  readonly connection: Quantity;
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
  readonly fixed: Quantity;
  readonly destination: Quantity;
  /** True where no measurement has the scheduler: estimated from its algorithm. */
  readonly estimated: boolean;
}

/** What surrounds IPVS on a packet's path: nothing, connection tracking, kube-proxy's rules and sets, and with kube-ipvs0 too (kube-proxy's mode). */
export type IpvsPath = 'bare' | 'conntrack' | 'kubeRules' | 'kubeIpvs0';

/** The IPVS data path and its control plane, in instructions: it was measured in an emulated guest alone. */
export interface IpvsCosts {
  /** The fixed part of each path beyond the bare packet and the counted work below. */
  readonly bareFirst: Quantity;
  readonly bareEstablished: Quantity;
  readonly conntrackFirst: Quantity;
  readonly conntrackEstablished: Quantity;
  readonly kubeRulesFirst: Quantity;
  readonly kubeRulesEstablished: Quantity;
  readonly kubeIpvs0First: Quantity;
  readonly kubeIpvs0Established: Quantity;
  readonly rule: Quantity;
  readonly ipsetTest: Quantity;
  readonly hashProbe: Quantity;
  readonly serviceChainEntry: Quantity;
  /** For one counted entry: a first packet is counted two walks and the kernel makes three. */
  readonly connectionChainEntryFirst: Quantity;
  readonly connectionChainEntryEstablished: Quantity;
  readonly connectionInsert: Quantity;
  /** nf_nat_setup_info beyond the one that IPVS makes itself: masquerade. */
  readonly natSetup: Quantity;
  /** The first packet to a real server finds no cached route. */
  readonly routeFill: Quantity;
  /** Addresses on kube-ipvs0 lengthen the chains of the kernel's 256-bucket address hash and deepen the local route trie. */
  readonly boundAddress: Quantity;
  readonly boundAddressDoubling: Quantity;
  /** One netlink request that adds a virtual server or a real server, that deletes one, and that reads. */
  readonly addRequest: Quantity;
  readonly deleteRequest: Quantity;
  readonly readRequest: Quantity;
  /** One virtual or real server that `ipvsadm -R` adds, and that `ipvsadm -Ln` lists. */
  readonly restoredEntry: Quantity;
  readonly listedEntry: Quantity;
  readonly conntrackDelete: Quantity;
  /** An address added to or removed from kube-ipvs0, and for each address that is already there. */
  readonly address: Quantity;
  readonly addressTimesBound: Quantity;
  /** By scheduler name; a scheduler that is missing here costs what `wlc` costs. */
  readonly schedulers: Readonly<Record<string, SchedulerCosts>>;
}

/** How a profile in nanoseconds gets its IPVS part: ns = bare packet + (instructions - bare instructions) x factor, each with its range. */
export interface IpvsBridge {
  /** The profile in instructions that counts are taken from. */
  readonly from: InstructionProfile;
  readonly firstNsPerInstruction: Quantity;
  readonly establishedNsPerInstruction: Quantity;
  readonly syncNsPerInstruction: Quantity;
}

/** CPU time (user + system) of programming in iptables mode: iptables-restore, iptables-save and the kernel. */
export interface RestoreCosts {
  readonly restoreLine: Quantity;
  /** A legacy commit reads, checks and replaces the whole table, whatever changed: one rule of it. */
  readonly tableRule: Quantity;
  /** A rule of KUBE-SERVICES in it, beyond that: written again by every sync. */
  readonly serviceRule: Quantity;
  /** One rule of KUBE-SERVICES, all of which a sync writes, x one chain of the table: the tool looks the chain that it jumps to up by name. */
  readonly serviceRuleTimesChain: Quantity;
  /** One chain that is written x one chain that is written: the list that it is put into is searched. */
  readonly chainSquared: Quantity;
  readonly saveLine: Quantity;
  /** One `iptables` command that checks or changes one rule: each rule of the table, which it reads and replaces. */
  readonly commandTableRule: Quantity;
}

/** CPU time of programming in nftables mode, for the version of nft that the profile names. */
export interface NftSyncCosts {
  /** A transaction reads the table that it changes, and the kernel checks it as a whole: one rule of it, and one rule x one rule. */
  readonly tableRule: Quantity;
  readonly tableRuleSquared: Quantity;
  /** The same product once more where rules that jump are made: the kernel then follows every jump (nft_table_validate). */
  readonly validatedRuleSquared: Quantity;
  /** One operation of a transaction: a line read, a netlink message, an object. */
  readonly operation: Quantity;
  /** An anonymous map that is made (one for each service chain written) x one that is there: the kernel looks for a free name. */
  readonly mapTimesMaps: Quantity;
  /** An anonymous map that is made x one operation of its transaction: the kernel looks it up among what is not committed yet. */
  readonly mapTimesOperations: Quantity;
  /** kube-proxy lists chains and sets at each sync to find stale ones: how often, one rule of the table, one service port x one service port. */
  readonly listings: Quantity;
  readonly listRule: Quantity;
  readonly listServicesSquared: Quantity;
}

/** What all modes share: kube-proxy's own process, and starting its tools. */
export interface ProxyCosts {
  /** Starting one command (iptables-restore, iptables-save, ipset, nft). */
  readonly exec: Quantity;
  /** One entry of `ipset restore`. */
  readonly ipsetEntry: Quantity;
  /** kube-proxy's own walk over its service ports and endpoints at a sync, one of each. */
  readonly servicePort: Quantity;
  readonly endpoint: Quantity;
  /** Memory of its process: empty, for each service port and for each endpoint. */
  readonly processBytes: Quantity;
  readonly servicePortBytes: Quantity;
  readonly endpointBytes: Quantity;
}

/** How far a modelled cost may be from the kernel, as a share of it: what validation measured on rows that no number was fitted to. */
export interface RangeRatios {
  readonly iptables: Quantity;
  readonly iptablesNft: Quantity;
  readonly nftables: Quantity;
  readonly userspace: Quantity;
  /** IPVS's part is the bridge's own range in a profile in nanoseconds; this is how far the instructions may be. */
  readonly ipvs: Quantity;
}

/**
 * What surrounds the packets of a rig: how their cost becomes what its clients see (costs/client-view.ts). Everything here is outside
 * netfilter, so that it is the same in every mode. A request is one question and its answer.
 */
export interface RigCosts {
  /** Round trip of a request on an open connection: shortest, median and 99th percentile of a lognormal that begins at the shortest. */
  readonly roundTripFloor: Quantity;
  readonly roundTripMedian: Quantity;
  readonly roundTripP99: Quantity;
  /** What opening a connection adds to that: handshake, accept, close. */
  readonly connection: Quantity;
  /** CPU time of a request on the node that has most to do, and what opening a connection for it adds. */
  readonly requestCpu: Quantity;
  readonly connectionCpu: Quantity;
  /** Cores of that node, and requests at one time when it is saturated. */
  readonly cores: Quantity;
  readonly concurrency: Quantity;
  /** Packets that one node handles: of a request, both directions, and of opening and closing a connection beside its first one. */
  readonly requestPackets: Quantity;
  readonly connectionPackets: Quantity;
  /** First packets that the server's node walks its own rules with for nothing, as they are for a pod: 0, or 1 where the server is on another node. */
  readonly serverWalks: Quantity;
  /** Other memory that a core writes between two requests: the programs' own. */
  readonly otherMemoryBytes: Quantity;
  /** How much longer kube-proxy's syncs take there than on the machine of the profile: a slower core, and what else runs on it. */
  readonly syncTimeRatio: Quantity;
}

interface CommonProfile {
  readonly name: string;
  readonly description: string;
  readonly kernel: string;
  /** The processor as /proc/cpuinfo names it; empty where nobody says. A machine with another one is not held to the profile. */
  readonly cpuModel: string;
  /** The nft that programming was measured with: its cost differs between versions. */
  readonly nftVersion: string;
  readonly packet: PacketCosts;
  readonly iptables: IptablesCosts;
  readonly iptablesNft: IptablesCosts;
  readonly nftables: NftablesCosts;
  readonly cache: CacheCosts;
  readonly proxy: ProxyCosts;
  readonly iptablesSync: RestoreCosts;
  readonly iptablesNftSync: RestoreCosts;
  readonly nftSync: NftSyncCosts;
  readonly range: RangeRatios;
}

export interface NanosecondProfile extends CommonProfile {
  readonly unit: 'ns';
  readonly userspace: UserspaceCosts;
  readonly ipvsBridge: IpvsBridge;
  /** Rules of KUBE-SERVICES for each service port, where kube-proxy of that time wrote more than the modelled version. */
  readonly serviceRulesPerService?: Quantity;
  /** Absent: only packets and syncs have a cost, not requests. */
  readonly rig?: RigCosts;
}

/** Caches cost no instructions: every quantity of distance and cold memory is 0 here. */
export interface InstructionProfile extends CommonProfile {
  readonly unit: 'instructions';
  readonly ipvs: IpvsCosts;
  /** What gives a sync its length in simulated time. */
  readonly clock: { readonly syncNsPerInstruction: Quantity };
}

export type CostProfile = NanosecondProfile | InstructionProfile;
