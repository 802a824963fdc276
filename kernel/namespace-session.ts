/** A network namespace of its own that stays, for commands run in it one after the other; nothing of it is left afterwards. */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export interface CommandResult {
  /** The command's exit status; 137 when it, or the whole namespace, was killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command a line; its answer is its exit status, and its streams are files. */
function loop(name: string): string {
  return `ip link set lo up
while IFS= read -r command; do
  ( eval "$command" ) < /dev/null > ${name}.out 2> ${name}.err
  echo "$?"
done
`;
}

/**
 * As in namespace.ts: loopback alone, and a PID namespace around it, whose first process this one kills with itself. When this process is
 * killed itself, its end of the pipe closes, and the namespace ends after the command that it is at.
 */
export class NamespaceSession {
  readonly #folder: string;
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #closed: Promise<void>;
  #answer: ((status: number) => void) | undefined;
  #isOpen = true;

  /** `folder` is where commands run; `name` tells the files of several sessions in it apart. */
  constructor(folder: string, name: string, lifetimeSeconds: number) {
    this.#folder = folder;
    this.#name = name;
    writeFileSync(join(folder, `${name}.sh`), loop(name));
    const command = ['--net', '--pid', '--fork', '--kill-child', 'timeout', '--signal=KILL', `${lifetimeSeconds}`];
    this.#child = spawn('unshare', [...command, 'bash', `${name}.sh`], {
      cwd: folder,
      // Not in the terminal's group: an interrupt is ours to handle, and ends the namespace as a whole.
      detached: true,
      env: {
        ...process.env,
        PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
        // The lock of iptables is a file that namespaces share.
        XTABLES_LOCKFILE: join(folder, 'xtables.lock'),
      },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    // A namespace that is gone reads no more commands: its end is the answer.
    this.#child.stdin.on('error', () => undefined);
    createInterface(this.#child.stdout).on('line', (line) => this.#give(Number(line)));
    this.#closed = new Promise((resolve) => {
      const end = (): void => {
        this.#isOpen = false;
        this.#give(137);
        resolve();
      };
      this.#child.on('error', end);
      this.#child.on('close', end);
    });
  }

  /** One line for bash. One command at a time. */
  async run(command: string, timeoutSeconds: number): Promise<CommandResult> {
    if (command.includes('\n')) throw new Error('a command of a namespace is one line');
    if (this.#answer !== undefined) throw new Error('a command of this namespace has not ended');
    if (!this.#isOpen) return { status: 137, stdout: '', stderr: 'the namespace has ended' };
    const status = await new Promise<number>((resolve) => {
      this.#answer = resolve;
      this.#child.stdin.write(`timeout --signal=KILL ${timeoutSeconds} ${command}\n`);
    });
    if (!this.#isOpen) return { status, stdout: '', stderr: 'the namespace has ended' };
    const stream = (kind: string): string => readFileSync(join(this.#folder, `${this.#name}.${kind}`), 'utf8');
    return { status, stdout: stream('out'), stderr: stream('err') };
  }

  /** Kills all that runs in the namespace; resolves when it has gone. */
  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  #give(status: number): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(status);
  }
}
