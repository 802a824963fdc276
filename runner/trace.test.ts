import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { formatInputError, InputError } from '../scenarios/errors.ts';
import { trace } from './commands/trace.ts';
import { projectRoot } from './host.ts';

/** The compiled program, as a user runs it: `npm test` builds it first. */
const main = join(projectRoot(), 'dist', 'runner', 'main.js');
const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-trace-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

writeFileSync(
  join(scratch, 'web.yaml'),
  `
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, "fd00:10:96::10"]
  selector: { app: web }
  ports:
    - { name: http, port: 80, targetPort: 8080, nodePort: 30080 }
    - { name: dns, port: 53, protocol: UDP, nodePort: 30053 }
---
apiVersion: v1
kind: Service
metadata: { name: empty }
spec: { clusterIP: 10.96.0.11, ports: [{ port: 80 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: c }] } }
`,
);

function chainwalk(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const run = spawnSync(process.execPath, [main, 'trace', 'web.yaml', ...args], {
    encoding: 'utf8',
    cwd: scratch,
    timeout: 60_000,
  });
  return { status: run.status, stdout: run.stdout, stderr: run.stderr };
}

const engines = ['iptables', 'ipvs', 'nftables'];

describe.each(engines)('trace in %s mode', (engine) => {
  const file = join(scratch, 'web.yaml');
  const follow = (from: string, to: string, protocol?: string): string =>
    trace([file], { engine, from, to, ...(protocol === undefined ? {} : { protocol }) }).text;

  it('prints every rule, the counts, the verdict, the endpoints and the masquerade', () => {
    const run = chainwalk('--engine', engine, '--from', '10.244.1.9', '--to', '10.96.0.10:80');
    expect(run.stderr).not.toContain('error');
    expect(run.status).toBe(0);
    const text = run.stdout;
    expect(text).toBe(follow('10.244.1.9', '10.96.0.10:80'));
    expect(text).toMatch(/^packet {7}10\.244\.1\.9 to 10\.96\.0\.10:80\/tcp$/m);
    expect(text).toMatch(/^matched {2,}\S+/m);
    expect(text).toMatch(/^- {2,}\S+/m);
    expect(text).toMatch(/^evaluated {4}\d+ rules/m);
    expect(text).toMatch(/^verdict {6}ACCEPT$/m);
    expect(text).toMatch(/^endpoints {4}10\.244\.1\.2:8080, 10\.244\.2\.2:8080$/m);
    expect(text).toMatch(/^masqueraded {2}no$/m);
    const counted = Number(/^evaluated {4}(\d+)/m.exec(text)?.[1]);
    const shown = text.split('\n').filter((line) => /^(matched|-) /.test(line)).length;
    if (engine === 'iptables') expect(shown).toBe(counted);
    else expect(shown).toBeGreaterThanOrEqual(counted);
  });

  it('follows packets to node ports, from the node itself, of IPv6 and of UDP', () => {
    expect(follow('198.51.100.7', '192.168.0.11:30080')).toMatch(/masqueraded {2}yes/);
    expect(follow('192.168.0.11', '10.96.0.10:80')).toMatch(/endpoints {4}10\.244\.1\.2:8080/);
    const six = follow('fd00:10:244::9', '[FD00:10:96::10]:80');
    expect(six).toContain('packet       fd00:10:244::9 to [fd00:10:96::10]:80/tcp');
    expect(six).toMatch(/endpoints {4}\[fd00:10:244::af4:102\]:8080/);
    expect(follow('10.244.1.9', '10.96.0.10:53/udp')).toMatch(/endpoints {4}10\.244\.1\.2:53/);
    expect(follow('10.244.1.9', '10.96.0.10:53', 'UDP')).toMatch(/endpoints {4}10\.244\.1\.2:53/);
  });

  it('goes through the rules of the version asked for', () => {
    const rules = (kubeProxy: string): string[] => {
      const flags = { engine: 'iptables', from: '10.244.1.9', to: 'web:http', kubeProxy };
      return trace([join(scratch, 'web.yaml')], flags)
        .text.split('\n')
        .filter((line) => line.includes('KUBE-MARK-MASQ'));
    };
    expect(rules('v1.21')[0]).toContain('nat/KUBE-SERVICES');
    expect(rules('v1.22')[0]).toContain('nat/KUBE-SVC-');
  });

  it('says what is refused and what is nobody’s', () => {
    const refused = follow('10.244.1.9', '10.96.0.11:80');
    expect(refused).toMatch(/^verdict {6}REJECT$/m);
    expect(refused).toMatch(/^endpoints {4}none$/m);
    expect(follow('10.244.1.9', '192.0.2.99:80')).toMatch(/^verdict {6}ACCEPT\nendpoints {4}none$/m);
  });

  it('finds a Service by its name and port', () => {
    for (const to of ['web:http', 'default/web:80', 'web/tcp']) {
      expect(follow('10.244.1.9', to)).toContain('to 10.96.0.10:80/tcp');
    }
    expect(follow('10.244.1.9', 'web:dns')).toContain('to 10.96.0.10:53/udp');
    expect(follow('fd00::9', 'web:dns')).toContain('to [fd00:10:96::10]:53/udp');
  });
});

describe('trace in userspace mode', () => {
  const file = join(scratch, 'web.yaml');
  const follow = (from: string, to: string): string => trace([file], { engine: 'userspace', from, to }).text;

  it('prints every rule on the way to the process, and whom the process may dial', () => {
    const run = chainwalk('--engine', 'userspace', '--from', '10.244.1.9', '--to', '10.96.0.10:80');
    expect(run.status).toBe(0);
    expect(run.stderr).toContain('Userspace mode ended with Kubernetes v1.25');
    const rules = run.stdout.split('\n').filter((line) => /^(matched|-) /.test(line));
    // empty comes first, then web:dns, then web:http. PREROUTING, three portals; INPUT, two node ports.
    expect(rules.map((line) => line.slice(0, 42).trim())).toEqual([
      'matched  nat/PREROUTING 1',
      '-        nat/KUBE-PORTALS-CONTAINER 1',
      '-        nat/KUBE-PORTALS-CONTAINER 2',
      'matched  nat/KUBE-PORTALS-CONTAINER 3',
      'matched  filter/INPUT 1',
      '-        filter/KUBE-NODEPORT-NON-LOCAL 1',
      'matched  filter/KUBE-NODEPORT-NON-LOCAL 2',
    ]);
    expect(run.stdout).toMatch(/^evaluated {4}7 rules \(4 nat, 3 filter\)$/m);
    expect(run.stdout).toMatch(/^verdict {6}ACCEPT$/m);
    expect(run.stdout).toMatch(/^endpoints {4}10\.244\.1\.2:8080, 10\.244\.2\.2:8080$/m);
    expect(run.stdout).toMatch(/^masqueraded {2}yes$/m);
  });

  it('follows packets to node ports, from the node itself, of IPv6 and of UDP', () => {
    const outside = follow('198.51.100.7', '192.168.0.11:30080');
    expect(outside).toMatch(/^matched {2}nat\/KUBE-NODEPORT-CONTAINER 2 /m);
    expect(outside).toMatch(/^masqueraded {2}yes$/m);
    const own = follow('192.168.0.11', '10.96.0.10:80');
    expect(own).toMatch(/^matched {2}nat\/KUBE-PORTALS-HOST 3 .*-j DNAT --to-destination 192\.168\.0\.11:32770$/m);
    expect(own).not.toContain('filter/');
    expect(follow('fd00:10:244::9', '[fd00:10:96::10]:80')).toMatch(/endpoints {4}\[fd00:10:244::af4:102\]:8080/);
    expect(follow('10.244.1.9', '10.96.0.10:53/udp')).toMatch(/endpoints {4}10\.244\.1\.2:53/);
  });

  it('says whom the process refuses, and what is nobody’s', () => {
    const refused = follow('10.244.1.9', '10.96.0.11:80');
    expect(refused).toMatch(/^verdict {6}REJECT\nendpoints {4}none\nmasqueraded {2}no$/m);
    expect(follow('10.244.1.9', '192.0.2.99:80')).toMatch(/^verdict {6}ACCEPT\nendpoints {4}none$/m);
  });
});

describe('bad input', () => {
  const refused = (flags: { from: string; to: string; [flag: string]: string }): string => {
    try {
      trace([join(scratch, 'web.yaml')], { engine: 'iptables', ...flags });
    } catch (error) {
      if (error instanceof InputError) return formatInputError(error);
      throw error;
    }
    throw new Error('Nothing was refused');
  };

  const from = '10.0.0.1';
  it.each([
    [{ from: '10.0.0', to: 'web:http' }, /--from expects an IP address, got "10\.0\.0"/],
    [{ from, to: '10.96.0.300:80' }, /"10\.96\.0\.300" is no IP address/],
    [{ from, to: '10.96.0.10:0' }, /port from 1 to 65535.*"0"/],
    [{ from, to: '10.96.0.10' }, /expects IP:PORT/],
    [{ from, to: 'fd00::1' }, /expects IP:PORT/],
    [{ from, to: '[fd00::1]:80' }, /one family/],
    [{ from, to: 'wep:http' }, /no Service "wep".*Did you mean "web"/],
    [{ from, to: 'web' }, /names 2 ports.*default\/web:http \(80\/tcp\), default\/web:dns \(53\/udp\)/],
    [{ from, to: 'web:ftp' }, /names 0 ports/],
    [{ from: 'fd00::1', to: 'empty' }, /no Service "empty" has an IPv6 cluster IP/],
    [{ from, to: '10.96.0.10:53/icmp' }, /The protocol of --to "icmp" is not known. Expected one of tcp, udp, sctp/],
    [{ from, to: 'default/web:http/tls' }, /The protocol of --to "tls" is not known/],
    [{ from, to: 'web:http', protocol: 'icmp' }, /--protocol "icmp" is not known/],
    [{ from, to: '10.96.0.10:53/udp', protocol: 'tcp' }, /one has to go/],
    [{ from, to: 'web:http', family: 'ipv6' }, /no address of --family ipv6/],
    [{ from, to: 'web:http', engine: 'ebpf' }, /--engine "ebpf"/],
  ])('%j', (flags, message) => {
    expect(refused(flags)).toMatch(message);
  });

  it('ends with exit code 2', () => {
    for (const args of [
      ['--from', from, '--to', 'wep:http'],
      ['--to', 'web:http'],
    ]) {
      const run = chainwalk(...args);
      expect(run.stderr).toMatch(/wep|--from/);
      expect(run.stdout).toBe('');
      expect(run.status).toBe(2);
    }
  });
});
