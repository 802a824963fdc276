/**
 * Host time of compiling synthetic services: the literal rules from the table (bench/compile.c fills the same arrays), whole syncs
 * and applies of an engine, and the swap of one endpoint.
 */
import type { ClusterDelta, ServicePort } from '../../model/cluster.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { Contender } from '../../sim/contender.ts';
import { mixed } from '../../sim/contender.ts';
import { RandomStream } from '../../sim/rng.ts';
import { StaleFlows } from '../conntrack/stale-flows.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { syntheticServices, syntheticWorld } from '../synthetic.ts';
import { ServiceTable } from './compile.ts';
import { createIptablesEngine } from './engine.ts';
import { nodeFacts } from './node-facts.ts';
import type { RuleArrays } from './rule-arrays.ts';
import { RuleSet } from './rules.ts';

type Evaluator = EngineOptions['evaluator'];

export const COMPILE_ENDPOINTS = 10;
/** Of the service order: xoshiro128**. */
export const COMPILE_STATE = [1, 2, 3, 4] as const;
/** Every so many rules one goes into the checksum. */
const SAMPLED = 997;

function tableOf(services: readonly ServicePort[], evaluator: Evaluator): ServiceTable {
  const { node, options } = syntheticWorld({ evaluator });
  const table = new ServiceTable(nodeFacts(node, options), new StaleFlows('reconcile', node.name));
  table.replaceAll({ servicePorts: services }, new RandomStream(...COMPILE_STATE));
  table.commit(true);
  return table;
}

/** Rules that so many services have in their own chains, nat KUBE-SERVICES and nat KUBE-NODEPORTS: what a round writes, some thirty fixed rules aside. */
export function compiledRules(services: number): number {
  const { allOwnRules, chains } = tableOf(syntheticServices(services, COMPILE_ENDPOINTS), 'literal');
  return 1 + allOwnRules + chains.services.length + chains.nodePorts.length;
}

/** All rules of the literal walk from the table, into the arrays at hand. */
export function rulesContender(services: number): Contender {
  const table = tableOf(syntheticServices(services, COMPILE_ENDPOINTS), 'literal');
  const rules = new RuleSet(table);
  rules.update();
  const { chains } = table;
  const ownEnd = 1 + table.allOwnRules;
  const servicesEnd = ownEnd + chains.services.length;
  // Between the two chains stands KUBE-SERVICES' last rule.
  const portsEnd = servicesEnd + 1 + chains.nodePorts.length;
  let checksum = 0;
  return {
    name: 'chainwalk',
    round: () => {
      rules.update();
      checksum = sampled(rules.arrays, 0, servicesEnd, checksum);
      checksum = sampled(rules.arrays, servicesEnd + 1, portsEnd, checksum);
    },
    checksum: () => checksum,
  };
}

function sampled({ dst, key, arg, more }: RuleArrays, first: number, end: number, before: number): number {
  let checksum = before;
  for (let rule = first; rule < end; rule += SAMPLED) {
    checksum = mixed(mixed(mixed(mixed(checksum, dst[rule]), key[rule]), arg[rule]), more[rule]);
  }
  return checksum;
}

function engineOf(evaluator: Evaluator): Engine {
  return createIptablesEngine(syntheticWorld({ evaluator }));
}

/** engine.sync. `isNew`: each round has objects of its own, with the same content. */
export function syncContender(services: number, evaluator: Evaluator, isNew: boolean): Contender {
  const engine = engineOf(evaluator);
  const states = Array.from({ length: isNew ? 2 : 1 }, () => syntheticServices(services, COMPILE_ENDPOINTS));
  let round = 0;
  let checksum = 0;
  return {
    name: 'chainwalk',
    round: () => {
      const servicePorts = states[round % states.length];
      const { rules, restoreBytes } = engine.sync({ servicePorts }, round++ * NS_PER_S);
      checksum = mixed(mixed(checksum, rules), restoreBytes);
    },
    checksum: () => checksum,
  };
}

/** Each a service port of which one endpoint gives way to a new one. */
function swaps(services: readonly ServicePort[], count: number): ClusterDelta[] {
  const stream = new RandomStream(...COMPILE_STATE);
  const now = [...services];
  return Array.from({ length: count }, (_, i) => {
    const at = stream.below(now.length);
    const endpoints = [...now[at].endpoints];
    endpoints[i % endpoints.length] = { ...endpoints[i % endpoints.length], address: 0x0a300000 + i };
    now[at] = { ...now[at], endpoints };
    return { upserted: [now[at]], removedIds: [] };
  });
}

/** engine.apply of so many swaps, the same in each round. */
export function applyContender(services: number, evaluator: Evaluator, applies: number): Contender {
  const engine = engineOf(evaluator);
  const servicePorts = syntheticServices(services, COMPILE_ENDPOINTS);
  const deltas = swaps(servicePorts, applies);
  engine.sync({ servicePorts }, 0);
  let now = 0;
  let checksum = 0;
  return {
    name: 'chainwalk',
    round: () => {
      for (const delta of deltas) {
        const { rules, restoreBytes } = engine.apply(delta, (now += NS_PER_S));
        checksum = mixed(mixed(checksum, rules), restoreBytes);
      }
    },
    checksum: () => checksum,
  };
}

/** Swaps where there is one service port: table and literal rules of that one alone, whose rest does not grow with services. */
export function swapContender(count: number): Contender {
  const services = syntheticServices(1, COMPILE_ENDPOINTS);
  const table = tableOf(services, 'literal');
  const rules = new RuleSet(table);
  rules.update();
  const deltas = swaps(services, count);
  const stream = new RandomStream(...COMPILE_STATE);
  let checksum = 0;
  return {
    name: 'chainwalk',
    round: () => {
      for (const delta of deltas) {
        rules.update(table.change(delta, true, stream));
        table.commit(true);
        checksum = mixed(checksum, table.allOwnBytes);
      }
    },
    checksum: () => checksum,
  };
}
