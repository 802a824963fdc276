/** Random draws: contenders of the benchmark. bench/rng.c makes the same draws in C. */
import { AliasTable } from './alias-table.ts';
import type { Contender } from './contender.ts';
import { mixed } from './contender.ts';
import { exponential } from './distributions.ts';
import { RandomStream } from './rng.ts';

/** What is drawn; `exponential-bits` are exponentials with every bit of every draw in the checksum, for a test. */
export type Draw = 'uint32' | 'float' | 'exponential' | 'exponential-bits' | 'alias';

/** The stream's state, and an argument of the C program. */
export const DRAW_STATE = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344] as const;
/** Of the exponential distribution; bench/rng.c has the same. */
const MEAN = 1e6;

const FLOAT = new Float64Array(1);
const WORDS = new Uint32Array(FLOAT.buffer);
/** Which of the two words holds sign and exponent: 1 on little-endian machines. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;

/** `weights` is the length of the alias table: that of a Zipf distribution with exponent 1. */
export function drawContender(draw: Draw, draws: number, weights = 0): Contender {
  const stream = new RandomStream(...DRAW_STATE);
  const round = roundOf(draw, stream, draws, weights);
  let checksum = 0;
  return {
    name: 'chainwalk',
    round() {
      checksum = round(checksum);
    },
    checksum: () => checksum >>> 0,
  };
}

/** One loop for each, so that each is compiled for its own draws, as in a trial. The function takes and gives the checksum. */
function roundOf(draw: Draw, stream: RandomStream, draws: number, weights: number): (checksum: number) => number {
  switch (draw) {
    case 'uint32':
      return (checksum) => {
        let sum = 0;
        for (let i = 0; i < draws; i++) sum = (sum + stream.nextUint32()) | 0;
        return mixed(checksum, sum);
      };
    case 'float':
      return (checksum) => {
        let sum = 0;
        for (let i = 0; i < draws; i++) sum += stream.nextFloat();
        return mixedDouble(checksum, sum);
      };
    case 'exponential': {
      const distribution = exponential(MEAN);
      return (checksum) => {
        let sum = 0;
        for (let i = 0; i < draws; i++) sum += distribution.next(stream);
        return mixedDouble(checksum, sum);
      };
    }
    case 'exponential-bits': {
      const distribution = exponential(MEAN);
      return (checksum) => {
        let mix = checksum;
        for (let i = 0; i < draws; i++) mix = mixedDouble(mix, distribution.next(stream));
        return mix;
      };
    }
    case 'alias': {
      const table = new AliasTable(Float64Array.from({ length: weights }, (_, k) => 1 / (k + 1)));
      return (checksum) => {
        let sum = 0;
        for (let i = 0; i < draws; i++) sum = (sum + table.draw(stream)) | 0;
        return mixed(checksum, sum);
      };
    }
  }
}

function mixedDouble(checksum: number, value: number): number {
  FLOAT[0] = value;
  return mixed(mixed(checksum, WORDS[HIGH]), WORDS[1 - HIGH]);
}
