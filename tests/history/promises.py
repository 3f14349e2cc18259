"""
What publishers were told, as promises: for each message whether it must be in the topic, must not, or may.

A stream is what one hermes_publisher_open() to its close or its death published: order and exactly-once are
promised within it.
"""
from dataclasses import dataclass, field

import codes

IN = "in"  # it stands in the topic
HANDED = "handed over"  # and will, unless the broker ends before it took it
UNKNOWN = "unknown"  # it may, once, and then all before it too
OUT = "not published"

CALLS_THAT_PUBLISH = ("publish", "commit", "batch", "abort")


@dataclass
class Message:
    key: tuple
    call: object
    promise: str
    sequence: int = 0  # told; of the topic, or on a shared one of this publisher. 0: none
    durable: bool = False
    dropped: bool = False  # it was taken, and a later call said that it may not be in
    teller: object = None  # the call that told it in, if another did
    handed: int = 0  # when the broker was said to have it, if that was later than its call


@dataclass
class Stream:
    topic: str
    shared: bool
    sync: bool
    messages: list = field(default_factory=list)
    taken: list = field(default_factory=list)  # those that count by hermes_publisher_accepted()
    untold: int = 0  # so many count no more, and no call has said so yet
    confirmed: int = 0  # the greatest answer of hermes_publisher_confirmed()
    durable: int = 0
    wrong: list = field(default_factory=list)  # (kind, call, text): answers that do not agree with each other
    opened: object = None  # the call
    fenced: list = field(default_factory=list)  # calls that said that the topic is another's
    cut_off: list = field(default_factory=list)  # by the last call: what a batch did not count, and the next call says why

    def confirm(self, messages, call, durable=False):
        """They are in, that call says."""
        for message in messages:
            if message.promise != IN:
                message.promise, message.teller = IN, call
            message.durable |= durable

    def blame(self, kind, call, text):
        self.wrong.append((kind, call, text))


def streams_of(calls, topics):
    """The streams of one worker. A handle that was never closed ends with its process."""
    streams, stream = [], None
    for call in calls:
        if call.what == "open" and call.rc == 0:
            options = topics[call.asked["topic"]]
            waits = options["durability"] == "sync" and call.number("flags") == 0
            stream = Stream(call.asked["topic"], options["shared"], waits, opened=call)
            streams.append(stream)
        elif stream is not None:
            take(stream, call)
            if call.rc is not None and codes.name(call.rc) == "EFENCED":
                stream.fenced.append(call)
            if call.rc is not None and call.what in ANSWERS:
                ANSWERS[call.what](stream, call)
            if call.what == "close":
                stream = None
    return streams


# ---- what counts ----

def take(stream, call):
    """The messages of one call, and what it says of those before."""
    new = [Message(key, call, UNKNOWN) for key in call.keys()] if call.what in CALLS_THAT_PUBLISH else []
    stream.messages += new
    if call.rc is None or "accepted" not in call.told:
        return
    before = len(stream.taken)
    count(stream, call, new)
    mine = new[:max(0, len(stream.taken) - before)]
    promise(stream, call, mine)
    agree(stream, call, new, len(mine))


def count(stream, call, new):
    """The first so many of all that were taken count, and of the call's the first ones."""
    accepted, before = int(call.told["accepted"]), len(stream.taken)
    every = stream.taken + new
    if accepted > len(every):
        stream.blame("accepted", call, f"{accepted} were accepted, it says, and {len(every)} were published at most")
    stream.taken = every[:accepted]
    for message in every[accepted:before]:
        message.dropped = True
    if call.told.get("uncertain") == "1":
        for message in stream.cut_off:
            message.promise = UNKNOWN
    stream.cut_off = every[accepted:] if call.what == "batch" and call.rc > 0 else []
    for message in every[accepted:]:
        message.promise = UNKNOWN if message.dropped and call.told.get("uncertain") == "1" else OUT
    if accepted < before:
        stream.untold += before - accepted
    if codes.name(call.rc) in codes.FOR_GOOD:
        stream.untold = 0
        stream.confirm(stream.taken, call)  # nothing waits any more


def promise(stream, call, mine):
    """What the outcome says of those of the call that count. Of an error: that they may still wait."""
    for message in mine:
        if call.rc >= 0 and message.promise == UNKNOWN:
            message.promise = HANDED
            message.durable = stream.sync
    if call.what != "batch" and call.rc == 0 and mine:
        mine[0].sequence = int(call.told["sequence"])
        if not stream.shared:  # what waited for a broker went out before
            stream.confirm(stream.taken, call)


def agree(stream, call, new, taken):
    """The outcome with how many count."""
    told, expected = codes.name(call.rc), None
    if call.what == "batch":
        expected = max(0, call.rc) if told not in codes.IN_PLACE_OF_A_COUNT else None
    elif call.what in ("publish", "commit") and (call.rc == 0 or told in codes.TAKEN):
        expected = 1
    elif told in codes.NOT_PUBLISHED or call.what == "abort":
        expected = 0
    if call.what in CALLS_THAT_PUBLISH and expected is not None and expected != taken:
        stream.blame("accepted", call, f"{call.what} of {len(new)} messages says {told}, and {taken} of them were accepted")
    if stream.untold > 0 and call.what not in SILENT:
        stream.blame("accepted", call, f"{stream.untold} messages that were taken count no more, and {call.what} says {told}")
        stream.untold = 0


# They tell of other messages, or of none: the next call says it.
SILENT = ("wait_for", "confirmed")


# ---- what else was said ----

def waited(stream, call):
    if call.rc == 0:
        stream.confirm(stream.taken, call, call.asked["what"] == "durable")


def up_to(stream, sequence):
    """The messages up to that number."""
    last = max((i + 1 for i, m in enumerate(stream.taken) if 0 < m.sequence <= sequence), default=0)
    return stream.taken[:last]


def waited_for(stream, call):
    if call.rc == 0:
        stream.confirm(up_to(stream, call.number("sequence")), call, call.asked["what"] == "durable")


def confirmed(stream, call):
    committed, durable = int(call.told["committed"]), int(call.told["durable"])
    stream.confirm(up_to(stream, committed), call)
    stream.confirm(up_to(stream, durable), call, True)
    if call.what == "confirmed" and (committed < stream.confirmed or durable < stream.durable):
        stream.blame("confirmed", call, "what was confirmed did not stay so")
    known = max((m.sequence for m in stream.taken), default=0)
    if call.what == "confirmed" and not stream.shared and committed < known:
        stream.blame("confirmed", call, f"{committed} are confirmed, it says, and message {known} was told in")
    if max(committed, durable) > len(stream.messages) and stream.shared:
        stream.blame("confirmed", call, f"{committed} and {durable} are confirmed of {len(stream.messages)} messages")
    stream.confirmed = max(stream.confirmed, committed)
    stream.durable = max(stream.durable, durable)


def closed(stream, call):
    """So many are not in, of which some are left to the broker; all others are."""
    missing = max(0, call.rc - stream.untold)
    if missing > len(stream.taken):
        stream.blame("close", call, f"{missing} are not in, it says, of {len(stream.taken)}")
    there = max(0, len(stream.taken) - missing)
    stream.confirm(stream.taken[:there], call)
    for at, message in enumerate(stream.taken[there:]):
        if message.promise == IN:
            stream.blame("close", call, f"{message.key} is not in, it says, and it was told in before")
        left = at < int(call.told["left"])
        message.promise, message.handed, message.teller = (HANDED, call.end, call) if left else (UNKNOWN, 0, None)


ANSWERS = {"wait": waited, "wait_for": waited_for, "confirmed": confirmed, "poll": confirmed, "close": closed}


def settle(stream, last_start):
    """What was handed over is in, if the last broker served by then. Else it may be lost with its ring: whoever
    published was not told otherwise."""
    for message in stream.messages:
        if message.promise == HANDED:
            message.promise = IN if max(message.call.begin, message.handed) > last_start else UNKNOWN
