import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatCidr, formatIpv4, parseCidr } from '../model/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import { scenariosFolder } from './load.ts';
import { addresses, deployment, failure, read, service, slice } from './manifest-fixtures.ts';

describe('the alpaca and bandicoot cluster', () => {
  const path = join(scenariosFolder(), 'clusters', 'alpaca-bandicoot.yaml');
  const text = readFileSync(path, 'utf8');

  it('becomes two service ports with the pods of their Deployments', () => {
    const { state, workload, node, warnings, podBlock } = read(text);
    expect(warnings).toEqual([]);
    expect(
      state.servicePorts.map((svc) => [svc.id, svc.namespace, svc.name, svc.portName, svc.port, svc.nodePort]),
    ).toEqual([
      [0, 'default', 'alpaca-service', '', 8080, 0],
      [1, 'default', 'bandicoot-service', '', 9090, 0],
    ]);
    expect(addresses(read(text))).toEqual(['10.244.1.2:8080', '10.244.2.2:8080', '10.244.3.2:8080']);
    expect(addresses(read(text), 1)).toEqual(['10.244.1.3:9090', '10.244.2.3:9090']);
    expect(workload.bindings).toEqual([
      { servicePortId: 0, deployment: 0, targetPort: 8080, protocol: PROTOCOL_TCP },
      { servicePortId: 1, deployment: 1, targetPort: 9090, protocol: PROTOCOL_TCP },
    ]);
    expect(workload.deployments[0]).toMatchObject({
      name: 'alpaca-prod',
      replicas: 3,
      maxSurge: { value: 25, percent: true },
      maxUnavailable: { value: 25, percent: true },
      terminationGracePeriodSeconds: 30,
      preStopSleepSeconds: 0,
      readinessProbe: {
        kind: 'httpGet',
        path: '/ready',
        port: 8080,
        periodSeconds: 2,
        timeoutSeconds: 1,
        failureThreshold: 3,
      },
    });
    expect(workload.deployments[1]).not.toHaveProperty('readinessProbe');
    expect(workload.pods.map((pod) => pod.deployment)).toEqual([0, 0, 0, 1, 1]);
    expect(workload.pods[0]?.name).toMatch(/^alpaca-prod-[a-z0-9]{10}-[a-z0-9]{5}$/);
    expect(new Set(workload.pods.map((pod) => pod.name)).size).toBe(5);
    expect(workload.nodes.map((each) => [each.name, formatIpv4(each.address), each.zone])).toEqual([
      ['node-1', '192.168.0.11', 'a'],
      ['node-2', '192.168.0.12', 'b'],
      ['node-3', '192.168.0.13', 'c'],
    ]);
    expect(node.name).toBe('node-1');
    expect(formatCidr(podBlock)).toBe('10.244.1.0/24');
  });

  it('is the same at every reading, and whatever the order of its documents', () => {
    const backwards = text.split('\n---\n').reverse().join('\n---\n');
    expect(read(text)).toEqual(read(text));
    expect(read(backwards)).toEqual(read(text));
  });

  it('may be a List in JSON, of kubectl or of the API', () => {
    const list = `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}]}`;
    const plain = `apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { ports: [{ port: 80 }] }\n`;
    expect(read(list)).toEqual(read(plain));
    const typed = `{"apiVersion": "v1", "kind": "ServiceList", "items": [{"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}]}`;
    expect(read(typed)).toEqual(read(plain));
  });
});

describe('what the API server assigns', () => {
  it('gives every Service an address of 10.96.0.0/12, clear of those given', () => {
    const many = Array.from({ length: 300 }, (_, i) => service({ name: `svc-${i}` })).join('');
    const free = read(many);
    const ips = free.state.servicePorts.map((svc) => svc.clusterIp);
    expect(new Set(ips).size).toBe(300);
    const range = parseCidr('10.96.0.0/12');
    for (const ip of ips) expect(range !== undefined && (ip & range.mask) >>> 0 === range.address).toBe(true);
    // Somebody takes the address that svc-7 would get.
    const wanted = free.state.servicePorts.find((svc) => svc.name === 'svc-7')?.clusterIp ?? 0;
    const taken = read(
      `${many}${service({ name: 'thief', spec: `clusterIP: ${formatIpv4(wanted)}\n  ports: [{ port: 80 }]` })}`,
    );
    const moved = taken.state.servicePorts.find((svc) => svc.name === 'svc-7')?.clusterIp;
    expect(moved).toBe(wanted + 1);
    expect(new Set(taken.state.servicePorts.map((svc) => svc.clusterIp)).size).toBe(301);
  });

  it('gives node ports of 30086-32767 to NodePort and LoadBalancer Services, clear of those given', () => {
    const nodePortOf = (text: string, name: string) =>
      read(text).state.servicePorts.find((svc) => svc.name === name)?.nodePort ?? 0;
    const spec = 'type: NodePort\n  ports: [{ port: 80 }]';
    const first = nodePortOf(service({ spec }), 'web');
    expect(first).toBeGreaterThanOrEqual(30086);
    expect(first).toBeLessThanOrEqual(32767);
    const given = service({ name: 'aaa', spec: `type: NodePort\n  ports: [{ port: 80, nodePort: ${first} }]` });
    expect(nodePortOf(`${service({ spec })}${given}`, 'web')).not.toBe(first);
    expect(nodePortOf(service({ spec: 'type: LoadBalancer\n  ports: [{ port: 80 }]' }), 'web')).toBe(first);
    expect(
      nodePortOf(
        service({ spec: 'type: LoadBalancer\n  allocateLoadBalancerNodePorts: false\n  ports: [{ port: 80 }]' }),
        'web',
      ),
    ).toBe(0);
  });

  it('lets one number be a node port of TCP and of UDP', () => {
    const spec =
      'type: NodePort\n  ports: [{ name: t, port: 53, nodePort: 30053 }, { name: u, port: 53, protocol: UDP, nodePort: 30053 }]';
    const { state } = read(service({ spec }));
    expect(state.servicePorts.map((svc) => [svc.portName, svc.protocol, svc.nodePort])).toEqual([
      ['t', PROTOCOL_TCP, 30053],
      ['u', PROTOCOL_UDP, 30053],
    ]);
  });

  it('orders service ports by namespace, name, port name and protocol in bytes', () => {
    const names = ['web-2', 'web-10', 'web'].map((name) => service({ name })).join('');
    const ports = service({
      name: 'api',
      spec: 'ports: [{ name: z, port: 1 }, { name: a, port: 2 }, { name: b-1, port: 3 }]',
    });
    const other = `---\napiVersion: v1\nkind: Service\nmetadata: { name: zzz, namespace: abc }\nspec: { ports: [{ port: 80 }] }\n`;
    const { state } = read(`${names}${ports}${other}`);
    expect(state.servicePorts.map((svc) => `${svc.id} ${svc.namespace}/${svc.name}:${svc.portName}`)).toEqual([
      '0 abc/zzz:',
      '1 default/api:a',
      '2 default/api:b-1',
      '3 default/api:z',
      '4 default/web:',
      '5 default/web-10:',
      '6 default/web-2:',
    ]);
  });

  it('skips headless and ExternalName Services without a word', () => {
    const { state, warnings } = read(
      `${service({ name: 'a', spec: 'clusterIP: None\n  ports: [{ port: 80 }]' })}${service({ name: 'b', spec: 'type: ExternalName\n  externalName: example.org' })}`,
    );
    expect(state.servicePorts).toEqual([]);
    expect(warnings).toEqual([]);
  });
});

describe('Deployments and pods', () => {
  it('reads startup probes, strategy Recreate and the progress deadline', () => {
    const startupProbe = 'startupProbe: { grpc: { port: 9000 }, periodSeconds: 5, failureThreshold: 30 }';
    const spec = 'strategy: { type: Recreate }\n  minReadySeconds: 10\n  progressDeadlineSeconds: 11';
    expect(read(deployment({ spec, container: startupProbe })).workload.deployments[0]).toMatchObject({
      strategy: 'Recreate',
      progressDeadlineSeconds: 11,
      startupProbe: { kind: 'grpc', port: 9000, periodSeconds: 5, timeoutSeconds: 1, failureThreshold: 30 },
    });
  });

  it.each([
    [
      { spec: 'minReadySeconds: 10\n  progressDeadlineSeconds: 10' },
      'm.yaml:9:28: progressDeadlineSeconds of Deployment default/web must be above its minReadySeconds (10), got 10.',
    ],
    [
      { spec: 'minReadySeconds: 600' },
      'm.yaml:8:20: progressDeadlineSeconds of Deployment default/web must be above its minReadySeconds (600), got 600.',
    ],
    [
      { container: 'startupProbe: { tcpSocket: { port: 1 }, successThreshold: 2 }' },
      /^m\.yaml:14:\d+: successThreshold of a startupProbe of Deployment default\/web must be 1, got 2\.$/,
    ],
  ])('refuses what the API server refuses: %j', (text, message) => {
    expect(failure(deployment(text))).toMatch(message);
  });

  it('tells the control plane of nodes that take no pods and of Services that publish all addresses', () => {
    const node = (name: string, spec: string) =>
      `---\napiVersion: v1\nkind: Node\nmetadata: { name: ${name} }\nspec: { ${spec} }\n`;
    const publishing = service({ spec: 'publishNotReadyAddresses: true\n  ports: [{ port: 80 }]' });
    const text = `${publishing}${deployment()}${node('a', 'unschedulable: true')}${node('b', 'unschedulable: false')}`;
    const { nodes, bindings } = read(text).workload;
    expect(nodes.map((each) => each.unschedulable)).toEqual([true, undefined]);
    expect(bindings[0]?.publishNotReadyAddresses).toBe(true);
    expect(read(`${service()}${deployment()}`).workload.bindings[0]).not.toHaveProperty('publishNotReadyAddresses');
  });

  it('reads strategy, probes, grace period and preStop sleeps', () => {
    const [model] = read(
      deployment({
        spec: 'strategy: { rollingUpdate: { maxSurge: 2, maxUnavailable: 10% } }\n  minReadySeconds: 4',
        pod: 'terminationGracePeriodSeconds: 60',
        container:
          'ports: [{ name: http, containerPort: 8080 }]\n          livenessProbe: { tcpSocket: { port: http }, periodSeconds: 0 }\n          lifecycle: { preStop: { exec: { command: [sh, -c, "sleep 15"] } } }',
      }),
    ).workload.deployments;
    expect(model).toMatchObject({
      maxSurge: { value: 2, percent: false },
      maxUnavailable: { value: 10, percent: true },
      minReadySeconds: 4,
      terminationGracePeriodSeconds: 60,
      preStopSleepSeconds: 15,
      livenessProbe: {
        kind: 'tcpSocket',
        port: 8080,
        periodSeconds: 10,
        timeoutSeconds: 1,
        successThreshold: 1,
        failureThreshold: 3,
        initialDelaySeconds: 0,
      },
    });
    expect(model?.strategy).toBe('RollingUpdate');
    expect(model?.progressDeadlineSeconds).toBe(600);
    const sleeping = (preStop: string) => read(deployment({ container: `lifecycle: { preStop: ${preStop} }` }));
    expect(sleeping('{ sleep: { seconds: 5 } }').workload.deployments[0]?.preStopSleepSeconds).toBe(5);
    expect(sleeping('{ exec: { command: [sleep, "7"] } }').workload.deployments[0]?.preStopSleepSeconds).toBe(7);
    expect(sleeping('{ exec: { command: [nginx, -s, quit] } }').warnings).toEqual([
      'Deployment default/web: how long its preStop hook takes is not known; it is taken as 0 s.',
    ]);
  });

  it('resolves named target ports', () => {
    const named = service({ spec: 'ports: [{ port: 80, targetPort: http }]' });
    const container = 'ports: [{ name: http, containerPort: 8080 }]';
    expect(addresses(read(`${named}${deployment({ container })}`))).toEqual([
      '10.244.1.2:8080',
      '10.244.2.2:8080',
      '10.244.3.2:8080',
    ]);
    expect(read(`${named}${deployment({ container, replicas: 0 })}`).workload.bindings).toEqual([
      { servicePortId: 0, deployment: 0, targetPort: 8080, protocol: PROTOCOL_TCP },
    ]);
    expect(failure(`${named}${deployment({ container: 'ports: [{ name: htp, containerPort: 8080 }]' })}`)).toBe(
      'm.yaml:8:35: The targetPort "http" of Service default/web is no port name of a container that it selects.',
    );
  });

  it('gives every pod an address of its own, also beyond a block, with room above for new ones', () => {
    const { workload } = read(deployment({ replicas: 1000 }));
    const taken = workload.pods.map((pod) => pod.address);
    expect(new Set(taken).size).toBe(1000);
    expect(Math.max(...taken)).toBeLessThan(workload.firstFreePodAddress);
    expect(taken.filter((address) => formatIpv4(address).startsWith('10.244.1.')).length).toBe(110);
  });

  it('takes given Pods for those of their Deployment', () => {
    const pod = (name: string, ip: string, ready: string) =>
      `---\napiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, labels: { app: web } }\nspec: { nodeName: worker-2, containers: [{ name: c }] }\nstatus: { phase: Running, podIP: ${ip}, conditions: [{ type: Ready, status: "${ready}" }] }\n`;
    const result = read(
      `${service()}${deployment()}${pod('web-a', '10.244.9.9', 'True')}${pod('web-b', '10.244.9.10', 'False')}`,
    );
    expect(
      result.state.servicePorts[0]?.endpoints.map((each) => [formatIpv4(each.address), each.ready, each.serving]),
    ).toEqual([
      ['10.244.9.9', true, true],
      ['10.244.9.10', false, false],
    ]);
    expect(result.workload.pods.map((each) => each.name)).toEqual(['web-a']);
    expect(result.workload.nodes.map((each) => each.name)).toEqual(['worker-2']);
    expect(result.warnings).toEqual([
      'Deployment default/web asks for 3 replicas and 2 of its pods are given; those given are used.',
    ]);
  });

  it('reads Nodes: addresses, zones, blocks, and the one that is observed', () => {
    const node = (name: string, number: number) =>
      `---\napiVersion: v1\nkind: Node\nmetadata: { name: ${name}, labels: { topology.kubernetes.io/zone: z${number} } }\nspec: { podCIDR: 10.42.${number}.0/24 }\nstatus: { addresses: [{ type: Hostname, address: ${name} }, { type: InternalIP, address: 172.16.0.${number} }] }\n`;
    const text = `${node('beta', 2)}${node('alpha', 1)}${service()}${deployment({ replicas: 2 })}`;
    const result = read(text, { node: 'beta' });
    expect(result.workload.nodes.map((each) => [each.name, formatIpv4(each.address), each.zone])).toEqual([
      ['alpha', '172.16.0.1', 'z1'],
      ['beta', '172.16.0.2', 'z2'],
    ]);
    expect(result.node.name).toBe('beta');
    expect(result.node.clusterCidr && formatCidr(result.node.clusterCidr)).toBe('10.42.0.0/16');
    expect(formatCidr(result.podBlock)).toBe('10.42.2.0/24');
    expect(addresses(result)).toEqual(['10.42.1.2:80', '10.42.2.2:80']);
    expect(result.warnings).toEqual([expect.stringContaining('10.42.0.0/16')]);
    expect(read(text).node.name).toBe('alpha');
  });
});

describe('EndpointSlices', () => {
  it('win over endpoints from selectors, and keep their conditions', () => {
    const text = `${service()}${deployment()}${slice(
      '[{ addresses: [10.1.1.1], nodeName: n1 }, { addresses: [10.1.1.2], conditions: { ready: false, serving: true, terminating: true } }]',
    )}`;
    const result = read(text);
    expect(result.state.servicePorts[0]?.endpoints).toEqual([
      { address: 0x0a010101, port: 8080, nodeName: 'n1', ready: true, serving: true, terminating: false },
      { address: 0x0a010102, port: 8080, nodeName: '', ready: false, serving: true, terminating: true },
    ]);
    expect(result.workload.bindings).toEqual([]);
    expect(result.warnings).toEqual([
      expect.stringContaining('The EndpointSlices of Service default/web hold addresses'),
    ]);
  });

  it('say where the pods of a Deployment are, so that churn moves them', () => {
    const endpoints = [1, 2, 3].map((i) => `{ addresses: [10.1.1.${i}], nodeName: n${i} }`).join(', ');
    const result = read(`${service()}${deployment()}${slice(`[${endpoints}]`)}`);
    expect(result.warnings).toEqual([]);
    expect(result.workload.pods.map((pod) => [formatIpv4(pod.address), pod.nodeName])).toEqual([
      ['10.1.1.1', 'n1'],
      ['10.1.1.2', 'n2'],
      ['10.1.1.3', 'n3'],
    ]);
    expect(result.workload.bindings.length).toBe(1);
  });

  it('match by port name and protocol', () => {
    const two = service({ spec: 'ports: [{ name: a, port: 80 }, { name: b, port: 81 }]' });
    const result = read(`${two}${slice('[{ addresses: [10.1.1.1] }]', '[{ name: b, port: 9 }]')}`);
    expect(result.state.servicePorts.map((svc) => svc.endpoints.map((each) => each.port))).toEqual([[], [9]]);
    expect(result.warnings).toEqual([expect.stringContaining('have no port "a"')]);
  });
});
