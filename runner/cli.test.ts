import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseObservations } from '../reports/csv.ts';
import { parseManifest } from '../reports/manifest.ts';
import { projectRoot } from './host.ts';

/** The compiled program, as a user runs it: `npm test` builds it first. */
const main = join(projectRoot(), 'dist', 'runner', 'main.js');
const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-cli-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const TINY = `
experiment: tiny
question: Does the whole machine run?
engines: [iptables, ipvs]
replications: 2
seed: 7
profile: linux-6.18-native
cluster: { synthetic: { services: 20, endpoints_per_service: 3, node_port_ratio: 0.5, empty_ratio: 0.1 } }
sweep: { services: [5, 40] }
traffic: { connections: 400, connections_per_s: 1000, packets_per_connection: 6, popularity: { zipf: 1.1 }, node_port_ratio: 0.2, host_client_ratio: 0.1 }
`;

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function chainwalk(...args: string[]): Run {
  const run = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: scratch, timeout: 60_000 });
  return { status: run.status, stdout: run.stdout, stderr: run.stderr };
}

function scenario(name: string, text: string): string {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
}

function results(out: string, experiment = 'tiny'): { observations: string; summary: string } {
  const folder = join(scratch, out, experiment);
  return {
    observations: readFileSync(join(folder, 'observations.csv'), 'utf8'),
    summary: readFileSync(join(folder, 'summary.csv'), 'utf8'),
  };
}

describe('run', () => {
  it('prints an observation, or with --timeline what the control plane did', () => {
    const churn = join(projectRoot(), 'scenarios', 'experiments', 'alpaca-probe-failure.yaml');
    const plain = chainwalk('run', churn, '--quick', '--engine', 'ipvs');
    expect(plain.stdout).toMatch(/^availability_ratio {2,}1$/m);
    const { status, stdout } = chainwalk('run', churn, '--quick', '--engine', 'ipvs', '--timeline');
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ +0\.000000 s {2}endpoints {3}default\/alpaca-service {2}(10\.244\.\d\.2:8080,?){3}$/);
    expect(
      lines.every((line) => /^ +\d+\.\d{6} s {2}(endpoints|slices|kube-proxy|probe|kubelet|cluster) +\S/.test(line)),
    ).toBe(true);
    expect(stdout).toMatch(/15\.000000 s {2}probe {7}readiness probe of pod alpaca-prod-\S+ begins to fail/);
  });
});

describe('sweep', () => {
  const tiny = scenario('tiny.yaml', TINY);

  it('gives the same bytes on 1 and on 2 workers and in a second run; another seed differs', () => {
    for (const [out, ...flags] of [
      ['one', '--workers', '1'],
      ['two', '--workers', '2'],
      ['again', '--workers', '2'],
      ['other', '--workers', '1', '--seed', '8'],
    ] as const) {
      const run = chainwalk('sweep', tiny, '--no-report', '--out', out, ...flags);
      expect(run.stderr).not.toMatch(/error/);
      expect(run.status).toBe(0);
    }
    expect(results('two')).toEqual(results('one'));
    expect(results('again')).toEqual(results('one'));
    const digests = (out: string): unknown[] =>
      parseObservations(results(out).observations, out).map((row) => row['digest']);
    digests('other').forEach((digest, i) => expect(digest).not.toBe(digests('one')[i]));
  });

  it('gives the same results by the literal walk as by the index', () => {
    const run = chainwalk(
      'sweep',
      tiny,
      '--no-report',
      '--out',
      'literal',
      '--set',
      'proxy.evaluator=literal',
      '--workers',
      '1',
    );
    expect(run.status).toBe(0);
    expect(results('literal')).toEqual(results('one'));
  });

  it('writes every required column, and a report over all experiments', () => {
    const run = chainwalk('sweep', tiny, '--out', 'full');
    expect(run.status).toBe(0);
    expect(run.stdout).toContain(join('full', 'report.html'));
    const rows = parseObservations(results('full').observations, 'full');
    expect(rows).toHaveLength(8);
    for (const row of rows) {
      expect(row['status']).toBe('ok');
      expect(row['connections']).toBe(400);
      expect(row['packets']).toBeGreaterThan(1800);
      expect(row['cost_first_packet_mean_ns']).toBeGreaterThan(1000);
    }
    // What the report says of how right it is comes from beside the profile.
    const manifest = parseManifest(readFileSync(join(scratch, 'full', 'tiny', 'manifest.json'), 'utf8'), 'manifest');
    expect(manifest.validation?.profile).toBe(manifest.profile.name);
    expect(manifest.profile.ranges?.map(({ engine }) => engine)).toContain('ipvs');
    for (const file of ['report.html', 'tiny/report.html', 'tiny/manifest.json']) {
      expect(existsSync(join(scratch, 'full', file)), file).toBe(true);
    }
  });

  it('keeps a failed trial as a row with its reason, goes on, and exits 3', () => {
    // Packets of one connection that are 11 days apart: those trials do not end within 30 simulated days.
    const run = chainwalk(
      ...['sweep', tiny, '--no-report', '--out', 'failed', '--workers', '2'],
      ...['--set', 'sweep.traffic.packet_gap_s=[0.001, 1000000]', '--set', 'sweep.services=[5]'],
    );
    expect(run.status).toBe(3);
    const rows = parseObservations(results('failed').observations, 'failed');
    expect(rows.map((row) => row['status'])).toEqual(['ok', 'ok', 'ok', 'ok', 'failed', 'failed', 'failed', 'failed']);
    expect(String(rows[4]?.['failure_reason'])).toMatch(/30 simulated days/);
    expect(rows[4]?.['traffic.packet_gap_s']).toBe(1000000);
    expect(run.stderr).toContain('Failed: tiny');
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('leaves valid CSV of what finished after %s', async (signal) => {
    const out = `killed-${signal}`;
    const csv = join(scratch, out, 'tiny', 'observations.csv');
    const child = spawn(
      process.execPath,
      [
        main,
        'sweep',
        tiny,
        '--no-report',
        '--out',
        out,
        '--workers',
        '2',
        '--set',
        'replications=400',
        '--set',
        'traffic.connections=2000',
      ],
      { cwd: scratch, stdio: 'ignore' },
    );
    const exit = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    const lines = (): number => (existsSync(csv) ? readFileSync(csv, 'utf8').split('\n').length - 1 : 0);
    while (lines() < 6 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill(signal);
    const code = await exit;
    const rows = parseObservations(readFileSync(csv, 'utf8'), csv);
    expect(rows.length).toBeGreaterThanOrEqual(5);
    expect(rows.length).toBeLessThan(1600);
    expect(rows.every((row) => row['status'] === 'ok')).toBe(true);
    if (signal === 'SIGINT') {
      expect(code).toBe(130);
      const manifest = JSON.parse(readFileSync(join(scratch, out, 'tiny', 'manifest.json'), 'utf8')) as {
        status: string;
      };
      expect(manifest.status).toBe('interrupted');
      expect(existsSync(join(scratch, out, 'tiny', 'summary.csv'))).toBe(true);
    }
  });
});

describe('bad input', () => {
  const manifest = (text: string): string => scenario('cluster.yaml', text);
  const withManifest = `
experiment: objects
question: Are objects checked?
engines: [iptables]
cluster: { manifests: [cluster.yaml] }
traffic: { connections: 10, connections_per_s: 10 }
`;
  const service = (name: string, extra: string): string =>
    `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec:\n  type: NodePort\n  selector: { app: x }\n${extra}`;

  const scenarios: readonly [name: string, text: string, place: RegExp, message: RegExp][] = [
    [
      'unknown key',
      TINY.replace('connections_per_s', 'conections_per_s'),
      /:10:\d+: /,
      /conections_per_s.*Did you mean/i,
    ],
    ['wrong type', TINY.replace('services: 20', 'services: many'), /:8:\d+: /, /many/],
    ['negative number', TINY.replace('services: 20', 'services: -3'), /:8:\d+: /, /-3/],
    ['absurd number', TINY.replace('replications: 2', 'replications: 1e12'), /:5:\d+: /, /1e12|1000000000000/],
    ['malformed YAML', `${TINY}\n  - [`, /:\d+:\d+: /, /YAML|indent|flow/i],
    ['unknown engine', TINY.replace('ipvs]', 'ipsv]'), /:4:\d+: /, /ipsv/],
    ['unknown profile', TINY.replace('linux-6.18-native', 'linux-9'), /:7:\d+: /, /linux-9/],
  ];

  it.each(scenarios)('%s: file, line and column, exit 2, nothing written', (name, text, place, message) => {
    const file = scenario(`bad-${name.replaceAll(' ', '-')}.yaml`, text);
    const run = chainwalk('sweep', file, '--out', 'bad');
    expect(run.stderr).toMatch(message);
    expect(run.stderr).toContain(file.split('/').at(-1));
    expect(run.stderr).toMatch(place);
    expect(run.stderr.trim().split('\n')).toHaveLength(1);
    expect(run.status).toBe(2);
    expect(existsSync(join(scratch, 'bad'))).toBe(false);
  });

  it('missing and binary files', () => {
    const missing = chainwalk('sweep', 'nowhere.yaml', '--out', 'bad');
    expect(missing.stderr).toMatch(/nowhere\.yaml/);
    expect(missing.status).toBe(2);
    const binary = join(scratch, 'binary.yaml');
    writeFileSync(binary, Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0, 1, 2, 0xff]));
    const refused = chainwalk('sweep', binary, '--out', 'bad');
    expect(refused.stderr).toMatch(/binary/i);
    expect(refused.status).toBe(2);
    expect(existsSync(join(scratch, 'bad'))).toBe(false);
  });

  it('the same nodePort and protocol twice; a bad cluster IP', () => {
    const experiment = scenario('objects.yaml', withManifest);
    manifest(
      [
        service('a', '  ports: [{ port: 80, nodePort: 30080 }]'),
        service('b', '  ports: [{ port: 80, nodePort: 30080 }]'),
      ].join('\n---\n'),
    );
    const twice = chainwalk('sweep', experiment, '--out', 'bad');
    expect(twice.status).toBe(2);
    expect(twice.stderr).toMatch(/cluster\.yaml:\d+:\d+: .*30080/);
    manifest(service('a', '  clusterIP: 10.96.0.300\n  ports: [{ port: 80 }]'));
    const ip = chainwalk('sweep', experiment, '--out', 'bad');
    expect(ip.status).toBe(2);
    expect(ip.stderr).toMatch(/cluster\.yaml:7:\d+: .*10\.96\.0\.300/);
    expect(existsSync(join(scratch, 'bad'))).toBe(false);
  });

  it('a Service whose selector matches nothing is legal: a warning that names it', () => {
    const experiment = scenario('objects.yaml', withManifest);
    manifest(service('lonely', '  ports: [{ port: 80 }]'));
    const run = chainwalk('sweep', experiment, '--no-report', '--out', 'lonely');
    expect(run.status).toBe(0);
    expect(run.stderr).toMatch(/warning: .*lonely/);
    const row = parseObservations(results('lonely', 'objects').observations, 'lonely')[0];
    expect(row?.['failed_connections_rejected']).toBe(10);
  });

  it('an output folder that cannot be written, wrong flag values, unknown flags', () => {
    writeFileSync(join(scratch, 'a-file'), '');
    const tiny = join(scratch, 'tiny.yaml');
    for (const [args, message] of [
      [['sweep', tiny, '--out', 'a-file'], /a-file/],
      [['sweep', tiny, '--out', '/proc/chainwalk'], /\/proc\/chainwalk/],
      [['sweep', tiny, '--workers', 'many', '--out', 'bad'], /--workers expects an integer/],
      [['sweep', tiny, '--seed', '-1', '--out', 'bad'], /--seed expects an integer/],
      [['sweep', tiny, '--set', 'replications', '--out', 'bad'], /--set/],
      [['sweep', tiny, '--set', 'replicatoins=3', '--out', 'bad'], /replicatoins/],
      [['sweep', tiny, '--frobnicate'], /frobnicate/],
      [['run', tiny, '--engine', 'ebpf'], /ebpf/],
      [['bench', '--size', 'huge'], /huge/],
      [['report', 'nowhere'], /nowhere/],
      [['sweep', tiny, '--set', 'timeline_s=1e-9', '--set', 'duration_s=10', '--out', 'bad'], /too long/],
      [['sweep', tiny, '--set', 'traffic.connections_per_s=1e-9', '--out', 'bad'], /days/],
      [['gate', '--update'], /--reason/],
      [['gate', '--baselines', 'nowhere'], /no baselines/],
      [['gate', '--update', '--reason', 'x', '--baselines', '/proc/chainwalk'], /\/proc\/chainwalk/],
    ] as const) {
      const run = chainwalk(...args);
      expect(run.stderr, args.join(' ')).toMatch(message);
      expect(run.status, args.join(' ')).toBe(2);
    }
    expect(existsSync(join(scratch, 'bad'))).toBe(false);
  });
});
