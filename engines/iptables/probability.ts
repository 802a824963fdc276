/** The `-m statistic` probabilities of kube-proxy's endpoint rules, as text and as the kernel's threshold. */

/**
 * `%.10f` of 1 / remaining, as Go prints it (pkg/proxy/iptables computeProbability). toFixed rounds the double exactly
 * as Go does, but for a tie: Go takes the even digit, toFixed the larger. 1/2048 = 0.00048828125 is the only tie: 1/n
 * is exact in binary for powers of two alone, and of those only 2^-11 has eleven decimals.
 */
export function probabilityText(remaining: number): string {
  return remaining === 2048 ? '0.0004882812' : (1 / remaining).toFixed(10);
}

/** What the tool makes of the text: a rule fires when 31 random bits are below it. */
export function statisticThreshold(text: string): number {
  return Math.round(Number(text) * 2147483648);
}

let thresholds = new Uint32Array(0);

/**
 * Thresholds of 31 bits at index `remaining` (2 .. count): a rule fires when 31 random bits are below it. The tool
 * computes them from the text: round(p * 2^31) (iptables extensions/libxt_statistic.c; xt_statistic.c statistic_mt).
 */
export function statisticThresholds(count: number): Uint32Array {
  if (thresholds.length > count) return thresholds;
  const grown = new Uint32Array(Math.max(64, count * 2 + 1));
  grown.set(thresholds);
  for (let n = Math.max(1, thresholds.length); n < grown.length; n++) {
    grown[n] = statisticThreshold(probabilityText(n));
  }
  thresholds = grown;
  return grown;
}
