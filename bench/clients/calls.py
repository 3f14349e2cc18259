"""What one call costs in Python: see calls.c. The empty call is subtracted from nothing: it is in every figure."""
import json
import statistics
import time

import hermes_msg as hermes
import numpy

LAP, LAPS = 1000, 1000
payload = bytes(64)
client = hermes.connect()
client.create_topic("python", durability="memory")
pub, sub = client.publisher("python"), client.subscriber("python")
payloads, array, out = [payload] * LAP, numpy.zeros(LAP, "V64"), numpy.zeros(LAP, "V64")
laps = {}


def lap(name, function):
    start = time.perf_counter_ns()
    function()
    laps.setdefault(name, []).append(time.perf_counter_ns() - start)


def send():
    call = pub.send
    for _ in range(LAP):
        call(payload)


def receive():
    call = sub.poll
    for _ in range(LAP):
        call()


def iterate():
    for _, _ in zip(range(LAP), sub):
        pass


def empty():
    call = len
    for _ in range(LAP):
        call(payload)


for _ in range(LAPS):
    lap("empty call", empty)
    lap("send", send)
    lap("receive", receive)
    lap("send_many", lambda: pub.send_many(payloads))
    lap("receive, for", iterate)
    lap("send, array", lambda: pub.send_batch(array))
    lap("receive, list", lambda: sub.poll_many(LAP))
    pub.send_many(payloads)
    lap("receive, array", lambda: sub.recv_batch(out=out))
print(json.dumps({name: round(statistics.median(times) / LAP, 2) for name, times in laps.items()}))
