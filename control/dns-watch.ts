/**
 * The ready endpoints as CoreDNS has them: from its own watch of EndpointSlices, later than the API server and apart from kube-proxy
 * [coredns plugin/kubernetes/object/endpoint.go EndpointSliceToEndpoints]. One copy stands for those of all its pods.
 */
import type { ServicePort } from '../model/cluster.ts';
import type { DnsEndpoint } from './dns-zone.ts';
import type { SliceWrite } from './endpoint-slices.ts';

export class DnsWatch {
  /** Endpoints that no Deployment's pod stands behind: they never change. */
  readonly #fixed = new Map<number, readonly DnsEndpoint[]>();
  readonly #slices = new Map<number, SliceWrite>();
  /** Slices that feed a service port, in order of their creation. */
  readonly #slicesOf = new Map<number, Set<number>>();

  /** `isPod`: whether an address is that of a Deployment's pod. */
  constructor(
    servicePorts: readonly ServicePort[],
    initialSlices: readonly SliceWrite[],
    isPod: (address: number) => boolean,
  ) {
    for (const { id, endpoints } of servicePorts) {
      const fixed = endpoints.filter((endpoint) => endpoint.ready && !isPod(endpoint.address));
      if (fixed.length > 0) this.#fixed.set(id, fixed.map(named));
    }
    for (const write of initialSlices) this.receive(write);
  }

  receive(write: SliceWrite): void {
    this.#slices.set(write.sliceId, write);
    for (const id of write.servicePortIds) {
      const slices = this.#slicesOf.get(id) ?? new Set<number>();
      slices.add(write.sliceId);
      this.#slicesOf.set(id, slices);
    }
  }

  endpointsOf(servicePortId: number): readonly DnsEndpoint[] {
    const fixed = this.#fixed.get(servicePortId) ?? [];
    const slices = this.#slicesOf.get(servicePortId);
    if (slices === undefined) return fixed;
    const found = [...fixed];
    for (const sliceId of slices) {
      const slice = this.#slices.get(sliceId);
      const port = slice?.ports.find((each) => each.servicePortId === servicePortId)?.targetPort;
      if (slice === undefined || port === undefined) continue;
      for (const { address, ready } of slice.endpoints) if (ready) found.push({ address, port });
    }
    return found;
  }
}

function named({ address, port, hostname }: ServicePort['endpoints'][number]): DnsEndpoint {
  return hostname === undefined ? { address, port } : { address, port, hostname };
}
