"""
What the members of a group were given, and what they did with it, as claims: one for each time that a message was
given to somebody. Of each, the moment from which another may have the message.
"""
from dataclasses import dataclass, field

import codes

NEVER = float("inf")


@dataclass
class Options:
    """Of a group, as it was made."""
    topic: str
    start: str = "first"
    lease_ms: int = 30000
    most: int = 0  # deliveries; 0: no limit
    letters: str = "-"
    durable: bool = False
    span: int = 0  # bytes of log that what is in flight stands within; 0: what the broker has for it

    @property
    def span_bytes(self):
        return self.span or 4 << 20


@dataclass
class Claim:
    worker: str
    take: object  # the call
    mode: str  # manual, auto, none
    sequence: int
    position: int
    key: tuple
    number: int  # of its deliveries this is said to be
    era: float | None = None  # between which resets; None: while one was under way
    verbs: list = field(default_factory=list)  # calls of ack, nack and renew
    next_take: object = None  # of the same member: to who acks by itself that is an ack
    left: float = NEVER  # when its member left, died, lost its session
    stopped: float = NEVER  # when a broker was told to stop
    closing: list = field(default_factory=list)  # while brokers stop: [(begin, end)]
    lease_ns: int = 0

    @property
    def begin(self):
        return self.take.begin

    @property
    def end(self):
        return self.take.end

    def done(self, what, rc=0):
        return [call for call in self.verbs if call.what == what and call.rc == rc]

    def lease_ends(self):
        """When the lease may have run out, with each renewal again."""
        return [begin + self.lease_ns for begin in [self.begin] + [call.begin for call in self.done("renew")]]

    def lease_end(self):
        """The lease runs that long, at least."""
        return max(self.lease_ends())

    def given_back(self):
        return min((call.begin for call in self.verbs if call.what == "nack" and call.rc in (0, None)), default=NEVER)

    def without_lease(self):
        """From then on another may have it, whatever the lease."""
        return min(self.given_back(), self.left, self.stopped)

    def free(self):
        return min(self.lease_end(), self.without_lease())

    def acked(self):
        """The call that says for certain that it is done; None: nobody said so."""
        if self.mode == "none":
            return self.take
        if self.mode == "auto" and self.next_take is not None and 0 < self.next_take.end < self.free():
            return self.next_take
        return next(iter(self.done("ack")), None)

    def perhaps_acked(self, by=NEVER):
        """By then?"""
        if self.mode == "none" or self.is_acked_by_itself(by):
            return True
        return any(call.what == "ack" and call.begin < by and self.may_count(call) for call in self.verbs)

    def is_acked_by_itself(self, by):
        """Its member asked for the next one, and may have been in time."""
        return self.mode == "auto" and self.next_take is not None and self.next_take.begin <= by

    def may_count(self, ack):
        """Also what is not promised any more, because a broker stops."""
        return ack.rc in (0, None) or any(begin < ack.end and end > ack.begin for begin, end in self.closing)


@dataclass
class Era:
    number: float
    begin: int
    start: str  # first, end, or a sequence
    end: float = 0  # of the call that began it
    sure: bool = True  # the call that reset the group may have come to nothing


@dataclass
class History:
    """Of one group."""
    options: Options
    claims: list = field(default_factory=list)
    eras: list = field(default_factory=list)
    unknown: int = 0  # calls that may have claimed a message that nobody was told of
    unread: int = 0  # of those, the calls of members that never get it again
    lapsed: int = 0  # leases that may have run out of what nobody was given
    limits: list = field(default_factory=list)  # of deliveries, one after the other; 0: none
    counted: list = field(default_factory=list)  # calls that asked for a member's counters

    def most(self):
        """Nobody gets a message more often than this; 0: there was a time without a limit."""
        return 0 if 0 in self.limits else max(self.limits)

    def may_be_dead(self, claim):
        return any(0 < limit <= claim.number for limit in self.limits)

    def by_message(self, era):
        found = {}
        for claim in self.claims:
            if claim.era == era.number:
                found.setdefault(claim.sequence, []).append(claim)
        return {sequence: sorted(claims, key=lambda claim: (claim.number, claim.begin)) for sequence, claims in found.items()}


def key_of(text):
    return tuple(int(part) for part in text.split("."))


# ---- what happened around them ----

def spans(events, begins, ends):
    """[(begin, end)] between two events."""
    found, begin = [], None
    for when, what in events:
        if what == begins:
            begin = when if begin is None else begin
        elif what == ends and begin is not None:
            found.append((begin, when))
            begin = None
    return found + ([(begin, NEVER)] if begin is not None else [])


def stops(events):
    return spans(events, "broker is told to stop", "broker is gone")


def stopped_at(stops_, when):
    """From when on what is in flight may come again because a broker stops."""
    return min((max(told, when) for told, gone in stops_ if gone >= when), default=NEVER)


UNNOTICED_NS = 1000000000  # so long a member may go on whose session was lost behind its back, before it notices


def deaths(events, worker):
    """[(begin, end)]: killed in between. It may do something yet behind the word that it is to be."""
    return spans(events, f"kill {worker}", f"{worker} is dead")


def partings(calls, events, worker):
    """[(begin, end)]: when the worker let go of what it has, by itself, or killed, or may have had to."""
    found = [(call.begin, call.begin) for call in calls if call.what in ("leave", "part")]
    found += [(call.begin, call.begin + UNNOTICED_NS) for call in calls if call.what == "lose"]
    return sorted(found + deaths(events, worker))


def left_at(partings_, when):
    """From when on what it was given then may be another's, because it let go of it."""
    return min((max(begin, when) for begin, end in partings_ if end >= when), default=NEVER)


def may_have_come_to_something(call):
    return call.rc in (0, None) or codes.name(call.rc) in codes.ASKS_THE_BROKER


# A reset that timed out is still with a broker that was stopped, or waits for its disk, and may count for so long: more than the
# broker waits for dead letters, and for who is stopped to go on.
STILL_COUNTS_NS = 3000000000


def ends(call):
    if call.rc is not None and codes.name(call.rc) == "ETIMEOUT":
        return call.end + STILL_COUNTS_NS
    return call.end or NEVER


def eras_of(name, options, histories):
    """Between the resets of a group."""
    calls = [call for calls in histories.values() for call in calls
             if call.what == "reset" and call.asked.get("name") == name and may_have_come_to_something(call)]
    eras = [Era(0, 0, options.start)]
    for at, call in enumerate(sorted(calls, key=lambda call: call.begin), 1):
        eras.append(Era(at, call.begin, call.asked["from"], ends(call), call.rc == 0))
    return eras


def era_of(eras, take):
    """None: a reset was under way."""
    now = 0
    for era in eras[1:]:
        if take.begin > era.end:
            now = era.number
        elif take.end > era.begin:
            return None
    return now


def leases_of(name, options, histories):
    """[(from when, ns)]."""
    found = [(0, options.lease_ms * 1000000)]
    for calls in histories.values():
        for call in calls:
            if call.what == "alter" and call.asked.get("name") == name and int(call.asked["fields"]) & 1:
                found.append((call.begin, call.number("lease_ms") * 1000000))
    return sorted(found)


def limits_of(name, options, histories):
    """Of deliveries."""
    return [options.most] + [call.number("max") for calls in histories.values() for call in calls
                             if call.what == "alter" and call.asked.get("name") == name and int(call.asked["fields"]) & 2]


def shortest_lease(leases, when):
    """That a claim of that time may have."""
    before = [ns for begin, ns in leases if begin <= when][-1]
    return min([before] + [ns for begin, ns in leases if begin > when])


# ---- the claims ----

def claims_of(worker, calls, name):
    """Of one worker, and how many calls may have claimed what it was not given, and in which mode."""
    claims, open_as, last = [], None, None
    unknown = unread = 0
    by_call = {}
    for number, call in enumerate(calls, 1):
        if call.what in ("join", "durable"):
            open_as = call.asked if call.rc == 0 and call.asked["name"] == name else None
            last = None
        elif call.what in ("leave", "part"):
            last = None
        elif open_as is not None and call.what == "take":
            if last is not None:
                last.next_take = call
                last = None
            if call.rc == 1:
                told = call.told
                last = Claim(worker, call, open_as["ack"], int(told["sequence"]), int(told["position"]), key_of(told["key"]),
                             int(told["deliveries"]))
                by_call[number] = last
                claims.append(last)
            elif call.rc is None or call.rc < 0:
                unknown += 1
                unread += open_as["ack"] == "none"
        elif open_as is not None and call.what in ("ack", "nack", "renew"):
            claim = by_call.get(call.number("take"))
            if claim is not None:
                claim.verbs.append(call)
    return claims, unknown, unread


AT_A_TIME = 4  # messages that a member has claimed and was not told of yet, at most, by a generous count


def interrupted(calls, events, worker):
    """Calls in which it was halted, or lost its session: what it had claimed it may have had to let go, before it was told."""
    lost = AT_A_TIME * sum(call.what == "lose" for call in calls)
    halts = spans(events, f"{worker} is halted", f"{worker} goes on")
    return lost + sum(any(since < call.end and to > call.begin for since, to in halts) for call in calls if call.what == "take")


def overtaken(calls, stops_):
    """How many stops a call of it fell into: what it had claimed when the page ended it was not told of."""
    takes = [call for call in calls if call.what == "take" and call.rc in (0, 1)]
    return sum(any(call.begin < gone and call.end > told for call in takes) for told, gone in stops_)


def overlong(calls, lease_ns):
    """Calls that took longer than a lease: reading what it had claimed may have, and then it is others', and it was not told."""
    return sum(call.end - call.begin > lease_ns for call in calls if call.what == "take" and call.rc in (0, 1))


def lapsed(calls, lease_ns):
    """Leases that may have run out over what a member had taken and could not read yet: it was told that there is nothing, and
    that is no delivery."""
    count, since = 0, None
    for call in calls:
        if since is None and call.what == "take" and call.rc is not None and call.rc <= 0:
            since = call.begin
        elif since is not None and (call.what in ("leave", "part") or (call.what == "take" and call.rc == 1)):
            count, since = count + (call.begin - since) // lease_ns, None
    return int(count)


def history_of(name, options, histories, events):
    history = History(options, eras=eras_of(name, options, histories), limits=limits_of(name, options, histories))
    leases, stops_ = leases_of(name, options, histories), stops(events)
    for worker, calls in histories.items():
        if not worker.startswith("member"):
            continue
        claims, unknown, unread = claims_of(worker, calls, name)
        history.unknown += unknown + interrupted(calls, events, worker) + (overtaken(calls, stops_) if claims else 0)
        late = overlong(calls, min(ns for _, ns in leases)) if claims else 0
        history.unknown += late
        history.lapsed += lapsed(calls, min(ns for _, ns in leases)) if claims else 0
        history.unread += unread + (late if any(history.limits) and options.letters == "-" else 0)
        history.counted += [call for call in calls if claims and call.what == "counters" and call.rc == 0]
        ends = partings(calls, events, worker)
        for claim in claims:
            claim.era = era_of(history.eras, claim.take)
            claim.left = left_at(ends, claim.begin)
            claim.stopped = stopped_at(stops_, claim.begin)
            claim.closing = stops_
            claim.lease_ns = shortest_lease(leases, claim.begin)
        history.claims += claims
    return history
