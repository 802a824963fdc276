import { describe, expect, it } from 'vitest';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { Rng } from '../../sim/rng.ts';
import { NONE, serviceBucket, ServiceTable } from './service-table.ts';

describe('ServiceTable', () => {
  it('hashes by the low address byte and the port alone', () => {
    expect(serviceBucket(PROTOCOL_TCP, 0xac140001, 80)).toBe((6 ^ 1 ^ 80) & 255);
    expect(serviceBucket(PROTOCOL_TCP, 0x0a000001, 80)).toBe(serviceBucket(PROTOCOL_TCP, 0xac14ff01, 80));
    expect(serviceBucket(PROTOCOL_UDP, 0xffffffff, 0x1234)).toBe((17 ^ 255 ^ 0x12 ^ 0x34) & 255);
  });

  it('puts new virtual servers at the head of their chain', () => {
    const table = new ServiceTable();
    // The same low byte and port: one bucket.
    const slots = [0, 1, 2].map((k) => table.add(PROTOCOL_TCP, 0x0a000001 + k * 256, 80, k));
    table.finish();
    const passed = slots.map((slot, k) => {
      expect(table.findLiteral(PROTOCOL_TCP, 0x0a000001 + k * 256, 80)).toBe(slot);
      return table.entriesPassed;
    });
    expect(passed).toEqual([3, 2, 1]);
    expect(table.findLiteral(PROTOCOL_TCP, 0x0a000001 + 999 * 256, 80)).toBe(NONE);
    expect(table.entriesPassed).toBe(3);
  });

  it('finds the same with the same count by index, through adds and removes', () => {
    const random = new Rng(5).stream('table');
    const table = new ServiceTable();
    const live = new Map<string, number>();
    const draw = (): [number, number, number] => [
      random.below(2) === 0 ? PROTOCOL_TCP : PROTOCOL_UDP,
      0x0a000000 + random.below(4) * 256 + random.below(8),
      80 + random.below(4),
    ];
    for (let round = 0; round < 40; round++) {
      for (let k = 0; k < 12; k++) {
        const key = draw();
        const slot = live.get(key.join());
        if (slot === undefined) live.set(key.join(), table.add(...key, k));
        else {
          table.remove(slot);
          live.delete(key.join());
        }
      }
      table.finish();
      expect(table.size).toBe(live.size);
      for (let k = 0; k < 60; k++) {
        const key = draw();
        const literal = table.findLiteral(...key);
        const passed = table.entriesPassed;
        expect(literal).toBe(live.get(key.join()) ?? NONE);
        expect(table.findIndexed(...key)).toBe(literal);
        expect(table.entriesPassed).toBe(passed);
      }
    }
  });
});
