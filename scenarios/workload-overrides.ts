/** What an experiment puts in place of what the Deployments of its manifests say, so that it can be swept. */
import type { Deployment, IntOrPercent, Probe } from '../model/workload.ts';
import { InputError, quote } from './errors.ts';
import type { ExperimentInput } from './schema.ts';

type ProbeOverrides = Partial<
  Pick<
    Probe,
    'kind' | 'periodSeconds' | 'timeoutSeconds' | 'initialDelaySeconds' | 'successThreshold' | 'failureThreshold'
  >
>;

/** Absent: as the manifests have it. */
export interface WorkloadOverrides {
  readonly replicas?: number;
  readonly preStopSleepSeconds?: number;
  readonly terminationGracePeriodSeconds?: number;
  readonly maxSurge?: IntOrPercent;
  readonly maxUnavailable?: IntOrPercent;
  /** Of Deployments that have a readiness probe. */
  readonly readinessProbe?: ProbeOverrides;
}

/** Keys of `cluster` that are overrides. */
export const OVERRIDE_KEYS = [
  'replicas', 'pre_stop_s', 'grace_s', 'max_surge', 'max_unavailable', 'readiness_probe',
] as const; // prettier-ignore

export function toOverrides(cluster: ExperimentInput['cluster']): WorkloadOverrides {
  const { replicas, pre_stop_s, grace_s, max_surge, max_unavailable, readiness_probe: probe } = cluster;
  return given<WorkloadOverrides>({
    replicas,
    preStopSleepSeconds: pre_stop_s,
    terminationGracePeriodSeconds: grace_s,
    maxSurge: toIntOrPercent(max_surge),
    maxUnavailable: toIntOrPercent(max_unavailable),
    readinessProbe:
      probe === undefined
        ? undefined
        : given<ProbeOverrides>({
            kind: probe.kind,
            periodSeconds: probe.period_s,
            timeoutSeconds: probe.timeout_s,
            initialDelaySeconds: probe.initial_delay_s,
            successThreshold: probe.success_threshold,
            failureThreshold: probe.failure_threshold,
          }),
  });
}

export function toIntOrPercent(value: number | string): IntOrPercent;
export function toIntOrPercent(value: number | string | undefined): IntOrPercent | undefined;
export function toIntOrPercent(value: number | string | undefined): IntOrPercent | undefined {
  if (value === undefined) return undefined;
  return typeof value === 'number' ? { value, percent: false } : { value: Number(value.slice(0, -1)), percent: true };
}

/** The Deployments with the overrides in place. Throws an InputError at a key of `cluster`. */
export function overrideDeployments(deployments: readonly Deployment[], overrides: WorkloadOverrides): Deployment[] {
  const { readinessProbe, maxSurge, maxUnavailable, ...others } = overrides;
  if (readinessProbe !== undefined && deployments.every((each) => each.readinessProbe === undefined)) {
    throw new InputError(
      'No Deployment of the manifests has a readinessProbe; "cluster.readiness_probe" changes one.',
      {
        path: ['cluster', 'readiness_probe'],
      },
    );
  }
  const limits = given<Pick<WorkloadOverrides, 'maxSurge' | 'maxUnavailable'>>({ maxSurge, maxUnavailable });
  return deployments.map((deployment) => {
    const changed: Deployment = {
      ...deployment,
      ...others,
      ...(deployment.strategy === 'Recreate' ? {} : limits),
      ...(readinessProbe === undefined || deployment.readinessProbe === undefined
        ? {}
        : { readinessProbe: overrideProbe(deployment.readinessProbe, readinessProbe) }),
    };
    if (changed.maxSurge.value === 0 && changed.maxUnavailable.value === 0) {
      const key = maxSurge === undefined ? 'max_unavailable' : 'max_surge';
      throw new InputError(
        `maxSurge and maxUnavailable of Deployment ${quote(deployment.name)} are both 0; no update could ever start.`,
        { path: ['cluster', key] },
      );
    }
    return changed;
  });
}

/** What a preStop hook that the grace period does not hold comes to; undefined when it does. */
export function cutOffHook(deployment: Deployment): string | undefined {
  const { name, preStopSleepSeconds: hook, terminationGracePeriodSeconds: grace } = deployment;
  if (hook === 0 || hook < grace) return undefined;
  const what =
    grace === 0
      ? 'it is left out'
      : 'it is cut off, and its process has the least that there is from SIGTERM to SIGKILL, 2 s';
  return `Deployment ${name}: its preStop hook of ${hook} s is not over within its grace period of ${grace} s: ${what}.`;
}

/** Only httpGet has a path, and exec has no port. */
function overrideProbe(probe: Probe, overrides: ProbeOverrides): Probe {
  const kind = overrides.kind ?? probe.kind;
  return {
    ...probe,
    ...overrides,
    path: kind === 'httpGet' ? probe.path || '/' : '',
    port: kind === 'exec' ? 0 : probe.port,
  };
}

/** Without the keys that are undefined. */
function given<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}
