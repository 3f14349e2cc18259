#!/usr/bin/env python3
"""A market feed for want of one: quotes of a random walk. market_feed.py [COUNT [QUOTES-A-SECOND]]"""
import random
import sys
import time

import hermes_msg as hermes
from market import QUOTES, Quote, pack

count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
rate = float(sys.argv[2]) if len(sys.argv) > 2 else 10_000
random.seed(1)
mid = 5_000_000
with hermes.connect() as client, client.publisher(QUOTES) as publisher:
    start = time.monotonic()
    for i in range(count):
        mid += random.choice((-100, 0, 0, 100))
        spread = random.choice((100, 200, 500))
        quote = Quote(b"HRMS    ", mid - spread, mid + spread, random.randrange(1, 500), random.randrange(1, 500), 0)
        time.sleep(max(0.0, start + i / rate - time.monotonic()))
        publisher.send(pack(quote))
    publisher.wait(confirmation="durable")
print(f"{count} quotes published")
