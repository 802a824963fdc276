/** Answers that a client, or a node for its clients, keeps for their TTL: nscd and dnsmasq beside a resolver, NodeLocal DNSCache. */
import type { DnsAnswer, DnsType } from '../control/dns-zone.ts';
import type { SimTime } from '../model/time.ts';

interface Entry {
  readonly answer: DnsAnswer;
  readonly until: SimTime;
}

export class DnsCache {
  readonly #entries = new Map<string, Entry>();

  /** An answer is good until just before its TTL is over. `owner` is whose cache it is. */
  find(owner: number, name: string, type: DnsType, now: SimTime): DnsAnswer | undefined {
    const entry = this.#entries.get(keyOf(owner, name, type));
    return entry !== undefined && now < entry.until ? entry.answer : undefined;
  }

  /** A name that is not there is kept, too (RFC 2308; CoreDNS' SOA has the TTL of its records for a minimum). */
  keep(owner: number, name: string, type: DnsType, answer: DnsAnswer, until: SimTime): void {
    this.#entries.set(keyOf(owner, name, type), { answer, until });
  }
}

function keyOf(owner: number, name: string, type: DnsType): string {
  return `${owner} ${type} ${name.toLowerCase()}`;
}
