import { describe, expect, it } from 'vitest';
import { benchNftables } from './evaluate.bench.ts';

describe('benchNftables', () => {
  it('runs at its smallest size, and gives the same answer again', async () => {
    const rows = await benchNftables('smoke');
    expect(rows).toHaveLength(6);
    for (const row of rows) expect(row.nsPerPacket).toBeGreaterThan(0);
    const digests = rows.map((row) => row.digest);
    expect(new Set(digests).size).toBe(6);
    expect((await benchNftables('smoke')).map((row) => row.digest)).toEqual(digests);
  });
});
