import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listExperiments, loadExperiment, scenariosFolder } from './load.ts';
import { CLUSTER, failure, fails, HEAD, load, MANIFEST } from './load-fixtures.ts';

describe('a good experiment', () => {
  it('becomes typed data with defaults', () => {
    const loaded = load(
      `${HEAD}${CLUSTER}sweep:\n  services: [10, 20]\n  proxy.min_sync_period_s: "0..1:lin2"\nseed: 7\n`,
    );
    expect(loaded).toMatchObject({
      name: 'trial',
      question: 'Does it load?',
      isDefault: false,
      seed: 7,
      replications: 1,
      file: 'e.yaml',
    });
    expect(loaded.axes).toEqual([
      { name: 'services', values: [10, 20] },
      { name: 'proxy.min_sync_period_s', values: [0, 1] },
    ]);
    const point = loaded.resolvePoint({ services: 20, 'proxy.min_sync_period_s': 0 });
    expect(point.cluster).toMatchObject({ kind: 'synthetic', services: 20, endpointsPerService: 2 });
    expect(point.proxy.minSyncPeriodSeconds).toBe(0);
    expect(point.traffic.packetsPerConnection).toEqual({ kind: 'constant', value: 10 });
    expect(point.profile.name).toBe('linux-6.18-native');
    expect(structuredClone(point)).toEqual(point);
  });

  it('may leave to the sweep what has no default', () => {
    const loaded = load(`${HEAD}cluster:\n  synthetic: {}\nsweep:\n  services: "1..3"\n`);
    expect(loaded.resolvePoint({ services: 3 }).cluster).toMatchObject({ services: 3 });
  });

  it('reads manifests, once, relative to its own place', () => {
    let reads = 0;
    const readFile = (path: string): string => {
      if (path.endsWith('web.yaml')) reads++;
      return path.endsWith('web.yaml')
        ? MANIFEST
        : `${HEAD}cluster: { manifests: [../web.yaml] }\nsweep: { services: [0, 5] }\ntraffic: { popularity: { one: web } }\nchurn:\n  - probe_failure: { deployment: web, at_s: 1, duration_s: 2 }\n`;
    };
    const loaded = loadExperiment('experiments/e.yaml', { readFile });
    const point = loaded.resolvePoint({ services: 5 });
    expect(point.cluster).toMatchObject({ kind: 'manifests', extraServices: 5, extraEndpointsPerService: 2 });
    expect(point.churn).toEqual([
      {
        kind: 'probe_failure',
        deployment: 'web',
        pod: 0,
        probe: 'readiness',
        mode: 'error',
        atSeconds: 1,
        durationSeconds: 2,
      },
    ]);
    expect(reads).toBe(1);
  });

  it('has one canonical text whatever the order of keys, and another once a value changes', () => {
    const a = load(`${HEAD}${CLUSTER}seed: 3\n`).canonicalText;
    const b = load(`seed: 3\n${CLUSTER}${HEAD}`).canonicalText;
    expect(a).toBe(b);
    expect(load(`${HEAD}${CLUSTER}`, { seed: 3 }).canonicalText).toBe(a);
    expect(load(`${HEAD}${CLUSTER}seed: 4\n`).canonicalText).not.toBe(a);
  });

  it('changes its canonical text with the text of a manifest', () => {
    const text = `${HEAD}cluster: { manifests: [web.yaml] }\n`;
    const a = load(text, {}, { 'web.yaml': MANIFEST }).canonicalText;
    const b = load(text, {}, { 'web.yaml': MANIFEST.replace('replicas: 2', 'replicas: 3') }).canonicalText;
    expect(a).not.toBe(b);
  });
});

describe('--set, --seed and --quick', () => {
  const text = `${HEAD}${CLUSTER}sweep:\n  services: [10, 20]\nquick:\n  overrides:\n    services: [1, 2, 3]\n    traffic.connections: 5\n`;

  it('sets a value anywhere, and the values of an axis where the path is swept', () => {
    expect(load(text, { set: ['traffic.connections=77'] }).resolvePoint({}).traffic.connections).toBe(77);
    expect(load(text, { set: ['services=4'] }).axes).toEqual([{ name: 'services', values: [4] }]);
    expect(load(text, { set: ['cluster.synthetic.services=1..3'] }).axes[0]?.values).toEqual([1, 2, 3]);
    expect(load(text, { set: ['sweep.proxy.min_sync_period_s=[0, 1]'] }).axes[1]).toEqual({
      name: 'proxy.min_sync_period_s',
      values: [0, 1],
    });
  });

  it('puts --quick under --set', () => {
    const quick = load(text, { quick: true, set: ['traffic.connections=6'] });
    expect(quick.axes).toEqual([{ name: 'services', values: [1, 2, 3] }]);
    expect(quick.resolvePoint({ services: 1 }).traffic.connections).toBe(6);
  });

  it('takes the seed from the command', () => {
    expect(load(text, { seed: 99 }).seed).toBe(99);
    expect(fails(text, { seed: -1 })).toBe('--seed: The seed must be an integer from 0 to 9007199254740991, got -1.');
    expect(fails(text, { seed: Number.NaN })).toMatch(/^--seed: .* got NaN\.$/);
  });

  it.each([
    ['services=abc', /^--set services=abc: "cluster\.synthetic\.services" must be a number, got "abc"\.$/],
    ['services=-1', /^--set services=-1: .* must be at least 1, got -1\.$/],
    ['servces=5', /^--set servces=5: Unknown key "servces" in the experiment\. .* Did you mean "services"\?$/],
    ['traffic.conections=5', /^--set traffic\.conections=5: Unknown key "conections" in traffic\. .*"connections"\?$/],
    ['replications', /^--set: "replications" is not an assignment; expected path=value/],
    ['replications=', /^--set replications=: "replications" is given no value/],
    [
      'traffic.connections.deep=1',
      /^--set .*: "traffic\.connections\.deep" leads nowhere|must be a number|must be an integer/,
    ],
    ['a..b=1', /^--set a\.\.b=1: "a\.\.b" is not a path/],
    ['__proto__.x=1', /^--set __proto__\.x=1: "__proto__\.x" is not a path/],
    [
      'engines=[iptbles]',
      /^--set engines=\[iptbles\]: "engines\.0" must be one of iptables, ipvs, nftables, userspace, got "iptbles"\. Did you mean "iptables"\?$/,
    ],
    ['services=[1, ', /^--set services=\[1, : The value of "services" is not understood/],
  ])('refuses --set %s', (assignment, message) => {
    expect(fails(text, { set: [assignment] })).toMatch(message);
  });
});

describe('files that are no experiment', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
    writeFileSync(join(folder, 'service-scaling.yaml'), `${HEAD}${CLUSTER}`);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('names a missing file, and the one that may be meant', () => {
    const file = join(folder, 'service-scalng.yaml');
    expect(failure(() => loadExperiment(file))).toBe(`${file}: No such file. Did you mean "service-scaling.yaml"?`);
  });

  it('names a directory', () => {
    mkdirSync(join(folder, 'deep'));
    expect(failure(() => loadExperiment(join(folder, 'deep')))).toMatch(
      /deep: This is a directory; expected a file\.$/,
    );
  });

  it.each([
    ['empty', '', 'e.yaml: The file is empty.'],
    ['blank', ' \n\n', 'e.yaml: The file is empty.'],
    ['only comments', '# nothing\n', 'e.yaml:1:1: The file holds comments only; expected a mapping.'],
    ['a scalar', 'hello\n', 'e.yaml:1:1: An experiment must be a mapping of keys to values.'],
    ['a list', '- a\n', 'e.yaml:1:1: An experiment must be a mapping of keys to values.'],
    ['two documents', `${HEAD}---\nx: 1\n`, 'e.yaml:4:1: The file holds more than one YAML document; expected one.'],
    [
      'binary text',
      'experiment: \0x\n',
      'e.yaml:1:13: The file is binary (it holds a NUL byte); expected YAML or JSON text.',
    ],
  ])('refuses %s', (_, text, message) => {
    expect(fails(text)).toBe(message);
  });

  it('refuses bytes that are binary or not UTF-8', () => {
    expect(fails(Uint8Array.from([0x61, 0x0a, 0x00, 0x61]))).toBe(
      'e.yaml:2:1: The file is binary (it holds a NUL byte); expected YAML or JSON text.',
    );
    expect(fails(Uint8Array.from([0x61, 0xff, 0xfe]))).toBe(
      'e.yaml: The file is not UTF-8 text; expected YAML or JSON.',
    );
  });

  it.each([
    ['a tab', 'experiment: x\ncluster:\n\tsynthetic: 1\n', /^e\.yaml:3:\d+: A tab indents this line/],
    ['an open bracket', 'engines: [iptables\nseed: 1\n', /^e\.yaml:\d+:\d+: Malformed YAML: /],
    ['a duplicate key', `${HEAD}seed: 1\nseed: 2\n`, /^e\.yaml:4:1: The same key stands twice in this mapping\.$/],
    ['an unknown tag', `${HEAD}seed: !secret 1\n`, /^e\.yaml:3:7: Unknown YAML tag/],
    ['an unknown alias', `${HEAD}seed: *one\n`, /^e\.yaml:\d+:\d+: Malformed YAML: Unresolved alias/],
  ])('refuses %s', (_, text, message) => {
    expect(fails(text)).toMatch(message);
  });

  it('refuses an alias bomb and bottomless nesting at once', () => {
    const levels = ['a: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]'];
    for (let i = 1; i < 12; i++) levels.push(`b${i}: &a${i} [${`*a${i - 1}, `.repeat(9)}]`);
    expect(fails(`${HEAD}${levels.join('\n')}\n`)).toMatch(
      /^e\.yaml:1:1: The aliases of this document expand to too many nodes/,
    );
    expect(fails(`x: ${'['.repeat(100_000)}`)).toMatch(/^e\.yaml.*: Malformed YAML/);
  });
});

describe('the committed experiments', () => {
  const folder = join(scenariosFolder(), 'experiments');

  it('load, plain and quick, at every point', () => {
    const all = listExperiments(folder);
    expect(all.filter((each) => each.isDefault).map((each) => each.name)).toEqual(
      expect.arrayContaining(['alpaca-probe-failure', 'alpaca-rolling-update', 'rule-scaling', 'service-scaling']),
    );
    for (const { file } of all) {
      for (const quick of [false, true]) {
        const loaded = loadExperiment(file, { quick });
        expect(loaded.warnings).toEqual([]);
        for (const value of loaded.axes[0]?.values ?? []) loaded.resolvePoint({ [loaded.axes[0]?.name]: value });
      }
    }
  });
});

describe('listExperiments', () => {
  it('refuses two experiments of one name, a broken head and a missing folder', () => {
    const folder = mkdtempSync(join(tmpdir(), 'chainwalk-'));
    try {
      writeFileSync(join(folder, 'a.yaml'), `${HEAD}${CLUSTER}`);
      expect(listExperiments(folder)).toEqual([
        { file: join(folder, 'a.yaml'), name: 'trial', question: 'Does it load?', isDefault: false },
      ]);
      writeFileSync(join(folder, 'b.yaml'), `${HEAD}${CLUSTER}`);
      expect(failure(() => listExperiments(folder))).toMatch(
        /b\.yaml:1:13: The experiment "trial" is also in .*a\.yaml; names must differ\.$/,
      );
      writeFileSync(join(folder, 'b.yaml'), 'experiment: 3\n');
      expect(failure(() => listExperiments(folder))).toMatch(/b\.yaml:1:13: "experiment" must be text, got 3\.$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(failure(() => listExperiments(folder))).toMatch(/No such folder of experiments\.$/);
  });
});
