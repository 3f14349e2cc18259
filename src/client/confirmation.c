/* How far what a publisher published is safe: in the log (committed), or on the disk (durable). */
#include <inttypes.h>

#include "client/patience.h"
#include "client/publisher.h"

/* Who waits for the disk looks this often whether somebody sleeps who should not: see persister.c. */
static const uint64_t look_ns = 10000000;

static bool is_known(enum hermes_confirmation confirmation)
{
    return confirmation == HERMES_COMMITTED || confirmation == HERMES_DURABLE;
}

/* Is all that was taken? */
static bool is_all(const struct hermes_publisher *p, enum hermes_confirmation confirmation)
{
    /* Before the standing: what is durable by now is not a successor's. Acquire pairs with log_sync(). */
    uint64_t durable = atomic_load_explicit(&p->status->durable, memory_order_acquire);
    if (p->unsettled)
        return false;
    struct standing standing = publisher_standing(p);
    if (standing.state == STANDING_CHANGING || standing.state == STANDING_FORGOTTEN ||
        standing.sequence < p->writer.sequence)
        return false;
    return confirmation == HERMES_COMMITTED || durable >= standing.log_position;
}

/* Somebody else has the topic by now, and nothing is missing in it: it is durable when the log is. */
static bool all_are_in(const struct hermes_publisher *p)
{
    return p->over == HERMES_EFENCED && p->kind == WIRE_DIRECT && p->missing == 0 && !p->is_uncertain;
}

/* What was confirmed once stays so: durable is committed, too. */
static void note_confirmed(struct hermes_publisher *p, uint64_t sequence,
                           enum hermes_confirmation confirmation)
{
    for (enum hermes_confirmation c = HERMES_COMMITTED; c <= confirmation; c++)
        if (sequence > p->confirmed[c])
            p->confirmed[c] = sequence;
}

int publisher_await(struct hermes_publisher *p, uint64_t sequence, enum hermes_confirmation confirmation,
                    uint64_t until_ns)
{
    struct error_text *text = &p->client->error;
    struct patience patience = patience_until(until_ns);
    for (;;) {
        if (p->outflow != NULL)
            (void)publisher_settle(p, until_ns);
        if (sequence == UINT64_MAX && all_are_in(p))
            sequence = p->confirmed[HERMES_COMMITTED];
        uint32_t bell = atomic_load_explicit(&p->status->durable_bell, memory_order_acquire);
        if (sequence == UINT64_MAX ? is_all(p, confirmation)
                                   : hermes_publisher_confirmed(p, confirmation) >= sequence) {
            note_confirmed(p, sequence == UINT64_MAX ? p->writer.sequence - 1 : sequence, confirmation);
            return HERMES_OK;
        }
        bool may_become = p->kind == WIRE_DIRECT && sequence <= p->confirmed[HERMES_COMMITTED];
        if (p->over != 0 && !may_become)
            return publisher_tell_over(p);
        if (atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_FAILED)
            return error_set(text, HERMES_EIO, "the store of topic '%s' failed", p->topic);
        if (p->outflow == NULL && (!publisher_is_settled(p) || !channel_is_up(&p->client->channel)))
            (void)publisher_settle(p, until_ns);
        if (p->over != 0 && !may_become)
            continue;
        uint64_t left = clock_left_ns(until_ns);
        if (p->outflow != NULL && left > 0) {
            outflow_sleep(p->outflow, left);
        } else if (confirmation == HERMES_DURABLE && left > 0) {
            if (futex_wait(&p->status->durable_bell, bell, left < look_ns ? left : look_ns) ==
                    HERMES_ETIMEOUT &&
                p->attached.bell.address != NULL)
                futex_wake_all(p->attached.bell.address);
        } else if (!patience_wait(&patience)) {
            return error_set(text, HERMES_ETIMEOUT, "waiting for topic '%s'", p->topic);
        }
    }
}

static int await(struct hermes_publisher *p, uint64_t sequence, enum hermes_confirmation confirmation,
                 uint64_t timeout_ns)
{
    if (!is_known(confirmation))
        return error_set(&p->client->error, HERMES_EINVALID, "confirmation %d", (int)confirmation);
    if (p->claimed != NULL)
        return publisher_claim_is_open(p);
    if (confirmation == HERMES_DURABLE && p->durability == HERMES_DURABILITY_MEMORY)
        return error_say(&p->client->error, HERMES_ENOTSUP,
                         "topic '%s' is kept in memory alone: nothing of it becomes durable", p->topic);
    return publisher_await(p, sequence, confirmation, clock_deadline_ns(timeout_ns));
}

int hermes_publisher_wait(hermes_publisher_t *p, enum hermes_confirmation confirmation, uint64_t timeout_ns)
{
    return await(p, UINT64_MAX, confirmation, timeout_ns);
}

int hermes_publisher_wait_for(hermes_publisher_t *p, uint64_t sequence, enum hermes_confirmation confirmation,
                              uint64_t timeout_ns)
{
    if (sequence >= p->writer.sequence && !p->unsettled)
        return error_say(&p->client->error, HERMES_EINVALID, "sequence %" PRIu64 " was not published yet",
                         sequence);
    return await(p, sequence, confirmation, timeout_ns);
}

/* What a ring's line says is in the log at one time is durable at another. */
static uint64_t durable_of_ring(struct hermes_publisher *p, const struct standing *standing, uint64_t durable)
{
    uint64_t sequence = p->confirmed[HERMES_DURABLE];
    if (p->outflow != NULL)
        return durable; /* the broker says it in this publisher's own count */
    if (durable >= standing->log_position)
        sequence = standing->sequence - 1;
    else if (durable >= p->awaited_position)
        sequence = p->awaited_sequence;
    if (durable >= p->awaited_position) {
        p->awaited_position = standing->log_position;
        p->awaited_sequence = standing->sequence - 1;
    }
    return sequence;
}

uint64_t hermes_publisher_confirmed(hermes_publisher_t *p, enum hermes_confirmation confirmation)
{
    if (!is_known(confirmation) ||
        (confirmation == HERMES_DURABLE && p->durability == HERMES_DURABILITY_MEMORY))
        return 0;
    if (p->outflow != NULL)
        (void)publisher_settle(p, 0);
    uint64_t *confirmed = p->confirmed;
    /* Before the standing: what is durable by now is not a successor's. Acquire pairs with log_sync(). */
    uint64_t durable = atomic_load_explicit(&p->status->durable, memory_order_acquire);
    uint64_t durable_sequence = atomic_load_explicit(&p->status->durable_sequence, memory_order_acquire) - 1;
    struct standing standing = {STANDING_FORGOTTEN, 0, p->end_sequence, 0};
    if (publisher_has_window(p))
        standing = publisher_standing(p);
    /* Whatever becomes of the others: those below it are in. */
    uint64_t last = standing.sequence < p->writer.sequence ? standing.sequence : p->writer.sequence;
    if (last - 1 > confirmed[HERMES_COMMITTED])
        confirmed[HERMES_COMMITTED] = last - 1;
    uint64_t sequence = confirmed[HERMES_DURABLE];
    if (p->kind == WIRE_DIRECT) /* the log's own count, of which ours are up to the last that is in */
        sequence =
            durable_sequence < confirmed[HERMES_COMMITTED] ? durable_sequence : confirmed[HERMES_COMMITTED];
    else if (standing.state != STANDING_FORGOTTEN)
        sequence = durable_of_ring(p, &standing, durable);
    if (sequence > confirmed[HERMES_DURABLE])
        confirmed[HERMES_DURABLE] = sequence;
    return confirmed[confirmation];
}

/* The ring's line is not its own for ever; what it said is not taken back. */
uint64_t hermes_publisher_sequence(const hermes_publisher_t *p)
{
    if (p->kind == WIRE_RING)
        return atomic_load_explicit(&p->ring->log_sequence, memory_order_acquire);
    return (publisher_has_window(p) ? p->writer.sequence : p->end_sequence) - 1;
}

void hermes_publisher_notify(hermes_publisher_t *p, enum hermes_confirmation confirmation,
                             hermes_confirmed_t handler, void *context)
{
    if (!is_known(confirmation))
        return;
    p->handlers[confirmation] = handler;
    p->handler_contexts[confirmation] = context;
    p->told[confirmation] = hermes_publisher_confirmed(p, confirmation);
}

int hermes_publisher_poll(hermes_publisher_t *p)
{
    int calls = 0;
    for (enum hermes_confirmation c = HERMES_COMMITTED; c <= HERMES_DURABLE; c++) {
        if (p->handlers[c] == NULL)
            continue;
        uint64_t sequence = hermes_publisher_confirmed(p, c);
        if (sequence > p->told[c]) {
            p->told[c] = sequence;
            p->handlers[c](p->handler_contexts[c], sequence);
            calls++;
        }
    }
    if (p->claimed == NULL && !publisher_is_settled(p)) {
        (void)publisher_settle(p, 0);
        if (p->over != 0)
            return publisher_tell_over(p);
    }
    return calls;
}
