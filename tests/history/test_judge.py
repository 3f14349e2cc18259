"""The judge finds in a history what is wrong with it, and nothing in one that is right. No processes, no files."""
import unittest

from calls import Call, pairs, seen
from codes import CODES
from copies import judge_copy, judge_same_frames
from judge import judge_codes, judge_content, judge_stream
from others import judge_others
from promises import settle, streams_of
from readers import judge_reader
from trial import Content

KINDS = {"exclusive": {"t": {"durability": "async", "shared": False}}, "shared": {"t": {"durability": "async", "shared": True}},
         "sync": {"t": {"durability": "sync", "shared": False}}}


def history(worker, *lines):
    """Calls, from "what asked ... | rc told ..."; without the second half the worker was killed in it."""
    calls = []
    for at, line in enumerate(lines):
        asked, _, told = line.partition("|")
        what, *words = asked.split()
        call = Call(worker, 2 * at, 10 * at, what, pairs(words))
        if told:
            rc, *words = told.split()
            call.end, call.rc, call.told = 10 * at + 5, CODES.get(rc) or int(rc), pairs(words)
        calls.append(call)
    return calls


def content(*numbers):
    """Messages of publisher 1, run 1."""
    return [(at + 1, 128 * at, (1, 1, number)) for at, number in enumerate(numbers)]


class Publishers(unittest.TestCase):
    def kinds(self, topic, lines, messages, last_start=-1):
        streams = streams_of(history("publisher-1-1", "open topic=t flags=0|0", *lines), KINDS[topic])
        verdicts = judge_content("t", messages, streams, "async")
        for stream in streams:
            settle(stream, last_start)
            verdicts += judge_stream(stream, messages, True)
        return sorted({verdict.kind for verdict in verdicts})

    def publish(self, number, outcome):
        return f"publish number={number} count=1|{outcome}"

    def test_what_is_right(self):
        lines = [self.publish(1, "0 sequence=1 accepted=1"), self.publish(2, "EAGAIN sequence=1 accepted=1"),
                 self.publish(3, "0 sequence=2 accepted=2"), "publish number=4 count=1"]
        self.assertEqual(self.kinds("exclusive", lines, content(1, 3)), [])
        self.assertEqual(self.kinds("exclusive", lines, content(1, 3, 4)), [])

    def test_lost_and_repeated_and_unasked(self):
        lines = [self.publish(1, "0 sequence=1 accepted=1"), self.publish(2, "0 sequence=2 accepted=2")]
        self.assertEqual(self.kinds("exclusive", lines, content(1)), ["lost"])
        self.assertIn("repeated", self.kinds("exclusive", lines, content(1, 2, 2)))
        self.assertIn("unasked", self.kinds("exclusive", lines, content(1, 2, 3)))

    def test_told_out(self):
        self.assertEqual(self.kinds("exclusive", [self.publish(1, "EFENCED sequence=0 accepted=0")], content(1)), ["told out"])
        self.assertEqual(self.kinds("exclusive", ["batch number=1 count=3|EFENCED accepted=0"], content(1)), ["batch told out"])
        self.assertEqual(self.kinds("exclusive", ["batch number=1 count=3|2 accepted=2"], content(1, 2)), [])
        self.assertEqual(self.kinds("exclusive", ["abort number=1 count=1|0 accepted=0"], content(1)), ["told out"])

    def test_order_and_sequence(self):
        lines = [self.publish(1, "0 sequence=1 accepted=1"), self.publish(2, "0 sequence=2 accepted=2")]
        self.assertEqual(self.kinds("exclusive", lines, content(2, 1)), ["reordered", "sequence"])

    def test_unknown_is_a_prefix(self):
        lines = [self.publish(1, "EDISCONNECTED sequence=0 accepted=1"), "batch number=2 count=2"]
        self.assertEqual(self.kinds("exclusive", lines, content()), [])
        self.assertEqual(self.kinds("exclusive", lines, content(1, 2)), [])
        self.assertEqual(self.kinds("exclusive", lines, content(1, 3)), ["not a prefix"])

    def test_what_was_accepted(self):
        """What it grows by are the first ones of a batch, and the outcome agrees."""
        batch = "batch number=1 count=3|"
        self.assertEqual(self.kinds("sync", [batch + "ETIMEOUT accepted=2", "wait what=committed|0 accepted=2"], content(1, 2)), [])
        self.assertEqual(self.kinds("sync", [batch + "ETIMEOUT accepted=2", "wait what=committed|0 accepted=2"], content(1)), ["lost"])
        self.assertEqual(self.kinds("sync", [batch + "ETIMEOUT accepted=2"], content(1, 2, 3)), ["batch told out"])
        self.assertEqual(self.kinds("exclusive", [batch + "3 accepted=2"], content(1, 2)), ["accepted"])
        self.assertEqual(self.kinds("exclusive", [batch + "3 accepted=4"], content(1, 2, 3)), ["accepted"])
        self.assertEqual(self.kinds("exclusive", [self.publish(1, "EAGAIN sequence=0 accepted=1")], content()), ["accepted"])

    def test_for_good(self):
        """Of what waited, what counts no more is not in, and what still does is."""
        lines = ["batch number=1 count=3|3 accepted=3", self.publish(4, "EFENCED sequence=0 accepted=1")]
        self.assertEqual(self.kinds("shared", lines, content(1), 1000), [])
        self.assertEqual(self.kinds("shared", lines, content(), 1000), ["lost"])
        self.assertEqual(self.kinds("shared", lines, content(1, 2), 1000), ["batch told out"])
        uncertain = [lines[0], self.publish(4, "EFENCED sequence=0 accepted=1 uncertain=1")]
        self.assertEqual(self.kinds("shared", uncertain, content(1, 2), 1000), [])
        short = ["batch number=1 count=3|1 accepted=1", self.publish(4, "EFENCED sequence=0 accepted=1")]
        self.assertEqual(self.kinds("exclusive", short, content(1, 2)), ["batch told out"])
        self.assertEqual(self.kinds("exclusive", [short[0], short[1] + " uncertain=1"], content(1, 2)), [])
        silent = [lines[0], "wait what=committed|0 accepted=1"]
        self.assertIn("accepted", self.kinds("shared", silent, content(1), 1000))

    def test_handed_over(self):
        """In a ring: in, unless the broker died behind it; and in when it was waited for."""
        lines = [self.publish(1, "0 sequence=1 accepted=1")]
        self.assertEqual(self.kinds("shared", lines, content()), ["lost"])
        self.assertEqual(self.kinds("shared", lines, content(), 1000), [])
        self.assertEqual(self.kinds("shared", [*lines, "wait what=committed|0 accepted=1"], content(), 1000), ["lost"])
        self.assertEqual(self.kinds("shared", [*lines, "wait_for what=committed sequence=1|0 accepted=1"], content(), 1000), ["lost"])
        self.assertEqual(self.kinds("shared", [*lines, "confirmed|0 committed=1 durable=0 accepted=1"], content(), 1000), ["lost"])

    def test_close(self):
        """So many are not in; all others are, and those that a broker has will be."""
        lines = ["batch number=1 count=3|3 accepted=3"]
        self.assertEqual(self.kinds("shared", [*lines, "close|1 left=0"], content(1, 2), 1000), [])
        self.assertEqual(self.kinds("shared", [*lines, "close|1 left=0"], content(1), 1000), ["lost"])
        self.assertEqual(self.kinds("shared", [*lines, "close|0 left=0"], content(1, 2), 1000), ["lost"])
        self.assertEqual(self.kinds("shared", [*lines, "close|1 left=1"], content(1, 2), 12), ["lost"])
        self.assertEqual(self.kinds("shared", [*lines, "close|4 left=0"], content(1), 1000), ["close"])
        self.assertEqual(self.kinds("exclusive", [self.publish(1, "0 sequence=1 accepted=1"), "close|1 left=0"], content()), ["close"])

    def test_confirmed(self):
        lines = ["confirmed|0 committed=5 durable=5 accepted=0", "confirmed|0 committed=4 durable=5 accepted=0"]
        self.assertEqual(self.kinds("exclusive", lines, content()), ["confirmed"])
        self.assertEqual(self.kinds("shared", ["confirmed|0 committed=1 durable=0 accepted=0"], content()), ["confirmed"])
        less = [self.publish(1, "0 sequence=1 accepted=1"), "confirmed|0 committed=0 durable=0 accepted=1"]
        self.assertEqual(self.kinds("exclusive", less, content(1)), ["confirmed"])
        self.assertEqual(self.kinds("shared", less, content(1)), [])

    def test_codes(self):
        self.assertEqual(judge_codes(history("publisher-1-1", "wait what=durable|ETIMEOUT")), [])
        self.assertEqual([v.kind for v in judge_codes(history("publisher-1-1", "wait what=durable|EFULL"))], ["code"])


class Others(unittest.TestCase):
    def kinds(self, topic, first, second, messages):
        streams = [stream for worker, lines in (("publisher-1-1", first), ("publisher-2-1", second))
                   for stream in streams_of(history(worker, "open topic=t flags=0|0", *lines), KINDS[topic])]
        return [verdict.kind for verdict in judge_others(streams, Content(messages, True))]

    ONE = "publish number=1 count=1|0 sequence=1 accepted=1"

    def test_nobody_is_fenced_but_by_another_that_published(self):
        fenced = [self.ONE, "publish number=2 count=1|EFENCED sequence=0 accepted=1"]
        self.assertEqual(self.kinds("exclusive", fenced, [], content(1)), ["fenced"])
        self.assertEqual(self.kinds("exclusive", fenced, [self.ONE], content(1)), [])
        self.assertEqual(self.kinds("shared", fenced, [self.ONE], content(1)), ["fenced"])

    def test_who_comes_back_behind_another_adds_nothing(self):
        two = [self.ONE, "publish number=2 count=1|0 sequence=2 accepted=2"]
        messages = [(1, 0, (1, 1, 1)), (2, 128, (2, 1, 1)), (3, 256, (1, 1, 2))]
        self.assertEqual(self.kinds("exclusive", two, [self.ONE], messages), ["mixed"])
        self.assertEqual(self.kinds("shared", two, [self.ONE], messages), [])
        self.assertEqual(self.kinds("exclusive", two, [self.ONE], [messages[0], messages[2], messages[1]]), [])


class Subscribers(unittest.TestCase):
    def kinds(self, *lines):
        """Behind each call, separated by ";", what was seen."""
        calls = []
        for call, line in zip(history("subscriber-t", *(line.split(";")[0] for line in lines)), lines):
            call.seen = [seen(words.split()) for words in line.split(";")[1:]]
            calls.append(call)
        contents = {"t": Content(content(1, 2, 3), True)}
        return sorted({verdict.kind for verdict in judge_reader("subscriber-t", calls, KINDS["exclusive"], contents)})

    def test_what_is_right(self):
        self.assertEqual(self.kinds("subscribe topic=t from=first|0", "read|2;m 1 0 1 1 1;m 2 128 1 1 2", "seek where=first|0",
                                    "read|1;m 1 0 1 1 1"), [])

    def test_gaps_and_repeats(self):
        begin = "subscribe topic=t from=first|0"
        self.assertEqual(self.kinds(begin, "read|2;m 1 0 1 1 1;m 3 256 1 1 3"), ["skipped"])
        self.assertEqual(self.kinds(begin, "read|2;m 1 0 1 1 1;m 1 0 1 1 1"), ["given again"])
        self.assertEqual(self.kinds(begin, "until sequence=3|0 last=0"), ["stalled"])

    def test_what_is_not_there(self):
        begin = "subscribe topic=t from=first|0"
        self.assertEqual(self.kinds(begin, "read|1;m 1 0 1 1 9"), ["differs"])
        self.assertEqual(self.kinds("subscribe topic=t from=end|0", "read|1;m 4 384 1 1 4"), ["phantom"])
        self.assertEqual(self.kinds(begin, "read|1;t 1 0 99"), ["torn"])

    def test_damage(self):
        self.assertEqual(self.kinds("subscribe topic=t from=first|0", f"read|0;e {CODES['EMALFORMED']}"), ["damage"])

    def test_a_seek_that_failed_moves_nobody_elsewhere(self):
        begin = ["subscribe topic=t from=first|0", "read|1;m 1 0 1 1 1", "seek where=first|EDISCONNECTED"]
        self.assertEqual(self.kinds(*begin, "read|1;m 2 128 1 1 2"), [])
        self.assertEqual(self.kinds(*begin, "read|1;m 1 0 1 1 1"), [])
        self.assertEqual(self.kinds(*begin, "read|1;m 3 256 1 1 3"), ["skipped"])


class Copies(unittest.TestCase):
    """Of mirrors."""

    def test_a_copy_has_what_its_source_has_as_far_as_it_goes(self):
        source = Content(content(1, 2, 3), True)
        for copied in ([], content(1, 2), content(1, 2, 3)[1:], content(1, 2, 3)):
            self.assertEqual(judge_copy("t", copied, source), [])
        for copied in ([(4, 384, (1, 1, 4))], [(2, 256, (1, 1, 2))], [(2, 128, (1, 1, 3))]):
            self.assertEqual(len(judge_copy("t", copied, source)), 1)
        self.assertEqual(judge_copy("t", [(4, 384, (1, 1, 4))], Content(content(1, 2, 3), False)), [])

    def test_and_every_byte_of_it(self):
        frame, other = (b"HERM\1\1" + text for text in (b"one", b"two"))
        source = {64: frame, 128: other}
        self.assertEqual(judge_same_frames("t", {0: b"HERM\1\2", 64: frame, 128: other}, source), [])
        for copied in ({64: frame, 128: frame}, {64: frame, 192: other}):
            self.assertEqual(len(judge_same_frames("t", copied, source)), 1)


if __name__ == "__main__":
    unittest.main()
