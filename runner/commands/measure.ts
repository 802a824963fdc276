/** `chainwalk measure`: measures the machine's own kernel, or a Debian kernel in an emulated guest, and writes rows for `calibrate`. */
import { existsSync, rmSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { CompilerError } from '../../kernel/measure/load-programs.ts';
import { lastCpu, machineFacts, nativeSource } from '../../kernel/measure/machine-facts.ts';
import { KernelLacks, measureNative } from '../../kernel/measure/native.ts';
import { MEASURED_ENGINES } from '../../kernel/measure/plan.ts';
import type { MeasuredEngine } from '../../kernel/measure/plan.ts';
import { missingForNative, thisMachine } from '../../kernel/measure/requirements.ts';
import { factsPath, RowFile, writeFacts } from '../../kernel/measure/row-file.ts';
import { Interrupted } from '../../kernel/measure/tool.ts';
import { didYouMean, InputError } from '../../scenarios/errors.ts';
import { EXIT_FAILED_TRIALS, EXIT_INTERRUPTED } from '../exit-codes.ts';
import { versions } from '../host.ts';
import { withInterrupt } from '../interrupt.ts';
import { assertWritable } from '../output-folder.ts';

interface MeasureFlags {
  readonly engine?: readonly string[];
  readonly quick?: boolean;
  readonly out?: string;
  readonly guest?: boolean;
  readonly guestKernel?: string;
}

/** Where measurements go that have no --out. */
const FOLDER = join('out', 'measure');
const NATIVE_ENGINES = ['ipt-legacy', 'ipt-nft', 'nft', 'ipset'] as const;

export async function measureCommand(flags: MeasureFlags): Promise<void> {
  const engines = chosenEngines(flags, NATIVE_ENGINES);
  const missing = missingForNative(engines, thisMachine());
  if (missing !== undefined) throw new InputError(missing);
  const facts = machineFacts();
  const source = nativeSource(facts.kernel);
  await measureInto(flags, source, facts, async (rows, signal) => {
    const run = { engines, named: flags.engine !== undefined, cpu: lastCpu(), rows, signal, say };
    return measureNative({ ...run, size: flags.quick === true ? 'quick' : 'full' });
  });
}

function chosenEngines(flags: MeasureFlags, known: readonly MeasuredEngine[]): readonly MeasuredEngine[] {
  if (flags.engine === undefined) return known;
  return [...new Set(flags.engine)].map((name) => {
    const engine = known.find((each) => each === name);
    if (engine !== undefined) return engine;
    if (name === 'ipvs') {
      throw new InputError('--engine ipvs is measured in a guest, in instructions: add --guest');
    }
    const where = MEASURED_ENGINES.some((each) => each === name) ? ' with --guest' : '';
    throw new InputError(
      `--engine "${name}" is not known${where}. Expected one of ${known.join(', ')}.${didYouMean(name, known)}`,
    );
  });
}

type Measure = (rows: RowFile, signal: AbortSignal) => Promise<{ readonly failed: number }>;

/** Opens the files, measures, and tells how it ended. Rows are in the file as soon as they are measured. */
async function measureInto(flags: MeasureFlags, source: string, facts: object, measure: Measure): Promise<void> {
  const path = outputPath(flags, source);
  const rows = openRows(path, source);
  const describe = (ended: string): void =>
    writeFacts(path, { source, command: commandLine(), ...versions(), ended, rows: rows.rows, ...facts });
  describe('running');
  try {
    const { failed } = await withInterrupt((signal) => measure(rows, signal));
    describe(failed === 0 ? 'complete' : `complete but for ${failed} steps that failed`);
    process.stdout.write(`${rows.rows} rows of ${source}: ${path}\n`);
    if (failed > 0) process.exitCode = EXIT_FAILED_TRIALS;
  } catch (error) {
    if (error instanceof KernelLacks || error instanceof CompilerError) throw new InputError(error.message);
    if (!(error instanceof Interrupted)) throw error;
    describe('interrupted');
    const left = rows.rows === 0 ? 'nothing was measured' : `${path} holds the ${rows.rows} rows until then`;
    process.stderr.write(`Interrupted: ${left}.\n`);
    process.exitCode = EXIT_INTERRUPTED;
  } finally {
    rows.close();
    if (rows.rows === 0) for (const file of [path, factsPath(path)]) rmSync(file, { force: true });
  }
}

/** What `--out` says; else a name that is not taken. Measurements take long: none is overwritten. */
function outputPath({ out, quick }: MeasureFlags, source: string): string {
  if (out !== undefined) {
    if (extname(out).toLowerCase() !== '.csv')
      throw new InputError(`--out expects a file that ends in .csv, got "${out}"`);
    assertWritable(dirname(out), '--out');
    return out;
  }
  assertWritable(FOLDER, '--out');
  const name = join(FOLDER, `${source}${quick === true ? '-quick' : ''}`);
  for (let number = 1; ; number++) {
    const path = `${name}${number === 1 ? '' : `-${number}`}.csv`;
    if (!existsSync(path) && !existsSync(factsPath(path))) return path;
  }
}

function openRows(path: string, source: string): RowFile {
  const other = factsPath(path);
  if (existsSync(other)) {
    throw new InputError(`"${other}", which ${basename(path)} comes with, exists. Choose another name with --out`);
  }
  try {
    return new RowFile(path, source);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new InputError(`"${path}" exists, and measurements are not overwritten. Choose another name with --out`);
  }
}

function commandLine(): string {
  return `chainwalk ${process.argv.slice(2).join(' ')}`;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
