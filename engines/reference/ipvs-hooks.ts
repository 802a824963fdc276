/** What IPVS makes of a packet at its hooks: look-ups, persistence, scheduling (README 6 and 7.4; ip_vs_core.c). */
import { DESTINATIONS_EXAMINED, HASH_PROBES, NAT_SETUPS, SERVICE_CHAIN_ENTRIES } from '../../model/counters.ts';
import { TCP_ACK, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../../model/protocol.ts';
import {
  OUTCOME_DROP,
  OUTCOME_REJECT,
  REASON_NO_ENDPOINTS,
  REASON_PORT_REUSED,
  REASON_SERVER_UNAVAILABLE,
} from '../../model/verdict.ts';
import type { EngineOptions } from '../engine.ts';
import type { Tracked } from './conntrack.ts';
import type { Connection, ConnectionTable, Template } from './ipvs-connections.ts';
import type { RealServer, ServiceTable, VirtualServer } from './ipvs-servers.ts';
import { mark } from './marks.ts';
import { count, verdictOf } from './packet.ts';
import type { Packet, Verdict, Work } from './packet.ts';

export type Path = 'INPUT' | 'FORWARD' | 'OUTPUT';

export type Handling =
  | { readonly kind: 'untouched' }
  | { readonly kind: 'reply'; readonly connection: Connection }
  | { readonly kind: 'request'; readonly connection: Connection }
  /** `forgetsFlow`: the entry that the flow had before goes, too. */
  | { readonly kind: 'refused'; readonly verdict: Verdict; readonly forgetsFlow?: boolean };

export class IpvsHooks {
  readonly #services: ServiceTable;
  readonly #connections: ConnectionTable;
  readonly #options: EngineOptions;

  constructor(services: ServiceTable, connections: ConnectionTable, options: EngineOptions) {
    this.#services = services;
    this.#connections = connections;
    this.#options = options;
  }

  handle(packet: Packet, path: Path, received: Tracked, work: Work): Handling {
    const answered = this.#connections.findReply(packet, work);
    if (answered !== undefined) {
      mark(`reply found for ${direction(received)} on ${path}`);
      if (answered.server.deleted) mark('reply of a deleted server');
      this.#connections.move(answered, packet, 'out');
      return { kind: 'reply', connection: answered };
    }
    if (path === 'FORWARD' || direction(received) === 'reply') return { kind: 'untouched' };
    let connection = this.#connections.findRequest(packet, work);
    const reuse = connection === undefined ? undefined : this.#reuse(packet, connection);
    if (connection !== undefined && reuse !== undefined) {
      this.#connections.remove(connection);
      // Linux 5.9 lets a SYN pass whose flow is as new as the connection that it asks for.
      const isHeld = received.kind === 'hit' || (received.kind === 'new' && !this.#isKernel(5, 9));
      if (isHeld) {
        mark(`connection reused ${reuse}, SYN of ${received.kind} dropped`);
        const verdict = verdictOf(packet, OUTCOME_DROP, REASON_PORT_REUSED);
        const { servicePortId } = connection;
        return { kind: 'refused', verdict: { ...verdict, servicePortId }, forgetsFlow: received.kind === 'hit' };
      }
      mark(`connection reused ${reuse}`);
      connection = undefined;
    }
    if (connection?.server.deleted === true) {
      this.#connections.remove(connection);
      if (received.kind === 'hit' || !this.#isKernel(5, 9)) {
        mark('server unavailable');
        const verdict = verdictOf(packet, OUTCOME_DROP, REASON_SERVER_UNAVAILABLE);
        const { servicePortId } = connection;
        return { kind: 'refused', verdict: { ...verdict, servicePortId }, forgetsFlow: received.kind === 'hit' };
      }
      mark('server unavailable, flow is new');
      connection = undefined;
    }
    if (connection === undefined) {
      const handling = this.#schedule(packet, work);
      if (handling.kind === 'request') mark(`connection made for ${received.kind}`);
      return handling;
    }
    mark(`connection found for ${received.kind}`);
    this.#connections.move(connection, packet, 'in');
    return { kind: 'request', connection };
  }

  /** Why a SYN may take the place of the connection that it finds; undefined when it belongs to it [ip_vs_in_hook]. */
  #reuse(packet: Packet, connection: Connection): string | undefined {
    if (packet.protocol !== PROTOCOL_TCP) return undefined;
    if ((packet.flags & TCP_SYN) === 0 || (packet.flags & TCP_ACK) !== 0) return undefined;
    const isAllowed = this.#options.ipvsConnReuseMode === 1;
    if (connection.server.weight === 0) {
      if (isAllowed || this.#isKernel(5, 16)) return 'at weight 0';
      mark('connection kept at weight 0');
      return undefined;
    }
    const closed = { TW: 'in TIME_WAIT', CL: 'in CLOSE' }[connection.state];
    if (closed === undefined) return undefined;
    if (isAllowed && connection.template === undefined) return closed;
    mark(isAllowed ? 'closed connection kept by its template' : `connection kept ${closed}`);
    return undefined;
  }

  #isKernel(major: number, minor: number): boolean {
    const [ownMajor, ownMinor] = this.#options.kernel;
    return ownMajor > major || (ownMajor === major && ownMinor >= minor);
  }

  /** [ip_vs_service_find, ip_vs_schedule] */
  #schedule(packet: Packet, work: Work): Handling {
    const opens = (packet.flags & TCP_SYN) !== 0 && (packet.flags & TCP_RST) === 0;
    if (packet.protocol === PROTOCOL_TCP && !opens) return { kind: 'untouched' };
    count(work, HASH_PROBES);
    const { virtual, passed } = this.#services.find(packet.protocol, packet.dst);
    count(work, SERVICE_CHAIN_ENTRIES, passed);
    if (virtual === undefined) return { kind: 'untouched' };
    const template = virtual.affinitySeconds > 0 ? this.#findTemplate(packet, virtual, work) : undefined;
    const server = template?.server ?? this.#ask(packet, virtual, work);
    if (server === undefined) {
      if (virtual.affinitySeconds > 0) mark('no template without a server');
      const verdict = verdictOf(packet, OUTCOME_REJECT, REASON_NO_ENDPOINTS);
      return { kind: 'refused', verdict: { ...verdict, servicePortId: virtual.servicePortId } };
    }
    return { kind: 'request', connection: this.#connect(packet, virtual, server, template, work) };
  }

  #ask(packet: Packet, virtual: VirtualServer, work: Work): RealServer | undefined {
    const { server, examined } = virtual.scheduler.pick(virtual, packet);
    count(work, DESTINATIONS_EXAMINED, examined);
    return server;
  }

  /** [ip_vs_ct_in_get, ip_vs_check_template] */
  #findTemplate(packet: Packet, virtual: VirtualServer, work: Work): Template | undefined {
    const template = this.#connections.findTemplate(packet, work);
    if (template === undefined) return undefined;
    const { server } = template;
    if (server.deleted || server.weight === 0) {
      mark(server.deleted ? 'template invalid, server deleted' : 'template invalid, weight 0');
      this.#connections.invalidate(template);
      return undefined;
    }
    mark('template followed');
    if (template.timeoutSeconds !== virtual.affinitySeconds) mark('template with a time-out of its own');
    return template;
  }

  /** [ip_vs_sched_persist, ip_vs_conn_new] */
  #connect(
    packet: Packet,
    virtual: VirtualServer,
    server: RealServer,
    found: Template | undefined,
    work: Work,
  ): Connection {
    let template = found;
    if (virtual.affinitySeconds > 0 && template === undefined) {
      mark('template made');
      template = this.#connections.addTemplate(packet, virtual, server, work);
    }
    if (packet.protocol === PROTOCOL_SCTP) mark('sctp connection');
    const connection = this.#connections.add(packet, virtual, server, template, work);
    count(work, NAT_SETUPS);
    this.#connections.move(connection, packet, 'in');
    return connection;
  }
}

function direction(received: Tracked): string {
  if (received.kind !== 'hit') return received.kind;
  return received.isReply ? 'reply' : 'original';
}
