"""asyncio: woken by a descriptor, fair to other tasks, cancelled without loss."""
import asyncio
import signal
import threading

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
