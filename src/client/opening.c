/* How a publisher is opened, takes over what the broker gives it, and is closed. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/abi.h"
#include "client/patience.h"
#include "client/publisher.h"
#include "io/interrupt.h"

static const uint64_t default_wait_ns = 10000000000u;
enum { BATCH_STEP = 64 };

/* ---- what is given ---- */

static struct map *map_of(struct attachment *attached, const struct wire_publisher *opened, unsigned index)
{
    struct map *const direct[] = {&attached->status, &attached->window, &attached->doorbell, &attached->bell,
                                  &attached->readers};
    return opened->kind == WIRE_DIRECT || index < 2 ? direct[index] : NULL;
}

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

static int check_attached(struct hermes_publisher *p, const struct wire_publisher *opened,
                          const struct attachment *attached)
{
    struct hermes_client *client = p->client;
    uint64_t capacity = 0;
    int rc = HERMES_OK;
    if (!opened->resumed &&
        (rc = window_check(attached->window.address, attached->window.size, &capacity)) < 0)
        return error_set(&client->error, rc, "the window of topic '%s'", p->topic);
    if (!opened->resumed && (rc = status_check(attached->status.address)) < 0)
        return error_set(&client->error, rc, "the status page of topic '%s'", p->topic);
    if (attached->readers.address != NULL &&
        (rc = readers_check(attached->readers.address, attached->readers.size)) < 0)
        return error_set(&client->error, rc, "the readers of topic '%s'", p->topic);
    if (opened->kind == WIRE_RING && attached->eventfd < 0)
        return client_miss_fd(client);
    if (opened->kind == WIRE_RING && opened->ring >= STATUS_RINGS)
        return error_set(&client->error, HERMES_EPROTOCOL, "the broker's ring");
    return rc;
}

/* Maps and checks what came with the answer; of a window that is mapped already, the rest. On failure
 * *attached is empty. */
static int attach(struct hermes_publisher *p, const struct wire_publisher *opened,
                  struct attachment *attached)
{
    static const size_t bytes[] = {STATUS_BYTES, 0, 4096, 4096, READERS_BYTES};
    int rc = opened->kind == WIRE_DIRECT || opened->kind == WIRE_RING ? HERMES_OK : HERMES_EPROTOCOL;
    unsigned count = opened->kind != WIRE_DIRECT ? 2 : opened->push_back != 0 ? 5 : 4;
    *attached = (struct attachment){.eventfd = -1};
    if (opened->kind == WIRE_RING && p->asked.fds[2] >= 0) {
        attached->eventfd = asked_take_fd(&p->asked, 2);
        fcntl(attached->eventfd, F_SETFL, O_NONBLOCK);
    }
    for (unsigned i = 0; i < WIRE_FDS_MAX; i++) {
        int fd = asked_take_fd(&p->asked, i);
        if (rc == 0 && i < count && (i > 1 || !opened->resumed))
            rc = client_map_fd(p->client, fd, bytes[i], i == 0 || i == 3 ? MAP_READ : MAP_READ_WRITE,
                               map_of(attached, opened, i));
        else if (fd >= 0)
            close(fd);
    }
    if (rc == 0)
        rc = check_attached(p, opened, attached);
    if (rc < 0)
        release(attached);
    return rc;
}

/* ---- opening ---- */

/* What was answered is ours from here on. A ring's line is its own only once the broker knows that we have
 * it.
 */
static int take_opened(struct hermes_publisher *p)
{
    p->opened = p->asked.answer.publisher;
    p->opened_connection = p->client->channel.connected;
    if (p->opened.kind == WIRE_RING) {
        p->resume_ring = p->opened.ring + 1;
        p->resume_ring_id = p->opened.ring_id;
    }
    int rc = attach(p, &p->opened, &p->fresh);
    struct wire_handle mapped = {.handle = p->opened.handle};
    if (rc == 0 && p->opened.kind == WIRE_RING)
        rc = asked_send(p->client, &p->asked, WIRE_PUBLISHER_MAPPED, &mapped, sizeof mapped);
    return rc;
}

int publisher_request_open(struct hermes_publisher *p, const struct wire_publisher_open *request,
                           uint64_t until_ns)
{
    int rc = HERMES_OK;
    if (p->asked.type == WIRE_EPOCH_FIND)
        asked_forget(p->client, &p->asked);
    if (p->asked.type == 0 && p->opened.handle != 0)
        return HERMES_OK;
    if (p->asked.type == 0 &&
        (rc = asked_send(p->client, &p->asked, WIRE_PUBLISHER_OPEN, request, sizeof *request)) < 0)
        return rc;
    if (p->asked.type == WIRE_PUBLISHER_OPEN) {
        rc = asked_await(p->client, &p->asked, until_ns);
        if (rc == 0 && (rc = take_opened(p)) < 0)
            publisher_decline(p);
    }
    if (rc == 0 && p->asked.type == WIRE_PUBLISHER_MAPPED) {
        rc = asked_await(p->client, &p->asked, until_ns);
        if (rc < 0 && p->asked.type == 0)
            publisher_decline(p);
    }
    return rc;
}

int publisher_request_epoch(struct hermes_publisher *p, struct wire_epoch *found, uint64_t until_ns)
{
    struct wire_epoch_find request = {.topic_id = p->topic_id, .epoch = p->epoch};
    if (p->asked.type != WIRE_EPOCH_FIND)
        asked_forget(p->client, &p->asked);
    int rc = p->asked.type != 0 ? HERMES_OK
                                : asked_send(p->client, &p->asked, WIRE_EPOCH_FIND, &request, sizeof request);
    if (rc == 0)
        rc = asked_await(p->client, &p->asked, until_ns);
    if (rc == 0)
        *found = p->asked.answer.epoch;
    return rc;
}

/* Handles are a connection's: the next one gives the same numbers to others. */
static int close_handle(struct hermes_publisher *p, uint32_t handle, uint64_t connection, uint64_t until_ns)
{
    return connection == p->client->channel.connected ? client_close_handle(p->client, handle, until_ns)
                                                      : HERMES_EDISCONNECTED;
}

int publisher_close_handle(struct hermes_publisher *p, uint64_t until_ns)
{
    int rc = close_handle(p, p->handle, p->connection, until_ns);
    p->handle = 0;
    return rc;
}

void publisher_decline(struct hermes_publisher *p)
{
    (void)close_handle(p, p->opened.handle, p->opened_connection, 0);
    p->opened.handle = 0;
    release(&p->fresh);
}

/* What the seal says as long as our epoch is open, and the log is the broker's at the other end of our
 * connection, which knows us. One that it says already must not pass for that: that broker may be dead, look
 * alive, and have a successor that we have still to greet. */
static uint64_t seal_to_watch(const struct hermes_publisher *p)
{
    uint32_t sealed = (uint32_t)status_load_seal(p->status);
    bool is_known = p->connection == p->client->channel.connected;
    return sealed < p->epoch && is_known ? status_seal(p->client->instance, sealed) : 0;
}

/* Of the broker that is there: one before it does not listen any more. */
static void take_line(struct hermes_publisher *p)
{
    bool is_current = p->opened_connection == p->client->channel.connected;
    client_map_told(p->client, is_current ? p->opened.told_line : 0, p->opened.told_generation, &p->told_map,
                    &p->tells);
    publisher_tell(p);
}

void publisher_install(struct hermes_publisher *p)
{
    const struct wire_publisher *opened = &p->opened;
    release(&p->attached);
    p->attached = p->fresh;
    p->fresh = (struct attachment){.eventfd = -1};
    p->status = p->attached.status.address;
    p->kind = (enum wire_publisher_kind)opened->kind;
    p->handle = opened->handle;
    p->connection = p->opened_connection;
    p->topic_id = opened->topic_id;
    p->epoch = opened->epoch;
    p->durability = opened->durability;
    p->confirms = p->durability == HERMES_DURABILITY_SYNC && !p->no_wait;
    p->first_sequence = opened->sequence;
    p->doubtful = 0;
    p->batch_step = BATCH_STEP;
    const struct window *window = p->attached.window.address;
    struct window_writer_options options = {
        .window = p->attached.window.address,
        .eventfd = p->attached.eventfd,
        .membarrier = p->membarrier && window->writer_fences == 0,
    };
    if (p->kind == WIRE_DIRECT) {
        p->ring = NULL;
        options.gate = p->durability == HERMES_DURABILITY_MEMORY ? NULL : &p->status->persisted;
        options.doorbell = p->attached.doorbell.address;
        options.persister_bell = p->attached.bell.address;
        options.readers = p->attached.readers.address;
        options.epoch = opened->epoch;
        options.mark = &p->status->seal;
        options.seal = seal_to_watch(p);
        /* Without a gate: what turns out not to be in must still be there. */
        size_t most = (p->attached.window.size - WINDOW_HEADER_BYTES) / 4 / FRAME_MAX_BYTES;
        if (options.gate == NULL && most < BATCH_STEP)
            p->batch_step = most > 0 ? most : 1;
    } else {
        p->ring = &p->status->rings[opened->ring];
        p->ring_id = opened->ring_id;
        options.gate = &p->ring->consumed;
        options.parked = &p->status->sequencer_parked;
        options.mark = &p->status->ring_marks[opened->ring];
        options.seal = opened->ring_id;
    }
    window_writer_init(&p->writer, &options, opened->position, opened->sequence);
    take_line(p);
    p->opened.handle = 0;
}

void publisher_install_resumed(struct hermes_publisher *p)
{
    release(&(struct attachment){.doorbell = p->attached.doorbell,
                                 .bell = p->attached.bell,
                                 .readers = p->attached.readers,
                                 .eventfd = -1});
    p->attached.doorbell = p->fresh.doorbell;
    p->attached.bell = p->fresh.bell;
    p->attached.readers = p->fresh.readers;
    p->fresh = (struct attachment){.eventfd = -1};
    p->handle = p->opened.handle;
    p->connection = p->opened_connection;
    p->writer.readers = p->attached.readers.address;
    p->writer.doorbell = p->attached.doorbell.address;
    p->writer.parked = &p->writer.doorbell->parked;
    p->writer.persister_bell = p->attached.bell.address;
    p->writer.seal = seal_to_watch(p);
    p->writer.owner_changed = false;
    take_line(p);
    p->opened.handle = 0;
}

static struct hermes_publisher *new_publisher(hermes_client_t *client, const char *topic,
                                              const hermes_publisher_options_t *options)
{
    struct hermes_publisher *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->client = client;
    p->crc = (options->flags & HERMES_PUBLISH_NO_CRC) == 0;
    p->no_wait = (options->flags & HERMES_PUBLISH_NO_WAIT) != 0;
    p->wait_ns = options->wait_ns == 0 ? default_wait_ns : options->wait_ns;
    p->attached.eventfd = p->fresh.eventfd = -1;
    asked_init(&p->asked);
    p->membarrier = barrier_register();
    memcpy(p->topic, topic, sizeof p->topic);
    hermes_clock_init(&p->clock);
    p->next = client->publishers;
    client->publishers = p;
    return p;
}

/* A broker that was killed may look alive for some milliseconds: its successor is asked again. */
static int open_first(struct hermes_publisher *p, const struct wire_publisher_open *request,
                      uint64_t until_ns)
{
    int rc = HERMES_OK;
    for (int i = 0; i < 2; i++) {
        p->client->last_attempt_ns = 0;
        rc = publisher_request_open(p, request, until_ns);
        if (rc != HERMES_EDISCONNECTED)
            return rc;
        if (p->asked.type != 0)
            return HERMES_ETIMEOUT;
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
    if ((options.flags & ~(HERMES_PUBLISH_NO_CRC | HERMES_PUBLISH_NO_WAIT)) != 0 || options.reserved != 0)
        return error_say(&client->error, HERMES_ENOTSUP,
                         "flags or fields of a publisher that this library does not know");
    struct wire_publisher_open request = {.sequence = 0};
    rc = client_put_topic(client, request.topic, topic);
    if (rc < 0)
        return rc;
    uint64_t until_ns = clock_deadline_ns(client->request_timeout_ns);
    near_settle(client, until_ns);
    struct hermes_publisher *p = new_publisher(client, request.topic, &options);
    if (p == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a publisher");
    rc = client_streams(client) ? publisher_open_outflow(p) : open_first(p, &request, until_ns);
    if (rc < 0) {
        if (p->outflow != NULL)
            (void)outflow_close(p->outflow, 0);
        asked_forget(p->client, &p->asked);
        publisher_decline(p);
        publisher_free(p);
        return rc;
    }
    if (p->outflow == NULL)
        publisher_install(p);
    *out = p;
    return HERMES_OK;
}

/* ---- closing ---- */

void publisher_free(struct hermes_publisher *p)
{
    struct hermes_publisher **at = &p->client->publishers;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    release(&p->attached);
    release(&p->fresh);
    map_release(&p->told_map);
    outflow_free(p->outflow);
    asked_drop(&p->asked);
    free(p->backlog);
    free(p);
}

/* Waits until all that was taken is in the topic. How many are not. */
static uint64_t await_all(struct hermes_publisher *p, uint64_t until_ns)
{
    struct patience patience = patience_until(until_ns);
    for (;;) {
        uint64_t missing = p->over != 0 ? p->untold : publisher_outstanding(p);
        if (missing == 0 || p->over != 0)
            return missing;
        if (!publisher_is_settled(p) || !channel_is_up(&p->client->channel))
            (void)publisher_settle(p, until_ns);
        if (p->over == 0 && (interrupt_ask() != 0 || !patience_wait(&patience)))
            return publisher_outstanding(p);
    }
}

/* As far as can be known without an answer: does the broker that is there take what the ring holds? Asked in
 * this order: it has ended, before it could be heard, the rings of the one before it. */
static bool is_taken_from(struct hermes_publisher *p)
{
    if (!channel_is_up(&p->client->channel))
        return false;
    enum standing_state state = publisher_standing(p).state;
    return state == STANDING_OPEN || state == STANDING_CHANGING;
}

/* What becomes of messages that are not in when their publisher is closed. goodbye: what came of saying so.
 */
static void say_what_becomes(struct hermes_publisher *p, uint64_t missing, int goodbye)
{
    struct error_text *text = &p->client->error;
    uint64_t kept = publisher_has_window(p) ? missing - p->backlog_count : 0;
    if (p->over != 0)
        (void)publisher_tell_over(p);
    else if (p->outflow != NULL)
        publisher_say_unconfirmed(p, missing);
    else if (kept > 0 && p->kind == WIRE_DIRECT)
        (void)error_say(text, HERMES_EDISCONNECTED,
                        "topic '%s': whether the last %" PRIu64
                        " messages are in is known once a broker is back",
                        p->topic, missing);
    else if (kept > 0 && (goodbye == 0 || (p->wait_ns == 0 && is_taken_from(p))))
        (void)error_say(text, HERMES_EAGAIN,
                        "topic '%s': %" PRIu64
                        " messages are left to the broker: they go in when there is room"
                        "%s",
                        p->topic, kept, kept < missing ? "; those behind them are lost" : "");
    else if (kept > 0 && goodbye == HERMES_ETIMEOUT)
        (void)error_say(text, HERMES_EDISCONNECTED,
                        "topic '%s': the broker does not answer: whether the last %" PRIu64
                        " messages go in is not known",
                        p->topic, missing);
    else
        (void)error_say(text, HERMES_EDISCONNECTED,
                        "topic '%s': no broker took the last %" PRIu64
                        " messages: they are lost with this publisher",
                        p->topic, missing);
}

int64_t publisher_close(struct hermes_publisher *p, uint64_t start_ns)
{
    uint64_t until_ns = p->wait_ns < UINT64_MAX - start_ns ? start_ns + p->wait_ns : UINT64_MAX;
    hermes_abort(p);
    uint64_t missing = await_all(p, until_ns);
    /* Answered soon, unless the broker does not run at the moment. One that was killed may look alive for
     * some milliseconds, but it answers nothing. */
    uint64_t goodbye_ns = p->wait_ns == 0 ? 0 : clock_deadline_ns(p->client->request_timeout_ns);
    int goodbye =
        p->outflow != NULL ? outflow_close(p->outflow, goodbye_ns) : publisher_close_handle(p, goodbye_ns);
    if (missing > 0)
        say_what_becomes(p, missing, goodbye);
    asked_forget(p->client, &p->asked);
    publisher_decline(p);
    publisher_free(p);
    return missing > INT64_MAX ? INT64_MAX : (int64_t)missing;
}

int64_t hermes_publisher_close(hermes_publisher_t *p)
{
    return p == NULL ? 0 : publisher_close(p, clock_monotonic_ns());
}
