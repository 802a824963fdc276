import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { experimentJsonSchema, experimentSchema } from './schema.ts';

const golden = join(import.meta.dirname, 'experiment.schema.json');
const minimal = { experiment: 'x', question: 'Why?', cluster: { synthetic: { services: 1 } } };

describe('experimentSchema', () => {
  it('fills in defaults at every level', () => {
    const full = experimentSchema.parse(minimal);
    expect(full.engines).toEqual(['iptables', 'ipvs', 'nftables']);
    expect(full.traffic).toMatchObject({ connections: 1000, popularity: 'uniform', packet_gap_s: 0.001 });
    expect(full.proxy).toMatchObject({
      sync_period_s: 30,
      conntrack_max: 131_072,
      detect_local: 'cidr',
      ipvs_scheduler: 'rr',
      evaluator: 'indexed',
    });
    // kube-proxy's own defaults of these depend on its version and mode.
    expect(full.proxy.min_sync_period_s).toBeUndefined();
    expect(full.proxy.node_port_addresses).toBeUndefined();
    expect(full.propagation.watch_s).toMatchObject({ distribution: 'lognormal' });
    expect(full.propagation.api_call_s).toBe(0);
    const churn = [{ pods: { deployment: 'a', start_s: 1 } }, { node_failure: { node: 'n', at_s: 1 } }];
    const [pods, failure] = experimentSchema.parse({ ...minimal, churn }).churn;
    expect(pods.pods).toEqual({ deployment: 'a', start_s: 1, warm_up_mode: 'error', on_sigterm: 'close' });
    expect(failure.node_failure).toMatchObject({ what: 'machine', grace_s: 40, eviction_s: 300 });
    expect(full.cluster.synthetic).toMatchObject({ endpoints_per_service: 2, ports: 1, protocol: 'tcp', nodes: 3 });
  });

  it('is strict at every level', () => {
    expect(experimentSchema.safeParse({ ...minimal, extra: 1 }).success).toBe(false);
    expect(experimentSchema.safeParse({ ...minimal, proxy: { extra: 1 } }).success).toBe(false);
    expect(
      experimentSchema.safeParse({ ...minimal, churn: [{ scale: { deployment: 'a', replicas: 1, at_s: 1, x: 1 } }] })
        .success,
    ).toBe(false);
  });
});

describe('experiment.schema.json', () => {
  it('is current (UPDATE_GOLDEN=1 refreshes it)', () => {
    const text = `${JSON.stringify(experimentJsonSchema(), null, 2)}\n`;
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
    expect(existsSync(golden) ? readFileSync(golden, 'utf8') : '').toBe(text);
  });

  it('asks for what has no default and nothing else', () => {
    expect(experimentJsonSchema()).toMatchObject({
      required: ['experiment', 'question', 'cluster'],
      additionalProperties: false,
    });
  });
});
