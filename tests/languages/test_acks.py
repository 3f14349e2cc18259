"""What is said of acknowledgements is the same in C, Python and Rust, and what acks.txt has. Without ./run actors: in C alone."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../system"))
from hermes_test import BIN, SOURCE, Case, main  # noqa: E402

PORTS = {
    "c": [os.path.join(BIN, "acks")],
    "python": [os.path.join(SOURCE, "build/venv/bin/python"), os.path.join(HERE, "acks.py")],
    "rust": [os.path.join(SOURCE, "build/cargo/release/examples/acks")],
}


def cases():
    """(title, [(command, expected)]) each."""
    with open(os.path.join(HERE, "acks.txt")) as file:
        for line in file.read().splitlines():
            if line.startswith("case "):
                found = (line[5:], [])
                yield found
            elif line and not line.startswith("#"):
                command, _, expected = line.partition(" -> ")
                found[1].append((command, expected))


def codes():
    with open(os.path.join(SOURCE, "include/hermes/error.h")) as file:
        return {int(number): name for name, number in re.findall(r"HERMES_(E\w+) = (-\d+)", file.read())}


class Acks(Case):

    names = codes()

    def said(self, port, command):
        port.stdin.write(command.encode() + b"\n")
        port.stdin.flush()
        line = port.stdout.readline().decode().rstrip("\n")
        return self.names[int(line.split()[1])] if line.startswith("error ") else line

    def act(self, command):
        kind, rest = command.split(" ", 1)
        if kind == "$":
            self.broker.run(*rest.split()[1:])
            return
        if rest == "kill":
            self.broker.kill()
        else:
            self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()

    def plays(self, title, steps, command):
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", "--count", "10")
        port = subprocess.Popen(command, env=self.broker.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.broker.children.append(port)
        so_far = []
        for step, expected in steps:
            if step[0] in "$!":
                self.act(step)
            else:
                said = self.said(port, step)
                so_far.append(f"{step} -> {said}")
                self.assertIn(said, expected.split("|"), f"{title}\n" + "\n".join(so_far) + f"\nwanted: {expected}")
        port.stdin.close()
        self.assertEqual(port.wait(60), 0)


def test_of(title, steps, command):
    return lambda self: self.plays(title, steps, command)


for language, command in PORTS.items():
    if os.path.exists(command[0]):
        for title, steps in cases():
            name = re.sub(r"\W+", "_", f"test_{language}_{title.lower()}")
            setattr(Acks, name, test_of(title, steps, command))
main()
