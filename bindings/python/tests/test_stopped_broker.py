"""A broker that does not run (SIGSTOP) beside every call: signals are looked at, others go on, time-outs are kept."""
import asyncio
import os
import signal
import threading
import time

import hermes_msg as hermes
import numpy
import pytest
from conftest import SMALL

#: What a request would wait for, and what none of these tests does.
LONG = 60


class Raised(Exception):
    pass


class Situation:
    """Something of each kind, open, with more to read than is mapped; and then the broker stands."""

    def __init__(self, broker):
        self.broker, self.client = broker, broker.connect()
        self.client.create_topic("t", **SMALL)
        self.client.create_topic("shared", shared=True, push_back=True, **SMALL)
        self.client.create_topic("empty")
        with self.client.publisher("t") as pub:
            pub.send_many([bytes(1000)] * 4000)
            pub.wait(confirmation="durable")
        self.pub = self.client.publisher("shared", timeout=LONG)
        self.sync = self.client.publisher("empty", timeout=LONG)
        self.sub, self.first = self.client.subscriber("empty"), self.client.subscriber("t", "first")
        self.member, self.durable = self.client.subscriber("t", group="g"), self.client.subscriber("t", name="n")
        self.slow = self.client.subscriber("shared", push_back=True)
        self.manual = self.client.subscriber("t", "first", name="manual", ack="manual")
        self.early = self.manual.poll(LONG)
        while (last := self.manual.poll(LONG)).position < 2 * SMALL["segment_bytes"]:
            pass  # so the one before it is in another segment
        assert last.sequence > self.early.sequence

    def stop(self):
        self.broker.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.broker.process.send_signal(signal.SIGCONT)

    def fill(self):
        while True:
            self.pub.send(bytes(1000))

    def send_durably(self):
        while True:
            self.sync.send(bytes(1000))
            self.sync.wait(confirmation="durable")


REQUESTS = {
    "connect": lambda s: hermes.connect(s.broker.url),
    "ping": lambda s: s.client.ping(),
    "topic": lambda s: s.client.topic("t"),
    "topics": lambda s: s.client.topics(),
    "create_topic": lambda s: s.client.create_topic("new", exist_ok=True),
    "alter_topic": lambda s: s.client.alter_topic("t", keep="7d"),
    "purge_topic": lambda s: s.client.purge_topic("new"),
    "delete_topic": lambda s: s.client.delete_topic("new"),
    "verify_topic": lambda s: s.client.verify_topic("t"),
    "publisher": lambda s: s.client.publisher("new"),
    "subscriber": lambda s: s.client.subscriber("t"),
    "a member": lambda s: s.client.subscriber("t", group="g"),
    "a durable subscription": lambda s: s.client.subscriber("t", name="another"),
    "create_group": lambda s: s.client.create_group("t", "new"),
    "a group at a sequence": lambda s: s.client.create_group("t", "new", start=7),
    "alter_group": lambda s: s.client.alter_group("t", "g", lease="1m"),
    "reset_group": lambda s: s.client.reset_group("t", "g", "first"),
    "delete_group": lambda s: s.client.delete_group("t", "new"),
    "group": lambda s: s.client.group("t", "g"),
    "groups": lambda s: s.client.groups("t"),
    "seek": lambda s: s.first.seek(3000),
    "seek to the last": lambda s: s.first.seek("last"),
    "ack of an early message": lambda s: s.manual.ack(s.early),
}
WAITS = {
    "poll": lambda s: s.sub.poll(LONG),
    "poll_many": lambda s: s.sub.poll_many(5, LONG),
    "poll_view": lambda s: s.sub.poll_view(LONG),
    "recv_batch": lambda s: s.sub.recv_batch(5, "u1", timeout=LONG),
    "next": lambda s: next(s.sub),
    "a member's poll": lambda s: s.member.poll(LONG),
    "send": Situation.fill,
    "send_many": lambda s: s.pub.send_many(bytes(1000) for _ in range(10000)),
    "send_batch": lambda s: s.pub.send_batch(numpy.zeros((10000, 1000), "u1")),
    "claim": lambda s: s.pub.claim(1000),
    "wait": lambda s: s.pub.wait(timeout=LONG),
    "wait for the disk": Situation.send_durably,
}
CLOSES = {
    "a publisher": lambda s: s.sync.close(),
    "a member": lambda s: s.member.close(),
    "a durable subscription": lambda s: s.durable.close(),
    "who is waited for": lambda s: s.slow.close(),
    "a client": lambda s: s.client.close(),
}


@pytest.fixture
def situation(broker, monkeypatch):
    monkeypatch.setenv("HERMES_REQUEST_TIMEOUT_MS", str(LONG * 1000))
    s = Situation(broker)
    yield s
    s.go_on()
    s.client.close()


@pytest.fixture
def turns():
    """A thread that goes on, and counts."""
    count, stop = [0], threading.Event()

    def turn():
        while not stop.wait(0.001):
            count[0] += 1
    thread = threading.Thread(target=turn)
    thread.start()
    yield count
    stop.set()
    thread.join()


@pytest.fixture
def raising():
    """raising(): a signal comes soon whose handler raises; where no call waits for it, it is waited for."""
    def handler(number, frame):
        raise Raised
    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.03)
    signal.signal(signal.SIGALRM, before)


def interrupted(situation, call, raising):
    """Whether the signal ended the call, rather than that it came back before; and it took no part of LONG."""
    begun, came_back = time.monotonic(), False
    raising()
    with pytest.raises(Raised):
        call(situation)
        came_back = True
        while True:
            signal.pause()
    assert time.monotonic() - begun < LONG / 4
    return not came_back


def test_a_signal_ends_whatever_waits_for_a_broker_that_stands(situation, raising, turns):
    situation.stop()
    came_back = []
    for name, call in (REQUESTS | WAITS).items():
        before = turns[0]
        if not interrupted(situation, call, raising):
            came_back.append(name)
        assert turns[0] > before, name
    assert came_back == []
    situation.go_on()
    situation.client.ping()  # the session goes on
    assert situation.first.poll(LONG) is not None and situation.client.topic("t").name == "t"
    situation.slow.close()
    situation.pub.wait(timeout=LONG)


def test_a_signal_ends_a_close_that_waits_for_an_answer_and_it_is_closed(situation, raising, turns):
    situation.stop()
    for name, close in CLOSES.items():
        before = turns[0]
        assert interrupted(situation, close, raising) or name == "a client", name
        assert turns[0] > before, name
    assert all(thing.closed for thing in (situation.sync, situation.member, situation.durable, situation.slow))
    situation.go_on()
    assert situation.client.close() == 0 and situation.client.closed
    with situation.broker.connect() as client:
        client.publisher("empty").send(b"x")  # it was told, in the end
        client.subscriber("t", name="n").close()


def test_a_call_goes_on_when_a_handler_has_run(situation):
    def handler(number, frame):
        situation.go_on()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for call in (REQUESTS["ping"], REQUESTS["topics"], REQUESTS["subscriber"], CLOSES["a member"]):
            situation.stop()
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            call(situation)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_close_in_another_thread_ends_what_waits_for_an_answer(situation):
    for wait in (REQUESTS["topics"], REQUESTS["subscriber"], REQUESTS["publisher"], REQUESTS["connect"]):
        other, told = situation.broker.connect(), []

        def work():
            try:
                wait(Opened(other, situation.broker))
            except hermes.Closed as error:
                told.append(error)
            except hermes.Error:
                pass
        situation.stop()
        thread = threading.Thread(target=work)
        thread.start()
        if wait is REQUESTS["topics"]:
            until_in_use(other)
        begun = time.monotonic()
        other.close()
        assert time.monotonic() - begun < LONG / 4
        situation.go_on()
        thread.join(LONG)
        assert not thread.is_alive() and (told or wait is REQUESTS["connect"])


def test_a_handler_that_forks_while_an_answer_is_waited_for_leaves_it_to_the_parent(situation):
    children = []
    situation.member.fileno()

    def handler(number, frame):
        children.append(os.fork())
        if children[-1] != 0:
            assert os.waitpid(children[-1], 0)[1] == 0
            situation.go_on()
    before = signal.signal(signal.SIGALRM, handler)
    calls = [REQUESTS[name] for name in ("ping", "connect", "subscriber", "seek")] + [CLOSES["a member"]]
    code = 1
    try:
        for call in calls:
            situation.stop()
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            call(situation)
    except hermes.Forked:
        code = 0
    finally:
        if children[-1:] == [0]:
            os._exit(code)
        signal.signal(signal.SIGALRM, before)
    assert len(children) == len(calls)
    situation.client.ping()


class Opened:
    def __init__(self, client, broker):
        self.client, self.broker = client, broker


def until_in_use(client):
    while "in use" not in repr(client):
        pass


def test_two_closes_that_would_wait_for_each_other_do_not(situation):
    """A handler closes the client whose subscriber it interrupted, and another thread closes that already."""
    other = situation.broker.connect()
    sub = other.subscriber("empty")
    thread = threading.Thread(target=other.close)

    def handler(number, frame):
        thread.start()
        while not other.closed:
            time.sleep(0)
        other.close()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        with pytest.raises(hermes.Closed):
            sub.poll(LONG)
    finally:
        signal.signal(signal.SIGALRM, before)
    thread.join(LONG)
    assert not thread.is_alive() and sub.closed and other.closed


def test_a_finalizer_waits_for_nothing(situation):
    situation.member.fileno()
    situation.member.arm()
    situation.stop()
    begun = time.monotonic()
    situation.member = situation.durable = situation.slow = situation.pub = situation.sync = None
    assert time.monotonic() - begun < LONG / 4


def test_who_does_not_wait_is_not_held_up(situation):
    situation.stop()
    begun = time.monotonic()
    while situation.first.poll_many(10000):
        pass
    for sub in (situation.first, situation.sub, situation.member, situation.durable):
        assert sub.poll() is None and sub.poll_many(5) == [] and sub.poll_view() is None and len(sub.recv_batch(5, "u1")) == 0
        assert sub.arm() is False  # or an event loop would ask again at once, and find nothing
    assert situation.sub.poll(0.05) is None
    quick = situation.pub.accepted()
    assert quick == 0 and situation.pub.confirmed() == 0
    assert time.monotonic() - begun < LONG / 4


def test_an_ack_of_what_was_handed_out_last_is_not_held_up(situation):
    situation.stop()
    begun = time.monotonic()
    situation.manual.ack()
    assert time.monotonic() - begun < LONG / 4
    situation.go_on()
    info = situation.client.group("t", "manual")
    assert info.position >= 2 * SMALL["segment_bytes"]


def test_an_ack_beside_a_view_ends_as_the_view_is(situation, raising):
    """It has to look up an early message, and is interrupted; the view is there as before, and lends what it did."""
    with situation.manual.poll_view(LONG) as view:
        before = bytes(view)
        situation.stop()
        assert interrupted(situation, REQUESTS["ack of an early message"], raising)
        assert bytes(view) == before
        with pytest.raises(BufferError):
            situation.manual.poll()
        situation.go_on()
        situation.manual.ack(situation.early)
        situation.manual.ack(view)
    assert situation.manual.poll(LONG).sequence == view.sequence + 1


def test_requests_end_when_their_time_is_over(broker, monkeypatch):
    ended, s = {}, Situation(broker)
    monkeypatch.setenv("HERMES_REQUEST_TIMEOUT_MS", "2000")
    client, other = broker.connect(), broker.connect()
    first, member = client.subscriber("t", "first"), client.subscriber("t", group="g")

    def work(name, call):
        try:
            call()
        except hermes.Error as error:
            ended[name] = error
    calls = {"connect": lambda: hermes.connect(broker.url), "ping": client.ping, "open": lambda: other.subscriber("t"),
             "seek": lambda: first.seek(3000), "close": member.close}
    threads = [threading.Thread(target=work, args=item) for item in calls.items()]
    s.stop()
    begun = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join(LONG)
    assert time.monotonic() - begun < LONG / 4
    s.go_on()
    assert member.closed and sorted(ended) == ["connect", "open", "ping", "seek"]
    assert all(isinstance(error, (hermes.Timeout, hermes.Disconnected)) for error in ended.values()), ended


def test_other_tasks_go_on_while_one_waits_for_a_broker_that_stands(situation):
    async def run():
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1
        others = asyncio.create_task(turn())
        situation.first.poll_many(10000)
        for sub in (situation.first, situation.sub, situation.member):
            before = turns
            with pytest.raises(TimeoutError):
                while True:
                    await asyncio.wait_for(sub.receive(), 0.05)
            assert turns > before
        others.cancel()
    situation.stop()
    asyncio.run(run())
