/*
 * The data path of engines/ipvs/ in C, for the synthetic cluster of engines/synthetic.ts: the same packets, the same verdicts and
 * counters. Structs, arrays and chains as the kernel has them; the answers of every packet go into the checksum.
 *
 *   ipvs new|established literal|indexed <services>
 *
 * literal walks every rule and the chains of the service table; indexed adds the sums of a hook's rules by key and finds a virtual
 * server by a hash index that knows its place in the chain. engines/ipvs/process.bench.ts has the job.
 */
#include "streams.h"

enum {
  BATCH = 256,
  BATCHES = 32,
  ENDPOINTS = 10,
  STRIDE = 20,
  NONE = -1,
};

/* model/counters.ts */
enum {
  RULES_EVALUATED = 0,
  RULES_MATCHED = 1,
  JUMPS = 4,
  RULE_BYTES = 5,
  IPSET_TESTS = 6,
  CONNTRACK_LOOKUPS = 7,
  CONNTRACK_INSERTS = 8,
  HASH_PROBES = 9,
  SERVICE_CHAIN_ENTRIES = 10,
  CONNECTION_CHAIN_ENTRIES = 11,
  DESTINATIONS_EXAMINED = 12,
  IPVS_CONNECTION_INSERTS = 13,
  NAT_SETUPS = 14,
  PORT_TRIES = 15,
};

enum { TCP = 6 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { ORIGIN_POD = 1, ORIGIN_EXTERNAL = 2 };
enum { OUTCOME_ACCEPT, OUTCOME_ENDPOINT, OUTCOME_REPLY, OUTCOME_REJECT, OUTCOME_DROP };
enum { REASON_NO_ENDPOINTS = 1, REASON_INVALID = 2, REASON_UNUSED_VIP_PORT = 3, REASON_SERVER_UNAVAILABLE = 4, REASON_PORT_CLASH = 5 };

#define NODE_ADDRESS 0xc0a80002u
#define CLUSTER_IP_BASE 0xac1e0000u
#define POD_BASE 0x0a010000u
#define CLIENT_BASE 0x0ac80000u
#define NS_PER_S 1000000000ll

struct packet {
  int64_t time;
  uint32_t src, dst;
  uint16_t sport, dport;
  uint8_t protocol, flags, origin;
};

struct verdict {
  uint8_t outcome, reason, first, masqueraded;
  uint32_t src, dst;
  uint16_t sport, dport;
  int32_t service;
};

static struct packet packets[BATCH];
static struct verdict verdicts[BATCH];
static uint32_t counters[BATCH][STRIDE];
static int is_literal;

static void *allocate(size_t n, size_t size) {
  void *p = calloc(n, size);
  if (p == NULL) abort();
  return p;
}

static void *resized(void *old, size_t n, size_t size) {
  void *p = realloc(old, n * size);
  if (p == NULL) abort();
  return p;
}

/* ---- Connection tracking: engines/conntrack/table.ts ---- */

enum { CT_NEW, CT_NEW_REPEAT, CT_ESTABLISHED, CT_INVALID };
enum { FLOW_MASQUERADED = 2, FLOW_IPVS = 4, SEEN_REPLY = 128 };
enum { CT_NONE, CT_SS, CT_SR, CT_ES, CT_FW, CT_CW, CT_LA, CT_TW, CT_CL, CT_S2, CT_IV, CT_IG };
enum { ROW_SYN, ROW_SYN_ACK, ROW_FIN, ROW_ACK, ROW_RST, ROW_NONE };

#define SS CT_SS
#define SR CT_SR
#define ES CT_ES
#define FW CT_FW
#define CW CT_CW
#define LA CT_LA
#define TW CT_TW
#define CL CT_CL
#define S2 CT_S2
#define IV CT_IV
#define IG CT_IG
static const uint8_t ct_next[2][5][10] = {
  {{SS, SS, IG, IG, IG, IG, IG, SS, SS, S2},
   {IV, IV, SR, IV, IV, IV, IV, IV, IV, SR},
   {IV, IV, FW, FW, LA, LA, LA, TW, CL, IV},
   {ES, IV, ES, ES, CW, CW, TW, TW, CL, IV},
   {IV, CL, CL, CL, CL, CL, CL, CL, CL, CL}},
  {{IV, S2, IV, IV, IV, IV, IV, SS, IV, S2},
   {IV, SR, IG, IG, IG, IG, IG, IG, IG, SR},
   {IV, IV, FW, FW, LA, LA, LA, TW, CL, IV},
   {IV, IG, SR, ES, CW, CW, TW, TW, CL, IG},
   {IV, CL, CL, CL, CL, CL, CL, CL, CL, CL}},
};
#undef SS
#undef SR
#undef ES
#undef FW
#undef CW
#undef LA
#undef TW
#undef CL
#undef S2
#undef IV
#undef IG
static const int64_t ct_timeout[10] = {
  0,
  120 * NS_PER_S,
  60 * NS_PER_S,
  86400 * NS_PER_S,
  120 * NS_PER_S,
  3600 * NS_PER_S,
  30 * NS_PER_S,
  120 * NS_PER_S,
  10 * NS_PER_S,
  120 * NS_PER_S,
};

struct tuple {
  uint32_t src, dst, ports;
  int32_t next; /* node: 2 * flow for the original tuple, + 1 for the reply's */
};

/* One cache line. */
struct flow {
  struct tuple tuple[2];
  int64_t expires; /* 0: not in use */
  int32_t service, aux;
  uint8_t protocol, state, flags;
} __attribute__((aligned(64)));

static struct {
  struct flow *flows;
  int32_t *heads, *free;
  int32_t capacity, free_count;
  uint32_t mask;
  /* the packet of the last track() */
  int64_t now;
  uint32_t src, dst, ports;
  uint8_t protocol, state;
  int32_t entry;
  int is_reply;
} ct;

static uint32_t tuple_hash(uint32_t src, uint32_t dst, uint32_t ports, uint32_t protocol) {
  uint32_t h = src * 0x9e3779b1u ^ dst * 0x85ebca77u;
  h = (h ^ (h >> 15) ^ ports) * 0x2c1b3c6du;
  h = (h ^ (h >> 13) ^ protocol) * 0x297a2d39u;
  return h ^ (h >> 16);
}

static void ct_size(int32_t capacity) {
  struct flow *flows = aligned_alloc(64, (size_t)capacity * sizeof *flows);
  if (flows == NULL) abort();
  memset(flows, 0, (size_t)capacity * sizeof *flows);
  if (ct.flows != NULL) memcpy(flows, ct.flows, (size_t)ct.capacity * sizeof *flows);
  free(ct.flows);
  ct.flows = flows;
  ct.heads = resized(ct.heads, (size_t)capacity * 2, sizeof *ct.heads);
  ct.free = resized(ct.free, (size_t)capacity, sizeof *ct.free);
  for (int32_t e = capacity - 1; e >= ct.capacity; e--) ct.free[ct.free_count++] = e;
  ct.capacity = capacity;
  ct.mask = (uint32_t)capacity * 2 - 1;
  memset(ct.heads, 0xff, (size_t)capacity * 2 * sizeof *ct.heads);
}

static inline int32_t ct_find(uint32_t src, uint32_t dst, uint32_t ports, uint8_t protocol) {
  int32_t node = ct.heads[tuple_hash(src, dst, ports, protocol) & ct.mask];
  while (node >= 0) {
    const struct flow *f = &ct.flows[node >> 1];
    const struct tuple *t = &f->tuple[node & 1];
    if (t->src == src && t->dst == dst && t->ports == ports && f->protocol == protocol && f->expires > ct.now) break;
    node = t->next;
  }
  return node;
}

static inline void ct_link(int32_t node) {
  struct flow *f = &ct.flows[node >> 1];
  struct tuple *t = &f->tuple[node & 1];
  int32_t *head = &ct.heads[tuple_hash(t->src, t->dst, t->ports, f->protocol) & ct.mask];
  t->next = *head;
  *head = node;
}

static void ct_unlink(int32_t node) {
  struct flow *f = &ct.flows[node >> 1];
  struct tuple *t = &f->tuple[node & 1];
  int32_t *at = &ct.heads[tuple_hash(t->src, t->dst, t->ports, f->protocol) & ct.mask];
  while (*at != node) at = &ct.flows[*at >> 1].tuple[*at & 1].next;
  *at = t->next;
}

static void ct_delete(int32_t entry) {
  ct_unlink(entry * 2);
  ct_unlink(entry * 2 + 1);
  ct.flows[entry].expires = 0;
  ct.free[ct.free_count++] = entry;
}

/* Frees what has expired; twice the room when that is less than half. The chains are built anew. */
static void ct_make_room(void) {
  for (int32_t e = 0; e < ct.capacity; e++) {
    struct flow *f = &ct.flows[e];
    if (f->expires == 0 || f->expires > ct.now) continue;
    f->expires = 0;
    ct.free[ct.free_count++] = e;
  }
  int32_t before = ct.capacity;
  if (ct.free_count * 2 < before) ct_size(before * 2);
  else memset(ct.heads, 0xff, (size_t)before * 2 * sizeof *ct.heads);
  for (int32_t e = 0; e < before; e++) {
    if (ct.flows[e].expires == 0) continue;
    ct_link(e * 2 + 1);
    ct_link(e * 2);
  }
}

static inline int ct_row(uint8_t flags) {
  if (flags & RST) return ROW_RST;
  if (flags & SYN) return flags & ACK ? ROW_SYN_ACK : ROW_SYN;
  if (flags & FIN) return ROW_FIN;
  return flags & ACK ? ROW_ACK : ROW_NONE;
}

static inline int ct_track(const struct packet *p, uint32_t *work) {
  uint32_t ports = (uint32_t)p->sport << 16 | p->dport;
  ct.now = p->time;
  ct.entry = NONE;
  ct.is_reply = 0;
  work[CONNTRACK_LOOKUPS]++;
  int row = ct_row(p->flags);
  int32_t node = ct_find(p->src, p->dst, ports, p->protocol);
  if (node >= 0) {
    struct flow *f = &ct.flows[node >> 1];
    int reply = node & 1;
    if (row == ROW_NONE) return CT_INVALID;
    if (!(row == ROW_SYN && (f->state == CT_TW || f->state == CT_CL))) {
      uint8_t next = ct_next[reply][row][f->state];
      if (next == CT_IV) return CT_INVALID;
      if (next != CT_IG) {
        f->state = next;
        f->expires = ct.now + ct_timeout[next];
      }
      if (reply) f->flags |= SEEN_REPLY;
      ct.entry = node >> 1;
      ct.is_reply = reply;
      return f->flags & SEEN_REPLY ? CT_ESTABLISHED : CT_NEW_REPEAT;
    }
    ct_delete(node >> 1);
  }
  if (row == ROW_NONE) return CT_INVALID;
  uint8_t state = ct_next[0][row][CT_NONE];
  if (state == CT_IV) return CT_INVALID;
  ct.src = p->src;
  ct.dst = p->dst;
  ct.ports = ports;
  ct.protocol = p->protocol;
  ct.state = state;
  return CT_NEW;
}

/* Is the reply tuple free? The job's flows never have to search for another port. */
static inline int ct_choose_source(uint32_t source, uint32_t dst, uint16_t dport, uint32_t *work) {
  work[CONNTRACK_LOOKUPS]++;
  return ct_find(dst, source, (uint32_t)dport << 16 | ct.ports >> 16, ct.protocol) < 0;
}

static inline void ct_confirm(uint32_t dst, uint16_t dport, uint32_t src, uint16_t sport, uint8_t flags, int32_t service, uint32_t *work) {
  work[CONNTRACK_INSERTS]++;
  if (ct.free_count == 0) ct_make_room();
  int32_t entry = ct.free[--ct.free_count];
  struct flow *f = &ct.flows[entry];
  f->tuple[0].src = ct.src;
  f->tuple[0].dst = ct.dst;
  f->tuple[0].ports = ct.ports;
  f->tuple[1].src = dst;
  f->tuple[1].dst = src;
  f->tuple[1].ports = (uint32_t)dport << 16 | sport;
  f->expires = ct.now + ct_timeout[ct.state];
  f->service = service;
  f->aux = -1;
  f->protocol = ct.protocol;
  f->state = ct.state;
  f->flags = flags;
  ct_link(entry * 2 + 1);
  ct_link(entry * 2);
  ct.entry = entry;
}

/* ---- Virtual and real servers: engines/ipvs/service-table.ts, real-servers.ts ---- */

enum { SERVICE_BUCKETS = 256 };

struct real_server {
  uint32_t address;
  uint16_t port;
  int32_t weight, active, inactive, holders;
  int32_t next; /* in its virtual server's list */
};

struct virtual_server {
  int32_t next; /* in its bucket */
  uint32_t address;
  uint16_t port;
  uint8_t protocol;
  int32_t id;
  uint32_t affinity;
  int32_t first, last; /* real servers: the list's head, the one that round robin used last */
  uint32_t place;      /* in its bucket's chain, from 1 */
};

static struct virtual_server *services;
static struct real_server *servers;
static int32_t service_count, server_count;
static int32_t service_heads[SERVICE_BUCKETS];
static uint32_t service_lengths[SERVICE_BUCKETS];
static int32_t *service_index;
static uint32_t service_index_mask;

static inline uint32_t service_bucket(uint8_t protocol, uint32_t address, uint16_t port) {
  return (protocol ^ address ^ (port >> 8) ^ port) & (SERVICE_BUCKETS - 1);
}

static inline uint32_t index_hash(uint32_t protocol, uint32_t address, uint32_t port) {
  uint32_t h = (address ^ (port ^ (protocol << 16)) * 0x9e3779b1u) * 0x85ebca6bu;
  return h ^ (h >> 15);
}

static inline int is_service(const struct virtual_server *s, uint8_t protocol, uint32_t address, uint16_t port) {
  return s->address == address && s->port == port && s->protocol == protocol;
}

static inline int32_t service_find(uint8_t protocol, uint32_t address, uint16_t port, uint32_t *work) {
  uint32_t bucket = service_bucket(protocol, address, port);
  work[HASH_PROBES]++;
  if (is_literal) {
    uint32_t passed = 0;
    int32_t slot = service_heads[bucket];
    while (slot != NONE) {
      passed++;
      if (is_service(&services[slot], protocol, address, port)) break;
      slot = services[slot].next;
    }
    work[SERVICE_CHAIN_ENTRIES] += passed;
    return slot;
  }
  uint32_t at = index_hash(protocol, address, port) & service_index_mask;
  int32_t slot;
  while ((slot = service_index[at]) != NONE) {
    if (is_service(&services[slot], protocol, address, port)) {
      work[SERVICE_CHAIN_ENTRIES] += services[slot].place;
      return slot;
    }
    at = (at + 1) & service_index_mask;
  }
  work[SERVICE_CHAIN_ENTRIES] += service_lengths[bucket];
  return NONE;
}

static inline int32_t round_robin(struct virtual_server *s, uint32_t *work) {
  uint32_t examined = 0;
  int32_t last = s->last;
  int32_t server = last == NONE ? s->first : servers[last].next;
  for (int pass = 0; pass < 2; pass++) {
    while (server != NONE) {
      examined++;
      if (servers[server].weight > 0) {
        s->last = server;
        work[DESTINATIONS_EXAMINED] += examined;
        return server;
      }
      if (server == last) break;
      server = servers[server].next;
    }
    if (server != NONE || last == NONE) break;
    server = s->first;
  }
  work[DESTINATIONS_EXAMINED] += examined;
  return NONE;
}

/* ---- IPVS connections: engines/ipvs/connection-table.ts ---- */

enum { CONNECTION_BITS = 12 };
enum { ST_NONE, ST_ES, ST_SS, ST_SR, ST_FW, ST_TW, ST_CL, ST_CW, ST_LA, ST_LI, ST_SA, ST_UDP, ST_SCTP, ST_TEMPLATE };
enum { TOWARDS_SERVER, TOWARDS_CLIENT };

#define NO ST_NONE
#define ES ST_ES
#define SS ST_SS
#define SR ST_SR
#define FW ST_FW
#define TW ST_TW
#define CL ST_CL
#define CW ST_CW
#define LA ST_LA
#define LI ST_LI
static const uint8_t conn_next[2][4][11] = {
  {{SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR},
   {CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW},
   {ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES},
   {CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR}},
  {{SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR},
   {TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW},
   {ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES},
   {CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL}},
};
#undef NO
#undef ES
#undef SS
#undef SR
#undef FW
#undef TW
#undef CL
#undef CW
#undef LA
#undef LI
static const uint8_t conn_active[11] = {0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1};
/* The queue of a state's time-out, and the time-out of a queue. */
static const uint8_t conn_queue[11] = {0, 1, 2, 3, 2, 2, 4, 3, 5, 2, 2};
enum { QUEUES = 6 };
static const int64_t queue_timeout[QUEUES] = {2 * NS_PER_S, 900 * NS_PER_S, 120 * NS_PER_S, 60 * NS_PER_S, 10 * NS_PER_S, 30 * NS_PER_S};

/* One cache line. */
struct connection {
  uint32_t caddr, vaddr, daddr;
  uint16_t cport, vport, dport;
  uint8_t protocol, state;
  int32_t next, previous; /* in its bucket */
  int32_t later, earlier; /* in its queue */
  int64_t expires;
  int32_t server, service, control;
} __attribute__((aligned(64)));

static struct {
  struct connection *all;
  int32_t capacity, used, free;
  int32_t heads[1 << CONNECTION_BITS];
  int32_t first[QUEUES], last[QUEUES];
  int64_t now, earliest;
  uint32_t seed;
} conns;

static inline uint32_t rotated(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

/* include/linux/jhash.h */
static inline uint32_t jhash_3words(uint32_t a, uint32_t b, uint32_t c, uint32_t initval) {
  uint32_t seed = initval + 0xdeadbeefu + (3 << 2);
  a += seed;
  b += seed;
  c += seed;
  c = (c ^ b) - rotated(b, 14);
  a = (a ^ c) - rotated(c, 11);
  b = (b ^ a) - rotated(a, 25);
  c = (c ^ b) - rotated(b, 16);
  a = (a ^ c) - rotated(c, 4);
  b = (b ^ a) - rotated(a, 14);
  return (c ^ b) - rotated(b, 24);
}

static inline int32_t *conn_head(uint32_t address, uint16_t port, uint8_t protocol) {
  return &conns.heads[jhash_3words(address, port, protocol, conns.seed) & ((1 << CONNECTION_BITS) - 1)];
}

static void conns_size(int32_t capacity) {
  struct connection *all = aligned_alloc(64, (size_t)capacity * sizeof *all);
  if (all == NULL) abort();
  if (conns.all != NULL) memcpy(all, conns.all, (size_t)conns.used * sizeof *all);
  free(conns.all);
  conns.all = all;
  conns.capacity = capacity;
}

static inline void queue_put(int32_t slot, int queue) {
  struct connection *c = &conns.all[slot];
  c->expires = conns.now + queue_timeout[queue];
  if (c->expires < conns.earliest) conns.earliest = c->expires;
  c->later = NONE;
  c->earlier = conns.last[queue];
  if (c->earlier == NONE) conns.first[queue] = slot;
  else conns.all[c->earlier].later = slot;
  conns.last[queue] = slot;
}

static inline void queue_take(int32_t slot, int queue) {
  struct connection *c = &conns.all[slot];
  if (c->earlier == NONE) conns.first[queue] = c->later;
  else conns.all[c->earlier].later = c->later;
  if (c->later == NONE) conns.last[queue] = c->earlier;
  else conns.all[c->later].earlier = c->earlier;
}

static inline uint8_t conn_state(uint8_t state, int direction, uint8_t flags) {
  if (flags & RST) return conn_next[direction][3][state];
  if (flags & SYN) return conn_next[direction][0][state];
  if (flags & FIN) return conn_next[direction][1][state];
  return flags & ACK ? conn_next[direction][2][state] : state;
}

static inline int32_t conn_find_reply(uint8_t protocol, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, uint32_t *work) {
  uint32_t passed = 0;
  int32_t slot = *conn_head(dst, dport, protocol);
  while (slot != NONE) {
    const struct connection *c = &conns.all[slot];
    passed++;
    if (c->cport == dport && c->dport == sport && c->caddr == dst && c->daddr == src && c->protocol == protocol && c->state != ST_TEMPLATE)
      break;
    slot = c->next;
  }
  work[HASH_PROBES]++;
  work[CONNECTION_CHAIN_ENTRIES] += passed;
  return slot;
}

static inline int32_t conn_find_request(uint8_t protocol, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, uint32_t *work) {
  uint32_t passed = 0;
  int32_t slot = *conn_head(src, sport, protocol);
  while (slot != NONE) {
    const struct connection *c = &conns.all[slot];
    passed++;
    if (c->cport == sport && c->vport == dport && c->caddr == src && c->vaddr == dst && c->protocol == protocol && c->state != ST_TEMPLATE)
      break;
    slot = c->next;
  }
  work[HASH_PROBES]++;
  work[CONNECTION_CHAIN_ENTRIES] += passed;
  return slot;
}

static inline int32_t conn_add(const struct packet *p, const struct virtual_server *s, int32_t server) {
  int32_t slot = conns.free;
  if (slot != NONE) conns.free = conns.all[slot].next;
  else {
    if (conns.used == conns.capacity) conns_size(conns.capacity * 2);
    slot = conns.used++;
  }
  struct connection *c = &conns.all[slot];
  struct real_server *d = &servers[server];
  c->caddr = p->src;
  c->cport = p->sport;
  c->vaddr = p->dst;
  c->vport = p->dport;
  c->daddr = d->address;
  c->dport = d->port;
  c->protocol = p->protocol;
  c->state = conn_state(ST_NONE, TOWARDS_SERVER, p->flags);
  c->server = server;
  c->service = s->id;
  c->control = NONE;
  d->holders++;
  if (conn_active[c->state]) d->active++;
  else d->inactive++;
  int32_t *head = conn_head(p->src, p->sport, p->protocol);
  c->next = *head;
  c->previous = NONE;
  if (*head != NONE) conns.all[*head].previous = slot;
  *head = slot;
  queue_put(slot, conn_queue[c->state]);
  return slot;
}

static inline void conn_packet(int32_t slot, int direction, uint8_t flags) {
  struct connection *c = &conns.all[slot];
  uint8_t old = c->state, state = conn_state(old, direction, flags);
  queue_take(slot, conn_queue[old]);
  if (state != old) {
    int change = conn_active[state] - conn_active[old];
    c->state = state;
    servers[c->server].active += change;
    servers[c->server].inactive -= change;
  }
  queue_put(slot, conn_queue[state]);
}

static void conn_remove(int32_t slot) {
  struct connection *c = &conns.all[slot];
  struct real_server *d = &servers[c->server];
  queue_take(slot, conn_queue[c->state]);
  if (conn_active[c->state]) d->active--;
  else d->inactive--;
  d->holders--;
  if (c->next != NONE) conns.all[c->next].previous = c->previous;
  if (c->previous != NONE) conns.all[c->previous].next = c->next;
  else *conn_head(c->caddr, c->cport, c->protocol) = c->next;
  c->next = conns.free;
  conns.free = slot;
}

static void conns_expire(void) {
  conns.earliest = INT64_MAX;
  for (int queue = 0; queue < QUEUES; queue++) {
    int32_t slot;
    while ((slot = conns.first[queue]) != NONE && conns.all[slot].expires <= conns.now) conn_remove(slot);
    if (slot != NONE && conns.all[slot].expires < conns.earliest) conns.earliest = conns.all[slot].expires;
  }
}

/* ---- ipsets: engines/ipvs/ipsets.ts ---- */

enum { SET_CLUSTER_IP = 0, SET_EXTERNAL_IP = 1, SET_EXTERNAL_IP_LOCAL = 2, SET_LOAD_BALANCER = 3 };
enum { SET_NODE_PORT_TCP = 8, SET_HEALTH_CHECK = 12, SET_IPVS_IPS = 16, NO_SET = -1 };

struct set_entry {
  uint32_t address, service; /* protocol << 16 | port */
  uint32_t flags;            /* 0: free */
};

struct set_table {
  struct set_entry *entries;
  uint32_t mask;
};

/* hash:ip,port, a flag a set; hash:ip; bitmap:port. */
static struct set_table destinations, bound;
static uint8_t port_sets[65536];

static inline uint32_t set_hash(uint32_t address, uint32_t service) {
  uint32_t h = (address * 0x9e3779b1u ^ service) * 0x85ebca6bu;
  return h ^ (h >> 15);
}

static inline uint32_t set_get(const struct set_table *table, uint32_t address, uint32_t service) {
  uint32_t at = set_hash(address, service) & table->mask;
  for (;;) {
    const struct set_entry *e = &table->entries[at];
    if (e->flags == 0) return 0;
    if (e->address == address && e->service == service) return e->flags;
    at = (at + 1) & table->mask;
  }
}

static void set_add(struct set_table *table, uint32_t address, uint32_t service, uint32_t flag) {
  uint32_t at = set_hash(address, service) & table->mask;
  struct set_entry *e;
  while ((e = &table->entries[at])->flags != 0 && !(e->address == address && e->service == service)) at = (at + 1) & table->mask;
  e->address = address;
  e->service = service;
  e->flags |= flag;
}

static void set_size(struct set_table *table, uint32_t entries) {
  uint32_t capacity = 64;
  while (capacity < entries * 2) capacity *= 2;
  table->entries = allocate(capacity, sizeof *table->entries);
  table->mask = capacity - 1;
}

static inline uint32_t destination_flags(uint32_t address, uint8_t protocol, uint16_t port) {
  return set_get(&destinations, address, (uint32_t)protocol << 16 | port);
}

/* ---- Rules: engines/ipvs/rules.ts ---- */

enum { IP_ANY, IP_SRC_LOOPBACK, IP_NOT_FROM_POD, IP_TCP };
enum { MATCH_NONE, MATCH_DST_LOCAL, MATCH_UNMARKED, MATCH_MARKED, MATCH_NEW, MATCH_ESTABLISHED };
enum { RETURN, ACCEPT, REJECT, MASQUERADE, MARK, UNMARK, DROP, JUMP = 16 };
enum {
  NAT_PREROUTING,
  NAT_POSTROUTING,
  FILTER_INPUT,
  FILTER_FORWARD,
  FILTER_OUTPUT,
  NAT_SERVICES,
  NAT_NODE_PORT,
  NAT_MARK_MASQ,
  NAT_KUBE_POSTROUTING,
  FILTER_IPVS_FILTER,
  FILTER_PROXY_FIREWALL,
  FILTER_NODE_PORT,
  FILTER_KUBE_FORWARD,
  FILTER_IPVS_OUT,
  CHAINS,
};

struct rule {
  uint8_t ip, match;
  int8_t set;
  uint8_t target;
  uint32_t bytes;
};

enum { ENTRY = 112, COMMENT = 288, SET = 40, ADDRTYPE = 40, CONNMARK = 48, CONNTRACK = 200, VERDICT = 40, MASQ = 56 };

static const struct rule rules[] = {
  /* nat PREROUTING */
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + NAT_SERVICES, ENTRY + COMMENT + VERDICT},
  /* nat POSTROUTING */
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + NAT_KUBE_POSTROUTING, ENTRY + COMMENT + VERDICT},
  /* filter INPUT */
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + FILTER_IPVS_FILTER, ENTRY + COMMENT + VERDICT},
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + FILTER_PROXY_FIREWALL, ENTRY + COMMENT + VERDICT},
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + FILTER_NODE_PORT, ENTRY + COMMENT + VERDICT},
  /* filter FORWARD */
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + FILTER_PROXY_FIREWALL, ENTRY + COMMENT + VERDICT},
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + FILTER_KUBE_FORWARD, ENTRY + COMMENT + VERDICT},
  /* filter OUTPUT */
  {IP_ANY, MATCH_NONE, NO_SET, JUMP + FILTER_IPVS_OUT, ENTRY + COMMENT + VERDICT},
  /* KUBE-SERVICES */
  {IP_SRC_LOOPBACK, MATCH_NONE, NO_SET, RETURN, ENTRY + VERDICT},
  {IP_NOT_FROM_POD, MATCH_NONE, SET_CLUSTER_IP, JUMP + NAT_MARK_MASQ, ENTRY + COMMENT + SET + VERDICT},
  {IP_ANY, MATCH_DST_LOCAL, NO_SET, JUMP + NAT_NODE_PORT, ENTRY + ADDRTYPE + VERDICT},
  {IP_ANY, MATCH_NONE, SET_CLUSTER_IP, ACCEPT, ENTRY + SET + VERDICT},
  /* KUBE-NODE-PORT */
  {IP_TCP, MATCH_NONE, SET_NODE_PORT_TCP, JUMP + NAT_MARK_MASQ, ENTRY + COMMENT + SET + VERDICT},
  /* KUBE-MARK-MASQ */
  {IP_ANY, MATCH_NONE, NO_SET, MARK, ENTRY + VERDICT},
  /* KUBE-POSTROUTING */
  {IP_ANY, MATCH_UNMARKED, NO_SET, RETURN, ENTRY + CONNMARK + VERDICT},
  {IP_ANY, MATCH_NONE, NO_SET, UNMARK, ENTRY + VERDICT},
  {IP_ANY, MATCH_NONE, NO_SET, MASQUERADE, ENTRY + COMMENT + MASQ},
  /* KUBE-IPVS-FILTER */
  {IP_ANY, MATCH_NONE, SET_LOAD_BALANCER, RETURN, ENTRY + SET + VERDICT},
  {IP_ANY, MATCH_NONE, SET_CLUSTER_IP, RETURN, ENTRY + SET + VERDICT},
  {IP_ANY, MATCH_NONE, SET_EXTERNAL_IP, RETURN, ENTRY + SET + VERDICT},
  {IP_ANY, MATCH_NONE, SET_EXTERNAL_IP_LOCAL, RETURN, ENTRY + SET + VERDICT},
  {IP_ANY, MATCH_NONE, SET_HEALTH_CHECK, RETURN, ENTRY + SET + VERDICT},
  {IP_ANY, MATCH_NEW, SET_IPVS_IPS, REJECT, ENTRY + CONNTRACK + SET + VERDICT},
  /* KUBE-PROXY-FIREWALL is empty. KUBE-NODE-PORT of filter */
  {IP_ANY, MATCH_NONE, SET_HEALTH_CHECK, ACCEPT, ENTRY + COMMENT + SET + VERDICT},
  /* KUBE-FORWARD */
  {IP_ANY, MATCH_MARKED, NO_SET, ACCEPT, ENTRY + COMMENT + CONNMARK + VERDICT},
  {IP_ANY, MATCH_ESTABLISHED, NO_SET, ACCEPT, ENTRY + COMMENT + CONNTRACK + VERDICT},
  /* KUBE-IPVS-OUT-FILTER is empty. */
};
static const uint8_t first_rule[CHAINS + 1] = {0, 1, 2, 5, 7, 8, 12, 13, 14, 17, 23, 23, 24, 26, 26};

/* The packet as the rules see it. */
struct walked {
  uint32_t src, dst;
  uint16_t dport;
  uint8_t protocol, status, is_marked;
};

static inline int is_loopback(uint32_t address) { return address >> 24 == 127; }

static inline int is_local(uint32_t address) {
  return is_loopback(address) || address == NODE_ADDRESS || set_get(&bound, address, 0) != 0;
}

static inline int is_from_pod(uint32_t address) { return address >> 24 == 10; }

static int ip_matches(const struct walked *p, uint8_t ip) {
  switch (ip) {
    case IP_ANY:
      return 1;
    case IP_SRC_LOOPBACK:
      return is_loopback(p->src);
    case IP_NOT_FROM_POD:
      return !is_from_pod(p->src);
    default:
      return p->protocol == TCP;
  }
}

static int match_holds(const struct walked *p, uint8_t match) {
  switch (match) {
    case MATCH_NONE:
      return 1;
    case MATCH_DST_LOCAL:
      return is_local(p->dst);
    case MATCH_UNMARKED:
      return !p->is_marked;
    case MATCH_MARKED:
      return p->is_marked;
    case MATCH_NEW:
      return p->status == CT_NEW || p->status == CT_NEW_REPEAT;
    default:
      return p->status == CT_ESTABLISHED;
  }
}

static int set_holds(const struct walked *p, int set, uint32_t *work) {
  if (set == NO_SET) return 1;
  work[IPSET_TESTS]++;
  if (set < SET_NODE_PORT_TCP) return destination_flags(p->dst, p->protocol, p->dport) >> set & 1;
  if (set == SET_IPVS_IPS) return set_get(&bound, p->dst, 0) != 0;
  return port_sets[p->dport] >> (set - SET_NODE_PORT_TCP) & 1;
}

static int walk(struct walked *p, int chain, uint32_t *work) {
  for (int i = first_rule[chain]; i < first_rule[chain + 1]; i++) {
    const struct rule *rule = &rules[i];
    work[RULES_EVALUATED]++;
    work[RULE_BYTES] += rule->bytes;
    if (!ip_matches(p, rule->ip) || !match_holds(p, rule->match) || !set_holds(p, rule->set, work)) continue;
    work[RULES_MATCHED]++;
    if (rule->target >= JUMP) {
      work[JUMPS]++;
      int target = walk(p, rule->target - JUMP, work);
      if (target != RETURN) return target;
    } else if (rule->target == MARK) p->is_marked = 1;
    else if (rule->target == UNMARK) p->is_marked = 0;
    else return rule->target;
  }
  return RETURN;
}

/* What a hook counts and decides, by the answers to the questions that its rules ask. */
struct sums {
  uint32_t evaluated, matched, jumps, bytes, tests;
  uint8_t is_known, target, is_marked;
};

static inline int indexed(struct sums *sums, struct walked *p, int chain, uint32_t *work) {
  if (!sums->is_known) {
    uint32_t counted[STRIDE] = {0};
    sums->target = (uint8_t)walk(p, chain, counted);
    sums->evaluated = counted[RULES_EVALUATED];
    sums->matched = counted[RULES_MATCHED];
    sums->jumps = counted[JUMPS];
    sums->bytes = counted[RULE_BYTES];
    sums->tests = counted[IPSET_TESTS];
    sums->is_marked = p->is_marked;
    sums->is_known = 1;
  }
  work[RULES_EVALUATED] += sums->evaluated;
  work[RULES_MATCHED] += sums->matched;
  work[JUMPS] += sums->jumps;
  work[RULE_BYTES] += sums->bytes;
  work[IPSET_TESTS] += sums->tests;
  p->is_marked = sums->is_marked;
  return sums->target;
}

static struct sums nat_sums[1 << 12], input_sums[1 << 11], forward_sums[1 << 10], postrouting_sums[2], output_sums;

/* `flags`: of the packet's destination, for the indexed form. */
static inline void hook_nat(struct walked *p, uint32_t flags, uint32_t *work) {
  if (is_literal) {
    walk(p, NAT_PREROUTING, work);
    return;
  }
  uint32_t key = 1 << 11;
  if (!is_loopback(p->src)) {
    key = flags;
    if (!is_from_pod(p->src)) key |= 1 << 8;
    if (flags != 0 || is_local(p->dst)) key |= 1 << 9 | (port_sets[p->dport] & 1u) << 10;
  }
  indexed(&nat_sums[key], p, NAT_PREROUTING, work);
}

static inline int hook_input(struct walked *p, uint32_t flags, uint32_t *work) {
  if (is_literal) return walk(p, FILTER_INPUT, work);
  uint32_t key = flags;
  if (port_sets[p->dport] >> (SET_HEALTH_CHECK - SET_NODE_PORT_TCP) & 1) key |= 1 << 8;
  if (p->status == CT_NEW || p->status == CT_NEW_REPEAT) {
    key |= 1 << 9;
    if (flags == 0 && set_get(&bound, p->dst, 0) != 0) key |= 1 << 10;
  }
  return indexed(&input_sums[key], p, FILTER_INPUT, work);
}

static inline int hook_forward(struct walked *p, uint32_t *work) {
  if (is_literal) return walk(p, FILTER_FORWARD, work);
  return indexed(&forward_sums[(p->is_marked ? 1 : 0) | (p->status == CT_ESTABLISHED ? 2 : 0)], p, FILTER_FORWARD, work);
}

static inline void hook_output(struct walked *p, uint32_t *work) {
  if (is_literal) walk(p, FILTER_OUTPUT, work);
  else indexed(&output_sums, p, FILTER_OUTPUT, work);
}

static inline int hook_postrouting(struct walked *p, uint32_t *work) {
  if (is_literal) return walk(p, NAT_POSTROUTING, work);
  return indexed(&postrouting_sums[p->is_marked], p, NAT_POSTROUTING, work);
}

/* ---- One packet: engines/ipvs/packet-path.ts ---- */

static inline void finish(struct verdict *v, int outcome, int reason) {
  v->outcome = (uint8_t)outcome;
  v->reason = (uint8_t)reason;
}

/* The reply direction of a flow. */
static inline void reply(const struct packet *p, struct walked *w, struct verdict *v, uint32_t *work) {
  const struct flow *f = &ct.flows[ct.entry];
  v->dst = w->dst = f->tuple[0].src;
  v->dport = w->dport = (uint16_t)(f->tuple[0].ports >> 16);
  if (is_local(v->dst)) {
    if (hook_input(w, is_literal ? 0 : destination_flags(w->dst, w->protocol, w->dport), work) == REJECT) {
      finish(v, OUTCOME_REJECT, REASON_UNUSED_VIP_PORT);
      return;
    }
  } else hook_forward(w, work);
  int32_t slot = conn_find_reply(p->protocol, v->src, v->sport, v->dst, v->dport, work);
  if (slot != NONE) conn_packet(slot, TOWARDS_CLIENT, p->flags);
  if ((f->flags & FLOW_IPVS) == 0 && slot != NONE) {
    v->outcome = OUTCOME_REPLY;
    v->src = conns.all[slot].vaddr;
    v->sport = conns.all[slot].vport;
    v->service = conns.all[slot].service;
    return;
  }
  if (f->flags & (FLOW_IPVS | FLOW_MASQUERADED)) v->outcome = OUTCOME_REPLY;
  v->src = f->tuple[0].dst;
  v->sport = (uint16_t)f->tuple[0].ports;
}

/* LOCAL_IN: 0 when the packet ends here. */
static inline int ipvs(const struct packet *p, struct verdict *v, uint32_t *work) {
  int32_t slot = conn_find_reply(p->protocol, p->src, p->sport, p->dst, p->dport, work);
  if (slot != NONE) {
    conn_packet(slot, TOWARDS_CLIENT, p->flags);
    v->outcome = OUTCOME_REPLY;
    v->src = conns.all[slot].vaddr;
    v->sport = conns.all[slot].vport;
    v->service = conns.all[slot].service;
    return 1;
  }
  slot = conn_find_request(p->protocol, p->src, p->sport, p->dst, p->dport, work);
  if (slot != NONE) conn_packet(slot, TOWARDS_SERVER, p->flags);
  else {
    if ((p->flags & (SYN | RST)) != SYN) return 1;
    int32_t service = service_find(p->protocol, p->dst, p->dport, work);
    if (service == NONE) return 1;
    struct virtual_server *s = &services[service];
    if (s->affinity != 0) abort(); /* the cluster has none */
    v->service = s->id;
    int32_t server = round_robin(s, work);
    if (server == NONE) {
      finish(v, OUTCOME_REJECT, REASON_NO_ENDPOINTS);
      return 0;
    }
    slot = conn_add(p, s, server);
    work[IPVS_CONNECTION_INSERTS]++;
    work[NAT_SETUPS]++;
  }
  const struct connection *c = &conns.all[slot];
  v->service = c->service;
  v->outcome = OUTCOME_ENDPOINT;
  v->reason = 0;
  v->dst = c->daddr;
  v->dport = c->dport;
  return 1;
}

static inline void request(const struct packet *p, struct walked *w, struct verdict *v, int is_first, uint32_t *work) {
  uint32_t flags = is_literal ? 0 : destination_flags(p->dst, p->protocol, p->dport);
  int is_delivered = 0;
  if (is_first) hook_nat(w, flags, work);
  if (flags != 0 || is_local(p->dst)) {
    if (hook_input(w, flags, work) == REJECT) {
      finish(v, OUTCOME_REJECT, REASON_UNUSED_VIP_PORT);
      return;
    }
    if (!ipvs(p, v, work)) return;
    is_delivered = v->outcome != OUTCOME_ENDPOINT;
    if (!is_delivered) hook_output(w, work);
  } else {
    hook_forward(w, work);
    int32_t slot = conn_find_reply(p->protocol, p->src, p->sport, p->dst, p->dport, work);
    if (slot != NONE) abort(); /* no packet of the job */
  }
  if (!is_first) {
    if (is_delivered || ct.entry == NONE) return;
    v->src = ct.flows[ct.entry].tuple[1].dst;
    v->sport = (uint16_t)ct.flows[ct.entry].tuple[1].ports;
    return;
  }
  uint32_t source = p->src;
  if (!is_delivered) {
    w->dst = v->dst;
    w->dport = v->dport;
    v->masqueraded = hook_postrouting(w, work) == MASQUERADE;
    if (v->masqueraded) abort(); /* all clients are pods */
    if (!ct_choose_source(source, v->dst, v->dport, work)) abort();
  }
  ct_confirm(v->dst, v->dport, source, p->sport, v->outcome == OUTCOME_ENDPOINT ? FLOW_IPVS : 0, v->service, work);
}

static inline void process_packet(const struct packet *p, struct verdict *v, uint32_t *work) {
  conns.now = p->time;
  if (p->time >= conns.earliest) conns_expire();
  int status = ct_track(p, work);
  struct walked w = {p->src, p->dst, p->dport, p->protocol, (uint8_t)status, 0};
  v->outcome = OUTCOME_ACCEPT;
  v->reason = status == CT_INVALID ? REASON_INVALID : 0;
  v->first = status == CT_NEW;
  v->masqueraded = 0;
  v->src = p->src;
  v->dst = p->dst;
  v->sport = p->sport;
  v->dport = p->dport;
  v->service = -1;
  if (ct.entry == NONE) request(p, &w, v, status == CT_NEW, work);
  else {
    v->masqueraded = (ct.flows[ct.entry].flags & FLOW_MASQUERADED) != 0;
    v->service = ct.flows[ct.entry].service;
    if (ct.is_reply) reply(p, &w, v, work);
    else request(p, &w, v, 0, work);
  }
}

static void process(int length) {
  memset(counters, 0, (size_t)length * sizeof counters[0]);
  for (int i = 0; i < length; i++) process_packet(&packets[i], &verdicts[i], counters[i]);
}

/* ---- The cluster: engines/synthetic.ts, engines/ipvs/sync.ts ---- */

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static void add_service(uint32_t address, uint16_t port, int32_t id) {
  char text[ENDPOINTS][24];
  for (int k = 0; k < ENDPOINTS; k++) {
    uint32_t pod = POD_BASE + (uint32_t)(id * ENDPOINTS + k) % 1000000;
    snprintf(text[k], sizeof text[k], "%u.%u.%u.%u:8080", pod >> 24, pod >> 16 & 255, pod >> 8 & 255, pod & 255);
  }
  qsort(text, ENDPOINTS, sizeof text[0], by_text);
  uint32_t bucket = service_bucket(TCP, address, port);
  struct virtual_server *s = &services[service_count];
  *s = (struct virtual_server){service_heads[bucket], address, port, TCP, id, 0, NONE, NONE, 0};
  service_heads[bucket] = service_count++;
  service_lengths[bucket]++;
  for (int k = 0; k < ENDPOINTS; k++) {
    unsigned a, b, c, d;
    sscanf(text[k], "%u.%u.%u.%u:", &a, &b, &c, &d);
    struct real_server *r = &servers[server_count];
    *r = (struct real_server){a << 24 | b << 16 | c << 8 | d, 8080, 1, 0, 0, 0, NONE};
    if (k == 0) s->first = server_count;
    else r[-1].next = server_count;
    server_count++;
  }
}

static void build_cluster(int32_t n) {
  struct random_stream order = named_stream(1, "service-order"), hash = named_stream(1, "connection-hash");
  conns.seed = next_uint32(&hash);
  uint32_t *ids = allocate((size_t)n, sizeof *ids);
  for (int32_t i = 0; i < n; i++) ids[i] = (uint32_t)i;
  shuffle(ids, (uint32_t)n, &order);
  services = allocate((size_t)n * 2, sizeof *services);
  servers = allocate((size_t)n * 2 * ENDPOINTS, sizeof *servers);
  memset(service_heads, 0xff, sizeof service_heads);
  set_size(&destinations, (uint32_t)n);
  set_size(&bound, (uint32_t)n);
  for (int32_t i = 0; i < n; i++) {
    int32_t id = (int32_t)ids[i];
    uint32_t address = CLUSTER_IP_BASE + (uint32_t)id;
    set_add(&destinations, address, TCP << 16 | 80, 1u << SET_CLUSTER_IP);
    set_add(&bound, address, 0, 1);
    add_service(address, 80, id);
    if (id % 10 == 0 && id < 25000) {
      uint16_t port = (uint16_t)(30000 + id / 10);
      port_sets[port] |= 1;
      add_service(NODE_ADDRESS, port, id);
    }
  }
  free(ids);
  uint32_t capacity = 128;
  while (capacity < (uint32_t)service_count * 2) capacity *= 2;
  service_index = allocate(capacity, sizeof *service_index);
  memset(service_index, 0xff, capacity * sizeof *service_index);
  service_index_mask = capacity - 1;
  for (int bucket = 0; bucket < SERVICE_BUCKETS; bucket++) {
    uint32_t place = 0;
    for (int32_t slot = service_heads[bucket]; slot != NONE; slot = services[slot].next) {
      services[slot].place = ++place;
      uint32_t at = index_hash(services[slot].protocol, services[slot].address, services[slot].port) & service_index_mask;
      while (service_index[at] != NONE) at = (at + 1) & service_index_mask;
      service_index[at] = slot;
    }
  }
}

/* ---- The job: engines/ipvs/process.bench.ts ---- */

enum { NEW_FLOW_NS = 15000000, LATER_PACKET_NS = 1000, ESTABLISHED_FLOWS = 4096 };

static struct random_stream traffic;
static uint32_t service_total, flows_begun, checksum;
static int64_t now = NS_PER_S;
static struct packet requests[ESTABLISHED_FLOWS], replies[ESTABLISHED_FLOWS];

static inline uint32_t pick(uint32_t bound) { return (uint32_t)((uint64_t)next_uint32(&traffic) * bound >> 32); }

static void mix_answers(int length) {
  uint32_t h = checksum;
  for (int i = 0; i < length; i++) {
    const struct verdict *v = &verdicts[i];
    uint32_t row = 0;
    for (uint32_t k = 0, weight = 1; k < STRIDE; k++, weight += 0x9e3779b2u) row += counters[i][k] * weight;
    h = mixed(h, row);
    h = mixed(h, v->outcome | (uint32_t)v->reason << 8 | (uint32_t)v->first << 16 | (uint32_t)v->masqueraded << 24);
    h = mixed(h, v->src);
    h = mixed(h, v->dst);
    h = mixed(h, (uint32_t)v->sport << 16 | v->dport);
    h = mixed(h, (uint32_t)v->service);
  }
  checksum = h;
}

static inline void new_flow(struct packet *p) {
  uint32_t flow = flows_begun++;
  *p = (struct packet){now, CLIENT_BASE + (flow & 1023), CLUSTER_IP_BASE + pick(service_total), 0, 80, TCP, SYN, ORIGIN_POD};
  p->sport = (uint16_t)(1024 + (flow >> 10) % 64512);
}

static uint32_t round_of_new_flows(void) {
  for (int batch = 0; batch < BATCHES; batch++) {
    for (int i = 0; i < BATCH; i++) {
      now += NEW_FLOW_NS;
      new_flow(&packets[i]);
    }
    process(BATCH);
    mix_answers(BATCH);
  }
  return checksum;
}

/* Packets of random flows, in one direction or the other. */
static uint32_t round_of_established(void) {
  for (int batch = 0; batch < BATCHES; batch++) {
    for (int i = 0; i < BATCH; i++) {
      uint32_t word = next_uint32(&traffic);
      uint32_t flow = word >> 1 & (ESTABLISHED_FLOWS - 1);
      packets[i] = word & 1 ? replies[flow] : requests[flow];
      now += LATER_PACKET_NS;
      packets[i].time = now;
    }
    process(BATCH);
    mix_answers(BATCH);
  }
  return checksum;
}

static void establish(void) {
  for (int first = 0; first < ESTABLISHED_FLOWS; first += BATCH) {
    for (int i = 0; i < BATCH; i++) new_flow(&packets[i]);
    process(BATCH);
    mix_answers(BATCH);
    for (int i = 0; i < BATCH; i++) {
      const struct verdict *v = &verdicts[i];
      requests[first + i] = packets[i];
      requests[first + i].flags = ACK;
      packets[i] = (struct packet){now, v->dst, v->src, v->dport, v->sport, TCP, SYN | ACK, ORIGIN_EXTERNAL};
      replies[first + i] = packets[i];
      replies[first + i].flags = ACK;
    }
    process(BATCH);
    mix_answers(BATCH);
    memcpy(packets, &requests[first], sizeof packets);
    process(BATCH);
    mix_answers(BATCH);
  }
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: ipvs new|established literal|indexed <services>\n");
    return 2;
  }
  int is_established = strcmp(argv[1], "established") == 0;
  is_literal = strcmp(argv[2], "literal") == 0;
  service_total = (uint32_t)atoi(argv[3]);
  traffic = named_stream(1, "traffic");
  ct_size(1024);
  conns_size(1024);
  conns.free = NONE;
  conns.earliest = INT64_MAX;
  memset(conns.heads, 0xff, sizeof conns.heads);
  memset(conns.first, 0xff, sizeof conns.first);
  memset(conns.last, 0xff, sizeof conns.last);
  build_cluster((int32_t)service_total);
  if (is_established) establish();
  return converse(is_established ? round_of_established : round_of_new_flows);
}
