/** The churn of a trial, with names resolved and times in simulated nanoseconds. */
import type { ChurnEvent, ChurnPlan, PodBehaviour, ProbeName, ProbeSelection } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import type { SimTime } from '../model/time.ts';
import type { Deployment, Probe } from '../model/workload.ts';
import type { BuiltCluster } from './cluster-builder.ts';
import { didYouMean, InputError, quote } from './errors.ts';
import type { Path } from './source.ts';
import type { ChurnSpec, PodsSpec, TimedChurnSpec } from './spec.ts';
import { toDistribution } from './traffic.ts';

/** Events in order of time; entries of one time keep the order of the file. InputErrors carry the path `churn.<entry>...`. */
export function planChurn(spec: readonly ChurnSpec[], cluster: BuiltCluster): ChurnPlan {
  const timed: { entry: TimedChurnSpec; path: Path }[] = [];
  const behaviours: PodBehaviour[] = [];
  spec.forEach((entry, i) => {
    const path = ['churn', i, entry.kind];
    if (entry.kind === 'pods') behaviours.push(planPods(entry, cluster, behaviours, path));
    else timed.push({ entry, path });
  });
  // Array.prototype.sort is stable, so equal times keep their order.
  timed.sort((a, b) => a.entry.atSeconds - b.entry.atSeconds);
  const events: ChurnEvent[] = [];
  for (const { entry, path } of timed) events.push(planEvent(entry, cluster, events, path));
  return behaviours.length === 0 ? { events } : { events, behaviours };
}

/** One warning for each kind of fault that the pod's probe cannot see. */
export function unseenFaults(plan: ChurnPlan, cluster: BuiltCluster): string[] {
  const warnings = new Set<string>();
  const look = (index: number, selection: ProbeSelection, mode: string): void => {
    const deployment = cluster.workload.deployments[index];
    if (mode === 'refuse') return;
    for (const [name, probe] of probesOf(deployment, selection)) {
      if (probe?.kind !== 'tcpSocket') continue;
      warnings.add(
        `The ${name}Probe of Deployment ${quote(fullName(deployment))} is a tcpSocket, which only asks for a connection: it does not see mode ${quote(mode)}.`,
      );
    }
  };
  for (const event of plan.events) {
    if ('probe' in event) look(event.deployment, event.probe, event.mode);
  }
  for (const { deployment, flapping, warmUpSeconds, warmUpMode } of plan.behaviours ?? []) {
    if (warmUpSeconds !== undefined) look(deployment, 'readiness', warmUpMode);
    if (flapping !== undefined) look(deployment, flapping.probe, flapping.mode);
  }
  return [...warnings];
}

function planEvent(
  entry: TimedChurnSpec,
  cluster: BuiltCluster,
  earlier: readonly ChurnEvent[],
  path: Path,
): ChurnEvent {
  const at = nanoseconds(entry.atSeconds);
  switch (entry.kind) {
    case 'proxy_restart':
      return { kind: 'proxy_restart', at, downNs: nanoseconds(entry.downSeconds) };
    case 'pod_churn': {
      const { perSecond, durationSeconds } = entry;
      requirePods(cluster, path);
      const durationNs = durationSeconds === undefined ? undefined : nanoseconds(durationSeconds);
      return { kind: 'pod_churn', at, perSecond, durationNs };
    }
    case 'sync_failure':
      return planSyncFailure(entry, cluster, at, path);
    case 'node_drain':
    case 'node_failure':
      return planNodeEvent(entry, cluster, at, path);
    case 'rolling_update':
    case 'scale': {
      const deployment = findDeployment(entry.deployment, cluster.workload.deployments, [...path, 'deployment']);
      if (entry.kind === 'rolling_update') return { kind: 'rolling_update', at, deployment };
      return { kind: 'scale', at, deployment, replicas: entry.replicas };
    }
    case 'probe_failure':
    case 'probe_flapping':
    case 'crash':
      return planPodEvent(entry, cluster, earlier, path);
  }
}

type PodEntry = Extract<TimedChurnSpec, { kind: 'probe_failure' | 'probe_flapping' | 'crash' }>;

function planPodEvent(entry: PodEntry, cluster: BuiltCluster, earlier: readonly ChurnEvent[], path: Path): ChurnEvent {
  const { deployments } = cluster.workload;
  const { pod } = entry;
  const deployment = findDeployment(entry.deployment, deployments, [...path, 'deployment']);
  if (entry.kind !== 'crash') requireProbe(deployments[deployment], entry.probe, [...path, 'probe']);
  const most = mostPods(deployment, cluster, earlier);
  if (pod >= most) {
    throw new InputError(
      `Deployment ${quote(fullName(deployments[deployment]))} has ${most} pods, numbered from 0; there is no pod ${pod}.`,
      { path: [...path, 'pod'] },
    );
  }
  const at = nanoseconds(entry.atSeconds);
  if (entry.kind === 'crash') return { kind: 'crash', at, deployment, pod };
  const { probe, mode } = entry;
  const fault = { at, deployment, pod, probe, mode, durationNs: nanoseconds(entry.durationSeconds) };
  if (entry.kind === 'probe_failure') return { kind: 'probe_failure', ...fault };
  const periodNs = nanoseconds(entry.periodSeconds);
  return { kind: 'probe_flapping', ...fault, periodNs, failingNs: Math.round(periodNs * entry.failingRatio) };
}

function planNodeEvent(
  entry: Extract<TimedChurnSpec, { kind: 'node_drain' | 'node_failure' }>,
  cluster: BuiltCluster,
  at: SimTime,
  path: Path,
): ChurnEvent {
  const names = cluster.workload.nodes.map((node) => node.name);
  const { node, durationSeconds } = entry;
  if (!names.includes(node)) {
    throw new InputError(
      `There is no node ${quote(node)}; the cluster has ${names.slice(0, 10).join(', ')}.${didYouMean(node, names)}`,
      { path: [...path, 'node'] },
    );
  }
  const durationNs = durationSeconds === undefined ? undefined : nanoseconds(durationSeconds);
  if (entry.kind === 'node_drain') {
    return { kind: 'node_drain', at, node, intervalNs: nanoseconds(entry.intervalSeconds), durationNs };
  }
  const isObserved = node === cluster.node.name || cluster.others.some((other) => other.node.name === node);
  if (isObserved && entry.what === 'machine') {
    throw new InputError(
      `The machine of ${quote(node)} cannot fail: it is an observed node, where the traffic comes from. Take another node, or observe another by "cluster.node".`,
      { path: [...path, 'node'] },
    );
  }
  const graceNs = nanoseconds(entry.graceSeconds);
  const evictionNs = nanoseconds(entry.evictionSeconds);
  return { kind: 'node_failure', at, node, what: entry.what, durationNs, graceNs, evictionNs };
}

function planSyncFailure(
  { node, durationSeconds }: Extract<TimedChurnSpec, { kind: 'sync_failure' }>,
  cluster: BuiltCluster,
  at: SimTime,
  path: Path,
): ChurnEvent {
  const observed = [cluster.node.name, ...cluster.others.map((other) => other.node.name)];
  if (node !== undefined && !observed.includes(node)) {
    const names = observed.slice(0, 10).join(', ');
    throw new InputError(
      `The kube-proxy of ${quote(node)} is not observed, so its syncs cannot fail; observed is ${names}.${didYouMean(node, observed)}`,
      { path: [...path, 'node'] },
    );
  }
  return { kind: 'sync_failure', at, durationNs: nanoseconds(durationSeconds), node };
}

function planPods(entry: PodsSpec, cluster: BuiltCluster, earlier: readonly PodBehaviour[], path: Path): PodBehaviour {
  const { deployments } = cluster.workload;
  const deployment = findDeployment(entry.deployment, deployments, [...path, 'deployment']);
  const target = deployments[deployment];
  if (earlier.some((behaviour) => behaviour.deployment === deployment)) {
    throw new InputError(
      `The pods of Deployment ${quote(fullName(target))} have a behaviour already; write one entry "pods" for it.`,
      { path: [...path, 'deployment'] },
    );
  }
  const { startSeconds, warmUpSeconds, warmUpMode, crashSeconds, onSigterm, shutdownSeconds, flapping } = entry;
  if (warmUpSeconds !== undefined) requireProbe(target, 'readiness', [...path, 'warm_up_s']);
  if (flapping !== undefined) requireProbe(target, flapping.probe, [...path, 'flapping']);
  return {
    deployment,
    warmUpMode,
    ...(startSeconds === undefined ? {} : { startSeconds: toDistribution(startSeconds) }),
    ...(warmUpSeconds === undefined ? {} : { warmUpSeconds: toDistribution(warmUpSeconds) }),
    ...(crashSeconds === undefined ? {} : { crashSeconds: toDistribution(crashSeconds) }),
    onSigterm,
    ...(shutdownSeconds === undefined ? {} : { shutdownSeconds: toDistribution(shutdownSeconds) }),
    ...(flapping === undefined
      ? {}
      : { flapping: { ...flapping, periodSeconds: toDistribution(flapping.periodSeconds) } }),
  };
}

function probesOf(deployment: Deployment, selection: ProbeSelection): [ProbeName, Probe | undefined][] {
  const all: [ProbeName, Probe | undefined][] = [
    ['readiness', deployment.readinessProbe],
    ['liveness', deployment.livenessProbe],
    ['startup', deployment.startupProbe],
  ];
  return all.filter(([name]) => selection === 'all' || selection === name);
}

function requireProbe(deployment: Deployment, selection: ProbeSelection, path: Path): void {
  if (probesOf(deployment, selection).some(([, probe]) => probe !== undefined)) return;
  const what = selection === 'all' ? 'probe' : `${selection}Probe`;
  throw new InputError(
    `Deployment ${quote(fullName(deployment))} has no ${what} that could fail; add one to its container.`,
    { path },
  );
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

function requirePods({ workload }: BuiltCluster, path: Path): void {
  if (workload.deployments.some((each) => each.replicas > 0)) return;
  const hint = 'give "cluster.manifests" some, or set "cluster.synthetic.deployments"';
  throw new InputError(`There are no pods of Deployments that could be deleted; ${hint}.`, { path });
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
      `There is no Deployment ${quote(name)}: the cluster has no Deployments; a synthetic one has them by "cluster.synthetic.deployments".`,
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
