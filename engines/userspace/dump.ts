/** An engine's rules as text: those of its open service ports, in the order in which they were opened. */
import type { World } from '../engine.ts';
import { proxyConfig, servicePortConfig } from '../proxy/configs.ts';
import type { Portal } from './portal-table.ts';
import { UserspaceProgram } from './program.ts';

export function dumpPortals(form: 'kernel' | 'restore', open: readonly Portal[], { node, options }: World): string {
  const ports = open.map(({ svc, proxyPort }) => ({ svc: servicePortConfig(svc, node), proxyPort }));
  const program = new UserspaceProgram(proxyConfig(node, options), ports);
  return form === 'kernel' ? program.kernelText() : program.commandText();
}
