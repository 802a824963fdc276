/**
 * Test support: a golden case's `proxy` and objects as what kube-proxy knows of them. Only what the iptables cases use; a key that is
 * not known here is an error that names it.
 */
import { CURRENT_KUBE_PROXY } from '../../../model/kube-proxy.ts';
import { canonicalCidr, canonicalIp, compareBytes, familyOf, familyOfCidr } from '../../../model/ip-text.ts';
import type { EndpointConfig, ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { hostPort } from '../../../model/service-config.ts';

type Json = Readonly<Record<string, unknown>>;

/** A reader of one object that knows which keys were asked for. */
class Fields {
  private readonly rest: Map<string, unknown>;
  private readonly where: string;

  constructor(value: unknown, where: string) {
    this.rest = new Map(Object.entries((value ?? {}) as Json));
    this.where = where;
  }

  /** The value, or `otherwise` when there is none. */
  take<T>(key: string, otherwise: T): T {
    const value = this.rest.get(key);
    this.rest.delete(key);
    return value === undefined || value === null ? otherwise : (value as T);
  }

  end(...ignored: readonly string[]): void {
    const unknown = [...this.rest.keys()].filter((key) => !ignored.includes(key));
    if (unknown.length > 0) throw new Error(`unknown key ${unknown.join(', ')} in ${this.where}`);
  }
}

export function proxyConfig(proxy: unknown): ProxyConfig {
  const fields = new Fields(proxy, 'proxy');
  const nfacct = new Fields(fields.take<unknown>('nfacct', {}), 'nfacct');
  const cidr = fields.take('detectLocalCIDR', '');
  const config: ProxyConfig = {
    ipFamily: fields.take('ipFamily', 'IPv4'),
    nodeName: fields.take('nodeName', ''),
    nodeIp: fields.take('nodeIP', ''),
    zone: '',
    localDetector: cidr === '' ? { kind: 'none' } : { kind: 'cidr', cidr },
    masqueradeAll: fields.take('masqueradeAll', false),
    masqueradeMark: fields.take('masqueradeMark', '0x00004000'),
    masqueradeRandomFully: fields.take('iptablesHasRandomFully', false),
    localhostNodePorts: fields.take('localhostNodePorts', true),
    nodePortAddresses: fields.take('nodePortAddresses', []),
    interfaceAddresses: fields.take('interfaceAddresses', []),
    nfacct: {
      ctStateInvalid: nfacct.take('ct_state_invalid_dropped_pkts', false),
      localhostNodePorts: nfacct.take('localhost_nps_accepted_pkts', false),
    },
    conntrackTcpLiberal: fields.take('conntrackTCPLiberal', false),
    serviceCidrs: [],
    ipvsScheduler: 'rr',
    strictArp: false,
    excludeCidrs: [],
    largeClusterEndpoints: fields.take('largeClusterEndpointsThreshold', 1000),
    syncPeriodSeconds: fields.take('syncPeriodSeconds', 30),
    kubeProxy: CURRENT_KUBE_PROXY,
  };
  fields.end('mode');
  nfacct.end();
  return config;
}

interface SlicePort {
  readonly name?: string;
  readonly protocol: string;
  readonly port: number;
}

interface Slice {
  readonly service: string;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly Omit<EndpointConfig, 'port'>[];
}

type Meta = { readonly namespace: string; readonly name: string; readonly labels?: Readonly<Record<string, string>> };

/** The objects that a case has applied so far. */
export class GoldenObjects {
  private readonly config: ProxyConfig;
  private readonly services = new Map<string, ServicePortConfig[]>();
  private readonly slices = new Map<string, Slice>();
  private changed = new Set<string>();

  constructor(config: ProxyConfig) {
    this.config = config;
  }

  apply(objects: readonly unknown[]): void {
    for (const object of objects) {
      const fields = new Fields(object, 'object');
      const meta = fields.take<Meta>('metadata', { namespace: '', name: '' });
      const key = `${meta.namespace}/${meta.name}`;
      if (fields.take<string>('kind', '') === 'Service') {
        this.services.set(key, this.servicePorts(meta, fields));
        this.changed.add(key);
      } else {
        const slice = this.slice(meta, fields);
        this.slices.set(key, slice);
        this.changed.add(slice.service);
      }
      fields.end('apiVersion');
    }
  }

  remove(references: readonly { kind: string; namespace: string; name: string }[]): void {
    for (const { kind, namespace, name } of references) {
      const key = `${namespace}/${name}`;
      this.changed.add(kind === 'Service' ? key : (this.slices.get(key)?.service ?? key));
      if (kind === 'Service') this.services.delete(key);
      else this.slices.delete(key);
    }
  }

  takeChanged(): ReadonlySet<string> {
    const { changed } = this;
    this.changed = new Set();
    return changed;
  }

  /** Service ports in the order of their Services' names. */
  servicePortConfigs(): ServicePortConfig[] {
    const services = [...this.services].sort(([a], [b]) => compareBytes(a, b));
    return services.flatMap(([key, ports]) => ports.map((svc) => ({ ...svc, endpoints: this.endpoints(key, svc) })));
  }

  private endpoints(service: string, svc: ServicePortConfig): EndpointConfig[] {
    const byText = new Map<string, EndpointConfig>();
    for (const slice of this.slices.values()) {
      if (slice.service !== service) continue;
      for (const { name = '', protocol, port } of slice.ports) {
        if (name !== svc.portName || protocol.toLowerCase() !== svc.protocol) continue;
        for (const endpoint of slice.endpoints) {
          const text = hostPort(endpoint.address, port);
          if (byText.get(text)?.isLocal !== true) byText.set(text, { ...endpoint, port });
        }
      }
    }
    return [...byText].sort(([a], [b]) => compareBytes(a, b)).map(([, endpoint]) => endpoint);
  }

  private servicePorts(meta: Meta, object: Fields): ServicePortConfig[] {
    const spec = new Fields(object.take<unknown>('spec', {}), 'spec');
    const status = object.take<Json>('status', {});
    const { ingress = [] } = (status.loadBalancer ?? {}) as { ingress?: { ip?: string; ipMode?: string }[] };
    const ofFamily = (ip: string): boolean => familyOf(ip) === this.config.ipFamily;
    const type = spec.take<string>('type', 'ClusterIP');
    const externalIps = spec.take<string[]>('externalIPs', []).filter(ofFamily);
    const localApplies = type !== 'ClusterIP' || externalIps.length > 0;
    const externalPolicyLocal = spec.take<string>('externalTrafficPolicy', 'Cluster') === 'Local' && localApplies;
    const affinity = spec.take<string>('sessionAffinity', 'None');
    const affinityConfig = spec.take('sessionAffinityConfig', { clientIP: { timeoutSeconds: 10800 } });
    const healthCheckNodePort = spec.take('healthCheckNodePort', 0);
    const shared = {
      namespace: meta.namespace,
      name: meta.name,
      clusterIp: spec.take('clusterIP', ''),
      externalIps,
      loadBalancerVips: ingress.flatMap(({ ip = '', ipMode }) => (ofFamily(ip) && ipMode !== 'Proxy' ? [ip] : [])),
      loadBalancerSourceRanges: spec
        .take<string[]>('loadBalancerSourceRanges', [])
        .map((range) => canonicalCidr(range.trim()) ?? '')
        .filter((range) => familyOfCidr(range) === this.config.ipFamily),
      externalPolicyLocal,
      internalPolicyLocal: spec.take<string>('internalTrafficPolicy', 'Cluster') === 'Local',
      affinitySeconds: affinity === 'ClientIP' ? affinityConfig.clientIP.timeoutSeconds : 0,
      healthCheckNodePort: type === 'LoadBalancer' && externalPolicyLocal ? healthCheckNodePort : 0,
      endpoints: [],
    };
    const ports = spec.take<Json[]>('ports', []);
    spec.end();
    return ports.map((value) => {
      const port = new Fields(value, 'port');
      const svc: ServicePortConfig = {
        ...shared,
        portName: port.take('name', ''),
        protocol: port.take('protocol', 'TCP').toLowerCase() as ServicePortConfig['protocol'],
        port: port.take('port', 0),
        nodePort: port.take('nodePort', 0),
      };
      port.end('targetPort');
      return svc;
    });
  }

  private slice(meta: Meta, object: Fields): Slice {
    const given = object.take<unknown>('endpoints', []);
    const endpoints = Array.isArray(given)
      ? (given as Json[])
      : generatedEndpoints(given as { generate: { count: number; address: string } });
    object.end('apiVersion', 'addressType', 'ports');
    return {
      service: `${meta.namespace}/${meta.labels?.['kubernetes.io/service-name'] ?? ''}`,
      ports: object.take<SlicePort[]>('ports', []),
      endpoints:
        object.take<string>('addressType', '') === this.config.ipFamily
          ? endpoints.map((row) => this.endpoint(row))
          : [],
    };
  }

  private endpoint(value: Json): Omit<EndpointConfig, 'port'> {
    const fields = new Fields(value, 'endpoint');
    const conditions = new Fields(fields.take<unknown>('conditions', {}), 'conditions');
    const endpoint = {
      address: canonicalIp(fields.take<string[]>('addresses', [])[0]) ?? '',
      isLocal: fields.take('nodeName', '') === this.config.nodeName,
      ready: conditions.take('ready', true),
      serving: conditions.take('serving', true),
      terminating: conditions.take('terminating', false),
      zoneHints: [],
      nodeHints: [],
    };
    fields.end();
    conditions.end();
    return endpoint;
  }
}

/** `10.0.{i mod 256}.{floor(i/256)}` for i from 0. */
function generatedEndpoints({ generate }: { generate: { count: number; address: string } }): Json[] {
  return Array.from({ length: generate.count }, (_, i) => {
    const address = generate.address
      .replace('{i mod 256}', String(i % 256))
      .replace('{floor(i/256)}', String(Math.floor(i / 256)));
    if (address.includes('{')) throw new Error(`unknown address pattern ${generate.address}`);
    return { addresses: [address] };
  });
}
