import { describe, expect, it } from 'vitest';
import type { ProxyConfig, ServicePortConfig } from '../../../model/service-config.ts';
import { NftablesProgrammer } from './programmer.ts';
import { TEST_CONFIG, testEndpoint, testServicePort } from './test-objects.ts';
import type { TraceFlow, TraceResult } from './trace.ts';

const OUTSIDE = '203.0.113.200';
const POD = '10.0.0.9';
const NODE = '192.168.0.2';

function trace(
  svc: Partial<ServicePortConfig>,
  flow: Partial<TraceFlow>,
  config: Partial<ProxyConfig> = {},
): TraceResult {
  const programmer = new NftablesProgrammer({ ...TEST_CONFIG, ...config });
  const program = programmer.sync([testServicePort(svc)], { full: true, changed: new Set(), nowSeconds: 0 });
  const localIps = TEST_CONFIG.interfaceAddresses;
  return program.trace({ sourceIp: POD, protocol: 'tcp', destIp: '172.30.0.41', destPort: 80, localIps, ...flow });
}

describe('trace', () => {
  it('names every endpoint in rule order', () => {
    expect(trace({}, {})).toMatchObject({ output: '10.180.0.1:80, 10.180.2.1:80', masq: false });
    expect(trace({}, { sourceIp: OUTSIDE })).toMatchObject({ masq: true });
    // An endpoint that may be sent back to itself.
    expect(trace({}, { sourceIp: '10.180.2.1' })).toMatchObject({ masq: true });
  });

  it('counts the rules and lookups of the longest way', () => {
    const { rulesEvaluated, lookups } = trace({}, {});
    // filter-prerouting 1+1, nat-prerouting 1, services 1, service chain 2, endpoint chain 2, forward 2 x jump, 1 + 2 rules in the
    // chains jumped to, postrouting 1, masquerading 1 (returns).
    expect(rulesEvaluated).toBe(15);
    // firewall-ips, service-ips, no-endpoint-services, cluster-ips
    expect(lookups).toBe(4);
    const wide = Array.from({ length: 9 }, (_, i) => testEndpoint(`10.180.0.${i + 1}`, 80));
    expect(trace({ endpoints: wide }, {}).rulesEvaluated).toBe(rulesEvaluated);
  });

  it('explains itself, deepest chains indented most', () => {
    const { explain, steps } = trace({}, {});
    expect(explain).toHaveLength(steps.length + 1);
    expect(explain).toContain(
      '  services: ip daddr . meta l4proto . th dport vmap @service-ips => goto service-ULMVA6XW-ns1/svc1/tcp/p80',
    );
    expect(explain.at(-1)).toBe('=> 10.180.0.1:80, 10.180.2.1:80; 15 rules, 4 lookups');
  });

  it('refuses a wrong port, drops at an unallocated ClusterIP', () => {
    expect(trace({}, { destPort: 81 }).output).toBe('REJECT');
    expect(trace({}, { protocol: 'udp' }).output).toBe('REJECT');
    expect(trace({}, { destIp: '172.30.0.99' }).output).toBe('DROP');
    expect(trace({}, { destIp: '172.30.0.99' }, { serviceCidrs: [] }).output).toBe('');
  });

  it('lets the firewall decide before anything else', () => {
    const limited = { loadBalancerVips: ['1.2.3.4'], loadBalancerSourceRanges: ['203.0.113.0/25'], endpoints: [] };
    const to = { destIp: '1.2.3.4' };
    expect(trace(limited, { ...to, sourceIp: OUTSIDE }).output).toBe('DROP');
    expect(trace(limited, { ...to, sourceIp: '203.0.113.2' }).output).toBe('REJECT');
  });

  it('lets the VIP through to itself on a node that is let through', () => {
    const limited = { loadBalancerVips: ['1.2.3.4'], loadBalancerSourceRanges: ['192.168.0.0/24'] };
    const fromVip = { sourceIp: '1.2.3.4', destIp: '1.2.3.4' };
    expect(trace(limited, fromVip).output).toBe('10.180.0.1:80, 10.180.2.1:80');
    expect(trace(limited, fromVip, { nodeIp: '192.168.7.2' }).output).toBe('DROP');
  });

  it('under eTP Local short-circuits pods and the node, and drops others where no endpoint is local', () => {
    const svc = { externalPolicyLocal: true, nodePort: 3001, endpoints: [testEndpoint('10.180.2.1', 80)] };
    const to = { destIp: NODE, destPort: 3001 };
    expect(trace(svc, { ...to, sourceIp: POD })).toMatchObject({ output: '10.180.2.1:80', masq: false });
    expect(trace(svc, { ...to, sourceIp: NODE })).toMatchObject({ output: '10.180.2.1:80', masq: true });
    expect(trace(svc, { ...to, sourceIp: OUTSIDE })).toMatchObject({ output: 'DROP', masq: false });
  });

  it('knows no node ports on localhost', () => {
    const svc = { nodePort: 3001 };
    expect(trace(svc, { sourceIp: '127.0.0.1', destIp: '127.0.0.1', destPort: 3001 }).output).toBe('');
    expect(trace(svc, { sourceIp: OUTSIDE, destIp: NODE, destPort: 3001 }).output).not.toBe('');
    const none = { ...svc, endpoints: [] };
    expect(trace(none, { sourceIp: OUTSIDE, destIp: NODE, destPort: 3001 }).output).toBe('REJECT');
    expect(trace(none, { sourceIp: '127.0.0.1', destIp: '127.0.0.1', destPort: 3001 }).output).toBe('');
  });

  it('asks the interface where the detector does', () => {
    const prefix = { localDetector: { kind: 'prefix', name: 'veth' } } as const;
    expect(trace({}, { inInterface: 'veth7' }, prefix).masq).toBe(false);
    expect(trace({}, { inInterface: 'eth0' }, prefix).masq).toBe(true);
    expect(trace({}, {}, { localDetector: { kind: 'bridge', name: 'cbr0' } }).masq).toBe(true);
  });

  it('does not see packets of the other family', () => {
    expect(trace({}, { sourceIp: 'fd00::1', destIp: 'fd00::2' })).toMatchObject({ output: '', rulesEvaluated: 0 });
  });
});
