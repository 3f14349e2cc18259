"""Topics, errors, closing, restarts of the broker."""
import datetime
import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import hermes_msg as hermes
import pytest
from conftest import SMALL, Broker


def test_topics(client):
    client.create_topic("a", durability="sync", keep_bytes=5 << 20, keep=datetime.timedelta(hours=1))
    client.create_topic("b", shared=True, durability="memory", window_bytes=256 << 10, when_full="wait")
    a, b = client.topics()
    assert (a.name, a.durability, a.shared, a.keep_bytes, a.keep_ns) == ("a", "sync", False, 5 << 20, 3600 * 10**9)
    assert (b.name, b.durability, b.shared, b.window_bytes, b.when_full) == ("b", "memory", True, 256 << 10, "wait")
    assert client.topic("a") == a
    client.alter_topic("a", keep=1.5, when_full="wait")
    changed = client.topic("a")
    assert (changed.keep_ns, changed.when_full, changed.keep_bytes) == (1500000000, "wait", 5 << 20)
    client.alter_topic("a", keep_bytes=0, keep=None)
    assert client.topic("a").keep_ns == client.topic("a").keep_bytes == 0
    with pytest.raises(hermes.TopicExists):
        client.create_topic("a")
    client.create_topic("a", exist_ok=True)
    with pytest.raises(hermes.InvalidArgument):
        client.alter_topic("a")
    for name in ("", ".", "x/y", "a" * 128, "ä"):
        with pytest.raises(hermes.InvalidName):
            client.create_topic(name)
    for name in (b"a", None, 1, "a\0b"):
        with pytest.raises((TypeError, ValueError)):
            client.create_topic(name)
    for bad in ({"durability": "perhaps"}, {"when_full": "hm"}, {"window_bytes": -1}, {"window_bytes": 1000},
                {"keep": -1}, {"keep": "long"}, {"durability": 1}, {"nonsense": 1}):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            client.create_topic("c", **bad)
    for call in (client.topic, client.delete_topic, client.purge_topic, client.publisher, client.subscriber, client.verify_topic):
        with pytest.raises(hermes.TopicNotFound) as error:
            call("unknown")
        assert "unknown" in str(error.value) and isinstance(error.value, LookupError)
    with pytest.raises(hermes.NotSupported):
        client.verify_topic("b")
    client.delete_topic("b")
    assert [t.name for t in client.topics()] == ["a"]
    for i in range(150):
        client.create_topic(f"t{i:03}", durability="memory", window_bytes=256 << 10)
    assert [t.name for t in client.topics()] == ["a"] + [f"t{i:03}" for i in range(150)]


def test_connect(broker, monkeypatch):
    path = os.path.join(broker.home, "broker.sock")
    for url in (path, "unix:" + path, "unix://" + path, pathlib.Path(path)):
        hermes.connect(url).ping()
    monkeypatch.setenv("HERMES_HOME", broker.home)
    hermes.connect().ping()
    hermes.connect(None).ping()
    with pytest.raises(hermes.Disconnected) as error:
        hermes.connect("unix:/nowhere/broker.sock")
    assert "/nowhere/broker.sock" in str(error.value) and isinstance(error.value, ConnectionError)
    with pytest.raises(hermes.NotSupported):
        hermes.connect("http://localhost:1")
    with pytest.raises(hermes.Disconnected):
        hermes.connect("tcp://localhost:1")
    for bad in (1, "a\0b", ["x"]):
        with pytest.raises((TypeError, ValueError)):
            hermes.connect(bad)


def test_connect_over_tls():
    """By a certificate that is trusted and a token, through sessions of its own."""
    broker = Broker(starts=False)
    try:
        broker.run("cert", "server")
        secret = broker.run("auth", "token", "create", "desk")
        broker.configure("[net]\nlisten = tls://127.0.0.1:0\n[auth]\nrequired = true\n")
        broker.start()
        url = broker.process.stdout.readline().split()[-1].decode()
        authority = pathlib.Path(broker.home, "certs", "ca.crt")
        with pytest.raises(hermes.AccessDenied, match="not trusted here"):
            hermes.connect(url, token=secret)
        with pytest.raises(hermes.AccessDenied, match="who this client is"):
            hermes.connect(url, tls_ca=authority)
        with pytest.raises(hermes.AccessDenied, match="localhost"):
            hermes.connect(url, tls_ca=authority, token=secret, tls_server_name="elsewhere")
        with hermes.connect(url, tls_ca=authority, token=secret) as client:
            assert secret not in repr(client)
            assert client.transport == "shm"  # it is this host's
        with hermes.connect(url + "?shm=no", tls_ca=authority, token=secret) as client:
            assert client.transport == "tls"
            client.create_topic("t")
            with client.publisher("t") as pub, client.subscriber("t", "first") as sub:
                pub.send(b"hello")
                assert sub.poll(60).payload == b"hello"
        for bad in (1, b"x", "a\0b", "\ud800"):
            with pytest.raises((TypeError, ValueError)) as error:
                hermes.connect(url, tls_ca=authority, token=bad)
            assert repr(bad) not in str(error.value)
    finally:
        broker.close()


def test_closing(broker):
    client = broker.connect()
    client.create_topic("t")
    with client:
        pub, sub = client.publisher("t"), client.subscriber("t")
        assert not (client.closed or pub.closed or sub.closed)
    assert client.closed and pub.closed and sub.closed
    for call in (client.ping, client.topics, lambda: client.topic("t"), lambda: client.create_topic("u"),
                 lambda: client.publisher("t"), lambda: client.subscriber("t"), lambda: pub.send(b""),
                 lambda: pub.send(bytearray()), lambda: pub.send_many([b""]), lambda: pub.claim(1), pub.wait,
                 pub.confirmed, lambda: pub.sequence, sub.poll, lambda: iter(sub), lambda: sub.poll_many(1),
                 lambda: sub.recv_batch(1, "u1"), sub.poll_view, lambda: sub.seek("end"), sub.fileno, sub.arm,
                 lambda: sub.lost, client.__enter__, pub.__enter__):
        with pytest.raises(hermes.Closed):
            call()
    for thing in (client, pub, sub):
        thing.close()
    sub = broker.connect().subscriber("t", "first")  # which keeps the client
    gc.collect()
    assert sub.poll() is None


def test_one_thread_at_a_time(client):
    client.create_topic("t")
    sub = client.subscriber("t")
    started = threading.Event()

    def wait():
        started.set()
        assert sub.poll(60).payload == b"stop"
    thread = threading.Thread(target=wait)
    thread.start()
    started.wait()
    refused = 0
    while not refused:
        try:
            sub.poll()
        except hermes.InUse:
            refused += 1
    for call in (lambda: sub.seek("end"), lambda: next(sub), sub.fileno, sub.ack):
        with pytest.raises(hermes.InUse):
            call()
    client.publisher("t").send(b"stop")
    thread.join(60)
    assert sub.poll() is None


def test_handles_in_threads_of_their_own(client):
    client.create_topic("t", shared=True)

    def publish(pub):
        for i in range(5000):
            pub.send(b"%d" % i)
        pub.wait()
    subs = [client.subscriber("t") for _ in range(2)]
    received = [[], []]

    def receive(sub, into):
        for m in sub:
            into.append(m.sequence)
            if len(into) == 20000:
                return
    threads = [threading.Thread(target=publish, args=[client.publisher("t")]) for _ in range(4)]
    threads += [threading.Thread(target=receive, args=[s, r]) for s, r in zip(subs, received)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert received == [list(range(1, 20001))] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("durability", ["async", "sync"])
def test_broker_restarts_under_them(broker, number, shared, durability):
    with broker.connect() as client:
        client.create_topic("t", shared=shared, durability=durability, **SMALL)
        count = 3000

        def publish():
            with client.publisher("t", timeout=60) as pub:
                for i in range(1, count + 1):
                    pub.send(b"%d" % i)
                pub.wait()
        sub = client.subscriber("t")
        thread = threading.Thread(target=publish)
        thread.start()
        received = []
        for m in sub:
            received.append(int(m.payload))
            if len(received) in (500, 1000, 2000):
                broker.restart(number)
            if received[-1] == count:
                break
        thread.join(60)
        assert received == list(range(1, count + 1))
        assert client.topic("t").last_sequence == count


def test_no_broker(broker):
    client = broker.connect()
    client.create_topic("t", shared=True, **SMALL)
    pub, sub = client.publisher("t", timeout=0.05), client.subscriber("t")
    broker.stop()
    with pytest.raises(hermes.Disconnected):
        client.ping()
    sent = 0
    with pytest.raises(hermes.Error) as error:
        while True:
            pub.send(bytes(1000))
            sent += 1
    assert isinstance(error.value, (hermes.NoRoom, hermes.Disconnected)) and error.value.retry
    broker.start()
    client.ping()
    pub.wait(timeout=60)
    sub.seek("first")
    assert len(sub.poll_many(100000, 60)) >= sent


def test_fork(broker):
    """The child is told; the parent goes on; and the child does not keep the parent's sessions up."""
    client = broker.connect()
    client.create_topic("t")
    client.create_topic("claimed")
    pub, sub = client.publisher("t"), client.subscriber("t")
    claim = client.publisher("claimed").claim(4)
    view = memoryview(claim)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(write)
            for call in (lambda: pub.send(b"x"), sub.poll, client.ping, claim.commit):
                try:
                    call()
                except (hermes.Forked, BufferError):
                    continue
                os._exit(2)
            client.close()
            view[0] = view[0]  # still mapped
            assert pub.closed and sub.closed
            with hermes.connect(broker.url) as own:
                own.subscriber("t", "first")
            os.read(read, 1)
            code = 0
        finally:
            os._exit(code)
    assert pub.send(b"parent") == 1 and sub.poll(10).payload == b"parent"
    pub.close()
    with client.publisher("t") as another:
        another.send(b"again")
    assert sub.poll(10).payload == b"again"
    os.close(write)
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0


def test_child_does_not_keep_a_dead_parent_alive(broker):
    code = """if True:
        import os, sys, hermes_msg as hermes
        pub = hermes.connect().publisher("t")
        pub.send(b"x")
        if os.fork() == 0:
            os.read(0, 1)
            os._exit(0)
        os._exit(0)
        """
    with broker.connect() as client:
        client.create_topic("t")
        parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                                  env=dict(os.environ, HERMES_HOME=broker.home))
        assert parent.wait(60) == 0
        while True:
            try:
                client.publisher("t").send(b"y")
                break
            except hermes.Busy:
                pass
        parent.stdin.close()


def test_errors():
    kinds = [v for v in vars(hermes).values() if isinstance(v, type) and issubclass(v, hermes.Error)]
    assert len(kinds) >= 28
    for kind in kinds:
        assert kind.__doc__ and kind.__module__ == "hermes_msg"
        assert kind is hermes.Error or (kind.code < 0 and kind.name.startswith("HERMES_E"))
    assert issubclass(hermes.Timeout, TimeoutError) and issubclass(hermes.PayloadTooLarge, ValueError)


def test_nothing_leaks(broker):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    def mapped():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0])

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    def rounds(n):
        for _ in range(n):
            with broker.connect() as client:
                with client.publisher("t") as pub, client.subscriber("t", "first") as sub:
                    pub.send(b"x")
                    sub.poll(10)
                    sub.fileno()
                    with pub.claim(100):
                        pass
                    sub.poll_view(10)
                for call in (lambda: client.publisher("unknown"), lambda: client.subscriber("t", "nowhere")):
                    with pytest.raises((hermes.Error, ValueError)):
                        call()
        gc.collect()
    with broker.connect() as client:
        client.create_topic("t", **SMALL)
    rounds(50)
    before = descriptors(), mapped(), resident()
    rounds(int(os.environ.get("HERMES_TEST_ROUNDS", "2000")))
    after = descriptors(), mapped(), resident()
    assert after[0] == before[0]
    assert after[1] - before[1] < 1024 and after[2] - before[2] < 512  # pages: an object a round would be more


def test_types_and_stubs():
    allowed = pathlib.Path(__file__).with_name("stubtest.allow")
    result = subprocess.run([sys.executable, "-m", "mypy.stubtest", "hermes_msg", "--allowlist", allowed,
                             "--ignore-unused-allowlist"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_everything_is_documented():
    for name, thing in vars(hermes).items():
        if name.startswith("_") or not isinstance(thing, type) or issubclass(thing, Exception):
            continue
        for member, value in vars(thing).items():
            if not member.startswith("_") and thing.__module__ == "hermes_msg":
                assert value.__doc__, f"{name}.{member}"


def with_alarm(call):
    """Whether a signal that comes soon ends it."""
    def handler(number, frame):
        raise ZeroDivisionError
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        call()
        signal.pause()
    except ZeroDivisionError as error:
        return error.__traceback__.tb_next.tb_frame.f_code is call.__code__
    finally:
        signal.signal(signal.SIGALRM, before)
    return False


@pytest.mark.parametrize("through", ["publisher", "client"])
def test_a_signal_ends_a_close_that_waits_for_a_broker_which_is_stopped(broker, through):
    client = broker.connect()
    client.create_topic("t", shared=True, **SMALL)
    pub = client.publisher("t", timeout=600)
    broker.process.send_signal(signal.SIGSTOP)
    try:
        pub.send(b"x")
        interrupted = with_alarm(lambda: (pub if through == "publisher" else client).close())
        assert interrupted and not pub.closed and not client.closed
    finally:
        broker.process.send_signal(signal.SIGCONT)
    pub.wait(timeout=60)
    assert pub.close() == 0 and client.close() == 0


def test_a_close_beside_a_broker_that_is_stopped_takes_no_longer_than_it_may(broker):
    client = broker.connect()
    client.create_topic("t", shared=True, **SMALL)
    client.create_topic("u")
    pub, member = client.publisher("t", timeout=0.2), client.subscriber("u", group="g")
    broker.process.send_signal(signal.SIGSTOP)
    try:
        pub.send(b"x")
        begun = time.monotonic()
        assert pub.close() == 1
        del member  # and a finalizer waits for nothing
        assert time.monotonic() - begun < 5
    finally:
        broker.process.send_signal(signal.SIGCONT)
    while client.group("u", "g").members > 0:
        pass
