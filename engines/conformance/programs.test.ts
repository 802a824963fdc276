/**
 * The fast engines against the whole programs: on what both model, an engine installs exactly the rules that kube-proxy's
 * program has. Rules are compared as text, chain by chain.
 */
import { NO_EXTRAS } from '../../model/service-config.ts';
import { describe, expect, it } from 'vitest';
import { formatCidr, formatIpv4 } from '../../model/address.ts';
import type { ClusterState, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import type { ProxyConfig, ServicePortConfig } from '../../model/service-config.ts';
import { Rng } from '../../sim/rng.ts';
import type { EngineOptions } from '../engine.ts';
import { createIptablesEngine } from '../iptables/engine.ts';
import { IptablesProgrammer } from '../iptables/program/programmer.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { IpvsProgrammer } from '../ipvs/program/programmer.ts';
import { endpointKey } from '../proxy/endpoint-order.ts';
import { dumpDifference } from './dumps.ts';
import { generateProgram } from './generate.ts';

function serviceConfig(svc: ServicePort, nodeName: string): ServicePortConfig {
  const seen = new Set<number>();
  const distinct = svc.endpoints.filter(({ address, port }) => {
    const key = endpointKey(address, port);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  distinct.sort((a, b) => endpointKey(a.address, a.port) - endpointKey(b.address, b.port));
  return {
    namespace: svc.namespace,
    name: svc.name,
    portName: svc.portName,
    protocol: protocolName(svc.protocol),
    clusterIp: formatIpv4(svc.clusterIp),
    port: svc.port,
    nodePort: svc.nodePort,
    ...NO_EXTRAS,
    endpoints: distinct.map((endpoint) => ({
      address: formatIpv4(endpoint.address),
      port: endpoint.port,
      isLocal: endpoint.nodeName === nodeName,
      ready: endpoint.ready,
      serving: endpoint.serving,
      terminating: endpoint.terminating,
      zoneHints: [],
      nodeHints: [],
    })),
  };
}

function proxyConfig(node: NodeSpec, options: EngineOptions): ProxyConfig {
  const addresses = node.addresses.map(formatIpv4);
  return {
    ipFamily: 'IPv4',
    nodeName: node.name,
    nodeIp: addresses[0] ?? '',
    zone: '',
    localDetector:
      node.clusterCidr === undefined ? { kind: 'none' } : { kind: 'cidr', cidr: formatCidr(node.clusterCidr) },
    masqueradeAll: options.masqueradeAll,
    masqueradeMark: '0x00004000',
    masqueradeRandomFully: false,
    localhostNodePorts: true,
    nodePortAddresses: [],
    interfaceAddresses: ['127.0.0.1', ...addresses],
    nfacct: { ctStateInvalid: false, localhostNodePorts: false },
    conntrackTcpLiberal: false,
    serviceCidrs: [],
    ipvsScheduler: options.ipvsScheduler,
    strictArp: false,
    excludeCidrs: [],
    largeClusterEndpoints: options.largeClusterEndpoints,
    syncPeriodSeconds: 30,
  };
}

function configsOf(state: ClusterState, node: NodeSpec): ServicePortConfig[] {
  return state.servicePorts.map((svc) => serviceConfig(svc, node.name));
}

/** The first state of a random life, with the node and the options it was drawn with. */
function world(mode: 'iptables' | 'ipvs', seed: number) {
  const { node, options: drawn, steps } = generateProgram({ mode, seed, packets: 0 });
  const options: EngineOptions = { ...drawn, evaluator: 'indexed', masqueradeBit: 14 };
  const first = steps.find((step) => step.kind === 'sync');
  if (first?.kind !== 'sync') throw new Error('A life begins with a sync');
  return { node, options, state: first.state, rng: new Rng(seed) };
}

const FULL = { full: true, changed: new Set<string>(), nowSeconds: 0 };

describe('fast engines and whole programs', () => {
  it('iptables: the restore input of a full sync is the same', () => {
    let rules = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const { node, options, state, rng } = world('iptables', seed);
      const engine = createIptablesEngine({ node, options, rng });
      engine.sync(state, 0);
      const program = new IptablesProgrammer(proxyConfig(node, options)).sync(configsOf(state, node), FULL);
      const expected = program.restoreText();
      rules += expected.split('\n').filter((line) => line.startsWith('-A')).length;
      expect(
        dumpDifference(expected, engine.dump('restore'), () => true),
        `seed ${seed}`,
      ).toBeUndefined();
    }
    expect(rules).toBeGreaterThan(2000);
  });

  it('IPVS: virtual and real servers, ipset entries and iptables rules are the same', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { node, options, state, rng } = world('ipvs', seed);
      const engine = createIpvsEngine({ node, options, rng });
      engine.sync(state, 0);
      const program = new IpvsProgrammer(proxyConfig(node, options)).sync(configsOf(state, node), FULL);
      const expected = [program.ipvsText(), program.ipsetText(), program.restoreText()].join('\n');
      expect(
        dumpDifference(expected, engine.dump('restore'), () => true),
        `seed ${seed}`,
      ).toBeUndefined();
    }
  });
});
