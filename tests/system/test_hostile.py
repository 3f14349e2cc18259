"""Clients that do not keep the rules. Whatever they do, the broker goes on for the others."""
import errno
import glob
import json
import mmap
import os
import random
import resource
import socket
import struct
import subprocess

from hermes_test import LONG, Case, main

SO_PASSRIGHTS = 83  # include/uapi/asm-generic/socket.h
HELLO, WELCOME, ERROR, OK = 16, 17, 18, 19
CREATE, LIST, DESCRIBE, PUBLISHER_OPEN, MAPPED, SUBSCRIBER_OPEN, WINDOW, SEGMENT, PING, ALTER = \
    20, 22, 23, 25, 27, 29, 31, 32, 33, 34
GROUP_CREATE, GROUP_ALTER, GROUP_DELETE, GROUP_LIST, GROUPS = 36, 37, 38, 39, 40


def message(kind, payload=b"", sequence=1, magic=0x4D524548, version=1, flags=0, length=None):
    return struct.pack("<IBBHQQII", magic, version, kind, flags, sequence, 0,
                       len(payload) if length is None else length, 0) + payload


def name(text):
    return text.encode().ljust(128, b"\0")


def subscribe(topic, group="", durable=0, start=0, page=0, member=0, line=0, push_back=0):
    return name(topic) + name(group) + struct.pack("<IIQQIIQII", durable, start, page, member, line, push_back, 0, 0, 0)


def group(topic, group, letters="", durable=0, fields=0, lease=0, most=0, start=0, position=0, span=0):
    return name(topic) + name(group) + name(letters) + struct.pack(
        "<IIQIIQQ", durable, fields, lease, most, start, position, span)


class Hostile(Case):
    def connect(self, hello=True):
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(self.broker.home, "broker.sock"))
        s.settimeout(60)
        self.addCleanup(s.close)
        if hello:
            self.assertEqual(self.ask(s, HELLO, struct.pack("<H6x64s", 2, b"test"))[0], WELCOME)
        return s

    def receive(self, s):
        data, fds, _, _ = socket.recv_fds(s, 32, 8)
        for fd in fds:
            self.addCleanup(os.close, fd)
        while data and len(data) < 32:
            data += s.recv(32 - len(data))
        if len(data) < 32:
            return None, b"", []
        kind, length = data[5], struct.unpack_from("<I", data, 24)[0]
        payload = b""
        while len(payload) < length:
            more, extra, _, _ = socket.recv_fds(s, length - len(payload), 8)
            fds += extra
            payload += more
        return kind, payload, fds

    def ask(self, s, kind, payload=b""):
        try:
            s.sendall(message(kind, payload))
        except BrokenPipeError:
            pass  # it said no, and hung up, before it was asked
        return self.receive(s)

    def hung_up(self, s):
        try:
            return s.recv(1) == b""
        except ConnectionResetError:
            return True

    def still_serves(self):
        self.broker.run("topic", "list")
        self.assertIsNone(self.broker.process.poll())

    def test_malformed_requests(self):
        bad = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 32,
            message(PING, magic=0), message(PING, version=2), message(PING, flags=1),
            message(PING, length=0xFFFFFFFF), message(PING, length=1025), message(PING, b"x"),
            message(CREATE, b"short"), message(0), message(255), message(OK), os.urandom(64),
        ]
        for data in bad:
            with self.subTest(data=data[:40]):
                s = self.connect(hello=False)
                s.sendall(data)
                self.assertTrue(self.hung_up(s))
        self.still_serves()

    def test_nobody_reads_standard_error(self):
        """A pipe that is full for good: notes are lost, and nothing else."""
        self.assertEqual(self.broker.stop(), (0, []))
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        os.set_blocking(write, False)
        try:
            while True:
                os.write(write, bytes(65536))
        except BlockingIOError:
            os.set_blocking(write, True)
        self.broker.start(stderr=write)
        os.close(write)
        for _ in range(2000):
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.path.join(self.broker.home, "broker.sock"))
            s.sendall(message(0))
            s.settimeout(60)
            self.assertTrue(self.hung_up(s))
            s.close()
        self.still_serves()
        self.assertEqual(self.broker.stop(), (0, []))

    def test_a_flood_of_bad_connections_is_told_once(self):
        for _ in range(300):
            s = self.connect(hello=False)
            s.sendall(message(0))
            self.assertTrue(self.hung_up(s))
            s.close()
        self.still_serves()
        self.assertEqual(self.broker.stop(), (0, []))
        self.assertLess(self.broker.messages().count("\n"), 50)
        self.assertIn("more like this", self.broker.messages())

    def test_a_strangers_descriptor_holds_nobody_up(self):
        """The last close of a TCP connection may last as long as its owner likes: SO_LINGER."""
        with socket.socket(socket.AF_UNIX) as ours:
            try:
                ours.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
            except OSError as error:
                if error.errno == errno.ENOPROTOOPT:
                    self.skipTest("Linux before 6.16 cannot refuse descriptors")
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        slow = socket.create_connection(listener.getsockname())
        self.addCleanup(listener.accept()[0].close)
        slow.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                slow.send(bytes(65536))
        slow.setblocking(True)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        for hello in (False, True):
            with self.assertRaises(PermissionError):
                socket.send_fds(self.connect(hello), [message(PING)], [slow.fileno()])
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        slow.close()
        self.still_serves()

    def test_requests_before_hello_and_wrong_protocol(self):
        s = self.connect(hello=False)
        self.assertEqual(self.ask(s, PING)[0], ERROR)
        kind, payload, _ = self.ask(s, HELLO, struct.pack("<H6x64s", 99, b""))
        self.assertEqual(kind, ERROR)
        self.assertEqual(struct.unpack_from("<i", payload)[0], -13)
        self.assertIn(b"protocol 99", payload)
        self.still_serves()

    def test_names(self):
        s = self.connect()
        for raw in (b"\0" * 128, b"a" * 128, name("a/b"), name(".."), b"ok\xff".ljust(128, b"\0")):
            for kind, rest in ((CREATE, struct.pack("<IIQQQQII", 1, 0, 0, 0, 0, 0, 0, 0)), (DESCRIBE, b""),
                               (ALTER, struct.pack("<IIQQ", 1, 0, 0, 0)),
                               (SUBSCRIBER_OPEN, subscribe("")[128:]), (PUBLISHER_OPEN, struct.pack("<QIIQQ", 0, 0, 0, 0, 0))):
                reply = self.ask(s, kind, raw + rest)
                self.assertEqual(reply[0], ERROR)
                self.assertEqual(struct.unpack_from("<i", reply[1])[0], -12)
        self.assertEqual(self.ask(s, CREATE, name("t") + struct.pack("<IIQQQQII", 77, 0, 0, 0, 0, 0, 0, 0))[0], ERROR)
        self.assertEqual(self.ask(s, CREATE, name("t") + struct.pack("<IIQQQQII", 1, 0, 1 << 40, 0, 0, 0, 0, 0))[0], ERROR)
        for fields in (0, 8, 0xFFFFFFFF):  # nothing, and what no broker knows
            self.broker.run("topic", "create", f"alter{fields}", "--keep-bytes", "4M")
            before = self.broker.info(f"alter{fields}")
            kind, payload, _ = self.ask(s, ALTER, name(f"alter{fields}") + struct.pack("<IIQQ", fields, 7, 1, 1))
            self.assertEqual((kind, struct.unpack_from("<i", payload)[0]), (ERROR, -1))
            self.assertEqual(self.broker.info(f"alter{fields}"), before)
        self.assertEqual(self.ask(s, ALTER, name("none") + struct.pack("<IIQQ", 1, 0, 0, 0))[0], ERROR)
        self.assertEqual(self.ask(s, WINDOW, struct.pack("<QII", 12345, 1, 0))[0], ERROR)
        self.assertEqual(self.ask(s, SEGMENT, struct.pack("<QIIQ", 12345, 0, 0, 0))[0], ERROR)
        self.assertEqual(self.ask(s, MAPPED, struct.pack("<II", 5, 0))[0], ERROR)
        self.assertEqual(self.ask(s, LIST, b"\xff" * 128)[0], 24)
        self.still_serves()

    def test_limits(self):
        self.broker.run("topic", "create", "t")
        s = self.connect()
        replies = [self.ask(s, SUBSCRIBER_OPEN, subscribe("t"))[0] for _ in range(70)]
        self.assertEqual(replies[:64], [30] * 64)
        self.assertEqual(replies[64:], [ERROR] * 6)
        s.close()
        self.wait_for(lambda: self.broker.info("t")["subscribers"] == 0, "handles are freed")

    def test_slow_and_half_open_clients(self):
        half = [self.connect(hello=False) for _ in range(50)]
        for i, s in enumerate(half):
            s.sendall(message(PING)[:i % 32])
        flood = self.connect()
        flood.setblocking(False)
        sent = 0
        try:  # asks and never reads
            while sent < 50_000_000:
                sent += flood.send(message(LIST, b"\0" * 128) * 50)
        except BlockingIOError:
            pass
        self.still_serves()

    def open_ring(self, topic):
        s = self.connect()
        kind, payload, fds = self.ask(s, PUBLISHER_OPEN, name(topic) + struct.pack("<QIIQQ", 0, 0, 0, 0, 0))
        self.assertEqual(kind, 26)
        handle, kind = struct.unpack_from("<II", payload)
        self.assertEqual(kind, 2)
        ring = mmap.mmap(fds[1], 0)
        return s, ring, fds, handle

    def test_a_full_bell_of_a_ring(self):
        """Its producer holds the eventfd, too: that it is full, or does not block, is nobody else's business."""
        for backend in ("io_uring", "epoll"):
            self.assertEqual(self.broker.stop(), (0, []))
            self.broker.backend = backend
            try:
                self.broker.start()
            except AssertionError:
                self.assertIn("io_uring cannot be had here", self.broker.messages())
                self.broker.backend = "epoll"
                self.broker.start()
            self.broker.run("topic", "create", backend, "--shared")
            for blocking in (True, False):
                for _ in range(20):
                    s, ring, fds, _ = self.open_ring(backend)
                    os.set_blocking(fds[2], False)
                    os.write(fds[2], struct.pack("<Q", (1 << 64) - 2))
                    os.set_blocking(fds[2], blocking)
                    s.close()
            self.still_serves()
            self.wait_for(lambda: self.broker.info(backend)["publishers"] == 0, "rings are removed")
            self.assertEqual(self.broker.run("pub", backend, data=b"fine\n").stdout, b"1\n")

    def test_out_of_descriptors_with_connections_waiting(self):
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start("prlimit", "--nofile=40:40")
        held = []
        for _ in range(100):
            s = socket.socket(socket.AF_UNIX)
            self.addCleanup(s.close)
            s.connect(os.path.join(self.broker.home, "broker.sock"))
            held.append(s)
        self.wait_for(lambda: "out of descriptors" in self.broker.messages(), "it says so")
        held[-1].settimeout(60)
        self.assertTrue(self.hung_up(held[-1]))  # refused, rather than left waiting
        for s in held:
            s.close()
        self.wait_for(lambda: self.broker.run("topic", "list", check=False).returncode == 0, "it serves again")
        self.assertEqual(self.broker.stop(), (0, []))
        self.assertLess(self.broker.messages().count("\n"), 100)

    def test_connections_that_say_nothing(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, limit[1]), limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        greeted = self.connect()
        for _ in range(1200):
            self.connect(hello=False)
        self.still_serves()
        self.assertEqual(self.ask(greeted, PING)[0], OK)  # and who had greeted is not disturbed

    def test_a_connection_that_never_greets_is_closed(self):
        self.assertEqual(self.broker.stop(), (0, []))
        with open(os.path.join(self.broker.home, "hermes.conf"), "w") as file:
            file.write("[limits]\ngreet_ms = 10\n")
        self.broker.start()
        s = self.connect(hello=False)
        try:
            s.sendall(message(HELLO)[:31])  # almost
        except BrokenPipeError:
            pass  # too late as it is
        self.assertTrue(self.hung_up(s))
        self.told("has not said hello")
        self.limited("")  # or who serves below had to be as quick
        self.still_serves()

    def limited(self, settings):
        self.assertEqual(self.broker.stop(), (0, []))
        with open(os.path.join(self.broker.home, "hermes.conf"), "w") as file:
            file.write(settings)
        self.broker.start()

    def refused(self, reply, *words):
        self.assertEqual(reply[0], ERROR)
        self.assertEqual(struct.unpack_from("<i", reply[1])[0], -21)
        for word in words:
            self.assertIn(word, reply[1])

    def test_what_a_user_may_hold(self):
        self.limited("[broker]\nsessions_max = 100\n"
                     "[limits]\nsessions_per_user = 8\nrings_per_user = 3\ngroups_per_user = 4\nmemory_per_user = 4M\n")
        self.broker.run("topic", "create", "t", "--shared")
        rings = [self.open_ring("t") for _ in range(3)]
        s = self.connect()
        publish = name("t") + struct.pack("<QIIQQ", 0, 0, 0, 0, 0)
        self.refused(self.ask(s, PUBLISHER_OPEN, publish), b"[limits] rings_per_user")
        rings[0][0].close()
        self.wait_for(lambda: self.broker.info("t")["publishers"] == 2, "its ring is given back")
        self.assertEqual(self.ask(s, PUBLISHER_OPEN, publish)[0], 26)
        # The largest span: shared memory, and what the broker would keep of its claims.
        self.refused(self.ask(s, GROUP_CREATE, group("t", "large", span=1 << 28)), b"[limits] memory_per_user")
        for i in range(4):
            self.assertEqual(self.ask(s, GROUP_CREATE, group("t", f"g{i}", span=1 << 18))[0], OK)
        self.refused(self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g4", durable=1)), b"[limits] groups_per_user")
        self.assertEqual(self.ask(s, GROUP_DELETE, group("t", "g0"))[0], OK)
        self.assertEqual(self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g4", durable=1))[0], 30)
        more = [self.connect() for _ in range(5)]
        self.refused(self.ask(self.connect(hello=False), HELLO, struct.pack("<H6x64s", 2, b"")),
                     b"[limits] sessions_per_user")
        result = self.broker.run("topic", "list", check=False)
        self.assertIn(b"sessions_per_user", result.stderr)
        more[0].close()
        self.wait_for(lambda: self.broker.run("topic", "list", check=False).returncode == 0, "its place is given back")
        # What is there counts after a restart.
        self.broker.kill()
        self.broker.start()
        s = self.connect()
        self.refused(self.ask(s, GROUP_CREATE, group("t", "g5", span=1 << 18)), b"[limits] groups_per_user")
        self.broker.run("group", "delete", "t", "g1")
        self.assertEqual(self.ask(s, GROUP_CREATE, group("t", "g5", span=1 << 18))[0], OK)
        self.assertEqual(self.broker.stop(), (0, []))

    def test_ring_is_sealed(self):
        self.broker.run("topic", "create", "t", "--shared")
        s, ring, fds, handle = self.open_ring("t")
        for size in (0, 1 << 30):
            with self.assertRaises(PermissionError):
                os.ftruncate(fds[1], size)
        with self.assertRaises((PermissionError, OSError)):
            mmap.mmap(fds[0], 4096)  # the status page is read-only
        self.assertEqual(self.ask(s, MAPPED, struct.pack("<II", handle, 0))[0], OK)
        with self.assertRaises(PermissionError):
            mmap.mmap(fds[1], 0)
        ring[5000] = 1  # the mapping that exists goes on

    def frame(self, sequence=1, length=10, kind=1, magic=0x4D524548, version=1, flags=0):
        return struct.pack("<IBBHQQII", magic, version, kind, flags, sequence, 1, length, 0)

    def test_malformed_frames_in_a_ring(self):
        self.broker.run("topic", "create", "t", "--shared")
        frames = [self.frame(sequence=7), self.frame(length=65537), self.frame(length=0xFFFFFFFF),
                  self.frame(kind=9, version=3), self.frame(magic=0x12345678), self.frame(flags=0xFFFF),
                  b"\xff" * 64, os.urandom(64)]
        for raw in frames:
            with self.subTest(raw=raw[:32]):
                s, ring, fds, _ = self.open_ring("t")
                ring[4096 + 8:4096 + len(raw)] = raw[8:]
                ring[4096:4096 + 8] = raw[:8]
                os.write(fds[2], struct.pack("<Q", 1))
                self.assertTrue(self.hung_up(s))
        self.assertEqual(self.broker.info("t")["refused"], len(frames))
        self.assertEqual(self.broker.info("t")["last_sequence"], 0)
        self.assertEqual(self.broker.run("pub", "t", data=b"fine\n").stdout, b"1\n")

    def test_scribbling_while_it_is_read(self):
        """Frames that change under the sequencer; beside it an honest publisher loses nothing."""
        self.broker.run("topic", "create", "t", "--shared")
        seed = random.randrange(1 << 32)
        print("seed", seed)
        rng = random.Random(seed)
        honest = self.broker.popen("pub", "t", "--count", "100000", stdout=subprocess.PIPE)
        for _ in range(200 if LONG else 30):
            s, ring, fds, _ = self.open_ring("t")
            for _ in range(300):
                at = 4096 + rng.randrange(64) * 64
                raw = self.frame(sequence=rng.randrange(1, 10), length=rng.choice([0, 10, 100, 65536, 70000]))
                ring[at:at + len(raw)] = raw
                ring[at:at + 4] = rng.choice([b"\0\0\0\0", b"HERM"])
            os.write(fds[2], struct.pack("<Q", 1))
            s.close()
        out = honest.communicate(timeout=120)[0]
        self.assertEqual(honest.returncode, 0)
        self.assertGreaterEqual(int(out), 100000)
        rows = self.broker.run("sub", "t", "--from", "first", "--timeout", "0", "--format", "raw").stdout
        self.assertGreaterEqual(rows.count(b"....................................................."), 100000)
        self.still_serves()

    def test_a_ring_full_of_padding(self):
        """Frames that are no messages, and whose publisher leaves: the broker comes to their end."""
        self.broker.run("topic", "create", "t", "--shared")
        s, ring, fds, _ = self.open_ring("t")
        for at in range(4096, len(ring), 64):
            ring[at + 8:at + 32] = self.frame(kind=0, length=32)[8:]
            ring[at:at + 8] = self.frame(kind=0, length=32)[:8]
        os.write(fds[2], struct.pack("<Q", 1))
        s.close()
        self.assertEqual(self.broker.run("pub", "t", data=b"fine\n").stdout, b"1\n")
        while self.broker.info("t")["publishers"] > 0:
            pass
        self.assertEqual(self.broker.run("sub", "t", "--from", "first", "-t", "0").stdout, b"fine\n")

    def test_a_stray_store_into_a_window_that_the_broker_writes(self):
        """By a process of the broker's user, which can do worse: the topic gets another window, its publishers go on."""
        self.broker.run("topic", "create", "t", "--shared")
        publisher = self.broker.popen("pub", "t", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        publisher.stdin.write(b"first\n")
        publisher.stdin.flush()
        self.wait_for(lambda: self.broker.info("t")["last_sequence"] == 1, "it is there")
        window = next(path for path in glob.glob("/dev/shm/hermes-*/*.window") if self.is_ours(path))
        before = self.broker.info("t")["epoch"]
        with open(window, "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        memory[4096 + 64:4096 + 96] = self.frame(sequence=77)
        self.wait_for(lambda: self.broker.info("t")["epoch"] > before, "another window")
        publisher.stdin.write(b"second\n")
        publisher.stdin.close()
        self.assertEqual(publisher.wait(timeout=60), 0)
        self.told("malformed frame")
        self.assertEqual(self.broker.run("sub", "t", "--from", "first", "-t", "0").stdout, b"first\nsecond\n")
        self.still_serves()

    def is_ours(self, path):
        """Others may run beside it, and end."""
        try:
            with open(os.path.join(os.path.dirname(path), ".home"), "rb") as file:
                return self.broker.home.encode() in file.read()
        except FileNotFoundError:
            return False

    def test_malformed_frame_in_an_exclusive_window(self):
        self.broker.run("topic", "create", "t")
        s = self.connect()
        kind, payload, fds = self.ask(s, PUBLISHER_OPEN, name("t") + struct.pack("<QIIQQ", 0, 0, 0, 0, 0))
        self.assertEqual((kind, struct.unpack_from("<I", payload, 4)[0]), (26, 1))
        window = mmap.mmap(fds[1], 0)
        window[4096:4096 + 32] = self.frame(sequence=99)
        self.assertTrue(self.hung_up(s))
        self.told("malformed frame")
        self.assertEqual(self.broker.run("pub", "t", data=b"fine\n").stdout, b"1\n")
        self.assertEqual(self.broker.run("sub", "t", "--from", "first", "-t", "0").stdout, b"fine\n")

    def test_what_is_in_flight_is_counted_beside_others(self):
        """Pages whose members say that everything in the largest span is in flight: all are listed, and others are served."""
        self.broker.run("topic", "create", "t")
        s = self.connect()
        sizes = {"a": 1 << 28, "b": 1 << 22, "c": 1 << 22, "d": 1 << 22, "e": 1 << 18}
        for letter, span in sizes.items():
            self.assertEqual(self.ask(s, GROUP_CREATE, group("t", letter, span=span))[0], OK)
            kind, _, fds = self.ask(s, SUBSCRIBER_OPEN, subscribe("t", letter))
            self.assertEqual(kind, 30)
            page = mmap.mmap(fds[2], 0)
            page[192:200] = struct.pack("<Q", span)  # the cursor
            for i in range(span // 64):  # each slot: of its message, claimed by a member that lives
                page[12288 + 8 * i:12296 + 8 * i] = struct.pack("<Q", i << 24 | 1)
        names, after = [], ""
        while True:
            kind, payload, _ = self.ask(s, GROUP_LIST, name("t") + name(after) + struct.pack("<II", 0, 0))
            self.assertEqual(kind, GROUPS)
            count, more = struct.unpack_from("<II", payload)
            names += [payload[8 + 352 * i:8 + 352 * i + 128].rstrip(b"\0").decode() for i in range(count)]
            if not more:
                break
            after = names[-1]
        self.assertEqual(names, list(sizes))
        counted = json.loads(self.broker.run("group", "info", "t", "e", "--json").stdout)["in_flight"]
        self.assertEqual(counted, sizes["e"] // 64)
        counted = json.loads(self.broker.run("group", "info", "t", "a", "--json").stdout)["in_flight"]
        self.assertEqual(counted, sizes["a"] // 64)

    def test_group_requests(self):
        self.broker.run("topic", "create", "t")
        s = self.connect()
        for raw in (b"\0" * 128, b"a" * 128, name("a/b"), name(".."), name("x~")):
            for kind, request in ((GROUP_CREATE, group("t", "")), (GROUP_ALTER, group("t", "", fields=1)),
                                  (GROUP_DELETE, group("t", "")), (SUBSCRIBER_OPEN, subscribe("t", "x"))):
                reply = self.ask(s, kind, request[:128] + raw + request[256:])
                if kind == SUBSCRIBER_OPEN and raw[0] == 0:
                    self.assertEqual(reply[0], 30)  # no group at all
                    continue
                self.assertEqual((reply[0], struct.unpack_from("<i", reply[1])[0]), (ERROR, -12), raw[:8])
        second = 10**9
        for wrong in (dict(lease=5), dict(lease=1 << 63), dict(most=4000), dict(durable=7), dict(start=9),
                      dict(start=2, position=64), dict(start=2, position=1 << 60), dict(start=2, position=3),
                      dict(letters="t")):
            reply = self.ask(s, GROUP_CREATE, group("t", "g", **{"lease": second, **wrong}))
            self.assertEqual((reply[0], struct.unpack_from("<i", reply[1])[0]), (ERROR, -1), wrong)
        unterminated = group("t", "g")
        unterminated = unterminated[:256] + b"x" * 128 + unterminated[384:]
        self.assertEqual(self.ask(s, GROUP_CREATE, unterminated)[0], ERROR)
        self.assertEqual(self.ask(s, GROUP_CREATE, group("t", "g", lease=second, span=1 << 63))[0], OK)
        for fields in (0, 8, 0xFFFFFFFF):
            self.assertEqual(self.ask(s, GROUP_ALTER, group("t", "g", fields=fields, lease=second))[0], ERROR)
        self.assertEqual(self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "new", start=2))[0], ERROR)
        self.assertEqual(self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g", durable=1))[0], ERROR)
        self.assertEqual(self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g", push_back=1))[0], ERROR)
        # Somebody else's line, and lines that there are not.
        kind, payload, fds = self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g"))
        self.assertEqual((kind, len(fds)), (30, 3))
        _, _, _, page, member, line = struct.unpack_from("<IIQQQI", payload)
        for resume in ((page, member, line), (page, member, 1 << 31), (page, 0, 5), (1, member, line)):
            kind, payload, _ = self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g", 0, 0, *resume))
            self.assertEqual(kind, 30)
            self.assertNotEqual(struct.unpack_from("<QI", payload, 24), (member, line))
        self.assertEqual(self.ask(s, GROUP_LIST, name("t") + b"\xff" * 128 + bytes(8))[0], GROUPS)
        self.assertEqual(self.ask(s, GROUP_LIST, name("t") + name("g") + struct.pack("<II", 77, 0))[0], GROUPS)
        for i in range(300):
            reply = self.ask(s, GROUP_CREATE, group("t", f"n{i}", durable=1))
            if reply[0] == ERROR:
                break
        self.assertEqual((i, struct.unpack_from("<i", reply[1])[0]), (255, -21))
        self.still_serves()

    def test_two_who_delete_one_group_at_once(self):
        """And one who alters it, and one who joins: each finds it as it is when its turn comes."""
        self.broker.run("topic", "create", "t", "--durability", "memory")
        first, *others = [self.connect() for _ in range(5)]
        requests = [(GROUP_LIST, name("t") + name("") + struct.pack("<II", 0, 0)), (GROUP_DELETE, group("t", "g")),
                    (GROUP_ALTER, group("t", "g", fields=1, lease=10**9)), (GROUP_DELETE, group("t", "g"))]
        for _ in range(100 if LONG else 20):
            self.ask(first, GROUP_CREATE, group("t", "g"))
            for s, request in zip(others, requests):
                s.sendall(message(*request))
            for s in others:
                self.assertIsNotNone(self.receive(s)[0], "it answers")
        self.still_serves()

    def test_a_stop_while_a_topic_with_groups_is_deleted(self):
        for _ in range(20 if LONG else 4):
            self.broker.run("topic", "create", "t")
            s = self.connect()
            for i in range(4):
                self.ask(s, GROUP_CREATE, group("t", f"g{i}"))
            s.sendall(message(21, name("t")))
            self.assertEqual(self.broker.stop(), (0, []))
            self.broker.start()
            if "t" in [topic["name"] for topic in self.topics()]:
                self.broker.run("topic", "delete", "t")

    def topics(self):
        return [json.loads(line) for line in self.broker.run("topic", "list", "--json").stdout.splitlines()]

    def test_a_member_scribbles_on_its_page(self):
        """The broker reads pages that members write: whatever stands there, it serves the others."""
        self.broker.run("topic", "create", "t")
        self.broker.run("group", "create", "t", "g", "--span", "256K", "--lease", "10ms")
        self.broker.run("group", "create", "t", "good", "--from", "first")
        self.broker.run("pub", "t", "--count", "1000")
        seed = random.randrange(1 << 32)
        print("seed", seed)
        rng = random.Random(seed)
        s = self.connect()
        _, _, fds = self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g"))
        page = mmap.mmap(fds[2], 0)
        for turn in range(400 if LONG else 60):
            for _ in range(300):
                at = rng.choice([64, 128, 192, 256, 4096, 12288]) + 8 * rng.randrange(64)
                page[at:at + 8] = struct.pack("<Q", rng.choice(
                    [rng.getrandbits(64), 0, 1, (1 << 64) - 1, 1 << 63, rng.getrandbits(20) << 24 | 1, 64 * rng.getrandbits(10)]))
            self.broker.run("group", "info", "t", "g")
            if turn % 20 == 0:
                self.broker.run("group", "reset", "t", "g", "--from", "first", check=False)
                s.close()
                s = self.connect()
                _, _, fds = self.ask(s, SUBSCRIBER_OPEN, subscribe("t", "g"))
                page = mmap.mmap(fds[2], 0)
        out = self.broker.run("sub", "t", "--group", "good", "--timeout", "0").stdout
        self.assertEqual(out.count(b"\n"), 1000)
        s.close()
        self.wait_for(lambda: self.broker.run("group", "delete", "t", "g", check=False).returncode == 0, "it is left")
        self.still_serves()
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        self.still_serves()

    def test_a_waited_for_subscriber_scribbles(self):
        self.broker.run("topic", "create", "t", "--push-back", "--durability", "memory", "--window", "256K")
        s = self.connect()
        kind, _, fds = self.ask(s, SUBSCRIBER_OPEN, subscribe("t", push_back=1))
        self.assertEqual((kind, len(fds)), (30, 3))
        os.ftruncate(fds[2], 8192)
        page = mmap.mmap(fds[2], 0)
        page[64:8192] = os.urandom(8192 - 64)
        s.close()
        self.still_serves()
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()

    def test_descriptors_are_not_leaked(self):
        self.broker.run("topic", "create", "t", "--shared")
        self.broker.run("pub", "t", data=b"x\n")
        self.wait_for(lambda: self.broker.info("t")["durable_position"] > 0, "the persister has its files")
        count = lambda: len(os.listdir(f"/proc/{self.broker.process.pid}/fd"))
        before = count()
        for _ in range(100):
            self.broker.run("pub", "t", data=b"x\n")
        self.wait_for(lambda: count() <= before, "descriptors are closed")

    def test_files_are_private(self):
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", data=b"x\n")
        self.wait_for(lambda: self.broker.info("t")["durable_position"] > 0, "the persister has its files")
        shm = self.broker.shm()
        self.assertEqual(os.stat(shm).st_mode & 0o777, 0o700)
        for directory in (shm, os.path.dirname(self.broker.segments("t")[0])):
            for entry in os.listdir(directory):
                self.assertEqual(os.stat(os.path.join(directory, entry)).st_mode & 0o077, 0, entry)
        self.assertEqual(os.stat(os.path.join(self.broker.home, "broker.sock")).st_mode & 0o777, 0o600)


class HostileToEpoll(Hostile):
    """The same, to the other event loop."""
    broker_backend = "epoll"


main()
