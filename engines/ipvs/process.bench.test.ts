import { getHeapStatistics } from 'node:v8';
import { describe, expect, it } from 'vitest';
import type { Contender } from '../../sim/contender.ts';
import { establishedConnections, IPVS_PACKETS, newConnections } from './process.bench.ts';

const WARM_ROUNDS = 60;
const ROUNDS = 30;
const TRIES = 8;

/**
 * Bytes of heap a packet. A collection in between makes less of them, the compiler's work more: the least of several tries counts, of those
 * in which nothing was collected.
 */
function heapBytesPerPacket(contender: Contender): number {
  for (let i = 0; i < WARM_ROUNDS; i++) contender.round();
  let least = Infinity;
  for (let run = 0; run < TRIES; run++) {
    const before = getHeapStatistics().used_heap_size;
    for (let i = 0; i < ROUNDS; i++) contender.round();
    const grown = getHeapStatistics().used_heap_size - before;
    if (grown >= 0) least = Math.min(least, grown / (ROUNDS * IPVS_PACKETS));
  }
  return least;
}

describe('the packet job of IPVS', () => {
  it.each(['new', 'established'] as const)('gives both evaluators one answer: %s', (kind) => {
    const make = kind === 'new' ? newConnections : establishedConnections;
    const [literal, indexed] = [make(50, 'literal'), make(50, 'indexed')];
    for (let i = 0; i < 3; i++) {
      literal.round();
      indexed.round();
      expect(indexed.checksum()).toBe(literal.checksum());
    }
  });

  // A boxed number has 16 bytes: one in four packets would show.
  it.each(['new', 'established'] as const)('allocates nothing a packet: %s', (kind) => {
    const make = kind === 'new' ? newConnections : establishedConnections;
    expect(heapBytesPerPacket(make(50, 'indexed'))).toBeLessThan(4);
  });
});
