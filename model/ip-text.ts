/**
 * Addresses and blocks of both IP families as text: read as leniently as kube-proxy reads them (leading zeros allowed and decimal;
 * k8s.io/utils/net ParseIPSloppy, ParseCIDRSloppy) and re-printed canonically as Go does (RFC 5952).
 */
import type { IpFamily } from './service-config.ts';

/** The address in canonical text; `undefined` when the text is none. An IPv4-mapped IPv6 address is an IPv4 address, as in Go. */
export function canonicalIp(text: string): string | undefined {
  const bytes = parseIp(text);
  return bytes === undefined ? undefined : printIp(bytes);
}

/** The family of an address; `undefined` when the text is none. */
export function familyOf(text: string): IpFamily | undefined {
  const bytes = parseIp(text);
  if (bytes === undefined) return undefined;
  return bytes.length === 4 ? 'IPv4' : 'IPv6';
}

/** The block in canonical text, host bits cleared; `undefined` when the text is none. Blanks are an error: trim them first. */
export function canonicalCidr(text: string): string | undefined {
  const block = parseBlock(text);
  return block === undefined ? undefined : `${printIp(block.bytes)}/${block.prefixLength}`;
}

/** The family of a block; `undefined` when the text is none. */
export function familyOfCidr(text: string): IpFamily | undefined {
  const block = parseBlock(text);
  if (block === undefined) return undefined;
  return block.bytes.length === 4 ? 'IPv4' : 'IPv6';
}

/** Whether the block holds the address. False across families, and when either text is malformed. */
export function cidrContainsIp(cidr: string, ip: string): boolean {
  const block = parseBlock(cidr);
  const bytes = parseIp(ip);
  if (block === undefined || bytes === undefined || bytes.length !== block.bytes.length) return false;
  return masked(bytes, block.prefixLength).every((byte, index) => byte === block.bytes[index]);
}

/** 127.0.0.0/8 or ::1, however written. */
export function isLoopbackIp(text: string): boolean {
  const bytes = parseIp(text);
  if (bytes === undefined) return false;
  if (bytes.length === 4) return bytes[0] === 127;
  return bytes.every((byte, index) => byte === (index === 15 ? 1 : 0));
}

/** Compares text byte by byte as UTF-8, as Go compares strings: negative, 0 or positive. */
export function compareBytes(a: string, b: string): number {
  const from = [...a];
  const to = [...b];
  const shared = Math.min(from.length, to.length);
  for (let i = 0; i < shared; i++) {
    // UTF-8 keeps the order of code points, which UTF-16 (JavaScript's own comparison) does not.
    const difference = (from[i].codePointAt(0) ?? 0) - (to[i].codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return from.length - to.length;
}

interface Block {
  readonly bytes: readonly number[];
  readonly prefixLength: number;
}

function parseBlock(text: string): Block | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const lengthText = text.slice(slash + 1);
  if (!/^\d+$/.test(lengthText)) return undefined;
  const bytes = parseIp(text.slice(0, slash));
  if (bytes === undefined) return undefined;
  let prefixLength = Number(lengthText);
  // A mapped block such as ::ffff:10.0.0.0/104 is written with IPv6's length.
  if (bytes.length === 4 && text.includes(':')) prefixLength -= 96;
  if (prefixLength < 0 || prefixLength > bytes.length * 8) return undefined;
  return { bytes: masked(bytes, prefixLength), prefixLength };
}

function masked(bytes: readonly number[], prefixLength: number): number[] {
  return bytes.map((byte, index) => {
    const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
    return byte & ((0xff00 >> bits) & 0xff);
  });
}

function parseIp(text: string): number[] | undefined {
  if (!text.includes(':')) return parseIpv4Bytes(text);
  const bytes = parseIpv6Bytes(text);
  if (bytes === undefined) return undefined;
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  return mapped ? bytes.slice(12) : bytes;
}

function parseIpv4Bytes(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes: number[] = [];
  for (const part of parts) {
    if (!/^\d+$/.test(part) || Number(part) > 255) return undefined;
    bytes.push(Number(part));
  }
  return bytes;
}

function parseIpv6Bytes(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groups(halves[0], halves.length === 1);
  if (halves.length === 1) return head?.length === 16 ? head : undefined;
  const tail = groups(halves[1], true);
  if (head === undefined || tail === undefined) return undefined;
  // `::` stands for one group of zeros at least.
  const gap = 16 - head.length - tail.length;
  return gap < 2 ? undefined : [...head, ...Array.from({ length: gap }, () => 0), ...tail];
}

/** The bytes of colon-separated groups; the last one may be an embedded IPv4 address where it ends the address. */
function groups(text: string, endsAddress: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const bytes: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (endsAddress && index === parts.length - 1 && part.includes('.')) {
      const embedded = parseIpv4Bytes(part);
      if (embedded === undefined) return undefined;
      bytes.push(...embedded);
      continue;
    }
    if (!/^[0-9a-fA-F]+$/.test(part)) return undefined;
    const value = Number.parseInt(part, 16);
    if (value > 0xffff) return undefined;
    bytes.push(value >> 8, value & 255);
  }
  return bytes;
}

function printIp(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => bytes[2 * i] * 256 + bytes[2 * i + 1]);
  const run = longestZeroRun(words);
  const hex = (from: readonly number[]): string => from.map((word) => word.toString(16)).join(':');
  if (run.length < 2) return hex(words);
  return `${hex(words.slice(0, run.start))}::${hex(words.slice(run.start + run.length))}`;
}

function longestZeroRun(words: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, word] of words.entries()) {
    length = word === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}
