import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { benchEventQueue } from './event-queue.bench.ts';
import { EventQueue } from './event-queue.ts';
import { Rng } from './rng.ts';

interface Entry {
  readonly time: number;
  readonly priority: number;
  readonly sequence: number;
  readonly kind: number;
  readonly payload: number;
  readonly handle: number;
}

/** The oracle: a sorted array, searched from its start. */
class SortedArray {
  readonly entries: Entry[] = [];

  insert(entry: Entry): void {
    const place = this.entries.findIndex((other) => comesBefore(entry, other));
    this.entries.splice(place < 0 ? this.entries.length : place, 0, entry);
  }

  remove(handle: number): boolean {
    const place = this.entries.findIndex((entry) => entry.handle === handle);
    if (place >= 0) this.entries.splice(place, 1);
    return place >= 0;
  }
}

function comesBefore(a: Entry, b: Entry): boolean {
  if (a.time !== b.time) return a.time < b.time;
  if (a.priority !== b.priority) return a.priority < b.priority;
  return a.sequence < b.sequence;
}

type Command =
  | { readonly op: 'push'; readonly time: number; readonly priority: number }
  | { readonly op: 'pop' }
  | { readonly op: 'cancel'; readonly index: number };

/** Few distinct times and priorities, so that most keys tie; or two far clusters, as timers beside packets. */
const manyTies = fc.integer({ min: 0, max: 5 });
const bimodal = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1e12, max: 1e12 + 50 }));
const anyTime = fc.double({ noNaN: true });

function commands(time: fc.Arbitrary<number>, pushes: number): fc.Arbitrary<Command[]> {
  return fc.array(
    fc.oneof(
      {
        weight: pushes,
        arbitrary: fc.record({
          op: fc.constant('push' as const),
          time,
          priority: fc.oneof(fc.integer({ min: -2, max: 2 }), fc.constantFrom(-2147483648, 2147483647)),
        }),
      },
      { weight: 3, arbitrary: fc.record({ op: fc.constant('pop' as const) }) },
      { weight: 3, arbitrary: fc.record({ op: fc.constant('cancel' as const), index: fc.nat() }) },
    ),
    { maxLength: 300, size: 'max' },
  );
}

function expectNext(queue: EventQueue, oracle: SortedArray): void {
  const entry = oracle.entries.shift();
  expect(queue.pop()).toBe(entry !== undefined);
  if (entry === undefined) return;
  const { time, priority, kind, payload } = entry;
  expect([queue.time, queue.priority, queue.kind, queue.payload]).toEqual([time, priority, kind, payload]);
  expect(queue.cancel(entry.handle)).toBe(false);
}

/** Replays commands on the queue and on the oracle, comparing after each. */
function replay(list: readonly Command[], capacity: number, lastGeneration?: number): void {
  const queue = new EventQueue(capacity, lastGeneration);
  const oracle = new SortedArray();
  const handles: number[] = [];
  for (const [sequence, command] of list.entries()) {
    if (command.op === 'push') {
      const { time, priority } = command;
      const kind = sequence % 7;
      const payload = sequence * 0.5;
      const handle = queue.push(time, priority, kind, payload);
      oracle.insert({ time, priority, sequence, kind, payload, handle });
      handles.push(handle);
      expect([queue.kindOf(handle), queue.payloadOf(handle)]).toEqual([kind, payload]);
    } else if (command.op === 'pop') {
      expectNext(queue, oracle);
    } else if (handles.length > 0) {
      // Any handle ever given, stale ones included.
      const handle = handles[command.index % handles.length];
      expect(queue.cancel(handle)).toBe(oracle.remove(handle));
      expect([queue.kindOf(handle), queue.payloadOf(handle)]).toEqual([-1, NaN]);
    }
    expect(queue.size).toBe(oracle.entries.length);
    expect(queue.peekTime()).toBe(oracle.entries[0]?.time ?? Infinity);
  }
  expect(new Set(handles).size).toBe(handles.length);
  while (oracle.entries.length > 0) expectNext(queue, oracle);
  expectNext(queue, oracle);
}

describe('EventQueue', () => {
  it.each([
    ['many equal keys', manyTies],
    ['two far clusters of times', bimodal],
    ['any time, infinite ones and -0 included', anyTime],
  ])('agrees with a sorted array: %s', (_, time) => {
    fc.assert(
      fc.property(commands(time, 8), fc.integer({ min: 1, max: 9 }), (list, capacity) => replay(list, capacity)),
      { numRuns: 150, seed: 1 },
    );
  });

  it('agrees with a sorted array while slots are used again and again, and given up', () => {
    fc.assert(
      fc.property(commands(manyTies, 5), fc.integer({ min: 1, max: 3 }), (list, last) => replay(list, 1, last)),
      { numRuns: 150, seed: 2 },
    );
  });

  it('keeps the order of pushes among ten thousand equal keys, after cancelling every third', () => {
    const queue = new EventQueue(1);
    const handles = Array.from({ length: 10_000 }, (_, i) => queue.push(5, 0, 0, i));
    for (let i = 0; i < handles.length; i += 3) expect(queue.cancel(handles[i])).toBe(true);
    for (let i = 0; i < handles.length; i++) {
      if (i % 3 === 0) continue;
      expect(queue.pop()).toBe(true);
      expect(queue.payload).toBe(i);
    }
    expect(queue.pop()).toBe(false);
  });

  it('sorts a large random load with cancellations', () => {
    const stream = new Rng(1).stream('queue');
    const queue = new EventQueue(4);
    const kept: number[] = [];
    for (let i = 0; i < 100_000; i++) {
      const time = stream.below(1_000_000);
      const handle = queue.push(time, 0, 0, 0);
      if (stream.below(4) === 0) queue.cancel(handle);
      else kept.push(time);
    }
    kept.sort((a, b) => a - b);
    for (const time of kept) {
      queue.pop();
      if (queue.time !== time) expect.fail(`${queue.time} came where ${time} was due`);
    }
    expect(queue.size).toBe(0);
  });

  it('never lets a stale handle reach a later event in the same slot', () => {
    const queue = new EventQueue();
    const first = queue.push(1, 0, 0, 1);
    queue.pop();
    const second = queue.push(2, 0, 0, 2);
    expect(second).not.toBe(first);
    expect(queue.cancel(first)).toBe(false);
    expect(queue.size).toBe(1);
    expect(queue.cancel(second)).toBe(true);
    expect(queue.cancel(second)).toBe(false);
    for (const made of [0, -1, 1, 0.5, NaN, Infinity, -Infinity, 2 ** 52]) expect(queue.cancel(made)).toBe(false);
  });

  it('leaves the fields of the last event alone until the next pop', () => {
    const queue = new EventQueue();
    queue.push(3, 1, 4, 15);
    queue.pop();
    queue.cancel(queue.push(1, 0, 9, 9));
    queue.push(2, 7, 8, 9);
    expect(queue.peekTime()).toBe(2);
    expect([queue.time, queue.priority, queue.kind, queue.payload]).toEqual([3, 1, 4, 15]);
  });

  it('refuses NaN, priorities that are no 32-bit integers and empty capacities', () => {
    const queue = new EventQueue();
    expect(() => queue.push(NaN, 0, 0, 0)).toThrow('NaN');
    expect(() => queue.push(0, 2147483648, 0, 0)).toThrow('2147483648');
    expect(() => queue.push(0, 0.5, 0, 0)).toThrow('0.5');
    expect(queue.size).toBe(0);
    expect(() => new EventQueue(0)).toThrow('got 0');
  });
});

describe('benchEventQueue', () => {
  it('runs its smoke size, and its answers are pinned', async () => {
    const rows = await benchEventQueue('smoke');
    expect(rows.map((row) => `${row.name} ${row.size} ${row.digest}`)).toEqual([
      'exponential 64 73065043827fb2df',
      'exponential 4096 a8d5159b826e0221',
      'packets beside timers 64 be0ccd7e31935baa',
      'packets beside timers 4096 b683495fed644719',
      'equal times 64 f713b3f64461f123',
      'equal times 4096 6684d91370a18279',
      'timers put off 64 6b1f248b1b781768',
      'timers put off 4096 f23d2890744b8c51',
    ]);
    for (const row of rows) expect(row.nsPerHold).toBeGreaterThan(0);
  });
});
