/** Makes the points of a sweep: the document with a point's values in it, checked, with its manifests and profile read. */
import { dirname, resolve } from 'node:path';
import { parseCidr } from '../model/address.ts';
import type { EngineName } from '../model/engine-name.ts';
import {
  IPVS_DEPRECATED_MINOR,
  kubeProxyMinor,
  missingMode,
  NFTABLES_BETA_MINOR,
} from '../model/kube-proxy-versions.ts';
import { CURRENT_KUBE_PROXY } from '../model/kube-proxy.ts';
import type { KubeProxyBehaviour } from '../model/kube-proxy.ts';
import type { CostProfile } from '../model/profile.ts';
import { planChurn, unseenFaults } from './churn.ts';
import { buildCluster } from './cluster-builder.ts';
import type { BuiltCluster } from './cluster-builder.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import { readKubeProxy } from './kube-proxy-version.ts';
import { readProfile } from './load-profile.ts';
import { readManifests } from './manifests.ts';
import type { ManifestResult } from './manifests.ts';
import { isMapping, SHORT_NAMES } from './overrides.ts';
import type { Draft } from './overrides.ts';
import { check } from './schema-issues.ts';
import { DEFAULT_ENGINES, ENDPOINT_LIMIT, experimentSchema } from './schema.ts';
import type { ExperimentInput } from './schema.ts';
import { readText } from './source.ts';
import type { Position, ReadFile } from './source.ts';
import type { Axis, ClusterSpec, ManifestCluster, PointSpec, SyntheticCluster, TrafficSpec } from './spec.ts';
import { toChurn } from './to-churn.ts';
import { checkDns } from './to-dns.ts';
import { toPropagation, toProxy, toSynthetic, toTraffic } from './to-spec.ts';
import type { Fail } from './to-spec.ts';
import { hasWayIn, trafficTargets } from './traffic.ts';
import { OVERRIDE_KEYS, toOverrides } from './workload-overrides.ts';

export type AxisValues = Readonly<Record<string, number | string | boolean>>;

/** An axis that knows where its values are written. */
export interface PlacedAxis extends Axis {
  readonly position: Position;
}

/** Simulated days that arrivals may take without a duration. */
const LONGEST_DAYS = 30;
/** Rows of a trial's timeline. */
const TIMELINE_ROWS = 100_000;

/** Keys of `cluster` for manifests alone. */
const MANIFEST_KEYS = [
  'node',
  'cluster_cidr',
  'extra_services',
  'extra_endpoints_per_service',
  ...OVERRIDE_KEYS,
] as const;

/** Makes points of a document. Manifests and profiles are read once. */
export class Resolver {
  readonly #draft: Draft;
  readonly #axes: ReadonlyMap<string, PlacedAxis>;
  readonly #folder: string;
  readonly #file: string;
  readonly #readFile: ReadFile | undefined;
  readonly #manifests = new Map<string, ManifestResult>();
  readonly #profiles = new Map<string, CostProfile>();
  readonly #texts = new Map<string, string>();
  /** Where the profiles lie that points have, by their names. */
  readonly profileFiles = new Map<string, string>();
  readonly #warnings = new Set<string>();

  constructor(draft: Draft, axes: readonly PlacedAxis[], file: string, readFile: ReadFile | undefined) {
    this.#draft = draft;
    this.#axes = new Map(axes.map((axis) => [axis.name, axis]));
    this.#file = file;
    this.#folder = dirname(file);
    this.#readFile = readFile;
  }

  document(values: AxisValues): ExperimentInput {
    return this.#checked(this.#at(values));
  }

  point(values: AxisValues): PointSpec {
    const draft = this.#at(values);
    const input = this.#checked(draft);
    const fail: Fail = (message, path) => {
      throw draft.error(message, path);
    };
    const cluster = this.#cluster(input.cluster, draft, fail);
    const traffic = toTraffic(input.traffic, fail);
    const churn = toChurn(input.churn, fail);
    const point: PointSpec = {
      cluster,
      traffic,
      churn,
      proxy: toProxy(input.proxy, this.#kubeProxy(input, draft, fail), fail),
      propagation: toPropagation(input.propagation, fail),
      profile: this.#profileOf(input, draft, fail),
      durationSeconds: input.duration_s,
      timelineSeconds: input.timeline_s,
    };
    this.#checkTogether(point, draft, fail);
    return point;
  }

  /** Sorted JSON of everything that a result depends on: the document with its overrides, the manifests, the profile. */
  canonicalText(): string {
    const document = { ...this.#draft.data };
    // What --quick sets is in the document already; what it would have set is no part of it.
    delete document['quick'];
    // What others have published changes no result.
    delete document['reference'];
    const sweep = [...this.#axes.values()].map(({ name, values }) => ({ name, values }));
    return `${canonicalJson({ ...document, sweep, files: Object.fromEntries(this.#texts) })}\n`;
  }

  /** Engines of an experiment that names none: those that all its versions of kube-proxy have. */
  defaultEngines(input: ExperimentInput): readonly EngineName[] {
    const swept = [...this.#axes.values()].find(({ name }) => name === 'kubeProxy')?.values;
    const minors = (swept ?? [input.kubeProxy ?? CURRENT_KUBE_PROXY.version]).map((each) =>
      kubeProxyMinor(String(each)),
    );
    return DEFAULT_ENGINES.filter((engine) =>
      minors.every((minor) => minor === undefined || missingMode(engine, minor) === undefined),
    );
  }

  warnings(): string[] {
    return [...this.#warnings];
  }

  #at(values: AxisValues): Draft {
    const draft = this.#draft.copy();
    for (const [name, value] of Object.entries(values)) {
      const position = this.#axes.get(name)?.position ?? { file: this.#file };
      at(position, () => draft.set(name, value, position));
    }
    return draft;
  }

  #checked(draft: Draft): ExperimentInput {
    const checked = check(experimentSchema, draft.data, 'the experiment', SHORT_NAMES);
    if (checked.mistake !== undefined)
      throw draft.error(checked.mistake.message, checked.mistake.path, checked.mistake.atKey);
    return checked.value;
  }

  /** The behaviour of the version at this point, which must have every mode that the experiment asks for. */
  #kubeProxy(input: ExperimentInput, draft: Draft, fail: Fail): KubeProxyBehaviour {
    const read = readKubeProxy(input.kubeProxy ?? CURRENT_KUBE_PROXY.version, '"kubeProxy"');
    if ('wrong' in read) return fail(read.wrong, ['kubeProxy']);
    if (!draft.has('engines')) return read;
    const minor = kubeProxyMinor(read.version) ?? 0;
    for (const [i, engine] of input.engines.entries()) {
      const missing = missingMode(engine, minor);
      if (missing === undefined) continue;
      fail(`${missing} Take "${engine}" out of "engines", or another version by "kubeProxy".`, ['engines', i]);
    }
    // Whoever names no version has not asked for this one's troubles.
    if (input.kubeProxy === undefined) return read;
    if (input.engines.includes('ipvs') && minor >= IPVS_DEPRECATED_MINOR) {
      this.#warnings.add(`IPVS mode is deprecated in kube-proxy ${read.version}.`);
    }
    if (input.engines.includes('nftables') && minor < NFTABLES_BETA_MINOR) {
      const beta = `v1.${NFTABLES_BETA_MINOR}`;
      this.#warnings.add(`nftables mode of kube-proxy ${read.version} (alpha) is taken to be that of ${beta}.`);
    }
    return read;
  }

  #cluster(input: ExperimentInput['cluster'], draft: Draft, fail: Fail): ClusterSpec {
    if ((input.synthetic === undefined) === (input.manifests === undefined)) {
      fail('"cluster" must have either "synthetic" or "manifests".', ['cluster']);
    }
    if (input.synthetic !== undefined) {
      for (const key of MANIFEST_KEYS) {
        if (input[key] !== undefined)
          fail(`"cluster.${key}" belongs to a cluster of manifests, not to a synthetic one.`, ['cluster', key]);
      }
      return this.#syntheticCluster(input, fail);
    }
    return this.#manifestCluster(input, draft, fail);
  }

  #syntheticCluster(input: ExperimentInput['cluster'], fail: Fail): SyntheticCluster {
    const { synthetic, observed_nodes: observedNodes } = input;
    const cluster = toSynthetic(synthetic as NonNullable<typeof synthetic>, observedNodes, fail);
    checkObserved(observedNodes, cluster.nodes, fail);
    return cluster;
  }

  #manifestCluster(input: ExperimentInput['cluster'], draft: Draft, fail: Fail): ManifestCluster {
    const files = input.manifests ?? [];
    const extraServices = input.extra_services ?? 0;
    const extraEndpointsPerService = input.extra_endpoints_per_service ?? 2;
    if (extraServices * extraEndpointsPerService > ENDPOINT_LIMIT) {
      fail(
        `${extraServices} extra services with ${extraEndpointsPerService} endpoints each are too many; at most ${ENDPOINT_LIMIT} endpoints are modelled.`,
        ['cluster', 'extra_services'],
      );
    }
    const key = JSON.stringify([files, input.node, input.cluster_cidr, toOverrides(input)]);
    let result = this.#manifests.get(key);
    if (result === undefined) {
      result = this.#readManifests(files, input, draft, fail);
      this.#manifests.set(key, result);
      for (const warning of result.warnings) this.#warnings.add(warning);
    }
    const { node, state, workload, podBlock } = result;
    checkObserved(input.observed_nodes, workload.nodes.length, fail);
    const others = result.otherNodes.slice(0, input.observed_nodes - 1);
    return {
      kind: 'manifests',
      files,
      node,
      state,
      workload,
      podBlock,
      others,
      extraServices,
      extraEndpointsPerService,
    };
  }

  #readManifests(
    files: readonly string[],
    input: ExperimentInput['cluster'],
    draft: Draft,
    fail: Fail,
  ): ManifestResult {
    const clusterCidr = input.cluster_cidr === undefined ? undefined : parseCidr(input.cluster_cidr);
    if (input.cluster_cidr !== undefined && clusterCidr === undefined) {
      fail(`"cluster.cluster_cidr" must be an IPv4 block such as "10.244.0.0/16", got ${quote(input.cluster_cidr)}.`, [
        'cluster',
        'cluster_cidr',
      ]);
    }
    const texts = files.map((name, i) => {
      const path = resolve(this.#folder, name);
      try {
        const text = readText(path, this.#readFile);
        this.#texts.set(name, text);
        return { path: relativeTo(this.#folder, name), text };
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        if (error.line !== undefined) throw error;
        throw draft.error(`The manifest ${quote(name)} cannot be used: ${error.message}`, ['cluster', 'manifests', i]);
      }
    });
    try {
      return readManifests(texts, { node: input.node, clusterCidr, overrides: toOverrides(input) });
    } catch (error) {
      if (error instanceof InputError && error.file === undefined)
        throw draft.error(error.message, error.path ?? ['cluster']);
      throw error;
    }
  }

  /** The profile at this point, which must have costs of every mode that the experiment asks for. */
  #profileOf(input: ExperimentInput, draft: Draft, fail: Fail): CostProfile {
    const profile = this.#profile(input.profile, draft);
    const at = input.engines.indexOf('userspace');
    if (profile.unit !== 'instructions' || at < 0) return profile;
    return fail(
      `The profile ${quote(input.profile)} is in instructions and has no costs of userspace mode. Take "userspace" out of "engines", or another profile by "profile".`,
      ['engines', at],
    );
  }

  #profile(name: string, draft: Draft): CostProfile {
    const known = this.#profiles.get(name);
    if (known !== undefined) return known;
    try {
      const { profile, text, file } = readProfile(name, this.#readFile, this.#folder);
      this.profileFiles.set(profile.name, file);
      this.#profiles.set(name, profile);
      this.#texts.set(`profile ${name}`, text);
      return profile;
    } catch (error) {
      if (error instanceof InputError && error.file === undefined) throw draft.error(error.message, ['profile']);
      throw error;
    }
  }

  /** What only shows when traffic and churn meet the cluster. A large synthetic cluster is not built for this. */
  #checkTogether(point: PointSpec, draft: Draft, fail: Fail): void {
    const { cluster, traffic, churn } = point;
    const planned = (built: BuiltCluster): void => {
      inFile(draft, () => {
        for (const warning of unseenFaults(planChurn(churn, built), built)) this.#warnings.add(warning);
      });
    };
    if (cluster.kind === 'synthetic') {
      if (!cluster.deployments && churn.some((entry) => !CHURN_OF_KUBE_PROXY.has(entry.kind))) {
        fail(
          'Churn needs Deployments; this cluster is synthetic and has them by "cluster.synthetic.deployments: true".',
          ['churn'],
        );
      }
      // Only names need the whole cluster to be checked.
      if (churn.some((entry) => 'deployment' in entry || 'node' in entry)) planned(buildCluster(cluster));
      checkSyntheticTraffic(traffic, cluster, fail);
    } else {
      const built = buildCluster({ ...cluster, extraServices: Math.min(cluster.extraServices, 1000) });
      planned(built);
      const needed = traffic.connections > 0 && (traffic.onlyManifestServices || cluster.extraServices <= 1000);
      if (needed) inFile(draft, () => trafficTargets(traffic, built));
      const { dns } = traffic;
      if (dns !== undefined) inFile(draft, () => checkDns(dns, built, trafficTargets(traffic, built)));
      for (const { kind, key, what } of WAYS_IN) {
        if (traffic[`${kind}Ratio`] === 0 || cluster.state.servicePorts.some((svc) => hasWayIn(svc, kind))) continue;
        fail(`"traffic.${key}" is above 0 and no Service of the manifests has ${what}.`, ['traffic', key]);
      }
    }
    checkLength(point, fail);
    const end = point.durationSeconds;
    for (const entry of churn) {
      if (entry.kind !== 'pods' && end > 0 && entry.atSeconds >= end) {
        const of = 'deployment' in entry ? entry.deployment : 'node' in entry ? entry.node : undefined;
        this.#warnings.add(
          `The ${entry.kind}${of === undefined ? '' : ` of ${of}`} at ${entry.atSeconds} s comes after the end at ${end} s and does not happen.`,
        );
      }
    }
  }
}

function checkObserved(observedNodes: number, nodes: number, fail: Fail): void {
  if (observedNodes <= nodes) return;
  fail(`"cluster.observed_nodes" must be at most the number of nodes, which is ${nodes}, got ${observedNodes}.`, [
    'cluster',
    'observed_nodes',
  ]);
}

/** Churn that needs no Deployment. */
const CHURN_OF_KUBE_PROXY: ReadonlySet<string> = new Set(['proxy_restart', 'sync_failure']);

/** Gives an InputError of the builders its place in the file. */
function inFile(draft: Draft, build: () => unknown): void {
  try {
    build();
  } catch (error) {
    if (error instanceof InputError && error.file === undefined) throw draft.error(error.message, error.path ?? []);
    throw error;
  }
}

/** How connections come in from outside: the same key for the share of traffic and for the share of synthetic services. */
const WAYS_IN = [
  { kind: 'nodePort', key: 'node_port_ratio', what: 'a node port' },
  { kind: 'loadBalancer', key: 'load_balancer_ratio', what: 'an address of a load balancer' },
  { kind: 'externalIp', key: 'external_ip_ratio', what: 'an external IP' },
] as const;

function checkSyntheticTraffic(traffic: TrafficSpec, cluster: SyntheticCluster, fail: Fail): void {
  const { services } = cluster;
  if (traffic.dns !== undefined) {
    fail('"traffic.dns" needs a Service in front of CoreDNS, so a cluster of manifests; this one is synthetic.', [
      'traffic',
      'dns',
    ]);
  }
  if (traffic.onlyManifestServices) {
    fail('"only_manifest_services" needs a cluster of manifests; this one is synthetic.', [
      'traffic',
      'only_manifest_services',
    ]);
  }
  for (const { kind, key, what } of WAYS_IN) {
    if (traffic[`${kind}Ratio`] === 0 || cluster[`${kind}Ratio`] > 0) continue;
    fail(`"traffic.${key}" is above 0 and "cluster.synthetic.${key}" is 0: no service has ${what}.`, ['traffic', key]);
  }
  if (traffic.popularity.kind !== 'one') return;
  const name = traffic.popularity.service;
  const match = /^(?:(?:synthetic\/)?svc-)?(\d+)(?::p\d+)?$/.exec(name);
  const number = Number(match?.[1] ?? 0);
  if (match === null || number < 1 || number > services) {
    const hint = didYouMean(name, ['svc-1']);
    fail(
      `There is no Service ${quote(name)}; a synthetic cluster's services are the numbers 1 to ${services}.${hint}`,
      ['traffic', 'popularity', 'one'],
    );
  }
}

/** Manifest paths in messages are relative to where the experiment's own path is. */
function relativeTo(folder: string, name: string): string {
  if (folder === '.' || /^([/\\]|[A-Za-z]:)/.test(name)) return name;
  const parts: string[] = [];
  for (const part of [...folder.split('/'), ...name.split('/')]) {
    if (part === '.') continue;
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..' && parts.at(-1) !== '') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (!isMapping(value)) return JSON.stringify(value) ?? 'null';
  const keys = Object.keys(value).sort((a, b) => (a < b ? -1 : 1));
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`).join(',')}}`;
}

/** Runs `action`; an InputError without a place gets this one. */
export function at<T>(position: Position, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof InputError && error.file === undefined) throw new InputError(error.message, position);
    throw error;
  }
}

/** A trial must end, and its timeline must fit in memory. */
function checkLength(point: PointSpec, fail: Fail): void {
  const { traffic, durationSeconds } = point;
  const arrivalDays = traffic.connections / traffic.connectionsPerSecond / 86_400;
  if (durationSeconds === 0 && arrivalDays > LONGEST_DAYS) {
    fail(
      `${traffic.connections} connections at ${traffic.connectionsPerSecond} a second take ${arrivalDays.toPrecision(3)} days; ` +
        `expected at most ${LONGEST_DAYS}, or a "duration_s".`,
      ['traffic', 'connections_per_s'],
    );
  }
  if (point.timelineSeconds === 0) return;
  const rows = (durationSeconds > 0 ? durationSeconds : arrivalDays * 86_400) / point.timelineSeconds;
  if (rows > TIMELINE_ROWS) {
    fail(
      `A timeline of ${Math.round(rows)} rows is too long; expected at most ${TIMELINE_ROWS}: take a larger "timeline_s".`,
      ['timeline_s'],
    );
  }
}
