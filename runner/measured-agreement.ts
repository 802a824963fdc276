/** Whether the kernel that `measure` has just measured agrees with a profile: slopes and ratios to the packet without netfilter. */
import { predictRow } from '../costs/predict-row.ts';
import { agreement, isSameMachine } from '../kernel/agreement.ts';
import type { AgreedQuantity } from '../kernel/agreement.ts';
import type { CostProfile } from '../model/profile.ts';
import { readMeasuredFiles } from './measured-file.ts';
import { alignedTable } from './text-table.ts';
import { signedPercent } from './validation-text.ts';

/** A quantity may be this far from the profile's on a machine that is the profile's. */
const AGREEMENT_LIMIT = 0.25;

export interface MeasuredAgreement {
  /** A table, and what it means; ends in a line break. */
  readonly text: string;
  /** Quantities that are too far off; empty where the machine is another one, whose figures are told and not judged. */
  readonly failures: readonly AgreedQuantity[];
}

export function measuredAgreement(
  file: string,
  profile: CostProfile,
  here: { readonly cpuModel: string; readonly l2Bytes: number },
): MeasuredAgreement {
  const measured = readMeasuredFiles([file]);
  const predicted = measured.flatMap((row) => {
    const prediction = predictRow(profile, row);
    return 'value' in prediction ? [{ ...row, value: prediction.value }] : [];
  });
  const quantities = agreement(measured, predicted);
  const isJudged = isSameMachine(here, { cpuModel: profile.cpuModel, l2Bytes: profile.cache.l2Bytes.value });
  const failures = isJudged ? quantities.filter(({ error }) => Math.abs(error) > AGREEMENT_LIMIT) : [];
  const rows = quantities.map((each) => [
    each.name,
    each.measuredNs.toFixed(2),
    each.predictedNs.toFixed(2),
    each.measuredRatio.toFixed(5),
    each.predictedRatio.toFixed(5),
    signedPercent(each.error),
  ]);
  const header = ['quantity', 'measured ns', `${profile.name} ns`, 'measured / bare', 'profile / bare', 'difference'];
  return {
    text: `${alignedTable(header, rows)}${meaning(profile, isJudged, failures.length, quantities.length)}`,
    failures,
  };
}

function meaning(profile: CostProfile, isJudged: boolean, failed: number, all: number): string {
  if (!isJudged) return `This is not the machine of ${profile.name}: the differences are told, not judged.\n`;
  const limit = `${100 * AGREEMENT_LIMIT} %`;
  return failed === 0
    ? `All ${all} ratios to the packet without netfilter are within ${limit} of ${profile.name}.\n`
    : `${failed} of ${all} ratios to the packet without netfilter are more than ${limit} from ${profile.name}.\n`;
}
