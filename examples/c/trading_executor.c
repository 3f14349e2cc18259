/* Trading executor: takes the orders of all sources, in their one order, and keeps the position. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actor.h"

typedef struct {
    uint64_t orders;
    int64_t position;
    int64_t cash; /* 1/10,000 dollar */
} executor_t;

static void on_order(actor_t *actor, const hermes_message_t *message, void *context)
{
    (void)actor;
    executor_t *executor = context;
    order_t order;
    if (message->length != sizeof order)
        return;
    memcpy(&order, message->payload, sizeof order);
    int64_t size = order.side == ORDER_BUY ? order.size : -(int64_t)order.size;
    executor->orders++;
    executor->position += size;
    executor->cash -= size * order.price;
}

int main(int argc, char **argv)
{
    static actor_t actor;
    executor_t executor = {0};
    actor_open(&actor, argc, argv, TOPIC_ORDERS, NULL);
    actor_run(&actor, on_order, &executor);
    actor_tell(&actor, "%" PRIu64 " orders executed, position %" PRId64 " shares, cash %.2f dollars",
               executor.orders, executor.position, (double)executor.cash / 1e4);
    actor_close(&actor);
    return 0;
}
