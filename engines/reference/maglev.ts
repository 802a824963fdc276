/** Maglev's look-up table of the `mh` scheduler (net/netfilter/ipvs/ip_vs_mh.c) with its hash (lib/siphash.c, hsiphash of 64-bit kernels). */
import type { Party } from './packet.ts';

export const MAGLEV_SIZE = 4093;
const KEY_1 = 2654435761n;
const KEY_2 = 2654446892n;
const MASK = (1n << 64n) - 1n;

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}

/** SipHash-1-3 of the four little-endian bytes of `word` under (key, key), low 32 bits. */
function sipHash13(word: number, key: bigint): number {
  const v = [
    0x736f6d6570736575n ^ key,
    0x646f72616e646f6dn ^ key,
    0x6c7967656e657261n ^ key,
    0x7465646279746573n ^ key,
  ] as [bigint, bigint, bigint, bigint];
  const round = (): void => {
    v[0] = (v[0] + v[1]) & MASK;
    v[1] = rotate(v[1], 13n) ^ v[0];
    v[0] = rotate(v[0], 32n);
    v[2] = (v[2] + v[3]) & MASK;
    v[3] = rotate(v[3], 16n) ^ v[2];
    v[0] = (v[0] + v[3]) & MASK;
    v[3] = rotate(v[3], 21n) ^ v[0];
    v[2] = (v[2] + v[1]) & MASK;
    v[1] = rotate(v[1], 17n) ^ v[2];
    v[2] = rotate(v[2], 32n);
  };
  // One block: the message's length in the top byte, its four bytes at the bottom.
  const block = (4n << 56n) | BigInt(word);
  v[3] ^= block;
  round();
  v[0] ^= block;
  v[2] ^= 0xffn;
  round();
  round();
  round();
  return Number((v[0] ^ v[1] ^ v[2] ^ v[3]) & 0xffffffffn);
}

function keyOf(party: Party): number {
  return (party.address + party.port) >>> 0;
}

/** The row of the table that a client looks at. */
export function maglevRow(client: Party): number {
  return sipHash13(keyOf(client), KEY_1) % MAGLEV_SIZE;
}

/** Row to index in `servers`, each of which takes one row a turn; empty when there are no servers [ip_vs_mh_populate]. */
export function maglevTable(servers: readonly Party[]): number[] {
  const table = new Array<number>(MAGLEV_SIZE).fill(-1);
  if (servers.length === 0) return table;
  const places = servers.map((server) => sipHash13(keyOf(server), KEY_1) % MAGLEV_SIZE);
  const skips = servers.map((server) => (sipHash13(keyOf(server), KEY_2) % (MAGLEV_SIZE - 1)) + 1);
  for (let filled = 0; filled < MAGLEV_SIZE; filled++) {
    const turn = filled % servers.length;
    let place = places[turn] ?? 0;
    while (table[place] !== -1) place = (place + (skips[turn] ?? 0)) % MAGLEV_SIZE;
    table[place] = turn;
    places[turn] = place;
  }
  return table;
}
