/** A rule of iptables as an object, its matches in the order in which kube-proxy writes them, and its text. */

export type Protocol = 'tcp' | 'udp' | 'sctp';

export type Match =
  | { readonly kind: 'comment'; readonly text: string }
  /** `-m tcp -p tcp` */
  | { readonly kind: 'protocol'; readonly protocol: Protocol }
  /** `-s` or `-d`; the block is an address or a CIDR, both canonical. */
  | { readonly kind: 'source' | 'destination'; readonly block: string; readonly inverted: boolean }
  /** `-i`; a name that ends in `+` is a prefix. */
  | { readonly kind: 'input'; readonly name: string; readonly inverted: boolean }
  | { readonly kind: 'destinationPort'; readonly port: number }
  /** `-m addrtype`: the address is one of the node's own. */
  | { readonly kind: 'sourceIsLocal' | 'destinationIsLocal' }
  /** `value/mask` with both the same. */
  | { readonly kind: 'mark'; readonly mark: string; readonly inverted: boolean }
  | { readonly kind: 'conntrack'; readonly states: readonly string[]; readonly inverted: boolean }
  /** Counts and matches always. */
  | { readonly kind: 'nfacct'; readonly name: string }
  | { readonly kind: 'statistic'; readonly probability: string }
  | { readonly kind: 'recentCheck'; readonly list: string; readonly seconds: number }
  /** Remembers the source and matches always. */
  | { readonly kind: 'recentSet'; readonly list: string };

export type Target =
  /** A rule without target: it counts, and evaluation goes on. */
  | { readonly kind: 'none' }
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'ACCEPT' | 'DROP' | 'REJECT' | 'RETURN' }
  | { readonly kind: 'DNAT'; readonly endpoint: string }
  | { readonly kind: 'MASQUERADE'; readonly randomFully: boolean }
  | { readonly kind: 'MARK'; readonly operation: 'or' | 'xor'; readonly mark: string };

export interface Rule {
  readonly matches: readonly Match[];
  readonly target: Target;
}

/** Rules by `table/CHAIN`. */
export type RuleSet = ReadonlyMap<string, readonly Rule[]>;

export function rule(target: Target, ...matches: readonly Match[]): Rule {
  return { matches, target };
}

export function jump(chain: string): Target {
  return { kind: 'jump', chain };
}

export function comment(text: string): Match {
  return { kind: 'comment', text };
}

export function source(block: string, inverted = false): Match {
  return { kind: 'source', block, inverted };
}

export function destination(block: string, inverted = false): Match {
  return { kind: 'destination', block, inverted };
}

export function destinationPort(port: number): Match {
  return { kind: 'destinationPort', port };
}

/** The chance of a rule with a statistic match as printed (`0.5000000000`); `undefined` for a rule without one. */
export function jumpProbability({ matches }: Rule): string | undefined {
  for (const match of matches) if (match.kind === 'statistic') return match.probability;
  return undefined;
}

/** `-A CHAIN ...` */
export function ruleText(chain: string, { matches, target }: Rule): string {
  let text = `-A ${chain}`;
  for (const match of matches) text += ` ${matchText(match)}`;
  return target.kind === 'none' ? text : `${text} -j ${targetText(target)}`;
}

function matchText(match: Match): string {
  switch (match.kind) {
    case 'comment':
      return `-m comment --comment ${match.text.includes(' ') ? `"${match.text}"` : match.text}`;
    case 'protocol':
      return `-m ${match.protocol} -p ${match.protocol}`;
    case 'source':
      return `${not(match)}-s ${match.block}`;
    case 'destination':
      return `${not(match)}-d ${match.block}`;
    case 'input':
      return `${not(match)}-i ${match.name}`;
    case 'destinationPort':
      return `--dport ${match.port}`;
    case 'sourceIsLocal':
      return '-m addrtype --src-type LOCAL';
    case 'destinationIsLocal':
      return '-m addrtype --dst-type LOCAL';
    case 'mark':
      return `-m mark ${not(match)}--mark ${match.mark}/${match.mark}`;
    case 'conntrack':
      return `-m conntrack ${not(match)}--ctstate ${match.states.join(',')}`;
    case 'nfacct':
      return `-m nfacct --nfacct-name ${match.name}`;
    case 'statistic':
      return `-m statistic --mode random --probability ${match.probability}`;
    case 'recentCheck':
      return `-m recent --name ${match.list} --rcheck --seconds ${match.seconds} --reap`;
    case 'recentSet':
      return `-m recent --name ${match.list} --set`;
  }
}

function not(match: { readonly inverted: boolean }): string {
  return match.inverted ? '! ' : '';
}

function targetText(target: Exclude<Target, { kind: 'none' }>): string {
  switch (target.kind) {
    case 'jump':
      return target.chain;
    case 'DNAT':
      return `DNAT --to-destination ${target.endpoint}`;
    case 'MASQUERADE':
      return target.randomFully ? 'MASQUERADE --random-fully' : 'MASQUERADE';
    case 'MARK':
      return `MARK --${target.operation}-mark ${target.mark}`;
    default:
      return target.kind;
  }
}
