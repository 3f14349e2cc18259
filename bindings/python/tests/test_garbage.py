"""Whatever is passed to whatever, from any thread: an exception, never a crash."""
import os
import random
import subprocess
import sys
import threading

import hermes_msg as hermes
import numpy

GARBAGE = [None, True, 0, 1, -1, 2**31, 2**63, 2**64, 2**100, 1.5, float("nan"), float("inf"), "", "t", "first", "x" * 300, "\0",
           b"", b"x" * 70000, bytearray(3), memoryview(b"abc"), memoryview(bytearray(8))[::2], [], [b"a"], [None], (), {}, object(),
           numpy.zeros(3), numpy.zeros((0, 5)), numpy.zeros(2, "O"), numpy.float64(3), lambda: 1, range(3), iter([b"y"]), Exception,
           "durable", "committed", "sync", numpy.zeros(4, hermes.HEADERS)]


def hammer(broker_url, seconds, seed):
    """In a process of its own, which must live to tell."""
    rng = random.Random(seed)
    shared = []

    def things(client):
        made = [client]
        for make in (lambda: client.publisher("t", timeout=0.01), lambda: client.publisher("s", timeout=0.01),
                     lambda: client.subscriber("t", "first"), lambda: client.subscriber("s")):
            try:
                made.append(make())
            except hermes.Error:
                pass
        return made

    def work(seed):
        mine = random.Random(seed)
        while not stop.is_set():
            try:
                target = mine.choice(shared)
                name = mine.choice([n for n in dir(target) if not n.startswith("__")
                                    or n in ("__enter__", "__exit__", "__next__", "__iter__", "__len__")])
                attribute = getattr(target, name)
                if not callable(attribute):
                    continue
                arguments = [mine.choice(GARBAGE) for _ in range(mine.randrange(4))]
                if "poll" in name or name in ("wait", "__next__", "recv_batch"):
                    arguments = [] if name == "__next__" else arguments[:1]
                    if name in ("__next__", "wait") or (arguments and arguments[0] in (None, 2**31, 2**63, 2**64, 2**100)) \
                            or (arguments and isinstance(arguments[0], float)):
                        continue  # would wait for long, as it should
                keywords = {mine.choice(["timeout", "start", "out", "headers", "x"]): mine.choice(GARBAGE[:9])} \
                    if mine.random() < 0.1 and not ("poll" in name or name in ("wait", "recv_batch")) else {}
                if name in ("delete_topic",) and arguments[:1] in (["t"], ["s"]):
                    continue
                result = attribute(*arguments, **keywords)
                if mine.random() < 0.3 and result is not None and not isinstance(result, (int, list, str)):
                    shared[mine.randrange(len(shared))] = result if hasattr(result, "close") else shared[0]
                    try:
                        memoryview(result)[0] = 1
                    except Exception:
                        pass
            except BaseException as error:
                if isinstance(error, (SystemError, AssertionError)):
                    os.write(2, f"{type(target)} {name} {arguments}: {error!r}\n".encode())
                    os._exit(3)

    client = hermes.connect(broker_url)
    client.create_topic("t", window_bytes=256 << 10, exist_ok=True)
    client.create_topic("s", shared=True, durability="memory", window_bytes=256 << 10, exist_ok=True)
    stop = threading.Event()
    shared.extend(things(client))
    threads = [threading.Thread(target=work, args=[rng.random()]) for _ in range(4)]
    for t in threads:
        t.start()
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    while not stop.is_set():
        stop.wait(0.05)
        shared[:] = things(hermes.connect(broker_url)) + [m for m in shared if rng.random() < 0.3][:20]
    for t in threads:
        t.join(60)
    os._exit(0 if not any(t.is_alive() for t in threads) else 4)


def test_garbage_never_crashes(broker):
    seed = int(os.environ.get("HERMES_TEST_SEED", random.randrange(2**32)))
    seconds = 60 if "HERMES_TEST_LONG" in os.environ else 4
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_garbage; " \
           f"test_garbage.hammer({broker.url!r}, {seconds}, {seed})"
    result = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"seed {seed}: {result.returncode}\n{result.stderr}"
    with broker.connect() as client:
        client.ping()


def test_garbage_in_module_functions():
    for function in (hermes.encode, hermes.decode):
        for thing in GARBAGE:
            for arguments, keywords in (([thing], {}), ([], {"payload": thing}), ([b"x"], {"sequence": thing}),
                                        ([b"x"], {"timestamp": thing}), ([thing, thing], {})):
                try:
                    function(*arguments, **keywords)
                except SystemError:
                    raise
                except Exception:
                    pass


def test_types_cannot_be_made_or_changed():
    for name in ("Client", "Publisher", "Subscriber", "Claim", "View", "Message", "LogReader", "LogWriter"):
        kind = getattr(hermes, name)
        for make in (kind, lambda: kind.__new__(kind), lambda: object.__new__(kind), lambda: type("Sub", (kind,), {}),
                     lambda: setattr(kind, "x", 1)):
            try:
                made = make()
            except TypeError:
                continue
            assert made is None, name
