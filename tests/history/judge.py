"""
Judges what publishers were told against what is in the topic. Pure: from calls and content to verdicts.

content: [(sequence, position, key)] as they stand in the topic, all of them, or of a memory topic those that
somebody saw.
"""
from collections import Counter

import codes
from promises import IN, OUT, UNKNOWN, Message
from verdicts import Verdict

SHOWN = 3  # verdicts of a kind for a stream; the rest are counted


def judge_content(topic, content, streams, durability, keeps_all=True):
    """The topic by itself, and against all that was ever asked for."""
    verdicts = []
    asked = {message.key: message for stream in streams for message in stream.messages}
    count = Counter(key for _, _, key in content)
    again = [key for key, times in count.items() if times > 1]
    if again:
        verdicts.append(Verdict("repeated", f"topic {topic}: {len(again)} messages stand in it more than once: {again[:3]}",
                                asked[again[0]].call if again[0] in asked else None))
    unasked = [key for key in count if key not in asked]
    if unasked:
        verdicts.append(Verdict("unasked", f"topic {topic}: {len(unasked)} messages that nobody published: {unasked[:3]}"))
    sequences = [sequence for sequence, _, _ in content]
    first = 1 if durability != "memory" and keeps_all else (sequences or [1])[0]
    if durability != "memory" and sequences != list(range(first, first + len(sequences))):
        verdicts.append(Verdict("hole", f"topic {topic}: its sequences are not {first}, {first + 1}, {first + 2} ... "
                                f"{first + len(sequences) - 1}"))
    return verdicts


def judge_stream(stream, content, whole, anew=False):
    """whole: the content is all that there ever was. Else what is not there may have been overwritten. anew: and its
    sequences are those of several lives."""
    where = {}
    for sequence, _, key in content:
        where.setdefault(key, sequence)
    kinds = {kind: (call, text) for kind, call, text in reversed(stream.wrong)}  # the first of each
    verdicts = [Verdict(kind, f"topic {stream.topic}: {text}", call) for kind, (call, text) in kinds.items()]
    verdicts += judge_out(stream, where) + judge_sequences(stream, where)
    if not anew:
        verdicts += judge_order(stream, where)
    if whole:
        verdicts += judge_in(stream, where) + judge_prefix(stream, where) + judge_confirmed(stream, content)
    return verdicts


def few(kind, messages, text):
    """One verdict for many messages of a stream."""
    if not messages:
        return []
    keys = ", ".join(str(m.key) for m in messages[:SHOWN])
    return [Verdict(kind, f"{len(messages)} messages {text}: {keys}{' ...' if len(messages) > SHOWN else ''}", messages[0].call)]


def told_by(messages):
    """The call that said so, where it was a later one."""
    call = messages[0].teller if messages else None
    return f" (line {call.line + 1} of {call.worker}: {call.what})" if call is not None else ""


def judge_in(stream, where):
    lost = [m for m in stream.messages if m.promise == IN and m.key not in where]
    durable = [m for m in lost if m.durable]
    return few("lost", [m for m in lost if not m.durable], f"of topic {stream.topic} count{told_by(lost)}, and are not in it") \
        + few("lost", durable, f"of topic {stream.topic} were confirmed durable{told_by(durable)}, and are not in it")


def judge_out(stream, where):
    wrong = [m for m in stream.messages if m.promise == OUT and m.key in where]
    batches = [m for m in wrong if m.call.what == "batch"]
    return few("told out", [m for m in wrong if m.call.what != "batch"],
               f"of topic {stream.topic} were not published, it was said, and are in it") \
        + few("batch told out", batches, f"of topic {stream.topic} are in it, though their batch did not count them "
              f"({', '.join(sorted({codes.name(m.call.rc) for m in batches}))})")


def judge_order(stream, where):
    there = [m for m in stream.messages if m.key in where]
    wrong = [b for a, b in zip(there, there[1:]) if where[b.key] < where[a.key]]
    return few("reordered", wrong, f"of topic {stream.topic} stand before one that was published earlier")


def judge_prefix(stream, where):
    """Of what is unknown nothing is there behind something that is not."""
    gap: Message | None = None
    wrong = []
    for message in stream.messages:
        if message.promise == OUT:
            continue
        if message.key not in where:
            gap = gap or (message if message.promise == UNKNOWN else None)
        elif gap is not None:
            wrong.append(message)
    return few("not a prefix", wrong, f"of topic {stream.topic} are in it, though {gap.key if gap else ''}, which was published before "
               "and never refused, is not")


def judge_sequences(stream, where):
    if stream.shared:
        return []
    wrong = [m for m in stream.messages if m.sequence and m.key in where and m.sequence != where[m.key]]
    told = f"; the first was told {wrong[0].sequence} and has {where[wrong[0].key]}" if wrong else ""
    return few("sequence", wrong, f"of topic {stream.topic} have another sequence than was told{told}")


def judge_confirmed(stream, content):
    last = max((sequence for sequence, _, _ in content), default=0)
    most = max(stream.confirmed, stream.durable)
    if stream.shared or most <= last:
        return []
    return [Verdict("confirmed", f"topic {stream.topic}: {most} messages were confirmed, it has {last}")]


def judge_codes(calls):
    """Each code that comes back is one that the header names. One verdict for each call and code."""
    found = {}
    for call in calls:
        told = [call.rc] if call.rc is not None and call.rc < 0 else []
        told += [what[1] for what in call.seen if what[0] == "e" and codes.name(what[1]) not in codes.DAMAGE]
        for code in told:
            if codes.name(code) not in codes.NAMED.get(call.what, set(codes.CODES)):
                found.setdefault((call.what, code), call)
    return [Verdict("code", f"{what} returned {codes.name(code)}, which its documentation does not name", call)
            for (what, code), call in found.items()]
