//! What the topics carry: fixed layouts, little-endian, the same in every language. Prices in 1/10,000 dollar.

pub const QUOTES: &str = "market.quotes";
pub const ORDERS: &str = "orders";

/// The best bid and ask of one instrument after a change; 0: no such side.
pub struct Quote {
    pub symbol: [u8; 8],
    pub bid_price: i64,
    pub ask_price: i64,
    pub bid_size: u32,
    pub ask_size: u32,
    pub feed_time_ns: u64,
}

pub struct Order {
    pub source: [u8; 8],
    pub symbol: [u8; 8],
    pub order_id: u64,
    pub quote_sequence: u64,
    pub price: i64,
    pub size: u32,
    pub is_buy: bool,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("within the record")
}

impl Quote {
    /// `None`: these bytes are no quote.
    pub fn parse(bytes: &[u8]) -> Option<Quote> {
        (bytes.len() == 40).then(|| Quote {
            symbol: field(bytes, 0),
            bid_price: i64::from_le_bytes(field(bytes, 8)),
            ask_price: i64::from_le_bytes(field(bytes, 16)),
            bid_size: u32::from_le_bytes(field(bytes, 24)),
            ask_size: u32::from_le_bytes(field(bytes, 28)),
            feed_time_ns: u64::from_le_bytes(field(bytes, 32)),
        })
    }
}

impl Order {
    /// `None`: these bytes are no order.
    pub fn parse(bytes: &[u8]) -> Option<Order> {
        (bytes.len() == 48).then(|| Order {
            source: field(bytes, 0),
            symbol: field(bytes, 8),
            order_id: u64::from_le_bytes(field(bytes, 16)),
            quote_sequence: u64::from_le_bytes(field(bytes, 24)),
            price: i64::from_le_bytes(field(bytes, 32)),
            size: u32::from_le_bytes(field(bytes, 40)),
            is_buy: u32::from_le_bytes(field(bytes, 44)) == 1,
        })
    }
}
