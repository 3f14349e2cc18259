#include "mirror/congestion.h"

#include "mirror/time.h"

enum {
    PHASES = 8,
    QUARTERS_FIRST = 10, /* BBR's 2 / ln 2, about: doubles what arrives each round */
    FLAT_ROUNDS = 3,
    FIRST_BYTES = 16 * 1456, /* in the first round trips */
};

#define REPORTS_APART_NS 1000000u
#define REPORT_MOST (1ull << 33) /* bytes since the one before; more is a lie */
#define RATE_LEAST 65536u

void arrival_reported(struct arrival *a, uint64_t now_ns, uint64_t round_ns, uint64_t bytes, bool had_nothing)
{
    uint64_t apart_ns = now_ns - a->since_ns;
    if (a->since_ns != 0 && apart_ns < later(round_ns, REPORTS_APART_NS))
        return;
    if (a->since_ns != 0 && bytes - a->since_bytes <= REPORT_MOST) {
        uint64_t rate = (bytes - a->since_bytes) * 1000000000u / apart_ns;
        bool counts = !had_nothing || rate > arrival_estimate(a);
        a->best = counts ? later(a->best, rate) : later(a->best, arrival_estimate(a));
    }
    a->since_ns = now_ns;
    a->since_bytes = bytes;
}

static void look_whether_full(struct congestion *c)
{
    if (c->estimate >= c->full + c->full / 4) {
        c->full = c->estimate;
        c->flat = 0;
    } else if (++c->flat >= FLAT_ROUNDS) {
        c->steady = true;
    }
}

bool congestion_goes_on(struct congestion *c, uint64_t now_ns, uint64_t round_ns, uint64_t lowest)
{
    if (lowest != 0)
        c->estimate = lowest;
    if (c->estimate == 0 || now_ns < c->round_ends_ns)
        return false;
    c->round_ends_ns = now_ns + round_ns;
    if (!c->steady && !c->had_nothing)
        look_whether_full(c);
    c->phase = (c->phase + 1) % PHASES;
    return c->phase == 0;
}

uint64_t congestion_rate(const struct congestion *c, uint64_t round_ns, uint64_t most)
{
    static const uint8_t quarters[PHASES] = {5, 3, 4, 4,
                                             4, 4, 4, 4}; /* tries more, and lets a queue run empty */
    uint64_t first = (uint64_t)FIRST_BYTES * 1000000000u / round_ns,
             gain = c->steady ? quarters[c->phase] : QUARTERS_FIRST;
    uint64_t rate = c->estimate == 0 ? first : later(c->estimate * gain / 4, RATE_LEAST);
    if (!c->steady)
        rate = later(rate, first);
    return most == 0 ? rate : earlier(rate, most);
}
