/** "How this was measured": everything that is needed to repeat the experiment and to know what its numbers mean. */
import { axisTitle } from '../charts/axis-words.ts';
import { countOf, formatNumber, joinWords } from '../charts/words.ts';
import { engineLabel } from '../charts/engine-style.ts';
import type { Results } from '../results.ts';
import type { Html } from './escape.ts';
import { markup } from './escape.ts';

export function howMeasured({ manifest, observations }: Results): Html {
  const { machine, profile } = manifest;
  const facts: readonly (readonly [string, Html])[] = [
    ['Command', markup`<code>${manifest.command}</code>`],
    ['Scenario', markup`<code>${manifest.scenario_file}</code>, SHA-256 <code>${manifest.scenario_sha256}</code>`],
    ['Engines', markup`${joinWords(manifest.engines.map(engineLabel))}`],
    ['Sweep', markup`${axesText(manifest.axes)}`],
    [
      'Replications',
      markup`${countOf(manifest.replications, 'replication')} of each point and engine;
      ${countOf(manifest.trials.total, 'trial')} in all`,
    ],
    [
      'Seed and streams',
      markup`Seed ${manifest.seed}. Each use of chance draws from a named stream of its own, made from the seed and the
      replication. The streams of cluster, traffic and churn do not depend on the engine, so every engine meets the same
      world.`,
    ],
    [
      'Cost profile',
      markup`${profile.title ?? profile.name}${profile.title === undefined ? markup`` : markup` (<code>${profile.name}</code>)`}${sources(profile.sources ?? [])}`,
    ],
    [
      'Machine',
      markup`${machine.cpu}, ${countOf(machine.cores, 'core')}, ${formatNumber(machine.memory_gb)} GB,
      ${machine.platform}; ${countOf(manifest.workers, 'worker')}, ${formatNumber(manifest.elapsed_s)} s. The results do
      not depend on it.`,
    ],
    [
      'Versions',
      markup`${joinWords(Object.entries(manifest.versions).map(([name, version]) => `${name} ${version}`))}`,
    ],
    ['Commit', markup`<code>${manifest.commit}</code>`],
  ];
  return markup`<p>${WORK_AND_COST}</p>
    <p>${payloadText(manifest.engines)} ${pathText(observations)}</p>
    <dl>
      ${facts.map(
        ([term, text]) =>
          markup`<dt>${term}</dt>
            <dd>${text}</dd> `,
      )}
    </dl>
    <details>
      <summary>The scenario</summary>
      <pre tabindex="0" aria-label="Scenario file">${manifest.scenario_text}</pre>
    </details> `;
}

const WORK_AND_COST =
  'Work (rules, table entries, look-ups) is counted exactly in a simulated walk. Modelled cost is that work multiplied by the cost ' +
  'profile: it is a statement about the profile’s kernel and machine, not about this one. Simulated time comes from the delays in the scenario.';

/** In userspace mode a process copies every byte; the kernel's data paths never look at them. */
function payloadText(engines: readonly string[]): string {
  const kernel = 'Payload sizes are not modelled: a packet costs the same whatever its length.';
  if (!engines.includes('userspace')) return kernel;
  const process =
    'In userspace mode kube-proxy copies each payload, and a packet costs more the more it carries; these costs were not measured and are rough figures of its time.';
  return engines.length === 1 ? process : `${process} In the other modes a packet costs the same whatever its length.`;
}

/** What `path_measured` says about the rows. */
function pathText(observations: Results['observations']): string {
  const rows = observations.filter((row) => typeof row['path_measured'] === 'boolean');
  const composed = rows.filter((row) => row['path_measured'] === false).length;
  const meaning =
    'Rows of observations.csv with path_measured = false go through a path that the profile did not measure as a whole: their cost is composed of parts that were measured.';
  if (rows.length === 0) return meaning;
  if (composed === 0) return `${meaning} There is no such row here.`;
  return `${meaning} That is ${composed === rows.length ? 'so for every trial here' : `so for ${composed} of ${countOf(rows.length, 'trial')} here`}.`;
}

function axesText(axes: Results['manifest']['axes']): string {
  if (axes.length === 0) return 'One point';
  return axes
    .map(
      ({ name, values }) =>
        `${axisTitle(name)}: ${values.map((v) => (typeof v === 'number' ? formatNumber(v) : String(v))).join('; ')}`,
    )
    .join('. ');
}

function sources(list: readonly string[]): Html {
  return list.length === 0 ? markup`` : markup`; sources: ${list.join('; ')}`;
}
