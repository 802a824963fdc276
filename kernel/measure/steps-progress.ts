/** Says on a stream, a line a step, how far a measurement is: time gone, and the time that it will take in all. */

export interface StepsProgress {
  begin(name: string, expectedSeconds: number): void;
  /** Something that the reader should know; a line of its own. */
  say(line: string): void;
}

export function stepsProgress(totalExpectedSeconds: number, write: (line: string) => void): StepsProgress {
  const start = performance.now();
  let expectedBefore = 0;
  let expectedNow = 0;
  return {
    begin(name, expectedSeconds) {
      expectedBefore += expectedNow;
      expectedNow = expectedSeconds;
      const gone = (performance.now() - start) / 1000;
      const total = gone + (totalExpectedSeconds - expectedBefore) * pace(gone, expectedBefore);
      write(`${time(gone)} of about ${time(total)}: ${name}`);
    },
    say: write,
  };
}

/** Real seconds for an expected one. Trusted once a few of them have gone. */
function pace(goneSeconds: number, expectedSeconds: number): number {
  return expectedSeconds < 5 ? 1 : goneSeconds / expectedSeconds;
}

function time(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}
