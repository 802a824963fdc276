/** Chain and set names of nftables mode (kube-proxy pkg/proxy/nftables/proxier.go hashAndTruncate and the two name bases). */
import { hash } from 'node:crypto';
import type { EndpointConfig, ServicePortConfig } from '../../../model/service-config.ts';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** nftables allows 256 bytes; kube-proxy keeps 16 of them for the prefix. */
const NAME_BASE_BYTES_MAX = 240;

/** The first 8 characters of the standard base32 of sha256: exactly its first 5 bytes. */
export function hash8(text: string): string {
  const digest = hash('sha256', text, 'buffer');
  let name = '';
  let held = 0;
  let bits = 0;
  for (let i = 0; i < 5; i++) {
    held = (held << 8) | digest[i];
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      name += BASE32[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return name;
}

/** `hash8-name`, cut to 240 bytes with `...` at its end when longer. Names are ASCII, so characters are bytes. */
export function nameBase(name: string): string {
  const base = `${hash8(name)}-${name}`;
  return base.length > NAME_BASE_BYTES_MAX ? `${base.slice(0, NAME_BASE_BYTES_MAX - 3)}...` : base;
}

/** `ns/name/proto/port` before hashing. An unnamed port leaves the last part empty. */
function servicePortText(svc: ServicePortConfig): string {
  return `${svc.namespace}/${svc.name}/${svc.protocol}/${svc.portName}`;
}

/** A chain with a slash belongs to a service port; the fixed chains have none. */
export function isServiceChainName(name: string): boolean {
  return name.includes('/');
}

export function isAffinitySetName(name: string): boolean {
  return name.startsWith('affinity-');
}

export interface ServiceChainNames {
  readonly cluster: string;
  readonly local: string;
  readonly external: string;
  readonly firewall: string;
}

export interface EndpointNames {
  readonly chain: string;
  readonly affinitySet: string;
}

/**
 * Names, remembered from one sync to the next, since hashing all of them would be most of a sync's work. What a whole sync did not
 * ask for is forgotten at the end of the following one.
 */
export class NameCache {
  #current = new Map<string, string>();
  #previous = new Map<string, string>();

  service(svc: ServicePortConfig): ServiceChainNames {
    const base = this.#base(servicePortText(svc));
    return {
      cluster: `service-${base}`,
      local: `local-${base}`,
      external: `external-${base}`,
      firewall: `firewall-${base}`,
    };
  }

  endpoint(svc: ServicePortConfig, endpoint: EndpointConfig): EndpointNames {
    // A name may not hold a colon.
    const address = endpoint.address.replaceAll(':', '.');
    const base = this.#base(`${servicePortText(svc)}__${address}/${endpoint.port}`);
    return { chain: `endpoint-${base}`, affinitySet: `affinity-${base}` };
  }

  endSync(): void {
    this.#previous = this.#current;
    this.#current = new Map();
  }

  #base(name: string): string {
    let base = this.#current.get(name);
    if (base === undefined) {
      base = this.#previous.get(name) ?? nameBase(name);
      this.#current.set(name, base);
    }
    return base;
  }
}
