/**
 * Where the fitted numbers of the published rigs' profiles come from: a search through the model itself, trial by trial, for the numbers
 * that bring the points marked `calibrate` nearest. A point marked `validate` is never asked for.
 */
import { relativeFit } from '../costs/fit/relative-fit.ts';
import { quantityAt, withValues } from '../costs/fit/values.ts';
import type { CostProfile } from '../model/profile.ts';
import { loadProfile } from '../scenarios/load-profile.ts';
import type { Reference } from '../scenarios/references.ts';
import { attemptTrial, type Executor } from './executor.ts';
import { publishedRows } from './published.ts';
import type { Trial } from './sweep-plan.ts';

interface RigParameter {
  readonly path: string;
  /** Profiles that have it: a number of an era stands in every profile that is based on the era's. */
  readonly profiles: readonly string[];
}

export interface RigFit {
  /** Experiments whose calibration points are asked for. */
  readonly experiments: readonly string[];
  readonly parameters: readonly RigParameter[];
}

const of = (profile: string, ...paths: readonly string[]): RigParameter[] =>
  paths.map((path) => ({ path, profiles: [profile] }));

export const RIG_FITS: Readonly<Record<string, RigFit>> = {
  // Five numbers, eight percentiles: the round trip is what nftables mode shows, memory what iptables mode adds.
  'published-2025': {
    experiments: ['published-2025'],
    parameters: of(
      'published-2025',
      'rig.roundTripFloor',
      'rig.roundTripMedian',
      'rig.roundTripP99',
      'rig.otherMemoryBytes',
      'iptables.coldRule',
    ),
  },
  // kube-proxy v1.31 lists the names of its chains alone.
  'published-2025-sync': { experiments: ['add-service'], parameters: of('published-2025', 'nftSync.listings') },
  // One cost of a rule for both rigs of the time; each has a request of its own.
  'era-2019': {
    experiments: ['published-2019', 'published-2019-nodeport'],
    parameters: [
      { path: 'iptables.coldRule', profiles: ['era-2019', 'era-2019-nodeport'] },
      ...of('era-2019', 'rig.roundTripMedian', 'rig.connection', 'rig.connectionCpu'),
      ...of('era-2019-nodeport', 'rig.roundTripMedian'),
    ],
  },
  'published-2026': {
    experiments: ['saturated-requests'],
    parameters: of('published-2026', 'rig.requestCpu', 'rig.connectionCpu', 'cache.l2Bytes'),
  },
  'scale-test': {
    experiments: ['scale-test-5000-nodes', 'scale-test-100-nodes'],
    parameters: of('scale-test', 'rig.syncTimeRatio'),
  },
};

export interface RigFitResult {
  readonly parameters: readonly {
    readonly path: string;
    readonly profile: string;
    readonly committed: number;
    /** From the low to the high end of its range. */
    readonly reach: number;
    readonly fitted: number;
  }[];
  /** Root mean square of the relative errors. */
  readonly error: number;
}

/** Whether a fit looks at the point: never at one that is to validate. */
export function isAsked(fit: RigFit, { use }: Reference, experiment: string): boolean {
  return use === 'calibrate' && fit.experiments.includes(experiment);
}

/** `start`: share of the committed numbers to begin the search with. */
export async function fitRig(fit: RigFit, start = 1): Promise<RigFitResult> {
  const numbers = fit.parameters.map(({ path, profiles }) => quantityAt(loadProfile(profiles[0]), path));
  const result = await relativeFit(
    numbers.map(({ value, low, high }) => ({ start: Math.min(high, Math.max(low, value * start)), low, high })),
    async (values) => {
      const executor = inlineExecutor((profile) => withRigValues(profile, fit, values));
      const only = (reference: Reference, experiment: string): boolean => isAsked(fit, reference, experiment);
      const rows = await publishedRows([], { executor, signal: new AbortController().signal, only });
      return rows.map((row) => (row.error_ratio ?? NaN) + 1);
    },
  );
  return {
    parameters: fit.parameters.map(({ path, profiles }, i) => ({
      path,
      profile: profiles[0],
      committed: numbers[i].value,
      reach: numbers[i].high - numbers[i].low,
      fitted: result.values[i],
    })),
    error: result.error,
  };
}

function withRigValues(profile: CostProfile, { parameters }: RigFit, values: readonly number[]): CostProfile {
  const own = parameters.flatMap(({ path, profiles }, i): [string, number][] =>
    profiles.includes(profile.name) ? [[path, values[i]]] : [],
  );
  return withValues(profile, new Map(own));
}

/** Trials one after another in this thread, with another profile. */
export function inlineExecutor(change: (profile: CostProfile) => CostProfile = (profile) => profile): Executor {
  return {
    run(trials, onOutcome): Promise<void> {
      for (const trial of trials) {
        const point = { ...trial.point, profile: change(trial.point.profile) };
        const changed: Trial = { ...trial, point };
        onOutcome({ trial, ...attemptTrial(changed) });
      }
      return Promise.resolve();
    },
  };
}
