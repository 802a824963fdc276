import { describe, expect, it } from 'vitest';
import { NO_SERVICE_EXTRAS } from '../model/cluster.ts';
import type { ServicePort } from '../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../model/protocol.ts';
import type { EngineManifest } from './engine.ts';
import { unsupported } from './unsupported.ts';

describe('unsupported', () => {
  const poor: EngineManifest = {
    protocols: ['tcp', 'udp'],
    serviceTypes: ['ClusterIP'],
    externalIps: false,
    sessionAffinity: false,
    trafficPolicyLocal: false,
    sourceRanges: false,
    ipFamilies: ['IPv4'],
    schedulers: [],
    partialSync: true,
  };
  const rich: EngineManifest = {
    ...poor,
    protocols: ['tcp', 'udp', 'sctp'],
    serviceTypes: ['ClusterIP', 'NodePort', 'LoadBalancer'],
    externalIps: true,
    sessionAffinity: true,
    trafficPolicyLocal: true,
    sourceRanges: true,
  };
  const plain: ServicePort = {
    id: 0,
    namespace: 'default',
    name: 'web',
    portName: '',
    protocol: PROTOCOL_TCP,
    clusterIp: 1,
    port: 80,
    nodePort: 0,
    endpoints: [],
  };
  const special: ServicePort = {
    ...plain,
    protocol: PROTOCOL_SCTP,
    nodePort: 30000,
    extras: {
      ...NO_SERVICE_EXTRAS,
      externalIps: [1],
      loadBalancerVips: [2],
      loadBalancerSourceRanges: [{ address: 0, mask: 0, prefixLength: 0 }],
      externalPolicyLocal: true,
      affinitySeconds: 1,
    },
  };

  it('names what a cluster has and an engine has not, once each', () => {
    expect(unsupported(poor, [plain])).toEqual([]);
    expect(unsupported(poor, [special, special])).toEqual([
      'protocol sctp',
      'node ports',
      'load balancers',
      'external IPs',
      'session affinity',
      'traffic policy Local',
      'source ranges',
    ]);
    expect(unsupported(rich, [plain, special])).toEqual([]);
  });
});
