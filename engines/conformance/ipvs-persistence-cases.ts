/** Persistence of IPVS mode, worked out by hand from engines/README.md, section 6: who follows a template, how long it lives, what it costs. */
import type { ServicePort } from '../../model/cluster.ts';
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { DNS_VIP, EP1, EP2, VIP } from './cases.ts';
import { service } from './harness.ts';

const AFFINITY_SECONDS = 10;
const NEIGHBOUR = '10.244.9.2';

function sticky(endpoints: readonly string[], affinitySeconds = AFFINITY_SECONDS): ServicePort {
  return service({ name: 'one', at: VIP, affinitySeconds, endpoints });
}

function stickyDns(endpoints: readonly string[], affinitySeconds = AFFINITY_SECONDS): ServicePort {
  return service({ name: 'dns', udp: true, at: DNS_VIP, affinitySeconds, endpoints });
}

/** A connection from port `port` of the client. */
function connect(at: number, port: number, expect: Expectation, client = '10.244.9.1'): CaseStep {
  return { at, src: `${client}:${port}`, dst: VIP, flags: 'SYN', origin: 'pod', expect };
}

function ask(at: number, port: number, expect: Expectation): CaseStep {
  return { at, src: `10.244.9.1:${port}`, dst: DNS_VIP, udp: true, origin: 'pod', expect };
}

/** Work of a connection that asks the scheduler, and of one that follows a template. */
const MADE = { ipvs_connection_inserts: 2, hash_probes: 4 };
const FOLLOWED = { ipvs_connection_inserts: 1, hash_probes: 4, destinations_examined: 0, connection_chain_entries: 1 };

/** Established and reset at once: CLOSE, which lasts for 10 s. */
function close(at: number, port: number): CaseStep[] {
  return ['ACK', 'RST'].map((flags) => {
    return { at, src: `10.244.9.1:${port}`, dst: VIP, flags, origin: 'pod', expect: { outcome: 'endpoint' } };
  });
}

export const IPVS_PERSISTENCE_CASES: readonly ConformanceCase[] = [
  {
    name: 'persistence: a client stays with its server, another goes to the next',
    mode: 'ipvs',
    services: [sticky([EP1, EP2])],
    options: { ipvsScheduler: 'rr' },
    steps: [
      connect(0, 40000, {
        outcome: 'endpoint',
        dst: EP1,
        work: { ...MADE, destinations_examined: 1, connection_chain_entries: 0, nat_setups: 1 },
      }),
      connect(1, 40001, { outcome: 'endpoint', dst: EP1, work: { ...FOLLOWED, nat_setups: 1 } }),
      connect(2, 40000, { outcome: 'endpoint', dst: EP2, work: { ...MADE, destinations_examined: 1 } }, NEIGHBOUR),
      connect(3, 40002, { outcome: 'endpoint', dst: EP1, work: FOLLOWED }),
      connect(4, 40001, { outcome: 'endpoint', dst: EP2, work: FOLLOWED }, NEIGHBOUR),
    ],
  },
  {
    // The reset connection lives for 10 s and goes at the template's own instant, in front of it.
    name: 'persistence: a template that controls nothing goes when its time is out',
    mode: 'ipvs',
    services: [sticky([EP1, EP2])],
    options: { ipvsScheduler: 'rr' },
    steps: [
      connect(0, 40000, { outcome: 'endpoint', dst: EP1, work: MADE }),
      ...close(0, 40000),
      connect(10, 40001, { outcome: 'endpoint', dst: EP2, work: MADE }),
    ],
  },
  {
    // SYN_RECV lives for 60 s: the template's 10 s are out before, and it stays for 60 s more.
    name: 'persistence: a template stays while it controls a connection, 60 s at a time',
    mode: 'ipvs',
    services: [sticky([EP1, EP2])],
    options: { ipvsScheduler: 'rr' },
    steps: [
      connect(0, 40000, { outcome: 'endpoint', dst: EP1, work: MADE }),
      // Its time-out is 60 s now, so that this one keeps it until 69.9 + 60.
      connect(69.9, 40001, { outcome: 'endpoint', dst: EP1, work: FOLLOWED }),
      connect(70, 40000, { outcome: 'endpoint', dst: EP2, work: MADE }, NEIGHBOUR),
      connect(129.8, 40002, { outcome: 'endpoint', dst: EP1, work: FOLLOWED }),
      // At 189.8 the last connection goes, and the template with it.
      connect(189.8, 40003, { outcome: 'endpoint', dst: EP1, work: { ...MADE, destinations_examined: 1 } }),
    ],
  },
  {
    name: 'persistence: weight 0 makes a template invalid, which then only lengthens its chain',
    mode: 'ipvs',
    services: [sticky([EP1])],
    steps: [
      connect(0, 40000, { outcome: 'endpoint', dst: EP1, work: MADE }),
      { at: 1, apply: [sticky([EP2])], report: { netlinkRequests: 2 } },
      connect(2, 40001, { outcome: 'endpoint', dst: EP2, work: { ...MADE, connection_chain_entries: 1 } }),
      connect(3, 40002, { outcome: 'endpoint', dst: EP2, work: FOLLOWED }),
      // EP1 is back, but its template stays invalid: a client of EP2 goes on to EP2.
      { at: 4, apply: [sticky([EP1, EP2])], report: { netlinkRequests: 2 } },
      connect(5, 40003, { outcome: 'endpoint', dst: EP2, work: FOLLOWED }),
    ],
  },
  {
    name: 'persistence: no server, no template',
    mode: 'ipvs',
    services: [sticky([])],
    steps: [
      connect(0, 40000, {
        outcome: 'reject',
        reason: 'no_endpoints',
        work: { hash_probes: 4, ipvs_connection_inserts: 0, destinations_examined: 0 },
      }),
      connect(1, 40001, { outcome: 'reject', work: { hash_probes: 4, connection_chain_entries: 0 } }),
    ],
  },
  {
    // A UDP server is deleted at once; the look-up finds its template invalid and asks the scheduler, which has nobody.
    name: 'persistence: the template of a deleted server is invalid once it is looked up',
    mode: 'ipvs',
    services: [stickyDns(['10.244.1.3:53'])],
    steps: [
      ask(0, 40000, { outcome: 'endpoint', dst: '10.244.1.3:53', work: MADE }),
      { at: 1, apply: [stickyDns([])], report: { netlinkRequests: 1 } },
      ask(2, 40001, {
        outcome: 'reject',
        reason: 'no_endpoints',
        work: { hash_probes: 4, connection_chain_entries: 1 },
      }),
      { at: 3, apply: [stickyDns(['10.244.1.3:53'])], report: { netlinkRequests: 1 } },
      // Passed and not found; the new one stands in front of it from now on.
      ask(4, 40002, { outcome: 'endpoint', work: { ...MADE, connection_chain_entries: 1 } }),
      ask(5, 40003, { outcome: 'endpoint', work: FOLLOWED }),
    ],
  },
  {
    // Its connection has gone after 300 s; at 311 the template alone leads to the server.
    name: 'persistence: a server that comes back before anyone asked has its templates again',
    mode: 'ipvs',
    services: [stickyDns(['10.244.1.3:53'], 10_800)],
    options: { ipvsScheduler: 'rr' },
    steps: [
      ask(0, 40000, { outcome: 'endpoint', dst: '10.244.1.3:53', work: MADE }),
      { at: 310, apply: [stickyDns(['10.244.1.4:53'], 10_800)], report: { netlinkRequests: 2 } },
      { at: 311, apply: [stickyDns(['10.244.1.3:53', '10.244.1.4:53'], 10_800)], report: { netlinkRequests: 1 } },
      ask(312, 40001, { outcome: 'endpoint', dst: '10.244.1.3:53', work: FOLLOWED }),
    ],
  },
  {
    name: 'persistence: a template outlives the affinity and keeps its own time-out',
    mode: 'ipvs',
    services: [sticky([EP1, EP2], 60)],
    options: { ipvsScheduler: 'rr' },
    steps: [
      connect(0, 40000, { outcome: 'endpoint', dst: EP1, work: MADE }),
      ...close(0, 40000),
      { at: 1, apply: [sticky([EP1, EP2], 0)], report: { netlinkRequests: 1 } },
      connect(2, 40001, { outcome: 'endpoint', dst: EP2, work: { ipvs_connection_inserts: 1, hash_probes: 3 } }),
      { at: 3, apply: [sticky([EP1, EP2], 10_800)], report: { netlinkRequests: 1 } },
      connect(59.9, 40002, { outcome: 'endpoint', dst: EP1, work: FOLLOWED }),
      ...close(60, 40002),
      // 60 s after 59.9, and not three hours.
      connect(119.9, 40003, { outcome: 'endpoint', dst: EP1, work: { ...MADE, connection_chain_entries: 0 } }),
    ],
  },
];
