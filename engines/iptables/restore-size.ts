/**
 * How many bytes of iptables-restore input the rules of a service port are. The length of a plain one's is linear in the lengths of its name,
 * its numbers and its endpoints' addresses: the program compiles a few templates, and their differences are the coefficients. So a cluster of 150,000
 * endpoints is sized without making its text.
 */
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { servicePortName } from '../../model/cluster.ts';
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
  readonly #known = new Map<number, Coefficients>();

  constructor(facts: NodeFacts) {
    this.#facts = facts;
  }

  /** Of a plain service port with `count` usable endpoints, whose addresses and ports have so many characters in all. */
  size(svc: ServicePort, commented: boolean, count: number, addressLength: number, portLength: number): RestoreSize {
    const { protocol, nodePort } = svc;
    const key = protocol * 8 + (commented ? 4 : 0) + (nodePort === 0 ? 0 : 2) + (count === 0 ? 0 : 1);
    let c = this.#known.get(key);
    if (c === undefined) {
      c = this.#measure(protocol, commented, nodePort !== 0, count > 0);
      this.#known.set(key, c);
    }
    const name = servicePortName(svc).length - NAME.length;
    const address = lengthOfAddress(svc.clusterIp) - ADDRESS_LENGTH;
    const port = lengthOfPort(svc.port) - 1;
    const outside = nodePort === 0 ? 0 : lengthOfPort(nodePort) - NODE_PORT_LENGTH;
    const more = Math.max(0, count - 1);
    const total = (part: keyof RestoreSize): number =>
      c.base[part] +
      c.name[part] * name +
      c.clusterIp[part] * address +
      c.port[part] * port +
      c.nodePort[part] * outside +
      more * (c.endpoint[part] + c.endpointName[part] * name) +
      c.endpointAddress[part] * (addressLength - count * ADDRESS_LENGTH) +
      c.endpointPort[part] * (portLength - count);
    return { shared: total('shared'), own: total('own') };
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
  return (
    3 +
    lengthOfByte(address >>> 24) +
    lengthOfByte((address >>> 16) & 255) +
    lengthOfByte((address >>> 8) & 255) +
    lengthOfByte(address & 255)
  );
}

export function lengthOfPort(port: number): number {
  return port < 10 ? 1 : port < 100 ? 2 : port < 1000 ? 3 : port < 10_000 ? 4 : 5;
}

function lengthOfByte(byte: number): number {
  return byte < 10 ? 1 : byte < 100 ? 2 : 3;
}

function minus(a: RestoreSize, b: RestoreSize): RestoreSize {
  return { shared: a.shared - b.shared, own: a.own - b.own };
}

function endpointOf(address: number, port: number): Endpoint {
  return { address, port, nodeName: '', ready: true, serving: true, terminating: false };
}
