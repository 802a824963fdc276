/**
 * The results of an experiment while they come in: each finished trial is one line, appended in a single write to
 * `observations.csv` (and its timeline to `timeline.csv`), so that whatever ends the sweep leaves valid CSV of what
 * finished. `finish` rewrites both in the plan's order.
 */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Observation, TimelineRow } from '../model/observation.ts';
import { formatObservations, formatTimeline } from '../reports/csv.ts';
import { writeFileAtomic } from '../reports/results.ts';
import { completeRow, observationColumns } from './columns.ts';
import type { ProfileColumns } from './columns.ts';

interface Entry {
  readonly index: number;
  readonly observation: Observation;
  readonly timeline: readonly TimelineRow[];
}

export class Journal {
  readonly #folder: string;
  readonly #columns: readonly string[];
  readonly #entries: Entry[] = [];
  #timelineStarted = false;

  /** Creates the folder and an observations.csv that holds the header alone; removes what an earlier sweep left there. */
  constructor(folder: string, axisNames: readonly string[], profiles: ProfileColumns) {
    this.#folder = folder;
    this.#columns = observationColumns(axisNames, profiles);
    mkdirSync(folder, { recursive: true });
    for (const stale of ['summary.csv', 'timeline.csv', 'manifest.json', 'report.html', 'charts', 'observations.csv']) {
      rmSync(join(folder, stale), { recursive: true, force: true });
    }
    writeFileSync(join(folder, 'observations.csv'), headerOf(formatObservations([this.#blank()])));
  }

  append(entry: Entry): void {
    const row = completeRow(entry.observation, this.#columns);
    appendFileSync(join(this.#folder, 'observations.csv'), bodyOf(formatObservations([row])));
    this.#entries.push({ ...entry, observation: row });
    if (entry.timeline.length === 0) return;
    const text = formatTimeline(entry.timeline);
    appendFileSync(join(this.#folder, 'timeline.csv'), this.#timelineStarted ? bodyOf(text) : text);
    this.#timelineStarted = true;
  }

  /** Rows in the plan's order, whichever worker was first. */
  observations(): Observation[] {
    return this.#ordered().map((entry) => entry.observation);
  }

  timeline(): TimelineRow[] {
    return this.#ordered().flatMap((entry) => entry.timeline);
  }

  finish(): void {
    const entries = this.#ordered();
    if (entries.length > 0) {
      writeFileAtomic(join(this.#folder, 'observations.csv'), formatObservations(entries.map((e) => e.observation)));
    }
    const timeline = this.timeline();
    if (timeline.length > 0) writeFileAtomic(join(this.#folder, 'timeline.csv'), formatTimeline(timeline));
  }

  #ordered(): Entry[] {
    return [...this.#entries].sort((a, b) => a.index - b.index);
  }

  #blank(): Observation {
    return completeRow({}, this.#columns);
  }
}

function headerOf(csv: string): string {
  return csv.slice(0, csv.indexOf('\n') + 1);
}

function bodyOf(csv: string): string {
  return csv.slice(csv.indexOf('\n') + 1);
}
