#!/usr/bin/env python3
"""Measures Hermes and other libraries by turns, A B C, C B A, ..., and prints medians, ranges and ratios.

Rows that measure the same thing stand together. Where the two cores are changes from moment to moment: each row is
put into the placement (close, near, between, far) that a cache line's round trip just before and just after tells,
and compared with rows of the same placement alone; all placements that were seen are printed, with how often. `lines`
are the medians of the two; a run during which they differ by more than a fifth is not counted but thrown away.
`x best peer` is our median divided by the best peer's; of latencies, their ratios to the line. Rows that may lose
messages stand apart, with how many were lost: peers lose none."""
import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import time

import rows

RINGS = ("push+pop, one thread", "across cores, one at a time", "across cores, batches of 32", "round trip")
QUEUES = ("push+pop, one thread", "across cores, one at a time", "two and two on two cores", "round trip")
TOPICS = ("round trip", "one at a time", "batches of 32")
NET = ("one way, batched", "one way, batched, stored", "request and reply, all asleep", "request and reply, spinning",
       "to 1 subscriber", "to 10 subscribers", "to 100 subscribers",
       "lone messages to 1", "lone messages to 64", "lone messages to 1000")
UDP = ("round trip", "stream", "stream, 1 % lost", "stream, 10 % lost")
# hermes bench SUITE, the peers' programs, and what of each is measured: names in their results end like this.
SUITES = {
    "ring": (("peer_rings", "peer_disruptor"), RINGS),
    "mpmc": (("peer_mpmc", "peer_array_queue"), QUEUES),
    "topic": (("peer_aeron", "peer_iceoryx2", "peer_chronicle"), TOPICS),
    "net": (("peer_nats", "peer_zeromq", "peer_redis"), NET),
    "udp": (("peer_aeron_udp",), UDP),
}
COMMENTS = {
    "peer_aeron_udp": "its driver within each process",
    "peer_disruptor": "two threads of one process",
    "peer_chronicle": "stored, as a stored topic is",
    "bare": "without a broker",
}


def split(name, whats):
    """'boost spsc_queue round trip' -> who, what. Checksums are our own: without them it is the same job."""
    name = name.removesuffix(", no checksum")
    for what in whats:
        if name.endswith(what):
            return name[:-len(what)].rstrip(", "), what
    return None, None


def peer_of(program, name):
    """Who made that row; None: Hermes. What hermes bench measures bare stands where peers do."""
    return program if program != "hermes" else "bare" if name.startswith("bare ") else None


class Turns:
    def __init__(self, arguments):
        self.arguments = arguments
        self.version = self.machine = None
        self.results = []

    def run(self, suite, program):
        """One program's turn. A peer that fails is told of, and left out of this round."""
        path = os.path.join(self.arguments.bin, program)
        command = [path, "bench", suite, "--json", "--scale", str(self.arguments.scale)] if program == "hermes" else [path]
        surroundings = dict(os.environ, HERMES_BENCH_SCALE=str(self.arguments.scale))
        done = subprocess.run(command, stdout=subprocess.PIPE, env=surroundings)
        if done.returncode != 0:
            print(f"{program} failed ({done.returncode})", file=sys.stderr)
            if program == "hermes":
                sys.exit(1)
            return
        document = json.loads(done.stdout)
        if program == "hermes":
            self.version, self.machine = document["version"], document["machine"]
        for row in document["results"]:
            who, what = split(row["name"], SUITES[suite][1])
            row.update(suite=suite, what=what, who=who, peer=peer_of(program, row["name"]))
            if what and not row["peer"]:
                row["who"] = f"hermes {who}"
            self.results.append(rows.place(row))

    def programs(self, suite):
        there = [peer for peer in SUITES[suite][0] if os.path.exists(os.path.join(self.arguments.bin, peer))]
        for peer in set(SUITES[suite][0]) - set(there):
            print(f"{suite}: {peer} is left out: it was not built (./run bench says why)", file=sys.stderr)
        return ["hermes", *there]

    def take(self):
        suites = [self.arguments.suite] if self.arguments.suite else list(SUITES)
        programs = {suite: self.programs(suite) for suite in suites}
        end = time.monotonic() + 60 * (self.arguments.minutes or 0)
        count = 0
        while time.monotonic() < end if self.arguments.minutes else count < self.arguments.pairs:
            count += 1
            for suite in suites:
                print(f"round {count}: {suite}", file=sys.stderr)
                for program in programs[suite][::1 if count % 2 else -1]:
                    self.run(suite, program)


def tables(results):
    """{(suite, what, size, measure, may lose): {placement: {who: Seen}}}, of what is measured beside peers."""
    made = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(rows.Seen)))
    for row in results:
        for key in rows.measures(row) if row["what"] else ():
            table = (row["suite"], row["what"], row["size_bytes"], key, "lost_percent" in row)
            seen = made[table][row["placement"]][row["who"]]
            seen.add(row, key)
            seen.peer = row["peer"]
            seen.__dict__.setdefault("lost", []).append(row.get("lost_percent", 0))
    return made


def summary(table, where, who, seen, peers):
    suite, what, size, key, may_lose = table
    measure = rows.MEASURES[key]
    made = {"suite": suite, "what": what, "size_bytes": size, "measure": key, "placement": where, "who": who,
            "runs": len(seen.numbers), "thrown_away": seen.thrown_away, "peer": seen.peer}
    if may_lose:
        made["median_lost_percent"] = statistics.median(seen.lost)
    if not seen.numbers:
        return made
    made.update(median=statistics.median(seen.numbers), lowest=min(seen.numbers), highest=max(seen.numbers))
    figure = lambda s: statistics.median(s.ratios() if measure.by_line and s.before else s.numbers)
    if seen.before:
        made["median_line_before_ns"], made["median_line_after_ns"] = seen.lines()
    if measure.by_line and seen.before:
        made["median_ratio_to_line"] = figure(seen)
    if peers and not seen.peer and not may_lose:
        made["times_best_peer"] = figure(seen) / (max if measure.more_is_better else min)(map(figure, peers))
    return made


def summaries(made):
    for table in sorted(made):
        for where in sorted(made[table], key=rows.PLACEMENTS.index):
            group = made[table][where]
            peers = [seen for seen in group.values() if seen.peer and seen.numbers]
            for who in sorted(group):
                yield summary(table, where, who, group[who], peers)


def print_row(r):
    scale = rows.MEASURES[r["measure"]].scale
    who = f"  {r['who']:34}"
    if not r["runs"]:
        print(f"{who} {'':>9} {'':>9} {'':>9} {0:5} {r['thrown_away']:7}")
        return
    lines = f"{r['median_line_before_ns']:4.0f}, {r['median_line_after_ns']:.0f}" if "median_line_before_ns" in r else ""
    ratio = f"{r['median_ratio_to_line']:6.2f} x line" if "median_ratio_to_line" in r else ""
    against = f"  {r['times_best_peer']:6.2f} x best peer" if "times_best_peer" in r else ""
    lost = f"{r['median_lost_percent']:6.1f} % lost" if "median_lost_percent" in r else ""
    comment = f"  ({COMMENTS[r['peer']]})" if r["peer"] in COMMENTS else ""
    print(f"{who} {r['median'] * scale:9.2f} {r['lowest'] * scale:9.2f} {r['highest'] * scale:9.2f} {r['runs']:5} "
          f"{r['thrown_away']:7}  {lines:10}{ratio}{against}{lost}{comment}".rstrip())


def print_tables(all_of_them):
    before = None
    for r in all_of_them:
        table = (r["suite"], r["what"], r["size_bytes"], r["measure"], r["placement"], "median_lost_percent" in r)
        if table != before:
            where = f", {r['placement']}" if r["placement"] else ""
            apart = ", may lose messages" if "median_lost_percent" in r else ""
            print(f"\n{r['suite']}: {r['what']}, {r['size_bytes']} B, {rows.MEASURES[r['measure']].unit}{where}{apart}")
            print(f"  {'':34} {'median':>9} {'lowest':>9} {'highest':>9} {'runs':>5} {'thrown':>7}  lines")
            before = table
        print_row(r)


def print_placements(results):
    """How many runs fell into each."""
    steady = collections.Counter(row["placement"] for row in results if row["placement"] and row["steady"])
    thrown = sum(row.get("thrown_away", 0) + (not row["steady"] and not row.get("thrown_away")) for row in results)
    counts = ", ".join(f"{steady[where]} {where}" for where in rows.PLACEMENTS if steady[where]) or "none"
    print(f"Runs across cores by placement: {counts}; thrown away because the cores moved: {thrown}.")


def main():
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="N rounds (5)")
    parser.add_argument("--minutes", type=float, metavar="N", help="as many rounds as N minutes take, instead")
    parser.add_argument("--suite", choices=sorted(SUITES), help="this one alone")
    parser.add_argument("--scale", type=int, default=100, metavar="PERCENT", help="more or less work (100)")
    parser.add_argument("--json", action="store_true", help="every row, and the summaries")
    turns = Turns(parser.parse_args())
    turns.take()
    made = list(summaries(tables(turns.results)))
    if turns.arguments.json:
        print(json.dumps({"version": turns.version, "machine": turns.machine, "results": turns.results,
                          "summaries": made}, indent=1))
        return
    print_placements(turns.results)
    print_tables(made)


if __name__ == "__main__":
    main()
