#include "broker/stream/delegate.h"

#include <stdlib.h>

/* ---- coming and going ---- */

/* Has nobody had the durable subscription since that member? */
static bool continues(const struct party *party, const struct wire_subscriber *opened,
                      const struct wire_subscriber_open *former)
{
    const struct group_line *line = &party->page->members[opened->line];
    return former->resume_page == party->page_id && former->resume_member != 0 &&
           (opened->member == former->resume_member ||
            atomic_load_explicit(&line->known, memory_order_relaxed) == former->resume_member);
}

/* It says that it was that member of this page, whom nobody else has followed in its line. */
static void remember_former(struct delegate *member, const struct wire_subscriber_open *former)
{
    struct group_page *page = member->party->page;
    uint32_t line = former->resume_line;
    if (former->resume_page != member->party->page_id || former->resume_member == 0 || line >= GROUP_MEMBERS)
        return;
    const struct group_line *was = &page->members[line];
    unsigned generation = atomic_load_explicit(&was->generation, memory_order_relaxed);
    if (line == member->line ||
        atomic_load_explicit(&was->last, memory_order_relaxed) != former->resume_member ||
        generation > GROUP_GENERATIONS)
        return;
    member->group.line_before = line;
    member->group.generation_before = generation;
}

int delegate_new(struct party *party, const struct wire_subscriber *opened,
                 const struct wire_member_open *former, struct delegate **out)
{
    struct delegate *member = calloc(1, sizeof *member);
    if (member == NULL)
        return HERMES_ENOMEM;
    member->party = party;
    member->line = opened->line;
    member->id = opened->member;
    member->least = former->least;
    member->claim =
        (uint16_t)atomic_load_explicit(&party->page->members[opened->line].generation, memory_order_relaxed);
    int rc = party->mask == 0 ? HERMES_OK
                              : group_member_init(&member->group, party->page, party->map.size, opened->line,
                                                  opened->member, former->at_most_once != 0);
    if (rc < 0) {
        free(member);
        return rc;
    }
    if (party->mask != 0)
        remember_former(member, &former->subscriber);
    else
        member->continues = continues(party, opened, &former->subscriber);
    *out = member;
    return HERMES_OK;
}

void delegate_free(struct delegate *member)
{
    if (member == NULL)
        return;
    party_leave(member->party);
    free(member->gifts);
    free(member);
}

int delegate_state(const struct delegate *member)
{
    const struct group_page *page = member->party->page;
    switch (atomic_load(&page->state)) {
    case GROUP_OPEN:
        return atomic_load_explicit(&page->members[member->line].id, memory_order_relaxed) == member->id
                   ? HERMES_OK
                   : HERMES_EEXPIRED;
    case GROUP_MOVED:
        return HERMES_EEXPIRED;
    case GROUP_DELETED:
        return HERMES_ECLOSED;
    default: /* it may stay what it is; or the broker stops */
        return HERMES_EAGAIN;
    }
}

uint64_t delegate_start(const struct delegate *member)
{
    const struct group_page *page = member->party->page;
    return group_sane(delegate_is_durable(member) ? atomic_load_explicit(&page->floor, memory_order_acquire)
                                                  : group_start(&member->group));
}

/* ---- what is gone ---- */

/* Told with what it gets next; or by itself, where that is nothing. */
static void note_lost(struct delegate *member, uint64_t count)
{
    member->lost += count;
    member->has_all = member->has_all && count == 0;
}

void delegate_begin_gap(struct delegate *member, uint64_t position, uint64_t sequence, int why)
{
    const struct group_page *page = member->party->page;
    member->why = why;
    if (member->in_gap)
        return;
    member->in_gap = true;
    member->before_gap = (struct group_place){position, sequence - 1};
    if (sequence != 0)
        return;
    /* The page knows; 0 it says of the beginning alone. */
    struct group_place edge = group_edge(page);
    if (!delegate_is_durable(member))
        member->before_gap.position = edge.position;
    member->before_gap.sequence =
        edge.sequence != 0 || member->before_gap.position == 0 ? edge.sequence : UINT64_MAX;
}

void delegate_end_gap(struct delegate *member, uint64_t position, uint64_t sequence)
{
    struct party *party = member->party;
    if (!member->in_gap)
        return;
    member->in_gap = false;
    const struct group_place *before = &member->before_gap;
    const struct group_gap gap = {before->position, before->sequence, position, sequence - 1};
    if (before->sequence != UINT64_MAX)
        note_lost(member, group_note_gap(party->page, party->mask, &gap));
    if (!delegate_is_durable(member))
        group_passed(&member->group, position, sequence - 1);
}

/* ---- what it is given ---- */

int delegate_begin(struct delegate *member)
{
    if (member->gifts == NULL && (member->gifts = malloc(sizeof *member->gifts)) == NULL)
        return HERMES_ENOMEM;
    member->gifts->count = 0;
    member->gifts->bytes = member->gifts->credit = 0;
    return HERMES_OK;
}

static uint64_t credit_of(const struct delegate *member, uint64_t bytes)
{
    return bytes > member->least ? bytes : member->least;
}

static bool fits(const struct delegate *member, uint64_t bytes, uint64_t credit)
{
    const struct gifts *gifts = member->gifts;
    return gifts->count < DELEGATE_GIFTS && bytes <= sizeof gifts->frames - gifts->bytes &&
           gifts->credit + credit_of(member, bytes) <= credit;
}

static void add(struct delegate *member, const struct frame *frame, uint16_t claim, unsigned deliveries)
{
    struct gifts *gifts = member->gifts;
    gifts->list[gifts->count++] =
        (struct wire_gift){.position = frame->position, .claim = claim, .deliveries = (uint16_t)deliveries};
    memcpy(gifts->frames + gifts->bytes, frame->payload - HERMES_HEADER_BYTES, frame->bytes);
    gifts->bytes += frame->bytes;
    gifts->credit += credit_of(member, frame->bytes);
}

int delegate_wants_again(struct delegate *member, uint64_t credit, bool *looks_on)
{
    const struct gifts *gifts = member->gifts;
    struct party *party = member->party;
    uint64_t left = credit - gifts->credit, least = credit_of(member, HERMES_FRAME_ALIGNMENT);
    *looks_on = false;
    if (member->pending)
        return 1;
    if (gifts->count == DELEGATE_GIFTS || left < least || left < member->short_of)
        return 0;
    member->short_of = 0;
    int rc = group_again_within(&member->group, &party->look, &party->words, &member->pending_at,
                                &member->pending_claim);
    member->pending = rc > 0;
    *looks_on = rc < 0 || (rc == 0 && group_look_has_news(&party->look, party->page));
    return rc;
}

void delegate_pass_on(struct delegate *member, uint64_t bytes)
{
    member->pending = false;
    member->short_of = bytes;
    group_put_back(&member->group, &member->party->look, member->pending_at, member->pending_claim);
}

int delegate_take_again(struct delegate *member, const struct frames *frames, uint64_t credit)
{
    struct frames copy = *frames;
    struct frame frame;
    uint16_t claim = member->pending_claim;
    int rc = frames_next(&copy, &frame);
    if (rc <= 0 || frame.header.type != HERMES_TYPE_DATA) {
        delegate_write_off(member, rc < 0 ? rc : HERMES_ECORRUPT);
        return HERMES_OK;
    }
    if (credit_of(member, frame.bytes) > credit - member->gifts->credit) {
        delegate_pass_on(member, credit_of(member, frame.bytes));
        return HERMES_OK;
    }
    if (!fits(member, frame.bytes, credit))
        return HERMES_EBUSY;
    member->pending = false;
    if (group_hand_out(&member->group, frame.position, &claim) < 0) { /* finding it may have taken long */
        if (!group_is_open(member->party->page))
            group_unclaim(&member->group, frame.position, claim);
        return HERMES_OK;
    }
    atomic_fetch_add_explicit(&member->party->page->redelivered, 1, memory_order_relaxed);
    add(member, &frame, claim, group_deliveries(&member->group, frame.position, claim));
    return HERMES_OK;
}

void delegate_write_off(struct delegate *member, int why)
{
    member->pending = false;
    if (!group_write_off(&member->group, member->pending_at, member->pending_claim))
        return;
    note_lost(member, 1);
    member->why = why;
}

static enum group_claim claim(struct delegate *member, const struct frame *frame, uint64_t end)
{
    struct group_member *group = &member->group;
    enum group_claim claimed = group_claim(group, frame->position);
    if (claimed == GROUP_NO_ROOM)
        return claimed;
    group_passed(group, end, frame->header.sequence);
    if (claimed == GROUP_MINE)
        add(member, frame, group_first_claim(group), 1);
    return claimed;
}

int delegate_take_new(struct delegate *member, struct frames *frames, uint64_t credit)
{
    struct frame frame;
    while (frames->position < frames->end) {
        struct frames before = *frames;
        int rc = frames_next_message(frames, &frame);
        if (rc <= 0)
            return rc;
        if (frame.header.type != HERMES_TYPE_DATA)
            continue;
        delegate_end_gap(member, frame.position, frame.header.sequence);
        if (!fits(member, frame.bytes, credit))
            rc = HERMES_EBUSY;
        else if (claim(member, &frame, frames->position) == GROUP_NO_ROOM)
            rc = HERMES_EAGAIN;
        if (rc < 0) {
            *frames = before;
            return rc;
        }
    }
    return HERMES_OK;
}

/* Another may get them by way of the next page, whether that knows of these claims or not. */
static void take_back(struct delegate *member)
{
    struct gifts *gifts = member->gifts;
    for (unsigned i = 0; i < gifts->count; i++)
        group_unclaim(&member->group, gifts->list[i].position, gifts->list[i].claim);
    gifts->count = 0;
}

size_t delegate_give(struct delegate *member, const uint8_t **bytes)
{
    struct gifts *gifts = member->gifts;
    if (gifts->count > 0 && !group_is_open(member->party->page))
        take_back(member);
    if (gifts->count == 0) {
        delegate_given(member);
        return 0;
    }
    /* The list ends where the frames begin. */
    struct wire_gift *list = gifts->list + (DELEGATE_GIFTS - gifts->count);
    memmove(list, gifts->list, gifts->count * sizeof *list);
    *bytes = (const uint8_t *)list;
    return gifts->count * sizeof *list + gifts->bytes;
}

void delegate_given(struct delegate *member)
{
    free(member->gifts);
    member->gifts = NULL;
}

/* ---- what it says ---- */

static void raise(_Atomic uint64_t *word, uint64_t to)
{
    uint64_t before = atomic_load_explicit(word, memory_order_relaxed);
    while (before < to && !atomic_compare_exchange_weak(word, &before, to))
        ;
}

/* Does that message stand there? What has left the window, or may just be leaving it, is believed: who lies
 * of it harms a subscription of his own. */
static bool may_stand_there(const struct topic *topic, const struct wire_ack *ack)
{
    hermes_header_t header;
    uint64_t bytes;
    if (queue_is_busy(&topic->turns))
        return true;
    const struct window *window = topic->log.window;
    int rc = window_poll(window->data, topic->log.capacity - 1, ack->position, &header, &bytes);
    if (!window_still_there(window, ack->position))
        return true;
    return rc == POLL_DATA && header.sequence == ack->sequence && header.length == ack->length;
}

/* All up to it is done. Nothing takes that back, and an older ack changes nothing. */
static int settle_durable(struct delegate *member, enum wire_type type, const struct wire_ack *ack,
                          uint64_t sent)
{
    struct group_page *page = member->party->page;
    if (type != WIRE_ACK || ack->claim == 0)
        return HERMES_EINVALID;
    if (ack->claim != member->claim || delegate_state(member) != HERMES_OK)
        return HERMES_EEXPIRED;
    sent = sent > member->had_to ? sent : member->had_to;
    if (ack->length > HERMES_PAYLOAD_MAX || ack->position >= sent ||
        hermes_frame_bytes(ack->length) > sent - ack->position)
        return HERMES_EINVALID;
    uint64_t end = ack->position + hermes_frame_bytes(ack->length);
    if (atomic_load_explicit(&page->floor, memory_order_relaxed) < end) {
        if (!may_stand_there(member->party->topic, ack))
            return HERMES_EINVALID;
        raise(&page->cursor_sequence, ack->sequence);
        raise(&page->floor, end);
    }
    return delegate_state(member) == HERMES_OK ? HERMES_OK : HERMES_EEXPIRED; /* after it: see group.h */
}

/* Messages in flight stand within a span; a word would know no position from one that is far beyond. */
static bool may_be_in_flight(const struct delegate *member, uint64_t position)
{
    const struct party *party = member->party;
    uint64_t floor = group_sane(atomic_load_explicit(&party->page->floor, memory_order_acquire));
    return position < floor + ((party->mask + 1) << 6);
}

static int settle(struct delegate *member, enum wire_type type, const struct wire_ack *ack)
{
    bool is_had_again = member->pending && member->pending_at == ack->position;
    if (!may_be_in_flight(member, ack->position))
        return HERMES_EINVALID;
    if (type == WIRE_ACK)
        return group_ack(&member->group, ack->position, ack->claim);
    if (is_had_again) /* and was not given yet */
        return HERMES_EEXPIRED;
    return type == WIRE_NACK ? group_nack(&member->group, ack->position, ack->claim)
                             : group_renew(&member->group, ack->position, ack->claim);
}

int delegate_settle(struct delegate *member, enum wire_type type, const struct wire_ack *ack, uint64_t end)
{
    if (member->refusals == DELEGATE_REFUSALS)
        return HERMES_EAGAIN;
    int rc = ack->position % HERMES_FRAME_ALIGNMENT != 0 ? HERMES_EINVALID
             : delegate_is_durable(member)               ? settle_durable(member, type, ack, end)
                                                         : settle(member, type, ack);
    member->came++;
    if (rc < 0)
        member->refused[member->refusals++] =
            (struct wire_refusal){.number = member->came, .position = ack->position, .code = rc};
    return HERMES_OK;
}

bool delegate_news(const struct delegate *member, struct settled *settled)
{
    if (member->came == member->told)
        return false;
    settled->head = (struct wire_settled){.settled = member->came, .refused = member->refusals};
    memcpy(settled->refused, member->refused, member->refusals * sizeof member->refused[0]);
    return true;
}

void delegate_told(struct delegate *member)
{
    member->told = member->came;
    member->refusals = 0;
}
