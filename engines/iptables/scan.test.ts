/** The scans: vectors, one rule after the other, and rule by rule as ip_packet_match says it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { RuleArrays, SCANNING } from './rule-arrays.ts';
import { scalarScanContender, simdScanContender } from './scan.bench.ts';
import * as scan from './scan.ts';
import { SCAN_MODULE } from './scan-module.ts';

const PROTOCOLS = [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP];

/** Few values, so that much is met. Undefined: the rule does not ask for it. */
const rules = fc.array(
  fc.record({
    dst: fc.option(fc.integer({ min: -2, max: 2 }), { nil: undefined }),
    protocol: fc.option(fc.constantFrom(...PROTOCOLS), { nil: undefined, freq: 20 }),
    port: fc.option(fc.constantFrom(0, 80, 81, 65_535), { nil: undefined, freq: 20 }),
    kind: fc.nat(15),
    size: fc.nat(127),
    isService: fc.boolean(),
    /** What a rule for any destination has in the word of the destination. */
    other: fc.integer({ min: -2, max: 2 }),
  }),
  { maxLength: 80 },
);
const packet = fc.record({
  dst: fc.integer({ min: -2, max: 2 }),
  protocol: fc.constantFrom(...PROTOCOLS),
  port: fc.constantFrom(0, 80, 81, 65_535),
});

function arraysFor(count: number, usesSimd: boolean): RuleArrays {
  const before = { ...SCANNING };
  Object.assign(SCANNING, { usesSimd, fewestRules: 0 });
  const arrays = new RuleArrays();
  arrays.reserve(count, 0);
  Object.assign(SCANNING, before);
  return arrays;
}

describe('the scans', () => {
  it('find the first rule that a packet may match, and the size of those before it', () => {
    fc.assert(
      fc.property(rules, packet, fc.nat(80), fc.nat(80), (chain, sent, a, b) => {
        const first = Math.min(a, b, chain.length);
        const end = Math.min(Math.max(a, b), chain.length);
        const ways = (scan.HAS_SIMD ? [true, false] : [false]).map((usesSimd) => arraysFor(chain.length, usesSimd));
        for (const { dst, key } of ways) {
          chain.forEach((rule, i) => {
            dst[i] = rule.dst ?? rule.other;
            key[i] =
              scan.ruleKey(rule.kind, scan.bytesOf(1, rule.size)) |
              (rule.isService ? scan.KEY_SERVICE_CHAIN : 0) |
              (rule.dst === undefined ? scan.KEY_ANY_DST : 0) |
              (rule.protocol === undefined || rule.port === undefined
                ? scan.KEY_ANY_PORT
                : scan.portKey(rule.protocol, rule.port));
          });
        }
        let at = first;
        let size = 0;
        for (; at < end; at++) {
          const { dst, protocol, port } = chain[at];
          const asksForPort = protocol !== undefined && port !== undefined;
          if (!asksForPort) break;
          if ((dst ?? sent.dst) === sent.dst && protocol === sent.protocol && port === sent.port) break;
          size += chain[at].size;
        }
        const key = scan.KEY_ANY_DST | scan.portKey(sent.protocol, sent.port);
        for (const arrays of ways) {
          expect([arrays.scan(first, end, sent.dst, key), arrays.sum[0]]).toEqual([at, size]);
        }
        chain.forEach((rule, i) => {
          expect(scan.keyKind(ways[0].key[i])).toBe(rule.kind);
          expect(scan.keySize(ways[0].key[i])).toBe(rule.size);
        });
      }),
      { numRuns: 2000 },
    );
  });

  it('agree on long chains, and rules keep their words when the arrays grow', () => {
    const job = { rules: 5000, walks: 50, seed: [1, 2, 3, 4] } as const;
    const contenders = [simdScanContender(job), scalarScanContender(job)];
    for (let round = 0; round < 3; round++) for (const contender of contenders) contender.round();
    expect(new Set(contenders.map((contender) => contender.checksum())).size).toBe(1);
    const arrays = arraysFor(10, scan.HAS_SIMD);
    for (const words of [arrays.dst, arrays.key, arrays.arg, arrays.more]) words.set([1, 2, 3]);
    arrays.reserve(100_000, 3);
    for (const words of [arrays.dst, arrays.key, arrays.arg, arrays.more]) {
      expect([...words.subarray(0, 4)]).toEqual([1, 2, 3, 0]);
    }
  });

  it('are what scan.wat says', async () => {
    const source = readFileSync(join(import.meta.dirname, 'scan.wat'), 'utf8');
    const assembled = (await wabt()).parseWat('scan.wat', source, { simd: true }).toBinary({});
    const text = Buffer.from(assembled.buffer).toString('base64');
    if (process.env['UPDATE_GOLDEN'] === '1') {
      const file = join(import.meta.dirname, 'scan-module.ts');
      writeFileSync(file, readFileSync(file, 'utf8').replace(/'[A-Za-z0-9+/=]+'/, `'${text}'`));
    } else expect(SCAN_MODULE).toBe(text);
  });
});
