/* Durable subscriptions: one holder at a time, and a floor below which all is done. */
#include "base/clock.h"
#include "client/subscriber.h"

static void raise(_Atomic uint64_t *word, uint64_t to)
{
    uint64_t before = atomic_load_explicit(word, memory_order_relaxed);
    while (before < to && !atomic_compare_exchange_weak(word, &before, to))
        ;
}

/* All before end is done. Nothing takes that back, and an older ack changes nothing. */
static int done_to(struct member *m, uint64_t end, uint64_t sequence)
{
    if (atomic_load_explicit(&m->page->floor, memory_order_relaxed) < end) {
        raise(&m->page->cursor_sequence, sequence);
        raise(&m->page->floor, end);
    }
    /* After it: pairs with the broker, who ends the page before it looks where that stands (group.h). */
    return group_is_open(m->page) && atomic_load(&m->page->members[0].id) == m->id ? HERMES_OK
                                                                                   : HERMES_EEXPIRED;
}

static uint64_t end_of(const hermes_message_t *message)
{
    return message->position + hermes_frame_bytes(message->length);
}

/* A seek does not take back what was given out before it. */
static bool may_be_given_out(const struct member *m, const hermes_message_t *message)
{
    return message->position % HERMES_FRAME_ALIGNMENT == 0 && message->position < m->given_to &&
           hermes_frame_bytes(message->length) <= m->given_to - message->position;
}

/* Of a copy anything may have become, and the place must not stand within a message. What is gone cannot be
 * looked at: who stands there goes on with the oldest that is left. */
static int check_message(struct hermes_subscriber *s, const hermes_message_t *message)
{
    const struct member *m = s->member;
    const struct reader_wanted wanted = {message->position, message->sequence, message->length};
    if (!may_be_given_out(m, message))
        return HERMES_EINVALID;
    if (end_of(message) == m->held && message->sequence == m->held_sequence)
        return HERMES_OK; /* the one that was given out last */
    bool is_done = end_of(message) <= atomic_load_explicit(&m->page->floor, memory_order_relaxed);
    bool starved = s->starved;
    s->until_ns = clock_deadline_ns(s->client->request_timeout_ns);
    int rc = reader_has(&s->reader, &wanted, !is_done);
    s->until_ns = 0;
    s->starved = starved; /* of what is to be read */
    if (rc == 0)
        return HERMES_EINVALID;
    return rc == 1 || rc == HERMES_EGONE || rc == HERMES_EAGAIN ? HERMES_OK : rc;
}

int durable_ack(struct hermes_subscriber *s, const hermes_message_t *message)
{
    struct member *m = s->member;
    subscriber_greet_if_due(s);
    if (message->claim == 0)
        return HERMES_EINVALID;
    if (message->claim != m->claim || !member_is_current(m) ||
        subscriber_is_orphan(s)) /* it says nothing of how the place stands now */
        return HERMES_EEXPIRED;
    int rc = check_message(s, message);
    if (rc < 0)
        return rc;
    uint64_t end = end_of(message);
    m->holds &= m->held != end;
    rc = done_to(m, end, message->sequence);
    /* It was set back to its place, and the ack is of what it had before. Who was sought there means it. */
    if (rc == 0 && m->sought.page == 0 && s->reader.position < end)
        member_start_at(&s->reader, end);
    return rc;
}

int durable_poll(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    struct reader *reader = &s->reader;
    if (__builtin_expect(subscriber_is_due(s), 0)) {
        subscriber_greet_again(s);
        int rc = subscriber_goes_over(s) ? subscriber_failed(s, HERMES_ECLOSED) : HERMES_OK;
        if (rc < 0 || subscriber_goes_over(s))
            return rc;
    }
    if (__builtin_expect(subscriber_is_orphan(s), 0))
        return 0;
    /* In a page that is to move it does not count, and is said again: the page may stay. */
    m->holds = m->holds && (!member_is_current(m) || done_to(m, m->held, m->held_sequence) < 0);
    if (__builtin_expect(!member_is_current(m), 0)) {
        int rc = member_join_again(s);
        if (rc < 0 || !member_is_current(m))
            return rc;
    }
    uint64_t position = reader->position, sequence = reader->sequence;
    int rc = reader_poll(reader, message);
    if (rc <= 0)
        return rc < 0 ? member_pass_over(s, position, sequence, rc) : 0;
    if (__builtin_expect(m->in_gap, 0) && (rc = member_tell_gap(s, message)) < 0)
        return rc;
    if (__builtin_expect(!member_is_current(m), 0))
        return 0; /* reading took long, and another has the place by now: it may have done with the message */
    m->held = reader->position;
    m->given_to = m->held > m->given_to ? m->held : m->given_to;
    m->held_sequence = message->sequence;
    m->holds = m->ack == HERMES_ACK_AUTO;
    message->claim = m->claim;
    return 1;
}
