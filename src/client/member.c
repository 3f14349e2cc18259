/* What members of groups and holders of durable subscriptions have in common: a page, and a place in it. */
#include "client/subscriber.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    request->resume_made = member->page != NULL ? member->page->made : 0;
}

bool member_is_another(const struct member *member, const struct wire_subscriber *opened)
{
    return member->page_id != opened->page || member->id != opened->member;
}

/* One that was made anew from the record has the id of the former one, which is over, or was lent. */
static bool is_the_same_page(const struct member *member, const struct wire_subscriber *opened)
{
    return member->page != NULL && member->page_id == opened->page && !member->page_is_lent &&
           group_is_open(member->page);
}

int member_adopt(struct hermes_client *client, const struct member *member,
                 const struct wire_subscriber *opened, int page_fd, struct member *next)
{
    uint32_t slots;
    *next = *member;
    next->page_map = (struct map){0};
    /* Of a user whom the broker does not trust it is a sealed memfd; else a file, which outlives the broker.
     */
    struct stat status;
    next->page_is_lent = fstat(page_fd, &status) == 0 && status.st_nlink == 0;
    int rc = client_map_fd(client, page_fd, 0, MAP_READ_WRITE, &next->page_map);
    if (rc < 0)
        return rc;
    struct group_page *page = next->page = next->page_map.address;
    rc = group_page_check(page, next->page_map.size, &slots);
    if (rc == 0 && member->durable && slots != 0)
        rc = HERMES_EMALFORMED;
    if (rc == 0 && !member->durable)
        rc = group_member_init(&next->group, page, next->page_map.size, opened->line, opened->member,
                               member->ack == HERMES_ACK_NONE);
    if (rc == 0 && !member->durable && is_the_same_page(member, opened))
        group_member_was(&next->group, &member->group);
    if (rc == 0 && member->durable && opened->line != 0)
        rc = HERMES_EMALFORMED;
    if (rc < 0) {
        map_release(&next->page_map);
        return error_set(&client->error, rc, "the page of group '%s'", member->name);
    }
    /* The broker has written it before it told us of the line. */
    next->claim =
        (uint16_t)atomic_load_explicit(&page->members[opened->line].generation, memory_order_relaxed);
    /* What is in hand is still ours if we are who we were. */
    if (member_is_another(member, opened)) {
        next->pending = next->holds = next->in_gap = next->gap_is_untold = false;
        next->given_to = 0;
        /* Another had the place since: what it left undone comes first. */
        if (atomic_load_explicit(&page->members[opened->line].known, memory_order_relaxed) != member->id)
            next->sought.page = 0;
    }
    next->page_id = opened->page;
    next->id = opened->member;
    next->line = opened->line;
    return HERMES_OK;
}

void member_become(struct member *member, const struct member *next)
{
    member_hand_on(member, 0); /* it may have lain down since it asked, and next does not know of that */
    map_release(&member->page_map);
    *member = *next;
}

/* ---- where to read ---- */

void member_start_at(struct reader *reader, uint64_t position)
{
    reader->in_store = reader->skipping = false;
    reader->gap_from = 0;
    reader_hop(reader, position, position == 0 ? 1 : 0);
}

void member_sought(struct hermes_subscriber *s)
{
    const struct reader *reader = &s->reader;
    s->member->sought = (struct sought){.page = s->member->page_id,
                                        .position = reader->position,
                                        .sequence = reader->sequence,
                                        .below_sequence = reader->skip_below_sequence,
                                        .below_time = reader->skip_below_time};
}

static bool looks_for_something(const struct sought *sought)
{
    return sought->below_sequence != 0 || sought->below_time != 0;
}

/* What was looked for stands there, now that it was found: to look again from where that began would pass
 * over what is older, and is done or not for other reasons. */
static void settle(struct sought *sought, const struct reader *reader)
{
    if (looks_for_something(sought) && reader->found != READER_NOTHING_FOUND)
        *sought = (struct sought){.page = sought->page, .position = reader->found};
}

static void seek_again(struct reader *reader, const struct sought *sought)
{
    reader->skip_below_sequence = sought->below_sequence;
    reader->skip_below_time = sought->below_time;
    reader->skipping = looks_for_something(sought);
    reader_hop(reader, sought->position, sought->sequence);
}

/* What was given out behind its place, or behind where it was sought to, counts no more and comes again; what
 * lies before its place is done, and need not. */
static void start_at_place(struct hermes_subscriber *s, uint64_t place)
{
    struct reader *reader = &s->reader;
    struct sought *sought = &s->member->sought;
    if (sought->page != s->member->page_id || !reader->stored) /* a log in memory has begun anew */
        sought->page = 0;
    settle(sought, reader);
    bool is_ahead = sought->page != 0 && (looks_for_something(sought) || sought->position >= place);
    if (sought->page != 0 && reader->position < (is_ahead ? sought->position : place))
        return; /* on the way there */
    member_start_at(reader, place);
    if (is_ahead)
        seek_again(reader, sought);
}

int member_start(struct hermes_subscriber *s)
{
    struct member *m = s->member;
    uint64_t position =
        m->durable ? atomic_load_explicit(&m->page->floor, memory_order_acquire) : group_start(&m->group);
    position &= ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
    if (m->durable)
        start_at_place(s, position);
    else
        member_start_at(&s->reader, position);
    m->no_room = m->in_gap = m->gap_is_untold = false;
    m->left = (struct group_place){0, 0};
    return HERMES_OK;
}

/* ---- another page ---- */

bool member_is_current(const struct member *m)
{
    return atomic_load_explicit(&m->page->state, memory_order_acquire) == GROUP_OPEN &&
           atomic_load_explicit(&m->page->members[m->line].id, memory_order_relaxed) == m->id;
}

void member_is_gone(struct member *m)
{
    atomic_store(&m->page->state, (uint32_t)GROUP_DELETED); /* nobody else's page by now */
    group_tell(m->page);
}

int member_join_again(struct hermes_subscriber *s)
{
    struct member *m = s->member;
    uint32_t state = atomic_load_explicit(&m->page->state, memory_order_acquire);
    if (state == GROUP_MOVING) /* it may stay what it is, and all that we hold with it */
        return HERMES_OK;
    if (state == GROUP_DELETED)
        return error_say(&s->client->error, HERMES_ECLOSED, "'%s' of topic '%s' was deleted", m->name,
                         s->topic);
    subscriber_close_handle(s, 0);
    int rc = subscriber_attach_again(s);
    return rc == HERMES_EDISCONNECTED ? 0 : rc;
}

/* ---- what is gone ---- */

static const uint64_t not_known = UINT64_MAX;

/* Where a gap begins, for who comes to position from elsewhere. It says itself where it was before, as long
 * as the words of all that others took since stand in the page; else the page does, 0 of the beginning alone.
 */
static struct group_place place_before(const struct member *m, uint64_t position)
{
    if (!m->durable && m->left.position != 0 && position - m->left.position <= (m->group.mask + 1) << 6)
        return m->left;
    struct group_place edge = group_edge(m->page);
    if (m->durable)
        edge.position = position;
    if (edge.sequence == 0 && edge.position != 0)
        edge.sequence = not_known;
    return edge;
}

/* A reader at position could not go on there. A reader that came message by message knows the sequence that
 * it expected, and all before it is somebody's. */
static void begin_gap(struct hermes_subscriber *s, uint64_t position, uint64_t sequence)
{
    struct member *m = s->member;
    if (m->in_gap)
        return;
    m->in_gap = true;
    m->before_gap = sequence != 0 ? (struct group_place){position, sequence - 1} : place_before(m, position);
}

void member_end_gap(struct hermes_subscriber *s, uint64_t position, uint64_t sequence)
{
    struct member *m = s->member;
    const struct group_gap gap = {m->before_gap.position, m->before_gap.sequence, position, sequence - 1};
    m->in_gap = false;
    if (gap.after != not_known)
        s->reader.lost += group_note_gap(m->page, m->durable ? 0 : m->group.mask, &gap);
    if (!m->durable)
        group_passed(&m->group, position, sequence - 1);
}

/* Goes on to where there is something to read, which says how much is gone, and stands there. What is not
 * there yet will say it. */
static int find_the_end_of_the_gap(struct hermes_subscriber *s)
{
    struct reader *reader = &s->reader;
    hermes_message_t next;
    int rc = HERMES_EGONE;
    for (int i = 0; i < 64 && rc == HERMES_EGONE; i++) { /* a publisher may be faster, but for how long? */
        rc = reader_poll(reader, &next);
        reader->gap_from = 0;
    }
    if (rc == 1)
        reader_hop(reader, next.position, next.sequence);
    if (rc >= 0 && reader->sequence != 0)
        member_end_gap(s, reader->position, reader->sequence);
    return rc;
}

int member_pass_over(struct hermes_subscriber *s, uint64_t position, uint64_t sequence, int rc)
{
    struct reader *reader = &s->reader;
    reader->gap_from = 0; /* members count for themselves: one message may be looked for by several */
    /* A frame that its publisher spoilt is not passed over before the broker has said what is to become of
     * it. */
    if (rc == HERMES_ECLOSED || rc == HERMES_EDISCONNECTED || reader->position == position)
        return subscriber_failed(s, rc);
    struct error_text why = reader->error;
    begin_gap(s, position, sequence);
    int left = find_the_end_of_the_gap(s);
    /* It is told once it is counted, to who does that. The broker may have to say more first, or nothing is
     * left, and what comes next says it. */
    s->member->gap_is_untold = rc == HERMES_EGONE && s->member->in_gap;
    if (s->member->gap_is_untold)
        return left == HERMES_EDISCONNECTED ? subscriber_failed(s, left) : 0;
    reader->error = why;
    return subscriber_failed(s, rc);
}

int member_tell_gap(struct hermes_subscriber *s, const hermes_message_t *message)
{
    struct member *m = s->member;
    uint64_t lost = s->reader.lost;
    bool is_untold = m->gap_is_untold, is_counted = m->before_gap.sequence != not_known;
    m->gap_is_untold = false;
    member_end_gap(s, message->position, message->sequence);
    if (!is_untold || (is_counted && s->reader.lost == lost)) /* another found it, and was told */
        return 0;
    reader_hop(&s->reader, message->position, message->sequence);
    return subscriber_failed(s, error_say(&s->reader.error, HERMES_EGONE,
                                          "older messages were removed: going on at position %" PRIu64,
                                          message->position));
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
        words[(*count)++] = (struct futex_word){&m->page->notice, m->group.look.seen};
    if (!m->no_room) {
        words[*count].word = &s->reader.window->bell;
        if (reader_park(&s->reader, &words[(*count)++].expected))
            return true;
    }
    return member_ready(s);
}

void member_hand_on(struct member *member, int rc)
{
    if (member != NULL)
        group_hand_on(&member->group, rc != 0);
}

/* What to sleep on without a descriptor. One of a group's members looks for all, of those that can take what
 * is new. */
static bool lie_down(struct hermes_subscriber *s, struct futex_word words[2], unsigned *count)
{
    struct member *m = s->member;
    bool is_able = !m->durable && !m->no_room && !m->pending;
    if (!is_able)
        member_hand_on(m, 0);
    if (!is_able || group_keep_watch(&m->group))
        return member_park(s, words, count);
    words[0] = (struct futex_word){&m->page->notice, m->group.look.seen};
    words[1] = (struct futex_word){&m->page->watch, m->group.slept_by};
    *count = 2;
    return false; /* who watches looks */
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
    if (lie_down(s, words, &count))
        return HERMES_OK;
    now = clock_monotonic_ns();
    uint64_t most = reader_longest_sleep(&s->reader), left = timeout_ns;
    left = now - start < left ? left - (now - start) : 0;
    int rc = futex_wait_any(words, count, left < most ? left : most);
    if (rc == HERMES_ENOTSUP) /* one word alone, and not for long */
        rc = futex_wait(words[count - 1].word, words[count - 1].expected, left < 1000000 ? left : 1000000);
    return rc == HERMES_EINTERRUPTED ? rc : HERMES_OK;
}
