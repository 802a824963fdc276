/*
 * The hold model in ns-3: each event schedules the next with its payload.
 * argv: file with the table of increments, pending events, holds a round, spread (see sim/hold-peers.bench.ts),
 * scheduler (map, ns-3's default, or heap).
 */
#include "peer.h"
#include <fstream>
#include <string>
#include <vector>
#include <ns3/nstime.h>
#include <ns3/object-factory.h>
#include <ns3/simulator.h>

static std::vector<int64_t> increments;
static size_t cursor = 0;
static uint32_t holds, left;
static uint32_t checksum = 0;

static int64_t next_increment() {
  int64_t increment = increments[cursor];
  cursor = (cursor + 1) & (increments.size() - 1);
  return increment;
}

static void hold(uint32_t payload) {
  checksum = mixed(checksum, payload);
  ns3::Simulator::Schedule(ns3::NanoSeconds(next_increment()), &hold, payload);
  if (--left == 0) ns3::Simulator::Stop();
}

static uint32_t round_of_holds() {
  left = holds;
  ns3::Simulator::Run();
  return checksum;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  std::ifstream table(argv[1]);
  for (int64_t increment; table >> increment;) increments.push_back(increment);
  uint32_t pending = (uint32_t)atol(argv[2]);
  holds = (uint32_t)atol(argv[3]);
  int64_t spread = atol(argv[4]);
  ns3::ObjectFactory scheduler;
  scheduler.SetTypeId(std::string(argv[5]) == "heap" ? "ns3::HeapScheduler" : "ns3::MapScheduler");
  ns3::Simulator::SetScheduler(scheduler);
  for (uint32_t payload = 0; payload < pending; payload++) {
    ns3::Simulator::Schedule(ns3::NanoSeconds(next_increment() + spread * payload), &hold, payload);
  }
  return converse(round_of_holds);
}
