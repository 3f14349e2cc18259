"""
Judges what the members of a group were told: each message is given to somebody until it is done, never to two at a
time, never again once it is done; and the counters are the sum of what happened.
"""
from bisect import bisect_right
from itertools import accumulate

import codes
from claims import NEVER
from verdicts import Verdict

VERBS = ("ack", "nack", "renew")
LETTERS_A_TURN = 64  # that a broker has under way at most, of one group


class Judge:
    def __init__(self, name, history, content, published, events):
        self.name = name
        self.history = history
        self.by_sequence = {sequence: (position, key) for sequence, position, key in content}
        self.published = published  # the last sequence that there ever was
        self.events = events
        self.verdicts = {}
        self.by_message = {}  # (era, sequence): claims
        for claim in history.claims:
            self.by_message.setdefault((claim.era, claim.sequence), []).append(claim)
        claims = sorted(history.claims, key=lambda claim: claim.begin)
        self.begins = [claim.begin for claim in claims]
        self.furthest = list(accumulate(((claim.position, claim.sequence) for claim in claims), max))
        self.places = sorted(set(self.furthest))

    def wrong(self, kind, text, call=None):
        """One of a kind is enough; the first is nearest to the fault."""
        self.verdicts.setdefault(kind, Verdict(kind, f"group {self.name}: {text}", call))

    def judge(self, letters, info, settled):
        """letters: of its dead-letter topic; info: what the group was said to be at the end."""
        for claim in self.history.claims:
            self.judge_content(claim)
            self.judge_verbs(claim)
        for era in self.history.eras:
            messages = self.history.by_message(era)
            self.judge_order(messages)
            self.judge_numbers(messages, era)
            for claims in messages.values():
                self.judge_message(claims)
        self.judge_letters(letters)
        for call in self.history.counted:
            if int(call.told["lost"]) > self.published:
                self.wrong("counters", f"{call.told['lost']} messages are lost to {call.worker}, it says, of {self.published}", call)
        if settled:
            self.judge_all_done(letters)
            self.judge_counters(info, letters)
        return list(self.verdicts.values())

    # ---- each claim by itself ----

    def judge_content(self, claim):
        stands = self.by_sequence.get(claim.sequence)
        if claim.key[2] == 0:
            self.wrong("torn", f"{claim.worker} was given message {claim.sequence}, torn, or nobody's", claim.take)
        elif stands is not None and stands != (claim.position, claim.key):
            self.wrong("differs", f"{claim.worker} was given {claim.key} at {claim.position} as message {claim.sequence}; there stands "
                       f"{stands[1]} at {stands[0]}", claim.take)
        elif stands is None and claim.sequence > self.published:
            self.wrong("phantom", f"{claim.worker} was given message {claim.sequence}, of {self.published}", claim.take)
        if claim.number == 0 and claim.mode != "none":
            self.wrong("deliveries", f"{claim.worker} was given message {claim.sequence}, and it is not known how often", claim.take)

    def judge_verbs(self, claim):
        settled = False  # done or given back
        for call in claim.verbs:
            if call.rc is None:
                return
            told = codes.name(call.rc)
            refused = told in ("EINVALID", "EDISCONNECTED")
            if refused:
                self.wrong("code", f"{call.what} of message {claim.sequence}, which {claim.worker} was given, returned {told}", call)
            settled |= claim.mode == "none" or claim.is_acked_by_itself(call.begin)
            if refused:
                continue
            if not settled and self.is_surely_held(claim, call) and call.rc != 0:
                self.wrong("expired early", f"{call.what} of message {claim.sequence} returned {told} {ms(call.end - claim.begin)} ms "
                           f"after {claim.worker} was given it; the lease is {ms(claim.lease_ns)} ms, and nothing ended it", call)
            elif not settled and self.is_of_another_life(claim, call) and call.rc == 0:
                self.wrong("stale", f"{call.what} of message {claim.sequence} returned 0; the group was reset after {claim.worker} was "
                           "given it", call)
            settled |= call.what != "renew" and call.rc == 0

    def is_surely_held(self, claim, call):
        """The lease cannot have run out when the call came back, and nothing else took it away."""
        renewed = [other.begin for other in claim.done("renew") if other.end <= call.begin]
        lease_end = max([claim.begin, *renewed]) + claim.lease_ns
        return call.end < min(lease_end, claim.left, claim.stopped) and self.resets(claim.begin, call.end) == 0

    def resets(self, begin, end):
        return sum(era.begin < end and era.end > begin for era in self.history.eras[1:])

    def is_of_another_life(self, claim, call):
        return any(era.sure and claim.end < era.begin and era.end < call.begin for era in self.history.eras[1:])

    # ---- each message ----

    def judge_message(self, claims):
        """The times that one message was given, in order."""
        for earlier, later in zip(claims, claims[1:]):
            self.judge_pair(earlier, later)
        last = claims[-1]
        if 0 < self.history.most() < last.number:
            self.wrong("deliveries", f"message {last.sequence} was given {last.number} times; the limit is {self.history.most()}",
                       last.take)

    def judge_pair(self, earlier, later):
        sequence, acked = later.sequence, earlier.acked()
        if earlier.number == later.number and later.number != 0:
            self.wrong("deliveries", f"message {sequence} was given to {earlier.worker} and to {later.worker}, and to both for the "
                       f"{later.number}. time", later.take)
        if acked is not None and not (later.begin < acked.end and self.is_long_done(earlier, acked)):
            kind, how = ("given twice", "was given out") if earlier.mode == "none" else ("came again", "was acked")
            self.wrong(kind, f"message {sequence} {how} by {earlier.worker} (line {acked.line + 1}), and was given to {later.worker}",
                       later.take)
        elif acked is None and later.end < earlier.free():
            self.wrong("under a lease", f"message {sequence} was given to {later.worker} {ms(later.end - earlier.begin)} ms after "
                       f"{earlier.worker} was given it, whose lease is {ms(earlier.lease_ns)} ms", later.take)
        for call in earlier.verbs:
            if call.begin > later.end and call.rc == 0 and call.what != "ack" and not self.has_settled(earlier, call):
                self.wrong("stale", f"{call.what} of message {sequence} by {earlier.worker} returned 0, and {later.worker} has it", call)

    def is_long_done(self, claim, call):
        """Once its place in the page is another message's, it is not known any more who dealt with a message, and how: it is said to
        be done to who had it then."""
        return call.end >= claim.free() and self.is_dealt_with(claim, call.end) and (
            self.reached(call.end) >= claim.position + self.history.options.span_bytes)

    def reached(self, by):
        """Up to there messages may have had their places in the page by then: those that were given out, and those behind them that
        nobody was given, because they were found to be gone."""
        position, sequence = self.furthest[bisect_right(self.begins, by) - 1]
        further = bisect_right(self.places, (position, sequence))
        if further == len(self.places):
            return position if sequence == self.published else NEVER
        first, its = self.places[further]
        return position if its == sequence + 1 else first - 64

    def is_dealt_with(self, claim, by):
        """By another, or it reached the limit, or is gone."""
        others = [other for other in self.by_message[claim.era, claim.sequence] if other is not claim]
        return (claim.sequence not in self.by_sequence or any(other.perhaps_acked(by) for other in others)
                or any(self.history.may_be_dead(each) for each in [claim, *others]))

    def surely_acked(self, claim):
        """By that claim, and nobody else dealt with the message."""
        acked = claim.acked()
        return acked is not None and not self.is_long_done(claim, acked)

    def has_settled(self, claim, before):
        return any(call.what != "renew" and call.rc == 0 and call.end <= before.begin for call in claim.verbs)

    # ---- all of them ----

    def judge_order(self, messages):
        """First deliveries are in order: none begins when that of a later message is over."""
        begin, above = 0, None
        for sequence in sorted(messages):
            first = messages[sequence][0]
            if first.number != 1:
                continue
            if first.end < begin:
                self.wrong("order", f"message {sequence} was given to {first.worker} for the first time before {above.sequence} to "
                           f"{above.worker}", above.take)
            if first.begin > begin:
                begin, above = first.begin, first

    def judge_numbers(self, messages, era):
        """1, 2, 3 ... but for those that nobody was told of."""
        missing, where, call = 0, 0, None
        for sequence, claims in messages.items():
            numbers = {claim.number for claim in claims}
            gaps = max(numbers) - len(numbers - {0})
            if gaps > 0:
                missing, where, call = missing + gaps, where or sequence, call or claims[-1].take
        if missing > self.history.unknown + self.unclear() and era.sure:
            self.wrong("deliveries", f"{missing} deliveries are counted that nobody was given, of message {where} to begin with, and "
                       f"{self.history.unknown} calls had no outcome", call)

    def unclear(self):
        """Claims that were made while a reset was under way."""
        return sum(claim.era is None for claim in self.history.claims)

    # ---- letters ----

    def judge_letters(self, letters):
        every = {}
        for claim in self.history.claims:
            every.setdefault(claim.sequence, []).append(claim)
        for letter in letters:
            claims = every.get(letter.sequence, [])
            acked = [claim for claim in claims if claim.done("ack") and claim.mode == "manual" and self.surely_acked(claim)]
            if acked and len(self.history.eras) == 1:
                self.wrong("dead and done", f"message {letter.sequence} is in the dead-letter topic, and {acked[0].worker} was told "
                           "that it is done", acked[0].done("ack")[0])
            letter_wrong = letter.complaint(self.by_sequence.get(letter.sequence), claims, self.name, self.history)
            if letter_wrong:
                self.wrong("letter", f"of message {letter.sequence}: {letter_wrong}")
        again = len(letters) - len({letter.sequence for letter in letters})
        ends = [what for _, what in self.events if what in ("broker is killed", "broker is told to stop")][:-1]  # but the last one
        if again > len(ends) * LETTERS_A_TURN and len(self.history.eras) == 1:
            self.wrong("letter", f"{again} messages are in the dead-letter topic twice, and {len(ends)} brokers died or stopped over it")

    # ---- the end ----

    def due(self):
        """The sequences that the group had to deal with in its last life, and how many it may not have seen."""
        era = self.history.eras[-1]
        given = [claim.sequence for claim in self.history.claims if claim.era == era.number]
        if era.start == "first":
            first = 1
        elif era.start == "end":
            first = min(given, default=self.published + 1)
        else:
            first = int(era.start)
        return range(first, self.published + 1)

    def done(self, letters):
        era = self.history.eras[-1]
        lives = (era.number, None) if era.sure else (era.number, era.number - 1, None)
        claims = [claim for claim in self.history.claims if claim.era in lives]
        done = {claim.sequence for claim in claims if claim.perhaps_acked()}
        if self.history.options.letters != "-":
            done |= {letter.sequence for letter in letters}
        else:
            done |= {claim.sequence for claim in claims if self.history.may_be_dead(claim)}
        return done

    def judge_all_done(self, letters):
        done = self.done(letters)
        open_ = [sequence for sequence in self.due() if sequence not in done and sequence in self.by_sequence]
        if len(open_) > self.history.unread:
            claims = [claim for claim in self.history.claims if claim.sequence == open_[0]]
            self.wrong("lost", f"{len(open_)} messages are not done, and nothing is in flight: {open_[:5]}", claims[-1].take if claims else
                       None)

    def judge_counters(self, info, letters):
        if info is None:
            return
        told = {name: int(value) for name, value in info.told.items() if value.isdigit()}
        for name, least, most in self.expected(letters):
            if not least <= told[name] <= most:
                range_ = least if least == most else f"{least} to {most}"
                self.wrong("counters", f"{name} is {told[name]}, and {range_} is right", info)

    def expected(self, letters):
        """(counter, least, most) at rest."""
        claims, unknown = self.history.claims, self.history.unknown
        again = sum(claim.number > 1 for claim in claims)
        yield "in_flight", 0, 0
        yield "members", 0, 0
        yield "redelivered", again, again + unknown
        yield "expired", self.surely_expired(), self.perhaps_expired() + unknown + self.history.lapsed
        if len(self.history.eras) > 1:
            return
        removed = {sequence for sequence in self.due() if sequence not in self.by_sequence}
        least = len(removed - self.done(letters)) - self.history.unread
        yield "lost", max(0, least), len(removed - {claim.sequence for claim in claims if self.surely_acked(claim)})
        if self.history.limits == [0]:
            yield "dead", 0, 0
        elif len(self.history.limits) == 1:
            last = [claim for claim in claims if self.history.may_be_dead(claim)]
            least = len({claim.sequence for claim in last if not claim.perhaps_acked()}) if unknown == 0 else 0
            least = max(least, len({letter.sequence for letter in letters}))
            most = len({claim.sequence for claim in last if not (claim.done("ack") and self.surely_acked(claim))})
            yield "dead", least, max(least, most + unknown)

    def surely_expired(self):
        """Nothing but the lease explains that the message came again."""
        count = 0
        for era in self.history.eras:
            for claims in self.history.by_message(era).values():
                for earlier, later in zip(claims, claims[1:]):
                    count += later.number == earlier.number + 1 and later.end < earlier.without_lease() and earlier.acked() is None
        return count

    def perhaps_expired(self):
        count = 0
        for claim in self.history.claims:
            acked = claim.next_take.end if claim.mode == "auto" and claim.next_take is not None else NEVER
            acked = min([acked] + [call.end for call in claim.verbs if call.what != "renew" and call.rc == 0])
            count += claim.mode != "none" and min(claim.lease_ends()) < acked
        return count


def ms(ns):
    return f"{ns / 1e6:.1f}"
