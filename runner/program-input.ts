/** What `dump` and `trace` compile: service ports and kube-proxy's configuration, out of manifests or an experiment's cluster. */
import { ENGINE_NAMES } from '../model/engine-name.ts';
import { kubeProxyMinor, missingMode, newestKubeProxy } from '../model/kube-proxy-versions.ts';
import { CURRENT_KUBE_PROXY } from '../model/kube-proxy.ts';
import type { KubeProxyBehaviour } from '../model/kube-proxy.ts';
import { formatCidr, formatIpv4 } from '../model/address.ts';
import { servicePortConfig } from '../engines/proxy/configs.ts';
import { canonicalCidr, familyOf, familyOfCidr } from '../model/ip-text.ts';
import type { IpFamily, ProxyConfig, ServicePortConfig } from '../model/service-config.ts';
import { buildCluster } from '../scenarios/cluster-builder.ts';
import { didYouMean, InputError } from '../scenarios/errors.ts';
import { readKubeProxy } from '../scenarios/kube-proxy-version.ts';
import { isMapping } from '../scenarios/overrides.ts';
import { addressOfFamily, readProxyManifests } from '../scenarios/proxy-manifests.ts';
import { serviceConfigs } from '../scenarios/service-config.ts';
import { parseSource, readText } from '../scenarios/source.ts';
import type { ManifestFile } from '../scenarios/manifests.ts';
import type { ProxySpec } from '../scenarios/spec.ts';
import { load } from './commands/experiments.ts';
import type { ScenarioOptions } from './commands/experiments.ts';
import { planSweep } from './sweep-plan.ts';

export interface ProxyFlags extends ScenarioOptions {
  readonly engine: string;
  readonly family?: string;
  readonly node?: string;
  readonly masqueradeAll?: boolean;
  readonly detectLocalCidr?: string;
  readonly detectLocalBridge?: string;
  readonly detectLocalPrefix?: string;
  readonly nodeportAddresses?: readonly string[];
  readonly ipvsScheduler?: string;
  readonly nfacct?: boolean;
  /** A version of kube-proxy, such as v1.31. */
  readonly kubeProxy?: string;
}

export interface ProgramInput {
  readonly config: ProxyConfig;
  readonly services: readonly ServicePortConfig[];
  /** For standard error, a line each. */
  readonly notes: readonly string[];
}

/** A cluster seen from one node, in one family. */
interface Seen {
  readonly node: { readonly name: string; readonly zone: string; readonly addresses: readonly string[] };
  readonly podCidr: string;
  readonly services: readonly ServicePortConfig[];
  readonly proxy?: ProxySpec;
}

const LOOPBACK = ['127.0.0.1', '::1'];
/** Addresses that are named in the note about the other family. */
const NAMED_SERVICES = 5;

/** One experiment, or any number of manifests. Throws an InputError for what cannot be compiled. */
export function readProgramInput(paths: readonly string[], flags: ProxyFlags, family: IpFamily): ProgramInput {
  const files = paths.map((path) => ({ path, text: readText(path) }));
  if (!files.some(isExperiment)) return manifestInput(files, flags, family);
  const notes: string[] = [];
  const seen = ofExperiment(paths, flags, family, notes);
  return { config: proxyConfig(seen, flags, family), services: seen.services, notes };
}

export function manifestInput(files: readonly ManifestFile[], flags: ProxyFlags, family: IpFamily): ProgramInput {
  const notes: string[] = [];
  const seen = ofManifests(files, flags, family, notes);
  return { config: proxyConfig(seen, flags, family), services: seen.services, notes };
}

/** `ipv4` and `ipv6`, as the flag has it. */
export function familyOfFlag(text: string): IpFamily {
  if (text === 'ipv4') return 'IPv4';
  if (text === 'ipv6') return 'IPv6';
  throw new InputError(`--family "${text}" is not known. Expected ipv4 or ipv6`);
}

function isExperiment({ path, text }: ManifestFile): boolean {
  // Parsing a dump of a large cluster takes seconds; most manifests do not hold the word at all.
  if (!/\bexperiment\b/.test(text)) return false;
  return parseSource(text, path).some(({ data }) => isMapping(data) && Object.hasOwn(data, 'experiment'));
}

function ofManifests(files: readonly ManifestFile[], flags: ProxyFlags, family: IpFamily, notes: string[]): Seen {
  for (const name of ['set', 'seed', 'quick'] as const) {
    if (flags[name] !== undefined) throw new InputError(`--${name} changes an experiment; these files are manifests`);
  }
  const read = at('--node', () => readProxyManifests(files, flags.node));
  notes.push(...read.notes.map((text) => `note: ${text}`), ...read.assigned.map((text) => `assigned: ${text}`));
  const viewpoint = { ipFamily: family, nodeName: read.node.name };
  const services = serviceConfigs(read.services, read.slices, viewpoint);
  const names = new Set(services.map(({ namespace, name }) => `${namespace}/${name}`));
  const others = read.services
    .map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`)
    .filter((name) => !names.has(name));
  if (others.length > 0) notes.push(otherFamilyNote(others, family));
  const both = read.services.filter(({ spec }) => (spec.clusterIPs ?? []).length > 1).length;
  if (both > 0) {
    const other = family === 'IPv4' ? 'IPv6' : 'IPv4';
    notes.push(
      `note: ${both} of the Services have ${other} rules as well: --family ${other.toLowerCase()} shows them.`,
    );
  }
  return { node: read.node, podCidr: read.podCidrs[family], services };
}

function otherFamilyNote(names: readonly string[], family: IpFamily): string {
  const shown = names.slice(0, NAMED_SERVICES).join(', ');
  const more = names.length > NAMED_SERVICES ? ` and ${names.length - NAMED_SERVICES} more` : '';
  return `note: Left out, for want of a cluster IP of ${family}: ${shown}${more}.`;
}

/** The node's name comes by a flag here, not from a document. */
function at<T>(flag: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof InputError && error.path?.join('.') === 'cluster.node') {
      throw new InputError(error.message, { file: flag });
    }
    throw error;
  }
}

function ofExperiment(paths: readonly string[], flags: ProxyFlags, family: IpFamily, notes: string[]): Seen {
  if (paths.length > 1)
    throw new InputError('An experiment stands alone; the other files are not read', { file: paths[1] });
  const trial = planSweep(load(paths[0], flags)).trials[0];
  if (trial === undefined) throw new InputError('The experiment has no trial', { file: paths[0] });
  const { node, state, workload } = buildCluster(trial.point.cluster);
  const name = flags.node ?? node.name;
  const nodes = workload.nodes.map((each) => each.name);
  const observed = workload.nodes.find((each) => each.name === name);
  if (observed === undefined) {
    const hint = didYouMean(name, nodes);
    throw new InputError(`There is no node "${name}"; the cluster has ${nodes.slice(0, 10).join(', ')}.${hint}`, {
      file: '--node',
    });
  }
  const addresses = (name === node.name ? node.addresses : [observed.address]).map(formatIpv4);
  if (family === 'IPv6')
    notes.push("note: An experiment's cluster has no IPv6 addresses; these are the rules without Services.");
  return {
    node: { name, zone: observed.zone, addresses },
    podCidr: family === 'IPv4' && node.clusterCidr !== undefined ? formatCidr(node.clusterCidr) : '',
    services: family === 'IPv4' ? state.servicePorts.map((svc) => servicePortConfig(svc, { name, addresses: [] })) : [],
    proxy: trial.point.proxy,
  };
}

/** kube-proxy's defaults, but for what the flags or the experiment say. */
function proxyConfig({ node, podCidr, proxy }: Seen, flags: ProxyFlags, family: IpFamily): ProxyConfig {
  const hasCounters = flags.nfacct === true || (proxy?.nfacct ?? false);
  return {
    ipFamily: family,
    nodeName: node.name,
    nodeIp: addressOfFamily(node.addresses, family),
    zone: node.zone,
    localDetector: localDetector(flags, podCidr, family, proxy),
    masqueradeAll: flags.masqueradeAll === true || (proxy?.masqueradeAll ?? false),
    masqueradeMark: '0x00004000',
    masqueradeRandomFully: proxy?.masqueradeRandomFully ?? true,
    localhostNodePorts: proxy?.localhostNodePorts ?? true,
    nodePortAddresses: nodePortAddresses(node.addresses, flags, proxy),
    interfaceAddresses: [...LOOPBACK, ...node.addresses],
    nfacct: { ctStateInvalid: hasCounters, localhostNodePorts: hasCounters },
    conntrackTcpLiberal: proxy?.conntrackTcpLiberal ?? false,
    serviceCidrs: (proxy?.serviceCidrs ?? []).map(formatCidr),
    ipvsScheduler: flags.ipvsScheduler ?? proxy?.ipvsScheduler ?? 'rr',
    strictArp: false,
    excludeCidrs: [],
    largeClusterEndpoints: proxy?.largeClusterEndpoints ?? 1000,
    syncPeriodSeconds: proxy?.syncPeriodSeconds ?? 30,
    kubeProxy: kubeProxyOf(flags, proxy),
  };
}

/** The flag's version, else the experiment's, which must have the mode; else the newest that has it. */
function kubeProxyOf(flags: ProxyFlags, proxy: ProxySpec | undefined): KubeProxyBehaviour {
  const mode = ENGINE_NAMES.find((name) => name === flags.engine);
  const unnamed = proxy?.kubeProxy ?? (mode === undefined ? CURRENT_KUBE_PROXY : newestKubeProxy(mode));
  const read = flags.kubeProxy === undefined ? unnamed : readKubeProxy(flags.kubeProxy, '--kube-proxy');
  if ('wrong' in read) throw new InputError(read.wrong);
  const missing = mode === undefined ? undefined : missingMode(mode, kubeProxyMinor(read.version) ?? 0);
  if (missing !== undefined) throw new InputError(`--engine "${flags.engine}": ${missing}`);
  return read;
}

/** `primary` stands for the node's first addresses, and is the default of nftables mode; the others open node ports everywhere. */
function nodePortAddresses(addresses: readonly string[], flags: ProxyFlags, proxy: ProxySpec | undefined): string[] {
  const ofExperiment = proxy?.nodePortAddresses === 'primary' ? ['primary'] : proxy?.nodePortAddresses?.map(formatCidr);
  const given = flags.nodeportAddresses ?? ofExperiment ?? (flags.engine === 'nftables' ? ['primary'] : []);
  if (!given.includes('primary')) return given.map((text) => cidrOf('--nodeport-addresses', text));
  if (given.length > 1) throw new InputError('--nodeport-addresses takes "primary" or blocks, not both');
  const families = [
    { family: 'IPv4', length: 32 },
    { family: 'IPv6', length: 128 },
  ] as const;
  return families.flatMap(({ family, length }) => {
    const address = addressOfFamily(addresses, family);
    return address === '' ? [] : [`${address}/${length}`];
  });
}

function localDetector(
  flags: ProxyFlags,
  podCidr: string,
  family: IpFamily,
  proxy: ProxySpec | undefined,
): ProxyConfig['localDetector'] {
  const { detectLocalCidr, detectLocalBridge, detectLocalPrefix } = flags;
  const given = [detectLocalCidr, detectLocalBridge, detectLocalPrefix].filter((each) => each !== undefined);
  if (given.length > 1) throw new InputError('Only one of the --detect-local options can be given');
  if (detectLocalBridge !== undefined) return { kind: 'bridge', name: interfaceName('bridge', detectLocalBridge) };
  if (detectLocalPrefix !== undefined) return { kind: 'prefix', name: interfaceName('prefix', detectLocalPrefix) };
  if (detectLocalCidr !== undefined) {
    const cidr = cidrOf('--detect-local-cidr', detectLocalCidr);
    if (familyOfCidr(cidr) !== family) {
      throw new InputError(
        `--detect-local-cidr "${detectLocalCidr}" is no ${family} block, and the rules are for ${family}`,
      );
    }
    return { kind: 'cidr', cidr };
  }
  const ofExperiment = proxy?.localDetection ?? { kind: 'cluster' };
  if (ofExperiment.kind === 'cluster') return podCidr === '' ? { kind: 'none' } : { kind: 'cidr', cidr: podCidr };
  if (ofExperiment.kind !== 'cidr') return ofExperiment;
  return family === 'IPv4' ? { kind: 'cidr', cidr: formatCidr(ofExperiment.cidr) } : { kind: 'none' };
}

/** IFNAMSIZ is 16 with the closing NUL. */
function interfaceName(what: 'bridge' | 'prefix', text: string): string {
  if (/^[^\s/"+*]{1,15}$/.test(text)) return text;
  throw new InputError(`--detect-local-${what} expects the name of an interface, at most 15 characters, got "${text}"`);
}

function cidrOf(flag: string, text: string): string {
  const cidr = canonicalCidr(text);
  if (cidr !== undefined) return cidr;
  const hint = familyOf(text) === undefined ? '' : ' (the length of the prefix is missing)';
  throw new InputError(`${flag} expects a block such as 10.244.0.0/16, got "${text}"${hint}`);
}
