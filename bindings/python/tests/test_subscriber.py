"""Where reading begins, how it waits, and how it ends."""
import datetime
import signal
import threading
import time

import hermes_msg as hermes
import pytest
from conftest import SMALL


@pytest.fixture
def ten(client):
    client.create_topic("t", **SMALL)
    with client.publisher("t") as pub:
        pub.send_many(b"%d" % i for i in range(1, 11))
    return client


def numbers(sub):
    return [int(m.payload) for m in sub.poll_many(1000, 5 if sub.position == 0 else 0)]


def test_start(ten):
    assert numbers(ten.subscriber("t")) == []
    assert numbers(ten.subscriber("t", "end")) == []
    assert numbers(ten.subscriber("t", "first")) == list(range(1, 11))
    assert numbers(ten.subscriber("t", start=4)) == list(range(4, 11))
    assert numbers(ten.subscriber("t", 11)) == []
    times = [m.time for m in ten.subscriber("t", "first").poll_many(10, 5)]
    assert [m.payload for m in ten.subscriber("t", times[0]).poll_many(1)] == [b"1"]
    naive = times[0].astimezone().replace(tzinfo=None)
    assert [m.payload for m in ten.subscriber("t", naive).poll_many(1)] == [b"1"]
    assert numbers(ten.subscriber("t", times[0] + datetime.timedelta(days=1))) == []
    assert [numbers(ten.subscriber("t", "last")) for _ in range(2)] == [[10], [10]]
    for bad, error in (("later", hermes.InvalidArgument), (-1, hermes.InvalidArgument), (2**64, hermes.InvalidArgument), (1.5, TypeError),
                       (None, TypeError), (b"first", TypeError), (True, TypeError),
                       (datetime.datetime(1969, 1, 1), hermes.InvalidArgument)):
        with pytest.raises(error):
            ten.subscriber("t", bad)


def test_seek(ten):
    sub = ten.subscriber("t", "first")
    third = sub.poll_many(3)[2]
    sub.seek("first")
    assert sub.poll().payload == b"1"
    sub.seek(9)
    assert [m.payload for m in sub.poll_many(5)] == [b"9", b"10"]
    sub.seek_position(third.position)
    assert sub.poll().payload == b"3"
    sub.seek("end")
    assert sub.poll() is None
    with pytest.raises(hermes.InvalidArgument):
        sub.seek_position(1)
    assert (sub.lost, sub.corrupt, sub.topic) == (0, 0, "t")


def test_waits(client):
    client.create_topic("t")
    sub = client.subscriber("t")
    start = time.monotonic()
    assert sub.poll(0.05) is None and sub.poll(timeout=0.05) is None
    assert 0.1 <= time.monotonic() - start < 30
    with client.publisher("t") as pub:
        timer = threading.Timer(0.1, pub.send, [b"late"])
        timer.start()
        assert sub.poll(None).payload == b"late"
        timer.join()
    for bad in (-1, float("nan"), "1", [1]):
        with pytest.raises((ValueError, TypeError)):
            sub.poll(bad)
        with pytest.raises((ValueError, TypeError)):
            sub.poll_many(1, bad)


def test_who_was_to_read_what_is_purged_is_told(ten):
    sub = ten.subscriber("t", "first")
    assert sub.poll().payload == b"1"
    ten.purge_topic("t")
    with pytest.raises(hermes.Gone):
        sub.poll(10)
    ten.publisher("t").send(b"new")
    message = sub.poll(10)
    assert (message.payload, message.sequence) == (b"new", 11)
    assert ten.subscriber("t", "first").poll(10).payload == b"new"


def test_iteration_ends_with_the_topic(ten):
    sub = ten.subscriber("t", "first")
    ten.delete_topic("t")
    assert [int(m.payload) for m in sub] == list(range(1, 11))
    with pytest.raises(hermes.Closed):
        sub.poll()


def test_the_gil_is_free_while_one_waits(client):
    client.create_topic("t")
    sub = client.subscriber("t")
    turns = 0
    waiter = threading.Thread(target=sub.poll, args=[60])
    waiter.start()
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        turns += 1
    assert turns > 1000  # it would be none
    client.publisher("t").send(b"done")
    waiter.join(60)
    assert not waiter.is_alive()


@pytest.mark.parametrize("wait", [lambda sub: sub.poll(60), next, lambda sub: sub.poll_many(5, None),
                                  lambda sub: sub.recv_batch(5, "u1", timeout=None)])
def test_interrupt(client, wait):
    """Ctrl-C, or any handler that raises, ends a wait at once."""
    client.create_topic("t")
    sub = client.subscriber("t")

    def handler(number, frame):
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            wait(sub)
        assert time.monotonic() - start < 30
    finally:
        signal.signal(signal.SIGALRM, before)
    client.publisher("t").send(b"1")
    assert sub.poll(10).payload == b"1"  # and it goes on


def test_handler_that_closes(client):
    client.create_topic("t")
    sub = client.subscriber("t")
    before = signal.signal(signal.SIGALRM, lambda number, frame: sub.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(hermes.Closed):
            sub.poll(60)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_overwritten_messages_are_told_once(client):
    client.create_topic("m", durability="memory", window_bytes=256 << 10)
    sub = client.subscriber("m")
    with client.publisher("m") as pub:
        pub.send(b"x")
        assert sub.poll().sequence == 1
        pub.send_many([b"x" * 100] * 9999)
        with pytest.raises(hermes.Gone):
            sub.poll()
        first = sub.poll()
        assert first.sequence > 2
        assert sub.lost == first.sequence - 2
        assert len(sub.poll_many(20000)) == 10000 - first.sequence
        pub.send_many([b"x" * 100] * 10)
        got = sub.poll_many(5)
        pub.send_many([b"x" * 100] * 10000)
        assert len(got) == 5
        with pytest.raises(hermes.Gone):
            sub.poll_many(5)


def test_damage_is_told_after_what_came_before_it(broker):
    with broker.connect() as client:
        client.create_topic("t", **SMALL)
        with client.publisher("t") as pub:
            pub.send_many([bytes([i]) * 100 for i in range(100)])
            pub.wait(confirmation="durable")
        position = client.subscriber("t", 51).poll().position
    broker.stop()
    import glob
    path, = glob.glob(broker.home + "/data/topics/t/*.log")
    with open(path, "r+b") as file:
        file.seek(64 + position + 40)
        file.write(b"\xff\xff")
    broker.start()
    with broker.connect() as client:
        for read in (lambda s: s.poll_many(1000), lambda s: s.recv_batch(1000, "V100")):
            sub = client.subscriber("t", "first")
            assert len(read(sub)) == 50
            with pytest.raises(hermes.ChecksumError):
                read(sub)
            assert len(read(sub)) == 49
            assert sub.corrupt == 1
        damaged = client.verify_topic("t")
        assert (damaged.messages, len(damaged.damaged)) == (99, 1)
        assert damaged.damaged[0][0] == position and damaged.damaged[0][2] == "HERMES_ECHECKSUM"
