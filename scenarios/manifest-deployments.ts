/** Deployments with the API server's defaults filled in: strategy, probes, termination. */
import type { Deployment, Probe } from '../model/workload.ts';
import { quote } from './errors.ts';
import { selectorMatches } from './labels.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { Container, DeploymentObject, ProbeObject } from './manifest-schema.ts';
import type { Path } from './source.ts';
import { toIntOrPercent } from './workload-overrides.ts';

export interface CompleteDeployment {
  readonly object: KubernetesObject<DeploymentObject>;
  readonly model: Deployment;
}

export function completeDeployment(object: KubernetesObject<DeploymentObject>, warnings: string[]): CompleteDeployment {
  const { spec } = object.data;
  const name = objectName(object);
  const labels = spec.template.metadata?.labels ?? {};
  const { matchLabels, matchExpressions } = spec.selector;
  if (Object.keys(matchLabels ?? {}).length === 0 && (matchExpressions ?? []).length === 0) {
    throw object.error(`The selector of Deployment ${name} is empty; it would select every pod.`, ['spec', 'selector']);
  }
  if (!selectorMatches(spec.selector, labels)) {
    throw object.error(`The selector of Deployment ${name} does not match the labels of its own template.`, [
      'spec',
      'selector',
    ]);
  }
  const { containers } = spec.template.spec;
  const readiness = firstProbe(object, containers, 'readinessProbe', warnings);
  const liveness = firstProbe(object, containers, 'livenessProbe', warnings);
  const startup = firstProbe(object, containers, 'startupProbe', warnings);
  if (spec.template.spec.hostNetwork === true) {
    warnings.push(`Deployment ${name}: hostNetwork is not modelled; its pods get addresses of their own.`);
  }
  return {
    object,
    model: {
      namespace: object.namespace,
      name: object.name,
      replicas: spec.replicas ?? 1,
      labels,
      ...strategy(object),
      minReadySeconds: spec.minReadySeconds ?? 0,
      progressDeadlineSeconds: progressDeadline(object),
      terminationGracePeriodSeconds: spec.template.spec.terminationGracePeriodSeconds ?? 30,
      preStopSleepSeconds: preStopSleep(object, containers, warnings),
      ...(readiness === undefined ? {} : { readinessProbe: readiness }),
      ...(liveness === undefined ? {} : { livenessProbe: liveness }),
      ...(startup === undefined ? {} : { startupProbe: startup }),
    },
  };
}

function strategy(
  object: KubernetesObject<DeploymentObject>,
): Pick<Deployment, 'strategy' | 'maxSurge' | 'maxUnavailable'> {
  const { strategy: given } = object.data.spec;
  if (given?.type === 'Recreate') {
    const all = { value: 100, percent: true };
    return { strategy: 'Recreate', maxSurge: { value: 0, percent: false }, maxUnavailable: all };
  }
  const maxSurge = toIntOrPercent(given?.rollingUpdate?.maxSurge ?? '25%');
  const maxUnavailable = toIntOrPercent(given?.rollingUpdate?.maxUnavailable ?? '25%');
  if (maxSurge.value === 0 && maxUnavailable.value === 0) {
    throw object.error(
      `maxSurge and maxUnavailable of Deployment ${objectName(object)} are both 0; no update could ever start.`,
      ['spec', 'strategy', 'rollingUpdate'],
    );
  }
  return { strategy: 'RollingUpdate', maxSurge, maxUnavailable };
}

/** The API server refuses a deadline that a pod could not keep [pkg/apis/apps/validation ValidateDeploymentSpec]. */
function progressDeadline(object: KubernetesObject<DeploymentObject>): number {
  const { progressDeadlineSeconds: given, minReadySeconds } = object.data.spec;
  const deadline = given ?? 600;
  if (deadline <= (minReadySeconds ?? 0)) {
    throw object.error(
      `progressDeadlineSeconds of Deployment ${objectName(object)} must be above its minReadySeconds (${minReadySeconds ?? 0}), got ${deadline}.`,
      ['spec', typeof given === 'number' ? 'progressDeadlineSeconds' : 'minReadySeconds'],
    );
  }
  return deadline;
}

type ProbeKey = 'readinessProbe' | 'livenessProbe' | 'startupProbe';

function firstProbe(
  object: KubernetesObject<DeploymentObject>,
  containers: readonly Container[],
  key: ProbeKey,
  warnings: string[],
): Probe | undefined {
  const withProbe = containers.flatMap((container, i) => (container[key] ? [i] : []));
  const index = withProbe[0];
  if (index === undefined) return undefined;
  if (withProbe.length > 1)
    warnings.push(`Deployment ${objectName(object)}: only the first of its ${withProbe.length} ${key}s is modelled.`);
  const given = containers[index][key] as ProbeObject;
  const path = ['spec', 'template', 'spec', 'containers', index, key];
  if (key !== 'readinessProbe' && (given.successThreshold ?? 0) > 1) {
    throw object.error(
      `successThreshold of a ${key} of Deployment ${objectName(object)} must be 1, got ${given.successThreshold}.`,
      [...path, 'successThreshold'],
    );
  }
  return completeProbe(object, given, containers, path);
}

/** Defaults of the API server (0 means unset there, too). */
function completeProbe(
  object: KubernetesObject<DeploymentObject>,
  probe: ProbeObject,
  containers: readonly Container[],
  path: Path,
): Probe {
  const handlers = (['httpGet', 'tcpSocket', 'exec', 'grpc'] as const).filter((kind) => probe[kind]);
  const kind = handlers[0];
  if (kind === undefined || handlers.length > 1) {
    throw object.error(
      `A probe of Deployment ${objectName(object)} must have exactly one of httpGet, tcpSocket, exec, grpc, got ${handlers.length}.`,
      path,
    );
  }
  const reference = kind === 'exec' ? 0 : (probe[kind]?.port ?? 0);
  return {
    kind,
    path: kind === 'httpGet' ? (probe.httpGet?.path ?? '/') : '',
    port:
      typeof reference === 'number'
        ? reference
        : namedProbePort(object, reference, containers, [...path, kind, 'port']),
    periodSeconds: probe.periodSeconds || 10,
    timeoutSeconds: probe.timeoutSeconds || 1,
    initialDelaySeconds: probe.initialDelaySeconds ?? 0,
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
  };
}

function namedProbePort(
  object: KubernetesObject<DeploymentObject>,
  name: string,
  containers: readonly Container[],
  path: Path,
): number {
  for (const container of containers) {
    for (const port of container.ports ?? []) if (port.name === name) return port.containerPort;
  }
  throw object.error(
    `The probe's port ${quote(name)} is no port name of a container of Deployment ${objectName(object)}.`,
    path,
  );
}

/** Seconds of a preStop hook that sleeps, the longest of all containers. */
function preStopSleep(
  object: KubernetesObject<DeploymentObject>,
  containers: readonly Container[],
  warnings: string[],
): number {
  let longest = 0;
  for (const container of containers) {
    const hook = container.lifecycle?.preStop;
    if (!hook) continue;
    const sleep = hook.sleep?.seconds ?? sleepOf(hook.exec?.command ?? []);
    if (sleep === undefined) {
      warnings.push(
        `Deployment ${objectName(object)}: how long its preStop hook takes is not known; it is taken as 0 s.`,
      );
    } else longest = Math.max(longest, sleep);
  }
  return longest;
}

/** `[sleep, "5"]` and `[sh, -c, "sleep 5"]`. */
function sleepOf(command: readonly string[]): number | undefined {
  const match = /(?:^|\s)sleep (\d+(?:\.\d+)?)(s|m)?$/.exec(command.join(' ').trim());
  if (match === null) return undefined;
  return Number(match[1]) * (match[2] === 'm' ? 60 : 1);
}
