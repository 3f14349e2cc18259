"""Groups whose members are killed, stopped and started at random moments, and brokers with them: each message is
acknowledged at least once, and what comes twice was in flight when somebody died."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys

from hermes_test import BIN, LONG, SOURCE, Case, main

sys.path.insert(0, os.path.join(SOURCE, "tests/languages"))
from port_of import Port  # noqa: E402

ROUNDS = 2000 if LONG else 150
MEMBERS = 4


class Group(Case):
    broker_config = "[topic]\nwindow = 256K\nsegment = 1M\n"

    def setUp(self):
        super().setUp()
        self.seed = random.randrange(1 << 32)
        print("seed", self.seed)
        self.random = random.Random(self.seed)
        self.outputs = 0

    def info(self, topic="t", group="g"):
        return json.loads(self.broker.run("group", "info", topic, group, "--json").stdout)

    def spawn(self, *command):
        self.outputs += 1
        path = os.path.join(self.broker.home, f"out{self.outputs}")
        with open(path, "wb") as out:
            child = subprocess.Popen([os.path.join(BIN, command[0]), *command[1:]], env=self.broker.environment,
                                     stdout=out)
        self.broker.children.append(child)
        return child

    def member(self):
        return self.spawn("group_member", "t", "g", str(self.random.randrange(1, 1 << 32)))

    def words(self):
        """What members said: a list of (word, number) each. A line that a kill cut off was not said."""
        for i in range(1, self.outputs + 1):
            with open(os.path.join(self.broker.home, f"out{i}"), "rb") as out:
                lines = out.read().split(b"\n")[:-1]
            yield [(line.split(b" ")[0].decode(), int(line.split(b" ")[1])) for line in lines]

    def publisher(self, count, rate):
        """One that has begun: it fails when there is no broker to begin with, and goes on when one dies later."""
        publisher = self.broker.popen("pub", "t", "--count", str(count), "--rate", str(rate), "--size", "20",
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.wait_for(lambda: self.broker.info("t")["committed_position"] > 0 or publisher.poll() is not None,
                      "it publishes")
        return publisher

    def drained(self):
        info, topic = self.info(), self.broker.info("t")
        return info["in_flight"] == 0 and info["done_position"] == topic["committed_position"]

    def chaos(self, members, publisher, start, brokers):
        """Random deaths, in every state. Returns how many of them may have left messages in flight, and the orderly
        stops of the broker."""
        stopped, deaths, stops = [], 0, 0
        for _ in range(ROUNDS):
            out = os.path.join(self.broker.home, f"out{self.outputs}")
            size = os.path.getsize(out)
            if self.random.randrange(3):  # a moment of its own each round: the newcomer has got something
                self.wait_for(lambda: os.path.getsize(out) > size or publisher.poll() is not None, "members go on")
            what = self.random.randrange(10)
            i = self.random.randrange(len(members))
            if what < 7:
                self.assertIsNone(members[i].poll(), "it lives")
                members[i].send_signal(signal.SIGKILL if what < 6 else signal.SIGTERM)
                members[i].wait()
                members[i] = start()
                deaths += 1
            elif what < 8:  # hangs, for as long as it takes; another comes in its place
                members[i].send_signal(signal.SIGSTOP)
                stopped.append(members[i])
                members[i] = start()
                deaths += 1
            elif what < 9 and stopped:  # and comes back, much too late or just in time
                members.append(stopped.pop(self.random.randrange(len(stopped))))
                members[-1].send_signal(signal.SIGCONT)
            elif brokers and what == 9:
                if self.random.randrange(3):
                    self.broker.kill()
                else:
                    self.assertEqual(self.broker.stop(), (0, []))
                    stops += len(members) + len(stopped)  # what was in flight comes again
                self.broker.start()
        for process in stopped:
            process.send_signal(signal.SIGCONT)
        return deaths, stops

    def survives(self, brokers):
        b = self.broker
        count = 200 * ROUNDS
        b.run("topic", "create", "t")
        b.run("group", "create", "t", "g", "--lease", "200ms")
        members = [self.member() for _ in range(MEMBERS)]
        publisher = self.publisher(count, 20000)
        deaths, stops = self.chaos(members, publisher, self.member, brokers)
        error = publisher.communicate(timeout=120)[1]
        self.assertEqual(publisher.returncode, 0, error)
        self.wait_for(self.drained, "every message is acknowledged", 120)
        got, acked = [0] * (count + 1), [0] * (count + 1)
        nacked = 0
        for words in self.words():
            for word, number in words:
                if word == "got":
                    got[number] += 1
                else:
                    acked[number] += word == "ack"
                    nacked += word == "nack"
        self.assertEqual([i for i in range(1, count + 1) if got[i] == 0], [], "none is lost")
        unsaid = [i for i in range(1, count + 1) if acked[i] == 0]
        held = 8  # by each at most; a message that was claimed by who died before it said so is one more
        self.assertLessEqual(len(unsaid), deaths + held * stops,
                             "acknowledged, but killed before it said so, or told by a broker that stops that it may come again")
        info, again = self.info(), sum(n - 1 for n in got[1:])
        print(f"{count} messages, {deaths} deaths, {nacked} nacks: {again} came again; {info}")
        self.assertLessEqual(again, nacked + held * (deaths + stops) + info["expired"])
        self.assertGreaterEqual(again, nacked - deaths)
        if not brokers:
            twice = sum(n - 1 for n in acked[1:] if n > 1)
            self.assertLessEqual(twice, info["expired"], "who is late may be told that it is done, by another")
        self.assertEqual((info["dead"], info["lost"]), (0, 0))

    def test_members_die(self):
        self.survives(brokers=False)

    def test_members_and_brokers_die(self):
        self.survives(brokers=True)

    def test_at_most_once_never_repeats(self):
        b = self.broker
        count = 100 * ROUNDS
        b.run("topic", "create", "t")
        b.run("group", "create", "t", "g")
        start = lambda: self.spawn("hermes", "sub", "t", "--group", "g", "--ack", "none")
        members = [start() for _ in range(MEMBERS)]
        publisher = self.publisher(count, 20000)
        self.chaos(members, publisher, start, brokers=False)
        publisher.communicate(timeout=120)
        self.wait_for(self.drained, "all are given out")
        for process in members:
            process.send_signal(signal.SIGTERM)
            process.wait()
        numbers = []
        for i in range(1, self.outputs + 1):
            with open(os.path.join(b.home, f"out{i}"), "rb") as out:
                numbers += [int(line.split(b" ")[0]) for line in out.read().split(b"\n")[:-1]]
        self.assertGreater(len(numbers), count // 2)
        self.assertEqual(len(set(numbers)), len(numbers))

    def test_the_record_survives_a_power_cut(self):
        """Shared memory is gone; what is on disk is at most a tenth of a second old, or as old as the group is quiet."""
        b = self.broker
        b.run("topic", "create", "t", "--durability", "sync")
        b.run("group", "create", "t", "g", "--from", "first", "--max-deliveries", "3", "--lease", "1h")
        b.run("pub", "t", "--count", "100")
        self.assertEqual(len(b.run("sub", "t", "--group", "g", "--count", "40").stdout.splitlines()), 40)
        path = os.path.join(b.home, "data/topics/t/groups/g")
        self.wait_for(lambda: self.recorded(path) == self.info()["done_position"], "the record is written")
        b.kill()
        shutil.rmtree(b.shm())
        b.start()
        info = self.info()
        self.assertEqual((info["last_sequence"], info["max_deliveries"], info["lease_ns"]), (40, 3, 3600 * 10**9))
        rows = b.run("sub", "t", "--group", "g", "--timeout", "0").stdout.splitlines()
        self.assertEqual([int(row.split(b" ")[0]) for row in rows], list(range(41, 101)))

    def test_what_is_made_altered_and_deleted_is_on_disk_at_once(self):
        b = self.broker
        b.run("topic", "create", "t", "--durability", "sync")
        b.run("pub", "t", "--count", "100")
        for name in ("g", "gone"):
            b.run("group", "create", "t", name, "--from", "first")
        b.run("group", "create", "t", "made", "--durable", "--from", "seq:7")
        b.run("group", "alter", "t", "g", "--max-deliveries", "3", "--lease", "1h")
        b.run("group", "reset", "t", "g", "--from", "seq:51")
        b.run("group", "delete", "t", "gone")
        b.kill()
        shutil.rmtree(b.shm())
        b.start()
        rows = [json.loads(line) for line in b.run("group", "list", "t", "--json").stdout.splitlines()]
        self.assertEqual([(r["name"], r["kind"], r["last_sequence"]) for r in rows], [("g", "group", 50), ("made", "durable", 6)])
        self.assertEqual((rows[0]["max_deliveries"], rows[0]["lease_ns"]), (3, 3600 * 10**9))

    @staticmethod
    def recorded(path):
        with open(path, "rb") as record:
            return int.from_bytes(record.read()[16:24], "little")

    def test_damaged_and_unfinished_records(self):
        b = self.broker
        b.run("topic", "create", "t")
        for name in ("good", "bad", "cut"):
            b.run("group", "create", "t", name)
        self.assertEqual(b.stop(), (0, []))
        groups = os.path.join(b.home, "data/topics/t/groups")
        with open(os.path.join(groups, "bad"), "r+b") as record:
            record.seek(20)
            record.write(b"\xff")
        os.truncate(os.path.join(groups, "cut"), 100)
        with open(os.path.join(groups, "good~"), "wb") as unfinished:
            unfinished.write(b"half")
        b.start()
        names = [json.loads(line)["name"] for line in b.run("group", "list", "t", "--json").stdout.splitlines()]
        self.assertEqual(names, ["good"])
        for name in ("bad", "cut"):
            self.told(f"group '{name}' of topic 't' is not served")
        self.assertEqual(os.path.exists(os.path.join(groups, "good~")), False)
        failed = b.run("group", "create", "t", "bad", check=False)
        self.assertEqual(failed.returncode, 1)  # it may still be of use to somebody
        self.assertIn(b"is on the disk, but is not served", failed.stderr)
        b.run("group", "delete", "t", "bad")
        b.run("group", "create", "t", "bad")

    def test_records_that_cannot_be_written(self):
        """Members go on; the broker says so once, and writes it when it can."""
        b = self.broker
        b.run("topic", "create", "t")
        b.run("group", "create", "t", "g", "--from", "first")
        groups = os.path.join(b.home, "data/topics/t/groups")
        os.rename(groups, groups + ".away")
        with open(groups, "w"):
            pass
        b.run("pub", "t", "--count", "100")
        self.assertEqual(len(b.run("sub", "t", "--group", "g", "--timeout", "0").stdout.splitlines()), 100)
        self.wait_for(lambda: "groups/g~" in b.messages(), "the broker says so")
        for failing in (["create", "t", "h"], ["reset", "t", "g", "--from", "first"], ["alter", "t", "g", "--lease", "1h"]):
            self.assertEqual(b.run("group", *failing, check=False).returncode, 1)
        info = self.info()  # is as it was
        self.assertEqual((info["behind"], info["lease_ns"]), (0, 30 * 10**9))
        os.unlink(groups)
        os.rename(groups + ".away", groups)
        done = self.info()["done_position"]
        self.wait_for(lambda: self.recorded(os.path.join(groups, "g")) == done, "the record is written")
        self.assertEqual(b.messages().count("groups/g~"), 1)

    def test_info_counts_leases_and_losses_for_what_they_are(self):
        b = self.broker
        b.run("topic", "create", "t", "--durability", "memory", "--window", "256K")
        b.run("pub", "t", "--count", "10")
        for kind in ([], ["--durable"]):
            b.run("group", "create", "t", "g" + "".join(kind), "--from", "first", *kind)
        b.run("group", "alter", "t", "g", "--lease", "10ms")
        port = Port(b)
        self.assertEqual([port.say("open a group g manual"), port.say("take a x")], ["ok", "1"])
        self.wait_for(lambda: self.info()["expired"] == 1, "the lease runs out")
        self.assertIn("redelivered  0 times; 1 lease ran out", b.run("group", "info", "t", "g").stdout.decode())
        port.end()
        b.run("pub", "t", "--count", "20000")
        for options in (["--group", "g"], ["--name", "g--durable"]):
            b.run("sub", "t", *options, "--count", "1", check=False)
            name = options[1]
            text = b.run("group", "info", "t", name).stdout.decode()
            lost = json.loads(b.run("group", "info", "t", name, "--json").stdout)["lost"]
            self.assertGreater(lost, 10000)
            self.assertIn(f"lost         {lost} messages: overwritten, removed or damaged before anybody got them, or before they "
                          "came again", text)

    def test_what_the_commands_say(self):
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", "--count", "10")
        b.run("group", "create", "t", "g", "--from", "seq:4", "--dead-letter", "letters", "--max-deliveries", "2")
        self.assertEqual(b.run("sub", "t", "-g", "g", "-n", "2", "-o", "json").stdout.count(b'"sequence":'), 2)
        info = self.info()
        self.assertEqual((info["kind"], info["behind"], info["in_flight"], info["last_sequence"]), ("group", 5, 0, 5))
        text = b.run("group", "info", "t", "g").stdout.decode()
        for part in ("name         g\nkind         group of topic t\n", "behind       5 messages", "at most 2, then to topic letters"):
            self.assertIn(part, text)
        self.assertIn(b"letters", b.run("topic", "list").stdout)
        b.run("group", "alter", "t", "g", "--lease", "5s", "--max-deliveries", "0")
        self.assertEqual((self.info()["lease_ns"], self.info()["max_deliveries"]), (5 * 10**9, 0))
        b.run("group", "reset", "t", "g", "--from", "seq:10")
        self.assertEqual(self.info()["behind"], 1)
        self.assertTrue(b.run("sub", "t", "-g", "g", "-n", "1").stdout.startswith(b"10 "))
        b.run("sub", "t", "--name", "desk", "--from", "first", "-n", "3")
        self.assertTrue(b.run("sub", "t", "--name", "desk", "--from", "last", "-n", "1").stdout.startswith(b"4 "))
        rows = [json.loads(line) for line in b.run("group", "list", "--json").stdout.splitlines()]
        self.assertEqual([(r["topic"], r["name"], r["kind"]) for r in rows],
                         [("t", "desk", "durable"), ("t", "g", "group")])
        b.run("group", "delete", "t", "g")
        b.run("group", "delete", "t", "desk")
        self.assertEqual(b.run("group", "list", "t", "--json").stdout, b"")
        for wrong in (["group"], ["group", "list", "a", "b"], ["group", "frobnicate"], ["group", "info", "t"],
                      ["group", "reset", "t", "g"], ["group", "alter", "t", "g"],
                      ["group", "reset", "t", "g", "--from", "last"], ["group", "create", "t", "g", "--lease", "x"],
                      ["group", "alter", "t", "g", "--lease", "5s", "--dead-letter", "letters"],
                      ["group", "alter", "t", "g", "--lease", "5s", "--span", "1M"],
                      ["group", "alter", "t", "g", "--lease", "5s", "--from", "first"],
                      ["group", "reset", "t", "g", "--from", "first", "--max-deliveries", "3"],
                      ["group", "delete", "t", "g", "--durable"],
                      ["sub", "t", "--group", "g", "--name", "n"], ["sub", "t", "--ack", "none"],
                      ["sub", "t", "--from", "last"], ["sub", "t", "--group", "g", "--from", "seq:3"],
                      ["sub", "t", "--group", "g", "--ack", "perhaps"]):
            self.assertEqual(b.run(*wrong, check=False).returncode, 64, wrong)
        usage = " ".join(b.run("group", "--help").stdout.decode().split())
        self.assertIn("create: where it begins, first, end (default), seq:N or time:T; reset: where it is set to", usage)
        usage = " ".join(b.run("sub", "--help").stdout.decode().split())
        self.assertIn("first, end, seq:N or time:T; with --name last as well: where it stands", usage)
        for failing in (["group", "info", "t", "none"], ["group", "list", "none"], ["group", "delete", "t", "none"],
                        ["group", "create", "none", "g"], ["sub", "t", "--push-back"]):
            result = b.run(*failing, check=False)
            self.assertEqual(result.returncode, 1, failing)
            self.assertTrue(result.stderr.startswith(b"hermes: "), failing)


main()
