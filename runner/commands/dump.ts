/** `chainwalk dump`: the rules that kube-proxy would install for manifests, or for an experiment's cluster, in native form. */
import { InputError } from '../../scenarios/errors.ts';
import { familyOfFlag, readProgramInput } from '../program-input.ts';
import type { ProxyFlags } from '../program-input.ts';
import { compileProgram, FORMS, modeOf } from '../programs.ts';

interface DumpFlags extends ProxyFlags {
  readonly form: string;
}

export function dumpCommand(files: readonly string[], flags: DumpFlags): void {
  const { text, notes } = dump(files, flags);
  for (const note of notes) process.stderr.write(`${note}\n`);
  process.stdout.write(text);
}

/** What goes to standard output, and to standard error. */
export function dump(files: readonly string[], flags: DumpFlags): { text: string; notes: readonly string[] } {
  const form = FORMS.find((each) => each === flags.form);
  if (form === undefined) throw new InputError(`--form "${flags.form}" is not known. Expected restore or kernel`);
  const mode = modeOf(flags.engine);
  const input = readProgramInput(files, flags, familyOfFlag(flags.family ?? 'ipv4'));
  const program = compileProgram(mode, input);
  return { text: program.dump(form), notes: [...input.notes, ...program.notes] };
}
