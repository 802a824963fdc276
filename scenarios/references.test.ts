import { describe, expect, it } from 'vitest';
import { failure } from './load-fixtures.ts';
import { loadExperiment } from './load.ts';
import { loadReferences } from './references.ts';

const HEAD = `experiment: x
question: Why?
engines: [iptables, nftables]
cluster: { synthetic: { services: 10 } }
sweep: { services: [10, 100] }
`;
const POINT = 'source: s, label: chart, metric: m, unit: ms, value: 1.5, use: calibrate';

const load = (text: string) => loadExperiment('x.yaml', { readFile: () => text });

const refused = (entry: string): string => failure(() => load(`${HEAD}reference:\n  - { ${entry} }\n`));

describe('references of an experiment', () => {
  it('are read with their place', () => {
    const { references } = load(
      `${HEAD}reference:\n  - { ${POINT}, engine: nftables, at: { services: 50 }, note: n }\n`,
    );
    expect(references).toEqual([
      {
        source: 's',
        label: 'chart',
        metric: 'm',
        unit: 'ms',
        value: 1.5,
        readingError: undefined,
        use: 'calibrate',
        engine: 'nftables',
        at: { services: 50 },
        note: 'n',
        position: { file: 'x.yaml', line: 7, column: 5 },
      },
    ]);
  });

  it('change nothing of what results depend on', () => {
    const one = `${HEAD}reference:\n  - { ${POINT}, engine: nftables, at: { services: 50 } }\n`;
    expect(load(one).canonicalText).toBe(load(HEAD).canonicalText);
  });

  it('say where they stand', () => {
    expect(refused(`${POINT}, engine: iptables`)).toBe(
      'x.yaml:7:5: This reference must say where on the axis "services" it stands, such as "at: { services: 10 }".',
    );
    expect(refused(`${POINT}, at: { services: 1 }`)).toMatch(/^x\.yaml:7:5: This reference must say its "engine"/);
    expect(refused(`${POINT}, engine: ipvs, at: { services: 1 }`)).toMatch(/does not have the engine "ipvs"/);
    expect(refused(`${POINT}, engine: iptables, at: { services: 1, traffic.conections: 2 }`)).toMatch(
      /^x\.yaml:7:\d+: Unknown key "conections" in traffic\..*Did you mean "connections"\?$/,
    );
  });

  it('are refused where they are not what they should be', () => {
    const at = 'engine: iptables, at: { services: 1 }';
    expect(refused(`${POINT.replace('calibrate', 'fit')}, ${at}`)).toMatch(
      /"reference\.0\.use" must be one of calibrate, validate/,
    );
    expect(refused(`${POINT}, ${at}, valeu: 3`)).toMatch(/Unknown key "valeu" in reference\.0\..*Did you mean "value"/);
    expect(refused(`${POINT.replace('1.5', '-1')}, ${at}`)).toMatch(/"reference\.0\.value" must be above 0, got -1/);
    expect(refused(`${POINT.replace('chart', 'memory')}, ${at}`)).toMatch(/must not be calibrated with/);
  });
});

describe('a file of points', () => {
  const read = (text: string) => loadReferences('points.yaml', () => text);

  it('has the same form, and names its experiment and profile', () => {
    const [point] = read(
      `reference:\n  - { ${POINT}, experiment: x, profile: p, engine: ipvs, at: { services: 3 } }\n`,
    );
    expect(point).toMatchObject({ experiment: 'x', engine: 'ipvs', at: { services: 3, profile: 'p' } });
    expect(point?.position).toEqual({ file: 'points.yaml', line: 2, column: 5 });
  });

  it('is refused with the place of the mistake', () => {
    expect(failure(() => read('- 1\n'))).toMatch(/^points\.yaml:1:1: .* must be a mapping/);
    expect(failure(() => read('referenc: []\n'))).toMatch(/Unknown key "referenc".*Did you mean "reference"\?$/);
    expect(failure(() => read('reference: []\n'))).toMatch(/must have at least 1 entry/);
    expect(failure(() => read(`reference:\n  - { ${POINT}, profile: p, at: { profile: q } }\n`))).toMatch(
      /^points\.yaml:2:\d+: "profile" and "at\.profile" name different profiles\.$/,
    );
  });
});
