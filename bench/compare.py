#!/usr/bin/env python3
"""Measures Hermes and other libraries by turns, A B A B ..., and prints medians, ranges and ratios.

Usage: compare.py BINDIR [--pairs N] [--json]. Five pairs by default. Rows with the same measure and size stand
together; `x best peer` compares medians. Each run has the line's round trip of its moment in the JSON."""
import argparse
import collections
import json
import os
import statistics
import subprocess
import sys

MEASURES = (("messages_per_second", "M/s", 1e-6, True), ("rtt_p50_ns", "ns", 1, False),
            ("ns_per_operation", "ns", 1, False))


def run(*command):
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["results"]


def split(name):
    """'boost spsc_queue round trip' -> who, what."""
    for what in ("push+pop, one thread", "across cores, one at a time", "across cores, batches of 32", "round trip"):
        if name.endswith(" " + what):
            return name[:-len(what) - 1], what
    return name, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    values = collections.defaultdict(list)
    for pair in range(arguments.pairs):
        print(f"pair {pair + 1} of {arguments.pairs}", file=sys.stderr)
        for who, results in (("hermes ", run(os.path.join(arguments.bin, "hermes"), "bench", "ring", "--json", "--scale", "50")),
                             ("", run(os.path.join(arguments.bin, "peer_rings")))):
            for row in results:
                name, what = split(row["name"])
                for key, _, _, _ in MEASURES:
                    if key in row:
                        ratio = row[key] / row["line_rtt_ns"] if key == "rtt_p50_ns" else None
                        values[(what, row["size_bytes"], key, who + name)].append((row[key], ratio))
    rows = []
    for (what, size, key, who), seen in values.items():
        numbers = [v for v, _ in seen]
        ratios = [r for _, r in seen if r is not None]
        rows.append({"what": what, "size_bytes": size, "measure": key, "who": who, "median": statistics.median(numbers),
                     "lowest": min(numbers), "highest": max(numbers),
                     "median_ratio_to_line": statistics.median(ratios) if ratios else None})
    rows.sort(key=lambda r: (r["what"], r["size_bytes"], r["measure"], r["who"]))
    if arguments.json:
        print(json.dumps({"results": rows}, indent=1))
        return
    print(f"{'WHAT':30} {'BYTES':>5} {'WHO':30} {'MEDIAN':>10} {'LOWEST':>10} {'HIGHEST':>10}       {'TO LINE':>8} {'x BEST PEER':>12}")
    for r in rows:
        _, unit, scale, more = next(m for m in MEASURES if m[0] == r["measure"])
        peers = [p["median"] for p in rows if (p["what"], p["size_bytes"], p["measure"]) ==
                 (r["what"], r["size_bytes"], r["measure"]) and not p["who"].startswith("hermes")]
        against = ""
        if peers and r["who"].startswith("hermes"):
            against = f"{r['median'] / max(peers) if more else r['median'] / min(peers):.2f}"
        line = f"{r['median_ratio_to_line']:.2f}" if r["median_ratio_to_line"] else ""
        print(f"{r['what']:30} {r['size_bytes']:5} {r['who']:30} {r['median'] * scale:10.2f} {r['lowest'] * scale:10.2f} "
              f"{r['highest'] * scale:10.2f} {unit:5} {line:>8} {against:>12}")


main()
