#include "mirror/listener.h"

struct listener *listeners_find(struct listeners *listeners, uint32_t id,
                                const struct mirror_address *address)
{
    struct listener *listener = &listeners->all[id % LISTENERS_MAX];
    bool is = id != 0 && id % LISTENERS_MAX < listeners->max && listener->id == id &&
              mirror_address_is(&listener->address, address);
    return is ? listener : NULL;
}

struct listener *listeners_at(struct listeners *listeners, const struct mirror_address *address)
{
    for (uint32_t i = 0; i < listeners->max; i++)
        if (listeners->all[i].id != 0 && mirror_address_is(&listeners->all[i].address, address))
            return &listeners->all[i];
    return NULL;
}

struct listener *listeners_add(struct listeners *listeners, const struct mirror_address *address)
{
    uint32_t place = 0;
    while (place < listeners->max && listeners->all[place].id != 0)
        place++;
    if (place == listeners->max)
        return NULL;
    struct listener *listener = &listeners->all[place];
    *listener = (struct listener){.address = *address};
    do
        listener->id = ++listeners->generation * LISTENERS_MAX + place;
    while (listener->id < LISTENERS_MAX); /* 0 is nobody's name */
    listeners->count++;
    return listener;
}

void listeners_remove(struct listeners *listeners, struct listener *listener)
{
    listener_setup(listeners, listener, false);
    listener_gone(listeners, listener, false);
    listeners->asking -= listener->asks > 0;
    listeners->count--;
    listener->id = 0;
}

static uint64_t reach(const struct listeners *listeners, const struct listener *listener)
{
    return listener->position + (listener->session == listeners->session ? listener->window_bytes : 0);
}

uint64_t listeners_limit(struct listeners *listeners, enum sender_flow flow, uint64_t tag,
                         uint32_t tagged_min, uint64_t next)
{
    uint64_t slowest = UINT64_MAX, fastest = 0;
    uint32_t holding = 0;
    for (uint32_t i = 0; i < listeners->max; i++) {
        struct listener *listener = &listeners->all[i];
        if (listener->id == 0 || listener->session == 0)
            continue;
        uint64_t reaches = reach(listeners, listener);
        bool may_hold = flow == SENDER_ALL || (flow == SENDER_MIN_GROUP && listener->tag == tag);
        if (!may_hold || listener->catching_up)
            listener->catching_up = listener->position + listener->window_bytes < next;
        if (reaches > fastest)
            fastest = reaches;
        if (!may_hold || listener->catching_up)
            continue;
        holding++;
        if (reaches < slowest)
            slowest = reaches;
    }
    if (flow == SENDER_MIN_GROUP && holding < tagged_min)
        return next;
    uint64_t limit = holding > 0 ? slowest : fastest;
    return limit > next ? limit : next;
}

struct rtt listeners_rtt(const struct listeners *listeners)
{
    struct rtt slowest = {0};
    for (uint32_t i = 0; i < listeners->max; i++) {
        const struct listener *listener = &listeners->all[i];
        if (listener->id != 0 && listener->rtt.mean_ns > slowest.mean_ns)
            slowest = listener->rtt;
    }
    return slowest;
}

uint64_t listeners_arrival(const struct listeners *listeners)
{
    uint64_t lowest = UINT64_MAX;
    for (uint32_t i = 0; i < listeners->max; i++) {
        const struct listener *listener = &listeners->all[i];
        uint64_t estimate = arrival_estimate(&listener->arrival);
        if (listener->id != 0 && !listener->catching_up && estimate != 0 && estimate < lowest)
            lowest = estimate;
    }
    return lowest == UINT64_MAX ? 0 : lowest;
}

void listeners_next_cycle(struct listeners *listeners)
{
    for (uint32_t i = 0; i < listeners->max; i++) {
        struct arrival *arrival = &listeners->all[i].arrival;
        arrival->best_before = arrival->best;
        arrival->best = 0;
    }
}

bool listener_asks(struct listeners *listeners, struct listener *listener, const struct ask *ask)
{
    if (listener->asks == ASKS_MAX)
        return false;
    listeners->asking += listener->asks == 0;
    listener->ask[(listener->asks_first + listener->asks++) % ASKS_MAX] = *ask;
    return true;
}

void listener_answered(struct listeners *listeners, struct listener *listener)
{
    listener->asks_first = (listener->asks_first + 1) % ASKS_MAX;
    listener->asks--;
    listeners->asking -= listener->asks == 0;
}

void listener_setup(struct listeners *listeners, struct listener *listener, bool due)
{
    listeners->setups_due += due;
    listeners->setups_due -= listener->setup_due;
    listener->setup_due = due;
}

void listener_gone(struct listeners *listeners, struct listener *listener, bool due)
{
    listeners->gone_due += due;
    listeners->gone_due -= listener->gone_due;
    listener->gone_due = due;
}
