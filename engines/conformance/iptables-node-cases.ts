/** What the node and kube-proxy's settings make of packets in iptables mode, worked out by hand from engines/README.md. */
import { CURRENT_KUBE_PROXY } from '../../model/kube-proxy.ts';
import type { ConformanceCase } from './cases.ts';
import { DNS1, DNS2, DNS_VIP, EP1, HOST, ONE, ONE_NODE_PORT, OUTSIDE, POD, VIP } from './cases.ts';
import { CASE_NODE, cidr, service } from './harness.ts';

const SCTP = service({ name: 'signal', sctp: true, at: VIP, endpoints: [EP1] });
const DNS_NODE_PORT = service({ name: 'dns', udp: true, at: DNS_VIP, nodePort: 30053, endpoints: ['10.244.1.3:53'] });
const EVENTS = { kubeProxy: { ...CURRENT_KUBE_PROXY, conntrackCleanup: 'events' } } as const;
const DISPATCH = { kubeProxy: { ...CURRENT_KUBE_PROXY, masqueradeRules: 'dispatch' } } as const;

const { name, addresses } = CASE_NODE;

export const IPTABLES_NODE_CASES: readonly ConformanceCase[] = [
  {
    name: 'full connection-tracking table: what would open a flow is dropped at once, known flows pass',
    mode: 'iptables',
    options: { conntrackMax: 1 },
    services: [ONE],
    steps: [
      { at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'endpoint' } },
      {
        at: 1,
        src: '10.244.9.2:40000',
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: {
          outcome: 'drop',
          reason: 'conntrack_full',
          first: false,
          src: '10.244.9.2:40000',
          dst: VIP,
          service: -1,
          exactWork: true,
          work: { conntrack_lookups: 1 },
        },
      },
      {
        at: 1,
        src: '10.244.9.2:40000',
        dst: EP1,
        flags: 'RST',
        origin: 'pod',
        expect: { outcome: 'drop', reason: 'conntrack_full', exactWork: true, work: { conntrack_lookups: 1 } },
      },
      { at: 1, answers: 0, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply' } },
      // The flow was in SYN_RECV: 60 s.
      { at: 61, src: '10.244.9.2:40000', dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'endpoint' } },
    ],
  },
  {
    name: 'full connection-tracking table: a reopened connection takes its own place',
    mode: 'iptables',
    options: { conntrackMax: 1 },
    services: [ONE],
    steps: [
      { at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { first: true } },
      { at: 0, src: POD, dst: VIP, flags: 'RST', origin: 'pod', expect: { first: false } },
      { at: 1, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'endpoint', first: true } },
    ],
  },
  {
    name: 'MASQUERADE --random-fully tries a port at once; what is not masqueraded keeps its own',
    mode: 'iptables',
    options: { masqueradeRandomFully: true },
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: { masqueraded: true, work: { port_tries: 1, conntrack_lookups: 2, nat_setups: 2 } },
      },
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: { masqueraded: false, src: POD, work: { port_tries: 0, conntrack_lookups: 2, nat_setups: 1 } },
      },
    ],
  },
  {
    // As of a TCP flow, but that -m sctp makes three rules 280 bytes longer.
    name: 'SCTP: work of a ClusterIP flow',
    mode: 'iptables',
    services: [SCTP],
    steps: [
      {
        at: 0,
        src: POD,
        dst: VIP,
        sctp: true,
        origin: 'pod',
        expect: {
          outcome: 'endpoint',
          dst: EP1,
          work: { rules_evaluated: 15, rules_matched: 10, rule_bytes: 2800 + 3 * 280 + 3840 + 640 },
        },
      },
      { at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'pod', expect: { outcome: 'accept', service: -1 } },
    ],
  },
  {
    name: 'SCTP expires 3 s after the last packet, 210 s once answered, and is never cleaned up',
    mode: 'iptables',
    services: [SCTP],
    steps: [
      { at: 0, src: POD, dst: VIP, sctp: true, origin: 'pod', expect: { first: true } },
      { at: 2.999999999, src: POD, dst: VIP, sctp: true, origin: 'pod', expect: { first: false } },
      { at: 5.999999999, src: POD, dst: VIP, sctp: true, origin: 'pod', expect: { first: true } },
      { at: 6, answers: 2, sctp: true, origin: 'pod', expect: { outcome: 'reply' } },
      { at: 215, apply: [{ ...SCTP, endpoints: [] }], report: { conntrackDeletes: 0 } },
      { at: 215.999999999, src: POD, dst: VIP, sctp: true, origin: 'pod', expect: { first: false, dst: EP1 } },
      { at: 425.999999999, src: POD, dst: VIP, sctp: true, origin: 'pod', expect: { first: true, outcome: 'reject' } },
    ],
  },
  {
    name: 'masquerade by interface: who came in by a pod interface is a pod, whatever its address',
    mode: 'iptables',
    node: { ...CASE_NODE, podInterface: { kind: 'bridge', name: 'cni0' } },
    services: [ONE],
    steps: [
      { at: 0, src: '172.16.0.9:40000', dst: VIP, flags: 'SYN', origin: 'pod', expect: { masqueraded: false } },
      { at: 0, src: POD, dst: VIP, flags: 'SYN', origin: 'external', expect: { masqueraded: true } },
      { at: 0, src: '192.168.0.1:40001', dst: VIP, flags: 'SYN', origin: 'host', expect: { masqueraded: true } },
    ],
  },
  {
    name: 'no local detector: a ClusterIP flow is never masqueraded, a node port is',
    mode: 'iptables',
    node: { name, addresses },
    services: [ONE_NODE_PORT],
    steps: [
      { at: 0, src: HOST, dst: VIP, flags: 'SYN', origin: 'host', expect: { outcome: 'endpoint', masqueraded: false } },
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: { outcome: 'endpoint', masqueraded: true },
      },
    ],
  },
  {
    name: 'nodePortAddresses: the node port answers there alone, and not on loopback',
    mode: 'iptables',
    options: { nodePortAddresses: [cidr('192.168.0.2/31')] },
    services: [ONE_NODE_PORT],
    steps: [
      { at: 0, src: OUTSIDE, dst: '192.168.0.2:30080', flags: 'SYN', origin: 'external', expect: { dst: EP1 } },
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: { outcome: 'accept', dst: '192.168.0.1:30080', service: -1 },
      },
      { at: 0, src: HOST, dst: '127.0.0.1:30080', flags: 'SYN', origin: 'host', expect: { outcome: 'accept' } },
    ],
  },
  {
    name: 'without localhost node ports loopback is left alone, and not guarded either',
    mode: 'iptables',
    options: { localhostNodePorts: false },
    services: [ONE_NODE_PORT],
    steps: [
      { at: 0, src: HOST, dst: '127.0.0.1:30080', flags: 'SYN', origin: 'host', expect: { outcome: 'accept' } },
      { at: 0, src: HOST, dst: '192.168.0.2:30080', flags: 'SYN', origin: 'host', expect: { outcome: 'endpoint' } },
      { at: 0, src: OUTSIDE, dst: '127.0.0.1:22', flags: 'SYN', origin: 'external', expect: { outcome: 'accept' } },
    ],
  },
  {
    name: 'nfacct on localhost node ports: one rule of its own in front of the other',
    mode: 'iptables',
    options: { nfacct: { ctStateInvalid: true, localhostNodePorts: true } },
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: '127.0.0.1:40000',
        dst: '127.0.0.1:30080',
        flags: 'SYN',
        origin: 'host',
        expect: { outcome: 'endpoint', dst: EP1, work: { service_rules_scanned: 3 } },
      },
      {
        at: 0,
        src: HOST,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'host',
        expect: { outcome: 'endpoint', dst: EP1, work: { service_rules_scanned: 4 } },
      },
      // filter FORWARD 640 440, KUBE-FORWARD 352 + 72.
      {
        at: 0,
        src: POD,
        dst: EP1,
        flags: 'RST',
        origin: 'pod',
        expect: { outcome: 'drop', reason: 'invalid', work: { rules_evaluated: 3, rule_bytes: 640 + 440 + 424 } },
      },
    ],
  },
  {
    name: 'conntrackTcpLiberal: INVALID packets are forwarded',
    mode: 'iptables',
    options: { conntrackTcpLiberal: true },
    services: [ONE],
    steps: [
      {
        at: 0,
        src: POD,
        dst: EP1,
        flags: 'RST',
        origin: 'pod',
        expect: { outcome: 'accept', reason: 'invalid', dst: EP1 },
      },
    ],
  },
  {
    // nat PREROUTING 440, KUBE-SERVICES 488 488 488, MARK-MASQ 152, KUBE-SERVICES 488, KUBE-EXT 152, KUBE-SVC 440, KUBE-SEP 440 504;
    // filter FORWARD 640 440 352 488; nat POSTROUTING 440 200 152 456.
    name: 'masquerade rules at dispatch: work of an external IP flow',
    mode: 'iptables',
    options: DISPATCH,
    services: [service({ name: 'one', at: VIP, externalIps: ['198.18.0.1'], endpoints: [EP1] })],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '198.18.0.1:80',
        flags: 'SYN',
        origin: 'external',
        expect: {
          outcome: 'endpoint',
          masqueraded: true,
          work: {
            rules_evaluated: 18,
            rules_matched: 13,
            service_rules_scanned: 4,
            jumps: 8,
            rule_bytes: 4080 + 1920 + 1248,
          },
        },
      },
      // A pod: KUBE-SERVICES' first rule is not for it, so its jump is the second.
      {
        at: 0,
        src: POD,
        dst: VIP,
        flags: 'SYN',
        origin: 'pod',
        expect: { masqueraded: false, work: { service_rules_scanned: 2 } },
      },
      {
        at: 0,
        src: HOST,
        dst: VIP,
        flags: 'SYN',
        origin: 'host',
        expect: { masqueraded: true, work: { service_rules_scanned: 2 } },
      },
    ],
  },
  {
    name: 'masquerade rules at dispatch: a node port is marked in KUBE-NODEPORTS',
    mode: 'iptables',
    options: DISPATCH,
    services: [ONE_NODE_PORT],
    steps: [
      {
        at: 0,
        src: OUTSIDE,
        dst: '192.168.0.1:30080',
        flags: 'SYN',
        origin: 'external',
        expect: { masqueraded: true, dst: EP1, work: { service_rules_scanned: 5 } },
      },
    ],
  },
  {
    name: 'no partial syncs: apply rewrites everything',
    mode: 'iptables',
    options: { kubeProxy: { ...CURRENT_KUBE_PROXY, iptablesPartialSync: false } },
    services: [ONE, { ...DNS1, id: 1 }],
    steps: [
      { at: 1, apply: [{ ...DNS2, id: 1 }], report: { kind: 'full', changedServicePorts: 2 } },
      { at: 2, apply: [], remove: [1], report: { kind: 'full', servicePorts: 1, changedServicePorts: 1 } },
    ],
  },
  ...(['reconcile', 'events'] as const).map((conntrackCleanup): ConformanceCase => {
    const isReconciled = conntrackCleanup === 'reconcile';
    return {
      name: `UDP clean-up, ${conntrackCleanup}: a server that shuts down, a Service that goes`,
      mode: 'iptables',
      options: { kubeProxy: { ...CURRENT_KUBE_PROXY, conntrackCleanup } },
      services: [DNS1],
      steps: [
        { at: 0, src: POD, dst: DNS_VIP, udp: true, origin: 'pod', expect: { dst: '10.244.1.3:53' } },
        {
          at: 1,
          apply: [
            { ...DNS1, endpoints: [{ ...DNS1.endpoints[0], ready: false, terminating: true }, DNS2.endpoints[0]] },
          ],
          report: { conntrackDeletes: isReconciled ? 0 : 1 },
        },
        {
          at: 2,
          src: POD,
          dst: DNS_VIP,
          udp: true,
          origin: 'pod',
          expect: isReconciled ? { first: false, dst: '10.244.1.3:53' } : { first: true, dst: '10.244.1.4:53' },
        },
        { at: 3, apply: [], remove: [0], report: { conntrackDeletes: isReconciled ? 0 : 1 } },
      ],
    };
  }),
  {
    name: 'UDP clean-up, events: a local endpoint that moves away, and flows to another port of the address',
    mode: 'iptables',
    options: EVENTS,
    services: [service({ name: 'dns', udp: true, at: DNS_VIP, endpoints: ['10.244.1.3:53 local'] })],
    steps: [
      { at: 0, src: POD, dst: DNS_VIP, udp: true, origin: 'pod', expect: { dst: '10.244.1.3:53' } },
      { at: 1, apply: [DNS1], report: { conntrackDeletes: 1 } },
      { at: 2, src: POD, dst: '10.96.0.10:5353', udp: true, origin: 'pod', expect: { outcome: 'accept' } },
      { at: 3, apply: [], remove: [0], report: { conntrackDeletes: 1 } },
    ],
  },
  ...(['reconcile', 'events'] as const).map((conntrackCleanup): ConformanceCase => ({
    name: `UDP clean-up, ${conntrackCleanup}: a new node port takes every flow to a port of that number`,
    mode: 'iptables',
    options: { kubeProxy: { ...CURRENT_KUBE_PROXY, conntrackCleanup } },
    services: [ONE],
    steps: [
      { at: 0, src: OUTSIDE, dst: '192.168.0.1:30053', udp: true, origin: 'external', expect: { outcome: 'accept' } },
      { at: 0, src: POD, dst: '8.8.8.8:30053', udp: true, origin: 'pod', expect: { outcome: 'accept' } },
      { at: 0, src: POD, dst: '8.8.8.8:30054', udp: true, origin: 'pod', expect: { outcome: 'accept' } },
      { at: 1, apply: [{ ...DNS_NODE_PORT, id: 1 }], report: { conntrackDeletes: 2 } },
    ],
  })),
];
