/** The table as text: the program's own text of the service ports, and what earlier syncs have left. */
import { formatIpv4 } from '../../model/address.ts';
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import type { ProxyConfig } from '../../model/service-config.ts';
import { READY_ELSEWHERE } from '../../model/service-config.ts';
import type { Protocol } from '../../model/protocol.ts';
import { protocolName } from '../../model/protocol.ts';
import { servicePortConfig } from '../proxy/configs.ts';
import { keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import type { ServiceTable } from './compile.ts';
import type { KeptComment } from './element-map.ts';
import { NameCache } from './program/names.ts';
import { NftablesProgrammer } from './program/programmer.ts';
import { NO_ENDPOINT_NODE_PORTS, NO_ENDPOINT_SERVICES } from './program/setup.ts';
import type { NftTable } from './program/table.ts';
import type { StaleChain } from './stale-chains.ts';

export function dumpTable(
  form: 'kernel' | 'restore',
  table: ServiceTable,
  node: NodeSpec,
  config: ProxyConfig,
): string {
  const ids = [...table.ids()].sort((a, b) => a - b);
  const configs = ids.map((id) => servicePortConfig(table.servicePort(id) as ServicePort, node));
  const program = new NftablesProgrammer(config).sync(configs, { full: true, changed: new Set(), nowSeconds: 0 });
  const names = new NameCache();
  for (const stale of table.staleChains.all()) {
    const name = chainName(stale, names, node);
    program.table.apply({ verb: 'add', object: 'chain', chain: { name, base: undefined, comment: '' } });
  }
  for (const kept of table.elements.noEndpointServices.keptComments.values()) {
    setComment(program.table, NO_ENDPOINT_SERVICES, `${formatIpv4(kept.address)} . ${serviceText(kept)}`, kept);
  }
  for (const kept of table.elements.noEndpointNodePorts.keptComments.values()) {
    setComment(program.table, NO_ENDPOINT_NODE_PORTS, serviceText(kept), kept);
  }
  return form === 'kernel' ? program.kernelText() : program.dumpText();
}

function chainName({ kind, svc, endpoint }: StaleChain, names: NameCache, node: NodeSpec): string {
  const config = servicePortConfig({ ...svc, endpoints: [] }, node);
  if (kind !== 'endpoint') return names.service(config)[kind];
  const place = { ...READY_ELSEWHERE, address: formatIpv4(keyAddress(endpoint)), port: keyPort(endpoint) };
  return names.endpoint(config, place).chain;
}

function serviceText({ service }: KeptComment): string {
  return `${protocolName((service >>> 16) as Protocol)} . ${service & 0xffff}`;
}

function setComment(table: NftTable, map: string, key: string, { comment }: KeptComment): void {
  const { elements } = table.container(map);
  const element = elements.get(key);
  if (element === undefined) throw new Error(`Assertion failed: ${map} has no element ${key}`);
  elements.set(key, { ...element, comment });
}
