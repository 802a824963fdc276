/** A batch of packets as parallel typed arrays: what a data path consumes. */

export const DIRECTION_ORIGINAL = 0;
export const DIRECTION_REPLY = 1;

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;
export const TCP_ACK = 16;

/** Where a packet enters the node: its own processes (OUTPUT), a pod's veth, or the wire (both PREROUTING). */
export const ORIGIN_HOST = 0;
export const ORIGIN_POD = 1;
export const ORIGIN_EXTERNAL = 2;

/**
 * Fixed capacity, `length` packets in use; packet i is element i of every array. Times are SimTime and do not decrease
 * within a batch or from one batch to the next. Addresses and ports are those on the wire as the packet enters the
 * node: a reply carries the endpoint as its source and the (translated) client as its destination.
 */
export class PacketBatch {
  readonly capacity: number;
  length = 0;
  readonly time: Float64Array;
  readonly srcAddress: Uint32Array;
  readonly dstAddress: Uint32Array;
  readonly srcPort: Uint16Array;
  readonly dstPort: Uint16Array;
  readonly protocol: Uint8Array;
  /** What the sender knows; a data path finds the direction from its own connection table. */
  readonly direction: Uint8Array;
  readonly tcpFlags: Uint8Array;
  readonly origin: Uint8Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.time = new Float64Array(capacity);
    this.srcAddress = new Uint32Array(capacity);
    this.dstAddress = new Uint32Array(capacity);
    this.srcPort = new Uint16Array(capacity);
    this.dstPort = new Uint16Array(capacity);
    this.protocol = new Uint8Array(capacity);
    this.direction = new Uint8Array(capacity);
    this.tcpFlags = new Uint8Array(capacity);
    this.origin = new Uint8Array(capacity);
  }
}
