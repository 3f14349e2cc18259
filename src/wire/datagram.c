#include "wire/datagram.h"

#include <string.h>

#include "base/crc32.h"

enum { EXTENSION_BYTES = DATAGRAM_HEAD_BYTES - HERMES_HEADER_BYTES };

static bool is_position(uint64_t position)
{
    return position <= DATAGRAM_POSITION_MAX && position % DATAGRAM_SLOT_BYTES == 0;
}

static bool is_length(uint64_t bytes, uint64_t most)
{
    return bytes > 0 && bytes <= most && bytes % DATAGRAM_SLOT_BYTES == 0;
}

static int check_join(const struct datagram *d)
{
    static const uint8_t zeros[sizeof d->join.padding];
    if (d->join.protocol != DATAGRAM_PROTOCOL)
        return HERMES_EVERSION;
    bool good = is_length(d->join.window_bytes, DATAGRAM_WINDOW_MAX) && d->join.reserved == 0 &&
                memcmp(d->join.padding, zeros, sizeof zeros) == 0;
    return good ? HERMES_OK : HERMES_EMALFORMED;
}

static int check_setup(const struct datagram *d)
{
    const struct datagram_setup *setup = &d->setup;
    if (setup->protocol != DATAGRAM_PROTOCOL)
        return HERMES_EVERSION;
    bool good = is_length(setup->slice_bytes, DATAGRAM_SLICE_MAX) &&
                setup->slice_bytes >= DATAGRAM_SLICE_MIN && is_position(setup->first_position) &&
                is_position(setup->start_position) && is_position(setup->epoch_position) &&
                setup->reserved == 0;
    return good ? HERMES_OK : HERMES_EMALFORMED;
}

static int check_heartbeat(const struct datagram *d)
{
    return d->heartbeat.state <= DATAGRAM_ENDED ? HERMES_OK : HERMES_EMALFORMED;
}

static int check_nak(const struct datagram *d)
{
    uint64_t from = 0;
    for (uint32_t i = 0; i < d->ranges; i++) {
        const struct datagram_range *range = &d->nak.ranges[i];
        if (!is_position(range->position) || range->position < from ||
            !is_length(range->bytes, DATAGRAM_WINDOW_MAX))
            return HERMES_EMALFORMED;
        from = range->position + range->bytes;
    }
    return HERMES_OK;
}

static int check_status(const struct datagram *d)
{
    const uint32_t flags = DATAGRAM_LEAVES | DATAGRAM_OVERFLOWED;
    bool good = is_length(d->status.window_bytes, DATAGRAM_WINDOW_MAX) && (d->status.flags & ~flags) == 0 &&
                d->status.reserved == 0;
    return good ? HERMES_OK : HERMES_EMALFORMED;
}

static int check_slice(struct datagram *d, const uint8_t *body, uint32_t bytes)
{
    d->slice = body;
    d->slice_bytes = bytes;
    return is_length(bytes, DATAGRAM_SLICE_MAX) ? HERMES_OK : HERMES_EMALFORMED;
}

static int copy(void *to, uint32_t wanted, const uint8_t *body, uint32_t bytes)
{
    if (bytes != wanted)
        return HERMES_EMALFORMED;
    memcpy(to, body, wanted);
    return HERMES_OK;
}

static int copy_nak(struct datagram *d, const uint8_t *body, uint32_t bytes)
{
    const uint32_t fixed = offsetof(struct datagram_nak, ranges), each = sizeof(struct datagram_range);
    if (bytes < fixed + each || bytes > sizeof d->nak || (bytes - fixed) % each != 0)
        return HERMES_EMALFORMED;
    d->ranges = (bytes - fixed) / each;
    memcpy(&d->nak, body, bytes);
    return HERMES_OK;
}

static int check_body(struct datagram *d, const uint8_t *body, uint32_t bytes)
{
    int rc;
    switch (d->head.header.type) {
    case DATAGRAM_JOIN:
        rc = copy(&d->join, sizeof d->join, body, bytes);
        return rc < 0 ? rc : check_join(d);
    case DATAGRAM_CHALLENGE:
        return copy(&d->challenge, sizeof d->challenge, body, bytes);
    case DATAGRAM_SETUP:
        rc = copy(&d->setup, sizeof d->setup, body, bytes);
        return rc < 0 ? rc : check_setup(d);
    case DATAGRAM_DATA:
        return check_slice(d, body, bytes);
    case DATAGRAM_HEARTBEAT:
        rc = copy(&d->heartbeat, sizeof d->heartbeat, body, bytes);
        return rc < 0 ? rc : check_heartbeat(d);
    case DATAGRAM_NAK:
        rc = copy_nak(d, body, bytes);
        return rc < 0 ? rc : check_nak(d);
    case DATAGRAM_STATUS:
        rc = copy(&d->status, sizeof d->status, body, bytes);
        return rc < 0 ? rc : check_status(d);
    case DATAGRAM_GONE:
        rc = copy(&d->gone, sizeof d->gone, body, bytes);
        return rc < 0 ? rc : is_position(d->gone.asked_position) ? HERMES_OK : HERMES_EMALFORMED;
    case DATAGRAM_UNKNOWN:
        return bytes == 0 ? HERMES_OK : HERMES_EMALFORMED;
    default:
        return HERMES_EPROTOCOL;
    }
}

static int check_head(const struct datagram_head *head, const uint8_t *payload, size_t length,
                      enum datagram_guard guard)
{
    int rc = hermes_message_decode(&head->header, length);
    if (rc < 0)
        return rc;
    if (head->header.length != length - HERMES_HEADER_BYTES)
        return HERMES_EMALFORMED;
    bool has_crc = head->header.flags & HERMES_FLAG_CRC;
    if (has_crc != (guard == DATAGRAM_GUARDED_BY_CRC))
        return HERMES_ECHECKSUM;
    rc = hermes_message_verify(&head->header, payload, length);
    if (rc < 0)
        return rc;
    bool live = head->header.type == DATAGRAM_JOIN && head->header.sequence == DATAGRAM_LIVE;
    bool good = (live || is_position(head->header.sequence)) && head->number > 0;
    return good ? HERMES_OK : HERMES_EMALFORMED;
}

int datagram_check(const void *bytes, size_t length, enum datagram_guard guard, struct datagram *out)
{
    if (length < DATAGRAM_HEAD_BYTES)
        return HERMES_EMALFORMED;
    if (length > DATAGRAM_BYTES_MAX)
        return HERMES_ETOOLARGE;
    memcpy(&out->head, bytes, sizeof out->head);
    out->ranges = out->slice_bytes = 0;
    int rc = check_head(&out->head, (const uint8_t *)bytes + HERMES_HEADER_BYTES, length, guard);
    if (rc < 0)
        return rc;
    return check_body(out, (const uint8_t *)bytes + DATAGRAM_HEAD_BYTES,
                      (uint32_t)length - DATAGRAM_HEAD_BYTES);
}

uint32_t datagram_finish(void *bytes, enum datagram_type type, uint64_t position, uint64_t now_ns,
                         uint64_t number, uint32_t session, uint32_t receiver, uint32_t body_bytes,
                         enum datagram_guard guard)
{
    struct datagram_head *head = bytes;
    bool has_crc = guard == DATAGRAM_GUARDED_BY_CRC;
    *head = (struct datagram_head){
        .header = {.magic = HERMES_MAGIC,
                   .version = HERMES_VERSION,
                   .type = (uint8_t)type,
                   .flags = has_crc ? HERMES_FLAG_CRC : 0,
                   .sequence = position,
                   .timestamp = now_ns,
                   .length = EXTENSION_BYTES + body_bytes},
        .number = number,
        .session = session,
        .receiver = receiver,
    };
    if (has_crc)
        head->header.crc =
            crc32_message(&head->number, head->header.length,
                          hermes_commit_word((uint8_t)type, HERMES_FLAG_CRC), position, now_ns);
    return DATAGRAM_HEAD_BYTES + body_bytes;
}
