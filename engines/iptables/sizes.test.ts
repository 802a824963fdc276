/** The sizes that the evaluators add up are those of the program's rules. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { proxyConfig, servicePortConfig } from '../proxy/configs.ts';
import { readyEndpoint, syntheticService, syntheticWorld } from '../synthetic.ts';
import {
  BUILT_IN_CHAINS,
  firewallRules,
  forwardRules,
  markMasqRules,
  postroutingRules,
} from './program/fixed-rules.ts';
import { nodePortDispatch } from './program/node-ports.ts';
import type { Rule } from './program/rules.ts';
import { servicePortRules } from './program/service-rules.ts';
import * as size from './sizes.ts';

const { node } = syntheticWorld();
const config = proxyConfig(node, DEFAULT_ENGINE_OPTIONS);

function bytes(rules: readonly Rule[]): number[] {
  return rules.map(size.ruleBytes);
}

describe('sizes of rules', () => {
  it('of built-in and fixed chains', () => {
    const builtIn = new Map(BUILT_IN_CHAINS);
    expect(bytes(builtIn.get('filter/INPUT') ?? [])).toEqual([
      size.PLAIN_BYTES,
      size.STATE_BYTES,
      size.COMMENTED_BYTES,
      size.STATE_BYTES,
    ]);
    expect(bytes(builtIn.get('nat/PREROUTING') ?? [])).toEqual([size.COMMENTED_BYTES]);
    expect(bytes(firewallRules(config))).toEqual([size.STATE_BYTES]);
    expect(bytes(forwardRules(config))).toEqual([352, size.MARK_ACCEPT_BYTES, size.STATE_BYTES]);
    expect(bytes(markMasqRules(config))).toEqual([size.PLAIN_BYTES]);
    expect(bytes(postroutingRules(config))).toEqual([size.MARK_RETURN_BYTES, size.PLAIN_BYTES, size.MASQUERADE_BYTES]);
    expect(bytes(nodePortDispatch(config))).toEqual([size.LAST_BYTES]);
    expect(bytes(nodePortDispatch({ ...config, nodePortAddresses: ['192.168.0.0/24'] }))).toEqual([
      size.COMMENTED_BYTES,
    ]);
  });

  it.each([true, false])('of a plain service port, comments %s', (commented) => {
    const endpoints = [readyEndpoint(0x0a000101, 80), readyEndpoint(0x0a000102, 80)];
    const svc = syntheticService({ id: 1, nodePort: 30_001, endpoints });
    const { shared, chains } = servicePortRules(servicePortConfig(svc, node), config, commented);
    expect(bytes(shared.map(([, rule]) => rule))).toEqual([size.SERVICE_BYTES, size.SERVICE_BYTES]);
    const sep = [size.hairpinBytes(commented), size.dnatBytes(commented)];
    expect(chains.map(([, rules]) => bytes(rules))).toEqual([
      [size.COMMENTED_BYTES, size.PLAIN_BYTES],
      [size.SERVICE_BYTES, size.endpointJumpBytes(true, commented), size.endpointJumpBytes(false, commented)],
      sep,
      sep,
    ]);
    const empty = servicePortRules(servicePortConfig({ ...svc, endpoints: [] }, node), config, commented);
    expect(bytes(empty.shared.map(([, rule]) => rule))).toEqual([size.SERVICE_BYTES, size.EXTERNAL_BYTES]);
  });
});
