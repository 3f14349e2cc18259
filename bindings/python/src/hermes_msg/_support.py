"""What is easier said in Python: called by the extension module."""
import asyncio
import dataclasses
import datetime
import os
import re
import sys

if "t" in sys.abiflags:
    raise ImportError("hermes_msg needs a Python with the GIL, which guards its handles: this one was built without")

#: Put here by hermes_msg/__init__.py: the extension module imports this one first.
Disconnected: type[Exception] = Exception
Closed: type[Exception] = Exception
Forked: type[Exception] = Exception

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def to_datetime(ns):
    return _EPOCH + datetime.timedelta(microseconds=ns // 1000)


def is_datetime(thing):
    return isinstance(thing, datetime.datetime)


def to_timestamp(time):
    """Nanoseconds since 1970 of a datetime; without a time zone it is local time."""
    try:
        ns = (time.astimezone(datetime.UTC) - _EPOCH) // _MICROSECOND * 1000
    except OverflowError:
        raise ValueError(f"a time beyond the calendar: {time}") from None
    if ns < 0:
        raise ValueError(f"a time before 1970: {time}")
    return ns


_SIZE = re.compile(r"(\d+)(?:([KMG])(?:i?B)?)?", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"(\d+)(ms|s|m|h|d|w)|0", re.ASCII)
_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9, "w": 7 * 86400 * 10**9}


def to_bytes(size):
    """Of a size as the command line has it: 65536, 64K or 4M."""
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError(f"not a size (say 65536, '64K' or '4M'): {size!r}")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[(match[2] or "").upper()]


def to_ns(age):
    """Nanoseconds of a timedelta, a number of seconds, or a time as the command line has it: 90s, 15m, 24h or 7d."""
    if isinstance(age, str):
        match = _TIME.fullmatch(age)
        if match is None:
            raise ValueError(f"not a time (say 90 seconds, '90s', '15m', '24h' or '7d'): {age!r}")
        return int(match[1] or 0) * _UNITS[match[2] or "s"]
    if isinstance(age, (bytes, bytearray)):  # of which float() makes a number
        raise TypeError(f"a time is a number of seconds, a timedelta or a str, not {age!r}")
    if isinstance(age, datetime.timedelta):
        ns = age // _MICROSECOND * 1000
    else:
        try:
            ns = round(float(age) * 1e9)
        except OverflowError:
            raise ValueError(f"too long a time: {age!r}") from None
    if ns < 0:
        raise ValueError(f"a time below 0: {age!r}")
    return ns


def restore_message(*parts):
    """What pickle calls for a Message."""
    from . import _core
    return _core._restore_message(*parts)


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
    position: int  #: all messages below it were given out; of a durable subscription: acked
    done_position: int  #: and below this, all are done
    last_sequence: int  #: about: of the last message that was given out for the first time
    in_flight: int  #: given out, or to be given out again, or dead letters to be, and not done
    redelivered: int  #: how many times a message was given out again
    expired: int  #: leases that ran out, also of what came again and could not be read yet
    dead: int  #: messages that reached max_deliveries
    lost: int  #: messages that were gone before anybody got them, or before they came again; each counted once, when it is found


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


class _Watch:
    """Tasks of one event loop that wait for one subscriber, by a descriptor of their own: the subscriber's number may
    be another's once that is closed. Lives while somebody waits."""
    __slots__ = ("fd", "loop", "waiters")

    def __init__(self, loop, fd):
        self.loop = loop
        self.waiters = []
        self.fd = os.dup(fd)
        try:
            loop.add_reader(self.fd, self.wake)
        except BaseException:
            os.close(self.fd)
            raise

    def wake(self):
        """All look again, for each may be the one for whom there is something."""
        waiters, self.waiters = self.waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(None)
        self.end()

    def end(self):
        if self.fd >= 0:
            if not self.loop.is_closed():
                self.loop.remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1

    def abandon(self):
        """Its loop was closed over tasks that waited: nobody wakes them any more."""
        self.waiters.clear()
        self.end()


#: The watches of each subscriber somebody waits for; those keep it alive, and so its id.
_watches: dict[int, list[_Watch]] = {}


def _forget_closed_loops():
    """Their tasks would stay for ever, with the subscribers: a future that waits has its task, and that the frame. What is
    forgotten may run finalizers and the `finally` of _readable(): the table is right before."""
    abandoned = []
    for key, watches in list(_watches.items()):
        closed = [w for w in watches if w.loop.is_closed()]
        abandoned += closed
        for watch in closed:
            watches.remove(watch)
        if closed and not watches:
            _watches.pop(key, None)
    for watch in abandoned:
        watch.abandon()


def wake(subscriber):
    """It was closed, in any thread: whoever waits for it is told."""
    for watch in list(_watches.get(id(subscriber), ())):
        try:
            watch.loop.call_soon_threadsafe(watch.wake)
        except RuntimeError:
            _forget_closed_loops()


async def receive(subscriber):
    """The next message. Waits in the event loop, by a descriptor; any number of tasks may."""
    while True:
        try:
            message = subscriber.poll()
            if message is not None:
                return message
        except Disconnected:
            pass  # the broker is away, and what comes next is in its store: wait
        if not subscriber.arm():
            await _readable(subscriber)


async def _readable(subscriber):
    loop = asyncio.get_running_loop()
    _forget_closed_loops()
    watches = _watches.setdefault(id(subscriber), [])
    watch = next((w for w in watches if w.loop is loop and w.fd >= 0), None)
    if watch is None:
        try:
            watch = _Watch(loop, subscriber.fileno())
        finally:
            if watch is None and not watches:
                del _watches[id(subscriber)]
        watches.append(watch)
    future = loop.create_future()
    watch.waiters.append(future)
    try:
        await future
    finally:
        if future in watch.waiters:
            watch.waiters.remove(future)
        if not watch.waiters and watch in watches:
            watch.end()
            watches.remove(watch)
        if not watches and _watches.get(id(subscriber)) is watches:  # a task that was woken before may wait again already
            del _watches[id(subscriber)]


class AsyncIterator:
    """async for: ends when the topic is deleted, or the subscriber closed."""
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
        except Closed as error:
            if isinstance(error, Forked):
                raise
            raise StopAsyncIteration from None
