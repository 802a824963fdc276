/** Metrics of published points that need no trial: a command's cost by the profile alone. Their `at` says what the command is given. */
import { oneByOneCost, proxyBytesPerService, restoreCost, syncNs } from '../costs/sync-cost.ts';
import type { CostProfile } from '../model/profile.ts';
import { NS_PER_S } from '../model/time.ts';
import { InputError, quote } from '../scenarios/errors.ts';
import type { Reference } from '../scenarios/references.ts';

interface DirectMetric {
  /** Keys of `at` beside `profile`, with their defaults; null: none. */
  readonly keys: Readonly<Record<string, number | string | null>>;
  readonly value: (profile: CostProfile, at: (key: string) => number | string) => number;
}

const BACKENDS = ['legacy', 'nft'] as const;

export const DIRECT_METRICS: Readonly<Record<string, DirectMetric>> = {
  /** An `iptables` command a rule. */
  one_by_one_s: {
    keys: { rules: null, backend: 'legacy' },
    value: (profile, at) => seconds(profile, oneByOneCost(profile, Number(at('rules')), backendOf(at('backend')))),
  },
  /** One iptables-restore of whole tables; a service of E endpoints has 3 + 4E lines. */
  restore_s: {
    keys: { lines: null, endpoints_per_service: 2, backend: 'legacy' },
    value: (profile, at) => {
      const lines = Number(at('lines'));
      const endpoints = Number(at('endpoints_per_service'));
      const services = lines / (3 + 4 * endpoints);
      const chains = services * (1 + endpoints);
      const work = {
        lines,
        tableRules: services * (2 + 3 * endpoints),
        tableChains: chains,
        serviceRules: services,
        writtenChains: chains,
      };
      return seconds(profile, restoreCost(profile, work, backendOf(at('backend'))));
    },
  },
  /** Memory of kube-proxy's process for one more service port. */
  kube_proxy_bytes_per_service: {
    keys: { endpoints_per_service: null },
    value: (profile, at) => proxyBytesPerService(profile, Number(at('endpoints_per_service'))),
  },
};

function seconds(profile: CostProfile, cost: number): number {
  return syncNs(profile, cost) / NS_PER_S;
}

function backendOf(text: number | string): (typeof BACKENDS)[number] {
  return text === 'nft' ? 'nft' : 'legacy';
}

/** The metric's value at the reference's point, in the unit that its name says. Throws an InputError where the point lacks something. */
export function directValue(reference: Reference, profile: CostProfile): number {
  const { metric, at, position } = reference;
  const { keys, value } = DIRECT_METRICS[metric];
  const known = Object.keys(keys);
  const unknown = Object.keys(at).find((key) => key !== 'profile' && !known.includes(key));
  if (unknown !== undefined) {
    throw new InputError(`"at.${unknown}" says nothing to ${metric}; expected ${known.join(', ')}.`, position);
  }
  const backend = at['backend'] ?? 'legacy';
  if (!BACKENDS.some((name) => name === backend)) {
    throw new InputError(`"at.backend" must be one of ${BACKENDS.join(', ')}, got ${quote(backend)}.`, position);
  }
  return value(profile, (key) => {
    const given = at[key] ?? keys[key];
    if (given === null || given === undefined)
      throw new InputError(`"at.${key}" is missing; ${metric} needs it.`, position);
    if (key === 'backend') return String(given);
    if (typeof given !== 'number' || !(given >= 0)) {
      throw new InputError(`"at.${key}" must be a number of at least 0, got ${quote(given)}.`, position);
    }
    return given;
  });
}
