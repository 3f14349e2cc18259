"""Publish to and subscribe from a Hermes message broker on this host, through shared memory.

    import hermes_msg as hermes

    with hermes.connect() as client:
        client.create_topic("quotes", exist_ok=True)
        with client.publisher("quotes") as pub:
            pub.send(b"hello")
        for message in client.subscriber("quotes", start="first"):
            print(message.sequence, message.time, message.payload)

Threads: every publisher and subscriber has a session of its own, and belongs to one call at a time; who comes meanwhile
(a thread, a signal handler) gets InUse, but for close(), which ends that call. The GIL is let go of while one waits.
After a fork, the child connects again (Forked).

Errors: Error is the base of all; each names one thing (TopicNotFound, PayloadTooLarge, NoRoom ...), has .code, .name
and .retry, and is below Python's own where there is one (TimeoutError, ConnectionError, ValueError ...). Those of
publishing have .outcome and .taken: what became of the messages.

Sizes and times may be given as the command line has them: "64K", "4M", "250ms", "7d".
"""
from . import _support  # isort: skip - which says where _core cannot be had
from . import _core
from . import log as log
from ._core import *  # noqa: F403
from ._letter import Letter as Letter
from ._support import GroupInfo as GroupInfo
from ._support import TopicInfo as TopicInfo
from ._support import Verification as Verification

__version__ = "0.1.0"

#: The dtype of recv_batch()'s headers.
HEADERS = [("sequence", "<u8"), ("timestamp", "<u8")]

_support.Disconnected = _core.Disconnected
_support.Closed = _core.Closed
_support.Forked = _core.Forked
