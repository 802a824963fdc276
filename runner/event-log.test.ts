import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HEAD, load, MANIFEST } from '../scenarios/load-fixtures.ts';
import { attemptTrial } from './executor.ts';
import { EventLog } from './event-log.ts';
import { planSweep } from './sweep-plan.ts';

/** Constant delays: no line depends on a random draw but for the phases of probes and the names of pods. */
const TEXT = `${HEAD}cluster: { manifests: [web.yaml] }
engines: [iptables]
propagation: { status_update_s: 0.01, endpoint_slice_s: 0.02, watch_s: 0.005, pod_start_s: 1 }
traffic: { connections: 10, connections_per_s: 10, packets_per_connection: 2 }
churn:
  - scale: { deployment: web, replicas: 5, at_s: 2 }
  - probe_failure: { deployment: web, pod: 0, mode: refuse, at_s: 10, duration_s: 40 }
  - proxy_restart: { at_s: 65, down_s: 2 }
  - rolling_update: { deployment: web, at_s: 75 }
duration_s: 120
`;

function log(text: string): string {
  const events = new EventLog();
  const [trial] = planSweep(load(text, {}, { 'web.yaml': MANIFEST })).trials;
  expect(attemptTrial(trial, events).status).toBe('ok');
  return events.text();
}

describe('EventLog', () => {
  it('is the golden text (UPDATE_GOLDEN=1 refreshes it)', () => {
    const golden = join(import.meta.dirname, 'goldens', 'event-log.txt');
    const text = log(TEXT);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
    expect(existsSync(golden) ? readFileSync(golden, 'utf8') : '').toBe(text);
  });

  it('stands in order of time, and says each thing in the words of who shows it', () => {
    const lines = log(TEXT).trimEnd().split('\n');
    const times = lines.map((line) => Number(line.slice(0, 14)));
    expect(times.every((time, i) => i === 0 || time >= times[i - 1])).toBe(true);
    expect(lines[0]).toBe('      0.000000 s  endpoints   default/web  10.244.1.2:80,10.244.2.2:80');
    const after = (found: RegExp): number => times[lines.findIndex((line) => found.test(line))];
    // The fifth pod makes kubectl count the rest.
    expect(lines.some((line) => / endpoints {3}default\/web {2}(\S+:80,){2}\S+:80 \+ 2 more\.\.\.$/.test(line))).toBe(
      true,
    );
    expect(lines.some((line) => / kube-proxy {2}.* finished .*; default\/web leads to 5 endpoints$/.test(line))).toBe(
      true,
    );
    expect(after(/ kubelet .* not ready$/)).toBeGreaterThanOrEqual(30);
    expect(after(/ kubelet .* not ready$/)).toBeLessThan(40);
    expect(after(/ kube-proxy .* stopped$/)).toBe(65);
    expect(after(/ kube-proxy {2}kube-proxy on node-1 started$/)).toBe(67);
    expect(after(/ cluster {5}rollout of deployment web started$/)).toBe(75);
    // A terminating pod that leaves the EndpointSlices was in no Endpoints object.
    expect(lines.some((line) => / slices {6}endpoints of default\/web: \d ready of \d$/.test(line))).toBe(true);
  });

  it('shows a Service without endpoints as kubectl does', () => {
    const text = log(
      TEXT.replace(
        /churn:[\s\S]*duration_s/,
        'churn: [{ scale: { deployment: web, replicas: 0, at_s: 2 } }]\nduration_s',
      ),
    );
    expect(text).toMatch(/2\.02\d+ s {2}endpoints {3}default\/web {2}<none>\n/);
  });
});
