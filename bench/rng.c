/*
 * Random draws as sim/rng.ts, sim/math.ts, sim/distributions.ts and sim/alias-table.ts make them, bit by bit.
 * argv: what to draw, draws a round, the four words of the stream's state, and for `alias` the number of weights (1 / (k + 1)).
 * A round mixes the sum of its draws into the checksum; of `exponential-bits` both words of every draw.
 */
#include "peer.h"

static struct random_stream stream;
static uint32_t draws;
static uint32_t checksum = 0;

static inline double next_float(void) {
  uint32_t high = next_uint32(&stream) >> 5;
  uint32_t low = next_uint32(&stream) >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

/* As `below`: words in the incomplete last run of `bound` are drawn again. */
static inline uint32_t below(uint32_t bound) {
  uint64_t limit = 4294967296u - 4294967296u % bound;
  uint32_t word;
  do word = next_uint32(&stream);
  while (word >= limit);
  return word % bound;
}

/* As logParts of sim/math.ts for normal x; see there. */
static inline double natural_log(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int32_t e = (int32_t)(((uint32_t)(bits >> 32) + 0x95f62u) >> 20) - 1023;
  uint64_t power = (uint64_t)(1023 - e) << 52;
  double scale;
  memcpy(&scale, &power, sizeof scale);
  double f = x * scale - 1;

  double t = f + 2;
  double t_top = (float)t;
  double t_rest = f - (t_top - 2);
  double inverse = 1 / t;
  double s_top = (float)(f * inverse);
  double s_rest = (f - s_top * t_top - s_top * t_rest) * inverse;
  double s = s_top + s_rest;

  const double two_thirds_high = (float)(2.0 / 3.0);
  const double two_thirds_low = (2 - 3 * two_thirds_high) / 3;
  double z = s * s;
  double square_exact = s_top * s_top;
  double square_top = (float)square_exact;
  double cube_exact = s_top * square_top;
  double cube_top = (float)cube_exact;
  double cube_rest = cube_exact - cube_top + s_top * (square_exact - square_top) + s_rest * (square_exact + s * s_top + z);
  double third_top = cube_top * two_thirds_high;
  double third_rest = cube_rest * two_thirds_high + (cube_top + cube_rest) * two_thirds_low;

  double tail = 2.0 / 25;
  tail = tail * z + 2.0 / 23;
  tail = tail * z + 2.0 / 21;
  tail = tail * z + 2.0 / 19;
  tail = tail * z + 2.0 / 17;
  tail = tail * z + 2.0 / 15;
  tail = tail * z + 2.0 / 13;
  tail = tail * z + 2.0 / 11;
  tail = tail * z + 2.0 / 9;
  tail = tail * z + 2.0 / 7;
  tail = tail * z + 2.0 / 5;
  tail *= s * z * z;

  double exponent_part = e * 0.6931471805601177;
  double two_s = 2 * s_top;
  double sum = exponent_part + two_s;
  double lost = two_s - (sum - exponent_part);
  double high = sum + third_top;
  double rest = third_top - (high - sum) + lost + (e * -1.7239444525614835e-13 + (2 * s_rest + (third_rest + tail)));
  return high + rest;
}

static inline double next_exponential(void) { return 0 - 1e6 * natural_log(1 - next_float()); }

/* As AliasTable of sim/alias-table.ts. */
static uint32_t columns;
static double *keep;
static int32_t *alias;

static void fill_alias_table(uint32_t n) {
  double *weights = malloc(n * sizeof *weights);
  double *scaled = malloc(n * sizeof *scaled);
  int32_t *stack = malloc(n * sizeof *stack);
  keep = malloc(n * sizeof *keep);
  alias = calloc(n, sizeof *alias);
  columns = n;
  double total = 0;
  for (uint32_t i = 0; i < n; i++) {
    weights[i] = 1.0 / (i + 1);
    total += weights[i];
  }
  uint32_t small = 0, large = n;
  for (uint32_t i = 0; i < n; i++) {
    keep[i] = 1;
    scaled[i] = (weights[i] / total) * n;
    if (scaled[i] < 1) stack[small++] = (int32_t)i;
    else stack[--large] = (int32_t)i;
  }
  while (small > 0 && large < n) {
    int32_t low = stack[--small], high = stack[large];
    keep[low] = scaled[low];
    alias[low] = high;
    scaled[high] -= 1 - scaled[low];
    if (scaled[high] >= 1) continue;
    large++;
    stack[small++] = high;
  }
  free(weights);
  free(scaled);
  free(stack);
}

static inline uint32_t next_alias(void) {
  uint32_t column = below(columns);
  return next_float() < keep[column] ? column : (uint32_t)alias[column];
}

static void mix_double(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  checksum = mixed(mixed(checksum, (uint32_t)(bits >> 32)), (uint32_t)bits);
}

static uint32_t uint32_round(void) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < draws; i++) sum += next_uint32(&stream);
  return checksum = mixed(checksum, sum);
}

static uint32_t float_round(void) {
  double sum = 0;
  for (uint32_t i = 0; i < draws; i++) sum += next_float();
  mix_double(sum);
  return checksum;
}

static uint32_t exponential_round(void) {
  double sum = 0;
  for (uint32_t i = 0; i < draws; i++) sum += next_exponential();
  mix_double(sum);
  return checksum;
}

static uint32_t exponential_bits_round(void) {
  for (uint32_t i = 0; i < draws; i++) mix_double(next_exponential());
  return checksum;
}

static uint32_t alias_round(void) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < draws; i++) sum += next_alias();
  return checksum = mixed(checksum, sum);
}

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  draws = (uint32_t)strtoul(argv[2], NULL, 10);
  stream.s0 = (uint32_t)strtoul(argv[3], NULL, 10);
  stream.s1 = (uint32_t)strtoul(argv[4], NULL, 10);
  stream.s2 = (uint32_t)strtoul(argv[5], NULL, 10);
  stream.s3 = (uint32_t)strtoul(argv[6], NULL, 10);
  if (strcmp(argv[1], "uint32") == 0) return converse(uint32_round);
  if (strcmp(argv[1], "float") == 0) return converse(float_round);
  if (strcmp(argv[1], "exponential") == 0) return converse(exponential_round);
  if (strcmp(argv[1], "exponential-bits") == 0) return converse(exponential_bits_round);
  if (strcmp(argv[1], "alias") != 0 || argc < 8) return 2;
  fill_alias_table((uint32_t)strtoul(argv[7], NULL, 10));
  return converse(alias_round);
}
