/*
 * Publishers. On an exclusive topic one writes the topic's window itself; else a ring of its own that
 * the broker's sequencer empties. The steps are the same (core/publish.h); what differs is the gate.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/client.h"
#include "core/publish.h"

/* What the broker shares with one publisher. */
struct attachment {
    struct map status, window, doorbell, bell;
    int eventfd; /* of a ring; else -1 */
};

struct hermes_publisher {
    struct window_writer writer;
    hermes_clock_t clock;
    bool crc;
    bool membarrier;
    bool confirms;  /* publishing ends when what was published is durable */
    bool no_wait;   /* asked for the opposite */
    bool unsettled; /* a backlog goes before all other messages, or a claim is open: the slow way */
    enum wire_publisher_kind kind;
    uint8_t *claimed;
    uint32_t claimed_length;

    struct hermes_client *client;
    struct hermes_publisher *next;
    char topic[WIRE_TOPIC_BYTES];
    uint64_t topic_id;
    uint32_t handle;
    uint32_t epoch;
    uint32_t durability;
    uint64_t wait_ns;
    struct attachment attached;
    const struct status *status;
    const struct status_ring *ring; /* its line in the status page; NULL: it writes the window itself */
    uint64_t ring_id;
    uint8_t *backlog;
    size_t backlog_bytes;
    size_t backlog_sent;

    uint64_t confirmed[HERMES_DURABLE + 1]; /* of our own messages, as far as we know */
    uint64_t awaited_position;              /* a ring's: once this is durable, all up to that sequence are */
    uint64_t awaited_sequence;
    uint64_t told[HERMES_DURABLE + 1];
    hermes_confirmed_t handlers[HERMES_DURABLE + 1];
    void *handler_contexts[HERMES_DURABLE + 1];
};

static const uint64_t default_wait_ns = 10000000000u;

enum { AGAIN = 1 }; /* of settle(): publish the message (again) */

/* ---- opening ---- */

static void release(struct attachment *attached)
{
    map_release(&attached->window);
    map_release(&attached->doorbell);
    map_release(&attached->bell);
    map_release(&attached->status);
    if (attached->eventfd >= 0)
        close(attached->eventfd);
    attached->eventfd = -1;
}

/* Maps and checks what came with the reply. On failure *attached is empty. */
static int attach(struct hermes_publisher *p, const struct wire_publisher *opened,
                  struct attachment *attached)
{
    struct hermes_client *client = p->client;
    uint64_t capacity = 0;
    *attached = (struct attachment){.eventfd = -1};
    int rc = client_map(client, 0, STATUS_BYTES, MAP_READ, &attached->status);
    if (rc == 0)
        rc = client_map(client, 1, 0, MAP_READ_WRITE, &attached->window);
    if (rc == 0 && (rc = window_check(attached->window.address, attached->window.size, &capacity)) < 0)
        error_set(&client->error, rc, "the window of topic '%s'", p->topic);
    if (rc == 0 && (rc = status_check(attached->status.address)) < 0)
        error_set(&client->error, rc, "the status page of topic '%s'", p->topic);
    if (rc == 0 && opened->kind == WIRE_DIRECT) {
        rc = client_map(client, 2, 4096, MAP_READ_WRITE, &attached->doorbell);
        if (rc == 0)
            rc = client_map(client, 3, 4096, MAP_READ, &attached->bell);
    } else if (rc == 0) {
        attached->eventfd = channel_take_fd(&client->channel, 2);
        if (attached->eventfd < 0 || opened->ring >= STATUS_RINGS)
            rc = error_set(&client->error, HERMES_EPROTOCOL, "the broker's ring");
        else
            fcntl(attached->eventfd, F_SETFL, O_NONBLOCK);
    }
    if (rc < 0)
        release(attached);
    return rc;
}

static int request_open(struct hermes_publisher *p, const struct wire_publisher_open *request,
                        struct wire_publisher *opened)
{
    int rc = client_request(p->client, WIRE_PUBLISHER_OPEN, request, sizeof *request, WIRE_PUBLISHER,
                            sizeof *opened);
    if (rc == 0)
        memcpy(opened, p->client->channel.reply, sizeof *opened);
    return rc;
}

static void close_handle(struct hermes_publisher *p, uint32_t handle)
{
    struct wire_handle request = {.handle = handle};
    if (channel_is_up(&p->client->channel))
        (void)client_request(p->client, WIRE_CLOSE, &request, sizeof request, WIRE_OK, 0);
}

/* Takes over what the reply brought, in place of what there was; the writer begins where the broker says.
 * If that cannot be, all stays as it was. */
static int adopt(struct hermes_publisher *p, const struct wire_publisher *opened)
{
    struct attachment fresh;
    int rc = attach(p, opened, &fresh);
    if (rc < 0) {
        close_handle(p, opened->handle);
        return rc;
    }
    release(&p->attached);
    p->attached = fresh;
    p->status = fresh.status.address;
    p->kind = (enum wire_publisher_kind)opened->kind;
    p->handle = opened->handle;
    p->topic_id = opened->topic_id;
    p->epoch = opened->epoch;
    p->durability = opened->durability;
    p->confirms = p->durability == HERMES_DURABILITY_SYNC && !p->no_wait;
    struct window_writer_options options = {
        .window = fresh.window.address,
        .status = p->status,
        .eventfd = fresh.eventfd,
        .membarrier = p->membarrier,
    };
    if (p->kind == WIRE_DIRECT) {
        p->ring = NULL;
        options.gate = p->durability == HERMES_DURABILITY_MEMORY ? NULL : &p->status->persisted;
        options.doorbell = fresh.doorbell.address;
        options.persister_bell = fresh.bell.address;
        options.epoch = opened->epoch;
    } else {
        p->ring = &p->status->rings[opened->ring];
        p->ring_id = opened->ring_id;
        options.gate = &p->ring->consumed;
        options.parked = &p->status->sequencer_parked;
        options.epoch = UINT32_MAX; /* a ring is not sealed: its topic may change hands under it */
    }
    window_writer_init(&p->writer, &options, opened->position, opened->sequence);
    if (p->kind == WIRE_RING) {
        struct wire_handle mapped = {.handle = p->handle};
        rc = client_request(p->client, WIRE_PUBLISHER_MAPPED, &mapped, sizeof mapped, WIRE_OK, 0);
    }
    return rc;
}

int hermes_publisher_open(hermes_client_t *client, const char *topic, const hermes_publisher_options_t *given,
                          hermes_publisher_t **out)
{
    *out = NULL;
    hermes_publisher_options_t options = {.size = sizeof options};
    if (given != NULL)
        memcpy(&options, given, given->size < sizeof options ? given->size : sizeof options);
    struct wire_publisher_open request = {.sequence = 0};
    int rc = client_put_topic(client, request.topic, topic);
    if (rc < 0)
        return rc;
    struct hermes_publisher *p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a publisher");
    p->client = client;
    p->crc = (options.flags & HERMES_PUBLISH_NO_CRC) == 0;
    p->no_wait = (options.flags & HERMES_PUBLISH_NO_WAIT) != 0;
    p->wait_ns = options.wait_ns == 0 ? default_wait_ns : options.wait_ns;
    p->attached.eventfd = -1;
    p->membarrier = barrier_register();
    memcpy(p->topic, request.topic, sizeof p->topic);
    hermes_clock_init(&p->clock);
    struct wire_publisher opened;
    rc = request_open(p, &request, &opened);
    if (rc == 0)
        rc = adopt(p, &opened);
    if (rc < 0) {
        release(&p->attached);
        free(p);
        return rc;
    }
    p->next = client->publishers;
    client->publishers = p;
    *out = p;
    return HERMES_OK;
}

/* ---- when the broker changes ---- */

static int reconnect(struct hermes_publisher *p);

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
        if (state == STATE_CLOSED || epoch > p->epoch) {
            uint64_t end = atomic_load_explicit(&p->status->epoch_start, memory_order_relaxed);
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
    return p->attached.window.address == NULL || p->writer.seal >> 32 != status_load_seal(p->status) >> 32 ||
           atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_CLOSED ||
           atomic_load_explicit(&p->ring->id, memory_order_acquire) != p->ring_id;
}

static int reopen_ring(struct hermes_publisher *p)
{
    if (!ring_is_lost(p)) {
        p->writer.seal = status_load_seal(p->status);
        p->writer.owner_changed = false;
        return send_backlog(p);
    }
    int rc = collect_backlog(p, atomic_load_explicit(&p->ring->consumed, memory_order_acquire),
                             atomic_load_explicit(&p->ring->consumed_sequence, memory_order_acquire));
    if (rc < 0)
        return rc;
    struct wire_publisher_open request = {.sequence = p->writer.sequence};
    if (p->backlog_bytes > p->backlog_sent) {
        hermes_header_t first;
        memcpy(&first, p->backlog + p->backlog_sent, sizeof first);
        request.sequence = first.sequence;
    }
    memcpy(request.topic, p->topic, sizeof request.topic);
    struct wire_publisher opened;
    rc = request_open(p, &request, &opened);
    if (rc == 0)
        rc = adopt(p, &opened);
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
    int rc = request_open(p, &request, &opened);
    if (rc < 0)
        return rc;
    if (!opened.resumed) { /* it gave us a successor: what we committed before is in it */
        rc = adopt(p, &opened);
        return rc < 0 ? rc : send_backlog(p);
    }
    struct map doorbell = {0}, bell = {0};
    rc = client_map(p->client, 2, 4096, MAP_READ_WRITE, &doorbell);
    if (rc == 0)
        rc = client_map(p->client, 3, 4096, MAP_READ, &bell);
    if (rc < 0) {
        map_release(&doorbell);
        return rc;
    }
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

/* Greets a broker that came back. HERMES_EDISCONNECTED: none did yet. */
static int reconnect(struct hermes_publisher *p)
{
    int rc = client_ensure(p->client);
    if (rc < 0)
        return rc;
    return p->kind == WIRE_RING ? reopen_ring(p) : resume_direct(p);
}

static bool worth_a_retry(int rc)
{
    return rc == HERMES_EDISCONNECTED || rc == HERMES_EBUSY;
}

/* A seal seen behind a commit. HERMES_OK: everything committed is in the log, or in the next one's. */
static int resolve_seal(struct hermes_publisher *p, uint64_t start)
{
    int rc = await_end(p, start);
    while (rc == 0 && p->unsettled) {
        rc = reconnect(p);
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

/* ---- publishing ---- */

static int claim_is_open(struct hermes_publisher *p)
{
    return error_set(&p->client->error, HERMES_EINVALID,
                     "topic '%s': a claim is open; commit or abort it first", p->topic);
}

/* After a publish that was not plainly right: HERMES_OK, it counts; AGAIN; or an error to report. */
static int settle(struct hermes_publisher *p, int rc, uint64_t start)
{
    struct hermes_client *client = p->client;
    if (p->claimed != NULL)
        return claim_is_open(p);
    if (rc == HERMES_EFENCED)
        return resolve_seal(p, start);
    if (rc == HERMES_ETOOLARGE || rc == HERMES_EINVALID)
        return error_set(&client->error, rc, "payload for topic '%s'", p->topic);
    if (p->ring != NULL && atomic_load_explicit(&p->ring->refused, memory_order_relaxed) != 0)
        return error_set(&client->error, HERMES_EMALFORMED, "topic '%s': the broker refused a frame",
                         p->topic);
    if (atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_FAILED)
        return error_set(&client->error, HERMES_EIO, "the store of topic '%s' failed: %s", p->topic,
                         hermes_strerror(-(int)atomic_load(&p->status->error)));
    bool full = atomic_load_explicit(&p->status->full, memory_order_relaxed) != 0;
    if (full && atomic_load_explicit(&p->status->full_waits, memory_order_relaxed) == 0)
        return error_set(&client->error, HERMES_EFULL, "topic '%s'", p->topic);
    if (clock_monotonic_ns() - start >= p->wait_ns)
        return channel_is_up(&client->channel)
                   ? error_set(&client->error, HERMES_EAGAIN, "topic '%s' has no room (is its disk full?)",
                               p->topic)
                   : error_set(&client->error, HERMES_EDISCONNECTED, "topic '%s': no broker came back",
                               p->topic);
    if (p->unsettled || p->writer.owner_changed || !channel_is_up(&client->channel)) {
        int again = reconnect(p);
        if (again < 0 && !worth_a_retry(again))
            return again;
    }
    if (full) {
        struct timespec pause = {0, 1000000}; /* room for a disk is not made in microseconds */
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    } else {
        sched_yield();
    }
    return AGAIN;
}

__attribute__((noinline)) static int publish_slow(struct hermes_publisher *p, const void *payload,
                                                  size_t length, int rc)
{
    uint64_t start = clock_monotonic_ns();
    if (rc == 0) { /* it is out; a new broker wants to be greeted, sooner or later */
        (void)reconnect(p);
        return HERMES_OK;
    }
    for (;;) {
        rc = settle(p, rc, start);
        if (rc != AGAIN)
            return rc;
        rc = HERMES_EAGAIN;
        if (!p->unsettled)
            rc = publish_one(&p->writer, payload, length, hermes_clock_now(&p->clock), p->crc);
        if (rc == 0)
            return HERMES_OK;
    }
}

/* A publish to a sync topic is complete when this is. */
static int confirm(struct hermes_publisher *p)
{
    return hermes_publisher_wait(p, HERMES_DURABLE, p->wait_ns);
}

int hermes_publish(hermes_publisher_t *p, const void *payload, size_t length, uint64_t *sequence)
{
    int rc = HERMES_EAGAIN;
    if (__builtin_expect(!p->unsettled, 1))
        rc = publish_one(&p->writer, payload, length, hermes_clock_now(&p->clock), p->crc);
    if (__builtin_expect(rc < 0 || p->writer.owner_changed, 0))
        rc = publish_slow(p, payload, length, rc);
    if (sequence != NULL)
        *sequence = p->writer.sequence - 1;
    return __builtin_expect(p->confirms, 0) && rc == 0 ? confirm(p) : rc;
}

static bool slice_is_legal(const hermes_slice_t *slice)
{
    return slice->length <= HERMES_PAYLOAD_MAX && (slice->data != NULL || slice->length == 0);
}

int64_t hermes_publish_batch(hermes_publisher_t *p, const hermes_slice_t *slices, size_t count)
{
    enum { STEP = 64 };
    uint64_t now = hermes_clock_now(&p->clock);
    size_t done = 0, checked = 0;
    int rc = HERMES_OK;
    /* Each is committed by itself, so readers begin at once; what follows a commit is done once a step. */
    while (rc == 0 && !p->unsettled && done < count && slice_is_legal(&slices[done])) {
        uint32_t length = (uint32_t)slices[done].length;
        uint64_t bytes = hermes_frame_bytes(length);
        uint8_t *frame = window_reserve(&p->writer, bytes, &rc);
        if (frame == NULL)
            break;
        uint64_t word = publish_fill(frame, slices[done].data, length, p->writer.sequence, now, p->crc);
        window_commit(&p->writer, word, bytes, 1);
        if (++done - checked == STEP || done == count) {
            checked = done;
            rc = window_after_commit(&p->writer);
        }
    }
    if (checked < done)
        rc = window_after_commit(&p->writer);
    if (rc == HERMES_EFENCED && (rc = resolve_seal(p, clock_monotonic_ns())) < 0)
        return rc;
    /* What did not fit goes the slow way, which waits, and names the error if there is one. */
    bool confirms = p->confirms;
    p->confirms = false; /* not one by one */
    for (rc = 0; done < count; done++)
        if ((rc = hermes_publish(p, slices[done].data, slices[done].length, NULL)) < 0)
            break;
    p->confirms = confirms;
    if (done == 0)
        return rc;
    if (confirms && (rc = confirm(p)) < 0)
        return rc;
    return (int64_t)done;
}

int hermes_claim(hermes_publisher_t *p, size_t length, void **payload)
{
    if (length > HERMES_PAYLOAD_MAX)
        return error_set(&p->client->error, HERMES_ETOOLARGE, "claim on topic '%s'", p->topic);
    uint8_t *frame = NULL;
    uint64_t start = 0;
    for (;;) {
        int rc = HERMES_EAGAIN;
        if (!p->unsettled)
            frame = window_reserve(&p->writer, hermes_frame_bytes((uint32_t)length), &rc);
        if (frame != NULL)
            break;
        if (start == 0)
            start = clock_monotonic_ns();
        if ((rc = settle(p, rc, start)) != AGAIN)
            return rc;
    }
    p->unsettled = true;
    p->claimed = frame;
    p->claimed_length = (uint32_t)length;
    *payload = frame + HERMES_HEADER_BYTES;
    return HERMES_OK;
}

int hermes_commit(hermes_publisher_t *p, uint64_t *sequence)
{
    if (p->claimed == NULL)
        return error_set(&p->client->error, HERMES_EINVALID, "commit without a claim");
    uint64_t word = publish_fill(p->claimed, NULL, p->claimed_length, p->writer.sequence,
                                 hermes_clock_now(&p->clock), p->crc);
    if (sequence != NULL)
        *sequence = p->writer.sequence;
    window_commit(&p->writer, word, hermes_frame_bytes(p->claimed_length), 1);
    p->claimed = NULL;
    p->unsettled = false;
    int rc = window_after_commit(&p->writer);
    if (rc == HERMES_EFENCED)
        rc = resolve_seal(p, clock_monotonic_ns());
    else if (p->writer.owner_changed)
        (void)reconnect(p);
    return p->confirms && rc == 0 ? confirm(p) : rc;
}

void hermes_abort(hermes_publisher_t *p)
{
    if (p->claimed == NULL)
        return;
    window_abort(p->claimed, p->claimed_length);
    p->claimed = NULL;
    p->unsettled = false;
}

/* ---- confirmation ---- */

int hermes_publisher_wait(hermes_publisher_t *p, enum hermes_confirmation confirmation, uint64_t timeout_ns)
{
    uint64_t start = clock_monotonic_ns();
    if (p->claimed != NULL)
        return claim_is_open(p);
    if (confirmation == HERMES_DURABLE && p->durability == HERMES_DURABILITY_MEMORY)
        return error_set(&p->client->error, HERMES_ENOTSUP, "topic '%s' is kept in memory alone", p->topic);
    for (;;) {
        uint64_t target = p->writer.position;
        bool committed = !p->unsettled;
        if (committed && p->kind == WIRE_RING) {
            /* Acquire pairs with the sequencer's release: log_position is of that moment or later. */
            committed = atomic_load_explicit(&p->ring->consumed, memory_order_acquire) >= target;
            target = atomic_load_explicit(&p->ring->log_position, memory_order_relaxed);
        }
        uint32_t bell = atomic_load_explicit(&p->status->durable_bell, memory_order_acquire);
        if (committed && (confirmation == HERMES_COMMITTED ||
                          atomic_load_explicit(&p->status->durable, memory_order_acquire) >= target))
            return HERMES_OK;
        uint64_t waited = clock_monotonic_ns() - start;
        if (waited >= timeout_ns)
            return error_set(&p->client->error, HERMES_ETIMEOUT, "waiting for topic '%s'", p->topic);
        if (atomic_load_explicit(&p->status->state, memory_order_acquire) == STATE_FAILED)
            return error_set(&p->client->error, HERMES_EIO, "the store of topic '%s' failed", p->topic);
        if (p->unsettled || p->writer.seal != status_load_seal(p->status) ||
            !channel_is_up(&p->client->channel)) {
            int rc = reconnect(p);
            if (rc < 0 && !worth_a_retry(rc))
                return rc;
        }
        if (confirmation == HERMES_COMMITTED)
            sched_yield(); /* the sequencer is at it */
        else if (futex_wait(&p->status->durable_bell, bell, 10000000) == HERMES_ETIMEOUT &&
                 p->attached.bell.address != NULL)
            futex_wake_all(p->attached.bell.address); /* in case it sleeps: see persister.c */
    }
}

uint64_t hermes_publisher_confirmed(hermes_publisher_t *p, enum hermes_confirmation confirmation)
{
    if (p->unsettled && p->claimed == NULL)
        return p->confirmed[confirmation]; /* no broker: nothing more is known */
    uint64_t sequence = p->confirmed[confirmation];
    if (p->kind == WIRE_DIRECT) {
        /* Acquire pairs with log_sync(). */
        sequence = confirmation == HERMES_COMMITTED
                       ? p->writer.sequence - 1
                       : atomic_load_explicit(&p->status->durable_sequence, memory_order_acquire) - 1;
    } else {
        /* Acquire pairs with drain() in sequencer.c: the log's end is of that moment or later. */
        uint64_t consumed = atomic_load_explicit(&p->ring->consumed_sequence, memory_order_acquire);
        uint64_t end = atomic_load_explicit(&p->ring->log_position, memory_order_relaxed);
        if (confirmation == HERMES_COMMITTED) {
            sequence = consumed;
        } else {
            uint64_t durable = atomic_load_explicit(&p->status->durable, memory_order_acquire);
            if (durable >= end)
                sequence = consumed;
            else if (durable >= p->awaited_position)
                sequence = p->awaited_sequence;
            if (durable >= p->awaited_position) {
                p->awaited_position = end;
                p->awaited_sequence = consumed;
            }
        }
    }
    if (sequence > p->confirmed[confirmation])
        p->confirmed[confirmation] = sequence;
    return p->confirmed[confirmation];
}

void hermes_publisher_notify(hermes_publisher_t *p, enum hermes_confirmation confirmation,
                             hermes_confirmed_t handler, void *context)
{
    p->handlers[confirmation] = handler;
    p->handler_contexts[confirmation] = context;
    p->told[confirmation] = hermes_publisher_confirmed(p, confirmation);
}

int hermes_publisher_poll(hermes_publisher_t *p)
{
    int calls = 0;
    for (enum hermes_confirmation c = HERMES_COMMITTED; c <= HERMES_DURABLE; c++) {
        if (p->handlers[c] == NULL)
            continue;
        uint64_t sequence = hermes_publisher_confirmed(p, c);
        if (sequence > p->told[c]) {
            p->told[c] = sequence;
            p->handlers[c](p->handler_contexts[c], sequence);
            calls++;
        }
    }
    if (p->claimed == NULL && (p->unsettled || p->writer.seal != status_load_seal(p->status))) {
        int rc = reconnect(p);
        if (rc < 0 && !worth_a_retry(rc))
            return rc;
    }
    return calls;
}

uint64_t hermes_publisher_sequence(const hermes_publisher_t *p)
{
    return p->kind == WIRE_RING ? atomic_load_explicit(&p->ring->log_sequence, memory_order_acquire)
                                : p->writer.sequence - 1;
}

void hermes_publisher_close(hermes_publisher_t *p)
{
    if (p == NULL)
        return;
    struct hermes_publisher **at = &p->client->publishers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    hermes_abort(p);
    close_handle(p, p->handle);
    release(&p->attached);
    free(p->backlog);
    free(p);
}
