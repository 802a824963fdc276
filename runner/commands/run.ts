/** `chainwalk run`: one trial, its observation and its timeline on standard output, or what its control plane did in words. */
import { InputError } from '../../scenarios/errors.ts';
import { attemptTrial } from '../attempt-trial.ts';
import { EventLog } from '../event-log.ts';
import { EXIT_FAILED_TRIALS } from '../exit-codes.ts';
import { planSweep, type Trial } from '../sweep-plan.ts';
import { load, type ScenarioOptions } from './experiments.ts';

interface RunFlags extends ScenarioOptions {
  readonly engine?: string;
  readonly replication: number;
  readonly point?: readonly string[];
  readonly timeline?: boolean;
}

export function runCommand(file: string, flags: RunFlags): void {
  const trial = pick(planSweep(load(file, flags)).trials, flags);
  const log = flags.timeline === true ? new EventLog() : undefined;
  const reply = attemptTrial(trial, log);
  if (reply.status === 'failed') {
    process.stderr.write(`The trial failed: ${reply.reason}\n`);
    process.exitCode = EXIT_FAILED_TRIALS;
    return;
  }
  if (log !== undefined) {
    process.stdout.write(log.text());
    return;
  }
  const { observation, timeline } = reply.result;
  for (const [name, value] of Object.entries(observation)) {
    if (value !== null) process.stdout.write(`${name.padEnd(46)} ${value}\n`);
  }
  const several = new Set(timeline.map((row) => row.node)).size > 1;
  for (const row of timeline) {
    const counts = `ready ${row.ready_endpoints} installed ${row.installed_endpoints} serving ${row.serving_endpoints} connections ${row.connections} failed ${row.failed_connections} stale ${row.stale_connections} cut ${row.broken_connections}`;
    process.stdout.write(
      `${row.time_s.toFixed(3).padStart(9)} s  ${several ? `${row.node}  ` : ''}${row.service}  ${counts}  ${row.event}\n`,
    );
  }
}

function pick(trials: readonly Trial[], flags: RunFlags): Trial {
  const wanted = new Map((flags.point ?? []).map((text) => splitPoint(text)));
  const names = Object.keys(trials[0]?.values ?? {});
  for (const name of wanted.keys()) {
    if (!names.includes(name)) {
      throw new InputError(
        `--point names no axis of the experiment: "${name}". Expected one of ${names.join(', ') || '(none)'}`,
      );
    }
  }
  const engines = [...new Set(trials.map((trial) => trial.engine))];
  if (flags.engine !== undefined && !engines.some((name) => name === flags.engine)) {
    throw new InputError(
      `--engine "${flags.engine}" is not an engine of the experiment. Expected one of ${engines.join(', ')}`,
    );
  }
  const match = trials.find(
    (trial) =>
      (flags.engine === undefined || trial.engine === flags.engine) &&
      trial.replication === flags.replication &&
      [...wanted].every(([name, value]) => String(trial.values[name]) === value),
  );
  if (match === undefined)
    throw new InputError('No trial of the experiment has these values. `chainwalk plan` lists them');
  return match;
}

function splitPoint(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new InputError(`--point expects name=value, got "${text}"`);
  return [text.slice(0, at), text.slice(at + 1)];
}
