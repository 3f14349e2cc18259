/* The messages of a group's members: which one is next, and what becomes of it. */
#include "client/subscriber.h"

#include <inttypes.h>

#include "base/clock.h"

/* ---- where to read ---- */

/* The sequence of the message at position, for who comes there from elsewhere; 0: not known. What stands in a
 * window whose epoch is over may be of a lap before. */
static uint64_t peek_sequence(const struct reader *reader, uint64_t position)
{
    hermes_header_t header;
    uint64_t bytes;
    if (reader->in_store || window_poll(reader->data, reader->mask, position, &header, &bytes) != POLL_DATA ||
        !window_still_there(reader->window, position))
        return 0;
    return status_load_seal(reader->status) == reader->seal ? header.sequence : 0;
}

/* To where others are already, from where it was; sequence 0: not known. What they took in between is theirs;
 * how many messages that is, the sequences on both sides say if there is a gap between them (member.c). */
static void go_ahead(struct hermes_subscriber *s, uint64_t to, uint64_t position, uint64_t sequence)
{
    uint64_t there = peek_sequence(&s->reader, to);
    if (there == 0 && sequence != 0)
        s->member->left = (struct group_place){position, sequence - 1};
    reader_hop(&s->reader, to, there);
}

/* ---- messages that come again ---- */

/* Reads the message at position, wherever the reader is otherwise. 1: *message. */
static int fetch(struct hermes_subscriber *s, uint64_t position, hermes_message_t *message)
{
    struct reader *reader = &s->reader;
    uint64_t saved_position = reader->position, saved_sequence = reader->sequence;
    bool in_store = reader->in_store;
    member_start_at(reader, position);
    int rc = reader_poll(reader, message);
    reader_hop(reader, saved_position, saved_sequence);
    reader->in_store = in_store;
    reader->gap_from = 0; /* one message, and who claimed it counts it */
    return rc == 1 && message->position != position ? HERMES_EGONE : rc;
}

/* A claim that came to nothing: overwritten, removed by retention, damaged. Counted by who makes it done. */
static int give_up_reading(struct hermes_subscriber *s, uint64_t position, uint16_t claim, int rc)
{
    if (group_write_off(&s->member->group, position, claim))
        s->reader.lost++;
    return subscriber_failed(s, rc);
}

/* One that was claimed again. 1: *message; 0: nothing came of it. */
static int take_again(struct hermes_subscriber *s, uint64_t position, uint16_t claim,
                      hermes_message_t *message)
{
    struct member *m = s->member;
    int rc = fetch(s, position, message);
    m->pending = rc == 0 || rc == HERMES_EDISCONNECTED;
    m->pending_at = position;
    m->pending_claim = claim;
    if (m->pending || rc == HERMES_ECLOSED) /* the page goes with the log: the next one will have it */
        return rc < 0 ? subscriber_failed(s, rc) : rc;
    if (rc < 0)
        return give_up_reading(s, position, claim, rc);
    if (group_hand_out(&m->group, position, &claim) < 0) { /* reading may have taken long */
        if (!group_is_open(m->page))
            group_unclaim(&m->group, position, claim);
        return 0;
    }
    atomic_fetch_add_explicit(&m->page->redelivered, 1, memory_order_relaxed);
    message->claim = claim;
    return 1;
}

/* What the notice may be about. 1: *message; 0: go on with what is new; HERMES_EAGAIN: look again. */
static int look_at_news(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    while (group_has_news(&m->group) || m->pending) {
        if (!member_is_current(m)) {
            int rc = member_join_again(s);
            return rc < 0 || !member_is_current(m) ? rc : HERMES_EAGAIN;
        }
        uint64_t position = m->pending_at;
        uint16_t claim = m->pending_claim;
        if (!m->pending && !group_again(&m->group, &position, &claim))
            break;
        int rc = take_again(s, position, claim, message);
        if (rc != 0 || m->pending)
            return rc;
    }
    return 0;
}

/* ---- messages that nobody had ---- */

static int poll_new(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    struct reader *reader = &s->reader;
    for (;;) {
        uint64_t start = group_start(&m->group);
        if (__builtin_expect(reader->position < start, 0))
            go_ahead(s, start, reader->position, reader->sequence);
        uint64_t position = reader->position, sequence = reader->sequence;
        int rc = reader_poll(reader, message);
        if (__builtin_expect(rc == HERMES_EGONE, 0) && (start = group_start(&m->group)) > position) {
            reader->gap_from = 0; /* this member was overtaken; the group was not */
            go_ahead(s, start, position, sequence);
            continue;
        }
        if (rc <= 0)
            return rc < 0 ? member_pass_over(s, position, sequence, rc) : 0;
        if (__builtin_expect(m->in_gap, 0) && (rc = member_tell_gap(s, message)) < 0)
            return rc;
        enum group_claim claim = group_claim(&m->group, message->position);
        if (__builtin_expect(claim == GROUP_NO_ROOM, 0)) {
            reader_hop(reader, message->position, message->sequence);
            m->no_room = true;
            return 0;
        }
        group_passed(&m->group, reader->position, message->sequence);
        if (claim == GROUP_MINE) {
            message->claim = group_first_claim(&m->group);
            if (__builtin_expect(!group_is_open(m->page), 0)) {
                /* Another may get it by way of the next page, whether that knows of this claim or not. */
                group_unclaim(&m->group, message->position, message->claim);
                return 0;
            }
            return 1;
        }
    }
}

/* What does not count in a page that is to move, or that a broker closed, is said again: it may stay. */
static void ack_held(struct member *m)
{
    m->holds =
        __builtin_expect(group_ack(&m->group, m->held, m->held_claim) < 0, 0) && !group_is_open(m->page);
}

/* false: the broker that is there has given its line to another, or knows nothing of its page, and does not
 * answer. What it took now would be under a line that it does not have. */
static bool greets(struct hermes_subscriber *s)
{
    subscriber_greet_again(s);
    if (!subscriber_is_due(s) || !group_is_open(s->member->page))
        return true;
    return !s->member->page_is_lent && member_is_current(s->member);
}

int claims_poll(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    if (m->holds)
        ack_held(m);
    m->no_room = false;
    int rc = 0;
    if (__builtin_expect(subscriber_is_due(s), 0)) {
        if (subscriber_goes_over(s) && (rc = subscriber_failed(s, HERMES_ECLOSED)) < 0)
            return rc;
        if (subscriber_goes_over(s) || !greets(s))
            return 0;
    }
    if (__builtin_expect(group_has_news(&m->group) || m->pending, 0)) {
        do
            rc = look_at_news(s, message);
        while (rc == HERMES_EAGAIN);
        if (rc == 0 && (m->pending || !member_is_current(m)))
            return 0;
    }
    if (rc == 0)
        rc = poll_new(s, message);
    if (rc == 1) {
        m->held = message->position;
        m->held_claim = message->claim;
        m->holds = m->ack == HERMES_ACK_AUTO;
    }
    return rc;
}

/* ---- acknowledging ---- */

/* The member of a group that this subscriber is, after a greeting if a new broker is there: what it does not
 * hear of, it gives to others. */
static struct member *member_of(hermes_subscriber_t *s)
{
    struct member *m = s->member;
    if (m == NULL || m->durable) {
        error_say(&s->client->error, HERMES_EINVALID, "this subscriber of topic '%s' is in no group",
                  s->topic);
        return NULL;
    }
    subscriber_greet_if_due(s);
    return m;
}

static int failed(hermes_subscriber_t *s, const hermes_message_t *message, int rc)
{
    return error_set(&s->client->error, rc, "message %" PRIu64 " of topic '%s'", message->sequence, s->topic);
}

/* Asking for the next message does not ack what was just spoken of. */
static int told(hermes_subscriber_t *s, const hermes_message_t *message, int rc)
{
    struct member *m = s->member;
    if (m->holds && m->held == message->position && m->held_claim == message->claim)
        m->holds = false;
    return rc < 0 ? failed(s, message, rc) : rc;
}

/* What is said of a page that is nobody's any more has no effect. */
static bool is_expired(const struct hermes_subscriber *s)
{
    return __builtin_expect(subscriber_is_orphan(s), 0);
}

/* It has the message again, and was not given it yet: its word may be that of the time before. An ack holds
 * all the same, as one of what nobody has. */
static bool is_had_again(const struct member *m, const hermes_message_t *message)
{
    return m->pending && m->pending_at == message->position;
}

/* Through a connection. */
static int say_afar(hermes_subscriber_t *s, enum wire_type type, const hermes_message_t *message)
{
    int rc = far_member_say(s->inflow, type, message, clock_deadline_ns(s->client->request_timeout_ns));
    return rc < 0 ? failed(s, message, rc) : rc;
}

static bool is_far_member(const hermes_subscriber_t *s)
{
    return s->member != NULL && s->inflow != NULL;
}

int hermes_ack(hermes_subscriber_t *s, const hermes_message_t *message)
{
    struct member *m = s->member;
    if (is_far_member(s))
        return say_afar(s, WIRE_ACK, message);
    if (m != NULL && m->durable) {
        int rc = durable_ack(s, message);
        return rc < 0 ? failed(s, message, rc) : rc;
    }
    m = member_of(s);
    if (m == NULL)
        return HERMES_EINVALID;
    return told(s, message,
                is_expired(s) ? HERMES_EEXPIRED : group_ack(&m->group, message->position, message->claim));
}

int hermes_nack(hermes_subscriber_t *s, const hermes_message_t *message)
{
    if (is_far_member(s) && !s->member->durable)
        return say_afar(s, WIRE_NACK, message);
    struct member *m = member_of(s);
    if (m == NULL)
        return HERMES_EINVALID;
    return told(s, message,
                is_expired(s) || is_had_again(m, message)
                    ? HERMES_EEXPIRED
                    : group_nack(&m->group, message->position, message->claim));
}

int hermes_renew(hermes_subscriber_t *s, const hermes_message_t *message)
{
    if (is_far_member(s) && !s->member->durable)
        return say_afar(s, WIRE_RENEW, message);
    struct member *m = member_of(s);
    if (m == NULL)
        return HERMES_EINVALID;
    int rc = is_expired(s) || is_had_again(m, message)
                 ? HERMES_EEXPIRED
                 : group_renew(&m->group, message->position, message->claim);
    return rc < 0 ? failed(s, message, rc) : rc;
}

unsigned hermes_deliveries(const hermes_subscriber_t *s, const hermes_message_t *message)
{
    const struct member *m = s->member;
    if (is_far_member(s))
        return far_member_deliveries(s->inflow, message);
    return m == NULL || m->durable ? 1 : group_deliveries(&m->group, message->position, message->claim);
}
