/** The files of a measurement: CSV that grows by whole lines, and a JSON file beside it that says of what it is. */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { csvHeader, csvLine } from './rows.ts';
import type { Point, Summary, Unit } from './rows.ts';

export class RowFile {
  readonly #descriptor: number;
  readonly #source: string;
  rows = 0;

  /** Fails with EEXIST where the file is. */
  constructor(path: string, source: string) {
    this.#descriptor = openSync(path, 'wx');
    this.#source = source;
    writeSync(this.#descriptor, csvHeader());
  }

  /** One write a row: whatever ends the process, the file ends with a whole line. */
  add(point: Point, summary: Summary, unit: Unit): void {
    writeSync(this.#descriptor, csvLine(this.#source, point, summary, unit));
    this.rows++;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** `x.csv` -> `x.json`. */
export function factsPath(csvPath: string): string {
  return csvPath.replace(/(\.csv)?$/i, '.json');
}

export function writeFacts(csvPath: string, facts: object): void {
  writeFileSync(factsPath(csvPath), `${JSON.stringify(facts, undefined, 2)}\n`);
}
