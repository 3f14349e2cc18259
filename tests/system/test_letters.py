"""hermes group dead: what a group gave up is listed, and put back, each once."""
import glob
import json
import os
import pty
import shutil
import signal
import subprocess
import unittest

from hermes_test import BIN, LONG, Case, main


class Letters(Case):
    broker_config = "[topic]\nwindow = 256K\nsegment = 1M\n"

    def setUp(self):
        super().setUp()
        self.broker.run("topic", "create", "orders")
        self.broker.run("group", "create", "orders", "risk", "--max-deliveries", "3", "--dead-letter", "orders.dead")

    def letter(self, sequence, payload, *, topic="orders", group="risk", deliveries=3, length=None):
        rest = [] if length is None else [str(length)]
        subprocess.run([os.path.join(BIN, "letters"), topic, group, "orders.dead", str(sequence), str(deliveries), payload,
                        *rest], env=self.broker.environment, check=True)

    def dead(self, *options, check=True):
        return self.broker.run("group", "dead", "orders", "risk", *options, check=check)

    def rows(self, *options):
        return [json.loads(line) for line in self.dead("--json", *options).stdout.splitlines()]

    def orders(self):
        return self.broker.run("sub", "orders", "--from", "first", "--timeout", "0").stdout.decode().split()

    def test_a_list_says_what_died_and_how_often_it_was_given_out(self):
        self.assertEqual(self.rows(), [])
        self.letter(12, "twelve")
        self.letter(7, "sieben und \u20ac", deliveries=5)
        row, other = self.rows()
        self.assertEqual(row, {
            "topic": "orders", "group": "risk", "sequence": 12, "position": 768, "timestamp": 10**18, "deliveries": 3,
            "reason": "deliveries", "buried_ns": 1700000000123456789, "letter": 1, "length": 6, "cut": False,
            "requeued": False, "payload": "twelve"})
        self.assertEqual((other["sequence"], other["deliveries"], other["payload"]), (7, 5, "sieben und \u20ac"))
        head, one, two = self.dead().stdout.decode().splitlines()
        self.assertEqual(head.split(), ["SEQUENCE", "DIED", "DELIVERIES", "BYTES"])
        self.assertEqual(one.split(), ["12", "2023-11-14T22:13:20.123Z", "3", "6"])
        self.assertEqual(two.split(), ["7", "2023-11-14T22:13:20.123Z", "5", "14"])
        self.assertEqual([r["sequence"] for r in self.rows("--sequence", "7", "--sequence", "99")], [7])

    def test_what_is_no_letter_of_that_group_is_left_alone(self):
        b = self.broker
        b.run("topic", "create", "fills")
        b.run("pub", "orders.dead", data=b"no letter at all\n" + b"x" * 400 + b"\n")
        self.letter(1, "another-group's", group="audit")
        self.letter(1, "another-topic's", topic="fills")
        self.letter(1, "ours")
        self.assertEqual([r["payload"] for r in self.rows()], ["ours"])
        self.dead("--requeue")
        self.assertEqual(self.orders(), ["ours"])
        b.run("topic", "delete", "orders")  # and one of that name that is made later is another
        b.run("topic", "create", "orders")
        b.run("group", "create", "orders", "risk", "--dead-letter", "orders.dead", "--max-deliveries", "3")
        self.assertEqual(self.rows(), [])

    def test_each_letter_is_put_back_once(self):
        self.letter(1, "one")
        self.letter(2, "two")
        result = self.dead("--requeue")
        self.assertEqual(result.stdout, b"2 messages put back into topic orders: all its groups and subscribers get them, not risk "
                                        b"alone\n")
        self.assertEqual([r["requeued"] for r in self.rows()], [True, True])
        self.assertIn(b"put back", self.dead().stdout)
        self.letter(3, "three")
        self.assertEqual([r["requeued"] for r in self.rows()], [True, True, False])
        self.assertEqual(self.rows("--requeue"), [{"topic": "orders", "group": "risk", "found": 1, "requeued": 1}])
        self.assertIn(b"no letter that was not put back before", self.dead("--requeue").stdout)
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        self.assertIn(b"no letter that was not put back before", self.dead("--requeue").stdout)
        self.assertEqual(self.orders(), ["one", "two", "three"])

    def test_groups_of_one_dead_letter_topic_remember_apart(self):
        long = "a" * 127
        b = self.broker
        for topic, group in (("orders", long), ("orders", long[:-1] + "b"), ("fills", "risk")):
            if topic == "fills":
                b.run("topic", "create", "fills")
            b.run("group", "create", topic, group, "--dead-letter", "orders.dead", "--max-deliveries", "3")
            self.letter(1, group[-4:], topic=topic, group=group)
        self.letter(1, "risk-of-orders")
        self.dead("--requeue")
        for topic, group in (("orders", long), ("orders", long[:-1] + "b"), ("fills", "risk")):
            self.assertIn(b"1 message put back", b.run("group", "dead", topic, group, "--requeue").stdout)
        self.assertEqual(self.orders(), ["risk-of-orders", "aaaa", "aaab"])

    def test_picked_letters_are_put_back_whatever_was_before(self):
        for i in range(1, 6):
            self.letter(i, f"m{i}")
        result = self.dead("--requeue", "--sequence", "4", "--sequence", "2")
        self.assertIn(b"2 messages put back", result.stdout)
        self.assertIn(b"--requeue without --sequence does not know of it", result.stdout)
        self.dead("--requeue", "--sequence", "4")
        self.assertIn(b"no letter of that sequence", self.dead("--requeue", "--sequence", "77").stdout)
        self.assertEqual(self.orders(), ["m2", "m4", "m4"])
        self.dead("--requeue")
        self.assertEqual(self.orders()[3:], ["m1", "m2", "m3", "m4", "m5"])

    def test_a_letter_that_was_cut_is_refused_and_the_others_are_put_back(self):
        self.letter(1, "one")
        self.letter(2, "x" * 100, length=65536)
        self.letter(3, "three")
        self.assertEqual([(r["length"], r["cut"]) for r in self.rows()], [(3, False), (65536, True), (5, False)])
        result = self.dead("--requeue", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"message 2 has 65536 bytes, of which the letter holds 100: it is not put back", result.stderr)
        self.assertIn(b"2 messages put back", result.stdout)
        self.assertEqual(self.orders(), ["one", "three"])
        self.assertIn(b"no letter that was not", self.dead("--requeue").stdout)  # and it is told of once

    def test_topics_of_every_kind(self):
        b = self.broker
        for kind in (["--durability", "sync"], ["--durability", "memory"], ["--shared"]):
            topic = "of" + "".join(kind)
            b.run("topic", "create", topic, *kind)
            b.run("group", "create", topic, "risk", "--dead-letter", "orders.dead", "--max-deliveries", "3")
            self.letter(1, "one", topic=topic)
            self.letter(2, "two", topic=topic)
            self.assertIn(b"2 messages put back", b.run("group", "dead", topic, "risk", "--requeue").stdout)
            self.assertEqual(b.run("sub", topic, "--from", "first", "--timeout", "0").stdout, b"one\ntwo\n")

    def test_a_broker_that_stops_or_dies_meanwhile_makes_nothing_come_twice(self):
        """It ends where they wait for room: a subscriber hangs for which the topic's publishers wait."""
        b = self.broker
        b.run("topic", "create", "many", "--shared", "--push-back", "--window", "256K")
        b.run("group", "create", "many", "risk", "--dead-letter", "orders.dead", "--max-deliveries", "3")
        last = 0
        for end in (b.stop, b.kill, b.stop):
            slow = b.popen("sub", "many", "--push-back", stdout=subprocess.DEVNULL)
            self.wait_for(lambda: b.info("many")["waited_for"] == 1, "it is waited for")
            slow.send_signal(signal.SIGSTOP)
            for i in range(last + 1, last + 26):
                self.letter(i, f"{i} ".ljust(16000, "."), topic="many")
            child = b.popen("group", "dead", "many", "risk", "--requeue", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.wait_for(lambda: b.info("many")["last_sequence"] > last + 10, "some are put back")
            end()
            b.start()
            slow.send_signal(signal.SIGCONT)
            said = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0, said)
            last += 25
            slow.terminate()
            slow.wait(60)
        self.assertIn(b"no letter that was not", b.run("group", "dead", "many", "risk", "--requeue").stdout)
        rows = b.run("sub", "many", "--from", "first", "--timeout", "0").stdout.splitlines()
        self.assertEqual([int(row.split()[0]) for row in rows], list(range(1, last + 1)))

    def test_who_is_killed_while_it_puts_letters_back_repeats_one_at_most(self):
        """It is killed where it waits for room: a subscriber hangs for which the topic's publishers wait."""
        b = self.broker
        for kind in (["--durability", "memory"], ["--durability", "sync"], ["--shared"]):
            topic = "of" + "".join(kind)
            b.run("topic", "create", topic, "--push-back", "--window", "256K", *kind)
            b.run("group", "create", topic, "risk", "--dead-letter", "orders.dead", "--max-deliveries", "3")
            out = open(os.path.join(b.home, topic), "w+")
            self.addCleanup(out.close)
            slow = b.popen("sub", topic, "--push-back", "--from", "first", stdout=out)

            def numbers():
                out.seek(0)
                return [int(row.split()[0]) for row in out.read().splitlines() if row]
            b.run("pub", topic, data=b"0\n")
            self.wait_for(lambda: numbers() == [0], "it reads")
            slow.send_signal(signal.SIGSTOP)
            for i in range(1, 26):
                self.letter(i, f"{i} ".ljust(16000, "."), topic=topic)
            child = b.popen("group", "dead", topic, "risk", "--requeue", stdout=subprocess.DEVNULL)
            self.wait_for(lambda: b.info(topic)["last_sequence"] > 10, "some are put back")
            child.kill()
            child.wait()
            slow.send_signal(signal.SIGCONT)
            b.run("group", "dead", topic, "risk", "--requeue")
            self.wait_for(lambda: 25 in numbers(), "all came")
            self.assertEqual(sorted(set(numbers())), list(range(26)))
            self.assertLessEqual(len(numbers()), 27, numbers())

    @unittest.skipUnless(LONG, "it takes longer than the 10 s that other waits are")
    def test_what_is_not_stored_yet_is_waited_for_and_put_back_once(self):
        b = self.broker
        self.assertEqual(b.stop(), (0, []))
        with open(os.path.join(b.home, "hermes.conf"), "a") as file:
            file.write("[store]\nsync_interval_ms = 12000\n")
        b.start()
        for i in (1, 2):
            self.letter(i, f"m{i}")
        self.dead("--requeue")
        self.assertIn(b"no letter that was not", self.dead("--requeue").stdout)
        self.assertEqual(self.orders(), ["m1", "m2"])

    def test_after_a_power_cut_what_was_put_back_last_may_come_twice(self):
        """The record of what was put back is then an older one."""
        b = self.broker
        self.letter(1, "one")
        self.dead("--requeue")
        self.assertEqual(b.stop(), (0, []))
        [record] = glob.glob(os.path.join(b.home, "data/topics/orders.dead/groups/requeue.risk.*"))
        shutil.copy(record, os.path.join(b.home, "older"))
        b.start()
        self.letter(2, "two")
        self.dead("--requeue")
        self.assertEqual(b.stop(), (0, []))
        shutil.copy(os.path.join(b.home, "older"), record)
        b.start()
        self.assertIn(b"1 message put back", self.dead("--requeue").stdout)
        self.assertEqual(self.orders(), ["one", "two", "two"])

    def test_many_letters_and_who_watches(self):
        b = self.broker
        self.letter(1, "one")
        b.run("pub", "orders.dead", "--count", "3000")
        for i in range(2, 302):
            self.letter(i, f"m{i}")
        main_side, terminal = pty.openpty()
        self.addCleanup(os.close, main_side)
        child = b.popen("group", "dead", "orders", "risk", "--requeue", stdout=subprocess.PIPE, stderr=terminal)
        said = child.communicate(timeout=60)[0]
        os.close(terminal)
        self.assertIn(b"301 messages put back", said)
        self.assertIn(b"% of the topic read", os.read(main_side, 65536))
        self.assertEqual(self.orders(), ["one"] + [f"m{i}" for i in range(2, 302)])

    def test_who_has_the_topic_is_in_the_way_and_it_says_so(self):
        self.letter(1, "one")
        publisher = self.broker.popen("pub", "orders", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.wait_for(lambda: self.broker.info("orders")["publishers"] == 1, "it has the topic")
        result = self.dead("--requeue", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"takes one publisher at a time: end that one", result.stderr)
        publisher.communicate(b"theirs\n")
        self.assertIn(b"1 message put back", self.dead("--requeue").stdout)
        self.assertEqual(self.orders(), ["theirs", "one"])

    def test_what_cannot_be_says_what_to_do(self):
        b = self.broker
        b.run("group", "create", "orders", "loose")
        b.run("group", "create", "orders", "desk", "--durable")
        for name, sentence in (("loose", b"no dead-letter topic"), ("desk", b"only a group gives messages up"),
                               ("nobody", b"nobody")):
            result = b.run("group", "dead", "orders", name, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(sentence, result.stderr)
        b.run("topic", "delete", "orders.dead")
        self.assertIn(b"orders.dead", self.dead(check=False).stderr)
        for wrong in (["dead"], ["dead", "orders"], ["dead", "orders", "risk", "--sequence", "x"],
                      ["dead", "orders", "risk", "--sequence", "0"], ["list", "--requeue"],
                      ["info", "orders", "risk", "--sequence", "1"],
                      ["dead", "orders", "risk", *["--sequence=1"] * 65]):
            self.assertEqual(b.run("group", *wrong, check=False).returncode, 64, wrong)
        usage = b.run("group", "--help").stdout
        self.assertIn(b"dead TOPIC NAME", usage)
        self.assertIn(b"--requeue", usage)


main()
