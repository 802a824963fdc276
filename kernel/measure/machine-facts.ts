/** What a measurement says of the machine that it was taken on: a small JSON file beside the CSV. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

export interface MachineFacts {
  readonly kernel: string;
  readonly cpu_model: string;
  readonly cpus: number;
  /** Of one core; 0 where the kernel does not say. */
  readonly l2_bytes: number;
  readonly memory_bytes: number;
  readonly clock_source: string;
  /** First line of `--version`, by tool; tools that are not there are left out. */
  readonly tools: Readonly<Record<string, string>>;
}

const CPU = '/sys/devices/system/cpu/cpu0/cache';
const CLOCK = '/sys/devices/system/clocksource/clocksource0/current_clocksource';

const TOOLS = ['iptables-legacy', 'iptables-nft', 'nft', 'ipset', 'cc'];

export function machineFacts(more: readonly string[] = []): MachineFacts {
  const versions = [...TOOLS, ...more]
    .map((tool) => [tool, versionOf(tool)] as const)
    .filter(([, version]) => version !== '');
  return {
    kernel: release(),
    cpu_model: cpuModel(readText('/proc/cpuinfo')),
    cpus: cpus().length,
    l2_bytes: l2Bytes(),
    memory_bytes: totalmem(),
    clock_source: readText(CLOCK).trim(),
    tools: Object.fromEntries(versions),
  };
}

/** `model name` of /proc/cpuinfo, with what tells apart processors of one name: family, model and stepping. */
export function cpuModel(cpuinfo: string): string {
  const field = (name: string): string => new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(cpuinfo)?.[1].trim() ?? '';
  const name = field('model name');
  const numbers = ['cpu family', 'model', 'stepping'].map(field);
  if (name === '' || numbers.some((number) => number === '')) return name;
  return `${name} (family ${numbers[0]}, model ${numbers[1]}, stepping ${numbers[2]})`;
}

/** `native-6.18` for a release such as 6.18.44-generic. */
export function nativeSource(kernelRelease: string): string {
  return `native-${majorMinor(kernelRelease)}`;
}

export function majorMinor(kernelRelease: string): string {
  return /^\d+\.\d+/.exec(kernelRelease)?.[0] ?? kernelRelease.replace(/[^\w.]/g, '_');
}

/** The last processor that this process may run on: the first one takes most interrupts. */
export function lastCpu(status = readText('/proc/self/status')): number {
  const last = /^Cpus_allowed_list:.*?(\d+)$/m.exec(status)?.[1];
  return last === undefined ? 0 : Number(last);
}

function l2Bytes(): number {
  for (let index = 0; index < 8; index++) {
    if (readText(`${CPU}/index${index}/level`).trim() !== '2') continue;
    const size = /^(\d+)([KM])$/.exec(readText(`${CPU}/index${index}/size`).trim());
    if (size !== null) return Number(size[1]) * (size[2] === 'M' ? 1024 * 1024 : 1024);
  }
  return 0;
}

function versionOf(tool: string): string {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
  const { stdout } = spawnSync(tool, ['--version'], { encoding: 'utf8', timeout: 5000, env });
  return (stdout ?? '').split('\n')[0].trim();
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
