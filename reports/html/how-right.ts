/** "How right is it?": how far the cost profile was from measurements, how far its costs may be off, and what no measurement says. */
import { axisAt } from '../charts/axis-words.ts';
import { engineLabel } from '../charts/engine-style.ts';
import { formatNs, formatNumber, formatShare, joinWords } from '../charts/words.ts';
import type { Manifest, Reference } from '../manifest.ts';
import type { Validation, ValidationGroup } from '../validation.ts';
import type { Html } from './escape.ts';
import { markup, rawHtml } from './escape.ts';
import { table } from './table.ts';

type Profile = Pick<Manifest, 'profile' | 'validation'>;

/** What is known of a profile, below a heading of the page's own; `level` is that of the headings in it. */
export function howRight({ profile, validation }: Profile, level: 3 | 4): Html {
  const heading = (text: string): Html => markup`${rawHtml(`<h${level}>`)}${text}${rawHtml(`</h${level}>`)} `;
  return markup`<p>
      Work is counted exactly; modelled cost is as right as the cost profile
      <code>${profile.name}</code>${titleText(profile.title)}. Two things are kept apart
      everywhere: the sampling interval, which more replications make narrower, and the range of the profile, which only
      a better measurement does.
    </p>
    ${validation === undefined ? notValidated(profile.name) : markup`${heading('Errors against measurements')}${errors(validation)}`}
    ${rangeTable(profile, heading)}
    ${validation === undefined || validation.not_modelled.length === 0 ? markup`` : markup`${heading('What is not measured')}${notMeasured(validation)}`}
    <p>
      To repeat it with measurements of your own:
      <code>npm run -s validate -- --measured FILE.csv --profile ${profile.name}</code>
    </p> `;
}

/** Where several experiments share a page, each points to its profile's part of it. */
export function howRightLink({ profile, validation }: Profile, id: string): Html {
  const text = validation === undefined ? 'was not validated' : 'was compared with measurements';
  return markup`<p>
    The cost profile <code>${profile.name}</code> ${text}:
    <a href="#${id}">its errors, its ranges and what is not measured</a>.
  </p> `;
}

/** Points that others have published, beside the model's own; nothing where there are none. */
export function publishedPoints(references: readonly Reference[] = []): Html {
  if (references.length === 0) return markup``;
  return table({
    caption: 'Published points, and what the model says of them',
    columns: ['source', 'point', 'engine', 'at', 'metric', 'published', 'model', 'error of the model'],
    rows: references.map((reference) => [
      reference.source,
      reference.label,
      engineLabel(reference.engine),
      joinWords(Object.entries(reference.at).map(([axis, value]) => axisAt(axis, value))),
      reference.metric,
      referenceValue(reference, reference.value),
      referenceValue(reference, reference.predicted),
      signedShare(reference.error_ratio),
    ]),
  });
}

/** In the unit that the metric's name ends in. */
function referenceValue({ metric }: Reference, value: number | null | undefined): string | null {
  if (value === null || value === undefined) return null;
  const unit = /_(ns|ms|s)$/.exec(metric)?.[1];
  if (unit === undefined) return `${formatNumber(value)}${metric.endsWith('_instructions') ? ' instructions' : ''}`;
  return formatNs(value * { ns: 1, ms: 1e6, s: 1e9 }[unit as 'ns' | 'ms' | 's']);
}

/** `+12%`, `−8%`. */
export function signedShare(share: number | null | undefined): string | null {
  if (share === null || share === undefined) return null;
  const size = formatShare(Math.abs(share));
  return share > 0 ? `+${size}` : share < 0 ? `−${size}` : size;
}

function titleText(title: string | undefined): string {
  return title === undefined ? '' : `: ${title.replace(/\.$/, '')}`;
}

function notValidated(name: string): Html {
  return markup`<p>
    This profile is not validated: no file <code>${name}.validation.json</code> stands beside it, so nothing is known of
    its errors.
  </p> `;
}

/** The names that measurements have for what this page calls otherwise. */
const MEASURED: Readonly<Record<string, string>> = {
  none: 'no netfilter',
  conntrack: 'connection tracking alone',
  'conntrack+nat': 'connection tracking and empty nat chains',
  'ipt-legacy': 'iptables (legacy)',
  'ipt-nft': 'iptables (nft)',
  nft: 'nftables',
  ipvs: 'IPVS',
  ipset: 'ipset',
};
const MODES: Readonly<Record<string, string>> = {
  first: 'first packet',
  established: 'later packets',
  sync: 'programming',
};

/** The split whose rows the profile's numbers were fitted to. */
const FITTED = 'all rows';

function errors({ splits }: Validation): Html {
  return markup`<p>
      An error is how far the modelled cost is from the measured one, as a share of the measured one and whatever its
      sign. What was held out is the honest part: those rows were not there when the numbers were fitted.
    </p>
    ${splits.map(({ name, groups }) =>
      table({
        caption: name === FITTED ? 'All rows: the numbers were fitted to these' : sentenceCase(name),
        columns: ['engine', 'what', 'rows compared', 'median error', '90% of rows within', 'largest error'],
        rows: inOrder(groups).map((group) => [
          MEASURED[group.engine] ?? group.engine,
          MODES[group.mode] ?? group.mode,
          rowsText(group),
          errorText(group.median_error_ratio),
          errorText(group.p90_error_ratio),
          errorText(group.max_error_ratio),
        ]),
      }),
    )}`;
}

/** Engines one after another, packets before programming. */
function inOrder(groups: readonly ValidationGroup[]): ValidationGroup[] {
  const place = (name: string, names: readonly string[]): number =>
    names.includes(name) ? names.indexOf(name) : names.length;
  const [engines, modes] = [Object.keys(MEASURED), Object.keys(MODES)];
  return [...groups].sort(
    (a, b) => place(a.engine, engines) - place(b.engine, engines) || place(a.mode, modes) - place(b.mode, modes),
  );
}

function rowsText({ rows, of }: ValidationGroup): string {
  return rows === of ? formatNumber(rows) : `${formatNumber(rows)} of ${formatNumber(of)}`;
}

/** Errors below the first are of the last digits that were written down, below the second of floating-point arithmetic. */
const ROUNDING = 0.0001;
const NOISE = 1e-12;

function errorText(ratio: number | null): string | null {
  if (ratio === null) return null;
  if (ratio < NOISE) return '0%';
  return ratio < ROUNDING ? '≤0.01%' : formatShare(ratio);
}

function rangeTable({ ranges = [] }: Manifest['profile'], heading: (text: string) => Html): Html {
  if (ranges.length === 0) return markup``;
  return markup`${heading('Ranges of the figures')}
    <p>
      How far the kernel may be from a modelled figure. Charts draw it as a band, the summary has it in square brackets,
      and <code>observations.csv</code> in the columns <code>_low_</code> and <code>_high_</code>.
    </p>
    ${table({
      caption: 'Ranges of modelled costs, as shares of them',
      columns: ['mode', 'of', 'from', 'to', 'source'],
      rows: ranges.map(({ engine, part, low_ratio, high_ratio, source }) => [
        engineLabel(engine),
        part === '' ? 'all packets' : part,
        signedShare(low_ratio),
        signedShare(high_ratio),
        source,
      ]),
    })}`;
}

function notMeasured({ not_modelled: phrases }: Validation): Html {
  return markup`<ul>
    ${phrases.map((phrase) => markup`<li>${sentenceCase(phrase)}</li> `)}
  </ul> `;
}

function sentenceCase(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
