/** What the parts of a guest's plan share: its network, how many packets stand behind a row, and what a part is. */
import type { Effort } from '../measure/points.ts';
import type { GuestScript } from './script.ts';

/** The guest has no network device, and 10/8 is its own. */
export const GUEST_NETWORK = 10;

/** One packet is one sample, and all are alike: few do. */
export const EFFORT: Effort = { packets: 192, repeats: 2 };
/** A draw for each packet: more of them. */
export const DRAWN_EFFORT: Effort = { packets: 512, repeats: 2 };

/** A row of programming without anything of its own. */
export const SYNC_POINT = {
  mode: 'sync',
  services: 0,
  endpoints: 0,
  rulesEvaluated: 0,
  statisticRules: 0,
  comments: false,
  variant: '',
} as const;

/** Something that a guest measures; it leaves the guest as it found it. */
export interface Part {
  readonly name: string;
  /** On the machine of the committed profile, roughly. */
  readonly expectedSeconds: number;
  readonly write: (script: GuestScript) => void;
}
