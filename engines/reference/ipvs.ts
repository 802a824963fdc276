/** The oracle for IPVS mode: hooks, connections and schedulers as plain objects (README 6 and 7.4). */
import {
  CONNTRACK_INSERTS,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  NAT_SETUPS,
  SERVICE_CHAIN_ENTRIES,
} from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import type { ClusterDelta, ClusterState } from '../../model/cluster.ts';
import { TCP_ACK, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  OUTCOME_REPLY,
  REASON_CONNTRACK_FULL,
  REASON_INVALID,
  REASON_NO_ENDPOINTS,
  REASON_NONE,
  REASON_PORT_CLASH,
  REASON_SERVER_UNAVAILABLE,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { IPVS_SCHEDULERS } from '../engine.ts';
import { inverse, ReferenceConntrack } from './conntrack.ts';
import type { Tracked, Tuple } from './conntrack.ts';
import { KnownServices } from './endpoints.ts';
import { ConnectionTable } from './ipvs-connections.ts';
import type { Connection } from './ipvs-connections.ts';
import { ipvsText } from './ipvs-text.ts';
import { ReferenceIpvsProxy } from './ipvs-proxy.ts';
import { mark } from './marks.ts';
import { walk } from './netfilter.ts';
import type { Ruling, Surroundings, Table } from './netfilter.ts';
import { count, forEachPacket, verdictOf } from './packet.ts';
import type { Packet, Verdict, Work } from './packet.ts';
import { RecentLists } from './recent.ts';
import { UdpCleanup } from './udp-cleanup.ts';

const CHECK_PERIOD_NS = 60e9;
const LOOPBACK_NET = 0x7f;

/** What the IPVS hook made of a packet. */
type Handling =
  | { readonly kind: 'untouched' }
  | { readonly kind: 'reply'; readonly connection: Connection }
  | { readonly kind: 'request'; readonly connection: Connection }
  | { readonly kind: 'refused'; readonly verdict: Verdict };

type Path = 'INPUT' | 'FORWARD' | 'OUTPUT';

class ReferenceIpvs implements Engine {
  readonly name = 'ipvs';
  readonly supports: EngineManifest = {
    protocols: ['tcp', 'udp'],
    serviceTypes: ['ClusterIP', 'NodePort'],
    externalIps: false,
    sessionAffinity: false,
    trafficPolicyLocal: false,
    ipFamilies: ['IPv4'],
    schedulers: IPVS_SCHEDULERS,
    partialSync: false,
  };
  readonly #world: World;
  readonly #services: KnownServices;
  readonly #conntrack: ReferenceConntrack;
  readonly #cleanup: UdpCleanup;
  readonly #connections: ConnectionTable;
  readonly #proxy: ReferenceIpvsProxy;
  readonly #statistic;
  readonly #recent = new RecentLists();
  #synced = false;
  #latest: SimTime = 0;

  constructor(world: World) {
    this.#world = world;
    this.#services = new KnownServices(world.rng.stream('service-order'));
    this.#conntrack = new ReferenceConntrack(world.rng.stream('source-port'), world.options.conntrackMax);
    this.#cleanup = new UdpCleanup(world.options.kubeProxy.conntrackCleanup, world.node);
    const initval = world.rng.stream('connection-hash').nextUint32();
    this.#connections = new ConnectionTable(world.options.ipvsConnTabBits, initval);
    this.#proxy = new ReferenceIpvsProxy(world);
    this.#statistic = world.rng.stream('statistic');
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    this.advance(now);
    this.#services.replace(state);
    this.#synced = true;
    return this.#program(true, now);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#synced) throw new Error('The first call of a life must be sync.');
    this.advance(now);
    return this.#program(this.#services.change(delta), now);
  }

  #program(udpChanged: boolean, now: SimTime): SyncReport {
    const services = this.#services.inOrder();
    const report = this.#proxy.program(services);
    return { ...report, conntrackDeletes: this.#cleanup.clean(services, udpChanged, this.#conntrack, now) };
  }

  /** Lets time pass: at each instant connections expire first, then the list of terminating servers is checked. */
  advance(now: SimTime): void {
    while (this.#proxy.hasTerminating && this.#nextCheck() <= now) {
      const check = this.#nextCheck();
      this.#connections.expire(check);
      if (this.#proxy.checkTerminating() > 0) mark('terminated server deleted');
      this.#latest = check;
    }
    this.#connections.expire(now);
    this.#latest = now;
  }

  #nextCheck(): SimTime {
    return (Math.floor(this.#latest / CHECK_PERIOD_NS) + 1) * CHECK_PERIOD_NS;
  }

  nextTimer(): SimTime {
    return this.#proxy.hasTerminating ? this.#nextCheck() : Infinity;
  }

  process(packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void {
    forEachPacket(packets, verdicts, work, (packet, row) => {
      this.advance(packet.time);
      return this.#decide(packet, row);
    });
  }

  #decide(packet: Packet, work: Work): Verdict {
    const original: Tuple = { protocol: packet.protocol, src: packet.src, dst: packet.dst };
    const received = this.#conntrack.receive(packet, work);
    if (received.kind === 'full') return verdictOf(packet, OUTCOME_DROP, REASON_CONNTRACK_FULL);
    if (received.kind === 'invalid') packet.state = 'INVALID';
    if (received.kind === 'hit') {
      packet.state = received.entry.replySeen ? 'ESTABLISHED' : 'NEW';
      if (received.isReply) packet.dst = received.entry.original.src;
    }
    if (received.kind === 'new') this.#walk(this.#proxy.nat, packet.fromHost ? 'OUTPUT' : 'PREROUTING', packet, work);

    const path = this.#path(packet);
    if (path !== 'OUTPUT') {
      const ruling = this.#walk(this.#proxy.filter, path, packet, work);
      if (ruling.kind === 'reject') {
        return this.#ofFlow(verdictOf(packet, OUTCOME_REJECT, REASON_UNUSED_VIP_PORT), received);
      }
    }
    const handling = this.#ipvsHook(packet, path, received, work);
    if (handling.kind === 'refused') {
      const { servicePortId } = handling.verdict;
      return { ...this.#ofFlow(handling.verdict, received), servicePortId };
    }
    const asItCame = packet.src;
    if (handling.kind === 'request') packet.dst = { ...handling.connection.server };
    if (handling.kind === 'reply') packet.src = handling.connection.virtual;
    if (path === 'OUTPUT' || handling.kind === 'request') this.#walk(this.#proxy.filter, 'OUTPUT', packet, work);

    const passesPostrouting = path !== 'INPUT' || handling.kind === 'request';
    const verdict = this.#verdict(packet, handling, received, passesPostrouting);
    if (received.kind !== 'new') return verdict;
    const dst = handling.kind === 'request' ? packet.dst : original.dst;
    const wanted = inverse({ protocol: packet.protocol, src: asItCame, dst });
    const isRequest = handling.kind === 'request';
    return this.#confirm(packet, { original, wanted, passesPostrouting, isRequest }, received.tcpState, verdict, work);
  }

  /** The verdict before source translation of a new flow. */
  #verdict(packet: Packet, handling: Handling, received: Tracked, passesPostrouting: boolean): Verdict {
    const entry = received.kind === 'hit' ? received.entry : undefined;
    if (received.kind === 'hit' && received.isReply && (received.entry.ipvs || handling.kind === 'untouched')) {
      packet.src = received.entry.original.dst;
      const translated = received.entry.ipvs || received.entry.masqueraded;
      return this.#ofFlow(verdictOf(packet, translated ? OUTCOME_REPLY : OUTCOME_ACCEPT, REASON_NONE), received);
    }
    if (handling.kind === 'reply') {
      const verdict = this.#ofFlow(verdictOf(packet, OUTCOME_REPLY, REASON_NONE), received);
      return { ...verdict, servicePortId: handling.connection.servicePortId };
    }
    if (entry !== undefined && passesPostrouting) packet.src = entry.reply.dst;
    if (handling.kind === 'request') {
      const verdict = this.#ofFlow(verdictOf(packet, OUTCOME_ENDPOINT, REASON_NONE), received);
      return { ...verdict, servicePortId: handling.connection.servicePortId };
    }
    const reason = received.kind === 'invalid' ? REASON_INVALID : REASON_NONE;
    return this.#ofFlow(verdictOf(packet, OUTCOME_ACCEPT, reason), received);
  }

  #ofFlow(verdict: Verdict, received: Tracked): Verdict {
    if (received.kind === 'new') return { ...verdict, first: true };
    if (received.kind === 'invalid') return verdict;
    const { masqueraded, servicePortId } = received.entry;
    return { ...verdict, masqueraded, servicePortId };
  }

  /** Source translation and confirmation of a new flow. */
  #confirm(
    packet: Packet,
    flow: { original: Tuple; wanted: Tuple; passesPostrouting: boolean; isRequest: boolean },
    tcpState: string,
    verdict: Verdict,
    work: Work,
  ): Verdict {
    let reply: Tuple | undefined = flow.wanted;
    let masqueraded = false;
    if (flow.passesPostrouting) {
      const ruling = this.#walk(this.#proxy.nat, 'POSTROUTING', packet, work);
      masqueraded = ruling.kind === 'masquerade';
      const randomFully = ruling.kind === 'masquerade' && ruling.randomFully;
      const address = masqueraded ? (this.#world.node.addresses[0] ?? 0) : reply.dst.address;
      const wanted = { ...reply, dst: { ...reply.dst, address } };
      reply = this.#conntrack.uniqueReply(wanted, packet.time, work, randomFully);
      if (reply !== undefined && (masqueraded || reply.dst.port !== flow.original.src.port)) count(work, NAT_SETUPS);
    } else if (this.#conntrack.isUsed(reply, packet.time)) {
      mark('inverse tuple in use');
      reply = undefined;
    }
    if (reply === undefined) {
      return { ...verdict, outcome: OUTCOME_DROP, reason: REASON_PORT_CLASH, src: flow.original.src };
    }
    count(work, CONNTRACK_INSERTS);
    const { servicePortId } = verdict;
    this.#conntrack.confirm(
      { original: flow.original, reply, tcpState, dnat: false, ipvs: flow.isRequest, masqueraded, servicePortId },
      packet.time,
    );
    if (verdict.outcome === OUTCOME_REPLY) return { ...verdict, masqueraded };
    return { ...verdict, masqueraded, src: reply.dst };
  }

  #ipvsHook(packet: Packet, path: Path, received: Tracked, work: Work): Handling {
    const answered = this.#connections.findReply(packet, work);
    if (answered !== undefined) {
      mark(
        `reply found for ${received.kind === 'hit' ? (received.isReply ? 'reply' : 'original') : received.kind} on ${path}`,
      );
      if (answered.server.deleted) mark('reply of a deleted server');
      this.#connections.move(answered, packet, 'out');
      return { kind: 'reply', connection: answered };
    }
    if (path === 'FORWARD' || (received.kind === 'hit' && received.isReply)) return { kind: 'untouched' };
    let connection = this.#connections.findRequest(packet, work);
    if (connection !== undefined && this.#isReuse(packet, connection)) {
      mark(connection.state === 'TW' ? 'connection reused in TIME_WAIT' : 'connection reused at weight 0');
      this.#connections.remove(connection);
      connection = undefined;
    }
    if (connection === undefined) {
      const handling = this.#schedule(packet, work);
      if (handling.kind === 'request') mark(`connection made for ${received.kind}`);
      return handling;
    }
    if (connection.server.deleted) {
      mark('server unavailable');
      this.#connections.remove(connection);
      const verdict = verdictOf(packet, OUTCOME_DROP, REASON_SERVER_UNAVAILABLE);
      return { kind: 'refused', verdict: { ...verdict, servicePortId: connection.servicePortId } };
    }
    mark(`connection found for ${received.kind}`);
    this.#connections.move(connection, packet, 'in');
    return { kind: 'request', connection };
  }

  /** conn_reuse_mode 1: a SYN that finds an old connection in TIME_WAIT, or one to a server of weight 0. */
  #isReuse(packet: Packet, connection: Connection): boolean {
    if (packet.protocol !== PROTOCOL_TCP) return false;
    if ((packet.flags & TCP_SYN) === 0 || (packet.flags & TCP_ACK) !== 0) return false;
    return connection.state === 'TW' || connection.server.weight === 0;
  }

  /** [ip_vs_service_find, ip_vs_schedule] */
  #schedule(packet: Packet, work: Work): Handling {
    const opens = (packet.flags & TCP_SYN) !== 0 && (packet.flags & TCP_RST) === 0;
    if (packet.protocol === PROTOCOL_TCP && !opens) return { kind: 'untouched' };
    count(work, HASH_PROBES);
    const { virtual, passed } = this.#proxy.table.find(packet.protocol, packet.dst);
    count(work, SERVICE_CHAIN_ENTRIES, passed);
    if (virtual === undefined) return { kind: 'untouched' };
    const { server, examined } = virtual.scheduler.pick(virtual, packet);
    count(work, DESTINATIONS_EXAMINED, examined);
    if (server === undefined) {
      const verdict = verdictOf(packet, OUTCOME_REJECT, REASON_NO_ENDPOINTS);
      return { kind: 'refused', verdict: { ...verdict, servicePortId: virtual.servicePortId } };
    }
    const connection = this.#connections.add(packet, virtual, server, work);
    count(work, NAT_SETUPS);
    this.#connections.move(connection, packet, 'in');
    return { kind: 'request', connection };
  }

  #path(packet: Packet): Path {
    if (packet.fromHost) return 'OUTPUT';
    return this.#isLocal(packet.dst.address) ? 'INPUT' : 'FORWARD';
  }

  #isLocal(address: number): boolean {
    return (
      address >>> 24 === LOOPBACK_NET || this.#world.node.addresses.includes(address) || this.#proxy.bound.has(address)
    );
  }

  #walk(table: Table, hook: string, packet: Packet, work: Work): Ruling {
    const surroundings: Surroundings = {
      isLocal: (address) => this.#isLocal(address),
      sets: this.#proxy.sets,
      statistic: this.#statistic,
      recent: this.#recent,
      serviceChains: new Set(),
    };
    return walk(table, hook, packet, surroundings, work);
  }

  dump(form: 'kernel' | 'restore'): string {
    return ipvsText(this.#proxy, this.#world, form);
  }
}

export const referenceIpvs: EngineFactory = (world) => new ReferenceIpvs(world);
