/** How long a client waits for a connection: its kernel's retransmissions of the SYN, its own time-out, its retries. */
import { NS_PER_S, type SimTime } from '../model/time.ts';
import type { TrafficSpec } from '../scenarios/spec.ts';

/** Initial retransmission time-out of a SYN [include/net/tcp.h TCP_TIMEOUT_INIT]. */
const SYN_TIMEOUT_NS = NS_PER_S;
/** net.ipv4.tcp_syn_retries. */
const SYN_RETRIES = 6;
/** net.ipv4.tcp_syn_linear_timeouts, in Linux from 6.5 on. */
const LINEAR_TIMEOUTS = 4;

export interface SynSchedule {
  /** From the first SYN to each later one, ascending. */
  readonly againNs: readonly SimTime[];
  /** From the first SYN until the kernel gives up (ETIMEDOUT). */
  readonly giveUpNs: SimTime;
}

export interface ClientPolicy extends SynSchedule {
  readonly retries: number;
  /** Before the first retry; doubled before each further one. */
  readonly backoffNs: SimTime;
}

/**
 * When a kernel repeats a SYN that nobody answers [net/ipv4/tcp_timer.c tcp_retransmit_timer, tcp_write_timeout]: the time-out doubles
 * after each SYN. Since 6.5 it stays as it is until more than tcp_syn_linear_timeouts of them have passed, and as many SYNs come on top.
 */
export function synSchedule([major, minor]: readonly [number, number]): SynSchedule {
  const linear = major > 6 || (major === 6 && minor >= 5) ? LINEAR_TIMEOUTS : 0;
  const againNs: SimTime[] = [];
  let timeout = SYN_TIMEOUT_NS;
  let at = timeout;
  while (againNs.length < SYN_RETRIES + linear) {
    againNs.push(at);
    if (againNs.length > linear) timeout *= 2;
    at += timeout;
  }
  return { againNs, giveUpNs: at };
}

/** Absent: a client whose attempt fails at its first SYN, without waiting and for good. */
export function clientPolicy(traffic: TrafficSpec): ClientPolicy | undefined {
  const { clientKernel, connectTimeoutSeconds, retries, retryBackoffSeconds } = traffic;
  if (clientKernel === undefined && connectTimeoutSeconds === undefined && retries === 0) return undefined;
  const kernel = clientKernel === undefined ? { againNs: [], giveUpNs: 0 } : synSchedule(clientKernel);
  const timeoutNs = connectTimeoutSeconds === undefined ? undefined : Math.round(connectTimeoutSeconds * NS_PER_S);
  const kernelNs = clientKernel === undefined ? Infinity : kernel.giveUpNs;
  const giveUpNs = timeoutNs === undefined ? kernel.giveUpNs : Math.min(timeoutNs, kernelNs);
  return {
    againNs: kernel.againNs.filter((ns) => ns < giveUpNs),
    giveUpNs,
    retries,
    backoffNs: Math.round(retryBackoffSeconds * NS_PER_S),
  };
}
