/** The way of queries and answers through the node: UDP packets to the Service in front of CoreDNS, judged one by one as they are sent. */
import type { CostModel } from '../costs/cost-model.ts';
import type { Engine } from '../engines/engine.ts';
import type { ServicePort } from '../model/cluster.ts';
import { Counters } from '../model/counters.ts';
import { DIRECTION_ORIGINAL, DIRECTION_REPLY, ORIGIN_EXTERNAL, ORIGIN_POD, PacketBatch } from '../model/packet.ts';
import { PROTOCOL_UDP } from '../model/protocol.ts';
import type { SimTime } from '../model/time.ts';
import { OUTCOME_DROP, OUTCOME_ENDPOINT, OUTCOME_REJECT, VerdictBatch } from '../model/verdict.ts';
import type { PodView } from './connection-fate.ts';
import type { TrialMeter } from './trial-meter.ts';

export interface DnsSocket {
  /** Address of the client's pod. */
  readonly client: number;
  readonly port: number;
  isOpen: boolean;
}

/** What became of a query. refused: an ICMP error came back; silent: nothing will. */
export interface QueryLeg {
  readonly fate: 'arrived' | 'refused' | 'silent';
  /** As the query left the node: whom an answer comes from and goes to. */
  readonly server: number;
  readonly serverPort: number;
  readonly source: number;
  readonly sourcePort: number;
}

export interface QueryPathOptions {
  readonly engine: Engine;
  readonly costs: () => CostModel;
  readonly meter: TrialMeter;
  readonly pods: PodView;
  readonly nameserver: Pick<ServicePort, 'clusterIp' | 'port'>;
  readonly now: () => SimTime;
  /** Hands packets to the engine that were sent before and still wait. */
  readonly settle: () => void;
}

export class QueryPath {
  readonly #options: QueryPathOptions;
  readonly #packets = new PacketBatch(1);
  readonly #verdicts = new VerdictBatch(1);
  readonly #work = new Counters(1);
  readonly #costsNs = new Float64Array(1);

  constructor(options: QueryPathOptions) {
    this.#options = options;
  }

  settle(): void {
    this.#options.settle();
  }

  /** One query. */
  send(socket: DnsSocket): QueryLeg {
    const { nameserver, pods, meter } = this.#options;
    const packets = this.#packets;
    packets.direction[0] = DIRECTION_ORIGINAL;
    packets.origin[0] = ORIGIN_POD;
    packets.srcAddress[0] = socket.client;
    packets.srcPort[0] = socket.port;
    packets.dstAddress[0] = nameserver.clusterIp;
    packets.dstPort[0] = nameserver.port;
    this.#process();
    const verdicts = this.#verdicts;
    const server = verdicts.dstAddress[0];
    const outcome = verdicts.outcome[0];
    if (outcome === OUTCOME_ENDPOINT && !pods.isReady(server)) meter.clients.stalePackets++;
    return {
      fate: outcome === OUTCOME_ENDPOINT ? meets(pods, server) : outcome === OUTCOME_REJECT ? 'refused' : 'silent',
      server,
      serverPort: verdicts.dstPort[0],
      source: verdicts.srcAddress[0],
      sourcePort: verdicts.srcPort[0],
    };
  }

  /** The answer to a query, if its server is still there to send it; whether it comes back to the client as the nameserver's. */
  reply(socket: DnsSocket, leg: QueryLeg): boolean {
    const { nameserver, pods } = this.#options;
    this.settle();
    if (pods.podCondition(leg.server) !== 'serving') return false;
    const packets = this.#packets;
    packets.direction[0] = DIRECTION_REPLY;
    packets.origin[0] = ORIGIN_EXTERNAL;
    packets.srcAddress[0] = leg.server;
    packets.srcPort[0] = leg.serverPort;
    packets.dstAddress[0] = leg.source;
    packets.dstPort[0] = leg.sourcePort;
    this.#process();
    const verdicts = this.#verdicts;
    if (verdicts.outcome[0] === OUTCOME_REJECT || verdicts.outcome[0] === OUTCOME_DROP) return false;
    // A socket that is connected takes nothing from another address: that of a pod whose flow has been forgotten.
    return (
      verdicts.srcAddress[0] === nameserver.clusterIp &&
      verdicts.srcPort[0] === nameserver.port &&
      verdicts.dstAddress[0] === socket.client &&
      verdicts.dstPort[0] === socket.port
    );
  }

  #process(): void {
    this.settle();
    const { engine, costs: costsOf, meter, now } = this.#options;
    const costs = costsOf();
    const packets = this.#packets;
    packets.length = 1;
    packets.time[0] = now();
    packets.protocol[0] = PROTOCOL_UDP;
    packets.tcpFlags[0] = 0;
    engine.process(packets, this.#verdicts, this.#work);
    costs.costs(packets, this.#verdicts, this.#work, this.#costsNs);
    meter.add(1, this.#verdicts, this.#work, this.#costsNs, costs);
  }
}

/** A pod whose process does not listen answers with an ICMP error [net/ipv4/udp.c __udp4_lib_rcv]. */
function meets(pods: PodView, server: number): QueryLeg['fate'] {
  const condition = pods.podCondition(server);
  if (condition === 'not_listening') return 'refused';
  return condition === 'serving' ? 'arrived' : 'silent';
}
