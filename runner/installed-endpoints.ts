/** Which endpoints the rules of the observed node have led to, from sync to sync: those that have left, and those that stayed throughout. */
import type { SyncRequest } from '../control/proxier.ts';
import type { Endpoint, ServicePort } from '../model/cluster.ts';

const PORT_RANGE = 65_536;

function keyOf(address: number, port: number): number {
  return address * PORT_RANGE + port;
}

export class InstalledEndpoints {
  readonly #reachable: (svc: ServicePort) => readonly Endpoint[];
  #first: readonly ServicePort[] | undefined;
  /** The first ones by id, made when somebody asks: at the end of a trial. */
  #byId: Map<number, ServicePort> | undefined;
  /** Ports as the last sync wrote them; made at the second sync, since most trials have one. */
  #written: Map<number, ServicePort> | undefined;
  /** Service port -> endpoints that rules no longer lead to, and endpoints that came or left at some sync. */
  readonly #removed = new Map<number, Set<number>>();
  readonly #unsteady = new Map<number, Set<number>>();

  constructor(reachable: (svc: ServicePort) => readonly Endpoint[]) {
    this.#reachable = reachable;
  }

  /** A sync has written its rules. */
  commit({ kind, state, delta }: SyncRequest): void {
    if (this.#first === undefined) {
      this.#first = state.servicePorts;
      return;
    }
    this.#written ??= new Map(this.#first.map((svc) => [svc.id, svc]));
    // An object stays the same from state to state until something of it changes.
    for (const svc of kind === 'full' ? state.servicePorts : delta.upserted) this.#write(svc.id, svc);
    for (const id of delta.removedIds) this.#write(id, undefined);
  }

  isRemoved(servicePortId: number, address: number, port: number): boolean {
    // Asked for every packet of a client.
    if (this.#removed.size === 0) return false;
    return this.#removed.get(servicePortId)?.has(keyOf(address, port)) === true;
  }

  /** Endpoints of a service port that the rules of every sync led to, as numbers for `has`. */
  steadyEndpoints(servicePortId: number): Set<number> {
    this.#byId ??= new Map((this.#first ?? []).map((svc) => [svc.id, svc]));
    const svc = this.#byId.get(servicePortId);
    const unsteady = this.#unsteady.get(servicePortId);
    const keys = svc === undefined ? [] : this.#keys(svc);
    return new Set([...keys].filter((key) => unsteady?.has(key) !== true));
  }

  #write(id: number, svc: ServicePort | undefined): void {
    const written = this.#written as Map<number, ServicePort>;
    const before = written.get(id);
    if (before === svc) return;
    const had = before === undefined ? new Set<number>() : this.#keys(before);
    const has = svc === undefined ? new Set<number>() : this.#keys(svc);
    const removed = this.#removed.get(id) ?? new Set();
    const unsteady = this.#unsteady.get(id) ?? new Set();
    for (const key of had) {
      if (has.has(key)) continue;
      removed.add(key);
      unsteady.add(key);
    }
    for (const key of has) {
      if (had.has(key)) continue;
      removed.delete(key);
      unsteady.add(key);
    }
    this.#removed.set(id, removed);
    this.#unsteady.set(id, unsteady);
    if (svc === undefined) written.delete(id);
    else written.set(id, svc);
  }

  #keys(svc: ServicePort): Set<number> {
    return new Set(this.#reachable(svc).map((endpoint) => keyOf(endpoint.address, endpoint.port)));
  }
}
