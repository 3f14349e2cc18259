"""What the topics carry: fixed layouts, little-endian, the same in every language. Prices in 1/10,000 dollar."""
import struct
from typing import NamedTuple

QUOTES, ORDERS = "market.quotes", "orders"
BUY, SELL = 1, 2


class Quote(NamedTuple):
    """The best bid and ask of one instrument after a change; 0: no such side."""
    symbol: bytes  # padded with spaces
    bid_price: int
    ask_price: int
    bid_size: int
    ask_size: int
    feed_time_ns: int  # since midnight, where the feed says; else 0

    layout = struct.Struct("<8sqqIIQ")


class Order(NamedTuple):
    source: bytes  # who sends it
    symbol: bytes
    order_id: int
    quote_sequence: int  # the quote that caused it
    price: int
    size: int
    side: int

    layout = struct.Struct("<8s8sQQqII")


def pack(record):
    return record.layout.pack(*record)


def unpack(kind, message):
    """None if the message is no such record."""
    return kind._make(kind.layout.unpack(message)) if len(message) == kind.layout.size else None
