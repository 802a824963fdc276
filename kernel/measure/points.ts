/** Which packets are sent through a ruleset: for each row the point that it is of, and the words for the load program. */
import { directTarget, ENDPOINT_PORT, firstSource, SERVICE_PORT } from './rig-cluster.ts';
import type { RigNetwork } from './rig-cluster.ts';
import type { Point } from './rows.ts';
import { rulesPassed } from './rulesets.ts';
import type { Ruleset } from './rulesets.ts';

export interface PacketPoint {
  readonly point: Point;
  /** Arguments of load/packets.c that say what is sent; how is for who runs it (clock, processor, batches). */
  readonly load: readonly string[];
}

/** How many packets stand behind a row. */
export interface Effort {
  readonly packets: number;
  readonly repeats: number;
}

/** Less where a packet takes longer. */
export function nativeEffort(services: number): Effort {
  if (services < 3000) return { packets: 4096, repeats: 5 };
  return services < 15_000 ? { packets: 1024, repeats: 4 } : { packets: 512, repeats: 3 };
}

const STEADY: Effort = { packets: 4096, repeats: 5 };
/** Evicting 8 MiB takes a millisecond, a packet two thousandths of it. */
const EVICTING: Effort = { packets: 400, repeats: 2 };
const EVICT_BYTES = 8 * 1024 * 1024;
const MANY_FLOWS = 8192;

function words({ packets, repeats }: Effort): string[] {
  return [`packets=${packets}`, `repeats=${repeats}`];
}

/** Straight to the endpoint, with no Service: the baselines. */
export function directPoints(network: RigNetwork, engine: string, options: readonly string[] = []): PacketPoint[] {
  return (['first', 'established'] as const).map((mode) => ({
    point: { ...POINT, engine, mode, services: 0, endpoints: 0, position: 'direct' },
    load: [mode, directTarget(network), `${ENDPOINT_PORT}`, ...common(network), ...words(STEADY), ...options],
  }));
}

const POINT = { rulesEvaluated: 0, statisticRules: 0, comments: true, variant: '' } as const;

function common(network: RigNetwork): string[] {
  return [`source=${firstSource(network)}`, `sink=${ENDPOINT_PORT}`];
}

export interface PositionOptions {
  readonly effort: Effort;
  /** Also with other memory written before each packet. */
  readonly evict: boolean;
  /** Also with 8,192 flows that take turns. */
  readonly manyFlows: boolean;
  /** Names of positions: by word as on a machine, or by number as in a guest. */
  readonly naming: 'words' | 'numbers';
}

/** Positions of the Service, a random one for each packet, no Service; then established packets. */
export function positionPoints(network: RigNetwork, rules: Ruleset, options: PositionOptions): PacketPoint[] {
  const sender = new Sender(network, rules);
  const last = rules.services - 1;
  const name = (word: string, index: number): string => (options.naming === 'words' ? word : `index${index}`);
  const effort = words(options.effort);
  const points = positions(rules).map(({ word, index }) => sender.first(name(word, index), index, effort));
  if (rules.services > 1) points.push(sender.uniform(effort));
  points.push(sender.miss(effort));
  const flows = options.naming === 'words' ? 'flows=1' : '';
  const steady = words(options.naming === 'words' ? STEADY : options.effort);
  points.push(sender.established(name('last', last), last, steady, flows));
  if (options.manyFlows) points.push(sender.manyFlows());
  if (options.evict) {
    const evicting = [...words(EVICTING), `evict=${EVICT_BYTES}`];
    for (const [word, index] of [['first', 0] as const, ['last', last] as const]) {
      points.push(sender.first(word, index, evicting, 'evict=8MiB'));
    }
    points.push(sender.established('last', last, evicting, 'evict=8MiB'));
  }
  return points;
}

function positions({ engine, services }: Ruleset): { word: string; index: number }[] {
  if (services === 1) return [{ word: 'only', index: 0 }];
  const middle = engine === 'nft' ? [] : [{ word: 'middle', index: services >> 1 }];
  return [{ word: 'first', index: 0 }, ...middle, { word: 'last', index: services - 1 }];
}

/** The first Service's endpoints. */
export function endpointPoints(network: RigNetwork, rules: Ruleset, effort: Effort): PacketPoint[] {
  const sender = new Sender(network, rules);
  const { point, load } = sender.first(rules.services > 1 ? 'first' : 'only', 0, words(effort), 'endpoints');
  const statisticRules = rules.engine === 'nft' ? 1 : (rules.endpoints + 1) / 2;
  return [{ point: { ...point, statisticRules }, load }];
}

class Sender {
  readonly #network: RigNetwork;
  readonly #rules: Ruleset;

  constructor(network: RigNetwork, rules: Ruleset) {
    this.#network = network;
    this.#rules = rules;
  }

  first(position: string, index: number, options: readonly string[], variant = ''): PacketPoint {
    return {
      point: this.#point('first', position, rulesPassed(this.#rules, index), variant),
      load: this.#load('first', this.#rules.vips[index], options),
    };
  }

  established(position: string, index: number, options: readonly string[], variant: string): PacketPoint {
    return {
      point: this.#point('established', position, 0, variant),
      load: this.#load('established', this.#rules.vips[index], options),
    };
  }

  uniform(options: readonly string[]): PacketPoint {
    const { engine, services } = this.#rules;
    return {
      point: this.#point('first', 'uniform', engine === 'nft' ? 1 : (services + 1) / 2, ''),
      load: this.#load('first', this.#rules.vips[0], ['pick=random', `services=${services}`, ...options]),
    };
  }

  miss(options: readonly string[]): PacketPoint {
    const direct = [directTarget(this.#network), `${ENDPOINT_PORT}`];
    return {
      point: this.#point('first', 'miss', this.#rules.missRules, ''),
      load: ['first', ...direct, ...common(this.#network), ...options],
    };
  }

  manyFlows(): PacketPoint {
    const { services, vips } = this.#rules;
    const options = ['pick=cycle', `services=${services}`, `flows=${MANY_FLOWS}`];
    return {
      point: this.#point('established', 'uniform', 0, `flows=${MANY_FLOWS}`),
      load: this.#load('established', vips[0], [...options, ...words({ packets: MANY_FLOWS, repeats: 5 })]),
    };
  }

  #point(mode: 'first' | 'established', position: string, rulesEvaluated: number, variant: string): Point {
    const { engine, services, endpoints, comments } = this.#rules;
    return { engine, mode, services, endpoints, position, rulesEvaluated, statisticRules: 0, comments, variant };
  }

  #load(mode: string, to: string, options: readonly string[]): string[] {
    return [mode, to, `${SERVICE_PORT}`, ...common(this.#network), ...options];
  }
}
