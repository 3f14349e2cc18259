#!/usr/bin/env python3
"""Layers include only what stands below them: base < core < transport < client | broker < cli."""
import pathlib
import re
import sys

ALLOWED = {
    "base": {"base"},
    "core": {"base", "core"},
    "transport": {"base", "core", "transport"},
    "client": {"base", "core", "transport", "client"},
    "broker": {"base", "core", "transport", "broker"},
    "cli": {"base", "core", "cli"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z]+)/', re.M)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    wrong = []
    for path in sorted((root / "src").rglob("*.[ch]")):
        layer = path.relative_to(root / "src").parts[0]
        for below in INCLUDE.findall(path.read_text()):
            if below != "hermes" and below not in ALLOWED[layer]:
                wrong.append(f"{path.relative_to(root)}: {layer} must not include {below}")
    for path in sorted((root / "include").rglob("*.h")):
        for below in INCLUDE.findall(path.read_text()):
            if below != "hermes":
                wrong.append(f"{path.relative_to(root)}: public headers include public headers alone")
    print("\n".join(wrong) if wrong else "layers: includes point downwards")
    return 1 if wrong else 0


sys.exit(main())
