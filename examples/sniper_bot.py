#!/usr/bin/env python3
"""Trading bot: reads quotes, and sends an order whenever the mid price of a stock moves by a tick or more and
the spread is narrow enough to cross."""
from collections import defaultdict

from actor import Actor
from market import BUY, ORDERS, QUOTES, SELL, Order, Quote, pack, unpack

TICK, WIDEST_SPREAD = 100, 3000


class SniperBot:
    def __init__(self):
        self.actor = Actor(QUOTES, publish_to=ORDERS)
        self.last_mid = defaultdict(int)  # by symbol

    def on_quote(self, message):
        quote = unpack(Quote, message)
        if quote is None or quote.bid_price == 0 or quote.ask_price == 0:
            return
        mid = (quote.bid_price + quote.ask_price) // 2
        move, self.last_mid[quote.symbol] = mid - self.last_mid[quote.symbol], mid
        if abs(move) < TICK or quote.ask_price - quote.bid_price > WIDEST_SPREAD:
            return
        price, side = (quote.ask_price, BUY) if move > 0 else (quote.bid_price, SELL)
        order = Order(b"sniper", quote.symbol, self.actor.sent + 1, message.sequence, price, 100, side)
        self.actor.send(pack(order))


bot = SniperBot()
bot.actor.run(bot.on_quote)
