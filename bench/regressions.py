#!/usr/bin/env python3
"""Says what became slower between two documents, each made by `hermes bench WHAT --json --runs N` (or --minutes N), or
by `./run bench --json`, on the same machine.

A figure counts as slower, or faster, when the two documents' ranges, in the same placement of the two cores, do not
overlap, and the medians differ by more than --percent (3). For that both need figures of several runs, --least (5): of five and
five that are alike one in 252 lies so by chance, of three and three one in 20. Of round trips the ratios to the line of
their moment are compared. What one document alone has is counted. Exit code 1: something became slower; 2: a document
cannot be read, or the two have nothing in common."""
import argparse
import collections
import json
import math
import statistics
import sys

import rows


class Unreadable(Exception):
    pass


def load(path):
    try:
        with open(path) as file:
            document = json.load(file)
        if not isinstance(document.get("machine", {}), dict):
            raise TypeError("machine")
        return document, group(document["results"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"{path}: no document of hermes bench --json ({error!r})") from error


def check(row):
    """Figures and lines are numbers above 0: hermes bench leaves out what it has not measured."""
    for key in [*rows.measures(row), *(key for key in ("line_before_ns", "line_after_ns") if key in row)]:
        if type(row[key]) not in (int, float) or not 0 < row[key] < math.inf:
            raise ValueError(f"{key}: {row[key]!r}")


def group(results):
    """{(name, size, measure, placement): its figures}; those of peers are no business of ours."""
    made = collections.defaultdict(rows.Seen)
    for row in results:
        if row.get("peer"):
            continue
        check(row)
        rows.place(row)
        for key in rows.measures(row):
            made[row["name"], row["size_bytes"], key, row["placement"]].add(row, key)
    return made


def figures(seen, measure):
    return seen.ratios() if measure.by_line and seen.before else seen.numbers


def compare(old, new, least, percent):
    """One row for each figure that both have, and what is to be said of it."""
    for key in sorted(old.keys() & new.keys()):
        measure = rows.MEASURES[key[2]]
        before, after = figures(old[key], measure), figures(new[key], measure)
        row = dict(zip(("name", "size_bytes", "measure", "placement"), key), runs_old=len(before), runs_new=len(after))
        if min(len(before), len(after)) < least:
            yield dict(row, verdict="too few runs")
            continue
        worse, better = (min, max) if measure.more_is_better else (max, min)
        row.update(unit="x line" if before is not old[key].numbers else measure.unit)
        row.update(old=[statistics.median(before), min(before), max(before)], new=[statistics.median(after), min(after), max(after)])
        beyond = lambda this, that, more=measure.more_is_better: this < that if more else this > that
        row["change_percent"] = 100 * (row["new"][0] / row["old"][0] - 1)
        far_enough = abs(row["change_percent"]) > percent
        slower = far_enough and beyond(better(after), worse(before))
        faster = far_enough and beyond(better(before), worse(after))
        yield dict(row, verdict="slower" if slower else "faster" if faster else "same")


def print_verdict(found, verdict):
    chosen = [row for row in found if row["verdict"] == verdict]
    if not chosen:
        return
    print(f"\n{verdict}:")
    for row in chosen:
        scale = 1 if row["unit"] == "x line" else rows.MEASURES[row["measure"]].scale
        old, new = ("{:.4g} ({:.4g} to {:.4g})".format(*(number * scale for number in row[which])) for which in ("old", "new"))
        where = f", {row['placement']}" if row["placement"] else ""
        what = f"{row['name']}, {row['size_bytes']} B{where}"
        print(f"  {what:64} {row['unit']:12} {old:30} -> {new:30} {row['change_percent']:+6.1f} %")


def print_report(old, new, found, alone):
    for name, document in (("old", old), ("new", new)):
        print(f"{name}: {document.get('version', 'unknown version')}, {document.get('machine', {}).get('cpu', 'unknown machine')}")
    if old.get("machine") != new.get("machine"):
        print("The two were not made on the same machine: what follows may be the machine's doing.")
    counts = collections.Counter(row["verdict"] for row in found)
    print(", ".join(f"{counts[verdict]} {verdict}" for verdict in ("slower", "faster", "same", "too few runs")) +
          f"; {alone} in one document alone")
    print_verdict(found, "slower")
    print_verdict(found, "faster")


def main():
    parser = argparse.ArgumentParser(prog="./run bench --compare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--least", type=int, default=5, metavar="RUNS", help="runs that a figure needs in both (5)")
    parser.add_argument("--percent", type=float, default=3, metavar="N", help="medians that differ by less are the same (3)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.least < 1:
        parser.error("--least: 1 or more")
    try:
        (old, old_groups), (new, new_groups) = load(arguments.old), load(arguments.new)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    found = list(compare(old_groups, new_groups, arguments.least, arguments.percent))
    if not found:
        print("the two documents have nothing in common", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"same_machine": old.get("machine") == new.get("machine"), "results": found}, indent=1))
    else:
        print_report(old, new, found, len(old_groups.keys() ^ new_groups.keys()))
    return 1 if any(row["verdict"] == "slower" for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
