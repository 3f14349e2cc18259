"""What becomes of a message is one of three, an error says which, and `retry` follows from it."""
import os
import signal
import threading

import hermes_msg as hermes
import numpy
import pytest
from conftest import SMALL


def send_obeying(pub, payloads):
    """As who sends again whenever an error says that it may."""
    for payload in payloads:
        while True:
            try:
                pub.send(payload)
                break
            except hermes.Error as error:
                if not error.retry:
                    assert error.taken == 1, error
                    break


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("durability", ["async", "sync"])
def test_who_obeys_retry_publishes_each_message_once(broker, shared, durability):
    client = broker.connect()
    client.create_topic("t", shared=shared, durability=durability, **SMALL)
    pub = client.publisher("t", timeout=0.05)
    send_obeying(pub, [b"0"])
    broker.stop()
    stopped = threading.Event()

    def start():
        stopped.wait()
        broker.start()
    thread = threading.Thread(target=start)
    thread.start()
    try:
        pub.send(b"1")
    except hermes.Error as error:
        assert (error.retry, error.outcome, error.taken) == (False, "pending", 1) or error.retry and error.taken == 0
        again = [b"1"] if error.retry else []
    else:
        again = []
    stopped.set()
    thread.join()
    send_obeying(pub, again + [b"2", b"3"])
    pub.wait(timeout=60)
    with broker.connect() as client:
        assert [m.payload for m in client.subscriber("t", "first").poll_many(9, 60)] == [b"0", b"1", b"2", b"3"]


def test_what_is_pending_is_not_to_be_sent_again(broker):
    client = broker.connect()
    client.create_topic("t", **SMALL)
    pub = client.publisher("t", timeout=0.05)
    pub.send(b"in")
    broker.stop()
    with pytest.raises(hermes.Disconnected) as told:
        pub.send(b"waits")
    assert (told.value.outcome, told.value.taken, told.value.retry) == ("pending", 1, False)
    with pytest.raises(hermes.NoRoom) as told:
        pub.send(b"refused")
    assert (told.value.outcome, told.value.taken, told.value.retry) == ("not published", 0, True)
    with pytest.raises(hermes.Timeout) as told:
        pub.wait(timeout=0.05)
    assert told.value.retry and told.value.outcome is None  # to wait again does nothing twice
    broker.start()
    pub.wait(timeout=60)
    with broker.connect() as client:
        assert [m.payload for m in client.subscriber("t", "first").poll_many(9, 60)] == [b"in", b"waits"]


@pytest.mark.parametrize("send", [lambda p: p.send_many([b"1", b"2"]), lambda p: p.send_batch(numpy.zeros(2))])
def test_many_that_wait_for_a_broker_are_pending(broker, send):
    client = broker.connect()
    client.create_topic("t", **SMALL)
    pub = client.publisher("t", timeout=0.05)
    pub.send(b"in")
    broker.stop()
    with pytest.raises(hermes.Error) as told:
        send(pub)
    assert told.value.taken > 0 and told.value.outcome == "pending" and not told.value.retry
    broker.start()
    pub.wait(timeout=60)
    assert broker.connect().topic("t").last_sequence == 1 + told.value.taken


def test_a_number_comes_of_what_was_pending_and_got_in(broker):
    client = broker.connect()
    client.create_topic("t", **SMALL)
    pub = client.publisher("t", timeout=60)
    pub.send(b"1")
    broker.stop()
    timer = threading.Timer(0.2, broker.start)
    timer.start()
    assert pub.send(b"2") == 2 and pub.send(b"3") == 3
    timer.join()
    client.close()


def test_nothing_is_taken_where_there_is_no_room(client):
    client.create_topic("t", durability="memory", push_back=True, **SMALL)
    sub = client.subscriber("t", push_back=True)
    pub = client.publisher("t", timeout=0)
    with pytest.raises(hermes.NoRoom) as told:
        while True:
            pub.send(bytes(1000))
    assert (told.value.outcome, told.value.taken, told.value.sequence, told.value.retry) == ("not published", 0, None, True)
    sub.poll_many(100000)
    for send in (lambda: pub.send_many([bytes(1000)] * 1000), lambda: pub.send_batch(numpy.zeros((1000, 1000), "u1"))):
        with pytest.raises(hermes.NoRoom) as told:
            send()
        error = told.value
        assert 0 < error.taken < 1000 and error.outcome == "published" and not error.retry
        assert len(sub.poll_many(100000)) == error.taken


def test_an_iterator_that_fails_is_told_with_the_count(client):
    client.create_topic("t")
    pub = client.publisher("t")
    for raised in (ZeroDivisionError, KeyboardInterrupt, SystemExit):
        def items():
            yield from [b"x"] * 100
            raise raised
        with pytest.raises(raised) as told:
            pub.send_many(items())
        assert told.value.taken == 100 and "100" in told.value.__notes__[0]
    with pytest.raises(TypeError) as told:
        pub.send_many([b"x"] * 70 + ["text"])
    assert told.value.taken == 70 and told.value.outcome == "published"
    with pytest.raises(hermes.PayloadTooLarge) as told:
        pub.send_many([b"x"] * 70 + [bytes(70000)])
    assert told.value.taken == 70 and not told.value.retry


@pytest.mark.parametrize("shared", [False, True])
def test_an_iterator_that_leaves_a_claim_open_is_told_what_came_before(client, shared):
    client.create_topic("t", shared=shared)
    pub, claims = client.publisher("t"), []

    def items():
        yield from [b"x"] * 64
        pub.wait()
        claims.append(pub.claim(4))
        yield b"y"
    with pytest.raises(hermes.InvalidArgument) as told:
        pub.send_many(items())
    assert (told.value.taken, told.value.outcome, told.value.retry) == (64, "published", False)
    memoryview(claims[0])[:] = b"last"
    assert claims[0].commit() == 65 and pub.send(b"goes on") == 66
    pub.wait()
    got = client.subscriber("t", "first").poll_many(99, 60)
    assert [m.payload for m in got][63:] == [b"x", b"last", b"goes on"]


def test_an_interrupt_is_not_swallowed_by_what_it_interrupts(client):
    """The publisher cannot send what came before, either: that is the context."""
    client.create_topic("t")
    pub = client.publisher("t")

    def items():
        yield b"one"
        pub.close()
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt) as told:
        pub.send_many(items())
    assert isinstance(told.value.__context__, hermes.Closed)


def test_what_came_before_a_failure_is_durable_on_a_sync_topic(client):
    client.create_topic("t", durability="sync")
    pub = client.publisher("t")

    def items():
        yield from [b"x"] * 100
        raise ZeroDivisionError
    for send in (lambda: pub.send_many(items()), lambda: pub.send_many([b"x", "text"])):
        with pytest.raises((ZeroDivisionError, TypeError)):
            send()
        info = client.topic("t")
        assert pub.confirmed("durable") == info.last_sequence and info.durable_position == info.committed_position


def test_a_signal_that_ends_a_send_tells_what_became_of_it(broker):
    client = broker.connect()
    client.create_topic("t", **SMALL)
    pub = client.publisher("t", timeout=600)
    pub.send(b"in")
    broker.stop()

    def handler(number, frame):
        raise ZeroDivisionError
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(ZeroDivisionError) as told:
            pub.send(b"waits")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert (told.value.taken, told.value.outcome) == (1, "pending")
    broker.start()
    pub.wait(timeout=60)
    assert [m.payload for m in broker.connect().subscriber("t", "first").poll_many(9, 60)] == [b"in", b"waits"]


def claimed(pub):
    with pub.claim(4):
        pass


def batch_at(pub):
    pub.send_batch_at(numpy.ones(3, "u8"), numpy.ones((3, 1), "u1"))


@pytest.mark.parametrize("send, count", [(lambda p: p.send(b"x"), 1), (lambda p: p.send_many([b"x", b"y"]), 2), (claimed, 1),
                                         (lambda p: p.send_batch(numpy.ones((3, 1), "u1")), 3), (batch_at, 3),
                                         (lambda p: p.send_at(1, b"x"), 1)])
def test_a_signal_while_the_disk_is_waited_for_tells_what_became_of_it(client, send, count):
    """From a thread that has the GIL while the main thread sleeps: that finds it when it wakes up, and all is done."""
    client.create_topic("t", durability="sync")
    pub = client.publisher("t")

    def handler(number, frame):
        raise ZeroDivisionError

    def interrupt():
        while True:
            try:
                pub.accepted()
            except hermes.InUse:
                return signal.raise_signal(signal.SIGALRM)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(5):
            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(ZeroDivisionError) as told:
                while True:
                    send(pub)
            thread.join()
            assert (told.value.taken, told.value.outcome) == (count, "published") and told.value.__notes__
    finally:
        signal.signal(signal.SIGALRM, before)


def test_no_message_has_the_number_nought(client):
    client.create_topic("t")
    pub = client.publisher("t")
    pub.send(b"x")
    for wrong in (0, -1, 2**64):
        with pytest.raises(hermes.InvalidArgument):
            pub.wait(wrong)
    pub.wait(None)


def test_others_run_while_much_is_sent(client):
    client.create_topic("t", durability="memory", window_bytes=4 << 20, segment_bytes=4 << 20)
    pub = client.publisher("t")
    turns, stop = [0], []

    def turn():
        while not stop:
            turns[0] += 1
    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    rows, items = numpy.zeros(1000000, "u8"), [b"12345678"] * 1000000
    for send, what in ((pub.send_batch, rows), (pub.send_many, items)):
        before = turns[0]
        send(what)
        after = turns[0]
        assert after > before
    stop.append(True)
    thread.join()


def test_pointers_are_no_payload(client):
    import ctypes
    client.create_topic("t")
    pub = client.publisher("t")
    objects = numpy.zeros(2, "O")
    for pointers in (objects, numpy.zeros(2, [("time", "M8[ns]"), ("o", "O")]), numpy.zeros((), "O"), memoryview(objects),
                     (ctypes.c_void_p * 2)(), (ctypes.POINTER(ctypes.c_int) * 2)(), (ctypes.c_char_p * 2)()):
        for call in (pub.send, lambda p: pub.send_many([p]), pub.send_batch, hermes.encode):
            with pytest.raises((TypeError, ValueError)):
                call(pointers)
    assert pub.sequence == 0
    complex_numbers = numpy.zeros(3, [("Only a name: not an Object", "c16")])
    pub.send(complex_numbers)
    pub.send(numpy.zeros(3, "M8[ns]"))


def test_what_is_left_open_when_a_client_closes_is_counted(broker):
    client = broker.connect()
    client.create_topic("t", shared=True, **SMALL)
    pub = client.publisher("t", timeout=0.05)
    broker.kill()
    pub.send(b"x")
    assert client.close() == 1
    assert os.path.exists(broker.home)


def test_what_a_block_leaves_behind_is_not_to_be_sent_again_as_it_is(broker):
    client = broker.connect()
    client.create_topic("t", shared=True, **SMALL)
    with pytest.raises(hermes.Timeout) as told:
        with client.publisher("t", timeout=0.05) as pub:
            broker.kill()
            pub.send(b"x")
            pub.send(b"y")
    assert (told.value.outcome, told.value.taken, told.value.retry) == ("pending", 2, False)
