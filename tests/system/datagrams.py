"""Datagrams of mirrors, made by hand from docs/reference/udp.md: for those who do not keep to it."""
import socket
import struct
import time
import zlib

HEAD = struct.Struct("<IBBHQQII")
EXTENSION = struct.Struct("<QII")
MAGIC, VERSION, CRC = 0x4D524548, 1, 1
DATA_FRAME = 1  # of a log
JOIN, CHALLENGE, SETUP, DATA, HEARTBEAT, NAK, STATUS, GONE, UNKNOWN = range(80, 89)
FARTHEST = 2**63 - 64  # position
SESSION, NAME, TOPIC, INCARNATION = 77, 1024, 4242, 5


def datagram(kind, sequence=0, number=1, session=0, receiver=0, body=b""):
    extension = EXTENSION.pack(number, session, receiver)
    head = HEAD.pack(MAGIC, VERSION, kind, CRC, sequence, time.monotonic_ns(), len(extension) + len(body), 0)[:28]
    return head + struct.pack("<I", zlib.crc32(head, zlib.crc32(extension + body))) + extension + body


def join(nonce=1, cookie=0, position=0, epoch=0, topic=0, window=1 << 20):
    return datagram(JOIN, position, body=struct.pack("<HHIQQQQQ", 1, 0, epoch, topic, nonce, cookie, 0, window) + bytes(32))


def setup(nonce, position=0, start=0, first=0, epoch=1, epoch_position=0, number=1, session=SESSION, topic=TOPIC, slice_bytes=1408,
          incarnation=INCARNATION):
    body = struct.pack("<HHIQQQQQQIIII", 1, slice_bytes, epoch, topic, nonce, incarnation, first, start, epoch_position, 0, 0, 1, 0)
    return datagram(SETUP, position, number, session, NAME, body)


def data(position, log, number):
    return datagram(DATA, position, number, SESSION, NAME, log)


def heard(number=0):
    return struct.pack("<QQQ", number, 0, 0)


def nak(position, ranges, session, receiver, number=1):
    body = heard() + b"".join(struct.pack("<QQ", *one) for one in ranges)
    return datagram(NAK, position, number, session, receiver, body)


def status(position, session, receiver, window=1 << 20, number=1, flags=0, highest=0):
    return datagram(STATUS, position, number, session, receiver, heard(highest) + struct.pack("<QQQII", window, 0, 0, flags, 0))


def frame(sequence, payload, kind=DATA_FRAME, length=None):
    """Of a log, as long as it says; or, with length, as long as it does not."""
    head = HEAD.pack(MAGIC, VERSION, kind, CRC, sequence, 0, len(payload) if length is None else length, 0)[:28]
    whole = head + struct.pack("<I", zlib.crc32(head, zlib.crc32(payload))) + payload
    return whole + bytes(-len(whole) % 64)


class Peer:
    """A socket at a host of its own, which speaks with one other."""

    def __init__(self, host="127.0.0.1", port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.socket.settimeout(0.05)
        self.number = 0

    def next(self):
        self.number += 1
        return self.number

    def send(self, said, to):
        self.socket.sendto(said, to)

    def challenge(self, nonce, to):
        self.send(datagram(CHALLENGE, 0, self.next(), body=struct.pack("<QQ", nonce, 9)), to)

    def receive(self):
        """(kind, session, receiver, sequence, body, address); None: nothing came for a moment."""
        try:
            said, address = self.socket.recvfrom(65536)
        except (TimeoutError, ConnectionRefusedError):
            return None
        _, _, kind, _, sequence, _, _, _ = HEAD.unpack_from(said)
        _, session, receiver = EXTENSION.unpack_from(said, 32)
        return kind, session, receiver, sequence, said[48:], address

    def close(self):
        self.socket.close()
