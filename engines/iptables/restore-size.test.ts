/** Sizes against the text itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { servicePortConfig } from '../proxy/configs.ts';
import { syntheticWorld } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';
import { nodeFacts } from './node-facts.ts';
import { servicePortRules } from './program/service-rules.ts';
import { lengthOfAddress, lengthOfPort, PlainSizes, restoreSize } from './restore-size.ts';

const name = fc.stringMatching(/^[a-z]([-a-z0-9]{0,20}[a-z0-9])?$/);
const address = fc.integer({ min: 0x01000000, max: 0xdfffffff });
const port = fc.integer({ min: 1, max: 65_535 });

const endpoint: fc.Arbitrary<Endpoint> = fc
  .record({ address, port })
  .map((each) => ({ ...each, nodeName: 'node-1', ready: true, serving: true, terminating: false }));

const plain: fc.Arbitrary<ServicePort> = fc.record({
  id: fc.constant(1),
  namespace: name,
  name,
  portName: fc.oneof(fc.constant(''), name),
  protocol: fc.constantFrom(PROTOCOL_TCP, PROTOCOL_UDP),
  clusterIp: address,
  port,
  nodePort: fc.oneof(fc.constant(0), port),
  endpoints: fc.uniqueArray(endpoint, { maxLength: 12, selector: (each) => `${each.address}:${each.port}` }),
});

describe('PlainSizes', () => {
  it('are those of the text, for every shape of a plain service port', () => {
    const { node } = syntheticWorld();
    const bare = { name: node.name, addresses: node.addresses };
    const worlds = [
      nodeFacts(node, DEFAULT_ENGINE_OPTIONS),
      nodeFacts(node, { ...DEFAULT_ENGINE_OPTIONS, masqueradeAll: true }),
      nodeFacts(bare, DEFAULT_ENGINE_OPTIONS),
    ];
    const sizes = worlds.map((facts) => new PlainSizes(facts));
    fc.assert(
      fc.property(plain, fc.nat(2), fc.boolean(), (svc, world, commented) => {
        const facts = worlds[world];
        const { endpoints } = svc;
        const addresses = endpoints.reduce((sum, each) => sum + lengthOfAddress(each.address), 0);
        const ports = endpoints.reduce((sum, each) => sum + lengthOfPort(each.port), 0);
        const text = restoreSize(servicePortRules(servicePortConfig(svc, facts.node), facts.config, commented));
        expect(sizes[world].size(svc, commented, endpoints.length, addresses, ports)).toEqual(text);
      }),
      { numRuns: 1000, seed: 4 },
    );
  });
});

describe('restoreBytes', () => {
  it('of a partial sync are the shared chains and the changed chains alone', () => {
    const engine = createIptablesEngine(syntheticWorld());
    const of = (id: number, address2: number): ServicePort => ({
      id, namespace: 'n', name: `svc-${id}`, portName: '', protocol: PROTOCOL_TCP, clusterIp: 0x0a600000 + id, port: 80, nodePort: 0,
      endpoints: [{ address: address2, port: 8080, nodeName: 'node-1', ready: true, serving: true, terminating: false }],
    }); // prettier-ignore
    const first = engine.sync({ servicePorts: [of(1, 0x0a800001), of(2, 0x0a800002)] }, 0);
    expect(first.restoreBytes).toBe(engine.dump('restore').length);
    // The endpoint moves: its chain is left behind by this sync, and found by the next one.
    const moved = engine.apply({ upserted: [of(1, 0x0a800003)], removedIds: [] }, 1e9);
    const text = engine.dump('restore').split('\n');
    const isOther = (line: string): boolean => line.includes('svc-2') && !line.startsWith('-A KUBE-SERVICES');
    const ofOther = text.filter(isOther).map((line) => line.split(' ')[1]);
    const others = text.filter((line) => isOther(line) || ofOther.some((chain) => line.startsWith(`:${chain} `)));
    const left = others.reduce((sum, line) => sum + line.length + 1, 0);
    const stale = ':KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]\n-X KUBE-SEP-AAAAAAAAAAAAAAAA\n'.length;
    expect(moved.restoreBytes).toBe(engine.dump('restore').length - left + stale);
  });
});
