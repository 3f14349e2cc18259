"""A broker that runs out of descriptors when segments are to be made: it waits, and nothing is lost."""
import resource
import subprocess
import threading

from hermes_test import Case, main

SMALL = ["--window", "256K", "--segment", "1M"]
LINES = 20000  # of 200 bytes: five segments
NONE = 3


class Rolls(Case):
    def limit(self, most):
        _, hard = resource.prlimit(self.broker.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.broker.process.pid, resource.RLIMIT_NOFILE, (most, hard))

    def publish(self, topic, first, last):
        """A publisher, with its first lines; it has all that it needs of the broker."""
        publisher = self.broker.popen("pub", topic, "--durable", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        publisher.stdin.write(b"".join(b"%0199d\n" % i for i in range(first, last + 1)))
        publisher.stdin.flush()
        self.wait_for(lambda: self.broker.info(topic)["publishers"] == 1, "a publisher")
        self.wait_for(lambda: self.broker.info(topic)["last_sequence"] == last, "its first lines")
        return publisher

    def end(self, publisher, first, last):
        data = b"".join(b"%0199d\n" % i for i in range(first, last + 1))
        thread = threading.Thread(target=publisher.communicate, args=(data,))
        thread.start()
        self.addCleanup(thread.join)

    def test_rolls_wait_for_descriptors(self):
        b = self.broker
        before, _ = resource.prlimit(b.process.pid, resource.RLIMIT_NOFILE)
        topics = {"async": [], "sync": ["--durability", "sync"], "shared": ["--shared"], "new": []}
        for topic, options in topics.items():
            b.run("topic", "create", topic, *SMALL, *options)
        began = {topic: 0 if topic == "new" else 100 for topic in topics}  # that one has not a single segment yet
        publishers = {topic: self.publish(topic, 1, last) for topic, last in began.items()}
        self.limit(NONE)
        for topic, publisher in publishers.items():
            self.end(publisher, began[topic] + 1, LINES)
        for topic in topics:
            self.told(f"topics/{topic}: cannot create segment ")
        self.assertIn("Too many open files", b.messages())
        self.limit(before)
        for topic, publisher in publishers.items():
            self.assertEqual(publisher.wait(60), 0, topic)
            info = b.info(topic)
            self.assertFalse(info["failed"], topic)
            self.assertEqual((info["last_sequence"], info["durable_position"]), (LINES, info["committed_position"]))
        for _ in range(2):
            for topic in topics:
                lines = b.run("sub", topic, "--from", "first", "-t", "0").stdout.splitlines()
                self.assertTrue([int(line) for line in lines] == list(range(1, LINES + 1)), topic)
                self.assertIn(b"0 damaged", b.run("verify", topic).stdout)
            self.assertEqual(b.stop(), (0, []))
            b.start()


class RollsOnEpoll(Rolls):
    broker_backend = "epoll"


main()
