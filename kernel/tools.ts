/** Which of the kernel's tools and which rights are there, and what brings those that are not. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Tools by the Debian package that brings them. */
const PACKAGES = {
  iptables: [
    'iptables-legacy-restore',
    'iptables-legacy-save',
    'iptables-nft-restore',
    'iptables-nft-save',
    'ip6tables-legacy-restore',
    'ip6tables-legacy-save',
    'ip6tables-nft-restore',
    'ip6tables-nft-save',
  ],
  nftables: ['nft'],
  ipset: ['ipset'],
  ipvsadm: ['ipvsadm'],
  iproute2: ['ip'],
  'util-linux': ['unshare'],
} as const;

export type ToolPackage = keyof typeof PACKAGES;

/** Not always on the PATH of users other than root. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin'];

export function isToolThere(tool: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_FOLDERS];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why a test that needs these packages, a network namespace and root cannot run, with what helps; undefined when it can. */
export function whatIsMissing(
  needed: readonly ToolPackage[],
  has: (tool: string) => boolean = isToolThere,
): string | undefined {
  const packages = [...new Set<ToolPackage>(['util-linux', 'iproute2', ...needed])];
  const absent = packages.filter((name) => !PACKAGES[name].every(has));
  if (absent.length > 0) return `needs ${absent.join(', ')}: apt-get install ${absent.join(' ')}`;
  if (process.getuid?.() !== 0) return 'needs root: run the tests with sudo or in a container as root';
  return namespaceRefusal();
}

let refusal: { readonly reason: string | undefined } | undefined;

/** Why no network namespace can be made (root of a container may lack CAP_SYS_ADMIN); undefined when one can. */
export function namespaceRefusal(): string | undefined {
  if (refusal === undefined) {
    const { status, stderr } = spawnSync('unshare', ['--net', '--pid', '--fork', '--kill-child', 'true'], {
      encoding: 'utf8',
      timeout: 5000,
    });
    const reason = `needs the right to make a network namespace (CAP_SYS_ADMIN): ${stderr.trim()}`;
    refusal = { reason: status === 0 ? undefined : reason };
  }
  return refusal.reason;
}
