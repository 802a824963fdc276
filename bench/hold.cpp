// The hold model over std::priority_queue: take the next event, push it again later. See sim/event-queue.bench.ts for the job.
#include <cstdint>
#include <fstream>
#include <queue>
#include <vector>

#include "peer.h"

namespace {

constexpr uint32_t INCREMENTS = 8192;

struct Event {
  double time;
  uint64_t sequence;
  uint32_t kind;
  uint32_t payload;
};

struct Later {
  bool operator()(const Event &a, const Event &b) const {
    return a.time > b.time || (a.time == b.time && a.sequence > b.sequence);
  }
};

std::priority_queue<Event, std::vector<Event>, Later> events;
double increments[INCREMENTS];
uint32_t cursor = 0;
uint64_t sequence = 0;
uint32_t holds = 0;
uint32_t checksum = 0;

double increment() {
  double taken = increments[cursor];
  cursor = (cursor + 1) & (INCREMENTS - 1);
  return taken;
}

uint32_t hold_round() {
  for (uint32_t i = 0; i < holds; i++) {
    Event event = events.top();
    events.pop();
    checksum = mixed(checksum, event.payload);
    event.time += increment();
    event.sequence = sequence++;
    events.push(event);
  }
  return checksum;
}

}  // namespace

// Arguments: file of 8192 increments, pending events, holds a round, spread of the first times (0 or 1).
int main(int argc, char **argv) {
  if (argc < 5) return 2;
  std::ifstream table(argv[1]);
  for (double &value : increments)
    if (!(table >> value)) return 2;
  const uint32_t pending = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10));
  holds = static_cast<uint32_t>(std::strtoul(argv[3], nullptr, 10));
  const double spread = std::strtod(argv[4], nullptr);
  for (uint32_t i = 0; i < pending; i++) events.push({increment() + spread * i, sequence++, 0, i});
  return converse(hold_round);
}
