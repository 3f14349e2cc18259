#!/usr/bin/env python3
"""Risk engine: follows the volatility of the mid price, and sends a hedging order each time the price has drifted by
five standard deviations since the last hedge."""
from math import sqrt

from actor import Actor
from market import BUY, ORDERS, QUOTES, SELL, Order, Quote, pack, unpack


class RiskEngine:
    def __init__(self):
        self.actor = Actor(QUOTES, publish_to=ORDERS)
        self.last_mid = self.hedged_at = 0.0
        self.variance = 0.0  # exponentially weighted, a quote

    def on_quote(self, message):
        quote = unpack(Quote, message)
        if quote is None or quote.bid_price == 0 or quote.ask_price == 0:
            return
        mid = (quote.bid_price + quote.ask_price) / 2
        if self.last_mid == 0:
            self.last_mid = self.hedged_at = mid
        change, self.last_mid = mid - self.last_mid, mid
        self.variance = 0.999 * self.variance + 0.001 * change * change
        drift = mid - self.hedged_at
        if drift == 0 or abs(drift) < 5 * sqrt(self.variance):
            return
        self.hedged_at = mid
        price, side = (quote.bid_price, SELL) if drift > 0 else (quote.ask_price, BUY)
        self.actor.send(pack(Order(b"risk", quote.symbol, self.actor.sent + 1, message.sequence, price, 50, side)))


engine = RiskEngine()
engine.actor.run(engine.on_quote)
