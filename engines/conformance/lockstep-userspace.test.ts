/** userspace mode, both evaluators, in lockstep with the oracle over random clusters, packets and changes. */
import { expect, it } from 'vitest';
import { Rng } from '../../sim/rng.ts';
import { referenceUserspace } from '../reference/userspace.ts';
import { createUserspaceEngine } from '../userspace/engine.ts';
import { runCampaign } from './campaign.ts';
import { control, isControl } from './control-step.ts';
import { generateProgram } from './generate.ts';
import { PLAIN_USERSPACE_MARKS, WHOLE_USERSPACE_MARKS } from './userspace-marks.ts';

const ENGINES = { mode: 'userspace', reference: referenceUserspace, factory: createUserspaceEngine } as const;

it('verdicts, counters and sync reports agree with the oracle in plain worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...ENGINES, mustReach: PLAIN_USERSPACE_MARKS });
});

it('and in whole worlds', { timeout: 3_600_000 }, () => {
  runCampaign({ ...ENGINES, world: 'whole', mustReach: WHOLE_USERSPACE_MARKS });
});

it('dumps agree to the letter after each change', () => {
  let dumps = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const world = seed % 2 === 0 ? 'plain' : 'whole';
    const { node, options, steps } = generateProgram({ mode: 'userspace', seed, packets: 600, world });
    const [oracle, engine] = [referenceUserspace, createUserspaceEngine].map((make) =>
      make({ node, options: { ...options, evaluator: 'literal' }, rng: new Rng(seed) }),
    );
    for (const step of steps) {
      if (!isControl(step) && step.kind !== 'interrupt') continue;
      for (const each of [oracle, engine]) {
        if (isControl(step)) control(each, step);
        else each.interrupt?.(step.at);
      }
      for (const form of ['kernel', 'restore'] as const)
        expect(engine.dump(form), `seed ${seed}`).toBe(oracle.dump(form));
      dumps++;
    }
  }
  expect(dumps).toBeGreaterThan(500);
});
