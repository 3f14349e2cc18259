"""Topics through the connection itself: a client that knows docs/reference/protocol.md alone, over a Unix socket and over TCP,
on both event loops."""
import contextlib
import os
import random
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import stream_client as s
from hermes_test import BIN, LONG, Broker, Case, main

ROUNDS = 20 if LONG else 1
EPROTOCOL, EMALFORMED, ECHECKSUM, ETOOLARGE, EAGAIN, EGONE, ECLOSED, EBUSY, ENOTSUP, ENOTFOUND, EINVALID, \
    ECORRUPT = -20, -14, -15, -11, -9, -17, -23, -8, -22, -6, -1, -16


def payload(seed, count, most=600):
    generator = random.Random(seed)
    return [generator.randbytes(generator.choice((0, 1, 31, 32, 33, generator.randrange(most)))) for _ in range(count)]


class Subscriber:
    """Reads one outlet of a connection of its own, gives back what credit it has used, and keeps all that came."""

    def __init__(self, connect, topic, start=s.AT_FIRST, value=0, credit=200_000, push_back=0):
        self.client = connect()
        self.outlet = self.client.subscribe(topic, start, value, credit, push_back=push_back)
        self.next = self.outlet.position
        self.messages = []
        self.gaps = 0
        self.end = None

    def read(self):
        kind, handle, data = self.client.receive()
        assert handle == self.outlet.handle
        if kind == s.END:
            self.end = s.parse_end(data)
            return
        _, position, sequence, end, frames = s.parse_log(data)
        assert kind == s.LOG and position >= self.next and frames and end >= position + len(frames)
        self.gaps += position > self.next
        got = list(s.messages(position, frames))
        assert not got or got[0].sequence == sequence
        self.messages += got
        self.next = position + len(frames)
        self.client.give_credit(handle, len(frames))

    def read_up_to(self, sequence):
        while not self.messages or self.messages[-1].sequence < sequence:
            self.read()
            assert self.end is None, self.end
        return self.messages

    def payloads(self, count):
        got = self.read_up_to(count)
        assert [m.sequence for m in got] == list(range(1, count + 1))
        return [m.payload for m in got]


class Publisher:
    """Publishes within its credit, and knows what was confirmed."""

    def __init__(self, client, topic, former=None):
        self.client = client
        self.intake = client.publisher(topic, former)
        self.credit = self.intake.credit
        self.committed = self.sent = self.intake.sequence - 1
        self.durable = 0 if self.intake.resumed else self.committed

    def take_confirm(self):
        kind, handle, data = self.client.receive()
        assert (kind, handle) == (s.CONFIRM, self.intake.handle), (kind, handle, len(data))
        self.committed, self.durable, _, more = s.parse_confirm(data)
        self.credit += more
        assert self.durable <= self.committed <= self.sent

    def publish(self, payloads, batch=20):
        """payloads[0] is message 1."""
        while self.sent < len(payloads):
            frames = [s.frame(self.sent + 1 + i, p) for i, p in enumerate(payloads[self.sent:self.sent + batch])]
            while self.credit < sum(map(len, frames)):
                self.take_confirm()
            self.credit -= sum(map(len, frames))
            self.sent += len(frames)
            self.client.publish(self.intake.handle, b"".join(frames))

    def wait(self, durable=True):
        while (self.durable if durable else self.committed) < self.sent:
            self.take_confirm()


class Connections(Case):
    broker_config = "[net]\nlisten = tcp://127.0.0.1:0\n[limits]\ngreet_ms = 60000\n"

    def setUp(self):
        super().setUp()
        self.clients = []
        self.learn_port()

    def tearDown(self):
        for client in self.clients:
            client.close()
        if self.broker.process.poll() is None:
            self.assertEqual(self.broker.stop(), (0, []), self.broker.messages())

    def learn_port(self):
        self.port = int(self.broker.process.stdout.readline().rsplit(b":", 1)[1])

    def unix(self, **options):
        return self.keep(s.Client(os.path.join(self.broker.home, "broker.sock"), **options))

    def tcp(self, **options):
        return self.keep(s.Client(("127.0.0.1", self.port), **options))

    def keep(self, client):
        self.clients.append(client)
        return client

    @contextlib.contextmanager
    def raises(self, code):
        with self.assertRaises(s.Error) as caught:
            yield caught
        self.assertEqual(caught.exception.code, code, caught.exception)

    def restart(self, settings):
        """With more limits."""
        self.assertEqual(self.broker.stop(), (0, []))
        with open(os.path.join(self.broker.home, "hermes.conf"), "a") as file:
            file.write(settings)
        self.broker.start()
        self.learn_port()

    def resume(self, connect, topic, former):
        """A publisher goes on where another connection was: as soon as the broker knows what became of that."""
        client = connect()
        end = time.monotonic() + 60
        while True:
            try:
                return Publisher(client, topic, former)
            except s.Error as error:
                self.assertEqual(error.code, EAGAIN)
            self.assertLess(time.monotonic(), end, "the former connection does not end")


class Origins(Connections):
    """Who a publisher is, and who published what."""

    def intake(self, client, topic, former, epoch=0):
        """As publisher(), of one whose count began at 1 under an id that it was given in that epoch."""
        return s.Intake(*struct.unpack("<IIQIIQQIIQ", client.ask(s.INTAKE_OPEN, s.name(topic) + struct.pack(
            "<QIIQQ", former.topic_id, epoch, 1 + former.line, former.ring_id, 1), s.INTAKE)))

    def test_another_user_goes_on_from_there_under_an_id_of_its_own(self):
        """And what it publishes is not taken for the other's, by this broker or by the next."""
        self.tcp().create("t", shared=1)
        mine = Publisher(self.unix(), "t")
        mine.publish([b"1", b"2", b"3"])
        mine.wait()
        thief = self.tcp()
        for _ in range(3):
            with self.raises(EAGAIN):
                thief.publisher("t", mine.intake)
        mine.client.ask(s.PING)  # nobody has ended it
        mine.client.close()
        taken = self.resume(self.tcp, "t", mine.intake)
        self.assertEqual((taken.intake.resumed, taken.intake.sequence), (1, 4))
        self.assertNotEqual(taken.intake.ring_id, mine.intake.ring_id)
        taken.publish([b""] * 3 + [b"4 of the thief"])
        taken.wait()
        self.restart("")
        taken = self.resume(self.tcp, "t", mine.intake)
        self.assertEqual((taken.intake.resumed, taken.intake.sequence), (1, 4))
        self.assertNotEqual(taken.intake.ring_id, mine.intake.ring_id)
        taken.publish([b""] * 3 + [b"4 of the thief"])
        taken.wait()
        again = self.resume(self.unix, "t", mine.intake)
        self.assertEqual((again.intake.resumed, again.intake.sequence, again.intake.ring_id), (1, 4, mine.intake.ring_id))
        again.publish([b""] * 3 + [b"4"])
        again.wait()
        self.assertEqual(Subscriber(self.tcp, "t").payloads(6), [b"1", b"2", b"3", b"4 of the thief", b"4 of the thief", b"4"])

    def test_the_log_says_who_published_what(self):
        self.tcp().create("t", shared=1)
        publisher = Publisher(self.tcp(), "t")
        self.broker.run("pub", "t", data=b"local\n")
        publisher.publish([b"%d" % i for i in range(200)])
        publisher.wait()
        path = os.path.join(self.broker.home, "data", "topics", "t", f"{0:020}.log")
        with open(path, "rb") as file:
            log = file.read()[64:]
        position, following, left, origins, local = 0, 1, 0, [], 0
        while log[position:position + 4] == b"HERM":
            _, _, kind, _, sequence, timestamp, length, _ = s.HEADER.unpack_from(log, position)
            if kind == 4:
                ring_id, first, count, _, reserved = struct.unpack_from("<QQIIQ", log, position + 32)
                self.assertEqual((ring_id, first, left, timestamp, length, reserved), (publisher.intake.ring_id, following, 0, 0, 32, 0))
                left = count
                origins.append(f"publisher {ring_id:016x} of user {2**32 - 1}: {count} messages from its number {first} on")
            elif kind == s.DATA:
                following, left, local = (following + 1, left - 1, local) if left else (following, left, local + 1)
            position += s.frame_bytes(length)
        self.assertEqual((following, left, local), (201, 0, 1))
        said = self.broker.run("dump", path).stdout.decode()
        self.assertEqual([line.strip() for line in said.splitlines() if "publisher" in line], origins)
        self.assertEqual(self.broker.run("verify", "t").returncode, 0)

    def test_two_connections_of_one_publisher(self):
        """The later one goes on; the former one ends, and what it had sent is in."""
        self.tcp().create("t")
        first = Publisher(self.tcp(), "t")
        first.publish([b"1", b"2"])
        second = self.resume(self.tcp, "t", first.intake)
        self.assertEqual((second.intake.resumed, second.intake.ring_id), (1, first.intake.ring_id))
        with contextlib.suppress(EOFError, OSError):
            while True:
                first.take_confirm()
        second.publish([b"1", b"2", b"3"])
        second.wait()
        self.assertEqual(Subscriber(self.tcp, "t").payloads(3), [b"1", b"2", b"3"])

    def test_ids_that_nobody_gave(self):
        self.tcp().create("t", shared=1)
        client = self.tcp()
        real = client.publisher("t")
        for ring_id in (1, (real.ring_id + 2**32) % 2**63, 2**63, 2**64 - 1):
            made_up = real._replace(ring_id=ring_id)
            unknown = self.intake(client, "t", made_up)
            self.assertEqual((unknown.resumed, unknown.sequence), (0, 1))
            # As if it had been given one, and nothing had come of that: it is given another.
            nothing = self.intake(client, "t", made_up, epoch=2**32 - 1)
            self.assertEqual((nothing.resumed, nothing.sequence), (1, 1))
            self.assertNotIn(ring_id, (unknown.ring_id, nothing.ring_id))
        for line in (0, 255, 2**32 - 2):
            self.assertEqual(self.intake(client, "t", real._replace(line=line, ring_id=77)).resumed, 0)

    def test_after_a_reboot_the_log_knows(self):
        """Of who has come and gone long ago, too."""
        self.tcp().create("t", s.SYNC, shared=1)
        intakes = []
        for i in range(3):
            publisher = Publisher(self.tcp(), "t")
            publisher.publish([b"%d" % i] * (i + 1))
            publisher.wait()
            publisher.client.close()
            intakes.append(publisher.intake)
        for way in ("stop", "kill", "reboot"):
            if way == "stop":
                self.assertEqual(self.broker.stop(), (0, []))
            else:
                self.broker.kill()
            if way == "reboot":
                shutil.rmtree(self.broker.shm())
            self.broker.start()
            self.learn_port()
            for i, intake in enumerate(intakes):
                resumed = self.resume(self.tcp, "t", intake).intake
                self.assertEqual((resumed.resumed, resumed.sequence, resumed.ring_id), (1, i + 2, intake.ring_id))


class Streams(Connections):
    # ---- to and fro ----

    def test_what_is_published_comes_whatever_the_transport(self):
        sent = payload(1, 300) + [b"x" * 65536, b""]
        for shared in (0, 1):
            for durability in (0, 1, 2):
                topic = f"t{shared}{durability}"
                self.unix().create(topic, durability, shared, window=1 << 18, segment=1 << 20)
                over = [Subscriber(self.unix, topic), Subscriber(self.tcp, topic)]
                publisher = Publisher((self.tcp, self.unix)[durability % 2](), topic)
                publisher.publish(sent)
                publisher.wait()
                for subscriber in over:
                    self.assertEqual(subscriber.payloads(len(sent)), sent)
                    self.assertEqual(subscriber.gaps, 0)
                self.assertEqual(self.broker.info(topic)["last_sequence"], len(sent))

    def test_those_of_a_local_publisher_come_and_wake_who_sleeps(self):
        self.tcp().create("t")
        subscribers = [Subscriber(self.tcp, "t", s.AT_END), Subscriber(self.unix, "t", s.AT_END)]
        publisher = self.broker.popen("pub", "t", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for i in range(20):
            publisher.stdin.write(b"%d\n" % i)
            publisher.stdin.flush()
            for subscriber in subscribers:  # so each message finds a broker that has nothing to do
                self.assertEqual(subscriber.read_up_to(i + 1)[-1].payload, b"%d" % i)
        publisher.stdin.close()
        self.assertEqual(publisher.wait(60), 0)
        more = Publisher(self.tcp(), "t")  # the next epoch
        more.publish([b"far"])
        for subscriber in subscribers:
            self.assertEqual(subscriber.read_up_to(21)[-1].payload, b"far")

    def test_nobody_wakes_the_loop_for_what_it_writes_itself(self):
        """Whoever sleeps for a publisher of this host has a thread for it."""
        self.tcp().create("t", s.MEMORY)
        threads = lambda: len(os.listdir(f"/proc/{self.broker.process.pid}/task"))
        before = threads()
        subscriber = Subscriber(self.tcp, "t", s.AT_END)
        publisher = Publisher(self.tcp(), "t")
        for i in range(20):
            publisher.publish([b"far"] * (i + 1))
            subscriber.read_up_to(i + 1)
        self.assertEqual(threads(), before)

    def test_many_publishers_have_one_order(self):
        self.tcp().create("t", s.ASYNC, shared=1)
        sent = [[b"%d:%d" % (who, i) for i in range(200)] for who in range(4)]
        subscribers = [Subscriber(self.tcp, "t"), Subscriber(self.unix, "t")]

        def publish(who):
            publisher = Publisher((self.tcp, self.unix)[who % 2](), "t")
            publisher.publish(sent[who], batch=7)
            publisher.wait()

        threads = [threading.Thread(target=publish, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        got = subscribers[0].payloads(800)
        self.assertEqual(subscribers[1].payloads(800), got)
        for thread in threads:
            thread.join()
        for who in range(4):
            self.assertEqual([p for p in got if p.startswith(b"%d:" % who)], sent[who])

    def test_all_at_once_in_one_piece(self):
        """Requests and frames behind each other, in their order, before anything is read."""
        client = self.tcp()
        client.create("t", s.MEMORY)
        intake, data = client.publisher("t"), b""
        for i in range(1, 101):
            frames = s.frame(i, b"%d" % i)
            data += s.HEADER.pack(s.MAGIC, 1, s.PING, 0, 1000 + i, 0, 0, 0)
            data += s.HEADER.pack(s.MAGIC, 1, s.PUBLISH, 0, intake.handle, 0, len(frames), 0) + frames
        client.socket.sendall(data)
        for i in range(1, 101):
            client.reply(1000 + i)
        self.assertEqual(Subscriber(self.unix, "t").payloads(100), [b"%d" % i for i in range(1, 101)])

    def test_several_outlets_share_a_connection(self):
        client, other = self.tcp(), self.tcp()
        wanted, got = {}, {}
        for i in range(5):
            client.create(f"t{i}")
            publisher = Publisher(other, f"t{i}")
            publisher.publish(payload(i, 100))
            publisher.wait()
            other.close_handle(publisher.intake.handle)
            handle = client.subscribe(f"t{i}", credit=1 << 30).handle
            wanted[handle], got[handle] = payload(i, 100), []
        while sum(map(len, got.values())) < 500:
            kind, handle, data = client.receive()
            self.assertEqual(kind, s.LOG)
            _, position, _, _, frames = s.parse_log(data)
            got[handle] += [m.payload for m in s.messages(position, frames)]
        self.assertEqual(got, wanted)

    # ---- from the store to what is live ----

    def test_from_the_store_to_live(self):
        sent = payload(2, 12000, most=2000)
        self.tcp().create("t", s.ASYNC, window=1 << 18, segment=1 << 20)
        publisher = Publisher(self.tcp(), "t")
        publisher.publish(sent[:10000])
        publisher.wait()
        self.assertGreater(len(self.broker.segments("t")), 2)
        readers = [Subscriber(self.tcp, "t"), Subscriber(self.unix, "t", credit=1 << 30)]
        rest = threading.Thread(target=publisher.publish, args=(sent,))
        rest.start()
        for reader in readers:
            self.assertEqual(reader.payloads(len(sent)), sent)
            self.assertEqual(reader.gaps, 0)
        rest.join()
        every = readers[0].messages
        for number in (1, 2, 5000, 9999, 12000):
            message = every[number - 1]
            for start, value in ((s.AT_POSITION, message.position), (s.AT_SEQUENCE, number)):
                found = Subscriber(self.tcp, "t", start, value)
                self.assertEqual((found.outlet.position, found.read_up_to(number)[0]), (message.position, message))
        with self.raises(ENOTFOUND):
            self.tcp().subscribe("t", s.AT_POSITION, every[9000].position + 64 * 1024 * 1024)
        with self.raises(EINVALID):
            self.tcp().subscribe("t", s.AT_POSITION, 1)
        with self.raises(ECLOSED):
            self.tcp().subscribe("t", topic_id=1)

    def test_a_slow_reader_misses_nothing_that_is_stored_and_costs_nobody_anything(self):
        sent = payload(3, 6000)
        self.tcp().create("stored", s.ASYNC, window=1 << 18, segment=1 << 20)
        self.tcp().create("memory", s.MEMORY, window=1 << 18)
        for topic in ("stored", "memory"):
            slow = Subscriber(self.tcp, topic, credit=1000)
            stopped = [Subscriber(self.tcp, topic, credit=1 << 40) for _ in range(20)]  # credit for all, and do not read
            quick = Subscriber(self.tcp, topic)
            publisher = Publisher(self.tcp(), topic)
            publishing = threading.Thread(target=publisher.publish, args=(sent,))
            publishing.start()
            self.assertEqual(quick.payloads(6000)[-1:] if topic == "stored" else sent[-1:], sent[-1:])
            publishing.join()
            publisher.wait()
            slow.client.give_credit(slow.outlet.handle, 200_000)
            slow.read_up_to(6000)
            if topic == "stored":
                self.assertEqual([m.payload for m in slow.messages], sent)
            else:
                self.assertGreater(slow.gaps, 0)
                for m in slow.messages:
                    self.assertEqual(m.payload, sent[m.sequence - 1])
            for subscriber in stopped:
                subscriber.read_up_to(6000)
                self.assertEqual([m.payload for m in subscriber.messages],
                                 [sent[m.sequence - 1] for m in subscriber.messages])

    def test_what_is_damaged_or_gone_is_told(self):
        self.tcp().create("t", s.ASYNC, window=1 << 18, segment=1 << 20)
        sent = payload(6, 7000, most=2000)
        publisher = Publisher(self.tcp(), "t")
        publisher.publish(sent)
        publisher.wait()
        whole = Subscriber(self.tcp, "t").read_up_to(7000)
        hurt = whole[100]
        with open(self.broker.segments("t")[0], "r+b") as file:
            file.seek(64 + hurt.position + 8)  # its sequence
            file.write(b"\xff")
        subscriber = Subscriber(self.tcp, "t")
        while subscriber.end is None:
            subscriber.read()
        code, position, _ = subscriber.end
        self.assertEqual(code, ECORRUPT)
        self.assertEqual(subscriber.messages, whole[:100])
        on = Subscriber(self.tcp, "t", s.AT_POSITION, max(position, whole[101].position))
        self.assertEqual(on.read_up_to(7000)[-6899:], whole[101:])
        # Retention is faster than one who has no credit.
        slow = Subscriber(self.tcp, "t", s.AT_POSITION, whole[200].position, credit=1)
        self.broker.run("topic", "alter", "t", "--keep-bytes", "256K")
        publisher.publish([*sent, b"more"])
        self.wait_for(lambda: self.broker.info("t")["first_position"] > hurt.position, "segments are removed")
        slow.client.give_credit(slow.outlet.handle, 200_000)
        got = slow.read_up_to(7001)
        self.assertEqual(slow.gaps, 1)
        self.assertEqual(got[:-1], whole[1 - len(got):])
        with self.raises(EGONE):
            self.tcp().subscribe("t", s.AT_POSITION, 0)

    def test_what_is_purged_comes_to_nobody(self):
        for durability in (s.MEMORY, s.ASYNC):
            topic, sent = f"t{durability}", payload(8, 300)
            self.tcp().create(topic, durability, window=1 << 18, segment=1 << 20)
            publisher, quick = Publisher(self.tcp(), topic), Subscriber(self.tcp, topic)
            slow = Subscriber(self.tcp, topic, credit=1)
            publisher.publish(sent)
            publisher.wait()
            late = Subscriber(self.tcp, topic, s.AT_POSITION, quick.read_up_to(300)[-1].position, credit=1)
            self.broker.run("topic", "purge", topic)  # and what was copied for the quick one counts no more
            for subscriber in (slow, late):
                subscriber.client.give_credit(subscriber.outlet.handle, 200_000)
                subscriber.client.ask(s.PING)
            publisher.publish([*sent, b"new"])
            for subscriber in (slow, late):
                self.assertEqual([m.payload for m in subscriber.read_up_to(301)], [b"new"])
                self.assertEqual(subscriber.gaps, 1)
            self.assertEqual((quick.read_up_to(301)[-1].payload, quick.gaps), (b"new", 0))

    def test_more_topics_than_a_thread_can_sleep_on(self):
        client, handles = self.unix(), {}
        for i in range(140):
            client.create(f"t{i}", s.MEMORY, window=1 << 18)
        readers = [self.tcp() for _ in range(3)]  # a connection has 64 handles
        for i in range(140):
            handles[i] = readers[i // 60].subscribe(f"t{i}").handle
        for i in (0, 62, 63, 125, 126, 139):
            self.broker.run("pub", f"t{i}", data=b"%d\n" % i)  # writes its window itself
            kind, handle, data = readers[i // 60].receive()
            self.assertEqual((kind, handle), (s.LOG, handles[i]))
            _, position, _, _, frames = s.parse_log(data)
            self.assertEqual([m.payload for m in s.messages(position, frames)], [b"%d" % i])

    def test_a_stop_keeps_what_was_confirmed(self):
        for round_ in range(2):
            topic = f"t{round_}"
            self.tcp().create(topic, s.ASYNC, shared=round_)
            sent = payload(7, 3000)
            publisher, subscriber = Publisher(self.tcp(), topic), Subscriber(self.unix, topic)
            subscriber.client.give_credit(subscriber.outlet.handle, 1 << 40)  # and does not read
            publisher.publish(sent)
            self.assertEqual(self.broker.stop(), (0, []))
            with contextlib.suppress(EOFError, OSError):
                while True:
                    publisher.take_confirm()
            self.broker.start()
            self.learn_port()
            last = self.broker.info(topic)["last_sequence"]
            self.assertGreaterEqual(last, publisher.committed)
            self.assertEqual(Subscriber(self.tcp, topic).payloads(last) if last else [], sent[:last])

    def test_credit_is_kept_to_the_byte(self):
        client = self.tcp()
        client.create("t", s.MEMORY)  # whose log has nothing but messages
        publisher = Publisher(self.tcp(), "t")
        publisher.publish([b"x" * 100] * 100)
        publisher.wait()
        outlet = client.subscribe("t", credit=0)
        client.ask(s.PING)
        self.assertFalse(client.pending)
        for more, expected in ((191, 0), (1, 192), (191, 0), (194, 384), (0, 0), (1, 0), (191, 192)):
            client.give_credit(outlet.handle, more)
            came = 0
            while came < expected:
                _, handle, data = client.receive()
                self.assertEqual(handle, outlet.handle)
                came += len(s.parse_log(data)[4])
            self.assertEqual(came, expected)
            client.ask(s.PING)
            self.assertFalse(client.pending)
        client.give_credit(12345, 5)  # of an outlet that was closed, or never was: nobody's

    def test_a_closed_outlet_sends_no_more_and_a_deleted_topic_says_so(self):
        client = self.tcp()
        client.create("t")
        client.create("u")
        outlet, other = client.subscribe("t"), client.subscribe("u")
        client.close_handle(outlet.handle)
        publisher = Publisher(self.unix(), "t")
        publisher.publish([b"x"])
        publisher.wait()
        client.ask(s.TOPIC_DELETE, s.name("u"))
        kind, handle, data = client.receive()
        self.assertEqual((kind, handle, s.parse_end(data)[0]), (s.END, other.handle, ECLOSED))
        self.assertEqual(self.broker.info("t")["subscribers"], 0)

    def test_history_that_is_on_its_way_when_its_topic_is_deleted_ends_its_reader_alone(self):
        """By then the log is gone which it was looked up in."""
        reader, other = self.unix(), self.unix()
        other.create("t", window=1 << 18, segment=1 << 20)
        self.publish_all([b"x" * 20000] * 100)
        self.wait_for(lambda: self.broker.info("t")["durable_position"] == self.broker.info("t")["committed_position"],
                      "all is stored")
        reader.subscribe("t", credit=1 << 40)
        reader.receive()  # and no more: the rest of it is on its way from now on
        segments = self.broker.segments("t")
        other.ask(s.TOPIC_DELETE, s.name("t"))
        self.wait_for(lambda: not any(os.path.exists(path) for path in segments), "it is deleted")
        reader.close()
        for _ in range(3):
            other.ask(s.PING)

    # ---- push-back ----

    def test_publishers_wait_for_who_is_far_away_and_not_for_who_is_gone(self):
        self.tcp().create("t", s.MEMORY, window=1 << 18, push_back=1)
        sent = [b"%d" % i + b"x" * 20000 for i in range(100)]
        slow, gone = (Subscriber(connect, "t", credit=65_600, push_back=1) for connect in (self.tcp, self.unix))
        self.wait_for(lambda: self.broker.info("t")["waited_for"] == 2, "both are waited for")
        publishing = threading.Thread(target=self.publish_all, args=(sent,))
        publishing.start()
        got = []
        while len(got) < 8:
            got = slow.read_up_to(len(got) + 1)
        gone.client.close()  # which has read nothing
        self.assertEqual(slow.payloads(len(sent)), sent)
        self.assertEqual(slow.gaps, 0)
        publishing.join()
        slow.client.close()
        self.wait_for(lambda: self.broker.info("t")["waited_for"] == 0, "nobody is waited for")
        self.publish_all(sent)

    def publish_all(self, payloads):
        publisher = Publisher(self.unix(), "t")
        publisher.publish(payloads, batch=1)
        publisher.wait()
        publisher.client.close_handle(publisher.intake.handle)

    def test_who_reads_from_the_store_holds_nobody_up(self):
        self.tcp().create("t", s.ASYNC, window=1 << 18, segment=1 << 20, push_back=1)
        sent = [b"%d" % i + b"x" * 20000 for i in range(60)]
        self.publish_all(sent)
        reader = Subscriber(self.tcp, "t", credit=0, push_back=1)
        self.publish_all(sent)
        reader.client.give_credit(reader.outlet.handle, 200_000)
        self.assertEqual(reader.payloads(120), sent + sent)
        with self.raises(EINVALID):
            self.tcp().create("u")
            self.tcp().subscribe("u", push_back=1)

    def test_a_durable_subscription_far_away_is_waited_for(self):
        self.tcp().create("t", s.MEMORY, window=1 << 18, push_back=1)
        client = self.tcp()
        with self.raises(EINVALID):
            client.join("t", "g", push_back=1)
        member = client.join("t", "d", durable=1, credit=65_600, push_back=1)
        sent = [b"%d" % i + b"x" * 20000 for i in range(60)]
        publishing = threading.Thread(target=self.publish_all, args=(sent,))
        publishing.start()
        got = []
        while len(got) < len(sent):
            _, position, _, _, frames = s.parse_log(client.receive()[2])
            got += [m.payload for m in s.messages(position, frames)]
            client.give_credit(member.handle, len(frames))
        self.assertEqual(got, sent)
        publishing.join()

    # ---- the rules ----

    def hung_up(self, client):
        """What was said before the end: an error's code, or None."""
        code = None
        try:
            while True:
                kind, _, data = client.receive()
                if kind == s.ERROR:
                    code = struct.unpack_from("<i", data)[0]
        except (EOFError, ConnectionResetError, BrokenPipeError):
            client.close()  # else the broker waits for that, as long as for a greeting
            return code

    def test_frames_split_at_every_byte(self):
        client = self.tcp()
        client.create("t", s.MEMORY)
        subscriber = Subscriber(self.tcp, "t")
        publisher = client.publisher("t")
        number, whole = 1, 32 + 192
        for at in range(1, whole):
            frames = s.frame(number, b"y" * 40) + s.frame(number + 1, b"z")
            data = s.HEADER.pack(s.MAGIC, 1, s.PUBLISH, 0, publisher.handle, 0, len(frames), 0) + frames
            self.assertEqual(len(data), whole)
            client.socket.sendall(data[:at])
            client.socket.sendall(data[at:])
            number += 2
        for byte in struct.pack("<IBBHQQII", s.MAGIC, 1, s.PUBLISH, 0, publisher.handle, 0, 64, 0) + s.frame(number, b"end"):
            client.socket.sendall(bytes([byte]))
        self.assertEqual(subscriber.payloads(number), [b"y" * 40, b"z"] * (whole - 1) + [b"end"])

    def test_lies_end_the_connection_by_name(self):
        self.tcp().create("t", s.MEMORY, shared=1)
        good = s.frame(1, b"good")
        lies = [
            (EMALFORMED, s.PUBLISH, good[:63]),  # not whole frames
            (EMALFORMED, s.PUBLISH, s.frame(1, b"x" * 100)[:64]),  # longer than what there is of it
            (EMALFORMED, s.PUBLISH, good + s.frame(3, b"")),  # not the next one
            (EMALFORMED, s.PUBLISH, s.frame(0, b"")),
            (EMALFORMED, s.PUBLISH, bytes(64)),
            (EMALFORMED, s.PUBLISH, good[:5] + b"\0" + good[6:]),  # a PAD
            (EMALFORMED, s.PUBLISH, good[:6] + b"\2" + good[7:]),  # a flag that nobody knows
            (-13, s.PUBLISH, good[:4] + b"\2" + good[5:]),
            (ECHECKSUM, s.PUBLISH, good[:33] + b"!" + good[34:]),
            (ETOOLARGE, s.PUBLISH, good[:24] + struct.pack("<I", 65537) + good[28:] + bytes(65536 + 64)),
            (EMALFORMED, s.CREDIT, b"1234"),
            (EPROTOCOL, s.CREDIT, struct.pack("<Q", 1 << 63)),
            (EPROTOCOL, s.LOG, b""), (EPROTOCOL, s.CONFIRM, bytes(32)), (EPROTOCOL, 255, b""), (EPROTOCOL, s.PING, b"x"),
        ]
        for connect in (self.tcp, self.unix):
            for code, kind, data in lies:
                with self.subTest(kind=kind, data=data[:40], over=connect.__name__):
                    client = connect()
                    publisher, outlet = client.publisher("t"), client.subscribe("t", s.AT_END, credit=1 << 62)
                    try:
                        client.send(kind, data, outlet.handle if kind == s.CREDIT else publisher.handle)
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                    self.assertEqual(self.hung_up(client), code)
        self.told("where 2 comes next")
        self.wait_for(lambda: self.broker.info("t")["publishers"] == 0, "all are gone")
        for connect in (self.tcp, self.unix):  # headers that are none
            for data in (os.urandom(64), s.HEADER.pack(s.MAGIC, 1, s.PUBLISH, 0, 1, 0, 0xFFFFFFC0, 0),
                         s.HEADER.pack(s.MAGIC, 1, s.PUBLISH, 0, 1, 0, 64, 0)):
                client = connect()
                client.socket.sendall(data)
                self.assertIn(self.hung_up(client), (EPROTOCOL, ETOOLARGE))
                client = connect(greet=False)
                client.socket.sendall(data)
                self.assertIsNone(self.hung_up(client))
        self.tcp().ask(s.PING)

    def test_a_log_without_room_gives_no_credit(self):
        """Its subscriber stands still, and is waited for."""
        self.broker.run("topic", "create", "t", "--durability", "memory", "--push-back", "--window", "256K")
        reader = self.broker.popen("sub", "t", "--push-back", "--from", "first", "--count", "40", stdout=subprocess.DEVNULL)
        self.wait_for(lambda: self.broker.info("t")["waited_for"] == 1, "a subscriber that is waited for")
        reader.send_signal(signal.SIGSTOP)
        frames = [s.frame(i + 1, b"x" * 20000) for i in range(40)]
        client = self.tcp()
        intake = client.publisher("t")
        for frame in frames:  # whatever the credit is
            client.publish(intake.handle, frame)
        self.assertEqual(self.hung_up(client), EPROTOCOL)
        reader.send_signal(signal.SIGCONT)
        patient = self.resume(self.tcp, "t", intake)
        patient.publish([b"x" * 20000] * 40, batch=1)
        patient.wait()
        self.assertEqual(reader.wait(60), 0)

    def test_what_came_before_a_lie_is_in_and_what_comes_behind_is_not(self):
        self.tcp().create("t", s.ASYNC, shared=1)
        client = self.tcp()
        intake = client.publisher("t")
        client.publish(intake.handle, s.frame(1, b"in") + s.frame(3, b"out") + s.frame(2, b"out"))
        client.publish(intake.handle, s.frame(2, b"out"))
        self.assertEqual(self.hung_up(client), EMALFORMED)
        publisher = self.resume(self.tcp, "t", intake)
        self.assertEqual((publisher.intake.resumed, publisher.intake.sequence), (1, 2))
        publisher.publish([b"in", b"on"])
        self.assertEqual(Subscriber(self.tcp, "t").payloads(2), [b"in", b"on"])

    def test_no_descriptors_over_tcp(self):
        client = self.tcp()
        client.create("t")
        self.assertEqual(client.capabilities, 4)
        self.assertEqual(self.unix().capabilities, 1)
        for kind, size in ((25, 160), (27, 8), (29, 304), (31, 16), (32, 24)):
            with self.raises(ENOTSUP):
                client.ask(kind, s.name("t")[:size].ljust(size, b"\0"))
        client.ask(s.PING)

    def test_an_exclusive_topic_has_one_publisher_wherever_it_is(self):
        self.tcp().create("t")
        publisher = Publisher(self.tcp(), "t")
        for connect in (self.tcp, self.unix):
            with self.raises(EBUSY):
                connect().publisher("t")
        self.assertNotEqual(self.broker.run("pub", "t", data=b"x\n", check=False).returncode, 0)
        publisher.client.close()
        self.wait_for(lambda: self.broker.run("pub", "t", data=b"x\n", check=False).returncode == 0, "it is free")

    def test_who_says_nothing(self):
        """Of one address only so many, and none for long."""
        self.restart("silent_per_address = 4\n")
        silent = [self.tcp(greet=False) for _ in range(6)]
        for client in silent[:2]:  # the oldest
            self.assertIsNone(self.hung_up(client))
        self.told("silent_per_address")
        self.restart("greet_ms = 10\n")
        self.assertIsNone(self.hung_up(self.tcp(greet=False)))
        self.told("has not said hello")

    def test_half_a_connection_is_none(self):
        client = self.tcp()
        client.create("t")
        client.subscribe("t")
        client.socket.shutdown(socket.SHUT_WR)
        self.assertIsNone(self.hung_up(client))
        self.wait_for(lambda: self.broker.info("t")["subscribers"] == 0, "the session is over")

    def test_who_asks_and_never_reads(self):
        client = self.tcp()
        client.socket.setblocking(False)
        with self.assertRaises((BlockingIOError, ssl.SSLWantWriteError)):
            while True:
                client.socket.send(s.HEADER.pack(s.MAGIC, 1, 22, 0, 1, 0, 128, 0) + bytes(128))
        self.tcp().ask(s.PING)

    # ---- cut ----

    def test_who_goes_on_hears_that_what_was_there_is_durable(self):
        """Without publishing anything, and not before it is."""
        self.tcp().create("t", s.SYNC, shared=1)
        publisher = Publisher(self.tcp(), "t")
        publisher.publish([b"%d" % i for i in range(100)])
        publisher.client.close()
        resumed = self.resume(self.tcp, "t", publisher.intake)
        self.assertEqual(resumed.intake.resumed, 1)
        resumed.wait()
        self.assertGreaterEqual(self.broker.info("t")["durable_position"], 64 * resumed.durable)

    def cut(self, generator, publisher, payloads):
        """Publishes some, and cuts the connection within a message: it is closed, or left as it is."""
        upto = min(len(payloads), publisher.sent + generator.randrange(1, 400))
        publisher.publish(payloads[:upto - 1])
        frames = s.frame(upto, payloads[upto - 1])
        data = s.HEADER.pack(s.MAGIC, 1, s.PUBLISH, 0, publisher.intake.handle, 0, len(frames), 0) + frames
        publisher.client.socket.sendall(data[:generator.randrange(len(data))])
        closed = generator.random() < 0.5
        if closed:  # what the broker said and was not read makes it a reset
            publisher.client.close()
        return closed

    def test_connections_cut_at_random_bytes(self):
        for seed in range(ROUNDS):
            generator = random.Random(seed)
            sent = payload(seed, 3000)
            topic = f"t{seed}"
            self.tcp().create(topic, generator.choice((s.ASYNC, s.SYNC)), shared=seed % 2, window=1 << 18, segment=1 << 20)
            publishing = threading.Thread(target=self.publish_with_cuts, args=(random.Random(seed), topic, sent))
            publishing.start()
            got, position = [], 0
            while len(got) < len(sent):
                subscriber = Subscriber((self.tcp, self.unix)[generator.randrange(2)], topic, s.AT_POSITION, position)
                stop = len(got) + generator.randrange(1, 600)
                while len(subscriber.messages) + len(got) < min(stop, len(sent)):
                    subscriber.read()
                got += subscriber.messages
                position = subscriber.next
                with contextlib.suppress(TimeoutError):
                    subscriber.client.socket.settimeout(0.001)
                    subscriber.client.exactly(generator.randrange(1, 100))  # the beginning of another message
                subscriber.client.close()
            publishing.join()
            self.assertEqual([m.sequence for m in got], list(range(1, len(sent) + 1)), f"seed {seed}")
            self.assertEqual([m.payload for m in got], sent, f"seed {seed}")

    def publish_with_cuts(self, generator, topic, sent):
        connect = self.tcp
        publisher = Publisher(connect(), topic)
        while publisher.sent < len(sent) - 1:
            if self.cut(generator, publisher, sent):  # nobody ends another user's connection
                connect = (self.tcp, self.unix)[generator.randrange(2)]
            confirmed = publisher.committed
            publisher = self.resume(connect, topic, publisher.intake)
            assert publisher.intake.resumed == 1 and publisher.sent >= confirmed
        publisher.publish(sent)
        publisher.wait()

    def test_the_broker_is_killed(self):
        sent = payload(5, 4000)
        self.tcp().create("t", s.SYNC, shared=1, window=1 << 18, segment=1 << 20)
        publisher, subscriber = Publisher(self.tcp(), "t"), Subscriber(self.tcp, "t")
        got = []
        for upto in (1500, 3000):
            publisher.publish(sent[:upto])
            subscriber.read_up_to(upto - 700)
            self.broker.kill()
            with contextlib.suppress(EOFError, OSError):
                while True:
                    publisher.take_confirm()
            with contextlib.suppress(EOFError, OSError):
                while True:
                    subscriber.read()
            got += subscriber.messages
            confirmed, topic_id = publisher.committed, subscriber.outlet.topic_id
            self.broker.start()
            self.learn_port()
            publisher = self.resume(self.tcp, "t", publisher.intake)
            self.assertEqual(publisher.intake.resumed, 1)
            self.assertGreaterEqual(publisher.sent, confirmed)
            subscriber = Subscriber(self.tcp, "t", s.AT_POSITION, subscriber.next)
            self.assertEqual(subscriber.outlet.topic_id, topic_id)
        publisher.publish(sent)
        publisher.wait()
        got += subscriber.read_up_to(len(sent))
        self.assertEqual([m.payload for m in got], sent)
        self.assertEqual([m.sequence for m in got], list(range(1, len(sent) + 1)))
        for client in self.clients:
            client.close()
        self.assertEqual(self.broker.stop(), (0, []))


class StreamsEpoll(Streams):
    broker_backend = "epoll"
    test_more_topics_than_a_thread_can_sleep_on = None  # once is enough: it makes 140 topics


class StreamsTls(Streams):
    """What goes over TCP above goes over TLS."""
    broker_config = Streams.broker_config.replace("tcp://", "tls://")
    test_more_topics_than_a_thread_can_sleep_on = None
    test_who_says_nothing = None  # of handshakes that are not through test_security.py knows

    def setUp(self):
        self.clients = []
        self.broker = Broker(self.broker_config, starts=False)
        self.addCleanup(self.broker.close)
        self.broker.run("cert", "server")
        self.context = ssl.create_default_context(cafile=os.path.join(self.broker.home, "certs", "ca.crt"))
        self.broker.start()
        self.learn_port()

    def tcp(self, **options):
        return super().tcp(tls=self.context, **options)


class Listening(Case):
    """Where hermesd listens, and where not."""

    def refused(self, settings, *words):
        with open(os.path.join(self.broker.home, "hermes.conf"), "w") as file:
            file.write("[net]\n" + settings)
        result = subprocess.run([os.path.join(BIN, "hermesd")], env=self.broker.environment, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_where(self):
        self.assertEqual(self.broker.stop(), (0, []))
        self.refused("listen = tcp://0.0.0.0:0\n", b"insecure", b"0.0.0.0")
        self.refused("listen = tcp://[::]:0\n", b"insecure")
        for bad in ("127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:65536", "tcp://:1", "tcp://::1:1",
                    "udp://127.0.0.1:1", "tcp://127.0.0.1:x", "tcp://" + "a" * 200 + ":1"):
            self.refused(f"listen = {bad}\n", b"")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.refused(f"listen = tcp://127.0.0.1:{taken.getsockname()[1]}\n", b"listen on")
        with open(os.path.join(self.broker.home, "hermes.conf"), "w") as file:
            file.write("[net]\nlisten = tcp://127.0.0.1:0, tcp://[::1]:0\nlisten = tcp://0.0.0.0:0\ninsecure = true\n")
        self.broker.start()
        for host in ("127.0.0.1", "::1", "127.0.0.1"):
            port = int(self.broker.process.stdout.readline().rsplit(b":", 1)[1])
            client = s.Client((host, port))
            client.ask(s.PING)
            client.close()
        self.assertEqual(self.broker.stop(), (0, []))


main()
