"""The main job: everything delivered once and in order, and nothing left behind."""
import glob
import os
import re
import subprocess
import tempfile
import unittest

from hermes_test import BIN, SOURCE, main


def left(home):
    """What a demo still has in /tmp and in shared memory; other demos may run at the same time."""
    found = glob.glob(home)
    for path in glob.glob("/dev/shm/hermes-*/.home"):
        try:
            with open(path) as file:
                if home + "/" in file.read():
                    found.append(path)
        except FileNotFoundError:
            pass  # it has just gone
    return found


class Demo(unittest.TestCase):
    def demo(self, *arguments, code=0):
        result = subprocess.run([os.path.join(BIN, "hermes"), "demo", *arguments], capture_output=True, timeout=300)
        self.assertEqual(result.returncode, code, result.stdout.decode() + result.stderr.decode())
        home = re.search(rb"/tmp/hermes-demo-\w+", result.stdout)
        self.assertEqual(left(home[0].decode()) if home else [], [])
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

    def test_as_many_quotes_of_a_feed_as_were_asked_for(self):
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as feed:
            feed.writelines(f"{34200 + i / 1000:.9f},5859400,200,5853300,{18 + i}\n" for i in range(100))
            feed.flush()
            said = self.demo(feed.name, "--count", "7", "--rate", "max")
        self.assertRegex("\n".join(said), r"market\.quotes +7 ")

    def test_nothing_is_left_though_nobody_reads_what_is_printed(self):
        with subprocess.Popen([os.path.join(BIN, "hermes"), "demo", "--rate", "max"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, bufsize=0) as child:
            home = os.path.dirname(child.stdout.readline().split(b" on ")[1].split()[0])
            self.assertTrue(os.path.isdir(home))
            child.stdout.close()
            self.assertIn(b"standard output: Broken pipe", child.stderr.read())
            self.assertEqual(child.wait(60), 1)
        self.assertEqual(left(home.decode()), [])


main()
