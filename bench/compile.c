/*
 * The rule arrays of engines/iptables/rules.ts filled from flat arrays of services and endpoints: the service ports' own chains, nat
 * KUBE-SERVICES and nat KUBE-NODEPORTS. Arguments: services, endpoints of each, four words of xoshiro state for the service order.
 */
#include "peer.h"
#include <math.h>

#define CLUSTER_IP_BASE 0xac1e0000u
#define POD_BASE 0x0a010000u
#define SAMPLED 997
#define ANY_DST 1
#define ANY_PORT INT32_MIN
#define SERVICE_CHAIN (1 << 19)
#define PROTOCOL (1 << 17)
#define KEY(kind, bytes) (((kind) << 20) | (((bytes) - 152) / 8 << 24))
#define ANY (ANY_DST | ANY_PORT)
enum { JUMP = 2, CHANCE, HAIRPIN, DNAT, CLUSTER_MARK, MARK = 9 };

static int services, endpoints, own_end, chain_end, ports_end;
static int32_t *cluster_ip, *node_port, *order, *start, *address, *first, *service_rule;
static uint16_t *port;
static int32_t *dst, *key, *arg, *more, *threshold;
static int commented;
static uint32_t checksum;

static uint32_t below(struct random_stream *r, uint32_t bound) {
  uint32_t reject = (0u - bound) % bound;
  uint32_t word = next_uint32(r);
  while (word > 0xffffffffu - reject) word = next_uint32(r);
  return word % bound;
}

static void rules_of(int slot, int at) {
  const int comment = commented ? 288 : 0, n = endpoints;
  const int32_t chance_key = ANY | KEY(CHANCE, 208 + comment), last_key = ANY | KEY(JUMP, 152 + comment);
  const int32_t hairpin_key = ANY | KEY(HAIRPIN, 152 + comment), dnat_key = ANY | PROTOCOL | KEY(DNAT, 216 + comment);
  if (node_port[slot] != 0) {
    key[at] = ANY | KEY(JUMP, 440), arg[at] = 0, more[at] = 1, at++;
    key[at] = ANY | KEY(JUMP, 152), arg[at] = at + 1, more[at] = 1 + n, at++;
  }
  dst[at] = cluster_ip[slot], key[at] = KEY(CLUSTER_MARK, 488) | PROTOCOL | 80 << 1, at++;
  int chain = at + n;
  for (int left = n; left > 1; left--, at++, chain += 2) dst[at] = threshold[left], key[at] = chance_key, arg[at] = chain;
  key[at] = last_key, arg[at] = chain, more[at] = 2, at++;
  for (int i = start[slot]; i < start[slot] + n; i++, at += 2) {
    dst[at] = address[i], key[at] = hairpin_key;
    dst[at + 1] = slot, key[at + 1] = dnat_key, arg[at + 1] = address[i], more[at + 1] = port[i];
  }
}

static void sample(int at, int end) {
  for (; at < end; at += SAMPLED)
    checksum = mixed(mixed(mixed(mixed(checksum, dst[at]), key[at]), arg[at]), more[at]);
}

static uint32_t one_round(void) {
  key[0] = ANY | KEY(MARK, 152);
  int at = 1;
  for (int slot = 0; slot < services; slot++) {
    int has_port = node_port[slot] != 0;
    first[slot] = at;
    int32_t *rule = service_rule + 4 * slot;
    rule[0] = cluster_ip[slot], rule[1] = KEY(JUMP, 488) | SERVICE_CHAIN | PROTOCOL | 80 << 1;
    rule[2] = at + 2 * has_port, rule[3] = 1 + endpoints;
    rules_of(slot, at);
    at += 2 * has_port + 1 + 3 * endpoints;
  }
  own_end = at;
  int ports = chain_end + 1;
  for (int i = 0; i < services; i++, at++) {
    int slot = order[i];
    const int32_t *rule = service_rule + 4 * slot;
    dst[at] = rule[0], key[at] = rule[1], arg[at] = rule[2], more[at] = rule[3];
    if (node_port[slot] == 0) continue;
    key[ports] = KEY(JUMP, 488) | SERVICE_CHAIN | ANY_DST | PROTOCOL | node_port[slot] << 1;
    arg[ports] = first[slot], more[ports] = 2, ports++;
  }
  sample(0, chain_end);
  sample(chain_end + 1, ports_end);
  return checksum;
}

/* kube-proxy's order of endpoints: that of the text ip:port. */
static int by_text(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  char s[24], t[24];
  snprintf(s, sizeof s, "%u.%u.%u.%u:", x >> 24, x >> 16 & 255, x >> 8 & 255, x & 255);
  snprintf(t, sizeof t, "%u.%u.%u.%u:", y >> 24, y >> 16 & 255, y >> 8 & 255, y & 255);
  return strcmp(s, t);
}

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  services = atoi(argv[1]);
  endpoints = atoi(argv[2]);
  struct random_stream r = {strtoul(argv[3], 0, 10), strtoul(argv[4], 0, 10), strtoul(argv[5], 0, 10), strtoul(argv[6], 0, 10)};
  const size_t words = 4 * (size_t)services;
  cluster_ip = malloc(words), node_port = malloc(words), order = malloc(words), start = malloc(words), first = malloc(words);
  service_rule = malloc(4 * words);
  address = malloc(words * endpoints), port = malloc(words / 2 * endpoints);
  threshold = calloc(endpoints + 1, 4);
  commented = services * endpoints <= 1000;
  int ports = 0;
  for (int n = 2; n <= endpoints; n++) {
    char text[24];
    snprintf(text, sizeof text, "%.10f", 1.0 / n);
    threshold[n] = (int32_t)llround(atof(text) * 2147483648.0);
  }
  for (int id = 0; id < services; id++) {
    cluster_ip[id] = (int32_t)(CLUSTER_IP_BASE + id);
    node_port[id] = id % 10 == 0 && id < 25000 ? 30000 + id / 10 : 0;
    ports += node_port[id] != 0;
    order[id] = id;
    start[id] = id * endpoints;
    for (int k = 0; k < endpoints; k++) {
      address[start[id] + k] = (int32_t)(POD_BASE + (id * endpoints + k) % 1000000);
      port[start[id] + k] = 8080;
    }
    qsort(address + start[id], endpoints, 4, by_text);
  }
  for (int i = services - 1; i > 0; i--) {
    int j = below(&r, i + 1);
    int32_t held = order[i];
    order[i] = order[j];
    order[j] = held;
  }
  chain_end = 1 + services * (1 + 3 * endpoints) + 2 * ports + services;
  ports_end = chain_end + 1 + ports;
  dst = calloc(ports_end, 4), key = calloc(ports_end, 4), arg = calloc(ports_end, 4), more = calloc(ports_end, 4);
  return converse(one_round);
}
