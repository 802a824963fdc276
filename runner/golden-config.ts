/** From a golden case's `proxy` to kube-proxy's configuration, and what the drivers of all modes share. */
import { CURRENT_KUBE_PROXY } from '../model/kube-proxy.ts';
import type { KubeProxyBehaviour } from '../model/kube-proxy.ts';
import { ProxyObjects } from '../scenarios/proxy-objects.ts';
import { IPVS_SCHEDULERS } from '../engines/ipvs/program/node-settings.ts';
import { canonicalCidr, canonicalIp } from '../model/ip-text.ts';
import { InputError, quote } from '../scenarios/errors.ts';
import { readKubeProxy } from '../scenarios/kube-proxy-version.ts';
import type { ProxyConfig, ServicePortConfig } from '../model/service-config.ts';
import type { GoldenStep } from '../scenarios/golden-case.ts';
import type { GoldenFlow, GoldenProxy } from '../scenarios/golden-schema.ts';

/** Defaults are those of kube-proxy, but for the mark, which tests print short. Throws an InputError for a setting that is none. */
export function proxyConfig(proxy: GoldenProxy): ProxyConfig {
  checkSettings(proxy);
  return {
    ipFamily: proxy.ipFamily ?? 'IPv4',
    nodeName: proxy.nodeName ?? '',
    nodeIp: nodeAddress(proxy.nodeIP ?? ''),
    zone: proxy.zone ?? '',
    localDetector: localDetector(proxy),
    masqueradeAll: proxy.masqueradeAll ?? false,
    masqueradeMark: proxy.masqueradeMark ?? '0x4000',
    masqueradeRandomFully: proxy.iptablesHasRandomFully ?? false,
    localhostNodePorts: proxy.localhostNodePorts ?? true,
    nodePortAddresses: proxy.nodePortAddresses ?? [],
    interfaceAddresses: proxy.interfaceAddresses ?? proxy.nodeAddresses ?? [],
    nfacct: {
      ctStateInvalid: proxy.nfacct?.ct_state_invalid_dropped_pkts ?? false,
      localhostNodePorts: proxy.nfacct?.localhost_nps_accepted_pkts ?? false,
    },
    conntrackTcpLiberal: proxy.conntrackTCPLiberal ?? false,
    serviceCidrs: proxy.serviceCIDRs ?? [],
    ipvsScheduler: proxy.scheduler ?? 'rr',
    strictArp: proxy.strictARP ?? false,
    excludeCidrs: proxy.excludeCIDRs ?? [],
    largeClusterEndpoints: proxy.largeClusterEndpointsThreshold ?? 1000,
    syncPeriodSeconds: proxy.syncPeriodSeconds ?? 30,
    kubeProxy: behaviour(proxy.kubeProxy),
  };
}

/** Settings keep the text they are given in, which the rules may print; it must only mean something. */
function checkSettings(proxy: GoldenProxy): void {
  const isBlock = (text: string): boolean => canonicalCidr(text) !== undefined;
  const isAddress = (text: string): boolean => canonicalIp(text) !== undefined;
  const given: readonly (readonly [
    keyof GoldenProxy,
    readonly string[] | null | undefined,
    (text: string) => boolean,
    string,
  ])[] = [
    [
      'detectLocalCIDR',
      (proxy.detectLocalCIDR ?? '') === '' ? [] : [proxy.detectLocalCIDR ?? ''],
      isBlock,
      'a block such as 10.0.0.0/8',
    ],
    ['nodePortAddresses', proxy.nodePortAddresses, isBlock, 'blocks such as 10.0.0.0/8'],
    ['serviceCIDRs', proxy.serviceCIDRs, isBlock, 'blocks such as 10.0.0.0/8'],
    ['excludeCIDRs', proxy.excludeCIDRs, isBlock, 'blocks such as 10.0.0.0/8'],
    ['interfaceAddresses', proxy.interfaceAddresses, isAddress, 'IP addresses'],
    ['nodeAddresses', proxy.nodeAddresses, isAddress, 'IP addresses'],
    [
      'masqueradeMark',
      [proxy.masqueradeMark ?? '0x4000'],
      (text) => /^0x[0-9a-f]{1,8}$/i.test(text),
      'a mark such as 0x4000',
    ],
    [
      'scheduler',
      [proxy.scheduler ?? ''],
      (text) => text === '' || IPVS_SCHEDULERS.includes(text),
      `one of ${IPVS_SCHEDULERS.join(', ')}`,
    ],
  ];
  for (const [key, texts, isOne, expected] of given) {
    const wrong = (texts ?? []).find((text) => !isOne(text));
    if (wrong !== undefined) throw new InputError(`"proxy.${key}" must be ${expected}, got ${quote(wrong)}.`);
  }
}

function behaviour(version: string | number | undefined): KubeProxyBehaviour {
  if (version === undefined) return CURRENT_KUBE_PROXY;
  const read = readKubeProxy(version, '"proxy.kubeProxy"');
  if ('wrong' in read) throw new InputError(read.wrong);
  return read;
}

function nodeAddress(text: string): string {
  if (text === '') return '';
  const address = canonicalIp(text);
  if (address === undefined) throw new InputError(`"proxy.nodeIP" must be an IP address, got "${text}".`);
  return address;
}

function localDetector(proxy: GoldenProxy): ProxyConfig['localDetector'] {
  const cidr = proxy.detectLocalCIDR ?? '';
  const bridge = proxy.detectLocalBridge ?? '';
  const prefix = proxy.detectLocalInterfacePrefix ?? '';
  if ([cidr, bridge, prefix].filter((each) => each !== '').length > 1) {
    throw new InputError('"proxy" names more than one way to detect local traffic.');
  }
  if (cidr !== '') return { kind: 'cidr', cidr };
  if (bridge !== '') return { kind: 'bridge', name: bridge };
  return prefix === '' ? { kind: 'none' } : { kind: 'prefix', name: prefix };
}

export interface FlowOutcome {
  readonly output: string;
  readonly masq: boolean;
}

export interface TracedFlow {
  readonly sourceIp: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly destIp: string;
  readonly destPort: number;
  readonly localIps: readonly string[];
}

/** What is wrong with the flows of a step; empty when nothing is. */
export function checkFlows(
  flows: readonly GoldenFlow[],
  localIps: readonly string[],
  trace: (flow: TracedFlow) => FlowOutcome,
): string[] {
  return flows.flatMap((flow) => {
    const got = trace({
      sourceIp: flow.sourceIP,
      protocol: flow.protocol.toLowerCase() as TracedFlow['protocol'],
      destIp: flow.destIP,
      destPort: flow.destPort,
      localIps,
    });
    if (got.output === flow.output && got.masq === flow.masq) return [];
    const way = `${flow.sourceIP} to ${flow.destIP} port ${flow.destPort}/${flow.protocol}`;
    const said = ({ output, masq }: FlowOutcome): string =>
      `${output === '' ? 'no match' : output}, masq ${String(masq)}`;
    return [`flow "${flow.name ?? way}" (${way}):\n  expected  ${said(flow)}\n  got       ${said(got)}`];
  });
}

/** `label: ` before each failure of a step that has a label. */
export function labelled(step: GoldenStep, failures: readonly string[]): string[] {
  return failures.map((failure) => (step.label === '' ? failure : `${step.label}: ${failure}`));
}

export interface SyncInput {
  readonly services: readonly ServicePortConfig[];
  readonly changed: ReadonlySet<string>;
}

/** Feeds the objects of steps to one proxier. */
export class GoldenFeed {
  readonly #objects: ProxyObjects;

  constructor(config: ProxyConfig) {
    this.#objects = new ProxyObjects({ ipFamily: config.ipFamily, nodeName: config.nodeName });
  }

  /** What kube-proxy would know after the step's changes. Throws an InputError for a deletion of what is not there. */
  advance(step: Pick<GoldenStep, 'apply' | 'remove'>): SyncInput {
    for (const object of step.apply) this.#objects.apply(object);
    for (const { kind, key } of step.remove) {
      if (!this.#objects.delete(kind, key)) throw new InputError(`There is no ${kind} ${key} to delete.`);
    }
    return { services: this.#objects.configs(), changed: this.#objects.takeChanges() };
  }

  /** Every address that load balancers hand out, of any mode. */
  loadBalancerIps(): string[] {
    return this.#objects.services().flatMap((service) =>
      (service.status?.loadBalancer?.ingress ?? []).flatMap((ingress) => {
        const address = canonicalIp(ingress.ip ?? '');
        return address === undefined ? [] : [address];
      }),
    );
  }
}
