/** The ladder queue against sorting, over many distributions of increments: the order of pops is total and always the same. */
import { describe, expect, it } from 'vitest';
import { EventQueue } from './event-queue.ts';
import { HeapQueue } from './heap-queue.ts';
import { holdIncrements, INCREMENT_DISTRIBUTIONS } from './hold.bench.ts';
import { Rng } from './rng.ts';

interface Pending {
  readonly time: number;
  readonly priority: number;
  readonly sequence: number;
}

function before(a: Pending, b: Pending): number {
  return a.time - b.time || a.priority - b.priority || a.sequence - b.sequence;
}

describe('the order of events', () => {
  it.each(INCREMENT_DISTRIBUTIONS)('is that of a sorted list: %s', (distribution) => {
    const increments = holdIncrements(distribution);
    const stream = new Rng(7).stream(distribution);
    const queue = new EventQueue(16);
    const sorted: Pending[] = [];
    let sequence = 0;
    const push = (at: number): void => {
      const event = { time: at + increments[sequence & 8191], priority: stream.below(3), sequence };
      queue.push(event.time, event.priority, 0, sequence++);
      let low = 0;
      for (let high = sorted.length; low < high;) {
        const middle = (low + high) >> 1;
        if (before(sorted[middle], event) < 0) low = middle + 1;
        else high = middle;
      }
      sorted.splice(low, 0, event);
    };
    for (let i = 0; i < 3_000; i++) push(0);
    for (let i = 0; i < 30_000 && sorted.length > 0; i++) {
      const due = sorted.shift() as Pending;
      expect(queue.pop()).toBe(true);
      if (queue.payload !== due.sequence || queue.time !== due.time) {
        expect({ pop: i, payload: queue.payload, time: queue.time }).toEqual({
          pop: i,
          payload: due.sequence,
          time: due.time,
        });
      }
      // The number of events breathes, so that the queue is filled and drained through all of its parts.
      const more = i % 6_000 < 3_000 ? stream.below(3) : stream.below(2);
      for (let k = 0; k < more; k++) push(queue.time);
    }
    expect(queue.size).toBe(sorted.length);
  });

  it.each(INCREMENT_DISTRIBUTIONS)('is that of a plain heap where many events are cancelled: %s', (distribution) => {
    const increments = holdIncrements(distribution);
    const stream = new Rng(8).stream(distribution);
    const queues = [new EventQueue(16), new HeapQueue(16)];
    const handles = queues.map((): number[] => []);
    let pushed = 0;
    const push = (now: number): void => {
      const at = now + increments[pushed & 8191];
      const priority = stream.below(2);
      queues.forEach((queue, k) => handles[k].push(queue.push(at, priority, 0, pushed)));
      pushed++;
    };
    for (let i = 0; i < 5_000; i++) push(0);
    for (let i = 0; i < 20_000; i++) {
      const [popped, expected] = queues.map((queue) => [queue.pop(), queue.time, queue.payload, queue.size]);
      if (popped.some((value, k) => value !== expected[k])) expect(popped).toEqual(expected);
      push(queues[0].time);
      for (let k = stream.below(3); k > 0; k--) {
        const victim = stream.below(pushed);
        const [cancelled, wanted] = queues.map((queue, q) => queue.cancel(handles[q][victim]));
        if (cancelled !== wanted) expect(cancelled).toBe(wanted);
        if (cancelled) push(queues[0].time);
      }
    }
    expect(queues[0].size).toBe(queues[1].size);
  });
});
