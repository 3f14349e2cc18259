"""A disk that hangs for one topic. The others do not notice."""
import fcntl
import json
import os
import socket
import struct
import subprocess
import unittest

from hanging_disk import HangingDisk
from hermes_test import main


def message(kind, payload):
    return struct.pack("<IBBHQQII", 0x4D524548, 1, kind, 0, 1, 0, len(payload), 0) + payload


def name(text):
    return text.encode().ljust(128, b"\0")


class SlowDisk(HangingDisk):
    broker_config = "[broker]\nsocket_mode = 0666\n"

    def record(self, group):
        with open(os.path.join(self.broker.home, "data/topics/slow/groups", group), "rb") as file:
            return file.read()

    def run_pub(self, topic, *options, data=b"message\n"):
        """What is confirmed within a minute. It takes milliseconds: who hangs with the slow disk hangs for good."""
        publisher = self.broker.popen("pub", topic, *options, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        publisher.communicate(data, timeout=60)
        self.assertEqual(publisher.returncode, 0)

    def others_go_on(self, expected=200000):
        for _ in range(3):
            self.run_pub("sync")
            self.run_pub("async", "--durable")
            self.run_pub("shared-sync")
        reader = self.broker.popen("sub", "memory", "--count", "100", stdout=subprocess.PIPE)
        self.wait_for(lambda: self.broker.info("memory")["subscribers"] == 1, "a reader")
        publishers = [self.broker.popen("pub", "memory", "--count", "100000", stdout=subprocess.DEVNULL)
                      for _ in range(2)]
        for publisher in publishers:
            self.assertEqual(publisher.wait(60), 0)
        self.assertEqual(len(reader.communicate(timeout=60)[0].splitlines()), 100)
        self.assertEqual(self.broker.info("memory")["last_sequence"], expected)

    def make_topics(self):
        self.broker.run("topic", "create", "slow")
        self.broker.run("topic", "create", "sync", "--durability", "sync")
        self.broker.run("topic", "create", "async")
        self.broker.run("topic", "create", "shared-sync", "--durability", "sync", "--shared")
        self.broker.run("topic", "create", "memory", "--durability", "memory", "--shared")

    def test_a_sync_that_hangs_holds_nobody_else_up(self):
        self.make_topics()
        self.hang()
        self.broker.run("pub", "slow", data=b"it will take a while\n")
        self.await_hanging()
        self.others_go_on()
        self.assertEqual(self.broker.info("slow")["durable_position"], 0)
        self.go_on()
        self.wait_for(lambda: self.broker.info("slow")["durable_position"] > 0, "the slow topic goes on")
        self.assertEqual(self.broker.stop(), (0, []))

    def test_a_group_record_that_hangs_holds_nobody_else_up(self):
        self.make_topics()
        self.broker.run("pub", "slow", "--durable", data=b"a\nb\n")
        self.broker.run("group", "create", "slow", "workers", "--from", "first")
        self.hang()
        member = self.broker.popen("sub", "slow", "--group", "workers", "--count", "1", stdout=subprocess.PIPE)
        self.assertEqual(member.stdout.readline(), b"a\n")
        self.await_hanging()
        # Other groups come, and go, and have members of their own.
        self.broker.run("pub", "async", data=b"c\n")
        for name in ("one", "two"):
            group = self.broker.popen("sub", "async", "--group", name, "--from", "first", "--count", "1",
                                      stdout=subprocess.PIPE)
            self.assertEqual(group.communicate(timeout=60)[0], b"c\n")
        self.others_go_on()
        self.go_on()
        self.assertEqual(self.broker.stop(), (0, []))

    def test_many_groups_whose_records_hang_hold_nobody_else_up(self):
        """More than there are workers, and of one topic."""
        groups = [f"group-{i}" for i in range(10)]
        self.make_topics()
        self.broker.run("pub", "slow", "--durable", data=b"a\nb\n")
        for name in groups:
            self.broker.run("group", "create", "slow", name, "--from", "first")
        before = {name: self.record(name) for name in groups}
        self.hang()
        for name in groups:
            self.assertEqual(self.broker.popen("sub", "slow", "--group", name, "--count", "1", stdout=subprocess.PIPE)
                             .communicate(timeout=60)[0], b"a\n")
        self.await_hanging()
        self.others_go_on()
        self.others_go_on(400000)
        self.go_on()
        for name in groups:
            self.wait_for(lambda name=name: self.record(name) != before[name], "each has its turn")
        self.assertEqual(self.broker.stop(), (0, []))

    def hold_first(self, topic, group):
        """Somebody is given a message that is longer than what it prints it into, and hangs with it."""
        readable, writable = os.pipe()
        self.addCleanup(os.close, readable)
        fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, 4096)
        holder = self.broker.popen("sub", topic, "--group", group, stdout=writable)
        os.close(writable)
        self.assertEqual(os.read(readable, 1), b"x")
        return holder

    def members(self, group):
        return json.loads(self.broker.run("group", "info", "slow", group, "--json").stdout)["members"]

    def expect_it_from(self, topic, *options):
        other = self.broker.popen("sub", topic, *options, "--count", "1", stdout=subprocess.PIPE)
        self.assertIn(b"x" * 20000, other.communicate(timeout=60)[0])

    def test_a_lease_ends_while_the_groups_record_hangs(self):
        self.make_topics()
        self.broker.run("pub", "slow", "--durable", data=b"x" * 20000 + b"\n")
        self.broker.run("group", "create", "slow", "g", "--from", "first", "--lease", "100ms")
        self.hang()
        self.hold_first("slow", "g")
        self.await_hanging()
        self.expect_it_from("slow", "--group", "g")
        self.go_on()

    def test_a_lease_ends_while_an_alteration_hangs(self):
        self.make_topics()
        self.broker.run("pub", "slow", "--durable", data=b"x" * 20000 + b"\n")
        self.broker.run("group", "create", "slow", "g", "--from", "first", "--lease", "1s")
        self.hold_first("slow", "g")
        other = self.broker.popen("sub", "slow", "--group", "g", "--count", "1", stdout=subprocess.PIPE)
        self.wait_for(lambda: self.members("g") == 2, "the other is in")
        self.hang()
        alter = self.broker.popen("group", "alter", "slow", "g", "--max-deliveries", "5", stdout=subprocess.PIPE)
        self.await_hanging()
        self.assertIn(b"x" * 20000, other.stdout.readline())  # it ends after the alteration, as its leaving does
        self.go_on()
        self.assertEqual(alter.wait(60), 0)
        self.assertEqual(other.wait(60), 0)

    def test_a_dead_letter_is_sent_while_the_groups_record_hangs(self):
        self.make_topics()
        self.broker.run("pub", "slow", "--durable", data=b"x" * 20000 + b"\n")
        self.broker.run("group", "create", "slow", "g", "--from", "first", "--lease", "100ms",
                        "--max-deliveries", "1", "--dead-letter", "memory")
        self.hang()
        self.hold_first("slow", "g")
        self.await_hanging()
        self.expect_it_from("memory", "--from", "first")
        self.go_on()

    def test_a_window_that_takes_long_to_be_closed_holds_nobody_up(self):
        """What went with a reply may be the last of a large window by the time it is closed: its topic was deleted."""
        self.restart(SLOW_CLOSE=".window")
        self.make_topics()
        self.hang()
        self.broker.run("pub", "async", data=b"it was handed a window\n")
        self.await_hanging()
        self.run_pub("memory")
        self.run_pub("shared-sync")
        self.go_on()
        self.assertEqual(self.broker.stop(), (0, []))

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(os.path.join(self.broker.home, "broker.sock"))
        self.addCleanup(s.close)
        s.sendall(message(16, struct.pack("<H6x64s", 2, b"test")))
        self.assertEqual(s.recv(4096)[5], 17)
        return s

    @unittest.skipUnless(os.getuid() == 0 and open("/proc/self/uid_map").read().split()[2] != "1", "needs a second user")
    def test_many_requests_of_one_user_do_not_come_before_anothers(self):
        """They wait for a group of theirs whose record hangs. How many groups there are when it is our turn?"""
        self.make_topics()
        self.broker.run("group", "create", "slow", "the-first")
        self.hang()
        os.chmod(self.broker.home, 0o755)
        os.seteuid(65534)
        try:
            theirs = [self.connect() for _ in range(30)]
        finally:
            os.seteuid(0)
        ours = self.connect()
        for i, s in enumerate(theirs):
            s.sendall(message(36, name("slow") + name(f"theirs-{i}") + name("") + struct.pack(
                "<IIQIIQQ", 0, 0, 10**9, 0, 0, 0, 0)))
        self.await_hanging()
        self.broker.run("topic", "list")  # by then all of them wait
        ours.sendall(message(39, name("slow") + name("") + struct.pack("<II", 0, 0)))
        self.broker.run("topic", "list")
        self.go_on()
        reply = ours.recv(1 << 16)
        self.assertEqual(reply[5], 40)
        self.assertLessEqual(struct.unpack_from("<I", reply, 32)[0], 3)
        for s in theirs:
            self.assertEqual(s.recv(4096)[5], 19)
        self.assertEqual(self.broker.stop(), (0, []))

    def test_a_dead_letter_is_on_disk_before_its_message_is_done(self):
        b = self.broker
        b.run("topic", "create", "slow", "--shared")
        b.run("topic", "create", "t")
        b.run("pub", "slow", "--durable", data=b"first\n")  # somebody has published to it
        b.run("pub", "t", "--durable", data=b"poison\n")
        b.run("group", "create", "t", "g", "--from", "first", "--dead-letter", "slow", "--max-deliveries", "1")
        self.hang()
        with open("/dev/full", "wb") as nowhere:  # who cannot print a message does not acknowledge it
            member = b.popen("sub", "t", "--group", "g", "--count", "1", stdout=nowhere, stderr=subprocess.PIPE)
        member.communicate(timeout=60)
        letters = b.popen("sub", "slow", "--from", "first", "--count", "2", stdout=subprocess.PIPE)
        self.assertIn(b"poison", letters.communicate(timeout=60)[0])
        self.await_hanging()
        in_flight = lambda: json.loads(b.run("group", "info", "t", "g", "--json").stdout)["in_flight"]
        self.assertEqual(in_flight(), 1)
        self.go_on()
        self.wait_for(lambda: in_flight() == 0, "the message is done")
        self.assertEqual(b.stop(), (0, []))


class FewWorkers(HangingDisk):
    broker_config = "[broker]\nworkers = 2\n"
    hold_first, expect_it_from = SlowDisk.hold_first, SlowDisk.expect_it_from

    def test_a_lease_ends_while_the_disk_of_another_topic_has_all_workers(self):
        self.broker.run("topic", "create", "slow")
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", "--durable", data=b"x" * 20000 + b"\n")
        self.broker.run("group", "create", "t", "g", "--from", "first", "--lease", "100ms")
        self.hold_first("t", "g")
        self.hang()
        self.broker.run("pub", "slow", data=b"it will take a while\n")
        self.await_hanging()
        self.expect_it_from("t", "--group", "g")
        self.go_on()
        self.assertEqual(self.broker.stop(), (0, []))


class SlowDiskEpoll(SlowDisk):
    broker_backend = "epoll"


main()
