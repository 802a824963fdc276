/** A SYN that meets an old connection in IPVS mode, by conn_reuse_mode and kernel, worked out by hand from engines/README.md, section 6. */
import type { EngineOptions } from '../engine.ts';
import type { CaseStep, ConformanceCase, Expectation } from './cases.ts';
import { EP1, EP2, POD, VIP } from './cases.ts';
import { service } from './harness.ts';

const BOTH = service({ name: 'one', at: VIP, endpoints: [EP1, EP2] });
const SECOND_ONLY = service({ name: 'one', at: VIP, endpoints: [EP2] });
const STICKY = service({ name: 'one', at: VIP, affinitySeconds: 600, endpoints: [EP1, EP2] });

const FIRST_TO_EP1: Expectation = { outcome: 'endpoint', first: true, dst: EP1 };
/** Of the old connection: nothing is asked but the two look-ups that found it. */
const OLD: Expectation = { outcome: 'endpoint', dst: EP1, work: { ipvs_connection_inserts: 0, hash_probes: 2 } };
const NEW: Expectation = {
  outcome: 'endpoint',
  first: true,
  dst: EP2,
  work: { ipvs_connection_inserts: 1, conntrack_inserts: 1, nat_setups: 1 },
};
const DROPPED: Expectation = {
  outcome: 'drop',
  reason: 'port_reused',
  dst: VIP,
  service: 0,
  work: { ipvs_connection_inserts: 0, conntrack_inserts: 0, hash_probes: 2 },
};

const send = (at: number, flags: string, expect: Expectation): CaseStep => ({
  at,
  src: POD,
  dst: VIP,
  flags,
  origin: 'pod',
  expect,
});

/** The first steps: a connection to EP1. */
const OPENED: readonly CaseStep[] = [
  send(0, 'SYN', FIRST_TO_EP1),
  { at: 0.1, answers: 0, flags: 'SYN+ACK', origin: 'pod', expect: { outcome: 'reply' } },
  send(0.2, 'ACK', { outcome: 'endpoint', dst: EP1 }),
];
/** TIME_WAIT in IPVS and in connection tracking, for 120 s. */
const CLOSED: readonly CaseStep[] = [
  ...OPENED,
  send(1, 'FIN+ACK', { outcome: 'endpoint', dst: EP1 }),
  { at: 1.1, answers: 0, flags: 'FIN+ACK', origin: 'pod', expect: { outcome: 'reply' } },
  send(1.2, 'ACK', { outcome: 'endpoint', dst: EP1 }),
];
/** CLOSE, for 10 s. */
const RESET: readonly CaseStep[] = [...OPENED, send(1, 'RST', { outcome: 'endpoint', dst: EP1 })];
/** EP1 stays at weight 0 while its connection lives. */
const QUIESCED: CaseStep = { at: 2, apply: [SECOND_ONLY] };

function reuse(
  name: string,
  mode: 0 | 1,
  kernel: EngineOptions['kernel'],
  steps: readonly CaseStep[],
  services = [BOTH],
): ConformanceCase {
  const options = { ipvsScheduler: 'rr', ipvsConnReuseMode: mode, kernel } as const;
  return {
    name: `conn_reuse_mode ${mode}, Linux ${kernel.join('.')}: ${name}`,
    mode: 'ipvs',
    services,
    options,
    steps,
  };
}

export const IPVS_REUSE_CASES: readonly ConformanceCase[] = [
  reuse('a SYN takes the place of a connection in TIME_WAIT', 1, [5, 9], [...CLOSED, send(5, 'SYN', NEW)]),
  reuse('or in CLOSE', 1, [6, 18], [...RESET, send(5, 'SYN', NEW)]),
  reuse(
    'it ends that, and has to be sent again',
    1,
    [5, 8],
    [...CLOSED, send(5, 'SYN', { ...DROPPED, first: true }), send(6, 'SYN', NEW)],
  ),
  ...([[5, 8], [6, 18]] as const).map((kernel) =>
    reuse('it belongs to the old connection', 0, kernel, [...CLOSED, send(5, 'SYN', { ...OLD, first: true })]),
  ), // prettier-ignore
  reuse('also at weight 0', 0, [5, 15], [...CLOSED, QUIESCED, send(5, 'SYN', { ...OLD, first: true })]),
  reuse('but at weight 0', 0, [5, 16], [...CLOSED, QUIESCED, send(5, 'SYN', NEW)]),
  reuse('at weight 0 a closed connection', 1, [6, 18], [...CLOSED, QUIESCED, send(5, 'SYN', NEW)]),
  reuse(
    'at weight 0 an established one, whose flow holds the SYN to it, so that it has to be sent again',
    1,
    [6, 18],
    [...OPENED, QUIESCED, send(5, 'SYN', { ...DROPPED, first: false }), send(6, 'SYN', NEW)],
  ),
  reuse('an established one belongs to its port', 1, [6, 18], [...OPENED, send(5, 'SYN', { ...OLD, first: false })]),
  reuse(
    'a template keeps its connections in TIME_WAIT',
    1,
    [6, 18],
    [...CLOSED, send(5, 'SYN', { ...OLD, first: true })],
    [STICKY],
  ),
];
