/** Shows how far a sweep is: a bar with the time left on a terminal, a plain line now and then elsewhere. */
import cliProgress from 'cli-progress';
import { hostSeconds } from './host.ts';

export interface Progress {
  /** One more trial ended; `weight` is its expected share of the work. */
  done(label: string, weight: number): void;
  /** Prints a line without tearing the bar. */
  say(line: string): void;
  stop(): void;
}

export function startProgress(total: number, totalWeight: number, stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? barProgress(total, totalWeight, stream) : lineProgress(total, totalWeight, stream);
}

function barProgress(total: number, totalWeight: number, stream: NodeJS.WriteStream): Progress {
  const bar = new cliProgress.SingleBar({
    format: '{bar} {percentage} % | {trials} trials | {left} left | {label}',
    stream,
    hideCursor: true,
    clearOnComplete: true,
    barsize: 30,
    fps: 5,
  });
  const tracker = new TimeLeft(totalWeight);
  let finished = 0;
  bar.start(Math.max(totalWeight, 1e-9), 0, { trials: `0/${total}`, left: '?', label: '' });
  return {
    done(label, weight) {
      finished++;
      tracker.add(weight);
      bar.update(tracker.done, { trials: `${finished}/${total}`, left: tracker.text(), label });
    },
    say(line) {
      stream.write(`\r\u001b[K${line}\n`);
    },
    stop() {
      bar.stop();
    },
  };
}

function lineProgress(total: number, totalWeight: number, stream: NodeJS.WriteStream): Progress {
  const tracker = new TimeLeft(totalWeight);
  let finished = 0;
  let lastLine = hostSeconds();
  return {
    done(label, weight) {
      finished++;
      tracker.add(weight);
      if (finished === total || hostSeconds() - lastLine >= 5) {
        lastLine = hostSeconds();
        stream.write(`${finished}/${total} trials, ${tracker.text()} left (${label})\n`);
      }
    },
    say(line) {
      stream.write(`${line}\n`);
    },
    stop() {
      // Nothing to clear away.
    },
  };
}

/** Time left by expected work, not by the number of trials: large trials come last. */
class TimeLeft {
  done = 0;
  readonly #total: number;
  readonly #start = hostSeconds();

  constructor(total: number) {
    this.#total = total;
  }

  add(weight: number): void {
    this.done += weight;
  }

  text(): string {
    if (this.done <= 0) return '?';
    const elapsed = hostSeconds() - this.#start;
    const seconds = Math.max(0, Math.round((elapsed * (this.#total - this.done)) / this.done));
    return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  }
}
