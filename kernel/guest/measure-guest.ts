/**
 * Measures a Debian kernel in an emulated guest, in instructions: under `-icount shift=0` each instruction takes the guest one nanosecond,
 * so its time-stamp counter counts them, whatever the machine is busy with. The guest has no network device.
 */
import {
  copyFileSync,
  createReadStream,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { majorMinor } from '../measure/machine-facts.ts';
import type { MeasuredEngine, PlanSize } from '../measure/plan.ts';
import type { RowFile } from '../measure/row-file.ts';
import { INSTRUCTIONS } from '../measure/rows.ts';
import type { Summary } from '../measure/rows.ts';
import { readCommandTimes, readSamples } from '../measure/samples.ts';
import { stepsProgress } from '../measure/steps-progress.ts';
import type { StepsProgress } from '../measure/steps-progress.ts';
import { Interrupted, runTool } from '../measure/tool.ts';
import { buildRoot, packRoot } from './initramfs.ts';
import { downloadKernel, findKernel } from './kernel-package.ts';
import type { GuestKernel } from './kernel-package.ts';
import { guestPlan, writeBase } from './plan.ts';
import type { Part } from './rig.ts';
import { ANSWER, GuestScript } from './script.ts';
import type { Asked } from './script.ts';

export interface GuestRun {
  readonly size: PlanSize;
  readonly engines: readonly MeasuredEngine[];
  /** An unpacked kernel package; absent: it is downloaded. */
  readonly kernelFolder?: string;
  /** Called once the kernel is known: where its rows go. */
  readonly open: (source: string, kernelRelease: string) => RowFile;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

const MEMORY = '3G';
const BOOT_SECONDS = 4;
/** Longer than the longest guest on a machine several times slower. */
const GUEST_SECONDS = 1800;

const PER_REQUEST = { name: 'instructions/request', digits: 0 };
const PER_COMMAND = { name: 'instructions/command', digits: 0 };

/** Rejects with Interrupted, NoGuestKernel or CompilerError; rows so far are written, and nothing is left running. */
export async function measureGuest(run: GuestRun): Promise<{ readonly failed: number }> {
  const folder = mkdtempSync(join(tmpdir(), `chainwalk-measure-${process.pid}-`));
  try {
    const kernel = await guestKernel(run, folder);
    const rows = run.open(guestSource(kernel.release), kernel.release);
    run.say(`guest: building a file system around kernel ${kernel.release}`);
    const root = join(folder, 'root');
    await buildRoot(root, kernel, run.signal);
    await packRoot(root, join(folder, 'base.gz'), run.signal);
    const guests = guestPlan(run.size, run.engines);
    const seconds = guests.flat().reduce((sum, part) => sum + part.expectedSeconds, BOOT_SECONDS * guests.length);
    const progress = stepsProgress(seconds, run.say);
    let failed = 0;
    for (const parts of guests) failed += await new Guest(folder, kernel, parts).measure(rows, progress, run.signal);
    return { failed };
  } catch (error) {
    throw run.signal.aborted ? new Interrupted() : error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function guestSource(release: string): string {
  return `qemu-${majorMinor(release)}-tcg`;
}

async function guestKernel({ kernelFolder, say, signal }: GuestRun, folder: string): Promise<GuestKernel> {
  if (kernelFolder !== undefined) return findKernel(kernelFolder);
  say('guest: downloading a kernel package with apt-get (--guest-kernel DIR takes an unpacked one)');
  return downloadKernel(folder, signal);
}

class Guest {
  readonly #folder: string;
  readonly #kernel: GuestKernel;
  readonly #parts: readonly Part[];

  constructor(folder: string, kernel: GuestKernel, parts: readonly Part[]) {
    this.#folder = folder;
    this.#kernel = kernel;
    this.#parts = parts;
  }

  /** Boots, measures, powers off; the number of questions without an answer. */
  async measure(rows: RowFile, progress: StepsProgress, signal: AbortSignal): Promise<number> {
    const script = new GuestScript();
    writeBase(script);
    for (const part of this.#parts) part.write(script);
    const archive = await this.#pack(script, signal);
    progress.begin(
      `a guest for ${this.#parts.map(({ name }) => name).join(', ')}`,
      this.#parts.reduce((sum, part) => sum + part.expectedSeconds, BOOT_SECONDS),
    );
    const answers = new Answers(script.asked, rows, progress);
    const onLine = (line: string): void => answers.read(line);
    const options = { signal, onLine, timeoutSeconds: GUEST_SECONDS };
    const { status, stderr } = await runTool('qemu-system-x86_64', qemuArguments(this.#kernel.image, archive), options);
    if (!answers.ended) {
      progress.say(
        `  the guest ended early (qemu's status ${status}): ${[...answers.lastWords, stderr.trim()].join(' | ').slice(-600)}`,
      );
    }
    return answers.missing();
  }

  /** The kernel unpacks archives that follow one another into one tree. */
  async #pack(script: GuestScript, signal: AbortSignal): Promise<string> {
    const own = join(this.#folder, 'own');
    rmSync(own, { recursive: true, force: true });
    mkdirSync(join(own, 'input'), { recursive: true });
    for (const [name, text] of script.files) writeFileSync(join(own, 'input', name), text);
    writeFileSync(join(own, 'input', 'parts.sh'), script.text());
    await packRoot(own, join(this.#folder, 'own.gz'), signal);
    const archive = join(this.#folder, 'initramfs.gz');
    copyFileSync(join(this.#folder, 'base.gz'), archive);
    await pipeline(createReadStream(join(this.#folder, 'own.gz')), createWriteStream(archive, { flags: 'a' }));
    return archive;
  }
}

/**
 * One processor without five-level page tables; a kernel at a fixed address that neither clears pages it hands out nor copies by string
 * instructions, of which qemu counts each as one.
 */
export function qemuArguments(image: string, archive: string): string[] {
  const kernel = 'console=ttyS0 loglevel=1 panic=-1 rdinit=/init nokaslr tsc=reliable init_on_alloc=0';
  return [
    ...[
      '-accel',
      'tcg,thread=single',
      '-icount',
      'shift=0,sleep=off',
      '-cpu',
      'max,la57=off',
      '-smp',
      '1',
      '-m',
      MEMORY,
    ],
    ...['-nographic', '-monitor', 'none', '-nic', 'none', '-no-reboot', '-kernel', image, '-initrd', archive],
    ...['-append', `${kernel} clearcpuid=rep_good,erms,fsrm`],
  ];
}

/** What the guest says on its console, turned into rows. */
export class Answers {
  readonly #asked: readonly Asked[];
  readonly #rows: RowFile;
  readonly #progress: StepsProgress;
  readonly #answered = new Set<number>();
  /** Of the console, for the case that the guest ends early. */
  readonly lastWords: string[] = [];
  ended = false;
  #failures = 0;

  constructor(asked: readonly Asked[], rows: RowFile, progress: StepsProgress) {
    this.#asked = asked;
    this.#rows = rows;
    this.#progress = progress;
  }

  read(line: string): void {
    const answer = /^@ (\d+) (.*)$/.exec(line);
    if (line === `${ANSWER}end`) this.ended = true;
    else if (line.startsWith(`${ANSWER}step `)) this.#progress.say(`  ${line.slice(6)}`);
    else if (line.startsWith(`${ANSWER}failed `)) this.#fail(line.slice(8), this.lastWords.at(-1) ?? '');
    else if (answer !== null) this.#answer(Number(answer[1]), answer[2]);
    else if (line.trim() !== '') {
      this.lastWords.push(line.trim());
      if (this.lastWords.length > 5) this.lastWords.shift();
    }
  }

  /** Questions without an answer, and preparations that failed. */
  missing(): number {
    return this.#asked.length - this.#answered.size + this.#failures;
  }

  #fail(what: string, words: string): void {
    this.#failures++;
    this.#progress.say(`  failed (${what}): ${words}`);
  }

  #answer(id: number, text: string): void {
    const asked = this.#asked[id];
    try {
      this.#write(asked, text);
      this.#answered.add(id);
    } catch {
      this.#progress.say(
        `  failed (${asked.point.engine} ${asked.point.variant} ${asked.point.position}): ${text.slice(0, 200)}`,
      );
    }
  }

  #write({ kind, point }: Asked, text: string): void {
    if (kind === 'command') {
      this.#rows.add(point, summaryOfOne(readCommandTimes(text).ticks), PER_COMMAND);
      return;
    }
    const { what, summary } = readSamples(text);
    if (kind === 'packets') this.#rows.add(point, summary, INSTRUCTIONS);
    else this.#rows.add({ ...point, position: what }, summary, PER_REQUEST);
  }
}

function summaryOfOne(value: number): Summary {
  return { value, repeats: 1, stddev: 0, min: value, mean: value };
}
