"""asyncio: woken by a descriptor, fair to other tasks, cancelled without loss."""
import asyncio
import gc
import signal
import threading
import weakref

import hermes_msg as hermes
import pytest
from conftest import SMALL


def test_async_for(client):
    client.create_topic("t", **SMALL)

    async def run():
        received, ticks = [], 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1
        ticker = asyncio.create_task(tick())
        pub, sub = client.publisher("t"), client.subscriber("t")

        async def publish():
            for i in range(3000):
                pub.send(b"%d" % i)
                while i % 10 == 0 and len(received) <= i:
                    await asyncio.sleep(0)
        publisher = asyncio.create_task(publish())
        async for m in sub:
            received.append(int(m.payload))
            if len(received) == 3000:
                break
        await publisher
        ticker.cancel()
        assert received == list(range(3000)) and ticks > 100
    asyncio.run(asyncio.wait_for(run(), 60))


def test_backlog_does_not_starve_others(client):
    client.create_topic("t")
    client.publisher("t").send_many([b"x"] * 5000)

    async def run():
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1
        task = asyncio.create_task(turn())
        count = 0
        async for _ in client.subscriber("t", "first"):
            count += 1
            if count == 5000:
                break
        task.cancel()
        assert turns >= 5000 // 64 - 1
    asyncio.run(asyncio.wait_for(run(), 60))


def test_cancelling_loses_nothing(client):
    client.create_topic("t")
    sub = client.subscriber("t")

    async def run():
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sub.receive(), 0.002)
        pub = client.publisher("t")
        for i in range(200):
            pub.send(b"%d" % i)
        got = []
        while len(got) < 200:
            try:
                got.append(int((await asyncio.wait_for(sub.receive(), 0.001)).payload))
            except TimeoutError:
                pass
        assert got == list(range(200))
    asyncio.run(asyncio.wait_for(run(), 60))


def test_many_subscribers_and_two_loops(client):
    client.create_topic("t")
    pub = client.publisher("t")
    results = []

    async def one(sub):
        return [int((await sub.receive()).payload) for _ in range(100)]

    async def all_of_them(subs):
        return await asyncio.wait_for(asyncio.gather(*map(one, subs)), 60)

    def loop(subs):
        results.extend(asyncio.run(all_of_them(subs)))
    threads = [threading.Thread(target=loop, args=[[client.subscriber("t") for _ in range(10)]]) for _ in range(2)]
    for t in threads:
        t.start()
    for i in range(100):
        pub.send(b"%d" % i)
    for t in threads:
        t.join(60)
    assert results == [list(range(100))] * 20


def test_ends(client):
    client.create_topic("t")
    client.publisher("t").send(b"last")

    async def run():
        sub = client.subscriber("t", "first")
        client.delete_topic("t")
        assert [m.payload async for m in sub] == [b"last"]
        with pytest.raises(hermes.Closed):
            await sub.receive()
        sub.close()
        with pytest.raises(hermes.Closed):
            async for _ in sub:
                pass
    asyncio.run(asyncio.wait_for(run(), 60))


def test_topic_deleted_while_waited_for(client):
    client.create_topic("t")

    async def run():
        async def read():
            return [m async for m in client.subscriber("t")]
        task = asyncio.create_task(read())
        await asyncio.sleep(0)  # it runs until it waits
        client.delete_topic("t")
        assert await asyncio.wait_for(task, 60) == []
    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_broker_restarts(broker, number):
    client = broker.connect()
    client.create_topic("t", **SMALL)

    async def run():
        sub, pub = client.subscriber("t"), client.publisher("t", timeout=60)
        task = asyncio.create_task(sub.receive())
        await asyncio.sleep(0)  # it runs until it waits
        broker.stop(number)
        await asyncio.sleep(0)
        broker.start()
        pub.send(b"hello")
        assert (await asyncio.wait_for(task, 60)).payload == b"hello"
    asyncio.run(run())
    client.close()


async def settle():
    """All tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_each_task_that_waits_for_a_subscriber_is_woken(client):
    client.create_topic("t")

    async def run():
        sub, pub = client.subscriber("t"), client.publisher("t")
        tasks = [asyncio.create_task(sub.receive()) for _ in range(3)]
        await settle()
        for payload in (b"1", b"2", b"3"):
            pub.send(payload)
            await settle()
        assert sorted(m.payload for m in await asyncio.wait_for(asyncio.gather(*tasks), 60)) == [b"1", b"2", b"3"]
    asyncio.run(run())


def test_one_task_that_is_cancelled_leaves_the_others_waiting(client):
    client.create_topic("t")

    async def run():
        sub, pub = client.subscriber("t"), client.publisher("t")
        first, second = (asyncio.create_task(sub.receive()) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        pub.send(b"x")
        assert (await asyncio.wait_for(second, 60)).payload == b"x"
    asyncio.run(run())


@pytest.mark.parametrize("close", [lambda sub, client: sub.close(), lambda sub, client: client.close(),
                                   lambda sub, client: threading.Thread(target=sub.close).start()])
def test_close_wakes_the_tasks_that_wait(broker, close):
    client = broker.connect()
    client.create_topic("t")

    async def run():
        sub = client.subscriber("t")

        async def read():
            return [m async for m in sub]
        receiver, reader = asyncio.create_task(sub.receive()), asyncio.create_task(read())
        await settle()
        close(sub, client)
        with pytest.raises(hermes.Closed):
            await asyncio.wait_for(receiver, 60)
        assert await asyncio.wait_for(reader, 60) == []
    asyncio.run(run())


def test_close_wakes_the_tasks_that_wait_again(client):
    """A message woke them all, and was one's."""
    client.create_topic("t")

    async def run():
        sub, got = client.subscriber("t"), []

        async def read():
            async for message in sub:
                got.append(message.payload)
        tasks = [asyncio.create_task(read()) for _ in range(3)]
        await settle()
        client.publisher("t").send(b"x")
        while not got:
            await asyncio.sleep(0)
        await settle()
        sub.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        assert got == [b"x"]
    asyncio.run(run())


def test_a_task_of_a_closed_subscriber_takes_nothing_from_a_new_one(client):
    client.create_topic("t")

    async def run():
        old, pub = client.subscriber("t"), client.publisher("t")
        number = old.fileno()
        task = asyncio.create_task(old.receive())
        await settle()
        subs = [client.subscriber("t") for _ in range(5)]
        old.close()
        assert number in [sub.fileno() for sub in subs]
        tasks = [asyncio.create_task(sub.receive()) for sub in subs]
        await settle()
        task.cancel()
        await settle()
        pub.send(b"x")
        got = await asyncio.wait_for(asyncio.gather(*tasks), 60)
        assert [m.payload for m in got] == [b"x"] * 5
    asyncio.run(run())


def test_what_waiting_takes_is_given_back(client):
    import os
    client.create_topic("t")

    async def run():
        sub = client.subscriber("t")
        sub.fileno()
        sub.arm()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sub.receive(), 0.001)
        assert len(os.listdir("/proc/self/fd")) == before
    asyncio.run(run())


def test_a_loop_that_was_closed_keeps_no_task_that_waited(client):
    client.create_topic("t")

    def wait_and_leave(close):
        sub, loop = client.subscriber("t"), asyncio.new_event_loop()
        task = loop.create_task(sub.receive())
        loop.run_until_complete(asyncio.sleep(0.001))
        task._log_destroy_pending = False
        loop.close()
        if close:
            sub.close()
        return weakref.ref(task)
    tasks = [wait_and_leave(close) for close in (False, True, False, True, False)]
    sub = client.subscriber("t")

    async def run():  # whoever waits next finds what the others left
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sub.receive(), 0.001)
    asyncio.run(run())
    gc.collect()
    assert [task() for task in tasks] == [None] * 5
