"""Letter: what stands in a dead-letter topic, decoded."""
import datetime
import struct

import hermes_msg as hermes
import pytest
from hypothesis import given
from hypothesis import strategies as st

TIME, BURIED = 10**18, 1700000000123456789


def envelope(payload, *, magic=0x52544C48, version=1, reason=1, length=None, topic=b"orders", group=b"risk"):
    return struct.pack("<IHHIIQQQQQQ128s128s", magic, version, reason, 3, len(payload) if length is None else length, 77,
                       768, 12, TIME, BURIED, 0, topic, group) + payload


def received(client, payload):
    client.create_topic("orders.dead", shared=True, exist_ok=True)
    with client.publisher("orders.dead") as publisher:
        publisher.send(payload)
        publisher.wait()
    subscriber = client.subscriber("orders.dead", "first")
    return subscriber, subscriber.poll(60)


def test_says_whence_and_why(client):
    letter = hermes.Letter.of(received(client, envelope(b"twelve"))[1])
    assert (letter.topic, letter.group, letter.sequence, letter.position, letter.topic_id) == ("orders", "risk", 12, 768, 77)
    assert (letter.deliveries, letter.reason, letter.timestamp, letter.buried_ns) == (3, "deliveries", TIME, BURIED)
    assert (letter.payload, letter.length, letter.is_cut) == (b"twelve", 6, False)
    assert isinstance(letter.payload, memoryview) and letter.payload.readonly
    assert letter.time == datetime.datetime(2001, 9, 9, 1, 46, 40, tzinfo=datetime.UTC)
    assert letter.buried == datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=datetime.UTC)
    with pytest.raises(AttributeError):
        letter.topic = "another"


def test_is_no_copy_of_a_view(client):
    subscriber, _ = received(client, envelope(b"twelve"))
    subscriber.seek("first")
    view = subscriber.poll_view()
    letter = hermes.Letter.of(view)
    with pytest.raises(BufferError):
        view.release()
    letter.payload.release()
    del letter
    view.release()


def test_what_was_cut_and_what_has_no_payload():
    letter = hermes.Letter.of(envelope(b"x" * 100, length=65536))
    assert (letter.is_cut, letter.length, len(letter.payload)) == (True, 65536, 100)
    letter = hermes.Letter.of(envelope(b""))
    assert (letter.is_cut, letter.length, bytes(letter.payload)) == (False, 0, b"")
    assert hermes.Letter.of(envelope(b"", reason=9)).reason == "unknown (9)"
    assert hermes.Letter.of(envelope(b"", topic=b"a" * 127, group=b"b" * 127)).topic == "a" * 127


def test_what_is_none():
    for other in (b"", b"x" * 1000, envelope(b"")[:-1], envelope(b"", magic=0), envelope(b"", version=2),
                  envelope(b"", topic=b"a" * 128), envelope(b"", group=b"b" * 128)):
        assert hermes.Letter.of(other) is None
    with pytest.raises(TypeError):
        hermes.Letter.of(7)


@given(st.binary(max_size=400), st.integers(0, 319), st.integers(0, 255))
def test_anything_is_a_letter_or_none(payload, at, byte):
    damaged = bytearray(envelope(payload))
    damaged[at] = byte
    letter = hermes.Letter.of(damaged)
    assert letter is None or bytes(letter.payload) == payload
