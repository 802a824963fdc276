/**
 * Host time of whole trials: cluster, compile, 20,000 connections of 6 packets through event queue, conntrack and engine.
 * Goal: 20,000 services x 10 endpoints in at most 3 s and 500 MB. Each row has the digest of the trial's verdicts.
 */
import { join } from 'node:path';
import type { Trial } from './sweep-plan.ts';
import { loadExperiment } from '../scenarios/load.ts';
import { mixed, type Contender } from '../sim/contender.ts';
import { hostSeconds, peakMemoryBytes, projectRoot } from './host.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

export interface TrialBenchRow {
  readonly name: string;
  readonly services: number;
  readonly seconds: number;
  readonly packets: number;
  readonly peak_memory_mb: number;
  readonly digest: string;
}

export function benchTrial(size: 'smoke' | 'full'): TrialBenchRow[] {
  const services = size === 'smoke' ? [200, 2000] : [2000, 20000];
  return services.flatMap((count) => (['iptables', 'ipvs'] as const).map((engine) => benchOne(engine, count)));
}

function benchOne(engine: Trial['engine'], services: number): TrialBenchRow {
  const [trial] = scalingTrials(engine, { services, connections: 20_000, packets: 6 });
  const start = hostSeconds();
  const { observation } = runTrial(trial);
  return {
    name: `trial ${engine} ${services} services x 10`,
    services,
    seconds: hostSeconds() - start,
    packets: Number(observation['packets']),
    peak_memory_mb: peakMemoryBytes() / 1e6,
    digest: String(observation['digest']),
  };
}

export interface ScalingSize {
  readonly services: number;
  readonly connections: number;
  /** Of each connection. */
  readonly packets: number;
  readonly replications?: number;
}

/** Trials of one engine over so many services of 10 endpoints each. */
export function scalingTrials(engine: Trial['engine'], size: ScalingSize): Trial[] {
  const experiment = loadExperiment(join(projectRoot(), 'scenarios', 'experiments', 'service-scaling.yaml'), {
    set: [
      `sweep.services=[${size.services}]`,
      'cluster.synthetic.endpoints_per_service=10',
      `traffic.connections=${size.connections}`,
      `traffic.packets_per_connection=${size.packets}`,
      `replications=${size.replications ?? 1}`,
    ],
  });
  const trials = planSweep(experiment).trials.filter((trial) => trial.engine === engine);
  if (trials.length === 0) throw new Error(`service-scaling has no trial of ${engine}`);
  return trials.map((trial, index) => ({ ...trial, index }));
}

/** A whole trial a round: cluster, rules, traffic, costs and the observation. */
export function wholeTrial(trial: Trial): Contender {
  let checksum = 0;
  return {
    name: 'chainwalk',
    round() {
      const { observation } = runTrial(trial);
      checksum = mixed(checksum, parseInt(String(observation['digest']).slice(0, 8), 16));
    },
    checksum: () => checksum,
  };
}
