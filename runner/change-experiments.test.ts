/** What the experiments about reuse of ports, affinity, schedulers and node ports are there to show, in trials small enough for a test. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Observation } from '../model/observation.ts';
import { loadExperiment } from '../scenarios/load.ts';
import { projectRoot } from './host.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

type Rows = ReadonlyMap<string, Observation>;

/** Rows by engine and the values of the axes, with blanks between. */
function rowsOf(name: string, ...set: string[]): Rows {
  const file = join(projectRoot(), 'scenarios', 'experiments', `${name}.yaml`);
  const { trials } = planSweep(loadExperiment(file, { set: ['replications=1', ...set] }));
  return new Map(
    trials.map((trial) => [[trial.engine, ...Object.values(trial.values)].join(' '), runTrial(trial).observation]),
  );
}

function of(rows: Rows, key: string): Record<string, number> {
  const row = rows.get(key);
  if (row === undefined) throw new Error(`No row "${key}"; there are ${[...rows.keys()].join(', ')}`);
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)]));
}

describe('connection-reuse', () => {
  let rows: Rows;
  beforeAll(() => {
    const traffic = ['connections=2000', 'connections_per_s=50', 'client_ports=30'].map((each) => `traffic.${each}`);
    rows = rowsOf('connection-reuse', ...traffic, 'duration_s=50');
  });

  it('mode 1 delays each reused port by a second before Linux 5.9, and not from there on', () => {
    // 120 ports are used once without a delay.
    expect(of(rows, 'ipvs 5.4 1').first_byte_delay_p99_ms).toBe(1000);
    expect(of(rows, 'ipvs 5.4 1').retransmitted_syns).toBeGreaterThan(1500);
    for (const kernel of ['5.10', '6.18']) {
      expect(of(rows, `ipvs ${kernel} 1`)).toMatchObject({ retransmitted_syns: 0, failed_connections: 0 });
    }
  });

  it('mode 0 holds ports to pods that have gone before Linux 5.16, and not from there on', () => {
    for (const kernel of ['5.4', '5.10']) {
      expect(of(rows, `ipvs ${kernel} 0`).availability_ratio).toBeLessThan(0.75);
      expect(of(rows, `ipvs ${kernel} 0`).timed_out_connections).toBeGreaterThan(200);
    }
    expect(of(rows, 'ipvs 6.18 0')).toMatchObject({ retransmitted_syns: 0, failed_connections: 0 });
  });
});

describe('session-affinity', () => {
  let rows: Rows;
  beforeAll(() => {
    rows = rowsOf('session-affinity');
  });
  const stays = (key: string): number =>
    of(rows, key).returning_connections_same_endpoint / of(rows, key).returning_connections;

  it.each(['iptables', 'ipvs', 'nftables'])('%s: clients stay as long as the time-out says', (engine) => {
    expect(stays(`${engine} web`)).toBeLessThan(0.13);
    // 1 - exp(-1) come back within 10 s; IPVS' template stays with a connection in TIME_WAIT.
    if (engine === 'ipvs') expect(stays('ipvs web-10s')).toBeGreaterThan(0.85);
    else expect(Math.abs(stays(`${engine} web-10s`) - 0.632)).toBeLessThan(0.06);
    // 200 of 2200 lose their pod to the update.
    expect(stays(`${engine} web-3h`)).toBeGreaterThan(0.85);
    expect(stays(`${engine} web-3h`)).toBeLessThan(0.95);
    expect(of(rows, `${engine} web-3h`).failed_connections).toBe(0);
  });

  it('costs iptables mode a rule for each pod and new client, IPVS mode a template, nftables mode the least', () => {
    expect(of(rows, 'iptables web').recent_tests_total).toBe(0);
    // At least one a connection, and the stamp.
    expect(of(rows, 'iptables web-3h').recent_tests_total).toBeGreaterThan(2 * 2400);
    expect(of(rows, 'ipvs web-3h').ipvs_connection_inserts_total).toBeGreaterThanOrEqual(2400 + 200);
    const extra = (engine: string): number =>
      of(rows, `${engine} web-3h`).cost_first_packet_mean_ns - of(rows, `${engine} web`).cost_first_packet_mean_ns;
    expect(extra('iptables')).toBeGreaterThan(extra('nftables'));
  });
});

describe('schedulers', () => {
  let rows: Rows;
  beforeAll(() => {
    rows = rowsOf('schedulers', 'sweep.endpoints_per_service=[10]', 'traffic.connections=2000');
  });
  const row = (scheduler: string) => of(rows, `ipvs ${scheduler} 10`);

  it('rr counts connections, lc what is open', () => {
    expect(row('rr').load_variation_ratio).toBe(0);
    expect(row('lc').load_variation_ratio).toBeGreaterThan(0);
    expect(row('lc').load_packets_variation_ratio).toBeLessThan(row('rr').load_packets_variation_ratio);
    for (const [scheduler, same] of [['wrr', 'rr'], ['wlc', 'lc']]) {
      expect(row(scheduler).load_packets_variation_ratio).toBe(row(same).load_packets_variation_ratio);
    } // prettier-ignore
  });

  it('dh and fo send everything to one pod, sh a client to a pod', () => {
    expect([row('dh').load_max_over_mean_ratio, row('fo').load_max_over_mean_ratio]).toEqual([10, 10]);
    expect(row('sh').load_variation_ratio).toBeGreaterThan(row('mh').load_variation_ratio);
  });

  it('ovf has no server left beyond two connections a pod', () => {
    expect(row('ovf').failed_connections_rejected).toBe(row('ovf').failed_connections);
    expect(row('ovf').failed_connections).toBeGreaterThan(1000);
  });
});

describe('nodeport', () => {
  let rows: Rows;
  beforeAll(() => {
    rows = rowsOf('nodeport', 'sweep.services=[1, 100]', 'traffic.connections=300');
  });
  const row = (engine: string, services: number, policy: string, endpoints: number) =>
    of(rows, `${engine} ${services} ${policy} ${endpoints}`);

  it('policy cluster translates the source, too; local keeps to this node', () => {
    for (const engine of ['iptables', 'ipvs', 'nftables']) {
      expect(row(engine, 1, 'cluster', 6).nat_setups_total).toBe(600);
      expect(row(engine, 1, 'local', 6).nat_setups_total).toBe(300);
      expect(row(engine, 1, 'local', 6).load_max_over_mean_ratio).toBeGreaterThanOrEqual(3);
    }
  });

  it('policy local drops where this node has no pod, but not in IPVS mode', () => {
    for (const engine of ['iptables', 'nftables']) {
      expect(row(engine, 100, 'local', 2).failed_connections_no_local_endpoints).toBeGreaterThan(50);
    }
    expect(row('ipvs', 100, 'local', 2).failed_connections).toBe(0);
  });

  it('grows with services in iptables mode alone', () => {
    const growth = (engine: string): number =>
      row(engine, 100, 'cluster', 2).cost_first_packet_mean_ns - row(engine, 1, 'cluster', 2).cost_first_packet_mean_ns;
    expect(growth('iptables')).toBeGreaterThan(300);
    expect(Math.max(growth('ipvs'), growth('nftables'))).toBeLessThan(50);
  });
});
