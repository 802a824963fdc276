/* The clock and the statistics that the load programs share. */
#ifndef CHAINWALK_SAMPLES_H
#define CHAINWALK_SAMPLES_H
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum clock_kind { CLOCK_NANOSECONDS, CLOCK_TICKS };

/* Ticks are the time-stamp counter: under qemu -icount shift=0 it counts instructions. */
static inline uint64_t read_clock(enum clock_kind kind) {
#ifdef __x86_64__
  if (kind == CLOCK_TICKS) {
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return ((uint64_t)high << 32) | low;
  }
#endif
  (void)kind;
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000ull + (uint64_t)at.tv_nsec;
}

static inline enum clock_kind clock_named(const char *name) {
  return strcmp(name, "ticks") == 0 ? CLOCK_TICKS : CLOCK_NANOSECONDS;
}

static int ascending(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* One line of JSON: of `count` samples, each the mean of `weight` things. Sorts them. */
static inline void print_samples(const char *what, double *samples, long count, long weight) {
  double sum = 0, squares = 0;
  qsort(samples, (size_t)count, sizeof *samples, ascending);
  for (long i = 0; i < count; i++) sum += samples[i];
  double mean = sum / (double)count;
  for (long i = 0; i < count; i++) squares += (samples[i] - mean) * (samples[i] - mean);
  printf("{\"what\":\"%s\",\"min\":%.1f,\"p10\":%.1f,\"median\":%.1f,\"mean\":%.1f,\"p90\":%.1f,\"stddev\":%.1f,\"repeats\":%ld}\n",
         what, samples[0], samples[count / 10], samples[count / 2], mean, samples[count * 9 / 10],
         count > 1 ? sqrt(squares / (double)(count - 1)) : 0.0, count * weight);
}
#endif
