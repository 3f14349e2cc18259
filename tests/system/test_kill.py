"""SIGKILL of producer, consumer and broker in mid-flow: nothing lost, nothing repeated, nobody stalls."""
import glob
import os
import random
import signal
import struct
import subprocess

from hermes_test import LONG, Case, is_connected, main

ROUNDS = 1000 if LONG else 100


class Kill(Case):
    broker_config = "[topic]\nwindow = 256K\nsegment = 1M\n"

    def setUp(self):
        super().setUp()
        self.seed = random.randrange(1 << 32)
        print("seed", self.seed)
        self.random = random.Random(self.seed)

    def numbers(self, topic):
        rows = self.broker.run("sub", topic, "--from", "first", "--timeout", "0").stdout.splitlines()
        return [int(row.split(b" ")[0]) for row in rows]

    def read_some(self, subscriber, most):
        """Up to so many lines of a running flow: what comes next happens at a moment of its own each round."""
        return [subscriber.stdout.readline() for _ in range(self.random.randrange(most))]

    def lines_in_use(self):
        """Of the status pages: 256 lines of 64 bytes from 8192 on, each with its ring's name."""
        used = 0
        for path in glob.glob(os.path.join(self.broker.shm(), "*.status")):
            with open(path, "rb") as page:
                used += sum(line[0] != 0 for line in struct.iter_unpack("<Q56x", page.read()[8192:]))
        return used

    def assert_count_up(self, numbers, what):
        for number, expected in zip(numbers, range(1, len(numbers) + 1)):
            self.assertEqual(number, expected, what)

    def test_broker_is_killed_under_an_exclusive_publisher(self):
        self.flow("t", [], 1, ROUNDS)

    def test_broker_is_killed_under_shared_publishers(self):
        self.flow("s", ["--shared"], 2, ROUNDS)

    def test_broker_is_killed_under_publishers_to_sync_topics(self):
        self.flow("s", ["--shared", "--durability", "sync"], 2, ROUNDS // 4)
        self.flow("t", ["--durability", "sync"], 1, ROUNDS // 4)

    def test_broker_on_epoll_is_killed_under_shared_publishers(self):
        self.broker.backend = "epoll"
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        self.flow("s", ["--shared"], 2, ROUNDS // 4)

    def flow(self, topic, options, publishers, rounds):
        b = self.broker
        b.run("topic", "create", topic, *options)
        subscriber = b.popen("sub", topic, "--from", "first", stdout=subprocess.PIPE)
        flows = [b.popen("pub", topic, "--count", "100000000", "--rate", "20000", "--size", str(40 + 10 * i),
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for i in range(publishers)]
        self.wait_for(lambda: (b.info(topic)["publishers"], b.info(topic)["subscribers"]) == (publishers, 1),
                      "all are connected")
        received = []
        while len({len(row) for row in received}) < publishers:  # each of them is through with opening
            received.append(subscriber.stdout.readline())
        for _ in range(rounds):
            received += self.read_some(subscriber, 1000)
            b.kill()
            if self.random.randrange(4) == 0:
                self.wait_for(lambda: not is_connected(flows[0]), "a publisher notices")
            b.start()
        # A publisher that is told to end has 2 s to get in what it took: with a broker, not while it looks for one.
        self.wait_for(lambda: b.info(topic)["publishers"] == publishers, "all are back")
        for f in flows:
            f.send_signal(signal.SIGTERM)  # it stops between two messages and waits until all are committed
        for f in flows:
            error = f.communicate(timeout=120)[1]
            self.assertEqual(f.returncode, 1, error.decode() + b.messages())  # not all that was asked for
            self.assertRegex(error, rb"hermes: (\d+) of \1 messages are in topic " + topic.encode())
        total = b.info(topic)["last_sequence"]
        self.assertGreater(total, rounds)
        self.wait_for(lambda: b.info(topic)["publishers"] == 0, "publishers are gone")
        self.wait_for(lambda: self.lines_in_use() == 0, "each publisher gave back the lines of the rings that it lost")
        received += [subscriber.stdout.readline() for _ in range(total - len(received))]
        subscriber.kill()
        subscriber.communicate()
        stored = b.run("sub", topic, "--from", "first", "--timeout", "0").stdout.splitlines(keepends=True)
        for kind, rows in (("stored", stored), ("received", received)):
            mine = [[int(r.split(b" ")[0]) for r in rows if len(r) == 41 + 10 * i] for i in range(publishers)]
            for numbers in mine:
                self.assert_count_up(numbers, kind)
            self.assertEqual(sum(map(len, mine)), total)
        self.assertEqual(b.stop(), (0, []))
        b.start()

    def test_publisher_is_killed(self):
        """Its successor goes on behind what it committed; a subscriber sees one unbroken sequence."""
        for topic, options in (("t", []), ("s", ["--shared"])):
            b = self.broker
            b.run("topic", "create", topic, *options)
            subscriber = b.popen("sub", topic, "--from", "first", "--format", "hex", stdout=subprocess.PIPE)
            rows = []
            for _ in range(ROUNDS):
                victim = b.popen("pub", topic, "--count", "10000000", stdout=subprocess.DEVNULL)
                if not options:  # who dies before its request is read has the place for a moment, whenever that is
                    self.wait_for(lambda: b.info(topic)["publishers"] == 1, "it has the topic")
                rows += self.read_some(subscriber, 3000)
                victim.kill()
                victim.wait()
                if not options:
                    self.wait_for(lambda: b.info(topic)["publishers"] == 0, "its place is free")
            b.run("pub", topic, data=b"end\n")
            last = b.info(topic)["last_sequence"]
            rows += [subscriber.stdout.readline() for _ in range(last - len(rows))]
            self.assert_count_up([int(row.split(b" ")[0]) for row in rows], "received")
            self.assertTrue(rows[-1].endswith(b" " + b"end".hex().encode() + b"\n"))
            subscriber.kill()
            subscriber.communicate()
            b.run("dump", topic)

    def test_subscriber_is_killed(self):
        """A publisher with victims beside it publishes on; nothing of theirs stays."""
        b = self.broker
        b.run("topic", "create", "t")
        steady = b.popen("sub", "t", "--from", "first", stdout=subprocess.PIPE)
        publisher = b.popen("pub", "t", "--count", str(ROUNDS * 1500), "--rate", "50000",
                            stdout=subprocess.PIPE)
        while publisher.poll() is None:
            victim = b.popen("sub", "t", "--from", "first", stdout=subprocess.PIPE)
            self.read_some(victim, 3000)
            victim.kill()
            victim.communicate()
        rows = [steady.stdout.readline() for _ in range(ROUNDS * 1500)]
        self.assertEqual([int(r.split(b" ")[0]) for r in rows], list(range(1, ROUNDS * 1500 + 1)))
        steady.kill()
        steady.communicate()
        publisher.communicate()
        self.wait_for(lambda: b.info("t")["subscribers"] == 0, "dead subscribers are forgotten")
        self.assertEqual(b.stop(), (0, []))
        b.start()

    def test_stopped_subscriber_catches_up_from_the_store(self):
        b = self.broker
        b.run("topic", "create", "t")
        slow = b.popen("sub", "t", "--from", "first", stdout=subprocess.PIPE)
        self.wait_for(lambda: b.info("t")["subscribers"] == 1, "the subscriber opens")
        slow.send_signal(signal.SIGSTOP)
        b.run("pub", "t", "--count", "50000")  # 25 windows
        slow.send_signal(signal.SIGCONT)
        rows = [slow.stdout.readline() for _ in range(50000)]
        self.assertEqual([int(r.split(b" ")[0]) for r in rows], list(range(1, 50001)))
        slow.kill()
        slow.communicate()

    def test_a_broker_that_was_halted_hears_that_it_is_to_stop(self):
        """Some of the halts find the kernel waiting for signals in the broker's stead, and end that."""
        for at in range(1000):
            self.broker.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.broker.process.pid, os.WSTOPPED | os.WNOWAIT)
            self.broker.process.send_signal(signal.SIGCONT)
            if at % 20 == 0:  # meanwhile it gets to wait again
                self.broker.run("ping")
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()

    def test_orderly_restarts_under_a_publisher(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("topic", "create", "s", "--shared")
        subscriber = b.popen("sub", "t", "--from", "first", stdout=subprocess.PIPE)
        flows = [b.popen("pub", topic, "--count", "30000", "--rate", "20000", stdout=subprocess.DEVNULL)
                 for topic in ("t", "s")]
        self.wait_for(lambda: [b.info(topic)["publishers"] for topic in ("t", "s")] == [1, 1] and
                      b.info("t")["subscribers"] == 1, "all are connected")
        rows = [subscriber.stdout.readline()]  # and through with opening
        self.wait_for(lambda: b.info("s")["last_sequence"] > 0, "so is the other")
        for _ in range(15):
            rows += self.read_some(subscriber, 1000)
            self.assertEqual(b.stop(), (0, []))
            b.start()
        for f in flows:
            self.assertEqual(f.wait(60), 0)
        rows += [subscriber.stdout.readline() for _ in range(30000 - len(rows))]
        self.assertEqual([int(r.split(b" ")[0]) for r in rows], list(range(1, 30001)))
        self.assertEqual(self.numbers("s"), list(range(1, 30001)))
        subscriber.kill()
        subscriber.communicate()

    def test_subscribers_of_a_memory_topic_that_begins_anew_are_told_what_they_missed(self):
        """It has lapped again before they could look: what is gone is counted, not passed over in silence."""
        b = self.broker
        b.run("topic", "create", "t", "--shared", "--durability", "memory", "--window", "256K")
        b.run("pub", "t", "--count", "3000")
        subscriber = b.popen("sub", "t", "--timeout", "60", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        flow = b.popen("pub", "t", "--count", "1000000000", "--rate", "1000", stdout=subprocess.DEVNULL)
        subscriber.stdout.readline()  # it is where the log ends
        flow.kill()
        flow.wait()
        subscriber.send_signal(signal.SIGSTOP)
        self.assertEqual(b.stop(), (0, []))
        b.start()
        b.run("pub", "t", "--count", "5000")
        subscriber.send_signal(signal.SIGCONT)
        while (said := subscriber.stderr.readline()).startswith(b"hermes sub: the broker is "):
            pass  # away, and back: whichever of it is seen
        self.assertIn(b"overtaken", said)
        while (first := int(subscriber.stdout.readline().split(b" ")[0])) < 3000:
            pass  # of before
        self.assertEqual([int(subscriber.stdout.readline().split(b" ")[0]) for _ in range(first, 5000)], list(range(first + 1, 5001)))
        subscriber.kill()
        subscriber.communicate()


main()
