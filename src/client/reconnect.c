/* What becomes of a publisher, and of what it committed, when the broker or the topic's publisher changes. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/publisher.h"

/*
 * What we committed and the log does not have becomes the backlog: frames one after the other, with
 * their old sequences. That is what a ring still holds that was lost with its broker, and what was
 * committed to a window behind the end that an orderly stop gave its log. The backlog goes out before
 * anything else; should that fail as well, what did not count is put before what is left of it.
 *
 * position: from where on; done: the sequence up to which the log has them. The window is given up.
 */
static int collect_backlog(struct hermes_publisher *p, uint64_t position, uint64_t done)
{
    const struct window *window = p->attached.window.address;
    if (window == NULL)
        return HERMES_OK; /* collected already */
    size_t left = p->backlog_bytes - p->backlog_sent, used = 0;
    uint8_t *backlog = malloc(p->writer.mask + 1 + left);
    if (backlog == NULL)
        return error_set(&p->client->error, HERMES_ENOMEM, "messages that wait for a broker");
    for (uint64_t bytes; position < p->writer.position; position += bytes) {
        hermes_header_t header;
        const uint8_t *frame = window->data + (position & p->writer.mask);
        int rc = window_poll(window->data, p->writer.mask, position, &header, &bytes);
        if (rc <= POLL_EMPTY)
            break;
        if (rc == POLL_DATA && header.sequence > done) {
            memcpy(backlog + used, frame, bytes);
            used += bytes;
        }
    }
    if (left > 0)
        memcpy(backlog + used, p->backlog + p->backlog_sent, left);
    free(p->backlog);
    p->backlog = backlog;
    p->backlog_bytes = used + left;
    p->backlog_sent = 0;
    p->unsettled = true;
    map_release(&p->attached.window);
    return HERMES_OK;
}

/*
 * Our epoch was sealed while we committed: by another publisher's arrival, or by a broker that stops.
 * The log's owner settles where the epoch ends; what we committed before that counts. The rest goes to
 * the backlog if the log was closed; behind a successor's first message it has no place any more.
 */
static int await_end(struct hermes_publisher *p, uint64_t start)
{
    for (;;) {
        uint32_t state = atomic_load_explicit(&p->status->state, memory_order_acquire);
        uint32_t epoch = atomic_load_explicit(&p->status->epoch, memory_order_acquire);
        if (state == STATE_DELETED)
            return error_set(&p->client->error, HERMES_ECLOSED, "topic '%s'", p->topic);
        struct epoch_record record;
        bool known = status_find_epoch(p->status, p->epoch, &record) && record.end != EPOCH_OPEN;
        if (state == STATE_CLOSED || epoch > p->epoch || known) {
            uint64_t end = record.end_position;
            if (p->writer.position <= end)
                return HERMES_OK;
            return state == STATE_CLOSED
                       ? collect_backlog(p, end, 0)
                       : error_set(&p->client->error, HERMES_EFENCED, "topic '%s'", p->topic);
        }
        if (clock_monotonic_ns() - start >= p->wait_ns)
            return error_set(&p->client->error, HERMES_EDISCONNECTED, "topic '%s': no broker came back",
                             p->topic);
        sched_yield();
    }
}

static int send_backlog(struct hermes_publisher *p)
{
    uint64_t start = clock_monotonic_ns();
    while (p->backlog_sent < p->backlog_bytes) {
        const uint8_t *frame = p->backlog + p->backlog_sent;
        hermes_header_t header;
        memcpy(&header, frame, sizeof header);
        bool crc = (header.flags & HERMES_FLAG_CRC) != 0;
        int rc = publish_one(&p->writer, frame + HERMES_HEADER_BYTES, header.length, header.timestamp, crc);
        if (rc == HERMES_EAGAIN) {
            if (clock_monotonic_ns() - start >= p->wait_ns || !channel_is_up(&p->client->channel))
                return error_set(&p->client->error, HERMES_EDISCONNECTED, "topic '%s' takes no messages",
                                 p->topic);
            sched_yield();
            continue;
        }
        if (rc == 0 || rc == HERMES_EFENCED) /* it stands in the window, whatever the window's fate */
            p->backlog_sent += hermes_frame_bytes(header.length);
        if (rc == HERMES_EFENCED) {
            rc = await_end(p, start);
            return rc < 0 ? rc : HERMES_EDISCONNECTED;
        }
        if (rc < 0)
            return rc;
    }
    free(p->backlog);
    p->backlog = NULL;
    p->backlog_bytes = p->backlog_sent = 0;
    p->unsettled = false;
    return HERMES_OK;
}

static bool ring_is_lost(const struct hermes_publisher *p)
{
    return p->attached.window.address == NULL || atomic_load(p->writer.mark) != p->ring_id ||
           atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_CLOSED;
}

static int reopen_ring(struct hermes_publisher *p)
{
    if (!ring_is_lost(p)) {
        p->writer.owner_changed = false;
        return send_backlog(p);
    }
    int rc = collect_backlog(p, atomic_load_explicit(&p->ring->consumed, memory_order_acquire),
                             atomic_load_explicit(&p->ring->consumed_sequence, memory_order_acquire));
    if (rc < 0)
        return rc;
    struct wire_publisher_open request = {
        .sequence = p->writer.sequence,
        .resume_ring = 1 + (uint32_t)(p->ring - p->status->rings),
        .resume_ring_id = p->ring_id,
    };
    if (p->backlog_bytes > p->backlog_sent) {
        hermes_header_t first;
        memcpy(&first, p->backlog + p->backlog_sent, sizeof first);
        request.sequence = first.sequence;
    }
    memcpy(request.topic, p->topic, sizeof request.topic);
    struct wire_publisher opened;
    rc = publisher_request_open(p, &request, &opened);
    if (rc == 0)
        rc = publisher_adopt(p, &opened);
    return rc < 0 ? rc : send_backlog(p);
}

/* The same window, if nobody took it in the meantime: only the doorbell and the session are new. */
static int resume_direct(struct hermes_publisher *p)
{
    struct wire_publisher_open request = {.sequence = 0};
    if (p->attached.window.address != NULL) {
        request.resume_topic_id = p->topic_id;
        request.resume_epoch = p->epoch;
    }
    memcpy(request.topic, p->topic, sizeof request.topic);
    struct wire_publisher opened;
    int rc = publisher_request_open(p, &request, &opened);
    if (rc < 0)
        return rc;
    if (!opened.resumed) { /* it gave us a successor: what we committed before is in it */
        rc = publisher_adopt(p, &opened);
        return rc < 0 ? rc : send_backlog(p);
    }
    struct map doorbell = {0}, bell = {0}, readers = {0};
    rc = client_map(p->client, 2, 4096, MAP_READ_WRITE, &doorbell);
    if (rc == 0)
        rc = client_map(p->client, 3, 4096, MAP_READ, &bell);
    if (rc == 0 && opened.push_back != 0)
        rc = client_map(p->client, 4, READERS_BYTES, MAP_READ_WRITE, &readers);
    if (rc < 0) {
        map_release(&doorbell);
        map_release(&bell);
        return rc;
    }
    map_release(&p->attached.readers);
    p->attached.readers = readers;
    p->writer.readers = readers.address;
    map_release(&p->attached.doorbell);
    map_release(&p->attached.bell);
    p->attached.doorbell = doorbell;
    p->attached.bell = bell;
    p->handle = opened.handle;
    p->writer.doorbell = doorbell.address;
    p->writer.parked = &p->writer.doorbell->parked;
    p->writer.persister_bell = bell.address;
    p->writer.seal = status_load_seal(p->status);
    p->writer.owner_changed = false;
    return send_backlog(p);
}

int publisher_reconnect(struct hermes_publisher *p)
{
    int rc = client_ensure(p->client);
    if (rc < 0)
        return rc;
    return p->kind == WIRE_RING ? reopen_ring(p) : resume_direct(p);
}

int publisher_resolve_seal(struct hermes_publisher *p, uint64_t start)
{
    int rc = await_end(p, start);
    while (rc == 0 && p->unsettled) {
        rc = publisher_reconnect(p);
        if (!worth_a_retry(rc))
            break;
        if (clock_monotonic_ns() - start >= p->wait_ns)
            return error_set(
                &p->client->error, HERMES_EDISCONNECTED,
                "topic '%s': no broker came back; what was published last goes out when one does", p->topic);
        struct timespec pause = {0, 1000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        rc = 0;
    }
    return rc;
}
