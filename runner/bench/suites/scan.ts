/** The literal walk's scan of one long chain against the same in C: with vectors, and one rule after the other. */
import type { ScanJob } from '../../../engines/iptables/scan.bench.ts';
import { scalarScanContender, simdScanContender } from '../../../engines/iptables/scan.bench.ts';
import type { Job, Suite } from '../suite.ts';

/** Rules read in a round, of which the walks that end at their match leave some out. */
const RULES_A_ROUND = { smoke: 200_000, full: 20_000_000 } as const;
const STATE = [1, 2, 3, 4] as const;

export const SUITE: Suite = {
  name: 'scan',
  question: 'What does the literal walk cost a rule, where a chain has many?',
  jobs: (size) =>
    (size === 'full' ? [10_000, 40_000, 160_000] : [2_000]).flatMap((rules) => {
      const walks = RULES_A_ROUND[size] / rules;
      return [
        scanJob('scan with vectors', { rules, walks, seed: STATE }, 'simd', 1.4),
        scanJob('scan without vectors', { rules, walks, seed: STATE }, 'scalar', 2),
      ];
    }),
};

function scanJob(name: string, job: ScanJob, mode: 'simd' | 'scalar', atMost: number): Job {
  const { rules, walks, seed } = job;
  const peer = mode === 'simd' ? 'C with SSE' : 'C';
  return {
    name,
    size: rules,
    sizeOf: 'rules',
    operations: walks,
    contenders: () => [mode === 'simd' ? simdScanContender(job) : scalarScanContender(job)],
    peers: [{ name: peer, source: 'scan.c', args: [mode, ...[rules, walks, ...seed].map(String)] }],
    bars: [{ against: peer, atMost }],
  };
}
