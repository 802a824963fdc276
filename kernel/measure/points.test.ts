import { describe, expect, it } from 'vitest';
import { directPoints, endpointPoints, nativeEffort, positionPoints } from './points.ts';
import { ruleset, withoutComments } from './rulesets.ts';

const SIZE = { engine: 'ipt-legacy', services: 300, endpoints: 1, comments: true } as const;
const OPTIONS = { effort: nativeEffort(300), evict: true, manyFlows: true, naming: 'words' } as const;

describe('rules of the rig', () => {
  it('hold the Services in the order of their addresses, and one rule more', () => {
    const rules = ruleset(127, SIZE);
    expect(rules.vips).toHaveLength(300);
    expect([rules.vips[0], rules.vips[255], rules.vips[256], rules.vips[299]]).toEqual([
      '127.96.0.0',
      '127.96.0.255',
      '127.96.1.0',
      '127.96.1.43',
    ]);
    expect(rules.missRules).toBe(301);
    expect(ruleset(127, { ...SIZE, engine: 'nft' }).vips).toEqual(rules.vips);
  });

  it('masquerade nothing that the rig sends, and ask no packet whether its address is local', () => {
    const { text } = ruleset(127, SIZE);
    expect(text).toContain('! -s 127.0.0.0/8 -j KUBE-MARK-MASQ');
    expect(text).not.toContain('addrtype');
  });

  it('keep every rule when they lose their comments', () => {
    const { text } = ruleset(127, SIZE);
    const bare = withoutComments(text);
    expect(bare).not.toMatch(/comment|"/);
    expect(bare.split('\n')).toHaveLength(text.split('\n').length);
    expect(ruleset(127, { ...SIZE, comments: false }).text).toBe(bare);
  });

  it('lose comments in a large cluster, but for KUBE-SERVICES', () => {
    const { text } = ruleset(127, { ...SIZE, services: 1001 });
    const lines = text.split('\n').filter((line) => line.includes('KUBE-SVC-'));
    const services = lines.filter((line) => line.startsWith('-A KUBE-SERVICES'));
    expect(services.every((line) => line.includes('--comment'))).toBe(true);
    expect(lines.filter((line) => line.includes('statistic') && line.includes('--comment'))).toEqual([]);
  });
});

describe('packets through them', () => {
  const rules = ruleset(127, SIZE);
  const points = positionPoints(127, rules, OPTIONS);
  const rows = points.map(({ point }) => [point.mode, point.position, point.rulesEvaluated, point.variant].join(' '));

  it('go to the first, the middle, the last, a random and no Service', () => {
    expect(rows).toEqual([
      'first first 1 ',
      'first middle 151 ',
      'first last 300 ',
      'first uniform 150.5 ',
      'first miss 301 ',
      'established last 0 flows=1',
      'established uniform 0 flows=8192',
      'first first 1 evict=8MiB',
      'first last 300 evict=8MiB',
      'established last 0 evict=8MiB',
    ]);
    expect(points[1].load.slice(0, 3)).toEqual(['first', '127.96.0.150', '80']);
    expect(points[4].load.slice(0, 3)).toEqual(['first', '127.16.0.0', '8080']);
  });

  it('stay on 127.0.0.0/8', () => {
    const words = [...points, ...directPoints(127, 'none')].flatMap(({ load }) => load);
    const addresses = words.flatMap((word) => /\d+\.\d+\.\d+\.\d+/.exec(word)?.[0] ?? []);
    expect(addresses.length).toBeGreaterThan(20);
    expect(addresses.filter((address) => !address.startsWith('127.'))).toEqual([]);
  });

  it('count the statistic rules of an endpoint drawn at random', () => {
    const drawn = (engine: 'ipt-nft' | 'nft'): number =>
      endpointPoints(127, ruleset(127, { engine, services: 1, endpoints: 10, comments: true }), OPTIONS.effort)[0].point
        .statisticRules;
    expect(drawn('ipt-nft')).toBe(5.5);
    expect(drawn('nft')).toBe(1);
  });
});
