"""What the Python actors have in common: a subscription that keeps count, and what an actor says: when it is ready, and at
the end, after SIGTERM or Ctrl-C and having taken what was published until then, a report in plain words. With the argument
--progress it says the same to a program that started it, in these lines:

    ready
    progress received=N sequence=S sent=M         about ten times a second
    report topic=T received=N lost=N repeated=N reordered=N p50=NS p99=NS p999=NS max=NS
    info TEXT
"""
import array
import os
import signal
import sys
import time

import hermes_msg as hermes


class Actor:
    def __init__(self, topic, publish_to=None):
        self.name, _ = os.path.splitext(os.path.basename(sys.argv[0]))
        self.tells_progress = sys.argv[1:] == ["--progress"]
        if sys.argv[1:] and not self.tells_progress:
            sys.exit(f"Usage: {self.name}.py [--progress]")
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        self.stopped = 0  # when, in nanoseconds since 1970
        self.client = hermes.connect()
        self.subscriber = self.client.subscriber(topic, start="first")
        self.publisher = self.client.publisher(publish_to) if publish_to else None
        self.last_sequence = self.sent = 0
        self.lost = self.repeated = self.reordered = 0
        self.latencies = array.array("q")

    def stop(self, number, frame):
        self.stopped = time.time_ns()

    def say(self, text):
        print(text, flush=True)

    def tell(self, text):
        """A line of the actor's own beside the report."""
        self.say(f"info {text}" if self.tells_progress else f"{self.name}: {text}")

    def run(self, handle):
        """Calls handle(message) for each, and at the end prints the report."""
        self.say("ready" if self.tells_progress else f"{self.name}: ready")
        next_progress = 0 if self.tells_progress else 1 << 64
        while True:
            try:
                message = self.subscriber.poll(0 if self.stopped else 0.1)
            except hermes.Error as error:  # damage, or messages that were overwritten: the next call goes on behind
                print(f"{self.subscriber.topic}: {error}", file=sys.stderr)
                continue
            now = time.time_ns()
            if self.stopped and (message is None or message.timestamp > self.stopped):
                break
            if message:
                self.count(message, now)
                handle(message)
            if now >= next_progress:
                next_progress = now + 100_000_000
                self.say(f"progress received={len(self.latencies)} sequence={self.last_sequence} sent={self.sent}")
        self.report()

    def count(self, message, now):
        self.latencies.append(max(0, now - message.timestamp))
        step = message.sequence - self.last_sequence
        self.lost += max(0, step - 1)
        self.repeated += step == 0
        self.reordered += step < 0
        self.last_sequence = max(self.last_sequence, message.sequence)

    def send(self, payload):
        self.publisher.send(payload)
        self.sent += 1

    def report(self):
        ordered = sorted(self.latencies) or [0]
        p50, p99, p999 = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 0.999))
        received, topic = len(self.latencies), self.subscriber.topic
        if self.tells_progress:
            self.say(f"report topic={topic} received={received} lost={self.lost} repeated={self.repeated} "
                     f"reordered={self.reordered} p50={p50} p99={p99} p999={p999} max={ordered[-1]}")
            return
        self.tell(f"received {received} messages of {topic}, lost {self.lost}, repeated {self.repeated}, "
                  f"reordered {self.reordered}")
        self.tell(f"latency: median {p50 / 1e3:.1f} us, 99 % {p99 / 1e3:.1f} us, 99.9 % {p999 / 1e3:.1f} us, "
                  f"maximum {ordered[-1] / 1e3:.1f} us")
