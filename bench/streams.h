/* Named random streams and the shuffle, as sim/rng.ts has them. */
#ifndef CHAINWALK_STREAMS_H
#define CHAINWALK_STREAMS_H
#include "peer.h"

static uint32_t fmix32(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ (h >> 16);
}

/* The stream `name` of new Rng(seed). */
static struct random_stream named_stream(uint32_t seed, const char *name) {
  uint32_t a = 0x9e3779b9u ^ seed, b = 0x243f6a88u;
  uint32_t c = 0xb7e15162u ^ (seed * 0x85ebca6bu), d = 0xdeadbeefu ^ 0xc2b2ae35u;
  uint32_t length = (uint32_t)strlen(name);
  for (uint32_t i = 0; i < length; i++) {
    uint32_t unit = (unsigned char)name[i];
    a = b ^ ((a ^ unit) * 597399067u);
    b = c ^ ((b ^ unit) * 2869860233u);
    c = d ^ ((c ^ unit) * 951274213u);
    d = a ^ ((d ^ unit) * 2716044179u);
  }
  a = fmix32(a ^ length);
  b = fmix32(b ^ a);
  c = fmix32(c ^ b);
  d = fmix32(d ^ c);
  a = fmix32(a ^ d);
  struct random_stream stream = {a, b, c, d};
  return stream;
}

/* Uniform integer in [0, bound). */
static inline uint32_t below(struct random_stream *r, uint32_t bound) {
  uint64_t limit = 4294967296u - 4294967296u % bound;
  uint32_t word = next_uint32(r);
  while (word >= limit) word = next_uint32(r);
  return word % bound;
}

static void shuffle(uint32_t *values, uint32_t count, struct random_stream *r) {
  for (uint32_t i = count - 1; i > 0; i--) {
    uint32_t j = below(r, i + 1), held = values[i];
    values[i] = values[j];
    values[j] = held;
  }
}
#endif
