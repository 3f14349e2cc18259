"""The judges of groups, durable subscriptions and embedded logs find what is wrong, each in a history that is right but
for that. No processes, no files."""
import unittest

from bounds import judge_bounds
from calls import Call, pairs, seen
from claims import Options, history_of
from codes import CODES
from durables import judge_durable
from groups import Judge
from judge import judge_codes
from letters import Letter
from logs import judge_log
from mutations import MUTATIONS, SOURCE, applies
from trial import Content

MS = 1000000
STEP = 10 * MS  # between the beginnings of two calls


def history(*lines):
    """From "WORKER AT_MS what asked ... | rc told ...", in the order of each worker's calls."""
    histories = {}
    for line in lines:
        asked, _, told = line.partition("|")
        worker, at, what, *words = asked.split()
        calls = histories.setdefault(worker, [])
        call = Call(worker, 2 * len(calls), int(at) * MS, what, pairs(words))
        if told:
            rc, *words = told.split(";")[0].split()
            call.end, call.rc, call.told = call.begin + MS // 10, CODES.get(rc) or int(rc), pairs(words)
            call.seen = [seen(words.split()) for words in told.split(";")[1:]]
        calls.append(call)
    return histories


def content(count):
    return [(number, 128 * (number - 1), (1, 1, number)) for number in range(1, count + 1)]


def given(worker, at, sequence, deliveries=1):
    return (f"{worker} {at} take timeout_ms=20 | 1 sequence={sequence} position={128 * (sequence - 1)} length=64 "
            f"key=1.1.{sequence} deliveries={deliveries}")


def described(at, **counters):
    told = {"members": 0, "position": 0, "in_flight": 0, "redelivered": 0, "expired": 0, "dead": 0, "lost": 0} | counters
    return f"administrator-1 {at} describe topic=t name=g | 0 " + " ".join(f"{name}={value}" for name, value in told.items())


def join(worker, ack="manual"):
    return f"{worker} 0 join topic=t name=g from=first ack={ack} try_ms=0 | 0"


A, B = "member-g-1", "member-g-2"


class Groups(unittest.TestCase):
    options = Options("t", lease_ms=100)

    def judge(self, *lines, count=2, removed=0, letters=(), events=(), options=None):
        histories = history(*lines)
        made = history_of("g", options or self.options, histories, list(events))
        info = next((call for call in histories.get("administrator-1", []) if call.what == "describe"), None)
        judge = Judge("g", made, content(count)[removed:], count, list(events))
        return sorted({verdict.kind for verdict in judge.judge(list(letters), info, True)})

    def of_five(self, there, *lines):
        """Of five messages, of which those are there at the end, with a span of two."""
        histories = history(*lines)
        made = history_of("g", Options("t", lease_ms=100, span=256), histories, [])
        info = histories["administrator-1"][0]
        return sorted({verdict.kind for verdict in Judge("g", made, there, 5, []).judge([], info, True)})

    def right(self):
        """Message 1 is acked; 2 comes again when its lease has run out."""
        return [join(A), join(B), given(A, 10, 1), given(A, 20, 2), f"{A} 30 ack sequence=1 take=2 | 0", given(B, 140, 2, 2),
                f"{B} 150 ack sequence=2 take=2 | 0", described(200, redelivered=1, expired=1)]

    def test_what_is_right(self):
        self.assertEqual(self.judge(*self.right()), [])

    def but(self, at, line, **more):
        lines = self.right()
        lines[at:at + 1] = [line] if line else []
        return self.judge(*lines, **more)

    def test_at_least_once(self):
        self.assertIn("lost", self.but(6, None))  # nobody acked it
        self.assertIn("lost", self.judge(*self.right(), count=3))  # nobody was given it

    def test_nobody_is_given_what_another_holds(self):
        self.assertIn("under a lease", self.but(5, given(B, 60, 2, 2)))

    def test_who_gives_back_holds_no_more(self):
        for way in ("nack sequence=2 take=3 | 0", "leave | 0", "lose | 0"):
            lines = self.right()
            lines[5:8] = [f"{A} 40 {way}", given(B, 60, 2, 2), f"{B} 70 ack sequence=2 take=2 | 0", described(200, redelivered=1)]
            self.assertEqual(self.judge(*lines), [], way)

    def test_a_renewal_is_a_lease(self):
        lines = self.right()
        lines.insert(5, f"{A} 90 renew sequence=2 take=3 | 0")
        self.assertIn("under a lease", self.judge(*lines))

    def test_what_was_acked_never_comes_again(self):
        self.assertIn("came again", self.but(5, given(B, 140, 1, 2)))
        lines = self.right()
        lines.insert(7, f"{A} 160 ack sequence=2 take=3 | 0")  # that claim was over
        self.assertIn("came again", self.judge(*lines))

    def long_ago(self, *dealt, span=128, removed=0, told="| 0", **counted):
        """Message 1 is given to A, then to B, who deals with it; message 2 takes its place; and A acks."""
        lines = [join(A), join(B), given(A, 10, 1), given(B, 140, 1, 2), *dealt, given(B, 160, 2), f"{B} 170 ack sequence=2 take=4 | 0",
                 f"{A} 180 ack sequence=1 take=2 {told}", described(200, redelivered=1, expired=1, **counted)]
        return self.judge(*lines, removed=removed, options=Options("t", lease_ms=100, most=2 if counted.get("dead") else 0, span=span))

    def test_how_a_message_was_dealt_with_long_ago_is_not_known_any_more(self):
        acked, given_back = f"{B} 150 ack sequence=1 take=2 | 0", f"{B} 150 nack sequence=1 take=2 | 0"
        for far in (True, False):
            kinds = [] if far else ["came again"]
            self.assertEqual(self.long_ago(acked, span=128 if far else 256), kinds)
            self.assertEqual(self.long_ago(given_back, span=128 if far else 256, dead=1), kinds)
            self.assertEqual(self.long_ago(given_back, span=128 if far else 256, removed=1, lost=1)[:1], kinds)
        self.assertEqual(self.long_ago(given_back), ["came again"])
        self.assertEqual(self.long_ago(given_back, dead=1, told="| EEXPIRED"), [])

    def test_what_is_found_to_be_gone_takes_places_too(self):
        """Message 1 is given to A, then to B, who acks it; then A acks. What is between it and the next one that is given may have been
        found to be gone by then."""
        for others, kinds in (([5], []), ([4, 5], []), ([2, 5], ["came again"]), ([2, 3, 4, 5], ["came again"])):
            lines = [join(A), join(B), given(A, 10, 1), given(B, 140, 1, 2), f"{B} 150 ack sequence=1 take=2 | 0",
                     f"{A} 180 ack sequence=1 take=2 | 0"]
            for at, sequence in enumerate(others):
                lines += [given(B, 190 + 20 * at, sequence), f"{B} {200 + 20 * at} ack sequence={sequence} take={4 + 2 * at} | 0"]
            lines.append(described(400, redelivered=1, expired=1, lost=4 - len(others)))
            gone = [message for message in content(5) if message[0] not in (2, 3, 4)]
            self.assertEqual(self.of_five(gone, *lines), kinds, others)

    def test_at_most_once(self):
        lines = [join(A, "none"), join(B, "none"), given(A, 10, 1), given(A, 20, 2), described(200)]
        self.assertEqual(self.judge(*lines), [])
        lines.insert(4, given(B, 300, 1, 2))
        self.assertIn("given twice", self.judge(*lines))

    def test_who_acks_by_itself_has_acked_when_it_asks_again(self):
        lines = [join(A, "auto"), join(B), given(A, 10, 1), given(A, 20, 2), f"{A} 30 take timeout_ms=0 | 0", described(200)]
        self.assertEqual(self.judge(*lines), [])
        self.assertIn("came again", self.judge(*lines[:5], given(B, 300, 1, 2), f"{B} 310 ack sequence=1 take=2 | 0"))

    def test_nothing_expires_early(self):
        for what in ("ack", "nack", "renew"):
            self.assertIn("expired early", self.but(4, f"{A} 30 {what} sequence=1 take=2 | EEXPIRED"), what)
        self.assertIn("code", self.but(4, f"{A} 30 ack sequence=1 take=2 | EINVALID"))

    def test_an_old_claim_is_over(self):
        for what in ("nack", "renew"):
            lines = self.right()
            lines.insert(6, f"{A} 145 {what} sequence=2 take=3 | 0")
            self.assertIn("stale", self.judge(*lines), what)

    def test_deliveries(self):
        self.assertIn("deliveries", self.but(5, given(B, 140, 2, 1)))
        self.assertIn("deliveries", self.but(5, given(B, 140, 2, 3)))
        self.assertIn("deliveries", self.but(2, given(A, 10, 1, 0)))
        limited = Options("t", lease_ms=100, most=1)
        self.assertIn("deliveries", self.judge(*self.right(), options=limited))

    def test_the_order_of_first_deliveries(self):
        lines = self.right()
        lines[2:4] = [given(A, 10, 2), given(A, 20, 1)]
        self.assertIn("order", self.judge(*lines))

    def test_counters(self):
        for counter in ("redelivered", "expired", "dead", "lost", "in_flight", "members"):
            wrong = {"redelivered": 1, "expired": 1} | {counter: 7}
            self.assertEqual(self.but(7, described(200, **wrong)), ["counters"], counter)

    def test_what_was_removed_is_lost(self):
        lines = [join(A), given(A, 10, 3), f"{A} 20 ack sequence=3 take=2 | 0"]
        self.assertEqual(self.judge(*lines, described(200, lost=2), count=3, removed=2), [])
        self.assertEqual(self.judge(*lines, described(200, lost=1), count=3, removed=2), ["counters"])
        self.assertEqual(self.judge(*lines, f"{A} 30 counters | 0 lost=99", described(200, lost=2), count=3, removed=2), ["counters"])

    def test_what_it_was_given(self):
        self.assertIn("differs", self.but(2, given(A, 10, 1).replace("key=1.1.1", "key=1.1.9")))
        self.assertIn("torn", self.but(2, given(A, 10, 1).replace("key=1.1.1", "key=1.1.0")))
        self.assertIn("phantom", self.but(2, given(A, 10, 9)))

    def test_a_reset_ends_every_claim(self):
        reset = "administrator-1 40 reset topic=t name=g from=first | 0"
        lines = [join(A), given(A, 10, 1), given(A, 20, 2), f"{A} 30 ack sequence=1 take=2 | 0", reset, given(A, 50, 1), given(A, 60, 2),
                 f"{A} 70 ack sequence=1 take=5 | 0", f"{A} 80 ack sequence=2 take=6 | 0"]
        self.assertEqual(self.judge(*lines), [])
        self.assertIn("stale", self.judge(*lines[:7], f"{A} 65 ack sequence=2 take=3 | 0", *lines[7:]))
        self.assertIn("lost", self.judge(*lines[:5], *lines[6:]))

    def test_a_reset_that_timed_out_may_count_later(self):
        lines = [join(A), given(A, 10, 1), given(A, 20, 2), f"{A} 30 ack sequence=1 take=2 | 0", "RESET",
                 f"{A} 50 ack sequence=2 take=3 | 0", given(A, 60, 1), given(A, 70, 2), f"{A} 80 ack sequence=1 take=5 | 0",
                 f"{A} 90 ack sequence=2 take=6 | 0"]
        reset = "administrator-1 40 reset topic=t name=g from=first | "
        self.assertEqual(self.judge(*[reset + "-10" if line == "RESET" else line for line in lines]), [])
        self.assertIn("came again", self.judge(*[reset + "-5" if line == "RESET" else line for line in lines]))

    def test_letters(self):
        limited = Options("t", lease_ms=100, most=1, letters="letters")
        letter = Letter((1, 1, 2), 2, 128, 1, "t", "g")
        lines = [join(A), given(A, 10, 1), given(A, 20, 2), f"{A} 30 ack sequence=1 take=2 | 0", f"{A} 40 nack sequence=2 take=3 | 0",
                 described(200, dead=1)]

        def judge(*letters, more=()):
            return self.judge(*lines[:5], *more, lines[5], letters=letters, options=limited)

        self.assertEqual(judge(letter), [])
        self.assertEqual(judge(), ["lost"])
        self.assertEqual(judge(letter, letter), ["letter"])
        self.assertEqual(judge(Letter((1, 1, 2), 2, 128, 7, "t", "g")), ["letter"])
        self.assertEqual(judge(Letter((1, 1, 1), 2, 128, 1, "t", "g")), ["letter"])
        self.assertIn("dead and done", judge(letter, more=[f"{A} 50 ack sequence=2 take=3 | 0"]))

    def test_a_stop_gives_up_what_is_in_flight(self):
        events = [(25 * MS, "broker is told to stop"), (27 * MS, "broker is gone"), (28 * MS, "broker starts")]
        lines = [join(A), given(A, 10, 1), given(A, 20, 2), f"{A} 22 ack sequence=1 take=2 | 0", given(A, 30, 2, 2),
                 f"{A} 40 ack sequence=2 take=5 | 0"]
        self.assertEqual(self.judge(*lines, events=events), [])
        self.assertIn("under a lease", self.judge(*lines))
        self.assertIn("came again", self.judge(*lines, given(A, 50, 1, 2), events=events))


    def test_who_is_killed_may_take_one_more(self):
        """Between the word that it is to be killed and its death."""
        lines = [join(A), join(B), given(A, 10, 1), f"{A} 12 ack sequence=1 take=2 | 0", given(A, 20, 2), given(B, 40, 2, 2),
                 f"{B} 50 ack sequence=2 take=2 | 0"]
        self.assertEqual(self.judge(*lines, events=[(19 * MS, f"kill {A}"), (22 * MS, f"{A} is dead")]), [])
        self.assertEqual(self.judge(*lines, events=[(15 * MS, f"kill {A}"), (19 * MS, f"{A} is dead")]), ["under a lease"])

    def test_a_stop_overtakes_what_was_claimed_before_it_is_told(self):
        events = [(25 * MS, "broker is told to stop"), (27 * MS, "broker is gone"), (28 * MS, "broker starts")]
        lines = [join(A), given(A, 10, 1), f"{A} 22 ack sequence=1 take=2 | 0", given(A, 30, 2, 2), f"{A} 40 ack sequence=2 take=4 | 0"]
        self.assertEqual(self.judge(*lines, events=events), ["deliveries"])
        lines[3:3] = [f"{A} 26 take timeout_ms=0 | 0"]
        self.assertEqual(self.judge(*lines[:4], given(A, 30, 2, 2), f"{A} 40 ack sequence=2 take=5 | 0", events=events), [])


    def test_who_reads_for_longer_than_a_lease_is_not_told(self):
        lines = [join(A), given(A, 10, 1), f"{A} 22 ack sequence=1 take=2 | 0", given(A, 30, 2, 2), f"{A} 240 ack sequence=2 take=4 | 0"]
        histories = history(*lines)
        self.assertEqual(history_of("g", self.options, histories, []).unknown, 0)
        histories[A][3].end = histories[A][3].begin + 101 * MS
        self.assertEqual(history_of("g", self.options, histories, []).unknown, 1)


class Durables(unittest.TestCase):
    def judge(self, *lines, count=3, events=(), there=(1, 2, 3)):
        lines = [line.replace("join", "durable") for line in lines]
        options = Options("t", durable=True)
        return sorted({v.kind for v in judge_durable("g", options, history(*lines), list(events),
                                                          [message for message in content(count) if message[0] in there], count, True)})

    def right(self):
        """Message 1 is acked, and who comes then is given the others."""
        return [join(A), given(A, 10, 1), given(A, 20, 2), f"{A} 30 ack sequence=1 take=2 | 0", f"{A} 40 leave | 0",
                join(B).replace(" 0 ", " 50 "), given(B, 60, 2), given(B, 70, 3), f"{B} 80 ack sequence=3 take=3 | 0",
                f"{B} 90 ack sequence=2 take=2 | 0"]

    def test_what_is_right(self):
        self.assertEqual(self.judge(*self.right()), [])

    def test_what_is_wrong(self):
        lines = self.right()
        self.assertEqual(self.judge(*lines[:6], *lines[7:]), ["skipped"])
        self.assertEqual(self.judge(*lines[:6], given(B, 55, 1), *lines[6:]), ["came again"])
        self.assertEqual(self.judge(*lines[:7]), ["stuck"])
        self.assertEqual(self.judge(*lines, f"{B} 95 counters | 0 lost=18446744073709551538"), ["counters"])

    def test_what_was_gone_when_it_was_set_to_the_first_message_is_not_missed(self):
        reset = "administrator-1 40 reset topic=t name=g from=first | 0"
        for begin, kinds in (([reset], []), ([], ["counters"]), ([reset, given(A, 45, 1)], ["counters"]),
                             ([reset.replace(" 40 ", " 30 "), given(A, 30, 1)], [])):
            lines = [join(A), *begin, given(A, 50, 3), f"{A} 60 ack sequence=3 take={1 + len(begin)} | 0", f"{A} 70 counters | 0 lost=0"]
            self.assertEqual(self.judge(*lines, there=[3]), kinds, begin)

    def test_the_place_is_ones_own(self):
        self.assertIn("expired early", self.judge(join(A), given(A, 10, 1), f"{A} 20 ack sequence=1 take=2 | EEXPIRED"))
        self.assertIn("two holders", self.judge(join(A), given(A, 10, 1), join(B).replace(" 0 ", " 50 "), given(B, 60, 1)))
        self.assertIn("given again", self.judge(join(A), given(A, 10, 1), given(A, 20, 1)))

    def test_who_is_killed_as_it_gets_the_place_loses_it(self):
        lines = [join(A).replace(" 0 ", " 20 "), join(B).replace(" 0 ", " 40 "), given(B, 50, 1), given(B, 60, 2), given(B, 65, 3),
                 f"{B} 70 ack sequence=3 take=4 | 0"]
        self.assertEqual(self.judge(*lines, events=[(19 * MS, f"kill {A}"), (22 * MS, f"{A} is dead")]), [])
        self.assertEqual(self.judge(*lines), ["two holders"])

    def test_who_asks_while_another_has_the_place_comes_behind_it(self):
        """A is silent behind a death of the broker, and B has the place, while A asks for the next message."""
        lines = [join(A), given(A, 10, 1), join(B).replace(" 0 ", " 40 "), given(B, 50, 1), given(B, 60, 2),
                 f"{B} 70 ack sequence=2 take=3 | 0"]
        events = [(20 * MS, "broker is killed"), (22 * MS, "broker is gone"), (24 * MS, "broker starts")]

        def judge(last):
            histories = history(*[line.replace("join", "durable") for line in [*lines, last, f"{A} 98 ack sequence=3 take=3 | 0"]])
            histories[A][2].begin = 45 * MS
            return {v.kind for v in judge_durable("g", Options("t", durable=True), histories, events, content(3), 3, True)}
        self.assertEqual(judge(given(A, 95, 3)), set())
        self.assertIn("came again", judge(given(A, 95, 2)))

    def test_who_acks_by_itself_does_it_when_it_asks(self):
        lines = [join(A, "auto"), given(A, 10, 1), join(B).replace(" 0 ", " 40 "), given(B, 50, 2), f"{B} 60 ack sequence=2 take=2 | 0"]
        events = [(20 * MS, "broker is killed"), (22 * MS, "broker is gone"), (24 * MS, "broker starts")]
        histories = history(*[line.replace("join", "durable") for line in [*lines, given(A, 95, 3), f"{A} 98 leave | 0"]])
        histories[A][2].begin = 15 * MS
        self.assertEqual(judge_durable("g", Options("t", durable=True), histories, events, content(3), 3, True), [])

    def test_a_reset_ends_what_was_given(self):
        reset = "administrator-1 25 reset topic=t name=g from=first | 0"
        lines = [join(A), given(A, 10, 1), given(A, 20, 2), reset, given(A, 30, 1), given(A, 40, 2), given(A, 50, 3),
                 f"{A} 60 ack sequence=3 take=6 | 0"]
        self.assertEqual(self.judge(*lines), [])
        self.assertIn("stale", self.judge(*lines, f"{A} 70 ack sequence=2 take=3 | 0"))
        self.assertIn("skipped", self.judge(*lines[:4], *lines[5:]))

    def test_who_is_set_to_the_end_when_nothing_follows_is_given_nothing(self):
        reset = "administrator-1 25 reset topic=t name=g from=end | 0"
        lines = [join(A), given(A, 10, 1), reset, f"{A} 40 take timeout_ms=20 | 0"]
        self.assertEqual(self.judge(*lines), [])
        self.assertEqual(self.judge(*lines, given(A, 50, 2)), ["stuck"])

    def test_what_is_given_while_a_reset_is_under_way_is_of_either_life(self):
        reset = "administrator-1 25 reset topic=t name=g from=first | 0"
        lines = [join(A), given(A, 10, 1), given(A, 20, 2), reset, given(A, 25, 1), given(A, 40, 2), given(A, 50, 3),
                 f"{A} 60 ack sequence=3 take=6 | 0"]
        self.assertEqual(self.judge(*lines), [])
        self.assertIn("skipped", self.judge(*lines[:5], *lines[6:]))

    def test_who_acks_by_itself(self):
        lines = [join(A, "auto"), given(A, 10, 1), given(A, 20, 2), f"{A} 30 leave | 0", join(B).replace(" 0 ", " 50 ")]
        self.assertNotIn("came again", self.judge(*lines, given(B, 60, 2)))
        self.assertIn("came again", self.judge(*lines, given(B, 60, 1)))


class Calls(unittest.TestCase):
    def test_codes(self):
        named = history(f"{A} 0 ack sequence=1 take=1 | EEXPIRED")[A]
        self.assertEqual(judge_codes(named), [])
        self.assertEqual([v.kind for v in judge_codes(history(f"{A} 0 take timeout_ms=1 | EIO")[A])], ["code"])

    def test_bounds(self):
        """A call may take as long as it was told, and not counting when somebody was halted."""
        histories = history(f"{A} 0 take timeout_ms=28 | 0")
        call = histories[A][0]
        self.assertEqual(judge_bounds(histories, []), [])
        call.end = 1000 * MS
        self.assertEqual([v.kind for v in judge_bounds(histories, [])], ["slow"])
        call.told["queued_ns"] = str(500 * MS)
        self.assertEqual(judge_bounds(histories, []), [])
        call.told["queued_ns"] = "0"
        self.assertEqual(judge_bounds(histories, [(100 * MS, f"{A} is halted"), (600 * MS, f"{A} goes on")]), [])
        self.assertEqual(judge_bounds(histories, [(100 * MS, "broker is halted"), (600 * MS, "broker goes on")]), [])


class Mutations(unittest.TestCase):
    def test_what_they_break_stands_where_they_say(self):
        """Who moves it takes them along: else they break nothing, and show nothing of the checker."""
        self.assertEqual([mutation.name for mutation in MUTATIONS if not applies(SOURCE, mutation)], [])


class Logs(unittest.TestCase):
    WRITER, READER = "embedded-1-1", "embedded-2-1"

    def judge(self, *lines, count=2, events=()):
        return sorted({v.kind for v in judge_log(history(*lines), list(events), Content(content(count), True))})

    def right(self):
        w, r = self.WRITER, self.READER
        return [f"{w} 0 write | 0", f"{w} 10 append number=1 count=1 | 0 sequence=1", f"{w} 20 append number=2 count=1 | 0 sequence=2",
                f"{w} 60 finish | 0", f"{r} 30 follow | 0", f"{r} 40 seek where=first value=0 | 0",
                f"{r} 50 read | 0 last=2;m 1 0 1 1 1;m 2 128 1 1 2", f"{r} 70 read | 0 last=2;e {CODES['ECLOSED']}"]

    def test_what_is_right(self):
        self.assertEqual(self.judge(*self.right()), [])

    def test_what_is_wrong(self):
        lines = self.right()
        self.assertIn("lost", self.judge(*lines, count=1))
        self.assertIn("sequence", self.judge(*lines[:2], lines[2].replace("sequence=2", "sequence=3"), *lines[3:]))
        self.assertIn("told out", self.judge(*lines[:2], lines[2].replace("| 0", "| EAGAIN"), *lines[3:]))
        self.assertIn("skipped", self.judge(*lines[:6], lines[6].replace("m 1 0 1 1 1;", ""), lines[7]))
        self.assertIn("skipped", self.judge(*lines[:6], lines[6].replace(";m 2 128 1 1 2", ""), lines[7]))
        self.assertIn("closed", self.judge(*lines[:6], lines[6] + f";e {CODES['ECLOSED']}", lines[7]))
        self.assertIn("code", self.judge(*lines[:2], lines[2].replace("| 0", "| EFENCED"), *lines[3:]))


if __name__ == "__main__":
    unittest.main()
