/** Whole trials of what Services have beside cluster IPs: affinity, Local policies, source ranges, versions. Each engine as far as it goes. */
import { describe, expect, it } from 'vitest';
import { ENGINES } from '../engines/registry.ts';
import type { EngineName } from '../engines/engine.ts';
import { HEAD, load } from '../scenarios/load-fixtures.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

const BASE = `traffic: { connections: 2000, packets_per_connection: 2 }
seed: 3
`;

interface Question {
  readonly synthetic: string;
  readonly traffic?: string;
  readonly others?: string;
}

/** What userspace mode knows nothing of: such a trial fails, and its reason says what. */
const NOT_IN_USERSPACE: readonly string[] = ['source ranges', 'traffic policy Local'];

/** One trial's observation; undefined where the engine's refusal of `feature` was checked instead. */
function observe(engine: EngineName, feature: string, { synthetic, traffic = '', others = '' }: Question) {
  const version = engine === 'userspace' && !others.includes('kubeProxy') ? 'kubeProxy: v1.25\n' : '';
  const text = `${HEAD}cluster: { synthetic: { services: 4, endpoints_per_service: 6, ${synthetic} } }\nengines: [${engine}]\n${version}${others}${BASE.replace('traffic: {', `traffic: { ${traffic}`)}`;
  const [trial] = planSweep(load(text)).trials;
  if (engine !== 'userspace' || !NOT_IN_USERSPACE.includes(feature)) return runTrial(trial).observation;
  expect(() => runTrial(trial)).toThrow(new RegExp(`does not model.*${feature}`));
  return undefined;
}

const engines = Object.keys(ENGINES) as EngineName[];

describe.each(engines)('%s', (engine) => {
  it('keeps a client to its endpoint under session affinity, and to none without', () => {
    const traffic = 'load_balancer_ratio: 1, external_clients: 20,';
    const sticky = observe(engine, 'session affinity', {
      synthetic: 'load_balancer_ratio: 1, session_affinity_s: 10800',
      traffic,
    });
    expect(sticky?.['returning_connections']).toBeGreaterThan(1500);
    expect(sticky?.['returning_connections_same_endpoint']).toBe(sticky?.['returning_connections']);
    const short = observe(engine, 'session affinity', {
      synthetic: 'load_balancer_ratio: 1, session_affinity_s: 1',
      traffic: `${traffic} connections_per_s: 0.05,`,
    });
    const share = Number(short?.['returning_connections_same_endpoint']) / Number(short?.['returning_connections']);
    expect(share).toBeLessThan(0.5);
  });

  it('refuses sources outside the ranges of a load balancer', () => {
    const found = observe(engine, 'source ranges', {
      synthetic: 'load_balancer_ratio: 1, source_ranges: [203.0.113.0/24]',
      traffic: 'load_balancer_ratio: 1,',
    });
    if (found === undefined) return;
    // Half of the clients are in 198.51.100.0/24.
    const refused = Number(found['failed_connections_source_range']);
    expect(refused).toBeGreaterThan(850);
    expect(refused).toBeLessThan(1150);
    expect(found['failed_connections']).toBe(refused);
  });

  it('drops what a Local policy has no endpoint for on this node', () => {
    // Six endpoints a service on ten nodes in turn: those of the third service miss the first node.
    const found = observe(engine, 'traffic policy Local', {
      synthetic: 'nodes: 10, load_balancer_ratio: 1, external_traffic_policy: local',
      traffic: 'load_balancer_ratio: 1,',
    });
    if (found === undefined) return;
    const dropped = Number(found['failed_connections_no_local_endpoints']);
    // IPVS mode falls back to all endpoints (behaviour of pkg/proxy/ipvs/proxier.go syncEndpoint).
    if (engine === 'ipvs') expect(dropped).toBe(0);
    else expect(dropped).toBeGreaterThan(300);
    expect(found['failed_connections']).toBe(dropped);
  });

  it('drops what the connection-tracking table has no room for', () => {
    const found = observe(engine, 'the limit of the table', {
      synthetic: 'session_affinity_s: 60',
      others: 'proxy: { conntrack_max: 100 }\n',
    });
    expect(Number(found?.['failed_connections_conntrack_full'])).toBe(Number(found?.['failed_connections']));
    expect(Number(found?.['failed_connections'])).toBeGreaterThan(1000);
  });
});
