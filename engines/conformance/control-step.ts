/** The steps of a program that tell kube-proxy something, and what it knows after them. */
import type { ClusterState, NodeSpec, ServicePort } from '../../model/cluster.ts';
import type { ServicePortConfig } from '../../model/service-config.ts';
import type { SyncReport } from '../../model/sync-report.ts';
import type { Engine } from '../engine.ts';
import { servicePortConfig } from '../proxy/configs.ts';
import type { Step } from './program.ts';

export type ControlStep = Extract<Step, { kind: 'sync' | 'apply' }>;

export function isControl(step: Step): step is ControlStep {
  return step.kind === 'sync' || step.kind === 'apply';
}

export function control(engine: Engine, step: ControlStep): SyncReport {
  return step.kind === 'sync' ? engine.sync(step.state, step.at) : engine.apply(step.delta, step.at);
}

/** Service ports that a sync or a change names anew. */
export function upsertedBy(step: ControlStep): readonly ServicePort[] {
  return step.kind === 'sync' ? step.state.servicePorts : step.delta.upserted;
}

/** The service ports of a cluster, by id, through its changes. */
export class KnownServices {
  readonly byId = new Map<number, ServicePort>();

  take(step: ControlStep): void {
    if (step.kind === 'sync') this.byId.clear();
    else for (const id of step.delta.removedIds) this.byId.delete(id);
    for (const svc of upsertedBy(step)) this.byId.set(svc.id, svc);
  }

  inOrder(): ServicePort[] {
    return [...this.byId.values()].sort((a, b) => a.id - b.id);
  }
}

/** What the program compilers are told of these service ports. */
export function configsOf(services: readonly ServicePort[], node: NodeSpec): ServicePortConfig[] {
  return services.map((svc) => servicePortConfig(svc, node));
}

/** Every program begins with a sync. */
export function firstState(steps: readonly Step[]): ClusterState {
  const [first] = steps;
  if (first?.kind !== 'sync') throw new Error('A life begins with a sync');
  return first.state;
}
