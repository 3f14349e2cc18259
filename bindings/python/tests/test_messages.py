"""Messages of every kind go there and back; and the codec agrees with the vectors that all languages share."""
import pathlib

import hermes_msg as hermes
import numpy
import pytest
from conftest import SMALL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

VECTORS = pathlib.Path(__file__).parents[3] / "tests/vectors/messages.txt"
SIZES = [0, 1, 31, 32, 33, 64, 65535, 65536]


def vectors():
    for line in VECTORS.read_text().splitlines():
        if not line.startswith("#"):
            kind, flags, sequence, timestamp, payload, encoded = line.split()
            yield (int(kind), int(flags), int(sequence), int(timestamp),
                   b"" if payload == "-" else bytes.fromhex(payload), bytes.fromhex(encoded))


def test_vectors():
    seen = 0
    for kind, flags, sequence, timestamp, payload, encoded in vectors():
        if kind != 1:
            with pytest.raises(hermes.MalformedError):
                hermes.decode(encoded)
            continue
        assert hermes.encode(payload, sequence=sequence, timestamp=timestamp, checksum=bool(flags)) == encoded
        m = hermes.decode(encoded)
        assert (m.sequence, m.timestamp, m.payload, m.has_checksum) == (sequence, timestamp, payload, bool(flags))
        seen += 1
    assert seen > 20


@given(st.binary(max_size=3000), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.booleans())
def test_encode_decode(payload, sequence, timestamp, checksum):
    encoded = hermes.encode(payload, sequence=sequence, timestamp=timestamp, checksum=checksum)
    assert len(encoded) == hermes.HEADER_BYTES + len(payload)
    m = hermes.decode(memoryview(encoded))
    assert (m.sequence, m.timestamp, m.payload) == (sequence, timestamp, payload)
    assert bytes(m) == payload and len(m) == len(payload) and memoryview(m).readonly


@given(st.binary(max_size=200))
def test_decode_of_anything_is_an_error_or_a_message(data):
    try:
        hermes.decode(data)
    except hermes.Error:
        pass


@given(st.binary(min_size=1, max_size=100), st.data())
def test_every_flipped_bit_is_found(payload, data):
    encoded = bytearray(hermes.encode(payload, sequence=7, timestamp=9))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(hermes.Error):
        hermes.decode(encoded)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("durability", ["memory", "async", "sync"])
def test_sizes(client, durability, shared):
    client.create_topic("t", durability=durability, shared=shared, **SMALL)
    sub = client.subscriber("t")
    with client.publisher("t") as pub:
        for n in SIZES:
            payload = bytes(i * 7 % 251 for i in range(n))
            pub.send(payload)
            m = sub.poll(30)
            assert m.payload == payload
            with pub.claim(n) as view:
                view[:] = payload
            assert sub.poll(30).payload == payload
        with pytest.raises(hermes.PayloadTooLarge):
            pub.send(bytes(65537))
        with pytest.raises(hermes.PayloadTooLarge):
            pub.send_many([b"a", bytes(65537)])
        assert sub.poll(30).payload == b"a"  # what came before it is out
        with pytest.raises(hermes.PayloadTooLarge):
            pub.claim(65537)
        pub.send(b"goes on")
        assert sub.poll(30).payload == b"goes on"
        assert sub.poll() is None


def test_everything_with_the_buffer_protocol(client):
    import array
    client.create_topic("t")
    sub = client.subscriber("t")
    pub = client.publisher("t")
    things = [b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3], array.array("i", [1, 2]), numpy.arange(3),
              numpy.zeros((2, 2), "f4"), numpy.float64(1.5), hermes.decode(hermes.encode(b"a message"))]
    for thing in things:
        pub.send(thing)
    assert pub.send_many(iter(things)) == len(things)
    for thing in things + things:
        assert sub.poll(10).payload == bytes(memoryview(thing))
    for nothing in ("text", 1, None, [1], object(), memoryview(b"abcd")[::2]):
        with pytest.raises((TypeError, BufferError)):
            pub.send(nothing)
        with pytest.raises((TypeError, BufferError)):
            pub.send_many([b"before", nothing, b"after"])
        assert sub.poll(10).payload == b"before"
    assert sub.poll() is None


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(st.binary(max_size=5000), max_size=150), ways=st.lists(st.integers(0, 2), min_size=1))
def test_all_ways_to_send_and_receive_agree(client, payloads, ways):
    client.create_topic("t", durability="memory", exist_ok=True)
    with client.publisher("t") as pub, client.subscriber("t") as sub:
        rest = list(payloads)
        for way in ways + [1]:
            if way == 0 and rest:
                pub.send(rest.pop(0))
            elif way == 1:
                assert pub.send_many(rest) == len(rest)
                rest = []
            elif rest:
                with pub.claim(len(rest[0])) as view:
                    view[:] = rest.pop(0)
        received = []
        for way in ways * len(payloads):
            if way == 0:
                received += [m.payload for m in [sub.poll()] if m]
            elif way == 1:
                received += [m.payload for m in sub.poll_many(7)]
            else:
                view = sub.poll_view()
                if view is not None:
                    with view:
                        received.append(bytes(view))
        received += [m.payload for m in sub.poll_many(10000)]
        assert received == payloads


def test_message(client):
    import datetime
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t")
    before = datetime.datetime.now(datetime.UTC)
    pub.send(b"x" * 100)
    m = sub.poll(10)
    after = datetime.datetime.now(datetime.UTC)
    assert before - datetime.timedelta(milliseconds=1) <= m.time <= after + datetime.timedelta(milliseconds=1)
    assert m.timestamp // 1000 == round(m.time.timestamp() * 1e6)
    assert repr(m) == f"Message(sequence=1, timestamp={m.timestamp}, payload={b'x' * 32!r}...)"
    assert (m.sequence, m.position, len(m), m.has_checksum) == (1, 0, 100, True)
    with pytest.raises((AttributeError, TypeError)):
        m.sequence = 2
    with pytest.raises(TypeError):
        hermes.Message()
    pub.send(b"")
    assert sub.poll(10) and sub.poll() is None  # an empty one is one


def test_without_checksum(client):
    client.create_topic("t", durability="memory")
    pub, sub = client.publisher("t", checksum=False), client.subscriber("t")
    pub.send(b"plain")
    assert not sub.poll(10).has_checksum
