/** The guest's kernel: an unpacked Debian package linux-image-*, given or downloaded. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runWell } from '../measure/tool.ts';

export interface GuestKernel {
  /** `6.1.0-56-amd64`. */
  readonly release: string;
  readonly image: string;
  /** The folder of its modules. */
  readonly modules: string;
}

/** The folder is no unpacked kernel package; the message says what was looked for. */
export class NoGuestKernel extends Error {
  override readonly name = 'NoGuestKernel';
}

const METAPACKAGE = 'linux-image-amd64';

/** Downloads the current kernel of the distribution into `folder` and unpacks it there: some 70 MB, 400 MB unpacked. */
export async function downloadKernel(folder: string, signal: AbortSignal): Promise<GuestKernel> {
  const depends = await runWell('apt-cache', ['depends', METAPACKAGE], { signal });
  const name = /^\s*Depends: (linux-image-\S+)/m.exec(depends)?.[1];
  if (name === undefined)
    throw new NoGuestKernel(`apt-get knows no ${METAPACKAGE}: apt-get update, or --guest-kernel DIR`);
  const unpacked = join(folder, 'kernel');
  mkdirSync(unpacked);
  try {
    await runWell('apt-get', ['download', name], { cwd: folder, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new NoGuestKernel(
      `the kernel package ${name} cannot be downloaded (${reason}): apt-get update, or --guest-kernel DIR`,
    );
  }
  const file = readdirSync(folder).find((each) => each.startsWith(`${name}_`) && each.endsWith('.deb'));
  if (file === undefined) throw new NoGuestKernel(`apt-get download ${name} left no package`);
  await runWell('dpkg-deb', ['-x', join(folder, file), unpacked], { signal });
  return findKernel(unpacked);
}

/** An unpacked package, or a file system that it is installed in. */
export function findKernel(folder: string): GuestKernel {
  for (const modules of ['lib/modules', 'usr/lib/modules'].map((path) => join(folder, path))) {
    if (!existsSync(modules)) continue;
    const releases = readdirSync(modules).sort((a, b) => (a < b ? -1 : 1));
    for (const release of releases) {
      const image = join(folder, 'boot', `vmlinuz-${release}`);
      if (existsSync(image)) return { release, image, modules: join(modules, release) };
    }
  }
  throw new NoGuestKernel(
    `"${folder}" holds no kernel: expected boot/vmlinuz-RELEASE and lib/modules/RELEASE, as dpkg-deb -x linux-image-*.deb DIR leaves them`,
  );
}
