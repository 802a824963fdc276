/*
 * The literal scan of engines/iptables/scan.ts in C: the same two words a rule, every rule read, the sizes of those passed summed.
 * Arguments: simd or scalar, rules of a chain, walks a round, four words of xoshiro state. Two chains take turns round by round.
 */
#include "peer.h"
#include <emmintrin.h>

#define MASK ((int32_t)0x8007ffff)
#define WIDE ((int32_t)0x80000001)
#define CLUSTER_IP_BASE 0xac1e0000u
#define PACKET_KEY (1 | (80 << 1) | (1 << 17))
#define CHAINS 2

static int rules, walks, uses_simd, turn;
static int32_t *dst[CHAINS], *key[CHAINS];
static struct random_stream packets;
static uint32_t checksum;

static uint32_t below(struct random_stream *r, uint32_t bound) {
  uint32_t reject = (0u - bound) % bound;
  uint32_t word = next_uint32(r);
  while (word > 0xffffffffu - reject) word = next_uint32(r);
  return word % bound;
}

static int scan_scalar(const int32_t *dst, const int32_t *key, int at, int end, int32_t address, int32_t packet, int *sum) {
  int size = 0;
  for (; at < end; at++) {
    int32_t word = key[at];
    if (dst[at] == address) {
      if (((word ^ packet) & (MASK - 1)) < 1) break;
    } else if ((word & WIDE) != 0 && ((word ^ packet) & MASK) < 1) break;
    size += (uint32_t)word >> 24;
  }
  *sum += size;
  return at;
}

static inline __m128i may_match(__m128i dst, __m128i key, __m128i address, __m128i packet) {
  __m128i mask = _mm_add_epi32(_mm_cmpeq_epi32(dst, address), _mm_set1_epi32(MASK));
  return _mm_cmpgt_epi32(_mm_set1_epi32(1), _mm_and_si128(_mm_xor_si128(key, packet), mask));
}

static int scan_simd(const int32_t *dst, const int32_t *key, int at, int end, int32_t address, int32_t packet, int *sum) {
  __m128i addresses = _mm_set1_epi32(address), packets = _mm_set1_epi32(packet), sizes = _mm_setzero_si128();
  for (; at + 16 <= end; at += 16) {
    const __m128i *d = (const __m128i *)(dst + at), *k = (const __m128i *)(key + at);
    __m128i k0 = _mm_loadu_si128(k), k1 = _mm_loadu_si128(k + 1), k2 = _mm_loadu_si128(k + 2), k3 = _mm_loadu_si128(k + 3);
    __m128i hit = _mm_or_si128(_mm_or_si128(may_match(_mm_loadu_si128(d), k0, addresses, packets),
                                            may_match(_mm_loadu_si128(d + 1), k1, addresses, packets)),
                               _mm_or_si128(may_match(_mm_loadu_si128(d + 2), k2, addresses, packets),
                                            may_match(_mm_loadu_si128(d + 3), k3, addresses, packets)));
    if (_mm_movemask_epi8(hit) != 0) break;
    sizes = _mm_add_epi32(sizes, _mm_add_epi32(_mm_add_epi32(_mm_srli_epi32(k0, 24), _mm_srli_epi32(k1, 24)),
                                               _mm_add_epi32(_mm_srli_epi32(k2, 24), _mm_srli_epi32(k3, 24))));
  }
  sizes = _mm_add_epi32(sizes, _mm_shuffle_epi32(sizes, 0x4e));
  sizes = _mm_add_epi32(sizes, _mm_shuffle_epi32(sizes, 0xb1));
  *sum += _mm_cvtsi128_si32(sizes);
  return scan_scalar(dst, key, at, end, address, packet, sum);
}

static uint32_t one_round(void) {
  const int32_t *d = dst[turn], *k = key[turn];
  turn = (turn + 1) % CHAINS;
  for (int i = 0; i < walks; i++) {
    /* One in nine asks for a service that there is not. */
    int32_t address = (int32_t)(CLUSTER_IP_BASE + below(&packets, rules + rules / 8));
    int sum = 0;
    int at = uses_simd ? scan_simd(d, k, 0, rules, address, PACKET_KEY, &sum)
                       : scan_scalar(d, k, 0, rules, address, PACKET_KEY, &sum);
    checksum = mixed(mixed(checksum, at), sum);
  }
  return checksum;
}

int main(int argc, char **argv) {
  if (argc < 8) return 2;
  uses_simd = strcmp(argv[1], "simd") == 0;
  rules = atoi(argv[2]);
  walks = atoi(argv[3]);
  struct random_stream r = {strtoul(argv[4], 0, 10), strtoul(argv[5], 0, 10), strtoul(argv[6], 0, 10), strtoul(argv[7], 0, 10)};
  for (int c = 0; c < CHAINS; c++) {
    dst[c] = malloc(4 * (size_t)rules);
    key[c] = malloc(4 * (size_t)rules);
    for (int i = 0; i < rules; i++) {
      dst[c][i] = (int32_t)(CLUSTER_IP_BASE + i);
      key[c][i] = (80 << 1) | (1 << 17) | (1 << 19) | (2 << 20) | (42 << 24);
    }
    for (int i = rules - 1; i > 0; i--) {
      int j = below(&r, i + 1);
      int32_t held = dst[c][i];
      dst[c][i] = dst[c][j];
      dst[c][j] = held;
    }
  }
  packets = r;
  return converse(one_round);
}
