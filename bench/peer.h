/*
 * What every peer program shares: the checksum, xoshiro128** as sim/rng.ts has it, and the conversation with the benchmark. A peer is
 * started with its job as arguments, makes it ready, prints "ready", and for each line that it reads does one round and
 * prints "<nanoseconds of the round> <checksum of all answers so far>".
 */
#ifndef CHAINWALK_PEER_H
#define CHAINWALK_PEER_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint32_t mixed(uint32_t checksum, uint32_t answer) {
  uint32_t h = (checksum ^ answer) * 0x9e3779b1u;
  return h ^ (h >> 15);
}

struct random_stream {
  uint32_t s0, s1, s2, s3;
};

static inline uint32_t next_uint32(struct random_stream *r) {
  uint32_t x = r->s1 * 5u;
  uint32_t result = ((x << 7) | (x >> 25)) * 9u;
  uint32_t t = r->s1 << 9;
  r->s2 ^= r->s0;
  r->s3 ^= r->s1;
  r->s1 ^= r->s2;
  r->s0 ^= r->s3;
  r->s2 ^= t;
  r->s3 = (r->s3 << 11) | (r->s3 >> 21);
  return result;
}

static inline double clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Calls round() for each line of standard input; round() returns the checksum of all answers so far. */
static inline int converse(uint32_t (*round)(void)) {
  char line[64];
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    double start = clock_ns();
    uint32_t checksum = round();
    printf("%.0f %u\n", clock_ns() - start, checksum);
    fflush(stdout);
  }
  return 0;
}
#endif
