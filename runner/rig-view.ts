/** Columns of what clients see, for a trial whose profile has a rig section: from its packets' costs to requests. */
import {
  latencyQuantile,
  meanLatency,
  requestCpu,
  saturatedPerSecond,
  sumQuantile,
  waiting,
} from '../costs/client-view.ts';
import type { Connections, NodeCpu, RequestPackets } from '../costs/client-view.ts';
import { proxyBytesPerService } from '../costs/sync-cost.ts';
import type { Cell } from '../model/observation.ts';
import type { NanosecondProfile, RigCosts } from '../model/profile.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import { exp, log } from '../sim/math.ts';
import { normalQuantile } from '../sim/normal.ts';
import { LATENCY_PERCENTILES } from './columns.ts';
import type { ObservedNode } from './observed-node.ts';
import { quantileSorted } from './statistics.ts';
import type { Trial } from './sweep-plan.ts';

/** The columns of a trial that has ended; none where its profile has no rig, or no packet was sent. */
export function rigMetrics({ point, engine }: Trial, node: ObservedNode, endpoints: number): Record<string, Cell> {
  const { profile, traffic, proxy } = point;
  if (profile.unit !== 'ns' || profile.rig === undefined) return {};
  const { first, establishedMean } = node.meter.packetCosts();
  if (first.length === 0) return {};
  const { bareFirst, bareEstablished } = profile.packet;
  // The syncs that come each syncPeriod though nothing has changed: in old iptables mode whole ones, in today's none but each hour.
  const resyncs = engine === 'ipvs' || engine === 'userspace' || !proxy.kubeProxy.iptablesPartialSync;
  const resyncNs = resyncs && engine !== 'nftables' ? node.syncs.lengthNs('partial', 0) : 0;
  return rigColumns(profile.rig, {
    profile,
    packets: {
      first: thinned(first.map((cost) => cost - bareFirst.value)),
      serverFirst: node.podPacketCost() - bareFirst.value,
      established: Number.isNaN(establishedMean) ? 0 : establishedMean - bareEstablished.value,
    },
    perSecond: traffic.connectionsPerSecond,
    syncCores: resyncNs / NS_PER_S / proxy.syncPeriodSeconds,
    endpointsPerServicePort: endpoints / Math.max(1, node.syncs.first.servicePorts),
  });
}

/** What a trial has counted and costed. */
interface RigTrial {
  readonly profile: NanosecondProfile;
  readonly packets: RequestPackets;
  /** New connections, and requests, a second. */
  readonly perSecond: number;
  /** CPU time that kube-proxy's syncs take in a second without any change, 0 .. 1. */
  readonly syncCores: number;
  readonly endpointsPerServicePort: number;
}

/** Equally likely values that stand for a distribution. */
const GRID = 512;
const WAIT_GRID = 64;

function rigColumns(rig: RigCosts, trial: RigTrial): Record<string, Cell> {
  const { packets, perSecond } = trial;
  const base = roundTripGrid(rig);
  const view = (connections: Connections) => {
    const cpu = requestCpu(rig, packets, connections);
    const roundTrip = withWaiting(rig, base, cpu, perSecond);
    const ms = (ns: number): Cell => (Number.isFinite(ns) ? ns / NS_PER_MS : null);
    return {
      cpu,
      mean: roundTrip === undefined ? null : ms(meanLatency(rig, packets, roundTrip, connections)),
      quantile: (percent: string): Cell =>
        roundTrip === undefined
          ? null
          : ms(latencyQuantile(rig, packets, roundTrip, connections, Number(percent) / 100)),
      saturated: saturatedPerSecond(rig, cpu, meanLatency(rig, packets, base, connections)),
    };
  };
  const fresh = view('new');
  const open = view('open');
  return {
    request_latency_mean_ms: fresh.mean,
    ...Object.fromEntries(LATENCY_PERCENTILES.map((p) => [`request_latency_p${p}_ms`, fresh.quantile(p)])),
    keep_alive_latency_mean_ms: open.mean,
    ...Object.fromEntries(LATENCY_PERCENTILES.map((p) => [`keep_alive_latency_p${p}_ms`, open.quantile(p)])),
    requests_per_second_saturated: fresh.saturated,
    keep_alive_requests_per_second_saturated: open.saturated,
    client_node_cpu_cores: (perSecond * fresh.cpu.client) / NS_PER_S + trial.syncCores,
    kube_proxy_bytes_per_service: proxyBytesPerService(trial.profile, trial.endpointsPerServicePort),
  };
}

/** A sorted array as at most `size` equally likely values. */
function thinned(sorted: Float64Array, size = GRID): Float64Array {
  if (sorted.length <= size) return sorted;
  return Float64Array.from({ length: size }, (_, i) => quantileSorted(sorted, sorted.length, (i + 0.5) / size));
}

/** The round trip's lognormal, ascending, ns: z of the 99th percentile is 2.326. */
export function roundTripGrid(rig: RigCosts): Float64Array {
  const floor = rig.roundTripFloor.value;
  const median = Math.max(0, rig.roundTripMedian.value - floor);
  const p99 = Math.max(median, rig.roundTripP99.value - floor);
  const sigma = median === 0 ? 0 : log(p99 / median) / normalQuantile(0.99);
  return Float64Array.from({ length: GRID }, (_, i) => floor + median * exp(sigma * normalQuantile((i + 0.5) / GRID)));
}

/** With what a request waits for a core at this load; undefined where it is more than the rig can bear. */
function withWaiting(rig: RigCosts, base: Float64Array, cpu: NodeCpu, perSecond: number): Float64Array | undefined {
  const busiest = Math.max(cpu.client, cpu.server);
  const { probability, meanOfWaiting } = waiting(perSecond / NS_PER_S, busiest, rig.cores.value);
  if (!Number.isFinite(meanOfWaiting)) return undefined;
  if (probability === 0) return base;
  const waits = Float64Array.from({ length: WAIT_GRID }, (_, i) => {
    const above = 1 - (i + 0.5) / WAIT_GRID;
    return above >= probability ? 0 : -log(above / probability) * meanOfWaiting;
  });
  return Float64Array.from({ length: GRID }, (_, i) => sumQuantile(waits, base, (i + 0.5) / GRID));
}
