/** How far a cost profile was from measured rows: what `validate` leaves beside a profile and a results folder carries in its manifest. */
import { z } from 'zod';

const ratio = z.number().nonnegative().nullable();

const groupSchema = z.object({
  /** As the measurements call it: `ipt-legacy`, `nft`, `ipvs`. */
  engine: z.string(),
  /** `first`, `established`, `sync`. */
  mode: z.string(),
  /** Rows that were compared, of so many that there are. */
  rows: z.number().int().nonnegative(),
  of: z.number().int().nonnegative(),
  /** Of |modelled / measured - 1|; null where no row was compared. */
  median_error_ratio: ratio,
  p90_error_ratio: ratio,
  max_error_ratio: ratio,
});

export const validationSchema = z.object({
  profile: z.string(),
  splits: z.array(
    z.object({
      /** `all rows`, which the numbers were fitted to, or what was held out of the fit. */
      name: z.string(),
      groups: z.array(groupSchema),
    }),
  ),
  /** What no row measures, a phrase each. */
  not_modelled: z.array(z.string()),
});

export type Validation = z.infer<typeof validationSchema>;
export type ValidationGroup = z.infer<typeof groupSchema>;
