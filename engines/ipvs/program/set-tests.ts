/** Tests of packets against ipsets, as `-m set --match-set NAME FIELDS` makes them. */
import { cidrContainsIp } from '../../../model/ip-text.ts';
import { assert } from '../../../sim/assert.ts';
import type { SetName } from './ip-sets.ts';
import type { Protocol } from './ipvs-table.ts';
import type { SetView } from './program.ts';
import type { Match } from './rules.ts';

export interface TestedPacket {
  readonly protocol: Protocol;
  readonly src: string;
  readonly dst: string;
  readonly dstPort: number;
}

export class SetTests {
  /** Tests made so far. */
  count = 0;
  readonly #sets: ReadonlyMap<SetName, SetView>;

  constructor(sets: ReadonlyMap<SetName, SetView>) {
    this.#sets = sets;
  }

  holds({ set: name, fields }: Extract<Match, { kind: 'set' }>, packet: TestedPacket): boolean {
    this.count++;
    const set = this.#sets.get(name);
    assert(set !== undefined, `no ipset ${name}`);
    const [first, , third] = fields.split(',').map((end) => (end === 'src' ? packet.src : packet.dst));
    const ipPort = `${first},${packet.protocol}:${packet.dstPort}`;
    switch (set.type) {
      case 'bitmap:port':
        return set.entries.includes(`${packet.dstPort}`);
      case 'hash:ip':
        return set.entries.includes(first);
      case 'hash:ip,port':
        return set.entries.includes(ipPort);
      case 'hash:ip,port,ip':
        return set.entries.includes(`${ipPort},${third}`);
      case 'hash:ip,port,net':
        return set.entries.some((entry) => {
          if (!entry.startsWith(`${ipPort},`)) return false;
          return cidrContainsIp(entry.slice(ipPort.length + 1), third);
        });
    }
  }
}
