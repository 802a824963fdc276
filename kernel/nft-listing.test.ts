import { describe, expect, it } from 'vitest';
import { mergedBlocks } from './address-ranges.ts';
import {
  LISTING_NORMALISATIONS,
  normaliseRule,
  RULE_NORMALISATIONS,
  tableDifferences,
  viewOfDump,
  viewOfListing,
} from './nft-listing.ts';

/** By the normalisation's name: what we write, what nft prints, and another rule that must not be taken for the same. */
const EXAMPLES: Readonly<Record<string, readonly (readonly [written: string, printed: string, other: string])[]>> = {
  mark: [
    ['mark set mark or 0x4000', 'meta mark set meta mark | 0x00004000', 'meta mark set meta mark | 0x00008000'],
    ['mark set mark xor 0x4000', 'meta mark set meta mark ^ 0x00004000', 'meta mark set meta mark | 0x00004000'],
    [
      'mark and 0x4000 == 0 return',
      'meta mark & 0x00004000 == 0x00000000 return',
      'meta mark & 0x00004000 == 0x00004000 return',
    ],
  ],
  'mark as a prefix': [
    ['mark and 0x80000000 == 0 return', 'meta mark 0x00000000/1 return', 'meta mark 0x00000000/2 return'],
  ],
  'quotes of an interface': [
    ['iifname != veth* drop', 'iifname != "veth*" drop', 'iifname != "veth" drop'],
    ['iifname cbr0 drop', 'iifname "cbr0" drop', 'iifname != "cbr0" drop'],
  ],
  'address blocks': [
    [
      'ip saddr != { 10.0.0.0/25 , 10.0.0.128/25 , 1.2.3.4/32 } drop',
      'ip saddr != { 1.2.3.4, 10.0.0.0/24 } drop',
      'ip saddr != { 1.2.3.4, 10.0.0.0/23 } drop',
    ],
    ['ip6 daddr { fd00::/9,::/0 } drop', 'ip6 daddr ::/0 drop', 'ip6 daddr ::/1 drop'],
  ],
  'blanks before commas': [
    [
      'numgen random mod 2 vmap { 0 : goto a , 1 : goto b }',
      'numgen random mod 2 vmap { 0 : goto a, 1 : goto b }',
      'numgen random mod 2 vmap { 0 : goto b, 1 : goto a }',
    ],
  ],
};

function without(left: string, rule: string): string {
  const others = RULE_NORMALISATIONS.filter(({ name }) => name !== left);
  return others.reduce((text, normalisation) => normalisation.apply(text), rule);
}

describe('normalisations of rules', () => {
  it.each(RULE_NORMALISATIONS.map(({ name }) => name))(
    '%s: makes two spellings one, is needed for it, and hides no difference',
    (name) => {
      for (const [written, printed, other] of EXAMPLES[name]) {
        expect(normaliseRule(written)).toBe(normaliseRule(printed));
        expect(without(name, written)).not.toBe(without(name, printed));
        expect(normaliseRule(other)).not.toBe(normaliseRule(printed));
      }
    },
  );

  it('knows no other', () => {
    expect(Object.keys(EXAMPLES)).toEqual(RULE_NORMALISATIONS.map(({ name }) => name));
  });

  it('takes blocks for the same when they hold the same addresses', () => {
    expect(mergedBlocks(['10.0.0.5', '10.0.0.4/32'])).toBe(mergedBlocks(['10.0.0.4/31']));
    expect(mergedBlocks(['10.0.0.0-10.0.0.255'])).toBe(mergedBlocks(['10.0.0.7/24']));
    expect(mergedBlocks(['10.0.0.0/8', '10.1.0.0/16'])).toBe(mergedBlocks(['10.0.0.0/8']));
    expect(mergedBlocks(['fd00::1', 'fd00:0:0::0'])).toBe(mergedBlocks(['fd00::/127']));
    expect(mergedBlocks(['fd00::1'])).not.toBe(mergedBlocks(['fd00::1:0']));
    expect(mergedBlocks(['10.0.0.1', '10.0.0.3'])).not.toBe(mergedBlocks(['10.0.0.1-10.0.0.3']));
  });
});

const DUMP = `add table ip kube-proxy { comment "rules for kube-proxy" ; }
add map ip kube-proxy m { type ipv4_addr . inet_proto . inet_service : verdict ; comment "a map" ; }
add set ip kube-proxy s { type ipv4_addr ; flags dynamic,timeout ; timeout 10799s ; }
add chain ip kube-proxy pre { type filter hook prerouting priority -110 ; }
add chain ip kube-proxy post { type nat hook postrouting priority 100 ; }
add chain ip kube-proxy r { comment "with a comment" ; }
add rule ip kube-proxy pre ct state new jump r
add rule ip kube-proxy r drop comment "why not"
add element ip kube-proxy m { 10.0.0.2 . tcp . 80 : drop }
add element ip kube-proxy m { 10.0.0.1 . tcp . 80 comment "ns/a, b" : goto r }
`;
const LISTING = `table ip kube-proxy {
	comment "rules for kube-proxy"
	map m {
		type ipv4_addr . inet_proto . inet_service : verdict
		comment "a map"
		elements = { 10.0.0.1 . tcp . 80 comment "ns/a, b" : goto r,
			     10.0.0.2 . tcp . 80 : drop }
	}

	set s {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 2h59m59s
	}

	chain r {
		comment "with a comment"
		drop comment "why not"
	}

	chain pre {
		type filter hook prerouting priority dstnat - 10; policy accept;
		ct state new jump r
	}

	chain post {
		type nat hook postrouting priority srcnat; policy accept;
	}
}
`;

describe('normalisations of tables', () => {
  const wanted = viewOfDump('IPv4', DUMP);
  const compare = (listing: string): string[] => tableDifferences(wanted, viewOfListing('IPv4', listing));

  it(`are: ${LISTING_NORMALISATIONS.join('; ')}`, () => {
    expect(LISTING_NORMALISATIONS).toHaveLength(5);
    expect(compare(LISTING)).toEqual([]);
  });

  it.each([
    ['the table’s comment', 'rules for', 'no rules for'],
    ['a type', 'type ipv4_addr\n', 'type ipv6_addr\n'],
    ['a flag', 'dynamic,timeout', 'timeout'],
    ['a time', '2h59m59s', '3h'],
    ['a map’s comment', 'a map', 'another map'],
    ['an element’s verdict', ': drop }', ': goto r }'],
    ['an element’s comment', 'ns/a, b', 'ns/a,b'],
    ['an element’s key', '10.0.0.2 . tcp', '10.0.0.2 . udp'],
    ['a priority', 'dstnat - 10', 'dstnat + 10'],
    ['a named priority', 'srcnat', 'filter'],
    ['a hook', 'hook prerouting', 'hook output'],
    ['a chain’s comment', 'with a comment', 'without'],
    ['a rule', 'ct state new jump r', 'jump r'],
    ['a rule’s comment', 'why not', 'why'],
    ['a rule more', 'ct state new jump r', 'ct state new jump r\n\t\tdrop'],
    ['a name', 'chain r {', 'chain q {'],
  ])('%s counts', (_what, text, other) => {
    expect(LISTING).toContain(text);
    expect(compare(LISTING.replace(text, other))).not.toEqual([]);
  });

  it.each([
    ['a size', 'size 65535', 'size 10'],
    ['a policy', 'prerouting priority dstnat - 10; policy accept', 'prerouting priority dstnat - 10; policy drop'],
    ['another table', 'table ip kube-proxy', 'table inet kube-proxy'],
  ])('%s that we never ask for is refused or counts', (_what, text, other) => {
    const listing = LISTING.replace(text, other);
    expect(listing).not.toBe(LISTING);
    const outcome = (): string[] => {
      try {
        return compare(listing);
      } catch (error) {
        return [(error as Error).message];
      }
    };
    expect(outcome()).not.toEqual([]);
  });
});
