import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packSlices } from './slice-packing.ts';
import type { Slice, SliceEndpoint } from './slice-packing.ts';

function endpointOf(address: number, ready = true): SliceEndpoint {
  return { address, nodeName: 'node-1', ready, serving: ready, terminating: false, changedAt: 0 };
}

function range(from: number, count: number): SliceEndpoint[] {
  return Array.from({ length: count }, (_, i) => endpointOf(from + i));
}

function sliceOf(id: number, endpoints: SliceEndpoint[]): Slice {
  return { id, portMap: 'p', endpoints };
}

/** The slices after the changes, new ones with ids from 100 up. */
function applied(slices: readonly Slice[], desired: readonly SliceEndpoint[], max: number): Slice[] {
  const { updates, creates, deletes } = packSlices(slices, desired, max);
  const kept = slices.filter((slice) => !deletes.includes(slice));
  const contents = kept.map((slice) => {
    const update = updates.find((each) => each.slice === slice);
    return sliceOf(slice.id, [...(update?.endpoints ?? slice.endpoints)]);
  });
  return [...contents, ...creates.map((endpoints, i) => sliceOf(100 + i, [...endpoints]))];
}

describe('packSlices', () => {
  it('makes slices of at most the maximum', () => {
    const { creates } = packSlices([], range(1, 250), 100);
    expect(creates.map((endpoints) => endpoints.length)).toEqual([100, 100, 50]);
  });

  it('rewrites one slice when one endpoint changes', () => {
    const slices = [sliceOf(1, range(1, 100)), sliceOf(2, range(101, 40))];
    const desired = range(1, 140).map((endpoint) => (endpoint.address === 7 ? endpointOf(7, false) : endpoint));
    const { updates, creates, deletes } = packSlices(slices, desired, 100);
    expect(updates.map(({ slice }) => slice.id)).toEqual([1]);
    expect(updates[0].endpoints[6]).toEqual(endpointOf(7, false));
    expect([creates, deletes]).toEqual([[], []]);
  });

  it('writes nothing when nothing changed but the time of the last change', () => {
    const slices = [sliceOf(1, range(1, 3))];
    const desired = range(1, 3).map((endpoint) => ({ ...endpoint, changedAt: 5 }));
    expect(packSlices(slices, desired, 100)).toEqual({ updates: [], creates: [], deletes: [] });
  });

  it('puts new endpoints into a slice that must be written anyway', () => {
    const slices = [sliceOf(1, range(1, 3)), sliceOf(2, range(11, 3))];
    const { updates, creates } = packSlices(slices, [...range(2, 2), ...range(11, 3), ...range(21, 4)], 10);
    expect(creates).toEqual([]);
    expect(updates.map(({ slice, endpoints }) => [slice.id, endpoints.length])).toEqual([[1, 6]]);
  });

  it('puts the rest into the one slice that it fills best, not into several', () => {
    const slices = [sliceOf(1, range(1, 2)), sliceOf(2, range(11, 6)), sliceOf(3, range(21, 9))];
    const base = slices.flatMap((slice) => slice.endpoints);
    expect(packSlices(slices, [...base, ...range(41, 4)], 10).updates.map(({ slice }) => slice.id)).toEqual([2]);
    // Ten new ones and two slices with five free places each: a new slice (KEP-752).
    const half = [sliceOf(1, range(1, 5)), sliceOf(2, range(11, 5))];
    const { updates, creates } = packSlices(half, [...range(1, 5), ...range(11, 5), ...range(41, 10)], 10);
    expect(updates).toEqual([]);
    expect(creates.map((endpoints) => endpoints.length)).toEqual([10]);
  });

  it('deletes a slice that lost its last endpoint and leaves the others part full', () => {
    const slices = [sliceOf(1, range(1, 2)), sliceOf(2, range(11, 2))];
    const { updates, deletes } = packSlices(slices, range(11, 1), 2);
    expect(deletes.map((slice) => slice.id)).toEqual([1]);
    expect(updates.map(({ slice, endpoints }) => [slice.id, endpoints.length])).toEqual([[2, 1]]);
  });

  it('always holds each desired endpoint once, as desired, and never too many in a slice', () => {
    const wanted = fc.uniqueArray(fc.record({ address: fc.integer({ min: 1, max: 30 }), ready: fc.boolean() }), {
      selector: (each) => each.address,
    });
    fc.assert(
      fc.property(fc.array(wanted, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 7 }), (rounds, max) => {
        let slices: Slice[] = [];
        for (const round of rounds) {
          const desired = round.map(({ address, ready }) => endpointOf(address, ready));
          slices = applied(slices, desired, max);
          expect(slices.every((slice) => slice.endpoints.length > 0 && slice.endpoints.length <= max)).toBe(true);
          const held = slices.flatMap((slice) => slice.endpoints).sort((a, b) => a.address - b.address);
          expect(held).toEqual([...desired].sort((a, b) => a.address - b.address));
        }
      }),
      { seed: 3, numRuns: 200 },
    );
  });
});
