"""Members of groups and durable subscriptions through the connection itself: a client that knows docs/reference/protocol.md
alone, over a Unix socket and over TCP, on both event loops."""
import contextlib
import json
import os
import select
import struct
import subprocess

import stream_client as s
from hermes_test import Case, main

EINVALID, ENAME, EBUSY, EEXPIRED, EPROTOCOL, ECLOSED, EGONE = -1, -12, -8, -25, -20, -23, -17


class Member:
    """One connection, which is one member."""

    def __init__(self, connect, topic="t", group="g", **options):
        self.client = connect()
        self.member = self.client.join(topic, group, **options)
        self.durable = options.get("durable", 0)
        self.had, self.came, self.settled, self.refused, self.lost, self.end = [], 0, 0, {}, 0, None
        self.next = self.member.position

    def read(self, grants=True):
        """grants: credit for what came."""
        kind, handle, data = self.client.receive()
        assert handle == self.member.handle, (kind, handle)
        if kind == s.GIVEN:
            gifts, self.lost, self.why = s.parse_given(data)
            self.take(gifts, sum(s.frame_bytes(len(g.payload)) for g in gifts) if grants else 0)
        elif kind == s.LOG:
            _, position, _, _, frames = s.parse_log(data)
            self.take([s.Gift(m.position, m.sequence, m.payload, self.member.claim, 1) for m in s.messages(position, frames)],
                      len(frames))
            self.next = position + len(frames)
        elif kind == s.SETTLED:
            self.settled, refused = s.parse_settled(data)
            self.refused.update(refused)
        else:
            assert kind == s.END, kind
            self.end = s.parse_end(data)

    def take(self, gifts, count):
        self.had += gifts
        self.client.give_credit(self.member.handle, count)

    def get(self, count):
        """The next ones, so many."""
        while len(self.had) < count:
            self.read()
            assert self.end is None, self.end
        got, self.had = self.had[:count], self.had[count:]
        return got

    def say(self, kind, gifts):
        """Returns the codes of those that were refused; None for the others."""
        self.client.settle(kind, self.member.handle, gifts)
        first, self.came = self.came, self.came + len(gifts)
        while self.settled < self.came:
            self.read()
        return [self.refused.get(number + 1) for number in range(first, self.came)]

    def ack(self, *gifts):
        return self.say(s.ACK, gifts)

    def wait_for_end(self):
        while self.end is None:
            self.read()
        return self.end[0]


class Members(Case):
    broker_config = "[net]\nlisten = tcp://127.0.0.1:0\n[limits]\ngreet_ms = 60000\n"

    def setUp(self):
        super().setUp()
        self.clients = []
        self.port = self.learn_port()

    def tearDown(self):
        for client in self.clients:
            client.close()
        if self.broker.process.poll() is None:
            self.assertEqual(self.broker.stop(), (0, []), self.broker.messages())

    def learn_port(self):
        return int(self.broker.process.stdout.readline().rsplit(b":", 1)[1])

    def unix(self):
        return self.keep(s.Client(os.path.join(self.broker.home, "broker.sock")))

    def tcp(self):
        return self.keep(s.Client(("127.0.0.1", self.port)))

    def keep(self, client):
        self.clients.append(client)
        return client

    @contextlib.contextmanager
    def raises(self, code):
        with self.assertRaises(s.Error) as caught:
            yield caught
        self.assertEqual(caught.exception.code, code, caught.exception)

    def make(self, count=10, durability=s.ASYNC, size=0, topic="t", **options):
        """A topic with so many messages."""
        client = self.unix()
        client.create(topic, durability, **options)
        self.publish([b"%d" % i + b"." * size for i in range(1, count + 1)], client, topic)

    def publish(self, payloads, client=None, topic="t"):
        client = client or self.unix()
        intake = client.publisher(topic)
        credit = intake.credit
        for i, payload in enumerate(payloads):
            frame = s.frame(i + 1, payload)
            while credit < len(frame):
                credit += s.parse_confirm(client.receive()[2])[3]
            credit -= len(frame)
            client.publish(intake.handle, frame)
        committed = durable = 0
        while durable < len(payloads):
            committed, durable, _, _ = s.parse_confirm(client.receive()[2])
        self.assertEqual(committed, len(payloads))
        client.close_handle(intake.handle)

    def group_info(self, group="g", topic="t"):
        return json.loads(self.broker.run("group", "info", topic, group, "--json").stdout)

    # ---- groups ----

    def test_members_share_what_is_published_whatever_the_transport(self):
        for connect in (self.unix, self.tcp):
            with self.subTest(connect.__name__):
                connect().create("u" + connect.__name__)
                name = "u" + connect.__name__
                members = [Member(connect, name, credit=4096) for _ in range(3)]
                client = self.unix()
                intake = client.publisher(name)
                client.publish(intake.handle, b"".join(s.frame(i, b"%d" % i) for i in range(1, 201)))
                got = []
                while len(got) < 200:
                    for member in members:  # each has some of them at a time, and nobody is waited for
                        member.client.socket.settimeout(0.01)
                        with contextlib.suppress(TimeoutError):
                            while True:
                                member.read()
                        member.client.socket.settimeout(60)
                        some, member.had = member.had, []
                        got += some
                        self.assertEqual(member.ack(*some), [None] * len(some))
                self.assertEqual(sorted(g.sequence for g in got), list(range(1, 201)))
                self.assertTrue(all(g.payload == b"%d" % g.sequence and g.deliveries == 1 for g in got))

    def test_those_on_this_host_and_elsewhere_are_one_group(self):
        self.make(6)
        here = self.broker.popen("sub", "t", "--group", "g", "--from", "first", "--count", "3", stdout=subprocess.PIPE)
        out, _ = here.communicate(timeout=60)
        there = Member(self.unix)
        got = there.get(3)
        self.assertEqual(sorted(out.split() + [g.payload for g in got]), [b"%d" % i for i in range(1, 7)])
        self.assertEqual(there.ack(*got), [None] * 3)

    def test_who_is_gone_gives_back_what_he_had(self):
        self.make(5)
        self.unix().group(s.GROUP_CREATE, "t", "g", lease_ns=3600 * 10**9)
        first = Member(self.unix)
        gifts = first.get(5)
        self.assertEqual(first.ack(gifts[0], gifts[2]), [None, None])
        second = Member(self.unix)
        first.client.close()
        again = second.get(3)
        self.assertEqual([(g.sequence, g.deliveries) for g in again], [(2, 2), (4, 2), (5, 2)])
        self.assertEqual(second.ack(*again), [None] * 3)
        self.wait_for(lambda: self.group_info()["in_flight"] == 0, "all are done")

    def test_many_members_that_go_with_their_connection_give_all_back(self):
        self.make(60)
        there, groups = self.unix(), ("a", "b", "c")
        for group in groups:
            there.group(s.GROUP_CREATE, "t", group, lease_ns=24 * 3600 * 10**9)
            for _ in range(20):
                there.join("t", group, credit=64)
        for group in groups:
            self.wait_for(lambda name=group: self.group_info(name)["in_flight"] == 20, "each has its message")
        here = [Member(self.unix, group=group) for group in groups]
        self.assertEqual([[g.sequence for g in m.get(40)] for m in here], [list(range(21, 61))] * 3)
        there.close()
        self.assertEqual([[(g.sequence, g.deliveries) for g in sorted(m.get(20), key=lambda g: g.sequence)] for m in here],
                         [[(i, 2) for i in range(1, 21)]] * 3)
        for group in groups:
            self.wait_for(lambda name=group: self.group_info(name)["members"] == 1, "they are gone")

    def test_a_handle_that_is_closed_gives_back_too(self):
        self.make(3)
        self.unix().group(s.GROUP_CREATE, "t", "g", lease_ns=3600 * 10**9)
        first, second = Member(self.unix), Member(self.unix)
        first.get(3)
        first.client.close_handle(first.member.handle)
        self.assertEqual([g.sequence for g in second.get(3)], [1, 2, 3])
        first.client.settle(s.ACK, first.member.handle, [])  # of a handle that was closed: nobody's
        first.client.ask(s.PING)

    def test_nack_gives_it_to_another_and_the_limit_of_deliveries_holds(self):
        self.make(1)
        self.unix().group(s.GROUP_CREATE, "t", "g", dead_letter="dead", deliveries=3)
        with self.raises(ENAME):
            self.unix().join("t", "nobody/")
        member = Member(self.unix)
        for deliveries in (1, 2, 3):
            gift, = member.get(1)
            self.assertEqual(gift.deliveries, deliveries)
            self.assertEqual(member.say(s.NACK, [gift]), [None])
        self.assertEqual(member.say(s.NACK, [gift]), [EEXPIRED])
        self.wait_for(lambda: self.broker.info("dead")["last_sequence"] == 1, "a dead letter")
        self.assertEqual(self.group_info()["dead"], 1)

    def test_a_lease_ends_and_who_slept_is_refused(self):
        self.make(1)
        self.tcp().group(s.GROUP_CREATE, "t", "g", lease_ns=50_000_000)
        first = Member(self.tcp, credit=64)
        kind, _, data = first.client.receive()
        self.assertEqual(kind, s.GIVEN)
        gift, = s.parse_given(data)[0]  # and no credit for more
        again, = Member(self.tcp).get(1)
        self.assertEqual((again.sequence, gift.deliveries), (1, 1))
        self.assertGreater(again.deliveries, 1)
        for stale in (s.ACK, s.NACK, s.RENEW):  # whatever the other one does with it
            self.assertEqual(first.say(stale, [gift]), [EEXPIRED])

    def test_what_was_never_given_is_refused_by_name_and_nobody_else_notices(self):
        self.make(3)
        member, other = Member(self.tcp, credit=64), Member(self.tcp, credit=1 << 20)
        other.client.give_credit(other.member.handle, 0)
        mine = member.get(1)[0]
        theirs = other.get(1)[0]
        wrong = [
            (EINVALID, mine._replace(position=1 << 40)),  # nothing is there yet
            (EINVALID, mine._replace(position=mine.position + 1)),
            (EEXPIRED, theirs),  # another's
            (EEXPIRED, mine._replace(claim=mine.claim ^ 1)),
            (EINVALID, mine._replace(position=1 << 40, claim=0)),
            (EINVALID, mine._replace(position=mine.position + (1 << 46))),  # of which a word knows no more than of mine
        ]
        for kind in (s.ACK, s.NACK, s.RENEW):
            for code, gift in wrong:
                self.assertEqual(member.say(kind, [gift]), [code], (kind, gift))
        self.assertEqual(member.say(s.RENEW, [mine]), [None])
        self.assertEqual(member.ack(mine, mine, wrong[0][1], mine), [None, None, EINVALID, None])
        self.assertEqual(other.ack(theirs), [None])
        with self.raises(EBUSY):
            self.tcp().group(s.GROUP_DELETE, "t", "g")

    def test_many_refusals_are_all_told_to_who_reads_them_late(self):
        self.make(1)
        member = Member(self.tcp)
        gift, = member.get(1)
        wrong = [gift._replace(position=gift.position + 64 * i) for i in range(1, 2001)]
        self.assertEqual(member.ack(*wrong, gift), [EINVALID] * 2000 + [None])

    def test_acks_of_what_is_no_members_end_the_connection(self):
        self.make(1)
        client = self.tcp()
        outlet = client.subscribe("t")
        client.settle(s.ACK, outlet.handle, [s.Gift(0, 1, b"1", 1, 1)])
        self.assertEqual(self.hung_up(client), EPROTOCOL)
        client = self.tcp()
        member = client.join("t", "g")
        client.send(s.ACK, b"x" * 23, member.handle)
        self.assertEqual(self.hung_up(client), -14)
        client = self.tcp()
        member = client.join("t", "g")
        client.give_credit(member.handle, (1 << 63) - 1)
        self.assertEqual(self.hung_up(client), EPROTOCOL)

    def hung_up(self, client):
        code = None
        with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
            while True:
                kind, _, data = client.receive()
                if kind == s.ERROR:
                    code = struct.unpack_from("<i", data)[0]
        client.close()
        return code

    def test_no_more_is_given_than_there_is_credit_for(self):
        self.make(20, size=40)
        member = Member(self.tcp, credit=300)  # two frames of 128
        gifts = member.get(2)
        self.assertEqual(member.ack(*gifts), [None, None])
        self.assertEqual([g.sequence for g in gifts + member.get(18)], list(range(1, 21)))

    def all_of(self, members, count):
        """The numbers of the messages that they get, until it is so many."""
        got = set()
        while len(got) < count:
            ready = select.select([m.client.socket for m in members if not m.client.pending], [], [], 60)[0]
            self.assertTrue(ready or any(m.client.pending for m in members), sorted(got))
            for member in members:
                if member.client.pending or member.client.socket in ready:
                    member.read(grants=False)
                got |= {g.sequence for g in member.had}
        return got

    def test_what_comes_again_is_not_kept_by_who_has_no_credit_for_it(self):
        for name, count, size in (("window", 10, 10), ("store", 120, 5000)):
            with self.subTest(name):
                self.make(count, topic=name, size=size, window=1 << 18, segment=1 << 20)
                self.unix().group(s.GROUP_CREATE, name, "g", lease_ns=24 * 3600 * 10**9)
                had = Member(self.unix, name)
                had.get(count)
                one = s.frame_bytes(size + len(str(count)))
                rich = Member(self.unix, name, credit=1 << 30)
                poor = [Member(self.unix, name, credit=credit) for credit in (64, one - 64, 3 * one, 3 * one, 10 * one - 1)]
                had.client.close()
                self.assertEqual(self.all_of([rich, *poor], count), set(range(1, count + 1)))

    def test_who_has_no_credit_for_what_comes_again_gets_it_once_he_has(self):
        self.make(3, size=100)
        self.unix().group(s.GROUP_CREATE, "t", "g", lease_ns=24 * 3600 * 10**9)
        had = Member(self.unix)
        had.get(3)
        member = Member(self.unix, credit=128)
        had.client.close()
        self.wait_for(lambda: self.group_info()["members"] == 1, "it is gone")
        self.publish([b"small"])
        gift, = member.get(1)  # which there is credit for
        self.assertEqual(gift.payload, b"small")
        self.assertEqual(member.ack(gift), [None])
        member.client.give_credit(member.member.handle, 1000)
        self.assertEqual([(g.sequence, g.deliveries) for g in member.get(3)], [(1, 2), (2, 2), (3, 2)])

    def test_what_comes_again_far_behind_the_oldest_in_flight_is_found(self):
        self.make(100, s.MEMORY, size=65000, window=1 << 24)  # more than is looked at in a turn of the broker
        self.unix().group(s.GROUP_CREATE, "t", "g", lease_ns=24 * 3600 * 10**9, span=1 << 24)
        oldest = Member(self.unix, credit=s.frame_bytes(65001))
        self.assertEqual(self.all_of([oldest], 1), {1})  # and keeps it
        had, other = Member(self.unix), Member(self.unix, credit=0)
        gifts = had.get(99)
        self.assertEqual(had.ack(*gifts[:98]), [None] * 98)
        other.client.give_credit(other.member.handle, 1 << 20)
        other.client.ask(s.PING)  # it waits by now
        had.client.close()
        self.assertEqual(self.all_of([other], 1), {100})
        self.publish([b"new"])
        self.assertEqual(self.all_of([other], 2), {100, 101})

    def test_what_comes_again_while_there_is_no_credit_comes_with_the_next(self):
        self.make(1)
        member = Member(self.tcp, credit=64)
        member.take = lambda gifts, count: member.had.extend(gifts)
        for deliveries in range(1, 6):
            gift, = member.get(1)
            self.assertEqual(gift.deliveries, deliveries)
            self.assertEqual(member.say(s.NACK, [gift]), [None])
            member.client.give_credit(member.member.handle, 64)

    def test_messages_may_count_as_more_than_their_bytes(self):
        self.make(6, size=40)
        member = Member(self.tcp, credit=2000, least=1000)
        member.take = lambda gifts, count: member.had.extend(gifts)
        self.assertEqual([g.sequence for g in member.get(2)], [1, 2])
        other = Member(self.tcp)
        self.assertEqual([g.sequence for g in other.get(4)], [3, 4, 5, 6])

    def test_at_most_once_is_done_when_it_is_sent(self):
        self.make(4)
        first = Member(self.tcp, at_most_once=1)
        self.assertEqual([g.sequence for g in first.get(4)], [1, 2, 3, 4])
        first.client.close()
        self.wait_for(lambda: self.group_info()["members"] == 0, "it is gone")
        self.assertEqual(self.group_info()["in_flight"], 0)

    def test_too_much_in_flight_waits_for_acks(self):
        self.make(400, size=1200)
        self.tcp().group(s.GROUP_CREATE, "t", "g", span=1 << 18)
        member = Member(self.tcp, credit=1 << 30)
        seen = []
        while len(seen) < 400:
            gift = member.get(1)
            seen += gift
            if len(seen) > 100:  # there may be 204 in flight
                self.assertEqual(member.ack(*seen[-101:-100]), [None])
        self.assertEqual([g.sequence for g in seen], list(range(1, 401)))

    def test_from_the_store_and_what_comes_again_from_there(self):
        self.make(600, size=3000, window=1 << 18, segment=1 << 20)
        first = Member(self.tcp)
        gifts = first.get(600)
        self.assertEqual([g.sequence for g in gifts], list(range(1, 601)))
        self.assertEqual(set(first.ack(*gifts[3:])), {None})
        first.client.close()
        second = Member(self.tcp)
        self.assertEqual([(g.sequence, g.payload, g.deliveries) for g in second.get(3)],
                         [(i, b"%d" % i + b"." * 3000, 2) for i in (1, 2, 3)])

    def test_what_was_overwritten_is_counted_as_lost(self):
        client = self.unix()
        client.create("t", s.MEMORY, window=1 << 18)
        client.group(s.GROUP_CREATE, "t", "g")
        self.publish([b"x" * 10000 for _ in range(100)])
        member = Member(self.unix)
        first, = member.get(1)
        self.assertGreater(first.sequence, 1)
        self.assertEqual((member.lost, member.why), (first.sequence - 1, EGONE))
        self.assertEqual(self.group_info()["lost"], first.sequence - 1)

    def test_a_reset_ends_members_by_name_and_begins_anew(self):
        self.make(3)
        for durable, group in ((0, "g"), (1, "d")):
            member = Member(self.tcp, group=group, durable=durable)
            gifts = member.get(3)
            self.assertEqual(member.ack(gifts[0]), [None])
            self.tcp().group(s.GROUP_ALTER, "t", group, fields=4, start=s.AT_FIRST, durable=durable)
            self.assertEqual(member.wait_for_end(), EEXPIRED)
            self.assertEqual(member.ack(gifts[1]), [EEXPIRED])
            member.client.close_handle(member.member.handle)
            anew = Member(self.tcp, group=group, durable=durable, former=member.member)
            self.assertEqual([g.sequence for g in anew.get(3)], [1, 2, 3])
            self.assertEqual(anew.ack(gifts[2]), [EEXPIRED])

    def test_a_deleted_topic_ends_members(self):
        self.make(3)
        member, durable = Member(self.tcp), Member(self.tcp, group="d", durable=1)
        member.get(1), durable.get(1)
        self.unix().ask(s.TOPIC_DELETE, s.name("t"))
        self.assertEqual((member.wait_for_end(), durable.wait_for_end()), (ECLOSED, ECLOSED))

    def test_an_ack_that_a_broken_connection_kept_still_counts(self):
        self.make(3)
        member = Member(self.tcp)
        gifts = member.get(3)
        member.client.close()
        self.wait_for(lambda: self.group_info()["members"] == 0, "it is gone")
        back = Member(self.tcp, former=member.member, credit=0)
        self.assertNotEqual(back.member.member, member.member.member)
        self.assertEqual(back.ack(gifts[1]), [None])
        back.client.give_credit(back.member.handle, 1 << 20)
        self.assertEqual([g.sequence for g in back.get(2)], [1, 3])
        self.assertEqual(self.group_info()["in_flight"], 2)

    def test_new_messages_wake_a_member_that_waits(self):
        self.make(0)
        members = [Member(self.tcp), Member(self.unix, group="h"), Member(self.tcp, group="d", durable=1)]
        publisher = self.broker.popen("pub", "t", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for i in range(1, 11):
            publisher.stdin.write(b"%d\n" % i)
            publisher.stdin.flush()
            for member in members:
                gift, = member.get(1)
                self.assertEqual((gift.sequence, gift.payload), (i, b"%d" % i))
                self.assertEqual(member.ack(gift), [None])
        publisher.stdin.close()
        self.assertEqual(publisher.wait(60), 0)

    # ---- durable subscriptions ----

    def test_a_durable_subscription_goes_on_behind_its_last_ack(self):
        self.make(50)
        for connect, other in ((self.tcp, self.tcp), (self.unix, self.unix)):
            group = "d" + connect.__name__
            first = Member(connect, group=group, durable=1)
            gifts = first.get(50)
            self.assertEqual(first.ack(gifts[19], gifts[4]), [None, None])
            with self.raises(EBUSY):
                other().join("t", group, durable=1)
            first.client.close()
            self.wait_for(lambda name=group: self.group_info(name)["members"] == 0, "it is free")
            second = Member(other, group=group, durable=1)
            self.assertEqual(second.member.position, gifts[19].position + s.frame_bytes(len(gifts[19].payload)))
            self.assertEqual([g.sequence for g in second.get(30)], list(range(21, 51)))
            self.assertEqual(second.ack(gifts[30]), [EEXPIRED])  # of the membership before

    def test_a_durable_subscription_is_not_at_most_once(self):
        self.make(3)
        with self.raises(EINVALID):
            self.tcp().join("t", "d", durable=1, at_most_once=1)
        self.assertEqual(self.broker.run("group", "list", "t", "--json").stdout, b"")

    def test_a_durable_ack_of_what_is_no_message_is_refused(self):
        self.make(3, size=200)
        member = Member(self.tcp, group="d", durable=1, credit=320)
        gift, = member.get(1)
        for code, wrong in ((EINVALID, gift._replace(position=gift.position + 64)),
                            (EINVALID, gift._replace(position=1 << 40)), (EINVALID, gift._replace(payload=b"")),
                            (EINVALID, gift._replace(sequence=2)), (EINVALID, gift._replace(claim=0)),
                            (EEXPIRED, gift._replace(claim=gift.claim + 1))):
            self.assertEqual(member.ack(wrong), [code], wrong)
        self.assertEqual(member.say(s.NACK, [gift]), [EINVALID])
        self.assertEqual(member.say(s.RENEW, [gift]), [EINVALID])
        self.assertEqual(member.ack(gift), [None])

    def test_members_live_through_a_broker_that_is_killed(self):
        self.make(10)
        self.publish([b"more"])
        member, durable = Member(self.unix), Member(self.unix, group="d", durable=1)
        gifts, had = member.get(11), durable.get(11)
        self.assertEqual(member.ack(*gifts[:4]), [None] * 4)
        self.assertEqual(durable.ack(had[3]), [None])
        self.broker.kill()
        self.broker.start()
        self.port = self.learn_port()
        back = Member(self.unix, former=member.member)
        self.assertEqual(back.member.member, member.member.member)  # it is who it was, with all that it holds
        self.assertEqual(back.ack(*gifts[4:10]), [None] * 6)
        other = Member(self.unix)
        back.client.close()
        self.assertEqual([g.sequence for g in other.get(1)], [11])
        again = Member(self.unix, group="d", durable=1, former=durable.member, credit=0)
        self.assertEqual(again.member.member, durable.member.member)
        self.assertEqual(again.ack(had[6], had[10]._replace(position=had[10].position + 64), had[5]), [None, EINVALID, None])
        again.client.give_credit(again.member.handle, 1 << 20)
        self.assertEqual([g.sequence for g in again.get(4)], list(range(8, 12)))  # not what it was told is done


class MembersEpoll(Members):
    broker_backend = "epoll"


main()
