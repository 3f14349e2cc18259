/* What becomes of a publisher, and of what it committed, when the broker or the topic's publisher changes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/publisher.h"

/* ---- the end ---- */

int publisher_tell_over(struct hermes_publisher *p)
{
    struct error_text *text = &p->client->error;
    p->untold = 0;
    if (p->over == HERMES_EMALFORMED)
        return error_say(text, p->over,
                         "topic '%s': the broker found a malformed frame in this publisher's ring", p->topic);
    if (p->over == HERMES_ECLOSED)
        return error_say(text, p->over, "topic '%s' was deleted", p->topic);
    if (p->is_uncertain)
        return error_say(text, p->over,
                         "topic '%s': whether the last %" PRIu64 " messages are in it is not known any more",
                         p->topic, p->missing);
    if (p->outflow != NULL)
        return error_say(
            text, p->over,
            "topic '%s': its broker lost messages that were not durable, and what is left of them here is "
            "not all: the last %" PRIu64 " messages are not in it",
            p->topic, p->missing);
    if (p->missing == 0)
        return error_say(text, p->over, "topic '%s' is another publisher's now; all that was taken is in it",
                         p->topic);
    return error_say(text, p->over,
                     "topic '%s' is another publisher's now; the last %" PRIu64 " messages are not in it",
                     p->topic, p->missing);
}

static void give_up_window(struct hermes_publisher *p, uint64_t sequence)
{
    p->settled += sequence - p->first_sequence;
    p->first_sequence = p->end_sequence = sequence;
    if (sequence - 1 > p->confirmed[HERMES_COMMITTED])
        p->confirmed[HERMES_COMMITTED] = sequence - 1;
    p->unsettled = true;
    map_release(&p->attached.window);
    (void)publisher_close_handle(p, 0); /* or the broker, if it is the same, keeps our place from ourselves */
}

static void drop_backlog(struct hermes_publisher *p)
{
    free(p->backlog);
    p->backlog = NULL;
    p->backlog_bytes = p->backlog_sent = p->backlog_count = 0;
}

int publisher_end(struct hermes_publisher *p, int code, bool is_uncertain)
{
    p->over = code;
    p->is_uncertain = is_uncertain;
    p->missing = p->untold = publisher_outstanding(p);
    if (publisher_has_window(p))
        give_up_window(p, p->writer.sequence - (p->missing - p->backlog_count));
    drop_backlog(p);
    return code;
}

/* ---- the backlog ---- */

/*
 * What we committed and the log does not have becomes the backlog: frames one after the other, with their old
 * sequences. The backlog goes out before anything else; should that fail as well, what did not count is put
 * before what is left of it.
 */
static int collect_backlog(struct hermes_publisher *p, const struct standing *standing, uint64_t sequence)
{
    const struct window *window = p->attached.window.address;
    size_t left = p->backlog_bytes - p->backlog_sent, used = 0;
    uint64_t count = 0, expected = p->writer.sequence - sequence, bytes;
    if (expected == 0)
        return HERMES_OK;
    uint8_t *backlog = malloc(p->writer.mask + 1 + left);
    if (backlog == NULL)
        return error_set(&p->client->error, HERMES_ENOMEM, "messages that wait for a broker");
    for (uint64_t at = standing->position; at < p->writer.position; at += bytes) {
        hermes_header_t header;
        int rc = window_poll(window->data, p->writer.mask, at, &header, &bytes);
        if (rc <= POLL_EMPTY)
            break;
        if (rc != POLL_DATA || header.sequence < sequence)
            continue;
        if (header.sequence != sequence + count)
            break;
        memcpy(backlog + used, window->data + (at & p->writer.mask), bytes);
        used += bytes;
        count++;
    }
    if (count != expected) { /* somebody wrote into our window */
        free(backlog);
        return publisher_end(p, HERMES_EFENCED, false);
    }
    if (left > 0)
        memcpy(backlog + used, p->backlog + p->backlog_sent, left);
    free(p->backlog);
    p->backlog = backlog;
    p->backlog_bytes = used + left;
    p->backlog_sent = 0;
    p->backlog_count += count;
    return HERMES_OK;
}

/* The end of our window or ring is settled. */
static int give_up(struct hermes_publisher *p, const struct standing *standing)
{
    uint64_t sequence = standing->sequence < p->writer.sequence ? standing->sequence : p->writer.sequence;
    if (p->ring != NULL && atomic_load_explicit(&p->ring->refused, memory_order_relaxed) != 0)
        return publisher_end(p, HERMES_EMALFORMED, false);
    int rc = sequence < p->first_sequence ? publisher_end(p, HERMES_EFENCED, true)
                                          : collect_backlog(p, standing, sequence);
    if (rc == 0)
        give_up_window(p, sequence);
    return rc;
}

static int send_backlog(struct hermes_publisher *p)
{
    while (p->backlog_sent < p->backlog_bytes) {
        const uint8_t *frame = p->backlog + p->backlog_sent;
        hermes_header_t header;
        memcpy(&header, frame, sizeof header);
        bool crc = (header.flags & HERMES_FLAG_CRC) != 0;
        int rc = publish_one(&p->writer, frame + HERMES_HEADER_BYTES, header.length, header.timestamp, crc);
        if (rc == 0 || rc == HERMES_EFENCED) { /* it stands in the window, whatever the window's fate */
            p->backlog_sent += hermes_frame_bytes(header.length);
            p->backlog_count--;
            p->doubtful = rc == 0 ? 0 : 1;
        }
        if (rc < 0)
            return error_say(&p->client->error, HERMES_EDISCONNECTED,
                             "topic '%s' has no room for what was published before", p->topic);
    }
    drop_backlog(p);
    p->unsettled = false;
    return HERMES_OK;
}

/* ---- another window ---- */

/* Whatever the broker says no for may pass: a topic that is not served after this start, a successor that is
 * still there, no room. Its sentence is kept. */
static int not_yet(struct hermes_publisher *p, int rc)
{
    if (rc == HERMES_ENOTFOUND) /* the broker knows all topics that are on its disk */
        return publisher_end(p, HERMES_ECLOSED, false);
    return rc < 0 ? HERMES_EDISCONNECTED : rc;
}

/* Did nobody else publish between our last message that is in and the first of the new epoch? A log in memory
 * that was closed begins anew. */
static bool follows(const struct hermes_publisher *p)
{
    if (p->opened.kind != WIRE_DIRECT || p->kind != WIRE_DIRECT)
        return p->opened.kind == p->kind;
    /* A memory topic that ended with its broker begins anew: then its count says nothing about ours. */
    if (p->durability == HERMES_DURABILITY_MEMORY && status_is_closed(p->status))
        return p->opened.sequence == 1;
    return p->opened.sequence == p->end_sequence;
}

static int install(struct hermes_publisher *p)
{
    bool deleted = p->opened.topic_id != p->topic_id;
    if (deleted || !follows(p)) {
        publisher_decline(p);
        return publisher_end(p, deleted ? HERMES_ECLOSED : HERMES_EFENCED, false);
    }
    if (p->opened.kind == WIRE_DIRECT && p->opened.sequence < p->end_sequence) { /* anew */
        memset(p->confirmed, 0, sizeof p->confirmed);
        memset(p->told, 0, sizeof p->told);
    }
    publisher_install(p);
    return send_backlog(p);
}

static int open_another(struct hermes_publisher *p, uint64_t until_ns)
{
    struct wire_publisher_open request = {.sequence = 0};
    memcpy(request.topic, p->topic, sizeof request.topic);
    if (p->kind == WIRE_RING) {
        request.sequence = p->end_sequence;
        request.resume_ring = p->resume_ring;
        request.resume_ring_id = p->resume_ring_id;
    }
    int rc = not_yet(p, publisher_request_open(p, &request, until_ns));
    if (rc == 0 && p->opened.resumed) { /* asked for while our window was still open */
        publisher_decline(p);
        rc = HERMES_EDISCONNECTED;
    }
    return rc < 0 ? rc : install(p);
}

/* ---- the same window ---- */

/* A broker that is new to us is greeted; our window is as it was. */
static int resume_window(struct hermes_publisher *p, uint64_t until_ns)
{
    struct wire_publisher_open request = {.resume_topic_id = p->topic_id, .resume_epoch = p->epoch};
    memcpy(request.topic, p->topic, sizeof request.topic);
    if (!p->writer.owner_changed && p->writer.seal == atomic_load(p->writer.mark) &&
        channel_is_up(&p->client->channel))
        return send_backlog(p);
    int rc = not_yet(p, publisher_request_open(p, &request, until_ns));
    if (rc < 0)
        return rc;
    if (p->opened.resumed) {
        publisher_install_resumed(p);
        return send_backlog(p);
    }
    /* Something else came in between: by now our page says so; or it is not the log's any more. */
    struct standing standing = publisher_standing(p);
    if (standing.state == STANDING_OPEN) {
        publisher_decline(p);
        return publisher_end(p, HERMES_EFENCED, true);
    }
    return HERMES_EDISCONNECTED;
}

static int resume_ring(struct hermes_publisher *p)
{
    int rc = client_ensure(p->client);
    p->writer.owner_changed = false;
    return rc < 0 ? rc : send_backlog(p);
}

/* ---- settling ---- */

/* The status page has no record of our epoch any more. */
static int ask_for_record(struct hermes_publisher *p, struct standing *standing, uint64_t until_ns)
{
    struct wire_epoch record = {.end = EPOCH_OPEN};
    int rc = publisher_request_epoch(p, &record, until_ns);
    if (rc == HERMES_ENOTFOUND)
        return p->doubtful == 0 ? give_up(p, standing) : publisher_end(p, HERMES_EFENCED, true);
    if (rc < 0 || record.end == EPOCH_OPEN)
        return HERMES_EDISCONNECTED;
    if (record.end_position < p->writer.position) {
        standing->position = record.end_position;
        standing->sequence = record.end_sequence;
    } else {
        standing->sequence = p->writer.sequence;
    }
    return give_up(p, standing);
}

/* HERMES_OK: the window is given up, or settled. */
static int look_at_window(struct hermes_publisher *p, uint64_t until_ns)
{
    struct standing standing = publisher_standing(p);
    switch (standing.state) {
    case STANDING_OPEN:
        return p->kind == WIRE_RING ? resume_ring(p) : resume_window(p, until_ns);
    case STANDING_CHANGING:
        p->unsettled = true;
        (void)client_ensure(p->client);
        return error_say(&p->client->error, HERMES_EDISCONNECTED, "topic '%s': no broker came back",
                         p->topic);
    case STANDING_FINAL:
        return give_up(p, &standing);
    case STANDING_FORGOTTEN:
        break;
    }
    p->unsettled = true;
    return p->kind == WIRE_RING ? publisher_end(p, HERMES_EFENCED, true)
                                : ask_for_record(p, &standing, until_ns);
}

int publisher_settle(struct hermes_publisher *p, uint64_t until_ns)
{
    if (p->over != 0)
        return p->over;
    if (p->outflow != NULL)
        return publisher_settle_outflow(p, until_ns);
    if (atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_DELETED)
        return publisher_end(p, HERMES_ECLOSED, false);
    int rc = HERMES_OK;
    if (publisher_has_window(p))
        rc = look_at_window(p, until_ns);
    if (rc == 0 && !publisher_has_window(p))
        rc = open_another(p, until_ns);
    return rc;
}
