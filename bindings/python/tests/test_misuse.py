"""What must hold whatever Python code runs in between: signal handlers, finalizers, conversions, forks, other threads."""
import ctypes
import datetime
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading

import hermes_msg as hermes
import numpy
import pytest
from conftest import SMALL


def run(broker, code):
    """In a process of its own, which must live to tell."""
    result = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, text=True, timeout=120,
                            env=dict(os.environ, HERMES_HOME=broker.home))
    assert result.returncode == 0, f"{result.returncode}\n{result.stdout}{result.stderr}"


@pytest.fixture
def on_alarm():
    """on_alarm(function): called by a signal handler while the next wait is under way."""
    before = signal.getsignal(signal.SIGALRM)

    def arm(function):
        signal.signal(signal.SIGALRM, lambda number, frame: function())
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    yield arm
    signal.signal(signal.SIGALRM, before)


# ---- data ----

@pytest.mark.parametrize("read", [lambda s: s.recv_batch(1, "u8"), lambda s: s.poll(), lambda s: s.poll_many(3),
                                  lambda s: s.poll_view(), next, lambda s: s.seek("first")])
def test_a_handler_that_reads_while_poll_waits_is_refused_and_changes_no_message(client, on_alarm, read):
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t")
    refused = []

    def handler():
        pub.send(b"first")
        try:
            read(sub)
        except hermes.InUse:
            refused.append(True)
        except hermes.Error:
            pass
        pub.send(b"2nd message")
    on_alarm(handler)
    got = [sub.poll(60), sub.poll(60)]
    assert [(m.sequence, m.payload) for m in got] == [(1, b"first"), (2, b"2nd message")]
    assert refused == [True]


def test_what_did_not_fit_is_still_there_after_a_seek_that_was_refused(client):
    client.create_topic("t")
    client.publisher("t").send_many([b"one", b"two"])
    sub = client.subscriber("t", "first")
    member = client.subscriber("t", "first", group="g")
    for reader, seek in ((sub, lambda: sub.seek_position(64 << 20)), (member, lambda: member.seek("first"))):
        with pytest.raises(hermes.LayoutMismatch):
            reader.recv_batch(1, "u8")
        position = reader.position
        with pytest.raises(hermes.Error):
            seek()
        message = reader.poll()
        assert (message.payload, message.position, position) == (b"one", 0, 0)
        assert reader.poll().payload == b"two"
    member.poll()
    assert client.group("t", "g").in_flight == 0


def test_what_did_not_fit_is_forgotten_by_any_seek(client):
    client.create_topic("t")
    client.publisher("t").send_many([b"one", b"two", b"three"])
    sub = client.subscriber("t", "first")
    second = client.subscriber("t", 2).poll().position
    for seek in (lambda: sub.seek(2), lambda: sub.seek_position(second)):
        sub.seek("first")
        with pytest.raises(hermes.LayoutMismatch):
            sub.recv_batch(1, "u8")
        seek()
        assert sub.poll().payload == b"two"


def test_a_durable_subscription_remembers_no_more_than_it_must(client):
    client.create_topic("t", durability="memory", window_bytes=64 << 20, segment_bytes=64 << 20)
    pub = client.publisher("t")

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])
    with client.subscriber("t", "first", name="desk", ack="manual") as sub:
        def round():
            pub.send_many([b"x" * 8] * 50000)
            for _ in range(50):
                sub.ack(sub.poll_many(1000)[-1])
        round()
        before = resident() - pages_of_shared_memory()
        for _ in range(6):
            round()
        grown = resident() - pages_of_shared_memory() - before
        assert grown < 1000, f"{grown} pages"


def pages_of_shared_memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[2])


def test_an_ack_is_of_a_message_that_this_subscriber_handed_out(client):
    for name in ("t", "other"):
        client.create_topic(name)
        client.publisher(name).send_many([b"x"] * 20)
    sub = client.subscriber("t", "first", name="desk", ack="manual")
    far = client.subscriber("other", "first", name="desk", ack="manual").poll_many(20)[-1]
    mine = sub.poll_many(3)
    for foreign in (far, hermes.decode(hermes.encode(b"x", sequence=15)), pickle.loads(pickle.dumps(mine[2])),
                    client.subscriber("t", "first").poll_many(9)[-1]):
        for call in (sub.ack,):
            with pytest.raises((hermes.Expired, hermes.InvalidArgument)):
                call(foreign)
        assert client.group("t", "desk").position == 0
    sub.ack(mine[1])
    sub.close()
    assert client.subscriber("t", name="desk").poll().sequence == 3


def test_each_log_tells_its_own_failure(tmp_path):
    """Two that are closed at a time: one whose end was overwritten (before it was stored, usually), one that is well."""
    told, wrong = [], []

    def close(log, fails, start):
        start.wait()
        try:
            log.close()
            failed = False
        except hermes.Error:
            failed = True
        if failed:
            (told if fails else wrong).append(log.path)
    for i in range(30):
        logs = [hermes.log.open(tmp_path / f"{i}-{name}", window_bytes=256 << 10, segment_bytes=1 << 20, sync_interval=3600)
                for name in ("good1", "bad1", "good2", "bad2", "good3", "bad3")]
        for log in logs:
            log.append(b"x" * 1000)
        for log in logs[1::2]:
            spoil(log)
        start = threading.Barrier(len(logs))
        threads = [threading.Thread(target=close, args=[log, log in logs[1::2], start]) for log in logs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert told and not wrong


def spoil(log):
    """Writes nonsense over the log's end, where it is mapped to be written to."""
    log.append(bytes(log.path))
    log.append(b"behind it")
    for line in list(open("/proc/self/maps")):
        if " rw-s " in line:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            data = (ctypes.c_char * (end - start)).from_address(start)
            at = data.raw.find(str(log.path).encode())
            if at >= 0:
                ctypes.memset(start + at - 32, 0x55, 32)
                return
    raise AssertionError("its window was not found")


# ---- crashes ----

def test_a_conversion_that_closes_the_client_is_told_so(broker):
    broker.connect().create_topic("t")
    run(broker, """if True:
        import hermes_msg as hermes, datetime
        class Closes(float):
            def __float__(self): client.close(); return 1.0
            def __mul__(self, other): client.close(); return 1.0
            __rmul__ = __mul__
        class ClosesNumber(int):
            def __index__(self): client.close(); return 1
        class Age:
            def __float__(self): client.close(); return 1.0
            def __mul__(self, other): client.close(); return 1.0
            __index__ = None
        for call in (lambda: client.create_topic("u", keep=Age()), lambda: client.alter_topic("t", keep=Age()),
                     lambda: client.create_group("t", "g", lease=Age()),
                     lambda: client.alter_group("t", "g", lease=Age()),
                     lambda: sub.poll(Age()), lambda: sub.poll_many(1, Age()), lambda: sub.recv_batch(1, "u1", timeout=Age()),
                     lambda: pub.wait(timeout=Age()), lambda: client.publisher("t", timeout=Age()),
                     lambda: client.subscriber("t", spin=Age())):
            client = hermes.connect()
            pub, sub = client.publisher("t"), client.subscriber("t")
            try:
                call()
            except (hermes.Closed, TypeError):
                pass
            else:
                raise AssertionError("nothing was told")
        class Index:
            def __index__(self): client.close(); return 1
        for call in (lambda: pub.claim(Index()), lambda: pub.wait(Index()), lambda: sub.seek_position(Index()),
                     lambda: sub.poll_many(Index()), lambda: sub.recv_batch(Index(), "u1")):
            client = hermes.connect()
            pub, sub = client.publisher("t"), client.subscriber("t")
            try:
                call()
            except hermes.Closed:
                pass
            else:
                raise AssertionError("nothing was told")
        """)


def test_a_finalizer_may_close_what_a_call_is_inside_of(broker):
    with broker.connect() as client:
        client.create_topic("t")
        client.publisher("t").send_many([b"x" * 1000] * 100)
    run(broker, """if True:
        import gc, hermes_msg as hermes, threading
        client = hermes.connect()
        keep = []
        class Closes:
            def __del__(self):
                target.close()
        def garbage():
            thing = Closes()
            thing.me = thing
        for read in (lambda s: s.poll_many(50), lambda s: s.poll(), lambda s: s.poll_view(), lambda s: s.recv_batch(9, "V1000"),
                     lambda s: s.poll(0.01), lambda s: next(s), lambda s: s.seek("first"), lambda s: client.topics()):
            for threshold in range(1, 40):
                gc.collect()
                target = client.subscriber("t", "first")
                gc.disable()
                garbage()
                gc.set_threshold(threshold, 1, 1)
                keep.append([[] for _ in range(200)])  # so that no list comes from a free list, but tuples do
                ones = [(i,) for i in range(50)]
                del ones
                gc.enable()
                try:
                    got = read(target)
                    closed = target.closed
                    if isinstance(got, list) and got and hasattr(got[0], "payload"):
                        assert not closed, "messages of what was closed"
                        assert all(m.payload == b"x" * 1000 for m in got)
                except (hermes.Closed, StopIteration):
                    pass
                gc.set_threshold(700, 10, 10)
        """)


def test_no_messages_come_of_what_a_finalizer_closed_at_the_beginning_of_a_call(broker):
    with broker.connect() as client:
        client.create_topic("t")
        client.publisher("t").send_many([b"x" * 1000] * 100)
    run(broker, """if True:
        import gc, hermes_msg as hermes
        client = hermes.connect()
        class Closes:
            def __del__(self):
                target.close()
        def garbage():
            thing = Closes()
            thing.me = thing
        gc.collect()
        target = client.subscriber("t", "first")
        gc.disable()
        garbage()
        keep = [[] for _ in range(200)]  # no list comes from a free list, but tuples do
        ones = [(i,) for i in range(50)]
        del ones
        gc.set_threshold(1, 1, 1)
        gc.enable()
        try:
            got = target.poll_many(50)
            assert not target.closed, "messages of what was closed"
        except hermes.Closed:
            pass
        """)


def test_a_view_does_not_change_while_it_is_lent(client):
    client.create_topic("t")
    client.publisher("t").send_many([b"first", b"other"])
    sub = client.subscriber("t", "first")
    views = []

    class Borrows(datetime.datetime):
        def astimezone(self, zone=None):
            views.append(sub.poll_view())
            return datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    with pytest.raises(BufferError):
        sub.seek(Borrows(2000, 1, 1))
    assert bytes(views[0]) == b"first"
    views[0].release()
    assert sub.poll().payload == b"other"


def test_a_claim_ends_with_the_last_that_looks_through_it(client):
    client.create_topic("t")
    pub = client.publisher("t")
    for look in (pickle.PickleBuffer, memoryview, lambda view: numpy.frombuffer(view, "u1")):
        with pytest.raises(BufferError):
            with pub.claim(8) as view:
                through = look(view)
        with pytest.raises(hermes.InvalidArgument):
            pub.send(b"no")
        del view, through
        assert pub.send(b"yes") > 0
    claim = pub.claim(8)
    claim.__enter__()
    del claim
    assert pub.send(b"yes") > 0


def test_what_a_child_writes_to_a_claim_is_not_in_the_parents_message(client):
    for shared in (False, True):
        client.create_topic(f"t{shared}", shared=shared, **SMALL)
        pub, sub = client.publisher(f"t{shared}"), client.subscriber(f"t{shared}")
        pub.send(b"before")
        for size in (8, 20000):
            claim = pub.claim(size)
            view = memoryview(claim)
            view[:] = b"p" * size
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    seen = bytes(view) == b"p" * size
                    view[:] = b"c" * size
                    code = 0 if seen and bytes(view) == b"c" * size else 2
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
            view.release()
            claim.commit()
        sub.seek("first")
        got = []
        while len(got) < 3:
            got += sub.poll_many(3, 60)
        assert [m.payload for m in got] == [b"before", b"p" * 8, b"p" * 20000]


# ---- one state ----

def test_a_handler_may_close_what_it_interrupted(broker, client, on_alarm):
    client.create_topic("t")
    for close in (lambda: sub.close(), lambda: other.close()):
        other = broker.connect()
        sub = other.subscriber("t")
        on_alarm(close)
        with pytest.raises(hermes.Closed):
            sub.poll(60)
        assert sub.closed
        sub.close()


@pytest.mark.parametrize("wait", [lambda s: s.poll(None), lambda s: s.poll_many(3, None), lambda s: s.poll_view(None),
                                  lambda s: s.recv_batch(3, "u1", timeout=None)])
def test_close_ends_a_wait_in_another_thread(client, wait):
    client.create_topic("t")
    sub, told = client.subscriber("t"), []

    def work():
        try:
            wait(sub)
        except hermes.Closed as error:
            told.append(error)
    thread = threading.Thread(target=work)
    thread.start()
    until_in_use(sub)
    sub.close()
    thread.join(60)
    assert told and sub.closed


def until_in_use(sub):
    while True:
        try:
            sub.seek("end")
        except hermes.InUse:
            return


def test_an_iteration_in_another_thread_ends_by_close(client):
    client.create_topic("t")
    client.publisher("t").send(b"x")
    for close in (lambda: sub.close(), client.close):
        sub, got = client.subscriber("t", "first"), []
        thread = threading.Thread(target=lambda: got.extend(m.payload for m in sub))
        thread.start()
        until_in_use(sub)
        close()
        thread.join(60)
        assert not thread.is_alive() and got in ([b"x"], []) and sub.closed
        with pytest.raises(hermes.Closed):
            for _ in sub:
                pass


def test_closing_a_client_ends_what_others_do_with_it(broker):
    """All are closed when it says so: a publisher that waits for room, a subscriber that waits for messages."""
    client = broker.connect()
    client.create_topic("t", durability="memory", push_back=True, **SMALL)
    client.create_topic("empty")
    slow = client.subscriber("t", "first", push_back=True)
    pub, sub = client.publisher("t", timeout=600), client.subscriber("empty")
    ended = []

    def flood():
        try:
            while True:
                pub.send(bytes(10000))
        except hermes.Closed as error:
            ended.append(error)

    def read():
        for _ in sub:
            pass
        ended.append(None)
    threads = [threading.Thread(target=f) for f in (flood, read)]
    for t in threads:
        t.start()
    until_in_use(sub)
    while True:
        try:
            pub.sequence  # noqa: B018
        except hermes.InUse:
            break
    client.close()
    for t in threads:
        t.join(60)
    assert len(ended) == 2 and slow.closed and pub.closed and sub.closed and client.closed


def test_cycles_are_collected(client):
    client.create_topic("t")

    class Name(str):
        pass
    for make in (lambda name: client.publisher(name), lambda name: client.publisher(name).claim(8)):
        name = Name("t")
        name.me = make(name)
        del name
        gc.collect()
        client.publisher("t").close()  # nobody has it any more
    for make in (lambda name: client.subscriber(name, name="desk"), lambda name: client.subscriber(name, "first", name="desk").poll_view()):
        client.subscriber("t", name="other").close()
        name = Name("t")
        name.me = make(name)
        if name.me is None:
            client.publisher("t").send(b"x")
        del name
        gc.collect()
        client.subscriber("t", name="desk").close()


# ---- signals and messages at once ----

class Raised(Exception):
    pass


@pytest.fixture
def raising():
    """A signal whose handler raises, from whatever call the main thread is in."""
    def handler(number, frame):
        raise Raised
    before = signal.signal(signal.SIGALRM, handler)
    yield
    signal.signal(signal.SIGALRM, before)


def signal_and_message(sub, send):
    """Both at once for who waits in the main thread: it holds no GIL, and this thread lets it go for neither."""
    while True:
        try:
            sub.position  # noqa: B018
        except hermes.InUse:
            break
    signal.raise_signal(signal.SIGALRM)
    send(b"message")


def received(wait):
    """What the wait gave, as a list; [] where the signal ended it."""
    try:
        got = wait()
    except Raised:
        return []
    if isinstance(got, hermes.View):
        with got:
            return [bytes(got)]
    return [m.payload for m in got] if isinstance(got, list) else [bytes(got)]


@pytest.mark.parametrize("how", [{}, {"group": "g"}, {"group": "g", "ack": "none"}, {"name": "desk"}])
@pytest.mark.parametrize("wait", [lambda s: s.poll(60), lambda s: s.poll_many(3, 60), lambda s: s.poll_view(60), next,
                                  lambda s: s.recv_batch(3, "V7", timeout=60), lambda s: s.recv_batch(100, "V7", timeout=60)])
def test_a_message_that_comes_with_a_signal_is_not_lost(client, raising, wait, how):
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t", **how)
    for _ in range(10):
        thread = threading.Thread(target=signal_and_message, args=[sub, pub.send])
        try:
            thread.start()
            got = received(lambda: wait(sub))
        except Raised:
            got = []
        thread.join()
        assert (got or [bytes(sub.poll(60))]) == [b"message"]


def test_a_message_of_a_log_that_comes_with_a_signal_is_not_lost(tmp_path, raising):
    with hermes.log.open(tmp_path / "log") as log:
        log.append(b"first")
        reader = hermes.log.reader(tmp_path / "log")
        assert reader.poll().payload == b"first"
        thread = threading.Thread(target=signal_and_message, args=[reader, log.append])
        thread.start()
        got = received(lambda: reader.poll(60))
        thread.join()
        assert (got or [reader.poll(60).payload]) == [b"message"]
