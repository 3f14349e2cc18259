"""What stands in a dead-letter topic: see hermes/letter.h."""
from __future__ import annotations

import dataclasses
import datetime
import struct
from typing import TYPE_CHECKING

from ._support import to_datetime

if TYPE_CHECKING:
    from ._core import _Buffer

_ENVELOPE = struct.Struct("<IHHIIQQQQQQ128s128s")
_MAGIC = 0x52544C48
_VERSION = 1
_REASONS = {1: "deliveries"}


def _text(name: bytes) -> str:
    return name.split(b"\0", 1)[0].decode("ascii", "replace")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A message that a group gave up, as it stands in the group's dead-letter topic: whence it came, and why.

        for message in client.subscriber("orders.dead", start="first"):
            letter = hermes.Letter.of(message)
            if letter is not None:
                print(letter.topic, letter.sequence, letter.deliveries, bytes(letter.payload))

    The payload is a memoryview of the message, not a copy; that of a View has to be released before the view is.
    """
    topic: str
    topic_id: int  #: a topic of that name that was made later has another
    group: str  #: who gave it up
    sequence: int  #: the message's in its topic
    position: int  #: where it stands there, as long as that keeps it
    timestamp: int  #: when it was published there, in nanoseconds since 1970-01-01 UTC
    deliveries: int  #: so often it was given out
    reason: str  #: "deliveries": as often as the group's max_deliveries allows, and never acknowledged
    buried_ns: int  #: when the broker put it into the dead-letter topic, in nanoseconds since 1970-01-01 UTC
    length: int  #: of the message; more than len(payload) where it was cut, for a letter has 320 bytes less room
    payload: memoryview

    @classmethod
    def of(cls, message: _Buffer) -> Letter | None:
        """The letter in a message from a dead-letter topic (a Message, a View, or a buffer with its payload); None: it
        is none."""
        view = memoryview(message).cast("B")
        if len(view) < _ENVELOPE.size:
            return None
        (magic, version, reason, deliveries, length, topic_id, position, sequence, timestamp, buried_ns, _, topic,
         group) = _ENVELOPE.unpack_from(view)
        if magic != _MAGIC or version != _VERSION or topic[-1] != 0 or group[-1] != 0:
            return None
        return cls(_text(topic), topic_id, _text(group), sequence, position, timestamp, deliveries,
                   _REASONS.get(reason, f"unknown ({reason})"), buried_ns, length, view[_ENVELOPE.size:])

    @property
    def time(self) -> datetime.datetime:
        """timestamp as an aware datetime (UTC), cut to microseconds."""
        return to_datetime(self.timestamp)

    @property
    def buried(self) -> datetime.datetime:
        """buried_ns as an aware datetime (UTC), cut to microseconds."""
        return to_datetime(self.buried_ns)

    @property
    def is_cut(self) -> bool:
        """Whether the payload is only the beginning of the message."""
        return self.length != len(self.payload)
