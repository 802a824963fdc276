/** How a container is made to stop: preStop hook, SIGTERM, SIGKILL, and what its process makes of them. Pure functions. */
import type { SigtermMode } from '../model/churn.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { Deployment } from '../model/workload.ts';

/** From SIGTERM to the end of a process of which nothing else is said. An assumption: a server without long requests. */
export const PROCESS_EXIT_NS = 100 * NS_PER_MS;

/** SIGKILL comes no sooner than this after SIGTERM, however long the preStop hook took [kuberuntime_manager.go minimumGracePeriodInSeconds]. */
const MINIMUM_GRACE_SECONDS = 2;

/**
 * What becomes of the connections that a process had. closed: it has ended, and its kernel closes them, which the other side
 * hears at once [net/ipv4/tcp.c tcp_close]; lost: its machine has failed, and nobody says a word.
 */
export type ProcessEnd = 'closed' | 'lost';

export interface StopTimes {
  /** From the decision to stop the container to SIGTERM. */
  readonly sigtermNs: SimTime;
  /** From SIGTERM to SIGKILL. */
  readonly sigkillNs: SimTime;
}

/** The hook counts against the grace period and is cut off at its end; without a grace period it is left out [kuberuntime_container.go killContainer]. */
export function stopTimes({ preStopSleepSeconds, terminationGracePeriodSeconds: graceSeconds }: Deployment): StopTimes {
  const hookSeconds = Math.min(preStopSleepSeconds, graceSeconds);
  const restSeconds = graceSeconds === 0 ? 0 : Math.max(graceSeconds - hookSeconds, MINIMUM_GRACE_SECONDS);
  return { sigtermNs: Math.round(hookSeconds * NS_PER_S), sigkillNs: Math.round(restSeconds * NS_PER_S) };
}

export interface Shutdown {
  /** From SIGTERM to the end of the process. */
  readonly exitNs: SimTime;
  /** It goes on accepting connections until then; else its listening socket is closed at SIGTERM. */
  readonly listensOn: boolean;
  /** It ends by SIGKILL. */
  readonly isKilled: boolean;
}

/**
 * close: the listening socket is closed, so new connections are refused, and those that are there are served until the
 * process ends of itself after `shutdownNs`; lame_duck: until then it accepts new ones as well, as CoreDNS does; exit: it ends at once, as without a handler of the signal; ignore: it works on,
 * as the first process of a container does without a handler [kernel/signal.c sig_task_ignored].
 */
export function shutdownOf(mode: SigtermMode, shutdownNs: SimTime, sigkillNs: SimTime): Shutdown {
  if (mode === 'exit') return { exitNs: 0, listensOn: false, isKilled: false };
  if (mode === 'ignore') return { exitNs: sigkillNs, listensOn: true, isKilled: true };
  return { exitNs: Math.min(shutdownNs, sigkillNs), listensOn: mode === 'lame_duck', isKilled: shutdownNs > sigkillNs };
}
