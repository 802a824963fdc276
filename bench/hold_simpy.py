# The hold model in SimPy: N processes, each of which waits for its next increment again and again.
# argv: file with the table of increments, pending events, holds a round, spread (see sim/hold-peers.bench.ts). The conversation is that of bench/peer.h.
import sys
import time

import simpy


def main():
    table = [int(line) for line in open(sys.argv[1])]
    pending = int(sys.argv[2])
    holds = int(sys.argv[3])
    spread = int(sys.argv[4])
    increments = endless(table)
    env = simpy.Environment()
    # Whose turn it was: mixed into the checksum after the round, since Python's arithmetic on 32 bits would cost as much as a hold.
    popped = []

    def process(payload):
        timeout = env.timeout
        note = popped.append
        yield timeout(next(increments) + spread * payload)
        while True:
            note(payload)
            yield timeout(next(increments))

    for payload in range(pending):
        env.process(process(payload))
    # The first step of a process sets its first timeout.
    for _ in range(pending):
        env.step()

    checksum = 0
    print("ready", flush=True)
    for _ in sys.stdin:
        popped.clear()
        start = time.perf_counter_ns()
        step = env.step
        for _ in range(holds):
            step()
        elapsed = time.perf_counter_ns() - start
        for payload in popped:
            h = ((checksum ^ payload) * 0x9E3779B1) & 0xFFFFFFFF
            checksum = h ^ (h >> 15)
        print(elapsed, checksum, flush=True)


def endless(table):
    while True:
        yield from table


main()
