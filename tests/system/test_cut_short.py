"""Segments that somebody cut short while no broker served them: damage, and no more than that."""
import os

from hermes_test import Case, main

MIB = 1024 * 1024
SMALL = ["--window", "256K", "--segment", "1M"]


class CutShort(Case):
    broker_config = "[store]\nscrub_mb_s = 1000\nscrub_hours = 0\n"

    def setUp(self):
        super().setUp()
        b = self.broker
        b.run("topic", "create", "t", *SMALL)
        b.run("pub", "t", "--count", "20000", "--size", "96", "--durable")
        self.assertEqual(b.stop(), (0, []))
        self.before_last = b.segments("t")[-2]

    def numbers(self, topic):
        rows = self.broker.run("sub", topic, "--from", "first", "--timeout", "0", "--format", "hex", check=False).stdout
        return [int(row.split(b" ")[0]) for row in rows.splitlines()]

    def goes_on(self, first):
        b = self.broker
        for last in range(first, first + 30000, 10000):  # over the next segments, and the next starts
            b.start()
            self.told("is cut short in its segment 00000000000001048576.log")
            b.run("pub", "t", "--count", "10000", "--size", "96", "--durable")
            there = self.numbers("t")
            self.assertEqual(there[-1], last + 9999)
            self.assertEqual(there[-10000:], list(range(last, last + 10000)))
            self.assertEqual(b.info("t")["failed"], 0)
            self.wait_for(lambda: b.info("t")["corrupt"] == 1, "it is counted")
            self.assertEqual(b.run("verify", "t", check=False).returncode, 1)
            self.assertEqual(b.stop(), (0, []))
            if last == first:
                self.assertLess(len(there), last + 9999)

    def test_the_one_before_the_last_keeps_nobody_from_publishing(self):
        os.truncate(self.before_last, 70000)
        self.goes_on(20001)

    def test_nor_does_one_without_a_header(self):
        os.truncate(self.before_last, 30)
        self.goes_on(20001)

    def test_nor_after_a_crash(self):
        b = self.broker
        b.start()
        b.run("pub", "t", "--count", "1", "--size", "96")
        b.kill()
        os.truncate(self.before_last, 70000)
        self.goes_on(20002)

    def test_is_passed_over_by_a_replay_which_names_it(self):
        b = self.broker
        os.truncate(self.before_last, 70000)
        b.start()
        b.run("topic", "create", "target", *SMALL)
        result = b.run("replay", "--from-topic", "t", "--topic", "target", "--speed", "max", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"hermes: t: ", result.stderr)
        self.assertNotIn(b"target: ", result.stderr)
        self.assertEqual(len(self.numbers("target")), len(self.numbers("t")))
        self.assertEqual(result.stdout.strip(), b"%d" % len(self.numbers("t")))
        nothing = b.run("replay", "--from-topic", "nothing", "--topic", "target", check=False)
        self.assertEqual(nothing.returncode, 1)
        self.assertIn(b"no topic 'nothing'", nothing.stderr)
        self.assertNotIn(b"target", nothing.stderr)


main()
