/** The script that the guest runs, written line by line, with the files that it reads and the rows that its answers become. */
import type { PacketPoint } from '../measure/points.ts';
import type { Point } from '../measure/rows.ts';

/** What an answer of the guest is of. */
export type Asked =
  | { readonly kind: 'packets'; readonly point: Point }
  | { readonly kind: 'command'; readonly point: Point }
  /** Several answers: one for each kind of request, which is the point's position. */
  | { readonly kind: 'requests'; readonly point: Point };

/** How an answer begins on the guest's console: `@ 12 {...}`; `@step NAME`, `@failed COMMAND` and `@end` stand alone. */
export const ANSWER = '@';

/** Functions that the lines below call. The load program sends one packet a sample. */
export const FUNCTIONS = `packets_of() { id=$1; shift; echo "${ANSWER} $id $(packets "$@" batch=1 clock=ticks 2>&1 | tail -n 1)"; }
command_of() { id=$1; input=$2; shift 2; echo "${ANSWER} $id $(stopwatch "$input" "$@" 2>&1 | tail -n 1)"; }
requests_of() { ipvs ticks < "$2" 2>&1 | while read -r line; do echo "${ANSWER} $1 $line"; done; }
ipvs_on() { insmod /modules/ip_vs.ko $1 && for s in SCHEDULERS; do insmod /modules/ip_vs_$s.ko; done && SYSCTLS; }
ipvs_off() { ipvs flush && for s in SCHEDULERS; do rmmod ip_vs_$s; done && rmmod ip_vs; }
iptables_off() { printf '*nat\\nCOMMIT\\n*filter\\nCOMMIT\\n' | iptables-legacy-restore; for m in iptable_nat iptable_filter; do rmmod $m && insmod /modules/$m.ko; done; }
`;

export class GuestScript {
  /** Text by name; the guest finds them in /input. */
  readonly files = new Map<string, string>();
  readonly asked: Asked[] = [];
  readonly #lines: string[] = [];

  /** A line for the reader of the progress. */
  step(name: string): void {
    this.#lines.push(`echo "${ANSWER}step ${name}"`);
  }

  /** Something that must succeed; commands are joined by `&&`. */
  run(line: string): void {
    this.#lines.push(`{ ${line}; } || echo "${ANSWER}failed ${line.replaceAll(/["$`\\]/g, ' ')}"`);
  }

  /** Keeps the text for the guest; its path there. */
  file(name: string, text: string): string {
    this.files.set(name, text);
    return `/input/${name}`;
  }

  packets({ point, load }: PacketPoint): void {
    this.#lines.push(`packets_of ${this.#ask({ kind: 'packets', point })} ${load.join(' ')}`);
  }

  /** `input` is a path of the guest. */
  command(point: Point, input: string, command: string): void {
    this.#lines.push(`command_of ${this.#ask({ kind: 'command', point })} ${input} ${command}`);
  }

  requests(point: Point, input: string): void {
    this.#lines.push(`requests_of ${this.#ask({ kind: 'requests', point })} ${input}`);
  }

  text(): string {
    return `${this.#lines.join('\n')}\necho "${ANSWER}end"\n`;
  }

  #ask(asked: Asked): number {
    return this.asked.push(asked) - 1;
  }
}
