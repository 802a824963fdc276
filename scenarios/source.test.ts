/** YAML as kubectl reads it. */
import { describe, expect, it } from 'vitest';
import { parseSource } from './source.ts';

describe('merge keys', () => {
  const text = [
    'base: &base { kind: Service, spec: { port: 80 } }',
    'one: { <<: *base, name: a }',
    'two: { name: b, <<: [*base, { kind: Pod, extra: 1 }], spec: null }',
  ].join('\n');

  it('take the keys of other mappings over; own keys and earlier mappings win', () => {
    const [{ data }] = parseSource(text, 'm.yaml');
    expect(data).toEqual({
      base: { kind: 'Service', spec: { port: 80 } },
      one: { kind: 'Service', spec: { port: 80 }, name: 'a' },
      two: { name: 'b', kind: 'Service', extra: 1, spec: null },
    });
  });

  it('have the place of the mapping that merges, for what came from elsewhere', () => {
    const [document] = parseSource(text, 'm.yaml');
    expect(document.position(['one', 'spec', 'port'])).toEqual({ file: 'm.yaml', line: 2, column: 6 });
    expect(document.position(['one', 'name'])).toEqual({ file: 'm.yaml', line: 2, column: 25 });
  });

  it('of something else than mappings are malformed, and many of them too much', () => {
    expect(() => parseSource('a: { <<: 5 }', 'm.yaml')).toThrow('Merge sources must be maps');
    const levels = ['a0: &a0 { k: 1 }'];
    for (let i = 1; i < 9; i++)
      levels.push(
        `a${i}: &a${i} { <<: [${Array(9)
          .fill(`*a${i - 1}`)
          .join(', ')}] }`,
      );
    expect(() => parseSource(levels.join('\n'), 'm.yaml')).toThrow('too many nodes');
  });
});
