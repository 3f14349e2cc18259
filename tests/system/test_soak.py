"""A broker under connections that come and go in every way, for long: it has no more of anything than at the beginning.

In the long run, an hour of it: memory, descriptors, threads, shared memory, disk, and what a round trip takes."""
import glob
import os
import random
import socket
import statistics
import struct
import time

import stream_client as s
from hermes_test import LONG, Case, is_sanitized, main

SECONDS = 3600 if LONG else 8
AT_A_TIME = 12  # connections that a round makes
SEGMENT, KEPT = 1 << 20, 4 << 20
LETTER = os.urandom(700)


class Sample:
    """What the broker has while nobody but the two of the round trip is connected."""

    def __init__(self, broker, round_trips):
        pid = broker.process.pid
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        with open(f"/proc/{pid}/status") as file:
            lines = dict(line.split(":", 1) for line in file)
        self.memory = int(lines["VmRSS"].split()[0]) * 1024
        self.threads = int(lines["Threads"])
        self.shared = sum(os.path.getsize(path) for path in glob.glob(os.path.join(broker.shm(), "**"), recursive=True)
                          if os.path.isfile(path))
        self.disk = sum(os.path.getsize(path) for path in broker.segments("t"))
        self.round_trip = statistics.median(round_trips)


class Soak(Case):
    broker_config = "[net]\nlisten = tcp://127.0.0.1:0\n[broker]\ngrace_ms = 100\n"

    def setUp(self):
        super().setUp()
        self.random = random.Random(17)
        self.address = "127.0.0.1", int(self.broker.process.stdout.readline().rsplit(b":", 1)[1])
        self.broker.run("topic", "create", "t", "--shared", "--window", "256K", "--segment", str(SEGMENT), "--keep-bytes",
                        str(KEPT))
        self.broker.run("topic", "create", "echo", "--shared", "--durability", "memory", "--window", "256K")
        lines = (b"x" * 600 + b"\n") * 8000  # more than is kept: from now on there are as many files as there will be
        self.broker.run("pub", "t", data=lines)
        self.asks, self.hears = s.Client(self.address), s.Client(self.address)
        self.addCleanup(self.asks.close)
        self.addCleanup(self.hears.close)
        self.asks.group(s.GROUP_CREATE, "t", "g", lease_ns=100_000_000)
        self.intake, self.outlet = self.asks.publisher("echo"), self.hears.subscribe("echo", s.AT_END)
        self.sequence = 0
        self.at_rest = self.connections()

    # ---- those who come and go ----

    def writer(self, client):
        intake = client.publisher("t")
        frames = b"".join(s.frame(1 + i, LETTER[:self.random.randrange(len(LETTER))]) for i in range(20))
        cut = self.random.choice([len(frames), len(frames), self.random.randrange(64, len(frames))])
        if cut == len(frames):
            client.publish(intake.handle, frames)
            client.receive()  # of what is committed
        else:
            client.socket.sendall(s.HEADER.pack(s.MAGIC, 1, s.PUBLISH, 0, intake.handle, 0, len(frames), 0) + frames[:cut])

    def reader(self, client):
        client.subscribe("t", credit=self.random.choice([4096, 1 << 20]))
        client.receive()

    def member(self, client):
        member = client.join("t", "g", credit=self.random.choice([4096, 1 << 18]))
        client.ask(s.PING)
        for kind, _, payload in client.pending:  # others may have left it nothing
            self.assertEqual(kind, s.GIVEN)
            gifts = s.parse_given(payload)[0]
            client.settle(self.random.choice([s.ACK, s.ACK, s.NACK]), member.handle, gifts[:self.random.randrange(len(gifts) + 1)])

    def stranger(self, client):
        client.socket.sendall(self.random.randbytes(self.random.randrange(1, 200)))

    def half(self, client):
        client.socket.sendall(s.HEADER.pack(s.MAGIC, 1, s.HELLO, 0, 1, 0, 72, 0)[:self.random.randrange(1, 32)])

    def come_and_go(self):
        clients = []
        for what in [self.writer] * 2 + self.random.choices([self.writer, self.reader, self.member, self.stranger, self.half], k=AT_A_TIME):
            client = s.Client(self.address, greet=what not in (self.stranger, self.half))
            clients.append(client)
            what(client)
        self.random.shuffle(clients)
        for client in clients:
            if self.random.random() < 0.5:  # as a host does that began anew
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    # ---- what is measured ----

    def round_trip(self):
        begin = time.perf_counter_ns()
        self.sequence += 1
        self.asks.publish(self.intake.handle, s.frame(self.sequence, b"echo"))
        kind, _, payload = self.hears.receive()
        while kind != s.LOG:
            kind, _, payload = self.hears.receive()
        end = time.perf_counter_ns()
        count = len(list(s.messages(0, payload[32:])))
        self.assertEqual(count, 1)
        self.hears.give_credit(self.outlet.handle, s.frame_bytes(4))
        kind = None
        while kind != s.CONFIRM:
            kind, _, _ = self.asks.receive()
        return end - begin

    def sample(self):
        """At rest: all who came are gone, also for the broker."""
        self.wait_for(lambda: self.connections() <= self.at_rest, "connections that are gone are let go")
        return Sample(self.broker, [self.round_trip() for _ in range(50)])

    def connections(self):
        def is_socket(path):
            try:
                return os.readlink(path).startswith("socket:")
            except FileNotFoundError:  # closed meanwhile
                return False
        return sum(map(is_socket, glob.glob(f"/proc/{self.broker.process.pid}/fd/*")))

    def test_it_has_no_more_of_anything_than_at_the_beginning(self):
        end, samples = time.monotonic() + SECONDS, []
        while time.monotonic() < end or len(samples) < 10:
            for _ in range(20 if LONG else 2):
                self.come_and_go()
                time.sleep(0.2 if LONG else 0)  # an hour's work, not an hour of all that the machine can do
            samples.append(self.sample())
        quarter = len(samples) // 4  # of the first one nothing is asked: tables and heaps have grown by its end
        first, last = samples[quarter:2 * quarter], samples[-quarter:]
        for what in ("descriptors", "threads", "memory", "shared", "disk", "round_trip"):
            before, after = (statistics.median(getattr(sample, what) for sample in part) for part in (first, last))
            print(f"{what}: {before:.0f} in the second quarter, {after:.0f} in the last, of {len(samples)} samples")
            if what == "disk":
                self.assertLessEqual(max(sample.disk for sample in samples), KEPT + 3 * SEGMENT)
            elif what == "memory" and is_sanitized():
                continue  # what was freed is kept for a while
            elif what != "round_trip":
                self.assertLessEqual(after, before * 1.1 + (2 << 20 if what == "memory" else 0), what)
            elif LONG:
                self.assertLessEqual(after, before * 2, what)


main()
