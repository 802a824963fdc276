/** The form of a conformance case, and the addresses and services that the case files share. */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { EngineName, EngineOptions } from '../engine.ts';
import { service } from './harness.ts';
import type { CounterName, OriginName, VerdictWords } from './harness.ts';

export interface Expectation extends Partial<Omit<VerdictWords, 'work' | 'dst'>> {
  /** One of these. */
  readonly dst?: string | readonly string[];
  /** Exact values of the counters named; `exactWork` says that all others are 0. */
  readonly work?: Readonly<Partial<Record<CounterName, number>>>;
  readonly exactWork?: boolean;
}

export type CaseStep =
  | {
      readonly at: number;
      readonly src: string;
      readonly dst: string;
      readonly flags?: string;
      readonly udp?: boolean;
      readonly sctp?: boolean;
      readonly origin: OriginName;
      readonly expect: Expectation;
    }
  /** Answers the packet of that step (an index into the steps). */
  | {
      readonly at: number;
      readonly answers: number;
      readonly flags?: string;
      readonly udp?: boolean;
      readonly sctp?: boolean;
      readonly origin: OriginName;
      readonly expect: Expectation;
    }
  | {
      readonly at: number;
      readonly apply: readonly ServicePort[];
      readonly remove?: readonly number[];
      readonly report?: Partial<SyncReport>;
    }
  | { readonly at: number; readonly sync: readonly ServicePort[]; readonly report?: Partial<SyncReport> }
  /** kube-proxy's process stops. */
  | { readonly at: number; readonly interrupt: true }
  /** `nextTimer` in seconds, Infinity when nothing is planned. */
  | { readonly at: number; readonly nextTimerSeconds: number };

export interface ConformanceCase {
  readonly name: string;
  /** `both`: every mode whose data path is the kernel alone, that is all but userspace. */
  readonly mode: EngineName | 'both';
  /** Engines whose manifest does not promise what these and the steps' service ports have leave the case out. */
  readonly services: readonly ServicePort[];
  readonly options?: Partial<EngineOptions>;
  /** CASE_NODE unless given. */
  readonly node?: NodeSpec;
  /** `ip:port` of endpoints that take no connection. */
  readonly deadEndpoints?: readonly string[];
  readonly steps: readonly CaseStep[];
}

export const POD = '10.244.9.1:40000';
export const OUTSIDE = '203.0.113.7:40000';
export const HOST = '192.168.0.1:40000';
export const EP1 = '10.244.1.1:8080';
export const EP2 = '10.244.1.2:8080';
export const VIP = '10.96.0.1:80';
export const DNS_VIP = '10.96.0.10:53';

export const ONE = service({ name: 'one', at: VIP, endpoints: [EP1] });
export const ONE_NODE_PORT = service({ name: 'one', at: VIP, nodePort: 30080, endpoints: [EP1] });
export const TWO = service({ name: 'two', at: VIP, nodePort: 30080, endpoints: [EP1, EP2] });
export const EMPTY = service({ name: 'empty', at: VIP, nodePort: 30080, endpoints: [] });
export const DNS1 = service({ name: 'dns', udp: true, at: DNS_VIP, endpoints: ['10.244.1.3:53'] });
export const DNS2 = service({ name: 'dns', udp: true, at: DNS_VIP, endpoints: ['10.244.1.4:53'] });
