/**
 * The Kubernetes objects of golden cases: read as kube-proxy's tests give them, looser than the API server is (port 0, no address
 * type, one cluster IP twice), but never in silence where kube-proxy itself could make nothing of them.
 */
import { InputError } from './errors.ts';
import { expandEndpoints } from './golden-generate.ts';
import { objectKey, readProxyObject } from './service-config.ts';
import type { ServiceObject, SliceObject } from './service-config.ts';

/** Throws an InputError that names the object and the field. */
export function readGoldenObject(data: unknown, file: string): ServiceObject | SliceObject {
  try {
    const object = readProxyObject(expandEndpoints(data), 'strict');
    if (object.kind === 'Service') checkPorts(object);
    return object;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`${whose(data)}${error.message}`, { file, path: error.path });
  }
}

export function readGoldenSlice(data: unknown, file: string): SliceObject {
  const object = readGoldenObject(data, file);
  if (object.kind === 'EndpointSlice') return object;
  throw new InputError(`Expected EndpointSlices, got Service ${objectKey(object)}.`, { file });
}

/** `In Service ns1/web: `, as far as the object says what it is. */
function whose(data: unknown): string {
  const kind = textOf(data, 'kind');
  const metadata: unknown = isRecord(data) ? data['metadata'] : undefined;
  const name = textOf(metadata, 'name');
  if (kind === '' && name === '') return '';
  return `In ${[kind, [textOf(metadata, 'namespace'), name].filter((text) => text !== '').join('/')].filter((text) => text !== '').join(' ')}: `;
}

/** kube-proxy knows a service port by its name and protocol, and a packet by address, protocol and port (pkg/proxy/types.go ServicePortName). */
function checkPorts({ spec }: ServiceObject): void {
  const ports = spec.ports ?? [];
  const isProxied = spec.type !== 'ExternalName' && (spec.clusterIPs?.[0] ?? spec.clusterIP) !== 'None';
  if (isProxied && ports.length === 0) {
    throw new InputError('"spec.ports" is missing or empty; expected at least one port.', { path: ['spec', 'ports'] });
  }
  const seen = new Set<string>();
  for (const [index, { name, protocol, port, nodePort }] of ports.entries()) {
    const transport = protocol ?? 'TCP';
    const field = `"spec.ports.${index}`;
    const claims = [
      { key: `name ${name ?? ''}/${transport}`, said: `${field}.name" "${name ?? ''}" of ${transport}`, counts: true },
      {
        key: `port ${port ?? 0}/${transport}`,
        said: `${field}.port" ${port ?? 0}/${transport}`,
        counts: (port ?? 0) > 0,
      },
      {
        key: `nodePort ${nodePort ?? 0}/${transport}`,
        said: `${field}.nodePort" ${nodePort ?? 0}/${transport}`,
        counts: (nodePort ?? 0) > 0,
      },
    ];
    for (const { key, said, counts } of claims) {
      if (counts && seen.has(key)) {
        throw new InputError(`${said} stands twice in this Service.`, { path: ['spec', 'ports', index] });
      }
      seen.add(key);
    }
  }
}

function textOf(data: unknown, key: string): string {
  const value: unknown = isRecord(data) ? data[key] : undefined;
  return typeof value === 'string' ? value : '';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
