import { NO_EXTRAS } from '../model/service-config.ts';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { IptablesProgrammer } from '../engines/iptables/program/programmer.ts';
import { NftablesProgrammer } from '../engines/nftables/program/programmer.ts';
import type { EndpointConfig, ServicePortConfig } from '../model/service-config.ts';
import { hostPort } from '../model/service-config.ts';
import { runInNamespace } from './namespace.ts';
import type { ProbeAnswer, ProbePlan, ProbeQuestion } from './probe.ts';
import { syntheticConfig } from './synthetic-cluster.ts';
import { whatIsMissing } from './tools.ts';

const PATIENCE_MILLISECONDS = 400;
const TIMEOUT_SECONDS = 20;
/** So often that an endpoint of three is missed by chance once in 10^9 runs. */
const MANY = 60;

/** In the detector's block: a pod's address, as kube-proxy sees it. */
const POD = '127.0.0.1';
/** Neither a pod's nor in the source ranges. */
const STRANGER = '127.9.0.1';
/** Masquerading takes no address of 127.0.0.0/8, for their scope is the host's: this one, of a block for examples, is on loopback too. */
const MASQUERADED = '192.0.2.1';

const CONFIG = syntheticConfig('IPv4', {
  localDetector: { kind: 'cidr', cidr: '127.0.0.0/16' },
  interfaceAddresses: ['127.0.0.1'],
});

function endpoint(address: string, isLocal: boolean): EndpointConfig {
  const state = { ready: true, serving: true, terminating: false, zoneHints: [], nodeHints: [] };
  return { address, port: 8080, isLocal, ...state };
}

function servicePort(index: number, name: string, change: Partial<ServicePortConfig>): ServicePortConfig {
  return {
    namespace: 'ns',
    name,
    portName: '',
    protocol: 'tcp',
    clusterIp: `127.30.0.${index}`,
    port: 80,
    nodePort: 0,
    ...NO_EXTRAS,
    endpoints: [1, 2, 3].map((at) => endpoint(`127.20.${index}.${at}`, at === 1)),
    ...change,
  };
}

const REMOTE = [endpoint('127.20.99.1', false)];
const SERVICES: readonly ServicePortConfig[] = [
  servicePort(1, 'balanced', {}),
  servicePort(2, 'balanced-udp', { protocol: 'udp' }),
  servicePort(3, 'empty', { endpoints: [] }),
  servicePort(4, 'empty-udp', { protocol: 'udp', endpoints: [] }),
  servicePort(5, 'faithful', { affinitySeconds: 600 }),
  servicePort(6, 'inside-local', { internalPolicyLocal: true }),
  servicePort(7, 'inside-none', { internalPolicyLocal: true, endpoints: REMOTE }),
  servicePort(8, 'outside', { externalIps: ['127.31.0.8'] }),
  servicePort(9, 'outside-local', { externalIps: ['127.31.0.9'], externalPolicyLocal: true }),
  servicePort(10, 'guarded', { loadBalancerVips: ['127.32.0.10'], loadBalancerSourceRanges: ['127.0.0.0/24'] }),
  servicePort(11, 'itself', { endpoints: [endpoint('127.20.11.1', true)] }),
  servicePort(12, 'guarded-udp', {
    protocol: 'udp',
    loadBalancerVips: ['127.32.0.12'],
    loadBalancerSourceRanges: ['127.0.0.0/24'],
  }),
];

function ask(protocol: 'tcp' | 'udp', from: string, to: string, times: number): ProbeQuestion {
  return { protocol, from, to, port: 80, times };
}

const QUESTIONS: Readonly<Record<string, ProbeQuestion>> = {
  'a ClusterIP': ask('tcp', POD, '127.30.0.1', MANY),
  'a ClusterIP by UDP': ask('udp', POD, '127.30.0.2', MANY),
  'a ClusterIP from a stranger': ask('tcp', STRANGER, '127.30.0.1', 5),
  'a ClusterIP by UDP from a stranger': ask('udp', STRANGER, '127.30.0.2', 5),
  'no endpoints': ask('tcp', POD, '127.30.0.3', 2),
  'no endpoints by UDP': ask('udp', POD, '127.30.0.4', 2),
  'session affinity': ask('tcp', POD, '127.30.0.5', 12),
  'internal policy Local': ask('tcp', POD, '127.30.0.6', 5),
  'internal policy Local without local endpoints': ask('tcp', POD, '127.30.0.7', 1),
  'an external IP': ask('tcp', POD, '127.31.0.8', 5),
  'an external IP, policy Local, from a pod': ask('tcp', POD, '127.31.0.9', MANY),
  'a load balancer from its source range': ask('tcp', POD, '127.32.0.10', 5),
  'a load balancer from elsewhere': ask('tcp', STRANGER, '127.32.0.10', 1),
  'a load balancer by UDP from elsewhere': ask('udp', STRANGER, '127.32.0.12', 2),
  'an endpoint that asks its own service': ask('tcp', '127.20.11.1', '127.30.0.11', 3),
};

interface Mode {
  readonly name: string;
  readonly missing: string | undefined;
  readonly load: string;
  /** The loadable text, and what its trace says. */
  program(): { text: string; trace: (question: ProbeQuestion) => { output: string; masq: boolean } };
}

const SYNC = { full: true, changed: new Set<string>(), nowSeconds: 0 };

function iptablesMode(flavour: string): Mode {
  return {
    name: `iptables mode, ${flavour}`,
    missing: whatIsMissing(['iptables']),
    load: `iptables-${flavour}-restore < rules`,
    program() {
      const program = new IptablesProgrammer(CONFIG).sync(SERVICES, SYNC);
      return {
        text: program.kernelText(),
        trace: ({ protocol, from, to, port }) =>
          program.trace({ protocol, sourceIp: from, destIp: to, destPort: port, localIps: [from] }),
      };
    },
  };
}

const NFTABLES_MODE: Mode = {
  name: 'nftables mode',
  missing: whatIsMissing(['nftables']),
  load: 'nft -f rules',
  program() {
    const program = new NftablesProgrammer(CONFIG).sync(SERVICES, SYNC);
    return {
      text: program.kernelText(),
      trace: ({ protocol, from, to, port }) =>
        program.trace({ protocol, sourceIp: from, destIp: to, destPort: port, localIps: [from] }),
    };
  },
};

function probePlan(): ProbePlan {
  const endpoints = [...SERVICES.flatMap((svc) => svc.endpoints), ...REMOTE];
  const unique = new Map(
    endpoints.map(({ address, port }) => [address, { name: hostPort(address, port), address, port }]),
  );
  // At every VIP somebody listens, so that a refusal is one of the rules, and a packet that is not translated is noticed.
  const vips = SERVICES.flatMap((svc) => [svc.clusterIp, ...svc.externalIps, ...svc.loadBalancerVips]);
  const decoys = vips.map((address) => ({ name: 'decoy', address, port: 80 }));
  return {
    servers: [...unique.values(), ...decoys],
    questions: Object.values(QUESTIONS),
    patienceMilliseconds: PATIENCE_MILLISECONDS,
  };
}

const PROBE = transformSync(readFileSync(join(import.meta.dirname, 'probe.ts'), 'utf8'), { loader: 'ts' }).code;

async function probe(load: string, rules: string): Promise<readonly ProbeAnswer[]> {
  const script = `ip address add ${MASQUERADED}/32 dev lo\n${load}\n'${process.execPath}' probe.mjs`;
  const files = { rules, 'probe.mjs': PROBE, 'plan.json': JSON.stringify(probePlan()) };
  const result = await runInNamespace({ script, files, timeoutSeconds: TIMEOUT_SECONDS });
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(result.stdout) as ProbeAnswer[];
}

/** What the trace says should be among the answers, each once. */
function expected({ output, masq }: { output: string; masq: boolean }, { from }: ProbeQuestion): string[] {
  if (output === 'REJECT') return ['refused'];
  if (output === 'DROP') return ['silent'];
  return output.split(', ').map((server) => `${server} from ${masq ? MASQUERADED : from}`);
}

describe.each([iptablesMode('legacy'), iptablesMode('nft'), NFTABLES_MODE])('packets in a kernel, $name', (mode) => {
  it('arrive where the trace says that they may', async (ctx) => {
    ctx.skip(mode.missing !== undefined, mode.missing);
    const { text, trace } = mode.program();
    const answers = await probe(mode.load, text);
    expect(answers).toHaveLength(Object.keys(QUESTIONS).length);
    Object.entries(QUESTIONS).forEach(([what, question], i) => {
      const possible = expected(trace(question), question);
      expect(answers[i], what).toHaveLength(question.times);
      const met = [...new Set(answers[i])].sort((a, b) => (a < b ? -1 : 1));
      // Every endpoint is met where there were tries enough.
      if (question.times === MANY) expect(met, what).toEqual(possible);
      else if (what === 'session affinity') expect(met, what).toHaveLength(1);
      for (const answer of met) expect(possible, what).toContain(answer);
    });
  });

  it('reach no endpoint without the rules', async (ctx) => {
    ctx.skip(mode.missing !== undefined, mode.missing);
    const answers = await probe(':', '');
    expect(new Set(answers.flat().map((answer) => answer.split(' ')[0]))).toEqual(new Set(['decoy']));
  });
});
