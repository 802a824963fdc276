/** Adds up what the packets of one trial did and cost, and gives the observation's metrics at the end. */
import type { CostModel } from '../costs/cost-model.ts';
import {
  COUNTER_NAMES,
  COUNTER_STRIDE,
  RULES_EVALUATED,
  SERVICE_CHAIN_ENTRIES,
  type Counters,
} from '../model/counters.ts';
import type { Cell } from '../model/observation.ts';
import type { CostUnit } from '../model/profile.ts';
import type { VerdictBatch } from '../model/verdict.ts';
import { Digest } from '../sim/digest.ts';
import { ClientMeter } from './client-meter.ts';
import { quantileSorted, sortAscending } from './statistics.ts';

/**
 * Why a connection failed, as CSV column suffixes. `dropped` is for want of any other reason; `no_local_endpoints` and `source_range`
 * are the drops that a Service's policy asks for; two never left their client: `no_free_port`, all of whose ports were in use, and
 * `not_resolved`, which got no address for the name.
 */
export const FAILURE_KINDS = [
  'rejected',
  'dropped',
  'refused',
  'no_answer',
  'no_local_endpoints',
  'source_range',
  'conntrack_full',
  'no_free_port',
  'not_resolved',
] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

const VERDICT_WORDS = 6;

export class TrialMeter {
  packets = 0;
  connections = 0;
  /** Connections whose first packet got no working endpoint, by FAILURE_KINDS. */
  readonly failures: Record<FailureKind, number> = {
    rejected: 0,
    dropped: 0,
    refused: 0,
    no_answer: 0,
    no_local_endpoints: 0,
    source_range: 0,
    conntrack_full: 0,
    no_free_port: 0,
    not_resolved: 0,
  };
  readonly clients = new ClientMeter();
  /** Connections that reached an endpoint whose pod was no longer ready, and was serving all the same. */
  staleConnections = 0;
  /** Connections cut after they were established, since their pod stopped. */
  brokenConnections = 0;
  readonly #digest = new Digest();
  #verdictWords = new Int32Array(VERDICT_WORDS);
  readonly #sums = new Float64Array(COUNTER_STRIDE);
  readonly #firstSums = new Float64Array(COUNTER_STRIDE);
  #rulesScannedMax = 0;
  #costSum = 0;
  #bareSum = 0;
  #establishedCostSum = 0;
  #establishedPackets = 0;
  #firstCosts = new Float64Array(4096);
  #firstPackets = 0;
  #bareFirstSum = 0;

  /** Verdicts, counters and costs of packets 0 .. length-1. `model` is what the costs are of. */
  add(
    length: number,
    verdicts: VerdictBatch,
    work: Counters,
    costs: Float64Array,
    model: Pick<CostModel, 'barePacket'>,
  ): void {
    const bareFirst = model.barePacket(true);
    const bareEstablished = model.barePacket(false);
    const rows = work.rows;
    const firsts = verdicts.first;
    work.addTo(this.#sums, length);
    // Sums of floats go on packet by packet: their last bits depend on the order.
    let costSum = this.#costSum;
    let bareSum = this.#bareSum;
    let establishedCostSum = this.#establishedCostSum;
    for (let i = 0; i < length; i++) {
      const cost = costs[i];
      costSum += cost;
      if (firsts[i] === 1) {
        bareSum += bareFirst;
        this.#addFirst(rows, i * COUNTER_STRIDE, cost, bareFirst);
      } else {
        bareSum += bareEstablished;
        establishedCostSum += cost;
        this.#establishedPackets++;
      }
    }
    this.#costSum = costSum;
    this.#bareSum = bareSum;
    this.#establishedCostSum = establishedCostSum;
    if (length * VERDICT_WORDS > this.#verdictWords.length) this.#verdictWords = new Int32Array(length * VERDICT_WORDS);
    fillVerdictWords(verdicts, rows, length, this.#verdictWords);
    this.#digest.words(this.#verdictWords, length * VERDICT_WORDS);
    this.packets += length;
  }

  /** Takes over what was counted on another node; its packets follow this one's in the digest. */
  absorb(other: TrialMeter): void {
    for (const kind of FAILURE_KINDS) this.failures[kind] += other.failures[kind];
    this.packets += other.packets;
    this.connections += other.connections;
    this.staleConnections += other.staleConnections;
    this.brokenConnections += other.brokenConnections;
    this.clients.absorb(other.clients);
    for (let c = 0; c < COUNTER_STRIDE; c++) {
      this.#sums[c] += other.#sums[c];
      this.#firstSums[c] += other.#firstSums[c];
    }
    this.#rulesScannedMax = Math.max(this.#rulesScannedMax, other.#rulesScannedMax);
    this.#costSum += other.#costSum;
    this.#bareSum += other.#bareSum;
    this.#bareFirstSum += other.#bareFirstSum;
    this.#establishedCostSum += other.#establishedCostSum;
    this.#establishedPackets += other.#establishedPackets;
    for (let i = 0; i < other.#firstPackets; i++) {
      if (this.#firstPackets === this.#firstCosts.length) this.#growFirstCosts();
      this.#firstCosts[this.#firstPackets++] = other.#firstCosts[i];
    }
    this.#digest.text(other.digest());
  }

  get failedConnections(): number {
    return FAILURE_KINDS.reduce((sum, kind) => sum + this.failures[kind], 0);
  }

  /**
   * Metrics by column name, costs in the unit of their profile. Means over no packet at all are null. `clientsWait`: they send SYNs again,
   * or try again.
   */
  metrics(clientsWait = false, unit: CostUnit = 'ns'): Record<string, Cell> {
    const first = this.#firstPackets;
    const perFirst = (counter: number): Cell => (first === 0 ? null : this.#firstSums[counter] / first);
    const established = this.#establishedPackets;
    const perEstablished = (counter: number): Cell =>
      established === 0 ? null : (this.#sums[counter] - this.#firstSums[counter]) / established;
    const sorted = sortAscending(this.#firstCosts.subarray(0, first));
    const metrics: Record<string, Cell> = {
      packets: this.packets,
      connections: this.connections,
      failed_connections: this.failedConnections,
      rules_evaluated_per_first_packet_mean: perFirst(RULES_EVALUATED),
      service_chain_entries_per_first_packet_mean: perFirst(SERVICE_CHAIN_ENTRIES),
      [`cost_per_packet_mean_${unit}`]: this.packets === 0 ? null : this.#costSum / this.packets,
      [`cost_first_packet_mean_${unit}`]: first === 0 ? null : sum(sorted) / first,
      [`cost_first_packet_p50_${unit}`]: first === 0 ? null : quantileSorted(sorted, first, 0.5),
      [`cost_first_packet_p99_${unit}`]: first === 0 ? null : quantileSorted(sorted, first, 0.99),
      rules_evaluated_per_established_packet_mean: perEstablished(RULES_EVALUATED),
      service_chain_entries_per_established_packet_mean: perEstablished(SERVICE_CHAIN_ENTRIES),
      [`cost_established_packet_mean_${unit}`]: established === 0 ? null : this.#establishedCostSum / established,
      [`cost_over_bare_first_packet_mean_${unit}`]: first === 0 ? null : (sum(sorted) - this.#bareFirstSum) / first,
      [`cost_over_bare_per_packet_mean_${unit}`]:
        this.packets === 0 ? null : (this.#costSum - this.#bareSum) / this.packets,
      first_packets: first,
      rules_scanned_max: this.#rulesScannedMax,
      stale_connections: this.staleConnections,
      broken_connections: this.brokenConnections,
      ...this.clients.metrics(this.connections, this.failedConnections, clientsWait),
    };
    for (const kind of FAILURE_KINDS) metrics[`failed_connections_${kind}`] = this.failures[kind];
    COUNTER_NAMES.forEach((name, counter) => (metrics[`${name}_total`] = this.#sums[counter]));
    return metrics;
  }

  /** Costs of first packets and the mean of established ones, in the profile's unit; NaN without any. */
  packetCosts(): { readonly first: Float64Array; readonly establishedMean: number } {
    return {
      first: sortAscending(this.#firstCosts.slice(0, this.#firstPackets)),
      establishedMean: this.#establishedCostSum / this.#establishedPackets,
    };
  }

  digest(): string {
    return this.#digest.hex();
  }

  #addFirst(rows: Uint32Array, row: number, cost: number, bare: number): void {
    const sums = this.#firstSums;
    for (let c = 0; c < COUNTER_STRIDE; c++) sums[c] += rows[row + c];
    if (rows[row + RULES_EVALUATED] > this.#rulesScannedMax) this.#rulesScannedMax = rows[row + RULES_EVALUATED];
    if (this.#firstPackets === this.#firstCosts.length) this.#growFirstCosts();
    this.#firstCosts[this.#firstPackets++] = cost;
    this.#bareFirstSum += bare;
  }

  #growFirstCosts(): void {
    const grown = new Float64Array(this.#firstCosts.length * 2);
    grown.set(this.#firstCosts);
    this.#firstCosts = grown;
  }
}

/** What the digest holds of each packet, VERDICT_WORDS words a packet. */
function fillVerdictWords(verdicts: VerdictBatch, rows: Uint32Array, length: number, words: Int32Array): void {
  const { outcome, reason, first, masqueraded, srcAddress, dstAddress, srcPort, dstPort, servicePortId } = verdicts;
  for (let i = 0, row = 0, at = 0; i < length; i++, row += COUNTER_STRIDE, at += VERDICT_WORDS) {
    words[at] = outcome[i] | (reason[i] << 4) | (first[i] << 8) | (masqueraded[i] << 9);
    words[at + 1] = srcAddress[i];
    words[at + 2] = dstAddress[i];
    words[at + 3] = (srcPort[i] << 16) | dstPort[i];
    words[at + 4] = servicePortId[i];
    words[at + 5] = rows[row + RULES_EVALUATED] ^ Math.imul(rows[row + SERVICE_CHAIN_ENTRIES], 0x9e3779b1);
  }
}

function sum(values: Float64Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}
