#!/usr/bin/env python3
"""Includes point one way: between layers downwards, and inside a layer without a circle.

base < message < ring | group < log < wire < io | mirror < auth | client | counters < broker; the command line stands on log, auth, counters
and the public headers, remote on log and mirror, bench on these. x.c and x.h count as one module."""
import graphlib
import pathlib
import re
import sys

BELOW_LOG = {"base", "message", "ring", "group"}
ALLOWED = {
    "base": {"base"},
    "message": {"base", "message"},
    "ring": {"base", "message", "ring"},
    "group": {"base", "message", "group"},
    "log": BELOW_LOG | {"log"},
    "wire": {"base", "message", "wire"},
    "io": {"base", "message", "wire", "io"},
    "mirror": {"base", "message", "wire", "mirror"},
    "remote": BELOW_LOG | {"log", "io", "mirror", "remote"},
    "auth": {"base", "io", "auth"},
    "client": BELOW_LOG | {"log", "wire", "io", "client"},
    "counters": BELOW_LOG | {"log", "wire", "io", "counters"},
    "broker": BELOW_LOG | {"log", "wire", "io", "mirror", "auth", "counters", "broker"},
    "cli": BELOW_LOG | {"log", "auth", "counters", "cli"},
    "bench": BELOW_LOG | {"log", "wire", "mirror", "remote", "cli", "bench"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_]+/[a-z0-9_/]+)\.h"', re.M)


def circles(modules):
    """The circles among modules, one after the other: each is reported once, and its last arrow taken out."""
    found = []
    while True:
        try:
            graphlib.TopologicalSorter(modules).prepare()
            return found
        except graphlib.CycleError as error:
            circle = error.args[1][::-1]
            found.append(" -> ".join(circle))
            modules[circle[0]].discard(circle[1])


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    wrong = []
    modules = {}
    for path in sorted((root / "src").rglob("*.[ch]")):
        name = path.relative_to(root / "src").with_suffix("")
        includes = INCLUDE.findall(path.read_text())
        for included in includes:
            layer = included.split("/")[0]
            if layer != "hermes" and layer not in ALLOWED[name.parts[0]]:
                wrong.append(f"{path.relative_to(root)}: {name.parts[0]} must not include {layer}")
        own = {included for included in includes if not included.startswith("hermes/")} - {str(name)}
        modules.setdefault(str(name), set()).update(own)
    wrong += [f"circle: {circle}" for circle in circles(modules)]
    for path in sorted((root / "include").rglob("*.h")):
        for included in INCLUDE.findall(path.read_text()):
            if not included.startswith("hermes/"):
                wrong.append(f"{path.relative_to(root)}: public headers include public headers alone")
    print("\n".join(wrong) if wrong else "layers: includes point downwards, and never in a circle")
    return 1 if wrong else 0


sys.exit(main())
