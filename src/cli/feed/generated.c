#include "cli/feed/generated.h"

void generated_open(struct generated *generated, uint64_t quotes)
{
    *generated = (struct generated){
        quotes, 0x9E3779B97F4A7C15u, {"HRMS    ", 1000000, 1000200, 300, 300, 34200000000000u}};
}

/* xorshift64 (Marsaglia, 2003). */
static uint64_t random_below(struct generated *generated, uint64_t bound)
{
    generated->random ^= generated->random << 13;
    generated->random ^= generated->random >> 7;
    generated->random ^= generated->random << 17;
    return generated->random % bound;
}

/* A book whose mid walks by ticks, whose spread breathes between one and five, whose sizes are skewed. */
int generated_next(struct generated *generated, quote_t *quote)
{
    if (generated->left == 0)
        return 0;
    generated->left--;
    quote_t *q = &generated->quote;
    uint64_t what = random_below(generated, 100);
    if (what < 15) {
        int64_t step = random_below(generated, 2) == 0 ? 100 : -100;
        if (q->bid_price + step > 10000) {
            q->bid_price += step;
            q->ask_price += step;
        }
    } else if (what < 30) {
        int64_t spread = 100 * (int64_t)(1 + random_below(generated, 5));
        q->ask_price = q->bid_price + spread;
    } else if (what < 65) {
        q->bid_size = (uint32_t)(100 * (1 + random_below(generated, 4) * random_below(generated, 10)));
    } else {
        q->ask_size = (uint32_t)(100 * (1 + random_below(generated, 4) * random_below(generated, 10)));
    }
    q->feed_time_ns += 20000 + random_below(generated, 200000);
    *quote = *q;
    return 1;
}
