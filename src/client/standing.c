/* Which of a publisher's messages are in the topic: from what the status page says of its own epoch, or of
 * its own ring, and of no other. */
#include "client/publisher.h"

/*
 * A window of its own. What was committed while the epoch was unsealed is in; of an epoch that is over, what
 * lies below the end that its record has, whoever came after it.
 */
static struct standing of_window(const struct hermes_publisher *p)
{
    struct standing standing = {STANDING_OPEN, p->writer.position, p->writer.sequence, p->writer.position};
    if ((uint32_t)status_load_seal(p->status) < p->epoch)
        return standing;
    /* Looked at before the record: a log that is closed has its last word there. */
    bool later = status_is_closed(p->status) ||
                 atomic_load_explicit(&p->status->epoch, memory_order_acquire) > p->epoch;
    struct epoch_record record;
    bool found = status_find_epoch(p->status, p->epoch, &record);
    if (found && record.end != EPOCH_OPEN) {
        standing.state = STANDING_FINAL;
        if (record.end_position < standing.position)
            standing = (struct standing){STANDING_FINAL, record.end_position, record.end_sequence,
                                         record.end_position};
        return standing;
    }
    standing.state = !found && later ? STANDING_FORGOTTEN : STANDING_CHANGING;
    standing.sequence -= p->doubtful;
    return standing;
}

/* A ring. Its line in the page is its own as long as the line says its id. */
static struct standing of_ring(const struct hermes_publisher *p)
{
    struct standing standing = {.state = STANDING_OPEN};
    /* Acquire pairs with drain() in sequencer.c. Looked at in the reverse of the order in which the broker
     * writes, so that what is found together was once true together. */
    bool closed = status_is_closed(p->status);
    bool ended = atomic_load_explicit(&p->ring->ended, memory_order_acquire) != 0;
    bool marked = atomic_load_explicit(p->writer.mark, memory_order_acquire) == p->ring_id;
    standing.position = atomic_load_explicit(&p->ring->consumed, memory_order_acquire);
    standing.sequence = 1 + atomic_load_explicit(&p->ring->consumed_sequence, memory_order_acquire);
    standing.log_position = atomic_load_explicit(&p->ring->log_position, memory_order_acquire);
    /* Pairs with sequencer_add_ring(), which takes the id away before it writes anything else. */
    if (atomic_load_explicit(&p->ring->id, memory_order_acquire) != p->ring_id) {
        uint64_t known = p->confirmed[HERMES_COMMITTED] + 1;
        known = known > p->first_sequence ? known : p->first_sequence;
        return (struct standing){STANDING_FORGOTTEN, 0, known, UINT64_MAX};
    }
    if (ended || closed)
        standing.state = STANDING_FINAL;
    else if (!marked)
        standing.state = STANDING_CHANGING;
    return standing;
}

struct standing publisher_standing(const struct hermes_publisher *p)
{
    return p->ring == NULL ? of_window(p) : of_ring(p);
}

uint64_t publisher_accepted(const struct hermes_publisher *p)
{
    uint64_t here = publisher_has_window(p) ? p->writer.sequence - p->first_sequence : 0;
    return p->settled + here + p->backlog_count;
}

uint64_t publisher_outstanding(const struct hermes_publisher *p)
{
    if (!publisher_has_window(p))
        return p->backlog_count;
    struct standing standing = publisher_standing(p);
    uint64_t in = standing.sequence < p->writer.sequence ? standing.sequence : p->writer.sequence;
    in = in > p->first_sequence ? in : p->first_sequence;
    return p->writer.sequence - in + p->backlog_count;
}

uint64_t hermes_publisher_accepted(const hermes_publisher_t *p)
{
    return publisher_accepted(p);
}
