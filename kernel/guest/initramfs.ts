/** The guest's file system: tools of this machine with their libraries, modules of the guest's kernel, the load programs, an init. */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ipvsSysctls } from '../../engines/ipvs/program/node-settings.ts';
import { buildLoadPrograms, LOAD_PROGRAMS } from '../measure/load-programs.ts';
import { runWell } from '../measure/tool.ts';
import type { GuestKernel } from './kernel-package.ts';
import { GUEST_NETWORK } from './rig.ts';
import { FUNCTIONS } from './script.ts';

const BUSYBOX_APPLETS = [
  'sh',
  'mount',
  'insmod',
  'rmmod',
  'cat',
  'echo',
  'printf',
  'sleep',
  'poweroff',
  'tail',
  'grep',
  'ls',
];
/** By the name that the guest calls them; links are followed. */
const TOOLS = [
  'iptables-legacy',
  'iptables-legacy-restore',
  'iptables-nft',
  'iptables-nft-restore',
  'nft',
  'ipset',
  'ip',
] as const;

/** Of iptables, found beside one another; libxt_*.so and libipt_*.so that the rules name. */
const EXTENSIONS =
  /^lib(xt_(statistic|comment|conntrack|mark|MARK|set|addrtype|udp|tcp|standard|MASQUERADE|DNAT|NAT)|ipt_.*)\.so$/;

const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'sh', 'dh', 'mh', 'sed', 'nq'];
/** What the rules ask for, and what those depend on comes along. */
const MODULES = [
  ...['crc32c_generic', 'nf_conntrack', 'nf_conntrack_netlink', 'nf_nat', 'nfnetlink'],
  ...['ip_tables', 'iptable_nat', 'iptable_filter', 'xt_nat', 'xt_mark', 'xt_comment', 'xt_statistic', 'xt_conntrack'],
  ...['xt_addrtype', 'xt_tcpudp', 'xt_MASQUERADE', 'xt_set', 'xt_REDIRECT', 'ipt_REJECT', 'nf_reject_ipv4'],
  ...[
    'ip_set',
    'ip_set_hash_ip',
    'ip_set_hash_ipport',
    'ip_set_hash_ipportip',
    'ip_set_hash_ipportnet',
    'ip_set_bitmap_port',
  ],
  ...['nf_tables', 'nft_compat', 'nft_nat', 'nft_ct', 'nft_masq', 'nft_numgen', 'nft_chain_nat'],
  ...['nft_reject', 'nft_reject_ipv4', 'nft_fib', 'nft_fib_ipv4', 'nft_limit', 'nft_hash'],
  ...['ip_vs', ...SCHEDULERS.map((name) => `ip_vs_${name}`)],
  'dummy',
];

/** Makes `root`, which is packed later with a script of a guest. */
export async function buildRoot(root: string, kernel: GuestKernel, signal: AbortSignal): Promise<void> {
  for (const folder of ['bin', 'dev', 'proc', 'sys', 'tmp', 'run', 'etc', 'modules', 'input']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  copyFileSync(await whereIs('busybox', signal), join(root, 'bin/busybox'));
  for (const applet of BUSYBOX_APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
  await buildLoadPrograms(join(root, 'bin'), LOAD_PROGRAMS, 'static', signal);
  for (const tool of TOOLS) await copyTool(root, tool, signal);
  await copyExtensions(root, signal);
  for (const file of ['/etc/protocols', '/etc/services']) if (existsSync(file)) copyFileSync(file, join(root, file));
  const modules = await copyModules(root, kernel, signal);
  writeFileSync(join(root, 'init'), initScript(modules, kernel.release));
  chmodSync(join(root, 'init'), 0o755);
}

/** `parts.sh` and the files that it reads are those of one guest; an archive of what changes is appended to that of what does not. */
export async function packRoot(root: string, archive: string, signal: AbortSignal): Promise<void> {
  const command = `cd "$1" && find . | cpio --quiet -o -H newc | gzip -1 > "$2"`;
  await runWell('bash', ['-o', 'pipefail', '-c', command, 'pack', root, archive], { signal });
}

function initScript(modules: readonly string[], release: string): string {
  const [major, minor] = release.split('.').map(Number);
  const sysctls = ipvsSysctls(false, [major, minor]);
  const set = sysctls.map(({ name, value }) => `echo ${value} > /proc/sys/${name}`).join(' && ');
  const others = modules.filter((name) => !name.startsWith('ip_vs'));
  return `#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2> /dev/null
for m in ${others.join(' ')}; do insmod /modules/$m.ko; done
ip link set lo up
ip route add local ${GUEST_NETWORK}.0.0.0/8 dev lo
echo 1 > /proc/sys/net/ipv4/ip_forward
${FUNCTIONS.replaceAll('SCHEDULERS', SCHEDULERS.join(' ')).replace('SYSCTLS', set)}
. /input/parts.sh
poweroff -f
`;
}

async function whereIs(tool: string, signal: AbortSignal): Promise<string> {
  return realpathSync((await runWell('bash', ['-c', `command -v ${tool}`], { signal })).trim());
}

async function copyTool(root: string, tool: string, signal: AbortSignal): Promise<void> {
  const file = await whereIs(tool, signal);
  const name = basename(file);
  copyOnce(file, join(root, 'bin', name));
  // One program has many names, which are links to it.
  if (name !== tool) symlinkSync(name, join(root, 'bin', tool));
  await copyLibraries(root, file, signal);
}

/** To the paths at which the program looks for them. */
async function copyLibraries(root: string, file: string, signal: AbortSignal): Promise<void> {
  const listed = await runWell('bash', ['-c', 'ldd "$1" || true', 'ldd', file], { signal });
  for (const [, path] of listed.matchAll(/(?:^\s*|=> )(\/\S+) \(/gm)) copyOnce(path, join(root, path));
}

async function copyExtensions(root: string, signal: AbortSignal): Promise<void> {
  const found = await runWell(
    'bash',
    ['-c', 'ls -d /usr/lib/*/xtables /usr/lib/xtables /lib/xtables 2> /dev/null || true'],
    { signal },
  );
  const folder = found.split('\n').find((each) => each !== '');
  if (folder === undefined) throw new Error('the extensions of iptables (libxt_*.so) are not in /usr/lib');
  for (const name of readdirSync(folder).filter((each) => EXTENSIONS.test(each))) {
    copyOnce(join(folder, name), join(root, folder, name));
    await copyLibraries(root, join(folder, name), signal);
  }
}

/** In the order in which they are loaded. */
async function copyModules(root: string, { modules }: GuestKernel, signal: AbortSignal): Promise<string[]> {
  const files = new Map<string, string>();
  for (const path of readdirSync(modules, { recursive: true, encoding: 'utf8' })) {
    const name = /([^/]+)\.ko(\.xz|\.gz|\.zst)?$/.exec(path)?.[1];
    if (name !== undefined) files.set(name.replaceAll('-', '_'), join(modules, path));
  }
  const order: string[] = [];
  const add = async (name: string): Promise<void> => {
    const file = files.get(name);
    // What is not a module is built into the kernel, or the kernel has come to do without.
    if (order.includes(name) || file === undefined) return;
    const depends = await runWell('modinfo', ['-F', 'depends', file], { signal });
    for (const other of depends
      .trim()
      .split(',')
      .filter((each) => each !== ''))
      await add(other.replaceAll('-', '_'));
    const target = join(root, 'modules', `${name}.ko`);
    if (file.endsWith('.ko')) copyFileSync(file, target);
    else await runWell('bash', ['-c', `${unpacker(file)} -dc "$1" > "$2"`, 'unpack', file, target], { signal });
    order.push(name);
  };
  for (const name of MODULES) await add(name);
  if (!order.includes('ip_vs')) throw new Error(`the guest's kernel has no module ip_vs in ${modules}`);
  return order;
}

function unpacker(file: string): string {
  return file.endsWith('.xz') ? 'xz' : file.endsWith('.zst') ? 'zstd' : 'gzip';
}

function copyOnce(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}
