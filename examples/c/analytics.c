/* Analytics: spread, mid price and size-weighted price over all quotes. */
#include <stdio.h>
#include <string.h>

#include "actor.h"

typedef struct {
    uint64_t quotes;
    double spread_sum;
    double weighted_sum; /* price times size, both sides */
    double size_sum;
    double mid;
} analytics_t;

static void on_quote(actor_t *actor, const hermes_message_t *message, void *context)
{
    (void)actor;
    analytics_t *a = context;
    quote_t quote;
    if (message->length != sizeof quote)
        return;
    memcpy(&quote, message->payload, sizeof quote);
    if (quote.bid_price == 0 || quote.ask_price == 0)
        return;
    a->quotes++;
    a->mid = (double)(quote.bid_price + quote.ask_price) / 2;
    a->spread_sum += (double)(quote.ask_price - quote.bid_price);
    a->weighted_sum += (double)quote.bid_price * quote.bid_size + (double)quote.ask_price * quote.ask_size;
    a->size_sum += (double)quote.bid_size + quote.ask_size;
}

int main(int argc, char **argv)
{
    static actor_t actor;
    analytics_t a = {0};
    actor_open(&actor, argc, argv, TOPIC_QUOTES, NULL);
    actor_run(&actor, on_quote, &a);
    if (a.quotes > 0 && a.size_sum > 0)
        actor_tell(&actor, "last mid %.4f, average spread %.4f, volume-weighted price %.4f", a.mid / 1e4,
                   a.spread_sum / (double)a.quotes / 1e4, a.weighted_sum / a.size_sum / 1e4);
    actor_close(&actor);
    return 0;
}
