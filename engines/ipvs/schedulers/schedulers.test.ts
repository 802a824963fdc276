/** Each scheduler on small lists, with picks worked out by hand from the kernel's code. */
import { describe, expect, it } from 'vitest';
import { PROTOCOL_TCP } from '../../../model/protocol.ts';
import { NS_PER_S } from '../../../model/time.ts';
import { Rng } from '../../../sim/rng.ts';
import type { IpvsScheduler } from '../../engine.ts';
import { hash32 } from '../hashes.ts';
import { RealServers } from '../real-servers.ts';
import { NONE, ServiceTable } from '../service-table.ts';
import { createScheduler } from './create.ts';
import type { Maglev } from './maglev.ts';
import { MAGLEV_TABLE_SIZE } from './maglev.ts';
import type { Scheduler } from './scheduler.ts';

const VIP = 0xac140001;
const CLIENT = 0x0a090001;

/** One virtual server with real servers A, B, C, ... of the given weights. */
class Lab {
  readonly servers = new RealServers(new ServiceTable());
  readonly scheduler: Scheduler;
  readonly service: number;
  readonly slots: number[] = [];

  constructor(name: IpvsScheduler, weights: readonly number[], seed = 1) {
    this.scheduler = createScheduler(name, this.servers, new Rng(seed));
    this.service = this.servers.services.add(PROTOCOL_TCP, VIP, 80, 0);
    this.scheduler.serviceAdded?.(this.service);
    for (const weight of weights) this.add(weight);
  }

  add(weight: number): void {
    const slot = this.servers.append(this.service, 0x0a000001 + this.slots.length, 8080, weight);
    this.slots.push(slot);
    this.scheduler.listChanged?.(this.service);
  }

  slot(letter: string): number {
    return this.slots[letter.charCodeAt(0) - 65];
  }

  remove(letter: string): void {
    this.scheduler.serverRemoved?.(this.service, this.slot(letter));
    this.servers.remove(this.slot(letter));
    this.scheduler.listChanged?.(this.service);
  }

  setWeight(letter: string, weight: number): void {
    this.servers.setWeight(this.slot(letter), weight);
    this.scheduler.listChanged?.(this.service);
  }

  load(letter: string, active: number, inactive = 0): void {
    this.servers.active[this.slot(letter)] = active;
    this.servers.inactive[this.slot(letter)] = inactive;
  }

  /** The letter of the pick, or '-', and the number of list elements looked at. */
  pick(source = CLIENT, sourcePort = 1, now = 0): string {
    const slot = this.scheduler.schedule(this.service, source, sourcePort, VIP, now);
    const letter = slot === NONE ? '-' : String.fromCharCode(65 + this.slots.indexOf(slot));
    return `${letter}${this.scheduler.examined}`;
  }

  /** Letters alone. */
  picks(count: number): string {
    return Array.from({ length: count }, () => this.pick().charAt(0)).join('');
  }
}

describe('rr', () => {
  it('goes round, passing weight 0, and counts the elements stepped over', () => {
    const lab = new Lab('rr', [1, 0, 1, 1]);
    expect([lab.pick(), lab.pick(), lab.pick(), lab.pick()]).toEqual(['A1', 'C2', 'D1', 'A1']);
  });

  it('finds the pointed server again after a full turn', () => {
    const lab = new Lab('rr', [0, 1, 0]);
    // From the head: A, B. Then C, and from the head A, B.
    expect([lab.pick(), lab.pick()]).toEqual(['B2', 'B3']);
  });

  it('steps back when the pointed server is deleted', () => {
    const lab = new Lab('rr', [1, 1, 1]);
    expect(lab.picks(2)).toBe('AB');
    lab.remove('B');
    expect(lab.picks(2)).toBe('CA');
    lab.remove('A');
    // Back to the list head: the first element is C.
    expect(lab.pick()).toBe('C1');
  });

  it('has nothing when the list is empty or all weights are 0', () => {
    expect(new Lab('rr', []).pick()).toBe('-0');
    const lab = new Lab('rr', [1, 1]);
    expect(lab.pick()).toBe('A1');
    lab.setWeight('A', 0);
    lab.setWeight('B', 0);
    expect(lab.pick()).toBe('-2');
  });
});

describe('wrr', () => {
  it('interleaves weights 4, 3, 2 as AABABCABC, here from the last pass on', () => {
    // Adding them one by one leaves cw at 1, so the first turn is ABC.
    expect(new Lab('wrr', [4, 3, 2]).picks(12)).toBe('ABC' + 'AABABCABC');
  });

  it('is rr with weights of 1, and starts over after a change', () => {
    const lab = new Lab('wrr', [1, 1, 1]);
    expect([lab.pick(), lab.pick(), lab.pick(), lab.pick()]).toEqual(['A1', 'B1', 'C1', 'A1']);
    lab.setWeight('B', 0);
    expect(lab.picks(3)).toBe('ACA');
  });

  it('looks at nothing when all weights are 0', () => {
    const lab = new Lab('wrr', [1, 1]);
    lab.setWeight('A', 0);
    lab.setWeight('B', 0);
    expect(lab.pick()).toBe('-0');
    lab.setWeight('B', 1);
    expect(lab.pick()).toBe('B2');
  });

  it('steps down by the greatest common divisor', () => {
    // 6 and 4: di 2, mw 6 - 1 = 5. Adding left cw at 1: AB, then cw 5: A, 3: AB, 1: AB.
    expect(new Lab('wrr', [6, 4]).picks(7)).toBe('AB' + 'A' + 'AB' + 'AB');
  });
});

describe('lc, wlc, sed, nq', () => {
  it('lc takes the least active * 256 + inactive, the earlier of equals, whatever the weight', () => {
    const lab = new Lab('lc', [1, 9, 0, 1]);
    lab.load('A', 1, 0);
    lab.load('B', 0, 255);
    lab.load('D', 0, 255);
    expect(lab.pick()).toBe('B4');
    lab.load('B', 0, 256);
    expect(lab.pick()).toBe('D4');
    lab.load('D', 1, 1);
    expect(lab.pick()).toBe('A4');
  });

  it('wlc divides by the weight', () => {
    const lab = new Lab('wlc', [1, 3]);
    lab.load('A', 1);
    lab.load('B', 3);
    // 256 / 1 against 768 / 3: equal, the earlier stays.
    expect(lab.pick()).toBe('A2');
    lab.load('B', 2, 255);
    expect(lab.pick()).toBe('B2');
    lab.setWeight('B', 0);
    expect(lab.pick()).toBe('A2');
  });

  it('sed counts the new connection and leaves inactive ones out', () => {
    const lab = new Lab('sed', [1, 2]);
    // (0 + 1) / 1 against (0 + 1) / 2.
    expect(lab.pick()).toBe('B2');
    lab.load('A', 0, 1000);
    lab.load('B', 1);
    // 1 / 1 against 2 / 2.
    expect(lab.pick()).toBe('A2');
  });

  it('nq takes the first idle server at once, else it is sed', () => {
    const lab = new Lab('nq', [1, 0, 1, 5]);
    lab.load('A', 1);
    expect(lab.pick()).toBe('C3');
    lab.load('C', 1);
    lab.load('D', 4);
    // 2 / 1, 2 / 1, 5 / 5.
    expect(lab.pick()).toBe('D4');
  });

  it('have nothing without usable servers', () => {
    for (const name of ['lc', 'wlc', 'sed', 'nq'] as const) {
      expect(new Lab(name, []).pick()).toBe('-0');
      expect(new Lab(name, [0, 0]).pick()).toBe('-2');
    }
  });
});

describe('sh and dh', () => {
  it('sh depends on the source address alone', () => {
    const lab = new Lab('sh', [1, 1, 1]);
    for (let k = 0; k < 200; k++) {
      const source = CLIENT + k * 977;
      expect(lab.pick(source, k)).toBe(`${'ABC'.charAt(hash32(source, 8) % 3)}1`);
    }
  });

  it('sh gives a server `weight` buckets in a row', () => {
    const lab = new Lab('sh', [3, 1]);
    for (let k = 0; k < 100; k++) expect(lab.pick(CLIENT + k)).toBe(`${'AAAB'.charAt(hash32(CLIENT + k, 8) % 4)}1`);
  });

  it('dh is constant for one VIP', () => {
    const lab = new Lab('dh', [1, 1, 1]);
    const expected = `${'ABC'.charAt(hash32(VIP, 8) % 3)}1`;
    for (let k = 0; k < 50; k++) expect(lab.pick(CLIENT + k, k)).toBe(expected);
  });

  it('a bucket of weight 0 has no server, and the others keep theirs', () => {
    const lab = new Lab('sh', [1, 1, 1]);
    lab.setWeight('B', 0);
    for (let k = 0; k < 100; k++) expect(lab.pick(CLIENT + k)).toBe(`${'A-C'.charAt(hash32(CLIENT + k, 8) % 3)}1`);
    expect(new Lab('dh', []).pick()).toBe('-1');
  });
});

describe('mh', () => {
  it('fills its table evenly, by turns', () => {
    const lab = new Lab('mh', [1, 1, 1, 1, 1]);
    lab.pick();
    const counts = [...(lab.scheduler as Maglev).tableCounts(lab.service).values()];
    expect(counts.reduce((sum, n) => sum + n, 0)).toBe(MAGLEV_TABLE_SIZE);
    // 4093 = 5 * 818 + 3.
    expect(counts.sort((a, b) => a - b)).toEqual([818, 818, 819, 819, 819]);
  });

  it('follows weights and keeps most places when a server goes', () => {
    const lab = new Lab('mh', [2, 1, 1]);
    const before = Array.from({ length: 2000 }, (_, k) => lab.pick(CLIENT, k).charAt(0));
    expect(before.filter((letter) => letter === 'A').length).toBeGreaterThan(900);
    expect(before.filter((letter) => letter === 'A').length).toBeLessThan(1100);
    lab.remove('C');
    const after = Array.from({ length: 2000 }, (_, k) => lab.pick(CLIENT, k).charAt(0));
    const moved = after.filter((letter, k) => before[k] !== 'C' && before[k] !== letter).length;
    expect(after).not.toContain('C');
    expect(moved).toBeLessThan(200);
  });

  it('keeps the places of a server that drains: its clients get none', () => {
    const lab = new Lab('mh', [1, 1]);
    const before = Array.from({ length: 300 }, (_, k) => lab.pick(CLIENT, k));
    lab.setWeight('A', 0);
    const after = Array.from({ length: 300 }, (_, k) => lab.pick(CLIENT, k));
    expect(after).toEqual(before.map((pick) => pick.replace('A', '-')));
    expect(new Lab('mh', []).pick()).toBe('-1');
  });

  it('builds a table once a change, and only for virtual servers that are asked', () => {
    const lab = new Lab('mh', [1, 1]);
    const maglev = lab.scheduler as Maglev;
    expect(maglev.populatedCount).toBe(0);
    lab.picks(10);
    lab.add(1);
    lab.picks(10);
    expect(maglev.populatedCount).toBe(2);
  });
});

describe('lblc', () => {
  it('stays until the server is overloaded while another is idle', () => {
    const lab = new Lab('lblc', [1, 1]);
    // No entry: the wlc walk alone. Then the cached server.
    expect(lab.pick()).toBe('A2');
    lab.load('A', 1);
    expect(lab.pick()).toBe('A1');
    lab.load('A', 2);
    expect(lab.pick()).toBe('B3');
    lab.load('B', 2);
    // Overloaded, but nobody is less than half full.
    expect(lab.pick()).toBe('B1');
  });

  it('looks anew while its server is gone or drains, and has it again when it returns', () => {
    const lab = new Lab('lblc', [1, 1]);
    expect(lab.pick()).toBe('A2');
    lab.setWeight('A', 0);
    expect(lab.pick()).toBe('B3');
    lab.setWeight('B', 0);
    expect(lab.pick()).toBe('-3');
    lab.remove('B');
    expect(lab.pick()).toBe('-2');
    const slot = lab.servers.append(lab.service, 0x0a000002, 8080, 1);
    expect(slot).toBe(lab.slot('B'));
    expect(lab.pick()).toBe('B1');
  });
});

describe('lblcr', () => {
  it('widens the set when it is overloaded, and takes its least loaded', () => {
    const lab = new Lab('lblcr', [1, 1, 1]);
    expect(lab.pick()).toBe('A3');
    expect(lab.pick()).toBe('A1');
    lab.load('A', 2);
    expect(lab.pick()).toBe('B4');
    lab.load('B', 2);
    // Set B, A: both loads 512, the newest member first; C is idle, so B is overloaded.
    expect(lab.pick()).toBe('C5');
    lab.load('A', 0);
    lab.load('C', 1);
    expect(lab.pick()).toBe('A3');
  });

  it('drops the most loaded member after a day without change, once a look-up', () => {
    const day = 24 * 3600 * NS_PER_S;
    const lab = new Lab('lblcr', [1, 1]);
    expect(lab.pick()).toBe('A2');
    lab.load('A', 2);
    expect(lab.pick()).toBe('B3');
    lab.load('B', 1);
    expect(lab.pick(CLIENT, 1, day)).toBe('B2');
    expect(lab.pick(CLIENT, 1, day + 1)).toBe('B2');
    // A has left the set.
    expect(lab.pick(CLIENT, 1, day + 2)).toBe('B1');
  });
});

describe('fo and ovf', () => {
  it('fo takes the highest weight, the first of equals', () => {
    expect(new Lab('fo', [0, 1, 1]).picks(3)).toBe('BBB');
    expect(new Lab('fo', [1, 5, 5]).pick()).toBe('B3');
    expect(new Lab('fo', [0]).pick()).toBe('-1');
  });

  it('ovf passes over a server with more active connections than its weight', () => {
    const lab = new Lab('ovf', [1, 1]);
    lab.load('A', 1);
    expect(lab.pick()).toBe('A2');
    lab.load('A', 2);
    expect(lab.pick()).toBe('B2');
    lab.load('B', 2);
    expect(lab.pick()).toBe('-2');
  });
});

describe('twos', () => {
  it('favours the first server by the inclusive draw: 2 of 3 with two of weight 1', () => {
    const lab = new Lab('twos', [1, 1]);
    const n = 9000;
    const first = lab.picks(n).split('A').length - 1;
    // Standard deviation of a count of 9000 with p = 2/3 is 45.
    expect(Math.abs(first - 6000)).toBeLessThan(180);
  });

  it('takes the second choice when that one is less loaded', () => {
    const lab = new Lab('twos', [1, 1]);
    lab.load('A', 1);
    const n = 9000;
    const busy = lab.picks(n).split('A').length - 1;
    // A only when both draws say A: 4/9.
    expect(Math.abs(busy - 4000)).toBeLessThan(190);
  });

  it('counts both walks, and draws nothing when no weight is above 0', () => {
    const lab = new Lab('twos', [0, 0, 1]);
    expect(lab.pick()).toBe('C6');
    lab.setWeight('C', 0);
    expect(lab.pick()).toBe('-3');
    const used = new Rng(1).stream('scheduler');
    used.below(2);
    used.below(2);
    lab.setWeight('A', 1);
    lab.setWeight('C', 1);
    const [r1, r2] = [used.below(3), used.below(3)];
    expect(lab.pick()).toBe(r1 <= 1 ? (r2 <= 1 ? 'A4' : 'A6') : 'C6');
  });
});
