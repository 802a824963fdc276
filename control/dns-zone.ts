/**
 * The cluster's names as CoreDNS answers for them [kubernetes/dns docs/specification.md 1.1.0; coredns plugin/kubernetes: parse.go
 * parseRequest, kubernetes.go findServices, plugin/backend_lookup.go A, SRV]. Pure: a question and the endpoints of the moment give
 * the answer. Names are compared whatever their case; IPv6 has no records. Not answered for: names of pods, reverse names.
 */
import type { Protocol } from '../model/protocol.ts';
import { protocolName } from '../model/protocol.ts';
import { formatIpv4 } from '../model/address.ts';
import type { ServicePort } from '../model/cluster.ts';
import type { ServiceAlias } from '../model/workload.ts';

export type DnsType = 'A' | 'AAAA' | 'SRV';

type DnsRecord =
  | { readonly type: 'A'; readonly address: number }
  | { readonly type: 'CNAME'; readonly target: string }
  | { readonly type: 'SRV'; readonly target: string; readonly port: number; readonly weight: number };

export interface DnsAnswer {
  /** NOERROR without records: the name has records of another type only (NODATA). */
  readonly code: 'NOERROR' | 'NXDOMAIN';
  readonly records: readonly DnsRecord[];
  /** A server outside the cluster had to be asked. */
  readonly upstream: boolean;
}

/** An endpoint that the EndpointSlices call ready. */
export interface DnsEndpoint {
  readonly address: number;
  readonly port: number;
  /** Absent: its name is its address with dashes. */
  readonly hostname?: string;
}

export interface DnsZoneOptions {
  /** Such as `cluster.local`. */
  readonly clusterDomain: string;
  /** All of a Service together or not at all. Those without a cluster IP (0) are headless. */
  readonly servicePorts: readonly ServicePort[];
  readonly aliases?: readonly ServiceAlias[];
  /** Names outside the cluster that exist, with their address. All others do not. */
  readonly outside?: ReadonlyMap<string, number>;
  /** Ready endpoints of a service port, as the server's watch has them. */
  readonly endpointsOf: (servicePortId: number) => readonly DnsEndpoint[];
}

interface ZoneService {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIp: number;
  readonly ports: readonly ServicePort[];
}

/** What a name below the zone asks for; empty fields are not asked for. */
interface Request {
  readonly service: string;
  readonly namespace: string;
  readonly endpoint: string;
  readonly port: string;
  readonly protocol: string;
}

/** One match of findServices: an address under a name of its own, with a port. */
interface Match {
  readonly owner: string;
  readonly address: number;
  readonly port: number;
}

/** CNAMEs that the server follows [backend_lookup.go A]. */
const LONGEST_CHAIN = 8;

const NXDOMAIN: DnsAnswer = { code: 'NXDOMAIN', records: [], upstream: false };
const NODATA: DnsAnswer = { code: 'NOERROR', records: [], upstream: false };

export class DnsZone {
  readonly #domain: string;
  readonly #services = new Map<string, ZoneService>();
  readonly #aliases = new Map<string, ServiceAlias>();
  readonly #namespaces = new Set<string>();
  readonly #outside: ReadonlyMap<string, number>;
  readonly #endpointsOf: DnsZoneOptions['endpointsOf'];

  constructor({ clusterDomain, servicePorts, aliases = [], outside, endpointsOf }: DnsZoneOptions) {
    this.#domain = plainName(clusterDomain);
    this.#outside = new Map([...(outside ?? [])].map(([name, address]) => [plainName(name), address]));
    this.#endpointsOf = endpointsOf;
    const ports = new Map<string, ServicePort[]>();
    for (const port of servicePorts) {
      const key = keyOf(port.name, port.namespace);
      const known = ports.get(key);
      if (known === undefined) ports.set(key, [port]);
      else known.push(port);
      this.#namespaces.add(port.namespace);
    }
    for (const [key, ofService] of ports) {
      const { namespace, name, clusterIp } = ofService[0];
      this.#services.set(key, { namespace, name, clusterIp, ports: ofService });
    }
    for (const alias of aliases) {
      this.#aliases.set(keyOf(alias.name, alias.namespace), alias);
      this.#namespaces.add(alias.namespace);
    }
  }

  /** `name` is whole, with or without its last dot. */
  answer(name: string, type: DnsType): DnsAnswer {
    return this.#answer(plainName(name), type, 0);
  }

  #answer(name: string, type: DnsType, followed: number): DnsAnswer {
    const labels = this.#labelsBelowZone(name);
    if (labels === undefined) return this.#fromOutside(name, type);
    const request = parseRequest(labels);
    // The zone itself and `svc` exist, and so does a namespace [Records, findServices].
    if (request === 'apex') return NODATA;
    if (request === 'invalid' || !this.#namespaces.has(request.namespace)) return NXDOMAIN;
    if (request.service === '') return NODATA;
    const alias = this.#aliases.get(keyOf(request.service, request.namespace));
    if (alias !== undefined) return request.endpoint === '' ? this.#follow(alias, type, followed) : NXDOMAIN;
    const matches = this.#matches(request);
    if (matches === undefined) return NXDOMAIN;
    if (type === 'AAAA') return NODATA;
    const records = type === 'A' ? addressRecords(matches) : serviceRecords(matches);
    return { code: 'NOERROR', records, upstream: false };
  }

  /** Labels of a name of the zone, the leftmost first; undefined for a name outside. */
  #labelsBelowZone(name: string): string[] | undefined {
    if (name === this.#domain) return [];
    if (!name.endsWith(`.${this.#domain}`)) return undefined;
    return name.slice(0, -this.#domain.length - 1).split('.');
  }

  /** Forwarded [plugin/forward]: hosts outside have addresses of IPv4 alone. */
  #fromOutside(name: string, type: DnsType): DnsAnswer {
    const address = this.#outside.get(name);
    if (address === undefined) return { ...NXDOMAIN, upstream: true };
    if (type !== 'A') return { ...NODATA, upstream: true };
    return { code: 'NOERROR', records: [{ type: 'A', address }], upstream: true };
  }

  /** An alias outside the cluster is named even when it leads nowhere; one within it is not [backend_lookup.go A]; SRV leaves both out [Services]. */
  #follow({ target }: ServiceAlias, type: DnsType, followed: number): DnsAnswer {
    if (type === 'SRV' || followed === LONGEST_CHAIN) return NODATA;
    const name = plainName(target);
    const found = this.#answer(name, type, followed + 1);
    if (this.#labelsBelowZone(name) !== undefined && found.records.length === 0)
      return { ...NODATA, upstream: found.upstream };
    return { code: 'NOERROR', records: [{ type: 'CNAME', target: name }, ...found.records], upstream: found.upstream };
  }

  /** Undefined: nothing at all has such a name, so that a headless Service without ready endpoints does not exist. */
  #matches({ service, namespace, endpoint, port, protocol }: Request): Match[] | undefined {
    const found = this.#services.get(keyOf(service, namespace));
    if (found === undefined) return undefined;
    const ports = found.ports.filter((each) => isAskedFor(each.portName, each.protocol, port, protocol));
    const base = `${found.name}.${found.namespace}.svc.${this.#domain}`;
    if (found.clusterIp !== 0 && endpoint === '') {
      const matches = ports.map((each) => ({ owner: base, address: found.clusterIp, port: each.port }));
      return matches.length === 0 ? undefined : matches;
    }
    const matches = ports.flatMap((each) =>
      this.#endpointsOf(each.id)
        .filter((one) => endpoint === '' || hostnameOf(one) === endpoint)
        .map((one) => ({ owner: `${hostnameOf(one)}.${base}`, address: one.address, port: one.port })),
    );
    return matches.length === 0 ? undefined : matches;
  }
}

/** Lower case, without the dot at its end. */
export function plainName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

function keyOf(name: string, namespace: string): string {
  return `${name}.${namespace}`;
}

/** An endpoint's label: its hostname, else its address with dashes [endpointHostname]. */
function hostnameOf({ hostname, address }: DnsEndpoint): string {
  return hostname?.toLowerCase() ?? formatIpv4(address).replaceAll('.', '-');
}

/** [parse.go parseRequest]; pods' names are off, as the plugin's default has it. */
function parseRequest(labels: readonly string[]): Request | 'apex' | 'invalid' {
  if (labels.length === 0) return 'apex';
  const kind = labels[labels.length - 1];
  if (kind !== 'svc') return 'invalid';
  if (labels.length === 1) return 'apex';
  const [namespace, service = '', ...rest] = labels.slice(0, -1).reverse();
  if (rest.length > 2) return 'invalid';
  const request = { service, namespace, endpoint: '', port: '', protocol: '' };
  if (rest.length === 1) return { ...request, endpoint: rest[0] };
  if (rest.length === 2) return { ...request, protocol: rest[0].replace(/^_/, ''), port: rest[1].replace(/^_/, '') };
  return request;
}

/** [matchPortAndProtocol]: what is not asked for matches; a port without a name is never asked for. */
function isAskedFor(portName: string, protocol: Protocol, port: string, wanted: string): boolean {
  return (port === '' || portName.toLowerCase() === port) && (wanted === '' || protocolName(protocol) === wanted);
}

/** One record an address, however many ports it has. */
function addressRecords(matches: readonly Match[]): DnsRecord[] {
  const addresses = new Set(matches.map((match) => match.address));
  return [...addresses].map((address) => ({ type: 'A', address }));
}

/** One record a name and port, of equal weights; a Service without ports has none. */
function serviceRecords(matches: readonly Match[]): DnsRecord[] {
  const weight = Math.max(1, Math.floor(100 / matches.length));
  const known = new Set<string>();
  const records: DnsRecord[] = [];
  for (const { owner, port } of matches) {
    const key = `${owner}:${port}`;
    if (port === 0 || known.has(key)) continue;
    known.add(key);
    records.push({ type: 'SRV', target: owner, port, weight });
  }
  return records;
}
