/** The ipsets that kube-proxy fills in IPVS mode and that are not always empty (pkg/proxy/ipvs/ipset.go). */
import { formatIpv4 } from '../../model/address.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';

/** A set of triples of unsigned 32-bit integers: open addressing in typed arrays. */
class TripleSet {
  size = 0;
  #first = new Uint32Array(64);
  #second = new Uint32Array(64);
  #third = new Uint32Array(64);
  #isUsed = new Uint8Array(64);

  has(first: number, second: number, third: number): boolean {
    const mask = this.#isUsed.length - 1;
    let at = tripleHash(first, second, third) & mask;
    while (this.#isUsed[at] === 1) {
      if (this.#first[at] === first && this.#second[at] === second && this.#third[at] === third) return true;
      at = (at + 1) & mask;
    }
    return false;
  }

  /** True when the triple is new. */
  add(first: number, second: number, third: number): boolean {
    if (this.size * 2 >= this.#isUsed.length) this.#grow();
    const mask = this.#isUsed.length - 1;
    let at = tripleHash(first, second, third) & mask;
    while (this.#isUsed[at] === 1) {
      if (this.#first[at] === first && this.#second[at] === second && this.#third[at] === third) return false;
      at = (at + 1) & mask;
    }
    this.#first[at] = first;
    this.#second[at] = second;
    this.#third[at] = third;
    this.#isUsed[at] = 1;
    this.size++;
    return true;
  }

  clear(): void {
    this.#isUsed.fill(0);
    this.size = 0;
  }

  /** In no particular order. */
  forEach(visit: (first: number, second: number, third: number) => void): void {
    for (let at = 0; at < this.#isUsed.length; at++) {
      if (this.#isUsed[at] === 1) visit(this.#first[at], this.#second[at], this.#third[at]);
    }
  }

  #grow(): void {
    const first = this.#first;
    const second = this.#second;
    const third = this.#third;
    const isUsed = this.#isUsed;
    const capacity = isUsed.length * 2;
    this.#first = new Uint32Array(capacity);
    this.#second = new Uint32Array(capacity);
    this.#third = new Uint32Array(capacity);
    this.#isUsed = new Uint8Array(capacity);
    this.size = 0;
    for (let at = 0; at < isUsed.length; at++) {
      if (isUsed[at] === 1) this.add(first[at], second[at], third[at]);
    }
  }
}

function tripleHash(first: number, second: number, third: number): number {
  const mixed = Math.imul(Math.imul(first ^ (third << 1), 0x9e3779b1) ^ second, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

/** Protocol and port in one word. */
function service(protocol: number, port: number): number {
  return ((protocol << 16) | port) >>> 0;
}

/** One filling of the sets. */
class Contents {
  readonly clusterIp = new TripleSet();
  readonly loopBack = new TripleSet();
  readonly ipvsIps = new TripleSet();
  readonly nodePorts = new TripleSet();

  /** Entries also in `other`, over all sets. */
  common(other: Contents): number {
    let count = 0;
    const pairs: [TripleSet, TripleSet][] = [
      [this.clusterIp, other.clusterIp],
      [this.loopBack, other.loopBack],
      [this.ipvsIps, other.ipvsIps],
      [this.nodePorts, other.nodePorts],
    ];
    for (const [mine, theirs] of pairs) {
      if (theirs.size === 0) continue;
      mine.forEach((first, second, third) => {
        if (theirs.has(first, second, third)) count++;
      });
    }
    return count;
  }

  get size(): number {
    return this.clusterIp.size + this.loopBack.size + this.ipvsIps.size + this.nodePorts.size;
  }

  clear(): void {
    this.clusterIp.clear();
    this.loopBack.clear();
    this.ipvsIps.clear();
    this.nodePorts.clear();
  }
}

/** A sync calls `begin`, adds what it wants and calls `finish`; look-ups see the new contents from `finish` on. */
export class IpSets {
  /** Entries added or deleted by the latest `finish`, and addresses of IPVS-IPS alone. */
  changes = 0;
  addressChanges = 0;
  /** Entries of the two bitmaps. */
  nodePortTcpSize = 0;
  nodePortUdpSize = 0;

  #current = new Contents();
  #wanted = new Contents();
  readonly #isNodePortTcp = new Uint8Array(65536);
  readonly #isNodePortUdp = new Uint8Array(65536);

  begin(): void {
    this.#wanted.clear();
  }

  /** Sets CLUSTER-IP and IPVS-IPS. */
  addClusterIp(protocol: number, address: number, port: number): void {
    this.#wanted.clusterIp.add(address, service(protocol, port), 0);
    this.#wanted.ipvsIps.add(address, 0, 0);
  }

  /** Set NODE-PORT-TCP or NODE-PORT-UDP. */
  addNodePort(protocol: number, port: number): void {
    this.#wanted.nodePorts.add(service(protocol, port), 0, 0);
  }

  /** Set LOOP-BACK. */
  addLocalEndpoint(protocol: number, address: number, port: number): void {
    this.#wanted.loopBack.add(address, service(protocol, port), address);
  }

  finish(): void {
    const old = this.#current;
    const wanted = this.#wanted;
    this.changes = old.size + wanted.size - 2 * wanted.common(old);
    let kept = 0;
    wanted.ipvsIps.forEach((address) => {
      if (old.ipvsIps.has(address, 0, 0)) kept++;
    });
    this.addressChanges = old.ipvsIps.size + wanted.ipvsIps.size - 2 * kept;
    this.#current = wanted;
    this.#wanted = old;
    this.#isNodePortTcp.fill(0);
    this.#isNodePortUdp.fill(0);
    this.nodePortTcpSize = 0;
    this.nodePortUdpSize = 0;
    wanted.nodePorts.forEach((word) => {
      if (word >>> 16 === PROTOCOL_TCP) {
        this.#isNodePortTcp[word & 0xffff] = 1;
        this.nodePortTcpSize++;
      } else {
        this.#isNodePortUdp[word & 0xffff] = 1;
        this.nodePortUdpSize++;
      }
    });
  }

  get clusterIpSize(): number {
    return this.#current.clusterIp.size;
  }

  get loopBackSize(): number {
    return this.#current.loopBack.size;
  }

  /** Addresses on kube-ipvs0. */
  get ipvsIpsSize(): number {
    return this.#current.ipvsIps.size;
  }

  inClusterIp(address: number, protocol: number, port: number): boolean {
    return this.#current.clusterIp.has(address, service(protocol, port), 0);
  }

  inLoopBack(dstAddress: number, protocol: number, port: number, srcAddress: number): boolean {
    return this.#current.loopBack.has(dstAddress, service(protocol, port), srcAddress);
  }

  inIpvsIps(address: number): boolean {
    return this.#current.ipvsIps.has(address, 0, 0);
  }

  inNodePort(protocol: number, port: number): boolean {
    return (protocol === PROTOCOL_TCP ? this.#isNodePortTcp[port] : this.#isNodePortUdp[port]) === 1;
  }

  /** `ipset save` of every set that kube-proxy creates and that is modelled, entries in order of their numbers. */
  dump(): string[] {
    const lines: string[] = [];
    const ports = { tcp: [] as string[], udp: [] as string[] };
    for (const [word] of sorted(this.#current.nodePorts)) ports[nameOf(word)].push(`${word & 0xffff}`);
    const clusterIps = sorted(this.#current.clusterIp).map(([address, word]) => `${formatIpv4(address)},${text(word)}`);
    const loopBacks = sorted(this.#current.loopBack).map(
      ([dst, word, src]) => `${formatIpv4(dst)},${text(word)},${formatIpv4(src)}`,
    );
    const hash = 'family inet hashsize 1024 maxelem 65536';
    const append = (name: string, type: string, entries: readonly string[]): void => {
      lines.push(`create ${name} ${type}`);
      for (const entry of entries) lines.push(`add ${name} ${entry}`);
    };
    append('KUBE-LOOP-BACK', `hash:ip,port,ip ${hash}`, loopBacks);
    append('KUBE-CLUSTER-IP', `hash:ip,port ${hash}`, clusterIps);
    append('KUBE-EXTERNAL-IP', `hash:ip,port ${hash}`, []);
    append('KUBE-EXTERNAL-IP-LOCAL', `hash:ip,port ${hash}`, []);
    append('KUBE-LOAD-BALANCER', `hash:ip,port ${hash}`, []);
    append('KUBE-NODE-PORT-TCP', 'bitmap:port range 0-65535', ports.tcp);
    append('KUBE-NODE-PORT-UDP', 'bitmap:port range 0-65535', ports.udp);
    append('KUBE-HEALTH-CHECK-NODE-PORT', 'bitmap:port range 0-65535', []);
    append(
      'KUBE-IPVS-IPS',
      `hash:ip ${hash}`,
      sorted(this.#current.ipvsIps).map(([address]) => formatIpv4(address)),
    );
    return lines;
  }
}

function sorted(set: TripleSet): [number, number, number][] {
  const entries: [number, number, number][] = [];
  set.forEach((first, second, third) => entries.push([first, second, third]));
  return entries.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
}

function nameOf(word: number): 'tcp' | 'udp' {
  return word >>> 16 === PROTOCOL_TCP ? 'tcp' : 'udp';
}

function text(word: number): string {
  return `${nameOf(word)}:${word & 0xffff}`;
}
