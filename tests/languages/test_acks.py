"""What is said of acknowledgements is the same in C, Python and Rust, and what acks.txt has. Without ./run actors: in C alone."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from port_of import PORTS, Port, cases  # noqa: E402
from hermes_test import Case, main  # noqa: E402


class Acks(Case):
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

    def plays(self, title, steps, language):
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", "--count", "10")
        port = Port(self.broker, language)
        so_far = [title]
        for step, expected in steps:
            if step[0] in "$!":
                so_far.append(step)
                self.act(step)
            else:
                said = port.say(step)
                so_far.append(f"{step} -> {said}")
                self.assertIn(said, expected.split("|"), "\n".join(so_far) + f"\nwanted: {expected}")
        self.assertEqual(port.end(), 0)


def test_of(title, steps, language):
    return lambda self: self.plays(title, steps, language)


for language, command in PORTS.items():
    if all(os.path.exists(part) for part in command):
        for title, steps in cases().items():
            name = re.sub(r"\W+", "_", f"test_{language}_{title.lower()}")
            setattr(Acks, name, test_of(title, steps, language))
main()
