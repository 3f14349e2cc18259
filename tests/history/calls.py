"""The workers' logs, as calls. The format is drawn in record.h."""
from dataclasses import dataclass, field


@dataclass
class Call:
    worker: str
    line: int  # of its log
    begin: int  # CLOCK_MONOTONIC, ns
    what: str
    asked: dict
    end: int = 0  # 0: it never came back
    rc: int | None = None  # None: unknown
    told: dict = field(default_factory=dict)
    seen: list = field(default_factory=list)  # a subscriber's: ("m", sequence, position, key), ("t", ...), ("e", code)

    def number(self, name, default=0):
        return int(self.asked.get(name, default))

    def keys(self):
        """Of the messages that this call is about: (publisher, run, number)."""
        _, publisher, run = self.worker.split("-")
        first = self.number("number")
        return [(int(publisher), int(run), first + i) for i in range(self.number("count"))]


def pairs(words):
    return dict(word.split("=", 1) for word in words if "=" in word)


def seen(words):
    numbers = [int(word) for word in words[1:]]
    if words[0] == "m":
        return ("m", numbers[0], numbers[1], tuple(numbers[2:]))
    return (words[0], *numbers)


def read_calls(worker, path):
    """Of one log. What a SIGKILL cut short is left out: nothing had come of it yet."""
    calls = []
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")[:-1]
    for at, line in enumerate(lines):
        words = line.split(" ")
        if words[0] == ">":
            calls.append(Call(worker, at, int(words[2]), words[3], pairs(words[4:])))
        elif words[0] == "<":
            call = calls[-1]
            call.end, call.rc, call.told = int(words[2]), int(words[3]), pairs(words[4:])
        else:
            calls[-1].seen.append(seen(words))
    return calls
