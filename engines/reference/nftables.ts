/** The oracle for nftables mode: the table as objects, walked as the kernel walks it (README 3, 4 and 9). */
import { CONNTRACK_INSERTS, NAT_SETUPS } from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { SimTime } from '../../model/time.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REPLY,
  REASON_CONNTRACK_FULL,
  REASON_INVALID,
  REASON_NONE,
  REASON_PORT_CLASH,
} from '../../model/verdict.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { inverse, ReferenceConntrack } from './conntrack.ts';
import type { Entry, Tuple } from './conntrack.ts';
import { mark } from './marks.ts';
import { markOccasions } from './nftables-marks.ts';
import { ReferenceNftablesProxy, serviceName } from './nftables-proxy.ts';
import type { BaseChain } from './nftables-table.ts';
import { NftWalk } from './nftables-walk.ts';
import type { Ruling, Surroundings } from './nftables-walk.ts';
import { count, forEachPacket, verdictOf } from './packet.ts';
import type { Packet, Party, Verdict, Work } from './packet.ts';
import { UdpCleanup } from './udp-cleanup.ts';

const LOOPBACK_NET = 0x7f;

/** What priority -100 does to a packet's destination: walk nat, put the flow's destination there, or nothing (INVALID). */
type Translation = 'walk' | { readonly to: Party } | 'none';

class ReferenceNftables implements Engine {
  readonly name = 'nftables';
  readonly supports: EngineManifest = {
    protocols: ['tcp', 'udp', 'sctp'],
    serviceTypes: ['ClusterIP', 'NodePort', 'LoadBalancer'],
    externalIps: true,
    sessionAffinity: true,
    trafficPolicyLocal: true,
    sourceRanges: true,
    ipFamilies: ['IPv4'],
    schedulers: [],
    partialSync: true,
  };
  readonly #world: World;
  readonly #conntrack: ReferenceConntrack;
  readonly #cleanup: UdpCleanup;
  readonly #proxy: ReferenceNftablesProxy;
  readonly #surroundings: Surroundings;
  #services = new Map<number, ServicePort>();
  #synced = false;

  constructor(world: World) {
    this.#world = world;
    this.#conntrack = new ReferenceConntrack(world.rng.stream('source-port'), world.options.conntrackMax);
    this.#cleanup = new UdpCleanup(world.options.kubeProxy.conntrackCleanup, world.node);
    this.#proxy = new ReferenceNftablesProxy(world);
    this.#surroundings = {
      table: this.#proxy.table,
      isLocal: (address) => this.#isLocal(address),
      numgen: world.rng.stream('numgen'),
    };
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    this.#services = new Map(state.servicePorts.map((svc) => [svc.id, svc]));
    this.#synced = true;
    return this.#program('full', undefined, this.#services.size, true, now);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#synced) throw new Error('The first call of a life must be sync.');
    const upsertedIds = new Set(delta.upserted.map((svc) => svc.id));
    const touched = [...upsertedIds, ...delta.removedIds].flatMap((id) => this.#services.get(id) ?? []);
    touched.push(...delta.upserted);
    for (const id of delta.removedIds) this.#services.delete(id);
    for (const svc of delta.upserted) this.#services.set(svc.id, svc);
    const udpChanged = [...delta.upserted, ...touched.filter((svc) => !upsertedIds.has(svc.id))].some(
      (svc) => svc.protocol === PROTOCOL_UDP,
    );
    return this.#program('partial', new Set(touched.map(serviceName)), upsertedIds.size, udpChanged, now);
  }

  #program(
    kind: 'full' | 'partial',
    changed: ReadonlySet<string> | undefined,
    changedServicePorts: number,
    udpCleanUpIsDue: boolean,
    now: SimTime,
  ): SyncReport {
    const services = [...this.#services.values()].sort((a, b) => a.id - b.id);
    const counts = this.#proxy.program(services, changed, now);
    return {
      ...NO_SYNC_WORK,
      ...counts,
      kind,
      servicePorts: services.length,
      changedServicePorts,
      conntrackDeletes: this.#cleanup.clean(services, udpCleanUpIsDue, this.#conntrack, now),
    };
  }

  advance(): void {
    // Flows and affinity expire when they are next looked at; stale chains wait for a sync.
  }

  nextTimer(): SimTime {
    return Infinity;
  }

  process(packets: PacketBatch, verdicts: VerdictBatch, work: Counters): void {
    forEachPacket(packets, verdicts, work, (packet, row) => this.#decide(packet, row));
  }

  #decide(packet: Packet, work: Work): Verdict {
    const received = this.#conntrack.receive(packet, work);
    if (received.kind === 'hit') return this.#known(packet, received.entry, received.isReply, work);
    if (received.kind === 'full') return verdictOf(packet, OUTCOME_DROP, REASON_CONNTRACK_FULL);
    markOccasions(packet, this.#world, [...this.#services.values()]);
    if (received.kind === 'new') return this.#creating(packet, received.tcpState, work);
    packet.state = 'INVALID';
    const ruling = this.#throughFilters(packet, 'none', work);
    if (ruling.kind === 'refuse') throw new Error('An INVALID packet is refused by no rule.');
    return verdictOf(packet, OUTCOME_ACCEPT, REASON_INVALID);
  }

  #known(packet: Packet, entry: Entry, isReply: boolean, work: Work): Verdict {
    const ofFlow = { masqueraded: entry.masqueraded, servicePortId: entry.servicePortId };
    packet.state = entry.replySeen ? 'ESTABLISHED' : 'NEW';
    const ruling = this.#throughFilters(packet, { to: isReply ? entry.original.src : entry.reply.src }, work);
    if (ruling.kind === 'refuse') {
      mark('a packet of a flow refused');
      return { ...refusal(packet, ruling, entry.servicePortId), masqueraded: entry.masqueraded };
    }
    if (isReply) {
      packet.src = entry.original.dst;
      const translated = entry.dnat || entry.masqueraded;
      return { ...verdictOf(packet, translated ? OUTCOME_REPLY : OUTCOME_ACCEPT, REASON_NONE), ...ofFlow };
    }
    if (this.#passesPostrouting(packet)) packet.src = entry.reply.dst;
    return { ...verdictOf(packet, entry.dnat ? OUTCOME_ENDPOINT : OUTCOME_ACCEPT, REASON_NONE), ...ofFlow };
  }

  #creating(packet: Packet, tcpState: string, work: Work): Verdict {
    const original: Tuple = { protocol: packet.protocol, src: packet.src, dst: packet.dst };
    const ruling = this.#throughFilters(packet, 'walk', work);
    const servicePortId = ruling.kind === 'dnat' ? ruling.servicePortId : -1;
    if (ruling.kind === 'refuse') return { ...refusal(packet, ruling, -1), first: true };
    const dnat = ruling.kind === 'dnat';
    const verdict = {
      ...verdictOf(packet, dnat ? OUTCOME_ENDPOINT : OUTCOME_ACCEPT, REASON_NONE),
      first: true,
      servicePortId,
    };
    let reply: Tuple | undefined = inverse({ ...original, dst: packet.dst });
    let masqueraded = false;
    if (this.#passesPostrouting(packet)) {
      masqueraded = this.#walkHook('postrouting', packet, 'walk', work).kind === 'masquerade';
      if (masqueraded) reply = { ...reply, dst: { address: this.#primaryAddress(), port: packet.src.port } };
      reply = this.#conntrack.uniqueReply(reply, packet.time, work, masqueraded);
      if (reply !== undefined && (masqueraded || reply.dst.port !== packet.src.port)) count(work, NAT_SETUPS);
    } else if (this.#conntrack.isUsed(reply, packet.time)) {
      mark('inverse tuple in use');
      reply = undefined;
    }
    if (reply === undefined) return { ...verdict, outcome: OUTCOME_DROP, reason: REASON_PORT_CLASH };

    count(work, CONNTRACK_INSERTS);
    this.#conntrack.confirm({ original, reply, tcpState, dnat, ipvs: false, masqueraded, servicePortId }, packet.time);
    return { ...verdict, masqueraded, src: reply.dst };
  }

  /** All hooks up to POSTROUTING, destination translation among them; says what nat decided unless a filter refused. */
  #throughFilters(packet: Packet, translation: Translation, work: Work): Ruling {
    const nat = this.#walkHook(packet.fromHost ? 'output' : 'prerouting', packet, translation, work);
    if (packet.fromHost || nat.kind === 'refuse') return nat;
    const hook = this.#isLocal(packet.dst.address) ? 'input' : 'forward';
    const filter = this.#walkHook(hook, packet, translation, work);
    if (filter.kind !== 'refuse') return nat;
    return withOwner(filter, nat);
  }

  /** The base chains of one hook by priority: filters for every packet, nat for those that create a flow. */
  #walkHook(hook: BaseChain['hook'], packet: Packet, translation: Translation, work: Work): Ruling {
    let nat: Ruling = { kind: 'accept' };
    for (const [name, base] of this.#baseChains(hook)) {
      const { type } = base;
      if (type === 'nat' && translation !== 'walk') {
        if (translation !== 'none') packet.dst = translation.to;
        continue;
      }
      const ruling = new NftWalk(name, base, packet, this.#surroundings, work).run();
      if (ruling.kind === 'refuse') return withOwner(ruling, nat);
      if (type === 'nat') nat = ruling;
      if (ruling.kind === 'dnat') {
        packet.dst = ruling.to;
        packet.dnat = true;
        count(work, NAT_SETUPS);
      }
    }
    return nat;
  }

  #baseChains(hook: BaseChain['hook']): [string, BaseChain][] {
    const ofHook: [string, BaseChain][] = [];
    for (const [name, { base }] of this.#proxy.table.chains) if (base?.hook === hook) ofHook.push([name, base]);
    return ofHook.sort(([, a], [, b]) => a.priority - b.priority);
  }

  #passesPostrouting(packet: Packet): boolean {
    return packet.fromHost || !this.#isLocal(packet.dst.address);
  }

  #isLocal(address: number): boolean {
    return address >>> 24 === LOOPBACK_NET || this.#world.node.addresses.includes(address);
  }

  #primaryAddress(): number {
    return this.#world.node.addresses[0];
  }

  dump(form: 'kernel' | 'restore'): string {
    const text = this.#proxy.table.text();
    return form === 'restore' ? text : `add table ip kube-proxy\ndelete table ip kube-proxy\n${text}`;
  }
}

/** A refusal that belongs to no service port is that of the flow's. */
function withOwner(refused: Extract<Ruling, { kind: 'refuse' }>, nat: Ruling): Ruling {
  if (refused.servicePortId >= 0 || nat.kind !== 'dnat') return refused;
  mark('refused after DNAT');
  return { ...refused, servicePortId: nat.servicePortId };
}

function refusal(packet: Packet, ruling: Extract<Ruling, { kind: 'refuse' }>, ofFlow: number): Verdict {
  const servicePortId = ruling.servicePortId >= 0 ? ruling.servicePortId : ofFlow;
  return { ...verdictOf(packet, ruling.outcome, ruling.reason), servicePortId };
}

export const referenceNftables: EngineFactory = (world) => new ReferenceNftables(world);
