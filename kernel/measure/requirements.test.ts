import { describe, expect, it } from 'vitest';
import { missingForGuest, missingForNative } from './requirements.ts';
import type { Machine } from './requirements.ts';

const ALL: Machine = { has: () => true, isRoot: true, isLinux: true, isAmd64: true, namespaceRefusal: () => undefined };

function without(...tools: string[]): Machine {
  return { ...ALL, has: (tool) => !tools.includes(tool) };
}

describe('what the own kernel is measured with', () => {
  it('is there', () => {
    expect(missingForNative(['ipt-legacy', 'ipt-nft', 'nft', 'ipset'], ALL)).toBeUndefined();
  });

  it('is a compiler, and what is wanted of netfilter, in one sentence with the command that brings them', () => {
    expect(missingForNative(['nft'], without('cc'))).toBe('measure needs cc: apt-get install gcc libc6-dev');
    expect(missingForNative(['nft', 'ipset'], without('nft', 'ipset', 'ip', 'iptables-nft'))).toBe(
      'measure needs ip, nft, ipset: apt-get install iproute2 nftables ipset',
    );
    expect(missingForNative(['ipt-nft'], without('iptables-legacy-restore'))).toBe(
      'measure needs iptables-legacy-restore: apt-get install iptables',
    );
  });

  it('is root, and the right to make namespaces', () => {
    expect(missingForNative(['nft'], { ...ALL, isRoot: false })).toMatch(/^measure needs root, .*: run it with sudo/);
    const refused = {
      ...ALL,
      namespaceRefusal: () => 'needs the right to make a network namespace (CAP_SYS_ADMIN): no',
    };
    expect(missingForNative(['nft'], refused)).toMatch(/^measure needs the right to make a network namespace/);
  });

  it('is Linux', () => {
    expect(missingForNative(['nft'], { ...ALL, isLinux: false })).toMatch(/^measure needs Linux/);
  });
});

describe('what a guest is measured with', () => {
  it('is qemu and what its file system is built of, and no rights', () => {
    expect(missingForGuest(false, { ...ALL, isRoot: false })).toBeUndefined();
    expect(missingForGuest(true, without('qemu-system-x86_64', 'busybox', 'cpio', 'modinfo'))).toBe(
      'measure --guest needs qemu-system-x86_64, busybox, cpio, modinfo: apt-get install qemu-system-x86 busybox-static cpio kmod',
    );
  });

  it('is a machine of the same kind', () => {
    expect(missingForGuest(true, { ...ALL, isAmd64: false })).toMatch(/^measure --guest needs an x86-64 machine/);
    expect(missingForGuest(true, { ...ALL, isLinux: false })).toMatch(/^measure --guest needs Linux/);
  });

  it('is apt-get where no kernel is given', () => {
    expect(missingForGuest(false, without('apt-get'))).toBe('measure --guest needs apt-get: apt-get install apt');
    expect(missingForGuest(true, without('apt-get'))).toBeUndefined();
  });
});
