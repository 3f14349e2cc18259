"""What tests of mirrors share: brokers with a topic of one at the others, and a proxy between them that loses, delays and reorders."""
import hashlib
import heapq
import json
import os
import random
import selectors
import socket
import threading
import time

from hermes_test import Broker, Case

INSECURE = "[net]\ninsecure = true\n"
SMALL = ("--window", "256K", "--segment", "1M")


def free_port(family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy(threading.Thread):
    """Stands between receivers and a sender. Each that comes has a socket of its own to the sender."""

    def __init__(self, port, loss=0.0, delay=0.0, seed=1):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.loss, self.delay = loss, delay
        self.target = ("127.0.0.1", port)
        self.near = self.bound(("127.0.0.1", 0))
        self.url = f"udp://127.0.0.1:{self.near.getsockname()[1]}"
        self.far, self.waiting, self.count = {}, [], 0
        self.passed = self.lost = 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.near, selectors.EVENT_READ, None)
        self.ends = False
        self.start()

    @staticmethod
    def bound(address):
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        bound.bind(address)
        bound.setblocking(False)
        return bound

    def upstream(self, client):
        if client not in self.far:
            self.far[client] = self.bound(("127.0.0.1", 0))
            self.selector.register(self.far[client], selectors.EVENT_READ, client)
        return self.far[client]

    def pass_on(self, out, datagram, to):
        if self.random.random() < self.loss:
            self.lost += 1
            return
        self.count += 1
        due = time.monotonic() + self.delay * self.random.random()  # one after the other: reordered
        heapq.heappush(self.waiting, (due, self.count, out, datagram, to))

    def take(self, of, client):
        for _ in range(64):
            try:
                datagram, address = of.recvfrom(65536)
            except OSError:  # no more; or nobody is there (ECONNREFUSED)
                return
            if client is None:
                self.pass_on(self.upstream(address), datagram, self.target)
            else:
                self.pass_on(self.near, datagram, client)

    def run(self):
        while not self.ends:
            timeout = max(0, self.waiting[0][0] - time.monotonic()) if self.waiting else 0.05
            for key, _ in self.selector.select(timeout):
                self.take(key.fileobj, key.data)
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                _, _, out, datagram, to = heapq.heappop(self.waiting)
                try:
                    out.sendto(datagram, to)
                    self.passed += 1
                except OSError:  # full
                    self.lost += 1

    def close(self):
        self.ends = True
        self.join()
        for one in (self.near, *self.far.values()):
            one.close()


class MirrorCase(Case):
    def setUp(self):
        self.random = random.Random(7)
        self.broker = self.make_broker()
        self.other = self.another()

    def make_broker(self):
        """The one that has the topic."""
        return self.another()

    def another(self, configuration=""):
        other = Broker(INSECURE + configuration)
        self.addCleanup(other.close)
        return other

    def proxy(self, *arguments, **options):
        proxy = Proxy(*arguments, **options)
        self.addCleanup(proxy.close)
        return proxy

    def serve(self, topic, host="127.0.0.1", broker=None):
        """Where it is served: at a port that nobody else has."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        while True:
            port = free_port(family)
            result = (broker or self.broker).run("mirror", "serve", topic, f"udp://{host}:{port}", check=False)
            if result.returncode == 0:
                return port
            self.assertIn("in use", result.stderr.decode())

    def publish(self, topic, count, most=300, broker=None):
        lines = b"".join(self.random.randbytes(self.random.randrange(most)).hex().encode() + b"\n"
                         for _ in range(count))
        (broker or self.broker).run("pub", topic, data=lines)

    def await_copy(self, topic="t", broker=None, of=None):
        broker, of = broker or self.other, of or self.broker
        end = of.info(topic)["committed_position"]
        self.wait_for(lambda: broker.info(topic)["committed_position"] == end,
                      f"the copy reaches {end}: {broker.messages()} {broker.run('mirror', 'list').stdout}")

    @staticmethod
    def messages(broker, topic="t", first=1, last=None):
        """What a plain reader gets: everything but when it was read."""
        last = last or broker.info(topic)["last_sequence"]
        said = broker.run("sub", topic, "--from", "first", "--count", str(last - first + 1), "--json").stdout
        return [json.loads(line) for line in said.splitlines()]

    def stored(self, broker, topic, begin):
        """The bytes of the log from a position on, as they are in its segments."""
        self.wait_for(lambda: broker.info(topic)["durable_position"] == broker.info(topic)["committed_position"],
                      "all is stored")
        end, data = broker.info(topic)["committed_position"], hashlib.sha256()
        for path in broker.segments(topic):
            base = int(os.path.basename(path)[:20])
            with open(path, "rb") as file:
                content = file.read()[64:]
            data.update(content[max(0, begin - base):max(0, end - base)])
        return end, data.hexdigest()

    def assert_same(self, topic="t", broker=None, of=None, begin=0):
        broker, of = broker or self.other, of or self.broker
        self.await_copy(topic, broker, of)
        self.assertEqual(self.stored(broker, topic, begin), self.stored(of, topic, begin))

    def mirrors(self, broker):
        return [json.loads(line) for line in broker.run("mirror", "list", "--json").stdout.splitlines()]

    def shows(self, broker, **what):
        """It is told a moment after it is so."""
        self.wait_for(lambda: any(what.items() <= one.items() for one in self.mirrors(broker)),
                      f"a mirror that shows {what}: {self.mirrors(broker)} {broker.messages()}")

    def counts(self, broker, *what):
        self.wait_for(lambda: all(self.mirrors(broker)[0][one] > 0 for one in what), f"counts of {what}")

    @staticmethod
    def counted(broker):
        return json.loads(broker.run("stat", "--json").stdout)["mirrors"][0]

    def state(self, broker, state):
        self.shows(broker, state=state)
