/** The connections that are open in a trial, as parallel typed arrays with free slots reused: no object a connection. */

/** The pod's side ends the connection: its next packet is a reset. */
export const MARK_CLOSING = 1;
/** Nobody answers. UDP: the last packet of the client met no process; else the pod's machine has failed. */
export const MARK_LOST = 2;
/** UDP: counted as cut. */
export const MARK_SILENT = 4;
/** Counted as gone on to an endpoint that the rules no longer lead to. */
export const MARK_ON_REMOVED_POD = 8;
/** Of TCP and SCTP: a process has the connection. */
export const MARK_ESTABLISHED = 16;

export class ConnectionPool {
  #capacity: number;
  #free: Int32Array;
  #freeCount = 0;
  #used = 0;
  origin: Uint8Array;
  protocol: Uint8Array;
  clientAddress: Uint32Array;
  clientPort: Uint16Array;
  dstAddress: Uint32Array;
  dstPort: Uint16Array;
  /** 1 where the destination is a host itself, no address of a Service. */
  direct: Uint8Array;
  servicePortId: Int32Array;
  /** Packets in all, and the number of the next one (0 is the first). */
  packets: Int32Array;
  next: Int32Array;
  gapNs: Float64Array;
  /** As the packet leaves the node: what a reply comes back to, and whom it comes from. */
  translatedAddress: Uint32Array;
  translatedPort: Uint16Array;
  endpointAddress: Uint32Array;
  endpointPort: Uint16Array;
  /** 1 while a packet of the connection waits in the batch for its verdict. */
  pending: Uint8Array;
  /** Number of the client among those of the traffic. */
  client: Int32Array;
  /** Why the present attempt would fail: an index into FAILURE_KINDS. */
  fate: Uint8Array;
  /** MARK_* of what has befallen the connection. */
  marks: Uint8Array;
  /** Retries made, and SYNs sent in the present attempt. */
  retries: Uint8Array;
  syns: Uint8Array;
  /** When the first attempt and the present one began. */
  wantedNs: Float64Array;
  attemptNs: Float64Array;

  constructor(capacity = 1024) {
    this.#capacity = capacity;
    this.#free = new Int32Array(capacity);
    this.origin = new Uint8Array(capacity);
    this.protocol = new Uint8Array(capacity);
    this.clientAddress = new Uint32Array(capacity);
    this.clientPort = new Uint16Array(capacity);
    this.dstAddress = new Uint32Array(capacity);
    this.dstPort = new Uint16Array(capacity);
    this.direct = new Uint8Array(capacity);
    this.servicePortId = new Int32Array(capacity);
    this.packets = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.gapNs = new Float64Array(capacity);
    this.translatedAddress = new Uint32Array(capacity);
    this.translatedPort = new Uint16Array(capacity);
    this.endpointAddress = new Uint32Array(capacity);
    this.endpointPort = new Uint16Array(capacity);
    this.pending = new Uint8Array(capacity);
    this.client = new Int32Array(capacity);
    this.fate = new Uint8Array(capacity);
    this.marks = new Uint8Array(capacity);
    this.retries = new Uint8Array(capacity);
    this.syns = new Uint8Array(capacity);
    this.wantedNs = new Float64Array(capacity);
    this.attemptNs = new Float64Array(capacity);
  }

  /** Connections open now. */
  get size(): number {
    return this.#used - this.#freeCount;
  }

  /** Slots from here on have never been open. */
  get used(): number {
    return this.#used;
  }

  /** A slot for a new connection; its fields hold old values until they are set. */
  open(): number {
    if (this.#freeCount > 0) return this.#free[--this.#freeCount];
    if (this.#used === this.#capacity) this.#grow();
    return this.#used++;
  }

  close(slot: number): void {
    this.marks[slot] = 0;
    this.#free[this.#freeCount++] = slot;
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    this.#capacity = capacity;
    this.#free = enlarged(this.#free, new Int32Array(capacity));
    this.origin = enlarged(this.origin, new Uint8Array(capacity));
    this.protocol = enlarged(this.protocol, new Uint8Array(capacity));
    this.clientAddress = enlarged(this.clientAddress, new Uint32Array(capacity));
    this.clientPort = enlarged(this.clientPort, new Uint16Array(capacity));
    this.dstAddress = enlarged(this.dstAddress, new Uint32Array(capacity));
    this.dstPort = enlarged(this.dstPort, new Uint16Array(capacity));
    this.direct = enlarged(this.direct, new Uint8Array(capacity));
    this.servicePortId = enlarged(this.servicePortId, new Int32Array(capacity));
    this.packets = enlarged(this.packets, new Int32Array(capacity));
    this.next = enlarged(this.next, new Int32Array(capacity));
    this.gapNs = enlarged(this.gapNs, new Float64Array(capacity));
    this.translatedAddress = enlarged(this.translatedAddress, new Uint32Array(capacity));
    this.translatedPort = enlarged(this.translatedPort, new Uint16Array(capacity));
    this.endpointAddress = enlarged(this.endpointAddress, new Uint32Array(capacity));
    this.endpointPort = enlarged(this.endpointPort, new Uint16Array(capacity));
    this.pending = enlarged(this.pending, new Uint8Array(capacity));
    this.client = enlarged(this.client, new Int32Array(capacity));
    this.fate = enlarged(this.fate, new Uint8Array(capacity));
    this.marks = enlarged(this.marks, new Uint8Array(capacity));
    this.retries = enlarged(this.retries, new Uint8Array(capacity));
    this.syns = enlarged(this.syns, new Uint8Array(capacity));
    this.wantedNs = enlarged(this.wantedNs, new Float64Array(capacity));
    this.attemptNs = enlarged(this.attemptNs, new Float64Array(capacity));
  }
}

function enlarged<T extends Int32Array | Uint8Array | Uint16Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
