/** The map of elements against a plain statement of what kube-proxy does: each wish in turn is compared with what is there. */
import { describe, expect, it } from 'vitest';
import { Rng } from '../../sim/rng.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { ElementMap } from './element-map.ts';

interface Wish {
  readonly address: number;
  readonly service: number;
  readonly value: number;
}

/** nftElementStorage: `wishes` of all service ports by id. */
class PlainStorage {
  readonly present = new Map<string, { value: number; comment: string }>();
  readonly #verdict: (value: number) => number;

  constructor(verdict: (value: number) => number) {
    this.#verdict = verdict;
  }

  sync(wishes: ReadonlyMap<number, readonly Wish[]>): number {
    let operations = 0;
    const leftover = new Set(this.present.keys());
    const last = new Map<string, number>();
    for (const id of [...wishes.keys()].sort((a, b) => a - b)) {
      for (const { address, service, value } of wishes.get(id) ?? []) {
        const key = `${address} ${service}`;
        const there = this.present.get(key);
        leftover.delete(key);
        last.set(key, value);
        if (there !== undefined && this.#verdict(there.value) === this.#verdict(value)) continue;
        operations += there === undefined ? 1 : 2;
        this.present.set(key, { value, comment: comment(value) });
      }
    }
    for (const key of leftover) this.present.delete(key);
    // The rule belongs to the service port that was visited last.
    for (const [key, value] of last) this.present.set(key, { value, comment: this.present.get(key)?.comment ?? '' });
    return operations + leftover.size;
  }
}

/** Values are slot << 1 | verdict. */
function comment(value: number): string {
  return `slot ${value >> 1}`;
}

function randomWishes(stream: RandomStream, id: number, keys: number): Wish[] {
  return Array.from({ length: stream.below(4) }, () => ({
    address: stream.below(keys) - 3,
    service: stream.below(2),
    value: (id << 1) | stream.below(2),
  }));
}

describe('ElementMap', () => {
  for (const [what, mask, commented] of [
    ['verdicts are chains', -1, false],
    ['verdicts are drop and reject', 1, true],
    ['a set', 0, false],
  ] as const) {
    for (const keys of [3, 40, 200]) {
      it(`${what}, ${keys} addresses: elements, operations and comments of every sync`, () => {
        const stream = new Rng(keys).stream(what);
        const map = new ElementMap({ verdictMask: mask, commented });
        const plain = new PlainStorage((value) => value & mask);
        const wishes = new Map<number, Wish[]>();
        let keptComments = 0;
        for (let round = 0; round < 600; round++) {
          map.begin();
          for (let changes = stream.below(6); changes >= 0; changes--) {
            const id = stream.below(keys < 200 ? 12 : 100);
            for (const { address, service, value } of wishes.get(id) ?? []) map.release(address, service, value, id);
            wishes.set(id, randomWishes(stream, id, keys));
            for (const { address, service, value } of wishes.get(id) ?? []) map.claim(address, service, value, id);
          }
          const operations = plain.sync(wishes);
          expect(map.finish((slot) => `slot ${slot}`)).toBe(operations);
          expect(map.count).toBe(plain.present.size);
          const found: string[] = [];
          const expected: string[] = [];
          for (let address = -3; address < keys - 3; address++) {
            for (let service = 0; service < 2; service++) {
              const key = `${address} ${service}`;
              const there = plain.present.get(key);
              const value = map.find(address, service);
              if (there === undefined && value < 0) continue;
              const kept = map.keptComments.get(key)?.comment ?? comment(value);
              if (commented && kept !== comment(value)) keptComments++;
              found.push(`${key}: ${mask === 0 ? 'element' : value} ${commented ? kept : ''}`);
              expected.push(
                `${key}: ${mask === 0 ? 'element' : (there?.value ?? 'none')} ${commented ? (there?.comment ?? 'none') : ''}`,
              );
            }
          }
          expect(found).toEqual(expected);
        }
        if (commented && keys < 200) expect(keptComments).toBeGreaterThan(100);
      });
    }
  }
});
