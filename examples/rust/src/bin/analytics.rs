//! Analytics: spread, mid price and size-weighted price over all quotes.

use hermes_examples::{actor, market};
use market::Quote;

#[derive(Default)]
struct Analytics {
    quotes: u64,
    spread_sum: f64,
    /// Price times size, both sides.
    weighted_sum: f64,
    size_sum: f64,
    mid: f64,
}

impl Analytics {
    fn on_quote(&mut self, quote: &Quote) {
        if quote.bid_price == 0 || quote.ask_price == 0 {
            return;
        }
        let (bid, ask) = (quote.bid_price as f64, quote.ask_price as f64);
        self.quotes += 1;
        self.mid = (bid + ask) / 2.0;
        self.spread_sum += ask - bid;
        self.weighted_sum += bid * f64::from(quote.bid_size) + ask * f64::from(quote.ask_size);
        self.size_sum += f64::from(quote.bid_size) + f64::from(quote.ask_size);
    }
}

fn main() -> hermes_msg::Result<()> {
    let mut analytics = Analytics::default();
    let actor = actor::run(market::QUOTES, |message| {
        if let Some(quote) = Quote::parse(message.payload()) {
            analytics.on_quote(&quote);
        }
    })?;
    if analytics.size_sum > 0.0 {
        actor.tell(&format!(
            "last mid {:.4}, average spread {:.4}, volume-weighted price {:.4}",
            analytics.mid / 1e4,
            analytics.spread_sum / analytics.quotes as f64 / 1e4,
            analytics.weighted_sum / analytics.size_sum / 1e4
        ));
    }
    Ok(())
}
