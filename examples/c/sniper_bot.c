/*
 * Trading bot: reads quotes, and sends an order whenever the mid price of a stock moves by a tick or more and
 * the spread is narrow enough to cross.
 */
#include <string.h>

#include "actor.h"
#include "stocks.h"

enum { TICK = 100, WIDEST_SPREAD = 3000 };

typedef struct {
    char symbol[8];
    int64_t last_mid;
} stock_t;

typedef struct {
    void *stocks;
    uint64_t next_order_id;
} bot_t;

static void on_quote(actor_t *actor, const hermes_message_t *message, void *context)
{
    bot_t *bot = context;
    quote_t quote;
    if (message->length != sizeof quote)
        return;
    memcpy(&quote, message->payload, sizeof quote);
    if (quote.bid_price == 0 || quote.ask_price == 0)
        return;
    stock_t *stock = stocks_find(&bot->stocks, quote.symbol, sizeof *stock);
    int64_t mid = (quote.bid_price + quote.ask_price) / 2, move = mid - stock->last_mid;
    stock->last_mid = mid;
    if ((move < TICK && move > -TICK) || quote.ask_price - quote.bid_price > WIDEST_SPREAD)
        return;
    order_t order = {.source = "sniper",
                     .order_id = ++bot->next_order_id,
                     .quote_sequence = message->sequence,
                     .price = move > 0 ? quote.ask_price : quote.bid_price,
                     .size = 100,
                     .side = move > 0 ? ORDER_BUY : ORDER_SELL};
    memcpy(order.symbol, quote.symbol, sizeof order.symbol);
    actor_send_order(actor, &order);
}

int main(int argc, char **argv)
{
    static actor_t actor;
    bot_t bot = {0};
    actor_open(&actor, argc, argv, TOPIC_QUOTES, TOPIC_ORDERS);
    actor_run(&actor, on_quote, &bot);
    actor_close(&actor);
    return 0;
}
