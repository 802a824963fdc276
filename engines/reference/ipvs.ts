/** The oracle for IPVS mode: a packet's way through the hooks, and the engine around it, as plain objects (README 6 and 7.4). */
import { CONNTRACK_INSERTS, NAT_SETUPS } from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import type { ClusterDelta, ClusterState } from '../../model/cluster.ts';
import type { PacketBatch } from '../../model/packet.ts';
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
  REASON_NONE,
  REASON_PORT_CLASH,
  REASON_SOURCE_RANGE,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { IPVS_SCHEDULERS } from '../engine.ts';
import { inverse, ReferenceConntrack } from './conntrack.ts';
import type { Tracked, Tuple } from './conntrack.ts';
import { KnownServices } from './endpoints.ts';
import { ConnectionTable } from './ipvs-connections.ts';
import { IpvsHooks } from './ipvs-hooks.ts';
import type { Handling, Path } from './ipvs-hooks.ts';
import { ipvsText } from './ipvs-text.ts';
import { ReferenceIpvsProxy } from './ipvs-proxy.ts';
import { mark } from './marks.ts';
import { walk } from './netfilter.ts';
import type { IpvsMatch, Ruling, Surroundings, Table } from './netfilter.ts';
import { count, forEachPacket, sameParty, verdictOf } from './packet.ts';
import type { Packet, Verdict, Work } from './packet.ts';
import { RecentLists } from './recent.ts';
import { UdpCleanup } from './udp-cleanup.ts';

const CHECK_PERIOD_NS = 60e9;
const LOOPBACK_NET = 0x7f;

class ReferenceIpvs implements Engine {
  readonly name = 'ipvs';
  readonly supports: EngineManifest = {
    protocols: ['tcp', 'udp', 'sctp'],
    serviceTypes: ['ClusterIP', 'NodePort', 'LoadBalancer'],
    externalIps: true,
    sessionAffinity: true,
    trafficPolicyLocal: true,
    sourceRanges: true,
    ipFamilies: ['IPv4'],
    schedulers: IPVS_SCHEDULERS,
    partialSync: false,
  };
  readonly #world: World;
  readonly #services: KnownServices;
  readonly #conntrack: ReferenceConntrack;
  readonly #cleanup: UdpCleanup;
  readonly #connections: ConnectionTable;
  readonly #hooks: IpvsHooks;
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
    this.#hooks = new IpvsHooks(this.#proxy.table, this.#connections, world.options);
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
      if (ruling.kind === 'drop') {
        mark(`source range refused for ${received.kind} on ${path}`);
        const { virtual } = this.#proxy.table.find(packet.protocol, packet.dst);
        return this.#outOfRange(packet, received, virtual?.servicePortId ?? -1);
      }
    }
    const handling = this.#hooks.handle(packet, path, received, work);
    if (handling.kind === 'refused') {
      if (handling.forgetsFlow === true && received.kind === 'hit') this.#conntrack.delete(received.entry);
      const { servicePortId } = handling.verdict;
      return { ...this.#ofFlow(handling.verdict, received), servicePortId };
    }
    const asItCame = packet.src;
    if (handling.kind === 'request') packet.dst = { ...handling.connection.server };
    if (handling.kind === 'reply') packet.src = handling.connection.virtual;
    if (path === 'OUTPUT' || handling.kind === 'request') {
      const ruling = this.#walk(this.#proxy.filter, 'OUTPUT', packet, work, handling.kind !== 'untouched');
      if (ruling.kind === 'drop') {
        mark(`out-filter drop of a ${handling.kind}`);
        return this.#outOfRange(packet, received, ruling.servicePortId);
      }
    }

    const passesPostrouting = path !== 'INPUT' || handling.kind === 'request';
    const verdict = this.#verdict(packet, handling, received, passesPostrouting);
    if (received.kind !== 'new') return verdict;
    const dst = handling.kind === 'request' ? packet.dst : original.dst;
    const wanted = inverse({ protocol: packet.protocol, src: asItCame, dst });
    const isRequest = handling.kind === 'request';
    return this.#confirm(packet, { original, wanted, passesPostrouting, isRequest }, received.tcpState, verdict, work);
  }

  /** Addresses as the hook saw them. */
  #outOfRange(packet: Packet, received: Tracked, servicePortId: number): Verdict {
    const verdict = this.#ofFlow(verdictOf(packet, OUTCOME_DROP, REASON_SOURCE_RANGE), received);
    return { ...verdict, servicePortId };
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

  #path(packet: Packet): Path {
    if (packet.fromHost) return 'OUTPUT';
    return this.#isLocal(packet.dst.address) ? 'INPUT' : 'FORWARD';
  }

  #isLocal(address: number): boolean {
    return (
      address >>> 24 === LOOPBACK_NET || this.#world.node.addresses.includes(address) || this.#proxy.bound.has(address)
    );
  }

  #isOfVirtual({ virtual, protocol }: IpvsMatch, packet: Packet, work: Work): boolean {
    if (packet.protocol !== protocol) return false;
    const connection = this.#connections.findTranslated(packet, work);
    if (connection === undefined) return false;
    if (!sameParty(connection.virtual, virtual)) mark('out-filter finds another connection');
    return sameParty(connection.virtual, virtual);
  }

  /** `isTaken`: IPVS has translated the packet [skb->ipvs_property]. */
  #walk(table: Table, hook: string, packet: Packet, work: Work, isTaken = false): Ruling {
    const surroundings: Surroundings = {
      isLocal: (address) => this.#isLocal(address),
      sets: this.#proxy.sets.byName,
      isOfVirtual: (match, seen, row) => isTaken && this.#isOfVirtual(match, seen, row),
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
