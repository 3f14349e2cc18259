"""Topics that are on the disk and cannot be served: they keep what they have, and who asks is told."""
import json
import os
import shutil

from hermes_test import Case, main

SMALL = ["--window", "256K", "--segment", "1M"]


class Unserved(Case):
    def make(self, topic, *options):
        self.broker.run("topic", "create", topic, *SMALL, *options)
        durable = [] if "memory" in options else ["--durable"]
        self.broker.run("pub", topic, *durable, data=b"1\n2\n")

    def directory(self, topic):
        return os.path.join(self.broker.home, "data/topics", topic)

    def lines(self, topic):
        return self.broker.run("sub", topic, "--from", "first", "-t", "0").stdout

    def topics(self):
        return [line.split()[0] for line in self.broker.run("topic", "list").stdout.splitlines()[1:]]

    def fails(self, *arguments, why):
        result = self.broker.run(*arguments, check=False, data=b"x\n")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn(why, result.stderr)
        return result

    def alter(self, topic, old, new):
        path = os.path.join(self.directory(topic), "topic.conf")
        with open(path) as file:
            text = file.read()
        self.assertIn(old, text)
        with open(path, "w") as file:
            file.write(text.replace(old, new))

    def definition(self, topic):
        with open(os.path.join(self.directory(topic), "topic.conf")) as file:
            return file.read()


class Copies(Unserved):
    def test_of_topics_with_one_id_none_is_served_and_none_is_touched(self):
        b = self.broker
        for leave in (b.stop, b.kill):  # the second time what counts is in shared memory
            for topic, options in (("stored", []), ("memory", ["--durability", "memory"])):
                self.make(topic, *options)
                self.make("beside-" + topic)
            leave()
            for topic in ("stored", "memory"):
                for copy in ("a-copy-of-", "z-copy-of-"):
                    shutil.copytree(self.directory(topic), self.directory(copy + topic))
            b.start()
            self.assertEqual(self.topics(), [b"beside-memory", b"beside-stored"])
            for topic in ("stored", "memory"):
                for name in (topic, "a-copy-of-" + topic, "z-copy-of-" + topic):
                    self.told(f"topic '{name}' is not served")
                    self.fails("pub", name, why=b"not served")
                    self.fails("topic", "create", name, why=b"not served")
            self.told("have one id: if one is a copy, move its directory out of ")
            leave()
            for topic in ("stored", "memory"):
                for copy in ("a-copy-of-", "z-copy-of-"):
                    shutil.rmtree(self.directory(copy + topic))
            b.start()
            kept = b"1\n2\n"
            self.assertEqual(self.lines("stored"), kept)
            self.assertEqual(self.lines("memory"), b"" if leave == b.stop else kept)
            for topic in ("stored", "memory", "beside-stored", "beside-memory"):
                # A publisher whose goodbye the kill forestalled is waited for, for a moment.
                self.wait_for(lambda topic=topic: b.run("topic", "delete", topic, check=False).returncode == 0,
                              f"'{topic}' can be deleted")
        self.assertEqual(b.stop(), (0, []))

    def test_nor_is_one_whose_copy_was_changed(self):
        self.make("a")
        self.broker.stop()
        shutil.copytree(self.directory("a"), self.directory("b"))
        self.alter("b", "window = 262144", "window = 77")
        self.broker.start()
        self.assertEqual(self.topics(), [])  # which is the copy is not known
        shutil.rmtree(self.directory("b"))
        self.broker.stop()
        self.broker.start()
        self.assertEqual(self.lines("a"), b"1\n2\n")


class Definitions(Unserved):
    def test_a_topic_without_a_right_id_keeps_what_a_crash_left(self):
        b = self.broker
        self.make("t", "--durability", "memory")
        right = self.definition("t")
        line = right.splitlines()[1]
        self.assertTrue(line.startswith("id = "))
        path = os.path.join(self.directory("t"), "topic.conf")
        for wrong in ("id = 0", "id = -1", "id = 12x", "id =", "id = 99999999999999999999999", ""):
            b.kill()
            with open(path, "w") as file:
                file.write(right.replace(line, wrong))
            before = b.messages().count("topic 't' is not served")
            b.start()
            self.wait_for(lambda: b.messages().count("topic 't' is not served") > before, "told of " + wrong)
            self.fails("pub", "t", why=b"not served")
            b.kill()
            with open(path, "w") as file:
                file.write(right)
            b.start()
            self.assertEqual(self.lines("t"), b"1\n2\n", wrong)

    def test_a_topic_whose_id_is_not_its_logs_keeps_what_a_crash_left(self):
        b = self.broker
        self.make("t")
        b.kill()
        line = self.definition("t").splitlines()[1]
        self.alter("t", line, "id = 77")
        b.start()
        self.told("topic 't' is not served")
        b.kill()
        self.alter("t", "id = 77", line)
        b.start()
        self.assertEqual(self.lines("t"), b"1\n2\n")
        self.assertEqual(b.info("t")["last_sequence"], 2)


class Verified(Unserved):
    def test_verifying_all_names_what_is_not_served(self):
        b = self.broker
        names = sorted(f"t{i}" for i in range(130))  # more than fit a reply
        self.make("good")
        for name in names:
            b.run("topic", "create", name, *SMALL)
        self.assertEqual(b.run("verify").returncode, 0)
        self.assertEqual(b.stop(), (0, []))
        for name in names:
            self.alter(name, "window = 262144", "window = 77")
        b.start()
        result = b.run("verify", check=False)
        self.assertEqual(result.returncode, 1)
        lines = result.stdout.decode().splitlines()
        self.assertIn("good: 2 messages right", lines[0])
        self.assertEqual([line.split(": NOT SERVED")[0] for line in lines[1:]], names)
        rows = [json.loads(row) for row in b.run("verify", "--json", check=False).stdout.splitlines()]
        self.assertEqual([row["topic"] for row in rows if not row["complete"]], names)
        self.assertEqual(b.run("verify", "good").returncode, 0)
        self.fails("verify", "t0", why=b"not served")


main()
