/** Rules that are inserted and removed, against a map. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { ChainIndex } from './chain-index.ts';

interface Destination {
  readonly protocol: number;
  readonly address: number;
  readonly port: number;
  readonly isAny: boolean;
}

const destination: fc.Arbitrary<Destination> = fc.record({
  protocol: fc.constantFrom(PROTOCOL_TCP, PROTOCOL_UDP),
  address: fc.constant(0),
  port: fc.nat(20),
  isAny: fc.boolean(),
});

describe('ChainIndex', () => {
  it('finds what was inserted and not removed since, by its slot and at the slot’s place', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(destination, fc.integer({ min: -3, max: 3 })), { maxLength: 200 }), (steps) => {
        const index = new ChainIndex(488);
        index.reset(0);
        index.hasAny = true;
        index.places = Int32Array.from({ length: 200 }, (_, slot) => 1000 - slot);
        const model = new Map<string, { readonly at: Destination; readonly slot: number }>();
        steps.forEach(([each, address], slot) => {
          const at = each.isAny ? each : { ...each, address };
          const key = JSON.stringify(at);
          const isKnown = model.has(key);
          if (isKnown && slot % 3 > 0) {
            index.remove(at.protocol, at.address, at.port, at.isAny);
            model.delete(key);
          } else {
            expect(index.insert(at.protocol, at.address, at.port, at.isAny, slot)).toBe(!isKnown);
            if (!isKnown) model.set(key, { at, slot });
          }
        });
        for (const { at, slot } of model.values()) {
          const rule = at.isAny ? index.findAny(at.protocol, at.port) : index.find(at.protocol, at.address, at.port);
          expect([index.value(rule), index.place(rule), index.next(rule)]).toEqual([slot, 1000 - slot, -1]);
        }
        for (const [each, address] of steps) {
          const at = each.isAny ? each : { ...each, address };
          if (model.has(JSON.stringify(at))) continue;
          expect(at.isAny ? index.findAny(at.protocol, at.port) : index.find(at.protocol, at.address, at.port)).toBe(
            -1,
          );
        }
      }),
      { numRuns: 300 },
    );
  });
});
