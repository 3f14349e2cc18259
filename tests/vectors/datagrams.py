#!/usr/bin/env python3
"""Prints tests/vectors/datagrams.txt, made from docs/reference/udp.md with struct and zlib alone.

One datagram a line: name type position timestamp number session receiver body-hex encoded-hex."""
import struct
import zlib

JOIN, CHALLENGE, SETUP, DATA, HEARTBEAT, NAK, STATUS, GONE, UNKNOWN = range(80, 89)
LIVE = 2**64 - 1


def datagram(kind, position, timestamp, number, session, receiver, body):
    payload = struct.pack("<QII", number, session, receiver) + body
    head = struct.pack("<IBBHQQI", 0x4D524548, 1, kind, 1, position, timestamp, len(payload))
    return head + struct.pack("<I", zlib.crc32(head, zlib.crc32(payload))) + payload


def heard(number, echo, delay):
    return struct.pack("<QQQ", number, echo, delay)


def show(name, kind, position, timestamp, number, session, receiver, body):
    encoded = datagram(kind, position, timestamp, number, session, receiver, body)
    print(name, kind, position, timestamp, number, session, receiver, body.hex() or "-", encoded.hex())


def main():
    print("# name type position timestamp number session receiver body encoded; '-' is an empty body")
    join = struct.pack("<HHIQQQQQ32x", 1, 0, 3, 77, 0x1122334455667788, 0, 5, 1 << 22)
    show("join", JOIN, 128, 1000, 1, 0, 0, join)
    again = struct.pack("<HHIQQQQQ32x", 1, 0, 0, 77, 0x1122334455667788, 0xA1A2A3A4A5A6A7A8, 0, 1 << 22)
    show("join-live", JOIN, LIVE, 2000, 2, 0, 0, again)
    show("challenge", CHALLENGE, 0, 1500, 1, 0, 0, struct.pack("<QQ", 0x1122334455667788, 0xA1A2A3A4A5A6A7A8))
    setup = struct.pack("<HHIQQQQQQIIII", 1, 1408, 3, 77, 0x1122334455667788, 0x99, 64, 128, 64, 50000, 4000, 2, 0)
    show("setup", SETUP, 4096, 2500, 2, 0xABCD0001, 0x00000401, setup)
    show("data", DATA, 4096, 3000, 3, 0xABCD0001, 0, bytes(i & 255 for i in range(128)))
    show("heartbeat", HEARTBEAT, 4224, 4000, 4, 0xABCD0001, 0, struct.pack("<IIII", 50000, 4000, 2, 0))
    show("heartbeat-ended", HEARTBEAT, 4224, 5000, 5, 0xABCD0001, 0, struct.pack("<IIII", 50000, 4000, 2, 1))
    nak = heard(4, 4000, 300) + struct.pack("<QQQQ", 128, 64, 1408, 2816)
    show("nak", NAK, 128, 6000, 3, 0xABCD0001, 0x401, nak)
    status = heard(5, 5000, 10) + struct.pack("<QQQII", 1 << 22, 4096, 2880, 2, 0)
    show("status", STATUS, 4224, 7000, 4, 0xABCD0001, 0x401, status)
    show("gone", GONE, 1024, 8000, 6, 0xABCD0001, 0x401, struct.pack("<Q", 128))
    show("unknown", UNKNOWN, 0, 9000, 7, 0xABCD0001, 0x401, b"")


main()
