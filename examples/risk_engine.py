#!/usr/bin/env python3
"""Risk engine: follows the volatility of each stock's mid price, and sends a hedging order each time the price has
drifted by five standard deviations since the last hedge."""
from collections import defaultdict
from math import sqrt

from actor import Actor
from market import BUY, ORDERS, QUOTES, SELL, Order, Quote, pack, unpack


class Stock:
    last_mid = hedged_at = 0.0
    variance = 0.0  # exponentially weighted, a quote


class RiskEngine:
    def __init__(self):
        self.actor = Actor(QUOTES, publish_to=ORDERS)
        self.stocks = defaultdict(Stock)  # by symbol

    def on_quote(self, message):
        quote = unpack(Quote, message)
        if quote is None or quote.bid_price == 0 or quote.ask_price == 0:
            return
        mid = (quote.bid_price + quote.ask_price) / 2
        stock = self.stocks[quote.symbol]
        if stock.last_mid == 0:
            stock.last_mid = stock.hedged_at = mid
        change, stock.last_mid = mid - stock.last_mid, mid
        stock.variance = 0.999 * stock.variance + 0.001 * change * change
        drift = mid - stock.hedged_at
        if drift == 0 or abs(drift) < 5 * sqrt(stock.variance):
            return
        stock.hedged_at = mid
        price, side = (quote.bid_price, SELL) if drift > 0 else (quote.ask_price, BUY)
        self.actor.send(pack(Order(b"risk", quote.symbol, self.actor.sent + 1, message.sequence, price, 50, side)))


engine = RiskEngine()
engine.actor.run(engine.on_quote)
