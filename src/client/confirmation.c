/* How far what a publisher published is safe: in the log (committed), or on the disk (durable). */
#include <inttypes.h>
#include <sched.h>

#include "base/clock.h"
#include "client/publisher.h"

static bool is_known(enum hermes_confirmation confirmation)
{
    return confirmation == HERMES_COMMITTED || confirmation == HERMES_DURABLE;
}

/* Our epoch was sealed, and it is open whether all that we committed lies before its end. */
static bool seal_is_open(const struct hermes_publisher *p)
{
    if (p->kind != WIRE_DIRECT || p->unsettled || (uint32_t)status_load_seal(p->status) < p->epoch)
        return false;
    struct epoch_record record;
    bool ended = status_find_epoch(p->status, p->epoch, &record) && record.end != EPOCH_OPEN;
    return !ended || p->writer.position > record.end_position;
}

static int resolve_seal(struct hermes_publisher *p, uint64_t timeout_ns)
{
    uint64_t wait_ns = p->wait_ns;
    p->wait_ns = timeout_ns;
    int rc = publisher_resolve_seal(p, clock_monotonic_ns());
    p->wait_ns = wait_ns;
    return rc;
}

/* sequence: of our messages, up to which; UINT64_MAX: all. */
static int await(struct hermes_publisher *p, uint64_t sequence, enum hermes_confirmation confirmation,
                 uint64_t timeout_ns)
{
    uint64_t start = clock_monotonic_ns();
    if (!is_known(confirmation))
        return error_set(&p->client->error, HERMES_EINVALID, "confirmation %d", (int)confirmation);
    if (p->claimed != NULL)
        return publisher_claim_is_open(p);
    if (confirmation == HERMES_DURABLE && p->durability == HERMES_DURABILITY_MEMORY)
        return error_set(&p->client->error, HERMES_ENOTSUP, "topic '%s' is kept in memory alone", p->topic);
    for (;;) {
        if (seal_is_open(p)) {
            uint64_t waited = clock_monotonic_ns() - start;
            int rc = resolve_seal(p, waited < timeout_ns ? timeout_ns - waited : 0);
            if (rc < 0)
                return rc;
        }
        uint64_t target = p->writer.position;
        bool committed = !p->unsettled;
        if (committed && p->kind == WIRE_RING) {
            /* Acquire pairs with the sequencer's release: log_position is of that moment or later. */
            committed = atomic_load_explicit(&p->ring->consumed, memory_order_acquire) >= target;
            target = atomic_load_explicit(&p->ring->log_position, memory_order_relaxed);
        }
        uint32_t bell = atomic_load_explicit(&p->status->durable_bell, memory_order_acquire);
        if (committed && (confirmation == HERMES_COMMITTED ||
                          atomic_load_explicit(&p->status->durable, memory_order_acquire) >= target))
            return HERMES_OK;
        if (sequence != UINT64_MAX && hermes_publisher_confirmed(p, confirmation) >= sequence)
            return HERMES_OK;
        uint64_t waited = clock_monotonic_ns() - start;
        if (waited >= timeout_ns)
            return error_set(&p->client->error, HERMES_ETIMEOUT, "waiting for topic '%s'", p->topic);
        if (atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_FAILED)
            return error_set(&p->client->error, HERMES_EIO, "the store of topic '%s' failed", p->topic);
        if (p->unsettled || p->writer.seal != atomic_load(p->writer.mark) ||
            !channel_is_up(&p->client->channel)) {
            int rc = publisher_reconnect(p);
            if (rc < 0 && !worth_a_retry(rc))
                return rc;
        }
        if (confirmation == HERMES_COMMITTED)
            sched_yield(); /* the sequencer is at it */
        else if (futex_wait(&p->status->durable_bell, bell, 10000000) == HERMES_ETIMEOUT &&
                 p->attached.bell.address != NULL)
            futex_wake_all(p->attached.bell.address); /* in case it sleeps: see persister.c */
    }
}

int hermes_publisher_wait(hermes_publisher_t *p, enum hermes_confirmation confirmation, uint64_t timeout_ns)
{
    return await(p, UINT64_MAX, confirmation, timeout_ns);
}

int hermes_publisher_wait_for(hermes_publisher_t *p, uint64_t sequence, enum hermes_confirmation confirmation,
                              uint64_t timeout_ns)
{
    if (sequence >= p->writer.sequence && !p->unsettled)
        return error_set(&p->client->error, HERMES_EINVALID, "sequence %" PRIu64 " was not published yet",
                         sequence);
    return await(p, sequence, confirmation, timeout_ns);
}

uint64_t hermes_publisher_confirmed(hermes_publisher_t *p, enum hermes_confirmation confirmation)
{
    if (!is_known(confirmation))
        return 0;
    if (p->unsettled && p->claimed == NULL)
        return p->confirmed[confirmation]; /* no broker: nothing more is known */
    if (confirmation == HERMES_COMMITTED && seal_is_open(p))
        return p->confirmed[confirmation];
    uint64_t sequence = p->confirmed[confirmation];
    if (p->kind == WIRE_DIRECT) {
        /* Acquire pairs with log_sync(). */
        sequence = confirmation == HERMES_COMMITTED
                       ? p->writer.sequence - 1
                       : atomic_load_explicit(&p->status->durable_sequence, memory_order_acquire) - 1;
    } else {
        /* Acquire pairs with drain() in sequencer.c: the log's end is of that moment or later. */
        uint64_t consumed = atomic_load_explicit(&p->ring->consumed_sequence, memory_order_acquire);
        uint64_t end = atomic_load_explicit(&p->ring->log_position, memory_order_relaxed);
        if (confirmation == HERMES_COMMITTED) {
            sequence = consumed;
        } else {
            uint64_t durable = atomic_load_explicit(&p->status->durable, memory_order_acquire);
            if (durable >= end)
                sequence = consumed;
            else if (durable >= p->awaited_position)
                sequence = p->awaited_sequence;
            if (durable >= p->awaited_position) {
                p->awaited_position = end;
                p->awaited_sequence = consumed;
            }
        }
    }
    if (sequence > p->confirmed[confirmation])
        p->confirmed[confirmation] = sequence;
    return p->confirmed[confirmation];
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
    if (p->claimed == NULL && (p->unsettled || p->writer.seal != atomic_load(p->writer.mark))) {
        int rc = publisher_reconnect(p);
        if (rc < 0 && !worth_a_retry(rc))
            return rc;
    }
    return calls;
}
