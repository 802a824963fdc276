/** kube-proxy's side of IPVS mode: virtual and real servers, ipsets, addresses and graceful termination (README 6.2, 7.1). */
import type { ServicePort } from '../../model/cluster.ts';
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { World } from '../engine.ts';
import { originalDestinations, usableEndpoints } from './endpoints.ts';
import { ipvsChains, ipvsJumps, setChanges, wantedSets } from './ipvs-rules.ts';
import type { Sets } from './ipvs-rules.ts';
import { ServiceTable, Trash, virtualText } from './ipvs-servers.ts';
import type { RealServer, VirtualServer } from './ipvs-servers.ts';
import { mark } from './marks.ts';
import { countRules } from './netfilter.ts';
import type { Table } from './netfilter.ts';
import { sameParty } from './packet.ts';
import type { Party } from './packet.ts';
import { makeScheduler } from './schedulers.ts';

export class ReferenceIpvsProxy {
  readonly table = new ServiceTable();
  readonly nat: Table = new Map();
  readonly filter: Table = new Map();
  sets: Sets = new Map();
  /** Addresses on kube-ipvs0. */
  bound = new Set<number>();
  readonly #world: World;
  readonly #schedulerStream: RandomStream;
  readonly #trash = new Trash();
  #terminating: { virtual: VirtualServer; server: RealServer }[] = [];
  #requests = 0;

  constructor(world: World) {
    this.#world = world;
    this.#schedulerStream = world.rng.stream('scheduler');
  }

  get hasTerminating(): boolean {
    return this.#terminating.length > 0;
  }

  /** One sync over all services; `conntrackDeletes` is left to the caller. */
  program(services: readonly ServicePort[]): Omit<SyncReport, 'conntrackDeletes'> {
    const { node, options } = this.#world;
    this.#requests = 0;
    const wanted = new Set<string>();
    for (const svc of services) {
      for (const destination of originalDestinations(svc, node)) {
        wanted.add(virtualText(svc.protocol, destination));
        this.#syncServers(this.#virtualServer(svc, destination), usableEndpoints(svc, node));
      }
    }
    for (const virtual of this.table.all()) {
      if (!wanted.has(virtualText(virtual.protocol, virtual))) this.#deleteVirtual(virtual);
    }
    const before = this.sets;
    this.sets = wantedSets(services, node);
    const addressChanges = this.#bind(services);
    const input = ipvsChains(this.sets, node, options.masqueradeAll);
    const jumps = ipvsJumps();
    for (const [chain, rules] of [...jumps.nat, ...input.nat]) this.nat.set(chain, rules);
    for (const [chain, rules] of [...jumps.filter, ...input.filter]) this.filter.set(chain, rules);

    const tableRules = countRules(this.nat) + countRules(this.filter);
    let servers = 0;
    for (const virtual of this.table.all()) servers += 1 + virtual.servers.length;
    return {
      ...NO_SYNC_WORK,
      kind: 'full',
      servicePorts: services.length,
      changedServicePorts: services.length,
      rules: tableRules + servers,
      tableRules,
      restoreLines: 4 + input.nat.size + input.filter.size + countRules(input.nat) + countRules(input.filter),
      netlinkRequests: this.#requests,
      netlinkReads: 2 * wanted.size + 1,
      ipsetChanges: setChanges(before, this.sets),
      addressChanges,
      addressesBound: this.bound.size,
    };
  }

  #virtualServer(svc: ServicePort, destination: Party): VirtualServer {
    const { virtual } = this.table.find(svc.protocol, destination);
    if (virtual !== undefined) {
      virtual.servicePortId = svc.id;
      return virtual;
    }
    this.#requests++;
    const added: VirtualServer = {
      ...destination,
      protocol: svc.protocol,
      servicePortId: svc.id,
      servers: [],
      scheduler: makeScheduler(this.#world.options.ipvsScheduler, this.#schedulerStream),
    };
    this.table.add(added);
    return added;
  }

  #syncServers(virtual: VirtualServer, wanted: readonly Party[]): void {
    for (const party of wanted) {
      const server = virtual.servers.find((other) => sameParty(other, party));
      if (server !== undefined) {
        if (!this.#isTerminating(virtual, server)) continue;
        mark('server wanted again during termination');
        this.#deleteServer(virtual, server);
      }
      this.#requests++;
      this.#trash.addServer(virtual, party);
    }
    for (const server of [...virtual.servers]) {
      if (wanted.some((party) => sameParty(party, server)) || this.#isTerminating(virtual, server)) continue;
      if (virtual.protocol === 6 && server.active + server.inactive > 0) {
        mark('graceful termination');
        this.#requests++;
        server.weight = 0;
        virtual.scheduler.listChanged();
        this.#terminating.push({ virtual, server });
      } else {
        this.#deleteServer(virtual, server);
      }
    }
  }

  #isTerminating(virtual: VirtualServer, server: RealServer): boolean {
    return this.#terminating.some((item) => item.virtual === virtual && item.server === server);
  }

  #deleteServer(virtual: VirtualServer, server: RealServer): void {
    this.#requests++;
    this.#terminating = this.#terminating.filter((item) => item.server !== server);
    this.#trash.removeServer(virtual, server);
  }

  #deleteVirtual(virtual: VirtualServer): void {
    this.#requests++;
    this.#terminating = this.#terminating.filter((item) => item.virtual !== virtual);
    for (const server of [...virtual.servers]) this.#trash.removeServer(virtual, server);
    this.table.remove(virtual);
  }

  #bind(services: readonly ServicePort[]): number {
    const before = this.bound;
    this.bound = new Set(services.map((svc) => svc.clusterIp));
    let changes = 0;
    for (const address of before) if (!this.bound.has(address)) changes++;
    for (const address of this.bound) if (!before.has(address)) changes++;
    return changes;
  }

  /** The check of every 60 s: servers on the list that have no connection left are deleted. Says how many. */
  checkTerminating(): number {
    const done = this.#terminating.filter(({ server }) => server.active + server.inactive === 0);
    for (const { virtual, server } of done) this.#deleteServer(virtual, server);
    return done.length;
  }
}
