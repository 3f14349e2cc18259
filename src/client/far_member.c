/* Who is a member of a group, or has a durable subscription, through a connection: joins, says what became of
 * messages, joins again when the connection broke, leaves. */
#include "client/inflow.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "io/interrupt.h"

/* A member that reads what has come already looks so often for what ends that. */
static const uint64_t look_again_ns = 1000000;

int far_member_new(struct inflow *inflow, const struct inflow_kind *kind)
{
    struct far_member *m = inflow->member = calloc(1, sizeof *m);
    if (m == NULL)
        return error_set(&inflow->client->error, HERMES_ENOMEM, "a member");
    m->name = kind->name;
    m->durable = kind->durable;
    m->from = kind->from;
    m->acks_itself = kind->ack == HERMES_ACK_AUTO;
    m->at_most_once = kind->ack == HERMES_ACK_NONE;
    m->window = GIFT_CREDIT_BYTES;
    return HERMES_OK;
}

/* ---- who it is ---- */

static struct wire_member_open request_of(const struct inflow *inflow)
{
    const struct far_member *m = inflow->member;
    /* Without credit: what is to be settled is, before messages come. */
    struct wire_member_open request = {.topic_id = inflow->topic_id,
                                       .at_most_once = m->at_most_once,
                                       .least = m->durable ? 0 : GIFT_CREDIT_BYTES};
    struct wire_subscriber_open *subscriber = &request.subscriber;
    memcpy(subscriber->topic, inflow->topic, sizeof subscriber->topic);
    memcpy(subscriber->group, m->name, sizeof subscriber->group);
    subscriber->durable = m->durable;
    subscriber->from = m->from;
    subscriber->push_back = inflow->push_back;
    subscriber->resume_page = m->page;
    subscriber->resume_member = m->id;
    subscriber->resume_line = m->line;
    subscriber->resume_made = m->made;
    return request;
}

/* Another had the durable subscription, or may have had: it goes on with what is not acknowledged. */
static void begin_anew(struct inflow *inflow, uint64_t position)
{
    struct far_member *m = inflow->member;
    struct reader *reader = inflow->reader;
    m->given_to = 0;
    m->holds = false;
    inflow->gone = false;
    reader->gap_from = 0;
    reader_hop(reader, position, position == 0 ? 1 : 0);
    inflow_begin_at(inflow, position);
    inflow->log_end = position;
}

void far_member_go_on(struct inflow *inflow)
{
    struct far_member *m = inflow->member;
    const struct wire_member opened = inflow->opening.answer.member;
    bool is_same =
        m->id != 0 && opened.page == m->page && (m->durable ? opened.continues != 0 : opened.member == m->id);
    m->seen_ns = inflow->opening.since_ns;
    inflow_take_up(inflow, opened.handle, opened.topic_id, opened.durability, 0);
    m->is_anothers = false;
    m->refused = 0;
    m->page = opened.page;
    m->id = opened.member;
    m->line = opened.line;
    m->made = opened.made;
    m->claim = opened.claim;
    m->claim_here = is_same ? m->claim_here : m->claim;
    m->lease_ns = (uint64_t)opened.lease_ms * 1000000u;
    m->lost = 0;
    settling_begin(&m->settling);
    if (m->durable && is_same)
        settling_reclaim(&m->settling, m->claim);
    if (!is_same && m->durable)
        begin_anew(inflow, opened.position & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1));
    else if (!is_same)
        gifts_drop(inflow);
}

int far_member_open(struct inflow *inflow, uint64_t until_ns)
{
    struct wire_member_open request = request_of(inflow);
    int rc =
        asked_request(inflow->client, &inflow->opening, WIRE_MEMBER_OPEN, &request, sizeof request, until_ns);
    if (rc < 0)
        return rc;
    inflow->opening.since_ns = clock_monotonic_ns();
    far_member_go_on(inflow);
    return HERMES_OK;
}

/* The broker said no. What is to be told; HERMES_OK: it is asked again, later. */
static int note_refusal(struct inflow *inflow, int rc)
{
    if (rc == HERMES_ECLOSED || rc == HERMES_ENOTFOUND)
        return inflow_tell_deleted(inflow);
    inflow->member->is_anothers = rc == HERMES_EBUSY;
    (void)inflow_ask_later(inflow);
    return rc == HERMES_EIO || rc == HERMES_EAGAIN || rc == HERMES_ETIMEOUT ? HERMES_OK : rc;
}

static int join_again(struct inflow *inflow)
{
    inflow->handle = 0;
    if (inflow->opening.type == 0) {
        if (clock_monotonic_ns() < inflow->ask_ns)
            return HERMES_OK;
        struct wire_member_open request = request_of(inflow);
        if (asked_send(inflow->client, &inflow->opening, WIRE_MEMBER_OPEN, &request, sizeof request) < 0)
            return HERMES_OK;
    }
    int rc = asked_await(inflow->client, &inflow->opening, 0);
    if (rc == 0)
        far_member_go_on(inflow);
    return rc == 0 || rc == HERMES_EDISCONNECTED || rc == HERMES_EINTERRUPTED ? HERMES_OK
                                                                              : note_refusal(inflow, rc);
}

/* Its group has another page, or is gone, or cannot be served. */
static int note_end(struct inflow *inflow)
{
    int code = inflow->end.code < 0 ? inflow->end.code : HERMES_EPROTOCOL;
    inflow->ended = false;
    gifts_drop(inflow);
    inflow_close_handle(inflow, inflow->handle, 0);
    inflow->handle = 0;
    if (code == HERMES_ECLOSED)
        return inflow_tell_deleted(inflow);
    if (code == HERMES_EEXPIRED)
        return HERMES_OK;
    (void)inflow_ask_later(inflow);
    return error_say(&inflow->client->error, code, "%s", inflow->end.text);
}

/* What was said goes, for the first time or once more, over another connection if need be. */
static int go_on_saying(struct inflow *inflow)
{
    int rc = HERMES_OK;
    if (inflow->deleted)
        return inflow_tell_deleted(inflow);
    if (inflow->ended)
        rc = note_end(inflow);
    if (rc == 0 && !inflow_is_attached(inflow))
        rc = join_again(inflow);
    if (rc == 0 && inflow_is_attached(inflow))
        settling_send(&inflow->member->settling, inflow->client, inflow->handle);
    return rc;
}

void far_member_tend(struct inflow *inflow)
{
    struct far_member *m = inflow->member;
    const struct settling *settling = &m->settling;
    bool is_silent = settling->settled == settling->said;
    int rc = HERMES_OK;
    if (!inflow->deleted && !inflow->ended && !is_silent &&
        (!inflow_is_attached(inflow) || settling->sent < settling->said))
        rc = go_on_saying(inflow);
    if (rc < 0) { /* whoever calls now is not its caller */
        m->refused = rc;
        m->why = inflow->client->error;
    }
}

int far_member_look(struct inflow *inflow)
{
    struct far_member *m = inflow->member;
    struct channel *channel = &inflow->client->channel;
    m->looked_ns = clock_monotonic_ns();
    (void)channel_take_in(channel);
    if (channel->is_drained) /* what comes from now on was not there at that time */
        m->seen_ns = m->looked_ns;
    inflow->client->tend(inflow->client);
    int rc = go_on_saying(inflow);
    if (rc == 0 && m->refused < 0) {
        rc = m->refused;
        inflow->client->error = m->why;
    }
    m->refused = 0;
    return rc;
}

/* ---- what comes ---- */

int far_member_take(struct inflow *inflow, const hermes_header_t *header, const uint8_t *payload)
{
    if (header->type == WIRE_SETTLED)
        return settling_take(&inflow->member->settling, header, payload, gifts_renewed, inflow);
    return inflow_is_given(inflow) ? gifts_take(inflow, payload, header->length) : HERMES_EPROTOCOL;
}

/* ---- what is said ---- */

static uint64_t say(struct far_member *m, enum wire_type type, const struct wire_ack *what)
{
    return settling_say(&m->settling,
                        (struct saying){.what = *what, .type = type, .said_ns = clock_monotonic_ns()});
}

/* Until that one is settled. */
static int await_settled(struct inflow *inflow, uint64_t number, uint64_t until_ns)
{
    const struct settling *settling = &inflow->member->settling;
    while (settling->settled < number) {
        (void)far_member_look(inflow);
        if (settling->settled >= number)
            break;
        if (inflow->deleted || inflow->member->is_anothers)
            return HERMES_EEXPIRED;
        if (interrupt_ask() != 0)
            return HERMES_EINTERRUPTED;
        uint64_t left = clock_left_ns(until_ns), slice = interrupt_slice_ns(),
                 next = inflow_next_look(inflow);
        if (left == 0)
            return HERMES_EDISCONNECTED;
        slice = left < slice ? left : slice;
        (void)channel_sleep(&inflow->client->channel, next < slice ? next : slice);
    }
    return HERMES_OK;
}

/* Of a durable subscription; what else there is to check the broker does. */
static int check_durable(const struct far_member *m, enum wire_type type, const hermes_message_t *message)
{
    uint64_t bytes = hermes_frame_bytes(message->length);
    if (type != WIRE_ACK || message->claim == 0 || message->length > HERMES_PAYLOAD_MAX)
        return HERMES_EINVALID;
    if (message->claim != m->claim_here)
        return HERMES_EEXPIRED;
    return message->position < m->given_to && bytes <= m->given_to - message->position ? HERMES_OK
                                                                                       : HERMES_EINVALID;
}

/* To the broker. */
static struct wire_ack word_for(const struct far_member *m, const hermes_message_t *message)
{
    return (struct wire_ack){.position = message->position,
                             .sequence = message->sequence,
                             .length = message->length,
                             .claim = m->durable ? m->claim : message->claim};
}

static bool is_held(const struct far_member *m, const hermes_message_t *message)
{
    return m->holds && m->held.position == message->position &&
           (m->durable || m->held.claim == message->claim);
}

int far_member_say(struct inflow *inflow, enum wire_type type, const hermes_message_t *message,
                   uint64_t until_ns)
{
    struct far_member *m = inflow->member;
    struct settling *settling = &m->settling;
    const struct wire_ack what = word_for(m, message);
    int rc = m->durable ? check_durable(m, type, message) : HERMES_OK;
    if (rc == 0 && settling_room(settling) == 0)
        rc = await_settled(inflow, settling->settled + 1, until_ns);
    if (rc < 0)
        return rc;
    if (type != WIRE_RENEW && is_held(m, message)) /* asking for the next one does not ack it */
        m->holds = false;
    uint64_t number = say(m, type, &what);
    settling->awaited = number;
    settling->outcome = HERMES_OK;
    rc = await_settled(inflow, number, until_ns);
    settling->awaited = 0;
    return rc < 0 ? rc : settling->outcome;
}

/* ---- reading ---- */

/* Asked for the next one: the one before it is done. false: there is no room to say so. */
static bool ack_held(struct inflow *inflow)
{
    struct far_member *m = inflow->member;
    if (!m->holds)
        return true;
    if (settling_room(&m->settling) == 0) {
        (void)far_member_look(inflow);
        if (settling_room(&m->settling) == 0)
            return false;
    }
    m->holds = false;
    if (m->durable)
        m->held.claim = m->claim;
    (void)say(m, WIRE_ACK, &m->held);
    if (inflow_is_attached(inflow))
        settling_send(&m->settling, inflow->client, inflow->handle);
    return true;
}

/* A new connection may have made it another member, or none: nothing more is its own until it is known. */
static bool may_read(const struct inflow *inflow)
{
    return (inflow_is_attached(inflow) && !inflow->ended) || inflow->member->at_most_once;
}

static int read_next(struct inflow *inflow, hermes_message_t *message, uint64_t now_ns)
{
    struct far_member *m = inflow->member;
    if (!m->durable) {
        gifts_ask_for_more(inflow, now_ns);
        int rc = gifts_next(inflow, message, now_ns);
        if (rc != 0 || m->looked_ns >= now_ns)
            return rc;
        rc = far_member_look(inflow);
        return rc < 0 || !may_read(inflow) ? rc : gifts_next(inflow, message, now_ns);
    }
    int rc = inflow_read(inflow, message);
    if (rc == 1) {
        message->claim = m->claim_here;
        m->given_to = inflow->reader->position > m->given_to ? inflow->reader->position : m->given_to;
    }
    return rc;
}

int far_member_poll(struct inflow *inflow, hermes_message_t *message)
{
    struct far_member *m = inflow->member;
    uint64_t now_ns = clock_monotonic_ns();
    int rc = HERMES_OK;
    if (!ack_held(inflow))
        return 0;
    if (!inflow_is_attached(inflow) || inflow->ended || inflow->deleted ||
        now_ns - m->looked_ns >= look_again_ns)
        rc = far_member_look(inflow);
    if (rc < 0 || !may_read(inflow))
        return rc;
    rc = read_next(inflow, message, now_ns);
    if (rc == 1) {
        m->held = word_for(m, message);
        m->holds = m->acks_itself;
    }
    return rc;
}

bool far_member_ready(const struct inflow *inflow)
{
    if (inflow->ended || inflow->deleted)
        return true;
    const struct far_member *m = inflow->member;
    if (!may_read(inflow) || (m->holds && settling_room(&m->settling) == 0)) /* what settles wakes */
        return false;
    return m->durable || gifts_has_next(inflow, clock_monotonic_ns());
}

unsigned far_member_deliveries(const struct inflow *inflow, const hermes_message_t *message)
{
    const struct far_member *m = inflow->member;
    const struct handed *handed = &m->handed[message->position / HERMES_FRAME_ALIGNMENT % HANDED_KNOWN];
    if (m->durable)
        return 1;
    return handed->position == message->position && handed->claim == message->claim ? handed->deliveries : 0;
}

/* ---- leaving ---- */

/* A broker that came back would keep its place, and what it holds, for a while; and what was said is to be
 * heard. */
void far_member_close(struct inflow *inflow, uint64_t known_ns, uint64_t until_ns)
{
    const struct settling *settling = &inflow->member->settling;
    uint64_t last_ns = known_ns < until_ns ? known_ns : until_ns;
    while (inflow->member->id != 0 && !inflow->deleted && interrupt_ask() == 0 &&
           (!inflow_is_attached(inflow) || settling->sent < settling->said)) {
        uint64_t left = clock_left_ns(last_ns);
        (void)far_member_look(inflow);
        if (left == 0)
            return;
        uint64_t next = inflow_next_look(inflow);
        (void)channel_sleep(&inflow->client->channel, next < left ? next : left);
    }
}
