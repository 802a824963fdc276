/** The rules of userspace mode as text, for one IP family, and a flow's first packet followed through them. */
import { canonicalIp, compareBytes, isLoopbackIp } from '../../model/ip-text.ts';
import type { ProxyConfig, ServicePortConfig } from '../../model/service-config.ts';
import { hostPort, portNameText } from '../../model/service-config.ts';
import type { PortalRule } from './portal-rules.ts';
import { NODE_PORT_HOST, NODE_PORT_NON_LOCAL, PORTALS_HOST, portalRules } from './portal-rules.ts';

/** A service port with the port at which kube-proxy's process listens for it. */
export interface OpenPort {
  readonly svc: ServicePortConfig;
  readonly proxyPort: number;
}

export interface UserspaceFlow {
  readonly sourceIp: string;
  readonly protocol: ServicePortConfig['protocol'];
  readonly destIp: string;
  readonly destPort: number;
}

interface Step {
  /** `nat/KUBE-PORTALS-HOST 3`. */
  readonly place: string;
  readonly text: string;
  readonly matched: boolean;
}

export interface UserspaceTrace {
  readonly steps: readonly Step[];
  /** Every endpoint that the process may dial. */
  readonly endpoints: readonly string[];
  /** The packet reaches the process. */
  readonly redirected: boolean;
}

/** By index of portal-rules.ts. */
const CHAINS = [
  'KUBE-PORTALS-CONTAINER',
  'KUBE-PORTALS-HOST',
  'KUBE-NODEPORT-CONTAINER',
  'KUBE-NODEPORT-HOST',
  'KUBE-NODEPORT-NON-LOCAL',
] as const;
const FIRST_PROXY_PORT = 32_768;

const CLUSTER_IPS = '-m comment --comment "handle ClusterIPs; NOTE: this must be before the NodePort rules"';
const NODE_PORTS =
  '-m addrtype --dst-type LOCAL -m comment --comment "handle service NodePorts; NOTE: this must be the last rule in the chain"';
const NON_LOCAL = '-m comment --comment "Ensure that non-local NodePort traffic can flow"';

const BUILT_IN: Readonly<Record<string, readonly string[]>> = {
  'nat/PREROUTING': [`${CLUSTER_IPS} -j ${CHAINS[0]}`, `${NODE_PORTS} -j ${CHAINS[2]}`],
  'nat/OUTPUT': [`${CLUSTER_IPS} -j ${CHAINS[1]}`, `${NODE_PORTS} -j ${CHAINS[3]}`],
  'filter/INPUT': [`${NON_LOCAL} -j ${CHAINS[4]}`],
};

interface TextRule {
  readonly rule: PortalRule<string>;
  readonly open: OpenPort;
  /** Without `-A CHAIN`. */
  readonly text: string;
}

/** The process has no sockets for SCTP; the real ports are any free ones. */
export function openPorts(services: readonly ServicePortConfig[]): OpenPort[] {
  return services
    .filter((svc) => svc.protocol !== 'sctp')
    .sort((a, b) => compareBytes(portNameText(a), portNameText(b)))
    .map((svc, i) => ({ svc, proxyPort: FIRST_PROXY_PORT + i }));
}

export class UserspaceProgram {
  readonly #config: ProxyConfig;
  readonly #chains: readonly TextRule[][] = CHAINS.map(() => []);

  constructor(config: ProxyConfig, open: readonly OpenPort[]) {
    this.#config = config;
    for (const each of open) {
      for (const rule of portalRules(each.svc, each.proxyPort)) {
        this.#chains[rule.chain].push({ rule, open: each, text: ruleText(rule, each, config) });
      }
    }
  }

  /** The complete state of both tables, loadable by iptables-restore (IPv6: ip6tables-restore) into empty ones. */
  kernelText(): string {
    return (['filter', 'nat'] as const)
      .map((table) => {
        const chains = CHAINS.flatMap((chain, i) => {
          const texts = this.#chains[i].map(({ text }) => text);
          return (i === NODE_PORT_NON_LOCAL) === (table === 'filter') ? [[chain, texts] as const] : [];
        });
        const hooks = builtInOf(table);
        return [
          `*${table}`,
          ...hooks.map(([hook]) => `:${hook} ACCEPT [0:0]`),
          ...chains.map(([chain]) => `:${chain} - [0:0]`),
          ...[...hooks, ...chains].flatMap(([chain, texts]) => texts.map((text) => `-A ${chain} ${text}`)),
          'COMMIT',
          '',
        ].join('\n');
      })
      .join('');
  }

  /** What kube-proxy runs at its first sync: one command for each chain and rule (each rule after a `-C` that finds it missing). */
  commandText(): string {
    const tool = this.#config.ipFamily === 'IPv6' ? 'ip6tables' : 'iptables';
    const tableOf = (i: number): string => (i === NODE_PORT_NON_LOCAL ? 'filter' : 'nat');
    const lines = CHAINS.map((chain, i) => `${tool} -t ${tableOf(i)} -N ${chain}`);
    for (const [place, texts] of Object.entries(BUILT_IN)) {
      const [table, hook] = place.split('/');
      // The jump to the node ports goes to the end, the others to the front.
      for (const text of texts) lines.push(`${tool} -t ${table} ${text === texts[1] ? '-A' : '-I'} ${hook} ${text}`);
    }
    this.#chains.forEach((rules, i) => {
      for (const { text } of rules) lines.push(`${tool} -t ${tableOf(i)} -A ${CHAINS[i]} ${text}`);
    });
    return `${lines.join('\n')}\n`;
  }

  /** The packet that begins a flow. One whose source is the node's own leaves through OUTPUT. */
  trace(flow: UserspaceFlow): UserspaceTrace {
    const steps: Step[] = [];
    const fromNode = this.#isLocal(flow.sourceIp);
    const found = this.#nat(fromNode, flow, steps);
    const toNode = found !== undefined || this.#isLocal(flow.destIp);
    if (!fromNode && toNode) {
      const port = found?.open.proxyPort ?? flow.destPort;
      steps.push({ place: 'filter/INPUT 1', text: BUILT_IN['filter/INPUT'][0], matched: true });
      this.#chain(NODE_PORT_NON_LOCAL, { ...flow, destPort: port }, steps);
    }
    const endpoints = found?.open.svc.endpoints.filter(({ ready }) => ready) ?? [];
    return { steps, redirected: found !== undefined, endpoints: endpoints.map((e) => hostPort(e.address, e.port)) };
  }

  #nat(fromNode: boolean, flow: UserspaceFlow, steps: Step[]): TextRule | undefined {
    const hook = fromNode ? 'nat/OUTPUT' : 'nat/PREROUTING';
    const [toPortals, toNodePorts] = BUILT_IN[hook];
    steps.push({ place: `${hook} 1`, text: toPortals, matched: true });
    const found = this.#chain(fromNode ? PORTALS_HOST : 0, flow, steps);
    if (found !== undefined) return found;
    const isLocal = this.#isLocal(flow.destIp);
    steps.push({ place: `${hook} 2`, text: toNodePorts, matched: isLocal });
    return isLocal ? this.#chain(fromNode ? NODE_PORT_HOST : NODE_PORT_HOST - 1, flow, steps) : undefined;
  }

  #chain(chain: number, flow: UserspaceFlow, steps: Step[]): TextRule | undefined {
    const table = chain === NODE_PORT_NON_LOCAL ? 'filter' : 'nat';
    for (const [i, each] of this.#chains[chain].entries()) {
      const { rule, open, text } = each;
      const matched =
        open.svc.protocol === flow.protocol &&
        rule.port === flow.destPort &&
        (rule.address === undefined || rule.address === canonicalIp(flow.destIp)) &&
        (!rule.wantsLocal || this.#isLocal(flow.destIp));
      steps.push({ place: `${table}/${CHAINS[chain]} ${i + 1}`, text, matched });
      if (matched) return each;
    }
    return undefined;
  }

  #isLocal(address: string): boolean {
    const ip = canonicalIp(address) ?? address;
    return isLoopbackIp(ip) || this.#config.interfaceAddresses.includes(ip);
  }
}

function builtInOf(table: string): (readonly [string, readonly string[]])[] {
  return Object.entries(BUILT_IN)
    .filter(([place]) => place.startsWith(`${table}/`))
    .map(([place, texts]) => [place.slice(table.length + 1), texts] as const);
}

function ruleText(rule: PortalRule<string>, { svc, proxyPort }: OpenPort, config: ProxyConfig): string {
  const bits = config.ipFamily === 'IPv6' ? 128 : 32;
  const toHost = rule.chain === PORTALS_HOST || rule.chain === NODE_PORT_HOST;
  const target = rule.wantsNew
    ? '-m state --state NEW -j ACCEPT'
    : toHost
      ? `-j DNAT --to-destination ${hostPort(config.nodeIp, proxyPort)}`
      : `-j REDIRECT --to-ports ${proxyPort}`;
  const parts = [
    `-m comment --comment ${portNameText(svc)} -p ${svc.protocol} -m ${svc.protocol} --dport ${rule.port}`,
    rule.address === undefined ? '' : `-d ${rule.address}/${bits}`,
    rule.hasPhysdev ? '-m physdev ! --physdev-is-in' : '',
    rule.wantsLocal ? '-m addrtype --dst-type LOCAL' : '',
    target,
  ];
  return parts.filter((part) => part !== '').join(' ');
}
