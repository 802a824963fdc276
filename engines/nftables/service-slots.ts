/** Service ports in slots and their endpoints in one arena, as flat typed arrays: what a packet's walk reads. */

export class ServiceSlots {
  id = new Int32Array(16);
  clusterIp = new Int32Array(16);
  port = new Uint16Array(16);
  /** Bits of elements.ts. */
  flags = new Uint8Array(16);
  /** 1 when the first rule of the chain that the cluster IP goes to masquerades. */
  entryRule = new Uint8Array(16);
  /** Endpoints of the service chain are arena elements start .. start + clusterCount - 1, those of the local chain follow them. */
  start = new Uint32Array(16);
  clusterCount = new Uint32Array(16);
  localCount = new Uint32Array(16);
  /** Rules in the service port's chains, and operations that write them all. */
  rules = new Uint32Array(16);
  operations = new Uint32Array(16);
  /** What the firewall chain lets through, as pairs of masked address and mask. */
  readonly allowedSources: (Int32Array | undefined)[] = [];

  /** Arena. Addresses as signed 32-bit integers; the affinity set's handle, -1 where there is none. */
  endpointAddress = new Int32Array(64);
  endpointPort = new Uint16Array(64);
  affinitySet = new Int32Array(64);
  #arenaEnd = 0;
  #arenaGarbage = 0;

  reserve(needed: number): void {
    if (needed <= this.id.length) return;
    const size = Math.max(needed, this.id.length * 2);
    this.id = copyOf(this.id, new Int32Array(size));
    this.clusterIp = copyOf(this.clusterIp, new Int32Array(size));
    this.port = copyOf(this.port, new Uint16Array(size));
    this.flags = copyOf(this.flags, new Uint8Array(size));
    this.entryRule = copyOf(this.entryRule, new Uint8Array(size));
    this.start = copyOf(this.start, new Uint32Array(size));
    this.clusterCount = copyOf(this.clusterCount, new Uint32Array(size));
    this.localCount = copyOf(this.localCount, new Uint32Array(size));
    this.rules = copyOf(this.rules, new Uint32Array(size));
    this.operations = copyOf(this.operations, new Uint32Array(size));
  }

  /** A slot that nobody uses. */
  clear(slot: number): void {
    this.resize(slot, 0, 0);
    this.flags[slot] = 0;
    this.rules[slot] = 0;
    this.operations[slot] = 0;
    this.allowedSources[slot] = undefined;
  }

  /** Gives the slot room for its endpoints; what is in it must be written anew. */
  resize(slot: number, clusterCount: number, localCount: number): void {
    const before = this.clusterCount[slot] + this.localCount[slot];
    const count = clusterCount + localCount;
    if (count > before) {
      this.#arenaGarbage += before;
      this.start[slot] = this.#arenaEnd;
      this.#arenaEnd += count;
      this.#growArena();
    } else this.#arenaGarbage += before - count;
    this.clusterCount[slot] = clusterCount;
    this.localCount[slot] = localCount;
  }

  /** Closes the gaps that rewritten service ports have left, once they are half of the arena. `slots` are those in use. */
  compact(slots: Iterable<number>): void {
    if (this.#arenaGarbage <= 1024 || this.#arenaGarbage * 2 <= this.#arenaEnd) return;
    const address = new Int32Array(this.endpointAddress.length);
    const port = new Uint16Array(address.length);
    const affinity = new Int32Array(address.length);
    let end = 0;
    for (const slot of slots) {
      const from = this.start[slot];
      const to = from + this.clusterCount[slot] + this.localCount[slot];
      address.set(this.endpointAddress.subarray(from, to), end);
      port.set(this.endpointPort.subarray(from, to), end);
      affinity.set(this.affinitySet.subarray(from, to), end);
      this.start[slot] = end;
      end += to - from;
    }
    this.endpointAddress = address;
    this.endpointPort = port;
    this.affinitySet = affinity;
    this.#arenaEnd = end;
    this.#arenaGarbage = 0;
  }

  #growArena(): void {
    if (this.#arenaEnd <= this.endpointPort.length) return;
    const size = this.#arenaEnd * 2;
    this.endpointAddress = copyOf(this.endpointAddress, new Int32Array(size));
    this.endpointPort = copyOf(this.endpointPort, new Uint16Array(size));
    this.affinitySet = copyOf(this.affinitySet, new Int32Array(size));
  }
}

function copyOf<T extends Int32Array | Uint32Array | Uint16Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
