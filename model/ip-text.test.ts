import { describe, expect, it } from 'vitest';
import {
  canonicalCidr,
  canonicalIp,
  cidrContainsIp,
  compareBytes,
  familyOf,
  familyOfCidr,
  isLoopbackIp,
} from './ip-text.ts';

describe('addresses as text', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['010.001.000.0001', '10.1.0.1'],
    ['2001:0DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:0:2:3:0:0:4', '1::2:3:0:0:4'],
    ['1:2:3:4:5:0:6:7', '1:2:3:4:5:0:6:7'],
    ['::', '::'],
    ['::1', '::1'],
    ['fe80::', 'fe80::'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::ffff:0102:0304', '1.2.3.4'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1002:ab8::2:10', '1002:ab8::2:10'],
  ])('prints %s as %s', (text, canonical) => {
    expect(canonicalIp(text)).toBe(canonical);
  });

  it.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.1.2',
    '10.0.0.x',
    ' 10.0.0.1',
    '10..0.1',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4::5:6:7:8',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '1.2.3.4::',
    ':1:2:3:4:5:6:7',
  ])('takes %j for no address', (text) => {
    expect(canonicalIp(text)).toBeUndefined();
    expect(familyOf(text)).toBeUndefined();
  });

  it('tells families apart, a mapped address being IPv4', () => {
    expect(familyOf('010.0.0.1')).toBe('IPv4');
    expect(familyOf('::ffff:10.0.0.1')).toBe('IPv4');
    expect(familyOf('::10.0.0.1')).toBe('IPv6');
    expect(familyOfCidr('fd00::/8')).toBe('IPv6');
    expect(familyOfCidr('10.0.0.0/33')).toBeUndefined();
  });

  it('knows loopback addresses', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1', '0:0::1'].every(isLoopbackIp)).toBe(true);
    expect(['128.0.0.1', '::2', '::', 'x'].some(isLoopbackIp)).toBe(false);
  });
});

describe('blocks as text', () => {
  it.each([
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['010.001.002.003/24', '10.1.2.0/24'],
    ['203.0.113.130/25', '203.0.113.128/25'],
    ['1.2.3.4/32', '1.2.3.4/32'],
    ['1.2.3.4/0', '0.0.0.0/0'],
    ['2001:db8::0/64', '2001:db8::/64'],
    ['2001:db8:ffff::1/33', '2001:db8:8000::/33'],
    ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
  ])('prints %s as %s', (text, canonical) => {
    expect(canonicalCidr(text)).toBe(canonical);
  });

  it.each([
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    ' 10.0.0.0/8',
    '::/129',
    '10.0/8',
    '::ffff:1.2.3.4/95',
  ])('takes %j for no block', (text) => {
    expect(canonicalCidr(text)).toBeUndefined();
  });

  it('holds its own addresses alone', () => {
    expect(cidrContainsIp('192.168.0.0/24', '192.168.0.255')).toBe(true);
    expect(cidrContainsIp('192.168.0.0/24', '192.168.1.0')).toBe(false);
    expect(cidrContainsIp('0.0.0.0/0', '1.2.3.4')).toBe(true);
    expect(cidrContainsIp('::/0', '1.2.3.4')).toBe(false);
    expect(cidrContainsIp('fd00:10::/64', 'fd00:10:0:0:ffff::')).toBe(true);
    expect(cidrContainsIp('fd00:10::/64', 'fd00:10:0:1::')).toBe(false);
    expect(cidrContainsIp('nonsense', '1.2.3.4')).toBe(false);
  });
});

describe('byte order', () => {
  it('is that of the text, not of the numbers in it', () => {
    expect(['10.1.1.1:11', '10.1.1.11:11', '10.0.0.2:80', '10.0.0.10:80'].sort(compareBytes)).toEqual([
      '10.0.0.10:80',
      '10.0.0.2:80',
      '10.1.1.11:11',
      '10.1.1.1:11',
    ]);
    // U+FFFD is three bytes and U+1F600 four, but UTF-16 puts the latter first.
    expect(['\u{1f600}', '\ufffd'].sort(compareBytes)).toEqual(['\ufffd', '\u{1f600}']);
    expect(compareBytes('ab', 'a')).toBeGreaterThan(0);
    expect(compareBytes('a', 'a')).toBe(0);
  });
});
