/** Whatever came before, a sync ends where a fresh kube-proxy on an empty kernel would. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServicePortConfig } from '../../../model/service-config.ts';
import type { IpvsProgram } from './program.ts';
import { IpvsProgrammer } from './programmer.ts';
import { changeAt, TEST_CONFIG, testEndpoint, testService } from './test-objects.ts';

const endpoints = fc
  .uniqueArray(fc.integer({ min: 0, max: 5 }), { maxLength: 4 })
  .map((numbers) =>
    numbers.sort((a, b) => a - b).map((at) => testEndpoint(`10.1.${at % 2}.${at}`, { isLocal: at % 2 === 0 })),
  );

/** Few names, ports and addresses, so that services replace and resemble each other; each has a ClusterIP of its own. */
const service = fc
  .record({
    number: fc.integer({ min: 1, max: 4 }),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
    hasNodePort: fc.boolean(),
    hasVip: fc.boolean(),
    hasExternalIp: fc.boolean(),
    ranges: fc.constantFrom([], ['203.0.113.0/24'], ['192.168.0.2/32', '0.0.0.0/0']),
    externalPolicyLocal: fc.boolean(),
    internalPolicyLocal: fc.boolean(),
    affinitySeconds: fc.constantFrom(0, 10800),
    endpoints,
  })
  .map(({ number, hasNodePort, hasVip, hasExternalIp, ranges, ...rest }) =>
    testService({
      ...rest,
      name: `svc${number}`,
      clusterIp: `172.30.0.${number}`,
      nodePort: hasNodePort ? 30000 + number : 0,
      loadBalancerVips: hasVip ? [`5.5.5.${number}`] : [],
      loadBalancerSourceRanges: ranges,
      externalIps: hasExternalIp ? [`6.6.6.${number}`] : [],
      healthCheckNodePort: hasVip && rest.externalPolicyLocal ? 31000 + number : 0,
    }),
  );
const services = fc.uniqueArray(service, { selector: ({ name }) => name, maxLength: 4 });

/** Real servers in any order: the kernel keeps the one in which they came. */
function stateOf(program: IpvsProgram): string {
  const servers = program
    .ipvsText()
    .split('\n')
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return [program.kernelText(), program.ipsetText(), ...program.boundAddresses, ...servers].join('\n');
}

function fresh(list: readonly ServicePortConfig[]): IpvsProgram {
  return new IpvsProgrammer(TEST_CONFIG).sync(list, changeAt(0));
}

describe('history', () => {
  it('leaves no trace where no connections are open', () => {
    fc.assert(
      fc.property(fc.array(services, { minLength: 2, maxLength: 5 }), (history) => {
        const programmer = new IpvsProgrammer(TEST_CONFIG);
        const programs = history.map((list, at) => programmer.sync(list, changeAt(at)));
        expect(stateOf(programs[history.length - 1])).toBe(stateOf(fresh(history[history.length - 1])));
      }),
      { numRuns: 200 },
    );
  });

  it('survives a restart of kube-proxy', () => {
    fc.assert(
      fc.property(services, services, (before, after) => {
        const first = new IpvsProgrammer(TEST_CONFIG);
        first.sync(before, changeAt(0));
        const second = new IpvsProgrammer(TEST_CONFIG, first.kernelState);
        expect(stateOf(second.sync(after, changeAt(0)))).toBe(stateOf(fresh(after)));
      }),
      { numRuns: 100 },
    );
  });

  it('of other services never changes where a packet goes', () => {
    fc.assert(
      fc.property(
        service,
        services,
        fc.constantFrom('10.1.0.0', '203.0.113.7', '198.51.100.7'),
        (svc, others, from) => {
          const alone = fresh([svc]);
          const together = fresh([...others.filter(({ name }) => name !== svc.name), svc]);
          const flow = { sourceIp: from, protocol: svc.protocol };
          const targets = alone.virtualServers.map(({ address, port }) => ({
            ...flow,
            destIp: address,
            destPort: port,
          }));
          for (const target of targets) {
            const { output, masq } = together.trace(target);
            expect({ output, masq }).toEqual({ output: alone.trace(target).output, masq: alone.trace(target).masq });
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
