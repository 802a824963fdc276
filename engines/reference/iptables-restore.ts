/** What kube-proxy feeds to iptables-restore in one sync of iptables mode (README 5). */
import type { ServicePort } from '../../model/cluster.ts';
import { fixedChains, nodePortJumps } from './iptables-rules.ts';
import type { RestoreInput, WriteOptions } from './iptables-rules.ts';
import { writeEntrances, writeOwnChains } from './iptables-service-rules.ts';

/** The always rewritten chains, and the own chains of `changed` service ports. */
export function writeRestore(
  services: readonly ServicePort[],
  changed: ReadonlySet<number>,
  write: WriteOptions,
): RestoreInput {
  const input = fixedChains(write.options);
  for (const svc of services) {
    writeEntrances(input, svc, write);
    if (changed.has(svc.id)) writeOwnChains(input, svc, write);
  }
  input.nat.get('KUBE-SERVICES')?.push(...nodePortJumps(write.node, write.options));
  return input;
}
