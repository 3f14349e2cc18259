"""The main job: everything delivered once and in order, and nothing left behind."""
import glob
import os
import subprocess
import unittest

from hermes_test import BIN, SOURCE, main


def left():
    """What demos have in shared memory and in /tmp; other brokers' is none of their business."""
    found = set(glob.glob("/tmp/hermes-demo-*"))
    for path in glob.glob("/dev/shm/hermes-*/.home"):
        try:
            with open(path, "rb") as file:
                if b"/hermes-demo-" in file.read():
                    found.add(os.path.dirname(path))
        except FileNotFoundError:
            pass  # it has just gone
    return found


class Demo(unittest.TestCase):
    def demo(self, *arguments, code=0):
        before = left()
        result = subprocess.run([os.path.join(BIN, "hermes"), "demo", *arguments], capture_output=True, timeout=300)
        self.assertEqual(result.returncode, code, result.stdout.decode() + result.stderr.decode())
        self.assertEqual(left() - before, set())
        return result.stdout.decode().splitlines()

    def test_generated_feed(self):
        last = self.demo("--count", "10000", "--rate", "20000")[-1]
        self.assertRegex(last, r"^delivered (\d+) of \1 messages, lost 0, repeated 0$")

    def test_flat_out_on_epoll(self):
        last = self.demo("--count", "200000", "--rate", "max", "--backend", "epoll")[-1]
        self.assertRegex(last, r"^delivered (\d+) of \1 messages, lost 0, repeated 0$")

    def test_real_feeds_where_they_are(self):
        data = os.path.join(SOURCE, "../shared/data")
        for feed, quotes in (("aapl-2012-06-21-level1.csv.gz", 118497), ("itch50-sample.bin.gz", 392)):
            path = os.path.join(data, feed)
            if not os.path.exists(path):
                self.skipTest("the feed is not here")
            lines = self.demo(path, "--rate", "max")
            self.assertRegex(lines[-1], r"^delivered (\d+) of \1 messages, lost 0, repeated 0$")
            self.assertTrue(any(str(quotes) in line for line in lines))

    def test_bad_feeds(self):
        self.demo("/nonexistent", code=1)
        self.demo("/etc/passwd", code=1)


main()
