/** The timeline of one trial in words: what `kubectl get endpoints --watch`, the probes and kube-proxy show, in order of simulated time. */
import type { ControlEvent } from '../control/control-event.ts';
import type { ControlPlane } from '../control/control-plane.ts';
import { formatIpv4 } from '../model/address.ts';
import { servicePortName } from '../model/cluster.ts';
import { NS_PER_S, type SimTime } from '../model/time.ts';
import type { BuiltCluster } from '../scenarios/cluster-builder.ts';

/** Who would show an event of this kind; the rest is the cluster's. */
const SPEAKERS: Readonly<Record<string, string>> = {
  probe_failing: 'probe',
  probe_answering: 'probe',
  probe_flapping: 'probe',
  pod_ready: 'kubelet',
  pod_not_ready: 'kubelet',
  process_stopped: 'kubelet',
  process_killed: 'kubelet',
  pod_gone: 'kubelet',
  container_restarted: 'kubelet',
  container_started: 'kubelet',
  process_crashed: 'kubelet',
  endpoints_changed: 'endpoints',
  proxy_stopped: 'kube-proxy',
  proxy_started: 'kube-proxy',
  sync_started: 'kube-proxy',
  sync_finished: 'kube-proxy',
  sync_failed: 'kube-proxy',
};

/** kubectl prints so many addresses of an Endpoints object and counts the others [pkg/printers/internalversion/printers.go formatEndpoints]. */
const ADDRESSES_SHOWN = 3;

export class EventLog {
  /** Service ports of each Service whose endpoints are pods of a Deployment, by its name, and the names by service port. */
  readonly #services = new Map<string, number[]>();
  readonly #names = new Map<number, string>();
  /** The printed names of the service ports themselves. */
  readonly #ports = new Map<number, string>();
  /** The last line about each Service's endpoints. */
  readonly #shown = new Map<string, string>();
  readonly #lines: string[] = [];
  #control: ControlPlane | undefined;

  /** The world of the trial; before its first event. Begins with the endpoints as they are, as a watch does. */
  attach(cluster: BuiltCluster, control: ControlPlane): void {
    this.#control = control;
    const bound = new Set(cluster.workload.bindings.map((binding) => binding.servicePortId));
    for (const svc of [...cluster.state.servicePorts, ...(cluster.workload.headlessPorts ?? [])]) {
      const { id } = svc;
      const service = `${svc.namespace}/${svc.name}`;
      this.#names.set(id, service);
      this.#ports.set(id, servicePortName(svc));
      if (bound.has(id)) this.#services.set(service, [...(this.#services.get(service) ?? []), id]);
    }
    for (const name of this.#services.keys()) this.#addEndpoints(0, name, '');
  }

  add({ at, kind, text, servicePortIds = [] }: ControlEvent): void {
    if (kind === 'endpoints_changed') {
      const services = new Set(servicePortIds.map((id) => this.#names.get(id) ?? String(id)));
      for (const name of services) this.#addEndpoints(at, name, text);
      return;
    }
    const installed = kind === 'sync_finished' ? servicePortIds.map((id) => this.#installed(id)) : [];
    this.#add(at, SPEAKERS[kind] ?? 'cluster', [text, ...installed].join('; '));
  }

  text(): string {
    return this.#lines.map((line) => `${line}\n`).join('');
  }

  #add(at: SimTime, speaker: string, text: string): void {
    this.#lines.push(`${(at / NS_PER_S).toFixed(6).padStart(14)} s  ${speaker.padEnd(10)}  ${text}`);
  }

  /** An Endpoints object holds no terminating pods, so a change of theirs shows in the EndpointSlices alone. */
  #addEndpoints(at: SimTime, name: string, text: string): void {
    const line = this.#endpoints(name);
    if (this.#shown.get(name) === line) this.#add(at, 'slices', text);
    else this.#add(at, 'endpoints', line);
    this.#shown.set(name, line);
  }

  #endpoints(name: string): string {
    const ready = (this.#services.get(name) ?? []).flatMap((id) => this.#control?.readyAddresses(id) ?? []);
    ready.sort((a, b) => a.address - b.address || a.port - b.port);
    const shown = ready.slice(0, ADDRESSES_SHOWN).map(({ address, port }) => `${formatIpv4(address)}:${port}`);
    const more = ready.length - shown.length;
    return `${name}  ${shown.join(',') || '<none>'}${more > 0 ? ` + ${more} more...` : ''}`;
  }

  #installed(id: number): string {
    const count = this.#control?.installedEndpoints(id);
    return `${this.#ports.get(id)} leads to ${count} ${count === 1 ? 'endpoint' : 'endpoints'}`;
  }
}
