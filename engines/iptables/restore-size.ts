/**
 * How many bytes of iptables-restore input the rules of a service port are. The length of a plain one's is linear in the lengths of its name,
 * its numbers and its endpoints' addresses: the program compiles a few templates, and their differences are the coefficients. So a cluster of 150,000
 * endpoints is sized without making its text.
 */
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import type { Protocol } from '../../model/protocol.ts';
import { servicePortConfig } from '../proxy/configs.ts';
import type { NodeFacts } from './node-facts.ts';
import { IptablesProgrammer } from './program/programmer.ts';
import { ruleText } from './program/rules.ts';
import type { Rule } from './program/rules.ts';
import type { ServicePortRules } from './program/service-rules.ts';
import { servicePortRules } from './program/service-rules.ts';

/** Bytes in the chains that all service ports share, and in a service port's own chains with their chain lines. */
export interface RestoreSize {
  readonly shared: number;
  readonly own: number;
}

/** Name, cluster IP, port and node port of a template, in characters; each endpoint has an address and a port. */
const NAME = 'n/a';
const ADDRESS = 0x01010101;
const ADDRESS_LENGTH = 7;
const NODE_PORT = 30_000;
const NODE_PORT_LENGTH = 5;

/** Of a number below 256, in characters. */
const LENGTH_OF_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => (byte < 10 ? 1 : byte < 100 ? 2 : 3));

/** Per character of each part, for both sums. */
interface Coefficients {
  readonly base: RestoreSize;
  readonly name: RestoreSize;
  readonly clusterIp: RestoreSize;
  readonly port: RestoreSize;
  readonly nodePort: RestoreSize;
  /** Of each endpoint after the first, and its share of the name. */
  readonly endpoint: RestoreSize;
  readonly endpointName: RestoreSize;
  /** Of each endpoint's address and port. */
  readonly endpointAddress: RestoreSize;
  readonly endpointPort: RestoreSize;
}

export class PlainSizes {
  readonly #facts: NodeFacts;
  /** By protocol and shape. */
  readonly #known: (Coefficients | undefined)[] = [];

  constructor(facts: NodeFacts) {
    this.#facts = facts;
  }

  /** Of a plain service port with `count` usable endpoints, whose addresses and ports have so many characters in all. */
  size(svc: ServicePort, commented: boolean, count: number, addressLength: number, portLength: number): RestoreSize {
    const { protocol, nodePort } = svc;
    const key = protocol * 8 + (commented ? 4 : 0) + (nodePort === 0 ? 0 : 2) + (count === 0 ? 0 : 1);
    let c = this.#known[key];
    if (c === undefined) {
      c = this.#measure(protocol, commented, nodePort !== 0, count > 0);
      this.#known[key] = c;
    }
    const name = nameLength(svc) - NAME.length;
    const clusterIp = lengthOfAddress(svc.clusterIp) - ADDRESS_LENGTH;
    const port = lengthOfPort(svc.port) - 1;
    const outside = nodePort === 0 ? 0 : lengthOfPort(nodePort) - NODE_PORT_LENGTH;
    const more = count > 0 ? count - 1 : 0;
    const addresses = addressLength - count * ADDRESS_LENGTH;
    const ports = portLength - count;
    return {
      shared:
        c.base.shared +
        c.name.shared * name +
        c.clusterIp.shared * clusterIp +
        c.port.shared * port +
        c.nodePort.shared * outside +
        more * (c.endpoint.shared + c.endpointName.shared * name) +
        c.endpointAddress.shared * addresses +
        c.endpointPort.shared * ports,
      own:
        c.base.own +
        c.name.own * name +
        c.clusterIp.own * clusterIp +
        c.port.own * port +
        c.nodePort.own * outside +
        more * (c.endpoint.own + c.endpointName.own * name) +
        c.endpointAddress.own * addresses +
        c.endpointPort.own * ports,
    };
  }

  #measure(protocol: Protocol, commented: boolean, hasNodePort: boolean, hasEndpoints: boolean): Coefficients {
    const plain: ServicePort = {
      id: 0,
      namespace: 'n',
      name: 'a',
      portName: '',
      protocol,
      clusterIp: ADDRESS,
      port: 1,
      nodePort: hasNodePort ? NODE_PORT : 0,
      endpoints: hasEndpoints ? [endpointOf(ADDRESS, 1)] : [],
    };
    const sizeOf = (changes: Partial<ServicePort>): RestoreSize => {
      const config = servicePortConfig({ ...plain, ...changes }, this.#facts.node);
      return restoreSize(servicePortRules(config, this.#facts.config, commented));
    };
    const base = sizeOf({});
    const name = minus(sizeOf({ name: 'ab' }), base);
    const two = [endpointOf(ADDRESS, 1), endpointOf(ADDRESS + 1, 1)];
    const endpoint = hasEndpoints ? minus(sizeOf({ endpoints: two }), base) : NOTHING;
    const ofTwo = hasEndpoints ? minus(sizeOf({ endpoints: two, name: 'ab' }), sizeOf({ endpoints: two })) : name;
    return {
      base,
      name,
      // 10.1.1.1
      clusterIp: minus(sizeOf({ clusterIp: 0x0a010101 }), base),
      port: minus(sizeOf({ port: 80 }), base),
      nodePort: hasNodePort ? minus(base, sizeOf({ nodePort: 3000 })) : NOTHING,
      endpoint,
      endpointName: minus(ofTwo, name),
      endpointAddress: hasEndpoints ? minus(sizeOf({ endpoints: [endpointOf(0x0a010101, 1)] }), base) : NOTHING,
      endpointPort: hasEndpoints ? minus(sizeOf({ endpoints: [endpointOf(ADDRESS, 80)] }), base) : NOTHING,
    };
  }
}

const NOTHING: RestoreSize = { shared: 0, own: 0 };

/** Of rules as text. */
export function restoreSize({ shared, chains }: ServicePortRules): RestoreSize {
  const inShared = shared.reduce(
    (sum, [chain, rule]) => sum + lineLength(chain.slice(chain.indexOf('/') + 1), rule),
    0,
  );
  let own = 0;
  for (const [chain, rules] of chains) {
    own += CHAIN_LINE + chain.length;
    for (const rule of rules) own += lineLength(chain, rule);
  }
  return { shared: inShared, own };
}

/** A sync of a cluster without Services. */
export function emptyRestoreSize({ config }: NodeFacts): number {
  return new IptablesProgrammer(config).sync([], { full: true, changed: new Set(), nowSeconds: 0 }).restoreText()
    .length;
}

/** A chain that is deleted: its chain line, and the line that deletes it. */
export function deletionSize(chains: number, nameLengths: number): number {
  return chains * (CHAIN_LINE + '-X \n'.length) + 2 * nameLengths;
}

/** `:NAME - [0:0]`, the name apart. */
const CHAIN_LINE = ': - [0:0]\n'.length;

/** Names, addresses and numbers are ASCII. */
function lineLength(chain: string, rule: Rule): number {
  return ruleText(chain, rule).length + 1;
}

export function lengthOfAddress(address: number): number {
  const lengths = LENGTH_OF_BYTE;
  return (
    3 +
    lengths[address >>> 24] +
    lengths[(address >>> 16) & 255] +
    lengths[(address >>> 8) & 255] +
    lengths[address & 255]
  );
}

export function lengthOfPort(port: number): number {
  return port < 10 ? 1 : port < 100 ? 2 : port < 1000 ? 3 : port < 10_000 ? 4 : 5;
}

/** Of servicePortName. */
function nameLength({ namespace, name, portName }: ServicePort): number {
  return namespace.length + 1 + name.length + (portName === '' ? 0 : 1 + portName.length);
}

function minus(a: RestoreSize, b: RestoreSize): RestoreSize {
  return { shared: a.shared - b.shared, own: a.own - b.own };
}

function endpointOf(address: number, port: number): Endpoint {
  return { address, port, nodeName: '', ready: true, serving: true, terminating: false };
}
