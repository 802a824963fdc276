/**
 * Bytes of a watch event that carries an EndpointSlice or an Endpoints object, as kube-proxy's watch gets it: protobuf, the fields
 * counted one by one as the API server encodes them [k8s.io/api discovery/v1 and core/v1, apimachinery meta/v1: generated.proto for the
 * numbers, Size() in generated.pb.go for the lengths: what is not a pointer is written also when it is empty, in two bytes].
 * Without HTTP/2 frames and TLS; watches are not compressed.
 */
import type { EndpointHints } from '../model/cluster.ts';

/** What a watch event says of its object [k8s.io/apimachinery pkg/watch]. */
export type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** The pod behind an endpoint. */
export interface EndpointIdentity {
  readonly address: number;
  readonly namespace: string;
  readonly podName: string;
  /** Empty: the field is absent. */
  readonly nodeName: string;
}

export interface ObjectPort {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
}

/** The Service that an object is made for. Labels of its own, which the controllers copy, are not known to the model. */
export interface OwnerName {
  readonly namespace: string;
  readonly name: string;
}

/** Addresses with the same ports in an Endpoints object. */
export interface SubsetSize {
  readonly ports: readonly ObjectPort[];
  /** Of all its addresses, ready and not. */
  readonly addressBytes: number;
}

const UID_LENGTH = 36;
/** An assumption: a cluster in which etcd has seen between a hundred million and a billion changes. */
const RESOURCE_VERSION_LENGTH = 9;
/** What the API server appends to generateName [apiserver pkg/storage/names/generate.go]. */
const NAME_SUFFIX_LENGTH = 5;
/** A date of our time in seconds needs five bytes, no nanoseconds one: the tags included. */
const TIMESTAMP_BYTES = 1 + 5 + 1 + 1;
/** `2006-01-02T15:04:05Z`: the times of conditions have whole seconds. */
const TRIGGER_TIME_LENGTH = 20;
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';
const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const CONTROLLER = 'endpointslice-controller.k8s.io';
const SERVICE_NAME = 'kubernetes.io/service-name';
/** An empty string that is no pointer. */
const EMPTY_TEXT = 2;
const BOOLEAN = 2;
/** The length before each message of the stream [apimachinery pkg/util/framer]. */
const FRAME_HEADER_BYTES = 4;
/** `k8s` and a zero byte before each object [runtime/serializer/protobuf]. */
const MAGIC_BYTES = 4;

/** Of an unsigned number, seven bits a byte. */
function varint(value: number): number {
  let bytes = 1;
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** A field of `length` bytes with its tag and its length; field numbers from 16 on have a tag of two bytes. */
function field(length: number, tagBytes = 1): number {
  return tagBytes + varint(length) + length;
}

/** A field of ASCII text. */
function text(value: string): number {
  return field(value.length);
}

function mapEntry(key: string, valueLength: number): number {
  return field(text(key) + field(valueLength));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}

function addressLength(address: number): number {
  let digits = 0;
  for (const octet of [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255]) {
    digits += octet >= 100 ? 3 : octet >= 10 ? 2 : 1;
  }
  return digits + 3;
}

/** Kind, namespace, name and uid of a pod; apiVersion, resourceVersion and fieldPath are empty [podToEndpoint]. */
function targetRef({ namespace, podName }: EndpointIdentity): number {
  return field(text('Pod') + text(namespace) + text(podName) + field(UID_LENGTH) + 3 * EMPTY_TEXT);
}

/** One endpoint in an EndpointSlice, its tag included [utils.go podToEndpoint]; `zone` is empty where the node has none. */
export function sliceEndpointBytes(pod: EndpointIdentity, zone: string, hints: EndpointHints | undefined): number {
  const conditions = field(3 * BOOLEAN);
  const node = pod.nodeName === '' ? 0 : text(pod.nodeName);
  const place = zone === '' ? 0 : text(zone);
  const forPlaces =
    hints === undefined ? 0 : field(sum([...hints.zones, ...hints.nodes].map((each) => field(text(each)))));
  return field(field(addressLength(pod.address)) + conditions + targetRef(pod) + node + place + forPlaces);
}

/** One address in an Endpoints object, its tag included [endpoints_controller.go podToEndpointAddressForService]. */
export function endpointAddressBytes(pod: EndpointIdentity): number {
  return field(field(addressLength(pod.address)) + targetRef(pod) + EMPTY_TEXT + text(pod.nodeName));
}

/** In both APIs: name, number and protocol, in another order. */
function portBytes({ name, port, protocol }: ObjectPort): number {
  return field(text(name) + 1 + varint(port) + text(protocol));
}

/**
 * ObjectMeta and the entry of managedFields that the API server keeps for kube-controller-manager. The generation, which Endpoints have
 * none of, is written also when it is 0, and is taken to be less than 128.
 */
function metadata(object: {
  readonly owner: OwnerName;
  readonly nameLength: number;
  readonly generateNameLength: number;
  readonly maps: number;
  readonly apiVersion: string;
  readonly managedFieldsLength: number;
}): number {
  const managed =
    text('kube-controller-manager') +
    text('Update') +
    text(object.apiVersion) +
    field(TIMESTAMP_BYTES) +
    text('FieldsV1') +
    field(field(object.managedFieldsLength)) +
    EMPTY_TEXT;
  return field(
    field(object.nameLength) +
      field(object.generateNameLength) +
      text(object.owner.namespace) +
      EMPTY_TEXT +
      field(UID_LENGTH) +
      field(RESOURCE_VERSION_LENGTH) +
      2 +
      field(TIMESTAMP_BYTES) +
      object.maps +
      field(managed, 2),
  );
}

/** `f:` of annotations in managedFields, with the comma behind it. */
function managedAnnotations(names: readonly string[]): string {
  if (names.length === 0) return '';
  return `"f:annotations":{".":{},${names.map((name) => `"f:${name}":{}`).join(',')}}`;
}

/** A WatchEvent in its frame around the object as runtime.Unknown [apiserver endpoints/handlers/watch.go]. */
function watchEvent(type: WatchEventType, apiVersion: string, kind: string, objectBytes: number): number {
  const typeMeta = field(text(apiVersion) + text(kind));
  const unknown = MAGIC_BYTES + typeMeta + field(objectBytes) + 2 * EMPTY_TEXT;
  return FRAME_HEADER_BYTES + text(type) + field(field(unknown));
}

/**
 * The event of an EndpointSlice [utils.go newEndpointSlice]; `endpointBytes` is the sum over its endpoints. `hasTriggerTime`: a pod's
 * Ready condition has changed since the sync before.
 */
export function sliceEventBytes(
  type: WatchEventType,
  owner: OwnerName,
  slice: { readonly ports: readonly ObjectPort[]; readonly endpointBytes: number; readonly hasTriggerTime: boolean },
): number {
  const { name } = owner;
  const annotations = slice.hasTriggerTime ? [TRIGGER_TIME] : [];
  const fields = [
    managedAnnotations(annotations),
    '"f:generateName":{}',
    `"f:labels":{".":{},"f:${MANAGED_BY}":{},"f:${SERVICE_NAME}":{}}`,
    `"f:ownerReferences":{".":{},"k:{\\"uid\\":\\"${'0'.repeat(UID_LENGTH)}\\"}":{}}`,
  ].filter((each) => each !== '');
  const managedFields = `{"f:addressType":{},"f:endpoints":{},"f:metadata":{${fields.join(',')}},"f:ports":{}}`;
  const ownerReference = field(text('Service') + text(name) + field(UID_LENGTH) + text('v1') + 2 * BOOLEAN);
  const maps =
    mapEntry(MANAGED_BY, CONTROLLER.length) +
    mapEntry(SERVICE_NAME, name.length) +
    sum(annotations.map((annotation) => mapEntry(annotation, TRIGGER_TIME_LENGTH))) +
    ownerReference;
  const apiVersion = 'discovery.k8s.io/v1';
  const meta = metadata({
    owner,
    nameLength: name.length + 1 + NAME_SUFFIX_LENGTH,
    generateNameLength: name.length + 1,
    maps,
    apiVersion,
    managedFieldsLength: managedFields.length,
  });
  const bytes = meta + slice.endpointBytes + sum(slice.ports.map(portBytes)) + text('IPv4');
  return watchEvent(type, apiVersion, 'EndpointSlice', bytes);
}

/** The event of an Endpoints object, which is never made nor deleted while its Service is there. */
export function endpointsEventBytes(
  owner: OwnerName,
  object: {
    readonly subsets: readonly SubsetSize[];
    readonly hasTriggerTime: boolean;
    /** More addresses than it may hold: an annotation says so. */
    readonly isTruncated: boolean;
  },
): number {
  const annotations = [
    ...(object.hasTriggerTime ? [{ name: TRIGGER_TIME, length: TRIGGER_TIME_LENGTH }] : []),
    ...(object.isTruncated ? [{ name: OVER_CAPACITY, length: 'truncated'.length }] : []),
  ];
  const managed = managedAnnotations(annotations.map((annotation) => annotation.name));
  const fields = [...(managed === '' ? [] : [`"f:metadata":{${managed}}`]), '"f:subsets":{}'];
  const meta = metadata({
    owner,
    nameLength: owner.name.length,
    generateNameLength: 0,
    maps: sum(annotations.map((annotation) => mapEntry(annotation.name, annotation.length))),
    apiVersion: 'v1',
    managedFieldsLength: `{${fields.join(',')}}`.length,
  });
  const subsets = object.subsets.map(({ ports, addressBytes }) => field(addressBytes + sum(ports.map(portBytes))));
  return watchEvent('MODIFIED', 'v1', 'Endpoints', meta + sum(subsets));
}
