/**
 * The clients' resolvers: glibc's, without a memory of its own [resolv/res_query.c, res_send.c send_dg]. Each name of a look-up is asked
 * from a new socket, A and AAAA as two datagrams; the attempts for a name share it, and with it the flow that conntrack has of it, until
 * an ICMP error closes it. The queries are packets of the node like all others.
 */
import { nextStep, podSearchList, searchSteps, type SearchStep, type StepOutcome } from '../control/dns-search.ts';
import { plainName, type DnsAnswer, type DnsEndpoint, type DnsType, type DnsZone } from '../control/dns-zone.ts';
import { PRIORITY_TRAFFIC } from '../control/priorities.ts';
import type { ServicePort } from '../model/cluster.ts';
import { NS_PER_S, type SimTime } from '../model/time.ts';
import type { DnsSpec } from '../scenarios/spec.ts';
import { toDistribution } from '../scenarios/traffic.ts';
import type { Distribution } from '../sim/distributions.ts';
import type { EventHandle } from '../sim/event-queue.ts';
import { RandomStream, type Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { PodView } from './connection-fate.ts';
import { DnsCache } from './dns-cache.ts';
import type { DnsMeter } from './dns-meter.ts';
import { OUTSIDE_HOST, writtenName } from './dns-names.ts';
import type { DnsSocket, QueryLeg, QueryPath } from './dns-query-path.ts';

export interface NameRequest {
  /** Address of the pod that asks. */
  readonly client: number;
  readonly target: ServicePort;
  /** Not the connection's first look-up: its chance is apart from that of connections to come. */
  readonly again: boolean;
}

/** Where to connect to. `direct`: it is no address of a Service. */
export interface FoundAddress {
  readonly address: number;
  readonly port: number;
  readonly direct: boolean;
}

export interface DnsResolverOptions {
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly spec: DnsSpec;
  readonly zone: DnsZone;
  /** Ready endpoints of a service port as the server has them. */
  readonly endpointsOf: (servicePortId: number) => readonly DnsEndpoint[];
  readonly path: Pick<QueryPath, 'send' | 'reply' | 'settle'>;
  readonly pods: PodView;
  readonly meter: DnsMeter;
}

/** Linux' default net.ipv4.ip_local_port_range; a UDP socket's port is drawn from it [net/ipv4/udp.c udp_lib_get_port]. */
const FIRST_PORT = 32_768;
const PORTS = 28_232;
/** How a pair of queries is sent: at once; one after the other (RES_SNGLKUP); so, and from a socket each (RES_SNGLKUPREOP). */
const PARALLEL = 0;
const REOPENING = 2;

interface Lookup {
  readonly request: NameRequest;
  readonly found: (found: FoundAddress | undefined) => void;
  readonly begunNs: SimTime;
  /** This look-up's own chance, so that its length shifts nobody's numbers. */
  readonly stream: RandomStream;
  steps: readonly SearchStep[];
  types: readonly DnsType[];
  step: number;
  /** Of an SRV record that has been followed. */
  srvPort: number | undefined;
  /** By type; and which of them were not in the cache. */
  answers: (DnsAnswer | undefined)[];
  asked: readonly number[];
  attempt: number;
  mode: number;
  /** Some attempt for this name has timed out or got an answer, so that its end is no refusal. */
  gotSomewhere: boolean;
  socket: DnsSocket;
  timer: EventHandle | undefined;
}

export class DnsResolver {
  readonly #options: DnsResolverOptions;
  readonly #chance: RandomStream;
  readonly #chanceAgain: RandomStream;
  readonly #serverDelay: Distribution;
  readonly #upstreamDelay: Distribution;
  readonly #cache: DnsCache | undefined;
  readonly #addressTypes: readonly DnsType[];
  /** Ports of each client's open sockets. */
  readonly #portsOf = new Map<number, Set<number>>();

  constructor(options: DnsResolverOptions) {
    const { rng, spec } = options;
    this.#options = options;
    this.#chance = rng.stream('dns/look-ups');
    this.#chanceAgain = rng.stream('dns/repeated-look-ups');
    this.#serverDelay = toDistribution(spec.serverDelaySeconds);
    this.#upstreamDelay = toDistribution(spec.upstreamDelaySeconds);
    this.#cache = spec.cache === 'none' ? undefined : new DnsCache();
    this.#addressTypes = spec.aaaa ? ['A', 'AAAA'] : ['A'];
  }

  /** Looks the target's name up. `found` is called once: at once where a cache has the answer. */
  resolve(request: NameRequest, found: (found: FoundAddress | undefined) => void): void {
    const { spec, simulation, meter } = this.#options;
    const { target, client, again } = request;
    const chance = again ? this.#chanceAgain : this.#chance;
    if (!again) meter.connections++;
    const [a, b, c, d] = [chance.nextUint32(), chance.nextUint32(), chance.nextUint32(), chance.nextUint32()];
    const search = podSearchList(spec.clientNamespace ?? target.namespace, plainName(spec.clusterDomain), spec.search);
    this.#ask({
      request,
      found,
      begunNs: simulation.now,
      // The state of all zeros is the one that a stream may not have.
      stream: new RandomStream(a, b, c, d | 1),
      steps: searchSteps(writtenName(target, spec), search, spec.ndots),
      types: spec.name === 'srv' ? ['SRV'] : this.#addressTypes,
      step: 0,
      srvPort: undefined,
      answers: [],
      asked: [],
      attempt: 0,
      mode: PARALLEL,
      gotSomewhere: false,
      socket: { client, port: 0, isOpen: false },
      timer: undefined,
    });
  }

  /** Begins with the name of the present step: what the cache does not have is asked for from a new socket. */
  #ask(lookup: Lookup): void {
    const { name } = lookup.steps[lookup.step];
    const { now } = this.#options.simulation;
    lookup.answers = lookup.types.map((type) => this.#cache?.find(this.#cacheOf(lookup), name, type, now));
    lookup.asked = lookup.answers.flatMap((answer, type) => (answer === undefined ? [type] : []));
    if (lookup.asked.length === 0) return this.#answered(lookup);
    lookup.attempt = 0;
    lookup.mode = PARALLEL;
    lookup.gotSomewhere = false;
    if (this.#open(lookup)) this.#attempt(lookup);
    else this.#stepEnded(lookup, 'refused');
  }

  /** A new socket in place of the old one, from a port that no open socket of the client has; false when there is none. */
  #open(lookup: Lookup): boolean {
    this.#shut(lookup.socket);
    const { client } = lookup.request;
    const used = this.#portsOf.get(client) ?? new Set<number>();
    this.#portsOf.set(client, used);
    if (used.size === PORTS) return false;
    let port = FIRST_PORT + lookup.stream.below(PORTS);
    while (used.has(port)) port = FIRST_PORT + lookup.stream.below(PORTS);
    used.add(port);
    lookup.socket = { client, port, isOpen: true };
    return true;
  }

  #shut(socket: DnsSocket): void {
    if (socket.isOpen) this.#portsOf.get(socket.client)?.delete(socket.port);
    socket.isOpen = false;
  }

  #attempt(lookup: Lookup): void {
    const { simulation, spec } = this.#options;
    const until = simulation.now + spec.timeoutSeconds * NS_PER_S;
    lookup.timer = simulation.at(until, PRIORITY_TRAFFIC, () => this.#onTimeout(lookup));
    this.#send(lookup);
  }

  /** Asks for what is not answered yet, or for the next of it. */
  #send(lookup: Lookup): void {
    const { path, meter } = this.#options;
    const open = lookup.asked.filter((type) => lookup.answers[type] === undefined);
    let isRefused = false;
    for (const type of lookup.mode === PARALLEL ? open : open.slice(0, 1)) {
      meter.queries++;
      const leg = path.send(lookup.socket);
      if (leg.fate === 'arrived') this.#planReply(lookup, leg, type);
      isRefused ||= leg.fate === 'refused';
    }
    if (isRefused) this.#onRefused(lookup);
  }

  /** The server answers as it sees the cluster when the query comes in. */
  #planReply(lookup: Lookup, leg: QueryLeg, type: number): void {
    const { simulation, zone } = this.#options;
    const { socket } = lookup;
    const { name } = lookup.steps[lookup.step];
    const answer = zone.answer(name, lookup.types[type]);
    let seconds = this.#serverDelay.next(lookup.stream);
    if (answer.upstream) seconds += this.#upstreamDelay.next(lookup.stream);
    const at = simulation.now + Math.max(0, Math.round(seconds * NS_PER_S));
    simulation.at(at, PRIORITY_TRAFFIC, () => {
      // An answer to a closed socket goes its way all the same; nobody reads it.
      const arrived = this.#options.path.reply(socket, leg);
      if (arrived && socket.isOpen && lookup.answers[type] === undefined) this.#onAnswer(lookup, name, type, answer);
    });
  }

  #onAnswer(lookup: Lookup, name: string, type: number, answer: DnsAnswer): void {
    const { meter, simulation, spec } = this.#options;
    if (answer.code === 'NXDOMAIN') meter.nxdomainAnswers++;
    lookup.gotSomewhere = true;
    lookup.answers[type] = answer;
    const ttl = answer.upstream ? spec.externalTtlSeconds : spec.ttlSeconds;
    const until = simulation.now + ttl * NS_PER_S;
    this.#cache?.keep(this.#cacheOf(lookup), name, lookup.types[type], answer, until);
    if (lookup.answers.every((each) => each !== undefined)) {
      this.#close(lookup);
      this.#answered(lookup);
    } else if (lookup.mode !== PARALLEL) {
      if (lookup.mode === REOPENING) this.#open(lookup);
      this.#send(lookup);
    }
  }

  /** After one answer of two glibc asks for both again, one by one, which is no new attempt; the third time it takes what it has. */
  #onTimeout(lookup: Lookup): void {
    lookup.timer = undefined;
    this.#options.meter.timeouts++;
    const isHalf = lookup.asked.some((type) => lookup.answers[type] !== undefined);
    if (!isHalf) {
      lookup.gotSomewhere = true;
      return this.#attemptFailed(lookup);
    }
    if (lookup.mode === REOPENING) {
      this.#close(lookup);
      return this.#answered(lookup);
    }
    lookup.mode++;
    for (const type of lookup.asked) lookup.answers[type] = undefined;
    if (lookup.mode === REOPENING) this.#open(lookup);
    this.#attempt(lookup);
  }

  /** ECONNREFUSED closes the socket, so the next attempt is another flow. */
  #onRefused(lookup: Lookup): void {
    this.#stopTimer(lookup);
    for (const type of lookup.asked) lookup.answers[type] = undefined;
    this.#open(lookup);
    this.#attemptFailed(lookup);
  }

  #attemptFailed(lookup: Lookup): void {
    lookup.attempt++;
    if (lookup.attempt < this.#options.spec.attempts) return this.#attempt(lookup);
    this.#close(lookup);
    this.#stepEnded(lookup, lookup.gotSomewhere ? 'timeout' : 'refused');
  }

  #stepEnded(lookup: Lookup, outcome: StepOutcome): void {
    const next = nextStep(lookup.steps, lookup.step, outcome);
    if (next === undefined) return this.#end(lookup, undefined);
    lookup.step = next;
    this.#ask(lookup);
  }

  /** All answers to the present name are there, or all that will come. */
  #answered(lookup: Lookup): void {
    const records = lookup.answers.flatMap((answer) => answer?.records ?? []);
    const addresses = records.flatMap((record) => (record.type === 'A' ? [record.address] : []));
    const services = records.flatMap((record) => (record.type === 'SRV' ? [record] : []));
    if (addresses.length > 0) {
      // The first of an answer in random order [plugin/loadbalance]; what keeps answers turns them round as well.
      const address = addresses[lookup.stream.below(addresses.length)];
      return this.#end(lookup, this.#foundAt(lookup, address));
    }
    if (services.length === 0) return this.#stepEnded(lookup, 'none');
    const { target, port } = services[lookup.stream.below(services.length)];
    lookup.srvPort = port;
    lookup.steps = [{ name: target, asIs: true }];
    lookup.types = this.#addressTypes;
    lookup.step = 0;
    this.#ask(lookup);
  }

  /** A headless Service's clients know its pods' port: by an SRV record, or from whoever set them up. */
  #foundAt({ request, srvPort }: Lookup, address: number): FoundAddress {
    const { id, clusterIp, port, endpoints } = request.target;
    if (address === OUTSIDE_HOST) return { address, port, direct: true };
    if (clusterIp !== 0) return { address, port: srvPort ?? port, direct: false };
    const { meter, pods, path, endpointsOf } = this.#options;
    path.settle();
    if (pods.podCondition(address) !== 'serving') meter.staleAnswers++;
    const known = [...endpointsOf(id), ...endpoints];
    const own = known.find((endpoint) => endpoint.address === address) ?? known[0];
    return { address, port: srvPort ?? own?.port ?? port, direct: true };
  }

  #end(lookup: Lookup, found: FoundAddress | undefined): void {
    const { meter, simulation } = this.#options;
    meter.ended(simulation.now - lookup.begunNs);
    lookup.found(found);
  }

  #close(lookup: Lookup): void {
    this.#shut(lookup.socket);
    this.#stopTimer(lookup);
  }

  #stopTimer(lookup: Lookup): void {
    if (lookup.timer !== undefined) this.#options.simulation.cancel(lookup.timer);
    lookup.timer = undefined;
  }

  #cacheOf({ request }: Lookup): number {
    return this.#options.spec.cache === 'node' ? 0 : request.client;
  }
}
