/** Kubernetes objects out of YAML or JSON text: documents, Lists, kinds, duplicates. */
import type { z } from 'zod';
import { didYouMean, InputError, quote } from './errors.ts';
import { deploymentSchema, endpointSliceSchema, nodeSchema, podSchema, serviceSchema } from './manifest-schema.ts';
import type { DeploymentObject, EndpointSliceObject, NodeObject, PodObject, ServiceObject } from './manifest-schema.ts';
import { isMapping } from './overrides.ts';
import { check } from './schema-issues.ts';
import { parseSource } from './source.ts';
import type { Path, SourceDocument } from './source.ts';

export interface ManifestFile {
  /** As it shall stand in messages. */
  readonly path: string;
  readonly text: string;
}

/** An object of which the fields that are read have the right types. */
export interface KubernetesObject<T> {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly data: T;
  /** An InputError that stands at a field of this object. */
  error(message: string, path: Path, atKey?: boolean): InputError;
  /** `file:line` of the object, for a message about another one. */
  readonly place: string;
}

export interface ManifestObjects {
  readonly deployments: KubernetesObject<DeploymentObject>[];
  readonly services: KubernetesObject<ServiceObject>[];
  readonly endpointSlices: KubernetesObject<EndpointSliceObject>[];
  readonly pods: KubernetesObject<PodObject>[];
  readonly nodes: KubernetesObject<NodeObject>[];
  readonly warnings: string[];
}

const KINDS = ['Deployment', 'Service', 'EndpointSlice', 'Pod', 'Node'] as const;
type Kind = (typeof KINDS)[number];

const API_VERSIONS: Readonly<Record<Kind, string>> = {
  Deployment: 'apps/v1',
  Service: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  Pod: 'v1',
  Node: 'v1',
};

const SCHEMAS: Readonly<Record<Kind, z.ZodType>> = {
  Deployment: deploymentSchema,
  Service: serviceSchema,
  EndpointSlice: endpointSliceSchema,
  Pod: podSchema,
  Node: nodeSchema,
};

/** Objects that a warning names before it only counts. */
const NAMED_IN_WARNING = 10;

/** Objects of each kind in byte order of (namespace, name). */
export function collectObjects(files: readonly ManifestFile[]): ManifestObjects {
  const collector = new Collector();
  for (const file of files)
    for (const source of parseSource(file.text, file.path)) collector.add(source, source.data, [], undefined);
  return collector.finish();
}

class Collector {
  readonly #byKind: Record<Kind, KubernetesObject<unknown>[]> = {
    Deployment: [],
    Service: [],
    EndpointSlice: [],
    Pod: [],
    Node: [],
  };
  readonly #seen = new Map<string, KubernetesObject<unknown>>();
  readonly #ignored = new Map<string, string[]>();

  /** `listKind` is the kind of a list's items, which may leave it out (`ServiceList`). */
  add(source: SourceDocument, value: unknown, path: Path, listKind: string | undefined): void {
    if (!isMapping(value)) {
      throw new InputError(`A Kubernetes object must be a mapping, got ${quote(value)}.`, source.position(path));
    }
    const kind = value['kind'] ?? listKind;
    if (typeof kind !== 'string' || kind === '') {
      throw new InputError(
        '"kind" is missing; expected a Kubernetes object with apiVersion, kind and metadata.',
        source.position(path),
      );
    }
    if (kind.endsWith('List') && Array.isArray(value['items'])) {
      const itemKind = kind === 'List' ? undefined : kind.slice(0, -'List'.length);
      value['items'].forEach((item, i) => this.add(source, item, [...path, 'items', i], itemKind));
      return;
    }
    if (kind === 'List') throw new InputError('A List must have "items", a list of objects.', source.position(path));
    this.#addObject(source, value, path, kind, listKind !== undefined);
  }

  #addObject(
    source: SourceDocument,
    value: Record<string, unknown>,
    path: Path,
    kind: string,
    inTypedList: boolean,
  ): void {
    checkApiVersion(source, value, path, kind, inTypedList);
    const known = isForeign(value['apiVersion']) ? undefined : KINDS.find((each) => each === kind);
    const metadata = isMapping(value['metadata']) ? value['metadata'] : {};
    if (known === undefined) {
      const near = isForeign(value['apiVersion']) ? '' : didYouMean(kind, KINDS);
      if (near !== '') throw new InputError(`Unknown kind ${quote(kind)}.${near}`, source.position([...path, 'kind']));
      const name = typeof metadata['name'] === 'string' ? metadata['name'] : 'without a name';
      const names = this.#ignored.get(kind) ?? [];
      names.push(`${kind}/${name}`);
      this.#ignored.set(kind, names);
      return;
    }
    const title = typeof metadata['name'] === 'string' ? `${kind} ${metadata['name']}` : `this ${kind}`;
    const checked = check(SCHEMAS[known], value, title);
    if (checked.mistake !== undefined) {
      throw new InputError(
        `In ${title}: ${checked.mistake.message}`,
        source.position([...path, ...checked.mistake.path]),
      );
    }
    const namespace = typeof metadata['namespace'] === 'string' && known !== 'Node' ? metadata['namespace'] : 'default';
    const object = makeObject(source, path, kind, namespace, String(metadata['name']), checked.value);
    const key = `${kind}/${namespace}/${object.name}`;
    const first = this.#seen.get(key);
    if (first !== undefined) {
      throw object.error(`${kind} ${objectName(object)} is given twice; the first is at ${first.place}.`, [
        'metadata',
        'name',
      ]);
    }
    this.#seen.set(key, object);
    this.#byKind[known].push(object);
  }

  finish(): ManifestObjects {
    const sorted = <T>(kind: Kind): KubernetesObject<T>[] => (this.#byKind[kind] as KubernetesObject<T>[]).sort(byName);
    const warnings = [...this.#ignored].map(([kind, names]) => {
      const shown = names.slice(0, NAMED_IN_WARNING).join(', ');
      const more = names.length > NAMED_IN_WARNING ? ` and ${names.length - NAMED_IN_WARNING} more` : '';
      return `Ignored ${shown}${more}: objects of kind ${kind} are not modelled.`;
    });
    return {
      deployments: sorted('Deployment'),
      services: sorted('Service'),
      endpointSlices: sorted('EndpointSlice'),
      pods: sorted('Pod'),
      nodes: sorted('Node'),
      warnings,
    };
  }
}

/** A group of somebody else's: serving.knative.dev has a Service, too, which is not what kube-proxy sees. Its versions may have any name. */
function isForeign(version: unknown): boolean {
  return typeof version === 'string' && /^[a-z0-9-]+\.[a-z0-9.-]+\//.test(version) && !version.includes('.k8s.io/');
}

function makeObject<T>(
  source: SourceDocument,
  root: Path,
  kind: string,
  namespace: string,
  name: string,
  data: T,
): KubernetesObject<T> {
  return {
    kind,
    namespace,
    name,
    data,
    error: (message, path, atKey = false) => {
      const at = [...root, ...path];
      return new InputError(message, atKey ? source.keyPosition(at) : source.position(at));
    },
    get place() {
      const at = source.position(root);
      return `${at.file}:${at.line ?? 1}`;
    },
  };
}

function checkApiVersion(
  source: SourceDocument,
  value: Record<string, unknown>,
  path: Path,
  kind: string,
  optional: boolean,
): void {
  const version = value['apiVersion'];
  // Asked for only when something is wrong: the first position in a large dump costs a whole YAML parse.
  const place = () => source.position([...path, 'apiVersion']);
  if ((version === undefined && optional) || isForeign(version)) return;
  if (version === undefined) throw new InputError(`"apiVersion" is missing in this ${kind}.`, source.position(path));
  if (typeof version !== 'string' || !/^([a-z0-9.-]+\/)?v\d+((alpha|beta)\d+)?$/.test(version)) {
    throw new InputError(`"apiVersion" must be text such as "v1" or "apps/v1", got ${quote(version)}.`, place());
  }
  const expected = (API_VERSIONS as Readonly<Record<string, string | undefined>>)[kind];
  if (expected === undefined || version === expected) return;
  const group = expected.split('/')[0];
  throw new InputError(
    `"apiVersion" of a ${kind} must be "${expected}"${version.startsWith(group) ? ' (older versions are no longer served)' : ''}, got ${quote(version)}.`,
    place(),
  );
}

/** `namespace/name`; a Node has no namespace. */
export function objectName(object: {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}): string {
  return object.kind === 'Node' ? object.name : `${object.namespace}/${object.name}`;
}

function byName(a: KubernetesObject<unknown>, b: KubernetesObject<unknown>): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name);
}

/** Order of UTF-16 units, which is byte order for the ASCII names of Kubernetes. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
