"""Judges how long calls took: no longer than they may wait, and not counting when somebody was halted."""
from claims import spans
from verdicts import Verdict

# In ms, beyond what the call was told to wait. Generous: nobody else waits for it.
BRIEF = 700  # it talks to shared memory alone, or to a broker that is there
REQUEST = 11000  # an answer is waited for so long
MOST = {
    "take": BRIEF, "ack": BRIEF, "nack": BRIEF, "renew": BRIEF, "counters": BRIEF, "lose": BRIEF,
    "join": 2 * REQUEST, "durable": 2 * REQUEST,
    "leave": REQUEST, "part": 2 * REQUEST, "create": REQUEST, "alter": REQUEST, "reset": REQUEST, "describe": REQUEST,
}


def overlap(begin, end, halts):
    return sum(max(0, min(end, to) - max(begin, since)) for since, to in halts)


def judge_bounds(histories, events):
    """One verdict for each call that took too long, the longest of them."""
    worst = {}
    broker = spans(events, "broker is halted", "broker goes on")
    for worker, calls in histories.items():
        halts = broker + spans(events, f"{worker} is halted", f"{worker} goes on")
        for call in calls:
            if call.what not in MOST or call.end == 0:
                continue
            most = (MOST[call.what] + call.number("timeout_ms") + call.number("try_ms")) * 1000000
            took = call.end - call.begin
            over = took - most
            if over > 0:
                over -= overlap(call.begin, call.end, halts) + int(call.told.get("queued_ns", 0))
            if over > max(0, worst.get(call.what, (0,))[0]):
                worst[call.what] = (over, took, call)
    return [Verdict("slow", f"{call.worker}: {what} took {took / 1e6:.0f} ms, {over / 1e6:.0f} ms longer than it may", call)
            for what, (over, took, call) in worst.items()]
