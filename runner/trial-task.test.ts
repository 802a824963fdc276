import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadExperiment } from '../scenarios/load.ts';
import { projectRoot } from './host.ts';
import { planSweep } from './sweep-plan.ts';
import { TaskReader, TaskWriter } from './trial-task.ts';

it.each(['service-scaling', 'alpaca-rolling-update', 'dns-under-churn'])(
  '%s: trials come out as they went in',
  (name) => {
    const file = join(projectRoot(), 'scenarios', 'experiments', `${name}.yaml`);
    const { trials } = planSweep(loadExperiment(file, { quick: true }));
    const writer = new TaskWriter();
    const reader = new TaskReader();
    const task = structuredClone(writer.write(trials));
    expect(task.points.length).toBe(new Set(trials.map(({ point }) => point)).size);
    const read = reader.read(task);
    expect(read).toEqual(trials);
    // The point of a task that follows is not read again.
    const [again] = reader.read(structuredClone(writer.write(trials.slice(-1))));
    expect(again).toEqual(trials.at(-1));
    expect(again.point).toBe(read.at(-1)?.point);
  },
);
