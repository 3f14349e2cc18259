"""A topic that follows an embedded log, by examples/c/mirror_send.c: no broker is at the other end."""
import os
import random
import subprocess
import tempfile

import hermes_test
from hermes_test import BIN, Case

LINES = 10


class Embedded(Case):
    broker_config = "[net]\ninsecure = true\n"

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory(prefix="hermes-embedded-")
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "log")
        host = random.SystemRandom()
        self.url = f"udp://127.{host.randint(1, 254)}.{host.randint(1, 254)}.{host.randint(1, 254)}:7400"  # nobody else's
        self.broker.run("mirror", "add", "t", self.url)

    def send(self):
        """Somebody writes some lines to the log, and sends it."""
        sender = subprocess.Popen([os.path.join(BIN, "mirror_send"), self.path, self.url], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        self.addCleanup(sender.wait)
        self.addCleanup(sender.kill)
        self.addCleanup(sender.stdout.close)
        self.addCleanup(sender.stdin.close)
        self.assertIn(b"port", sender.stdout.readline())
        sender.stdin.write(b"a line\n" * LINES)
        sender.stdin.flush()
        return sender

    def await_messages(self, count):
        self.wait_for(lambda: self.broker.info("t")["last_sequence"] == count,
                      f"{count} messages: {self.broker.run('mirror', 'list').stdout} {self.broker.messages()}")

    def test_who_ends_its_log_need_not_wait_for_ever_and_who_goes_on_with_it_is_followed(self):
        for count in (LINES, 2 * LINES):
            sender = self.send()
            self.await_messages(count)
            sender.stdin.close()
            self.assertEqual(sender.wait(60), 0)


if __name__ == "__main__":
    hermes_test.main()
