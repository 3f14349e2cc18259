/* What a group's member is given through a connection: each message with its claim, kept until it is read. */
#include "client/inflow.h"

#include "base/clock.h"
#include "log/frames.h"

/* So many may be under way, of the largest size; the next one is asked for when the one before is taken by
 * who is that quick, and otherwise when it is asked for. */
enum { GIFTS_MOST = INFLOW_RING_BYTES / (GIFT_CREDIT_BYTES + INFLOW_NOTE_BYTES) - 1 };
static const uint64_t quick_ns = 2000000, slow_ns = 20000000;

_Static_assert(sizeof(struct gift) <= INFLOW_NOTE_BYTES, "gift");

static struct gift *gift_at(const struct inflow *inflow, uint64_t offset)
{
    return (struct gift *)(void *)inflow_at(inflow, offset);
}

/* ---- what comes ---- */

static uint64_t credit_of(uint64_t bytes)
{
    return bytes > GIFT_CREDIT_BYTES ? bytes : GIFT_CREDIT_BYTES;
}

/* One of the list, and its frame, which is the next of *frames. */
static int take_gift(struct inflow *inflow, const struct wire_gift *given, const uint8_t **frames,
                     size_t *left, uint64_t now_ns)
{
    hermes_header_t header;
    uint8_t note[INFLOW_NOTE_BYTES] = {0};
    if (*left < HERMES_FRAME_ALIGNMENT || given->position % HERMES_FRAME_ALIGNMENT != 0)
        return HERMES_EMALFORMED;
    memcpy(&header, *frames, sizeof header);
    if (header.magic != HERMES_MAGIC || header.version != HERMES_VERSION || header.type != HERMES_TYPE_DATA ||
        header.length > HERMES_PAYLOAD_MAX || hermes_frame_bytes(header.length) > *left)
        return HERMES_EMALFORMED;
    uint64_t bytes = hermes_frame_bytes(header.length);
    if (credit_of(bytes) > inflow->granted || !inflow_has_room(inflow, INFLOW_NOTE_BYTES + bytes))
        return HERMES_EPROTOCOL;
    const struct gift gift = {.position = given->position,
                              .arrived_ns = now_ns,
                              .since_ns = inflow->member->seen_ns,
                              .bytes = (uint32_t)bytes,
                              .claim = given->claim,
                              .deliveries = given->deliveries};
    memcpy(note, &gift, sizeof gift);
    inflow_put(inflow, note, sizeof note);
    inflow_put(inflow, *frames, bytes);
    inflow->granted -= credit_of(bytes);
    inflow->member->unread++;
    *frames += bytes;
    *left -= bytes;
    return HERMES_OK;
}

static bool is_damage(int code)
{
    return code == HERMES_ECORRUPT || code == HERMES_ECHECKSUM || code == HERMES_EMALFORMED;
}

static void note_lost(struct inflow *inflow, const struct wire_given *given)
{
    struct far_member *m = inflow->member;
    if (given->lost <= m->lost)
        return;
    inflow->reader->lost += given->lost - m->lost;
    m->lost = given->lost;
    m->untold = is_damage(given->why) ? given->why : HERMES_EGONE;
}

int gifts_take(struct inflow *inflow, const uint8_t *payload, uint32_t length)
{
    struct wire_given given;
    struct wire_gift gift;
    if (length < sizeof given)
        return HERMES_EMALFORMED;
    memcpy(&given, payload, sizeof given);
    if (given.count > (length - sizeof given) / sizeof gift)
        return HERMES_EMALFORMED;
    const uint8_t *list = payload + sizeof given, *frames = list + given.count * sizeof gift;
    size_t left = length - (size_t)(frames - payload);
    uint64_t now_ns = clock_monotonic_ns();
    int rc = HERMES_OK;
    for (uint32_t i = 0; rc == 0 && i < given.count; i++) {
        memcpy(&gift, list + i * sizeof gift, sizeof gift);
        rc = take_gift(inflow, &gift, &frames, &left, now_ns);
    }
    if (rc == 0 && left != 0)
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        note_lost(inflow, &given);
    inflow->member->awaits = given.count > 0 && inflow->granted > 0;
    return rc;
}

void gifts_drop(struct inflow *inflow)
{
    if (!inflow_is_given(inflow) || inflow->member->at_most_once) /* these are nobody else's ever */
        return;
    inflow->taken = inflow->put;
    inflow->member->unread = 0;
}

/* ---- leases ---- */

static bool is_stale(const struct far_member *m, const struct gift *gift, uint64_t now_ns)
{
    return m->lease_ns != 0 && !m->at_most_once && now_ns - gift->since_ns > m->lease_ns / 4 * 3;
}

static bool wants_renewal(const struct far_member *m, const struct gift *gift, uint64_t now_ns)
{
    return m->lease_ns != 0 && !m->at_most_once && !gift->is_asked_for && !gift->is_void &&
           now_ns - gift->since_ns > m->lease_ns / 4;
}

static void renew(struct inflow *inflow, struct gift *gift, uint64_t now_ns)
{
    const hermes_header_t *header = (const void *)((const uint8_t *)gift + INFLOW_NOTE_BYTES);
    const struct wire_ack what = {gift->position, header->sequence, header->length, gift->claim, 0};
    settling_say(&inflow->member->settling,
                 (struct saying){.what = what, .type = WIRE_RENEW, .is_own = true, .said_ns = now_ns});
    gift->is_asked_for = true;
}

/* What waits here stays this member's. The caller's own words have room, too. */
static void renew_those_that_wait(struct inflow *inflow, uint64_t now_ns)
{
    struct far_member *m = inflow->member;
    if (m->lease_ns == 0 || m->at_most_once)
        return;
    uint64_t before = m->settling.said;
    for (uint64_t offset = inflow->taken; offset < inflow->put;) {
        struct gift *gift = gift_at(inflow, offset);
        if (wants_renewal(m, gift, now_ns) && settling_room(&m->settling) > SETTLING_MOST / 2)
            renew(inflow, gift, now_ns);
        offset += INFLOW_NOTE_BYTES + gift->bytes;
    }
    if (m->settling.said > before && inflow_is_attached(inflow))
        settling_send(&m->settling, inflow->client, inflow->handle);
}

void gifts_renewed(void *context, const struct saying *saying, int code)
{
    struct inflow *inflow = context;
    for (uint64_t offset = inflow->taken; offset < inflow->put;) {
        struct gift *gift = gift_at(inflow, offset);
        if (gift->position == saying->what.position && gift->claim == saying->what.claim) {
            gift->is_asked_for = false;
            gift->is_void = code < 0;
            gift->since_ns = saying->said_ns;
            return;
        }
        offset += INFLOW_NOTE_BYTES + gift->bytes;
    }
}

/* ---- the next one ---- */

/* Who takes them as fast as they come has more under way, and who lets them lie has fewer. */
void gifts_ask_for_more(struct inflow *inflow, uint64_t now_ns)
{
    struct far_member *m = inflow->member;
    const uint64_t most = (uint64_t)GIFTS_MOST * GIFT_CREDIT_BYTES;
    uint64_t out = inflow->granted + (uint64_t)m->unread * GIFT_CREDIT_BYTES;
    inflow->released = inflow->taken; /* what the caller was given last is his no longer */
    if (!inflow_is_attached(inflow) || inflow->ended)
        return;
    if (out == 0 && now_ns - m->handed_ns < quick_ns)
        m->window = m->window * 2 < most ? m->window * 2 : most;
    if (out + GIFT_CREDIT_BYTES > m->window || m->window - out < m->window / 4)
        return;
    inflow_give_credit(inflow, (m->window - out) / GIFT_CREDIT_BYTES * GIFT_CREDIT_BYTES);
    m->awaits = true;
}

static int tell_lost(struct inflow *inflow)
{
    struct far_member *m = inflow->member;
    int why = m->untold;
    m->untold = 0;
    if (is_damage(why))
        inflow->reader->corrupt++;
    return error_say(&inflow->client->error, why, "topic '%s': %s", inflow->topic,
                     is_damage(why) ? "messages that are damaged are passed over"
                                    : "messages of the group were overwritten or removed before it had them");
}

static void pass(struct inflow *inflow, const struct gift *gift)
{
    inflow->taken += INFLOW_NOTE_BYTES + gift->bytes;
    inflow->member->unread--;
}

/* Nobody would be better off with it: it is done. */
static int tell_damage(struct inflow *inflow, const struct gift *gift, const hermes_header_t *header, int rc)
{
    struct far_member *m = inflow->member;
    const struct wire_ack what = {gift->position, header->sequence, header->length, gift->claim, 0};
    inflow->reader->corrupt++;
    inflow->reader->lost++;
    if (settling_room(&m->settling) > 0)
        settling_say(&m->settling, (struct saying){.what = what, .type = WIRE_ACK});
    return error_set(&inflow->client->error, rc, "message %llu of topic '%s'",
                     (unsigned long long)header->sequence, inflow->topic);
}

static int hand_out(struct inflow *inflow, const struct gift *gift, hermes_message_t *message,
                    uint64_t now_ns)
{
    struct far_member *m = inflow->member;
    struct reader *reader = inflow->reader;
    struct frames frames = {.data = inflow_at(inflow, inflow->taken + INFLOW_NOTE_BYTES),
                            .base = gift->position,
                            .end = gift->position + gift->bytes,
                            .position = gift->position,
                            .check = reader->verify ? FRAME_CHECKSUMS : FRAME_HEADERS};
    struct frame frame;
    hermes_header_t header;
    memcpy(&header, frames.data, sizeof header);
    int rc = frames_next(&frames, &frame);
    pass(inflow, gift);
    if (rc != 1)
        return tell_damage(inflow, gift, &header, rc < 0 ? rc : HERMES_EMALFORMED);
    *message = frame_message(&frame);
    message->claim = gift->claim;
    reader->position = frames.position;
    reader->sequence = frames.sequence;
    m->handed[gift->position / HERMES_FRAME_ALIGNMENT % HANDED_KNOWN] =
        (struct handed){gift->position, gift->claim, gift->deliveries};
    m->handed_ns = now_ns;
    if (now_ns - gift->arrived_ns > slow_ns && m->window > GIFT_CREDIT_BYTES)
        m->window /= 2;
    return 1;
}

int gifts_next(struct inflow *inflow, hermes_message_t *message, uint64_t now_ns)
{
    struct far_member *m = inflow->member;
    if (m->untold != 0)
        return tell_lost(inflow);
    renew_those_that_wait(inflow, now_ns);
    while (m->unread > 0) {
        const struct gift gift = *gift_at(inflow, inflow->taken);
        if (gift.is_void)
            pass(inflow, &gift);
        else if (is_stale(m, &gift, now_ns))
            return 0;
        else
            return hand_out(inflow, &gift, message, now_ns);
    }
    return 0;
}

bool gifts_has_next(const struct inflow *inflow, uint64_t now_ns)
{
    const struct far_member *m = inflow->member;
    if (m->untold != 0)
        return true;
    if (m->unread == 0)
        return false;
    const struct gift *gift = gift_at(inflow, inflow->taken);
    return gift->is_void || !is_stale(m, gift, now_ns) ||
           (!gift->is_asked_for && settling_room(&m->settling) > SETTLING_MOST / 2);
}
