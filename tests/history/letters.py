"""What stands in a dead-letter topic, as include/hermes/letter.h has it."""
import struct
from dataclasses import dataclass

from store import key_of, read_payloads

ENVELOPE = struct.Struct("<IHHIIQQQQQQ128s128s")
MAGIC, VERSION, DELIVERIES = 0x52544c48, 1, 1


@dataclass
class Letter:
    key: tuple | None
    sequence: int  # of the message in its own topic
    position: int = 0
    deliveries: int = 0
    topic: str = ""
    group: str = ""
    wrong: str = ""

    def complaint(self, stands, claims, group, history):
        """What the envelope says that is not so; "": nothing. stands: (position, key) in its topic."""
        most = max((claim.number for claim in claims), default=0)
        if self.wrong:
            return self.wrong
        if (self.topic, self.group) != (history.options.topic, group):
            return f"it is said to be of topic {self.topic} and group {self.group}"
        if stands is not None and stands != (self.position, self.key):
            return f"it has {self.key} and is said to stand at {self.position}; there stands {stands}"
        if claims and history.unknown == 0 and self.deliveries != most:
            return f"{self.deliveries} deliveries, it says, and it was given {most} times"
        if self.deliveries < most:
            return f"{self.deliveries} deliveries, it says, and it was given {most} times at least"
        return ""


def open_letter(payload):
    """None: it has no envelope."""
    if len(payload) < ENVELOPE.size:
        return None
    magic, version, reason, deliveries, length, _, position, sequence, _, _, _, topic, group = ENVELOPE.unpack_from(payload)
    if (magic, version) != (MAGIC, VERSION):
        return None
    inside = payload[ENVELOPE.size:]
    wrong = "" if reason == DELIVERIES else f"reason {reason}"
    wrong = wrong if len(inside) == length else f"{length} bytes, it says, and {len(inside)} are there"
    return Letter(key_of(inside), sequence, position, deliveries, topic.split(b"\0")[0].decode(), group.split(b"\0")[0].decode(), wrong)


def read_letters(data, topic):
    """Those of a stored topic whose broker has stopped."""
    letters = []
    for _, _, payload in read_payloads(data, topic):
        letters.append(open_letter(payload) or Letter(key_of(payload), 0, wrong="it has no envelope"))
    return letters
