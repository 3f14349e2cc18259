"""What was found wrong, and the history around it."""
from dataclasses import dataclass

AROUND = 4  # lines of a log before and behind


@dataclass
class Verdict:
    kind: str
    text: str
    call: object = None  # where it shows

    def __str__(self):
        return f"{self.kind.upper()}: {self.text}"


def show_call(call, logs):
    """The lines of its worker's log around a call."""
    with open(logs[call.worker], encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    first = max(0, call.line - AROUND)
    for at, line in enumerate(lines[first:call.line + AROUND + 2], first):
        print(f"    {'*' if at == call.line else ' '} {call.worker} {line[:160]}")


def show_events(call, events):
    """What was done to everybody shortly before and behind."""
    for at, (when, what) in enumerate(events):
        behind = at > 0 and events[at - 1][0] > call.begin
        before = at + 3 < len(events) and events[at + 3][0] < call.begin
        if not behind and not before:
            print(f"      schedule {when} {what}")


def show(verdict, world):
    print("  " + str(verdict))
    if verdict.call is not None:
        show_events(verdict.call, world.events)
        show_call(verdict.call, world.logs())
