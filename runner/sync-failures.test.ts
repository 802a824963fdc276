/** Failing syncs in whole trials: what they leave in the row, and that the kernel of every mode holds a fresh sync's rules in the end. */
import { describe, expect, it } from 'vitest';
import { worldOf } from '../control/test-world.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engines/engine.ts';
import type { Engine, EngineName } from '../engines/engine.ts';
import { ENGINES } from '../engines/registry.ts';
import type { ChurnEvent } from '../model/churn.ts';
import type { Observation } from '../model/observation.ts';
import { NS_PER_S } from '../model/time.ts';
import { HEAD, load, MANIFEST } from '../scenarios/load-fixtures.ts';
import { Rng } from '../sim/rng.ts';
import { EventLog } from './event-log.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

/** No delays: a change is at the node in its instant. One of two pods stops listening at 10 s, and is gone 0.1 s later. */
function run(engine: EngineName, churn: string, version = ''): { row: Observation; events: string } {
  const text = `${HEAD}${version}cluster: { manifests: [web.yaml] }
engines: [${engine}]
propagation: { status_update_s: 0, endpoint_slice_s: 0, watch_s: 0, pod_start_s: 0 }
traffic: { connections: 100000, connections_per_s: 20, packets_per_connection: 2, packet_gap_s: 0.01 }
churn:
  - scale: { deployment: web, replicas: 1, at_s: 10 }
${churn}
duration_s: 60
`;
  const log = new EventLog();
  const [trial] = planSweep(load(text, {}, { 'web.yaml': MANIFEST })).trials;
  const { observation } = runTrial(trial, log);
  return { row: observation, events: log.text() };
}

const FAILURE = '  - sync_failure: { at_s: 9, duration_s: 10 }';

describe('a trial with failing syncs', () => {
  it.each(['iptables', 'ipvs', 'nftables'] as const)('%s: is behind until the retry', (engine) => {
    const well = run(engine, '').row;
    const { row, events } = run(engine, FAILURE);
    // 10 fails; the pod's end, a rest of 1 s later, fails; 30 s later it works. Each sync takes some milliseconds.
    expect(row).toMatchObject({ failed_syncs: 2, syncs: 2 });
    expect(row.rules_behind_s).toBeGreaterThan(31);
    expect(row.rules_behind_s).toBeLessThan(31.5);
    // 10, and the pod's end of 10.1 a rest later; ipvs once more unasked.
    expect(well).toMatchObject({ failed_syncs: 0, syncs: engine === 'ipvs' ? 4 : 3 });
    expect(well.rules_behind_s).toBeGreaterThan(0.9);
    expect(well.rules_behind_s).toBeLessThan(1);
    // Half of 20 connections a second go to nobody, for 31 s.
    expect(Number(row.failed_connections) - Number(well.failed_connections)).toBeGreaterThan(250);
    expect(row.programming_latency_p50_ms).toBeGreaterThan(31_000);
    expect(events.match(/ kube-proxy {2}.* failed after [\d.]+ ms; again after 30 s at the latest$/gm)).toHaveLength(2);
  });

  it('iptables: the old runner tries again after syncPeriod as well', () => {
    // 10 and, by the second token, 10.1 fail.
    const { row } = run('iptables', FAILURE, 'kubeProxy: v1.30\n');
    expect(row.failed_syncs).toBe(2);
    expect(row.rules_behind_s).toBeGreaterThan(30.1);
    expect(row.rules_behind_s).toBeLessThan(30.5);
  });

  it('all begin and end alike but for the failures', () => {
    const { row } = run('iptables', '  - sync_failure: { at_s: 30, duration_s: 20 }');
    expect({ ...row, seed: 0 }).toEqual({ ...run('iptables', '').row, seed: 0 });
  });
});

/** The kernel's rules, in no order: chains and servers stand in the order of their coming. */
const rulesOf = (engine: Engine): string[] => engine.dump('kernel').split('\n').sort();

describe('a kernel that has missed syncs', () => {
  const second = NS_PER_S;
  const churn: ChurnEvent[] = [
    { kind: 'sync_failure', at: 5 * second, durationNs: 30 * second, node: undefined },
    { kind: 'rolling_update', at: 10 * second, deployment: 0 },
    { kind: 'sync_failure', at: 40 * second, durationNs: 10 * second, node: undefined },
    { kind: 'scale', at: 45 * second, deployment: 0, replicas: 5 },
    { kind: 'sync_failure', at: 60 * second, durationNs: 40 * second, node: undefined },
  ];

  it.each(['iptables', 'ipvs', 'nftables', 'userspace'] as const)('%s: has the rules of a fresh sync', (mode) => {
    const world = worldOf({ churn, timing: { carriesTraffic: mode === 'userspace' } });
    world.simulation.runUntil(131 * second);
    const node = { name: 'node-1', addresses: [0xc0a80001] };
    const make = (): Engine => ENGINES[mode]({ node, options: DEFAULT_ENGINE_OPTIONS, rng: new Rng(1) });
    const engine = make();
    for (const { at, request } of world.committed) {
      if (request.kind === 'full') engine.sync(request.state, at);
      else engine.apply(request.delta, at);
    }
    const fresh = make();
    const last = world.committed[world.committed.length - 1];
    fresh.sync(last.request.state, last.at);
    // nftables mode deletes a chain that is no longer used at a sync more than a second later.
    for (const each of [engine, fresh]) each.apply({ upserted: [], removedIds: [] }, 140 * second);
    if (mode !== 'userspace') expect(world.failed.length).toBeGreaterThan(2);
    expect(last.request.state.servicePorts[0].endpoints.filter((each) => each.ready)).toHaveLength(5);
    expect(rulesOf(engine)).toEqual(rulesOf(fresh));
  });
});
