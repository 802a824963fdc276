/** The oracle for userspace mode: rules that lead to kube-proxy's process, and the process that copies (README 10). */
import type { ClusterDelta, ClusterState } from '../../model/cluster.ts';
import { CONNTRACK_INSERTS, NAT_SETUPS, USERSPACE_COPIES } from '../../model/counters.ts';
import type { Counters } from '../../model/counters.ts';
import { TCP_RST, TCP_SYN } from '../../model/packet.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
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
  REASON_NONE,
  REASON_NO_ANSWER,
  REASON_PORT_CLASH,
} from '../../model/verdict.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import type { Engine, EngineFactory, EngineManifest, World } from '../engine.ts';
import { inverse, ReferenceConntrack } from './conntrack.ts';
import type { Entry, Tuple } from './conntrack.ts';
import { KnownServices } from './endpoints.ts';
import { mark } from './marks.ts';
import { countRules, walk } from './netfilter.ts';
import type { Ruling, Surroundings, Table } from './netfilter.ts';
import { count, forEachPacket, verdictOf } from './packet.ts';
import type { Packet, Verdict, Work } from './packet.ts';
import { RecentLists } from './recent.ts';
import { Connections, ownPacket } from './userspace-connections.ts';
import type { Proxied } from './userspace-connections.ts';
import { PortCounter, ProxyProcess } from './userspace-process.ts';
import type { Listener } from './userspace-process.ts';
import { IptablesCommands, USERSPACE_CHAINS, userspaceText } from './userspace-rules.ts';

const LOOPBACK_NET = 0x7f;

class ReferenceUserspace implements Engine {
  readonly name = 'userspace';
  readonly supports: EngineManifest = {
    protocols: ['tcp', 'udp'],
    serviceTypes: ['ClusterIP', 'NodePort', 'LoadBalancer'],
    externalIps: true,
    sessionAffinity: true,
    trafficPolicyLocal: false,
    sourceRanges: false,
    ipFamilies: ['IPv4'],
    schedulers: [],
    partialSync: true,
  };
  readonly #world: World;
  readonly #services: KnownServices;
  readonly #conntrack: ReferenceConntrack;
  readonly #iptables = new IptablesCommands();
  readonly #surroundings: Surroundings;
  readonly #connections: Connections;
  readonly #startProcess: () => ProxyProcess;
  #process: ProxyProcess | undefined;

  constructor(world: World) {
    const { node, options, rng } = world;
    this.#world = world;
    this.#services = new KnownServices(rng.stream('service-order'));
    this.#conntrack = new ReferenceConntrack(rng.stream('source-port'), options.conntrackMax);
    this.#surroundings = {
      isLocal: (address) => this.#isLocal(address),
      sets: new Map(),
      statistic: rng.stream('statistic'),
      recent: new RecentLists(),
      serviceChains: new Set(USERSPACE_CHAINS),
    };
    this.#connections = new Connections({
      conntrack: this.#conntrack,
      nodeAddress: node.addresses[0],
      answers: ({ address, port }) => world.answers?.(address, port) ?? true,
      walkNatOutput: (packet, work) => void this.#walk(this.#iptables.nat, 'OUTPUT', packet, work),
    });
    const endpointOrder = rng.stream('endpoint-order');
    const proxyPorts = new PortCounter();
    this.#startProcess = () => new ProxyProcess({ node, iptables: this.#iptables, proxyPorts, endpointOrder });
  }

  sync(state: ClusterState): SyncReport {
    this.#iptables.startCounting();
    const process = this.#startProcess();
    this.#services.replace(state);
    process.begin(this.#services.inOrder());
    this.#process = process;
    return this.#report('full', process.servicePorts, 0);
  }

  apply(delta: ClusterDelta, now: SimTime): SyncReport {
    if (this.#process === undefined) throw new Error('The first call of a life must be sync.');
    this.#iptables.startCounting();
    let deletes = 0;
    for (const { protocol, clusterIp } of this.#process.change(delta)) {
      if (protocol !== PROTOCOL_UDP) continue;
      for (const entry of this.#conntrack.udpEntries(now)) {
        if (entry.original.dst.address !== clusterIp) continue;
        mark('udp flow of a removed service port deleted');
        this.#conntrack.delete(entry);
        deletes++;
      }
    }
    return this.#report('partial', new Set(delta.upserted.map((svc) => svc.id)).size, deletes);
  }

  /** The process stops; the next one has cleared the rules away and waits for the API server. */
  interrupt(): void {
    this.#process = this.#startProcess();
  }

  #report(kind: SyncReport['kind'], changedServicePorts: number, conntrackDeletes: number): SyncReport {
    const rules = countRules(this.#iptables.nat) + countRules(this.#iptables.filter);
    return {
      ...NO_SYNC_WORK,
      kind,
      servicePorts: this.#process?.servicePorts ?? 0,
      changedServicePorts,
      rules,
      tableRules: rules,
      iptablesCommands: this.#iptables.count,
      conntrackDeletes,
    };
  }

  advance(): void {
    // Nothing of this mode is due at a time of its own.
  }

  nextTimer(): SimTime {
    return Infinity;
  }

  dump(form: 'kernel' | 'restore'): string {
    return userspaceText(form, this.#iptables);
  }

  process(packets: PacketBatch, verdicts: VerdictBatch, counters: Counters): void {
    forEachPacket(packets, verdicts, counters, (packet, work) => this.#decide(packet, work));
  }

  #decide(packet: Packet, work: Work): Verdict {
    const received = this.#conntrack.receive(packet, work);
    switch (received.kind) {
      case 'full':
        return verdictOf(packet, OUTCOME_DROP, REASON_CONNTRACK_FULL);
      case 'invalid':
        packet.state = 'INVALID';
        this.#walkFilter(packet, work);
        return verdictOf(packet, OUTCOME_ACCEPT, REASON_INVALID);
      case 'new':
        return { ...this.#creating(packet, received.tcpState, work), first: true };
      case 'hit':
        return this.#ofFlow(packet, received.entry, received.isReply, work);
    }
  }

  /** The packet that opens a flow: nat, filter, the reply tuple, and for a portal's flow a connection to an endpoint. */
  #creating(packet: Packet, tcpState: string, work: Work): Verdict {
    const original: Tuple = { protocol: packet.protocol, src: packet.src, dst: packet.dst };
    const ruling = this.#walk(this.#iptables.nat, packet.fromHost ? 'OUTPUT' : 'PREROUTING', packet, work);
    let servicePortId = -1;
    if (ruling.kind === 'dnat') {
      packet.dst = ruling.to;
      packet.dnat = true;
      servicePortId = ruling.servicePortId;
      count(work, NAT_SETUPS);
    }
    this.#walkFilter(packet, work);
    let reply: Tuple | undefined = inverse({ ...original, dst: packet.dst });
    if (this.#passesPostrouting(packet)) {
      reply = this.#conntrack.uniqueReply(reply, packet.time, work);
      if (reply !== undefined && reply.dst.port !== packet.src.port) {
        if (packet.dnat) mark('source port of a leg 1 changed');
        count(work, NAT_SETUPS);
      }
    } else if (this.#conntrack.isUsed(reply, packet.time)) {
      mark('inverse tuple in use');
      reply = undefined;
    }
    if (reply === undefined) return { ...verdictOf(packet, OUTCOME_DROP, REASON_PORT_CLASH), servicePortId };
    count(work, CONNTRACK_INSERTS);
    const { dnat } = packet;
    const leg1 = this.#conntrack.confirm(
      { original, reply, tcpState, dnat, ipvs: false, masqueraded: false, servicePortId },
      packet.time,
    );
    if (!dnat) return { ...verdictOf(packet, OUTCOME_ACCEPT, REASON_NONE), src: reply.dst, servicePortId };

    const verdict = this.#accept(packet, leg1, work);
    if (verdict.outcome === OUTCOME_REJECT) this.#conntrack.delete(leg1);
    return verdict;
  }

  /** The process meets a flow for the first time. */
  #accept(packet: Packet, leg1: Entry, work: Work): Verdict {
    const listener = this.#process?.listenerAt(packet.protocol, packet.dst.port);
    if (listener === undefined) throw new Error('A rule leads to a port at which nobody listens');
    if (packet.protocol === PROTOCOL_TCP && (packet.flags & TCP_SYN) === 0) {
      mark('first packet is no SYN');
      return this.#broken(packet, leg1);
    }
    return this.#carryAnew(packet, leg1, listener, work);
  }

  #carryAnew(packet: Packet, leg1: Entry, listener: Listener, work: Work): Verdict {
    const dialled = this.#connections.dial(this.#running(), listener, leg1, packet.time, work);
    if (typeof dialled !== 'number') return this.#carried(packet, dialled, work);
    const { servicePortId } = leg1;
    return { ...verdictOf(packet, OUTCOME_REJECT, dialled), servicePortId };
  }

  /** A packet of a flow that is known. */
  #ofFlow(packet: Packet, entry: Entry, isReply: boolean, work: Work): Verdict {
    packet.state = entry.replySeen ? 'ESTABLISHED' : 'NEW';
    packet.dst = isReply ? entry.original.src : entry.reply.src;
    this.#walkFilter(packet, work);
    if (entry.dnat && !isReply) return this.#fromClient(packet, entry, work);
    if (isReply && this.#connections.isLeg2(entry)) return this.#fromEndpoint(packet, entry, work);
    const { servicePortId } = entry;
    if (isReply) {
      packet.src = entry.original.dst;
      if (entry.dnat) mark('packet from the proxy port itself');
      return { ...verdictOf(packet, entry.dnat ? OUTCOME_REPLY : OUTCOME_ACCEPT, REASON_NONE), servicePortId };
    }
    if (this.#connections.isLeg2(entry)) mark('leg 2 from outside');
    if (this.#passesPostrouting(packet)) packet.src = entry.reply.dst;
    return { ...verdictOf(packet, OUTCOME_ACCEPT, REASON_NONE), servicePortId };
  }

  #fromClient(packet: Packet, leg1: Entry, work: Work): Verdict {
    const process = this.#running();
    const listener = process.listenerAt(packet.protocol, packet.dst.port);
    const isUdp = packet.protocol === PROTOCOL_UDP;
    if (isUdp && listener === undefined) {
      mark('closed proxy port');
      return this.#broken(packet, leg1);
    }
    const pair = this.#connections.whole(leg1, process, packet.time);
    if (pair === undefined) {
      if (!isUdp || listener === undefined) return this.#broken(packet, leg1);
      const verdict = this.#carryAnew(packet, leg1, listener, work);
      mark(verdict.outcome === OUTCOME_REJECT ? 'udp client not dialled for again' : 'udp client dialled for again');
      return verdict;
    }
    if (listener === undefined) mark('connection outlives its proxy port');
    pair.lastPacket = packet.time;
    const verdict = this.#carried(packet, pair, work);
    const { src, dst } = pair.leg2.original;
    this.#conntrack.receive(ownPacket(src, dst, packet.protocol, packet.flags, packet.time), work);
    return verdict;
  }

  /** On its way to the endpoint. */
  #carried(packet: Packet, { leg2 }: Proxied, work: Work): Verdict {
    this.#countCopy(packet, work);
    return {
      outcome: OUTCOME_ENDPOINT,
      reason: REASON_NONE,
      first: false,
      masqueraded: true,
      src: leg2.reply.dst,
      dst: leg2.reply.src,
      servicePortId: leg2.servicePortId,
    };
  }

  #fromEndpoint(packet: Packet, leg2: Entry, work: Work): Verdict {
    const pair = this.#connections.whole(leg2, this.#running(), packet.time);
    if (pair === undefined) return this.#broken(packet, leg2);
    pair.lastPacket = packet.time;
    this.#countCopy(packet, work);
    const { original, reply } = pair.leg1;
    this.#conntrack.receive(ownPacket(reply.src, reply.dst, packet.protocol, packet.flags, packet.time), work);
    return {
      outcome: OUTCOME_REPLY,
      reason: REASON_NONE,
      first: false,
      masqueraded: true,
      src: original.dst,
      dst: original.src,
      servicePortId: leg2.servicePortId,
    };
  }

  /** Nobody is there who would take the packet. */
  #broken(packet: Packet, { servicePortId }: Entry): Verdict {
    return { ...verdictOf(packet, OUTCOME_REJECT, REASON_NO_ANSWER), servicePortId };
  }

  /** The kernel makes and ends connections; what is between goes through the process. */
  #countCopy({ protocol, flags }: Packet, work: Work): void {
    if (protocol !== PROTOCOL_TCP || (flags & (TCP_SYN | TCP_RST)) === 0) count(work, USERSPACE_COPIES);
  }

  #running(): ProxyProcess {
    if (this.#process === undefined) throw new Error('The first call of a life must be sync.');
    return this.#process;
  }

  /** No rule of the filter table refuses anything. */
  #walkFilter(packet: Packet, work: Work): void {
    if (packet.fromHost || !this.#isLocal(packet.dst.address)) return;
    this.#walk(this.#iptables.filter, 'INPUT', packet, work);
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
}

export const referenceUserspace: EngineFactory = (world) => new ReferenceUserspace(world);
