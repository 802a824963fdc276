import { expect, it } from 'vitest';
import { assert } from './assert.ts';

it('throws its message when the condition is false, and narrows types', () => {
  const value: number | undefined = [1, 2].find((element) => element > 1);
  assert(value !== undefined, 'not reached');
  expect(value + 1).toBe(3);
  expect(() => assert(value > 5, `value is ${value}`)).toThrow('Assertion failed: value is 2');
});
