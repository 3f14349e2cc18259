"""A disk that hangs for one topic. The others do not notice."""
import os
import subprocess

from hanging_disk import HangingDisk
from hermes_test import main


class SlowDisk(HangingDisk):
    def record(self, group):
        with open(os.path.join(self.broker.home, "data/topics/slow/groups", group), "rb") as file:
            return file.read()

    def run_pub(self, topic, *options, data=b"message\n"):
        """What is confirmed within 20 s. It takes milliseconds: who hangs with the slow disk hangs for good."""
        self.broker.popen("pub", topic, *options, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL).communicate(
            data, timeout=20)

    def others_go_on(self, expected=200000):
        for _ in range(3):
            self.run_pub("sync")
            self.run_pub("async", "--durable")
            self.run_pub("shared-sync")
        reader = self.broker.popen("sub", "memory", "--count", "100", stdout=subprocess.PIPE)
        publishers = [self.broker.popen("pub", "memory", "--count", "100000", stdout=subprocess.DEVNULL)
                      for _ in range(2)]
        for publisher in publishers:
            self.assertEqual(publisher.wait(20), 0)
        self.assertEqual(len(reader.communicate(timeout=20)[0].splitlines()), 100)
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
            self.assertEqual(group.communicate(timeout=20)[0], b"c\n")
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
                             .communicate(timeout=20)[0], b"a\n")
        self.await_hanging()
        self.others_go_on()
        self.others_go_on(400000)
        self.go_on()
        for name in groups:
            self.wait_for(lambda name=name: self.record(name) != before[name], "each has its turn")
        self.assertEqual(self.broker.stop(), (0, []))


class SlowDiskEpoll(SlowDisk):
    broker_backend = "epoll"


main()
