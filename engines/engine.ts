/** The contract of an engine: one mode of kube-proxy and the kernel data path that it programs, on one node. */
import type { Cidr } from '../model/address.ts';
import type { ClusterDelta, ClusterState, NodeSpec } from '../model/cluster.ts';
import type { Counters } from '../model/counters.ts';
import type { EngineName } from '../model/engine-name.ts';
import type { KubeProxyBehaviour } from '../model/kube-proxy.ts';
import { CURRENT_KUBE_PROXY } from '../model/kube-proxy.ts';
import type { PacketBatch } from '../model/packet.ts';
import type { SyncReport } from '../model/sync-report.ts';
import type { SimTime } from '../model/time.ts';
import type { VerdictBatch } from '../model/verdict.ts';
import type { Rng } from '../sim/rng.ts';

export type { EngineName } from '../model/engine-name.ts';

export const IPVS_SCHEDULERS = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'sed',
  'nq',
  'sh',
  'dh',
  'mh',
  'lblc',
  'lblcr',
  'fo',
  'ovf',
  'twos',
] as const;
export type IpvsScheduler = (typeof IPVS_SCHEDULERS)[number];

export interface EngineOptions {
  /** `literal` visits every rule as the kernel does; `indexed` finds the same rule at once and adds the same counts. */
  readonly evaluator: 'literal' | 'indexed';
  /** kube-proxy `iptables.masqueradeAll`. */
  readonly masqueradeAll: boolean;
  /** kube-proxy `iptables.masqueradeBit`; the mark is 1 << bit. */
  readonly masqueradeBit: number;
  /** kube-proxy's large-cluster mode begins above this number of endpoints. */
  readonly largeClusterEndpoints: number;
  readonly ipvsScheduler: IpvsScheduler;
  /** The IPVS connection table has 2^bits buckets (module option conn_tab_bits). */
  readonly ipvsConnTabBits: number;
  /** The node's Linux, [major, minor], 4.1 or later: what IPVS does with a SYN that meets an old connection. */
  readonly kernel: readonly [number, number];
  /** net.ipv4.vs.conn_reuse_mode; 1: a SYN may take the place of a closed connection. */
  readonly ipvsConnReuseMode: 0 | 1;
  readonly kubeProxy: KubeProxyBehaviour;
  /** MASQUERADE --random-fully, as kube-proxy writes it where iptables knows it (1.6.2 and later). */
  readonly masqueradeRandomFully: boolean;
  /** kube-proxy `iptables.localhostNodePorts`. */
  readonly localhostNodePorts: boolean;
  /** kube-proxy `nodePortAddresses`; empty = every address of the node. */
  readonly nodePortAddresses: readonly Cidr[];
  /** nfacct counters that exist on the node. */
  readonly nfacct: { readonly ctStateInvalid: boolean; readonly localhostNodePorts: boolean };
  /** nf_conntrack_tcp_be_liberal: no rule drops INVALID packets. */
  readonly conntrackTcpLiberal: boolean;
  /** Most live entries of the connection-tracking table; a packet that would make one more is dropped. */
  readonly conntrackMax: number;
  /** The cluster's service ranges (nftables mode drops what goes to an address of theirs that no Service has). */
  readonly serviceCidrs: readonly Cidr[];
}

export const DEFAULT_ENGINE_OPTIONS: EngineOptions = {
  evaluator: 'indexed',
  masqueradeAll: false,
  masqueradeBit: 14,
  largeClusterEndpoints: 1000,
  ipvsScheduler: 'rr',
  ipvsConnTabBits: 12,
  kernel: [6, 18],
  ipvsConnReuseMode: 1,
  kubeProxy: CURRENT_KUBE_PROXY,
  masqueradeRandomFully: true,
  localhostNodePorts: true,
  nodePortAddresses: [],
  nfacct: { ctStateInvalid: false, localhostNodePorts: false },
  conntrackTcpLiberal: false,
  // kube-proxy's conntrack.min, which holds up to four cores (32,768 each).
  conntrackMax: 131_072,
  serviceCidrs: [],
};

/** What an engine models, as data: the conformance suite and the loader read it instead of guessing. */
export interface EngineManifest {
  readonly protocols: readonly ('tcp' | 'udp' | 'sctp')[];
  readonly serviceTypes: readonly ('ClusterIP' | 'NodePort' | 'LoadBalancer')[];
  readonly externalIps: boolean;
  readonly sessionAffinity: boolean;
  readonly trafficPolicyLocal: boolean;
  /** Source ranges of load balancers are enforced. */
  readonly sourceRanges: boolean;
  readonly ipFamilies: readonly ('IPv4' | 'IPv6')[];
  readonly schedulers: readonly IpvsScheduler[];
  readonly partialSync: boolean;
}

export interface World {
  readonly node: NodeSpec;
  readonly options: EngineOptions;
  readonly rng: Rng;
  /**
   * Whether a process behind this endpoint takes a connection now. The kernel's data paths never ask; kube-proxy's own process
   * (userspace mode) finds out by trying. Absent: every endpoint does.
   */
  readonly answers?: (address: number, port: number) => boolean;
}

export interface Engine {
  readonly name: EngineName;
  readonly supports: EngineManifest;
  /** Full resync to `state`. Control plane: may allocate; throws on a broken invariant. */
  sync(state: ClusterState, now: SimTime): SyncReport;
  /** What kube-proxy's incremental path does in this mode. The first call of a life must be `sync`. */
  apply(delta: ClusterDelta, now: SimTime): SyncReport;
  /**
   * kube-proxy's process stops. Only a data path that lives in the process (userspace mode) has this: until the next `sync` no rule
   * leads to an endpoint, and what the process carried is cut.
   */
  interrupt?(now: SimTime): void;
  /** Does the work of its own that is due by `now` (graceful termination's retry, expiry of connections). */
  advance(now: SimTime): void;
  /** When `advance` has something to do next; Infinity when nothing is planned. */
  nextTimer(): SimTime;
  /**
   * Data plane: fills verdicts and counter rows 0 .. packets.length-1. No allocation. A batch of n equals n batches of
   * one. Timers that fall due between two packets are handled in order of time.
   */
  process(packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void;
  /** `restore`: what kube-proxy feeds to iptables-restore on a full sync; `kernel`: loadable state with the jumps of the built-in chains; IPVS: ipvsadm-save -n plus ipset save. */
  dump(form: 'kernel' | 'restore'): string;
}

export type EngineFactory = (world: World) => Engine;
