/** The guest's measurements of IPVS: look-up of services, schedulers, connections, kube-proxy's rules around it, programming. */
import { directTarget, ENDPOINT_PORT, firstSource, SERVICE_PORT, vip } from '../measure/rig-cluster.ts';
import type { Point } from '../measure/rows.ts';
import { ipvsRuleset } from '../measure/rulesets.ts';
import type { Effort } from '../measure/points.ts';
import { DRAWN_EFFORT, EFFORT, GUEST_NETWORK, SYNC_POINT } from './rig.ts';
import type { Part } from './rig.ts';
import type { GuestScript } from './script.ts';

/** `uniform` needs more packets than there are places. */
const UNIFORM_EFFORT: Effort = { packets: 1024, repeats: 2 };
const SINGLE_REQUESTS = 50;

/** Services alone: IPVS without rules. */
export function ipvsServices(sizes: readonly number[], expectedSeconds: number): Part {
  return {
    name: 'ipvs',
    expectedSeconds,
    write(script) {
      // What the module leaves behind when it goes, such as its caches, is there at the first size as at the others.
      script.run('ipvs_on && ipvs_off');
      for (const services of sizes) {
        script.step(`ipvs ${services} Services`);
        script.run('ipvs_on');
        script.requests(ipvsPoint('sync', services, '', 'bulk'), serversFile(script, services));
        writePackets(script, services, 'bare');
        writeSingleRequests(script, services);
        script.run('ipvs_off');
      }
    },
  };
}

export function ipvsWithConntrack(sizes: readonly number[], expectedSeconds: number): Part {
  return {
    name: 'ipvs with connection tracking',
    expectedSeconds,
    write(script) {
      script.run('iptables-legacy -A INPUT -m conntrack --ctstate NEW -j ACCEPT');
      for (const services of sizes) {
        script.step(`ipvs with connection tracking, ${services} Services`);
        script.run(`ipvs_on && ipvs ticks < ${serversFile(script, services)} > /dev/null`);
        writePackets(script, services, 'conntrack');
        script.run('ipvs_off');
      }
      script.run('iptables_off');
    },
  };
}

/** With kube-proxy's sets and rules, then with its addresses on kube-ipvs0 as well. */
export function ipvsWithRules(sizes: readonly number[], expectedSeconds: number): Part {
  return {
    name: "ipvs with kube-proxy's rules",
    expectedSeconds,
    write(script) {
      for (const services of sizes) {
        const rules = ipvsRuleset(GUEST_NETWORK, services, 1);
        const name = `kube-${services}`;
        script.step(`ipvs with kube-proxy's rules, ${services} Services`);
        script.run(`ipvs_on && ipset restore < ${script.file(`${name}-sets`, rules.sets)}`);
        script.run(`ipvs ticks < ${serversFile(script, services)} > /dev/null`);
        script.run(`iptables-legacy-restore < ${script.file(`${name}-rules`, rules.rules)}`);
        const last = services - 1;
        const established = (variant: string): void => {
          writeFirst(script, services, last, variant, EFFORT);
          writeEstablished(script, services, last, variant);
        };
        writeMiss(script, services, 'kube-rules');
        established('kube-rules');
        script.run('ip link add kube-ipvs0 type dummy');
        const addresses = script.file(`${name}-addresses`, rules.addresses);
        const point = { ...ipvsPoint('sync', services, 'addr-add', 'kube-ipvs0'), comments: false };
        script.command(point, '/dev/null', `ip -batch ${addresses}`);
        established('kube-rules+kube-ipvs0');
        script.run('ip link del kube-ipvs0 && iptables_off && ipset destroy && ipvs_off');
      }
    },
  };
}

export function ipvsSchedulers(
  schedulers: readonly string[],
  endpoints: readonly number[],
  expectedSeconds: number,
): Part {
  return {
    name: 'schedulers of ipvs',
    expectedSeconds,
    write(script) {
      for (const scheduler of schedulers) {
        script.step(`ipvs scheduler ${scheduler}`);
        for (const count of endpoints) {
          const { servers } = ipvsRuleset(GUEST_NETWORK, 1, count, scheduler);
          script.run(`ipvs_on && ipvs ticks < ${script.file(`${scheduler}-${count}`, servers)} > /dev/null`);
          const variant = `sched=${scheduler}`;
          const point = (mode: 'first' | 'established'): Point => {
            return { ...ipvsPoint(mode, 1, 'only', variant), endpoints: count };
          };
          script.packets({ point: point('first'), load: packets('first', 0, DRAWN_EFFORT) });
          script.packets({ point: point('established'), load: packets('established', 0, EFFORT) });
          script.run('ipvs_off');
        }
      }
    },
  };
}

/** With many connections in tables of several sizes. */
export function ipvsConnections(
  tableBits: readonly number[],
  connections: readonly number[],
  expectedSeconds: number,
): Part {
  return {
    name: 'connections of ipvs',
    expectedSeconds,
    write(script) {
      for (const bits of tableBits) {
        for (const count of connections) {
          const variant = `conn_tab_bits=${bits}:conns=${count}`;
          script.step(`ipvs with ${count} connections in 2^${bits} buckets`);
          script.run(`ipvs_on conn_tab_bits=${bits} && ipvs ticks < ${serversFile(script, 1)} > /dev/null`);
          const crowd = packets('first', 0, { packets: count, repeats: 1 }).map((word) =>
            word.startsWith('source=') ? `source=${GUEST_NETWORK}.210.0.0` : word,
          );
          script.run(`packets ${crowd.join(' ')} batch=64 flush=0 > /dev/null`);
          for (const [mode, flow] of [['first', 70_000] as const, ['established', 80_000] as const]) {
            const load = [
              ...packets(mode, 0, { packets: EFFORT.packets, repeats: 1 }),
              'flush=0',
              `first-flow=${flow}`,
            ];
            script.packets({ point: ipvsPoint(mode, 1, 'only', variant), load });
          }
          script.run('ipvs_off && packets flush');
        }
      }
    },
  };
}

function writePackets(script: GuestScript, services: number, variant: string): void {
  const last = services - 1;
  for (const index of new Set([0, services >> 1, last])) writeFirst(script, services, index, variant, EFFORT);
  const load = [...packets('first', 0, UNIFORM_EFFORT), 'pick=random', `services=${services}`];
  script.packets({ point: ipvsPoint('first', services, 'uniform', variant), load });
  writeMiss(script, services, variant);
  writeEstablished(script, services, last, variant);
}

function writeFirst(script: GuestScript, services: number, index: number, variant: string, effort: Effort): void {
  script.packets({
    point: ipvsPoint('first', services, `index${index}`, variant),
    load: packets('first', index, effort),
  });
}

function writeEstablished(script: GuestScript, services: number, index: number, variant: string): void {
  script.packets({
    point: ipvsPoint('established', services, `index${index}`, variant),
    load: packets('established', index, EFFORT),
  });
}

function writeMiss(script: GuestScript, services: number, variant: string): void {
  const [mode, , , ...options] = packets('first', 0, EFFORT);
  script.packets({
    point: ipvsPoint('first', services, 'miss', variant),
    load: [mode, directTarget(GUEST_NETWORK), `${ENDPOINT_PORT}`, ...options],
  });
}

/** One Service more, and a second server for it, each added and taken away, for a number of Services. */
function writeSingleRequests(script: GuestScript, services: number): void {
  const all = serverLines(ipvsRuleset(GUEST_NETWORK, services + SINGLE_REQUESTS, 2).servers);
  const extra = all.slice(services).map(([service, first, second]) => ({ service, first, second }));
  const lines = {
    added: extra.flatMap(({ service, first }) => [service, first]),
    second: extra.map(({ second }) => second),
    gone: extra.map(({ second }) => deletion(second)),
    deleted: extra.map(({ service }) => deletion(service)),
  };
  for (const [name, text] of Object.entries(lines)) {
    const input = script.file(`single-${services}-${name}`, `${text.join('\n')}\n`);
    script.requests(ipvsPoint('sync', services, '', 'single'), input);
  }
}

/** `-A -u V -s rr` -> `-D -u V`; `-a -u V -r S -m -w 1` -> `-d -u V -r S`. */
function deletion(line: string): string {
  return line
    .replace(/^-A/, '-D')
    .replace(/^-a/, '-d')
    .replace(/ -s \S+| -m| -w \d+/g, '');
}

/**
 * The lines of each Service, by address: the order of creation decides the order in a bucket's chain (ip_vs_svc_hash puts new ones at its
 * head), and addresses that follow one another fill the buckets in turn.
 */
function serverLines(text: string): string[][] {
  const blocks: string[][] = [];
  for (const line of text.trimEnd().split('\n')) {
    if (line.startsWith('-A ')) blocks.push([line]);
    else blocks[blocks.length - 1].push(line);
  }
  return blocks
    .map((lines) => ({ lines, at: place(lines[0]) }))
    .sort((a, b) => a.at - b.at)
    .map(({ lines }) => lines);
}

function place(line: string): number {
  const address = / (\d+)\.(\d+)\.(\d+)\.(\d+):/.exec(line);
  if (address === null) throw new Error(`no address in ${line}`);
  return address.slice(1).reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

function serversFile(script: GuestScript, services: number): string {
  const lines = serverLines(ipvsRuleset(GUEST_NETWORK, services, 1).servers).flat();
  return script.file(`servers-${services}`, `${lines.join('\n')}\n`);
}

function packets(mode: 'first' | 'established', index: number, { packets, repeats }: Effort): string[] {
  const rig = [`source=${firstSource(GUEST_NETWORK)}`, `sink=${ENDPOINT_PORT}`];
  return [mode, vip(GUEST_NETWORK, index), `${SERVICE_PORT}`, ...rig, `packets=${packets}`, `repeats=${repeats}`];
}

function ipvsPoint(mode: Point['mode'], services: number, position: string, variant: string): Point {
  const point = { ...SYNC_POINT, engine: 'ipvs', mode, services, endpoints: 1, position, variant };
  return { ...point, comments: mode !== 'sync' };
}
