/** Runs a script in a network namespace of its own, of which nothing is left afterwards. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface NamespaceRun {
  /** For bash, with `set -eu`; the working folder is a temporary one that holds `files`. */
  readonly script: string;
  /** Text by file name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Files that the script writes and the caller wants. */
  readonly outputs?: readonly string[];
  /** Real time after which everything in the namespace is killed. */
  readonly timeoutSeconds: number;
}

export interface NamespaceResult {
  /** The script's exit status; 137 when it was killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Text of `outputs`; files that were not written are left out. */
  readonly outputs: ReadonlyMap<string, string>;
}

/** `timeout` and `unshare` both kill what they started; this is for the case that neither gets to it. */
const GRACE_SECONDS = 5;

/**
 * The namespace has a loopback device, which is up, and nothing else. Its processes are in a PID namespace whose first process is the
 * script's: when that ends, the kernel ends the others, and with the last of them the network namespace.
 */
export async function runInNamespace(run: NamespaceRun): Promise<NamespaceResult> {
  const folder = mkdtempSync(join(tmpdir(), `chainwalk-namespace-${process.pid}-`));
  try {
    for (const [name, text] of Object.entries(run.files ?? {})) writeFileSync(join(folder, name), text);
    writeFileSync(join(folder, 'script.sh'), `set -eu\nip link set lo up\n${run.script}\n`);
    const ended = await runBounded(folder, run.timeoutSeconds);
    const written = (run.outputs ?? []).filter((name) => existsSync(join(folder, name)));
    const outputs = new Map(written.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
    return { ...ended, outputs };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runBounded(folder: string, timeoutSeconds: number): Promise<Omit<NamespaceResult, 'outputs'>> {
  const command = ['--net', '--pid', '--fork', '--kill-child', 'timeout', '--signal=KILL', `${timeoutSeconds}`];
  const child = spawn('unshare', [...command, 'bash', 'script.sh'], {
    cwd: folder,
    // The lock of iptables is a file that namespaces share.
    env: {
      ...process.env,
      PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
      XTABLES_LOCKFILE: join(folder, 'xtables.lock'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: (timeoutSeconds + GRACE_SECONDS) * 1000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status: status ?? 137, stdout, stderr }));
  });
}
