/* Finding the rule for a destination (suite lookup): lookup.c <look-ups a round> <world ...>; engines/iptables/lookup.bench.ts is the same. */
#include "iptables.h"

static uint32_t lookups, checksum;
static struct random_stream stream;

static uint32_t one_round(void) {
  uint32_t addresses = services + services / 8;
  for (uint32_t i = 0; i < lookups; i++) {
    const struct service_cell *cell =
        find_service(PROTOCOL_TCP, CLUSTER_IP_BASE + below(&stream, addresses), SERVICE_PORT);
    checksum = mixed(checksum, cell == NULL ? 0 : cell->place);
  }
  return checksum;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  lookups = (uint32_t)strtoul(argv[1], NULL, 10);
  make_world(argv + 2);
  stream = named_stream(1, "bench/lookup");
  return converse(one_round);
}
