"""One job for four brokers and their Python clients: a producer's messages of 64 bytes reach a consumer in another
process. Throughput: all of them, one call a message, and the clients' own way of batching where there is one. Round trip:
one message there, one back, each side waiting as its users do. peers.py NAME prints one line of JSON."""
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

PAYLOAD = bytes(64)
TRIPS = 2000


def child(function, *arguments):
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


# Each: side(job, count, ready) runs in a process of its own; job "consume" returns once count messages are there, "echo"
# sends them back.

def hermes_side(job, count, ready):
    import hermes_msg as hermes
    with hermes.connect() as client:
        sub = client.subscriber("there")
        pub = client.publisher("back")
        ready.set()
        if job == "echo":
            for _ in range(count):
                pub.send(sub.poll(None).payload)
            return
        left = count
        while left:
            left -= len(sub.poll_many(min(left, 1000), None))
        pub.send(b"done")
        pub.wait()


def measure_hermes(count):
    import hermes_msg as hermes
    with tempfile.TemporaryDirectory() as home:
        os.environ["HERMES_HOME"] = home
        broker = subprocess.Popen([os.path.join(os.path.dirname(sys.executable), "hermesd")], stdout=subprocess.PIPE)
        broker.stdout.readline()
        client = hermes.connect()
        client.create_topic("there")
        client.create_topic("back")
        pub, back = client.publisher("there"), client.subscriber("back")

        def one_by_one():
            send = pub.send
            for _ in range(count):
                send(PAYLOAD)

        def at_once():
            pub.send_many([PAYLOAD] * count)

        def trip():
            pub.send(PAYLOAD)
            back.poll(None)
        try:
            return run(hermes_side, count, one_by_one, at_once, lambda: back.poll(None), trip)
        finally:
            client.close()
            broker.terminate()
            broker.wait()


def zmq_side(job, count, ready):
    import zmq
    context = zmq.Context()
    there, back = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    there.connect("ipc:///tmp/hermes-bench-there")
    back.connect("ipc:///tmp/hermes-bench-back")
    ready.set()
    for _ in range(count):
        message = there.recv()
        if job == "echo":
            back.send(message)
    if job == "consume":
        back.send(b"done")
    context.destroy(linger=1000)


def measure_zmq(count):
    import zmq
    context = zmq.Context()
    there, back = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    there.set_hwm(100000)
    there.bind("ipc:///tmp/hermes-bench-there")
    back.bind("ipc:///tmp/hermes-bench-back")

    def one_by_one():
        send = there.send
        for _ in range(count):
            send(PAYLOAD)

    def trip():
        there.send(PAYLOAD)
        back.recv()
    result = run(zmq_side, count, one_by_one, None, back.recv, trip)
    context.destroy(linger=0)
    return result


def redis_side(job, count, ready):
    import redis
    client = redis.Redis(unix_socket_path="/tmp/hermes-bench-redis.sock")
    last, left = client.xinfo_stream("there")["last-generated-id"], count
    ready.set()
    while left:
        for _, entries in client.xread({"there": last}, count=1000, block=0):
            last, left = entries[-1][0], left - len(entries)
            if job == "echo":
                client.xadd("back", entries[-1][1])
    if job == "consume":
        client.xadd("back", {"m": b"done"})


def measure_redis(count):
    import redis
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", "/tmp/hermes-bench-redis.sock", "--save", "",
                               "--appendonly", "no"], stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path="/tmp/hermes-bench-redis.sock")
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.01)
    client.xadd("there", {"m": b""})
    client.xadd("back", {"m": b""})
    last = [client.xinfo_stream("back")["last-generated-id"]]

    def one_by_one():
        for _ in range(count):
            client.xadd("there", {"m": PAYLOAD})

    def at_once():
        for at in range(0, count, 1000):
            pipe = client.pipeline(transaction=False)
            for _ in range(min(1000, count - at)):
                pipe.xadd("there", {"m": PAYLOAD})
            pipe.execute()

    def done():
        last[0] = client.xread({"back": last[0]}, block=0)[0][1][-1][0]

    def trip():
        client.xadd("there", {"m": PAYLOAD})
        done()
    try:
        return run(redis_side, count, one_by_one, at_once, done, trip)
    finally:
        client.close()
        server.terminate()
        server.wait()


def nats_side(job, count, ready):
    import nats

    async def main():
        client = await nats.connect("nats://127.0.0.1:42220")
        sub = await client.subscribe("there", pending_msgs_limit=-1, pending_bytes_limit=-1)
        await client.flush()
        ready.set()
        left = count
        async for _ in sub.messages:
            if job == "echo":
                await client.publish("back", PAYLOAD)
            left -= 1
            if not left:
                break
        if job == "consume":
            await client.publish("back", b"done")
        await client.drain()
    asyncio.run(main())


def measure_nats(count):
    import nats
    server = subprocess.Popen(["nats-server", "-a", "127.0.0.1", "-p", "42220"], stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()

    async def quiet(error):
        pass

    async def connect():
        while True:
            try:
                return await nats.connect("nats://127.0.0.1:42220", allow_reconnect=False, error_cb=quiet)
            except OSError:
                await asyncio.sleep(0.01)
    client = loop.run_until_complete(connect())
    back = loop.run_until_complete(client.subscribe("back"))

    async def publish():
        for _ in range(count):
            await client.publish("there", PAYLOAD)
        await client.flush()

    async def trip():
        await client.publish("there", PAYLOAD)
        await back.next_msg(60)
    try:
        return run(nats_side, count, lambda: loop.run_until_complete(publish()), None,
                   lambda: loop.run_until_complete(back.next_msg(60)), lambda: loop.run_until_complete(trip()))
    finally:
        loop.run_until_complete(client.close())
        server.terminate()
        server.wait()


def run(side, count, one_by_one, at_once, done, trip):
    result = {}
    for name, send in (("messages_per_second", one_by_one), ("messages_per_second_batched", at_once)):
        if send is None:
            continue
        ready = multiprocessing.get_context("spawn").Event()
        consumer = child(side, "consume", count, ready)
        ready.wait()
        time.sleep(0.2)
        start = time.perf_counter()
        send()
        done()
        result[name] = count / (time.perf_counter() - start)
        consumer.join(60)
    ready = multiprocessing.get_context("spawn").Event()
    echo = child(side, "echo", TRIPS, ready)
    ready.wait()
    time.sleep(0.2)
    times = []
    for _ in range(TRIPS):
        start = time.perf_counter_ns()
        trip()
        times.append(time.perf_counter_ns() - start)
    echo.join(60)
    times.sort()
    result["rtt_p50_us"], result["rtt_p99_us"] = times[TRIPS // 2] / 1e3, times[TRIPS * 99 // 100] / 1e3
    return result


MEASURES = {"hermes": (measure_hermes, 2_000_000), "pyzmq": (measure_zmq, 500_000), "nats-py": (measure_nats, 200_000),
            "redis-py": (measure_redis, 50_000)}

if __name__ == "__main__":
    measure, amount = MEASURES[sys.argv[1]]
    print(json.dumps(measure(amount)))
