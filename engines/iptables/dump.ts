/** The rules that an engine has installed, as iptables text in the program's canonical order. */
import type { ServicePort } from '../../model/cluster.ts';
import { compareBytes } from '../../model/ip-text.ts';
import { assert } from '../../sim/assert.ts';
import { servicePortConfig } from '../proxy/configs.ts';
import type { ServiceTable } from './compile.ts';
import { IptablesProgrammer, kernelProgram } from './program/programmer.ts';
import type { Rule } from './program/rules.ts';
import { servicePortRules } from './program/service-rules.ts';

export type DumpForm = 'kernel' | 'restore';

/** `restore` is what a full sync would write now, so it decides about comments anew; `kernel` has stale chains, too. */
export function dumpRules(form: DumpForm, table: ServiceTable): string {
  const { node, config } = table.facts;
  if (form === 'restore') {
    const services = slotsByName(table).map((slot) => servicePortConfig(servicePortAt(table, slot), node));
    return new IptablesProgrammer(config)
      .sync(services, { full: true, changed: new Set(), nowSeconds: 0 })
      .restoreText();
  }
  const ports = slotsByName(table).map((slot) =>
    servicePortRules(servicePortConfig(servicePortAt(table, slot), node), config, table.commented[slot] === 1),
  );
  const stale = table.staleChains.all().map(({ name, svc, commented }): [string, readonly Rule[]] => {
    const written = servicePortRules(servicePortConfig(svc, node), config, commented).chains.find(
      ([chain]) => chain === name,
    );
    assert(written !== undefined, `the service port that left ${name} behind had it`);
    return [name, written[1]];
  });
  return kernelProgram(config, ports, stale).kernelText();
}

function servicePortAt(table: ServiceTable, slot: number): ServicePort {
  const svc = table.servicePorts[slot];
  assert(svc !== undefined, 'a slot in the order is in use');
  return svc;
}

/** The program's canonical order: byte order of the Services' names, and ports of one Service by id. */
function slotsByName(table: ServiceTable): number[] {
  const named = [...table.order.subarray(0, table.count)].map((slot) => {
    const { namespace, name, id } = servicePortAt(table, slot);
    return { slot, service: `${namespace}/${name}`, id };
  });
  named.sort((a, b) => compareBytes(a.service, b.service) || a.id - b.id);
  return named.map(({ slot }) => slot);
}
