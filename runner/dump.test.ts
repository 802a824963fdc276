import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { formatInputError, InputError } from '../scenarios/errors.ts';
import { dump } from './commands/dump.ts';
import { projectRoot } from './host.ts';

/** The compiled program, as a user runs it: `npm test` builds it first. */
const main = join(projectRoot(), 'dist', 'runner', 'main.js');
const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-dump-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function chainwalk(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const run = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: scratch, timeout: 60_000 });
  return { status: run.status, stdout: run.stdout, stderr: run.stderr };
}

/** The same without a process of its own: as `main.ts` would call it with these flags. */
function dumped(files: string | readonly string[], flags: Partial<Parameters<typeof dump>[1]> = {}) {
  const paths = (typeof files === 'string' ? [files] : files).map((name) => join(scratch, name));
  const { text, notes } = dump(paths, { engine: 'iptables', form: 'kernel', ...flags });
  return { stdout: text, stderr: notes.map((note) => `${note}\n`).join('') };
}

function refused(files: string | readonly string[], flags: Partial<Parameters<typeof dump>[1]> = {}): string {
  try {
    dumped(files, flags);
  } catch (error) {
    if (error instanceof InputError) return formatInputError(error);
    throw error;
  }
  throw new Error('Nothing was refused');
}

function file(name: string, text: string): string {
  writeFileSync(join(scratch, name), text);
  return name;
}

const SHOP = `
apiVersion: v1
kind: Service
metadata: { name: shop }
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  ipFamilyPolicy: PreferDualStack
  selector: { app: shop }
  sessionAffinity: ClientIP
  externalIPs: [192.0.2.1]
  ports:
    - { name: http, port: 80, targetPort: web, nodePort: 30080 }
    - { name: dns, port: 53, protocol: UDP }
    - { name: sig, port: 9, protocol: SCTP }
status: { loadBalancer: { ingress: [{ ip: 203.0.113.1 }] } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: shop } }
  template:
    metadata: { labels: { app: shop } }
    spec: { containers: [{ name: c, ports: [{ name: web, containerPort: 8080 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: headless }
spec: { clusterIP: None }
---
apiVersion: v1
kind: Service
metadata: { name: elsewhere }
spec: { type: ExternalName, externalName: example.org }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
`;
const shop = file('shop.yaml', SHOP);

const TINY = `
experiment: tiny
question: Are these the rules?
engines: [ipvs]
cluster: { synthetic: { services: 2, endpoints_per_service: 2, node_port_ratio: 0.5 } }
traffic: { connections: 1, connections_per_s: 1 }
`;
const tiny = file('tiny.yaml', TINY);

describe('dump of manifests', () => {
  it('prints everything that iptables mode programs, loadable or as it is fed in', () => {
    const kernel = chainwalk('dump', shop, '--engine', 'iptables');
    expect(kernel.status).toBe(0);
    for (const part of [
      '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '--comment "default/shop:http external IP" -m tcp -p tcp -d 192.0.2.1 --dport 80 -j KUBE-EXT-',
      '--comment "default/shop:http loadbalancer IP" -m tcp -p tcp -d 203.0.113.1 --dport 80 -j KUBE-EXT-',
      '-m tcp -p tcp --dport 30080 -j KUBE-EXT-',
      'default/shop:sig cluster IP" -m sctp -p sctp',
      '-j DNAT --to-destination 10.244.1.2:8080',
      '-m recent --name KUBE-SEP-',
      '--comment "pod traffic for default/shop:http external destinations" -s 10.244.0.0/16',
      'health check node port',
    ]) {
      expect(kernel.stdout).toContain(part);
    }
    expect(kernel.stdout).not.toMatch(/headless|elsewhere/);
    const restore = dumped(shop, { engine: 'iptables', form: 'restore' });
    expect(restore.stdout).not.toContain('-A PREROUTING');
    expect(restore.stdout).toContain('-j DNAT --to-destination 10.244.1.2:8080');
  });

  it('says on standard error what was assigned and what is left out', () => {
    const { stderr } = chainwalk('dump', shop);
    expect(stderr).toMatch(
      /^assigned: Service default\/shop: cluster IP 10\.\S+, cluster IP fd00:10:96::\S+, node port/m,
    );
    expect(stderr).toMatch(/health-check node port 3\d{4}$/m);
    expect(stderr).not.toContain('node port 30080');
    for (const note of [
      /default\/headless is headless/,
      /default\/elsewhere is of type ExternalName/,
      /ConfigMap\/settings/,
      /--family ipv6/,
    ]) {
      expect(stderr).toMatch(note);
    }
  });

  it('prints the sections of ipvs mode, with the scheduler asked for', () => {
    const { status, stdout } = chainwalk('dump', shop, '--engine', 'ipvs', '--ipvs-scheduler', 'mh');
    expect(status).toBe(0);
    const sections = stdout.split('\n').filter((line) => line.startsWith('#'));
    expect(sections).toEqual(['# ipvsadm -S -n', '# ipset save', '# iptables-save', '# ip -batch']);
    expect(stdout).toMatch(/^-A -t 203\.0\.113\.1:80 -s mh -p 10800 -b mh-port$/m);
    expect(stdout).toMatch(/^-a --sctp-service 192\.0\.2\.1:9 -r 10\.244\.1\.2:9 -m -w 1$/m);
    expect(stdout).toContain('addr add 192.0.2.1/32 dev kube-ipvs0');
    const six = dumped(shop, { engine: 'ipvs', family: 'ipv6' }).stdout;
    expect(six).toMatch(/^-a -u \[fd00:10:96::[0-9a-f]+\]:53 -r \[fd00:10:244::af4:102\]:53 -m -w 1$/m);
    expect(six).toContain('# ip6tables-save');
    expect(six).not.toContain('192.0.2.1');
  });

  it('prints the table of nftables mode, node ports on the primary addresses unless told otherwise', () => {
    const { status, stdout } = chainwalk('dump', shop, '--engine', 'nftables');
    expect(status).toBe(0);
    expect(stdout).toContain('{ 192.0.2.1 . tcp . 80 : goto external-');
    expect(stdout).toContain('add element ip kube-proxy nodeport-ips { 192.168.0.11 }');
    const all = dumped(shop, { engine: 'nftables', nodeportAddresses: ['0.0.0.0/0'] }).stdout;
    expect(all).not.toContain('nodeport-ips {');
    expect(all).toContain('fib daddr type local');
    expect(dumped(shop, { engine: 'nftables', family: 'ipv6' }).stdout).toContain('table ip6 kube-proxy');
  });

  it('prints the rules of userspace mode, or the commands that make them, and says what the mode lacks', () => {
    const { status, stdout, stderr } = chainwalk('dump', shop, '--engine', 'userspace');
    expect(status).toBe(0);
    const name = '-m comment --comment default/shop:http -p tcp -m tcp --dport';
    expect(stdout.split('\n').filter((line) => line.includes('default/shop:http'))).toEqual([
      expect.stringMatching(`^-A KUBE-NODEPORT-NON-LOCAL ${name} 32769 -m state --state NEW -j ACCEPT$`),
      expect.stringMatching(`^-A KUBE-PORTALS-CONTAINER ${name} 80 -d 10\\.\\S+/32 -j REDIRECT --to-ports 32769$`),
      `-A KUBE-PORTALS-CONTAINER ${name} 80 -d 192.0.2.1/32 -m physdev ! --physdev-is-in -j REDIRECT --to-ports 32769`,
      `-A KUBE-PORTALS-CONTAINER ${name} 80 -d 192.0.2.1/32 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 32769`,
      `-A KUBE-PORTALS-CONTAINER ${name} 80 -d 203.0.113.1/32 -j REDIRECT --to-ports 32769`,
      expect.stringMatching(
        `^-A KUBE-PORTALS-HOST ${name} 80 -d 10\\.\\S+/32 -j DNAT --to-destination 192\\.168\\.0\\.11:32769$`,
      ),
      `-A KUBE-PORTALS-HOST ${name} 80 -d 192.0.2.1/32 -m addrtype --dst-type LOCAL -j DNAT --to-destination 192.168.0.11:32769`,
      `-A KUBE-PORTALS-HOST ${name} 80 -d 203.0.113.1/32 -j DNAT --to-destination 192.168.0.11:32769`,
      `-A KUBE-NODEPORT-CONTAINER ${name} 30080 -j REDIRECT --to-ports 32769`,
      `-A KUBE-NODEPORT-HOST ${name} 30080 -j DNAT --to-destination 192.168.0.11:32769`,
    ]);
    expect(stdout).not.toMatch(/sctp|shop:sig/);
    expect(stderr).toMatch(/^note: Userspace mode ended with Kubernetes v1\.25\./m);
    expect(stderr).toMatch(/^note: Left out, for userspace mode has no SCTP: default\/shop:sig\.$/m);
    expect(dumped(shop).stderr).not.toMatch(/[Uu]serspace/);

    const commands = dumped(shop, { engine: 'userspace', form: 'restore', family: 'ipv6' })
      .stdout.trimEnd()
      .split('\n');
    expect(commands.every((line) => line.startsWith('ip6tables -t '))).toBe(true);
    expect(commands.filter((line) => / -N /.test(line))).toHaveLength(5);
    expect(commands.filter((line) => / -I /.test(line))).toHaveLength(3);
    expect(commands).toContainEqual(
      expect.stringMatching(/ -d fd00:10:96::[0-9a-f]+\/128 -j DNAT --to-destination \[[0-9a-f:]+\]:32769$/),
    );
  });

  it('takes the flags of kube-proxy and the node whose rules are wanted', () => {
    const masquerade = dumped(shop, { masqueradeAll: true, detectLocalCidr: '10.9.8.7/16' }).stdout;
    expect(masquerade).toContain('-s 10.9.0.0/16');
    expect(masquerade).not.toContain('! -s 10.9.0.0/16');
    expect(dumped(shop, { detectLocalBridge: 'cni0' }).stdout).toContain('-i cni0');
    expect(dumped(shop, { detectLocalPrefix: 'veth' }).stdout).toContain('-i veth+');
    expect(dumped(shop).stdout).not.toContain('nfacct');
    expect(dumped(shop, { nfacct: true }).stdout).toContain('-m nfacct');
    // Without a pod of its own, node-3 has nothing to answer traffic from outside with.
    const drop = /-A KUBE-EXTERNAL-SERVICES .*default\/shop:http has no local endpoints.* -j DROP/;
    expect(dumped(shop, { node: 'node-3' }).stdout).toMatch(drop);
    expect(dumped(shop, { node: 'node-1' }).stdout).not.toMatch(drop);
  });

  it('writes the rules of the version asked for', () => {
    const mark = /-A KUBE-SERVICES .*default\/shop:http cluster IP.* -j KUBE-MARK-MASQ/;
    expect(dumped(shop).stdout).not.toMatch(mark);
    expect(dumped(shop, { kubeProxy: 'v1.21' }).stdout).toMatch(mark);
    const old = chainwalk('dump', shop, '--engine', 'nftables', '--kube-proxy', '1.31');
    expect(old.stdout).toContain('filter-output-post-dnat');
    expect(dumped(shop, { engine: 'nftables' }).stdout).not.toContain('filter-output-post-dnat');
  });

  it('reads several files, JSON and Lists as one cluster', () => {
    const [first, ...rest] = SHOP.split('---\n');
    const web = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { ports: [{ port: 80 }] } };
    const parts = [
      file('one.yaml', first ?? ''),
      file('two.yaml', rest.join('---\n')),
      file('three.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [web] })),
    ];
    const { stdout, stderr } = dumped(parts);
    expect(stdout).toContain('default/shop:http -> 10.244.1.2:8080');
    expect(stdout).toMatch(/KUBE-SERVICES .*"default\/web has no endpoints".* -j REJECT/);
    expect(stderr).toContain('Service default/web has neither a selector nor EndpointSlices');
  });
});

describe('dump of an experiment', () => {
  it('prints the rules of its first point, with its own settings of kube-proxy', () => {
    const run = chainwalk('dump', tiny, '--engine', 'ipvs', '--set', 'proxy.ipvs_scheduler=wlc');
    expect(run.status).toBe(0);
    expect(run.stdout).toMatch(/^-A -t 10\.96\.0\.1:80 -s wlc$/m);
    expect(run.stdout).toMatch(/^-A -t 192\.168\.0\.11:30000 -s wlc$/m);
    const plain = dumped(tiny).stdout;
    expect(plain).toContain('! -s 10.128.0.0/9 -j KUBE-MARK-MASQ');
    const all = dumped(tiny, { set: ['proxy.masquerade_all=true'] }).stdout;
    expect(all).not.toContain('! -s 10.128.0.0/9');
    expect(dumped(tiny, { engine: 'nftables' }).stdout).toContain('{ 10.96.0.1 . tcp . 80 : goto service-');
    const special = dumped(tiny, {
      engine: 'iptables',
      set: [
        'kubeProxy=v1.21',
        'cluster.synthetic.load_balancer_ratio=1',
        'cluster.synthetic.session_affinity_s=60',
        'proxy.detect_local={ bridge: cni0 }',
        'proxy.nfacct=true',
        'proxy.masquerade_random_fully=false',
      ],
    }).stdout;
    expect(special).toMatch(/-A KUBE-SERVICES .*synthetic\/svc-1 cluster IP.* ! -i cni0 -j KUBE-MARK-MASQ/);
    expect(special).toContain('-d 100.64.0.2 --dport 80 -j KUBE-EXT-');
    expect(special).toContain('--rcheck --seconds 60');
    expect(special).toContain('-m nfacct');
    expect(special).not.toContain('--random-fully');
    const ports = dumped(tiny, { engine: 'nftables', set: ['proxy.service_cidrs=[10.96.0.0/12]'] }).stdout;
    expect(ports).toContain('{ 10.96.0.0/12 } drop');
    const six = dumped(tiny, { family: 'ipv6' });
    expect(six.stderr).toContain('no IPv6 addresses');
    expect(six.stdout).not.toContain('svc-1');
  });
});

describe('bad input', () => {
  const service = (spec: string): string =>
    `apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec:\n  ${spec}\n`;
  it.each([
    [
      'a clusterIP that is no address',
      service('clusterIP: 10.96.0\n  ports: [{ port: 80 }]'),
      /bad\.yaml:5:14: .*"?clusterIP"?.*Service.*web/,
    ],
    [
      'an external IP that is none',
      service('externalIPs: [x]\n  ports: [{ port: 80 }]'),
      /bad\.yaml:5:17: .*externalIPs.*default\/web.*"x"/,
    ],
    [
      'one port twice',
      service('ports: [{ name: a, port: 80 }, { name: b, port: 80 }]'),
      /bad\.yaml:5:51: The port 80\/TCP stands twice in Service default\/web/,
    ],
    [
      'one node port twice',
      service(
        'type: NodePort\n  ports: [{ name: a, port: 1, nodePort: 30001 }, { name: b, port: 2, nodePort: 30001 }]',
      ),
      /bad\.yaml:6:\d+: The nodePort 30001\/TCP of Service default\/web is already that of/,
    ],
    [
      'an unknown protocol',
      service('ports: [{ port: 80, protocol: ICMP }]'),
      /bad\.yaml:5:33: In Service web: "spec\.ports\.0\.protocol" must be one of TCP, UDP, SCTP, got "ICMP"/,
    ],
    [
      'a ClusterIP Service without ports',
      service('type: ClusterIP'),
      /bad\.yaml:5:3: Service default\/web has no "ports"/,
    ],
    [
      'a NodePort Service without ports',
      service('type: NodePort'),
      /bad\.yaml:5:3: Service default\/web has no "ports"/,
    ],
    [
      'a LoadBalancer Service without ports',
      service('type: LoadBalancer\n  ports: []'),
      /bad\.yaml:5:3: Service default\/web has no "ports"/,
    ],
    ['an object without a kind', 'metadata: { name: x }\n', /bad\.yaml:1:1: "kind" is missing/],
  ])('%s: file, line, column, object and field, exit 2', (_, text, message) => {
    const bad = file('bad.yaml', text);
    for (const engine of ['ipvs', 'nftables']) expect(refused(bad, { engine })).toMatch(message);
    const run = chainwalk('dump', bad, '--engine', 'iptables');
    expect(run.stderr).toMatch(message);
    expect(run.stderr.trim().split('\n')).toHaveLength(1);
    expect(run.stdout).toBe('');
    expect(run.status).toBe(2);
  });

  it('flags that cannot be meant', () => {
    for (const [files, flags, message] of [
      [
        shop,
        { engine: 'ipvz' },
        /--engine "ipvz" is not known\. Expected one of iptables, ipvs, nftables.*Did you mean "ipvs"/,
      ],
      [shop, { form: 'pretty' }, /--form "pretty"/],
      [shop, { family: 'ipv5' }, /--family "ipv5"/],
      [shop, { node: 'node-9' }, /--node: There is no node "node-9"; the cluster has node-1, node-2, node-3/],
      [tiny, { node: 'node-99' }, /--node: There is no node "node-99"/],
      [shop, { detectLocalCidr: '10.0.0.0' }, /--detect-local-cidr expects a block/],
      [shop, { detectLocalCidr: 'fd00::/8' }, /no IPv4 block/],
      [shop, { detectLocalBridge: 'a b' }, /--detect-local-bridge expects the name/],
      [shop, { detectLocalBridge: 'a', detectLocalPrefix: 'b' }, /Only one of/],
      [shop, { nodeportAddresses: ['primary', '10.0.0.0/8'] }, /not both/],
      [shop, { engine: 'ipvs', ipvsScheduler: 'best' }, /--ipvs-scheduler "best"/],
      [shop, { set: ['services=3'] }, /--set changes an experiment/],
      [
        shop,
        { kubeProxy: 'v1.17' },
        /^--kube-proxy must be a version of kube-proxy from v1\.18 to v1\.35.*got "v1\.17"/,
      ],
      [shop, { kubeProxy: '31' }, /Did you mean "v1\.31"\?$/],
      [
        shop,
        { engine: 'nftables', kubeProxy: 'v1.28' },
        /^--engine "nftables": kube-proxy v1\.28 has no nftables mode/,
      ],
      [[tiny, shop], {}, /stands alone/],
      ['nowhere.yaml', {}, /nowhere\.yaml: No such file/],
    ] as const) {
      expect(refused(files, flags)).toMatch(message);
    }
    for (const [args, message] of [
      [[shop, '--engine', 'ipvz'], /--engine "ipvz"/],
      [[shop, '--node', 'node-9'], /node-9/],
      [[], /missing required argument/],
    ] as const) {
      const run = chainwalk('dump', ...args);
      expect(run.stderr).toMatch(message);
      expect(run.status).toBe(2);
    }
  });
});
