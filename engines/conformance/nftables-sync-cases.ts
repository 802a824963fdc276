/** Syncs of nftables mode, worked out by hand from engines/README.md, section 9.4: transactions and what is in them. */
import type { ServicePort } from '../../model/cluster.ts';
import type { CaseStep, ConformanceCase } from './cases.ts';
import { EMPTY, EP1, EP2, ONE, POD, VIP } from './cases.ts';
import { service } from './harness.ts';
import { block, V131 } from './nftables-words.ts';

const NONE = service({ name: 'one', at: VIP, endpoints: [] });

/** The fixed part: table 1, chains 2 x 16, jumps 11, masquerading 4, cluster-ips 2, nodeport-ips 2, maps 5, other rules 6. */
const FIXED = 63;

/** A sync that nothing changed for. */
function idle(at: number, transactions: number, transactionOperations: number): CaseStep {
  return { at, apply: [], report: { kind: 'partial', changedServicePorts: 0, transactions, transactionOperations } };
}

function port(id: number, number: number): ServicePort {
  return { ...service({ id, name: 'one', at: `10.96.0.1:${number}`, endpoints: [EP1] }), portName: `p${number}` };
}

export const NFTABLES_SYNC_CASES: readonly ConformanceCase[] = [
  {
    // The service port's two chains hold two rules each: 8.
    name: 'sync reports, nftables: full, one change, stale chains, removal',
    mode: 'nftables',
    services: [ONE],
    steps: [
      {
        at: 1,
        sync: [ONE],
        report: {
          kind: 'full',
          servicePorts: 1,
          changedServicePorts: 1,
          tableRules: 26,
          rules: 28,
          transactions: 1,
          transactionOperations: FIXED + 8,
          restoreLines: 0,
          savedLines: 0,
        },
      },
      {
        // An element goes, another comes, two chains are emptied.
        at: 2,
        apply: [NONE],
        report: {
          kind: 'partial',
          servicePorts: 1,
          changedServicePorts: 1,
          tableRules: 22,
          rules: 24,
          transactions: 1,
          transactionOperations: 4,
        },
      },
      // Found again after half a second, they wait anew; a second later they go, in a transaction of their own.
      idle(2.5, 1, 2),
      idle(3.499999999, 1, 2),
      idle(4.499999999, 1, 2),
      idle(5, 0, 0),
      {
        at: 6,
        apply: [],
        remove: [0],
        report: { servicePorts: 0, changedServicePorts: 0, transactions: 1, transactionOperations: 2, rules: 22 },
      },
    ],
  },
  {
    name: 'sync reports, nftables: deleting stale chains and a change are two transactions',
    mode: 'nftables',
    services: [ONE],
    steps: [
      { at: 1, apply: [NONE], report: { transactions: 1, transactionOperations: 4 } },
      // Two chains deleted; then two chains, four rules and two elements.
      { at: 2, apply: [ONE], report: { transactions: 2, transactionOperations: 2 + 10 } },
    ],
  },
  {
    name: 'sync reports, nftables: a stale chain that is used again lives',
    mode: 'nftables',
    services: [ONE],
    steps: [
      { at: 1, apply: [NONE], report: { transactionOperations: 4 } },
      { at: 1.5, apply: [ONE], report: { transactions: 1, transactionOperations: 10, rules: 28 } },
      idle(9, 0, 0),
      { at: 10, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'endpoint', dst: EP1 } },
    ],
  },
  {
    name: 'sync reports, nftables: service ranges, node port addresses, v1.31',
    mode: 'nftables',
    services: [],
    options: {
      ...V131,
      serviceCidrs: [block('10.96.0.0/16'), block('10.97.0.0/16')],
      nodePortAddresses: [block('192.168.0.0/24')],
    },
    // The drop rule, and two elements that are no part of `rules`.
    steps: [{ at: 1, sync: [], report: { transactionOperations: FIXED + 1 + 2, tableRules: 23, rules: 23 } }],
  },
  {
    name: 'sync reports, nftables: a change of one port writes all ports of its Service',
    mode: 'nftables',
    services: [port(0, 80), port(1, 81), service({ id: 2, name: 'two', at: '10.96.0.2:80', endpoints: [EP1] })],
    steps: [
      { at: 1, apply: [port(0, 80)], report: { changedServicePorts: 1, transactionOperations: 16 } },
      // Removed: its two chains emptied and one element gone, the cluster IP is still wanted; the other port written.
      { at: 2, apply: [], remove: [0], report: { changedServicePorts: 0, transactionOperations: 3 + 8 } },
    ],
  },
  {
    name: 'sync reports, nftables: affinity sets are added each time and deleted at once',
    mode: 'nftables',
    services: [ONE],
    steps: [
      // Two endpoints: three chains 6, sets 2, masquerade and numgen 2, affinity rules 2, endpoint rules 6.
      ...[1, 2].map((at): CaseStep => ({
        at,
        apply: [service({ name: 'one', at: VIP, affinitySeconds: 10, endpoints: [EP1, EP2] })],
        report: { transactionOperations: 18, rules: 22 + 10 + 2 },
      })),
      // Three chains 6, rules 6, the sets gone 2.
      {
        at: 3,
        apply: [service({ name: 'one', at: VIP, endpoints: [EP1, EP2] })],
        report: { transactionOperations: 14 },
      },
      idle(9, 0, 0),
    ],
  },
  {
    name: 'sync reports, nftables: another verdict for a key is a delete and an add',
    mode: 'nftables',
    services: [ONE],
    steps: [
      // local- instead of service-: three chains (one of them emptied only) 2 + 2 + 1, four rules, the element 2.
      {
        at: 1,
        apply: [service({ name: 'one', at: VIP, internalLocal: true, endpoints: [`${EP1} local`] })],
        report: { transactionOperations: 11, rules: 28 },
      },
    ],
  },
  {
    name: 'an element that stays passes to the service port that wants it now',
    mode: 'nftables',
    services: [EMPTY],
    steps: [
      { at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'reject', service: 0 } },
      {
        at: 1,
        apply: [{ ...EMPTY, id: 1, name: 'other' }],
        remove: [0],
        report: { transactions: 0, transactionOperations: 0 },
      },
      { at: 2, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'reject', service: 1 } },
    ],
  },
  {
    name: 'two service ports that want one address write it at every sync, and the later one has it',
    mode: 'nftables',
    services: [ONE, service({ id: 1, name: 'two', at: VIP, endpoints: [EP2] })],
    steps: [
      idle(1, 1, 4),
      { at: 2, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'endpoint', dst: EP2, service: 1 } },
    ],
  },
];
