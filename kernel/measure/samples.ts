/** What the load programs print (load/*.c): one line of JSON a result. */
import type { Summary } from './rows.ts';

export interface Samples {
  /** The kind of thing that was measured: `first`, `add-service`, ... */
  readonly what: string;
  readonly summary: Summary;
}

/** Seconds that one command took; `ticks` of the time-stamp counter. */
export interface CommandTimes {
  readonly wall: number;
  readonly user: number;
  readonly sys: number;
  readonly ticks: number;
}

/** Throws for anything but the line that print_samples (load/samples.h) writes. */
export function readSamples(line: string): Samples {
  const found = readObject(line);
  const number = (key: string): number => numberOf(found, key, line);
  if (typeof found['what'] !== 'string') throw new Error(`no samples: ${line}`);
  return {
    what: found['what'],
    summary: {
      value: number('median'),
      repeats: number('repeats'),
      stddev: number('stddev'),
      min: number('min'),
      mean: number('mean'),
      p10: number('p10'),
      p90: number('p90'),
    },
  };
}

/** Throws for anything but a line of load/stopwatch.c. */
export function readCommandTimes(line: string): CommandTimes {
  const found = readObject(line);
  const number = (key: string): number => numberOf(found, key, line);
  return { wall: number('wall'), user: number('user'), sys: number('sys'), ticks: number('ticks') };
}

function readObject(line: string): Readonly<Record<string, unknown>> {
  try {
    const found: unknown = JSON.parse(line);
    if (typeof found === 'object' && found !== null) return found as Record<string, unknown>;
  } catch {
    // Told below, with the text.
  }
  throw new Error(`a load program said what is no result: ${line.slice(0, 200)}`);
}

function numberOf(found: Readonly<Record<string, unknown>>, key: string, line: string): number {
  const value = found[key];
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new Error(`no number "${key}" in: ${line.slice(0, 200)}`);
  return value;
}
