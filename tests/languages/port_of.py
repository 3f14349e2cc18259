"""The programs acks.c, acks.py and acks.rs, and the table of what they are told."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../system"))
from hermes_test import BIN, SOURCE  # noqa: E402

PORTS = {
    "c": [os.path.join(BIN, "acks")],
    "python": [os.path.join(SOURCE, "build/venv/bin/python"), os.path.join(HERE, "acks.py")],
    "rust": [os.path.join(SOURCE, "build/cargo/release/examples/acks")],
}

with open(os.path.join(SOURCE, "include/hermes/error.h")) as header:
    CODES = {int(number): name for name, number in re.findall(r"HERMES_(E\w+) = (-\d+)", header.read())}


def cases():
    """title, [(command, expected)]"""
    found = {}
    with open(os.path.join(HERE, "acks.txt")) as file:
        for line in file.read().splitlines():
            if line.startswith("case "):
                steps = found[line[5:]] = []
            elif line and not line.startswith("#"):
                command, _, expected = line.partition(" -> ")
                steps.append((command, expected))
    return found


class Port:
    """One of these programs, with a session at the broker."""

    def __init__(self, broker, language="c", **how):
        """how: of the process, such as its user."""
        self.process = subprocess.Popen(PORTS[language], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        **{"env": broker.environment, **how})
        broker.children.append(self.process)

    def say(self, command):
        """What it is told: the name of an error, or what acks.c says."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().decode().rstrip("\n")
        return CODES[int(line.split()[1])] if line.startswith("error ") else line

    def end(self):
        self.process.stdin.close()
        return self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()
