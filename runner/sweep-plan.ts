/** The ordered list of trials that a sweep runs: point x engine x replication, in the order of the scenario's axes. */
import type { LoadedExperiment } from '../scenarios/load.ts';
import type { Axis, PointSpec } from '../scenarios/spec.ts';
import { toDistribution } from '../scenarios/traffic.ts';

export type AxisValues = Readonly<Record<string, number | string | boolean>>;

/** Everything that a worker needs to run one trial: plain data, so it crosses a thread boundary as it is. */
export interface Trial {
  /** Position in the plan; rows are written in this order. */
  readonly index: number;
  readonly experiment: string;
  readonly engine: LoadedExperiment['engines'][number];
  /** From 1. */
  readonly replication: number;
  readonly seed: number;
  readonly values: AxisValues;
  readonly point: PointSpec;
}

export interface SweepPlan {
  readonly experiment: LoadedExperiment;
  readonly trials: readonly Trial[];
}

/** Every combination of the axes' values, the last axis fastest. One empty combination when there is no axis. */
function combinations(axes: readonly Axis[]): AxisValues[] {
  let points: AxisValues[] = [{}];
  for (const axis of axes) {
    points = points.flatMap((point) => axis.values.map((value) => ({ ...point, [axis.name]: value })));
  }
  return points;
}

export function planSweep(experiment: LoadedExperiment): SweepPlan {
  const trials: Trial[] = [];
  for (const values of combinations(experiment.axes)) {
    const point = experiment.resolvePoint(values);
    for (const engine of experiment.engines) {
      for (let replication = 1; replication <= experiment.replications; replication++) {
        trials.push({
          index: trials.length,
          experiment: experiment.name,
          engine,
          replication,
          seed: experiment.seed,
          values,
          point,
        });
      }
    }
  }
  return { experiment, trials };
}

/** A heavy tail may have no finite mean. */
const MEAN_PACKETS_LIMIT = 1000;

/** Host seconds that a trial is expected to take, from its size: packets, endpoints compiled. Used for order and time left only. */
export function expectedSeconds(trial: Trial): number {
  const { cluster, traffic, durationSeconds } = trial.point;
  const servicePorts = cluster.kind === 'synthetic' ? cluster.services * cluster.ports : cluster.extraServices;
  const endpoints =
    servicePorts * (cluster.kind === 'synthetic' ? cluster.endpointsPerService : cluster.extraEndpointsPerService);
  const packets = traffic.connections * Math.min(MEAN_PACKETS_LIMIT, toDistribution(traffic.packetsPerConnection).mean);
  return 0.004 + packets * 0.6e-6 + endpoints * 1.5e-6 + servicePorts * 2e-6 + durationSeconds * 1e-4;
}
