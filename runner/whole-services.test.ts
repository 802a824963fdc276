/** Sweeps and dumps read manifests by two ways, typed and as text: they must see the same service ports. */
import { describe, expect, it } from 'vitest';
import { servicePortConfig } from '../engines/proxy/configs.ts';
import { compareBytes } from '../model/ip-text.ts';
import type { ServicePortConfig } from '../model/service-config.ts';
import { readManifests } from '../scenarios/manifests.ts';
import { manifestInput } from './program-input.ts';

const MANIFESTS = `
apiVersion: v1
kind: Node
metadata: { name: n1, labels: { topology.kubernetes.io/zone: east } }
---
apiVersion: v1
kind: Node
metadata: { name: n2, labels: { topology.kubernetes.io/zone: west } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, ports: [{ name: sig, containerPort: 9000, protocol: SCTP }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: everything }
spec:
  type: LoadBalancer
  selector: { app: web }
  externalIPs: [192.0.2.7, 010.9.8.7]
  externalTrafficPolicy: Local
  internalTrafficPolicy: Local
  sessionAffinity: ClientIP
  sessionAffinityConfig: { clientIP: { timeoutSeconds: 90 } }
  loadBalancerSourceRanges: [203.0.113.9/24]
  trafficDistribution: PreferSameNode
  ports: [{ name: http, port: 80 }, { name: dns, port: 53, protocol: UDP }, { name: sig, port: 81, protocol: SCTP, targetPort: sig }]
status: { loadBalancer: { ingress: [{ ip: 1.2.3.4 }, { ip: 1.2.3.5, ipMode: Proxy }] } }
---
apiVersion: v1
kind: Service
metadata: { name: zonal }
spec: { selector: { app: web }, trafficDistribution: PreferClose, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: sliced }
spec: { type: NodePort, externalTrafficPolicy: Local, ports: [{ name: p, port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: sliced-1, labels: { kubernetes.io/service-name: sliced } }
addressType: IPv4
ports: [{ name: p, port: 8080 }]
endpoints:
  - { addresses: [10.0.0.2], nodeName: n1, hints: { forZones: [{ name: east }] } }
  - { addresses: [10.0.0.10], nodeName: n2, conditions: { ready: false, serving: true, terminating: true }, hints: { forZones: [{ name: west }], forNodes: [{ name: n2 }] } }
  - { addresses: [10.0.0.2], nodeName: n2 }
`;

function inOrder(services: readonly ServicePortConfig[]) {
  const name = (svc: ServicePortConfig) => `${svc.namespace}/${svc.name}:${svc.portName}/${svc.protocol}`;
  return [...services]
    .sort((a, b) => compareBytes(name(a), name(b)))
    .map((svc) => ({
      ...svc,
      endpoints: svc.endpoints.map((e) => ({
        at: `${e.address}:${e.port}`,
        isLocal: e.isLocal,
        conditions: [e.ready, e.serving, e.terminating],
        hints: [e.zoneHints, e.nodeHints],
      })),
    }));
}

describe.each(['n1', 'n2'])('service ports of manifests, seen from %s', (node) => {
  it('are those that a dump is made from, whole', () => {
    const files = [{ path: 'm.yaml', text: MANIFESTS }];
    const typed = readManifests(files, { node });
    const { config, services } = manifestInput(files, { engine: 'iptables', node }, 'IPv4');
    const converted = typed.state.servicePorts.map((svc) => servicePortConfig(svc, typed.node));
    expect(inOrder(converted)).toEqual(inOrder(services));
    expect(converted).toHaveLength(5);
    expect(typed.node.zone).toBe(config.zone);
    expect(typed.warnings).toEqual([]);
  });
});
