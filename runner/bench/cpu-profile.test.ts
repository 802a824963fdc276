import { expect, it } from 'vitest';
import { mostSelfTime } from './cpu-profile.ts';

it('adds up the self time of each function, over all its call sites', () => {
  const frame = (functionName: string, url = '', lineNumber = -1) => ({ functionName, url, lineNumber });
  const profile = {
    nodes: [
      { id: 1, callFrame: frame('(root)') },
      { id: 2, callFrame: frame('pop', 'file:///work/dist/sim/queue.js', 41) },
      { id: 3, callFrame: frame('', 'file:///work/dist/sim/queue.js', 9) },
      { id: 4, callFrame: frame('pop', 'file:///work/dist/sim/queue.js', 41) },
      { id: 5, callFrame: frame('(garbage collector)') },
      { id: 6, callFrame: frame('(idle)') },
    ],
    samples: [2, 4, 3, 5, 6, 2],
    timeDeltas: [1000, 2000, 500, 1500, 90_000, 3000],
  };
  expect(mostSelfTime(profile, 2, '/work')).toEqual([
    { name: 'pop', place: 'dist/sim/queue.js:42', ms: 6, share: 6 / 8 },
    { name: '(garbage collector)', place: '', ms: 1.5, share: 1.5 / 8 },
  ]);
  expect(mostSelfTime(profile, 9, '/work')[2].name).toBe('(anonymous)');
});
