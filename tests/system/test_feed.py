"""Recorded feeds as people have them: what is published, in its time, and what is said of what is no feed."""
import gzip
import os
import re
import signal
import struct
import subprocess
import tempfile
import threading
import unittest

from hermes_test import BIN, Case, main


def message(kind, stock, fields, time_ns=34_200_000_000_000):
    """An ITCH message with its length."""
    body = kind + struct.pack(">HH", stock, 0) + time_ns.to_bytes(6, "big") + fields
    return struct.pack(">H", len(body)) + body


def add(stock, reference, side, shares, price, symbol=b"HRMS", **options):
    return message(b"A", stock, struct.pack(">Qc I8sI", reference, side, shares, symbol.ljust(8), price), **options)


def replace(stock, old, new, shares, price):
    return message(b"U", stock, struct.pack(">QQII", old, new, shares, price))


class Feed(Case):
    feeds = 0

    def file(self, content, name="feed"):
        path = os.path.join(self.broker.home, name)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return path

    def replay(self, content, *options, speed="max", data=None):
        """The exit code, what was said, and what is in a topic of its own then."""
        self.feeds += 1
        topic = f"t{self.feeds}"
        path = self.file(content) if content is not None else "-"
        self.broker.run("topic", "create", topic, "--durability", "memory")
        result = self.broker.run("replay", path, "--topic", topic, "--speed", speed, *options, data=data, check=False)
        rows = self.broker.run("sub", topic, "--from", "first", "--timeout", "0").stdout.splitlines()
        return result.returncode, result.stderr.decode(), rows

    def refused(self, content, words, before=(), *options):
        code, said, rows = self.replay(content, *options)
        self.assertEqual((code, rows), (1, list(before)), said)
        self.assertIn(words, said)


class Replay(Feed):
    def test_a_line_with_a_zero_byte_is_refused_and_not_cut(self):
        self.refused(b"1.5,a\n2.5,b\0c\n3.5,d\n", "line 2, column 2: a zero byte", [b"1.5,a"])

    def test_utf_16_is_refused(self):
        for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
            with self.subTest(encoding=encoding):
                code, said, rows = self.replay("1.5,a\n2.5,b\n".encode(encoding))
                self.assertEqual((code, rows), (1, []), said)

    def test_a_damaged_gzip_feed_publishes_whole_lines_alone(self):
        lines = [f"{i}.5,{i * 7919 % 1000}" for i in range(5000)]
        packed = gzip.compress("\n".join(lines).encode() + b"\n")
        code, said, rows = self.replay(packed[:len(packed) * 2 // 3])
        self.assertEqual(code, 1)
        self.assertIn("end too early", said)
        self.assertGreater(len(rows), 0)
        self.assertEqual([row.decode() for row in rows], lines[:len(rows)])

    def test_times_are_found_though_the_first_line_shows_none(self):
        for begin in ("\ufeff5.5,a\n", "5,a\n", "time,what\n5.5,a\n"):
            with self.subTest(begin=begin):
                path = self.file(begin + "2005.5,b\n")
                self.broker.run("topic", "create", f"t{len(begin)}")
                child = self.broker.popen("replay", path, "--topic", f"t{len(begin)}", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                # A feed without times would be through, and its pipe closed.
                self.assertRegex(child.stderr.readline(), rb"line \d is due in \d+ s")
                child.send_signal(signal.SIGTERM)
                child.wait(60)
                rows = self.broker.run("sub", f"t{len(begin)}", "--from", "first", "--timeout", "0").stdout.splitlines()
                self.assertEqual(rows[0][-2:], b",a")

    def test_a_feed_without_times_is_said_to_be_one(self):
        code, said, rows = self.replay("5,6\n7,8\n", speed="1")
        self.assertEqual((code, len(rows)), (0, 2))
        self.assertIn("no column is known to have times", said)
        self.assertEqual(self.replay("5,6\n7,8\n", "--time-column", "0", speed="1")[:2], (0, ""))

    def test_what_is_no_time_is_refused(self):
        for wrong in ("-1.5", "18446744073.709551616"):
            self.refused(f"1.5,a\n{wrong},b\n3.5,c\n", "line 2, column 1: ", [b"1.5,a"], "--time-column", "1")

    def test_blank_lines_and_headings_are_no_messages(self):
        code, said, rows = self.replay("time,what\r\n1.5,a\r\n\r\n2.5,b\r\n\r\n")
        self.assertEqual((code, said, rows), (0, "", [b"1.5,a", b"2.5,b"]))

    def test_what_is_wrong_is_named_by_its_line(self):
        self.refused("time,what\n1.5,a\n\n2.5,b\nc,3\n", "line 5, column 1: no time", [b"1.5,a", b"2.5,b"])

    def test_what_is_no_feed_is_refused_before_anything_goes_out(self):
        self.refused("", "it is empty")
        self.refused("time,price\n", "nothing behind its heading")
        self.refused("root:x:0:0:root:/root:/bin/bash\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n", "line 2: no feed")
        for path, words in (("/etc/passwd", b"line "), ("/tmp", b"directory"), ("/nonexistent", b"No such file")):
            result = self.broker.run("replay", path, "--topic", "t1", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(words, result.stderr)
            self.assertNotIn(b"t1", result.stderr)

    def test_pipes_and_standard_input(self):
        code, said, rows = self.replay(None, data=b"1.5,a\n2.5,b")
        self.assertEqual((code, rows), (0, [b"1.5,a", b"2.5,b"]))
        self.assertIn("its last line has no newline: it may be cut short", said)
        self.assertEqual(self.replay("1.5,a\n2.5,b"), (0, "", [b"1.5,a", b"2.5,b"]))  # a file that ends so is whole
        self.assertEqual(self.replay(None, data=gzip.compress(b"1.5,a\n"))[::2], (0, [b"1.5,a"]))
        self.assertEqual(self.replay(None, data=b"")[0], 1)
        path = os.path.join(self.broker.home, "pipe")
        os.mkfifo(path)
        self.broker.run("topic", "create", "t")
        child = self.broker.popen("replay", path, "--topic", "t", stdout=subprocess.PIPE)
        with open(path, "wb") as pipe:
            for i in range(1, 4):  # a line goes out though the next one is not there
                pipe.write(b"%d.5,a\n" % i)
                pipe.flush()
                self.wait_for(lambda: self.broker.info("t")["last_sequence"] == i, f"line {i}")
        self.assertEqual(child.communicate(timeout=60)[0], b"3\n")
        child = self.broker.popen("replay", path, "--topic", "t", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(path, "wb"):  # somebody opens it, and it waits for the first line
            child.send_signal(signal.SIGINT)
            said = child.communicate(timeout=60)[1]
        self.assertEqual(said, b"")

    def test_a_signal_ends_a_feed_of_which_nothing_goes_out(self):
        """Minutes of blank lines, or of other stocks."""
        path = self.file(gzip.compress(b"1,a\n") + gzip.compress(b"\n" * (1 << 22)) * 2500)
        self.broker.run("topic", "create", "t")
        child = self.broker.popen("replay", path, "--topic", "t", "--speed", "max", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(child.kill)
        self.wait_for(lambda: self.broker.info("t")["last_sequence"] == 1, "the first line")
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
        self.assertEqual((child.returncode, said), (1, b"hermes: 1 of 1 messages are in topic t\n"))

    def test_times_that_go_back_are_told(self):
        code, said, rows = self.replay("5.5,a\n4.5,b\n5.5,c\n4.25,d\n", "--time-column", "1", speed="1000")
        self.assertEqual((code, len(rows)), (0, 4))
        self.assertIn("line 2: its time is 1.000000 s before an earlier one", said)
        self.assertIn("2 messages had times before earlier ones", said)

    def test_a_symbol_alone(self):
        feed = add(1, 1, b"B", 100, 1000) + add(2, 2, b"B", 100, 1000, b"OTHR") + message(b"D", 1, struct.pack(">Q", 1))
        code, said, rows = self.replay(feed, "--symbol", "HRMS")
        self.assertEqual((code, said, len(rows)), (0, "", 2))
        self.refused(feed, "nothing in it is of NONE", [], "--symbol", "NONE")
        code, said, rows = self.replay("symbol,price\nA,1\nB,2\n", "--symbol", "B")
        self.assertEqual((code, rows), (0, [b"B,2"]))

    def test_itch_that_lies_is_refused_with_its_byte(self):
        good = message(b"D", 1, struct.pack(">Q", 1))
        for bad, words in ((b"\0\x13D\0\0", "byte 21: an ITCH message is cut short"),
                           (b"\0\x14" + good[2:], "byte 21: a message of type 'D' has 19 bytes, and its length says 20"),
                           (b"\0\x13z" + good[3:] + good, "byte 21: ITCH 5.0 has no message of type 'z'"),
                           (message(b"D", 1, bytes(8), 86_400_000_000_000), "byte 21: its time")):
            code, said, rows = self.replay(good + bad)
            self.assertEqual((code, len(rows)), (1, 1), said)
            self.assertIn(words, said)

    def test_a_topic_is_replayed_as_far_as_it_went(self):
        """Into itself, it ends."""
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", "--count", "1000")
        result = self.broker.run("replay", "--from-topic", "t", "--topic", "t", "--speed", "max")
        self.assertEqual(result.stdout, b"2000\n")

    def test_an_export_ends_though_its_topic_goes_on(self):
        self.broker.run("topic", "create", "t")
        stop = threading.Event()
        publisher = self.broker.popen("pub", "t", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

        def publish():
            for i in range(10**9):
                if stop.is_set():
                    break
                publisher.stdin.write(b"%d\n" % i)
            publisher.stdin.close()
        thread = threading.Thread(target=publish)
        thread.start()
        self.wait_for(lambda: self.broker.info("t")["last_sequence"] > 1000, "the first messages")
        before = self.broker.info("t")["last_sequence"]
        rows = self.broker.run("export", "t").stdout.splitlines()
        after = self.broker.info("t")["last_sequence"]
        stop.set()
        thread.join()
        self.assertTrue(before <= len(rows) - 1 <= after, (before, len(rows), after))

    def test_options_that_a_topic_has_no_use_for_are_refused(self):
        for option in (("--symbol", "A"), ("--time-column", "1")):
            self.assertEqual(self.broker.run("replay", "--from-topic", "s", "--topic", "t", *option, check=False).returncode, 64)


class Demo(unittest.TestCase):
    """What the four actors make of a feed."""

    def demo(self, content, *options):
        path = os.path.join(self.enterContext(tempfile.TemporaryDirectory(prefix="hermes-test-")), "feed")
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        result = subprocess.run([os.path.join(BIN, "hermes"), "demo", path, "--rate", "max", *options], capture_output=True, text=True,
                                timeout=300)
        published = re.search(r"^market\.quotes +(\d+)", result.stdout, re.M)
        middle = re.search(r"last mid ([-0-9.]+)", result.stdout)
        return (result.returncode, int(published[1]) if published else 0, middle[1] if middle else None,
                result.stdout + result.stderr)

    def test_columns_are_found_by_their_heading(self):
        """Each stock moves by itself: a price that stays is not traded, though another stock has another. Blank last
        lines are none, and there is no price where nobody offers."""
        lines = ["Bid Size,symbol,Bid Price,Ask Price,ask-size,time"]
        for i in range(10):
            lines += [f"7,HRMS,1000000,1000200,9,{34200.5 + i}", f"7,OTHR,2000000,2000200,9,{34200.75 + i}"]
        lines += ["0,HRMS,-9999999999,1000400,9,34300", "", ""]
        code, quotes, middle, said = self.demo("\n".join(lines))
        self.assertEqual((code, quotes, middle), (0, 21, "200.0100"), said)
        self.assertIn("trading_executor: 2 orders executed", said)

    def test_more_orders_than_stocks_and_each_stock_by_itself(self):
        """70,000 orders are open when the last quote comes; another stock is far above."""
        feed = [add(2, 1, b"B", 100, 9_000_000, b"OTHR"), add(2, 2, b"S", 100, 9_000_200, b"OTHR")]
        feed += [add(1, 10 + i, b"B", 100, 1 + i) for i in range(70_000)]
        feed += [add(1, 100_000, b"S", 100, 1_000_200), add(1, 100_001, b"B", 100, 1_000_000), replace(1, 99_999, 100_002, 5, 8_000_000),
                 message(b"S", 0, b"C")]
        code, quotes, middle, said = self.demo(b"".join(feed))
        self.assertEqual((code, quotes, middle), (0, 70_004, "100.0100"), said)
        code, quotes, middle, said = self.demo(b"".join(feed), "--symbol", "OTHR")
        self.assertEqual((code, quotes, middle), (0, 2, "900.0100"), said)


main()
