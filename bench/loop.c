/*
 * The whole packet loop (suite loop): events in a binary heap, traffic, the iptables path, connection tracking, counters.
 * loop.c <flows> <packets of a connection> <packets a round> <1024 gaps> <world ...>; runner/loop.bench.ts is the same program.
 */
#include "iptables.h"

enum { GAPS = 1024, CLIENT_BASE = 0x0ac80000, FIRST_PORT = 32768, PORTS = 28000 };

struct flow {
  uint32_t next, vip, endpoint, translated;
  uint16_t port, endpoint_port, translated_port;
};

/* What sim/event-queue.ts keeps of an event, and its order: (time, priority, sequence). */
struct event {
  int64_t time, sequence;
  int32_t priority, kind;
  double payload;
};

static struct event *heap;
static uint32_t pending;
static int64_t next_sequence;
static struct flow *flows;
static uint32_t flow_count, connection, packets_a_round, checksum, next_gap;
static uint64_t gaps[GAPS], sums[COUNTERS], now;
static uint8_t *flags_of;
static struct random_stream traffic;

static inline int before(const struct event *a, const struct event *b) {
  if (a->time != b->time) return a->time < b->time;
  if (a->priority != b->priority) return a->priority < b->priority;
  return a->sequence < b->sequence;
}

static inline void push(int64_t time, int32_t priority, int32_t kind, double payload) {
  struct event e = {time, next_sequence++, priority, kind, payload};
  uint32_t at = pending++;
  while (at > 0) {
    uint32_t parent = (at - 1) / 2;
    if (!before(&e, &heap[parent])) break;
    heap[at] = heap[parent];
    at = parent;
  }
  heap[at] = e;
}

static inline struct event pop(void) {
  struct event first = heap[0], e = heap[--pending];
  uint32_t at = 0;
  for (uint32_t child = 1; child < pending; child = 2 * at + 1) {
    if (child + 1 < pending && before(&heap[child + 1], &heap[child])) child++;
    if (!before(&heap[child], &e)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = e;
  return first;
}

static inline void schedule(uint32_t flow) {
  push((int64_t)(now + gaps[next_gap]), 0, 0, flow);
  next_gap = (next_gap + 1) & (GAPS - 1);
}

static void on_packet(double payload) {
  uint32_t index = (uint32_t)payload;
  struct flow *f = &flows[index];
  uint32_t number = f->next, row[COUNTERS];
  struct packet p;
  struct verdict v;
  p.time = now;
  p.protocol = PROTOCOL_TCP;
  p.flags = flags_of[number];
  if ((number & 1) == 0) {
    p.origin = ORIGIN_POD;
    p.src = CLIENT_BASE + index;
    p.src_port = f->port;
    p.dst = f->vip;
    p.dst_port = SERVICE_PORT;
  } else {
    p.origin = ORIGIN_EXTERNAL;
    p.src = f->endpoint;
    p.src_port = f->endpoint_port;
    p.dst = f->translated;
    p.dst_port = f->translated_port;
  }
  process(&p, &v, row);
  if (number == 0) {
    f->endpoint = v.dst;
    f->endpoint_port = v.dst_port;
    f->translated = v.src;
    f->translated_port = v.src_port;
  }
  if (number + 1 < connection) {
    f->next = number + 1;
  } else {
    f->next = 0;
    f->port = f->port + 1 < FIRST_PORT + PORTS ? (uint16_t)(f->port + 1) : FIRST_PORT;
    f->vip = CLUSTER_IP_BASE + below(&traffic, services);
  }
  uint32_t work = row[RULES_EVALUATED] * 31 + row[RULE_BYTES];
  checksum = mixed(checksum, v.dst ^ ((uint32_t)v.dst_port << 16 | v.src_port) ^ v.src ^ work ^ v.outcome);
  for (int c = 0; c < COUNTERS; c++) sums[c] += row[c];
  schedule(index);
}

static void (*const handlers[])(double payload) = {on_packet};

static uint32_t one_round(void) {
  for (uint32_t i = 0; i < packets_a_round; i++) {
    struct event e = pop();
    now = (uint64_t)e.time;
    handlers[e.kind](e.payload);
  }
  uint32_t sum = checksum;
  for (int c = 0; c < COUNTERS; c++) sum = mixed(sum, (uint32_t)sums[c]);
  return sum;
}

static uint8_t flags_of_number(uint32_t number) {
  uint32_t fin = connection < 5 ? connection : connection >= 6 ? connection - 3 : connection - 2;
  if (number == 0) return TCP_SYN;
  if (number == 1) return TCP_SYN | TCP_ACK;
  return number == fin || number == fin + 1 ? TCP_FIN | TCP_ACK : TCP_ACK;
}

int main(int argc, char **argv) {
  if (argc < 4 + GAPS) return 2;
  flow_count = (uint32_t)strtoul(argv[1], NULL, 10);
  connection = (uint32_t)strtoul(argv[2], NULL, 10);
  packets_a_round = (uint32_t)strtoul(argv[3], NULL, 10);
  for (int i = 0; i < GAPS; i++) gaps[i] = strtoul(argv[4 + i], NULL, 10);
  make_world(argv + 4 + GAPS);
  traffic = named_stream(1, "bench/loop");
  flags_of = malloc(connection);
  for (uint32_t number = 0; number < connection; number++) flags_of[number] = flags_of_number(number);
  flows = calloc(flow_count, sizeof *flows);
  heap = malloc((flow_count + 1) * sizeof *heap);
  for (uint32_t flow = 0; flow < flow_count; flow++) {
    flows[flow].port = FIRST_PORT;
    flows[flow].vip = CLUSTER_IP_BASE + below(&traffic, services);
    schedule(flow);
  }
  return converse(one_round);
}
