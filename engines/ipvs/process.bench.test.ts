import { getHeapStatistics } from 'node:v8';
import { describe, expect, it } from 'vitest';
import type { Contender } from '../../sim/contender.ts';
import { establishedConnections, IPVS_PACKETS, newConnections } from './process.bench.ts';

const WARM_ROUNDS = 60;
const ROUNDS = 60;

/** Bytes of heap and of memory outside it that a packet takes. */
function bytesPerPacket(contender: Contender): { heap: number; outside: number } {
  for (let i = 0; i < WARM_ROUNDS; i++) contender.round();
  const before = getHeapStatistics();
  for (let i = 0; i < ROUNDS; i++) contender.round();
  const after = getHeapStatistics();
  const packets = ROUNDS * IPVS_PACKETS;
  return {
    heap: (after.used_heap_size - before.used_heap_size) / packets,
    outside: (after.external_memory - before.external_memory) / packets,
  };
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
    const { heap, outside } = bytesPerPacket(make(50, 'indexed'));
    expect(Math.abs(heap)).toBeLessThan(4);
    expect(outside).toBeLessThan(1);
  });
});
