/** The churn of a trial, with Deployment names resolved and times in simulated nanoseconds. */
import type { ChurnEvent, ChurnPlan } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import type { Deployment } from '../model/workload.ts';
import type { BuiltCluster } from './cluster-builder.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import type { ChurnSpec } from './spec.ts';

/** Events in order of time; entries of one time keep the order of the file. InputErrors carry the path `churn.<entry>...`. */
export function planChurn(spec: readonly ChurnSpec[], cluster: BuiltCluster): ChurnPlan {
  const entries = spec.map((entry, i) => ({ entry, path: ['churn', i, entry.kind] }));
  // Array.prototype.sort is stable, so equal times keep their order.
  entries.sort((a, b) => a.entry.atSeconds - b.entry.atSeconds);
  const events: ChurnEvent[] = [];
  for (const { entry, path } of entries) events.push(planEvent(entry, cluster, events, path));
  return { events };
}

function planEvent(
  entry: ChurnSpec,
  cluster: BuiltCluster,
  earlier: readonly ChurnEvent[],
  path: readonly (string | number)[],
): ChurnEvent {
  const { deployments } = cluster.workload;
  if (entry.kind === 'proxy_restart') {
    return { kind: 'proxy_restart', at: nanoseconds(entry.atSeconds), downNs: nanoseconds(entry.downSeconds) };
  }
  const deployment = findDeployment(entry.deployment, deployments, [...path, 'deployment']);
  const at = nanoseconds(entry.atSeconds);
  switch (entry.kind) {
    case 'rolling_update':
      return { kind: 'rolling_update', at, deployment };
    case 'scale':
      return { kind: 'scale', at, deployment, replicas: entry.replicas };
    case 'probe_failure': {
      const target = deployments[deployment];
      const probe = entry.probe === 'readiness' ? target.readinessProbe : target.livenessProbe;
      if (probe === undefined) {
        throw new InputError(
          `Deployment ${quote(fullName(target))} has no ${entry.probe}Probe that could fail; add one to its container.`,
          { path: [...path, 'probe'] },
        );
      }
      const most = mostPods(deployment, cluster, earlier);
      if (entry.pod >= most) {
        throw new InputError(
          `Deployment ${quote(fullName(target))} has ${most} pods, numbered from 0; there is no pod ${entry.pod}.`,
          { path: [...path, 'pod'] },
        );
      }
      const { probe: kind, mode, pod, durationSeconds } = entry;
      return {
        kind: 'probe_failure',
        at,
        deployment,
        pod,
        probe: kind,
        mode,
        durationNs: nanoseconds(durationSeconds),
      };
    }
  }
}

/** The most pods that a Deployment may have when an event comes: those of now, or those that an earlier `scale` asks for. */
function mostPods(deployment: number, cluster: BuiltCluster, earlier: readonly ChurnEvent[]): number {
  const { deployments, pods } = cluster.workload;
  let most = Math.max(deployments[deployment].replicas, pods.filter((pod) => pod.deployment === deployment).length);
  for (const event of earlier) {
    if (event.kind === 'scale' && event.deployment === deployment) most = Math.max(most, event.replicas);
  }
  return most;
}

/** Index of the Deployment called `ns/name`, or `name` when that is in one namespace only. */
function findDeployment(name: string, deployments: readonly Deployment[], path: readonly (string | number)[]): number {
  const found: number[] = [];
  for (let i = 0; i < deployments.length; i++) {
    const each = deployments[i];
    if (fullName(each) === name || each.name === name) found.push(i);
  }
  if (found.length === 1) return found[0];
  if (found.length > 1) {
    const names = found.map((i) => fullName(deployments[i])).join(', ');
    throw new InputError(`${quote(name)} is the name of several Deployments (${names}); write namespace/name.`, {
      path,
    });
  }
  if (deployments.length === 0) {
    throw new InputError(
      `There is no Deployment ${quote(name)}: the cluster has no Deployments; churn needs a cluster of manifests.`,
      { path },
    );
  }
  const known = deployments.flatMap((each) => [each.name, fullName(each)]);
  const shown = deployments.slice(0, 10).map((each) => (each.namespace === 'default' ? each.name : fullName(each)));
  const list = shown.join(', ');
  throw new InputError(`There is no Deployment ${quote(name)}; the cluster has ${list}.${didYouMean(name, known)}`, {
    path,
  });
}

function fullName(deployment: Deployment): string {
  return `${deployment.namespace}/${deployment.name}`;
}

function nanoseconds(seconds: number): number {
  return Math.floor(seconds * NS_PER_S + 0.5);
}
