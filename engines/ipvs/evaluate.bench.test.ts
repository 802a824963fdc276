import { describe, expect, it } from 'vitest';
import { benchIpvs } from './evaluate.bench.ts';

describe('benchIpvs', () => {
  it('runs at its smallest size, and both evaluators give one answer', async () => {
    const rows = await benchIpvs('smoke');
    expect(rows).toHaveLength(8);
    for (const row of rows) {
      expect(row.nsPerPacket).toBeGreaterThan(0);
      const twin = rows.find(
        (r) => r.name === row.name && r.services === row.services && r.evaluator !== row.evaluator,
      );
      expect(twin?.digest).toBe(row.digest);
    }
  });
});
