/** What a sync costs: the literal rules alone, an engine's whole sync and apply, and one endpoint that gives way to another. */
import {
  COMPILE_ENDPOINTS,
  COMPILE_STATE,
  applyContender,
  compiledRules,
  rulesContender,
  swapContender,
  syncContender,
} from '../../../engines/iptables/compile.bench.ts';
import type { Contender } from '../../../sim/contender.ts';
import type { Job, Suite } from '../suite.ts';

const APPLIES = { smoke: 3, full: 20 } as const;
const SWAPS = { smoke: 200, full: 5_000 } as const;
const EVALUATORS = ['literal', 'indexed'] as const;

export const SUITE: Suite = {
  name: 'compile',
  question: 'What does it cost to compile the rules of a cluster, a rule, and to take over a change?',
  jobs(size) {
    const perRule = (size === 'full' ? [1_000, 10_000, 50_000] : [100]).flatMap((services): Job[] => {
      const rules = compiledRules(services);
      const sync = (name: string, contender: () => Contender): Job => ({
        ...alone(name, services, rules, contender),
        size: rules,
        sizeOf: 'rules',
      });
      return [
        {
          ...sync('rules from the table', () => rulesContender(services)),
          peers: [
            { name: 'C', source: 'compile.c', args: [services, COMPILE_ENDPOINTS, ...COMPILE_STATE].map(String), flags: ['-lm'] }, // prettier-ignore
          ],
          atMostNs: 8,
        },
        ...EVALUATORS.flatMap((evaluator) => [
          sync(`sync of new objects, ${evaluator}`, () => syncContender(services, evaluator, true)),
          sync(`sync of the same objects, ${evaluator}`, () => syncContender(services, evaluator, false)),
        ]),
      ];
    });
    const applies = (size === 'full' ? [1_000, 10_000, 50_000] : [100]).flatMap((services) =>
      EVALUATORS.map((evaluator) =>
        alone(`apply of a swap, ${evaluator}`, services, APPLIES[size], () =>
          applyContender(services, evaluator, APPLIES[size]),
        ),
      ),
    );
    const swap = alone('endpoint swap', 1, SWAPS[size], () => swapContender(SWAPS[size]));
    return [...perRule, { ...swap, atMostNs: 2_000 }, ...applies];
  },
};

/** Of nobody else's. */
function alone(name: string, services: number, operations: number, contender: () => Contender): Job {
  return { name, size: services, sizeOf: 'services', operations, contenders: () => [contender()], peers: [], bars: [] };
}
