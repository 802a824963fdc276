/** Follows the first packet of a flow through a table's base chains and reports every rule that is evaluated. */
import { assert } from '../../../sim/assert.ts';
import { canonicalIp, cidrContainsIp, familyOf, isLoopbackIp } from '../../../model/ip-text.ts';
import type { IpFamily } from '../../../model/service-config.ts';
import type { NftRule, Statement, Verdict } from './rules.ts';
import { verdictText } from './rules.ts';
import type { BaseChain, NftChain, NftTable } from './table.ts';

export interface TraceFlow {
  readonly sourceIp: string;
  readonly protocol: string;
  readonly destIp: string;
  readonly destPort: number;
  /** Addresses of this node, of any family; loopback addresses always count as well. */
  readonly localIps: readonly string[];
  /** The interface the packet came in by, where a local detector asks for it. */
  readonly inInterface?: string;
}

interface TraceStep {
  readonly chain: string;
  readonly depth: number;
  readonly rule: string;
  readonly matched: boolean;
  /** What a lookup or an action came to; empty when there is nothing to say. */
  readonly note: string;
}

export interface TraceResult {
  /** Endpoints that may be picked, in rule order, then DROP or REJECT; joined by ", ". Empty when nothing matched. */
  readonly output: string;
  /** Whether any way that the packet may take marks it for masquerading. */
  readonly masq: boolean;
  /** Rules evaluated, and lookups in sets and maps, on the longest way. */
  readonly rulesEvaluated: number;
  readonly lookups: number;
  readonly steps: readonly TraceStep[];
  /** The steps as text, a line each, and a closing line. */
  readonly explain: readonly string[];
}

/**
 * A packet from one of the node's own addresses starts in the output hook, any other in prerouting; after DNAT it goes to the first
 * endpoint. The flow is new to conntrack, and no affinity is remembered. Balancing takes every way in turn.
 */
export function traceFlow(family: IpFamily, table: NftTable, flow: TraceFlow): TraceResult {
  const sourceIp = canonicalIp(flow.sourceIp);
  const destIp = canonicalIp(flow.destIp);
  assert(sourceIp !== undefined && destIp !== undefined, `${flow.sourceIp} or ${flow.destIp} is no address`);
  const walk = new Walk(family, table, { ...flow, sourceIp, destIp });
  if (familyOf(sourceIp) === family && familyOf(destIp) === family) walk.run();
  return walk.result();
}

type Outcome = 'continue' | 'final';

class Walk {
  readonly #table: NftTable;
  readonly #flow: TraceFlow;
  readonly #family: IpFamily;
  readonly #localIps: ReadonlySet<string>;
  /** By priority. */
  readonly #baseChains: readonly NftChain[];
  readonly #steps: TraceStep[] = [];
  readonly #endpoints: string[] = [];
  #refusal = '';
  #destIp: string;
  #destPort: number;
  #marked = false;
  #everMarked = false;
  #rules = 0;
  #lookups = 0;

  constructor(family: IpFamily, table: NftTable, flow: TraceFlow) {
    this.#family = family;
    this.#table = table;
    this.#flow = flow;
    this.#baseChains = [...table.chains.values()]
      .filter(({ base }) => base !== undefined)
      .sort((a, b) => (a.base?.priority ?? 0) - (b.base?.priority ?? 0));
    this.#destIp = flow.destIp;
    this.#destPort = flow.destPort;
    this.#localIps = new Set(flow.localIps.map((ip) => canonicalIp(ip) ?? ip));
  }

  run(): void {
    const fromHere = this.#isLocal(this.#flow.sourceIp);
    if (!this.#hook(fromHere ? 'output' : 'prerouting')) return;
    if (fromHere) {
      if (this.#hook('postrouting') && this.#isLocal(this.#destIp)) this.#hook('input');
    } else if (this.#isLocal(this.#destIp)) {
      this.#hook('input');
    } else if (this.#hook('forward')) {
      this.#hook('postrouting');
    }
  }

  result(): TraceResult {
    const output = [...this.#endpoints, ...(this.#refusal === '' ? [] : [this.#refusal])].join(', ');
    const counts = `${this.#rules} rules, ${this.#lookups} lookups`;
    const explain = this.#steps.map(
      ({ chain, depth, rule, matched, note }) =>
        `${'  '.repeat(depth)}${chain}: ${rule}${matched ? '' : ' (no match)'}${note === '' ? '' : ` => ${note}`}`,
    );
    explain.push(`=> ${output === '' ? 'nothing' : output}${this.#everMarked ? ', masqueraded' : ''}; ${counts}`);
    return {
      output,
      masq: this.#everMarked,
      rulesEvaluated: this.#rules,
      lookups: this.#lookups,
      steps: this.#steps,
      explain,
    };
  }

  /** All base chains of a hook, by priority. False when the packet ends here. */
  #hook(hook: BaseChain['hook']): boolean {
    for (const { name, base } of this.#baseChains) {
      if (base?.hook !== hook) continue;
      this.#chain(name, 0);
      if (this.#refusal !== '') return false;
      if (this.#endpoints.length > 0) this.#translate(this.#endpoints[0]);
    }
    return true;
  }

  #translate(endpoint: string): void {
    const colon = endpoint.lastIndexOf(':');
    this.#destIp = endpoint.slice(0, colon).replace(/^\[|\]$/g, '');
    this.#destPort = Number(endpoint.slice(colon + 1));
  }

  #chain(name: string, depth: number): Outcome {
    for (const rule of this.#table.chain(name).rules) {
      const outcome = this.#rule(name, rule, depth);
      if (outcome === 'return') return 'continue';
      if (outcome === 'final') return 'final';
    }
    return 'continue';
  }

  #rule(chain: string, rule: NftRule, depth: number): Outcome | 'return' {
    this.#rules++;
    const log = (matched: boolean, note = ''): void =>
      void this.#steps.push({ chain, depth, rule: rule.text, matched, note });
    for (const statement of rule.statements) {
      switch (statement.kind) {
        case 'verdict':
          log(true);
          return this.#verdict(statement.verdict, depth);
        case 'dispatch': {
          const verdict = this.#lookUp(statement);
          log(verdict !== undefined, verdict === undefined ? '' : verdictText(verdict));
          return verdict === undefined ? 'continue' : this.#verdict(verdict, depth);
        }
        case 'balance':
          log(true, `one of ${statement.chains.length}`);
          return this.#balance(statement.chains, depth);
        case 'dnat':
          log(true);
          this.#endpoints.push(statement.to);
          return 'final';
        case 'masquerade':
          log(true);
          return 'final';
        case 'set-mark':
          this.#marked = statement.operator === 'or';
          this.#everMarked ||= this.#marked;
          break;
        case 'update-affinity':
          break;
        default:
          if (!this.#matches(statement)) {
            log(false);
            return 'continue';
          }
      }
    }
    log(true);
    return 'continue';
  }

  #verdict(verdict: Verdict, depth: number): Outcome | 'return' {
    if (verdict.kind === 'jump' || verdict.kind === 'goto') {
      const outcome = this.#chain(verdict.chain, depth + 1);
      // A chain that was gone to ends in the caller of this one.
      return outcome === 'continue' && verdict.kind === 'goto' ? 'return' : outcome;
    }
    if (verdict.kind === 'return') return 'return';
    this.#refusal = verdict.kind.toUpperCase();
    return 'final';
  }

  /** Counts go on from the longest of the ways. */
  #balance(chains: readonly string[], depth: number): Outcome {
    const [rules, lookups] = [this.#rules, this.#lookups];
    let longest = { rules, lookups };
    for (const chain of chains) {
      this.#rules = rules;
      this.#lookups = lookups;
      this.#chain(chain, depth + 1);
      if (this.#rules > longest.rules) longest = { rules: this.#rules, lookups: this.#lookups };
    }
    this.#rules = longest.rules;
    this.#lookups = longest.lookups;
    return 'final';
  }

  #lookUp(statement: Extract<Statement, { kind: 'dispatch' }>): Verdict | undefined {
    this.#lookups++;
    const port = `${this.#flow.protocol} . ${this.#destPort}`;
    const key = statement.by === 'port' ? port : `${this.#destIp} . ${port}`;
    return this.#table.container(statement.map).elements.get(key)?.verdict;
  }

  #matches(statement: Statement): boolean {
    switch (statement.kind) {
      case 'ct-new':
        return true;
      case 'address': {
        const ip = this.#address(statement.field);
        return statement.blocks.some((block) => blockHolds(block, ip)) !== statement.negated;
      }
      case 'address-set':
        // Sets that age hold what earlier packets left there, and there were none.
        this.#lookups++;
        return this.#table.container(statement.set).elements.has(this.#address(statement.field));
      case 'fib-local':
        return this.#isLocal(this.#address(statement.field));
      case 'interface':
        return interfaceMatches(statement.name, this.#flow.inInterface ?? '') !== statement.negated;
      case 'protocol':
        return statement.protocol === this.#flow.protocol;
      case 'destination-port':
        return statement.protocol === this.#flow.protocol && statement.port === this.#destPort;
      case 'mark-clear':
        return !this.#marked;
      default:
        throw new Error(
          `Assertion failed: a packet of ${this.#family} meets a rule that is not understood: ${statement.kind}`,
        );
    }
  }

  #address(field: 'saddr' | 'daddr'): string {
    return field === 'saddr' ? this.#flow.sourceIp : this.#destIp;
  }

  #isLocal(ip: string): boolean {
    return this.#localIps.has(ip) || isLoopbackIp(ip);
  }
}

function blockHolds(block: string, ip: string): boolean {
  return block.includes('/') ? cidrContainsIp(block, ip) : block === ip;
}

/** A packet that this node sends has come in by no interface. */
function interfaceMatches(name: string, inInterface: string): boolean {
  return name.endsWith('*') ? inInterface.startsWith(name.slice(0, -1)) : inInterface === name;
}
