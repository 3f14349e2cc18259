"""A topic log by its path, without a broker: one process appends, any number read.

    with hermes.log.open("/var/lib/feed/quotes") as log:
        log.append(b"hello")
    for message in hermes.log.reader("/var/lib/feed/quotes"):
        print(message.payload)
"""
from ._core import LogReader, LogWriter
from ._core import _open_log as open
from ._core import _open_log_reader as reader

__all__ = ["LogReader", "LogWriter", "open", "reader"]
