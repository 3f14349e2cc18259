"""Everything that could hold the event loop up, at once: and nobody else is held up.

Prints the longest turn of the loop, for docs/benchmarks.md. No time is asserted: a disk hangs, and what others do is through
before it goes on. Nor that no turn was blocked: a worker may lose its processor with a lock that the loop wants.
"""
import collections
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from hanging_disk import HangingDisk
from hermes_test import LONG, main

WINDOW = 512 << 20
ROUNDS = 5 if LONG else 1
BAD_CONNECTIONS, SILENT = 10000, 200
NEEDED = 6 * WINDOW  # of shared memory


def room():
    found = os.statvfs("/dev/shm")
    return found.f_bavail * found.f_frsize


@unittest.skipIf(room() < NEEDED, "less than 3 GiB of shared memory")
class Turn(HangingDisk):
    broker_config = "[limits]\nmemory_per_user = 4G\nsilent_per_user = 512\n"

    def large_windows(self):
        """Made, replaced as one publisher follows the other, and thrown away."""
        topic = threading.current_thread().name
        for kind in ("memory", "async") * ROUNDS:
            self.broker.run("topic", "create", topic, "--durability", kind, "--window", str(WINDOW), "--segment", str(WINDOW))
            for _ in range(3):
                self.broker.run("pub", topic, data=b"message\n")
            self.broker.run("topic", "delete", topic)

    def large_groups(self):
        for i in range(8):
            self.broker.run("group", "create", "shared", f"g{i}", "--span", "256M")
            self.broker.run("group", "list", "shared")
        for i in range(8):
            self.broker.run("group", "reset", "shared", f"g{i}", "--from", "end")
            self.broker.run("group", "delete", "shared", f"g{i}")

    def rings(self):
        """Publishers that come, and go without a word."""
        for _ in range(20):
            self.broker.run("pub", "shared", data=b"message\n")
            child = self.broker.popen("pub", "shared", "--count", "100G", stdout=subprocess.DEVNULL)
            self.wait_for(lambda: self.broker.info("shared")["publishers"] > 0, "a publisher")
            child.kill()
            child.wait()

    def connect(self, data):
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(self.broker.home, "broker.sock"))
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):  # refused, and hung up on
            pass
        return s

    def bad_connections(self):
        silent = collections.deque()
        for _ in range(BAD_CONNECTIONS // 4 * ROUNDS):
            silent += [self.connect(b""), self.connect(struct.pack("<IB", 0x4D524548, 1))]
            for data in (os.urandom(64), b"GET / HTTP/1.1\r\n\r\n" + bytes(32)):
                self.connect(data).close()
            while len(silent) > SILENT:
                silent.popleft().close()
        for s in silent:
            s.close()

    def all_at_once(self, *works):
        failures = []

        def run(work):
            try:
                work()
            except Exception as failure:
                failures.append(failure)
                raise

        threads = [threading.Thread(target=run, args=(work,), name=f"{work.__name__}-{i}") for i, work in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_nobody_is_held_up(self):
        b = self.broker
        b.run("topic", "create", "slow", "--durability", "async")
        b.run("topic", "create", "shared", "--durability", "memory", "--shared", "--window", "64M")
        b.run("topic", "create", "memory", "--durability", "memory")
        self.hang()
        b.run("pub", "slow", data=b"it will take a while\n")
        self.await_hanging()
        streams = [b.popen("pub", "shared", "--count", "100G", stdout=subprocess.PIPE) for _ in range(2)]
        begin = time.monotonic()
        self.all_at_once(self.large_windows, self.large_groups, self.rings, self.bad_connections)
        rate = b.info("shared")["last_sequence"] / (time.monotonic() - begin)
        for stream in streams:
            stream.send_signal(signal.SIGINT)
            self.assertGreater(int(stream.communicate(timeout=60)[0]), 0)
        reader = b.popen("sub", "memory", "--from", "first", "--count", "1", stdout=subprocess.PIPE)
        b.run("pub", "memory", data=b"message\n")
        self.assertEqual(reader.communicate(timeout=60)[0], b"message\n")
        self.assertEqual(b.info("slow")["durable_position"], 0)
        info = json.loads(b.run("info", "--json").stdout)
        self.go_on()
        self.wait_for(lambda: b.info("slow")["durable_position"] > 0, "the slow topic goes on")
        print(f"\n{info['engine']}, {rate / 1e6:.1f} M/s: longest turn {info['longest_turn_ns'] / 1e6:.3f} ms, "
              f"of its own {info['longest_own_ns'] / 1e6:.3f} ms; {info['blocked_turns']} blocked")
        self.assertEqual(b.stop(), (0, []))


class TurnEpoll(Turn):
    broker_backend = "epoll"


main()
