/** Keys of an experiment in place of what its Deployments say, and keys of how their processes end: good values, and mistakes with their place. */
import { describe, expect, it } from 'vitest';
import { fails, HEAD, load, MANIFEST } from './load-fixtures.ts';
import type { LoadedExperiment } from './load.ts';
import { cutOffHook } from './workload-overrides.ts';

const text = (cluster: string, others = '') =>
  `${HEAD}cluster: { manifests: [m.yaml]${cluster === '' ? '' : `, ${cluster}`} }\n${others}`;
const files = { 'm.yaml': MANIFEST };
const open = (cluster: string, others = ''): LoadedExperiment => load(text(cluster, others), {}, files);
const refused = (cluster: string, others = '', manifest = MANIFEST): string =>
  fails(text(cluster, others), {}, { 'm.yaml': manifest });

function deployments(loaded: LoadedExperiment, values = {}) {
  const { cluster } = loaded.resolvePoint(values);
  if (cluster.kind !== 'manifests') throw new Error('not of manifests');
  return { ...cluster.workload, state: cluster.state };
}

describe('keys in place of what Deployments say', () => {
  it('change nothing unless given', () => {
    const [web] = deployments(open('')).deployments;
    expect(web).toMatchObject({
      replicas: 2,
      preStopSleepSeconds: 0,
      terminationGracePeriodSeconds: 30,
      maxSurge: { value: 25, percent: true },
      readinessProbe: { kind: 'tcpSocket', port: 80, periodSeconds: 10 },
    });
  });

  it('reach every Deployment, its pods and the endpoints of its Services', () => {
    const keys = 'replicas: 7, pre_stop_s: 2.5, grace_s: 40, max_surge: 3, max_unavailable: "10%"';
    const { deployments: all, pods, state } = deployments(open(keys));
    expect(all).toMatchObject([
      {
        replicas: 7,
        preStopSleepSeconds: 2.5,
        terminationGracePeriodSeconds: 40,
        maxSurge: { value: 3, percent: false },
        maxUnavailable: { value: 10, percent: true },
      },
    ]);
    expect(pods).toHaveLength(7);
    expect(state.servicePorts[0].endpoints).toHaveLength(7);
    expect(deployments(open('replicas: 0')).pods).toEqual([]);
  });

  it('change the fields of a readiness probe that are given', () => {
    const probe = (keys: string) => deployments(open(`readiness_probe: { ${keys} }`)).deployments[0].readinessProbe;
    expect(probe('period_s: 3, failure_threshold: 5')).toEqual({
      kind: 'tcpSocket',
      path: '',
      port: 80,
      periodSeconds: 3,
      timeoutSeconds: 1,
      initialDelaySeconds: 0,
      successThreshold: 1,
      failureThreshold: 5,
    });
    expect(probe('kind: httpGet, timeout_s: 4')).toMatchObject({
      kind: 'httpGet',
      path: '/',
      port: 80,
      timeoutSeconds: 4,
    });
    expect(probe('kind: exec, initial_delay_s: 9, success_threshold: 2')).toMatchObject({
      kind: 'exec', port: 0, initialDelaySeconds: 9, successThreshold: 2,
    }); // prettier-ignore
  });

  it('may be swept, each value with the manifests read anew', () => {
    const sweep = 'sweep: { cluster.pre_stop_s: [0, 5], cluster.max_surge: ["50%", 1], cluster.replicas: [1, 4] }\n';
    const loaded = open('', sweep);
    const values = { 'cluster.pre_stop_s': 5, 'cluster.max_surge': '50%', 'cluster.replicas': 4 };
    const { deployments: all, pods } = deployments(loaded, values);
    expect(all[0]).toMatchObject({ preStopSleepSeconds: 5, maxSurge: { value: 50, percent: true } });
    expect(pods).toHaveLength(4);
  });

  it('leave the limits of Recreate and a Deployment without a probe alone', () => {
    const recreate = MANIFEST.replace('  replicas: 2\n', '  replicas: 2\n  strategy: { type: Recreate }\n');
    const second = MANIFEST.replace(/name: web/g, 'name: shop')
      .replace(/app: web/g, 'app: shop')
      .replace(/ {10}readinessProbe.*\n/, '');
    const { deployments: all } = deployments(
      load(text('max_surge: 2, readiness_probe: { period_s: 4 }'), {}, { 'm.yaml': `${recreate}---\n${second}` }),
    );
    expect(all.map(({ name, maxSurge }) => [name, maxSurge.value])).toEqual([
      ['shop', 2],
      ['web', 0],
    ]);
    expect(all.map(({ readinessProbe }) => readinessProbe?.periodSeconds)).toEqual([undefined, 4]);
  });

  it('refuse what no update could start with, at the key that says so', () => {
    expect(refused('max_surge: 0, max_unavailable: "0%"')).toBe(
      'e.yaml:3:44: maxSurge and maxUnavailable of Deployment "web" are both 0; no update could ever start.',
    );
    const none = MANIFEST.replace('  replicas: 2\n', '  replicas: 2\n  strategy: { rollingUpdate: { maxSurge: 0 } }\n');
    expect(refused('max_unavailable: 0', '', none)).toMatch(/^e\.yaml:3:50: maxSurge and maxUnavailable/);
  });

  it.each([
    ['pre_stop_s: -1', /^e\.yaml:3:45: "cluster\.pre_stop_s" must be at least 0, got -1/],
    ['grace_s: 2.5', /"cluster\.grace_s" must be an integer, got 2\.5/],
    ['max_surge: 1.5', /"cluster\.max_surge".*1\.5/],
    ['max_surge: "25"', /"cluster\.max_surge".*"25"/],
    ['max_unavailable: lots', /"cluster\.max_unavailable".*"lots"/],
    ['replicas: 10001', /"cluster\.replicas" must be at most 10000, got 10001/],
    ['readiness_probe: { period_s: 0 }', /"cluster\.readiness_probe\.period_s" must be at least 1, got 0/],
    ['readiness_probe: { kind: httpget }', /"cluster\.readiness_probe\.kind".*"httpget".*Did you mean "httpGet"/],
    ['readiness_probe: { failureThreshold: 1 }', /"failureThreshold".*"failure_threshold"/],
  ])('refuse %s', (keys, message) => {
    expect(refused(keys)).toMatch(message);
  });

  it('need Deployments: of manifests, with a probe, with pods that they make', () => {
    expect(fails(`${HEAD}cluster: { synthetic: { services: 3 }, pre_stop_s: 1 }\n`)).toBe(
      'e.yaml:3:52: "cluster.pre_stop_s" belongs to a cluster of manifests, not to a synthetic one.',
    );
    const bare = MANIFEST.replace(/ {10}readinessProbe.*\n/, '');
    expect(refused('readiness_probe: { period_s: 1 }', '', bare)).toMatch(
      /^e\.yaml:3:50: No Deployment of the manifests has a readinessProbe/,
    );
    const pod = `${MANIFEST}---\napiVersion: v1\nkind: Pod\nmetadata: { name: one, labels: { app: web } }\nspec: { nodeName: n, containers: [{ name: c }] }\nstatus: { podIP: 10.244.0.9 }\n`;
    expect(refused('replicas: 3', '', pod)).toMatch(
      /^e\.yaml:3:43: "cluster\.replicas" is for pods that Deployments make; the manifests have Pods/,
    );
  });
});

describe('a preStop hook that the grace period does not hold', () => {
  it('is warned of, for each value of a sweep', () => {
    const loaded = open('grace_s: 10', 'sweep: { cluster.pre_stop_s: [0, 9, 10, 60] }\n');
    const cut = (hook: number): string =>
      `Deployment web: its preStop hook of ${hook} s is not over within its grace period of 10 s: ` +
      'it is cut off, and its process has the least that there is from SIGTERM to SIGKILL, 2 s.';
    expect(loaded.warnings).toEqual([cut(10), cut(60)]);
    expect(open('pre_stop_s: 29').warnings).toEqual([]);
  });

  it('is left out where there is no grace period', () => {
    const [web] = deployments(open('pre_stop_s: 3, grace_s: 0')).deployments;
    expect(cutOffHook(web)).toMatch(/of 3 s .* of 0 s: it is left out\.$/);
  });
});

describe('how the processes of pods end', () => {
  const pods = (keys: string) => `churn:\n  - pods: { deployment: web, ${keys} }\n`;

  it('reaches the spec', () => {
    const entry = (keys: string) => open('', pods(keys)).resolvePoint({}).churn[0];
    expect(entry('start_s: 1')).toMatchObject({ onSigterm: 'close', shutdownSeconds: undefined });
    expect(entry('shutdown_s: 12')).toMatchObject({ shutdownSeconds: { kind: 'constant', value: 12 } });
    expect(entry('on_sigterm: ignore')).toMatchObject({ onSigterm: 'ignore' });
  });

  it('may be swept', () => {
    const loaded = open('', `${pods('shutdown_s: 1')}sweep: { churn.0.pods.shutdown_s: [1, 25] }\n`);
    expect(loaded.resolvePoint({ 'churn.0.pods.shutdown_s': 25 }).churn[0]).toMatchObject({
      shutdownSeconds: { value: 25 },
    });
  });

  it.each([
    [
      'on_sigterm: exit, shutdown_s: 1',
      /^e\.yaml:5:60: "churn\.0\.pods\.shutdown_s" is for on_sigterm close and lame_duck; .*"exit" ends at once\./,
    ],
    ['on_sigterm: ignore, shutdown_s: 1', /"ignore" ends by SIGKILL\./],
    ['on_sigterm: wait', /"churn\.0\.pods\.on_sigterm" must be one of close, lame_duck, ignore, exit, got "wait"/],
    ['shutdown_s: -1', /"churn\.0\.pods\.shutdown_s"/],
  ])('refuses %s', (keys, message) => {
    expect(refused('', pods(keys))).toMatch(message);
  });
});
