/** A rule of the program's compiler as words that a walk reads. */
import { parseCidr, parseIpv4 } from '../../model/address.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { assert } from '../../sim/assert.ts';
import { STATE_DNAT, STATE_ESTABLISHED, STATE_INVALID, STATE_NEW } from './packet-walk.ts';
import { statisticThreshold } from './probability.ts';
import type { Match, Rule } from './program/rules.ts';
import * as word from './rule-words.ts';
import type { Chain, RuleWords } from './rule-words.ts';
import { ruleBytes } from './sizes.ts';

/** What a rule refers to by name, and what its verdict says. */
export interface RuleContext {
  /** A chain that the rule jumps to. */
  chain(name: string): Chain;
  /** The handle of a `recent` list. */
  list(name: string): number;
  /** -1 for rules of no service port. */
  readonly servicePortId: number;
  /** REASON_* of its DROPs. */
  readonly dropReason: number;
}

const PROTOCOLS = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP, sctp: PROTOCOL_SCTP } as const;
/** RELATED does not happen here. */
const STATES: Readonly<Record<string, number>> = {
  NEW: STATE_NEW,
  ESTABLISHED: STATE_ESTABLISHED,
  INVALID: STATE_INVALID,
  DNAT: STATE_DNAT,
  RELATED: 0,
};

/** Appends the rule to `out`; returns its first word. */
export function encodeRule(out: RuleWords, rule: Rule, context: RuleContext): number {
  const base = encodeTarget(out, rule, context);
  for (const match of rule.matches) encodeMatch(out.words, base, match, context);
  return base;
}

function encodeTarget(out: RuleWords, rule: Rule, context: RuleContext): number {
  const { target } = rule;
  const bytes = ruleBytes(rule);
  switch (target.kind) {
    case 'jump':
      return out.addJump(bytes, context.chain(target.chain));
    case 'DROP':
    case 'REJECT': {
      const base = out.add(bytes, target.kind === 'DROP' ? word.TARGET_DROP : word.TARGET_REJECT);
      out.words[base + word.W_FIRST] = context.dropReason;
      out.words[base + word.W_SERVICE] = context.servicePortId;
      return base;
    }
    case 'DNAT': {
      const base = out.add(bytes, word.TARGET_DNAT);
      const [ip, port] = target.endpoint.split(':');
      out.words[base + word.W_FIRST] = addressOf(ip);
      out.words[base + word.W_END] = Number(port);
      out.words[base + word.W_SERVICE] = context.servicePortId;
      return base;
    }
    case 'MARK':
      return out.add(bytes, target.operation === 'or' ? word.TARGET_MARK : word.TARGET_UNMARK);
    case 'ACCEPT':
      return out.add(bytes, word.TARGET_ACCEPT);
    case 'RETURN':
      return out.add(bytes, word.TARGET_RETURN);
    case 'MASQUERADE':
      return out.add(bytes, word.TARGET_MASQUERADE);
    case 'none':
      return out.add(bytes, word.TARGET_NONE);
  }
}

function encodeMatch(words: Int32Array, base: number, match: Match, context: RuleContext): void {
  const set = (bit: number): void => {
    words[base + word.W_MATCHES] |= bit;
  };
  switch (match.kind) {
    case 'comment':
    case 'nfacct':
      return;
    case 'protocol':
      words[base + word.W_PROTOCOL] = PROTOCOLS[match.protocol];
      return;
    case 'source':
      encodeBlock(words, base + word.W_SRC, match.block);
      if (match.inverted) set(word.MATCH_SRC_INVERTED);
      return;
    case 'destination':
      if (!match.inverted) encodeBlock(words, base + word.W_DST, match.block);
      else {
        assert(match.block === '127.0.0.0/8', `no rule of kube-proxy's has ! -d ${match.block}`);
        set(word.MATCH_NOT_LOOPBACK);
      }
      return;
    case 'input':
      set(match.inverted ? word.MATCH_NOT_FROM_POD : word.MATCH_FROM_POD);
      return;
    case 'destinationPort':
      words[base + word.W_DPORT] = match.port;
      set(word.MATCH_DPORT);
      return;
    case 'sourceIsLocal':
      set(word.MATCH_SRC_LOCAL);
      return;
    case 'destinationIsLocal':
      set(word.MATCH_DST_LOCAL);
      return;
    case 'mark':
      set(match.inverted ? word.MATCH_NOT_MARKED : word.MATCH_MARKED);
      return;
    case 'conntrack':
      for (const state of match.states) words[base + word.W_STATES] |= STATES[state];
      set(word.MATCH_STATES | (match.inverted ? word.MATCH_STATES_INVERTED : 0));
      return;
    case 'statistic':
      words[base + word.W_THRESHOLD] = statisticThreshold(match.probability);
      set(word.MATCH_STATISTIC);
      return;
    case 'recentCheck':
      words[base + word.W_LIST] = context.list(match.list);
      words[base + word.W_SECONDS] = match.seconds;
      set(word.MATCH_RECENT_CHECK);
      return;
    case 'recentSet':
      words[base + word.W_LIST] = context.list(match.list);
      set(word.MATCH_RECENT_SET);
      return;
  }
}

/** An address or a CIDR to a value and, in the word behind it, its mask. */
function encodeBlock(words: Int32Array, at: number, block: string): void {
  if (!block.includes('/')) {
    words[at] = addressOf(block);
    words[at + 1] = -1;
    return;
  }
  const cidr = parseCidr(block);
  assert(cidr !== undefined, `${block} is an IPv4 block`);
  words[at] = cidr.address | 0;
  words[at + 1] = cidr.mask | 0;
}

function addressOf(text: string): number {
  const address = parseIpv4(text);
  assert(address !== undefined, `${text} is an IPv4 address`);
  return address | 0;
}
