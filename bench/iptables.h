/*
 * The indexed path of the iptables engine with connection tracking, for packets from pods and from the wire to the cluster of
 * engines/synthetic.ts: the same verdicts, counters and random draws as engines/iptables/engine.ts, written as C.
 */
#ifndef CHAINWALK_IPTABLES_H
#define CHAINWALK_IPTABLES_H
#include "streams.h"

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
enum { ORIGIN_POD = 1, ORIGIN_EXTERNAL = 2 };
enum { OUTCOME_ACCEPT, OUTCOME_ENDPOINT, OUTCOME_REPLY, OUTCOME_REJECT, OUTCOME_DROP };
enum { REASON_NONE = 0, REASON_INVALID = 2, REASON_PORT_CLASH = 5 };
/* model/counters.ts */
enum {
  RULES_EVALUATED,
  RULES_MATCHED,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
  JUMPS,
  RULE_BYTES,
  CONNTRACK_LOOKUPS = 7,
  CONNTRACK_INSERTS = 8,
  NAT_SETUPS = 14,
  PORT_TRIES = 15,
  COUNTERS = 20
};

struct packet {
  uint64_t time;
  uint32_t src, dst;
  uint16_t src_port, dst_port;
  uint8_t protocol, flags, origin;
};

struct verdict {
  uint32_t src, dst;
  uint16_t src_port, dst_port;
  uint8_t outcome, reason, first, masqueraded;
  int32_t service;
};

/* Sizes of rules, and the rules there are, in the order of the arguments (engines/iptables/path.bench.ts). */
struct rule_bytes {
  uint32_t plain, commented, state, mark_accept, mark_return, masquerade, service, last;
  uint32_t statistic_jump, last_jump, endpoint_chain, invalid_rule;
};

struct endpoint {
  uint32_t address;
  uint16_t port;
};

struct service_cell {
  uint32_t address, key;
  int32_t slot;
  uint32_t place;
};

static struct rule_bytes bytes;
static uint32_t services, endpoints_each;
static struct endpoint *endpoints;
static struct service_cell *cells;
static uint32_t cell_mask;
static uint32_t *thresholds;
static struct random_stream statistic, source_port;

static const uint32_t NODE_ADDRESS = 0xc0a80002u, CLUSTER_IP_BASE = 0xac1e0000u, POD_BASE = 0x0a010000u;
static const uint32_t DETECTOR = 0x0a000000u, DETECTOR_MASK = 0xff000000u;
enum { PROTOCOL_TCP = 6, SERVICE_PORT = 80 };
static const uint64_t NS_PER_S = 1000000000u;

static inline uint32_t cell_of(uint32_t address, uint32_t key) {
  uint32_t h = address * 0x9e3779b1u ^ key * 0x85ebca77u;
  h ^= h >> 15;
  h *= 0x2c1b3c6du;
  return (h ^ (h >> 13)) & cell_mask;
}

/* The service's cell, or NULL. */
static inline const struct service_cell *find_service(uint32_t protocol, uint32_t address, uint32_t port) {
  uint32_t key = protocol << 16 | port;
  for (uint32_t at = cell_of(address, key); cells[at].place != 0; at = (at + 1) & cell_mask)
    if (cells[at].address == address && cells[at].key == key) return &cells[at];
  return NULL;
}

/* ---- Connection tracking: engines/conntrack/ ---- */

enum { CT_NEW, CT_NEW_REPEAT, CT_ESTABLISHED, CT_INVALID };
enum { FLOW_DNAT = 1, FLOW_MASQUERADED = 2, SEEN_REPLY = 128 };
enum { STATE_TIME_WAIT = 7, STATE_CLOSE = 8, STATE_INVALID = 10, STATE_IGNORED = 11 };

static const uint8_t TCP_NEXT[2][5][10] = {
    {{1, 1, 11, 11, 11, 11, 11, 1, 1, 9},
     {10, 10, 2, 10, 10, 10, 10, 10, 10, 2},
     {10, 10, 4, 4, 6, 6, 6, 7, 8, 10},
     {3, 10, 3, 3, 5, 5, 7, 7, 8, 10},
     {10, 8, 8, 8, 8, 8, 8, 8, 8, 8}},
    {{10, 9, 10, 10, 10, 10, 10, 1, 10, 9},
     {10, 2, 11, 11, 11, 11, 11, 11, 11, 2},
     {10, 10, 4, 4, 6, 6, 6, 7, 8, 10},
     {10, 11, 2, 3, 5, 5, 7, 7, 8, 11},
     {10, 8, 8, 8, 8, 8, 8, 8, 8, 8}}};
static const uint64_t TCP_TIMEOUT_S[10] = {0, 120, 60, 86400, 120, 3600, 30, 120, 10, 120};

struct tuple {
  uint32_t src, dst, ports;
  int32_t next;
};

/* Node 2e is the original tuple, 2e + 1 the reply's. */
struct entry {
  struct tuple tuple[2];
  uint64_t expiry;
  int32_t service;
  uint8_t protocol, state, flags;
};

static struct entry *entries;
static int32_t *heads, *free_slots;
static uint32_t capacity, free_count;

static inline uint32_t hash_tuple(uint32_t src, uint32_t dst, uint32_t ports, uint32_t protocol) {
  uint32_t h = src * 0x9e3779b1u ^ dst * 0x85ebca77u;
  h = (h ^ h >> 15 ^ ports) * 0x2c1b3c6du;
  h = (h ^ h >> 13 ^ protocol) * 0x297a2d39u;
  return h ^ h >> 16;
}

static inline int32_t find_node(uint64_t now, uint32_t src, uint32_t dst, uint32_t ports, uint32_t protocol) {
  int32_t node = heads[hash_tuple(src, dst, ports, protocol) & (2 * capacity - 1)];
  while (node >= 0) {
    const struct entry *e = &entries[node >> 1];
    const struct tuple *t = &e->tuple[node & 1];
    if (t->src == src && t->dst == dst && t->ports == ports && e->protocol == protocol && e->expiry > now) return node;
    node = t->next;
  }
  return -1;
}

static inline void link_node(int32_t node) {
  struct entry *e = &entries[node >> 1];
  struct tuple *t = &e->tuple[node & 1];
  uint32_t bucket = hash_tuple(t->src, t->dst, t->ports, e->protocol) & (2 * capacity - 1);
  t->next = heads[bucket];
  heads[bucket] = node;
}

static void unlink_node(int32_t node) {
  struct entry *e = &entries[node >> 1];
  struct tuple *t = &e->tuple[node & 1];
  int32_t *at = &heads[hash_tuple(t->src, t->dst, t->ports, e->protocol) & (2 * capacity - 1)];
  while (*at != node) at = &entries[*at >> 1].tuple[*at & 1].next;
  *at = t->next;
}

static void delete_entry(int32_t entry) {
  unlink_node(entry * 2);
  unlink_node(entry * 2 + 1);
  entries[entry].expiry = 0;
  free_slots[free_count++] = entry;
}

static void make_table(uint32_t size) {
  capacity = size;
  entries = calloc(size, sizeof *entries);
  heads = malloc(2 * size * sizeof *heads);
  free_slots = malloc(size * sizeof *free_slots);
  memset(heads, 0xff, 2 * size * sizeof *heads);
  for (int32_t e = (int32_t)size - 1; e >= 0; e--) free_slots[free_count++] = e;
}

/* Sweeps what has expired, and doubles when that frees less than half. */
static void make_room(uint64_t now) {
  uint32_t before = capacity;
  for (uint32_t e = 0; e < before; e++) {
    if (entries[e].expiry == 0 || entries[e].expiry > now) continue;
    entries[e].expiry = 0;
    free_slots[free_count++] = (int32_t)e;
  }
  if (free_count * 2 < before) {
    capacity = before * 2;
    entries = realloc(entries, capacity * sizeof *entries);
    memset(entries + before, 0, before * sizeof *entries);
    heads = realloc(heads, 2 * capacity * sizeof *heads);
    free_slots = realloc(free_slots, capacity * sizeof *free_slots);
    for (int32_t e = (int32_t)capacity - 1; e >= (int32_t)before; e--) free_slots[free_count++] = e;
  }
  memset(heads, 0xff, 2 * capacity * sizeof *heads);
  for (uint32_t e = 0; e < before; e++) {
    if (entries[e].expiry == 0) continue;
    link_node((int32_t)e * 2 + 1);
    link_node((int32_t)e * 2);
  }
}

static inline int tcp_row(uint8_t flags) {
  if (flags & TCP_RST) return 4;
  if (flags & TCP_SYN) return flags & TCP_ACK ? 1 : 0;
  if (flags & TCP_FIN) return 2;
  return flags & TCP_ACK ? 3 : 5;
}

/* A packet of a known flow; *status is CT_*, the answer is the node. */
static inline int32_t track(const struct packet *p, uint32_t *row, int *status, uint8_t *first_state) {
  row[CONNTRACK_LOOKUPS]++;
  int flags_row = tcp_row(p->flags);
  uint32_t ports = (uint32_t)p->src_port << 16 | p->dst_port;
  int32_t node = find_node(p->time, p->src, p->dst, ports, p->protocol);
  *status = CT_INVALID;
  if (flags_row == 5) return -1;
  if (node >= 0) {
    struct entry *e = &entries[node >> 1];
    if (!(flags_row == 0 && (e->state == STATE_TIME_WAIT || e->state == STATE_CLOSE))) {
      uint8_t next = TCP_NEXT[node & 1][flags_row][e->state];
      if (next == STATE_INVALID) return -1;
      if (next != STATE_IGNORED) {
        e->state = next;
        e->expiry = p->time + TCP_TIMEOUT_S[next] * NS_PER_S;
      }
      if (node & 1) e->flags |= SEEN_REPLY;
      *status = e->flags & SEEN_REPLY ? CT_ESTABLISHED : CT_NEW_REPEAT;
      return node;
    }
    delete_entry(node >> 1);
  }
  uint8_t next = TCP_NEXT[0][flags_row][0];
  if (next == STATE_INVALID) return -1;
  *first_state = next;
  *status = CT_NEW;
  return -1;
}

/* The source port that the packet leaves with, or -1: get_unique_tuple. */
static inline int choose_source(const struct packet *p, uint32_t source, uint32_t dst, uint16_t dst_port, int random,
                                uint32_t *row) {
  uint32_t high = (uint32_t)dst_port << 16, own = p->src_port;
  if (!random) {
    row[CONNTRACK_LOOKUPS]++;
    if (find_node(p->time, dst, source, high | own, p->protocol) < 0) return (int)own;
  }
  uint32_t min = own < 512 ? 1 : own < 1024 ? 600 : 1024, size = own < 512 ? 511 : own < 1024 ? 424 : 64512;
  for (uint32_t attempts = size < 128 ? size : 128;; attempts >>= 1) {
    uint32_t offset = next_uint32(&source_port) & 0xffff;
    for (uint32_t k = 0; k < attempts; k++, offset = (offset + 1) & 0xffff) {
      uint32_t port = min + offset % size;
      row[PORT_TRIES]++;
      row[CONNTRACK_LOOKUPS]++;
      if (find_node(p->time, dst, source, high | port, p->protocol) < 0) return (int)port;
    }
    if (attempts >= size || attempts < 16) return -1;
  }
}

/* ---- The hooks: engines/iptables/engine.ts and indexed.ts ---- */

static inline void count(uint32_t *row, uint32_t visited, uint32_t matched, uint32_t jumps, uint32_t size) {
  row[RULES_EVALUATED] += visited;
  row[RULES_MATCHED] += matched;
  row[JUMPS] += jumps;
  row[RULE_BYTES] += size;
}

/* filter FORWARD; whether the packet passes. */
static inline int forward(int is_new, int established, int invalid, int marked, uint32_t *row) {
  uint32_t invalid_rules = bytes.invalid_rule == 0 ? 0 : 1;
  uint32_t base = bytes.state + bytes.commented + bytes.invalid_rule;
  if (invalid_rules == 1 && invalid) {
    count(row, 3, 2, 1, base);
    return 0;
  }
  if (marked) {
    count(row, 3 + invalid_rules, 2 + is_new, 1 + is_new, base + bytes.mark_accept);
    return 1;
  }
  uint32_t visited = 4 + invalid_rules;
  if (established) {
    count(row, visited, 2, 1, base + bytes.mark_accept + bytes.state);
    return 1;
  }
  count(row, visited + 1, 1 + 2 * is_new, 1 + 2 * is_new, base + bytes.mark_accept + 2 * bytes.state);
  count(row, 1, is_new, is_new, bytes.state);
  return 1;
}

static inline void first_packet(const struct packet *p, uint8_t state, struct verdict *v, uint32_t *row) {
  uint32_t dst = p->dst, source = p->src;
  uint16_t dst_port = p->dst_port;
  int marked = 0, flags = 0, service = -1;
  v->first = 1;
  const struct service_cell *cell = find_service(p->protocol, dst, dst_port);
  if (cell != NULL) {
    row[SERVICE_RULES_SCANNED] += cell->place;
    uint32_t marks = (source & DETECTOR_MASK) != DETECTOR ? 1 : 0;
    uint32_t last = endpoints_each - 1, chosen = 0;
    while (chosen < last && (next_uint32(&statistic) & 0x7fffffff) >= thresholds[last + 1 - chosen]) chosen++;
    uint32_t tried = chosen < last ? chosen + 1 : chosen;
    row[STATISTIC_RULES] += tried;
    const struct endpoint *endpoint = &endpoints[(uint32_t)cell->slot * endpoints_each + chosen];
    if (source == endpoint->address) marks++;
    if (marks > 0) marked = 1;
    count(row, 1 + cell->place + 1 + chosen + 3 + marks, 2 + 2 + 2 * marks, 2 + 1 + marks,
          bytes.commented + cell->place * bytes.service + bytes.service + tried * bytes.statistic_jump +
              (chosen + 1 - tried) * bytes.last_jump + bytes.endpoint_chain + marks * bytes.plain);
    dst = endpoint->address;
    dst_port = endpoint->port;
    service = cell->slot;
    flags = FLOW_DNAT;
    row[NAT_SETUPS]++;
    v->dst = dst;
    v->dst_port = dst_port;
  } else {
    row[SERVICE_RULES_SCANNED] += services + 1;
    count(row, 1 + services + 1, 1, 1, bytes.commented + services * bytes.service + bytes.last);
  }
  forward(1, 0, 0, marked, row);
  v->outcome = OUTCOME_ACCEPT;
  v->service = service;
  if (marked) {
    count(row, 4, 3, 1, bytes.commented + bytes.mark_return + bytes.plain + bytes.masquerade);
    source = NODE_ADDRESS;
    flags |= FLOW_MASQUERADED;
  } else {
    count(row, 2, 2, 1, bytes.commented + bytes.mark_return);
  }
  int port = choose_source(p, source, dst, dst_port, marked, row);
  if (port < 0) {
    v->outcome = OUTCOME_DROP;
    v->reason = REASON_PORT_CLASH;
    return;
  }
  if (marked || port != p->src_port) row[NAT_SETUPS]++;
  v->masqueraded = marked ? 1 : 0;
  v->src = source;
  v->src_port = (uint16_t)port;
  if (service >= 0) v->outcome = OUTCOME_ENDPOINT;
  row[CONNTRACK_INSERTS]++;
  if (free_count == 0) make_room(p->time);
  int32_t entry = free_slots[--free_count];
  struct entry *e = &entries[entry];
  e->tuple[0] = (struct tuple){p->src, p->dst, (uint32_t)p->src_port << 16 | p->dst_port, -1};
  e->tuple[1] = (struct tuple){dst, source, (uint32_t)dst_port << 16 | (uint32_t)port, -1};
  e->protocol = p->protocol;
  e->state = state;
  e->flags = (uint8_t)flags;
  e->service = service;
  e->expiry = p->time + TCP_TIMEOUT_S[state] * NS_PER_S;
  link_node(entry * 2 + 1);
  link_node(entry * 2);
}

static inline void later_packet(int32_t node, int established, struct verdict *v, uint32_t *row) {
  const struct entry *e = &entries[node >> 1];
  const struct tuple *original = &e->tuple[0], *reply = &e->tuple[1];
  forward(!established, established, 0, 0, row);
  v->masqueraded = e->flags & FLOW_MASQUERADED ? 1 : 0;
  v->service = e->service;
  if (node & 1) {
    v->dst = original->src;
    v->dst_port = (uint16_t)(original->ports >> 16);
    v->src = original->dst;
    v->src_port = (uint16_t)original->ports;
    v->outcome = e->flags & (FLOW_DNAT | FLOW_MASQUERADED) ? OUTCOME_REPLY : OUTCOME_ACCEPT;
  } else {
    v->dst = reply->src;
    v->dst_port = (uint16_t)(reply->ports >> 16);
    v->src = reply->dst;
    v->src_port = (uint16_t)reply->ports;
    v->outcome = e->flags & FLOW_DNAT ? OUTCOME_ENDPOINT : OUTCOME_ACCEPT;
  }
}

/* One packet: its verdict and its row of counters. */
static inline void process(const struct packet *p, struct verdict *v, uint32_t *row) {
  memset(row, 0, COUNTERS * sizeof *row);
  v->src = p->src;
  v->dst = p->dst;
  v->src_port = p->src_port;
  v->dst_port = p->dst_port;
  v->reason = REASON_NONE;
  v->first = 0;
  v->masqueraded = 0;
  v->service = -1;
  int status;
  uint8_t state = 0;
  int32_t node = track(p, row, &status, &state);
  if (status == CT_NEW) {
    first_packet(p, state, v, row);
  } else if (status == CT_INVALID) {
    v->outcome = forward(0, 0, 1, 0, row) ? OUTCOME_ACCEPT : OUTCOME_DROP;
    v->reason = REASON_INVALID;
  } else {
    later_packet(node, status == CT_ESTABLISHED, v, row);
  }
}

/* kube-proxy's order of a service's endpoints: that of their text. */
static int by_text(const void *a, const void *b) {
  char text[2][24];
  const void *side[2] = {a, b};
  for (int i = 0; i < 2; i++) {
    const struct endpoint *e = side[i];
    snprintf(text[i], sizeof text[i], "%u.%u.%u.%u:%u", e->address >> 24, e->address >> 16 & 255, e->address >> 8 & 255,
             e->address & 255, e->port);
  }
  return strcmp(text[0], text[1]);
}

/* argv: services, endpoints of each, twelve sizes of rules, then thresholds 0 .. endpoints. Returns how many it took. */
static int make_world(char **argv) {
  services = (uint32_t)strtoul(argv[0], NULL, 10);
  endpoints_each = (uint32_t)strtoul(argv[1], NULL, 10);
  uint32_t *size = (uint32_t *)&bytes;
  for (int i = 0; i < 12; i++) size[i] = (uint32_t)strtoul(argv[2 + i], NULL, 10);
  thresholds = malloc((endpoints_each + 1) * sizeof *thresholds);
  for (uint32_t i = 0; i <= endpoints_each; i++) thresholds[i] = (uint32_t)strtoul(argv[14 + i], NULL, 10);
  endpoints = malloc((size_t)services * endpoints_each * sizeof *endpoints);
  for (uint32_t i = 0; i < services * endpoints_each; i++)
    endpoints[i] = (struct endpoint){POD_BASE + i % 1000000, 8080};
  for (uint32_t i = 0; i < services; i++)
    qsort(endpoints + (size_t)i * endpoints_each, endpoints_each, sizeof *endpoints, by_text);
  uint32_t *order = malloc(services * sizeof *order);
  for (uint32_t i = 0; i < services; i++) order[i] = i;
  struct random_stream service_order = named_stream(1, "service-order");
  shuffle(order, services, &service_order);
  uint32_t room = 16;
  while (room < services * 2) room *= 2;
  cells = calloc(room, sizeof *cells);
  cell_mask = room - 1;
  for (uint32_t place = 1; place <= services; place++) {
    uint32_t slot = order[place - 1], address = CLUSTER_IP_BASE + slot, key = PROTOCOL_TCP << 16 | SERVICE_PORT;
    uint32_t at = cell_of(address, key);
    while (cells[at].place != 0) at = (at + 1) & cell_mask;
    cells[at] = (struct service_cell){address, key, (int32_t)slot, place};
  }
  free(order);
  statistic = named_stream(1, "statistic");
  source_port = named_stream(1, "source-port");
  make_table(1024);
  return 14 + (int)endpoints_each + 1;
}
#endif
