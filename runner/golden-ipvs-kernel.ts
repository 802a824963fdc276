/** What a golden case says IPVS mode finds in the kernel: a list as `ipvsadm -S -n` prints it. */
import { canonicalIp } from '../model/ip-text.ts';
import { InputError, quote } from '../scenarios/errors.ts';
import type { InitialVirtualServer } from '../engines/ipvs/program/ipvs-table.ts';

type Service = Pick<InitialVirtualServer, 'address' | 'port' | 'protocol'>;

/** IP_VS_SVC_F_PERSISTENT. */
const PERSISTENT = 0x1;
const SERVICE = String.raw`(-t|-u|--tcp-service|--udp-service|--sctp-service) (\S+)`;
const VIRTUAL = new RegExp(`^-A ${SERVICE}(?: -s (\\S+))?(?: -p (\\d+))?$`);
const REAL = new RegExp(`^-a ${SERVICE} -r (\\S+)(?: -m)?(?: -w (\\d+))?$`);

/** Throws an InputError for a line that it cannot read, or a real server without its virtual server. */
export function readIpvsList(text: string): InitialVirtualServer[] {
  const servers: InitialVirtualServer[] = [];
  for (const line of text.split('\n').map((each) => each.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const virtual = VIRTUAL.exec(line);
    const real = REAL.exec(line);
    if (virtual !== null) {
      const persistent = virtual[4] !== undefined;
      servers.push({
        ...service(virtual, line),
        scheduler: virtual[3] ?? 'wlc',
        flags: persistent ? PERSISTENT : 0,
        timeoutSeconds: Number(virtual[4] ?? 0),
        realServers: [],
      });
    } else if (real !== null) {
      const key = service(real, line);
      const index = servers.findIndex(
        (each) => each.address === key.address && each.port === key.port && each.protocol === key.protocol,
      );
      if (index < 0) throw new InputError(`No virtual server stands before its real server ${quote(line)}.`);
      const server = { ...endpoint(real[3], line), weight: Number(real[4] ?? 1) };
      servers[index] = { ...servers[index], realServers: [...(servers[index].realServers ?? []), server] };
    } else {
      throw new InputError(`Cannot read ${quote(line)}; expected what ipvsadm -S -n prints.`);
    }
  }
  return servers;
}

function service([, option, text]: RegExpExecArray, line: string): Service {
  const protocol = option === '--sctp-service' ? 'sctp' : option === '-u' || option === '--udp-service' ? 'udp' : 'tcp';
  return { ...endpoint(text, line), protocol };
}

/** `10.0.0.1:80`, IPv6 in brackets. */
function endpoint(text: string, line: string): { readonly address: string; readonly port: number } {
  const match = /^\[?([^\]]+?)\]?:(\d+)$/.exec(text);
  const address = canonicalIp(match?.[1] ?? '');
  if (match === null || address === undefined) throw new InputError(`No address and port in ${quote(line)}.`);
  return { address, port: Number(match[2]) };
}
