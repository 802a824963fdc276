/** What clients noticed of a change: sentences about failed connections and about the time from a pod's change to the node's rules. */
import type { TimelineRow } from '../model/observation.ts';
import type { SummaryRow } from '../reports/csv.ts';
import type { ChurnSpec } from '../scenarios/spec.ts';
import { duration, fixed, short, shown } from './finding-words.ts';
import type { Finding } from './finding-words.ts';
import { FAILURE_KINDS } from './trial-meter.ts';

export function churnFindings(
  summary: readonly SummaryRow[],
  engine: string,
  timeline: readonly TimelineRow[],
  churn: readonly ChurnSpec[],
): Finding[] {
  const value = (metric: string): number | undefined =>
    summary.find((row) => row.engine === engine && row.metric === metric)?.mean ?? undefined;
  const p50 = value('programming_latency_p50_ms');
  const p99 = value('programming_latency_p99_ms');
  if (p50 === undefined || p99 === undefined) return [];
  const findings: Finding[] = [];
  // Of several observed nodes the first speaks for all.
  const rows = timeline.filter((row) => row.engine === engine && row.node === timeline[0]?.node);
  const [first] = churn;
  if (first?.kind === 'probe_failure')
    findings.push(...probeFailure(rows, engine, first.atSeconds, first.durationSeconds));
  else findings.push(...failureWindow(rows, engine));
  const reasons = FAILURE_KINDS.map((kind) => [kind, value(`failed_connections_${kind}`) ?? 0] as const)
    .filter(([, mean]) => mean > 0)
    .map(([kind, mean]) => `${fixed(mean, 1)} ${kind.replace('_', ' ')}`);
  const failed = value('failed_connections') ?? 0;
  findings.push({
    id: `churn-${engine}`,
    text:
      `${shown(engine)}: of ${short(value('connections') ?? 0)} connections ${fixed(failed, 1)} failed` +
      `${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}, ${fixed(value('stale_connections') ?? 0, 1)} reached a pod that was not ready, ` +
      `${fixed(value('broken_connections') ?? 0, 1)} were cut. From a pod's change to this node's rules it took ${fixed(p50, 0)} ms ` +
      `(median; p99 ${fixed(p99, 0)} ms; means of the replications).`,
  });
  return findings;
}

/** How long the kubelet takes to see that a probe fails: the same in every mode, unless the trials differ. */
export function detectionFindings(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  const rows = engines.flatMap((engine) => {
    const row = summary.find((one) => one.engine === engine && one.metric === 'probe_detection_mean_ms');
    return row?.mean === undefined || row.mean === null ? [] : [{ ...row, mean: row.mean }];
  });
  const same = rows.every((row) => row.mean === rows[0]?.mean);
  return (same ? rows.slice(0, 1) : rows).map(({ engine, mean, ci95_low: low, ci95_high: high }) => {
    const interval =
      low === null || high === null ? '' : `; 95 % interval ${duration(Math.max(0, low))} to ${duration(high)}`;
    return {
      id: same ? 'probe-detection' : `probe-detection-${engine}`,
      text: `${same ? '' : `${shown(engine)}: `}${same ? 'A' : 'a'} failed probe was detected after ${duration(mean)} (mean${interval}).`,
    };
  });
}

/** From the first failed probe to the rules, and back, as the timeline has it. */
function probeFailure(
  rows: readonly TimelineRow[],
  engine: string,
  atSeconds: number,
  durationSeconds: number,
): Finding[] {
  // Where a sweep has several points no timeline is at hand, and nothing is known.
  if (rows.length === 0) return [];
  const gone: number[] = [];
  const back: number[] = [];
  for (const trial of byTrial(rows)) {
    const before = trial.findLast((row) => row.time_s <= atSeconds)?.installed_endpoints ?? 0;
    const left = trial.find((row) => row.time_s > atSeconds && row.installed_endpoints < before);
    if (left === undefined) continue;
    gone.push(left.time_s - atSeconds);
    const returned = trial.find((row) => row.time_s > left.time_s && row.installed_endpoints >= before);
    if (returned !== undefined) back.push(returned.time_s - atSeconds - durationSeconds);
  }
  if (gone.length === 0)
    return [{ id: `probe-${engine}`, text: `${shown(engine)}: the failing pod never left this node's rules.` }];
  const returned =
    back.length === 0
      ? 'It did not come back within the trial.'
      : `It was back ${spread(back)} after it answered again.`;
  return [
    {
      id: `probe-${engine}`,
      text: `${shown(engine)}: the pod got new connections for ${spread(gone)} after its probe began to fail. ${returned}`,
    },
  ];
}

/** How long connections went on failing, from the first to the last row with a failed one. */
function failureWindow(rows: readonly TimelineRow[], engine: string): Finding[] {
  const windows: number[] = [];
  for (const trial of byTrial(rows)) {
    const from = trial.findIndex((row) => row.failed_connections > 0);
    if (from < 0) continue;
    const to = trial.findLast((row) => row.failed_connections > 0);
    // A row counts what happened since the one before.
    windows.push((to?.time_s ?? 0) - (trial[from - 1]?.time_s ?? 0));
  }
  if (windows.length === 0) return [];
  return [{ id: `window-${engine}`, text: `${shown(engine)}: connections failed over a span of ${spread(windows)}.` }];
}

/** The rows of each service in each replication, in order of time. */
function byTrial(rows: readonly TimelineRow[]): TimelineRow[][] {
  const trials = new Map<string, TimelineRow[]>();
  for (const row of rows) {
    const key = `${row.replication} ${row.service}`;
    trials.set(key, [...(trials.get(key) ?? []), row]);
  }
  return [...trials.values()];
}

/** `5.1 s (4.3 to 5.9 over 5 trials)`. */
function spread(values: readonly number[]): string {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return `${fixed(mean, 1)} s`;
  return `${fixed(mean, 1)} s (${fixed(Math.min(...values), 1)} to ${fixed(Math.max(...values), 1)} over ${values.length} trials)`;
}
