"""A proxy between clients and a broker that does what networks do: it delays, hangs up in order, resets, and lets connections
stand half open, each at a random byte. A client that has had its share of that is left in peace."""
import contextlib
import random
import socket
import struct
import threading
import time

CHUNK = 4096


class Link:
    """One connection through the proxy; `fault` comes when so many bytes have gone in that direction."""

    def __init__(self, client, broker, generator, faults):
        self.ends = client, broker
        self.generator = generator
        self.fault = generator.choice(("cut", "reset", "half", "delay")) if faults else None
        self.direction = generator.randrange(2)
        self.after = int(generator.expovariate(1 / 30_000))
        self.over = threading.Event()
        for source in (0, 1):
            threading.Thread(target=self.pump, args=(source,), daemon=True).start()

    def pump(self, source):
        moved, faulty = 0, self.fault is not None and source == self.direction
        from_end, to_end = self.ends[source], self.ends[1 - source]
        with contextlib.suppress(OSError):
            while data := from_end.recv(CHUNK):
                if faulty and moved + len(data) > self.after:
                    to_end.sendall(data[:self.after - moved])
                    faulty = False
                    if not self.happens():
                        return
                    data = data[self.after - moved:]
                    moved = self.after
                to_end.sendall(data)
                moved += len(data)
        self.end()

    def happens(self):
        """Whether there is more."""
        if self.fault == "delay":
            time.sleep(self.generator.random() / 20)
            return True
        if self.fault == "half":  # nothing more goes this way, and nobody is told
            return False
        if self.fault == "reset":
            for end in self.ends:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()
        return False

    def end(self):
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """connect: a function that makes a socket to the broker, wherever that is by now. share: so many connections are
    spoilt."""

    def __init__(self, connect, seed, share):
        self.connect, self.share = connect, share
        self.generator = random.Random(seed)
        self.links = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def in_peace(self):
        return self.share <= 0

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    broker = self.connect()
                except OSError:  # it is down
                    client.close()
                    continue
                self.links.append(Link(client, broker, random.Random(self.generator.random()), self.share > 0))
                self.share -= 1

    def close(self):
        self.listener.close()
        for link in self.links:
            link.end()
