import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exponential } from './distributions.ts';
import { Rng } from './rng.ts';
import { Simulation } from './simulation.ts';

describe('order of events', () => {
  it('is by time, then priority, then order of scheduling, handlers and closures alike', () => {
    const simulation = new Simulation();
    const seen: string[] = [];
    const kind = simulation.on((payload) => seen.push(`h${payload}`));
    simulation.schedule(20, 0, kind, 1);
    simulation.at(10, 5, () => seen.push('c2'));
    simulation.schedule(10, 5, kind, 3);
    simulation.at(10, -5, () => seen.push('c4'));
    simulation.schedule(10, 5, kind, 5);
    simulation.at(20, 0, () => seen.push('c6'));
    simulation.runToEnd();
    expect(seen).toEqual(['c4', 'c2', 'h3', 'h5', 'h1', 'c6']);
    expect(simulation.now).toBe(20);
  });

  it('holds for events scheduled for the present instant by a handler', () => {
    const simulation = new Simulation();
    const seen: string[] = [];
    simulation.at(7, 1, () => {
      seen.push('first');
      simulation.at(7, 2, () => seen.push('late'));
      simulation.at(7, 0, () => seen.push('urgent'));
      simulation.at(7, 1, () => seen.push('same'));
    });
    simulation.at(7, 1, () => seen.push('second'));
    simulation.runToEnd();
    expect(seen).toEqual(['first', 'urgent', 'second', 'same', 'late']);
  });

  it('agrees with a stable sort, whatever is cancelled', () => {
    const event = fc.record({
      time: fc.nat({ max: 9 }),
      priority: fc.integer({ min: -1, max: 1 }),
      cancelled: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.boolean()), { maxLength: 80 }), (list) => {
        const simulation = new Simulation();
        const seen: number[] = [];
        const kind = simulation.on((payload) => seen.push(payload));
        const handles = list.map(([{ time, priority }, closure], i) =>
          closure ? simulation.at(time, priority, () => seen.push(i)) : simulation.schedule(time, priority, kind, i),
        );
        for (const [i, [{ cancelled }]] of list.entries()) {
          if (!cancelled) continue;
          expect(simulation.cancel(handles[i])).toBe(true);
          expect(simulation.cancel(handles[i])).toBe(false);
        }
        simulation.runToEnd();
        const expected = list
          .map(([entry], i) => ({ ...entry, i }))
          .filter((entry) => !entry.cancelled)
          .sort((a, b) => a.time - b.time || a.priority - b.priority || a.i - b.i);
        expect(seen).toEqual(expected.map((entry) => entry.i));
      }),
      { seed: 1 },
    );
  });
});

it('beforeCallback runs before each closure, at its time, and not before handlers', () => {
  const simulation = new Simulation();
  const seen: string[] = [];
  const kind = simulation.on(() => seen.push('handler'));
  simulation.beforeCallback = () => seen.push(`settle ${simulation.now}`);
  simulation.schedule(1, 0, kind);
  simulation.at(2, 0, () => seen.push('closure'));
  simulation.runToEnd();
  expect(seen).toEqual(['handler', 'settle 2', 'closure']);
});

describe('time', () => {
  it('is that of the event while its handler runs', () => {
    const simulation = new Simulation();
    const times: number[] = [];
    const kind = simulation.on((left) => {
      times.push(simulation.now);
      if (left > 0) simulation.schedule(simulation.now + left, 0, kind, left - 1);
    });
    expect(simulation.nextTime()).toBe(Infinity);
    simulation.schedule(5, 0, kind, 3);
    expect(simulation.nextTime()).toBe(5);
    expect(simulation.now).toBe(0);
    simulation.runToEnd();
    expect(times).toEqual([5, 8, 10, 11]);
  });

  it('runUntil takes every event up to and at its time, then goes on from there', () => {
    const simulation = new Simulation();
    const seen: number[] = [];
    const tick = (): void => {
      seen.push(simulation.now);
      simulation.at(simulation.now + 10, 0, tick);
    };
    simulation.at(10, 0, tick);
    simulation.runUntil(30);
    expect(seen).toEqual([10, 20, 30]);
    expect([simulation.now, simulation.nextTime(), simulation.pending]).toEqual([30, 40, 1]);
    simulation.runUntil(35);
    simulation.runUntil(35);
    expect([simulation.now, seen.length]).toEqual([35, 3]);
    simulation.runUntil(40);
    expect(seen).toEqual([10, 20, 30, 40]);
  });

  it('step takes one event', () => {
    const simulation = new Simulation();
    let count = 0;
    simulation.at(1, 0, () => count++);
    simulation.at(1, 0, () => count++);
    expect([simulation.step(), count, simulation.step(), count, simulation.step()]).toEqual([true, 1, true, 2, false]);
  });

  it('goes on after a handler has thrown', () => {
    const simulation = new Simulation();
    let count = 0;
    simulation.at(1, 0, () => {
      throw new Error('broken');
    });
    simulation.at(2, 0, () => count++);
    expect(() => simulation.runToEnd()).toThrow('broken');
    expect(simulation.now).toBe(1);
    simulation.runToEnd();
    expect(count).toBe(1);
  });
});

describe('refusals', () => {
  it('names both times when an event is in the past', () => {
    const simulation = new Simulation();
    const kind = simulation.on(() => undefined);
    simulation.runUntil(100);
    expect(() => simulation.schedule(99, 0, kind)).toThrow('event at 99 ns is before now, 100 ns');
    expect(() => simulation.at(99, 0, () => undefined)).toThrow('event at 99 ns is before now, 100 ns');
    expect(() => simulation.runUntil(99)).toThrow('cannot run until 99 ns: now is 100 ns');
    expect(simulation.pending).toBe(0);
    simulation.schedule(100, 0, kind);
    expect(simulation.pending).toBe(1);
  });

  it.each([NaN, 0.5, Infinity, 2 ** 53])('refuses the time %s', (time) => {
    const simulation = new Simulation();
    const kind = simulation.on(() => undefined);
    expect(() => simulation.schedule(time, 0, kind)).toThrow(`event at ${time} ns`);
    expect(() => simulation.runUntil(time)).toThrow(`cannot run until ${time} ns`);
  });

  it('refuses a kind without a handler', () => {
    expect(() => new Simulation().schedule(1, 0, 1)).toThrow('kind 1 has no handler');
    expect(() => new Simulation().schedule(1, 0, -1)).toThrow('kind -1 has no handler');
  });

  it('refuses a run inside a run', () => {
    const simulation = new Simulation();
    simulation.at(1, 0, () => simulation.runUntil(50));
    expect(() => simulation.runToEnd()).toThrow('a handler may not run the simulation');
    expect(simulation.now).toBe(1);
  });
});

describe('cancel', () => {
  it('takes an event back from inside another of the same instant', () => {
    const simulation = new Simulation();
    const seen: string[] = [];
    const victim = simulation.at(5, 1, () => seen.push('victim'));
    simulation.at(5, 0, () => seen.push(`cancel ${simulation.cancel(victim)}`));
    simulation.runToEnd();
    expect(seen).toEqual(['cancel true']);
  });

  it('is harmless after the event has run, though its places have been used again', () => {
    const simulation = new Simulation();
    const seen: string[] = [];
    const stale = simulation.at(1, 0, () => seen.push('a'));
    simulation.runToEnd();
    simulation.at(2, 0, () => seen.push('b'));
    expect(simulation.cancel(stale)).toBe(false);
    simulation.runToEnd();
    expect(seen).toEqual(['a', 'b']);
  });

  it('lets a closure cancel itself in vain and set itself again', () => {
    const simulation = new Simulation();
    const seen: (number | boolean)[] = [];
    let handle = 0;
    const again = (): void => {
      seen.push(simulation.now, simulation.cancel(handle));
      if (simulation.now < 3) handle = simulation.at(simulation.now + 1, 0, again);
    };
    handle = simulation.at(1, 0, again);
    simulation.runToEnd();
    expect(seen).toEqual([1, false, 2, false, 3, false]);
  });

  it('takes 0 for no event', () => {
    const simulation = new Simulation();
    simulation.at(1, 0, () => undefined);
    expect(simulation.cancel(0)).toBe(false);
    expect(simulation.pending).toBe(1);
  });
});

describe('a queue with one server', () => {
  /** M/M/1: Poisson arrivals, exponential service. Returns the mean number in the system over time. */
  function meanInSystem(load: number, seed: number): number {
    const simulation = new Simulation();
    const rng = new Rng(seed);
    const arrivals = rng.stream('arrivals');
    const services = rng.stream('services');
    const gap = exponential(1e6 / load);
    const service = exponential(1e6);
    let inSystem = 0;
    let area = 0;
    let since = 0;
    const change = (by: number): void => {
      area += inSystem * (simulation.now - since);
      since = simulation.now;
      inSystem += by;
    };
    const departure = simulation.on(() => {
      change(-1);
      if (inSystem > 0) simulation.schedule(simulation.now + Math.floor(service.next(services)), 0, departure);
    });
    const arrival = simulation.on((left) => {
      change(1);
      if (inSystem === 1) simulation.schedule(simulation.now + Math.floor(service.next(services)), 0, departure);
      if (left > 0) simulation.schedule(simulation.now + Math.floor(gap.next(arrivals)), 0, arrival, left - 1);
    });
    simulation.schedule(0, 0, arrival, 200_000);
    simulation.runToEnd();
    return area / simulation.now;
  }

  it('holds as many as theory says, load / (1 - load)', () => {
    expect(Math.abs(meanInSystem(0.3, 1) / (0.3 / 0.7) - 1)).toBeLessThan(0.03);
    expect(Math.abs(meanInSystem(0.7, 1) / (0.7 / 0.3) - 1)).toBeLessThan(0.06);
  });

  it('gives the same answer for the same seed, and another for another', () => {
    expect(meanInSystem(0.5, 1)).toBe(meanInSystem(0.5, 1));
    expect(meanInSystem(0.5, 1)).not.toBe(meanInSystem(0.5, 2));
  });
});
