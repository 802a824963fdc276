import { describe, expect, it } from 'vitest';
import { benchIptables } from './evaluate.bench.ts';

describe('the micro-benchmark', () => {
  it('runs in its smoke size, and both evaluators give one answer', async () => {
    const rows = await benchIptables('smoke');
    expect(rows.length).toBe(8);
    for (const row of rows) {
      expect(row.nsPerPacket).toBeGreaterThan(0);
      const twin = rows.find((other) => other.name === row.name && other.services === row.services);
      expect(row.digest).toBe(twin?.digest);
    }
    expect(new Set(rows.map((row) => row.digest)).size).toBe(4);
  });
});
