/* The indexed path with connection tracking (suite conntrack): path.c new|established <flows> <packets a round> <world ...> */
#include "iptables.h"

struct flow {
  uint32_t client, vip, endpoint, translated;
  uint16_t client_port, endpoint_port, translated_port;
};

static uint32_t flow_count, packets_a_round, checksum;
static struct flow *flows;
static uint32_t *turns;
static uint32_t turn, opened;
static uint64_t now = 1000000000u;
static struct random_stream traffic;
static uint32_t row[COUNTERS];

enum { TURNS = 131072, CLIENT_BASE = 0x0ac80000, FIRST_PORT = 32768 };

static inline void take(const struct verdict *v) {
  uint32_t work = row[RULES_EVALUATED] * 31 + row[RULE_BYTES];
  checksum = mixed(checksum, v->dst ^ ((uint32_t)v->dst_port << 16 | v->src_port) ^ v->src ^ work ^ v->outcome);
}

static uint32_t round_of_new(void) {
  uint64_t step = 120 * NS_PER_S / flow_count;
  for (uint32_t i = 0; i < packets_a_round; i++) {
    uint32_t flow = opened++;
    struct packet p = {now, CLIENT_BASE + (flow & 0xfffff), CLUSTER_IP_BASE + below(&traffic, services),
                       (uint16_t)(FIRST_PORT + (flow >> 20)), SERVICE_PORT, PROTOCOL_TCP, TCP_SYN, ORIGIN_POD};
    struct verdict v;
    process(&p, &v, row);
    take(&v);
    now += step;
  }
  return checksum;
}

static void forth(const struct flow *f, uint8_t flags, struct verdict *v) {
  struct packet p = {now, f->client, f->vip, f->client_port, SERVICE_PORT, PROTOCOL_TCP, flags, ORIGIN_POD};
  process(&p, v, row);
}

static void back(const struct flow *f, uint8_t flags, struct verdict *v) {
  struct packet p = {now,        f->endpoint,   f->translated,  f->endpoint_port, f->translated_port,
                     PROTOCOL_TCP, flags, ORIGIN_EXTERNAL};
  process(&p, v, row);
}

static void open_flows(void) {
  flows = malloc(flow_count * sizeof *flows);
  for (uint32_t i = 0; i < flow_count; i++) {
    struct flow *f = &flows[i];
    f->client = CLIENT_BASE + i;
    f->client_port = FIRST_PORT;
    f->vip = CLUSTER_IP_BASE + below(&traffic, services);
    struct verdict v;
    forth(f, TCP_SYN, &v);
    f->endpoint = v.dst;
    f->endpoint_port = v.dst_port;
    f->translated = v.src;
    f->translated_port = v.src_port;
    back(f, TCP_SYN | TCP_ACK, &v);
    forth(f, TCP_ACK, &v);
  }
  turns = malloc(TURNS * sizeof *turns);
  for (uint32_t i = 0; i < TURNS; i++) turns[i] = below(&traffic, flow_count);
}

static uint32_t round_of_established(void) {
  for (uint32_t i = 0; i < packets_a_round; i++) {
    const struct flow *f = &flows[turns[turn]];
    struct verdict v;
    if (turn & 1) back(f, TCP_ACK, &v);
    else forth(f, TCP_ACK, &v);
    take(&v);
    turn = (turn + 1) & (TURNS - 1);
    now += 1000;
  }
  return checksum;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  flow_count = (uint32_t)strtoul(argv[2], NULL, 10);
  packets_a_round = (uint32_t)strtoul(argv[3], NULL, 10);
  make_world(argv + 4);
  traffic = named_stream(1, "bench/path");
  if (argv[1][0] == 'n') return converse(round_of_new);
  open_flows();
  return converse(round_of_established);
}
