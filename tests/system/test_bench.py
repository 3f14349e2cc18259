#!/usr/bin/env python3
"""hermes bench: every suite runs, as short as it can be, and its document holds what its readers need. No figure is
looked at."""
import json
import os
import resource
import signal
import subprocess
import tempfile
import unittest

from hermes_test import is_sanitized

HERMES = os.path.join(os.environ["HERMES_BIN"], "hermes")
PLACEMENTS = {"close", "near", "between", "far"}
os.environ["HERMES_REQUEST_TIMEOUT_MS"] = "60000"  # a disk that others keep busy takes its time


def bench(*arguments, **more):
    return subprocess.run([HERMES, "bench", *arguments], capture_output=True, text=True, **more)


def document(*arguments):
    done = bench(*arguments, "--scale", "1", "--json")
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


class Suites(unittest.TestCase):
    def rows_of(self, *arguments):
        made = document(*arguments)
        self.assertRegex(made["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(set(made["machine"]), {"cpu", "cpus", "system", "compiler"})
        figures = [(row["name"], row["size_bytes"]) for row in made["results"]]
        self.assertEqual(len(figures), len(set(figures)), figures) # who compares documents tells them apart by these
        for row in made["results"]:
            if "line_rtt_ns" in row:
                self.assertIn(row["placement"], PLACEMENTS, row)
                self.assertTrue(row["line_before_ns"] > 0 and row["line_after_ns"] > 0, row)
                self.assertIn("thrown_away", row)
        return made["results"]

    def test_what_crosses_cores_names_its_placement(self):
        for suite in ("ring", "mpmc"):
            with self.subTest(suite):
                for row in self.rows_of(suite):
                    self.assertEqual("line_rtt_ns" in row, "across cores" in row["name"] or "two and two" in row["name"]
                                     or "round trip" in row["name"], row)

    def test_what_runs_on_one_core_has_no_line(self):
        for suite in ("codec", "store"):
            with self.subTest(suite):
                self.assertFalse([row for row in self.rows_of(suite) if "line_rtt_ns" in row])

    def test_log_and_broker(self):
        for suite in ("log", "broker"):
            with self.subTest(suite):
                self.assertTrue(self.rows_of(suite))

    def test_topic_says_what_may_be_lost_and_sets_lossless_rows_apart(self):
        rows = self.rows_of("topic")
        lossless = {(row["name"], row["size_bytes"]) for row in rows if "lost_percent" not in row}
        for size in (32, 64, 256, 1024):
            for what in ("topic round trip", "topic, one at a time", "topic, batches of 32"):
                self.assertIn((f"push-back {what}, no checksum", size), lossless)
        for row in rows:
            if row["name"].startswith("topic, "):
                self.assertTrue(0 <= row["lost_percent"] < 100, row)

    def test_net_has_figures_of_each_kind(self):
        rows = {(row["name"].removesuffix(", no checksum"), row["size_bytes"]): row for row in self.rows_of("net")}
        for size in (64, 1024):
            for what in ("one way, batched", "one way, batched, stored"):
                self.assertTrue({"messages_per_second", "cpu_seconds_per_million"} <= set(rows[f"tcp, {what}", size]))
            self.assertIn("cpu_seconds_per_million", rows["bare tcp through a relay, batched", size])
        self.assertIn("messages_per_second", rows["tls, one way, batched", 1024])
        for who in ("bare tcp, twice", "tcp"):
            self.assertIn("rtt_p50_ns", rows[f"{who}, request and reply, spinning", 64])
        self.assertIn("rtt_p50_ns", rows["tcp, request and reply, all asleep", 64])
        for what in ("to 1 subscriber", "to 10 subscribers", "to 100 subscribers"):
            self.assertIn("cpu_seconds_per_million", rows[f"tcp, {what}", 64])
        for count in (1, 64, 1000):
            self.assertIn("messages_per_core_second", rows[f"tcp on epoll, lone messages to {count}", 64])

    def test_udp_has_mirrors_beside_bare_sockets(self):
        rows = {(row["name"], row["size_bytes"]): row for row in self.rows_of("udp")}
        for name in ("bare udp, round trip", "mirror, round trip"):
            self.assertTrue({"rtt_p50_ns", "rtt_p99_ns"} <= set(rows[name, 64]))
        for size in (32, 1024):
            for lost in ("", ", 1 % lost", ", 10 % lost"):
                self.assertIn("messages_per_second", rows[f"mirror, stream{lost}", size])
            self.assertIn("sent again", rows["mirror, stream, 10 % lost", size]["note"])
        for name in ("mirror, a message each 10 us, 1 % lost", "mirror, a message each ms, 25 % lost"):
            self.assertRegex(rows[name, 64]["note"], r"\d+ of \d+ lost")
        self.assertIn(("mirror, idle, both ends in one broker", 0), rows)
        if not is_sanitized():  # it has its own malloc, which tells nothing
            self.assertIn("resident_bytes", rows["mirror, memory of a receiver beside its window", 0])

    def test_eager_says_how_many_can_read_at_once(self):
        rows = self.rows_of("eager")
        self.assertEqual(len(rows), 3)
        self.assertNotIn("note", rows[0])
        if len(os.sched_getaffinity(0)) <= 8:
            self.assertIn("at any moment", rows[2]["note"])


class Rate(unittest.TestCase):
    def test_each_row_has_its_tail_beside_an_empty_loop(self):
        rows = document("rate")["results"]
        self.assertEqual(len(rows), 6)
        for row in rows:
            for what in ("delay", "empty"):
                tail = [row[f"{what}_{quantile}_ns"] for quantile in ("p50", "p99", "p999", "p9999")]
                self.assertEqual(tail, sorted(tail))

    def test_one_rate(self):
        for arrivals in ("even", "poisson", "quotes"):
            (row,) = document("rate", "--rate", "250k", "--arrivals", arrivals)["results"]
            self.assertEqual(row["name"], f"topic at 0.25 M/s, {arrivals} arrivals")

    def test_the_pattern_of_a_file(self):
        with tempfile.TemporaryDirectory() as home:
            times = os.path.join(home, "times.csv")
            with open(times, "w") as file:
                file.write("time,price\n" + "".join(f"{34200 + i * i * 1e-4:.6f},585\n" for i in range(100)))
            (row,) = document("rate", "--arrivals", times)["results"]
            self.assertEqual(row["name"], "topic at 1 M/s, times.csv arrivals")
            for text in ("", "1\n", "1\n1\n", "2\n1\n3\n", "no times here\n"):
                with open(times, "w") as file:
                    file.write(text)
                refused = bench("rate", "--arrivals", times)
                self.assertEqual(refused.returncode, 1)
                self.assertIn("rising times", refused.stderr)

    def test_refusals(self):
        for rate in ("", "M", "0", "-1", "1G", "1MM", "200M", "nan"):
            self.assertEqual(bench("rate", "--rate", rate).returncode, 64, rate)
        self.assertEqual(bench("rate", "--arrivals", "/nowhere").returncode, 1)
        self.assertEqual(bench("rates").returncode, 64)

    def test_runs(self):
        rows = document("rate", "--rate", "1000", "--runs", "3")["results"]
        self.assertEqual(len(rows), 3)


class Ends(unittest.TestCase):
    """However it ends, it does end, and nothing of it is left. What it prints is closed once that is so."""

    def setUp(self):
        self.home = tempfile.TemporaryDirectory(prefix="h")
        self.addCleanup(self.home.cleanup)
        self.surroundings = dict(os.environ, TMPDIR=self.home.name)

    def assert_empty(self):
        self.assertEqual(os.listdir(self.home.name), [])

    def test_after_an_error(self):
        refused = bench("rate", "--arrivals", "/dev/null", env=self.surroundings)
        self.assertEqual(refused.returncode, 1)
        self.assert_empty()

    def test_after_a_signal(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            running = subprocess.Popen([HERMES, "bench", "broker", "--scale", "1"], stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, env=self.surroundings)
            self.assertIn("start to first message", running.stdout.readline())
            self.assertEqual(len(os.listdir(self.home.name)), 1)
            running.send_signal(number)
            running.communicate()
            self.assertEqual(running.returncode, -number)
            self.assert_empty()

    def test_when_its_other_process_cannot_write(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        done = bench("log", "--scale", "1", env=self.surroundings, preexec_fn=limit, timeout=100)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_empty()

    def test_on_one_core(self):
        core = min(os.sched_getaffinity(0))
        pin = lambda: os.sched_setaffinity(0, {core})
        for suite in ("ring", "all"):
            done = bench(suite, "--scale", "1", preexec_fn=pin, timeout=100)
            self.assertEqual(done.returncode, 1)
            self.assertIn("two cores", done.stderr)
        self.assertEqual(bench("codec", "--scale", "1", preexec_fn=pin).returncode, 0)


class Files(unittest.TestCase):
    def test_hold_the_last_latency_or_it_is_said_why_not(self):
        with tempfile.TemporaryDirectory() as home:
            path = os.path.join(home, "last.hgrm")
            done = bench("rate", "--rate", "1000", "--scale", "1", "--hgrm", path, "--plot", "/dev/full")
            self.assertEqual(done.returncode, 1)
            self.assertIn("/dev/full", done.stderr)
            with open(path) as file:
                self.assertIn("Percentile", file.read())

    def test_are_for_suites_that_measure_a_latency(self):
        for option in ("--hgrm", "--plot"):
            done = bench("codec", "--scale", "1", option, "/dev/null")
            self.assertEqual(done.returncode, 1)
            self.assertIn("no latency", done.stderr)


if __name__ == "__main__":
    unittest.main()
