/** `chainwalk dump`: the rules that kube-proxy would install for an experiment's cluster, in native form. */
import type { EngineName } from '../../engines/engine.ts';
import { ENGINES } from '../../engines/registry.ts';
import { buildCluster } from '../../scenarios/cluster-builder.ts';
import { InputError } from '../../scenarios/errors.ts';
import { Rng } from '../../sim/rng.ts';
import { planSweep } from '../sweep-plan.ts';
import { engineOptions } from '../trial.ts';
import { load, type ScenarioOptions } from './experiments.ts';

interface DumpFlags extends ScenarioOptions {
  readonly engine: string;
  readonly form: string;
}

export function dumpCommand(file: string, flags: DumpFlags): void {
  if (flags.form !== 'restore' && flags.form !== 'kernel') {
    throw new InputError(`--form "${flags.form}" is not known. Expected restore or kernel`);
  }
  if (!isEngine(flags.engine)) {
    throw new InputError(`--engine "${flags.engine}" is not known. Expected one of ${Object.keys(ENGINES).join(', ')}`);
  }
  const trial = planSweep(load(file, flags)).trials[0];
  if (trial === undefined) throw new InputError('The experiment has no trial', { file });
  const rng = new Rng(trial.seed).sub('replication-1');
  const cluster = buildCluster(trial.point.cluster, rng);
  const engine = ENGINES[flags.engine]({ node: cluster.node, options: engineOptions(trial.point), rng });
  engine.sync(cluster.state, 0);
  process.stdout.write(engine.dump(flags.form));
}

function isEngine(name: string): name is EngineName {
  return Object.hasOwn(ENGINES, name);
}
