/* What the demo's topics carry. Fixed layouts, little-endian: a payload is a cast in every language. */
#ifndef EXAMPLES_MARKET_H
#define EXAMPLES_MARKET_H

#include <stdint.h>

#define TOPIC_QUOTES "market.quotes"
#define TOPIC_ORDERS "orders"

/* The best bid and ask of one instrument after a change. Prices in 1/10,000 dollar; 0: no such side. */
typedef struct {
    char symbol[8]; /* padded with spaces */
    int64_t bid_price;
    int64_t ask_price;
    uint32_t bid_size;
    uint32_t ask_size;
    uint64_t feed_time_ns; /* since midnight, where the feed says; else 0 */
} quote_t;

enum { ORDER_BUY = 1, ORDER_SELL = 2 };

typedef struct {
    char source[8]; /* who sends it */
    char symbol[8];
    uint64_t order_id;
    uint64_t quote_sequence; /* the quote that caused it */
    int64_t price;
    uint32_t size;
    uint32_t side;
} order_t;

_Static_assert(sizeof(quote_t) == 40, "quote");
_Static_assert(sizeof(order_t) == 48, "order");

#endif
