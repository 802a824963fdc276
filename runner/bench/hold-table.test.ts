import { readFileSync, statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { holdTable } from './hold-table.ts';

it('writes an increment a line, once', () => {
  const file = holdTable('half zero', Float64Array.of(0, 2 ** 40, 3));
  expect(readFileSync(file, 'utf8')).toBe('0\n1099511627776\n3\n');
  const { ino } = statSync(file);
  expect(holdTable('half zero', Float64Array.of(0, 2 ** 40, 3))).toBe(file);
  expect(statSync(file).ino).toBe(ino);
  expect(holdTable('half zero', Float64Array.of(0, 1))).not.toBe(file);
});
