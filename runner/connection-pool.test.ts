import { expect, it } from 'vitest';
import { ConnectionPool } from './connection-pool.ts';

it('reuses slots, grows, and keeps the values of open connections', () => {
  const pool = new ConnectionPool(2);
  const slots = Array.from({ length: 5 }, (_, k) => {
    const slot = pool.open();
    pool.clientPort[slot] = 1000 + k;
    return slot;
  });
  expect(new Set(slots).size).toBe(5);
  expect(pool.size).toBe(5);
  expect(slots.map((slot) => pool.clientPort[slot])).toEqual([1000, 1001, 1002, 1003, 1004]);
  pool.close(slots[1]);
  expect(pool.size).toBe(4);
  expect(pool.open()).toBe(slots[1]);
});
