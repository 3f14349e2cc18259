"""Sending, claiming, waiting for confirmations."""
import struct
import threading

import hermes_msg as hermes
import numpy
import pytest
from conftest import SMALL


def test_sequences_and_confirmations(client):
    for name, shared in (("e", False), ("s", True)):
        client.create_topic(name, shared=shared)
        pub = client.publisher(name)
        assert [pub.send(b"x") for _ in range(3)] == [1, 2, 3]
        pub.wait()
        assert pub.confirmed() == 3 and pub.sequence == 3
        pub.wait(2, "durable", 30)
        assert pub.confirmed("durable") >= 2
        pub.wait(confirmation="durable", timeout=30)
        assert pub.confirmed("durable") == 3
        with pytest.raises(hermes.InvalidArgument):
            pub.wait(4)
        for bad in ("done", "", 1, None):
            with pytest.raises((ValueError, TypeError)):
                pub.wait(1, bad)
            with pytest.raises((ValueError, TypeError)):
                pub.confirmed(bad)
    client.create_topic("m", durability="memory")
    pub = client.publisher("m")
    pub.send(b"x")
    with pytest.raises(hermes.NotSupported):
        pub.wait(confirmation="durable", timeout=1)


def test_close_tells_what_is_not_in(broker):
    client = broker.connect()
    client.create_topic("s", shared=True)
    with client.publisher("s") as pub:
        pub.send(b"x")
        assert pub.accepted() == 1
    pub = client.publisher("s", timeout=0.05)
    other = client.publisher("s", timeout=0.05)
    broker.kill()
    for _ in range(3):
        pub.send(b"y")
    assert pub.accepted() == 3
    assert pub.close() == 3
    assert pub.close() == 3  # nothing happens, and nothing changes
    with pytest.raises(hermes.Timeout, match="the last 1 message"):
        with other:
            other.send(b"z")
    with pytest.raises(KeyError):  # what is under way says enough
        with client:
            raise KeyError


def test_sync_topics(client):
    for shared in (False, True):
        name = f"sync{shared}"
        client.create_topic(name, durability="sync", shared=shared)
        with client.publisher(name) as pub:
            for send in (lambda: pub.send(b"x"), lambda: pub.send(bytearray(2)), lambda: pub.send_many([b"x"] * 200),
                         lambda: pub.send_batch(numpy.zeros(200))):
                send()
                info = client.topic(name)
                assert info.durable_position == info.committed_position
                assert pub.confirmed("durable") == info.last_sequence
            with pub.claim(4):
                pass
            assert pub.confirmed("durable") == client.topic(name).last_sequence == 403
        with client.publisher(name, wait_durable=False) as pub:
            pub.send_many([b"x"] * 10)
            pub.wait(confirmation="durable")


def test_claim(client):
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t")
    with pub.claim(16) as view:
        struct.pack_into("<dd", view, 0, 1.5, 2.5)
        with pytest.raises(hermes.InvalidArgument):
            pub.send(b"no")
        with pytest.raises(hermes.InvalidArgument):
            pub.claim(1)
    assert struct.unpack("<dd", sub.poll(10)) == (1.5, 2.5)
    with pytest.raises(ValueError):
        view[0] = 1  # released with the block
    with pytest.raises(ZeroDivisionError):
        with pub.claim(8) as view:
            view[0] = 1 / 0
    assert sub.poll() is None
    claim = pub.claim(3)
    memoryview(claim)[:] = b"abc"
    assert claim.sequence is None
    assert claim.commit() == claim.sequence == 2
    assert sub.poll(10).payload == b"abc"
    with pytest.raises(ValueError):
        claim.commit()
    with pytest.raises(BufferError):
        memoryview(claim)
    with pub.claim(5) as view:
        pass
    assert len(sub.poll(10)) == 5
    with pub.claim(1) as view:
        pub_claim = view.obj
        view.release()
        pub_claim.abort()
    pub.claim(5)  # dropped: aborted
    assert pub.send(b"next") == 4
    for bad in (-1, "1", 1.5, 2**70):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            pub.claim(bad)


def test_claim_with_a_view_that_lives_on(client):
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t")
    claim = pub.claim(8)
    with pytest.raises(BufferError):
        with claim as view:
            array = numpy.frombuffer(view, "u8")
            array[0] = 7
    with pytest.raises(BufferError):
        claim.commit()
    with pytest.raises(BufferError):
        pub.close()
    with pytest.raises(BufferError):
        client.close()
    assert sub.poll() is None
    array[0] = 8
    del array
    assert claim.commit() == 1
    assert struct.unpack("<Q", sub.poll(10)) == (8,)
    # Kept alive by the array alone.
    array = numpy.frombuffer(pub.claim(8), "u8")
    with pytest.raises(hermes.InvalidArgument):
        pub.send(b"x")
    array[0] = 9
    del array
    assert pub.send(b"x") == 2


def test_iterables(client):
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t")
    assert pub.send_many([]) == 0 and pub.send_many(b"%d" % i for i in range(1000)) == 1000
    assert [m.payload for m in sub.poll_many(2000)] == [b"%d" % i for i in range(1000)]
    for bad in (1, None):
        with pytest.raises(TypeError):
            pub.send_many(bad)

    def raises():
        yield b"one"
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        pub.send_many(raises())
    assert sub.poll(10).payload == b"one"

    def sends():
        yield b"first"
        pub.send(b"between")
        yield b"last"
    assert pub.send_many(sends()) == 2
    assert sorted(m.payload for m in sub.poll_many(3)) == [b"between", b"first", b"last"]

    def closes():
        yield b"one"
        pub.close()
        yield b"two"
    with pytest.raises(hermes.Closed):
        pub.send_many(closes())


def test_arrays(client):
    quote = numpy.dtype([("symbol", "S8"), ("bid", "<i8"), ("ask", "<i8"), ("size", "<u4"), ("pad", "<u4")])
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t")
    sent = numpy.zeros(1000, quote)
    sent["bid"] = numpy.arange(1000)
    sent["symbol"] = b"AAPL"
    assert pub.send_batch(sent) == 1000
    headers = numpy.zeros(1000, hermes.HEADERS)
    got = sub.recv_batch(600, quote, headers=headers)
    assert got.dtype == quote and (got == sent[:600]).all()
    assert (headers["sequence"][:600] == numpy.arange(1, 601)).all() and (numpy.diff(headers["timestamp"][:600]) >= 0).all()
    out = numpy.zeros(300, quote)
    got = sub.recv_batch(out=out, timeout=10)
    assert got.base is out and (out == sent[600:900]).all()
    assert len(sub.recv_batch(10, out=out)) == 10 and len(sub.recv_batch(1000, quote)) == 90
    assert len(sub.recv_batch(10, quote, timeout=0.01)) == 0 and len(sub.recv_batch(0, quote)) == 0
    # Another size is refused and still there; what came before it is handed out.
    pub.send_batch(sent[:2])
    pub.send(b"other")
    pub.send_batch(sent[:1])
    assert len(sub.recv_batch(10, quote)) == 2
    for _ in range(2):
        with pytest.raises(hermes.LayoutMismatch):
            sub.recv_batch(10, quote)
    assert sub.poll().payload == b"other"
    assert len(sub.recv_batch(10, quote)) == 1
    rows = numpy.arange(12, dtype="f4").reshape(4, 3)
    assert pub.send_batch(rows) == 4
    assert (sub.recv_batch(out=numpy.zeros((4, 3), "f4")) == rows).all()
    assert pub.send_batch(numpy.zeros((0, 3))) == 0
    for bad in (numpy.float64(1), numpy.zeros((4, 4))[:, ::2], 1, None):
        with pytest.raises((ValueError, TypeError, BufferError)):
            pub.send_batch(bad)
    with pytest.raises(hermes.PayloadTooLarge):
        pub.send_batch(numpy.zeros((2, 65537), "u1"))
    for pointers in (numpy.zeros(2, "O"), numpy.zeros(2, [("time", "M8[ns]"), ("o", "O")]), memoryview(numpy.zeros(2, "O"))):
        for call in (lambda: pub.send_batch(pointers), lambda: sub.recv_batch(out=pointers)):
            with pytest.raises((TypeError, ValueError)):
                call()
    times = numpy.array(["2026-11-24", "2026-11-25"], "M8[ns]")
    assert pub.send_batch(times) == 2 and (sub.recv_batch(2, "M8[ns]") == times).all()
    read_only = numpy.zeros(3)
    read_only.flags.writeable = False
    for arguments in ({}, {"n": 1}, {"n": -1, "dtype": "u1"}, {"dtype": "u1"}, {"n": 1, "dtype": "u1", "out": out},
                      {"out": b"abc"}, {"out": read_only}, {"out": numpy.float64(1)}, {"n": 1, "dtype": "nonsense"},
                      {"n": 3, "dtype": "u1", "headers": headers[:2]}, {"n": 1, "dtype": "u1", "headers": rows}):
        with pytest.raises((ValueError, TypeError, BufferError)):
            sub.recv_batch(**arguments)


def test_no_room(client):
    """A full ring is waited for without the GIL; with no time at all it is an error, and nothing was published."""
    client.create_topic("t", **SMALL)
    done = threading.Event()

    def flood():
        with client.publisher("t") as pub:
            for _ in range(20000):
                pub.send(bytes(1000))
        done.set()
    thread = threading.Thread(target=flood)
    thread.start()
    thread.join(120)
    assert done.is_set() and client.topic("t").last_sequence == 20000


def test_one_publisher(client):
    client.create_topic("t")
    with client.publisher("t"):
        with pytest.raises(hermes.Busy) as error:
            client.publisher("t")
        assert error.value.retry and error.value.name == "HERMES_EBUSY" and error.value.code == -8
    client.publisher("t").close()


def test_time_stamps_of_ones_own(client):
    for name, shared in (("e", False), ("s", True)):
        client.create_topic(name, shared=shared)
        pub = client.publisher(name)
        assert pub.send_at(77, b"a") == 1
        assert pub.send_at(2**63 - 1, bytearray(b"b")) == 2
        times = numpy.array([5, 1, 9], dtype="i8")
        assert pub.send_batch_at(times, numpy.arange(3)) == 3
        many = numpy.arange(1, 1001, dtype="u8").view("datetime64[ns]")
        assert pub.send_batch_at(many.view("u8"), numpy.zeros((1000, 8))) == 1000
        for none in (0, -1, 2**63, 2**64):
            with pytest.raises((ValueError, OverflowError)):
                pub.send_at(none, b"x")
        for bad in (1.5, None, "now"):
            with pytest.raises(TypeError):
                pub.send_at(bad, b"x")
            with pytest.raises(TypeError):
                pub.send_batch_at(bad, b"x")
        with pytest.raises(TypeError):
            pub.send_at(1)
        with pytest.raises(TypeError):
            pub.send_batch_at(times.astype("f8"), numpy.arange(3))
        with pytest.raises(ValueError, match="each row"):
            pub.send_batch_at(times, numpy.arange(4))
        with pytest.raises(hermes.InvalidArgument):
            pub.send_batch_at(numpy.array([0], dtype="i8"), numpy.arange(1))
        pub.wait()
        sub = client.subscriber(name, start="first")
        stamps = [sub.poll(30).timestamp for _ in range(1005)]
        assert stamps == [77, 2**63 - 1, 5, 1, 9, *range(1, 1001)]
