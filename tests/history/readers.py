"""Judges what subscribers were given: one unbroken sequence unless they were told, and the same for all."""
import codes
from verdicts import Verdict


class Reader:
    """One subscriber as its log goes on."""

    def __init__(self, worker, topics, contents):
        self.worker = worker
        self.topics = topics
        self.contents = contents
        self.topic = ""
        self.expected = None  # the next sequence; None: any
        self.least = 0  # but not below this
        self.verdicts = {}

    def wrong(self, kind, text, call):
        """One of a kind is enough; the first is nearest to the fault."""
        self.verdicts.setdefault(kind, Verdict(kind, f"{self.worker} on topic {self.topic}: {text}", call))

    def memory(self):
        return self.topics[self.topic]["durability"] == "memory"

    def expect(self, sequence, least=0):
        self.expected, self.least = sequence, least

    def take(self, call):
        if call.what == "subscribe" and call.rc == 0:
            self.topic = call.asked["topic"]
            self.expect(1 if call.asked["from"] == "first" and not self.memory() else None)
        elif call.what == "seek":
            self.seek(call)
        elif call.what in ("read", "until"):
            for what in call.seen:
                {"m": self.message, "t": self.torn, "e": self.error}[what[0]](call, *what[1:])
            target = call.number("sequence")
            if call.rc is not None and self.expected is not None and self.expected <= target:
                self.wrong("stalled", f"it never came to message {target}", call)

    def seek(self, call):
        """A seek that failed says nothing of where it stands."""
        where, value, stored = call.asked["where"], call.number("value"), not self.memory()
        content = self.contents[self.topic]
        if call.rc != 0:
            self.expect(None)
        elif where == "first":
            self.expect(1 if stored else None)
        elif where == "sequence":
            self.expect(value if stored and value in content.by_sequence else None, value)
        elif where == "saved":
            self.expect(call.number("sequence") if stored else None)
        elif where == "position":
            self.expect(content.by_position.get(value) if stored else None)
        else:
            self.expect(None)

    def message(self, call, sequence, position, key):
        content = self.contents[self.topic]
        if self.expected is not None and sequence != self.expected:
            kind = "skipped" if sequence > self.expected else "given again"
            self.wrong(kind, f"message {sequence} came where {self.expected} was due", call)
        elif sequence < self.least:
            self.wrong("given again", f"message {sequence} came where none below {self.least} was due", call)
        self.expect(sequence + 1, sequence + 1)
        stands = content.by_sequence.get(sequence)
        if stands is None and not content.whole:
            return
        if stands is None:
            self.wrong("phantom", f"it was given message {sequence}, {key}, which is not in the topic", call)
        elif stands != (position, key):
            self.wrong("differs", f"it was given {key} at {position} as message {sequence}; there stands {stands[1]} at {stands[0]}",
                       call)

    def torn(self, call, sequence, position, length):
        self.wrong("torn", f"message {sequence} at {position}, {length} bytes, is torn, or nobody's", call)

    def error(self, call, code):
        name = codes.name(code)
        if name in codes.DAMAGE:
            self.wrong("damage", f"it was told {name}, on a topic that nobody damaged", call)
            self.expect(None, self.least)
        elif name == "EGONE":
            if not self.memory():
                self.wrong("code", "it was told EGONE, and nothing of a stored topic was removed", call)
            self.expect(None, self.least)


def judge_reader(worker, calls, topics, contents):
    reader = Reader(worker, topics, contents)
    for call in calls:
        reader.take(call)
    return list(reader.verdicts.values())
