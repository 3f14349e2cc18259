"""Everything at once, at random: signal handlers, finalizers, conversions and iterators that come back in, threads, forks,
collection at every allocation, closing in the middle. No crash, no hang, no SystemError, and every message as it was sent."""
import faulthandler
import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import hermes_msg as hermes
import numpy
from conftest import SMALL


class Misuse:
    """One process. Whoever gets in - main program, handler, finalizer, another thread - does a random thing."""

    def __init__(self, url, seed):
        self.url, self.rng = url, random.Random(seed)
        self.lock = threading.Lock()
        self.depth = threading.local()
        self.wrong = []
        self.kept = []  # messages, views, claims, memoryviews: whatever is still held
        self.made = []
        self.client = hermes.connect(url)
        self.renew()

    def renew(self):
        for make in (lambda: hermes.connect(self.url), lambda: self.client.publisher("a", timeout=0.01),
                     lambda: self.client.publisher("s", timeout=0.01), lambda: self.client.publisher("sync", timeout=0.01),
                     lambda: self.client.subscriber("a", "first"), lambda: self.client.subscriber("s", "first"),
                     lambda: self.client.subscriber("a", "first", group="g", ack=self.rng.choice(["auto", "manual"])),
                     lambda: self.client.subscriber("a", name="desk")):
            try:
                self.made.append(make())
            except hermes.Error:
                pass
        while len(self.made) > 24:
            self.made.pop(self.rng.randrange(len(self.made)))
        clients = [m for m in self.made if isinstance(m, hermes.Client) and not m.closed]
        if clients:
            self.client = self.rng.choice(clients)

    def payload(self):
        return b"%08d" % self.rng.randrange(10**8) * self.rng.choice([1, 2, 20, 1000])

    def check(self, message):
        payload = bytes(message)
        if payload != payload[:8] * (len(payload) // 8):
            self.wrong.append(payload)

    def again(self, value):
        """For a conversion: something else happens first."""
        misuse = self

        class Comes(int):
            def __index__(self):
                misuse.act()
                return int(value)

            def __float__(self):
                misuse.act()
                return float(value)
        return Comes(value)

    def items(self):
        for _ in range(self.rng.randrange(100)):
            if self.rng.random() < 0.02:
                self.act()
            if self.rng.random() < 0.002:
                raise KeyError("in the middle")
            yield self.payload()

    def garbage(self):
        misuse = self

        class Thing:
            def __del__(self):
                misuse.act()
        thing = Thing()
        thing.me = thing

    def send(self, pub):
        way = self.rng.randrange(5)
        if way == 0:
            pub.send(self.payload())
        elif way == 1:
            pub.send_many(self.items())
        elif way == 2:
            rows = numpy.zeros((self.rng.randrange(200), 8), "u1")
            rows[:] = 48
            pub.send_batch(rows)
        elif way == 3:
            claim = pub.claim(self.again(8) if self.rng.random() < 0.3 else 8)
            if self.rng.random() < 0.2:
                self.kept.append(self.rng.choice([lambda c: c, memoryview, pickle.PickleBuffer])(claim))
            if self.rng.random() < 0.2:
                self.act()
            with claim as view:
                view[:] = b"12345678"
                if self.rng.random() < 0.1:
                    self.act()
        else:
            pub.wait(timeout=self.again(0) if self.rng.random() < 0.3 else 0.001)

    def read(self, sub):
        timeout = self.rng.choice([0, 0, 0.002, self.again(0)])
        way = self.rng.randrange(7)
        if way == 0:
            message = sub.poll(timeout)
            if message is not None:
                self.check(message)
                self.kept.append(message)
        elif way == 1:
            for message in sub.poll_many(self.rng.randrange(100), timeout):
                self.check(message)
        elif way == 2:
            with sub.poll_view(timeout) or memoryview(b"") as view:
                self.check(view)
                if self.rng.random() < 0.1:
                    self.act()
                    self.check(view)
                if self.rng.random() < 0.05:
                    self.kept.append(memoryview(view))
        elif way == 3:
            for row in sub.recv_batch(self.rng.randrange(1, 100), "V8", timeout=timeout):
                self.check(row.tobytes())
        elif way == 4:
            sub.seek(self.rng.choice(["first", "end", "last", self.rng.randrange(100)]))
        elif way == 5:
            sub.seek_position(self.rng.choice([0, 64, 128, 1 << 40]))
        else:
            done = self.rng.choice([sub.ack, sub.nack, sub.renew, sub.deliveries])
            messages = [k for k in list(self.kept) if isinstance(k, hermes.Message)]
            done(*([self.rng.choice(messages)] if messages and self.rng.random() < 0.9 else []))

    def act(self):
        depth = getattr(self.depth, "value", 0)
        if depth > 3:
            return
        self.depth.value = depth + 1
        try:
            self.act_now()
        except SystemError as error:
            self.wrong.append(error)
        except (hermes.Error, BufferError, TypeError, KeyError, ValueError, StopIteration, IndexError):
            pass
        finally:
            self.depth.value = depth

    def act_now(self):
        rng, thing = self.rng, self.rng.choice(self.made)
        chance = rng.random()
        if chance < 0.02:
            thing.close()
        elif chance < 0.03:
            self.client.topics()
        elif chance < 0.05:
            self.garbage()
        elif chance < 0.07 and self.kept:
            self.kept.pop(rng.randrange(len(self.kept)))
        elif chance < 0.08:
            repr(thing), [repr(k) for k in list(self.kept)[:3]]
        elif isinstance(thing, hermes.Publisher):
            self.send(thing)
        elif isinstance(thing, hermes.Subscriber):
            self.read(thing)
        else:
            thing.create_topic("a", keep=self.again(1), exist_ok=True)

    def fork(self):
        """The child may use nothing of ours, and may let go of all of it."""
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_REAL, 0)
            try:
                gc.disable()
                for thing in self.made:
                    for call in (lambda: thing.poll(), lambda: thing.send(b"from a child"), lambda: thing.close(), lambda: repr(thing)):
                        try:
                            call()
                        except (hermes.Error, AttributeError, BufferError):
                            pass
                for kept in self.kept:
                    try:
                        memoryview(kept)[:] = b"c" * len(memoryview(kept))
                    except (TypeError, BufferError, ValueError):
                        pass
                os._exit(0)
            finally:
                os._exit(1)
        if os.waitpid(child, 0)[1] != 0:
            self.wrong.append("the child")

    def play(self, seconds):
        end = time.monotonic() + seconds
        signal.signal(signal.SIGALRM, lambda number, frame: self.act())
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
        threads = [threading.Thread(target=self.work, args=[end]) for _ in range(2)]
        for t in threads:
            t.start()
        gc.set_threshold(1, 1, 1)
        turns = 0
        while time.monotonic() < end and not self.wrong:
            self.act()
            turns += 1
            if turns % 50 == 0:
                self.renew()
                del self.kept[:-50]
            if turns % 2000 == 0:
                self.fork()
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.set_threshold(700, 10, 10)
        for t in threads:
            t.join(60)
            if t.is_alive():
                self.wrong.append("a thread hangs")
        return turns

    def work(self, end):
        while time.monotonic() < end and not self.wrong:
            self.act()


def main(url, seconds, seed):
    faulthandler.dump_traceback_later(seconds + 100, exit=True)
    with hermes.connect(url) as client:
        client.create_topic("a", exist_ok=True, keep_bytes=4 << 20, **SMALL)
        client.create_topic("s", shared=True, durability="memory", exist_ok=True, **SMALL)
        client.create_topic("sync", durability="sync", exist_ok=True, keep_bytes=4 << 20, **SMALL)
    misuse = Misuse(url, seed)
    turns = misuse.play(seconds)
    if misuse.wrong or turns == 0:
        print(turns, misuse.wrong[:3], file=sys.stderr)
    sys.stderr.flush()
    os._exit(1 if misuse.wrong or turns == 0 else 0)


def test_random_misuse(broker):
    seed = int(os.environ.get("HERMES_TEST_SEED", random.randrange(2**32)))
    seconds = 60 if "HERMES_TEST_LONG" in os.environ else 5
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_random_misuse; " \
           f"test_random_misuse.main({broker.url!r}, {seconds}, {seed})"
    result = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, text=True, timeout=300,
                            env=dict(os.environ, PYTHONMALLOC="debug"))
    assert result.returncode == 0, f"seed {seed}: {result.returncode}\n{result.stderr[-5000:]}"
    with broker.connect() as client:
        client.ping()
