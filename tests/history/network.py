"""A network between a mirror and its source: it loses, delays, reorders, repeats and damages datagrams, and falls silent."""
import heapq
import random
import selectors
import socket
import threading
import time
from dataclasses import dataclass

AT_ONCE = 64  # datagrams of one socket, before the next has its turn


@dataclass
class Weather:
    """How likely it is, of each datagram, that it is ..."""
    lost: float = 0.0
    repeated: float = 0.0
    damaged: float = 0.0
    late_s: float = 0.0  # anything up to that, each by itself: so they overtake one another
    silent: bool = False


class Network(threading.Thread):
    """Stands between receivers, who come to near, and a sender. Each that comes has a socket of its own to the sender."""

    def __init__(self, near, sender, seed):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.weather = Weather()
        self.sender = sender
        self.near = self.bound(near)
        self.far = {}
        self.waiting, self.count = [], 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.near, selectors.EVENT_READ, None)
        self.ends = False
        self.start()

    @staticmethod
    def bound(address):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made.bind(address)
        made.setblocking(False)
        return made

    def socket_of(self, receiver):
        if receiver not in self.far:
            self.far[receiver] = self.bound((self.sender[0], 0))
            self.selector.register(self.far[receiver], selectors.EVENT_READ, receiver)
        return self.far[receiver]

    def happens(self, chance):
        return chance > 0 and self.random.random() < chance

    def damage(self, datagram):
        """A bit is another, or the end is missing."""
        at = self.random.randrange(len(datagram))
        if self.happens(0.5):
            return datagram[:at]
        return datagram[:at] + bytes([datagram[at] ^ 1 << self.random.randrange(8)]) + datagram[at + 1:]

    def pass_on(self, out, datagram, to):
        weather = self.weather
        if weather.silent or self.happens(weather.lost):
            return
        if datagram and self.happens(weather.damaged):
            datagram = self.damage(datagram)
        for _ in range(2 if self.happens(weather.repeated) else 1):
            self.count += 1
            heapq.heappush(self.waiting, (time.monotonic() + weather.late_s * self.random.random(), self.count, out, datagram, to))

    def take(self, of, receiver):
        for _ in range(AT_ONCE):
            try:
                datagram, address = of.recvfrom(65536)
            except OSError:  # no more; or nobody is there (ECONNREFUSED)
                return
            if receiver is None:
                self.pass_on(self.socket_of(address), datagram, self.sender)
            else:
                self.pass_on(self.near, datagram, receiver)

    def send_due(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, out, datagram, to = heapq.heappop(self.waiting)
            try:
                out.sendto(datagram, to)
            except OSError:  # full: one more that is lost
                pass

    def run(self):
        while not self.ends:
            patience = max(0, self.waiting[0][0] - time.monotonic()) if self.waiting else 0.02
            for key, _ in self.selector.select(patience):
                self.take(key.fileobj, key.data)
            self.send_due()

    def close(self):
        self.ends = True
        self.join()
        for made in (self.near, *self.far.values()):
            made.close()
        self.selector.close()
