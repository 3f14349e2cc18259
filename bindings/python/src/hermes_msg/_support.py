"""What is easier said in Python: called by the extension module."""
import asyncio
import dataclasses
import datetime
import os

fspath = os.fspath

#: Put here by hermes_msg/__init__.py: the extension module imports this one first.
Disconnected: type[Exception] = Exception
Closed: type[Exception] = Exception

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def to_datetime(ns):
    return _EPOCH + datetime.timedelta(microseconds=ns // 1000)


def to_timestamp(time):
    """Nanoseconds since 1970 of a datetime; without a time zone it is local time. None: it is no datetime."""
    if not isinstance(time, datetime.datetime):
        return None
    ns = (time.astimezone(datetime.UTC) - _EPOCH) // _MICROSECOND * 1000
    if ns < 0:
        raise ValueError(f"a time before 1970: {time}")
    return ns


def to_ns(age):
    """Nanoseconds of a timedelta or a number of seconds."""
    ns = age // _MICROSECOND * 1000 if isinstance(age, datetime.timedelta) else round(age * 1e9)
    if ns < 0:
        raise ValueError(f"an age below 0: {age}")
    return ns


@dataclasses.dataclass(frozen=True, slots=True)
class TopicInfo:
    """What a broker knows of a topic. Positions are byte offsets in its log; durability, shared, when_full, keep_bytes
    and keep_ns are as it was made or altered."""
    name: str
    topic_id: int
    durability: str
    shared: bool
    window_bytes: int
    segment_bytes: int
    first_position: int  #: the oldest that exists
    committed_position: int  #: behind the last message
    persisted_position: int  #: in files, perhaps still in the page cache
    durable_position: int  #: on disk
    last_sequence: int  #: 0: no message yet
    epoch: int
    publishers: int
    subscribers: int
    failed: bool  #: the store refused a write; the topic takes no publisher
    refused: int  #: malformed frames
    corrupt: int  #: damaged frames that were found in the store
    keep_bytes: int
    keep_ns: int
    when_full: str
    full: bool  #: there is no room for the store at the moment
    push_back: bool  #: publishers wait for subscribers that ask for it
    waited_for: int  #: and there are so many


@dataclasses.dataclass(frozen=True, slots=True)
class GroupInfo:
    """What a broker knows of a consumer group, or of a durable subscription. Positions are byte offsets in the topic's
    log."""
    name: str
    durable: bool  #: a durable subscription
    uid: int  #: the user whose it is
    members: int
    max_deliveries: int  #: 0: no limit
    lease_ns: int
    dead_letter: str  #: a topic; "": none
    span_bytes: int
    position: int  #: all messages below it were given out
    done_position: int  #: and below this, all are done
    last_sequence: int  #: about: of the last message that was given out for the first time
    in_flight: int  #: given out, or to be given out again, or dead letters to be, and not done
    redelivered: int  #: how many times a message was given out again
    expired: int  #: leases that ran out
    dead: int  #: messages that reached max_deliveries
    lost: int  #: messages that were gone before anybody got them, or before they came again


@dataclasses.dataclass(frozen=True, slots=True)
class Verification:
    """What Client.verify_topic() found: messages that are right, and damaged ranges (from, to, error's name)."""
    first_position: int
    end_position: int
    messages: int
    damaged: list


topic_info = TopicInfo
group_info = GroupInfo
verification = Verification

def find_position(client, topic, start):
    """The position of the message with that sequence, or of the first from that time on; None: there is none."""
    with client.subscriber(topic, start) as subscriber:
        message = subscriber.poll()
        return None if message is None else message.position


#: Messages that an async iteration hands out before it lets other tasks run.
_FAIR = 64


async def receive(subscriber):
    """The next message. Waits in the event loop, by the subscriber's descriptor."""
    while True:
        try:
            message = subscriber.poll()
            if message is not None:
                return message
        except Disconnected:
            pass  # the broker is away, and what comes next is in its store: wait
        if not subscriber.arm():
            await _readable(subscriber.fileno())


async def _readable(fd):
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def wake():
        if not future.done():
            future.set_result(None)
    loop.add_reader(fd, wake)
    try:
        await future
    finally:
        loop.remove_reader(fd)


class AsyncIterator:
    """async for: ends when the topic is deleted."""
    __slots__ = ("_subscriber", "_turn")

    def __init__(self, subscriber):
        self._subscriber = subscriber
        self._turn = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        self._turn += 1
        if self._turn % _FAIR == 0:
            await asyncio.sleep(0)
        try:
            return await receive(self._subscriber)
        except Closed:
            if self._subscriber.closed:
                raise
            raise StopAsyncIteration from None
