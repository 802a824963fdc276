/** What a cluster asks of an engine, held against what the engine's manifest promises. */
import type { ServicePort } from '../model/cluster.ts';
import { protocolName } from '../model/protocol.ts';
import type { EngineManifest } from './engine.ts';

/** What these service ports have that the engine does not model, in words, each once; a trial of them would answer another question. */
export function unsupported(supports: EngineManifest, servicePorts: readonly ServicePort[]): string[] {
  const missing = new Set<string>();
  for (const { protocol, nodePort, extras } of servicePorts) {
    const name = protocolName(protocol);
    if (!supports.protocols.includes(name)) missing.add(`protocol ${name}`);
    if (nodePort > 0 && !supports.serviceTypes.includes('NodePort')) missing.add('node ports');
    if (extras === undefined) continue;
    if (extras.loadBalancerVips.length > 0 && !supports.serviceTypes.includes('LoadBalancer')) {
      missing.add('load balancers');
    }
    if (extras.externalIps.length > 0 && !supports.externalIps) missing.add('external IPs');
    if (extras.affinitySeconds > 0 && !supports.sessionAffinity) missing.add('session affinity');
    const isLocal = extras.externalPolicyLocal || extras.internalPolicyLocal;
    if (isLocal && !supports.trafficPolicyLocal) missing.add('traffic policy Local');
    if (extras.loadBalancerSourceRanges.length > 0 && !supports.sourceRanges) missing.add('source ranges');
  }
  return [...missing];
}
