/*
 * Risk engine: follows the volatility of each stock's mid price, and sends a hedging order each time the
 * price has drifted by five standard deviations since the last hedge.
 */
#include <math.h>
#include <string.h>

#include "actor.h"
#include "stocks.h"

typedef struct {
    char symbol[8];
    double last_mid;
    double hedged_at;
    double variance; /* exponentially weighted, a quote */
} stock_t;

typedef struct {
    void *stocks;
    uint64_t next_order_id;
} risk_t;

static void on_quote(actor_t *actor, const hermes_message_t *message, void *context)
{
    risk_t *risk = context;
    quote_t quote;
    if (message->length != sizeof quote)
        return;
    memcpy(&quote, message->payload, sizeof quote);
    if (quote.bid_price == 0 || quote.ask_price == 0)
        return;
    stock_t *stock = stocks_find(&risk->stocks, quote.symbol, sizeof *stock);
    double mid = (double)(quote.bid_price + quote.ask_price) / 2;
    if (stock->last_mid == 0)
        stock->last_mid = stock->hedged_at = mid;
    double change = mid - stock->last_mid;
    stock->variance = 0.999 * stock->variance + 0.001 * change * change;
    stock->last_mid = mid;
    double drift = mid - stock->hedged_at;
    if (fabs(drift) < 5 * sqrt(stock->variance) || drift == 0)
        return;
    stock->hedged_at = mid;
    order_t order = {.source = "risk",
                     .order_id = ++risk->next_order_id,
                     .quote_sequence = message->sequence,
                     .price = drift > 0 ? quote.bid_price : quote.ask_price,
                     .size = 50,
                     .side = drift > 0 ? ORDER_SELL : ORDER_BUY};
    memcpy(order.symbol, quote.symbol, sizeof order.symbol);
    actor_send_order(actor, &order);
}

int main(int argc, char **argv)
{
    static actor_t actor;
    risk_t risk = {0};
    actor_open(&actor, argc, argv, TOPIC_QUOTES, TOPIC_ORDERS);
    actor_run(&actor, on_quote, &risk);
    actor_close(&actor);
    return 0;
}
