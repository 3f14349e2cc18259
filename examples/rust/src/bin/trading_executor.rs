//! Trading executor: takes the orders of all sources, in their one order, and keeps the position.

use hermes_examples::{actor, market};
use market::Order;

fn main() -> hermes_msg::Result<()> {
    let (mut orders, mut position, mut cash) = (0u64, 0i64, 0i64); // cash in 1/10,000 dollar
    let actor = actor::run(market::ORDERS, |message| {
        if let Some(order) = Order::parse(message.payload()) {
            let size = if order.is_buy { i64::from(order.size) } else { -i64::from(order.size) };
            orders += 1;
            position += size;
            cash -= size * order.price;
        }
    })?;
    let dollars = cash as f64 / 1e4;
    actor.tell(&format!("{orders} orders executed, position {position} shares, cash {dollars:.2} dollars"));
    Ok(())
}
