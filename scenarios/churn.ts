/** The churn of a trial, with Deployment names resolved and times in simulated nanoseconds. */
import type { ChurnEvent, ChurnPlan } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import type { Deployment } from '../model/workload.ts';
import type { BuiltCluster } from './cluster-builder.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import type { ChurnSpec } from './spec.ts';

/** Events in order of time; entries of one time keep the order of the file. InputErrors carry the path `churn.<entry>...`. */
export function planChurn(spec: readonly ChurnSpec[], cluster: BuiltCluster): ChurnPlan {
  const events = spec.map((entry, i) => planEvent(entry, cluster, ['churn', i, entry.kind]));
  // Array.prototype.sort is stable, so equal times keep their order.
  return { events: events.sort((a, b) => a.at - b.at) };
}

function planEvent(entry: ChurnSpec, cluster: BuiltCluster, path: readonly (string | number)[]): ChurnEvent {
  const { deployments, pods } = cluster.workload;
  const deployment = findDeployment(entry.deployment, deployments, [...path, 'deployment']);
  const at = nanoseconds(entry.atSeconds);
  switch (entry.kind) {
    case 'rolling_update':
      return { kind: 'rolling_update', at, deployment };
    case 'scale':
      return { kind: 'scale', at, deployment, replicas: entry.replicas };
    case 'probe_failure': {
      const target = deployments[deployment] as Deployment;
      const probe = entry.probe === 'readiness' ? target.readinessProbe : target.livenessProbe;
      if (probe === undefined) {
        throw new InputError(
          `Deployment ${quote(fullName(target))} has no ${entry.probe}Probe that could fail; add one to its container.`,
          { path: [...path, 'probe'] },
        );
      }
      const running = pods.filter((pod) => pod.deployment === deployment).length;
      // A scale-up earlier in the plan may bring more pods than there are now.
      const most = Math.max(running, target.replicas);
      if (entry.pod >= most && !pods.some((pod) => pod.deployment === deployment && entry.pod < most)) {
        throw new InputError(
          `Deployment ${quote(fullName(target))} has ${most} pods, numbered from 0; there is no pod ${entry.pod}.`,
          { path: [...path, 'pod'] },
        );
      }
      const { probe: kind, mode, pod, durationSeconds } = entry;
      return { kind: 'probe_failure', at, deployment, pod, probe: kind, mode, durationNs: nanoseconds(durationSeconds) };
    }
  }
}

/** Index of the Deployment called `ns/name`, or `name` when that is in one namespace only. */
function findDeployment(name: string, deployments: readonly Deployment[], path: readonly (string | number)[]): number {
  const found: number[] = [];
  for (let i = 0; i < deployments.length; i++) {
    const each = deployments[i] as Deployment;
    if (fullName(each) === name || each.name === name) found.push(i);
  }
  if (found.length === 1) return found[0] as number;
  if (found.length > 1) {
    const names = found.map((i) => fullName(deployments[i] as Deployment)).join(', ');
    throw new InputError(`${quote(name)} is the name of several Deployments (${names}); write namespace/name.`, { path });
  }
  if (deployments.length === 0) {
    throw new InputError(`There is no Deployment ${quote(name)}: the cluster has no Deployments; churn needs a cluster of manifests.`, { path });
  }
  const known = deployments.flatMap((each) => [each.name, fullName(each)]);
  const list = deployments.map((each) => each.name).slice(0, 10).join(', ');
  throw new InputError(`There is no Deployment ${quote(name)}; the cluster has ${list}.${didYouMean(name, known)}`, { path });
}

function fullName(deployment: Deployment): string {
  return `${deployment.namespace}/${deployment.name}`;
}

function nanoseconds(seconds: number): number {
  return Math.floor(seconds * NS_PER_S + 0.5);
}
