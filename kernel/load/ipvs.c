/*
 * Changes IPVS over generic netlink as kube-proxy does, one request for each change on one socket, and says what each kind took.
 * Reads lines as `ipvsadm -S -n` writes them (-A and -a add a virtual or a real server, -D and -d delete one):
 *
 *   -A -u 10.96.0.1:80 -s rr
 *   -a -u 10.96.0.1:80 -r 10.16.0.1:8080 -m -w 1
 *
 *   ipvs nanoseconds|ticks < LINES
 *   ipvs flush                        deletes all virtual servers
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "samples.h"

enum kind { ADD_SERVICE, ADD_SERVER, DELETE_SERVICE, DELETE_SERVER, KINDS };
static const char *const NAMES[KINDS] = {"add-service", "add-server", "del-service", "del-server"};
static const uint8_t COMMANDS[KINDS] = {IPVS_CMD_NEW_SERVICE, IPVS_CMD_NEW_DEST, IPVS_CMD_DEL_SERVICE, IPVS_CMD_DEL_DEST};

struct end {
  uint32_t address; /* network order, as the port */
  uint16_t port;
};
struct change {
  enum kind kind;
  uint16_t protocol;
  struct end service, server;
  char scheduler[16];
  uint32_t weight, flags;
};

static char message[1024];
static size_t length;

static void begin(uint16_t type, uint8_t command, uint16_t flags) {
  memset(message, 0, sizeof message);
  struct nlmsghdr *header = (void *)message;
  struct genlmsghdr *generic = NLMSG_DATA(header);
  header->nlmsg_type = type;
  header->nlmsg_flags = flags;
  generic->cmd = command;
  generic->version = IPVS_GENL_VERSION;
  length = NLMSG_LENGTH(GENL_HDRLEN);
}

static void put(uint16_t type, const void *value, size_t bytes) {
  struct nlattr *attribute = (void *)(message + length);
  attribute->nla_type = type;
  attribute->nla_len = (uint16_t)(NLA_HDRLEN + bytes);
  memcpy(message + length + NLA_HDRLEN, value, bytes);
  length += NLA_ALIGN(NLA_HDRLEN + bytes);
}

static void put16(uint16_t type, uint16_t value) { put(type, &value, sizeof value); }
static void put32(uint16_t type, uint32_t value) { put(type, &value, sizeof value); }

/* Room for an address of IPv6, as the kernel's nf_inet_addr. */
static void put_address(uint16_t type, uint32_t address) {
  uint32_t words[4] = {address, 0, 0, 0};
  put(type, words, sizeof words);
}

static struct nlattr *open_nest(uint16_t type) {
  struct nlattr *nest = (void *)(message + length);
  nest->nla_type = type | NLA_F_NESTED;
  length += NLA_HDRLEN;
  return nest;
}

static void close_nest(struct nlattr *nest) { nest->nla_len = (uint16_t)(message + length - (char *)nest); }

/* Sends what was put together; the kernel's error number, 0 for none. The answer stays in `message`. */
static int request(int netlink) {
  ((struct nlmsghdr *)message)->nlmsg_len = (uint32_t)length;
  if (send(netlink, message, length, 0) < 0) return errno;
  if (recv(netlink, message, sizeof message, 0) < 0) return errno;
  const struct nlmsghdr *answer = (void *)message;
  return answer->nlmsg_type == NLMSG_ERROR ? -((const struct nlmsgerr *)NLMSG_DATA(answer))->error : 0;
}

static uint16_t ipvs_family(int netlink) {
  begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_REQUEST);
  put(CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME, sizeof IPVS_GENL_NAME);
  if (request(netlink) != 0) return 0;
  const char *end = message + ((struct nlmsghdr *)message)->nlmsg_len;
  for (char *at = message + NLMSG_LENGTH(GENL_HDRLEN); at + NLA_HDRLEN <= end;) {
    const struct nlattr *attribute = (void *)at;
    if (attribute->nla_type == CTRL_ATTR_FAMILY_ID) return *(uint16_t *)(at + NLA_HDRLEN);
    at += NLA_ALIGN(attribute->nla_len);
  }
  return 0;
}

static int put_change(const struct change *change) {
  struct nlattr *service = open_nest(IPVS_CMD_ATTR_SERVICE);
  put16(IPVS_SVC_ATTR_AF, AF_INET);
  put16(IPVS_SVC_ATTR_PROTOCOL, change->protocol);
  put_address(IPVS_SVC_ATTR_ADDR, change->service.address);
  put16(IPVS_SVC_ATTR_PORT, change->service.port);
  if (change->kind == ADD_SERVICE) {
    struct ip_vs_flags flags = {.flags = change->flags, .mask = ~0u};
    put(IPVS_SVC_ATTR_SCHED_NAME, change->scheduler, strlen(change->scheduler) + 1);
    put(IPVS_SVC_ATTR_FLAGS, &flags, sizeof flags);
    put32(IPVS_SVC_ATTR_TIMEOUT, 0);
    put32(IPVS_SVC_ATTR_NETMASK, 0xffffffffu);
  }
  close_nest(service);
  if (change->kind != ADD_SERVER && change->kind != DELETE_SERVER) return 0;
  struct nlattr *server = open_nest(IPVS_CMD_ATTR_DEST);
  put_address(IPVS_DEST_ATTR_ADDR, change->server.address);
  put16(IPVS_DEST_ATTR_PORT, change->server.port);
  put32(IPVS_DEST_ATTR_FWD_METHOD, IP_VS_CONN_F_MASQ);
  put32(IPVS_DEST_ATTR_WEIGHT, change->weight);
  put32(IPVS_DEST_ATTR_U_THRESH, 0);
  put32(IPVS_DEST_ATTR_L_THRESH, 0);
  put16(IPVS_DEST_ATTR_ADDR_FAMILY, AF_INET);
  close_nest(server);
  return 0;
}

static int read_end(char *text, struct end *end) {
  char *colon = strrchr(text, ':');
  struct in_addr address;
  if (colon == NULL) return 0;
  *colon = 0;
  if (inet_pton(AF_INET, text, &address) != 1) return 0;
  *end = (struct end){address.s_addr, htons((uint16_t)atoi(colon + 1))};
  return 1;
}

/* Of a scheduler, as ipvsadm names them: flag-1 of all, or by the scheduler's own names (sh-port, mh-fallback). */
static int read_flags(char *text, uint32_t *flags) {
  static const struct {
    const char *name;
    uint32_t bit;
  } KNOWN[] = {{"flag-1", IP_VS_SVC_F_SCHED1}, {"flag-2", IP_VS_SVC_F_SCHED2}, {"flag-3", IP_VS_SVC_F_SCHED3},
               {"sh-fallback", IP_VS_SVC_F_SCHED1}, {"mh-fallback", IP_VS_SVC_F_SCHED1}, {"sh-port", IP_VS_SVC_F_SCHED2}, {"mh-port", IP_VS_SVC_F_SCHED2}};
  for (char *name = text, *next; name != NULL; name = next) {
    next = strchr(name, ',');
    if (next != NULL) *next++ = 0;
    size_t i = 0;
    while (i < sizeof KNOWN / sizeof *KNOWN && strcmp(KNOWN[i].name, name) != 0) i++;
    if (i == sizeof KNOWN / sizeof *KNOWN) return 0;
    *flags |= KNOWN[i].bit;
  }
  return 1;
}

/* 0 for a line that is none of ours. */
static int read_line(char *line, struct change *change) {
  static const char VERBS[] = "AaDd";
  static const enum kind OF_VERB[] = {ADD_SERVICE, ADD_SERVER, DELETE_SERVICE, DELETE_SERVER};
  *change = (struct change){.weight = 1};
  int known = 0;
  for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
    const char *verb = word[0] == '-' && word[1] != 0 ? strchr(VERBS, word[1]) : NULL;
    if (verb != NULL) change->kind = OF_VERB[verb - VERBS];
    else if (!strcmp(word, "-m")) continue;
    else {
      char *value = strtok(NULL, " \n");
      if (value == NULL) return 0;
      if (!strcmp(word, "-u") || !strcmp(word, "-t")) {
        change->protocol = word[1] == 'u' ? IPPROTO_UDP : IPPROTO_TCP;
        known = read_end(value, &change->service);
      } else if (!strcmp(word, "-r")) {
        if (!read_end(value, &change->server)) return 0;
      } else if (!strcmp(word, "-s")) strncpy(change->scheduler, value, sizeof change->scheduler - 1);
      else if (!strcmp(word, "-w")) change->weight = (uint32_t)atoi(value);
      else if (strcmp(word, "-b") || !read_flags(value, &change->flags)) return 0;
    }
  }
  return known;
}

int main(int count, char **words) {
  enum clock_kind clock = clock_named(count > 1 ? words[1] : "");
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
  uint16_t family = netlink < 0 ? 0 : ipvs_family(netlink);
  if (family == 0) return fprintf(stderr, "this kernel has no IPVS (needs the module ip_vs: modprobe ip_vs)\n"), 1;
  if (count > 1 && strcmp(words[1], "flush") == 0) {
    begin(family, IPVS_CMD_FLUSH, NLM_F_REQUEST | NLM_F_ACK);
    return request(netlink) != 0;
  }
  static double *samples[KINDS];
  static long counts[KINDS], room[KINDS];
  char line[256];
  while (fgets(line, sizeof line, stdin) != NULL) {
    struct change change;
    char words_of_line[sizeof line];
    if (!read_line(strcpy(words_of_line, line), &change)) return fprintf(stderr, "a line is not understood: %s", line), 1;
    if (counts[change.kind] == room[change.kind]) {
      room[change.kind] = room[change.kind] * 2 + 1024;
      samples[change.kind] = realloc(samples[change.kind], (size_t)room[change.kind] * sizeof(double));
      if (samples[change.kind] == NULL) return fprintf(stderr, "out of memory\n"), 1;
    }
    uint64_t start = read_clock(clock);
    begin(family, COMMANDS[change.kind], NLM_F_REQUEST | NLM_F_ACK);
    put_change(&change);
    int error = request(netlink);
    samples[change.kind][counts[change.kind]++] = (double)(read_clock(clock) - start);
    if (error != 0) return fprintf(stderr, "%s failed: %s\n", NAMES[change.kind], strerror(error)), 1;
  }
  for (int kind = 0; kind < KINDS; kind++)
    if (counts[kind] > 0) print_samples(NAMES[kind], samples[kind], counts[kind], 1);
  return 0;
}
