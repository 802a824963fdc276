/** The oracle for iptables mode: rules as objects, walked as the kernel walks them (README 3 to 5). */
import { CONNTRACK_INSERTS, NAT_SETUPS } from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import type { ClusterDelta, ClusterState, ServicePort } from '../../model/cluster.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
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
  REASON_NO_LOCAL_ENDPOINTS,
  REASON_NONE,
  REASON_PORT_CLASH,
  REASON_SOURCE_RANGE,
} from '../../model/verdict.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { inverse, ReferenceConntrack } from './conntrack.ts';
import type { Entry, Tuple } from './conntrack.ts';
import { distinctEndpoints, KnownServices } from './endpoints.ts';
import { writeRestore } from './iptables-restore.ts';
import { builtInJumps } from './iptables-rules.ts';
import type { WriteOptions } from './iptables-rules.ts';
import { usedChains } from './iptables-service-rules.ts';
import { mark } from './marks.ts';
import { countRules, walk } from './netfilter.ts';
import type { Ruling, Surroundings, Table } from './netfilter.ts';
import { count, forEachPacket, verdictOf } from './packet.ts';
import type { Packet, Verdict, Work } from './packet.ts';
import { RecentLists } from './recent.ts';
import { isBuiltIn, tablesText } from './restore-text.ts';
import { UdpCleanup } from './udp-cleanup.ts';

const CLEAN_UP_PERIOD_NS = 30e9;
const LOOPBACK_NET = 0x7f;
const SERVICE_CHAINS = ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-EXTERNAL-SERVICES', 'KUBE-PROXY-FIREWALL'];

class ReferenceIptables implements Engine {
  readonly name = 'iptables';
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
  readonly #services: KnownServices;
  readonly #conntrack: ReferenceConntrack;
  readonly #cleanup: UdpCleanup;
  readonly #recent = new RecentLists();
  readonly #surroundings: Surroundings;
  readonly #nat: Table = new Map();
  readonly #filter: Table = new Map();
  #synced = false;
  #lastCleanUp = -Infinity;

  constructor(world: World) {
    this.#world = world;
    this.#services = new KnownServices(world.rng.stream('service-order'));
    this.#conntrack = new ReferenceConntrack(world.rng.stream('source-port'), world.options.conntrackMax);
    this.#cleanup = new UdpCleanup(world.options.kubeProxy.conntrackCleanup, world.node);
    this.#surroundings = {
      isLocal: (address) => this.#isLocal(address),
      sets: new Map(),
      statistic: world.rng.stream('statistic'),
      recent: this.#recent,
      serviceChains: new Set(SERVICE_CHAINS),
    };
  }

  sync(state: ClusterState, now: SimTime): SyncReport {
    this.#services.replace(state);
    const services = this.#services.inOrder();
    return this.#program('full', services, everyId(services), true, now);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (!this.#synced) throw new Error('The first call of a life must be sync.');
    const udpChanged = this.#services.change(delta);
    const services = this.#services.inOrder();
    if (!this.#world.options.kubeProxy.iptablesPartialSync) {
      return this.#program('full', services, everyId(services), udpChanged, now);
    }
    const changed = new Set(delta.upserted.map((svc) => svc.id));
    return this.#program('partial', services, changed, udpChanged, now);
  }

  #program(
    kind: 'full' | 'partial',
    services: readonly ServicePort[],
    changed: ReadonlySet<number>,
    udpCleanUpIsDue: boolean,
    now: SimTime,
  ): SyncReport {
    const { node, options } = this.#world;
    let endpoints = 0;
    for (const svc of services) endpoints += distinctEndpoints(svc, node).length;
    const largeCluster = endpoints > options.largeClusterEndpoints;
    const lookForStale = !largeCluster || now - this.#lastCleanUp > CLEAN_UP_PERIOD_NS;
    const savedLines = lookForStale ? countRules(this.#nat) + [...this.#nat.keys()].filter(isOurs).length : 0;
    const write = { node, options, largeCluster };
    const input = writeRestore(services, changed, write);
    const stale = lookForStale ? this.#staleChains(services, write) : [];
    if (lookForStale) this.#lastCleanUp = now;
    else mark('stale chains not looked for');
    if (stale.length > 0) mark(largeCluster ? 'stale chains deleted in large-cluster mode' : 'stale chains deleted');
    for (const chain of stale) mark(`stale ${chain.slice(0, chain.lastIndexOf('-'))} chain deleted`);
    const written = tablesText(input.nat, input.filter, (1 << options.masqueradeBit) >>> 0, () => true);
    const writtenLines = countRules(input.nat) + input.nat.size + countRules(input.filter) + input.filter.size;

    if (!this.#synced) this.#installJumps();
    for (const [chain, rules] of input.nat) this.#nat.set(chain, rules);
    for (const [chain, rules] of input.filter) this.#filter.set(chain, rules);
    for (const chain of stale) this.#nat.delete(chain);
    this.#recent.commit(this.#nat);
    this.#synced = true;
    const tableRules = countRules(this.#nat) + countRules(this.#filter);
    return {
      ...NO_SYNC_WORK,
      kind,
      servicePorts: services.length,
      changedServicePorts: changed.size,
      rules: tableRules,
      tableRules,
      serviceRules: this.#nat.get('KUBE-SERVICES')?.length ?? 0,
      chainComments: !largeCluster,
      restoreLines: 4 + writtenLines + 2 * stale.length,
      restoreBytes: written.length + stale.reduce((sum, chain) => sum + `:${chain} - [0:0]\n-X ${chain}\n`.length, 0),
      savedLines,
      conntrackDeletes: this.#cleanup.clean(services, udpCleanUpIsDue, this.#conntrack, now),
    };
  }

  #installJumps(): void {
    const { nat, filter } = builtInJumps();
    for (const [chain, rules] of nat) this.#nat.set(chain, rules);
    for (const [chain, rules] of filter) this.#filter.set(chain, rules);
  }

  #staleChains(services: readonly ServicePort[], write: WriteOptions): string[] {
    const used = new Set(services.flatMap((svc) => usedChains(svc, write)));
    return [...this.#nat.keys()].filter((chain) => /^KUBE-(SVC|SVL|EXT|FW|SEP)-/.test(chain) && !used.has(chain));
  }

  advance(): void {
    // Flows expire when they are next looked at; nothing else runs by itself in this mode.
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
    if (received.kind === 'new') return this.#creating(packet, received.tcpState, work);
    packet.state = 'INVALID';
    const ruling = this.#filterHook(packet, work);
    if (ruling.kind !== 'drop' && !packet.fromHost && !this.#isLocal(packet.dst.address)) mark('invalid forwarded');
    return verdictOf(packet, ruling.kind === 'drop' ? OUTCOME_DROP : OUTCOME_ACCEPT, REASON_INVALID);
  }

  #known(packet: Packet, entry: Entry, isReply: boolean, work: Work): Verdict {
    const ofFlow = { masqueraded: entry.masqueraded, servicePortId: entry.servicePortId };
    packet.state = entry.replySeen ? 'ESTABLISHED' : 'NEW';
    packet.dnat = entry.dnat;
    packet.dst = isReply ? entry.original.src : entry.reply.src;
    const refused = this.#refusal(packet, this.#filterHook(packet, work));
    if (refused !== undefined) {
      const servicePortId = refused.servicePortId >= 0 ? refused.servicePortId : entry.servicePortId;
      return { ...refused, ...ofFlow, servicePortId };
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
    let servicePortId = -1;
    const preRouting = this.#walk(this.#nat, packet.fromHost ? 'OUTPUT' : 'PREROUTING', packet, work);
    if (preRouting.kind === 'dnat') {
      packet.dst = preRouting.to;
      packet.dnat = true;
      servicePortId = preRouting.servicePortId;
      count(work, NAT_SETUPS);
    }
    const refused = this.#refusal(packet, this.#filterHook(packet, work));
    if (refused !== undefined) {
      return {
        ...refused,
        first: true,
        servicePortId: refused.servicePortId >= 0 ? refused.servicePortId : servicePortId,
      };
    }
    const verdict = {
      ...verdictOf(packet, packet.dnat ? OUTCOME_ENDPOINT : OUTCOME_ACCEPT, REASON_NONE),
      first: true,
      servicePortId,
    };
    let reply: Tuple | undefined = inverse({ ...original, dst: packet.dst });
    let masqueraded = false;
    if (this.#passesPostrouting(packet)) {
      const ruling = this.#walk(this.#nat, 'POSTROUTING', packet, work);
      masqueraded = ruling.kind === 'masquerade';
      if (masqueraded) reply = { ...reply, dst: { address: this.#primaryAddress(), port: packet.src.port } };
      const randomFully = ruling.kind === 'masquerade' && ruling.randomFully;
      reply = this.#conntrack.uniqueReply(reply, packet.time, work, randomFully);
      if (reply !== undefined && (masqueraded || reply.dst.port !== packet.src.port)) count(work, NAT_SETUPS);
    } else if (this.#conntrack.isUsed(reply, packet.time)) {
      mark('inverse tuple in use');
      reply = undefined;
    }
    if (reply === undefined) return { ...verdict, outcome: OUTCOME_DROP, reason: REASON_PORT_CLASH };

    count(work, CONNTRACK_INSERTS);
    const { dnat } = packet;
    this.#conntrack.confirm({ original, reply, tcpState, dnat, ipvs: false, masqueraded, servicePortId }, packet.time);
    return { ...verdict, masqueraded, src: reply.dst };
  }

  #refusal(packet: Packet, ruling: Ruling): Verdict | undefined {
    if (ruling.kind !== 'drop' && ruling.kind !== 'reject') return undefined;
    const { kind, chain, servicePortId } = ruling;
    mark(`${kind === 'drop' ? 'dropped' : 'rejected'} by ${chain}`);
    if (kind === 'reject') return { ...verdictOf(packet, OUTCOME_REJECT, REASON_NO_ENDPOINTS), servicePortId };
    let reason = REASON_NONE;
    if (chain === 'KUBE-SERVICES' || chain === 'KUBE-EXTERNAL-SERVICES') reason = REASON_NO_LOCAL_ENDPOINTS;
    if (chain === 'KUBE-PROXY-FIREWALL') reason = REASON_SOURCE_RANGE;
    return { ...verdictOf(packet, OUTCOME_DROP, reason), servicePortId };
  }

  #filterHook(packet: Packet, work: Work): Ruling {
    if (packet.fromHost) return this.#walk(this.#filter, 'OUTPUT', packet, work);
    return this.#walk(this.#filter, this.#isLocal(packet.dst.address) ? 'INPUT' : 'FORWARD', packet, work);
  }

  #walk(table: Table, hook: string, packet: Packet, work: Work): Ruling {
    return walk(table, hook, packet, this.#surroundings, work);
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
    const mark = (1 << this.#world.options.masqueradeBit) >>> 0;
    return tablesText(this.#nat, this.#filter, mark, (chain) => form === 'kernel' || isOurs(chain));
  }
}

function everyId(services: readonly ServicePort[]): Set<number> {
  return new Set(services.map((svc) => svc.id));
}

function isOurs(chain: string): boolean {
  return !isBuiltIn(chain);
}

export const referenceIptables: EngineFactory = (world) => new ReferenceIptables(world);
