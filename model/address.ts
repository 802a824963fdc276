/** IPv4 addresses as unsigned 32-bit integers in host order, and their text form. IPv6 is not modelled yet. */

/** Text such as `10.0.0.1` to an unsigned 32-bit integer; `undefined` when the text is not an IPv4 address. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^\d{1,3}$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    value = value * 256 + octet;
  }
  return value;
}

export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** A block of addresses: `address` is already masked, `mask` has the prefix bits set. Both unsigned 32-bit. */
export interface Cidr {
  readonly address: number;
  readonly mask: number;
  readonly prefixLength: number;
}

/** Text such as `10.0.0.0/8` to a block; host bits are cleared. `undefined` when the text is not an IPv4 CIDR. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const address = parseIpv4(match[1]);
  const prefixLength = Number(match[2]);
  if (address === undefined || prefixLength > 32) return undefined;
  const mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
  return { address: (address & mask) >>> 0, mask, prefixLength };
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIpv4(cidr.address)}/${cidr.prefixLength}`;
}

export function cidrContains(cidr: Cidr, address: number): boolean {
  return (address & cidr.mask) >>> 0 === cidr.address;
}
