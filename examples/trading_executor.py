#!/usr/bin/env python3
"""Trading executor: takes the orders of all sources, in their one order, and keeps the position."""
from actor import Actor
from market import BUY, ORDERS, Order, unpack


class TradingExecutor:
    def __init__(self):
        self.actor = Actor(ORDERS)
        self.orders = self.position = self.cash = 0

    def on_order(self, message):
        order = unpack(Order, message)
        if order is None:
            return
        size = order.size if order.side == BUY else -order.size
        self.orders += 1
        self.position += size
        self.cash -= size * order.price


executor = TradingExecutor()
executor.actor.run(executor.on_order)
executor.actor.tell(f"{executor.orders} orders executed, position {executor.position} shares, "
                    f"cash {executor.cash / 1e4:.2f} dollars")
