/** `bench --install`: the Debian packages that the peers of some suites need. */
import { InputError } from '../../scenarios/errors.ts';
import { isRoot, runTool } from '../host.ts';
import { whatPeerLacks } from './peer.ts';
import type { BenchSize } from './run-suite.ts';
import { loadSuite } from './suites.ts';

/** Does nothing when all are there. A package that cannot be had is said, and its peer is left out later. */
export async function installPeers(
  names: readonly string[],
  size: BenchSize,
  say: (line: string) => void,
): Promise<void> {
  const packages = new Set<string>();
  for (const name of names) {
    const suite = await loadSuite(name);
    for (const program of suite.jobs(size).flatMap((job) => job.peers)) {
      for (const each of whatPeerLacks(program)?.packages ?? []) packages.add(each);
    }
  }
  if (packages.size === 0) return;
  const wanted = [...packages].join(' ');
  if (!isRoot()) throw new InputError(`--install needs root to install ${wanted}`, undefined);
  say(`installing ${wanted}`);
  const install = (): boolean => runTool('apt-get', ['install', '-y', ...packages]).status === 0;
  if (install()) return;
  runTool('apt-get', ['update']);
  if (!install()) say(`apt-get could not install ${wanted}`);
}
