/** Columns of what the API server writes and sends, of a whole trial with a cluster that is small enough to be told beforehand. */
import { describe, expect, it } from 'vitest';
import {
  endpointAddressBytes,
  endpointsEventBytes,
  sliceEndpointBytes,
  sliceEventBytes,
} from '../control/object-size.ts';
import type { EndpointIdentity } from '../control/object-size.ts';
import type { Observation } from '../model/observation.ts';
import { HEAD, load, MANIFEST } from '../scenarios/load-fixtures.ts';
import { planSweep } from './sweep-plan.ts';
import type { Trial } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

const OWNER = { namespace: 'default', name: 'web' };
const PORTS = [{ name: '', protocol: 'tcp', port: 80 }] as const;

function trialOf(keys: string): Trial {
  const text =
    `${HEAD}cluster: { manifests: [web.yaml] }\nengines: [iptables]\n` +
    `propagation: { status_update_s: 0.01, watch_s: 0.005, pod_start_s: 1, ${keys} }\n` +
    'churn: [{ probe_failure: { deployment: web, mode: refuse, at_s: 10, duration_s: 100 } }]\n' +
    'traffic: { connections: 10 }\nduration_s: 60\n';
  return planSweep(load(text, {}, { 'web.yaml': MANIFEST.replace('replicas: 2', 'replicas: 1') })).trials[0];
}

/** The one pod's check fails once and for all at 10 s. Three nodes watch. */
function flip(keys: string): Observation {
  return runTrial(trialOf(keys)).observation;
}

/** The pod and its zone as the manifest's reader made them up. */
function podAndZone(): [EndpointIdentity, string] {
  const { cluster } = trialOf('endpoint_slice_s: 0.02').point;
  if (cluster.kind !== 'manifests') throw new Error('The cluster is one of manifests');
  const [pod] = cluster.workload.pods;
  const zone = cluster.workload.nodes.find((node) => node.name === pod.nodeName)?.zone ?? '';
  return [{ ...pod, namespace: 'default', podName: pod.name }, zone];
}

const [POD, ZONE] = podAndZone();

describe('endpoint columns', () => {
  it('count a slice that is written for a readiness flip', () => {
    const slice = { ports: PORTS, endpointBytes: sliceEndpointBytes(POD, ZONE, undefined), hasTriggerTime: true };
    expect(flip('endpoint_slice_s: 0.02')).toMatchObject({
      endpoint_slice_writes: 1,
      endpoint_slice_events: 3,
      endpoint_slice_bytes: 3 * sliceEventBytes('MODIFIED', OWNER, slice),
    });
  });

  it('count an Endpoints object, and take as long', () => {
    const subsets = [{ ports: PORTS, addressBytes: endpointAddressBytes(POD) }];
    const observation = flip('endpoint_slice_s: 0.02, endpoints_api: endpoints');
    expect(observation).toMatchObject({
      endpoint_slice_writes: 1,
      endpoint_slice_events: 3,
      endpoint_slice_bytes: 3 * endpointsEventBytes(OWNER, { subsets, hasTriggerTime: true, isTruncated: false }),
    });
    const ofSlices = flip('endpoint_slice_s: 0.02');
    expect(observation['programming_latency_p50_ms']).toBe(ofSlices['programming_latency_p50_ms']);
  });

  it('show a batch period as latency', () => {
    const latency = (keys: string): number => Number(flip(keys)['programming_latency_p50_ms']);
    const batched = latency('endpoint_slice_s: 0.02, endpoint_batch_s: 3');
    expect(batched - latency('endpoint_slice_s: 0.02')).toBeCloseTo(3000, 6);
  });
});
