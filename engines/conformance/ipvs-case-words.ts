/** Addresses and short forms that the cases of IPVS mode share. */
import type { CaseStep, Expectation } from './cases.ts';
import { EP1 } from './cases.ts';
import type { OriginName } from './harness.ts';

export const EXTERNAL = '198.51.100.9:80';
export const LB = '198.51.100.1:80';
/** What the node's own packets to that VIP have as their source. */
export const LB_CLIENT = '198.51.100.1:40000';
export const STRANGER = '198.18.0.1:40000';
export const NODE_PORT = '192.168.0.1:30080';
export const HERE = `${EP1} local`;

export function syn(at: number, origin: OriginName, src: string, dst: string, expect: Expectation): CaseStep {
  return { at, src, dst, flags: 'SYN', origin, expect };
}
