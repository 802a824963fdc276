/** Words that the cases of nftables mode share: blocks, a new flow, exact counts. */
import { parseCidr } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import { CURRENT_KUBE_PROXY } from '../../model/kube-proxy.ts';
import type { EngineOptions } from '../engine.ts';
import type { CaseStep, Expectation } from './cases.ts';
import type { OriginName } from './harness.ts';

export const V131: Partial<EngineOptions> = {
  kubeProxy: { ...CURRENT_KUBE_PROXY, nftablesBaseChains: 'v1.31', nftablesClusterIpPort: true },
};
/** A load balancer's address, and a source that no range of the cases holds. */
export const LB = '198.51.100.1:80';
export const STRANGER = '198.18.0.1:40000';

/** Cases of all modes that know the source port behind a masquerade. */
export const FULLY_RANDOM_SKIP = {
  reason: 'this mode masquerades fully at random, so no source port is known; nftables-cases.ts has its own',
  cases: [
    'ClusterIP from the host: masqueraded, as it is outside the cluster CIDR',
    'masqueradeAll masquerades pods, too',
    'hairpin: a local endpoint that reaches itself is masqueraded',
    'NodePort from outside: masqueraded to the primary address',
    'same source port behind one address: the second flow gets another one, and its answers come back',
  ],
} as const;

export function block(text: string): Cidr {
  return parseCidr(text) as Cidr;
}

export function syn(at: number, origin: OriginName, src: string, dst: string, expect: Expectation): CaseStep {
  return { at, src, dst, flags: 'SYN', origin, expect };
}

export function work(counts: NonNullable<Expectation['work']>): Pick<Expectation, 'work' | 'exactWork'> {
  return { exactWork: true, work: counts };
}
