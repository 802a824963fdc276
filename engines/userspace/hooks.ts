/** The built-in chains of userspace mode, and what a packet meets in them. */
import { JUMPS, RULES_EVALUATED, RULES_MATCHED, RULE_BYTES } from '../../model/counters.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { PortalChain, WalkedPacket } from './portal-chain.ts';
import {
  JUMP_BYTES,
  LOCAL_JUMP_BYTES,
  NODE_PORT_CONTAINER,
  NODE_PORT_HOST,
  NODE_PORT_NON_LOCAL,
  PORTALS_CONTAINER,
  PORTALS_HOST,
} from './portal-rules.ts';

export class Hooks {
  readonly #chains: readonly PortalChain[];
  readonly #literal: boolean;
  readonly #addresses: Int32Array;
  /** The packet on its way; the caller sets `protocol`, `dst`, `dstPort` and `isNew`. */
  readonly packet: WalkedPacket = { protocol: PROTOCOL_TCP, dst: 0, dstPort: 0, isLocal: false, isNew: false };

  constructor(chains: readonly PortalChain[], evaluator: 'literal' | 'indexed', addresses: readonly number[]) {
    this.#chains = chains;
    this.#literal = evaluator === 'literal';
    this.#addresses = Int32Array.from(addresses, (address) => address | 0);
  }

  /** A node address, or 127.0.0.0/8. Signed 32-bit. */
  isLocal(address: number): boolean {
    const addresses = this.#addresses;
    for (let i = 0; i < addresses.length; i++) if (addresses[i] === address) return true;
    return address >>> 24 === 127;
  }

  /** nat PREROUTING, or OUTPUT for a process of the node: slot of the portal whose rule redirects the packet, or -1. */
  natDestination(fromHost: boolean, rows: Uint32Array, row: number): number {
    const packet = this.packet;
    packet.isLocal = this.isLocal(packet.dst);
    countJump(JUMP_BYTES, true, rows, row);
    const slot = this.#walk(fromHost ? PORTALS_HOST : PORTALS_CONTAINER, rows, row);
    if (slot >= 0) return slot;
    countJump(LOCAL_JUMP_BYTES, packet.isLocal, rows, row);
    return packet.isLocal ? this.#walk(fromHost ? NODE_PORT_HOST : NODE_PORT_CONTAINER, rows, row) : -1;
  }

  /** filter INPUT: it refuses nothing. */
  filterInput(rows: Uint32Array, row: number): void {
    countJump(JUMP_BYTES, true, rows, row);
    this.#walk(NODE_PORT_NON_LOCAL, rows, row);
  }

  #walk(chain: number, rows: Uint32Array, row: number): number {
    return this.#literal
      ? this.#chains[chain].scan(this.packet, rows, row)
      : this.#chains[chain].find(this.packet, rows, row);
  }
}

function countJump(bytes: number, taken: boolean, rows: Uint32Array, row: number): void {
  rows[row + RULES_EVALUATED]++;
  rows[row + RULE_BYTES] += bytes;
  if (!taken) return;
  rows[row + RULES_MATCHED]++;
  rows[row + JUMPS]++;
}
