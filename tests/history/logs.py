"""Judges who wrote and read an embedded log: what was appended is there, and readers see it all, once, in order."""
import codes
from claims import NEVER
from judge import judge_content, judge_stream
from promises import IN, OUT, UNKNOWN, Message, Stream
from readers import Reader
from verdicts import Verdict

LOG = "log"
TOPICS = {LOG: {"durability": "async", "shared": False}}


def streams_of(calls):
    """What one writer appended, from opening the log to closing it."""
    streams, stream = [], None
    for call in calls:
        if call.what == "write" and call.rc == 0:
            stream = Stream(LOG, False, False)
            streams.append(stream)
        elif stream is not None and call.what in ("append", "abort"):
            stream.messages += messages_of(call)
        elif call.what == "finish":
            stream = None
    return streams


def messages_of(call):
    taken = None if call.rc is None else 0 if call.rc < 0 or call.what == "abort" else call.rc if "batch" in call.told else 1
    messages = []
    for at, key in enumerate(call.keys()):
        messages.append(Message(key, call, UNKNOWN if taken is None else IN if at < taken else OUT))
    if messages and call.rc == 0 and call.what == "append":
        messages[0].sequence = int(call.told["sequence"])
    return messages


def lives(histories, events):
    """[(begin, end)] of all writers."""
    found = []
    for worker, calls in histories.items():
        begin = None
        for call in calls:
            if call.what == "write" and call.rc == 0:
                begin = call.end
            elif call.what == "finish" and begin is not None:
                found.append((begin, call.begin))
                begin = None
        if begin is not None:
            found.append((begin, min((when for when, what in events if what == f"kill {worker}"), default=NEVER)))
    return found


class LogReader(Reader):
    """A reader of the log. It is told of the end where nobody writes; what comes then is for who opens it then."""

    def __init__(self, worker, contents, writers):
        super().__init__(worker, TOPICS, contents)
        self.topic = LOG
        self.writers = writers
        self.since = 0

    def take(self, call):
        if call.what == "follow" and call.rc == 0:
            self.since = call.begin
            self.expect(None)
        else:
            super().take(call)

    def error(self, call, code):
        if codes.name(code) != "ECLOSED":
            super().error(call, code)
            return
        if any(begin < self.since and end > call.end for begin, end in self.writers):
            self.wrong("closed", "it was told that nobody writes, and somebody did, before it came and all the time", call)
        due = self.expected
        if due is not None and due in self.contents[LOG].by_sequence and not any(begin > self.since for begin, _ in self.writers):
            key = self.contents[LOG].by_sequence[due][1]
            if 0 < self.contents[LOG].published.get(key, 0) < call.begin:
                self.wrong("skipped", f"it was told of the end, and message {due} was due", call)


def judge_codes(calls):
    """As hermes/log.h names them."""
    for call in calls:
        told = [call.rc] if call.rc is not None and call.rc < 0 else []
        told += [what[1] for what in call.seen if what[0] == "e" and codes.name(what[1]) not in codes.DAMAGE]
        for code in told:
            named = {"ECLOSED"} if call.what in ("read", "until") else codes.NAMED_OF_LOGS.get(call.what, set())
            if codes.name(code) not in named:
                yield Verdict("code", f"{call.what} returned {codes.name(code)}, which its documentation does not name", call)
                return


def judge_log(histories, events, content):
    """content: a trial.Content."""
    streams = [stream for calls in histories.values() for stream in streams_of(calls)]
    content.published = {message.key: message.call.end for stream in streams for message in stream.messages}
    verdicts = judge_content(LOG, content.messages, streams, "async")
    for stream in streams:
        verdicts += judge_stream(stream, content.messages, True)
    writers = lives(histories, events)
    for worker, calls in histories.items():
        verdicts += judge_codes(calls)
        reader = LogReader(worker, {LOG: content}, writers)
        for call in calls:
            reader.take(call)
        verdicts += reader.verdicts.values()
    return verdicts
