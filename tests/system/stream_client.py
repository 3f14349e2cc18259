"""A client of the broker over any stream socket, written from docs/reference/protocol.md alone: socket, struct, zlib."""
import collections
import socket
import struct
import zlib

MAGIC = 0x4D524548
HEADER = struct.Struct("<IBBHQQII")  # magic, version, type, flags, sequence, timestamp, length, crc
PAD, DATA = 0, 1
HELLO, WELCOME, ERROR, OK, TOPIC_CREATE, TOPIC_DELETE, CLOSE, PING, AUTHENTICATE = 16, 17, 18, 19, 20, 21, 28, 33, 48
OUTLET_OPEN, OUTLET, INTAKE_OPEN, INTAKE, LOG, CREDIT, PUBLISH, CONFIRM, END = range(64, 73)
MEMBER_OPEN, MEMBER, GIVEN, ACK, NACK, RENEW, SETTLED = range(73, 80)
GROUP_CREATE, GROUP_ALTER, GROUP_DELETE = 36, 37, 38
FLOWS = LOG, CONFIRM, END, GIVEN, SETTLED
ASYNC, SYNC, MEMORY = range(3)
AT_END, AT_FIRST, AT_POSITION, AT_SEQUENCE, AT_TIME = range(5)

Message = collections.namedtuple("Message", "position sequence timestamp payload")
Outlet = collections.namedtuple("Outlet", "handle durability topic_id position sequence epoch shared")
Intake = collections.namedtuple("Intake", "handle durability topic_id epoch line ring_id sequence resumed shared credit")


Member = collections.namedtuple("Member", "handle durability topic_id position epoch shared page member line group claim continues lease")
Gift = collections.namedtuple("Gift", "position sequence payload claim deliveries")


class Error(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


def frame_bytes(length):
    return (length + HEADER.size + 63) // 64 * 64


def frame(sequence, payload, timestamp=1, flags=1):
    head = struct.pack("<IBBHQQI", MAGIC, 1, DATA, flags, sequence, timestamp, len(payload))
    crc = zlib.crc32(head, zlib.crc32(payload)) if flags else 0
    return (head + struct.pack("<I", crc) + payload).ljust(frame_bytes(len(payload)), b"\0")


def messages(position, frames):
    """Those in a run of frames; each is checked."""
    at = 0
    while at < len(frames):
        magic, version, kind, flags, sequence, timestamp, length, crc = HEADER.unpack_from(frames, at)
        assert magic == MAGIC and version == 1 and flags <= 1, frames[at:at + 32]
        end = at + frame_bytes(length)
        assert end <= len(frames), "a frame is cut"
        payload = frames[at + 32:at + 32 + length]
        assert not flags or zlib.crc32(frames[at:at + 28], zlib.crc32(payload)) == crc, "checksum"
        assert not any(frames[at + 32 + length:end]), "padding"
        if kind == DATA:
            yield Message(position + at, sequence, timestamp, bytes(payload))
        at = end


def name(text):
    return text.encode().ljust(128, b"\0")


class Client:
    """One connection. What comes is read by receive() alone; flows that come while a reply is awaited are kept."""

    def __init__(self, address, greet=True, timeout=60, tls=None, host="localhost", token=None):
        """tls: an ssl.SSLContext, which knows whom to trust. token: who it is."""
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        self.correlation = 0
        self.pending = collections.deque()
        self.capabilities = None
        try:
            self.connect(address, greet, timeout, tls, host, token)
        except BaseException:
            self.close()
            raise

    def connect(self, address, greet, timeout, tls, host, token):
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if self.socket.family != socket.AF_UNIX:  # small messages behind each other wait for nobody
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        if greet:
            welcome = self.ask(HELLO, struct.pack("<H6x64s", 2, b"stream_client"), WELCOME)
            self.capabilities = struct.unpack_from("<H", welcome, 2)[0]
        if token is not None:
            self.show(token)

    def show(self, token):
        self.ask(AUTHENTICATE, token.encode().ljust(64, b"\0"))

    def close(self):
        self.socket.close()

    def send(self, kind, payload=b"", sequence=0):
        self.socket.sendall(HEADER.pack(MAGIC, 1, kind, 0, sequence, 0, len(payload), 0) + payload)

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def receive_next(self):
        magic, version, kind, flags, sequence, _, length, _ = HEADER.unpack(self.exactly(HEADER.size))
        assert (magic, version, flags) == (MAGIC, 1, 0)
        return kind, sequence, self.exactly(length)

    def receive(self):
        """(type, sequence, payload) of what came first."""
        return self.pending.popleft() if self.pending else self.receive_next()

    def request(self, kind, payload=b""):
        self.correlation += 1
        self.send(kind, payload, self.correlation)
        return self.correlation

    def reply(self, correlation, expected=OK):
        while True:
            kind, sequence, payload = self.receive_next()
            if kind in FLOWS:
                self.pending.append((kind, sequence, payload))
            elif kind == ERROR:
                raise Error(struct.unpack_from("<i", payload)[0], payload[4:].rstrip(b"\0").decode())
            elif sequence == correlation:
                assert expected in (None, kind), kind
                return payload

    def ask(self, kind, payload=b"", expected=OK):
        return self.reply(self.request(kind, payload), expected)

    def create(self, topic, durability=ASYNC, shared=0, window=0, segment=0, push_back=0):
        self.ask(TOPIC_CREATE, name(topic) + struct.pack("<IIQQQQII", durability, shared, window, segment, 0, 0, 0, push_back))

    def subscribe(self, topic, start=AT_FIRST, value=0, credit=1 << 20, topic_id=0, push_back=0):
        return Outlet(*struct.unpack("<IIQQQII", self.ask(
            OUTLET_OPEN, name(topic) + struct.pack("<QIIQQ", topic_id, start, push_back, value, credit), OUTLET)))

    def group(self, kind, topic, group, dead_letter="", durable=0, fields=0, lease_ns=0, deliveries=0, start=AT_FIRST,
              position=0, span=0):
        self.ask(kind, name(topic) + name(group) + name(dead_letter) + struct.pack(
            "<IIQIIQQ", durable, fields, lease_ns, deliveries, start, position, span))

    def join(self, topic, group, durable=0, start=AT_FIRST, credit=1 << 20, former=None, at_most_once=0, push_back=0,
             least=0):
        """former: what an earlier connection was answered, which this one goes on from."""
        resume = (former.page, former.member, former.line) if former else (0, 0, 0)
        return Member(*struct.unpack("<IIQQIIQQIIHHI", self.ask(MEMBER_OPEN, name(topic) + name(group) + struct.pack(
            "<IIQQIIQIIQQII", durable, start, *resume, push_back, 0, 0, former.group if former else 0,
            former.topic_id if former else 0, credit, at_most_once, least), MEMBER)))

    def settle(self, kind, handle, gifts):
        self.send(kind, b"".join(struct.pack("<QQIHH", g.position, g.sequence, len(g.payload), g.claim, 0) for g in gifts), handle)

    def publisher(self, topic, former=None, sequence=1):
        """former: what an earlier connection was answered, which this one goes on from."""
        resume = (former.topic_id, 0, 1 + former.line, former.ring_id) if former else (0, 0, 0, 0)
        return Intake(*struct.unpack("<IIQIIQQIIQ", self.ask(
            INTAKE_OPEN, name(topic) + struct.pack("<QIIQQ", *resume, sequence), INTAKE)))

    def give_credit(self, handle, count):
        self.send(CREDIT, struct.pack("<Q", count), handle)

    def publish(self, handle, frames):
        self.send(PUBLISH, frames, handle)

    def close_handle(self, handle):
        self.ask(CLOSE, struct.pack("<II", handle, 0))


def parse_log(payload):
    """(epoch, position, sequence, end of the log, frames)"""
    epoch, _, position, sequence, end = struct.unpack_from("<IIQQQ", payload)
    return epoch, position, sequence, end, payload[32:]


def parse_given(payload):
    """(gifts, lost, why)"""
    _, count, _, lost, why, _ = struct.unpack_from("<IIQQiI", payload)
    heads = [struct.unpack_from("<QHHI", payload, 32 + 16 * i)[:3] for i in range(count)]
    bodies = list(messages(0, payload[32 + 16 * count:]))
    assert len(bodies) == count, (len(bodies), count)
    return [Gift(position, body.sequence, body.payload, claim, deliveries)
            for (position, claim, deliveries), body in zip(heads, bodies)], lost, why


def parse_settled(payload):
    """(settled, {number: code})"""
    settled, refused, _ = struct.unpack_from("<QII", payload)
    return settled, {number: code for number, _, code, _ in struct.iter_unpack("<QQiI", payload[16:16 + 24 * refused])}


def parse_confirm(payload):
    """(committed, durable, position, credit)"""
    return struct.unpack("<QQQQ", payload)


def parse_end(payload):
    """(code, position, text)"""
    code, _, position = struct.unpack_from("<iIQ", payload)
    return code, position, payload[16:].rstrip(b"\0").decode()
