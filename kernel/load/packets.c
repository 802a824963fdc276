/*
 * Sends small UDP packets over loopback and says what each took.
 *
 * The receiving side of loopback runs in the sender's context, so one sendmsg() is the whole way of a packet: system call, route,
 * the hooks LOCAL_OUT and POSTROUTING, PREROUTING and LOCAL_IN, the look-up of the socket; a filter on it drops the packet at its door.
 *
 *   packets first|established TO PORT [name=value...]      TO: an address; with pick= the first of `services` neighbours
 *   packets flush                                          forgets all connections
 *   packets syscall nanoseconds|ticks                      the floor: an empty system call
 *
 *   pick=fixed|cycle|random services=1    which of them a packet goes to
 *   packets=4096 batch=32 repeats=5       packets of one repeat, of one sample; the first of several repeats warms up and is not counted
 *   flows=1 first-flow=1                  flows that are established; number of the first new one
 *   source=127.200.0.0 sink=8080          flow k comes from this address + k; the port that the endpoints listen at
 *   evict=0                               bytes of other memory that are written before each packet
 *   flush=1                               forget all connections before each repeat of new flows, and at the end
 *   cpu=-1 clock=nanoseconds|ticks
 *
 * Prints one line of JSON. Exit 1, with a sentence, when a packet was not accepted or the service does not answer.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "samples.h"

#define PAYLOAD_BYTES 18
#define CACHE_LINE_BYTES 64
#define PATIENCE_MILLISECONDS 500
/* A flow that no repeat uses, for the packet that is looked at. */
#define PROBE_FLOW 0xfffff

enum pick { PICK_FIXED, PICK_CYCLE, PICK_RANDOM };

struct job {
  int established, pick, flush, cpu;
  uint32_t to, source, services, flows, first_flow;
  uint16_t port, sink;
  long packets, batch, repeats, evict;
  enum clock_kind clock;
};

static void fail(const char *sentence) {
  fprintf(stderr, "%s\n", sentence);
  exit(1);
}

static void fail_errno(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t host_address(const char *text) {
  struct in_addr address;
  if (inet_pton(AF_INET, text, &address) != 1) fail("an address was expected");
  return ntohl(address.s_addr);
}

static struct job read_job(int count, char **words) {
  if (count < 4) fail("usage: packets first|established TO PORT [name=value...]");
  struct job job = {.services = 1, .packets = 4096, .batch = 32, .repeats = 5, .flows = 1, .first_flow = 1, .flush = 1, .cpu = -1, .sink = 8080};
  job.established = strcmp(words[1], "established") == 0;
  job.to = host_address(words[2]);
  job.port = (uint16_t)atoi(words[3]);
  job.source = host_address("127.200.0.0");
  for (int i = 4; i < count; i++) {
    char *value = strchr(words[i], '=');
    if (value == NULL) fail("name=value was expected");
    *value++ = 0;
    const char *name = words[i];
    if (!strcmp(name, "pick")) job.pick = !strcmp(value, "cycle") ? PICK_CYCLE : !strcmp(value, "random") ? PICK_RANDOM : PICK_FIXED;
    else if (!strcmp(name, "services")) job.services = (uint32_t)atol(value);
    else if (!strcmp(name, "packets")) job.packets = atol(value);
    else if (!strcmp(name, "batch")) job.batch = atol(value);
    else if (!strcmp(name, "repeats")) job.repeats = atol(value);
    else if (!strcmp(name, "flows")) job.flows = (uint32_t)atol(value);
    else if (!strcmp(name, "first-flow")) job.first_flow = (uint32_t)atol(value);
    else if (!strcmp(name, "source")) job.source = host_address(value);
    else if (!strcmp(name, "sink")) job.sink = (uint16_t)atoi(value);
    else if (!strcmp(name, "evict")) job.evict = atol(value);
    else if (!strcmp(name, "flush")) job.flush = atoi(value);
    else if (!strcmp(name, "cpu")) job.cpu = atoi(value);
    else if (!strcmp(name, "clock")) job.clock = clock_named(value);
    else fail("an option is not known");
  }
  if (job.evict > 0) job.batch = 1;
  if (job.services < 1 || job.flows < 1 || job.batch < 1 || job.repeats < 1 || job.packets < job.batch) fail("a number is too small");
  return job;
}

static void stay_on_cpu(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail_errno("the processor cannot be chosen");
}

/* IPCTNL_MSG_CT_DELETE without a tuple deletes every entry of this network namespace (ctnetlink_flush_conntrack). */
static void forget_connections(void) {
  struct {
    struct nlmsghdr header;
    struct nfgenmsg family;
  } request = {{.nlmsg_len = sizeof request,
                .nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE,
                .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
               {.nfgen_family = AF_INET}};
  char answer[4096];
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (netlink < 0 || send(netlink, &request, sizeof request, 0) < 0) fail_errno("connection tracking cannot be asked over netlink");
  ssize_t length = recv(netlink, answer, sizeof answer, 0);
  const struct nlmsghdr *header = (const void *)answer;
  if (length < (ssize_t)(sizeof *header + sizeof(struct nlmsgerr)) || header->nlmsg_type != NLMSG_ERROR) fail("connection tracking gave no answer over netlink");
  const struct nlmsgerr *ended = NLMSG_DATA(header);
  if (ended->error != 0) {
    errno = -ended->error;
    fail_errno("connections cannot be deleted (needs the kernel module nf_conntrack_netlink: modprobe nf_conntrack_netlink)");
  }
  close(netlink);
}

static int open_udp(uint16_t port) {
  int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on)) fail_errno("no UDP socket");
  if (bind(fd, (struct sockaddr *)&own, sizeof own)) fail_errno("the port cannot be bound");
  return fd;
}

/* From an address of our choice, so that one socket makes any number of flows. */
static ssize_t send_packet(int fd, uint32_t from, uint32_t to, uint16_t port) {
  static char payload[PAYLOAD_BYTES];
  struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(to)};
  struct iovec data = {payload, sizeof payload};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO}};
  struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(from)};
  memcpy(CMSG_DATA(&control.header), &info, sizeof info);
  struct msghdr message = {.msg_name = &target, .msg_namelen = sizeof target, .msg_iov = &data, .msg_iovlen = 1,
                           .msg_control = &control, .msg_controllen = sizeof control};
  return sendmsg(fd, &message, MSG_DONTWAIT);
}

/* Waits for a packet; says from where it came and at which of our addresses it arrived. */
static int receive(int fd, struct sockaddr_in *from, uint32_t *at) {
  struct pollfd wait = {fd, POLLIN, 0};
  if (poll(&wait, 1, PATIENCE_MILLISECONDS) != 1) return 0;
  char payload[64], space[256];
  struct iovec data = {payload, sizeof payload};
  struct msghdr message = {.msg_name = from, .msg_namelen = sizeof *from, .msg_iov = &data, .msg_iovlen = 1,
                           .msg_control = space, .msg_controllen = sizeof space};
  if (recvmsg(fd, &message, 0) < 0) return 0;
  for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each != NULL; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != IPPROTO_IP || each->cmsg_type != IP_PKTINFO) continue;
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(each), sizeof info);
    *at = ntohl(info.ipi_addr.s_addr);
  }
  return 1;
}

/* A packet and its reply, which must come from whom the packet was sent to: afterwards the flow is established. */
static void converse(int client, int sink, uint32_t from, uint32_t to, uint16_t port) {
  struct sockaddr_in peer = {0};
  uint32_t at = 0;
  if (send_packet(client, from, to, port) < 0) fail_errno("a packet was not accepted");
  if (!receive(sink, &peer, &at)) fail("the packet did not reach an endpoint");
  if (send_packet(sink, at, ntohl(peer.sin_addr.s_addr), ntohs(peer.sin_port)) < 0) fail_errno("a reply was not accepted");
  if (!receive(client, &peer, &at)) fail("no reply came back");
  if (ntohl(peer.sin_addr.s_addr) != to || ntohs(peer.sin_port) != port) fail("the reply came from another address than the packet went to");
}

/* A socket filter that takes no packet. */
static void take_nothing(int fd) {
  struct sock_filter none = {.code = BPF_RET | BPF_K, .k = 0};
  struct sock_fprog program = {.len = 1, .filter = &none};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program)) fail_errno("no socket filter");
}

static uint32_t next_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

/* Destination of the `at`-th packet: an offset from the first service. */
static uint32_t service_of(const struct job *job, uint32_t at, uint32_t *random) {
  if (job->pick == PICK_CYCLE) return at % job->services;
  if (job->pick == PICK_RANDOM) return next_random(random) % job->services;
  return 0;
}

static void measure(const struct job *job) {
  int sink = open_udp(job->sink), client = open_udp(0);
  long batches = job->packets / job->batch, kept = 0;
  double *samples = calloc((size_t)(batches * job->repeats), sizeof *samples);
  volatile char *other = NULL;
  uint32_t flow = job->first_flow, random = 2463534242u;
  if (samples == NULL) fail("out of memory");
  if (job->evict > 0) {
    other = mmap(NULL, (size_t)job->evict, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (other == MAP_FAILED) fail_errno("no memory to evict caches with");
  }
  if (job->flush) forget_connections();
  if (job->established) {
    for (uint32_t i = 0; i < job->flows; i++)
      converse(client, sink, job->source + flow + i, job->to + (job->pick == PICK_FIXED ? 0 : i % job->services), job->port);
  } else {
    converse(client, sink, job->source + PROBE_FLOW, job->to, job->port);
  }
  take_nothing(sink);
  take_nothing(client);

  for (long repeat = 0; repeat < job->repeats; repeat++) {
    if (!job->established && job->flush) forget_connections();
    for (long batch = 0; batch < batches; batch++) {
      for (long line = 0; line < job->evict; line += CACHE_LINE_BYTES) other[line]++;
      uint64_t begin = read_clock(job->clock);
      for (long i = 0; i < job->batch; i++) {
        uint32_t from, to = job->to;
        if (job->established) {
          uint32_t again = (uint32_t)(batch * job->batch + i) % job->flows;
          from = job->source + flow + again;
          if (job->pick != PICK_FIXED) to += again % job->services;
        } else {
          from = job->source + flow;
          to += service_of(job, flow++, &random);
        }
        if (send_packet(client, from, to, job->port) < 0) fail_errno("a packet was not accepted");
      }
      uint64_t end = read_clock(job->clock);
      if (repeat > 0 || job->repeats == 1) samples[kept++] = (double)(end - begin) / (double)job->batch;
    }
  }
  if (job->flush) forget_connections();
  print_samples(job->established ? "established" : "first", samples, kept, job->batch);
}

static void measure_syscall(enum clock_kind clock) {
  enum { SAMPLES = 200, CALLS = 10 };
  static double samples[SAMPLES];
  for (int i = 0; i < SAMPLES; i++) {
    uint64_t begin = read_clock(clock);
    for (int k = 0; k < CALLS; k++) syscall(SYS_getppid);
    samples[i] = (double)(read_clock(clock) - begin) / CALLS;
  }
  print_samples("syscall", samples, SAMPLES, CALLS);
}

int main(int count, char **words) {
  if (count >= 3 && strcmp(words[1], "syscall") == 0) {
    measure_syscall(clock_named(words[2]));
    return 0;
  }
  if (count == 2 && strcmp(words[1], "flush") == 0) {
    forget_connections();
    return 0;
  }
  struct job job = read_job(count, words);
  stay_on_cpu(job.cpu);
  measure(&job);
  return 0;
}
