/** What the objects of one Service should show of its pods [k8s.io/endpointslice utils.go podToEndpoint, util/controller_utils.go]. */
import type { EndpointHints } from '../model/cluster.ts';
import { NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import { distributionHints } from '../model/topology-hints.ts';
import type { BoundService } from './bound-services.ts';
import { endpointAddressBytes, sliceEndpointBytes } from './object-size.ts';
import type { PodRecord, PodStatus, PodStore } from './pod-store.ts';
import type { SliceEndpoint } from './slice-packing.ts';

/** An endpoint with the length of its message in the object that holds it, tag included. Equal content has equal length. */
export interface ObjectEndpoint extends SliceEndpoint {
  readonly bytes: number;
}

export interface PodEndpointsOptions {
  readonly service: BoundService;
  /** Which API the endpoints are for. */
  readonly kind: 'slices' | 'endpoints';
  readonly store: PodStore;
  /** By node; empty where a node has none. */
  readonly zones: ReadonlyMap<string, string>;
}

export interface Look {
  /** By port map of the Service. */
  readonly desired: readonly (readonly ObjectEndpoint[])[];
  /** The earliest time at which the Ready condition of a pod changed that is news, in whole seconds; undefined when there is none. */
  readonly triggerTimeS: number | undefined;
}

/** What was made of a pod at the look before; it holds while the pod stays as it was. */
interface PodEntry {
  readonly status: PodStatus;
  readonly deletedAt: SimTime | undefined;
  readonly nodeName: string;
  /** Undefined while the pod is not to be found in the Service's objects. */
  readonly endpoint: ObjectEndpoint | undefined;
}

export class PodEndpoints {
  readonly #options: PodEndpointsOptions;
  readonly #entries = new Map<PodRecord, PodEntry>();

  constructor(options: PodEndpointsOptions) {
    this.#options = options;
  }

  /** The pod is gone for good. */
  forget(pod: PodRecord): void {
    this.#entries.delete(pod);
  }

  /** Endpoints in order of the pods' creation, and what is news since the look before [trigger_time_tracker.go]. */
  look(): Look {
    const { service, store } = this.#options;
    let triggerTimeS: number | undefined;
    const desired = service.portMaps.map(({ deployments }) => {
      const endpoints: ObjectEndpoint[] = [];
      for (const deployment of deployments) {
        for (const pod of store.ofDeployment(deployment)) {
          const known = this.#entries.get(pod);
          const entry = known !== undefined && isCurrent(known, pod) ? known : this.#enter(pod);
          if (entry.endpoint !== undefined) endpoints.push(entry.endpoint);
          if (entry === known) continue;
          const timeS = wholeSeconds(entry.status.readyChangedAt);
          if (known !== undefined && wholeSeconds(known.status.readyChangedAt) === timeS) continue;
          triggerTimeS = triggerTimeS === undefined ? timeS : Math.min(triggerTimeS, timeS);
        }
      }
      return endpoints;
    });
    return { desired, triggerTimeS };
  }

  #enter(pod: PodRecord): PodEntry {
    const { status, deletedAt, nodeName } = pod;
    const entry = { status, deletedAt, nodeName, endpoint: this.#endpointOf(pod) };
    this.#entries.set(pod, entry);
    return entry;
  }

  /**
   * Pods without an address and finished ones are left out; from an Endpoints object also those that are being deleted, unless the Service
   * publishes what is not ready [ShouldPodBeInEndpoints, endpoints_controller.go addEndpointSubset].
   */
  #endpointOf(pod: PodRecord): ObjectEndpoint | undefined {
    const { publishNotReadyAddresses } = this.#options.service;
    const { address, namespace, name: podName, nodeName, status } = pod;
    if (!status.running || status.finished) return undefined;
    const terminating = pod.deletedAt !== undefined;
    const identity = { address, namespace, podName, nodeName };
    if (this.#options.kind === 'endpoints') {
      if (terminating && !publishNotReadyAddresses) return undefined;
      const ready = publishNotReadyAddresses || status.ready;
      const bytes = endpointAddressBytes(identity);
      return { address, nodeName, ready, serving: ready, terminating: false, changedAt: changedAt(pod), bytes };
    }
    const zone = this.#options.zones.get(nodeName) ?? '';
    const hints = this.#hintsOf(pod, zone);
    return {
      address,
      nodeName,
      ready: publishNotReadyAddresses || (status.ready && !terminating),
      serving: status.ready,
      terminating,
      ...(hints === undefined ? {} : { hints }),
      changedAt: changedAt(pod),
      bytes: sliceEndpointBytes(identity, zone, hints),
    };
  }

  /** A pod's own zone or node, as the Service's trafficDistribution asks; pods of the start keep the hints of given slices. */
  #hintsOf(pod: PodRecord, zone: string): EndpointHints | undefined {
    const { givenHints, trafficDistribution } = this.#options.service;
    return givenHints.get(pod.address) ?? distributionHints(trafficDistribution, pod.nodeName, zone);
  }
}

/** When a pod's readiness last changed, or when it was deleted. */
export function changedAt(pod: PodRecord): SimTime {
  return Math.max(pod.status.readyChangedAt, pod.deletedAt ?? pod.status.readyChangedAt);
}

function isCurrent(entry: PodEntry, pod: PodRecord): boolean {
  return entry.status === pod.status && entry.deletedAt === pod.deletedAt && entry.nodeName === pod.nodeName;
}

/** Times of conditions have whole seconds in the API. */
function wholeSeconds(time: SimTime): number {
  return Math.floor(time / NS_PER_S);
}
