/** What a measurement needs of the machine, and the sentence for what is not there. */
import { isToolThere, namespaceRefusal } from '../tools.ts';
import type { MeasuredEngine } from './plan.ts';

interface Need {
  readonly tool: string;
  /** The Debian package that brings it. */
  readonly package: string;
}

const NAMESPACE: readonly Need[] = [
  { tool: 'unshare', package: 'util-linux' },
  { tool: 'ip', package: 'iproute2' },
  { tool: 'cc', package: 'gcc libc6-dev' },
];
const IPTABLES: readonly Need[] = ['iptables-legacy', 'iptables-nft'].flatMap((name) =>
  [name, `${name}-restore`, `${name}-save`].map((tool) => ({ tool, package: 'iptables' })),
);
const OF_ENGINE: Readonly<Record<MeasuredEngine, readonly Need[]>> = {
  'ipt-legacy': IPTABLES,
  'ipt-nft': IPTABLES,
  nft: [{ tool: 'nft', package: 'nftables' }],
  ipset: [{ tool: 'ipset', package: 'ipset' }],
  ipvs: [],
};
const GUEST: readonly Need[] = [
  { tool: 'qemu-system-x86_64', package: 'qemu-system-x86' },
  { tool: 'busybox', package: 'busybox-static' },
  { tool: 'cc', package: 'gcc libc6-dev' },
  { tool: 'cpio', package: 'cpio' },
  { tool: 'modinfo', package: 'kmod' },
  { tool: 'ip', package: 'iproute2' },
  ...IPTABLES,
  { tool: 'nft', package: 'nftables' },
  { tool: 'ipset', package: 'ipset' },
];
const DOWNLOAD: readonly Need[] = [
  { tool: 'apt-get', package: 'apt' },
  { tool: 'dpkg-deb', package: 'dpkg' },
];

export interface Machine {
  readonly has: (tool: string) => boolean;
  readonly isRoot: boolean;
  readonly isLinux: boolean;
  /** Of x86-64: the guest runs copies of this machine's tools. */
  readonly isAmd64: boolean;
  /** Why no network namespace can be made; undefined when one can. */
  readonly namespaceRefusal: () => string | undefined;
}

export function thisMachine(): Machine {
  return {
    has: isToolThere,
    isRoot: process.getuid?.() === 0,
    isLinux: process.platform === 'linux',
    isAmd64: process.arch === 'x64',
    namespaceRefusal,
  };
}

/** Why the machine's own kernel cannot be measured, with what helps: one sentence; undefined when it can. */
export function missingForNative(engines: readonly MeasuredEngine[], machine: Machine): string | undefined {
  if (!machine.isLinux) return 'measure needs Linux: it measures the netfilter of the kernel that it runs on';
  const absent = absentPackages([...NAMESPACE, ...engines.flatMap((engine) => OF_ENGINE[engine])], machine);
  if (absent !== undefined) return absent;
  if (!machine.isRoot) {
    return 'measure needs root, for a network namespace of its own: run it with sudo or in a container as root (it never touches the rules of the machine)';
  }
  const refusal = machine.namespaceRefusal();
  return refusal === undefined ? undefined : `measure ${refusal}`;
}

/** The same for an emulated guest. Rights are not needed. */
export function missingForGuest(hasKernelFolder: boolean, machine: Machine): string | undefined {
  if (!machine.isLinux) return 'measure --guest needs Linux: it builds the guest from Debian packages';
  if (!machine.isAmd64) return 'measure --guest needs an x86-64 machine: the guest runs copies of its tools';
  return absentPackages([...GUEST, ...(hasKernelFolder ? [] : DOWNLOAD)], machine, ' --guest');
}

function absentPackages(needs: readonly Need[], machine: Machine, flag = ''): string | undefined {
  const absent = needs.filter(({ tool }) => !machine.has(tool));
  if (absent.length === 0) return undefined;
  const tools = [...new Set(absent.map(({ tool }) => tool))].join(', ');
  const packages = [...new Set(absent.map((need) => need.package))].join(' ');
  return `measure${flag} needs ${tools}: apt-get install ${packages}`;
}
