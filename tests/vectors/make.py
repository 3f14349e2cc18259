#!/usr/bin/env python3
"""Prints tests/vectors/messages.txt, made from docs/reference/protocol.md with struct and zlib alone.

One message a line: type flags sequence timestamp payload-hex encoded-hex. Other languages read it."""
import struct
import zlib


def encode(kind, flags, sequence, timestamp, payload):
    head = struct.pack("<IBBHQQI", 0x4D524548, 1, kind, flags, sequence, timestamp, len(payload))
    crc = zlib.crc32(head, zlib.crc32(payload)) if flags & 1 else 0
    return head + struct.pack("<I", crc) + payload


def main():
    sizes = [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 1000]
    print("# type flags sequence timestamp payload encoded; '-' is an empty payload")
    for number, size in enumerate(sizes):
        payload = bytes((i * 7 + size * 13 + 1) & 255 for i in range(size))
        for flags in (1, 0):
            sequence = (number + 1) * 0x0102030405 + flags
            timestamp = 1340271000000000000 + number * 1000003
            encoded = encode(1, flags, sequence, timestamp, payload)
            print(1, flags, sequence, timestamp, payload.hex() or "-", encoded.hex())


main()
