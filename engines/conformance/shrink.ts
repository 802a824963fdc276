/** Makes a failing program smaller while it goes on failing: fewer steps, fewer service ports, fewer endpoints, plainer ones. */
import type { Endpoint, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import type { Program, Step } from './program.ts';

const MAX_RUNS = 1500;

/** `lastStep` is the index of the step that failed: what follows it goes first. */
export function shrink(program: Program, lastStep: number, fails: (candidate: Program) => boolean): Program {
  let runs = 0;
  let best: Program = { ...program, steps: program.steps.slice(0, lastStep + 1) };
  const attempt = (steps: readonly Step[]): boolean => {
    if (runs++ >= MAX_RUNS) return false;
    const candidate = { ...best, steps };
    if (!fails(candidate)) return false;
    best = candidate;
    return true;
  };
  let before = Infinity;
  while (size(best) < before && runs < MAX_RUNS) {
    before = size(best);
    dropSteps(() => best.steps, attempt);
    dropServices(() => best.steps, attempt);
    dropEndpoints(() => best.steps, attempt);
    dropExtras(() => best.steps, attempt);
  }
  return best;
}

function servicesOf(step: Step): readonly ServicePort[] {
  if (step.kind === 'sync') return step.state.servicePorts;
  return step.kind === 'apply' ? step.delta.upserted : [];
}

const EXTRAS = Object.keys(NO_SERVICE_EXTRAS) as (keyof ServiceExtras)[];

function has(svc: ServicePort, field: keyof ServiceExtras): boolean {
  const value = svc.extras?.[field];
  if (value === undefined) return false;
  return typeof value === 'object' ? value.length > 0 : value !== NO_SERVICE_EXTRAS[field];
}

function size(program: Program): number {
  let total = 0;
  for (const step of program.steps) {
    total++;
    for (const svc of servicesOf(step)) {
      total += 1 + svc.endpoints.length + EXTRAS.filter((field) => has(svc, field)).length;
      for (const endpoint of svc.endpoints) if (endpoint.hints !== undefined) total++;
    }
  }
  return total;
}

/** Leaves out runs of steps, long ones first; the first step stays, being the first sync. */
function dropSteps(current: () => readonly Step[], attempt: (steps: readonly Step[]) => boolean): void {
  for (let length = 1 << 9; length >= 1; length >>= 1) {
    for (let start = current().length - length; start >= 1; start -= length) {
      const steps = current();
      if (start + length <= steps.length) attempt([...steps.slice(0, start), ...steps.slice(start + length)]);
    }
  }
}

function mapServices(steps: readonly Step[], change: (services: readonly ServicePort[]) => ServicePort[]): Step[] {
  return steps.map((step) => {
    if (step.kind === 'sync') return { ...step, state: { servicePorts: change(step.state.servicePorts) } };
    if (step.kind === 'apply') return { ...step, delta: { ...step.delta, upserted: change(step.delta.upserted) } };
    return step;
  });
}

function dropServices(current: () => readonly Step[], attempt: (steps: readonly Step[]) => boolean): void {
  const ids = new Set(current().flatMap((step) => servicesOf(step).map((svc) => svc.id)));
  for (const id of ids) attempt(mapServices(current(), (services) => services.filter((svc) => svc.id !== id)));
}

function dropEndpoints(current: () => readonly Step[], attempt: (steps: readonly Step[]) => boolean): void {
  const names = new Set(
    current().flatMap((step) =>
      servicesOf(step).flatMap((svc) => svc.endpoints.map((e) => `${svc.id} ${e.address}:${e.port}`)),
    ),
  );
  for (const name of names) {
    const without = (svc: ServicePort): ServicePort => ({
      ...svc,
      endpoints: svc.endpoints.filter((e) => `${svc.id} ${e.address}:${e.port}` !== name),
    });
    attempt(mapServices(current(), (services) => services.map(without)));
  }
}

function withoutHints({ address, port, nodeName, ready, serving, terminating }: Endpoint): Endpoint {
  return { address, port, nodeName, ready, serving, terminating };
}

/** Takes from a service port, wherever it stands, one of its extras, or its endpoints' hints. */
function dropExtras(current: () => readonly Step[], attempt: (steps: readonly Step[]) => boolean): void {
  const ids = new Set(current().flatMap((step) => servicesOf(step).map((svc) => svc.id)));
  const change = (id: number, plainer: (svc: ServicePort) => ServicePort): void => {
    attempt(mapServices(current(), (services) => services.map((svc) => (svc.id === id ? plainer(svc) : svc))));
  };
  for (const id of ids) {
    for (const field of EXTRAS) {
      if (!current().some((step) => servicesOf(step).some((svc) => svc.id === id && has(svc, field)))) continue;
      change(id, (svc) => ({
        ...svc,
        extras: { ...NO_SERVICE_EXTRAS, ...svc.extras, [field]: NO_SERVICE_EXTRAS[field] },
      }));
    }
    change(id, (svc) => ({ ...svc, endpoints: svc.endpoints.map(withoutHints) }));
  }
}
