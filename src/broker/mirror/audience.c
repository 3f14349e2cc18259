#include "broker/mirror/audience.h"

#include "broker/mirror/engine.h"
#include "mirror/time.h"

struct seat *audience_next(struct audience *audience, struct seat *after)
{
    struct seat *end = audience->seats + AUDIENCE_SEATS;
    for (struct seat *seat = after == NULL ? audience->seats : after + 1; seat < end; seat++)
        if (seat->sender != NULL)
            return seat;
    return NULL;
}

uint32_t audience_count(const struct audience *audience)
{
    uint32_t count = 0;
    for (int i = 0; i < AUDIENCE_SEATS; i++)
        if (audience->seats[i].sender != NULL)
            count += sender_listeners(audience->seats[i].sender)->count;
    return count;
}

static void add(struct sender_counters *sum, const struct sender *sender)
{
    const struct sender_counters *c = sender_counters(sender);
    sum->datagrams += c->datagrams;
    sum->bytes += c->bytes;
    sum->repair_bytes += c->repair_bytes;
    sum->naks += c->naks;
    sum->gone += c->gone;
    sum->refused += c->refused + c->strange + c->full;
}

struct sender_counters audience_counters(const struct audience *audience)
{
    struct sender_counters sum = audience->former;
    for (int i = 0; i < AUDIENCE_SEATS; i++)
        if (audience->seats[i].sender != NULL)
            add(&sum, audience->seats[i].sender);
    return sum;
}

/* ---- who listens to one ---- */

#define EACH_LISTENER(seat, listener)                                                                        \
    for (const struct listener *listener = sender_listeners((seat)->sender)->all;                            \
         listener < sender_listeners((seat)->sender)->all + sender_listeners((seat)->sender)->max;           \
         listener++)                                                                                         \
        if (listener->id != 0)

uint64_t seat_slowest(const struct seat *seat, uint64_t position)
{
    EACH_LISTENER(seat, listener)
    position = earlier(position, listener->position);
    return position;
}

uint64_t seat_rtt_ns(const struct seat *seat)
{
    uint64_t rtt_ns = 0;
    EACH_LISTENER(seat, listener)
    rtt_ns = later(rtt_ns, listener->rtt.mean_ns);
    return rtt_ns;
}

uint64_t seat_missed(const struct seat *seat)
{
    uint64_t missed = 0;
    EACH_LISTENER(seat, listener)
    missed += listener->missed_bytes;
    return missed;
}

/* ---- in the clear ---- */

/* The one that knows that address; else one that nobody listens to; else, where all are taken, any, which
 * says so to itself. */
static struct seat *seat_at(struct audience *audience, const struct mirror_address *from)
{
    struct seat *spare = NULL;
    for (int i = 0; i < AUDIENCE_RECEIVERS; i++) {
        struct seat *seat = &audience->seats[i];
        bool taken = seat->sender != NULL && seat_listener(seat)->id != 0;
        if (taken && mirror_address_is(&seat_listener(seat)->address, from))
            return seat;
        if (!taken && spare == NULL)
            spare = seat;
    }
    return spare != NULL ? spare : &audience->seats[0];
}

/* ---- with a grant ---- */

static void clear(struct audience *audience, struct seat *seat)
{
    if (seat->sender != NULL)
        add(&audience->former, seat->sender);
    sender_close(seat->sender);
    sealing_free(seat->sealing);
    *seat = (struct seat){.sender = NULL};
}

static struct seat *seat_of(struct audience *audience, struct grant *grant)
{
    struct seat *seat = &audience->seats[AUDIENCE_RECEIVERS + (grant - audience->grants->all)];
    if (seat->sealing != NULL)
        return seat;
    struct seal_grant own = grant->key;
    own.member = SEAL_SENDER;
    if (sealing_make(&seat->sealing, &own, 1) < 0)
        return NULL;
    (void)sealing_admit(seat->sealing, grant->key.member); /* the only one: there is room */
    seat->grant = grant;
    return seat;
}

static struct seat *hear_in_group(struct audience *audience, uint64_t now_ns, void *bytes, size_t *length)
{
    int64_t plain = (int64_t)*length;
    if (!audience->open)
        plain = circle_unseal(&audience->circle, audience->grants, now_ns, bytes, *length);
    if (plain < 0)
        return NULL;
    *length = (size_t)plain;
    return &audience->seats[0];
}

static struct seat *hear_sealed(struct audience *audience, uint64_t now_ns, uint16_t id, void *bytes,
                                size_t *length)
{
    struct grant *grant = grants_find(audience->grants, id, 0, now_ns);
    struct seat *seat = grant == NULL ? NULL : seat_of(audience, grant);
    int64_t plain = seat == NULL ? HERMES_EACCESS : sealing_unseal(seat->sealing, bytes, *length);
    if (plain < 0)
        return NULL;
    *length = (size_t)plain;
    return seat;
}

struct seat *audience_hear(struct audience *audience, uint64_t now_ns, const struct mirror_address *from,
                           void *bytes, size_t *length)
{
    uint16_t id = sealing_id(bytes, *length);
    struct seat *seat = NULL;
    if (audience->group && mirror_address_is(&audience->here, from))
        return NULL;
    if (audience->group)
        seat = hear_in_group(audience, now_ns, bytes, length);
    else if (id != 0)
        seat = hear_sealed(audience, now_ns, id, bytes, length);
    else if (audience->open)
        seat = seat_at(audience, from);
    audience->former.refused += seat == NULL;
    return seat;
}

bool audience_seal(struct audience *audience, struct seat *seat, struct mirror_packet *packet)
{
    bool sealed_group = audience->group && !audience->open;
    if (seat->sealing == NULL && !sealed_group)
        return true;
    int64_t length = sealed_group ? circle_seal(&audience->circle, packet->bytes, packet->length)
                                  : sealing_seal(seat->sealing, packet->bytes, packet->length);
    if (length > 0)
        packet->length = (uint32_t)length;
    return length > 0;
}

/* ---- seats ---- */

int audience_seat(struct audience *audience, struct seat *seat)
{
    if (seat->sender != NULL)
        return HERMES_OK;
    struct sender_config config = audience->config;
    config.sealed = audience->group ? !audience->open : seat->sealing != NULL;
    engine_random(&config.seed, sizeof config.seed);
    return sender_open(&seat->sender, &config, &audience->source);
}

void audience_look(struct audience *audience, uint64_t now_ns)
{
    for (int i = 0; i < GRANTS_MAX; i++) {
        struct grant *grant = &audience->grants->all[i];
        if (!grant_is_given(grant) || !grant_is_over(grant, now_ns))
            continue;
        circle_dismiss(&audience->circle, &grant->key);
        clear(audience, &audience->seats[AUDIENCE_RECEIVERS + i]);
        grant_return(grant);
    }
    circle_look(&audience->circle, audience->grants, now_ns);
}

void audience_leave(struct audience *audience)
{
    for (int i = 0; i < AUDIENCE_SEATS; i++)
        clear(audience, &audience->seats[i]);
    circle_free(&audience->circle);
}
