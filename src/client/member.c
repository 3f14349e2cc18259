/* Members of groups, and durable subscriptions: whose turn is it, and when is a message done? */
#include "client/subscriber.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* ---- opening ---- */

int member_new(struct hermes_client *client, const hermes_subscriber_options_t *options, struct member **out)
{
    struct member *member = calloc(1, sizeof *member);
    if (member == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a member");
    member->durable = options->name != NULL;
    member->from = options->from;
    member->ack = options->ack;
    const char *name = member->durable ? options->name : options->group;
    int rc = hermes_topic_name_check(name);
    if (rc < 0) {
        free(member);
        return error_set(&client->error, rc, "'%.140s', the name of a group or durable subscription", name);
    }
    memcpy(member->name, name, strlen(name) + 1);
    *out = member;
    return HERMES_OK;
}

void member_free(struct member *member)
{
    if (member == NULL)
        return;
    map_release(&member->page_map);
    free(member);
}

void member_request(const struct member *member, struct wire_subscriber_open *request)
{
    memcpy(request->group, member->name, sizeof request->group);
    request->durable = member->durable;
    request->from = member->from;
    request->resume_page = member->page_id;
    request->resume_member = member->id;
    request->resume_line = member->line;
}

int member_adopt(struct hermes_client *client, struct member *member, const struct wire_subscriber *opened)
{
    struct map map;
    uint32_t slots;
    int rc = client_map(client, 2, 0, MAP_READ_WRITE, &map);
    if (rc < 0)
        return rc;
    struct group_page *page = map.address;
    struct group_member fresh;
    rc = group_page_check(page, map.size, &slots);
    if (rc == 0 && member->durable && slots != 0)
        rc = HERMES_EMALFORMED;
    if (rc == 0 && !member->durable)
        rc = group_member_init(&fresh, page, map.size, opened->line, opened->member,
                               member->ack == HERMES_ACK_NONE);
    if (rc < 0) {
        map_release(&map);
        return error_set(&client->error, rc, "the page of group '%s'", member->name);
    }
    map_release(&member->page_map);
    member->page_map = map;
    member->page = page;
    if (!member->durable)
        member->group = fresh;
    /* What is in hand is still ours if we are who we were. */
    if (member->page_id != opened->page || member->id != opened->member)
        member->pending = member->holds = false;
    member->page_id = opened->page;
    member->id = opened->member;
    member->line = opened->line;
    return HERMES_OK;
}

/* ---- where to read ---- */

/* The sequence of the frame at position, for who comes there from elsewhere; 0: not known. */
static uint64_t peek_sequence(const struct reader *reader, uint64_t position)
{
    const uint8_t *frame = reader->data + (position & reader->mask);
    hermes_header_t header;
    if (reader->in_store ||
        atomic_load_explicit((const _Atomic uint64_t *)(const void *)frame, memory_order_acquire) == 0)
        return 0;
    window_copy_out((uint8_t *)&header + 8, frame + 8, sizeof header - 8);
    return window_still_there(reader->window, position) ? header.sequence : 0;
}

static void hop(struct reader *reader, uint64_t position)
{
    reader_hop(reader, position, peek_sequence(reader, position));
}

static void start_at(struct reader *reader, uint64_t position)
{
    reader->in_store = reader->skipping = false;
    reader_hop(reader, position, 0);
}

int member_start(struct hermes_subscriber *s)
{
    struct member *m = s->member;
    uint64_t position =
        m->durable ? atomic_load_explicit(&m->page->floor, memory_order_acquire) : group_start(&m->group);
    start_at(&s->reader, position & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1));
    m->no_room = false;
    return HERMES_OK;
}

/* ---- another page ---- */

bool member_is_current(const struct member *m)
{
    return atomic_load_explicit(&m->page->state, memory_order_acquire) == GROUP_OPEN &&
           atomic_load_explicit(&m->page->members[m->line].id, memory_order_relaxed) == m->id;
}

/* The group was reset, the broker stopped, or took us for dead: begins anew as another member. 0: not yet. */
static int join_again(struct hermes_subscriber *s)
{
    struct member *m = s->member;
    if (atomic_load_explicit(&m->page->state, memory_order_acquire) == GROUP_DELETED)
        return error_set(&s->client->error, HERMES_ECLOSED, "'%s' of topic '%s' was deleted", m->name,
                         s->topic);
    subscriber_close_handle(s);
    int rc = subscriber_attach_again(s);
    return rc == HERMES_EDISCONNECTED ? 0 : rc;
}

/* ---- messages that come again ---- */

/* Reads the message at position, wherever the reader is otherwise. 1: *message. */
static int fetch(struct hermes_subscriber *s, uint64_t position, hermes_message_t *message)
{
    struct reader *reader = &s->reader;
    uint64_t saved_position = reader->position, saved_sequence = reader->sequence;
    bool in_store = reader->in_store;
    start_at(reader, position);
    int rc = reader_poll(reader, message);
    reader_hop(reader, saved_position, saved_sequence);
    reader->in_store = in_store;
    return rc == 1 && message->position != position ? HERMES_EGONE : rc;
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
    if (m->pending)
        return rc < 0 ? subscriber_failed(s, rc) : rc;
    if (rc == HERMES_ECLOSED) /* the page goes with the log: the next one will have it */
        return subscriber_failed(s, rc);
    if (rc < 0) { /* overwritten, removed by retention, damaged */
        atomic_fetch_add_explicit(&m->page->lost, 1, memory_order_relaxed);
        (void)group_ack(&m->group, position, claim);
        return subscriber_failed(s, rc);
    }
    message->claim = claim;
    return 1;
}

/* What the notice may be about. 1: *message; 0: go on with what is new. */
static int look_at_news(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    while (group_has_news(&m->group) || m->pending) {
        if (!member_is_current(m)) {
            int rc = join_again(s);
            return rc < 0 || !member_is_current(s->member) ? rc : HERMES_EAGAIN;
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

/* ---- polling ---- */

static void ack_held(struct member *m)
{
    m->holds = false;
    if (m->durable) {
        atomic_store_explicit(&m->page->cursor_sequence, m->held_sequence, memory_order_relaxed);
        atomic_store_explicit(&m->page->floor, m->held, memory_order_release);
    } else {
        (void)group_ack(&m->group, m->held, m->held_claim);
    }
}

static int poll_durable(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    if (m->holds)
        ack_held(m);
    if (__builtin_expect(!member_is_current(m), 0)) {
        int rc = join_again(s);
        if (rc < 0 || !member_is_current(s->member))
            return rc;
    }
    subscriber_greet_if_due(s);
    int rc = reader_poll(&s->reader, message);
    if (rc == 1) {
        m->held = s->reader.position;
        m->held_sequence = message->sequence;
        m->holds = m->ack == HERMES_ACK_AUTO;
    }
    return rc < 0 ? subscriber_failed(s, rc) : rc;
}

/* What cannot be read is passed over once, by one member, who tells. */
static int pass_over(struct hermes_subscriber *s, int rc)
{
    struct member *m = s->member;
    if (rc == HERMES_ECLOSED || rc == HERMES_EDISCONNECTED)
        return subscriber_failed(s, rc);
    if (rc == HERMES_EGONE && m->gap_after == 0)
        m->gap_after = atomic_load_explicit(&m->page->cursor_sequence, memory_order_relaxed);
    else if (rc == HERMES_ECHECKSUM || rc == HERMES_ECORRUPT)
        atomic_fetch_add_explicit(&m->page->lost, 1, memory_order_relaxed);
    group_passed(&m->group, s->reader.position,
                 atomic_load_explicit(&m->page->cursor_sequence, memory_order_relaxed));
    return subscriber_failed(s, rc);
}

static void note_gap(struct member *m, const hermes_message_t *message)
{
    if (__builtin_expect(m->gap_after != 0, 0) && message->sequence > m->gap_after) {
        atomic_fetch_add_explicit(&m->page->lost, message->sequence - m->gap_after - 1, memory_order_relaxed);
        m->gap_after = 0;
    }
}

static int poll_new(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    struct reader *reader = &s->reader;
    for (;;) {
        uint64_t start = group_start(&m->group);
        if (__builtin_expect(reader->position < start, 0))
            hop(reader, start);
        uint64_t position = reader->position;
        int rc = reader_poll(reader, message);
        if (__builtin_expect(rc == HERMES_EGONE, 0) && (start = group_start(&m->group)) > position) {
            reader->gap_from = 0; /* this member was overtaken; the group was not */
            hop(reader, start);
            continue;
        }
        if (rc <= 0)
            return rc < 0 ? pass_over(s, rc) : 0;
        enum group_claim claim = group_claim(&m->group, message->position);
        if (__builtin_expect(claim == GROUP_NO_ROOM, 0)) {
            hop(reader, message->position);
            m->no_room = true;
            return 0;
        }
        group_passed(&m->group, reader->position, message->sequence);
        if (claim == GROUP_MINE) {
            note_gap(m, message);
            message->claim = group_first_claim(&m->group);
            return 1;
        }
    }
}

int member_poll(struct hermes_subscriber *s, hermes_message_t *message)
{
    struct member *m = s->member;
    if (m->durable)
        return poll_durable(s, message);
    if (m->holds)
        ack_held(m);
    m->no_room = false;
    subscriber_greet_if_due(s);
    int rc = 0;
    if (__builtin_expect(group_has_news(&m->group) || m->pending, 0)) {
        while ((rc = look_at_news(s, message)) == HERMES_EAGAIN)
            m = s->member;
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

/* ---- waiting ---- */

bool member_ready(const struct hermes_subscriber *s)
{
    const struct member *m = s->member;
    if (!m->durable && group_has_news(&m->group))
        return true;
    return !m->no_room && reader_ready(&s->reader);
}

bool member_park(struct hermes_subscriber *s, struct futex_word words[2], unsigned *count)
{
    struct member *m = s->member;
    *count = 0;
    if (!m->durable)
        words[(*count)++] = (struct futex_word){&m->page->notice, m->group.seen};
    if (!m->no_room) {
        words[*count].word = &s->reader.window->bell;
        if (reader_park(&s->reader, &words[(*count)++].expected))
            return true;
    }
    return member_ready(s);
}

int member_wait(struct hermes_subscriber *s, uint64_t timeout_ns, uint64_t spin_ns)
{
    uint64_t start = clock_monotonic_ns(), now = start;
    while (now - start < spin_ns && now - start < timeout_ns) {
        for (int i = 0; i < 64; i++) {
            if (member_ready(s))
                return HERMES_OK;
            cpu_relax();
        }
        now = clock_monotonic_ns();
    }
    struct futex_word words[2];
    unsigned count;
    if (member_park(s, words, &count))
        return HERMES_OK;
    now = clock_monotonic_ns();
    uint64_t most = reader_longest_sleep(&s->reader), left = timeout_ns;
    left = now - start < left ? left - (now - start) : 0;
    int rc = futex_wait_any(words, count, left < most ? left : most);
    if (rc == HERMES_ENOTSUP) /* one word alone, and not for long */
        rc = futex_wait(words[count - 1].word, words[count - 1].expected, left < 1000000 ? left : 1000000);
    return rc == HERMES_EINTERRUPTED ? rc : HERMES_OK;
}

/* ---- acknowledging ---- */

static struct member *group_member_of_subscriber(hermes_subscriber_t *s, int *rc)
{
    struct member *m = s->member;
    *rc = HERMES_OK;
    if (m == NULL || m->durable) {
        *rc = error_set(&s->client->error, HERMES_EINVALID, "this subscriber of topic '%s' is in no group",
                        s->topic);
        return NULL;
    }
    return m;
}

static int told(hermes_subscriber_t *s, const hermes_message_t *message, int rc)
{
    struct member *m = s->member;
    if (m->holds && m->held == message->position && m->held_claim == message->claim)
        m->holds = false;
    if (rc < 0)
        error_set(&s->client->error, rc, "message %" PRIu64 " of topic '%s'", message->sequence, s->topic);
    return rc;
}

int hermes_ack(hermes_subscriber_t *s, const hermes_message_t *message)
{
    int rc;
    struct member *m = s->member;
    if (m != NULL && m->durable) {
        m->held = message->position + hermes_frame_bytes(message->length);
        m->held_sequence = message->sequence;
        ack_held(m);
        return HERMES_OK;
    }
    if ((m = group_member_of_subscriber(s, &rc)) == NULL)
        return rc;
    return told(s, message, group_ack(&m->group, message->position, message->claim));
}

int hermes_nack(hermes_subscriber_t *s, const hermes_message_t *message)
{
    int rc;
    struct member *m = group_member_of_subscriber(s, &rc);
    if (m == NULL)
        return rc;
    return told(s, message, group_nack(&m->group, message->position, message->claim));
}

int hermes_renew(hermes_subscriber_t *s, const hermes_message_t *message)
{
    int rc;
    struct member *m = group_member_of_subscriber(s, &rc);
    if (m == NULL)
        return rc;
    rc = group_renew(&m->group, message->position, message->claim);
    if (rc < 0)
        error_set(&s->client->error, rc, "message %" PRIu64 " of topic '%s'", message->sequence, s->topic);
    return rc;
}

unsigned hermes_deliveries(const hermes_subscriber_t *s, const hermes_message_t *message)
{
    const struct member *m = s->member;
    return m == NULL || m->durable ? 1 : group_deliveries(&m->group, message->position);
}
