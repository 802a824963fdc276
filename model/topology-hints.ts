/** The hints that the EndpointSlice controller writes for a Service's trafficDistribution (k8s.io/endpointslice trafficdist/trafficdist.go). */
import type { EndpointHints } from './cluster.ts';

export const TRAFFIC_DISTRIBUTIONS = ['PreferClose', 'PreferSameZone', 'PreferSameNode'] as const;
export type TrafficDistribution = (typeof TRAFFIC_DISTRIBUTIONS)[number];

/** `undefined` for text that asks for nothing, or for what is not known. */
export function trafficDistribution(text: string | null | undefined): TrafficDistribution | undefined {
  return TRAFFIC_DISTRIBUTIONS.find((each) => each === text);
}

/**
 * An endpoint is hinted for its own zone, and with PreferSameNode for its own node. The controller leaves endpoints that are not ready
 * as they were; they get the same hints here, which kube-proxy does not look at until they are ready.
 */
export function distributionHints(
  distribution: TrafficDistribution | undefined,
  nodeName: string,
  zone: string,
): EndpointHints | undefined {
  if (distribution === undefined) return undefined;
  const zones = zone === '' ? [] : [zone];
  const nodes = distribution === 'PreferSameNode' && nodeName !== '' ? [nodeName] : [];
  return zones.length === 0 && nodes.length === 0 ? undefined : { zones, nodes };
}
