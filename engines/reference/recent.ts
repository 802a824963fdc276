/** The lists of `-m recent` as xt_recent.c keeps them (README 5). */
import { RECENT_LISTS_PASSED, RECENT_TESTS } from '../../model/counters.ts';
import { mark } from './marks.ts';
import type { Rule } from './netfilter.ts';
import { count } from './packet.ts';
import type { Work } from './packet.ts';

/** ip_list_tot */
const MOST_ENTRIES = 100;
const SECOND = 1e9;

interface RecentList {
  readonly name: string;
  /** Address to last stamp, the least recently stamped first. */
  readonly entries: Map<number, number>;
}

export class RecentLists {
  #lists: RecentList[] = [];

  /**
   * After a commit of the nat table. iptables-legacy hands the kernel the whole table with its user chains in byte order of
   * name, and the kernel makes a list when it first meets its name [recent_mt_check]; a list that no rule names any more goes
   * [recent_mt_destroy].
   */
  commit(nat: ReadonlyMap<string, readonly Rule[]>): void {
    const named = new Set<string>();
    for (const chain of [...nat.keys()].sort((a, b) => (a < b ? -1 : 1))) {
      for (const rule of nat.get(chain) ?? []) {
        for (const match of rule.matches) {
          if (match.kind !== 'recent set' && match.kind !== 'recent check') continue;
          named.add(match.list);
          if (this.#lists.some((list) => list.name === match.list)) continue;
          if (this.#lists.some((list) => list.name > match.list)) mark('recent list out of byte order');
          this.#lists.push({ name: match.list, entries: new Map() });
        }
      }
    }
    const gone = this.#lists.filter((list) => !named.has(list.name));
    if (gone.some((list) => list.entries.size > 0)) mark('recent list deleted with entries');
    this.#lists = this.#lists.filter((list) => named.has(list.name));
  }

  /** `--set`: always matches. */
  set(name: string, source: number, now: number, work: Work): true {
    const { entries } = this.#find(name, work);
    if (entries.has(source)) mark('recent entry stamped again');
    else if (entries.size >= MOST_ENTRIES) {
      mark('recent entry evicted');
      entries.delete(oldest(entries).address);
    }
    // A Map keeps the order of insertion: the newest stands last.
    entries.delete(source);
    entries.set(source, now);
    return true;
  }

  /** `--rcheck --seconds --reap` */
  check(name: string, seconds: number, source: number, now: number, work: Work): boolean {
    const { entries } = this.#find(name, work);
    const stamp = entries.get(source);
    if (stamp === undefined) {
      mark('recent miss');
      return false;
    }
    const matches = now - stamp <= seconds * SECOND;
    mark(matches ? 'recent hit' : 'recent entry too old');
    const old = oldest(entries);
    if (now - old.stamp > seconds * SECOND) {
      mark(old.address === source ? 'recent entry reaped' : 'recent entry of another source reaped');
      entries.delete(old.address);
    }
    return matches;
  }

  #find(name: string, work: Work): RecentList {
    const place = this.#lists.findIndex((list) => list.name === name);
    count(work, RECENT_TESTS);
    count(work, RECENT_LISTS_PASSED, place + 1);
    return this.#lists[place];
  }
}

function oldest(entries: ReadonlyMap<number, number>): { address: number; stamp: number } {
  const [[address, stamp]] = entries;
  return { address, stamp };
}
