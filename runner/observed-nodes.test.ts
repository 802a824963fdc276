/** Trials of several observed nodes: each has rules, a kube-proxy, clients and a phase of its own. */
import { describe, expect, it } from 'vitest';
import { HEAD, load, MANIFEST } from '../scenarios/load-fixtures.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial, type TrialResult } from './trial.ts';

const DELAYS = `propagation: { status_update_s: 0.01, endpoint_slice_s: 0.02, watch_s: 0.005, pod_start_s: 1 }\n`;

function run(cluster: string, rest: string, engine = 'iptables'): TrialResult {
  const text = `${HEAD}cluster: ${cluster}\nengines: [${engine}]\n${DELAYS}${rest}`;
  const [trial] = planSweep(load(text, {}, { 'web.yaml': MANIFEST })).trials;
  return runTrial(trial);
}

const SCALE = `churn: [{ scale: { deployment: web, replicas: 1, at_s: 5 } }]\nduration_s: 40\n`;
const TRAFFIC = `traffic: { connections: 301, connections_per_s: 30, packets_per_connection: 4 }\n`;

describe('several observed nodes', () => {
  it('share the traffic out, and count every node', () => {
    const one = run('{ manifests: [web.yaml] }', SCALE + TRAFFIC).observation;
    const three = run('{ manifests: [web.yaml], observed_nodes: 3 }', SCALE + TRAFFIC).observation;
    expect([one['connections'], three['connections']]).toEqual([301, 301]);
    const quiet = run('{ manifests: [web.yaml], observed_nodes: 3 }', TRAFFIC).observation;
    expect(quiet).toMatchObject({ connections: 301, packets: 1204, failed_connections: 0 });
    expect([one['nodes'], three['nodes']]).toEqual([3, 3]);
    // Means over the nodes, which all get the same two writes.
    expect([one['syncs'], three['syncs']]).toEqual([3, 3]);
    expect(three['digest']).not.toBe(one['digest']);
  });

  it('have one latency each where delays are constant, whether observed or not', () => {
    for (const observed of [1, 2, 3]) {
      const { observation } = run(`{ manifests: [web.yaml], observed_nodes: ${observed} }`, SCALE);
      // 20 ms for the slices, 5 ms for the watch, then the sync.
      const p50 = Number(observation['programming_latency_p50_ms']);
      expect(p50).toBeGreaterThan(25);
      expect(p50).toBeLessThan(25 + 20);
      for (const column of ['over_nodes_p50', 'over_nodes_p99', 'last_node_p50', 'slowest_node_p99']) {
        // The others' syncs take as long as the last sync foretells, which a millisecond of a small table may be off.
        expect(Math.abs(Number(observation[`programming_latency_${column}_ms`]) - p50)).toBeLessThan(2);
      }
    }
  });

  it('differ in their watches', () => {
    const slow = SCALE.replace('duration_s', 'traffic: { connections: 1 }\nduration_s');
    const text = slow + 'proxy: { min_sync_period_s: 0 }\n';
    const spread = run('{ manifests: [web.yaml], observed_nodes: 2 }', text);
    const watch = text.replace('churn', 'propagation: { watch_s: { distribution: exponential, mean: 2 } }\nchurn');
    const wide = load(
      `${HEAD}cluster: { manifests: [web.yaml], observed_nodes: 2 }\nengines: [iptables]\n${watch}`,
      {},
      { 'web.yaml': MANIFEST },
    );
    const { observation } = runTrial(planSweep(wide).trials[0]);
    const last = Number(observation['programming_latency_last_node_p50_ms']);
    expect(last).toBeGreaterThan(Number(observation['programming_latency_p50_ms']) - 1e-6);
    expect(last).toBeGreaterThan(Number(spread.observation['programming_latency_last_node_p50_ms']) + 100);
  });

  it('play a synthetic cluster with Deployments, the same way twice', () => {
    const cluster =
      '{ synthetic: { services: 20, endpoints_per_service: 3, nodes: 7, deployments: true }, observed_nodes: 4 }';
    const rest =
      'churn: [{ pod_churn: { per_s: 3 } }, { rolling_update: { deployment: svc-2, at_s: 4 } }]\nduration_s: 20\ntimeline_s: 1\n';
    for (const engine of ['iptables', 'ipvs', 'nftables']) {
      const [a, b] = [run(cluster, rest + TRAFFIC, engine), run(cluster, rest + TRAFFIC, engine)];
      expect(a).toEqual(b);
      expect(a.observation).toMatchObject({ status: 'ok', nodes: 7, connections: 301 });
      expect(Number(a.observation['endpoint_slice_writes'])).toBeGreaterThan(60);
    }
  });

  it('refuses more than there are', () => {
    expect(() => run('{ manifests: [web.yaml], observed_nodes: 4 }', '')).toThrow(
      /"cluster.observed_nodes" must be at most the number of nodes, which is 3, got 4/,
    );
    expect(() => run('{ synthetic: { services: 1 } }', 'churn: [{ pod_churn: { per_s: 3 } }]\n')).toThrow(
      /Churn needs Deployments; this cluster is synthetic and has them by/,
    );
  });
});
