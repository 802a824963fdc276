/** Which engines there are. Only runner/ and the conformance suite import it. */
import type { EngineFactory, EngineName } from './engine.ts';
import { createIptablesEngine } from './iptables/engine.ts';
import { createIpvsEngine } from './ipvs/engine.ts';
import { createNftablesEngine } from './nftables/engine.ts';
import { createUserspaceEngine } from './userspace/engine.ts';

export const ENGINES = {
  iptables: createIptablesEngine,
  ipvs: createIpvsEngine,
  nftables: createNftablesEngine,
  userspace: createUserspaceEngine,
} as const satisfies Readonly<Record<EngineName, EngineFactory>>;
