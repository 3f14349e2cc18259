"""Judges what publishers of one topic were told of each other. Pure, as judge.py."""
from promises import OUT
from verdicts import Verdict

LINES = 256  # rings that a shared topic remembers


def judge_others(streams, content):
    verdicts = [verdict for stream in streams for verdict in judge_fenced(stream, streams)]
    if not content.anew:
        verdicts += judge_apart(streams, content)
    return verdicts


def judge_fenced(stream, streams):
    """Nobody is fenced but by another who published. On a shared topic nobody is, unless its line is another's."""
    for call in stream.fenced[:1]:
        forgotten = call.told.get("uncertain") == "1" and len(streams) > LINES
        cause = forgotten if stream.shared else any(published(other, stream.opened, call) for other in streams if other is not stream)
        if not cause:
            return [Verdict("fenced", f"topic {stream.topic}: a publisher is told that it is another's, and there was none", call)]
    return []


def published(stream, opened, call):
    """Might it have brought anything into the topic between the two?"""
    return any(m.promise != OUT and m.call.begin < call.end and (m.call.end == 0 or m.call.end > opened.begin) for m in stream.messages)


def judge_apart(streams, content):
    """An exclusive topic is one publisher's at a time: whoever comes back behind another's messages adds nothing to its own."""
    whose = {message.key: stream for stream in streams if not stream.shared for message in stream.messages}
    left, last = set(), None
    for _, _, key in content.messages:
        stream = whose.get(key)
        if stream is None or stream is last:
            continue
        if id(stream) in left:
            call = next(m.call for m in stream.messages if m.key == key)
            return [Verdict("mixed", f"topic {stream.topic}: {key} stands behind another publisher's messages, which stand behind its own",
                            call)]
        if last is not None:
            left.add(id(last))
        last = stream
    return []
