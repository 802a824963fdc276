import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import { PROCESS_EXIT_NS } from './shutdown.ts';
import { RESTART_DELAY_NS } from './restart-back-off.ts';
import { constantly, FIRST_FREE, FIRST_POD, probeOf, worldOf } from './test-world.ts';

const scaleTo = (replicas: number, seconds: number): ChurnEvent => ({
  kind: 'scale',
  at: seconds * NS_PER_S,
  deployment: 0,
  replicas,
});

const fault = (probe: 'readiness' | 'liveness', mode: 'error' | 'hang', from: number, seconds: number): ChurnEvent => ({
  kind: 'probe_failure',
  at: from * NS_PER_S,
  deployment: 0,
  pod: 0,
  probe,
  mode,
  durationNs: seconds * NS_PER_S,
});

const DELAY = 10 * NS_PER_MS;

describe('Kubelet: start', () => {
  it('starts a new pod after podStart; it is ready at its first probe, which comes at once', () => {
    const world = worldOf({ churn: [scaleTo(4, 5)], podStart: constantly(2) });
    world.simulation.runUntil(6 * NS_PER_S);
    expect(world.plane.podCondition(FIRST_FREE)).toBe('gone');
    world.simulation.runUntil(8 * NS_PER_S);
    expect(world.timeOf('pod_created')).toBe(5 * NS_PER_S);
    expect(world.timeOf('pod_ready')).toBe(7 * NS_PER_S);
    expect(world.plane.podCondition(FIRST_FREE)).toBe('serving');
    expect(world.plane.isReady(FIRST_FREE)).toBe(true);
  });

  it('sends one status update for all that happens at one instant', () => {
    let sent = 0;
    const world = worldOf({ churn: [scaleTo(4, 5)], statusUpdate: { mean: 0, next: () => ((sent += 1), 0) } });
    world.simulation.runUntil(20 * NS_PER_S);
    expect(sent).toBe(1);
  });

  it('serves before it is ready when the readiness probe has an initial delay', () => {
    const deployment = { readinessProbe: probeOf({ periodSeconds: 1, initialDelaySeconds: 3 }) };
    const world = worldOf({ churn: [scaleTo(4, 5)], deployment });
    world.simulation.runUntil(8 * NS_PER_S);
    expect(world.plane.podCondition(FIRST_FREE)).toBe('serving');
    expect(world.plane.isReady(FIRST_FREE)).toBe(false);
    world.simulation.runUntil(20 * NS_PER_S);
    // Started at 7 s, three whole seconds, and the ticker of the pod's creation ticks on the second.
    expect(world.timeOf('pod_ready')).toBe(10 * NS_PER_S);
  });

  it('calls a pod without a readiness probe ready as soon as it runs', () => {
    const churn = [fault('readiness', 'error', 1, 100), scaleTo(4, 5)];
    const world = worldOf({ churn, withoutReadinessProbe: true });
    world.simulation.runUntil(90 * NS_PER_S);
    expect(world.timeOf('pod_ready')).toBe(7 * NS_PER_S);
    expect(world.timeOf('pod_not_ready')).toBeNaN();
  });
});

describe('Kubelet: termination', () => {
  it('stops listening at SIGTERM, after the preStop sleep, and is gone shortly after', () => {
    const world = worldOf({ churn: [scaleTo(2, 5)], deployment: { preStopSleepSeconds: 5 } });
    world.simulation.runUntil(30 * NS_PER_S);
    expect(world.timeOf('pod_terminating')).toBe(5 * NS_PER_S);
    const sigterm = 5 * NS_PER_S + DELAY + 5 * NS_PER_S;
    expect(world.timeOf('process_stopped')).toBe(sigterm);
    expect(world.timeOf('pod_gone')).toBe(sigterm + PROCESS_EXIT_NS);
  });

  it('shows serving, not_listening and gone in this order', () => {
    const world = worldOf({ churn: [scaleTo(0, 5)] });
    const seen: string[] = [];
    for (let ms = 4990; ms <= 5200; ms += 5) {
      world.simulation.runUntil(ms * NS_PER_MS);
      const condition = world.plane.podCondition(FIRST_POD);
      if (seen[seen.length - 1] !== condition) seen.push(condition);
    }
    expect(seen).toEqual(['serving', 'not_listening', 'gone']);
  });

  it('cuts the preStop sleep off at the end of the grace period, and leaves it out without one', () => {
    for (const [grace, sleep, expected] of [
      [3, 60, 3],
      [0, 60, 0],
    ]) {
      const deployment = { terminationGracePeriodSeconds: grace, preStopSleepSeconds: sleep };
      const world = worldOf({ churn: [scaleTo(2, 5)], deployment });
      world.simulation.runUntil(30 * NS_PER_S);
      const stopped = 5 * NS_PER_S + DELAY + expected * NS_PER_S;
      expect(world.timeOf('process_stopped')).toBe(stopped);
      expect(world.timeOf('pod_gone')).toBe(stopped + (grace === 0 ? 0 : PROCESS_EXIT_NS));
    }
  });

  it('ends a pod that has not started yet at once', () => {
    const world = worldOf({ churn: [scaleTo(4, 5), scaleTo(3, 6)], podStart: constantly(10) });
    world.simulation.runUntil(30 * NS_PER_S);
    expect(world.timeOf('pod_gone')).toBe(6 * NS_PER_S + DELAY);
    expect(world.events.some((event) => event.kind === 'process_stopped')).toBe(false);
    expect(world.events.some((event) => event.kind === 'endpoints_changed')).toBe(false);
  });

  it('keeps probing readiness during the preStop sleep', () => {
    const deployment = { preStopSleepSeconds: 20, readinessProbe: probeOf({ periodSeconds: 1, failureThreshold: 1 }) };
    const world = worldOf({ churn: [fault('readiness', 'error', 4, 3), scaleTo(0, 4)], deployment });
    world.simulation.runUntil(30 * NS_PER_S);
    expect(world.timeOf('pod_not_ready')).toBeGreaterThan(4 * NS_PER_S);
    expect(world.timeOf('pod_ready')).toBeGreaterThanOrEqual(7 * NS_PER_S);
  });
});

describe('Kubelet: readiness', () => {
  it('leaves after phase + 4 to 6 s and comes back after the fault', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const deployment = { readinessProbe: probeOf({ periodSeconds: 2 }) };
      const world = worldOf({ seed, churn: [fault('readiness', 'error', 10, 30)], deployment });
      world.simulation.runUntil(60 * NS_PER_S);
      const left = world.timeOf('pod_not_ready') / NS_PER_S - 10;
      expect(left).toBeGreaterThanOrEqual(4);
      expect(left).toBeLessThan(6);
      const back = world.timeOf('pod_ready') / NS_PER_S - 40;
      expect(back).toBeGreaterThanOrEqual(0);
      expect(back).toBeLessThan(2);
      expect(world.plane.podCondition(FIRST_POD)).toBe('serving');
    }
  });

  it('leaves after 4 to 6 s for a status of 500 and after 5 to 7 s for a hang, with the probe of scenarios/clusters', () => {
    const readinessProbe = probeOf({ periodSeconds: 2, timeoutSeconds: 1, failureThreshold: 3 });
    const waits = (mode: 'error' | 'hang'): number[] =>
      Array.from({ length: 20 }, (_, seed) => {
        const world = worldOf({ seed, churn: [fault('readiness', mode, 10, 30)], deployment: { readinessProbe } });
        world.simulation.runUntil(60 * NS_PER_S);
        return world.timeOf('pod_not_ready') / NS_PER_S - 10;
      });
    const [errors, hangs] = [waits('error'), waits('hang')];
    // One world, so the same phases: a hang is known a timeout later, each time.
    errors.forEach((wait, i) => expect(hangs[i] - wait).toBeCloseTo(1, 6));
    expect(Math.min(...errors)).toBeGreaterThanOrEqual(4);
    expect(Math.max(...errors)).toBeLessThan(6);
    expect(Math.max(...errors) - Math.min(...errors)).toBeGreaterThan(1);
  });

  it('spreads the phases of pods that ran before', () => {
    const left = [1, 2, 3, 4, 5, 6].map((seed) => {
      const world = worldOf({ seed, churn: [fault('readiness', 'error', 10, 60)] });
      world.simulation.runUntil(60 * NS_PER_S);
      return world.timeOf('pod_not_ready') / NS_PER_S - 10;
    });
    expect(new Set(left).size).toBe(6);
    expect(Math.min(...left)).toBeGreaterThanOrEqual(20);
    expect(Math.max(...left)).toBeLessThan(30);
  });
});

describe('Kubelet: liveness', () => {
  const deployment = { livenessProbe: probeOf({ periodSeconds: 1, failureThreshold: 2 }) };

  it('restarts the container and takes the pod out while it is down', () => {
    const world = worldOf({ churn: [fault('liveness', 'error', 10, 3)], deployment });
    world.simulation.runUntil(40 * NS_PER_S);
    const stopped = world.timeOf('process_stopped');
    expect(stopped).toBeGreaterThanOrEqual(11 * NS_PER_S);
    expect(stopped).toBeLessThan(12 * NS_PER_S);
    expect(world.timeOf('pod_not_ready')).toBe(stopped + PROCESS_EXIT_NS);
    expect(world.timeOf('container_restarted')).toBe(stopped + PROCESS_EXIT_NS + RESTART_DELAY_NS);
    expect(world.timeOf('pod_ready')).toBe(world.timeOf('container_restarted'));
    expect(world.plane.podCondition(FIRST_POD)).toBe('serving');
  });

  it('refuses connections while the container waits', () => {
    const world = worldOf({ churn: [fault('liveness', 'error', 10, 3)], deployment });
    world.simulation.runUntil(12.5 * NS_PER_S);
    expect(world.plane.podCondition(FIRST_POD)).toBe('not_listening');
    expect(world.plane.isReady(FIRST_POD)).toBe(false);
  });

  it('backs off: the second restart waits 10 s, then 20 s, up to 300 s', () => {
    const world = worldOf({ churn: [fault('liveness', 'error', 10, 3000)], deployment });
    world.simulation.runUntil(1500 * NS_PER_S);
    const restarts = world.events.filter((event) => event.kind === 'container_restarted').map((event) => event.at);
    const stops = world.events.filter((event) => event.kind === 'process_stopped').map((event) => event.at);
    const waits = restarts.map((at, i) => Math.round((at - stops[i] - PROCESS_EXIT_NS) / NS_PER_S));
    expect(waits.slice(0, 8)).toEqual([1, 10, 20, 40, 80, 160, 300, 300]);
  });

  it('forgets the back-off after ten minutes without a restart', () => {
    const churn = [10, 700, 1250].map((seconds) => fault('liveness', 'error', seconds, 3));
    const world = worldOf({ churn, deployment });
    world.simulation.runUntil(1400 * NS_PER_S);
    const restarts = world.events.filter((event) => event.kind === 'container_restarted').map((event) => event.at);
    const stops = world.events.filter((event) => event.kind === 'process_stopped').map((event) => event.at);
    const waits = restarts.map((at, i) => Math.round((at - stops[i] - PROCESS_EXIT_NS) / NS_PER_S));
    expect(waits).toEqual([1, 1, 10]);
  });

  it('ends the pod when it is deleted during the back-off', () => {
    const world = worldOf({ churn: [fault('liveness', 'error', 10, 3000), scaleTo(0, 20)], deployment });
    world.simulation.runUntil(100 * NS_PER_S);
    expect(world.plane.podCondition(FIRST_POD)).toBe('gone');
    const after = world.events.filter((event) => event.kind === 'container_restarted' && event.at > 21 * NS_PER_S);
    expect(after).toEqual([]);
  });
});
