/** Peer programs of a benchmark: what each needs on this machine, how it is built, and the conversation with it (bench/peer.h). */
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join, parse, resolve } from 'node:path';
import type { ChildProcess } from '../host.ts';
import { projectRoot, runTool, startProgram } from '../host.ts';
import type { PeerProgram } from './suite.ts';

/** What a peer needs of Debian, and how to see whether it is there. */
interface Need {
  readonly what: string;
  readonly packages: readonly string[];
  isThere(): boolean;
}

const CC: Need = {
  what: 'a C compiler (cc)',
  packages: ['gcc', 'libc6-dev'],
  isThere: () => answers('cc', '--version'),
};
const CXX: Need = { what: 'a C++ compiler (c++)', packages: ['g++'], isThere: () => answers('c++', '--version') };
const PYTHON_PATH = '/usr/bin/python3';
const PYTHON: Need = {
  what: `Python (${PYTHON_PATH})`,
  packages: ['python3'],
  isThere: () => answers(PYTHON_PATH, '--version'),
};
const SIMPY: Need = {
  what: 'SimPy',
  packages: ['python3-simpy3'],
  isThere: () => answers(PYTHON_PATH, '-c', 'import simpy'),
};
const NS3: Need = { what: 'ns-3', packages: ['libns3-dev'], isThere: () => existsSync('/usr/include/ns3/simulator.h') };

/** Its pkg-config file also asks for GSL, which its core does not need. */
const NS3_FLAGS = ['-lns3-core'];

/** A program that says nothing for so long hangs. */
const PATIENCE_MS = 120_000;

interface PeerRound {
  /** By the program's own clock, the round alone. */
  readonly ns: number;
  readonly checksum: number;
}

/** A program that is ready for its rounds. */
export interface Peer {
  readonly name: string;
  round(): Promise<PeerRound>;
  stop(): void;
}

/** Why a program cannot be had here, and the Debian packages that help; undefined when it can. */
export function whatPeerLacks(
  program: PeerProgram,
): { readonly reason: string; readonly packages: string[] } | undefined {
  const missing = needsOf(program).filter(isAbsent);
  if (missing.length === 0) return undefined;
  const packages = missing.flatMap((need) => need.packages);
  return {
    reason: `${missing.map((need) => need.what).join(' and ')} is not installed: apt-get install -y ${packages.join(' ')}`,
    packages,
  };
}

/** Whether a program needs nothing but a C compiler: such ones run in the smoke size, too. */
export function isPlainC(program: PeerProgram): boolean {
  return extname(program.source) === '.c';
}

/** Builds the program unless that has been done before, starts it and waits until it is ready. */
export async function startPeer(program: PeerProgram): Promise<Peer> {
  const [command, ...args] = commandOf(program);
  const child = startProgram(command, [...args, ...program.args], { stdio: ['pipe', 'pipe', 'pipe'] });
  const lines = new Lines(child, program.name);
  const ready = await lines.next();
  if (ready !== 'ready') throw new Error(`The peer "${program.name}" began with "${ready}", expected "ready"`);
  return {
    name: program.name,
    async round() {
      lines.ask();
      const line = await lines.next();
      const match = /^(\d+) (\d+)$/.exec(line);
      if (match === null) throw new Error(`The peer "${program.name}" answered "${line}", expected "<ns> <checksum>"`);
      return { ns: Number(match[1]), checksum: Number(match[2]) };
    },
    stop: () => lines.stop(),
  };
}

/** Where built programs and the files that they read are kept from one benchmark to the next. */
export function cacheFolder(): string {
  if (folder !== undefined) return folder;
  const kept = join(projectRoot(), 'node_modules', '.cache', 'chainwalk-bench');
  try {
    mkdirSync(kept, { recursive: true });
    accessSync(kept, constants.W_OK);
    folder = kept;
  } catch {
    folder = mkdtempSync(join(tmpdir(), 'chainwalk-bench-'));
  }
  return folder;
}

let folder: string | undefined;

/** Versions of compilers and interpreters, for the report: of "Python 3.11.2" what follows the name. */
export function peerTools(): Record<string, string> {
  const tools: Record<string, string> = {};
  for (const [name, command] of [
    ['cc', 'cc'],
    ['c++', 'c++'],
    ['python', PYTHON_PATH],
  ]) {
    const { status, stdout, stderr } = runTool(command, ['--version']);
    if (status === 0) tools[name] = (stdout + stderr).split('\n')[0].replace(/^\S+ /, '').trim();
  }
  return tools;
}

function needsOf(program: PeerProgram): Need[] {
  const text = readFileSync(sourceOf(program), 'utf8');
  switch (extname(program.source)) {
    case '.c':
      return [CC];
    case '.py':
      return /^import simpy$/m.test(text) ? [PYTHON, SIMPY] : [PYTHON];
    default:
      return includesNs3(text) ? [CXX, NS3] : [CXX];
  }
}

const known = new Map<Need, boolean>();

function isAbsent(need: Need): boolean {
  let there = known.get(need);
  if (there === undefined) known.set(need, (there = need.isThere()));
  return !there;
}

function answers(command: string, ...args: readonly string[]): boolean {
  return runTool(command, args).status === 0;
}

function includesNs3(source: string): boolean {
  return source.includes('#include <ns3/');
}

function benchFolder(): string {
  return join(projectRoot(), 'bench');
}

function sourceOf(program: PeerProgram): string {
  return resolve(benchFolder(), program.source);
}

function commandOf(program: PeerProgram): [string, ...string[]] {
  const source = sourceOf(program);
  return extname(source) === '.py' ? [PYTHON_PATH, source] : [build(program, source)];
}

/** Compiles at -O2. The result is kept under a digest of all that it is made of. */
function build(program: PeerProgram, source: string): string {
  const compiler = extname(source) === '.c' ? 'cc' : 'c++';
  const text = readFileSync(source, 'utf8');
  const flags = [...(program.flags ?? []), ...(includesNs3(text) ? NS3_FLAGS : []), '-lm'];
  const digest = createHash('sha256').update(
    JSON.stringify([compiler, runTool(compiler, ['--version']).stdout, flags, text]),
  );
  for (const header of readdirSync(benchFolder())
    .filter((name) => name.endsWith('.h'))
    .sort((a, b) => (a < b ? -1 : 1))) {
    digest.update(readFileSync(join(benchFolder(), header)));
  }
  const target = join(cacheFolder(), `${parse(source).name}-${digest.digest('hex').slice(0, 16)}`);
  if (existsSync(target)) return target;
  const unfinished = `${target}.${process.pid}`;
  const { status, stderr } = runTool(compiler, ['-O2', '-I', benchFolder(), source, '-o', unfinished, ...flags]);
  if (status !== 0) throw new Error(`${compiler} could not build bench/${program.source}:\n${stderr}`);
  // Another benchmark may be building the same: renaming puts one whole program in place.
  renameSync(unfinished, target);
  return target;
}

/** The program's lines, one by one; an error with what it said last when it ends or hangs. */
class Lines {
  readonly #child: ChildProcess;
  readonly #name: string;
  #text = '';
  #complaint = '';
  #ended: string | undefined;
  #waiting: (() => void) | undefined;

  constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    const wake = (): void => this.#waiting?.();
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
      wake();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-2000);
    });
    child.on('error', (error) => {
      this.#ended = error.message;
      wake();
    });
    child.on('close', (code, signal) => {
      this.#ended ??= `it ended with ${signal ?? `exit code ${code}`}`;
      wake();
    });
    // A program that has ended cannot read: `close` says so.
    child.stdin?.on('error', () => undefined);
  }

  ask(): void {
    this.#child.stdin?.write('\n');
  }

  async next(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      if (this.#ended !== undefined) throw this.#failure(this.#ended);
      await this.#news();
    }
  }

  stop(): void {
    this.#child.stdin?.end();
    this.#child.kill();
  }

  #news(): Promise<void> {
    return new Promise((done, fail) => {
      const timer = setTimeout(() => {
        this.stop();
        fail(this.#failure(`it said nothing for ${PATIENCE_MS / 1000} s`));
      }, PATIENCE_MS);
      this.#waiting = () => {
        clearTimeout(timer);
        this.#waiting = undefined;
        done();
      };
    });
  }

  #failure(reason: string): Error {
    const said = this.#complaint.trim();
    return new Error(`The peer "${this.#name}" failed: ${reason}${said === '' ? '' : `; it said: ${said}`}`);
  }
}
