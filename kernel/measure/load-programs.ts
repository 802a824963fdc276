/** The load programs (load/*.c), built with the machine's compiler. */
import { join } from 'node:path';
import { runTool } from './tool.ts';

export const LOAD_PROGRAMS = ['packets', 'stopwatch', 'ipvs'] as const;
export type LoadProgram = (typeof LOAD_PROGRAMS)[number];

const SOURCES = join(import.meta.dirname, '..', 'load');

/** Builds them into `folder`. `linking`: static for where no libraries are. Throws with the compiler's words. */
export async function buildLoadPrograms(
  folder: string,
  programs: readonly LoadProgram[],
  linking: 'dynamic' | 'static',
  signal?: AbortSignal,
): Promise<void> {
  for (const program of programs) {
    const options = ['-O2', ...(linking === 'static' ? ['-static'] : [])];
    const args = [...options, '-o', join(folder, program), join(SOURCES, `${program}.c`), '-lm'];
    const { status, stderr } = await runTool('cc', args, signal === undefined ? {} : { signal });
    if (status !== 0)
      throw new CompilerError(
        `cc cannot build kernel/load/${program}.c (apt-get install gcc libc6-dev): ${firstLines(stderr)}`,
      );
  }
}

/** The compiler is there but does not work: headers or libraries are missing. */
export class CompilerError extends Error {
  override readonly name = 'CompilerError';
}

function firstLines(text: string): string {
  return text
    .split('\n')
    .filter((line) => /error|cannot find|No such file/.test(line))
    .slice(0, 2)
    .join('; ');
}
