#!/usr/bin/env python3
"""Measures Hermes and other libraries by turns, A B A B ..., and prints medians, ranges and ratios.

Usage: compare.py BINDIR [--pairs N] [--suite SUITE] [--json]

Rows that measure the same thing stand together. Where the two cores lie changes from moment to moment, so figures are
taken from near moments alone (a line's round trip below 200 ns) where there are any, and latencies are compared as
ratios to the line of the same moment. `x best peer` is our median divided by the best peer's."""
import argparse
import collections
import json
import os
import statistics
import subprocess
import sys

# hermes bench SUITE, the peer's program, and what of each is measured: names in its results end like this.
SUITES = (
    ("ring", "peer_rings", ("push+pop, one thread", "across cores, one at a time", "round trip")),
    ("mpmc", "peer_mpmc", ("push+pop, one thread", "across cores, one at a time", "two and two on two cores", "round trip")),
    ("mpmc", "peer_array_queue", ("push+pop, one thread", "across cores, one at a time", "two and two on two cores", "round trip")),
    ("topic", "peer_aeron", ("round trip", "one at a time")),
)
NEAR_NS = 200
MEASURES = {"rtt_p50_ns": ("ns", 1, False), "rtt_p99_ns": ("ns, p99", 1, False), "ns_per_operation": ("ns", 1, False),
            "messages_per_second": ("M/s", 1e-6, True)}


def run(*command):
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["results"]


def split(name, whats):
    """'boost spsc_queue round trip' -> who, what. Checksums are our own: without them it is the same job."""
    name = name.removesuffix(", no checksum")
    for what in whats:
        if name.endswith(what) and not name.startswith("stored"):
            return name[:-len(what)].rstrip(", "), what
    return None, None


def collect(values, suite, results, whats, prefix=""):
    for row in results:
        who, what = split(row["name"], whats)
        for key in MEASURES.keys() & row.keys() if who else ():
            line = row.get("line_rtt_ns")
            ratio = row[key] / line if key.startswith("rtt") else None
            values[(suite, what, row["size_bytes"], key, prefix + who)].append((row[key], ratio, line))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--suite", choices=sorted({suite for suite, _, _ in SUITES}), help="this one alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    program = lambda name: os.path.join(arguments.bin, name)
    values = collections.defaultdict(list)
    for pair in range(arguments.pairs):
        for suite, peer, whats in SUITES:
            if not os.path.exists(program(peer)) or arguments.suite not in (None, suite):
                continue
            print(f"pair {pair + 1} of {arguments.pairs}: {suite}", file=sys.stderr)
            ours = lambda: collect(values, suite, run(program("hermes"), "bench", suite, "--json"), whats, "hermes ")
            theirs = lambda: collect(values, suite, run(program(peer)), whats)
            for turn in (ours, theirs) if pair % 2 == 0 else (theirs, ours):
                turn()
    rows = []
    for (suite, what, size, key, who), seen in values.items():
        near = [s for s in seen if s[2] is None or s[2] < NEAR_NS]
        numbers, ratios, lines = zip(*(near or seen))
        rows.append({"suite": suite, "what": what, "size_bytes": size, "measure": key, "who": who,
                     "median": statistics.median(numbers), "lowest": min(numbers), "highest": max(numbers),
                     "runs": len(numbers), "near": bool(near), "median_line_ns": statistics.median(lines) if lines[0] else None,
                     "median_ratio_to_line": statistics.median(ratios) if ratios[0] else None})
    same = lambda r: (r["suite"], r["what"], r["size_bytes"], r["measure"])
    for row in rows:
        peers = [r for r in rows if same(r) == same(row) and not r["who"].startswith("hermes")]
        if peers and row["who"].startswith("hermes"):
            by = "median_ratio_to_line" if row["median_ratio_to_line"] else "median"
            best = (max if MEASURES[row["measure"]][2] else min)(r[by] for r in peers)
            row["times_best_peer"] = row[by] / best
    rows.sort(key=lambda r: (same(r), r["who"]))
    if arguments.json:
        print(json.dumps({"results": rows}, indent=1))
        return
    before = None
    for r in rows:
        unit, scale, _ = MEASURES[r["measure"]]
        if same(r) != before:
            print(f"\n{r['suite']}: {r['what']}, {r['size_bytes']} B, {unit}")
            print(f"  {'':30} {'median':>9} {'lowest':>9} {'highest':>9} {'runs':>4}")
            before = same(r)
        line = f"{r['median_ratio_to_line']:6.2f} x line" if r["median_ratio_to_line"] else ""
        against = f"{r['times_best_peer']:6.2f} x best peer" if "times_best_peer" in r else ""
        print(f"  {r['who']:30} {r['median'] * scale:9.2f} {r['lowest'] * scale:9.2f} {r['highest'] * scale:9.2f} "
              f"{r['runs']:4}{'' if r['near'] else ' far'}  {line:14}{against}".rstrip())


main()
