"""
Histories of publishers, subscribers and members that are far away: plain clients of the protocol (stream_client.py), each behind
a proxy that spoils its connections (proxy.py), while the broker is killed, or stopped, and started. Then the topic is read, and judged:

    nothing that was confirmed is lost, nothing is there twice, each publisher's messages are in their order
    each subscriber had each message once, in order, across all its connections
    a group had each message; what was acknowledged, and told to be, was given to nobody after that

    streams.py --seeds 1 2 3                 these
    streams.py --seconds 60                  one after the other, from a random one on
    streams.py --tls ...                     with TLS in place of TCP alone
"""
import argparse
import contextlib
import os
import random
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import stream_client as s  # noqa: E402
from hermes_test import Broker  # noqa: E402
from proxy import Proxy  # noqa: E402

EAGAIN, EBUSY, EEXPIRED, ECLOSED = -9, -8, -25, -23
BROKEN = EOFError, OSError, AssertionError  # a connection that was cut within a message says nothing that can be read
CONFIG = "[net]\nlisten = SCHEME://127.0.0.1:0\n[limits]\ngreet_ms = 60000\nsilent_per_address = 64\n"


class Wrong(Exception):
    pass


def check(holds, what):
    if not holds:
        raise Wrong(what)


class World:
    def __init__(self, seed, encrypted):
        self.generator = random.Random(seed)
        settings = CONFIG.replace("SCHEME", "tls" if encrypted else "tcp")
        self.broker = Broker(settings, self.generator.choice(("auto", "epoll")), starts=False)
        self.tls = None
        if encrypted:
            self.broker.run("cert", "server")
            self.tls = ssl.create_default_context(cafile=os.path.join(self.broker.home, "certs/ca.crt"))
        self.broker.start()
        self.learn_port()
        self.proxies = []

    def learn_port(self):
        self.port = int(self.broker.process.stdout.readline().rsplit(b":", 1)[1])

    def restart(self, killed):
        """Killed, or stopped in order."""
        if killed:
            self.broker.kill()
        else:
            self.broker.stop()
        self.broker.start()
        self.learn_port()

    def over_tcp(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def over_unix(self):
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(60)
        end.connect(os.path.join(self.broker.home, "broker.sock"))
        return end

    def proxy(self, connect, share):
        self.proxies.append(Proxy(connect, self.generator.random(), share))
        return self.proxies[-1]

    def close(self):
        for proxy in self.proxies:
            proxy.close()
        self.broker.close()


class Actor(threading.Thread):
    """Somebody far away, who connects again and again until he is through."""

    def __init__(self, world, connect, share):
        super().__init__(daemon=True)
        self.proxy = world.proxy(connect, share)
        self.tls = world.tls if connect == world.over_tcp else None
        self.wrong = None
        self.connections = 0

    def run(self):
        try:
            while not self.is_through():
                self.connections += 1
                with contextlib.suppress(*BROKEN):
                    self.talk_once()
                time.sleep(0.001)  # a broker that is down, or has not heard of the end yet, is not asked all the time
        except Wrong as error:
            self.wrong = f"{self.name}: {error}"
        except Exception as error:  # noqa: BLE001 (whatever it is, it is judged)
            self.wrong = f"{self.name}: {error!r}"

    def talk_once(self):
        # Who waits for a connection that stands half open gives up; but not in peace, however slow all this is.
        client = s.Client(self.proxy.address, timeout=60 if self.proxy.in_peace() else 1, tls=self.tls)
        try:
            self.talk(client)
        except s.Error as error:
            check(error.code in (EAGAIN, EBUSY), f"was told {error}")
        finally:
            client.close()


class Publisher(Actor):
    def __init__(self, world, connect, share, index, count):
        super().__init__(world, connect, share)
        self.name = f"publisher {index}"
        generator = random.Random(f"{world.generator.random()}")
        self.payloads = [b"%d:%d:" % (index, i) + generator.randbytes(generator.randrange(600)) for i in range(1, count + 1)]
        self.committed = self.durable = 0
        self.intake = None

    def is_through(self):
        return self.durable == len(self.payloads)

    def take(self, client):
        kind, _, data = client.receive()
        check(kind == s.CONFIRM, f"message {kind}")
        committed, durable, _, credit = s.parse_confirm(data)
        check(durable <= committed and self.committed <= committed, "a confirmation was taken back")
        self.committed, self.durable = committed, max(self.durable, durable)  # 0: nobody knows yet
        return credit

    def talk(self, client):
        former = self.intake
        self.intake = client.publisher("t", former)
        check(former is None or self.intake.resumed, "nobody knows what became of what was sent")
        sent, credit = self.intake.sequence - 1, self.intake.credit
        check(sent >= self.committed, f"{self.committed} were confirmed, and {sent} are there")
        self.committed = max(self.committed, sent)
        while not self.is_through():
            batch = [s.frame(i + 1, self.payloads[i]) for i in range(sent, min(sent + 20, len(self.payloads)))]
            if not batch or credit < sum(map(len, batch)):
                credit += self.take(client)
                continue
            client.publish(self.intake.handle, b"".join(batch))
            credit -= sum(map(len, batch))
            sent += len(batch)


class Subscriber(Actor):
    def __init__(self, world, connect, share, index, count):
        super().__init__(world, connect, share)
        self.name = f"subscriber {index}"
        self.count, self.next, self.messages, self.topic_id = count, 0, [], 0

    def is_through(self):
        return len(self.messages) >= self.count  # more: judged

    def talk(self, client):
        outlet = client.subscribe("t", s.AT_POSITION, self.next, 200_000, self.topic_id)
        self.topic_id = outlet.topic_id
        while not self.is_through():
            kind, _, data = client.receive()
            check(kind == s.LOG, f"message {kind}")
            _, position, _, _, frames = s.parse_log(data)
            check(position == self.next, f"position {position} comes behind {self.next}")
            self.messages += s.messages(position, frames)
            self.next += len(frames)
            client.give_credit(outlet.handle, len(frames))


class Member(Actor):
    def __init__(self, world, connect, share, index, group):
        super().__init__(world, connect, share)
        self.name = f"member {index}"
        self.group, self.member, self.generator = group, None, random.Random(index)

    def is_through(self):
        return self.group.is_done()

    def talk(self, client):
        self.member = client.join("t", "g", credit=self.generator.choice((5_000, 100_000)), former=self.member)
        said, settled, refused = [], 0, {}
        client.socket.settimeout(1)
        while not self.is_through():
            kind, _, data = client.receive()
            if kind == s.END:
                check(s.parse_end(data)[0] == EEXPIRED, f"the end: {s.parse_end(data)}")
                return
            if kind == s.SETTLED:
                upto, new = s.parse_settled(data)
                refused.update(new)
                for number in range(settled, upto):
                    self.group.was_settled(said[number], refused.get(number + 1))
                settled = upto
                continue
            gifts, _, _ = s.parse_given(data)
            self.group.gave(gifts)
            for gift in gifts:
                kind = s.ACK if self.generator.random() < 0.95 else s.NACK
                client.settle(kind, self.member.handle, [gift])
                said.append(gift if kind == s.ACK else None)
            client.give_credit(self.member.handle, sum(s.frame_bytes(len(gift.payload)) for gift in gifts))


class Group:
    """What all of its members were given, and were told is done."""

    def __init__(self, count):
        self.lock = threading.Lock()
        self.count, self.given, self.done, self.wrong = count, {}, {}, []

    def gave(self, gifts):
        with self.lock:
            for gift in gifts:
                self.given[gift.sequence] = gift.payload
                done = self.done.get(gift.sequence)
                if done is not None and gift.deliveries > done:
                    self.wrong.append(f"message {gift.sequence} was given again (delivery {gift.deliveries}) though it was done")

    def was_settled(self, gift, code):
        """None: it was given back."""
        with self.lock:
            if code is None and gift is not None:
                self.done[gift.sequence] = gift.deliveries

    def is_done(self):
        with self.lock:
            return len(self.given) == self.count


def judge(world, publishers, subscribers, group):
    count = sum(len(publisher.payloads) for publisher in publishers)
    direct = Subscriber(world, world.over_tcp, 0, "last", count)
    direct.run()
    content = direct.messages
    wrong = [direct.wrong] if direct.wrong else []
    if [m.sequence for m in content] != list(range(1, count + 1)):
        wrong.append("sequences of the topic")
    for index, publisher in enumerate(publishers):
        if [m.payload for m in content if m.payload.startswith(b"%d:" % index)] != publisher.payloads:
            wrong.append(f"{publisher.name}: its messages are not in the topic once each, in their order")
    wrong += [f"{subscriber.name}: had something else than there is" for subscriber in subscribers if subscriber.messages != content]
    if group.given != {m.sequence: m.payload for m in content}:
        wrong.append("a group: not each message was given, as it is")
    return wrong + group.wrong


def try_seed(seed, messages, encrypted):
    begin = time.monotonic()
    world = World(seed, encrypted)
    generator = world.generator
    try:
        client = s.Client(os.path.join(world.broker.home, "broker.sock"))
        client.create("t", generator.choice((s.ASYNC, s.SYNC)), shared=1, window=1 << 18, segment=1 << 20)
        client.group(s.GROUP_CREATE, "t", "g", lease_ns=500_000_000)
        client.close()
        ways = world.over_tcp, world.over_unix
        publishers = [Publisher(world, generator.choice(ways), 4, i, messages) for i in range(3)]
        subscribers = [Subscriber(world, generator.choice(ways), 4, i, 3 * messages) for i in range(2)]
        group = Group(3 * messages)
        members = [Member(world, world.over_unix, 4, i, group) for i in range(3)]
        actors = publishers + subscribers + members
        for actor in actors:
            actor.start()
        for kills in range(generator.randrange(3)):
            goal = 3 * messages * (kills + 1) // 4
            while sum(p.committed for p in publishers) < goal and not any(a.wrong for a in actors):
                time.sleep(0.001)
            world.restart(killed=generator.random() < 0.5)
        end = time.monotonic() + 120
        while any(a.is_alive() for a in actors) and not any(a.wrong for a in actors) and time.monotonic() < end:
            time.sleep(0.001)
        wrong = [actor.wrong for actor in actors if actor.wrong]
        wrong = wrong or [f"{actor.name} is not through" for actor in actors if actor.is_alive()]
        wrong = wrong or judge(world, publishers, subscribers, group)
        connections = sum(actor.connections for actor in actors)
        print(f"seed {seed}: {'; '.join(wrong) if wrong else 'ok'} ({connections} connections, "
              f"{time.monotonic() - begin:.1f} s)", flush=True)
        if wrong:
            print(world.broker.messages())
        return bool(wrong)
    finally:
        world.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--messages", type=int, default=1500, help="of each publisher")
    parser.add_argument("--tls", action="store_true")
    arguments = parser.parse_args()
    found = [try_seed(seed, arguments.messages, arguments.tls) for seed in arguments.seeds]
    seed, end = random.randrange(1 << 32), time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        found.append(try_seed(seed, arguments.messages, arguments.tls))
        seed += 1
    print(f"{len(found)} histories, {sum(found)} with something wrong")
    return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())
