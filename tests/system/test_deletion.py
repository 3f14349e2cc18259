"""Deletions of topics that the disk does not let through."""
import os
import subprocess

from hermes_test import Case, main

SMALL = ["--window", "256K", "--segment", "1M"]


class Deletion(Case):
    def setUp(self):
        super().setUp()
        self.directory = os.path.join(self.broker.home, "data/topics/t")
        self.definition = os.path.join(self.directory, "topic.conf")
        self.make()

    def make(self):
        self.broker.run("topic", "create", "t", *SMALL)
        self.broker.run("pub", "t", "--durable", data=b"1\n2\n")

    def lines(self):
        return self.broker.run("sub", "t", "--from", "first", "-t", "0").stdout

    def topics(self):
        return [line.split()[0] for line in self.broker.run("topic", "list").stdout.splitlines()[1:]]

    def fails(self, *arguments, why):
        result = self.broker.run(*arguments, check=False, data=b"x\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn(why, result.stderr)

    def replace_by_directory(self, path):
        """What stands there is neither a file nor can be removed as one."""
        os.rename(path, path + ".away")
        os.mkdir(path)
        with open(os.path.join(path, "file"), "w"):
            pass

    def put_back(self, path):
        os.unlink(os.path.join(path, "file"))
        os.rmdir(path)
        os.rename(path + ".away", path)

    def test_a_definition_that_stays_leaves_the_topic_served(self):
        b = self.broker
        b.run("group", "create", "t", "g", "--from", "first")
        self.replace_by_directory(self.definition)
        for _ in range(2):
            self.fails("topic", "delete", "t", why=b"cannot delete " + self.definition.encode())
        self.assertEqual(self.topics(), [b"t"])
        b.run("pub", "t", "--durable", data=b"3\n")
        self.assertEqual(self.lines(), b"1\n2\n3\n")
        self.assertEqual(b.run("sub", "t", "--group", "g", "-t", "0").stdout, b"1\n2\n3\n")
        self.fails("topic", "create", "t", why=b"exists")
        # The next broker cannot read it: whoever asks is told, and nothing is lost.
        self.assertEqual(b.stop()[0], 0)
        b.start()
        self.told("topic 't' is not served")
        self.assertEqual(self.topics(), [])
        for asked in (["topic", "delete", "t"], ["topic", "create", "t"], ["pub", "t"], ["sub", "t"], ["topic", "info", "t"]):
            self.fails(*asked, why=b"not served")
        self.put_back(self.definition)
        self.assertEqual(b.stop()[0], 0)
        b.start()
        self.assertEqual(self.lines(), b"1\n2\n3\n")
        b.run("topic", "delete", "t")
        self.assertFalse(os.path.exists(self.directory))
        self.assertEqual(b.stop(), (0, []))

    def test_what_stays_of_a_deleted_topic_is_told(self):
        b = self.broker
        segment = b.segments("t")[0]
        self.replace_by_directory(segment)
        b.run("topic", "delete", "t")
        self.told("topic 't' is no more, but not all that it had can be removed from " + self.directory)
        self.assertEqual(self.topics(), [])
        self.fails("pub", "t", why=b"no topic 't'")
        self.fails("topic", "create", "t", *SMALL, why=b"segment 00000000000000000000.log")
        self.assertEqual(self.topics(), [])
        self.assertEqual(b.stop(), (0, []))
        told = b.messages().count("'t' is no more")
        b.start()
        self.wait_for(lambda: b.messages().count("'t' is no more") > told, "the next start tries again, and says so")
        self.put_back(segment)
        self.assertEqual(b.stop(), (0, []))
        b.start()
        self.assertFalse(os.path.exists(self.directory))
        self.make()
        self.assertEqual(self.lines(), b"1\n2\n")
        self.assertEqual(b.stop(), (0, []))

    def test_what_is_not_the_topics_stays(self):
        b = self.broker
        foreign = os.path.join(self.directory, "notes")
        os.mkdir(foreign)
        b.run("pub", "t", "--durable", data=b"3\n")
        b.run("topic", "delete", "t")
        self.assertEqual(os.listdir(self.directory), ["notes"])
        self.make()  # another one
        self.assertEqual(self.lines(), b"1\n2\n")
        self.assertEqual(b.stop(), (0, []))
        b.start()
        self.assertEqual(self.lines(), b"1\n2\n")
        self.assertTrue(os.path.isdir(foreign))
        self.assertNotIn("no more", b.messages())


class DeletionInGrace(Case):
    """After a crash of the broker the place of a publisher is kept for a moment."""

    def crash_under_a_publisher(self, grace_ms):
        b = self.broker
        b.stop()
        with open(os.path.join(b.home, "hermes.conf"), "w") as file:
            file.write(f"[broker]\ngrace_ms = {grace_ms}\n")
        b.start()
        b.run("topic", "create", "t", *SMALL)
        publisher = b.popen("pub", "t", "--durable", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        publisher.stdin.write(b"1\n")
        publisher.stdin.flush()
        self.wait_for(lambda: b.info("t")["last_sequence"] == 1, "the first message")
        b.kill()
        b.start()
        return publisher

    def test_is_refused_as_long_as_the_publisher_may_be_back(self):
        b = self.broker
        publisher = self.crash_under_a_publisher(600000)
        for _ in range(2):
            result = b.run("topic", "delete", "t", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"it may claim its place", result.stderr)
        publisher.communicate(b"2\n", timeout=60)
        self.assertEqual(publisher.returncode, 0)
        self.assertEqual(b.run("sub", "t", "--from", "first", "-t", "0").stdout, b"1\n2\n")
        b.run("topic", "delete", "t")
        self.assertEqual(b.stop(), (0, []))

    def test_goes_through_when_nobody_came_back(self):
        b = self.broker
        publisher = self.crash_under_a_publisher(10)
        publisher.kill()
        self.wait_for(lambda: b.run("topic", "delete", "t", check=False).returncode == 0, "the grace is over")
        self.assertEqual(b.stop(), (0, []))


main()
