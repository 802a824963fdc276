import { beforeEach, describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { COUNTER_STRIDE } from '../../model/counters.ts';
import { PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { StaleFlows } from './stale-flows.ts';
import { CT_NEW, ConntrackTable } from './table.ts';

const CLUSTER_IP = 0x0a600001;
const EXTERNAL_IP = 0xcb00710a;
const NODE = 0xc0a80001;
const PODS = [0x0af40101, 0x0af40102];

function endpoint(address: number, words = 'ready serving'): Endpoint {
  const has = (word: string): boolean => words.split(' ').includes(word);
  return {
    address,
    port: 53,
    nodeName: has('local') ? 'node-a' : 'node-b',
    ready: has('ready'),
    serving: has('serving'),
    terminating: has('terminating'),
  };
}

function service(endpoints: readonly Endpoint[], change: Partial<ServicePort> = {}): ServicePort {
  return {
    id: 1,
    namespace: 'ns',
    name: 'dns',
    portName: '',
    protocol: PROTOCOL_UDP,
    clusterIp: CLUSTER_IP,
    port: 53,
    nodePort: 30053,
    extras: { ...NO_SERVICE_EXTRAS, externalIps: [EXTERNAL_IP] },
    endpoints,
    ...change,
  };
}

let table: ConntrackTable;
let client = 0;

/** A flow at time 0 to `address:port` that `server` answers. */
function flow(address: number, port: number, server: number, protocol: number = PROTOCOL_UDP): void {
  const packets = new PacketBatch(1);
  packets.length = 1;
  packets.srcAddress[0] = 0x0af40200 + client++;
  packets.srcPort[0] = 4000;
  packets.dstAddress[0] = address;
  packets.dstPort[0] = port;
  packets.protocol[0] = protocol;
  packets.tcpFlags[0] = 2;
  const row = new Uint32Array(COUNTER_STRIDE);
  expect(table.track(packets, 0, row, 0)).toBe(CT_NEW);
  table.confirm(server, 53, packets.srcAddress[0], 4000, 0, 1, row, 0);
}

beforeEach(() => {
  table = new ConntrackTable();
});

const both = [endpoint(PODS[0]), endpoint(PODS[1])];
const one = [endpoint(PODS[1])];

describe('reconcile', () => {
  it('deletes the flows of servers that do not serve, by any of the destinations', () => {
    const stale = new StaleFlows('reconcile', 'node-a');
    stale.note(undefined, service(one));
    flow(CLUSTER_IP, 53, PODS[0]);
    flow(EXTERNAL_IP, 53, PODS[0]);
    flow(NODE, 30053, PODS[0]);
    flow(CLUSTER_IP, 53, PODS[1]);
    flow(CLUSTER_IP, 54, PODS[0]);
    flow(CLUSTER_IP, 53, PODS[0], PROTOCOL_TCP);
    expect(stale.clean(table, 1, false)).toBe(3);
    expect(table.size(1)).toBe(3);
  });

  it('keeps the flows of a terminating server, and those of a service that nobody serves', () => {
    const stale = new StaleFlows('reconcile', 'node-a');
    flow(CLUSTER_IP, 53, PODS[0]);
    stale.note(undefined, service([endpoint(PODS[0], 'serving terminating')]));
    expect(stale.clean(table, 1, true)).toBe(0);
    stale.note(service(both), service([endpoint(PODS[0], '')]));
    expect(stale.clean(table, 1, true)).toBe(0);
  });

  it('a node port that moves between services in one sync is not lost', () => {
    const stale = new StaleFlows('reconcile', 'node-a');
    const old = service(both, { id: 1 });
    stale.note(undefined, old);
    stale.clean(table, 0, true);
    flow(NODE, 30053, PODS[0]);
    stale.note(undefined, service(one, { id: 2, clusterIp: CLUSTER_IP + 1, extras: NO_SERVICE_EXTRAS }));
    stale.note(old, service(both, { nodePort: 0 }));
    expect(stale.clean(table, 1, false)).toBe(1);
  });

  it('does nothing when no UDP service port changed, but for a full sync', () => {
    const stale = new StaleFlows('reconcile', 'node-a');
    stale.note(undefined, service(one));
    stale.clean(table, 0, true);
    flow(CLUSTER_IP, 53, PODS[0]);
    stale.note(undefined, service(one, { id: 2, protocol: PROTOCOL_TCP }));
    expect(stale.clean(table, 1, false)).toBe(0);
    expect(stale.clean(table, 1, true)).toBe(1);
  });
});

describe('events', () => {
  function cleaned(before: ServicePort | undefined, after: ServicePort | undefined): number {
    const stale = new StaleFlows('events', 'node-a');
    stale.note(before, after);
    return stale.clean(table, 1, true);
  }

  it('deletes the flows of a removed endpoint, by address without port, and by node port', () => {
    flow(CLUSTER_IP, 53, PODS[0]);
    flow(CLUSTER_IP, 9999, PODS[0]);
    flow(EXTERNAL_IP, 53, PODS[0]);
    flow(0x08080808, 30053, PODS[0]);
    flow(CLUSTER_IP, 53, PODS[1]);
    flow(0x08080808, 53, PODS[0]);
    expect(cleaned(service(both), service(one))).toBe(4);
  });

  it('takes an endpoint that is no longer ready, or has moved to this node, for removed', () => {
    flow(CLUSTER_IP, 53, PODS[0]);
    expect(cleaned(service(both), service([endpoint(PODS[0], 'serving terminating'), endpoint(PODS[1])]))).toBe(1);
    flow(CLUSTER_IP, 53, PODS[0]);
    expect(cleaned(service(both), service([endpoint(PODS[0], 'ready serving local'), endpoint(PODS[1])]))).toBe(1);
    flow(CLUSTER_IP, 53, PODS[0]);
    expect(cleaned(service(both), service([...both]))).toBe(0);
  });

  it('deletes all flows of a service that gets its first ready endpoint', () => {
    flow(CLUSTER_IP, 53, CLUSTER_IP);
    flow(NODE, 30053, NODE);
    flow(EXTERNAL_IP, 1, EXTERNAL_IP);
    flow(NODE, 30054, NODE);
    expect(cleaned(service([endpoint(PODS[0], 'serving terminating')]), service(one))).toBe(3);
  });

  it('of a removed service knows the cluster IP alone', () => {
    flow(CLUSTER_IP, 53, PODS[0]);
    flow(EXTERNAL_IP, 53, PODS[0]);
    flow(NODE, 30053, PODS[0]);
    expect(cleaned(service(both), undefined)).toBe(1);
  });
});
