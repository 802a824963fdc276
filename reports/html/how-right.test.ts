/** "How right is it?": the errors of a profile, its ranges, what is not measured; and where nothing of it is known. */
import { describe, expect, it } from 'vitest';
import type { Manifest, Reference } from '../manifest.ts';
import { howRight, howRightLink, publishedPoints, signedShare } from './how-right.ts';

const PROFILE: Manifest['profile'] = {
  name: 'rig-1',
  title: 'A rig',
  ranges: [
    { engine: 'ipvs', part: 'time of a first packet', low_ratio: -0.2, high_ratio: 0.25, source: 'a <b>bridge</b>' },
    { engine: 'nftables', part: '', low_ratio: -0.05, high_ratio: 0.05, source: 'held-out rows' },
  ],
};
const VALIDATION: Manifest['validation'] = {
  profile: 'rig-1',
  splits: [
    {
      name: 'all rows',
      groups: [
        {
          engine: 'nft',
          mode: 'sync',
          rows: 4,
          of: 6,
          median_error_ratio: 0.11,
          p90_error_ratio: 0.3,
          max_error_ratio: 0.4,
        },
        {
          engine: 'ipt-legacy',
          mode: 'first',
          rows: 120,
          of: 120,
          median_error_ratio: 0.027,
          p90_error_ratio: 0.077,
          max_error_ratio: 0.24,
        },
      ],
    },
    {
      name: 'held out: 5,000 services',
      groups: [
        {
          engine: 'ipt-legacy',
          mode: 'first',
          rows: 9,
          of: 9,
          median_error_ratio: 0.031,
          p90_error_ratio: 1e-16,
          max_error_ratio: 0.00002,
        },
        {
          engine: 'ipvs',
          mode: 'established',
          rows: 0,
          of: 3,
          median_error_ratio: null,
          p90_error_ratio: null,
          max_error_ratio: null,
        },
      ],
    },
  ],
  not_modelled: ['forwarding & veth', 'TCP'],
};

/** Cells of each table, row by row, the heads first. */
function tables(html: string): string[][][] {
  return [...html.matchAll(/<table>([\s\S]*?)<\/table>/g)].map(([, table = '']) =>
    [...table.matchAll(/<tr>([\s\S]*?)<\/tr>/g)].map(([, row = '']) =>
      [...row.matchAll(/<t[hd][^>]*>([\s\S]*?)<\/t[hd]>/g)].map(([, cell = '']) => cell.trim()),
    ),
  );
}
const flat = (html: string): string => html.replace(/\s+/g, ' ');

describe('a validated profile', () => {
  const { html } = howRight({ profile: PROFILE, validation: VALIDATION }, 3);

  it('has a line for each engine and mode, of what was fitted and of what was held out', () => {
    const [fitted, heldOut] = tables(html);
    expect(fitted?.slice(1)).toEqual([
      ['iptables (legacy)', 'first packet', '120', '2.7%', '7.7%', '24%'],
      ['nftables', 'programming', '4 of 6', '11%', '30%', '40%'],
    ]);
    expect(heldOut?.slice(1)).toEqual([
      ['iptables (legacy)', 'first packet', '9', '3.1%', '0%', '≤0.01%'],
      ['IPVS', 'later packets', '0 of 3', '–', '–', '–'],
    ]);
    expect(html).toContain('All rows: the numbers were fitted to these');
    expect(html).toContain('Held out: 5,000 services');
  });

  it('has the ranges with their sources, and what is not measured', () => {
    expect(tables(html)[2]?.slice(1)).toEqual([
      ['IPVS', 'time of a first packet', '−20%', '+25%', 'a &lt;b&gt;bridge&lt;/b&gt;'],
      ['nftables', 'all packets', '−5%', '+5%', 'held-out rows'],
    ]);
    expect(flat(html)).toMatch(/<ul> <li>Forwarding &amp; veth<\/li> <li>TCP<\/li> <\/ul>/);
  });

  it('says how to repeat it, under headings of the level asked for', () => {
    expect(html).toContain('npm run -s validate -- --measured FILE.csv --profile rig-1');
    expect([...html.matchAll(/<h(\d)>/g)].map(([, level]) => level)).toEqual(['3', '3', '3']);
    expect(howRight({ profile: PROFILE, validation: VALIDATION }, 4).html).toContain('<h4>What is not measured</h4>');
  });
});

describe('a profile without validation', () => {
  it('says so instead', () => {
    const { html } = howRight({ profile: { name: 'mine' } }, 3);
    expect(flat(html)).toContain('This profile is not validated');
    expect(html).toContain('mine.validation.json');
    expect(tables(html)).toEqual([]);
    expect(html).not.toContain('What is not measured');
    expect(flat(howRightLink({ profile: { name: 'mine' } }, 'x').html)).toContain(
      '</code> was not validated: <a href="#x">',
    );
    expect(howRightLink({ profile: PROFILE, validation: VALIDATION }, 'x').html).toContain('was compared with');
  });
});

describe('published points', () => {
  const point: Reference = {
    source: 'A blog',
    label: 'their "figure" 2',
    engine: 'ipvs',
    metric: 'sync_full_ms',
    at: { services: 5000, 'proxy.min_sync_period_s': 1 },
    value: 1500,
    predicted: 1800,
    error_ratio: 0.2,
  };

  it('stand in a table with the error, in the unit of their metric', () => {
    const [rows] = tables(
      publishedPoints([point, { ...point, metric: 'failed_connections', value: 3, predicted: null, error_ratio: null }])
        .html,
    );
    expect(rows?.slice(1).map((row) => row.map((cell) => cell.replaceAll('\u00a0', ' ')))).toEqual([
      [
        'A blog',
        'their &quot;figure&quot; 2',
        'IPVS',
        '5,000 services and minSyncPeriod 1 s',
        'sync_full_ms',
        '1.5 s',
        '1.8 s',
        '+20%',
      ],
      [
        'A blog',
        'their &quot;figure&quot; 2',
        'IPVS',
        '5,000 services and minSyncPeriod 1 s',
        'failed_connections',
        '3',
        '–',
        '–',
      ],
    ]);
    expect(publishedPoints([]).html).toBe('');
    expect(publishedPoints().html).toBe('');
  });

  it('have signs', () => {
    expect([0.12, -0.034, 0, null].map(signedShare)).toEqual(['+12%', '−3.4%', '0%', null]);
  });
});
