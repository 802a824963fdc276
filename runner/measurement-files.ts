/** The files of `measure`: rows as CSV, and beside them a JSON file that says of which machine they are and how it ended. */
import { existsSync, rmSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { factsPath, RowFile, writeFacts } from '../kernel/measure/row-file.ts';
import { InputError } from '../scenarios/errors.ts';
import { versions } from './host.ts';
import { assertWritable } from './output-folder.ts';

export interface MeasurementFlags {
  readonly out?: string;
  readonly quick?: boolean;
}

/** Where measurements go that have no --out. */
const FOLDER = join('out', 'measure');

/** Measurements take long: none is overwritten. */
export class MeasurementFiles {
  readonly #flags: MeasurementFlags;
  #opened: { readonly path: string; readonly rows: RowFile; readonly facts: object } | undefined;

  /** Refuses an --out that cannot be taken, before anything is measured. */
  constructor(flags: MeasurementFlags) {
    this.#flags = flags;
    if (flags.out !== undefined && extname(flags.out).toLowerCase() !== '.csv') {
      throw new InputError(`--out expects a file that ends in .csv, got "${flags.out}"`);
    }
    assertWritable(flags.out === undefined ? FOLDER : dirname(flags.out), '--out');
    if (flags.out !== undefined) refuseExisting(flags.out);
  }

  /** `source` is the rows' first column, and the name of a file that has none by --out. */
  open(source: string, facts: object): RowFile {
    const path = this.#flags.out ?? freePath(join(FOLDER, `${source}${this.#flags.quick === true ? '-quick' : ''}`));
    const rows = new RowFile(path, source);
    this.#opened = { path, rows, facts: { source, command: commandLine(), ...versions(), ...facts } };
    this.#describe('running');
    return rows;
  }

  get path(): string {
    return this.#opened?.path ?? '';
  }

  get rows(): number {
    return this.#opened?.rows.rows ?? 0;
  }

  /** Says how it ended; files without a row are removed. */
  close(ended: string): void {
    if (this.#opened === undefined) return;
    const { path, rows } = this.#opened;
    this.#describe(ended);
    rows.close();
    if (rows.rows === 0) for (const file of [path, factsPath(path)]) rmSync(file, { force: true });
  }

  #describe(ended: string): void {
    if (this.#opened === undefined) return;
    const { path, rows, facts } = this.#opened;
    writeFacts(path, { ...facts, rows: rows.rows, ended });
  }
}

function refuseExisting(path: string): void {
  const other = factsPath(path);
  for (const file of [path, other]) {
    if (!existsSync(file)) continue;
    const what = file === path ? '' : `, which ${basename(path)} comes with,`;
    throw new InputError(
      `"${file}"${what} exists, and measurements are not overwritten. Choose another name with --out`,
    );
  }
}

function freePath(name: string): string {
  for (let number = 1; ; number++) {
    const path = `${name}${number === 1 ? '' : `-${number}`}.csv`;
    if (!existsSync(path) && !existsSync(factsPath(path))) return path;
  }
}

function commandLine(): string {
  return `chainwalk ${process.argv.slice(2).join(' ')}`;
}
