/** The rule compilers of all modes behind one face: text of the rules, and packets followed through them. */
import { IptablesProgrammer } from '../engines/iptables/program/programmer.ts';
import { IPVS_SCHEDULERS } from '../engines/ipvs/program/node-settings.ts';
import { IpvsProgrammer } from '../engines/ipvs/program/programmer.ts';
import { NftablesProgrammer } from '../engines/nftables/program/programmer.ts';
import type { IpvsProgram } from '../engines/ipvs/program/program.ts';
import { openPorts, UserspaceProgram } from '../engines/userspace/program.ts';
import { didYouMean, InputError } from '../scenarios/errors.ts';
import { portNameText } from '../model/service-config.ts';
import type { IpFamily, ProxyConfig, ServicePortConfig } from '../model/service-config.ts';
import type { ProgramInput } from './program-input.ts';

export const MODES = ['iptables', 'ipvs', 'nftables', 'userspace'] as const;
export type Mode = (typeof MODES)[number];
export const FORMS = ['restore', 'kernel'] as const;
type Form = (typeof FORMS)[number];

export interface PacketFlow {
  readonly sourceIp: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly destIp: string;
  readonly destPort: number;
  /** The interface by which the packet came in. */
  readonly inputInterface?: string;
}

interface TracedRule {
  readonly matched: boolean;
  /** Calls deep, where the mode says so. */
  readonly depth: number;
  /** `table/CHAIN number`, or the chain. */
  readonly place: string;
  readonly text: string;
}

export interface PacketTrace {
  /** Every rule that is evaluated, in order. */
  readonly rules: readonly TracedRule[];
  /** `12 rules (9 nat, 3 filter)`. */
  readonly counts: string;
  readonly verdict: string;
  /** Every endpoint that the packet may be sent to. */
  readonly endpoints: readonly string[];
  readonly masqueraded: boolean;
}

export interface ModeProgram {
  /** For standard error, a line each: what the mode does not know. */
  readonly notes: readonly string[];
  dump(form: Form): string;
  trace(flow: PacketFlow): PacketTrace;
}

export function modeOf(text: string): Mode {
  const mode = MODES.find((each) => each === text);
  if (mode !== undefined) return mode;
  throw new InputError(
    `--engine "${text}" is not known. Expected one of ${MODES.join(', ')}.${didYouMean(text, MODES)}`,
  );
}

/** A first, full sync. */
export function compileProgram(mode: Mode, { config, services }: ProgramInput): ModeProgram {
  const first = { full: true, changed: new Set<string>(), nowSeconds: 0 };
  switch (mode) {
    case 'iptables': {
      const program = new IptablesProgrammer(config).sync(services, first);
      return {
        notes: [],
        dump: (form) => (form === 'kernel' ? program.kernelText() : program.restoreText()),
        trace: (flow) => traceIptables(program, flow),
      };
    }
    case 'ipvs': {
      checkScheduler(config);
      const program = new IpvsProgrammer(config).sync(services, first);
      return {
        notes: [],
        dump: (form) => ipvsText(program, form, config.ipFamily),
        trace: (flow) => traceIpvs(program, flow),
      };
    }
    case 'nftables': {
      const program = new NftablesProgrammer(config).sync(services, first);
      return {
        notes: [],
        dump: (form) => (form === 'kernel' ? program.kernelText() : program.dumpText()),
        trace: (flow) => traceNftables(program, config, flow),
      };
    }
    case 'userspace': {
      const program = new UserspaceProgram(config, openPorts(services));
      return {
        notes: userspaceNotes(services),
        dump: (form) => (form === 'kernel' ? program.kernelText() : program.commandText()),
        trace: (flow) => traceUserspace(program, flow),
      };
    }
  }
}

function userspaceNotes(services: readonly ServicePortConfig[]): string[] {
  const notes = [
    'note: Userspace mode ended with Kubernetes v1.25. The proxy ports are any free ones; here they are numbered from 32768.',
  ];
  const sctp = services.filter(({ protocol }) => protocol === 'sctp').map(portNameText);
  if (sctp.length > 0) notes.push(`note: Left out, for userspace mode has no SCTP: ${sctp.join(', ')}.`);
  return notes;
}

function checkScheduler({ ipvsScheduler }: ProxyConfig): void {
  if (IPVS_SCHEDULERS.includes(ipvsScheduler)) return;
  const expected = IPVS_SCHEDULERS.join(', ');
  throw new InputError(`--ipvs-scheduler "${ipvsScheduler}" is not known. Expected one of ${expected}`);
}

/** A part for each tool, under a comment that names it; that of `ip -batch` is what kube-proxy does over netlink. */
function ipvsText(program: IpvsProgram, form: Form, family: IpFamily): string {
  const six = family === 'IPv6' ? '6' : '';
  const bits = family === 'IPv6' ? 128 : 32;
  const rules = form === 'kernel' ? program.kernelText() : program.restoreText();
  return [
    `# ipvsadm -S -n\n${program.ipvsText()}`,
    `# ipset save\n${program.ipsetText()}`,
    `# ip${six}tables-${form === 'kernel' ? 'save' : 'restore'}\n${rules}`,
    '# ip -batch\nlink add kube-ipvs0 type dummy\n',
    ...program.boundAddresses.map((address) => `addr add ${address}/${bits} dev kube-ipvs0\n`),
  ].join('');
}

function traceIptables(program: ReturnType<IptablesProgrammer['sync']>, flow: PacketFlow): PacketTrace {
  const walk = program.explain(flow);
  const { nat, filter } = walk.evaluated;
  return {
    rules: walk.steps.map(({ table, chain, number, text, matched }) => ({
      matched,
      depth: 0,
      place: `${table}/${chain} ${number}`,
      text,
    })),
    counts: `${nat + filter} rules (${nat} nat, ${filter} filter)`,
    verdict: walk.verdict,
    endpoints: walk.endpoint === undefined ? [] : program.trace(flow).endpoints,
    masqueraded: walk.masqueraded,
  };
}

function traceIpvs(program: IpvsProgram, flow: PacketFlow): PacketTrace {
  const walk = program.trace(flow);
  const refusal = walk.outputs.find((output) => output === 'DROP' || output === 'REJECT');
  return {
    rules: walk.steps.map(({ chain, text, matched }) => ({ matched, depth: 0, place: chain, text })),
    counts: `${walk.rulesEvaluated} rules, ${walk.setTests} set tests`,
    verdict: refusal ?? 'ACCEPT',
    endpoints: walk.endpoints,
    masqueraded: walk.masq,
  };
}

function traceNftables(
  program: ReturnType<NftablesProgrammer['sync']>,
  config: ProxyConfig,
  { inputInterface, ...flow }: PacketFlow,
): PacketTrace {
  const walk = program.trace({
    ...flow,
    localIps: config.interfaceAddresses,
    ...(inputInterface === undefined ? {} : { inInterface: inputInterface }),
  });
  const outputs = walk.output === '' ? [] : walk.output.split(', ');
  const refusal = outputs.find((output) => output === 'DROP' || output === 'REJECT');
  return {
    rules: walk.steps.map(({ chain, depth, rule, matched, note }) => ({
      matched,
      depth,
      place: chain,
      text: note === '' ? rule : `${rule} => ${note}`,
    })),
    counts: `${walk.rulesEvaluated} rules, ${walk.lookups} lookups`,
    verdict: refusal ?? 'ACCEPT',
    endpoints: outputs.filter((output) => output !== refusal),
    masqueraded: walk.masq,
  };
}

/** Whom the rules redirect the process takes, and refuses if it has no endpoint to dial. Endpoints see the node's address. */
function traceUserspace(program: UserspaceProgram, flow: PacketFlow): PacketTrace {
  const walk = program.trace(flow);
  const filter = walk.steps.filter(({ place }) => place.startsWith('filter/')).length;
  const isRefused = walk.redirected && walk.endpoints.length === 0;
  return {
    rules: walk.steps.map(({ place, text, matched }) => ({ matched, depth: 0, place, text })),
    counts: `${walk.steps.length} rules (${walk.steps.length - filter} nat, ${filter} filter)`,
    verdict: isRefused ? 'REJECT' : 'ACCEPT',
    endpoints: walk.endpoints,
    masqueraded: walk.endpoints.length > 0,
  };
}
