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
    told: bool = False  # a later call said that it may not be in


@dataclass
class Stream:
    topic: str
    shared: bool
    sync: bool
    messages: list = field(default_factory=list)
    confirmed: int = 0  # the greatest answer of hermes_publisher_confirmed()
    durable: int = 0
    fell: list = field(default_factory=list)  # calls that said less than one before
    sure: dict = field(default_factory=lambda: {False: 0, True: 0})  # durable or not: so many were confirmed already

    def confirm(self, count, durable=False):
        """The first so many are in."""
        for message in self.messages[self.sure[durable]:count]:
            if message.promise != OUT:
                message.promise = IN
                message.durable |= durable
        self.sure[durable] = max(self.sure[durable], count)

    def end(self):
        """Nothing goes out any more; so much was told for all that waited."""
        for message in self.messages[self.sure[False]:]:
            if message.promise in (HANDED, UNKNOWN):
                message.promise = UNKNOWN
                message.told = True


def streams_of(calls, topics):
    """The streams of one worker. A handle that was never closed ends with its process."""
    streams, stream = [], None
    for call in calls:
        if call.what == "open" and call.rc == 0:
            options = topics[call.asked["topic"]]
            waits = options["durability"] == "sync" and call.number("flags") == 0
            stream = Stream(call.asked["topic"], options["shared"], waits)
            streams.append(stream)
        elif stream is not None and call.what in CALLS_THAT_PUBLISH:
            stream.messages += take(stream, call)
        elif stream is not None and call.what in ANSWERS:
            ANSWERS[call.what](stream, call)
        if stream is not None and call.rc is not None and codes.name(call.rc) in codes.FOR_GOOD:
            stream.end()
    return streams


def take(stream, call):
    """The messages of one call."""
    keys = call.keys()
    if call.what == "abort":
        return [Message(key, call, OUT) for key in keys]
    if call.what == "batch":
        return take_batch(stream, call, keys)
    message = Message(keys[0], call, promise_of(stream, call.rc))
    if call.rc == 0:
        message.sequence = int(call.told["sequence"])
        message.durable = stream.sync
        if not stream.shared:  # what waited for a broker went out before
            stream.confirm(len(stream.messages))
    return [message]


def promise_of(stream, rc):
    if rc == 0:
        return HANDED if stream.shared else IN
    return OUT if rc is not None and codes.name(rc) in codes.NOT_PUBLISHED else UNKNOWN


def take_batch(stream, call, keys):
    """So many of them count. One of those may wait for a broker: the next call tells."""
    if call.rc is None or (call.rc < 0 and codes.name(call.rc) in codes.PERHAPS_LATER):
        return [Message(key, call, UNKNOWN) for key in keys]
    counted = max(0, call.rc)  # an error "stopped the first": none was published
    promise = IN if stream.sync and not stream.shared else HANDED
    return [Message(key, call, promise if i < counted else OUT, durable=stream.sync) for i, key in enumerate(keys)]


def waited(stream, call):
    if call.rc == 0:
        stream.confirm(len(stream.messages), call.asked["what"] == "durable")


def confirmed(stream, call):
    if call.rc is None:
        return
    for name, durable in (("committed", False), ("durable", True)):
        up_to = int(call.told[name])
        count = max((i + 1 for i, m in enumerate(stream.messages) if 0 < m.sequence <= up_to), default=0)
        stream.confirm(count, durable)
    if call.what == "confirmed" and (int(call.told["committed"]) < stream.confirmed or int(call.told["durable"]) < stream.durable):
        stream.fell.append(call)
    stream.confirmed = max(stream.confirmed, int(call.told["committed"]))
    stream.durable = max(stream.durable, int(call.told["durable"]))


def closed(stream, call):
    """Where close says how much is not in, all else is."""
    if call.rc is not None and call.rc >= 0 and call.told.get("silent") == "0":
        counted = [i for i, m in enumerate(stream.messages) if m.promise != OUT and not m.told]
        last = len(counted) - call.rc
        stream.confirm(counted[last - 1] + 1 if last > 0 else 0)


ANSWERS = {"wait": waited, "confirmed": confirmed, "poll": confirmed, "close": closed}


def settle(stream, last_start):
    """What was handed over is in, if the last broker served by then. Else it may be lost with its ring: whoever
    published was not told otherwise."""
    for message in stream.messages:
        if message.promise == HANDED:
            message.promise = IN if message.call.begin > last_start else UNKNOWN
