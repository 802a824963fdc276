/** What golden cases describe instead of listing: endpoints by a template of their number, and series of Services. */
import { parseIpv4, formatIpv4 } from '../model/address.ts';
import { InputError, quote } from './errors.ts';
import type { ServiceObject, SliceObject } from './service-config.ts';

/** A slice whose `endpoints` is `{ generate: { count, address } }` with its endpoints written out; anything else as it is. */
export function expandEndpoints(object: unknown): unknown {
  if (!isRecord(object) || !isRecord(object['endpoints'])) return object;
  const { generate, ...others } = object['endpoints'];
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) throw new InputError(`Unknown key "${unknown}" in endpoints. Expected "generate".`);
  if (!isRecord(generate)) throw new InputError('"endpoints" must be a list, or hold "generate".');
  const { count, address } = generate;
  const stray = Object.keys(generate).find((key) => !['count', 'address', 'note'].includes(key));
  if (stray !== undefined) throw new InputError(`Unknown key "${stray}" in endpoints.generate.`);
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > 1_000_000) {
    throw new InputError(`"endpoints.generate.count" must be an integer up to 1000000, got ${quote(count)}.`);
  }
  if (typeof address !== 'string') throw new InputError('"endpoints.generate.address" must be text.');
  return { ...object, endpoints: Array.from({ length: count }, (_, i) => ({ addresses: [fillTemplate(address, i)] })) };
}

/** `10.0.{i mod 256}.{floor(i/256)}` for a number `i`. */
function fillTemplate(template: string, i: number): string {
  return template.replace(/\{([^}]*)\}/g, (_whole, expression: string) => String(evaluate(expression.trim(), i)));
}

function evaluate(expression: string, i: number): number {
  if (expression === 'i') return i;
  const match = /^i (mod|\+) (\d+)$/.exec(expression) ?? /^(floor)\(i ?\/ ?(\d+)\)$/.exec(expression);
  if (match === null) {
    throw new InputError(`Cannot read ${quote(expression)}; expected i, i mod N, i + N or floor(i/N).`);
  }
  const operand = Number(match[2]);
  if (match[1] === 'mod') return i % operand;
  return match[1] === '+' ? i + operand : Math.floor(i / operand);
}

/** A series of Services with endpoints, all of one shape. */
export interface ServiceGenerator {
  service(i: number): ServiceObject;
  slice(i: number, endpoints: number): SliceObject;
}

const SERVICE_FORM =
  /^namespace\/svc\{i\}, clusterIP ([\d.]+) \+ i, one (TCP|UDP|SCTP) port named "([^"]*)", port (\d+) \+ i$/;
const ENDPOINT_FORM = /^([\d.]+) \+ j, port (\d+), no node name$/;

/** From the two sentences that describe a series; an InputError where they say what is not known. */
export function readGenerator(serviceText: string, endpointText: string): ServiceGenerator {
  const service = SERVICE_FORM.exec(serviceText);
  const endpoint = ENDPOINT_FORM.exec(endpointText);
  const firstIp = parseIpv4(service?.[1] ?? '');
  const firstEndpoint = parseIpv4(endpoint?.[1] ?? '');
  if (service === null || firstIp === undefined) {
    throw new InputError(`Cannot read the series of Services ${quote(serviceText)}.`);
  }
  if (endpoint === null || firstEndpoint === undefined) {
    throw new InputError(`Cannot read the series of endpoints ${quote(endpointText)}.`);
  }
  const protocol = service[2] as 'TCP' | 'UDP' | 'SCTP';
  const name = service[3];
  const metadata = (i: number) => ({ namespace: 'namespace', name: `svc${i}` });
  return {
    service: (i) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: metadata(i),
      spec: { clusterIP: formatIpv4(firstIp + i), ports: [{ name, protocol, port: Number(service[4]) + i }] },
    }),
    slice: (i, endpoints) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata(i), labels: { 'kubernetes.io/service-name': `svc${i}` } },
      addressType: 'IPv4',
      ports: [{ name, protocol, port: Number(endpoint[2]) }],
      endpoints: Array.from({ length: endpoints }, (_, j) => ({ addresses: [formatIpv4(firstEndpoint + j)] })),
    }),
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
