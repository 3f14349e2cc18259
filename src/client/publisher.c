/*
 * Publishers. On an exclusive topic one writes the topic's window itself; else a ring of its own that
 * the broker's sequencer empties. The steps are the same (log/publish.h); what differs is the gate.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/abi.h"
#include "base/clock.h"
#include "client/publisher.h"

static const uint64_t default_wait_ns = 10000000000u;
/* So long a publisher that has no room gives way to others and looks again; then it sleeps. */
static const uint64_t busy_ns = 200000;
/* A publisher that sleeps looks this often whether its broker lives. */
static const uint64_t look_ns = 10000000;

/* ---- opening ---- */

static void release(struct attachment *attached)
{
    map_release(&attached->window);
    map_release(&attached->doorbell);
    map_release(&attached->bell);
    map_release(&attached->status);
    map_release(&attached->readers);
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
        if (rc == 0 && opened->push_back != 0)
            rc = client_map(client, 4, READERS_BYTES, MAP_READ_WRITE, &attached->readers);
        if (rc == 0 && opened->push_back != 0 &&
            (rc = readers_check(attached->readers.address, attached->readers.size)) < 0)
            error_set(&client->error, rc, "the readers of topic '%s'", p->topic);
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

int publisher_request_open(struct hermes_publisher *p, const struct wire_publisher_open *request,
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

/* The writer begins where the broker says. */
int publisher_adopt(struct hermes_publisher *p, const struct wire_publisher *opened)
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
    const struct window *window = fresh.window.address;
    struct window_writer_options options = {
        .window = fresh.window.address,
        .eventfd = fresh.eventfd,
        .membarrier = p->membarrier && window->writer_fences == 0,
    };
    if (p->kind == WIRE_DIRECT) {
        p->ring = NULL;
        options.gate = p->durability == HERMES_DURABILITY_MEMORY ? NULL : &p->status->persisted;
        options.doorbell = fresh.doorbell.address;
        options.persister_bell = fresh.bell.address;
        options.readers = fresh.readers.address;
        options.epoch = opened->epoch;
        options.mark = &p->status->seal;
        options.seal = status_load_seal(p->status);
    } else {
        p->ring = &p->status->rings[opened->ring];
        p->ring_id = opened->ring_id;
        options.gate = &p->ring->consumed;
        options.parked = &p->status->sequencer_parked;
        options.mark = &p->status->ring_marks[opened->ring];
        options.seal = opened->ring_id;
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
    int rc = given == NULL ? HERMES_OK : abi_take(&options, sizeof options, given);
    if (rc < 0)
        return error_set(&client->error, rc, "options of a publisher");
    struct wire_publisher_open request = {.sequence = 0};
    rc = client_put_topic(client, request.topic, topic);
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
    rc = publisher_request_open(p, &request, &opened);
    if (rc == 0)
        rc = publisher_adopt(p, &opened);
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

void hermes_publisher_set_wait(hermes_publisher_t *p, uint64_t wait_ns)
{
    p->wait_ns = wait_ns;
}

/* ---- publishing ---- */

enum { AGAIN = 1 }; /* of settle(): publish the message (again) */

int publisher_claim_is_open(struct hermes_publisher *p)
{
    return error_set(&p->client->error, HERMES_EINVALID,
                     "topic '%s': a claim is open; commit or abort it first", p->topic);
}

/* Where the slowest reader has to be before it is worth going on: room for the largest message, or an eighth
 * of the window. */
static uint64_t readers_wanted(const struct window_writer *writer)
{
    uint64_t capacity = writer->mask + 1, room = capacity / 8;
    room = room > 2 * FRAME_MAX_BYTES ? room : 2 * FRAME_MAX_BYTES;
    return writer->position + room > capacity ? writer->position + room - capacity : 0;
}

static bool waits_for_readers(const struct hermes_publisher *p)
{
    return p->writer.readers != NULL && readers_slowest(p->writer.readers) < readers_wanted(&p->writer);
}

/* After a publish that was not plainly right: HERMES_OK, it counts; AGAIN; or an error to report. */
static int settle(struct hermes_publisher *p, int rc, uint64_t start)
{
    struct hermes_client *client = p->client;
    if (p->claimed != NULL)
        return publisher_claim_is_open(p);
    if (rc == HERMES_EFENCED)
        return publisher_resolve_seal(p, start);
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
    uint64_t waited = clock_monotonic_ns() - start;
    if (waited >= p->wait_ns)
        return error_set(&client->error, HERMES_EAGAIN,
                         waits_for_readers(p) ? "topic '%s': a subscriber that is waited for is behind"
                         : channel_is_up(&client->channel)
                             ? "topic '%s' has no room (a full disk, or a subscriber that is waited for?)"
                             : "topic '%s': no broker came back",
                         p->topic);
    if (p->unsettled || p->writer.owner_changed || !channel_is_up(&client->channel)) {
        int again = publisher_reconnect(p);
        if (again < 0 && !worth_a_retry(again))
            return again;
    }
    if (full || !channel_is_up(&client->channel)) {
        struct timespec pause = {0, 1000000}; /* neither disks nor brokers come back in microseconds */
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    } else if (waits_for_readers(p)) {
        uint64_t left = p->wait_ns - waited;
        readers_wait(p->writer.readers, readers_wanted(&p->writer), left < look_ns ? left : look_ns);
    } else if (waited < busy_ns) {
        sched_yield();
    } else {
        struct timespec pause = {0, 50000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return AGAIN;
}

__attribute__((noinline)) static int publish_slow(struct hermes_publisher *p, const void *payload,
                                                  size_t length, int rc)
{
    uint64_t start = clock_monotonic_ns();
    if (rc == 0) { /* it is out; a new broker wants to be greeted, sooner or later */
        (void)publisher_reconnect(p);
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
    if (rc == HERMES_EFENCED && (rc = publisher_resolve_seal(p, clock_monotonic_ns())) < 0)
        return rc == HERMES_EDISCONNECTED && !p->confirms ? (int64_t)done : rc;
    /* What did not fit goes the slow way, which waits, and names the error if there is one. */
    bool confirms = p->confirms;
    p->confirms = false; /* not one by one */
    for (rc = 0; done < count && rc == 0;) {
        rc = hermes_publish(p, slices[done].data, slices[done].length, NULL);
        done += rc == 0 || rc == HERMES_EDISCONNECTED; /* that one waits for a broker, here */
    }
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
        rc = publisher_resolve_seal(p, clock_monotonic_ns());
    else if (p->writer.owner_changed)
        (void)publisher_reconnect(p);
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

uint64_t hermes_publisher_sequence(const hermes_publisher_t *p)
{
    return p->kind == WIRE_RING ? atomic_load_explicit(&p->ring->log_sequence, memory_order_acquire)
                                : p->writer.sequence - 1;
}

void publisher_free(struct hermes_publisher *p)
{
    struct hermes_publisher **at = &p->client->publishers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    release(&p->attached);
    free(p->backlog);
    free(p);
}

void hermes_publisher_close(hermes_publisher_t *p)
{
    if (p == NULL)
        return;
    hermes_abort(p);
    close_handle(p, p->handle);
    publisher_free(p);
}
