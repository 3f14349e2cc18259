#!/usr/bin/env python3
"""Measures the clients by turns and prints medians and ranges: what one call costs in C, Rust and Python, and one job
with four brokers' Python clients. Called by ./run bench clients."""
import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 5
HERE = os.path.dirname(os.path.abspath(__file__))
binaries, rust, python = sys.argv[1:4]
CALLS = {"C": [os.path.join(binaries, "calls")], "Rust": [os.path.join(rust, "calls")],
         "Python": [python, os.path.join(HERE, "calls.py")]}
PEERS = ("hermes", "pyzmq", "nats-py", "redis-py")


def collect(values, who, command, **options):
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, **options).stdout
    for what, value in json.loads(output).items():
        values[who, what].append(value)


def show(values, unit, digits):
    for (who, what), numbers in values.items():
        middle, low, high = (f"{n:,.{digits}f}" for n in (statistics.median(numbers), min(numbers), max(numbers)))
        print(f"{who:10} {what:28} {middle:>12} {unit}   ({low} to {high})")


calls, peers = collections.defaultdict(list), collections.defaultdict(list)
for turn in range(ROUNDS):
    print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr)
    for who, command in CALLS.items():
        with tempfile.TemporaryDirectory(prefix="hermes-bench-") as home:
            environment = dict(os.environ, HERMES_HOME=home)
            broker = subprocess.Popen([os.path.join(binaries, "hermesd")], env=environment, stdout=subprocess.PIPE)
            broker.stdout.readline()
            try:
                collect(calls, who, command, env=environment)
            finally:
                broker.terminate()
                broker.wait()
    for who in PEERS:
        collect(peers, who, [python, os.path.join(HERE, "peers.py"), who])
print("\nNanoseconds a message of 64 bytes, one process, medians of", ROUNDS)
show(calls, "ns", 1)
print("\nProducer to consumer, two processes, 64 bytes")
show(peers, "", 1)
