"""Deletions that wait for a disk: who waits for them takes nothing of a processor, and is answered."""
import os
import subprocess
import time

from hanging_disk import HangingDisk
from hermes_test import is_connected, main


class SlowDeletion(HangingDisk):
    def cpu_seconds(self):
        with open(f"/proc/{self.broker.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def takes(self):
        """Of a processor's second."""
        before = self.cpu_seconds()
        time.sleep(1)
        return self.cpu_seconds() - before

    def topics(self):
        return [line.split()[0] for line in self.broker.run("topic", "list").stdout.splitlines()[1:]]

    def hang_a_sync(self, *options):
        self.broker.run("topic", "create", "slow", "--window", "256K", "--segment", "1M", *options)
        self.hang()
        self.broker.run("pub", "slow", data=b"it will take a while\n")
        self.await_hanging()

    def begin_deletion(self):
        deletion = self.broker.popen("topic", "delete", "slow", stderr=subprocess.PIPE)
        self.wait_for(lambda: b"slow" not in self.topics(), "the deletion is under way")
        return deletion

    def test_who_waits_for_one_takes_no_processor(self):
        b = self.broker
        self.hang_a_sync()
        idle = self.takes()
        deletion = self.begin_deletion()
        self.assertLess(self.takes(), idle + 0.5)
        creation = b.popen("topic", "create", "slow")  # when the old one is gone
        self.wait_for(lambda: is_connected(creation), "the creation is asked for")
        self.assertLess(self.takes(), idle + 0.5)
        deletion.kill()  # nobody has to wait for it
        self.assertIsNone(creation.poll())
        self.go_on()
        self.assertEqual(creation.wait(60), 0)
        self.assertEqual(self.topics(), [b"slow"])
        b.run("pub", "slow", "--durable", data=b"anew\n")
        self.assertEqual(b.run("sub", "slow", "--from", "first", "-t", "0").stdout, b"anew\n")
        b.run("topic", "delete", "slow")
        self.assertEqual(b.stop(), (0, []))

    def test_a_stop_comes_behind_one(self):
        b = self.broker
        self.hang_a_sync()
        deletion = self.begin_deletion()
        creation = b.popen("topic", "create", "slow", stderr=subprocess.PIPE)
        b.process.terminate()
        self.go_on()
        self.assertEqual(b.process.wait(60), 0)
        deletion.wait(60)
        creation.wait(60)
        b.process.stdout.close()
        b.start()
        self.assertLessEqual(set(self.topics()), {b"slow"})
        self.assertEqual(b.stop(), (0, []))

    def test_what_former_publishers_left_is_named_as_what_is_in_its_way(self):
        b = self.broker
        self.hang_a_sync("--shared")
        # More than the window has room for: the rest stays in the ring of one who has gone.
        publisher = b.popen("pub", "slow", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        publisher.stdin.write((b"x" * 1000 + b"\n") * 400)
        publisher.stdin.flush()
        self.wait_for(lambda: b.info("slow")["last_sequence"] > 100, "the window fills up")
        publisher.kill()
        self.wait_for(lambda: b.info("slow")["publishers"] == 0, "the publisher is gone")
        result = b.run("topic", "delete", "slow", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"has no publisher, but not all that former ones handed over is in it yet", result.stderr)
        self.go_on()
        self.wait_for(lambda: b.run("topic", "delete", "slow", check=False).returncode == 0, "it goes in")
        self.assertEqual(b.stop(), (0, []))


class SlowDeletionEpoll(SlowDeletion):
    broker_backend = "epoll"


main()
