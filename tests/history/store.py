"""An independent decoder of stored topics, written from docs/reference alone, with struct and zlib."""
import glob
import os
import struct
import zlib
from collections import namedtuple

HEADER = struct.Struct("<IBBHQQII")
SEGMENT = struct.Struct("<4sHHQQQQQI8sI")
STAMP = struct.Struct("<4sIIIQII")
Header = namedtuple("Header", "kind sequence length")
MAGIC, DATA, HAS_CRC = 0x4D524548, 1, 1


class Unreadable(Exception):
    pass


def key_of(payload):
    """(publisher, run, number), as stamp.h has it; None: torn."""
    if len(payload) < STAMP.size:
        return None
    magic, publisher, run, length, number, crc, _ = STAMP.unpack_from(payload)
    blank = STAMP.pack(magic, publisher, run, length, number, 0, 0)
    if magic != b"HIST" or length != len(payload) or crc != zlib.crc32(payload[STAMP.size:], zlib.crc32(blank)):
        return None
    return publisher, run, number


def read_frames(path):
    """Of a segment: yields (header, position, the whole frame)."""
    with open(path, "rb") as file:
        data = file.read()
    magic, _, size, base, *_ = SEGMENT.unpack_from(data)
    if magic != b"HSEG" or struct.unpack_from("<I", data, 60)[0] != zlib.crc32(data[:60]):
        raise Unreadable(f"{path}: no segment")
    at = size
    while at < len(data):
        magic, version, kind, flags, sequence, _, length, crc = HEADER.unpack_from(data, at)
        if magic == 0:
            if any(data[at:]):
                raise Unreadable(f"{path}: behind the end, at {at}, something stands")
            return
        frame = data[at:at + (HEADER.size + length + 63) // 64 * 64]
        payload = frame[HEADER.size:HEADER.size + length]
        if (magic, version) != (MAGIC, 1) or (
                flags & HAS_CRC and crc != zlib.crc32(data[at:at + 28], zlib.crc32(payload))):
            raise Unreadable(f"{path}: the frame at {at} is damaged")
        yield Header(kind, sequence, length), base + at - size, frame
        at += len(frame)


def read_segment(path):
    """Yields (sequence, position, payload)."""
    for header, position, frame in read_frames(path):
        if header.kind == DATA:
            yield header.sequence, position, frame[HEADER.size:HEADER.size + header.length]


def frames_of(data, topic):
    """{position: the frame's bytes} of a stored topic whose broker has stopped."""
    segments = sorted(glob.glob(os.path.join(data, "topics", topic, "*.log")))
    return {position: frame for segment in segments for _, position, frame in read_frames(segment)}


def read_log(path):
    """[(sequence, position, payload)] of a log that nobody writes to."""
    messages = []
    for segment in sorted(glob.glob(os.path.join(path, "*.log"))):
        messages += read_segment(segment)
    return messages


def read_payloads(data, topic):
    """The same of a stored topic whose broker has stopped."""
    return read_log(os.path.join(data, "topics", topic))


def keyed(messages):
    """[(sequence, position, key)]."""
    return [(sequence, position, key_of(payload)) for sequence, position, payload in messages]


def read_topic(data, topic):
    return keyed(read_payloads(data, topic))
