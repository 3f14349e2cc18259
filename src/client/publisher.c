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

struct hermes_publisher {
    struct window_writer writer;
    hermes_clock_t clock;
    bool crc;
    bool membarrier;
    bool unsettled; /* a lost ring's messages go before all others */
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
    struct map status_map, window_map, doorbell_map, bell_map;
    const struct status *status;
    const struct status_ring *ring; /* its line in the status page */
    uint64_t ring_id;
    int eventfd;
    uint8_t *backlog;
    size_t backlog_bytes;
    size_t backlog_sent;
};

static const uint64_t default_wait_ns = 10000000000u;

/* ---- opening ---- */

static void release(struct hermes_publisher *p)
{
    map_release(&p->window_map);
    map_release(&p->doorbell_map);
    map_release(&p->bell_map);
    map_release(&p->status_map);
    if (p->eventfd >= 0)
        close(p->eventfd);
    p->eventfd = -1;
}

static int map_reply(struct hermes_publisher *p, const struct wire_publisher *opened)
{
    struct hermes_client *client = p->client;
    uint64_t capacity = 0;
    int rc = client_map(client, 0, STATUS_BYTES, MAP_READ, &p->status_map);
    if (rc == 0)
        rc = client_map(client, 1, 0, MAP_READ_WRITE, &p->window_map);
    if (rc == 0 && (rc = window_check(p->window_map.address, p->window_map.size, &capacity)) < 0)
        error_set(&client->error, rc, "the window of topic '%s'", p->topic);
    if (rc == 0 && (rc = status_check(p->status_map.address)) < 0)
        error_set(&client->error, rc, "the status page of topic '%s'", p->topic);
    if (rc == 0 && opened->kind == WIRE_DIRECT) {
        rc = client_map(client, 2, 4096, MAP_READ_WRITE, &p->doorbell_map);
        if (rc == 0)
            rc = client_map(client, 3, 4096, MAP_READ, &p->bell_map);
    } else if (rc == 0) {
        p->eventfd = channel_take_fd(&client->channel, 2);
        if (p->eventfd < 0 || opened->ring >= STATUS_RINGS)
            rc = error_set(&client->error, HERMES_EPROTOCOL, "the broker's ring");
        else
            fcntl(p->eventfd, F_SETFL, O_NONBLOCK);
    }
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

/* Takes over what the reply brought; the writer begins where the broker says. */
static int adopt(struct hermes_publisher *p, const struct wire_publisher *opened)
{
    int rc = map_reply(p, opened);
    if (rc < 0) {
        close_handle(p, opened->handle);
        return rc;
    }
    p->status = p->status_map.address;
    p->kind = (enum wire_publisher_kind)opened->kind;
    p->handle = opened->handle;
    p->topic_id = opened->topic_id;
    p->epoch = opened->epoch;
    p->durability = opened->durability;
    struct window_writer_options options = {
        .window = p->window_map.address,
        .status = p->status,
        .eventfd = p->eventfd,
        .membarrier = p->membarrier,
    };
    if (p->kind == WIRE_DIRECT) {
        options.gate = p->durability == HERMES_DURABILITY_MEMORY ? NULL : &p->status->persisted;
        options.doorbell = p->doorbell_map.address;
        options.persister_bell = p->bell_map.address;
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
    p->wait_ns = options.wait_ns == 0 ? default_wait_ns : options.wait_ns;
    p->eventfd = -1;
    p->membarrier = barrier_register();
    memcpy(p->topic, request.topic, sizeof p->topic);
    hermes_clock_init(&p->clock);
    struct wire_publisher opened;
    rc = request_open(p, &request, &opened);
    if (rc == 0)
        rc = adopt(p, &opened);
    if (rc < 0) {
        release(p);
        free(p);
        return rc;
    }
    p->next = client->publishers;
    client->publishers = p;
    *out = p;
    return HERMES_OK;
}

/* ---- when the broker changes ---- */

/*
 * A ring is lost with its broker. What it still holds, and the log does not, becomes the backlog: frames
 * one after the other, with their old sequences. The backlog goes into the next ring before anything
 * else; should that ring be lost as well, its own remains are put before what is left of the backlog.
 */
static int collect_backlog(struct hermes_publisher *p)
{
    const struct window *window = p->window_map.address;
    if (window == NULL)
        return HERMES_OK; /* collected already */
    size_t left = p->backlog_bytes - p->backlog_sent, used = 0;
    uint8_t *backlog = malloc(p->writer.mask + 1 + left);
    if (backlog == NULL)
        return error_set(&p->client->error, HERMES_ENOMEM, "messages that wait for a broker");
    uint64_t position = atomic_load_explicit(&p->ring->consumed, memory_order_acquire);
    uint64_t done = atomic_load_explicit(&p->ring->consumed_sequence, memory_order_acquire);
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
    p->unsettled = p->backlog_bytes > 0;
    map_release(&p->window_map);
    return HERMES_OK;
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
                return HERMES_EDISCONNECTED;
            sched_yield();
            continue;
        }
        if (rc < 0)
            return rc;
        p->backlog_sent += hermes_frame_bytes(header.length);
    }
    free(p->backlog);
    p->backlog = NULL;
    p->backlog_bytes = p->backlog_sent = 0;
    p->unsettled = false;
    return HERMES_OK;
}

static bool ring_is_lost(const struct hermes_publisher *p)
{
    return p->window_map.address == NULL || p->writer.seal >> 32 != status_load_seal(p->status) >> 32 ||
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
    int rc = collect_backlog(p);
    if (rc < 0)
        return rc;
    struct wire_publisher_open request = {.sequence = p->writer.sequence};
    if (p->backlog_bytes > 0) {
        hermes_header_t first;
        memcpy(&first, p->backlog, sizeof first);
        request.sequence = first.sequence;
    }
    memcpy(request.topic, p->topic, sizeof request.topic);
    struct wire_publisher opened;
    rc = request_open(p, &request, &opened);
    if (rc < 0)
        return rc;
    struct map old_status = p->status_map;
    const struct status_ring *old_ring = p->ring;
    p->status_map = (struct map){0};
    close(p->eventfd);
    p->eventfd = -1;
    rc = adopt(p, &opened);
    if (rc < 0 && p->status != p->status_map.address) { /* nothing of it can be used: as before */
        release(p);
        p->status_map = old_status;
        p->ring = old_ring;
        return rc;
    }
    map_release(&old_status);
    return rc < 0 ? rc : send_backlog(p);
}

/* The same window, if nobody took it in the meantime: only the doorbell and the session are new. */
static int resume_direct(struct hermes_publisher *p)
{
    struct wire_publisher_open request = {.resume_topic_id = p->topic_id, .resume_epoch = p->epoch};
    memcpy(request.topic, p->topic, sizeof request.topic);
    struct wire_publisher opened;
    int rc = request_open(p, &request, &opened);
    if (rc < 0)
        return rc;
    if (!opened.resumed) { /* it gave us a successor: what we committed before is in it */
        release(p);
        return adopt(p, &opened);
    }
    struct map doorbell = {0}, bell = {0};
    rc = client_map(p->client, 2, 4096, MAP_READ_WRITE, &doorbell);
    if (rc == 0)
        rc = client_map(p->client, 3, 4096, MAP_READ, &bell);
    if (rc < 0) {
        map_release(&doorbell);
        return rc;
    }
    map_release(&p->doorbell_map);
    map_release(&p->bell_map);
    p->doorbell_map = doorbell;
    p->bell_map = bell;
    p->handle = opened.handle;
    p->writer.doorbell = doorbell.address;
    p->writer.parked = &p->writer.doorbell->parked;
    p->writer.persister_bell = bell.address;
    p->writer.seal = status_load_seal(p->status);
    p->writer.owner_changed = false;
    return HERMES_OK;
}

/* Greets a broker that came back. HERMES_EDISCONNECTED: none did yet. */
static int reconnect(struct hermes_publisher *p)
{
    int rc = client_ensure(p->client);
    if (rc < 0)
        return rc;
    return p->kind == WIRE_RING ? reopen_ring(p) : resume_direct(p);
}

/* Tries until wait_ns is over. Once fenced for good it says so at once. */
static int reconnect_within(struct hermes_publisher *p, uint64_t start)
{
    for (;;) {
        int rc = reconnect(p);
        if (rc != HERMES_EDISCONNECTED && rc != HERMES_EBUSY)
            return rc;
        if (clock_monotonic_ns() - start >= p->wait_ns)
            return rc;
        struct timespec pause = {0, 1000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

/*
 * Our epoch was sealed while we committed: by another publisher's arrival, or by a broker that stops.
 * The log's owner has settled where the epoch ends; what we committed before that counts.
 */
static int resolve_seal(struct hermes_publisher *p, uint64_t start)
{
    uint64_t end = p->writer.position;
    for (;;) {
        uint32_t state = atomic_load_explicit(&p->status->state, memory_order_acquire);
        uint32_t epoch = atomic_load_explicit(&p->status->epoch, memory_order_acquire);
        bool closed = state == STATE_CLOSED;
        if (state == STATE_DELETED)
            return error_set(&p->client->error, HERMES_ECLOSED, "topic '%s'", p->topic);
        if (closed || epoch > p->epoch) {
            bool counts = end <= atomic_load_explicit(&p->status->epoch_start, memory_order_relaxed);
            if (!closed)
                return counts ? HERMES_OK
                              : error_set(&p->client->error, HERMES_EFENCED, "topic '%s'", p->topic);
            int rc = reconnect_within(p, start);
            return rc < 0 ? rc : counts ? HERMES_OK : HERMES_EAGAIN;
        }
        if (clock_monotonic_ns() - start >= p->wait_ns)
            return error_set(&p->client->error, HERMES_EDISCONNECTED, "topic '%s': no broker came back",
                             p->topic);
        sched_yield();
    }
}

/* ---- publishing ---- */

/* After a publish that was not plainly right. HERMES_EAGAIN: publish the message (again). */
static int settle(struct hermes_publisher *p, int rc, uint64_t start)
{
    struct hermes_client *client = p->client;
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
    if (clock_monotonic_ns() - start >= p->wait_ns)
        return error_set(&client->error, HERMES_EAGAIN, "topic '%s' has no room (is its disk full?)",
                         p->topic);
    if (p->unsettled || p->writer.owner_changed || !channel_is_up(&client->channel)) {
        int again = reconnect(p);
        if (again < 0 && again != HERMES_EDISCONNECTED && again != HERMES_EBUSY)
            return again;
    }
    sched_yield();
    return HERMES_EAGAIN;
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
        if (rc != HERMES_EAGAIN)
            return rc;
        if (clock_monotonic_ns() - start >= p->wait_ns)
            return HERMES_EAGAIN;
        if (p->unsettled)
            continue;
        rc = publish_one(&p->writer, payload, length, hermes_clock_now(&p->clock), p->crc);
        if (rc == 0)
            return HERMES_OK;
    }
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
    return rc;
}

static bool slice_is_legal(const hermes_slice_t *slice)
{
    return slice->length <= HERMES_PAYLOAD_MAX && (slice->data != NULL || slice->length == 0);
}

int64_t hermes_publish_batch(hermes_publisher_t *p, const hermes_slice_t *slices, size_t count)
{
    uint64_t now = hermes_clock_now(&p->clock);
    size_t done = 0;
    int rc = HERMES_OK;
    /* Each is committed by itself, so readers begin at once; what follows a commit is done once. */
    for (; !p->unsettled && done < count && slice_is_legal(&slices[done]); done++) {
        uint32_t length = (uint32_t)slices[done].length;
        uint64_t bytes = hermes_frame_bytes(length);
        uint8_t *frame = window_reserve(&p->writer, bytes, &rc);
        if (frame == NULL)
            break;
        uint64_t word = publish_fill(frame, slices[done].data, length, p->writer.sequence, now, p->crc);
        window_commit(&p->writer, word, bytes, 1);
    }
    if (done > 0) {
        rc = window_after_commit(&p->writer);
        if (rc < 0 && (rc = resolve_seal(p, clock_monotonic_ns())) < 0)
            return rc;
    }
    /* What did not fit goes the slow way, which waits, and names the error if there is one. */
    for (; done < count; done++) {
        rc = hermes_publish(p, slices[done].data, slices[done].length, NULL);
        if (rc < 0)
            return done > 0 ? (int64_t)done : rc;
    }
    return (int64_t)done;
}

int hermes_claim(hermes_publisher_t *p, size_t length, void **payload)
{
    if (length > HERMES_PAYLOAD_MAX)
        return error_set(&p->client->error, HERMES_ETOOLARGE, "claim on topic '%s'", p->topic);
    int rc = HERMES_OK;
    uint64_t start = 0;
    for (;;) {
        p->claimed =
            p->unsettled ? NULL : window_reserve(&p->writer, hermes_frame_bytes((uint32_t)length), &rc);
        if (p->claimed != NULL)
            break;
        if (start == 0)
            start = clock_monotonic_ns();
        if ((rc = settle(p, HERMES_EAGAIN, start)) != HERMES_EAGAIN)
            return rc;
        if (clock_monotonic_ns() - start >= p->wait_ns)
            return rc;
    }
    p->claimed_length = (uint32_t)length;
    *payload = p->claimed + HERMES_HEADER_BYTES;
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
    int rc = window_after_commit(&p->writer);
    if (rc == HERMES_EFENCED)
        rc = resolve_seal(p, clock_monotonic_ns());
    else if (p->writer.owner_changed)
        (void)reconnect(p);
    return rc;
}

void hermes_abort(hermes_publisher_t *p)
{
    if (p->claimed != NULL)
        window_abort(p->claimed, p->claimed_length);
    p->claimed = NULL;
}

/* ---- confirmation ---- */

int hermes_publisher_wait(hermes_publisher_t *p, enum hermes_confirmation confirmation, uint64_t timeout_ns)
{
    uint64_t start = clock_monotonic_ns();
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
            if (rc < 0 && rc != HERMES_EDISCONNECTED && rc != HERMES_EBUSY)
                return rc;
        }
        if (!committed)
            sched_yield();
        else
            futex_wait(&p->status->durable_bell, bell, 10000000);
    }
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
    close_handle(p, p->handle);
    release(p);
    free(p->backlog);
    free(p);
}
