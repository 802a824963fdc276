import { describe, expect, it } from 'vitest';
import { buildCluster } from './cluster-builder.ts';
import { planChurn, unseenFaults } from './churn.ts';
import { InputError } from './errors.ts';
import { CLUSTER, HEAD, load } from './load-fixtures.ts';
import { readManifests } from './manifests.ts';
import type { ChurnSpec } from './spec.ts';

const deployment = (namespace: string, name: string) => `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  replicas: 2
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec: { containers: [{ readinessProbe: { tcpSocket: { port: 80 } } }] }
`;

const text = deployment('blue', 'web') + deployment('green', 'web') + deployment('green', 'shop');
const read = readManifests([{ path: 'm.yaml', text }]);
const cluster = buildCluster({ kind: 'manifests', files: [], ...read, extraServices: 0, extraEndpointsPerService: 0 });

const failing: ChurnSpec = {
  kind: 'probe_failure',
  deployment: 'shop',
  pod: 1,
  probe: 'readiness',
  mode: 'hang',
  atSeconds: 2.5,
  durationSeconds: 0.1,
};

const pods: ChurnSpec = {
  kind: 'pods',
  deployment: 'shop',
  startSeconds: undefined,
  warmUpSeconds: undefined,
  warmUpMode: 'error',
  crashSeconds: undefined,
  onSigterm: 'close',
  shutdownSeconds: undefined,
  flapping: undefined,
};

function refused(spec: ChurnSpec, on = cluster): InputError {
  try {
    planChurn([spec], on);
  } catch (error) {
    if (error instanceof InputError) return error;
    throw error;
  }
  throw new Error('Nothing was refused');
}

describe('planChurn', () => {
  it('resolves names, makes nanoseconds, and orders by time', () => {
    const plan = planChurn(
      [
        { kind: 'scale', deployment: 'green/web', replicas: 9, atSeconds: 3 },
        failing,
        { kind: 'rolling_update', deployment: 'blue/web', atSeconds: 2.5 },
        { kind: 'rolling_update', deployment: 'shop', atSeconds: 0 },
      ],
      cluster,
    );
    expect(plan.events).toEqual([
      { kind: 'rolling_update', at: 0, deployment: 1 },
      {
        kind: 'probe_failure',
        at: 2_500_000_000,
        deployment: 1,
        pod: 1,
        probe: 'readiness',
        mode: 'hang',
        durationNs: 100_000_000,
      },
      { kind: 'rolling_update', at: 2_500_000_000, deployment: 0 },
      { kind: 'scale', at: 3_000_000_000, deployment: 2, replicas: 9 },
    ]);
  });

  it('refuses what the cluster does not have, and says where', () => {
    const unknown = refused({ kind: 'rolling_update', deployment: 'shpo', atSeconds: 0 });
    expect(unknown.message).toBe(
      'There is no Deployment "shpo"; the cluster has blue/web, green/shop, green/web. Did you mean "shop"?',
    );
    expect(unknown.path).toEqual(['churn', 0, 'rolling_update', 'deployment']);
    expect(refused({ kind: 'rolling_update', deployment: 'web', atSeconds: 0 }).message).toBe(
      '"web" is the name of several Deployments (blue/web, green/web); write namespace/name.',
    );
    expect(refused({ ...failing, probe: 'liveness' }).path).toEqual(['churn', 0, 'probe_failure', 'probe']);
    expect(refused({ ...failing, pod: 2 }).message).toMatch(/has 2 pods, numbered from 0; there is no pod 2/);
  });

  it('knows the pods that an earlier scale brings', () => {
    const scale: ChurnSpec = { kind: 'scale', deployment: 'shop', replicas: 5, atSeconds: 1 };
    expect(planChurn([{ ...failing, pod: 4 }, scale], cluster).events.length).toBe(2);
    expect(() =>
      planChurn(
        [
          { ...failing, pod: 4 },
          { ...scale, atSeconds: 9 },
        ],
        cluster,
      ),
    ).toThrow(/there is no pod 4/);
  });

  it('resolves faults, crashes and whole nodes', () => {
    const fault = {
      deployment: 'shop',
      pod: 0,
      probe: 'all',
      mode: 'refuse',
      atSeconds: 1,
      durationSeconds: 9,
    } as const;
    const plan = planChurn(
      [
        { kind: 'probe_flapping', ...fault, periodSeconds: 3, failingRatio: 0.25 },
        { kind: 'crash', deployment: 'shop', pod: 1, atSeconds: 2 },
        { kind: 'node_drain', node: 'node-2', atSeconds: 3, intervalSeconds: 0.5, durationSeconds: undefined },
        {
          kind: 'node_failure', node: 'node-3', what: 'machine', atSeconds: 4, durationSeconds: 60, graceSeconds: 40, evictionSeconds: 300,
        },
      ], // prettier-ignore
      cluster,
    );
    expect(plan).not.toHaveProperty('behaviours');
    expect(plan.events).toMatchObject([
      { kind: 'probe_flapping', at: 1e9, deployment: 1, probe: 'all', durationNs: 9e9, periodNs: 3e9, failingNs: 75e7 },
      { kind: 'crash', at: 2e9, deployment: 1, pod: 1 },
      { kind: 'node_drain', at: 3e9, node: 'node-2', intervalNs: 5e8, durationNs: undefined },
      { kind: 'node_failure', at: 4e9, node: 'node-3', durationNs: 60e9, graceNs: 40e9, evictionNs: 300e9 },
    ]);
  });

  it('takes restarts and failing syncs of kube-proxy, also of a cluster made up from numbers', () => {
    const kubeProxy: ChurnSpec[] = [
      { kind: 'sync_failure', atSeconds: 2, durationSeconds: 0.5, node: undefined },
      { kind: 'sync_failure', atSeconds: 3, durationSeconds: 1, node: 'node-1' },
      { kind: 'proxy_restart', atSeconds: 1, downSeconds: 2 },
    ];
    expect(planChurn(kubeProxy, cluster).events).toEqual([
      { kind: 'proxy_restart', at: 1e9, downNs: 2e9 },
      { kind: 'sync_failure', at: 2e9, durationNs: 5e8, node: undefined },
      { kind: 'sync_failure', at: 3e9, durationNs: 1e9, node: 'node-1' },
    ]);
    const { churn } = load(
      `${HEAD}${CLUSTER}churn:\n  - sync_failure: { at_s: 1, duration_s: 5 }\n  - proxy_restart: { at_s: 2 }\n`,
    ).resolvePoint({});
    expect(churn).toEqual([
      { kind: 'sync_failure', atSeconds: 1, durationSeconds: 5, node: undefined },
      { kind: 'proxy_restart', atSeconds: 2, downSeconds: 1 },
    ]);
  });

  it('makes the behaviour of pods', () => {
    const [behaviour] =
      planChurn([{ ...pods, warmUpSeconds: { kind: 'constant', value: 3 } }], cluster).behaviours ?? [];
    expect(behaviour).toMatchObject({ deployment: 1, warmUpMode: 'error', warmUpSeconds: { mean: 3 } });
    expect(behaviour).not.toHaveProperty('crashSeconds');
    const ending: ChurnSpec = { ...pods, onSigterm: 'close', shutdownSeconds: { kind: 'exponential', mean: 4 } };
    expect(planChurn([ending], cluster).behaviours?.[0]).toMatchObject({
      onSigterm: 'close',
      shutdownSeconds: { mean: 4 },
    });
    const flapping = {
      probe: 'readiness',
      mode: 'hang',
      periodSeconds: { kind: 'exponential', mean: 7 },
      failingRatio: 0.1,
    } as const;
    expect(planChurn([{ ...pods, flapping }], cluster).behaviours?.[0]?.flapping).toMatchObject({
      mode: 'hang',
      periodSeconds: { mean: 7 },
      failingRatio: 0.1,
    });
  });

  it('warns of faults that a tcpSocket probe does not see', () => {
    const warned = (mode: 'error' | 'refuse') => unseenFaults(planChurn([{ ...failing, mode }], cluster), cluster);
    expect(warned('refuse')).toEqual([]);
    expect(warned('error')).toEqual([
      'The readinessProbe of Deployment "green/shop" is a tcpSocket, which only asks for a connection: it does not see mode "error".',
    ]);
    const warm = planChurn([{ ...pods, warmUpSeconds: { kind: 'constant', value: 3 } }], cluster);
    expect(unseenFaults(warm, cluster)).toHaveLength(1);
  });

  it('refuses churn of a cluster without Deployments', () => {
    const none = { ...cluster, workload: { ...cluster.workload, deployments: [] } };
    expect(refused(failing, none).message).toMatch(/a synthetic one has them by "cluster.synthetic.deployments"/);
  });
});
