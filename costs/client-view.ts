/**
 * What clients see of packet costs: the latency of a request, and how many a second a node can bear. Pure functions of a profile's rig
 * section, of packet costs in nanoseconds, and of the load.
 *
 * ```
 * latency, open connection   round trip + packets of a request x established packet [+ waiting for a core]
 * latency, new connection    the same + opening + first packet + packets of opening and closing x established packet + the server's walk
 * CPU of a node              the same packets, and the programs' CPU in place of round trip and opening
 * requests a second          the smaller of cores / CPU of the busiest node, and requests at one time / latency
 * ```
 * A packet's cost here is what netfilter adds to a bare packet; the round trip and the programs' CPU hold the bare packet.
 */
import type { RigCosts } from '../model/profile.ts';

/** Costs over the bare packet, ns. */
export interface RequestPackets {
  /** Of first packets on the client's node: ascending, equally likely. Not empty. */
  readonly first: Float64Array;
  /** Of a first packet for a pod on the server's node, which walks its rules for nothing. */
  readonly serverFirst: number;
  /** Mean of an established packet. */
  readonly established: number;
}

export type Connections = 'new' | 'open';

/** What a request's latency has beside the round trip and the first packet: ns. */
function fixedLatency(rig: RigCosts, packets: RequestPackets, connections: Connections): number {
  const request = rig.requestPackets.value * packets.established;
  if (connections === 'open') return request;
  return (
    request +
    rig.connection.value +
    rig.connectionPackets.value * packets.established +
    rig.serverWalks.value * packets.serverFirst
  );
}

/** `roundTrip`: equally likely values, waiting for a core included, ns. */
export function meanLatency(
  rig: RigCosts,
  packets: RequestPackets,
  roundTrip: Float64Array,
  connections: Connections,
): number {
  const first = connections === 'new' ? meanOf(packets.first) : 0;
  return fixedLatency(rig, packets, connections) + meanOf(roundTrip) + first;
}

/** The latency that a share `q` of requests stays below, ns. `roundTrip`: ascending, equally likely. */
export function latencyQuantile(
  rig: RigCosts,
  packets: RequestPackets,
  roundTrip: Float64Array,
  connections: Connections,
  q: number,
): number {
  const first = connections === 'new' ? packets.first : NONE;
  return fixedLatency(rig, packets, connections) + sumQuantile(first, roundTrip, q);
}

const NONE = Float64Array.of(0);

export interface NodeCpu {
  /** CPU time of a request with the packets of its connection, where those are new ones, ns. */
  readonly client: number;
  /** Equal to `client` where the server is on the same node. */
  readonly server: number;
}

export function requestCpu(rig: RigCosts, packets: RequestPackets, connections: Connections): NodeCpu {
  const request = rig.requestCpu.value + rig.requestPackets.value * packets.established;
  if (connections === 'open') return { client: request, server: request };
  const opened = request + rig.connectionCpu.value + rig.connectionPackets.value * packets.established;
  const client = opened + meanOf(packets.first);
  return { client, server: rig.serverWalks.value > 0 ? opened + rig.serverWalks.value * packets.serverFirst : client };
}

/** Requests a second that the rig can bear. `latency`: of one of them on an idle rig, ns. */
export function saturatedPerSecond(rig: RigCosts, cpu: NodeCpu, latency: number): number {
  const busiest = Math.max(cpu.client, cpu.server);
  return Math.min((rig.cores.value * 1e9) / busiest, (rig.concurrency.value * 1e9) / latency);
}

export interface Waiting {
  /** Chance that all servers are busy when a request comes. */
  readonly probability: number;
  /** Mean wait of those that wait: it is exponential. Infinity where more comes than can be served. */
  readonly meanOfWaiting: number;
}

/**
 * Waiting for one of `servers` equal ones (M/M/c, Erlang's C formula): `service` is the mean service time, `arrivals` come in one unit of
 * the same time.
 */
export function waiting(arrivals: number, service: number, servers: number): Waiting {
  const load = arrivals * service;
  if (load <= 0) return { probability: 0, meanOfWaiting: 0 };
  if (load >= servers) return { probability: 1, meanOfWaiting: Infinity };
  // Erlang's B by its recursion, which neither overflows nor cancels; C from it.
  let blocked = 1;
  for (let k = 1; k <= servers; k++) blocked = (load * blocked) / (k + load * blocked);
  const utilisation = load / servers;
  return {
    probability: blocked / (1 - utilisation * (1 - blocked)),
    meanOfWaiting: service / (servers - load),
  };
}

/** Halvings of the interval that a quantile is looked for in. */
const HALVINGS = 60;

/** The value that a share `q` of all sums a + b stays below; `a` and `b` ascending, each of their values equally likely. */
export function sumQuantile(a: Float64Array, b: Float64Array, q: number): number {
  let low = a[0] + b[0];
  let high = a[a.length - 1] + b[b.length - 1];
  const wanted = q * a.length * b.length;
  for (let i = 0; i < HALVINGS && low < high; i++) {
    const middle = (low + high) / 2;
    if (countBelow(a, b, middle) < wanted) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Pairs whose sum is at most `sum`. */
function countBelow(a: Float64Array, b: Float64Array, sum: number): number {
  let count = 0;
  let j = b.length;
  for (let i = 0; i < a.length; i++) {
    while (j > 0 && a[i] + b[j - 1] > sum) j--;
    count += j;
  }
  return count;
}

function meanOf(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}
