/** `chainwalk trace`: one packet through the rules of a cluster, rule by rule. */
import { canonicalIp, familyOf } from '../../model/ip-text.ts';
import { hostPort, portNameText } from '../../model/service-config.ts';
import type { IpFamily, ServicePortConfig } from '../../model/service-config.ts';
import { didYouMean, InputError } from '../../scenarios/errors.ts';
import { familyOfFlag, readProgramInput } from '../program-input.ts';
import type { ProxyFlags } from '../program-input.ts';
import { compileProgram, modeOf } from '../programs.ts';
import type { PacketFlow, PacketTrace } from '../programs.ts';

interface TraceFlags extends ProxyFlags {
  readonly from: string;
  readonly to: string;
  readonly protocol?: string;
  readonly inInterface?: string;
}

type Protocol = PacketFlow['protocol'];

interface Target {
  readonly ip: string;
  readonly port: number;
  /** The Service's own. */
  readonly protocol?: Protocol;
}

const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp', 'sctp'];

export function traceCommand(files: readonly string[], flags: TraceFlags): void {
  const { text, notes } = trace(files, flags);
  for (const note of notes) process.stderr.write(`${note}\n`);
  process.stdout.write(text);
}

/** What goes to standard output, and to standard error. */
export function trace(files: readonly string[], flags: TraceFlags): { text: string; notes: readonly string[] } {
  const mode = modeOf(flags.engine);
  const sourceIp = canonicalIp(flags.from);
  const family = sourceIp === undefined ? undefined : familyOf(sourceIp);
  if (sourceIp === undefined || family === undefined) {
    throw new InputError(`--from expects an IP address, got "${flags.from}"`);
  }
  if (flags.family !== undefined && familyOfFlag(flags.family) !== family) {
    throw new InputError(`--from "${flags.from}" is no address of --family ${flags.family}`);
  }
  const { target, protocol } = splitProtocol(flags.to, flags.protocol);
  const address = addressTarget(target, family);
  const input = readProgramInput(files, flags, family);
  const to: Target = address ?? serviceTarget(target, protocol, input.services, family);
  const flow: PacketFlow = {
    sourceIp,
    protocol: protocol ?? to.protocol ?? 'tcp',
    destIp: to.ip,
    destPort: to.port,
    ...(flags.inInterface === undefined ? {} : { inputInterface: flags.inInterface }),
  };
  const program = compileProgram(mode, input);
  return { text: report(flow, program.trace(flow)), notes: [...input.notes, ...program.notes] };
}

function splitProtocol(text: string, flag: string | undefined): { target: string; protocol: Protocol | undefined } {
  // A slash before the port stands between a namespace and a name.
  const slash = /\/(tcp|udp|sctp)$/i.exec(text) ?? /(?<=:[^:/\]]*)\/([^/:]*)$/.exec(text);
  const given = flag === undefined ? undefined : protocolOf('--protocol', flag);
  if (slash === null) return { target: text, protocol: given };
  const protocol = protocolOf('The protocol of --to', slash[1]);
  if (given !== undefined && given !== protocol) {
    throw new InputError(`--to says ${protocol} and --protocol says ${given}; one has to go`);
  }
  return { target: text.slice(0, slash.index), protocol };
}

function protocolOf(option: string, text: string): Protocol {
  const protocol = PROTOCOLS.find((each) => each === text.toLowerCase());
  if (protocol !== undefined) return protocol;
  throw new InputError(`${option} "${text}" is not known. Expected one of ${PROTOCOLS.join(', ')}`);
}

/** `IP:PORT`, IPv6 in brackets; `undefined` for what looks like a Service's name. */
function addressTarget(text: string, family: IpFamily): Target | undefined {
  const match = /^(?:\[([^\]]*)\]|([\d.]+)):([^:]*)$/.exec(text);
  if (match === null) {
    const isAddress = canonicalIp(text) !== undefined || /^[\d.]+$|^\[|:.*:/.test(text);
    if (!isAddress) return undefined;
    throw new InputError(`--to expects IP:PORT (an IPv6 address in brackets) or a Service, got "${text}"`);
  }
  const written = match[1] ?? match[2];
  const ip = canonicalIp(written);
  const port = Number(match[3]);
  if (ip === undefined) throw new InputError(`--to expects IP:PORT, and "${written}" is no IP address`);
  if (!/^\d+$/.test(match[3]) || port < 1 || port > 65535) {
    throw new InputError(`--to expects a port from 1 to 65535 after the address, got "${match[3]}"`);
  }
  if (familyOf(ip) !== family) {
    throw new InputError(`--from is an ${family} address and --to "${text}" is none; a packet has one family`);
  }
  return { ip, port };
}

/** `SERVICE[:PORT]`: `namespace/name` or a name that only one namespace has; the port by name or number. */
function serviceTarget(
  text: string,
  protocol: Protocol | undefined,
  services: readonly ServicePortConfig[],
  family: IpFamily,
): Target {
  const [service, port] = text.split(':');
  const named = services.filter(({ namespace, name }) => name === service || `${namespace}/${name}` === service);
  if (named.length === 0) {
    const known = services.flatMap(({ namespace, name }) => [name, `${namespace}/${name}`]);
    throw new InputError(
      `--to "${text}": no Service "${service}" has an ${family} cluster IP.${didYouMean(service, known)}`,
    );
  }
  const found = named.filter(
    (each) =>
      (port === undefined || port === each.portName || port === String(each.port)) &&
      (protocol === undefined || protocol === each.protocol),
  );
  const only = found[0];
  if (found.length === 1) return { ip: only.clusterIp, port: only.port, protocol: only.protocol };
  const choice = named.map((each) => `${portNameText(each)} (${each.port}/${each.protocol})`).join(', ');
  throw new InputError(
    `--to "${text}" names ${found.length} ports of the Services with that name. There are ${choice}`,
  );
}

function report(flow: PacketFlow, trace: PacketTrace): string {
  const widest = trace.rules.reduce((most, { place, depth }) => Math.max(most, place.length + 2 * depth), 0);
  const lines = trace.rules.map(({ matched, depth, place, text }) => {
    const indented = `${'  '.repeat(depth)}${place}`.padEnd(widest);
    return `${matched ? 'matched' : '-      '}  ${indented}  ${text}`;
  });
  return [
    `packet       ${flow.sourceIp} to ${hostPort(flow.destIp, flow.destPort)}/${flow.protocol}`,
    ...lines,
    `evaluated    ${trace.counts}`,
    `verdict      ${trace.verdict}`,
    `endpoints    ${trace.endpoints.length === 0 ? 'none' : trace.endpoints.join(', ')}`,
    `masqueraded  ${trace.masqueraded ? 'yes' : 'no'}`,
    '',
  ].join('\n');
}
