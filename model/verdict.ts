/** What a data path decided for each packet of a batch. */

/** Delivered or forwarded as it is: not a Service's, or a reply that needs no translation. */
export const OUTCOME_ACCEPT = 0;
/** Original direction, translated to an endpoint. */
export const OUTCOME_ENDPOINT = 1;
/** Reply direction of a translated flow: addresses translated back. */
export const OUTCOME_REPLY = 2;
/** Refused with an ICMP error. */
export const OUTCOME_REJECT = 3;
export const OUTCOME_DROP = 4;

export const REASON_NONE = 0;
/** The Service has no endpoint to use. */
export const REASON_NO_ENDPOINTS = 1;
/** ctstate INVALID. */
export const REASON_INVALID = 2;
/** NEW packet to a VIP's unused port (IPVS: KUBE-IPVS-FILTER; nftables: cluster-ips-check). */
export const REASON_UNUSED_VIP_PORT = 3;
/** IPVS: the connection's real server has been deleted. */
export const REASON_SERVER_UNAVAILABLE = 4;
/** No free source port was found for the translated tuple. */
export const REASON_PORT_CLASH = 5;
/** The Service's policy is Local and its endpoints are on other nodes. */
export const REASON_NO_LOCAL_ENDPOINTS = 6;
/** The source is in none of the load balancer's source ranges. */
export const REASON_SOURCE_RANGE = 7;
/** nftables: an address of the service range that no Service has. */
export const REASON_UNALLOCATED_VIP = 8;
/** The connection-tracking table is full. */
export const REASON_CONNTRACK_FULL = 9;
/** userspace: no endpoint took the connection. */
export const REASON_NO_ANSWER = 10;
/** IPVS: a SYN that ended the old connection of its port, and has to be sent again. */
export const REASON_PORT_REUSED = 11;

export const REASON_NAMES = [
  'none',
  'no_endpoints',
  'invalid',
  'unused_vip_port',
  'server_unavailable',
  'port_clash',
  'no_local_endpoints',
  'source_range',
  'unallocated_vip',
  'conntrack_full',
  'no_answer',
  'port_reused',
] as const;

/** The arrays of a VerdictBatch. */
export const VERDICT_FIELDS = [
  'outcome',
  'reason',
  'first',
  'masqueraded',
  'srcAddress',
  'srcPort',
  'dstAddress',
  'dstPort',
  'servicePortId',
] as const;
export type VerdictField = (typeof VERDICT_FIELDS)[number];

/** Parallel to the PacketBatch: element i is packet i's. Addresses and ports are those on leaving the node. */
export class VerdictBatch {
  readonly capacity: number;
  readonly outcome: Uint8Array;
  readonly reason: Uint8Array;
  /** 1 when the packet opened a new connection-tracking entry (ctstate NEW, nat walked), whatever the outcome. */
  readonly first: Uint8Array;
  /** 1 when the source was translated to the node's address (masquerade). */
  readonly masqueraded: Uint8Array;
  readonly srcAddress: Uint32Array;
  readonly srcPort: Uint16Array;
  readonly dstAddress: Uint32Array;
  readonly dstPort: Uint16Array;
  /** The id of the service port that the flow belongs to, or -1. */
  readonly servicePortId: Int32Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.outcome = new Uint8Array(capacity);
    this.reason = new Uint8Array(capacity);
    this.first = new Uint8Array(capacity);
    this.masqueraded = new Uint8Array(capacity);
    this.srcAddress = new Uint32Array(capacity);
    this.srcPort = new Uint16Array(capacity);
    this.dstAddress = new Uint32Array(capacity);
    this.dstPort = new Uint16Array(capacity);
    this.servicePortId = new Int32Array(capacity);
  }
}
