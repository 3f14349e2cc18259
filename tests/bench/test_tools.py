#!/usr/bin/env python3
"""bench/compare.py and bench/regressions.py, over documents and programs that are made up here."""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "bench"
FIGURES = {"rtt_p50_ns": 150.0, "rtt_p99_ns": 190.0, "messages_per_second": 3e7, "ns_per_operation": 0.8, "delay_p50_ns": 120.0}


def run(tool, *arguments):
    return subprocess.run([sys.executable, "-B", TOOLS / tool, *arguments], capture_output=True, text=True)


def row(name, line, number, **more):
    """line: None, or its round trips before and after."""
    made = {"name": name, "size_bytes": 64, "steady": True, **number, **more}
    if line:
        made.update(line_before_ns=line[0], line_after_ns=line[1], thrown_away=more.get("thrown_away", 0))
    return made


def document(results, cpu="this one"):
    return {"version": "0.1.0", "machine": {"cpu": cpu, "cpus": 2}, "results": results}


def noisy(seed, factor=None, runs=30):
    """Ten rows of each measure, in two placements, each figure within 10 % of its own; factor: (name, of its figure)."""
    chance = random.Random(seed)
    results = []
    for _ in range(runs):
        for key, usual in FIGURES.items():
            for number in range(10):
                line = None if key == "ns_per_operation" else chance.choice([(95.0, 97.0), (250.0, 251.0)])
                name = f"{key} {number}"
                figure = usual * chance.uniform(0.9, 1.1) * (line[0] / 95 if key.startswith("rtt") else 1)
                if factor and factor[0] == name:
                    figure *= factor[1]
                results.append(row(name, line, {key: figure}))
    return document(results)


class Regressions(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.TemporaryDirectory()
        self.addCleanup(self.home.cleanup)

    def compare(self, old, new, *options):
        paths = []
        for name, made in (("old", old), ("new", new)):
            paths.append(os.path.join(self.home.name, name))
            pathlib.Path(paths[-1]).write_text(made if isinstance(made, str) else json.dumps(made))
        return run("regressions.py", *paths, *options)

    def verdicts(self, done):
        return {(r["name"], r["placement"]): r["verdict"] for r in json.loads(done.stdout)["results"]}

    def test_noise_is_not_a_slowdown(self):
        for seed in range(5):
            done = self.compare(noisy(seed), noisy(100 + seed), "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(set(self.verdicts(done).values()), {"same"})

    def test_a_planted_slowdown_is_found_and_nothing_else(self):
        for key in FIGURES:
            slow = 0.75 if key == "messages_per_second" else 1 / 0.75
            done = self.compare(noisy(1), noisy(2, (f"{key} 3", slow)), "--json")
            self.assertEqual(done.returncode, 1)
            slower = {name for (name, _), verdict in self.verdicts(done).items() if verdict == "slower"}
            self.assertEqual(slower, {f"{key} 3"})
            self.assertNotIn("faster", self.verdicts(done).values())

    def test_the_table_names_it(self):
        done = self.compare(noisy(1), noisy(2, ("messages_per_second 3", 0.75)))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, r"slower:\n  messages_per_second 3, 64 B, (close|between) .*-2\d\.\d %")

    def test_what_became_faster_is_no_failure(self):
        done = self.compare(noisy(1), noisy(2, ("rtt_p50_ns 3", 0.7)), "--json")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.verdicts(done)["rtt_p50_ns 3", "close"], "faster")

    def test_another_placement_is_not_compared(self):
        near = document([row("stream", (95, 96), {"messages_per_second": 5e7 + i}) for i in range(6)])
        far = document([row("stream", (480, 470), {"messages_per_second": 1e7 + i}) for i in range(6)])
        self.assertEqual(self.compare(near, far).returncode, 2)

    def test_what_was_measured_while_the_cores_moved_is_not_counted(self):
        steady = [row("stream", (95, 96), {"messages_per_second": 5e7 + i}) for i in range(6)]
        moved = [row("stream", (60, 130), {"messages_per_second": 1e7 + i}) for i in range(6)]
        self.assertEqual(self.compare(document(steady), document(steady + moved)).returncode, 0)
        self.assertEqual(self.verdicts(self.compare(document(steady), document(moved), "--json")), {("stream", "close"): "too few runs"})

    def test_what_says_that_it_is_unsteady_is_not_counted(self):
        steady = [row("stream", (95, 96), {"messages_per_second": 5e7 + i}) for i in range(6)]
        rounded = [row("stream", (80, 96), {"messages_per_second": 1e7 + i}, steady=False) for i in range(6)]
        self.assertEqual(self.verdicts(self.compare(document(steady), document(rounded), "--json")), {("stream", "close"): "too few runs"})

    def test_figures_lines_and_options_that_are_none_are_refused(self):
        good = document([row("stream", (95, 96), {"rtt_p50_ns": 5 + i}) for i in range(6)])
        for line, figure in (((95, 96), None), ((95, 96), "5"), ((95, 96), 0), ((95, 96), float("nan")), ((0, 0), 5), ((95, "96"), 5)):
            bad = document([row("stream", line, {"rtt_p50_ns": figure})] * 6)
            done = self.compare(bad, good)
            self.assertEqual((done.returncode, done.stdout), (2, ""), (line, figure))
            self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(self.compare({**good, "machine": None}, good).returncode, 2)
        self.assertEqual(self.compare(good, good, "--least", "0").returncode, 2)

    def test_few_runs_are_not_judged(self):
        self.assertEqual(set(self.verdicts(self.compare(noisy(1, runs=2), noisy(2, runs=2), "--json")).values()), {"too few runs"})

    def test_peers_are_none_of_ours(self):
        rows = lambda number: [row("stream", (95, 96), {"messages_per_second": number}, peer="peer_aeron") for _ in range(6)]
        ours = [row("ours", None, {"ns_per_operation": 1})] * 6
        self.assertEqual(self.compare(document(ours + rows(5e7)), document(ours + rows(1e7))).returncode, 0)

    def test_another_machine_is_told_of(self):
        done = self.compare(noisy(1), {**noisy(2), "machine": {"cpu": "another"}})
        self.assertIn("not made on the same machine", done.stdout)

    def test_what_is_no_document_is_refused(self):
        for text in ("", "{}", "[]", "3", '{"results": [1]}', '{"results": [{"ns_per_operation": 1}]}'):
            done = self.compare(text, noisy(1))
            self.assertEqual((done.returncode, done.stdout), (2, ""), text)
            self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(run("regressions.py", "/nowhere", "/nowhere").returncode, 2)


PROGRAM = """#!{python}
import json, sys
count = {home!r} + "/" + {name!r} + ".turns"
with open(count, "a+") as file:
    file.seek(0)
    turn = len(file.read())
    file.write(".")
rounds = json.loads({rounds!r})
print(json.dumps({{"version": "0.1.0", "machine": {{}}, "results": rounds[turn % len(rounds)]}}))
"""


class ByTurns(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.TemporaryDirectory()
        self.addCleanup(self.home.cleanup)

    def program(self, name, rounds):
        path = pathlib.Path(self.home.name, name)
        path.write_text(PROGRAM.format(python=sys.executable, home=self.home.name, name=name, rounds=json.dumps(rounds)))
        path.chmod(0o755)

    def compare(self, *options, suite="topic"):
        done = run("compare.py", self.home.name, "--suite", suite, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def stream(self, name, line, rate, **more):
        return row(f"{name}, one at a time", line, {"messages_per_second": rate}, **more)

    def test_each_placement_stands_alone(self):
        ours = [[self.stream("push-back topic", line, rate)] for line, rate in (((90, 91), 6e7), ((480, 470), 2e7))]
        theirs = [[self.stream("aeron ipc", line, rate)] for line, rate in (((92, 93), 3e7), ((450, 460), 2e7))]
        self.program("hermes", ours)
        self.program("peer_aeron", theirs)
        made = json.loads(self.compare("--pairs", "4", "--json"))["summaries"]
        of_us = {r["placement"]: r for r in made if r["who"] == "hermes push-back topic"}
        self.assertEqual({where: r["runs"] for where, r in of_us.items()}, {"close": 2, "far": 2})
        self.assertEqual({where: r["times_best_peer"] for where, r in of_us.items()}, {"close": 2, "far": 1})

    def test_what_may_lose_stands_apart_with_its_losses(self):
        self.program("hermes", [[self.stream("push-back topic", (90, 91), 4e7), self.stream("topic", (90, 91), 9e7, lost_percent=25.0)]])
        self.program("peer_aeron", [[self.stream("aeron ipc", (90, 91), 2e7)]])
        text = self.compare("--pairs", "1")
        together, apart = text.split(", may lose messages\n")
        self.assertIn("2.00 x best peer", together)
        self.assertIn("25.0 % lost", apart)
        self.assertNotIn("x best peer", apart)
        self.assertNotIn("aeron", apart)

    def test_runs_while_the_cores_moved_are_counted_and_left_out(self):
        moved = self.stream("aeron ipc", (60, 130), 9e9, thrown_away=8)
        steady = self.stream("aeron ipc", (90, 91), 2e7, thrown_away=1)
        self.program("hermes", [[self.stream("push-back topic", (90, 91), 4e7)]])
        self.program("peer_aeron", [[steady], [moved]])
        text = self.compare("--pairs", "2")
        self.assertIn("Runs across cores by placement: 3 close; thrown away because the cores moved: 9.", text)
        self.assertIn("2.00 x best peer", text)

    def test_brokers_over_the_network_are_compared_by_what_they_take_of_the_processors_too(self):
        flow = lambda name, rate, cpu: row(name, (90, 91), {"messages_per_second": rate, "cpu_seconds_per_million": cpu})
        self.program("hermes", [[flow("tcp, one way, batched, no checksum", 4e6, 0.5)]])
        self.program("peer_nats", [[flow("nats, one way, batched", 1e6, 2.0)]])
        self.program("peer_redis", [[flow("redis, one way, batched", 1e5, 10.0), flow("redis, one way, batched, stored", 1e5, 10.0)]])
        made = json.loads(self.compare("--pairs", "1", "--json", suite="net"))["summaries"]
        ours = {r["measure"]: r["times_best_peer"] for r in made if r["who"] == "hermes tcp"}
        self.assertEqual(ours, {"messages_per_second": 4, "cpu_seconds_per_million": 0.25})
        self.assertEqual({r["who"] for r in made if r["what"] == "one way, batched, stored"}, {"redis"})

    def test_what_is_measured_bare_stands_where_peers_do(self):
        self.program("hermes", [[row("tcp, request and reply, spinning, no checksum", (90, 91), {"rtt_p50_ns": 39000}),
                                 row("bare tcp, twice, request and reply, spinning", (90, 91), {"rtt_p50_ns": 30000})]])
        made = json.loads(self.compare("--pairs", "1", "--json", suite="net"))["summaries"]
        self.assertEqual({r["who"]: r.get("times_best_peer") for r in made}, {"hermes tcp": 1.3, "bare tcp, twice": None})

    def test_streams_that_lose_stand_beside_streams_that_lose_as_much(self):
        flow = lambda name, rate: row(name, (90, 91), {"messages_per_second": rate})
        self.program("hermes", [[flow("mirror, stream", 8e6), flow("mirror, stream, 10 % lost", 6e6)]])
        self.program("peer_aeron_udp", [[flow("aeron udp, stream", 4e6), flow("aeron udp, stream, 10 % lost", 1e6)]])
        made = json.loads(self.compare("--pairs", "1", "--json", suite="udp"))["summaries"]
        self.assertEqual({r["what"]: r["times_best_peer"] for r in made if r["who"] == "hermes mirror"},
                         {"stream": 2, "stream, 10 % lost": 6})

    def test_by_turns(self):
        self.program("hermes", [[self.stream("push-back topic", (90, 91), 4e7)]])
        self.program("peer_aeron", [[self.stream("aeron ipc", (90, 91), 4e7)]])
        self.compare("--pairs", "3")
        for name in ("hermes", "peer_aeron"):
            self.assertEqual(pathlib.Path(self.home.name, name + ".turns").read_text(), "...")


if __name__ == "__main__":
    unittest.main()
