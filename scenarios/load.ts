/** Reads an experiment: the only place where YAML becomes typed data. Every mistake is an InputError with file, line and column. */
import { dirname, resolve } from 'node:path';
import { parseCidr } from '../model/address.ts';
import type { CostProfile } from '../model/profile.ts';
import { buildCluster } from './cluster-builder.ts';
import { planChurn } from './churn.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import { readProfile } from './load-profile.ts';
import { readManifests } from './manifests.ts';
import type { ManifestResult } from './manifests.ts';
import { Draft, isMapping, parseAssignment, resolvePath } from './overrides.ts';
import type { Assignment } from './overrides.ts';
import { axisValues } from './ranges.ts';
import { experimentSchema } from './schema.ts';
import type { ExperimentInput } from './schema.ts';
import { findMistake } from './schema-issues.ts';
import { parseSingleSource, readText } from './source.ts';
import type { Path, Position, ReadFile, SourceDocument } from './source.ts';
import type { Axis, ClusterSpec, Experiment, ManifestCluster, PointSpec, TrafficSpec } from './spec.ts';
import { toChurn, toPropagation, toProxy, toSynthetic, toTraffic } from './to-spec.ts';
import type { Fail } from './to-spec.ts';
import { trafficTargets } from './traffic.ts';

export { listExperiments } from './list-experiments.ts';
export type { ExperimentSummary } from './list-experiments.ts';
export { listProfiles, loadProfile, scenariosFolder } from './load-profile.ts';

export interface LoadOptions {
  /** `path=value`, in order; a swept path's value replaces the values of its axis. */
  readonly set?: readonly string[] | undefined;
  readonly seed?: number | undefined;
  /** Applies `quick.overrides`, before `set`. */
  readonly quick?: boolean | undefined;
  readonly readFile?: ReadFile | undefined;
}

export type AxisValues = Readonly<Record<string, number | string | boolean>>;

export interface LoadedExperiment extends Experiment {
  /** The point at these axis values (every axis of the experiment; a dotted path that is no axis is allowed, too). */
  resolvePoint(values: AxisValues): PointSpec;
}

/** Points of a sweep, all axes together. */
const POINT_LIMIT = 100_000;
/** Values of an axis that are checked on loading; the rest when their point is made. */
const CHECKED_VALUES = 64;
const SEED_LIMIT = 9007199254740991;

export function loadExperiment(file: string, options: LoadOptions = {}): LoadedExperiment {
  const text = readText(file, options.readFile);
  const source = parseSingleSource(text, file);
  if (!isMapping(source.data)) {
    throw new InputError('An experiment must be a mapping of keys to values.', source.position([]));
  }
  const draft = new Draft(source, source.data);
  for (const assignment of assignments(source, options)) assign(draft, assignment);
  const axes = readAxes(draft);
  const resolver = new Resolver(draft, axes, file, options.readFile);
  const first = resolver.document(firstValues(axes));
  checkAxes(axes, resolver);
  return {
    name: first.experiment,
    question: first.question.trim(),
    isDefault: first.default,
    engines: first.engines,
    replications: first.replications,
    seed: first.seed,
    axes: axes.map(({ name, values }) => ({ name, values })),
    file,
    canonicalText: resolver.canonicalText(),
    warnings: resolver.warnings(),
    resolvePoint: (values) => resolver.point(values),
  };
}

/** What --quick, --set and --seed put over the file, in that order. */
function assignments(source: SourceDocument, options: LoadOptions): Assignment[] {
  const list: Assignment[] = [];
  const quick = isMapping(source.data) ? source.data['quick'] : undefined;
  const overrides = isMapping(quick) ? quick['overrides'] : undefined;
  if (options.quick === true && isMapping(overrides)) {
    for (const [name, value] of Object.entries(overrides)) {
      list.push({ name, value, position: source.keyPosition(['quick', 'overrides', name]) });
    }
  }
  for (const text of options.set ?? []) list.push(parseAssignment(text));
  if (options.seed !== undefined) {
    const seed = options.seed;
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new InputError(`The seed must be an integer from 0 to ${SEED_LIMIT}, got ${quote(seed)}.`, { file: '--seed' });
    }
    list.push({ name: 'seed', value: seed, position: { file: `--seed ${seed}` } });
  }
  return list;
}

/** Sets a value, or the values of the axis that sweeps its path: otherwise the sweep would silently win. */
function assign(draft: Draft, assignment: Assignment): void {
  const { name, value, position } = assignment;
  const sweep = draft.data['sweep'];
  const path = at(position, () => resolvePath(name, draft.data)).join('.');
  const axis = isMapping(sweep)
    ? Object.keys(sweep).find((key) => at(position, () => resolvePath(key, draft.data)).join('.') === path)
    : undefined;
  if (axis === undefined || !isMapping(sweep)) {
    at(position, () => draft.set(name, value, position));
    return;
  }
  draft.setPath(['sweep', axis], value, position);
}

/** Runs `action`; an InputError without a place gets this one. */
function at<T>(position: Position, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof InputError && error.file === undefined) throw new InputError(error.message, position);
    throw error;
  }
}

interface PlacedAxis extends Axis {
  readonly position: Position;
}

function readAxes(draft: Draft): PlacedAxis[] {
  const sweep = draft.data['sweep'];
  if (!isMapping(sweep)) return [];
  const axes: PlacedAxis[] = [];
  const paths = new Map<string, string>();
  let points = 1;
  for (const [name, written] of Object.entries(sweep)) {
    const position = draft.position(['sweep', name]);
    const key = draft.position(['sweep', name], true);
    const path = at(key, () => resolvePath(name, draft.data)).join('.');
    const other = paths.get(path);
    if (other !== undefined) throw new InputError(`"${name}" and "${other}" sweep the same key, ${path}.`, key);
    paths.set(path, name);
    const flat = Array.isArray(written) ? (written as unknown[]) : [written];
    const wrong = flat.find((each) => !['number', 'string', 'boolean'].includes(typeof each) || Number.isNaN(each));
    if (wrong !== undefined || flat.length === 0) {
      const got = flat.length === 0 ? 'an empty list' : quote(wrong);
      throw new InputError(`The sweep of "${name}" must be values or a range such as "1..50000:log10x3", got ${got}.`, position);
    }
    const values = at(position, () => axisValues(flat as (number | string | boolean)[], name));
    points *= values.length;
    if (points > POINT_LIMIT) {
      throw new InputError(`The sweep has more than ${POINT_LIMIT} points; shorten its axes.`, draft.position(['sweep'], true));
    }
    axes.push({ name, values, position });
  }
  return axes;
}

function firstValues(axes: readonly Axis[]): AxisValues {
  return Object.fromEntries(axes.map((axis) => [axis.name, axis.values[0] as number | string | boolean]));
}

/** Makes points along each axis, the others at their first value, so that a mistake shows before the sweep starts. */
function checkAxes(axes: readonly PlacedAxis[], resolver: Resolver): void {
  const base = firstValues(axes);
  resolver.point(base);
  for (const axis of axes) {
    const step = Math.max(1, Math.ceil(axis.values.length / CHECKED_VALUES));
    for (let i = 0; i < axis.values.length; i += step) {
      resolver.point({ ...base, [axis.name]: axis.values[i] as number | string | boolean });
    }
    resolver.point({ ...base, [axis.name]: axis.values.at(-1) as number | string | boolean });
  }
}

/** Makes points of a document. Manifests and profiles are read once. */
class Resolver {
  readonly #draft: Draft;
  readonly #axes: ReadonlyMap<string, PlacedAxis>;
  readonly #folder: string;
  readonly #file: string;
  readonly #readFile: ReadFile | undefined;
  readonly #manifests = new Map<string, ManifestResult>();
  readonly #profiles = new Map<string, CostProfile>();
  readonly #texts = new Map<string, string>();
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
      proxy: toProxy(input.proxy),
      propagation: toPropagation(input.propagation, fail),
      profile: this.#profile(input.profile, draft),
      durationSeconds: input.duration_s,
      timelineSeconds: input.timeline_s,
    };
    this.#checkTogether(point, draft, fail);
    return point;
  }

  /** Sorted JSON of everything that a result depends on: the document with its overrides, the manifests, the profile. */
  canonicalText(): string {
    const { quick: _quick, ...document } = this.#draft.data;
    const sweep = [...this.#axes.values()].map(({ name, values }) => ({ name, values }));
    return `${canonicalJson({ ...document, sweep, files: Object.fromEntries(this.#texts) })}\n`;
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
    const mistake = findMistake(experimentSchema, draft.data, 'the experiment');
    if (mistake !== undefined) throw draft.error(mistake.message, mistake.path, mistake.atKey);
    return experimentSchema.parse(draft.data);
  }

  #cluster(input: ExperimentInput['cluster'], draft: Draft, fail: Fail): ClusterSpec {
    if ((input.synthetic === undefined) === (input.manifests === undefined)) {
      fail('"cluster" must have either "synthetic" or "manifests".', ['cluster']);
    }
    if (input.synthetic !== undefined) {
      for (const key of ['node', 'cluster_cidr', 'extra_services', 'extra_endpoints_per_service'] as const) {
        if (input[key] !== undefined) fail(`"cluster.${key}" belongs to a cluster of manifests, not to a synthetic one.`, ['cluster', key]);
      }
      return toSynthetic(input.synthetic, fail);
    }
    return this.#manifestCluster(input, draft, fail);
  }

  #manifestCluster(input: ExperimentInput['cluster'], draft: Draft, fail: Fail): ManifestCluster {
    const files = input.manifests ?? [];
    const extraServices = input.extra_services ?? 0;
    const extraEndpointsPerService = input.extra_endpoints_per_service ?? 2;
    if (extraServices * extraEndpointsPerService > 2_000_000) {
      fail(`${extraServices} extra services with ${extraEndpointsPerService} endpoints each are too many; at most 2000000 endpoints are modelled.`, ['cluster', 'extra_services']);
    }
    const key = JSON.stringify([files, input.node, input.cluster_cidr]);
    let result = this.#manifests.get(key);
    if (result === undefined) {
      result = this.#readManifests(files, input, draft, fail);
      this.#manifests.set(key, result);
      for (const warning of result.warnings) this.#warnings.add(warning);
    }
    const { node, state, workload, podBlock } = result;
    return { kind: 'manifests', files, node, state, workload, podBlock, extraServices, extraEndpointsPerService };
  }

  #readManifests(files: readonly string[], input: ExperimentInput['cluster'], draft: Draft, fail: Fail): ManifestResult {
    const clusterCidr = input.cluster_cidr === undefined ? undefined : parseCidr(input.cluster_cidr);
    if (input.cluster_cidr !== undefined && clusterCidr === undefined) {
      fail(`"cluster.cluster_cidr" must be an IPv4 block such as "10.244.0.0/16", got ${quote(input.cluster_cidr)}.`, ['cluster', 'cluster_cidr']);
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
      return readManifests(texts, { node: input.node, clusterCidr });
    } catch (error) {
      if (error instanceof InputError && error.file === undefined) throw draft.error(error.message, error.path ?? ['cluster']);
      throw error;
    }
  }

  #profile(name: string, draft: Draft): CostProfile {
    const known = this.#profiles.get(name);
    if (known !== undefined) return known;
    try {
      const { profile, text } = readProfile(name, this.#readFile, this.#folder);
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
    if (cluster.kind === 'synthetic') {
      if (churn.length > 0) fail('Churn needs Deployments, so a cluster of manifests; this one is synthetic.', ['churn']);
      checkSyntheticTraffic(traffic, cluster.services, cluster.nodePortRatio, fail);
    } else {
      const built = buildCluster({ ...cluster, extraServices: Math.min(cluster.extraServices, 1000) });
      try {
        planChurn(churn, built);
        const needed = traffic.connections > 0 && (traffic.onlyManifestServices || cluster.extraServices <= 1000);
        if (needed) trafficTargets(traffic, built);
      } catch (error) {
        if (error instanceof InputError && error.file === undefined) throw draft.error(error.message, error.path ?? []);
        throw error;
      }
      if (traffic.nodePortRatio > 0 && !cluster.state.servicePorts.some((svc) => svc.nodePort > 0)) {
        fail('"traffic.node_port_ratio" is above 0 and no Service of the manifests has a node port.', ['traffic', 'node_port_ratio']);
      }
    }
    const end = point.durationSeconds;
    for (const entry of churn) {
      if (end > 0 && entry.atSeconds >= end) {
        this.#warnings.add(`The ${entry.kind} of ${entry.deployment} at ${entry.atSeconds} s comes after the end at ${end} s and does not happen.`);
      }
    }
  }
}

function checkSyntheticTraffic(traffic: TrafficSpec, services: number, nodePortRatio: number, fail: Fail): void {
  if (traffic.onlyManifestServices) {
    fail('"only_manifest_services" needs a cluster of manifests; this one is synthetic.', ['traffic', 'only_manifest_services']);
  }
  if (traffic.nodePortRatio > 0 && nodePortRatio === 0) {
    fail('"traffic.node_port_ratio" is above 0 and "cluster.synthetic.node_port_ratio" is 0: no service has a node port.', ['traffic', 'node_port_ratio']);
  }
  if (traffic.popularity.kind !== 'one') return;
  const name = traffic.popularity.service;
  const match = /^(?:(?:synthetic\/)?svc-)?(\d+)(?::p\d+)?$/.exec(name);
  const number = Number(match?.[1] ?? 0);
  if (match === null || number < 1 || number > services) {
    const hint = didYouMean(name, ['svc-1']);
    fail(`There is no Service ${quote(name)}; a synthetic cluster's services are the numbers 1 to ${services}.${hint}`, ['traffic', 'popularity', 'one']);
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

export type { Path };
