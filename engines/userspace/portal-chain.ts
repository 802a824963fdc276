/** One chain of portal rules as typed arrays, walked rule by rule or looked up, with the same counts. */
import { RULES_EVALUATED, RULES_MATCHED, RULE_BYTES, SERVICE_RULES_SCANNED } from '../../model/counters.ts';
import type { PortalRule } from './portal-rules.ts';

/** What a walk knows of the packet. Addresses signed 32-bit. */
export interface WalkedPacket {
  protocol: number;
  dst: number;
  dstPort: number;
  isLocal: boolean;
  isNew: boolean;
}

const WANTS_LOCAL = 1;
const WANTS_NEW = 2;
const ANY_ADDRESS = 4;

/** A rule of a chain with the slot of the service port that it leads to. */
export interface ChainRule {
  readonly rule: PortalRule;
  readonly protocol: number;
  readonly slot: number;
}

export class PortalChain {
  length = 0;
  #address = new Int32Array(0);
  /** protocol << 16 | port. */
  #service = new Int32Array(0);
  #flags = new Uint8Array(0);
  #slot = new Int32Array(0);
  /** Bytes of the rules in front of element i; one element more than rules. */
  #bytesBefore = new Float64Array(1);
  /** Position of the next rule with the same address and service, or -1. */
  #next = new Int32Array(0);
  #first = new Map<number, number>();

  /** Control plane: writes the chain anew. */
  fill(rules: readonly ChainRule[]): void {
    const count = rules.length;
    this.length = count;
    this.#address = new Int32Array(count);
    this.#service = new Int32Array(count);
    this.#flags = new Uint8Array(count);
    this.#slot = new Int32Array(count);
    this.#bytesBefore = new Float64Array(count + 1);
    this.#next = new Int32Array(count).fill(-1);
    this.#first = new Map();
    rules.forEach(({ rule, protocol, slot }, i) => {
      this.#address[i] = rule.address ?? 0;
      this.#service[i] = (protocol << 16) | rule.port;
      this.#slot[i] = slot;
      this.#bytesBefore[i + 1] = this.#bytesBefore[i] + rule.bytes;
      let flags = rule.wantsLocal ? WANTS_LOCAL : 0;
      if (rule.wantsNew) flags |= WANTS_NEW;
      if (rule.address === undefined) flags |= ANY_ADDRESS;
      this.#flags[i] = flags;
    });
    for (let i = count - 1; i >= 0; i--) {
      const key = keyOf(this.#address[i], this.#service[i]);
      this.#next[i] = this.#first.get(key) ?? -1;
      this.#first.set(key, i);
    }
  }

  /** Slot of the first rule that holds, or -1; adds to the counters that start at rows[row]. Visits every rule in front of it. */
  scan(packet: WalkedPacket, rows: Uint32Array, row: number): number {
    const address = this.#address;
    const services = this.#service;
    const flags = this.#flags;
    const { dst } = packet;
    const service = (packet.protocol << 16) | packet.dstPort;
    const unmet = unmetFlags(packet);
    for (let i = 0; i < this.length; i++) {
      if (address[i] !== dst && (flags[i] & ANY_ADDRESS) === 0) continue;
      if (services[i] !== service || (flags[i] & unmet) !== 0) continue;
      this.#count(i + 1, true, rows, row);
      return this.#slot[i];
    }
    this.#count(this.length, false, rows, row);
    return -1;
  }

  /** As `scan`, without visiting what cannot hold. A chain's rules all have an address, or none has. */
  find(packet: WalkedPacket, rows: Uint32Array, row: number): number {
    const hasAddress = this.length > 0 && (this.#flags[0] & ANY_ADDRESS) === 0;
    const unmet = unmetFlags(packet);
    let i = this.#first.get(keyOf(hasAddress ? packet.dst : 0, (packet.protocol << 16) | packet.dstPort)) ?? -1;
    while (i >= 0 && (this.#flags[i] & unmet) !== 0) i = this.#next[i];
    this.#count(i < 0 ? this.length : i + 1, i >= 0, rows, row);
    return i < 0 ? -1 : this.#slot[i];
  }

  #count(visited: number, matched: boolean, rows: Uint32Array, row: number): void {
    rows[row + RULES_EVALUATED] += visited;
    rows[row + SERVICE_RULES_SCANNED] += visited;
    rows[row + RULE_BYTES] += this.#bytesBefore[visited];
    if (matched) rows[row + RULES_MATCHED]++;
  }
}

function unmetFlags(packet: WalkedPacket): number {
  return (packet.isLocal ? 0 : WANTS_LOCAL) | (packet.isNew ? 0 : WANTS_NEW);
}

/** One number below 2^53: of the protocol its low five bits, which tell TCP (6), UDP (17) and SCTP (132) apart. */
function keyOf(address: number, service: number): number {
  return ((address >>> 0) * 32 + ((service >>> 16) & 31)) * 65536 + (service & 0xffff);
}
