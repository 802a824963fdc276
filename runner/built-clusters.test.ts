import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadExperiment } from '../scenarios/load.ts';
import { Rng } from '../sim/rng.ts';
import { builtCluster } from './built-clusters.ts';
import { projectRoot } from './host.ts';
import { planSweep, type Trial } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

function trials(name: string, ...set: string[]): Trial[] {
  const file = join(projectRoot(), 'scenarios', 'experiments', `${name}.yaml`);
  return [...planSweep(loadExperiment(file, { set, quick: true })).trials];
}

/** Whoever writes to a frozen object throws: modules are strict. */
function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) return;
  Object.freeze(value);
  for (const each of Object.values(value)) freeze(each);
}

describe('the cluster of a trial', () => {
  const rng = new Rng(1);

  it('is the same object for an equal spec, and another one for another', () => {
    const [small] = trials('service-scaling', 'sweep.services=[20]');
    const [large] = trials('service-scaling', 'sweep.services=[21]');
    const first = builtCluster(small.point.cluster, rng);
    expect(builtCluster(structuredClone(small.point.cluster), rng)).toBe(first);
    expect(builtCluster(large.point.cluster, rng).state.servicePorts).toHaveLength(21);
    expect(builtCluster(small.point.cluster, rng)).toEqual(first);
  });

  it.each([
    'service-scaling',
    'rolling-update',
    'alpaca-rolling-update',
    'probe-flapping',
    'endpoint-fanout',
    'dns-under-churn',
    'session-affinity',
    'add-service',
    'schedulers',
  ])('is changed by no trial of %s, and a second trial on it gives the same', (name) => {
    const all = trials(name, 'replications=1');
    const engines = [...new Set(all.map(({ engine }) => engine))];
    for (const engine of engines) {
      const trial = all.find((each) => each.engine === engine) as Trial;
      freeze(builtCluster(trial.point.cluster, rng));
      const first = runTrial(trial);
      expect(runTrial(trial)).toEqual(first);
    }
  });
});
