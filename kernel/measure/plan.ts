/** What a run on the machine's own kernel measures, as steps in their order. */
import { CONTROL_ENGINES } from './control-plane.ts';
import type { ControlEngine, ControlSize } from './control-plane.ts';
import { PACKET_ENGINES } from './rulesets.ts';
import type { PacketEngine, RulesetSize } from './rulesets.ts';

/** Names of `--engine`. `ipset` is programming alone, `ipvs` is measured in a guest. */
export const MEASURED_ENGINES = ['ipt-legacy', 'ipt-nft', 'nft', 'ipset', 'ipvs'] as const;
export type MeasuredEngine = (typeof MEASURED_ENGINES)[number];

/** `full` is for a profile, `quick` for its slopes, `smoke` shows that all parts work. */
export type PlanSize = 'full' | 'quick' | 'smoke';

export interface PositionsStep {
  readonly kind: 'positions';
  readonly rules: RulesetSize;
  readonly evict: boolean;
  readonly manyFlows: boolean;
}
export interface EndpointsStep {
  readonly kind: 'endpoints';
  readonly rules: RulesetSize;
}
/** No Service at all: without netfilter, with connection tracking, with empty nat chains as well. */
export interface BaselinesStep {
  readonly kind: 'baselines';
  /** Whose tool and hooks they are made with. */
  readonly engine: PacketEngine;
}
export interface ControlStep {
  readonly kind: 'control';
  readonly size: ControlSize;
}
export type Step = BaselinesStep | PositionsStep | EndpointsStep | ControlStep;

interface Sizes {
  readonly services: Readonly<Record<PacketEngine, readonly number[]>>;
  /** Sizes at which the rules are loaded once more without comments, which tells what their bytes cost. */
  readonly withoutComments: readonly number[];
  readonly evict: readonly number[];
  readonly manyFlows: readonly number[];
  /** [services, endpoints of each]. */
  readonly endpoints: readonly (readonly [number, number])[];
  readonly control: Readonly<Record<ControlEngine, readonly (readonly [number, number])[]>>;
}

const ALL_SIZES = [1, 10, 100, 300, 1000, 2000, 3000, 5000, 7000, 10_000, 15_000, 20_000, 30_000];

/** [services, endpoints of each]. Larger ones take minutes for one operation: nft and iptables-nft grow with the square of their size. */
type ControlSizes = readonly (readonly [number, number])[];
const CONTROL_SIZES: Readonly<Record<ControlEngine, ControlSizes>> = {
  'ipt-legacy': [...twoEach([1000, 5000, 10_000, 20_000, 30_000]), ...tenEach([1000, 5000, 10_000])],
  'ipt-nft': [...twoEach([1000, 5000]), ...tenEach([1000])],
  nft: [...twoEach([1000, 5000, 10_000]), ...tenEach([1000, 5000])],
  ipset: [...twoEach([1000, 5000, 10_000, 20_000, 30_000]), ...tenEach([1000, 5000, 10_000])],
};

function twoEach(sizes: readonly number[]): ControlSizes {
  return sizes.map((services) => [services, 2]);
}

function tenEach(sizes: readonly number[]): ControlSizes {
  return sizes.map((services) => [services, 10]);
}

const SIZES: Readonly<Record<PlanSize, Sizes>> = {
  full: {
    services: {
      'ipt-legacy': ALL_SIZES,
      'ipt-nft': ALL_SIZES.filter((services) => services <= 10_000),
      nft: ALL_SIZES.filter((services) => services <= 15_000),
    },
    withoutComments: ALL_SIZES,
    evict: [100, 1000, 5000, 10_000],
    manyFlows: [1, 1000, 10_000],
    endpoints: [...[1, 2, 5, 10, 20, 50, 100, 200].map((e) => [1, e] as const), [100, 1], [100, 10], [100, 100]],
    control: CONTROL_SIZES,
  },
  quick: {
    services: { 'ipt-legacy': [1, 100, 1000, 5000], 'ipt-nft': [1, 100, 1000], nft: [1, 100, 1000, 5000] },
    withoutComments: [],
    evict: [],
    manyFlows: [],
    endpoints: [
      [1, 1],
      [1, 10],
      [1, 100],
    ],
    control: {
      'ipt-legacy': [
        [1000, 2],
        [5000, 2],
      ],
      'ipt-nft': [[1000, 2]],
      nft: [
        [1000, 2],
        [3000, 2],
      ],
      ipset: [
        [1000, 2],
        [5000, 2],
      ],
    },
  },
  smoke: {
    services: { 'ipt-legacy': [1, 100], 'ipt-nft': [1, 20], nft: [1, 100] },
    withoutComments: [],
    evict: [],
    manyFlows: [],
    endpoints: [[1, 10]],
    control: { 'ipt-legacy': [[100, 2]], 'ipt-nft': [[20, 2]], nft: [[20, 2]], ipset: [[100, 2]] },
  },
};

/** Small before large, and packets before programming: what is interrupted early has the most of every engine. */
export function planOf(size: PlanSize, engines: readonly MeasuredEngine[]): Step[] {
  const sizes = SIZES[size];
  const packets = PACKET_ENGINES.filter((engine) => engines.includes(engine));
  const control = CONTROL_ENGINES.filter((engine) => engines.includes(engine));
  const baselines = packets.slice(0, 1).map((engine): Step => ({ kind: 'baselines', engine }));
  return [
    ...baselines,
    ...packets.flatMap((engine) => packetSteps(sizes, engine)),
    ...control.flatMap((engine) => controlSteps(sizes, engine)),
  ];
}

function packetSteps(sizes: Sizes, engine: PacketEngine): Step[] {
  const positions = (services: number, comments: boolean): Step => ({
    kind: 'positions',
    rules: { engine, services, endpoints: 1, comments },
    evict: comments && sizes.evict.includes(services),
    manyFlows: comments && sizes.manyFlows.includes(services),
  });
  const bare = engine === 'ipt-legacy' ? sizes.withoutComments : [];
  return [
    ...sizes.services[engine].map((services) => positions(services, true)),
    ...sizes.endpoints.map(([services, endpoints]): Step => {
      return { kind: 'endpoints', rules: { engine, services, endpoints, comments: true } };
    }),
    ...bare.map((services) => positions(services, false)),
  ];
}

function controlSteps(sizes: Sizes, engine: ControlEngine): Step[] {
  return sizes.control[engine].map(([services, endpoints]) => ({
    kind: 'control',
    size: { engine, services, endpoints },
  }));
}

export function stepName(step: Step): string {
  switch (step.kind) {
    case 'baselines':
      return 'baselines without Services';
    case 'positions':
      return `${step.rules.engine} ${step.rules.services} Services${step.rules.comments ? '' : ' without comments'}`;
    case 'endpoints':
      return `${step.rules.engine} ${step.rules.services} x ${step.rules.endpoints} endpoints`;
    case 'control':
      return `${step.size.engine} programming ${step.size.services} x ${step.size.endpoints}`;
  }
}

/** Seconds on the machine that the committed profile is of, roughly: for the time left, and for the order of magnitude before. */
export function expectedSeconds(step: Step): number {
  switch (step.kind) {
    case 'baselines':
      return 0.5;
    case 'positions': {
      const { engine, services } = step.rules;
      const extra = (step.evict ? 1 : 0) + (step.manyFlows ? 0.5 : 0);
      return 0.7 + extra + PACKET_SECONDS[engine] * services + (engine === 'nft' ? 1.7e-7 * services * services : 0);
    }
    case 'endpoints':
      return 0.5;
    case 'control':
      return controlSeconds(step.size);
  }
}

/** Loading rules and scanning them, one Service. */
const PACKET_SECONDS: Readonly<Record<PacketEngine, number>> = { 'ipt-legacy': 2e-4, 'ipt-nft': 3e-4, nft: 2e-4 };

function controlSeconds({ engine, services, endpoints }: ControlSize): number {
  const rules = services * (2 + 3 * endpoints);
  switch (engine) {
    case 'ipt-legacy':
      return 0.5 + 1.3e-4 * rules;
    case 'ipt-nft':
      return 0.5 + 5e-4 * rules;
    case 'nft':
      return 0.5 + 2.4e-4 * rules + 7e-7 * services * services;
    case 'ipset':
      return 0.5 + 1e-5 * services * endpoints;
  }
}
