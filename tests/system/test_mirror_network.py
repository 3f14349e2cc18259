"""A log goes from one network namespace to another over a wire that loses datagrams, falls silent, and takes smaller ones: by
examples/c/mirror_send.c and mirror_receive.c. Needs root, ip and nft; skipped where they are missing."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from hermes_test import BIN, main

LINES, LINE_BYTES = 1000, 900
SENDER, RECEIVER = "10.213.77.1", "10.213.77.2"
RULES = """flush ruleset
table inet t {{
    chain to {{ type filter hook input priority 0; meta l4proto udp {which} drop; }}
    chain from {{ type filter hook output priority 0; meta l4proto udp {which} drop; }}
}}
"""
PERCENT = "numgen random mod 100 < {}"


def run(*command, data=None):
    return subprocess.run(command, input=data, check=True, capture_output=True)


def line(number):
    return f"{number} ".ljust(LINE_BYTES, "x")


class Wire:
    """Two namespaces and a cable between them."""

    def __init__(self):
        self.ends = [f"hermes-{os.getpid()}-{end}" for end in "ab"]
        try:
            self.lay()
        except BaseException:
            self.remove()
            raise

    def lay(self):
        here, there = self.ends
        for name in self.ends:
            run("ip", "netns", "add", name)
        run("ip", "-n", here, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", there)
        for name, address in (here, SENDER), (there, RECEIVER):
            run("ip", "-n", name, "address", "add", address + "/24", "dev", "wire")
            run("ip", "-n", name, "link", "set", "wire", "up")

    def remove(self):
        for name in self.ends:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def lose(self, which):
        run("ip", "netns", "exec", self.ends[1], "nft", "-f", "-", data=RULES.format(which=which).encode())

    def lose_nothing(self):
        run("ip", "netns", "exec", self.ends[1], "nft", "flush", "ruleset")

    def take_no_pieces(self):
        """A rule sees each datagram by itself: a piece that goes through in one (UDP_SEGMENT) is one packet to it."""
        for name in self.ends:
            run("ip", "-n", name, "link", "set", "wire", "gso_max_segs", "1")

    def carry_at_most(self, count):
        for name in self.ends:
            run("ip", "-n", name, "link", "set", "wire", "mtu", str(count))


class Network(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="hermes-network-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.wire = Wire()
        self.addCleanup(self.wire.remove)

    def start(self, namespace, *command, **options):
        process = subprocess.Popen(["ip", "netns", "exec", namespace, *command], **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start_both(self):
        self.sender = self.start(self.wire.ends[0], os.path.join(BIN, "mirror_send"), os.path.join(self.directory, "log"),
                                 f"udp://{SENDER}:7001", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.addCleanup(self.sender.stdin.close)
        self.path = os.path.join(self.directory, "received")
        with open(self.path, "wb") as file:
            self.receiver = self.start(self.wire.ends[1], os.path.join(BIN, "mirror_receive"), f"udp://{SENDER}:7001",
                                       stdout=file)

    def write(self, first, count):
        self.sender.stdin.write("".join(line(i) + "\n" for i in range(first, first + count)).encode())
        self.sender.stdin.flush()

    def received(self):
        with open(self.path, encoding="ascii") as file:
            return file.read().splitlines()

    def wait_for(self, count):
        end = time.monotonic() + 120
        while len(self.received()) < count:
            self.assertLess(time.monotonic(), end)
            self.assertIsNone(self.receiver.poll())
            time.sleep(0.02)

    def check_all(self, count):
        self.sender.stdin.close()
        self.assertEqual(self.receiver.wait(120), 0)
        self.assertEqual(self.sender.wait(120), 0)
        self.assertEqual(self.received(), [f"{i} {line(i)}" for i in range(1, count + 1)])

    def copy_while_losing(self, percent):
        self.wire.take_no_pieces()
        self.wire.lose(PERCENT.format(percent))
        self.start_both()
        self.write(1, LINES)
        self.check_all(LINES)

    def test_one_percent_is_lost_both_ways(self):
        self.copy_while_losing(1)

    def test_ten_percent_are_lost_both_ways(self):
        self.copy_while_losing(10)

    def test_thirty_percent_are_lost_both_ways(self):
        self.copy_while_losing(30)

    def test_whole_pieces_are_lost(self):
        self.wire.lose(PERCENT.format(10))
        self.start_both()
        self.write(1, 5 * LINES)
        self.check_all(5 * LINES)

    def test_the_wire_falls_silent_for_longer_than_anybody_waits(self):
        self.start_both()
        self.write(1, LINES)
        self.wait_for(LINES)
        self.wire.lose("")
        self.write(LINES + 1, LINES)
        time.sleep(1.5)  # each takes the other for gone after a second
        self.wire.lose_nothing()
        self.wait_for(2 * LINES)
        self.check_all(2 * LINES)

    def test_the_wire_takes_smaller_datagrams_from_now_on(self):
        self.start_both()
        self.write(1, LINES)
        self.wait_for(LINES)
        self.wire.carry_at_most(1000)
        self.write(LINES + 1, LINES)
        self.wait_for(2 * LINES)
        self.check_all(2 * LINES)


def is_possible():
    """Not every container may make namespaces, and filter in them."""
    if os.geteuid() != 0 or not all(shutil.which(program) for program in ("ip", "nft")):
        return False
    try:
        wire = Wire()
    except subprocess.CalledProcessError:
        return False
    try:
        wire.lose(PERCENT.format(1))
    except subprocess.CalledProcessError:
        return False
    finally:
        wire.remove()
    return True


if not is_possible():
    print("skipped: needs root, ip and nft")
    sys.exit(77)
main()
