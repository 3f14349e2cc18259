/*
 * Risk engine: follows the volatility of the mid price, and sends a hedging order each time the price
 * has drifted by five standard deviations since the last hedge.
 */
#include <math.h>
#include <string.h>

#include "actor.h"

typedef struct {
    double last_mid;
    double hedged_at;
    double variance; /* exponentially weighted, a quote */
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
    double mid = (double)(quote.bid_price + quote.ask_price) / 2;
    if (risk->last_mid == 0)
        risk->last_mid = risk->hedged_at = mid;
    double change = mid - risk->last_mid;
    risk->variance = 0.999 * risk->variance + 0.001 * change * change;
    risk->last_mid = mid;
    double drift = mid - risk->hedged_at;
    if (fabs(drift) < 5 * sqrt(risk->variance) || drift == 0)
        return;
    risk->hedged_at = mid;
    order_t order = {.source = "risk",
                     .order_id = ++risk->next_order_id,
                     .quote_sequence = message->sequence,
                     .price = drift > 0 ? quote.bid_price : quote.ask_price,
                     .size = 50,
                     .side = drift > 0 ? ORDER_SELL : ORDER_BUY};
    memcpy(order.symbol, quote.symbol, sizeof order.symbol);
    actor_send_order(actor, &order);
}

int main(void)
{
    static actor_t actor;
    risk_t risk = {0};
    actor_open(&actor, TOPIC_QUOTES, TOPIC_ORDERS);
    actor_run(&actor, on_quote, &risk);
    actor_close(&actor);
    return 0;
}
