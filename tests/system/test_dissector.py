"""share/wireshark/hermes.lua shows what was said: on the datagrams of tests/vectors, and on a client's traffic with a broker,
written down here as it went by. Skipped where there is no tshark."""
import collections
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import stream_client as s
from hermes_test import BIN, Broker, main

SOURCE = os.environ.get("HERMES_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
SCRIPT = os.path.join(SOURCE, "share/wireshark/hermes.lua")
VECTORS = os.path.join(SOURCE, "tests/vectors")
TSHARK = shutil.which("tshark")
SEGMENT_BYTES = 700  # messages begin and end within segments
CLIENT, SERVER = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
FROM_CLIENT = 0
MIRROR_DATA = 83
WRONG = "hermes.crc.bad || hermes.malformed || _ws.malformed || _ws.lua.error"


def ip(protocol, source, target, payload):
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, source, target) + payload


def udp(payload):
    return ip(17, CLIENT, SERVER, struct.pack(">HHHH", 7001, 9000, 8 + len(payload), 0) + payload)


class Recorder:
    """A socket that writes down what goes through it: (direction, bytes)."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        self.said = []

    def __getattr__(self, name):
        return getattr(self.wrapped, name)

    def sendall(self, data):
        self.said.append((FROM_CLIENT, bytes(data)))
        self.wrapped.sendall(data)

    def recv(self, count):
        data = self.wrapped.recv(count)
        self.said.append((1 - FROM_CLIENT, data))
        return data

    def packets(self, port):
        sequences = [1, 1]
        for direction, data in self.said:
            for at in range(0, len(data), SEGMENT_BYTES):
                piece = data[at:at + SEGMENT_BYTES]
                ports = (40000, port) if direction == FROM_CLIENT else (port, 40000)
                segment = struct.pack(">HHIIBBHHH", *ports, sequences[direction], sequences[1 - direction], 0x50, 0x18, 65535, 0, 0)
                ends = (CLIENT, SERVER) if direction == FROM_CLIENT else (SERVER, CLIENT)
                yield ip(6, *ends, segment + piece)
                sequences[direction] += len(piece)

    def messages(self):
        """(type, payload) of all that was said."""
        for which in (0, 1):
            data = b"".join(piece for direction, piece in self.said if direction == which)
            while data:
                length = s.HEADER.unpack_from(data)[6]
                yield data[5], data[s.HEADER.size:s.HEADER.size + length]
                data = data[s.HEADER.size + length:]


class Way:
    """Between a sender and a receiver of a mirror: writes down what it passes on, and loses the first slice."""

    def __init__(self, sender_port):
        self.front, self.back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.front.bind(("127.0.0.1", 0))
        self.back.connect(("127.0.0.1", sender_port))
        self.port = self.front.getsockname()[1]
        self.receiver = None
        self.lost = False
        self.said = []

    def turn(self):
        for ready in select.select([self.front, self.back], [], [], 0.05)[0]:
            if ready is self.front:
                data, self.receiver = self.front.recvfrom(65536)
                self.said.append(data)
                self.back.send(data)
            else:
                data = self.back.recv(65536)
                if data[5] == MIRROR_DATA and not self.lost:
                    self.lost = True
                    continue
                self.said.append(data)
                self.front.sendto(data, self.receiver)

    def close(self):
        self.front.close()
        self.back.close()


class Dissector(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="hermes-dissector-")
        self.addCleanup(shutil.rmtree, self.directory)

    def show(self, packets, fields, only=""):
        """Of each packet that it shows, the values of those fields: lists."""
        path = os.path.join(self.directory, "capture.pcap")
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))  # raw IP
            for number, packet in enumerate(packets):
                file.write(struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet)
        command = [TSHARK, "-n", "-X", f"lua_script:{SCRIPT}", "-r", path, "-T", "fields", "-E", "separator=;"]
        command += [part for field in fields for part in ("-e", field)] + (["-Y", only] if only else [])
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "HOME": self.directory})
        self.assertNotIn("lua", ran.stderr.lower(), ran.stderr)
        return [[value.split(",") if value else [] for value in line.split(";")] for line in ran.stdout.splitlines()]

    def vectors(self):
        with open(os.path.join(VECTORS, "datagrams.txt"), encoding="utf-8") as file:
            return [line.split() for line in file if not line.startswith("#")]

    def test_every_datagram_of_a_mirror_is_shown(self):
        lines = self.vectors()
        packets = [udp(bytes.fromhex(line[-1])) for line in lines]
        shown = self.show(packets, ["hermes.type", "hermes.sequence", "hermes.timestamp", "hermes.number", "hermes.session",
                                    "hermes.receiver"])
        self.assertEqual([[int(value[0], 0) for value in row] for row in shown], [[int(value) for value in line[1:7]] for line in lines])
        self.assertEqual(self.show(packets, ["frame.number"], WRONG), [])
        nak = self.show(packets, ["hermes.nak.heard_number", "hermes.nak.position", "hermes.nak.bytes"], "hermes.nak.position")
        self.assertEqual(nak, [[["4"], ["128", "1408"], ["64", "2816"]]])
        setup = self.show(packets, ["hermes.setup.slice", "hermes.setup.start", "hermes.setup.rtt_ns"], "hermes.type == 82")
        self.assertEqual(setup, [[["1408"], ["128"], ["50000"]]])

    def test_a_flipped_bit_is_shown(self):
        packets = []
        for line in self.vectors():
            data = bytearray.fromhex(line[-1])
            data[36] ^= 4
            packets.append(udp(data))
        self.assertEqual(len(self.show(packets, ["frame.number"], "hermes.crc.bad")), len(packets))

    def test_of_what_is_sealed_is_shown_what_can_be_read(self):
        with open(os.path.join(VECTORS, "sealed.txt"), encoding="utf-8") as file:
            lines = [line.split() for line in file if line.startswith("sealed")]
        packets = [udp(bytes.fromhex(line[-1])) for line in lines]
        shown = self.show(packets, ["hermes.seal.id", "hermes.seal.member", "hermes.seal.tag", "hermes.seal.cipher"])
        for line, (number, member, tag, cipher) in zip(lines, shown):
            self.assertEqual([number[0], member[0], tag[0]], [line[2], line[3], line[-1][-32:]])
            self.assertEqual("".join(cipher), line[-1][96:-32])
        self.assertEqual(self.show(packets, ["frame.number"], WRONG), [])

    def start(self, name, *arguments, **options):
        program = subprocess.Popen([os.path.join(BIN, name), *arguments], stdout=subprocess.PIPE, **options)
        for undo in program.stdout.close, program.wait, program.kill:  # the last first
            self.addCleanup(undo)
        return program

    def mirror(self, lines):
        """A log goes from one program to another; what was said."""
        sender = self.start("mirror_send", os.path.join(self.directory, "log"), "udp://127.0.0.1:0", stdin=subprocess.PIPE)
        way = Way(int(sender.stdout.readline().split()[1]))
        self.addCleanup(way.close)
        sender.stdin.write(b"".join(b"line %d\n" % i for i in range(lines)))
        sender.stdin.close()
        receiver = self.start("mirror_receive", f"udp://127.0.0.1:{way.port}")
        reader = threading.Thread(target=receiver.stdout.read)
        reader.start()
        end = time.monotonic() + 60
        while sender.poll() is None or receiver.poll() is None:
            way.turn()
            self.assertLess(time.monotonic(), end)
        reader.join()
        self.assertEqual((sender.returncode, receiver.returncode), (0, 0))
        return way.said

    def test_what_a_mirrors_sender_and_receiver_say_is_shown(self):
        said = self.mirror(lines=500)
        packets = [udp(data) for data in said]
        shown = self.show(packets, ["hermes.type", "hermes.number", "hermes.nak.position"])
        wanted = [(data[5], struct.unpack_from("<Q", data, 32)[0]) for data in said]
        self.assertEqual([(int(row[0][0]), int(row[1][0])) for row in shown], wanted)
        self.assertLessEqual({80, 81, 82, MIRROR_DATA, 84, 85, 86}, {kind for kind, _ in wanted})
        self.assertIn("0", [position for row in shown for position in row[2]])
        self.assertEqual(self.show(packets, ["frame.number"], WRONG), [])

    def converse(self, port):
        """A client that says a bit of everything; what was said."""
        client = s.Client(("127.0.0.1", port), greet=False)
        recorder = client.socket = Recorder(client.socket)
        self.addCleanup(client.close)
        client.ask(s.HELLO, struct.pack("<H6x64s", 2, b"dissected"), s.WELCOME)
        client.create("t")
        client.create("others")
        client.group(s.GROUP_CREATE, "t", "g", start=s.AT_FIRST)
        intake = client.publisher("t")
        sizes = [0, 1, 31, 32, 33, 500, 3000] * 5
        client.publish(intake.handle, b"".join(s.frame(i + 1, bytes([i]) * size) for i, size in enumerate(sizes)))
        client.close_handle(intake.handle)
        outlet, got = client.subscribe("t"), []
        while len(got) < len(sizes):
            kind, _, data = client.receive()
            if kind == s.LOG:
                got += s.messages(0, s.parse_log(data)[4])
        client.close_handle(outlet.handle)
        member, gifts = client.join("t", "g"), []
        while len(gifts) < len(sizes):
            kind, _, data = client.receive()
            if kind == s.GIVEN:
                gifts += s.parse_given(data)[0]
        client.settle(s.ACK, member.handle, gifts)
        for kind, payload, reply in ((22, s.name(""), 24), (39, s.name("t") + s.name("") + bytes(8), 40), (43, b"", 44),
                                     (s.PING, b"", s.OK)):
            client.ask(kind, payload, reply)
        with self.assertRaises(s.Error):
            client.ask(s.TOPIC_DELETE, s.name("nowhere"))
        return recorder

    def test_what_client_and_broker_say_is_shown(self):
        broker = Broker("[net]\nlisten = tcp://127.0.0.1:0\n[limits]\ngreet_ms = 60000\n")
        self.addCleanup(broker.close)
        recorder = self.converse(int(broker.process.stdout.readline().rsplit(b":", 1)[1]))
        for number in 7000, 47123:
            self.check_shown(list(recorder.messages()), list(recorder.packets(number)))

    def check_shown(self, said, packets):
        shown = self.show(packets, ["hermes.type", "hermes.frame", "hermes.topics.topic", "hermes.broker.engine", "hermes.error.code"])
        frames = sum(len(list(walk(kind, payload))) for kind, payload in said)
        types = collections.Counter(int(value) for row in shown for value in row[0])
        wanted = collections.Counter(kind for kind, _ in said)
        types[s.DATA] += types.pop(4, 0)  # ORIGIN frames stand in the log, too
        wanted[s.DATA] = frames
        self.assertEqual(types, wanted)
        self.assertEqual(sorted(value for row in shown for value in row[2]), ["others", "t"])
        self.assertEqual([row[3] for row in shown if row[3]], [[engine_of(said)]])
        self.assertEqual([row[4] for row in shown if row[4]], [["-6"]])
        self.assertEqual(self.show(packets, ["frame.number"], WRONG), [])


def engine_of(said):
    return next(payload[:16] for kind, payload in said if kind == 44).rstrip(b"\0").decode()


def walk(kind, payload):
    """Frames of a message."""
    if kind == s.GIVEN:
        payload = payload[32 + 16 * struct.unpack_from("<I", payload, 4)[0]:]
    elif kind == s.LOG:
        payload = payload[32:]
    elif kind != s.PUBLISH:
        return
    at = 0
    while at < len(payload):
        yield at
        at += s.frame_bytes(s.HEADER.unpack_from(payload, at)[6])


if TSHARK is None:
    print("skipped: there is no tshark")
    sys.exit(77)
main()
