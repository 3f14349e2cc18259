#include "mirror/scenario.h"

#include <stdio.h>
#include <string.h>

#include "mirror/random.h"

static uint64_t between(uint64_t *random, uint64_t low, uint64_t high)
{
    return low + random_below(random, high - low + 1);
}

static bool one_in(uint64_t *random, uint64_t n)
{
    return random_below(random, n) == 0;
}

static void make_link(uint64_t *random, struct link *link, uint64_t delay_ns)
{
    static const uint32_t losses[] = {0, 1000, 10000, 50000, 100000, 300000};
    *link = (struct link){.loss = losses[random_below(random, 6)], .delay_ns = delay_ns};
    if (one_in(random, 4)) {
        link->burst_begins = (uint32_t)between(random, 100, 5000);
        link->burst_ends = (uint32_t)between(random, 30000, 300000);
    }
    if (one_in(random, 3))
        link->jitter_ns = between(random, 1, delay_ns);
    if (one_in(random, 4))
        link->duplicate = (uint32_t)between(random, 1000, 50000);
    if (one_in(random, 4))
        link->corrupt = (uint32_t)between(random, 1000, 50000);
    if (one_in(random, 4)) {
        link->bytes_per_s = between(random, 2000000, 200000000);
        link->queue_ns = between(random, 100000, 5000000);
    }
}

static void make_actions(uint64_t *random, struct scenario *s, uint64_t within_ns)
{
    s->actions = one_in(random, 3) ? 0 : (uint32_t)between(random, 1, ACTIONS_MAX);
    for (uint32_t i = 0; i < s->actions; i++)
        s->action[i] = (struct action){
            .kind = (enum action_kind)random_below(random, ACTION_KINDS),
            .at_ns = random_below(random, within_ns),
            .lasts_ns = between(random, 1, 3 * s->silence_ns),
            .whom = (uint32_t)random_below(random, s->receivers),
            .cut_bytes = (uint32_t)between(random, 0, 64) * 64,
        };
}

/* ---- simpler ---- */

static void one_receiver(struct scenario *s)
{
    s->receivers = 1;
    s->group_min = 1;
}

static void three_receivers(struct scenario *s)
{
    s->receivers = s->receivers > 3 ? 3 : s->receivers;
    s->group_min = s->receivers;
}

static void no_actions(struct scenario *s)
{
    s->actions = 0;
}

static void half_the_actions(struct scenario *s)
{
    s->actions /= 2;
}

static void no_duplicates(struct scenario *s)
{
    s->down.duplicate = s->up.duplicate = 0;
}

static void no_damage(struct scenario *s)
{
    s->down.corrupt = s->up.corrupt = 0;
}

static void no_jitter(struct scenario *s)
{
    s->down.jitter_ns = s->up.jitter_ns = 0;
}

static void no_bursts(struct scenario *s)
{
    s->down.burst_begins = s->up.burst_begins = s->shared.burst_begins = 0;
}

static void no_shared_loss(struct scenario *s)
{
    s->shared.loss = s->shared.burst_begins = 0;
}

static void no_loss_of_reports(struct scenario *s)
{
    s->up.loss = s->up.burst_begins = 0;
}

static void no_loss_of_data(struct scenario *s)
{
    s->down.loss = s->down.burst_begins = 0;
    no_shared_loss(s);
}

static void no_throttle(struct scenario *s)
{
    s->down.bytes_per_s = s->up.bytes_per_s = 0;
    s->overflows = false;
}

static void short_log(struct scenario *s)
{
    s->log_bytes = s->log_bytes / 4 / 64 * 64;
}

static void no_strangers(struct scenario *s)
{
    s->hostile = false;
}

static void all_from_the_beginning(struct scenario *s)
{
    s->late = s->live = false;
}

static void all_is_kept(struct scenario *s)
{
    s->keep_bytes = 0;
}

static const struct {
    const char *name;
    void (*apply)(struct scenario *scenario);
} simplifications[SIMPLIFICATIONS] = {
    {"one receiver", one_receiver},
    {"three receivers", three_receivers},
    {"no actions", no_actions},
    {"half the actions", half_the_actions},
    {"no strangers", no_strangers},
    {"no throttle", no_throttle},
    {"no duplicates", no_duplicates},
    {"no damage", no_damage},
    {"no jitter", no_jitter},
    {"no bursts", no_bursts},
    {"no shared loss", no_shared_loss},
    {"no loss of reports", no_loss_of_reports},
    {"no loss of data", no_loss_of_data},
    {"all from the beginning", all_from_the_beginning},
    {"all is kept", all_is_kept},
    {"a short log", short_log},
};

const char *scenario_simplification(uint32_t bit)
{
    return simplifications[bit].name;
}

void scenario_make(struct scenario *s, uint64_t seed, uint32_t simpler)
{
    static const uint64_t delays[] = {10000, 25000, 100000, 1000000, 10000000};
    uint64_t state = seed, *random = &state, delay = delays[random_below(random, 5)];
    *s = (struct scenario){.seed = seed, .simpler = simpler};
    s->multicast = !one_in(random, 3);
    s->receivers = !s->multicast ? 1 : (uint32_t)between(random, 1, one_in(random, 8) ? RECEIVERS_MAX : 5);
    s->flow = s->multicast ? (enum sender_flow)random_below(random, 3) : SENDER_ALL;
    s->group_min = s->receivers;
    s->hostile = one_in(random, 3);
    s->sealed = one_in(random, 4);
    s->congestion = one_in(random, 4);
    s->live = one_in(random, 4);
    s->late = one_in(random, 4);
    make_link(random, &s->down, delay);
    make_link(random, &s->up, delay);
    s->overflows = s->down.bytes_per_s > 0 && one_in(random, 2);
    if (s->multicast && one_in(random, 2))
        s->shared = s->down;
    s->silence_ns = 50000000 + 40 * delay;
    s->window_bytes = 65536u << random_below(random, 4);
    s->bytes_per_s = one_in(random, 2) ? 0 : between(random, 5000000, 500000000);
    s->write_bytes = between(random, 1, 200) * 64;
    s->log_bytes = between(random, 1, s->receivers > 5 ? 1024 : 8192) * 64;
    uint64_t lasts_ns = between(random, 1000000, 300000000);
    s->write_every_ns = lasts_ns * s->write_bytes / s->log_bytes + 1;
    if (one_in(random, 4))
        s->keep_bytes = between(random, 64, 1024) * 64;
    make_actions(random, s, lasts_ns);
    for (uint32_t i = 0; i < SIMPLIFICATIONS; i++)
        if (simpler >> i & 1)
            simplifications[i].apply(s);
}

static void print_link(const char *name, const struct link *l)
{
    printf("  %-6s delay %llu us, loss %u, bursts %u/%u, jitter %llu us, duplicates %u, damage %u (per "
           "million), "
           "%llu kB/s\n",
           name, (unsigned long long)l->delay_ns / 1000, l->loss, l->burst_begins, l->burst_ends,
           (unsigned long long)l->jitter_ns / 1000, l->duplicate, l->corrupt,
           (unsigned long long)l->bytes_per_s / 1000);
}

void scenario_print(const struct scenario *s)
{
    static const char *const flows[] = {"all", "max", "min-group"};
    static const char *const kinds[] = {"partition", "restart of receiver", "restart of the sender",
                                        "new epoch"};
    printf("seed %llu, --simpler %#x: %s, %u receivers, flow %s, window %llu, log %llu by %llu every %llu "
           "us, rate %llu, "
           "kept %llu,%s%s%s%s%s%s\n",
           (unsigned long long)s->seed, s->simpler, s->multicast ? "multicast" : "unicast", s->receivers,
           flows[s->flow], (unsigned long long)s->window_bytes, (unsigned long long)s->log_bytes,
           (unsigned long long)s->write_bytes, (unsigned long long)s->write_every_ns / 1000,
           (unsigned long long)s->bytes_per_s, (unsigned long long)s->keep_bytes, s->sealed ? " sealed" : "",
           s->congestion ? " congestion control" : "", s->live ? " live" : "", s->late ? " late" : "",
           s->hostile ? " hostile" : "", s->overflows ? " overflows" : "");
    print_link("down", &s->down);
    print_link("up", &s->up);
    print_link("shared", &s->shared);
    for (uint32_t i = 0; i < s->actions; i++)
        printf("  %llu us: %s %u, %llu us, cut %u\n", (unsigned long long)s->action[i].at_ns / 1000,
               kinds[s->action[i].kind], s->action[i].whom, (unsigned long long)s->action[i].lasts_ns / 1000,
               s->action[i].cut_bytes);
}

bool scenario_is_exact(const struct scenario *s)
{
    bool in_order = s->down.jitter_ns == 0 && s->down.duplicate == 0 && s->down.corrupt == 0;
    bool together = s->receivers == 1 || s->flow == SENDER_MIN_GROUP;
    bool replayed = s->hostile && s->sealed; /* which may overtake what it is a copy of */
    return in_order && together && !replayed && s->actions == 0 && s->keep_bytes == 0 && !s->live &&
           !s->late && !s->overflows && s->down.bytes_per_s == 0 && s->up.bytes_per_s == 0;
}
