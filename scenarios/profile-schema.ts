/** The shape of a cost profile's file: sections in snake_case, keys that end in the profile's unit where their number is in it. */
import { z } from 'zod';
import type { CostUnit } from '../model/profile.ts';
import { writtenKeys, yamlKey } from './profile-keys.ts';
import type { SectionName } from './profile-keys.ts';

const finite = z.number().min(-1e15).max(1e15);
const quantity = z
  .strictObject({ value: finite, low: finite, high: finite, source: z.string().min(1) })
  .refine((q) => q.low <= q.value && q.value <= q.high, 'must have low <= value <= high');

type Section = z.ZodObject<Record<string, typeof quantity>, z.core.$strict>;

function section(name: SectionName, unit: CostUnit): Section {
  const keys = writtenKeys(name, unit).map(([key, kind]) => yamlKey(key, kind, unit));
  return z.strictObject(Object.fromEntries(keys.map((key) => [key, quantity])));
}

function common<U extends CostUnit>(unit: U) {
  return {
    name: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, 'must be lower-case letters, digits, dots and hyphens'),
    description: z.string().min(1),
    unit: z.literal(unit),
    kernel: z.string().min(1),
    cpu_model: z.string().default(''),
    nft_version: z.string().min(1),
    packet: section('packet', unit),
    iptables: section('iptables', unit),
    iptables_nft: section('iptables', unit),
    nftables: section('nftables', unit),
    cache: section('cache', unit),
    proxy: section('proxy', unit),
    iptables_sync: section('iptablesSync', unit),
    iptables_nft_sync: section('iptablesSync', unit),
    nft_sync: section('nftSync', unit),
    range: section('range', unit),
  };
}

const scheduler = section('scheduler', 'instructions').extend({ estimated: z.boolean().default(false) });

export const nanosecondSchema = z.strictObject({
  ...common('ns'),
  userspace: section('userspace', 'ns'),
  ipvs_bridge: section('ipvsBridge', 'ns').extend({ from: z.string().min(1) }),
  service_rules_per_service: quantity.optional(),
  rig: section('rig', 'ns').optional(),
});

export const instructionSchema = z.strictObject({
  ...common('instructions'),
  ipvs: section('ipvs', 'instructions').extend({ schedulers: z.record(z.string(), scheduler) }),
  clock: section('clock', 'instructions'),
});

export type NanosecondInput = z.output<typeof nanosecondSchema>;
export type InstructionInput = z.output<typeof instructionSchema>;

/** The unit alone, to choose the schema by. */
export const unitSchema = z.looseObject({ unit: z.enum(['ns', 'instructions']) });
