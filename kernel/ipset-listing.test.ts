import { describe, expect, it } from 'vitest';
import { SET_NORMALISATIONS, setDifferences } from './ipset-listing.ts';

const WRITTEN = `create A hash:ip,port family inet hashsize 1024 maxelem 65536
add A 10.0.0.1,tcp:80
add A 10.0.0.2,tcp:80
create B bitmap:port range 0-65535
add B 30000
`;
const PRINTED = `create B bitmap:port range 0-65535
add B 30000
create A hash:ip,port family inet hashsize 2048 maxelem 65536 bucketsize 12 initval 0x45d266ac
add A 10.0.0.2,tcp:80
add A 10.0.0.1,tcp:80
`;

describe('normalisations of sets', () => {
  it(`are: ${SET_NORMALISATIONS.join('; ')}`, () => {
    expect(SET_NORMALISATIONS).toHaveLength(3);
    expect(setDifferences(WRITTEN, PRINTED)).toEqual([]);
  });

  it.each([
    ['a port', '10.0.0.2,tcp:80', '10.0.0.2,tcp:81'],
    ['a protocol', '10.0.0.2,tcp:80', '10.0.0.2,udp:80'],
    ['a family', 'family inet ', 'family inet6 '],
    ['a type', 'hash:ip,port', 'hash:ip,port,ip'],
    ['a maximum', 'maxelem 65536', 'maxelem 65535'],
    ['a range', '0-65535', '0-1023'],
    ['a set', 'add B 30000\n', ''],
    ['an entry twice', 'add B 30000\n', 'add B 30000\nadd B 30000\n'],
  ])('%s counts', (_what, text, other) => {
    expect(setDifferences(WRITTEN, PRINTED.replace(text, other))).not.toEqual([]);
  });

  it('refuses what is no line of ipset save', () => {
    expect(() => setDifferences(WRITTEN, 'Name: A\n')).toThrow('No line of ipset save: Name: A');
  });
});
