# The whole packet loop (suite loop) in SimPy: a process for each flow, connection tracking in a dictionary.
# argv as for bench/loop.c, which is the same program.
import sys
import time

import simpy

FIN, SYN, RST, ACK = 1, 2, 4, 16
ACCEPT, ENDPOINT, REPLY, DROP = 0, 1, 2, 4
RULES, MATCHED, SCANNED, STATISTIC, JUMPS, BYTES, LOOKUPS, INSERTS, NAT, TRIES = 0, 1, 2, 3, 4, 5, 7, 8, 14, 15
COUNTERS = 20
WORD = 0xFFFFFFFF
NODE_ADDRESS, CLUSTER_IP_BASE, POD_BASE, CLIENT_BASE = 0xC0A80002, 0xAC1E0000, 0x0A010000, 0x0AC80000
FIRST_PORT, PORTS, SERVICE_PORT = 32768, 28000, 80
DNATED, MASQUERADED = 1, 2
INVALID, IGNORED = 10, 11
NEXT_STATE = (
    (
        (1, 1, 11, 11, 11, 11, 11, 1, 1, 9),
        (10, 10, 2, 10, 10, 10, 10, 10, 10, 2),
        (10, 10, 4, 4, 6, 6, 6, 7, 8, 10),
        (3, 10, 3, 3, 5, 5, 7, 7, 8, 10),
        (10, 8, 8, 8, 8, 8, 8, 8, 8, 8),
    ),
    (
        (10, 9, 10, 10, 10, 10, 10, 1, 10, 9),
        (10, 2, 11, 11, 11, 11, 11, 11, 11, 2),
        (10, 10, 4, 4, 6, 6, 6, 7, 8, 10),
        (10, 11, 2, 3, 5, 5, 7, 7, 8, 11),
        (10, 8, 8, 8, 8, 8, 8, 8, 8, 8),
    ),
)
TIMEOUT = [s * 10**9 for s in (0, 120, 60, 86400, 120, 3600, 30, 120, 10, 120)]


def mixed(checksum, answer):
    h = ((checksum ^ answer) * 0x9E3779B1) & WORD
    return h ^ (h >> 15)


class Stream:
    """xoshiro128**, and a state from a name, as sim/rng.ts has them."""

    def __init__(self, name, seed=1):
        a, b = 0x9E3779B9 ^ seed, 0x243F6A88
        c, d = 0xB7E15162 ^ (seed * 0x85EBCA6B & WORD), 0xDEADBEEF ^ 0xC2B2AE35
        for unit in name.encode():
            a = b ^ ((a ^ unit) * 597399067 & WORD)
            b = c ^ ((b ^ unit) * 2869860233 & WORD)
            c = d ^ ((c ^ unit) * 951274213 & WORD)
            d = a ^ ((d ^ unit) * 2716044179 & WORD)
        a = fmix32(a ^ len(name))
        b = fmix32(b ^ a)
        c = fmix32(c ^ b)
        d = fmix32(d ^ c)
        self.state = (fmix32(a ^ d), b, c, d)

    def word(self):
        s0, s1, s2, s3 = self.state
        x = s1 * 5 & WORD
        result = ((x << 7 | x >> 25) & WORD) * 9 & WORD
        t = s1 << 9 & WORD
        s2 ^= s0
        s3 ^= s1
        self.state = (s0 ^ s3, s1 ^ s2, s2 ^ t, (s3 << 11 | s3 >> 21) & WORD)
        return result

    def below(self, bound):
        limit = 2**32 - 2**32 % bound
        word = self.word()
        while word >= limit:
            word = self.word()
        return word % bound


def fmix32(h):
    h ^= h >> 16
    h = h * 0x85EBCA6B & WORD
    h ^= h >> 13
    h = h * 0xC2B2AE35 & WORD
    return h ^ (h >> 16)


class Entry:
    __slots__ = ("original", "reply", "state", "flags", "seen", "service", "expiry")


class Node:
    """The iptables path with connection tracking: bench/iptables.h."""

    def __init__(self, args):
        numbers = [int(a) for a in args]
        self.services, self.each = numbers[0], numbers[1]
        (self.plain, self.commented, self.with_state, self.mark_accept, self.mark_return, self.masquerade, self.service,
         self.last, self.jump, self.last_jump, self.endpoint_chain, self.invalid_rule) = numbers[2:14]  # fmt: skip
        self.thresholds = numbers[14 : 14 + self.each + 1]
        count = self.services * self.each
        self.endpoints = []
        for slot in range(self.services):
            own = [POD_BASE + i % 1000000 for i in range(slot * self.each, (slot + 1) * self.each)]
            self.endpoints.append(sorted(own, key=text_of))
        assert count == sum(map(len, self.endpoints))
        order = list(range(self.services))
        stream = Stream("service-order")
        for i in range(self.services - 1, 0, -1):
            j = stream.below(i + 1)
            order[i], order[j] = order[j], order[i]
        self.place = {CLUSTER_IP_BASE + slot: (slot, i + 1) for i, slot in enumerate(order)}
        self.statistic = Stream("statistic")
        self.source_port = Stream("source-port")
        self.table = {}

    def find(self, now, key):
        found = self.table.get(key)
        return found if found is not None and found.expiry > now else None

    def process(self, now, src, src_port, dst, dst_port, flags, row):
        """Returns outcome, src, src_port, dst, dst_port."""
        row[LOOKUPS] += 1
        if flags & RST:
            kind = 4
        elif flags & SYN:
            kind = 1 if flags & ACK else 0
        elif flags & FIN:
            kind = 2
        else:
            kind = 3
        key = (src, dst, src_port, dst_port)
        entry = self.find(now, key)
        if entry is not None and kind == 0 and entry.state in (7, 8):
            for tuple_ in (entry.original, entry.reply):
                if self.table.get(tuple_) is entry:
                    del self.table[tuple_]
            entry = None
        if entry is None:
            state = NEXT_STATE[0][kind][0]
            if state == INVALID:
                return self.invalid(src, src_port, dst, dst_port, row)
            return self.first(now, key, state, row)
        reply = entry.original != key
        state = NEXT_STATE[reply][kind][entry.state]
        if state == INVALID:
            return self.invalid(src, src_port, dst, dst_port, row)
        if state != IGNORED:
            entry.state = state
            entry.expiry = now + TIMEOUT[state]
        if reply:
            entry.seen = True
        self.forward(not entry.seen, False, row)
        if reply:
            o = entry.original
            return (REPLY if entry.flags else ACCEPT), o[1], o[3], o[0], o[2]
        r = entry.reply
        return (ENDPOINT if entry.flags & DNATED else ACCEPT), r[1], r[3], r[0], r[2]

    def invalid(self, src, src_port, dst, dst_port, row):
        base = self.with_state + self.commented + self.invalid_rule
        if self.invalid_rule:
            count(row, 3, 2, 1, base)
            return DROP, src, src_port, dst, dst_port
        count(row, 6, 1, 1, base + self.mark_accept + 3 * self.with_state)
        return ACCEPT, src, src_port, dst, dst_port

    def forward(self, is_new, marked, row):
        rules = 1 if self.invalid_rule else 0
        base = self.with_state + self.commented + self.invalid_rule + self.mark_accept
        if marked:
            count(row, 3 + rules, 2 + is_new, 1 + is_new, base)
        elif not is_new:
            count(row, 4 + rules, 2, 1, base + self.with_state)
        else:
            count(row, 6 + rules, 4, 4, base + 3 * self.with_state)

    def first(self, now, key, state, row):
        src, dst, src_port, dst_port = key
        found = self.place.get(dst) if dst_port == SERVICE_PORT else None
        flags, marked, service = 0, False, -1
        if found is None:
            row[SCANNED] += self.services + 1
            count(row, self.services + 2, 1, 1, self.commented + self.services * self.service + self.last)
        else:
            service, place = found
            row[SCANNED] += place
            marks = 0 if src & 0xFF000000 == 0x0A000000 else 1
            last, chosen = self.each - 1, 0
            while chosen < last and (self.statistic.word() & 0x7FFFFFFF) >= self.thresholds[last + 1 - chosen]:
                chosen += 1
            tried = chosen + 1 if chosen < last else chosen
            row[STATISTIC] += tried
            address = self.endpoints[service][chosen]
            if src == address:
                marks += 1
            marked = marks > 0
            size = (self.commented + (place + 1) * self.service + tried * self.jump + (chosen + 1 - tried) * self.last_jump
                    + self.endpoint_chain + marks * self.plain)  # fmt: skip
            count(row, place + chosen + 5 + marks, 4 + 2 * marks, 3 + marks, size)
            dst, dst_port, flags = address, 8080, DNATED
            row[NAT] += 1
        self.forward(True, marked, row)
        source = src
        if marked:
            count(row, 4, 3, 1, self.commented + self.mark_return + self.plain + self.masquerade)
            source = NODE_ADDRESS
            flags |= MASQUERADED
        else:
            count(row, 2, 2, 1, self.commented + self.mark_return)
        port = self.choose_source(now, source, dst, dst_port, src_port, marked, row)
        if port is None:
            return DROP, src, src_port, dst, dst_port
        if marked or port != src_port:
            row[NAT] += 1
        row[INSERTS] += 1
        entry = Entry()
        entry.original = key
        entry.reply = (dst, source, dst_port, port)
        entry.state, entry.flags, entry.seen, entry.service = state, flags, False, service
        entry.expiry = now + TIMEOUT[state]
        self.table[entry.reply] = entry
        self.table[key] = entry
        return (ENDPOINT if service >= 0 else ACCEPT), source, port, dst, dst_port

    def choose_source(self, now, source, dst, dst_port, own, search, row):
        if not search:
            row[LOOKUPS] += 1
            if self.find(now, (dst, source, dst_port, own)) is None:
                return own
        low, size = (1, 511) if own < 512 else (600, 424) if own < 1024 else (1024, 64512)
        attempts = min(size, 128)
        while True:
            offset = self.source_port.word() & 0xFFFF
            for _ in range(attempts):
                row[TRIES] += 1
                row[LOOKUPS] += 1
                port = low + offset % size
                if self.find(now, (dst, source, dst_port, port)) is None:
                    return port
                offset = (offset + 1) & 0xFFFF
            if attempts >= size or attempts < 16:
                return None
            attempts >>= 1


def count(row, visited, matched, jumps, size):
    row[RULES] += visited
    row[MATCHED] += matched
    row[JUMPS] += jumps
    row[BYTES] += size


def text_of(address):
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}:8080"


def flags_of(number, connection):
    fin = connection if connection < 5 else connection - 3 if connection >= 6 else connection - 2
    if number == 0:
        return SYN
    if number == 1:
        return SYN | ACK
    return FIN | ACK if number in (fin, fin + 1) else ACK


def main():
    flows, connection, packets = (int(a) for a in sys.argv[1:4])
    gaps = [int(a) for a in sys.argv[4 : 4 + 1024]]
    node = Node(sys.argv[4 + 1024 :])
    traffic = Stream("bench/loop")
    flags = [flags_of(number, connection) for number in range(connection)]
    env = simpy.Environment()
    checksum, turn = 0, 0
    sums = [0] * COUNTERS

    def gap():
        nonlocal turn
        value = gaps[turn]
        turn = (turn + 1) % len(gaps)
        return value

    def client(index):
        nonlocal checksum
        port, vip = FIRST_PORT, CLUSTER_IP_BASE + traffic.below(node.services)
        yield env.timeout(gap())
        while True:
            for number in range(connection):
                row = [0] * COUNTERS
                if number % 2 == 0:
                    at = (CLIENT_BASE + index, port, vip, SERVICE_PORT)
                else:
                    at = (endpoint, endpoint_port, translated, translated_port)
                outcome, src, src_port, dst, dst_port = node.process(env.now, *at, flags[number], row)
                if number == 0:
                    endpoint, endpoint_port, translated, translated_port = dst, dst_port, src, src_port
                work = row[RULES] * 31 + row[BYTES] & WORD
                checksum = mixed(checksum, dst ^ (dst_port << 16 | src_port) ^ src ^ work ^ outcome)
                for c in range(COUNTERS):
                    sums[c] += row[c]
                if number == connection - 1:
                    port = port + 1 if port + 1 < FIRST_PORT + PORTS else FIRST_PORT
                    vip = CLUSTER_IP_BASE + traffic.below(node.services)
                yield env.timeout(gap())

    for index in range(flows):
        env.process(client(index))
    for _ in range(flows):
        env.step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        for _ in range(packets):
            env.step()
        total = checksum
        for c in range(COUNTERS):
            total = mixed(total, sums[c] & WORD)
        print(time.perf_counter_ns() - start, total, flush=True)


main()
