"""Judges who had a durable subscription: it goes on behind what was acked, never before it, and never further."""
from bisect import bisect_left, bisect_right

import codes
from claims import NEVER, deaths, eras_of, era_of, key_of, partings, spans
from verdicts import Verdict


SETTLING_NS = 2000000000  # so long behind a start a holder may not have noticed it yet


class Place:
    """Where the subscription stands, as far as its holders were told, from one call to the next."""

    def __init__(self, name, eras, content, published, moves):
        self.name = name
        self.eras = eras
        self.by_sequence = {sequence: (position, key) for sequence, position, key in content}
        self.published = published
        self.moves = moves  # (begin, end): its holder may have to take it up again, by the worker that is concerned, or None
        self.verdicts = {}
        self.life = -1
        self.between = 0  # that was given while a reset was under way: of the life before, or of the one behind
        self.holder = None
        self.given = {}  # (worker, number of the call): (sequence, era)
        self.begin_life(eras[0])

    def wrong(self, kind, text, call):
        self.verdicts.setdefault(kind, Verdict(kind, f"durable subscription {self.name}: {text}", call))

    def begin_life(self, era):
        """Between two resets. What was acked by then counts no more."""
        self.life = era.number
        start = {"first": 0, "end": None}.get(era.start, -1)
        start = int(era.start) - 1 if start == -1 else start
        self.acked = start or 0  # all up to this are done
        self.perhaps = start if era.sure else None  # and perhaps up to this; None: whatever was there
        self.due = None  # this is the next; None: any of acked + 1 to perhaps + 1
        self.given_last = None  # to who acks by itself
        self.reached, self.between = self.between, 0  # its holder was given this
        self.gaps = 0  # so many its holder missed, since it has been one
        # It was set to what was the first message then, and nobody was told which.
        self.is_anywhere = era is not self.eras[0] and era.start == "first"

    def ack(self, sequence, sure=True):
        if sure:
            self.acked = max(self.acked, sequence)
        if self.perhaps is not None:
            self.perhaps = max(self.perhaps, sequence)

    def has_moved(self, worker, begin, end):
        return any(who in (None, worker) and since < end and to > begin for since, to, who in self.moves)

    # ---- calls, in order ----

    def take_all(self, calls):
        """[(number, call, ack mode, whether it is answered)] of all holders."""
        last_end = 0
        for number, call, mode, is_answered in calls:
            era = era_of(self.eras, call)
            if not is_answered:
                self.ask(call, mode, era)
                continue
            if era is not None and era != self.life:
                self.begin_life(self.eras[era])
            if self.has_moved(call.worker, last_end, call.end or call.begin) or call.worker != self.holder:
                self.due = None
            self.holder = call.worker
            last_end = call.end or call.begin
            if call.what == "durable":
                self.due = self.given_last = None
                self.gaps = self.reached = 0
            elif call.what == "take":
                self.take(number, call, mode, era)
            elif call.what == "ack":
                self.told(call, era)
            elif call.what == "counters" and call.rc == 0:
                self.judge_lost(call)

    def ask(self, call, mode, era):
        """Who acks by itself is through with what it was given last."""
        if mode == "auto" and self.given_last is not None:
            sequence, since = self.given_last
            self.ack(sequence, call.rc is not None and era == self.life and not self.has_moved(call.worker, since, call.end))
            self.given_last = None

    def take(self, number, call, mode, era):
        if call.rc is None and self.perhaps is not None and mode == "auto":
            self.due = None
        if call.rc != 1:
            return
        sequence, position, key = int(call.told["sequence"]), int(call.told["position"]), key_of(call.told["key"])
        self.given[call.worker, number] = (sequence, era, call)
        self.judge_content(call, sequence, position, key)
        if mode == "auto":
            self.given_last = (sequence, call.end)
        if era is None:
            self.due = self.perhaps = None
            self.between = sequence
            return
        self.judge_place(call, sequence)
        self.due = sequence + 1
        self.reached = max(self.reached, sequence)
        if self.perhaps is None:
            self.perhaps = sequence - 1

    def judge_content(self, call, sequence, position, key):
        stands = self.by_sequence.get(sequence)
        if key[2] == 0:
            self.wrong("torn", f"message {sequence} is torn, or nobody's", call)
        elif stands is not None and stands != (position, key):
            self.wrong("differs", f"{key} at {position} was given as message {sequence}; there stands {stands[1]} at {stands[0]}", call)

    def judge_place(self, call, sequence):
        if sequence <= self.acked:
            self.wrong("came again", f"message {sequence} came to {call.worker}, and all up to {self.acked} are acked", call)
        elif self.due is not None and sequence < self.due:
            self.wrong("given again", f"message {sequence} came to {call.worker} where {self.due} was due", call)
        elif self.due is not None or self.perhaps is not None:
            due = self.due or max(self.perhaps, self.reached) + 1
            self.judge_skipped(call, due, sequence)
            if not self.is_anywhere:
                self.gaps += max(0, sequence - due)
            self.is_anywhere = False

    def judge_skipped(self, call, due, sequence):
        """Retention may have removed some."""
        skipped = [missing for missing in range(due, sequence) if missing in self.by_sequence]
        if skipped:
            self.wrong("skipped", f"message {sequence} came to {call.worker} where {due} was due, at the latest", call)

    def judge_lost(self, call):
        lost, removed = int(call.told["lost"]), self.published - len(self.by_sequence)
        if not self.gaps <= lost <= removed:
            self.wrong("counters", f"{lost} messages are lost to {call.worker}, it says, which missed {self.gaps} at least; {removed} "
                       "were removed", call)

    def told(self, call, era):
        sequence, life, take = self.given.get((call.worker, call.number("take")), (call.number("sequence"), None, None))
        if call.rc is None:
            self.ack(sequence, False)
        elif codes.name(call.rc) == "EDISCONNECTED":
            return  # nothing is done
        elif codes.name(call.rc) == "EINVALID":
            self.wrong("code", f"ack of message {sequence}, which {call.worker} was given, returned EINVALID", call)
        elif life is None or era is None:
            self.perhaps = None
        elif life != era and call.rc == 0 and all(between.sure for between in self.eras):
            self.wrong("stale", f"ack of message {sequence} returned 0; it was given to {call.worker} before a reset", call)
        elif call.rc == 0:
            self.ack(sequence)
        elif life == era and not self.has_moved(call.worker, take.begin, call.end):
            self.wrong("expired early", f"ack of message {sequence} returned {codes.name(call.rc)}, and nothing took the place from "
                       f"{call.worker}", call)
        elif life == era:
            self.ack(sequence, False)  # it is not promised, and may count

    # ---- at rest ----

    def judge_end(self, last):
        if self.perhaps is None:
            return  # it was set to the end, and whether anything came behind that nobody was told
        if max(self.acked, self.perhaps, self.reached) < last:
            self.wrong("stuck", f"all up to {self.acked} are acked at the end, of {last}", None)


def calls_of(name, histories):
    """[(number, call, ack mode, whether it is answered)] of who had the subscription, in the order of time; of a call for the
    next message also when it asks. Who waited until it was let in is answered behind who had the place until then."""
    found, had = [], []
    for calls in histories.values():
        mode = None
        for number, call in enumerate(calls, 1):
            if call.what in ("join", "durable"):
                mode = call.asked["ack"] if call.asked["name"] == name and call.rc == 0 else None
                if mode is not None:
                    found.append((number, call, mode))
            elif mode is not None and call.what in ("leave", "part"):
                had.append((call.begin, call.worker))
                mode = None
            elif mode is not None and call.what in ("take", "ack", "counters"):
                found.append((number, call, mode))
                if (call.what, call.rc) in (("take", 1), ("ack", 0)):
                    had.append((call.begin, call.worker))
    had.sort()
    times = [(call.begin, 0, (number, call, mode, False)) for number, call, mode in found if call.what == "take"]
    times += [(call.end if waits(call, had) else call.begin, 1, (number, call, mode, True)) for number, call, mode in found]
    return [each for _, _, each in sorted(times, key=lambda time: time[:2])]


def waits(call, had):
    """For the place: it is let in within the call. So is who lost its place without a word, and asks for the next message while
    another still has it."""
    if call.what != "take":
        return call.what == "durable"
    within = had[bisect_right(had, (call.begin, "~")):bisect_left(had, (call.end, ""))]
    return any(worker != call.worker for _, worker in within)


def moves_of(histories, events):
    """When a holder may have had to take up its place again."""
    moves = [(begin, end + SETTLING_NS, None) for what in ("broker is told to stop", "broker is killed")
             for begin, end in spans(events, what, "broker starts")]
    for worker, calls in histories.items():
        moves += [(begin, end + 1, worker) for begin, end in partings(calls, events, worker)]
    return moves


def judge_alone(name, histories, events, verdicts):
    """One holder at a time: nobody is let in while another has the place."""
    held = []
    for worker, calls in histories.items():
        begin = None
        for call in calls:
            if call.what == "durable" and call.rc == 0 and call.asked["name"] == name:
                begin = call.end
            elif begin is not None and call.what in ("leave", "part", "lose"):
                held.append((begin, call.begin, worker, call))
                begin = None
        if begin is not None:
            ends = [max(begin, since) for since, to in deaths(events, worker) if to > begin]
            held.append((begin, min(ends, default=NEVER), worker, None))
    held.sort(key=lambda each: each[0])
    for (_, end, first, _), (begin, _, second, _) in zip(held, held[1:]):
        if begin < end and not any(what == "broker is told to stop" or what == "broker is killed" for _, what in events):
            verdicts.append(Verdict("two holders", f"durable subscription {name}: {second} was let in while {first} had it"))
            return


def judge_durable(name, options, histories, events, content, published, settled):
    place = Place(name, eras_of(name, options, histories), content, published, moves_of(histories, events))
    calls = calls_of(name, histories)
    place.take_all(calls)
    if settled:
        place.judge_end(max((sequence for sequence, _, _ in content), default=0))
    verdicts = list(place.verdicts.values())
    judge_alone(name, histories, events, verdicts)
    return verdicts
