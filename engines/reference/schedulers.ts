/** The fourteen IPVS schedulers, one object a virtual server (README 6.1 and 7.5; net/netfilter/ipvs/ip_vs_*.c). */
import type { RandomStream } from '../../sim/rng.ts';
import type { IpvsScheduler } from '../engine.ts';
import type { RealServer, VirtualServer } from './ipvs-servers.ts';
import { maglevRow, maglevTable } from './maglev.ts';
import { mark } from './marks.ts';
import { sameParty } from './packet.ts';
import type { Packet } from './packet.ts';

interface Pick {
  readonly server: RealServer | undefined;
  /** DESTINATIONS_EXAMINED */
  readonly examined: number;
}

export interface Scheduler {
  pick(virtual: VirtualServer, packet: Packet): Pick;
  /** Called before a server leaves the list. */
  removing(virtual: VirtualServer, server: RealServer): void;
  /** Called after an add, a removal or a change of weight. */
  listChanged(): void;
}

function overhead(server: RealServer): number {
  return server.active * 256 + server.inactive;
}

/** The usable server with the least load/weight, the earlier of equals; loads are compared by cross-multiplying. */
function least(
  servers: readonly RealServer[],
  load: (server: RealServer) => number,
  weighted: boolean,
): RealServer | undefined {
  let best: RealServer | undefined;
  for (const server of servers) {
    if (server.weight <= 0) continue;
    if (best === undefined) best = server;
    else if (weighted ? load(best) * server.weight > load(server) * best.weight : load(best) > load(server))
      best = server;
  }
  return best;
}

function stateless(pick: (servers: readonly RealServer[], packet: Packet) => Pick): Scheduler {
  return {
    pick: (virtual, packet) => pick(virtual.servers, packet),
    removing: () => undefined,
    listChanged: () => undefined,
  };
}

function wholeList(choose: (servers: readonly RealServer[]) => RealServer | undefined): Scheduler {
  return stateless((servers) => ({ server: choose(servers), examined: servers.length }));
}

class RoundRobin implements Scheduler {
  /** The server used last; undefined is the list's head. */
  #current: RealServer | undefined;

  pick(virtual: VirtualServer): Pick {
    const length = virtual.servers.length;
    const start = this.#current === undefined ? -1 : virtual.servers.indexOf(this.#current);
    for (let step = 1; step <= length; step++) {
      const server = virtual.servers[(start + step) % length];
      if (server.weight <= 0) continue;
      this.#current = server;
      return { server, examined: step };
    }
    return { server: undefined, examined: length };
  }

  removing(virtual: VirtualServer, server: RealServer): void {
    if (this.#current === server) this.#current = virtual.servers[virtual.servers.indexOf(server) - 1];
  }

  listChanged(): void {
    // A new server stands at the tail and is met in its turn.
  }
}

/** Weights are 0 or 1, so the kernel's current weight is always 1 and the walk is that of rr, begun anew after each change. */
class WeightedRoundRobin implements Scheduler {
  #current = -1;

  pick(virtual: VirtualServer): Pick {
    const { servers } = virtual;
    if (!servers.some((server) => server.weight > 0)) return { server: undefined, examined: 0 };
    for (let step = 1; ; step++) {
      const place = (this.#current + step) % servers.length;
      const server = servers[place];
      if (server.weight <= 0) continue;
      this.#current = place;
      return { server, examined: step };
    }
  }

  removing(): void {
    // listChanged follows.
  }

  listChanged(): void {
    this.#current = -1;
  }
}

function neverQueue(servers: readonly RealServer[]): Pick {
  const idle = servers.findIndex((server) => server.weight > 0 && server.active === 0);
  if (idle >= 0) return { server: servers[idle], examined: idle + 1 };
  return { server: least(servers, (server) => server.active + 1, true), examined: servers.length };
}

/** Top 8 bits of the product with the golden ratio [hash_32]; one bucket for each list element in turn. */
function hashed(servers: readonly RealServer[], address: number): Pick {
  const bucket = Math.imul(address, 0x61c88647) >>> 24;
  const server = servers[bucket % servers.length];
  return { server: server !== undefined && server.weight > 0 ? server : undefined, examined: 1 };
}

class Maglev implements Scheduler {
  #table: number[] | undefined;

  pick(virtual: VirtualServer, packet: Packet): Pick {
    this.#table ??= maglevTable(virtual.servers);
    const server = virtual.servers[this.#table[maglevRow(packet.src)] ?? -1];
    return { server: server !== undefined && server.weight > 0 ? server : undefined, examined: 1 };
  }

  removing(): void {
    // listChanged follows.
  }

  listChanged(): void {
    this.#table = undefined;
  }
}

/** The most overhead/weight, the earlier of equals. */
function most(servers: readonly RealServer[]): RealServer | undefined {
  let worst: RealServer | undefined;
  for (const server of servers) {
    if (server.weight <= 0) continue;
    if (worst === undefined || overhead(worst) * server.weight < overhead(server) * worst.weight) worst = server;
  }
  return worst;
}

function isOverloaded(server: RealServer, servers: readonly RealServer[]): boolean {
  return server.active > server.weight && servers.some((other) => other.active * 2 < other.weight);
}

const SET_LIFETIME_NS = 86400e9;

/** lblc and lblcr: one cache entry, a set of at most one server (lblc) or of many (lblcr), newest first. */
class LocalityBased implements Scheduler {
  readonly #replicated: boolean;
  /** Names by address and port; undefined before the first choice. */
  #set: RealServer[] | undefined;
  #changedAt = 0;

  constructor(replicated: boolean) {
    this.#replicated = replicated;
  }

  pick(virtual: VirtualServer, packet: Packet): Pick {
    const { servers } = virtual;
    const set = this.#set ?? [];
    const members: RealServer[] = [];
    for (const name of set) members.push(...servers.filter((server) => sameParty(server, name)));
    const best = least(members, overhead, true);
    if (this.#replicated && set.length > 1 && packet.time > this.#changedAt + SET_LIFETIME_NS) {
      const leaving = most(members);
      if (leaving !== undefined) {
        mark('lblcr set made smaller');
        this.#set = set.filter((name) => !sameParty(name, leaving));
        this.#changedAt = packet.time;
      }
    }
    if (best !== undefined && !isOverloaded(best, servers)) return { server: best, examined: set.length };
    if (best !== undefined) mark(this.#replicated ? 'lblcr set overloaded' : 'lblc server overloaded');
    const chosen = least(servers, overhead, true);
    if (chosen !== undefined) this.#remember(chosen, packet.time);
    return { server: chosen, examined: set.length + servers.length };
  }

  #remember(server: RealServer, now: number): void {
    const set = this.#replicated ? (this.#set ?? []) : [];
    if (set.some((name) => sameParty(name, server))) return;
    this.#set = [server, ...set];
    this.#changedAt = now;
  }

  removing(): void {
    // A name stays in the cache; it is unusable while no such server is in the list.
  }

  listChanged(): void {
    // See removing.
  }
}

function overflow(servers: readonly RealServer[]): RealServer | undefined {
  let best: RealServer | undefined;
  for (const server of servers) {
    if (server.weight <= 0 || server.active > server.weight) continue;
    if (best === undefined || server.weight > best.weight) best = server;
  }
  if (best === undefined && servers.length > 0) mark('ovf servers all full');
  return best;
}

function failOver(servers: readonly RealServer[]): RealServer | undefined {
  let best: RealServer | undefined;
  for (const server of servers) if (server.weight > (best?.weight ?? 0)) best = server;
  return best;
}

/** Two random choices, each by walking the list until the weights passed reach the number drawn. */
function twoChoices(servers: readonly RealServer[], stream: RandomStream): Pick {
  let total = 0;
  for (const server of servers) total += server.weight;
  if (total === 0) return { server: undefined, examined: servers.length };
  const draws = [stream.below(total + 1), stream.below(total + 1)];
  const choices: RealServer[] = [];
  let last = 0;
  for (const draw of draws) {
    let left = draw;
    const place = servers.findIndex((server) => {
      left -= server.weight;
      return server.weight > 0 && left <= 0;
    });
    choices.push(servers[place]);
    last = Math.max(last, place);
  }
  const [one, two] = choices as [RealServer, RealServer];
  const server = overhead(one) * two.weight > overhead(two) * one.weight ? two : one;
  return { server, examined: servers.length + last + 1 };
}

export function makeScheduler(name: IpvsScheduler, stream: RandomStream): Scheduler {
  switch (name) {
    case 'rr':
      return new RoundRobin();
    case 'wrr':
      return new WeightedRoundRobin();
    case 'lc':
      return wholeList((servers) => least(servers, overhead, false));
    case 'wlc':
      return wholeList((servers) => least(servers, overhead, true));
    case 'sed':
      return wholeList((servers) => least(servers, (server) => server.active + 1, true));
    case 'nq':
      return stateless(neverQueue);
    case 'sh':
      return stateless((servers, packet) => hashed(servers, packet.src.address));
    case 'dh':
      return stateless((servers, packet) => hashed(servers, packet.dst.address));
    case 'mh':
      return new Maglev();
    case 'lblc':
      return new LocalityBased(false);
    case 'lblcr':
      return new LocalityBased(true);
    case 'fo':
      return wholeList(failOver);
    case 'ovf':
      return wholeList(overflow);
    case 'twos':
      return stateless((servers) => twoChoices(servers, stream));
  }
}
