/** Random lockstep programs: scripted flows with replies, odd packets, jumps of time, syncs between packets. */
import type { NodeSpec } from '../../model/cluster.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_MS, NS_PER_S, NS_PER_US } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { formatIpv4, parseCidr } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import { CURRENT_KUBE_PROXY } from '../../model/kube-proxy.ts';
import { DEFAULT_ENGINE_OPTIONS, IPVS_SCHEDULERS } from '../engine.ts';
import type { EngineName, EngineOptions } from '../engine.ts';
import {
  ChangingCluster,
  chance,
  ENDPOINT_PORTS,
  NODE_ADDRESSES,
  NODE_NAME,
  pick,
  POD_CIDR,
  POD_NET,
  POD_NUMBERS,
  randomPod,
} from './generate-cluster.ts';
import type { WorldKind } from './generate-cluster.ts';
import type { PacketStep, Program, Step } from './program.ts';

/** [from the server, flags] of each packet of a conversation. */
type Script = readonly (readonly [boolean, number])[];

const OPEN: Script = [
  [false, TCP_SYN],
  [true, TCP_SYN | TCP_ACK],
  [false, TCP_ACK],
];
const SCRIPTS: readonly Script[] = [
  [...OPEN, [false, TCP_ACK], [true, TCP_ACK], [false, TCP_FIN | TCP_ACK], [true, TCP_FIN | TCP_ACK], [false, TCP_ACK]],
  [...OPEN, [true, TCP_FIN | TCP_ACK], [false, TCP_ACK], [false, TCP_FIN | TCP_ACK], [true, TCP_ACK], [false, TCP_SYN]],
  [...OPEN, [false, TCP_ACK], [false, TCP_RST], [false, TCP_SYN], [true, TCP_SYN | TCP_ACK]],
  [
    [false, TCP_SYN],
    [false, TCP_SYN],
    [true, TCP_RST | TCP_ACK],
    [false, TCP_SYN],
  ],
  [
    [false, TCP_ACK],
    [true, TCP_ACK],
    [false, TCP_SYN],
    [true, TCP_SYN | TCP_ACK],
    [false, TCP_ACK],
  ],
  [...OPEN, [false, TCP_ACK], [true, TCP_ACK], [false, TCP_ACK], [true, TCP_ACK]],
  // Both ends open at once.
  [
    [false, TCP_SYN],
    [true, TCP_SYN],
    [true, TCP_SYN | TCP_ACK],
    [false, TCP_ACK],
  ],
];
const UDP_SCRIPT: Script = [
  [false, 0],
  [true, 0],
  [false, 0],
  [false, 0],
  [true, 0],
];
const SOURCE_PORTS = [300, 700, 1023, 1024, 40000, 40001, 65535];
const JUMPS_S = [1, 2, 10, 30, 60, 120, 300, 900];
/** A day and an hour: TCP's longest time-outs, and the life of an lblcr set. */
const LONG_JUMPS_S = [3600, 86400];
const STORM_PORT = 700;
/** net.ipv4.ip_local_port_range begins here. */
const FIRST_EPHEMERAL_PORT = 32_768;

type Addresses = Omit<PacketStep, 'kind' | 'at' | 'flags' | 'isReply'>;

interface Conversation {
  readonly addresses: Addresses;
  readonly script: Script;
  next: number;
}

export interface GenerateOptions {
  readonly mode: EngineName;
  readonly seed: number;
  readonly packets: number;
  /** `whole`: everything that a service port may have and that kube-proxy may be told, and SCTP. */
  readonly world?: WorldKind;
}

class Generator {
  readonly #stream: RandomStream;
  readonly #cluster: ChangingCluster;
  readonly #steps: Step[] = [];
  readonly #storm: boolean;
  readonly #whole: boolean;
  readonly #isUserspace: boolean;
  #isInterrupted = false;
  #now = 0;
  #conversations: Conversation[] = [];
  #client = 0;

  constructor(stream: RandomStream, world: WorldKind, mode: EngineName) {
    this.#stream = stream;
    this.#isUserspace = mode === 'userspace';
    this.#cluster = new ChangingCluster(stream, stream.below(9), world);
    this.#whole = world === 'whole';
    this.#storm = chance(stream, 20);
  }

  steps(packets: number): Step[] {
    this.#sync();
    for (let i = 0; i < packets; i++) {
      if (!this.#storm) this.#meanwhile();
      this.#passTime();
      this.#steps.push(this.#storm && !chance(this.#stream, 10) ? this.#stormPacket() : this.#packet());
    }
    return this.#steps;
  }

  /** Control plane between packets. */
  #meanwhile(): void {
    const stream = this.#stream;
    const what = stream.below(400);
    const at = this.#now;
    if (this.#isInterrupted) {
      if (what < 40) this.#sync();
    } else if (what < 10) this.#steps.push({ kind: 'apply', at, delta: this.#cluster.change() });
    else if (what < 12) this.#steps.push({ kind: 'advance', at });
    else if (what < 22) this.#steps.push({ kind: 'flush', at });
    else if (what === 22) {
      if (chance(stream, 2)) this.#cluster.change();
      this.#sync();
    } else if (what === 23 && this.#isUserspace) {
      this.#steps.push({ kind: 'interrupt', at });
      this.#isInterrupted = true;
    }
  }

  #sync(): void {
    this.#steps.push({ kind: 'sync', at: this.#now, state: { servicePorts: this.#cluster.servicePorts } });
    this.#isInterrupted = false;
  }

  #passTime(): void {
    const stream = this.#stream;
    const kind = stream.below(1000);
    if (kind < 150) return;
    if (kind < 700 || this.#storm) this.#now += stream.below(1000) * NS_PER_US;
    // The process closes an idle socket after 250 ms.
    else if (kind < 985) this.#now += stream.below(this.#isUserspace && chance(stream, 2) ? 250 : 2000) * NS_PER_MS;
    // Whole seconds after a whole second, so that time-outs are met to the nanosecond.
    else {
      if (chance(stream, 2)) this.#now = Math.ceil(this.#now / NS_PER_S) * NS_PER_S;
      this.#now += pick(stream, kind === 999 && chance(stream, 2) ? LONG_JUMPS_S : JUMPS_S) * NS_PER_S;
    }
  }

  #packet(): PacketStep {
    const stream = this.#stream;
    if (this.#conversations.length < 12 && chance(stream, 3)) this.#conversations.push(this.#conversation());
    const conversation = this.#conversations[stream.below(Math.max(1, this.#conversations.length))];
    if (conversation === undefined || chance(stream, 30)) return this.#oddPacket();
    const [isReply, flags] = conversation.script[conversation.next++] ?? [false, 0];
    if (conversation.next >= conversation.script.length || chance(stream, 20)) {
      this.#conversations = this.#conversations.filter((other) => other !== conversation);
    }
    return { kind: 'packet', at: this.#now, ...conversation.addresses, flags, isReply };
  }

  #conversation(): Conversation {
    const addresses = this.#addresses();
    const script = addresses.protocol !== PROTOCOL_TCP ? UDP_SCRIPT : pick(this.#stream, SCRIPTS);
    return { addresses, script, next: 0 };
  }

  /** Any flags, on a known flow or anywhere. */
  #oddPacket(): PacketStep {
    const stream = this.#stream;
    const known = this.#conversations[stream.below(this.#conversations.length + 1)]?.addresses;
    const isKnown = known !== undefined && !chance(stream, 4);
    const addresses = isKnown ? this.#maybeFromProxyPort(known) : this.#addresses();
    return { kind: 'packet', at: this.#now, ...addresses, flags: stream.below(32) & 23, isReply: chance(stream, 3) };
  }

  #addresses(): Addresses {
    const stream = this.#stream;
    if (this.#isUserspace && chance(stream, 30)) return this.#toOwnSocket();
    const origin = pick(stream, [ORIGIN_HOST, ORIGIN_POD, ORIGIN_POD, ORIGIN_EXTERNAL]);
    const target = this.#target(origin);
    let srcAddress = randomPod(stream);
    if (origin === ORIGIN_HOST) srcAddress = pick(stream, [...NODE_ADDRESSES, 0x7f000001]);
    if (origin === ORIGIN_EXTERNAL) srcAddress = 0xcb007100 + stream.below(3);
    if (chance(stream, 60)) srcAddress = pick(stream, [0x0a600001, ...NODE_ADDRESSES, 0x7f000001, randomPod(stream)]);
    // What a load balancer on the node itself makes of the node's own requests.
    if (this.#whole && chance(stream, 20)) srcAddress = target.dstAddress;
    return { srcAddress, srcPort: pick(stream, SOURCE_PORTS), ...target, origin };
  }

  /** Rarely a packet to the client that seems to come from a proxy port. */
  #maybeFromProxyPort(known: Addresses): Addresses {
    const stream = this.#stream;
    if (!this.#isUserspace || !chance(stream, 2)) return known;
    return {
      protocol: known.protocol,
      srcAddress: NODE_ADDRESSES[0],
      srcPort: FIRST_EPHEMERAL_PORT + stream.below(8),
      dstAddress: known.srcAddress,
      dstPort: known.srcPort,
      origin: ORIGIN_HOST,
    };
  }

  /** Between an endpoint and a port of the node that kube-proxy's process has, or may have next; either may be the sender. */
  #toOwnSocket(): Addresses {
    const stream = this.#stream;
    const services = this.#cluster.servicePorts.filter((svc) => svc.endpoints.length > 0);
    const svc = services[stream.below(Math.max(1, services.length))];
    const endpoint = svc?.endpoints[stream.below(svc.endpoints.length)];
    const address = endpoint?.address ?? randomPod(stream);
    const port = endpoint?.port ?? 80;
    const own = NODE_ADDRESSES[0];
    const protocol = svc?.protocol ?? PROTOCOL_TCP;
    if (chance(stream, 2)) {
      const ownPort = FIRST_EPHEMERAL_PORT + stream.below(200);
      return { protocol, srcAddress: address, srcPort: port, dstAddress: own, dstPort: ownPort, origin: ORIGIN_POD };
    }
    const ownPort = FIRST_EPHEMERAL_PORT + stream.below(20);
    return { protocol, srcAddress: own, srcPort: ownPort, dstAddress: address, dstPort: port, origin: ORIGIN_POD };
  }

  #target(origin: number): { protocol: number; dstAddress: number; dstPort: number } {
    const stream = this.#stream;
    const services = this.#cluster.servicePorts;
    const svc = services[stream.below(Math.max(1, services.length))];
    const endpoint = svc?.endpoints[stream.below(Math.max(1, svc.endpoints.length))];
    let protocol = svc?.protocol ?? PROTOCOL_TCP;
    if (chance(stream, 30)) protocol = protocol === PROTOCOL_TCP ? PROTOCOL_UDP : PROTOCOL_TCP;
    const nodeAddress = pick(stream, NODE_ADDRESSES);
    const kind = stream.below(20);
    if (svc !== undefined && svc.nodePort > 0 && (origin === ORIGIN_EXTERNAL ? kind < 14 : kind < 5)) {
      const loopback = chance(stream, 8);
      return { protocol, dstAddress: loopback ? 0x7f000001 : nodeAddress, dstPort: svc.nodePort };
    }
    const { externalIps = [], loadBalancerVips = [], healthCheckNodePort = 0 } = svc?.extras ?? {};
    const outside = [...externalIps, ...loadBalancerVips];
    if (svc !== undefined && outside.length > 0 && (origin === ORIGIN_EXTERNAL || kind < 9)) {
      return { protocol, dstAddress: pick(stream, outside), dstPort: kind === 8 ? 9999 : svc.port };
    }
    if (healthCheckNodePort > 0 && kind === 15)
      return { protocol, dstAddress: nodeAddress, dstPort: healthCheckNodePort };
    if (svc !== undefined && kind < 16) return { protocol, dstAddress: svc.clusterIp, dstPort: svc.port };
    if (svc !== undefined && kind === 16) return { protocol, dstAddress: svc.clusterIp, dstPort: 9999 };
    if (endpoint !== undefined && kind === 17)
      return { protocol, dstAddress: endpoint.address, dstPort: endpoint.port };
    // 10.96.255.1 is of the service range, and no Service has it.
    const elsewhere = [nodeAddress, 0x08080808, 0x7f000001, 0x0a60ff01, randomPod(stream)];
    return { protocol, dstAddress: pick(stream, elsewhere), dstPort: pick(stream, [22, 53, ...SOURCE_PORTS]) };
  }

  /** Many clients with one source port to one masqueraded place: uses up the range 600..1023, and fills lists of affinity. */
  #stormPacket(): PacketStep {
    const served = this.#cluster.servicePorts.filter((s) => s.endpoints.length > 0);
    const sticky = served.find((s) => (s.extras?.affinitySeconds ?? 0) > 0);
    const svc = sticky ?? served[0] ?? this.#cluster.servicePorts[0];
    const addresses: Addresses = {
      protocol: svc?.protocol ?? PROTOCOL_TCP,
      srcAddress: 0xcb007200 + this.#client++,
      srcPort: STORM_PORT,
      dstAddress: svc === undefined || svc.nodePort === 0 ? (svc?.clusterIp ?? 0x08080808) : (NODE_ADDRESSES[0] ?? 0),
      dstPort: svc === undefined || svc.nodePort === 0 ? (svc?.port ?? 53) : svc.nodePort,
      origin: ORIGIN_EXTERNAL,
    };
    return { kind: 'packet', at: this.#now, ...addresses, flags: TCP_SYN, isReply: false };
  }
}

/** The program of that seed; the same on every machine. */
export function generateProgram({ mode, seed, packets, world = 'plain' }: GenerateOptions): Program {
  const stream = new Rng(seed).stream(world === 'plain' ? `lockstep/${mode}` : `lockstep/${mode}/${world}`);
  const withCidr = !chance(stream, 3);
  const node: NodeSpec = {
    name: NODE_NAME,
    addresses: chance(stream, 3) ? NODE_ADDRESSES.slice(0, 1) : NODE_ADDRESSES,
    ...(withCidr ? { clusterCidr: POD_CIDR } : {}),
    ...(world === 'whole' ? wholeNode(stream) : {}),
  };
  const options: Program['options'] = {
    ...DEFAULT_ENGINE_OPTIONS,
    masqueradeRandomFully: false,
    masqueradeAll: chance(stream, 4),
    masqueradeBit: pick(stream, [14, 14, 0, 31]),
    largeClusterEndpoints: pick(stream, [1000, 1000, 3, 10]),
    ipvsScheduler: pick(stream, IPVS_SCHEDULERS),
    ipvsConnTabBits: pick(stream, [1, 8, 12]),
    ...(world === 'whole' ? wholeOptions(stream) : {}),
    ...(mode === 'ipvs' ? reuseOptions(new Rng(seed).stream('lockstep/ipvs/reuse')) : {}),
  };
  const dead = mode === 'userspace' ? { deadEndpoints: deadEndpoints(stream) } : {};
  return { mode, seed, node, options, ...dead, steps: new Generator(stream, world, mode).steps(packets) };
}

/** None, some, or nearly all. */
function deadEndpoints(stream: RandomStream): string[] {
  const share = pick(stream, ['none', 'none', 'some', 'most'] as const);
  if (share === 'none') return [];
  const all = POD_NUMBERS.flatMap((number) => ENDPOINT_PORTS.map((port) => `${formatIpv4(POD_NET + number)}:${port}`));
  return all.filter(() => (share === 'some' ? chance(stream, 3) : !chance(stream, 6)));
}

function wholeNode(stream: RandomStream): Pick<NodeSpec, 'zone' | 'podInterface'> {
  const podInterface = pick(stream, [undefined, undefined, { kind: 'bridge', name: 'cni0' }, { kind: 'prefix', name: 'veth' }] as const); // prettier-ignore
  return {
    ...(chance(stream, 3) ? {} : { zone: pick(stream, ['a', 'b']) }),
    ...(podInterface === undefined ? {} : { podInterface }),
  };
}

const NODE_PORT_ADDRESSES = [[], [], ['192.168.0.1/32'], ['192.168.0.0/24'], ['127.0.0.0/8', '192.168.0.2/32']].map(
  (texts) => texts.map((text) => parseCidr(text) as Cidr),
);
const SERVICE_CIDRS = [[], [parseCidr('10.96.0.0/12') as Cidr]];

/** Kernels on either side of each change of IPVS' reuse of ports. */
function reuseOptions(stream: RandomStream): Pick<EngineOptions, 'kernel' | 'ipvsConnReuseMode'> {
  return {
    kernel: pick(stream, [
      [6, 18],
      [6, 18],
      [5, 16],
      [5, 15],
      [5, 9],
      [5, 8],
      [4, 1],
    ] as const),
    ipvsConnReuseMode: pick(stream, [1, 1, 0] as const),
  };
}

function wholeOptions(stream: RandomStream): Partial<EngineOptions> {
  return {
    masqueradeRandomFully: chance(stream, 2),
    localhostNodePorts: chance(stream, 2),
    nodePortAddresses: pick(stream, NODE_PORT_ADDRESSES),
    nfacct: { ctStateInvalid: chance(stream, 2), localhostNodePorts: chance(stream, 2) },
    conntrackTcpLiberal: chance(stream, 4),
    conntrackMax: pick(stream, [131_072, 131_072, 131_072, 131_072, 60, 20]),
    serviceCidrs: pick(stream, SERVICE_CIDRS),
    kubeProxy: {
      ...CURRENT_KUBE_PROXY,
      masqueradeRules: pick(stream, ['service', 'service', 'dispatch']),
      iptablesPartialSync: !chance(stream, 4),
      conntrackCleanup: pick(stream, ['reconcile', 'events']),
      nftablesBaseChains: pick(stream, ['v1.35', 'v1.31']),
      nftablesClusterIpPort: chance(stream, 3),
    },
  };
}
