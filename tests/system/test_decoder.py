"""An independent decoder, written from docs/reference alone with struct and zlib, reads what pub stored."""
import os
import struct
import zlib

from hermes_test import Case, main

HEADER = struct.Struct("<IBBHQQII")
SEGMENT = struct.Struct("<4sHHQQQQQI8sI")
CHECKPOINT = struct.Struct("<4sHHQQQQI16sI")


def read_segment(path):
    with open(path, "rb") as file:
        data = file.read()
    magic, version, size, base, first, _, region, topic, epoch, _, crc = SEGMENT.unpack_from(data)
    assert (magic, version, size) == (b"HSEG", 1, 64)
    assert crc == zlib.crc32(data[:60])
    assert len(data) == 64 + region
    assert os.path.basename(path) == f"{base:020}.log"
    offset, messages = 64, []
    while offset < len(data):
        magic, version, kind, flags, sequence, timestamp, length, crc = HEADER.unpack_from(data, offset)
        if magic == 0:
            assert not any(data[offset:]), "what stands behind the end is zero"
            break
        assert (magic, version) == (0x4D524548, 1)
        assert flags in (0, 1) and length <= 65536 and (offset - 64) % 64 == 0
        payload = data[offset + 32:offset + 32 + length]
        if flags & 1:
            assert crc == zlib.crc32(data[offset:offset + 28], zlib.crc32(payload))
        else:
            assert crc == 0
        frame = (32 + length + 63) // 64 * 64
        assert not any(data[offset + 32 + length:offset + frame]), "padding is zero"
        if kind == 1:
            messages.append((sequence, payload))
        else:
            assert kind == 0 and not any(payload)
        offset += frame
    return base, first, topic, epoch, messages


class Decoder(Case):
    def check(self, topic, expected):
        self.assertEqual(self.broker.stop(), (0, []))
        messages, topics, end = [], set(), 0
        for path in self.broker.segments(topic):
            base, first, topic_id, _, part = read_segment(path)
            self.assertEqual(base, end)
            end = base + os.path.getsize(path) - 64
            if part:
                self.assertEqual(first, part[0][0])
            topics.add(topic_id)
            messages += part
        self.assertEqual(len(topics), 1)
        self.assertEqual([m[0] for m in messages], list(range(1, len(expected) + 1)))
        self.assertEqual([m[1] for m in messages], expected)
        with open(os.path.join(self.broker.home, "data/topics", topic, "checkpoint"), "rb") as file:
            slots = [CHECKPOINT.unpack(file.read(64)) for _ in range(2)]
        newest = max((s for s in slots if s[0] == b"HCKP"), key=lambda s: s[3])
        self.assertEqual(newest[5], len(expected) + 1)

    def payloads(self):
        return [b"%d " % i + b"." * (i * i % 3000) for i in range(5000)] + [b"", b"x" * 65536, b"y" * 65535]

    def test_exclusive(self):
        lines = self.payloads()
        self.broker.run("topic", "create", "t", "--window", "256K", "--segment", "1M")
        self.broker.run("pub", "t", data=b"\n".join(lines) + b"\n")
        self.check("t", lines)

    def test_shared(self):
        lines = self.payloads()
        self.broker.run("topic", "create", "t", "--shared", "--window", "256K", "--segment", "1M")
        self.broker.run("pub", "t", data=b"\n".join(lines) + b"\n")
        self.check("t", lines)

    def test_without_checksums(self):
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", "--no-crc", data=b"a\nb\n")
        self.check("t", [b"a", b"b"])

    def test_dump_finds_damage(self):
        self.broker.run("topic", "create", "t")
        self.broker.run("pub", "t", "--durable", "--count", "100")
        path = self.broker.segments("t")[0]
        self.assertIn(b"100 messages, 0 damaged", self.broker.run("dump", path).stdout)
        with open(path, "r+b") as file:
            file.seek(64 + 128 * 50 + 40)
            file.write(b"!")
        result = self.broker.run("dump", path, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"100 messages, 1 damaged", result.stdout)
        self.assertIn(b"DAMAGED: checksum mismatch", result.stdout)

    def test_store_of_a_newer_version(self):
        self.broker.run("topic", "create", "t")
        self.broker.run("topic", "create", "other")
        self.broker.run("pub", "t", "--durable", "--count", "10")
        path = self.broker.segments("t")[0]
        self.broker.stop()
        with open(path, "r+b") as file:
            head = bytearray(file.read(64))
            head[4] = 2
            head[60:] = struct.pack("<I", zlib.crc32(head[:60]))
            file.seek(0)
            file.write(head)
        self.broker.start()
        self.told("unknown version")
        self.assertEqual(self.broker.run("pub", "t", data=b"x\n", check=False).returncode, 1)
        self.broker.run("pub", "other", data=b"x\n")


main()
