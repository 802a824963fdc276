/** The `churn` list of an experiment in its typed form. */
import { quote } from './errors.ts';
import { dotted } from './schema-issues.ts';
import type { DistributionInput, ExperimentInput } from './schema.ts';
import type { Path } from './source.ts';
import type { ChurnSpec, DistributionSpec, PodsSpec, TimedChurnSpec } from './spec.ts';
import { toDistribution } from './to-spec.ts';
import type { Fail } from './to-spec.ts';

type Entry = ExperimentInput['churn'][number];

const KINDS = [
  'rolling_update', 'probe_failure', 'probe_flapping', 'crash', 'scale', 'pods', 'node_drain', 'node_failure', 'pod_churn',
  'proxy_restart', 'sync_failure',
] as const satisfies readonly (keyof Entry)[]; // prettier-ignore

export function toChurn(input: ExperimentInput['churn'], fail: Fail): ChurnSpec[] {
  return input.map((entry, i) => {
    const count = Object.values(entry).filter((each) => each !== undefined).length;
    if (count !== 1) {
      fail(`An entry of "churn" must have exactly one of ${KINDS.join(', ')}, got ${count}.`, ['churn', i]);
    }
    if (entry.pods !== undefined) return toPods(entry.pods, ['churn', i, 'pods'], fail);
    return toTimed(entry);
  });
}

function toTimed(entry: Entry): TimedChurnSpec {
  if (entry.probe_failure !== undefined) return { kind: 'probe_failure', ...toProbeFault(entry.probe_failure) };
  if (entry.probe_flapping !== undefined) {
    const { period_s: periodSeconds, failing_ratio: failingRatio } = entry.probe_flapping;
    return { kind: 'probe_flapping', ...toProbeFault(entry.probe_flapping), periodSeconds, failingRatio };
  }
  if (entry.crash !== undefined) {
    const { deployment, pod, at_s: atSeconds } = entry.crash;
    return { kind: 'crash', deployment, pod, atSeconds };
  }
  if (entry.scale !== undefined) {
    const { deployment, replicas, at_s: atSeconds } = entry.scale;
    return { kind: 'scale', deployment, replicas, atSeconds };
  }
  if (entry.node_drain !== undefined) {
    const { node, at_s: atSeconds, interval_s: intervalSeconds, duration_s: durationSeconds } = entry.node_drain;
    return { kind: 'node_drain', node, atSeconds, intervalSeconds, durationSeconds };
  }
  if (entry.node_failure !== undefined) {
    const { node, what, at_s: atSeconds, duration_s: durationSeconds, ...times } = entry.node_failure;
    const { grace_s: graceSeconds, eviction_s: evictionSeconds } = times;
    return { kind: 'node_failure', node, what, atSeconds, durationSeconds, graceSeconds, evictionSeconds };
  }
  if (entry.pod_churn !== undefined) {
    const { per_s: perSecond, at_s: atSeconds, duration_s: durationSeconds } = entry.pod_churn;
    return { kind: 'pod_churn', perSecond, atSeconds, durationSeconds };
  }
  if (entry.proxy_restart !== undefined) {
    const { at_s: atSeconds, down_s: downSeconds } = entry.proxy_restart;
    return { kind: 'proxy_restart', atSeconds, downSeconds };
  }
  if (entry.sync_failure !== undefined) {
    const { at_s: atSeconds, duration_s: durationSeconds, node } = entry.sync_failure;
    return { kind: 'sync_failure', atSeconds, durationSeconds, node };
  }
  const { deployment, at_s: atSeconds } = entry.rolling_update as NonNullable<Entry['rolling_update']>;
  return { kind: 'rolling_update', deployment, atSeconds };
}

function toProbeFault(fault: NonNullable<Entry['probe_failure']>) {
  const { deployment, pod, probe, mode, at_s: atSeconds, duration_s: durationSeconds } = fault;
  return { deployment, pod, probe, mode, atSeconds, durationSeconds };
}

function toPods(input: NonNullable<Entry['pods']>, path: Path, fail: Fail): PodsSpec {
  const { start_s, warm_up_s, crash_after_s, flapping, on_sigterm, shutdown_s } = input;
  const timed = [start_s, warm_up_s, crash_after_s, flapping, shutdown_s];
  if (on_sigterm === 'close' && timed.every((each) => each === undefined)) {
    const keys = 'start_s, warm_up_s, crash_after_s, on_sigterm, shutdown_s, flapping';
    fail(`"${dotted(path)}" must have one of ${keys}.`, path);
  }
  if (on_sigterm !== 'close' && on_sigterm !== 'lame_duck' && shutdown_s !== undefined) {
    const why = on_sigterm === 'exit' ? 'ends at once' : 'ends by SIGKILL';
    fail(
      `"${dotted([...path, 'shutdown_s'])}" is for on_sigterm close and lame_duck; a process that does ${quote(on_sigterm)} ${why}.`,
      [...path, 'shutdown_s'],
    );
  }
  const optional = (value: DistributionInput | undefined, key: string): DistributionSpec | undefined =>
    value === undefined ? undefined : toDistribution(value, [...path, key], fail);
  return {
    kind: 'pods',
    deployment: input.deployment,
    startSeconds: optional(start_s, 'start_s'),
    warmUpSeconds: optional(warm_up_s, 'warm_up_s'),
    warmUpMode: input.warm_up_mode,
    crashSeconds: optional(crash_after_s, 'crash_after_s'),
    onSigterm: on_sigterm,
    shutdownSeconds: optional(shutdown_s, 'shutdown_s'),
    flapping: flapping === undefined ? undefined : toFlapping(flapping, [...path, 'flapping'], fail),
  };
}

function toFlapping(
  input: NonNullable<NonNullable<Entry['pods']>['flapping']>,
  path: Path,
  fail: Fail,
): NonNullable<PodsSpec['flapping']> {
  const periodSeconds = toDistribution(input.period_s, [...path, 'period_s'], fail);
  if (periodSeconds.kind === 'constant' && periodSeconds.value === 0) {
    fail(`"${dotted([...path, 'period_s'])}" must be above 0, got 0.`, [...path, 'period_s']);
  }
  return { probe: input.probe, mode: input.mode, periodSeconds, failingRatio: input.failing_ratio };
}
