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
        self.sought = None  # or this one, by a seek that failed; 0: any
        self.least = 0  # but not below this
        self.astray = False  # sent to a position where no message begins: it may well find damage there
        self.verdicts = {}

    def wrong(self, kind, text, call):
        """One of a kind is enough; the first is nearest to the fault."""
        self.verdicts.setdefault(kind, Verdict(kind, f"{self.worker} on topic {self.topic}: {text}", call))

    def memory(self):
        return self.topics[self.topic]["durability"] == "memory"

    def may_lose(self):
        """The oldest messages are not kept for ever."""
        return self.memory() or self.topics[self.topic].get("keep") is not None

    def expect(self, sequence, least=0):
        """Where it stands."""
        self.expected, self.least, self.sought = sequence, least, None

    def take(self, call):
        if call.what == "subscribe" and call.rc == 0:
            self.astray = False
            self.topic = call.asked["topic"]
            self.expect(1 if call.asked["from"] == "first" and not self.may_lose() else None)
        elif call.what == "seek":
            self.seek(call)
        elif call.what in ("read", "until"):
            for what in call.seen:
                {"m": self.message, "t": self.torn, "e": self.error}[what[0]](call, *what[1:])
            target = call.number("sequence")
            if call.rc is not None and self.expected is not None and self.expected <= target:
                self.wrong("stalled", f"it never came to message {target}: {self.expected} was due", call)

    def seek(self, call):
        value, position = call.number("value"), call.asked["where"] in ("position", "saved")
        target = self.target(call.asked["where"], value, call)
        if call.rc != 0:  # it stands where it stood, or where it was sent, and nowhere else
            self.sought, self.least = target or 0, 0
            return
        self.astray = position and not self.contents[self.topic].stood_at(value, call.begin)
        self.expect(target, value if call.asked["where"] == "sequence" else 0)

    def target(self, where, value, call):
        """The sequence that is due behind a seek; None: not known."""
        content = self.contents[self.topic]
        if self.memory() or where == "end":
            return None
        if where == "first":
            return None if self.may_lose() else 1
        if where == "sequence":
            return value if value in content.by_sequence else None
        if not content.stood_at(value, call.begin):
            return None
        return call.number("sequence") if where == "saved" else content.by_position[value]

    def message(self, call, sequence, position, key):
        content = self.contents[self.topic]
        if content.anew and sequence < (self.expected or self.least):
            self.expect(None)  # of the next life
        if self.expected is not None and sequence != self.expected and self.sought not in (0, sequence):
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
        if name in codes.DAMAGE and self.astray:
            self.expect(None)
        elif name in codes.DAMAGE:
            self.wrong("damage", f"it was told {name}, on a topic that nobody damaged", call)
            self.expect(None, self.least)
        elif name == "EGONE":
            if not self.may_lose():
                self.wrong("code", "it was told EGONE, and nothing of a stored topic was removed", call)
            self.expect(None, self.least)


def judge_reader(worker, calls, topics, contents):
    reader = Reader(worker, topics, contents)
    for call in calls:
        reader.take(call)
    return list(reader.verdicts.values())
