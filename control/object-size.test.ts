import { describe, expect, it } from 'vitest';
import { endpointAddressBytes, endpointsEventBytes, sliceEndpointBytes, sliceEventBytes } from './object-size.ts';
import type { EndpointIdentity } from './object-size.ts';

/** A message as it is written: the other way to the same lengths, field by field from the .proto files. */
type Bytes = readonly number[];

function varint(value: number): Bytes {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

function bytes(number: number, content: Bytes): Bytes {
  return [...varint(number * 8 + 2), ...varint(content.length), ...content];
}

function text(number: number, value: string): Bytes {
  return bytes(number, [...Buffer.from(value)]);
}

function int(number: number, value: number): Bytes {
  return [...varint(number * 8), ...varint(value)];
}

function message(number: number, ...fields: Bytes[]): Bytes {
  return bytes(number, fields.flat());
}

const UID = '01234567-89ab-cdef-0123-456789abcdef';
const NOW = 1_764_000_000;
const POD: EndpointIdentity = { address: 0x0a010001, namespace: 'default', podName: 'web-0', nodeName: 'node-1' };
const OWNER = { namespace: 'default', name: 'web' };
const TRIGGER = 'endpoints.kubernetes.io/last-change-trigger-time';

function time(number: number): Bytes {
  return message(number, int(1, NOW), int(2, 0));
}

function pair(number: number, key: string, value: string): Bytes {
  return message(number, text(1, key), text(2, value));
}

function targetRef(number: number): Bytes {
  return message(
    number,
    text(1, 'Pod'),
    text(2, 'default'),
    text(3, 'web-0'),
    text(4, UID),
    ...[5, 6, 7].map((each) => text(each, '')),
  );
}

function managed(apiVersion: string, fieldsV1: object): Bytes {
  return message(
    17,
    text(1, 'kube-controller-manager'),
    text(2, 'Update'),
    text(3, apiVersion),
    time(4),
    text(6, 'FieldsV1'),
    message(7, text(1, JSON.stringify(fieldsV1))),
    text(8, ''),
  );
}

function watchEvent(type: string, apiVersion: string, kind: string, object: Bytes): number {
  const unknown = [
    ...[0x6b, 0x38, 0x73, 0],
    ...message(1, text(1, apiVersion), text(2, kind)),
    ...bytes(2, object),
    ...text(3, ''),
    ...text(4, ''),
  ];
  return 4 + [...text(1, type), ...message(2, bytes(1, unknown))].length;
}

describe('an EndpointSlice', () => {
  const endpoint = message(
    2,
    text(1, '10.1.0.1'),
    message(2, int(1, 1), int(2, 1), int(3, 0)),
    targetRef(4),
    text(6, 'node-1'),
    text(7, 'zone-a'),
    message(8, message(1, text(1, 'zone-a')), message(2, text(1, 'node-1'))),
  );
  const annotation = { 'f:annotations': { '.': {}, [`f:${TRIGGER}`]: {} } };
  const event = (type: string, ports: Bytes, hasTriggerTime: boolean, endpoints: Bytes): number => {
    const fields = managed('discovery.k8s.io/v1', {
      'f:addressType': {},
      'f:endpoints': {},
      'f:metadata': {
        ...(hasTriggerTime ? annotation : {}),
        'f:generateName': {},
        'f:labels': { '.': {}, 'f:endpointslice.kubernetes.io/managed-by': {}, 'f:kubernetes.io/service-name': {} },
        'f:ownerReferences': { '.': {}, [`k:{"uid":"${UID}"}`]: {} },
      },
      'f:ports': {},
    });
    const metadata = message(
      1,
      ...[text(1, 'web-x2k4q'), text(2, 'web-'), text(3, 'default'), text(4, ''), text(5, UID), text(6, '123456789')],
      int(7, 3),
      time(8),
      pair(11, 'endpointslice.kubernetes.io/managed-by', 'endpointslice-controller.k8s.io'),
      pair(11, 'kubernetes.io/service-name', 'web'),
      hasTriggerTime ? pair(12, TRIGGER, '2025-11-24T16:00:00Z') : [],
      message(13, text(1, 'Service'), text(3, 'web'), text(4, UID), text(5, 'v1'), int(6, 1), int(7, 1)),
      fields,
    );
    return watchEvent(type, 'discovery.k8s.io/v1', 'EndpointSlice', [
      ...metadata,
      ...endpoints,
      ...ports,
      ...text(4, 'IPv4'),
    ]);
  };

  it('has endpoints of the length that they are written in', () => {
    const hints = { zones: ['zone-a'], nodes: ['node-1'] };
    expect(sliceEndpointBytes(POD, 'zone-a', hints)).toBe(endpoint.length);
    // 10.1.0.1: 2 + 8. Conditions: 2 + 6. Pod, default, web-0, uid, three empty texts: 2 + (5 + 9 + 7 + 38 + 6). node-1: 2 + 6.
    expect(sliceEndpointBytes(POD, '', undefined)).toBe(2 + 10 + 8 + 67 + 8);
    // Longer than 127 bytes: two bytes of length.
    const long = { ...POD, podName: 'p'.repeat(63) };
    expect(sliceEndpointBytes(long, '', undefined)).toBe(3 + 10 + 8 + (2 + 123) + 8);
    expect(sliceEndpointBytes({ ...POD, nodeName: '' }, '', undefined)).toBe(2 + 10 + 8 + 67);
    expect(sliceEndpointBytes({ ...POD, address: 0xffffffff }, '', undefined)).toBe(2 + 17 + 8 + 67 + 8);
  });

  it.each(['ADDED', 'MODIFIED', 'DELETED'] as const)('is %s in an event of that length', (type) => {
    const port = message(3, text(1, 'http'), text(2, 'TCP'), int(3, 8080));
    const ports = [{ name: 'http', protocol: 'tcp', port: 8080 } as const];
    const many = Array.from({ length: 100 }, () => endpoint).flat();
    for (const hasTriggerTime of [true, false]) {
      const slice = { ports, endpointBytes: many.length, hasTriggerTime };
      expect(sliceEventBytes(type, OWNER, slice)).toBe(event(type, port, hasTriggerTime, many));
      const empty = { ports: [], endpointBytes: 0, hasTriggerTime };
      expect(sliceEventBytes(type, OWNER, empty)).toBe(event(type, [], hasTriggerTime, []));
    }
  });
});

describe('an Endpoints object', () => {
  const address = message(1, text(1, '10.1.0.1'), targetRef(2), text(3, ''), text(4, 'node-1'));

  it('has addresses of the length that they are written in', () => {
    expect(endpointAddressBytes(POD)).toBe(address.length);
    expect(endpointAddressBytes(POD)).toBe(2 + 10 + 67 + 2 + 8);
  });

  it('is modified in an event of that length', () => {
    const port = (number: number): Bytes => message(3, text(1, ''), int(2, number), text(3, 'UDP'));
    for (const hasTriggerTime of [true, false]) {
      for (const isTruncated of [true, false]) {
        const names = [
          ...(hasTriggerTime ? [TRIGGER] : []),
          ...(isTruncated ? ['endpoints.kubernetes.io/over-capacity'] : []),
        ];
        const annotations = { '.': {}, ...Object.fromEntries(names.map((name) => [`f:${name}`, {}])) };
        const fields = names.length === 0 ? {} : { 'f:metadata': { 'f:annotations': annotations } };
        const metadata = message(
          1,
          ...[text(1, 'web'), text(2, ''), text(3, 'default'), text(4, ''), text(5, UID), text(6, '123456789')],
          int(7, 0),
          time(8),
          hasTriggerTime ? pair(12, TRIGGER, '2025-11-24T16:00:00Z') : [],
          isTruncated ? pair(12, 'endpoints.kubernetes.io/over-capacity', 'truncated') : [],
          managed('v1', { ...fields, 'f:subsets': {} }),
        );
        const written = [...metadata, ...message(2, address, address, port(53)), ...message(2, address, port(9053))];
        const subset = (port: number, addressBytes: number) => ({
          ports: [{ name: '', protocol: 'udp', port } as const],
          addressBytes,
        });
        const subsets = [subset(53, 2 * address.length), subset(9053, address.length)];
        expect(endpointsEventBytes(OWNER, { subsets, hasTriggerTime, isTruncated })).toBe(
          watchEvent('MODIFIED', 'v1', 'Endpoints', written),
        );
      }
    }
  });
});
