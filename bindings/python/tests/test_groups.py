"""Groups, durable subscriptions and push-back topics."""
import asyncio
import datetime

import hermes_msg as hermes
import numpy as np
import pytest


@pytest.fixture
def topic(client):
    client.create_topic("t", window_bytes=256 * 1024, segment_bytes=1024 * 1024)
    with client.publisher("t") as publisher:
        for i in range(1, 21):
            publisher.send(np.uint64(i).tobytes())
    return "t"


def number(message):
    return int.from_bytes(message.payload, "little")


def test_members_share(client, topic):
    a = client.subscriber(topic, "first", group="risk")
    b = client.subscriber(topic, group="risk")
    got = [number((a, b)[i % 2].poll()) for i in range(20)]
    assert got == list(range(1, 21))
    assert a.poll() is None and b.poll() is None
    info = client.group(topic, "risk")
    assert (info.members, info.in_flight, info.last_sequence, info.durable) == (2, 0, 20, False)
    assert client.groups(topic) == [info]


@pytest.mark.parametrize("receive", [
    lambda s: [number(m) for m in s.poll_many(5)],
    lambda s: [int(x) for x in s.recv_batch(5, np.uint64)],
    lambda s: [number(s.poll()) for _ in range(5)],
])
def test_a_batch_is_done_when_more_is_asked_for(client, topic, receive):
    a = client.subscriber(topic, "first", group="risk")
    assert receive(a) == [1, 2, 3, 4, 5]
    held = client.group(topic, "risk").in_flight
    assert receive(a) == [6, 7, 8, 9, 10]
    assert client.group(topic, "risk").in_flight == held
    a.close()  # in the middle of the second
    b = client.subscriber(topic, group="risk")
    again = 11 - held
    assert [number(m) for m in b.poll_many(20)] == list(range(again, 21))


def test_manual(client, topic):
    a = client.subscriber(topic, "first", group="risk", ack="manual")
    b = client.subscriber(topic, group="risk", ack="manual")
    one, two, three = a.poll_many(3)
    a.ack(one)
    a.renew(two)
    a.nack(two)
    assert a.deliveries(three) == 1
    again = b.poll(60)
    assert again.sequence == 2 and b.deliveries(again) == 2
    with pytest.raises(hermes.Expired) as caught:
        a.ack(two)
    assert caught.value.code == -25 and "message 2" in str(caught.value)
    assert client.group(topic, "risk").in_flight == 2
    b.ack(again)
    a.ack()  # what is left of it
    assert client.group(topic, "risk").in_flight == 0
    batch = a.recv_batch(10, np.uint64)
    assert client.group(topic, "risk").in_flight == len(batch) == 10
    a.ack()
    assert client.group(topic, "risk").in_flight == 0
    with b.poll_view() as view:
        b.ack(view)
    assert client.group(topic, "risk").in_flight == 0
    for wrong in (7, b"x"):
        with pytest.raises(TypeError):
            a.ack(wrong)
    with pytest.raises(TypeError):
        a.ack(one, two)


def test_a_message_that_came_twice_is_two(client, topic):
    a = client.subscriber(topic, "first", group="risk", ack="manual")
    _, first = a.poll_many(2)
    a.nack(first)
    again = a.poll(60)
    assert (again.sequence, a.deliveries(again)) == (2, 2)
    for call in (a.ack, a.nack, a.renew):
        with pytest.raises(hermes.Expired):
            call(first)
    a.ack()  # what is held, as it is held
    assert client.group(topic, "risk").in_flight == 0


def test_a_nack_that_is_refused_takes_nothing(client, topic):
    with client.subscriber(topic, "first", name="desk") as s:
        with pytest.raises(hermes.InvalidArgument):
            s.nack(s.poll())
        assert s.poll().sequence == 2  # and the first is done by that
    with client.subscriber(topic, name="desk") as s:
        assert s.poll().sequence == 2


def test_a_nack_is_no_ack_in_auto_mode(client, topic):
    a = client.subscriber(topic, "first", group="risk")
    first = a.poll()
    a.nack(first)
    assert number(a.poll()) == 1


def test_none_is_at_most_once(client, topic):
    a = client.subscriber(topic, "first", group="risk", ack="none")
    assert number(a.poll()) == 1
    a.close()
    assert number(client.subscriber(topic, group="risk", ack="none").poll()) == 2


def test_what_does_not_fit_is_not_lost(client, topic):
    with client.publisher(topic) as publisher:
        publisher.send(b"longer than eight")
        publisher.send(b"8 bytes.")
    a = client.subscriber(topic, "first", group="risk")
    assert len(a.recv_batch(100, np.uint64)) == 20
    for _ in range(2):
        with pytest.raises(hermes.LayoutMismatch):
            a.recv_batch(100, np.uint64)
    message = a.poll()
    assert message.payload == b"longer than eight" and a.deliveries(message) == 1
    assert a.poll().payload == b"8 bytes."
    assert a.poll() is None
    assert client.group(topic, "risk").in_flight == 0


def test_dead_letters_and_leases(client, topic):
    client.create_group(topic, "risk", start="first", lease=0.1, max_deliveries=2, dead_letter="letters")
    letters = client.subscriber("letters")
    a = client.subscriber(topic, group="risk", ack="manual")
    a.nack(a.poll())
    a.nack(a.poll())
    assert number(a.poll()) == 2
    letter = hermes.Letter.of(letters.poll(60))
    assert (letter.topic, letter.group, letter.sequence, letter.deliveries) == (topic, "risk", 1, 2)
    assert bytes(letter.payload) == np.uint64(1).tobytes() and not letter.is_cut
    b = client.subscriber(topic, group="risk", ack="manual")
    for i in range(3, 21):
        message = b.poll()
        assert message.sequence == i
        b.ack(message)
    again = b.poll(60)  # once the lease of a ran out
    assert (again.sequence, b.deliveries(again)) == (2, 2)
    client.alter_group(topic, "risk", lease=datetime.timedelta(hours=1), max_deliveries=7)
    info = client.group(topic, "risk")
    assert (info.lease_ns, info.max_deliveries, info.dead_letter) == (3600 * 10**9, 7, "letters")
    assert (info.expired, info.dead) == (1, 1)


def test_durable(client, topic):
    with client.subscriber(topic, "first", name="desk") as s:
        assert [number(m) for m in s.poll_many(5)] == [1, 2, 3, 4, 5]
        with pytest.raises(hermes.Busy):
            client.subscriber(topic, name="desk")
    with client.subscriber(topic, name="desk", ack="manual") as s:
        assert number(s.poll()) == 1  # nobody asked for more: the first five were not done
        messages = s.poll_many(6)
        s.ack(messages[3])
    with client.subscriber(topic, name="desk") as s:
        assert number(s.poll()) == 6
        s.seek(15)
        assert number(s.poll()) == 15
        assert client.group(topic, "desk").durable
    client.reset_group(topic, "desk", 9)
    assert number(client.subscriber(topic, name="desk").poll()) == 9


def test_reset(client, topic):
    a = client.subscriber(topic, "first", group="risk", ack="manual")
    held = a.poll_many(10)
    client.reset_group(topic, "risk", 5)
    with pytest.raises(hermes.Expired):
        a.ack(held[0])
    assert number(a.poll(timeout=60)) == 5
    client.reset_group(topic, "risk", held[2].time)
    assert number(a.poll(timeout=60)) <= 3
    client.reset_group(topic, "risk", "end")
    assert a.poll(timeout=0.05) is None
    client.reset_group(topic, "risk", 1000)  # nothing that late
    assert a.poll(timeout=0.05) is None
    client.create_group(topic, "from7", start=7)
    assert number(client.subscriber(topic, group="from7").poll()) == 7


def test_refuses(client, topic):
    for wrong in ({"group": "g", "name": "n"}, {"ack": "manual"}, {"name": "n", "ack": "none"},
                  {"group": "g", "ack": "sometimes"}, {"group": "g", "start": 7}, {"group": "a/b"},
                  {"group": "g", "start": "last"}):
        with pytest.raises(ValueError):
            client.subscriber(topic, **wrong)
    with pytest.raises(TypeError):
        client.subscriber(topic, group=7)
    for wrong in ({"lease": 0.001}, {"max_deliveries": 5000}, {"dead_letter": topic}, {"lease": -1},
                  {"start": "middle"}):
        with pytest.raises(ValueError):
            client.create_group(topic, "g", **wrong)
    with pytest.raises(hermes.TopicNotFound):
        client.group(topic, "g")
    with pytest.raises(hermes.TopicNotFound):
        client.groups("nowhere")
    client.create_group(topic, "g")
    client.create_group(topic, "g", exist_ok=True)
    with pytest.raises(hermes.TopicExists):
        client.create_group(topic, "g")
    with client.subscriber(topic, group="g") as s:
        with pytest.raises(hermes.Busy):
            client.delete_group(topic, "g")
        with pytest.raises(hermes.InvalidArgument):
            s.seek("first")
    client.delete_group(topic, "g")
    assert client.groups(topic) == []
    with client.subscriber(topic, "first") as plain:
        message = plain.poll()
        assert plain.deliveries(message) == 1
        for call in (plain.ack, plain.nack, plain.renew):
            with pytest.raises(hermes.InvalidArgument):
                call(message)


def test_async(client, topic):
    async def work():
        a = client.subscriber(topic, "first", group="risk")
        got = []
        async for message in a:
            got.append(number(message))
            if len(got) == 20:
                break
        other = client.subscriber(topic, group="risk", ack="manual")
        waiting = asyncio.ensure_future(other.receive())
        await asyncio.sleep(0.05)
        a.close()  # its last message was not done: it wakes the one who waits
        return got, number(await asyncio.wait_for(waiting, 60))
    got, again = asyncio.run(work())
    assert got == list(range(1, 21)) and again == 20


def test_push_back(client):
    client.create_topic("t", durability="memory", window_bytes=256 * 1024, segment_bytes=1024 * 1024, push_back=True)
    slow = client.subscriber("t", push_back=True)
    info = client.topic("t")
    assert (info.push_back, info.waited_for) == (True, 1)
    publisher = client.publisher("t", timeout=0)
    sent = 0
    with pytest.raises(hermes.NoRoom) as caught:
        for _ in range(10000):
            publisher.send(bytes(1000))
            sent += 1
    assert caught.value.retry and "behind" in str(caught.value)
    assert len(slow.poll_many(10000)) == sent
    publisher.send(b"there is room")
    slow.close()
    for _ in range(1000):
        publisher.send(bytes(1000))
    client.create_topic("plain")
    with pytest.raises(hermes.InvalidArgument):
        client.subscriber("plain", push_back=True)
