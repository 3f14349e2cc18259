"""Judges a stored copy of a topic against its source: what stands in it stands there, byte for byte. Pure."""
from verdicts import Verdict


def judge_copy(topic, stored, content):
    """stored: [(sequence, position, key)] of the copy; content: the source's."""
    wrong = [(sequence, position, key) for sequence, position, key in stored
             if content.by_sequence.get(sequence, None if content.whole else (position, key)) != (position, key)]
    if not wrong:
        return []
    sequence, position, key = wrong[0]
    return [Verdict("not a copy", f"topic {topic}: {len(wrong)} messages of the copy are not its source's: message {sequence} at "
                    f"{position} is {key}; there stands {content.by_sequence.get(sequence, 'nothing')}")]


def judge_same_frames(topic, copied, frames):
    """Both {position: bytes}, of what both stored. What stands before the copy's first message is no message."""
    begin = max(min(frames, default=0), min((at for at, frame in copied.items() if is_message(frame)), default=0))
    wrong = [at for at, frame in copied.items() if at >= begin and frames.get(at) != frame]
    if not wrong:
        return []
    return [Verdict("not a copy", f"topic {topic}: {len(wrong)} frames of the copy are not its source's: that at {min(wrong)} is "
                    f"{copied[min(wrong)][:64].hex()}; there stands {frames.get(min(wrong), b'')[:64].hex()}")]


def is_message(frame):
    return frame[5] == 1
