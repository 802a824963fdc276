import { expect, it } from 'vitest';
import { DRAW_STATE, drawContender } from '../../../sim/rng.bench.ts';
import { whatPeerLacks } from '../peer.ts';
import { runJob } from '../run-suite.ts';
import type { PeerProgram } from '../suite.ts';

it('the C peer draws exponentials that are equal in every bit, logarithm and all', async (context) => {
  const draws = 100_000;
  const args = ['exponential-bits', ...[draws, ...DRAW_STATE].map(String)];
  const peer: PeerProgram = { name: 'C', source: 'rng.c', args, flags: ['-ffp-contract=off'] };
  const lack = whatPeerLacks(peer);
  context.skip(lack !== undefined, lack?.reason);
  const contenders = () => [drawContender('exponential-bits', draws)];
  const job = { name: 'bits', size: draws, sizeOf: 'draws', operations: draws, contenders, peers: [peer], bars: [] };
  const { rows } = await runJob('rng', job, 'smoke');
  expect(rows).toHaveLength(2);
  expect(rows[1].checksum).toBe(rows[0].checksum);
});
