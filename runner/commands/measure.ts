/** `chainwalk measure`: measures the machine's own kernel, or a Debian kernel in an emulated guest, and writes rows for `calibrate`. */
import { NoGuestKernel } from '../../kernel/guest/kernel-package.ts';
import { measureGuest } from '../../kernel/guest/measure-guest.ts';
import { GUEST_ENGINES } from '../../kernel/guest/plan.ts';
import { CompilerError } from '../../kernel/measure/load-programs.ts';
import { lastCpu, machineFacts, nativeSource } from '../../kernel/measure/machine-facts.ts';
import { KernelLacks, measureNative } from '../../kernel/measure/native.ts';
import { CONTROL_ENGINES } from '../../kernel/measure/control-plane.ts';
import type { MeasuredEngine, PlanSize } from '../../kernel/measure/plan.ts';
import { missingForGuest, missingForNative, thisMachine } from '../../kernel/measure/requirements.ts';
import { Interrupted } from '../../kernel/measure/tool.ts';
import { didYouMean, InputError } from '../../scenarios/errors.ts';
import { loadProfile } from '../../scenarios/load-profile.ts';
import { EXIT_CHECK_FAILED, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED } from '../exit-codes.ts';
import { withInterrupt } from '../interrupt.ts';
import { measuredAgreement } from '../measured-agreement.ts';
import { MeasurementFiles } from '../measurement-files.ts';

interface MeasureFlags {
  readonly engine?: readonly string[];
  readonly quick?: boolean;
  readonly out?: string;
  readonly guest?: boolean;
  readonly guestKernel?: string;
  readonly profile?: string;
}

export async function measureCommand(flags: MeasureFlags): Promise<void> {
  if (flags.guestKernel !== undefined && flags.guest !== true) {
    throw new InputError('--guest-kernel is the kernel of a guest: add --guest');
  }
  if (flags.profile !== undefined && flags.guest === true) {
    throw new InputError('--profile holds this machine against a profile: leave it or --guest out');
  }
  await (flags.guest === true ? measureInGuest(flags) : measureHere(flags));
}

/** All engines but ipvs, which no namespace can be trusted to have. */
async function measureHere(flags: MeasureFlags): Promise<void> {
  const engines = chosenEngines(flags, CONTROL_ENGINES);
  const profile = flags.profile === undefined ? undefined : loadProfile(flags.profile);
  refuse(missingForNative(engines, thisMachine()));
  const files = new MeasurementFiles(flags);
  const facts = machineFacts();
  await measureInto(files, (signal) => {
    const rows = files.open(nativeSource(facts.kernel), facts);
    return measureNative({
      engines,
      size: sizeOf(flags),
      named: flags.engine !== undefined,
      cpu: lastCpu(),
      rows,
      signal,
      say,
    });
  });
  if (profile !== undefined && process.exitCode === undefined) {
    const here = { cpuModel: facts.cpu_model, l2Bytes: facts.l2_bytes };
    const { text, failures } = measuredAgreement(files.path, profile, here);
    process.stdout.write(text);
    if (failures.length > 0) process.exitCode = EXIT_CHECK_FAILED;
  }
}

async function measureInGuest(flags: MeasureFlags): Promise<void> {
  const { guestKernel: kernelFolder } = flags;
  const engines = chosenEngines(flags, GUEST_ENGINES);
  refuse(missingForGuest(kernelFolder !== undefined, thisMachine()));
  const files = new MeasurementFiles(flags);
  const facts = machineFacts(['qemu-system-x86_64']);
  await measureInto(files, (signal) =>
    measureGuest({
      ...(kernelFolder === undefined ? {} : { kernelFolder }),
      open: (source, guestKernel) => files.open(source, { guest_kernel: guestKernel, ...facts }),
      engines,
      size: sizeOf(flags),
      signal,
      say,
    }),
  );
}

function refuse(missing: string | undefined): void {
  if (missing !== undefined) throw new InputError(missing);
}

function sizeOf({ quick }: MeasureFlags): PlanSize {
  return quick === true ? 'quick' : 'full';
}

function chosenEngines(flags: MeasureFlags, known: readonly MeasuredEngine[]): readonly MeasuredEngine[] {
  if (flags.engine === undefined) return known;
  return [...new Set(flags.engine)].map((name) => {
    const engine = known.find((each) => each === name);
    if (engine !== undefined) return engine;
    if (name === 'ipvs') throw new InputError('--engine ipvs is measured in a guest, in instructions: add --guest');
    if (name === 'ipset') throw new InputError('--engine ipset is not measured in a guest: leave --guest out');
    throw new InputError(
      `--engine "${name}" is not known. Expected one of ${known.join(', ')}.${didYouMean(name, known)}`,
    );
  });
}

type Measure = (signal: AbortSignal) => Promise<{ readonly failed: number }>;

/** Tells how it ended. Rows are in the file as soon as they are measured. */
async function measureInto(files: MeasurementFiles, measure: Measure): Promise<void> {
  let ended = 'failed';
  try {
    const { failed } = await withInterrupt(measure);
    ended = failed === 0 ? 'complete' : `complete but for ${failed} parts that failed`;
    process.stdout.write(`${files.rows} rows: ${files.path}\n`);
    if (failed > 0) process.exitCode = EXIT_FAILED_TRIALS;
  } catch (error) {
    if (error instanceof Interrupted) {
      ended = 'interrupted';
      const left = files.rows === 0 ? 'nothing was measured' : `${files.path} holds the ${files.rows} rows until then`;
      process.stderr.write(`Interrupted: ${left}.\n`);
      process.exitCode = EXIT_INTERRUPTED;
    } else if (error instanceof KernelLacks || error instanceof CompilerError || error instanceof NoGuestKernel) {
      throw new InputError(error.message);
    } else throw error;
  } finally {
    files.close(ended);
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
