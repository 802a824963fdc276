/** What a benchmark compares: ways to do one job, whose answers must be the same. Times nothing itself. */

/** One way to do the job, in this process. */
export interface Contender {
  readonly name: string;
  /** Why it cannot take part here, and how to get it; the others are compared without it. */
  readonly absent?: string;
  /** Does one round, the same number of operations each time; some 2 to 50 ms of work. */
  round(): void;
  /** The answers so far, mixed into 32 bits: equal for every contender after as many rounds. */
  checksum(): number;
}

/** Mixes the next answer, a 32-bit integer, into a checksum that begins at 0. The programs under bench/ have the same. */
export function mixed(checksum: number, answer: number): number {
  const h = Math.imul(checksum ^ answer, 0x9e3779b1);
  return h ^ (h >>> 15);
}
