/** What `chainwalk bench` measures: suites of jobs, each done by ours, by other contenders in this process and by peer programs. */
import type { Contender } from '../../sim/contender.ts';

/** A program of `bench/` that does a job in another language; bench/peer.h has the conversation with it. */
export interface PeerProgram {
  readonly name: string;
  /** file in bench/ */
  readonly source: string;
  readonly args: readonly string[];
  /** optional link flags */
  readonly flags?: readonly string[];
}

/** What a job must reach. */
export interface Bar {
  /** name of the peer or contender that ours is compared with */
  readonly against: string;
  /** our time over its time, at most */
  readonly atMost: number;
}

export interface Job {
  readonly name: string;
  readonly size: number;
  /** what size counts: 'pending events', 'rules' ... */
  readonly sizeOf: string;
  /** operations a round */
  readonly operations: number;
  /** Ours is the first. */
  readonly contenders: () => readonly Contender[] | Promise<readonly Contender[]>;
  readonly peers: readonly PeerProgram[];
  readonly bars: readonly Bar[];
  /** Where there is nothing to compare with: nanoseconds of ours an operation, at most. */
  readonly atMostNs?: number;
}

export interface Suite {
  readonly name: string;
  readonly question: string;
  jobs(size: 'smoke' | 'full'): readonly Job[];
}
