/** Reads and writes the files of a results folder; the only place in reports/ that touches the file system besides the site build. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Observation } from '../model/observation.ts';
import type { SummaryRow, TimelineFileRow } from './csv.ts';
import { parseObservations, parseSummary, parseTimeline } from './csv.ts';
import type { BenchFacts, GrowthRow, HostRow } from './host-time.ts';
import { parseBenchFacts, parseGrowthRows, parseHostRows } from './host-time.ts';
import type { Manifest } from './manifest.ts';
import { parseManifest } from './manifest.ts';
import { ResultsError } from './results-error.ts';

/** What an experiment left in its folder. */
export interface Results {
  readonly manifest: Manifest;
  readonly observations: readonly Observation[];
  readonly summary: readonly SummaryRow[];
  /** Empty when the experiment has no timeline. */
  readonly timeline: readonly TimelineFileRow[];
}

/** Throws ResultsError when a file is missing or malformed; timeline.csv may be absent. */
export function readResults(dir: string): Results {
  const timelineFile = join(dir, 'timeline.csv');
  return {
    manifest: parseManifest(...textOf(join(dir, 'manifest.json'))),
    observations: parseObservations(...textOf(join(dir, 'observations.csv'))),
    summary: parseSummary(...textOf(join(dir, 'summary.csv'))),
    timeline: existsSync(timelineFile) ? parseTimeline(...textOf(timelineFile)) : [],
  };
}

/** What `chainwalk bench` left in its folder. */
export interface BenchResults {
  readonly facts: BenchFacts;
  readonly rows: readonly HostRow[];
  readonly growth: readonly GrowthRow[];
}

/** Throws ResultsError when a file is missing or malformed. */
export function readBenchResults(dir: string): BenchResults {
  return {
    facts: parseBenchFacts(...textOf(join(dir, 'bench.json'))),
    rows: parseHostRows(...textOf(join(dir, 'host.csv'))),
    growth: parseGrowthRows(...textOf(join(dir, 'growth.csv'))),
  };
}

/** Writes beside the file and renames: a reader sees the old file or the new one, never half of one. Makes the folder. */
export function writeFileAtomic(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function textOf(file: string): [text: string, file: string] {
  try {
    return [readFileSync(file, 'utf8'), file];
  } catch (error) {
    throw new ResultsError({ file }, `cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
