/**
 * One way of a flow's first packet through the hooks of the kernel, rule by rule (net/ipv4/netfilter/ip_tables.c ipt_do_table;
 * net/netfilter/nf_nat_core.c nf_nat_inet_fn).
 */
import { assert } from '../../../sim/assert.ts';
import type { Packet, Surroundings } from './matching.ts';
import { ruleApplies } from './matching.ts';
import type { Rule, RuleSet } from './rules.ts';
import { ruleText } from './rules.ts';
import type { Flow } from './trace.ts';
import { canonical, packetOf, redirect } from './trace.ts';

export interface ExplainOptions {
  /**
   * 31 random bits for each rule of chance (xt_statistic.c statistic_mt). Without it the lowest, so that the first endpoint is
   * picked.
   */
  readonly draw?: () => number;
  /** Whether a `recent` list remembers the flow's source; without it none does. */
  readonly remembers?: (list: string, seconds: number) => boolean;
}

type Hook = 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

interface Step {
  readonly table: 'nat' | 'filter';
  readonly chain: string;
  /** From 1, as `iptables -L --line-numbers` counts. */
  readonly number: number;
  readonly text: string;
  readonly matched: boolean;
}

export interface Explanation {
  /** Every rule that was evaluated, in order. */
  readonly steps: readonly Step[];
  /** ACCEPT also when no rule objected: the built-in chains' policy. */
  readonly verdict: 'ACCEPT' | 'DROP' | 'REJECT';
  /** `ip:port` to which the packet was translated. */
  readonly endpoint: string | undefined;
  readonly masqueraded: boolean;
  readonly hooks: readonly `${'nat' | 'filter'}/${Hook}`[];
  readonly evaluated: { readonly nat: number; readonly filter: number };
}

type ChainEnd = 'continue' | 'done' | 'DROP' | 'REJECT';

interface Walk {
  readonly rules: RuleSet;
  readonly packet: Packet;
  readonly surroundings: Surroundings;
  readonly steps: Step[];
  readonly hooks: `${'nat' | 'filter'}/${Hook}`[];
  endpoint: string | undefined;
  masqueraded: boolean;
  marks: ReadonlySet<string>;
}

/** The packet is NEW to conntrack. A packet whose source is the node's own leaves through OUTPUT. */
export function explainFlow(rules: RuleSet, flow: Flow, options: ExplainOptions): Explanation {
  const walk = newWalk(rules, flow, options);
  const fromNode = walk.surroundings.isLocal(walk.packet.source);
  let end: ChainEnd = runHook(walk, 'nat', fromNode ? 'OUTPUT' : 'PREROUTING');
  // Routing sees the translated destination; a local destination of a local packet is reached through the loopback device.
  const toNode = walk.surroundings.isLocal(walk.packet.destination);
  const filterHooks: Hook[] = fromNode ? ['OUTPUT'] : toNode ? ['INPUT'] : ['FORWARD'];
  for (const hook of filterHooks) if (!isRefused(end)) end = runHook(walk, 'filter', hook);
  if (!isRefused(end) && (fromNode || !toNode)) end = runHook(walk, 'nat', 'POSTROUTING');
  if (!isRefused(end) && fromNode && toNode) end = runHook(walk, 'filter', 'INPUT');
  const { steps } = walk;
  const nat = steps.filter((step) => step.table === 'nat').length;
  return {
    steps,
    verdict: isRefused(end) ? end : 'ACCEPT',
    endpoint: walk.endpoint,
    masqueraded: walk.masqueraded,
    hooks: walk.hooks,
    evaluated: { nat, filter: steps.length - nat },
  };
}

function newWalk(rules: RuleSet, flow: Flow, { draw, remembers }: ExplainOptions): Walk {
  const packet = packetOf(flow);
  const local = new Set([...(flow.localIps ?? []).map(canonical), '::1']);
  const walk: Walk = {
    rules,
    packet,
    steps: [],
    hooks: [],
    endpoint: undefined,
    masqueraded: false,
    marks: new Set<string>(),
    surroundings: {
      isLocal: (address) => local.has(address) || address.startsWith('127.'),
      hasMark: (mark) => walk.marks.has(mark),
      hasState: (states) => states.includes('NEW') || (walk.endpoint !== undefined && states.includes('DNAT')),
      isRemembered: (list, seconds) => remembers?.(list, seconds) ?? false,
      // The tool turns the text into a threshold of 31 bits (extensions/libxt_statistic.c).
      mayPick: (probability) => (draw?.() ?? 0) < Math.round(Number(probability) * 2147483648),
    },
  };
  return walk;
}

function isRefused(end: ChainEnd): end is 'DROP' | 'REJECT' {
  return end === 'DROP' || end === 'REJECT';
}

function runHook(walk: Walk, table: 'nat' | 'filter', hook: Hook): ChainEnd {
  walk.hooks.push(`${table}/${hook}`);
  return runChain(walk, table, hook);
}

/** `continue` when the chain ends without a verdict, and the calling chain goes on. */
function runChain(walk: Walk, table: 'nat' | 'filter', chain: string): ChainEnd {
  const rules = walk.rules.get(`${table}/${chain}`);
  assert(rules !== undefined, `a rule jumps to ${table} ${chain}, which does not exist`);
  for (const [index, rule] of rules.entries()) {
    const matched = ruleApplies(rule, walk.packet, walk.surroundings);
    walk.steps.push({ table, chain, number: index + 1, text: ruleText(chain, rule), matched });
    if (!matched) continue;
    if (rule.target.kind === 'RETURN') return 'continue';
    const end = runTarget(walk, table, rule);
    if (end !== 'continue') return end;
  }
  return 'continue';
}

function runTarget(walk: Walk, table: 'nat' | 'filter', { target }: Rule): ChainEnd {
  switch (target.kind) {
    case 'jump':
      return runChain(walk, table, target.chain);
    case 'DROP':
    case 'REJECT':
      return target.kind;
    case 'ACCEPT':
      return 'done';
    case 'DNAT':
      walk.endpoint = target.endpoint;
      redirect(walk.packet, target.endpoint);
      return 'done';
    case 'MASQUERADE':
      walk.masqueraded = true;
      return 'done';
    case 'MARK': {
      const marks = new Set(walk.marks);
      if (target.operation === 'xor' && marks.has(target.mark)) marks.delete(target.mark);
      else marks.add(target.mark);
      walk.marks = marks;
      return 'continue';
    }
    default:
      return 'continue';
  }
}
