"""One side of test_acks.py in Python: acks.c says what it does."""
import sys

import hermes_msg as hermes

LONG = 10
client = hermes.connect()
subscribers, messages = {}, {}


def open_subscriber(s, kind, name="", ack="auto"):
    how = {kind: name, "ack": ack} if kind in ("group", "name") else {}
    subscribers[s] = client.subscriber("t.dead" if kind == "dead" else "t", "first", **how)
    return "ok"


def take(s, m, timeout=LONG):
    message = subscribers[s].poll(timeout)
    if message is None:
        return "nothing"
    messages[m] = message
    deliveries = subscribers[s].deliveries(message)
    return str(message.sequence) if deliveries == 1 else f"{message.sequence} x{deliveries}"


def read_letter(s):
    message = subscribers[s].poll(LONG)
    if message is None:
        return "nothing"
    letter = hermes.Letter.of(message)
    if letter is None:
        return "no letter"
    return (f"{letter.topic} {letter.group} {letter.sequence} x{letter.deliveries} {letter.reason} {letter.length} "
            f"{bytes(letter.payload).decode()}")


def say(what, s, m):
    result = getattr(subscribers[s], what)(messages[m])
    return "ok" if result is None else str(result)


def obey(what, s, *rest):
    if what == "open":
        return open_subscriber(s, *rest)
    if what == "take":
        return take(s, *rest)
    if what == "poll":
        return take(s, *rest, 0)
    if what == "letter":
        return read_letter(s)
    if what == "close":
        subscribers[s].close()
        return "ok"
    return say(what, s, *rest)


for line in sys.stdin:
    try:
        print(obey(*line.split()), flush=True)
    except hermes.Error as error:
        print("error", error.code, flush=True)
