#include "client/outflow.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "log/window.h"

/* What is not confirmed yet is kept in so much. */
enum { RING_BYTES = 1024 * 1024 };
/* The one line of the page. */
enum { LINE = 0, RING_ID = 1 };

/* A broker that has no place for this publisher now is asked again, less and less often. */
static const uint64_t first_pause_ns = 2000000, longest_pause_ns = 1000000000;
/* Who sleeps looks again so often, whatever happens: the net under the mechanism. */
static const uint64_t longest_sleep_ns = 250000000;

static struct status_ring *line(const struct outflow *outflow)
{
    return &outflow->status->rings[LINE];
}

/* Relaxed, here and below: the page has one reader, this thread. */
static uint64_t committed(const struct outflow *outflow)
{
    return atomic_load_explicit(&line(outflow)->consumed_sequence, memory_order_relaxed);
}

/* ---- the ring ---- */

/* The frame at position, which was committed. */
static hermes_header_t header_at(const struct outflow *outflow, uint64_t position)
{
    hermes_header_t header;
    memcpy(&header, outflow->writer->data + (position & outflow->writer->mask), sizeof header);
    return header;
}

/* From the message of that sequence at or behind position, to that of the other. */
static uint64_t walk(const struct outflow *outflow, uint64_t position, uint64_t sequence)
{
    while (position < outflow->writer->position) {
        hermes_header_t header = header_at(outflow, position);
        if (header.type == HERMES_TYPE_DATA && header.sequence >= sequence)
            break;
        position += hermes_frame_bytes(header.length);
    }
    return position;
}

/* Where the newest run that was sent ends before that message, or where the oldest begins. Whoever has to
 * know to the frame walks from there. */
static uint64_t end_of_run_before(struct outflow *outflow, uint64_t sequence)
{
    uint64_t end = atomic_load_explicit(&line(outflow)->consumed, memory_order_relaxed);
    for (; outflow->run_count > 0; outflow->run_count--) {
        const struct outflow_run *run = &outflow->runs[outflow->run_first];
        if (run->sequence > sequence)
            break;
        end = run->end;
        outflow->run_first = (outflow->run_first + 1) % OUTFLOW_RUNS;
    }
    return end;
}

/* All before that message are in the topic: the room of runs that are through is free. */
static void note_committed(struct outflow *outflow, uint64_t sequence)
{
    struct status_ring *l = line(outflow);
    if (sequence <= committed(outflow) + 1)
        return;
    atomic_store_explicit(&l->consumed, end_of_run_before(outflow, sequence), memory_order_relaxed);
    atomic_store_explicit(&l->consumed_sequence, sequence - 1, memory_order_relaxed);
    atomic_store_explicit(&l->log_position, sequence - 1, memory_order_relaxed);
}

/*
 * Messages that are committed may be lost with the broker's machine as long as they are not durable. They
 * stand in the ring until others need the room: `durable` is a place in it before all of those.
 */
static void note_durable(struct outflow *outflow)
{
    uint64_t durable = atomic_load_explicit(&outflow->status->durable, memory_order_relaxed);
    if (durable + 1 < outflow->awaited.sequence)
        return;
    outflow->durable = outflow->awaited;
    outflow->awaited = (struct outflow_place){
        .position = atomic_load_explicit(&line(outflow)->consumed, memory_order_relaxed),
        .sequence = committed(outflow) + 1};
}

/* They are lost, from that message on: to be sent once more, if they stand there still. */
static bool take_back(struct outflow *outflow, uint64_t sequence)
{
    const struct window *window = outflow->writer->window;
    bool is_kept =
        sequence >= outflow->durable.sequence &&
        outflow->durable.position >= atomic_load_explicit(&window->overwrite_limit, memory_order_relaxed);
    if (is_kept)
        atomic_store_explicit(&line(outflow)->consumed, walk(outflow, outflow->durable.position, sequence),
                              memory_order_relaxed);
    atomic_store_explicit(&line(outflow)->consumed_sequence, sequence - 1, memory_order_relaxed);
    outflow->awaited = outflow->durable;
    return is_kept;
}

/* ---- what comes ---- */

static int take_confirm(struct outflow *outflow, const struct wire_confirm *confirm)
{
    struct status *status = outflow->status;
    uint64_t durable = atomic_load_explicit(&status->durable, memory_order_relaxed);
    if (confirm->committed >= outflow->sent_sequence || confirm->durable > confirm->committed ||
        confirm->credit > INT64_MAX || outflow->credit + confirm->credit > INT64_MAX)
        return HERMES_EPROTOCOL;
    note_committed(outflow, confirm->committed + 1);
    if (confirm->durable > durable)
        atomic_store_explicit(&status->durable, confirm->durable, memory_order_relaxed);
    note_durable(outflow);
    outflow->credit += confirm->credit;
    return HERMES_OK;
}

static void take_end(struct outflow *outflow, const struct wire_end *end)
{
    int code = end->code < 0 ? end->code : HERMES_EPROTOCOL;
    if (code != HERMES_EIO) {
        outflow->over = code;
        return;
    }
    atomic_store_explicit(&outflow->status->error, (uint32_t)-code, memory_order_relaxed);
    atomic_store_explicit(&outflow->status->state, (uint32_t)STATE_FAILED, memory_order_relaxed);
}

int outflow_take(struct outflow *outflow, const hermes_header_t *header, const uint8_t *payload)
{
    struct wire_confirm confirm;
    struct wire_end end;
    outflow->has_news = true;
    if (header->type == WIRE_CONFIRM) {
        if (header->length < sizeof confirm)
            return HERMES_EMALFORMED;
        memcpy(&confirm, payload, sizeof confirm);
        return take_confirm(outflow, &confirm);
    }
    if (header->length < sizeof end)
        return HERMES_EMALFORMED;
    memcpy(&end, payload, sizeof end);
    take_end(outflow, &end);
    return HERMES_OK;
}

/* ---- intakes ---- */

static struct wire_publisher_open request_of(const struct outflow *outflow)
{
    struct wire_publisher_open request = {.sequence = 0};
    memcpy(request.topic, outflow->topic, sizeof request.topic);
    if (outflow->opened.ring_id != 0) {
        request.resume_topic_id = outflow->opened.topic_id;
        request.resume_epoch = outflow->counts_from == 1 ? outflow->counts_in : 0;
        request.resume_ring = 1 + outflow->opened.line;
        request.resume_ring_id = outflow->opened.ring_id;
        request.sequence = committed(outflow) + 1;
    }
    return request;
}

static void end(struct outflow *outflow, int code, bool is_uncertain)
{
    outflow->over = code;
    outflow->is_uncertain = is_uncertain;
}

/* Another intake in place of one that ended with its connection: from the first message on that is not in the
 * topic. Where nobody knows that any more it is certain only if none was on its way. */
static void go_on(struct outflow *outflow)
{
    const struct wire_intake opened = outflow->opening.answer.intake;
    uint64_t first = committed(outflow) + 1;
    bool knows = opened.resumed != 0 && opened.sequence != 0 && opened.sequence <= outflow->sent_most;
    bool is_certain = outflow->sent_most <= first && opened.sequence == first;
    asked_drop(&outflow->opening);
    outflow->handle = opened.handle;
    outflow->connection = outflow->client->channel.connected;
    outflow->ask_pause_ns = 0;
    outflow->has_news = true;
    if (opened.topic_id != outflow->opened.topic_id) {
        end(outflow, HERMES_ECLOSED, false);
        return;
    }
    if (!knows && !is_certain) {
        end(outflow, HERMES_EFENCED, true);
        return;
    }
    if (knows && opened.sequence < first && !take_back(outflow, opened.sequence)) {
        end(outflow, HERMES_EFENCED, false);
        return;
    }
    if (opened.ring_id != outflow->opened.ring_id) {
        outflow->counts_from = opened.sequence;
        outflow->counts_in = opened.epoch;
    }
    outflow->opened = opened;
    note_committed(outflow, opened.sequence);
    outflow->sent =
        walk(outflow, atomic_load_explicit(&line(outflow)->consumed, memory_order_relaxed), opened.sequence);
    outflow->sent_sequence = opened.sequence;
    outflow->run_count = 0;
    atomic_store_explicit(&line(outflow)->consumed, outflow->sent, memory_order_relaxed);
    outflow->credit = opened.credit <= INT64_MAX ? opened.credit : 0;
}

bool outflow_is_attached(const struct outflow *outflow)
{
    const struct channel *channel = &outflow->client->channel;
    return outflow->handle != 0 && outflow->connection == channel->connected && channel->fd >= 0;
}

/* A sentence to the whole connection, before it ends: what this publisher sent is nonsense. It would be sent
 * again, for ever. */
static bool is_blamed(const struct outflow *outflow, const struct channel *channel)
{
    if (channel->header.type != WIRE_ERROR || channel->header.sequence != outflow->handle ||
        !outflow_is_attached(outflow) || channel->header.length != sizeof(struct wire_error))
        return false;
    struct wire_error error;
    memcpy(&error, channel->reply, sizeof error);
    return error.code == HERMES_EMALFORMED || error.code == HERMES_ECHECKSUM;
}

bool outflow_take_reply(struct outflow *outflow, struct channel *channel)
{
    if (is_blamed(outflow, channel)) {
        end(outflow, HERMES_EMALFORMED, false);
        return true;
    }
    if (!asked_take(&outflow->opening, channel))
        return false;
    if (outflow->opening.error == 0)
        go_on(outflow);
    return true;
}

/* The broker said no. */
static int note_refusal(struct outflow *outflow, int rc)
{
    if (rc == HERMES_ENOTFOUND || rc == HERMES_ECLOSED) { /* the broker knows all topics on its disk */
        end(outflow, HERMES_ECLOSED, false);
        return rc;
    }
    uint64_t pause_ns = outflow->ask_pause_ns * 2;
    pause_ns = pause_ns > first_pause_ns ? pause_ns : first_pause_ns;
    outflow->ask_pause_ns = pause_ns < longest_pause_ns ? pause_ns : longest_pause_ns;
    outflow->ask_ns = clock_monotonic_ns() + outflow->ask_pause_ns;
    return HERMES_EDISCONNECTED;
}

static int open_again(struct outflow *outflow, uint64_t until_ns)
{
    outflow->handle = 0;
    if (outflow->opening.type == 0) {
        if (clock_monotonic_ns() < outflow->ask_ns)
            return HERMES_EDISCONNECTED;
        struct wire_publisher_open request = request_of(outflow);
        if (asked_send(outflow->client, &outflow->opening, WIRE_INTAKE_OPEN, &request, sizeof request) < 0)
            return HERMES_EDISCONNECTED;
    }
    int rc = asked_await(outflow->client, &outflow->opening, until_ns);
    if (rc == 0)
        go_on(outflow);
    return rc == 0 || rc == HERMES_EDISCONNECTED || rc == HERMES_EINTERRUPTED ? rc
                                                                              : note_refusal(outflow, rc);
}

/* ---- what goes ---- */

/* Whole messages from where was sent up to, one behind the other, as many as one PUBLISH and the credit take;
 * not beyond the end of the ring, which they may fill up to without a PAD. */
static struct iovec next_run(struct outflow *outflow, uint64_t *sequence)
{
    const struct window_writer *writer = outflow->writer;
    uint64_t most = outflow->credit < WIRE_FLOW_MAX ? outflow->credit : WIRE_FLOW_MAX;
    outflow->sent = walk(outflow, outflow->sent, outflow->sent_sequence);
    uint64_t end = outflow->sent, lap_end = (end | writer->mask) + 1;
    most = lap_end - end < most ? lap_end - end : most;
    if (writer->position < lap_end && writer->position - end <= most) { /* no PAD among them */
        *sequence = writer->sequence;
        return (struct iovec){writer->data + (end & writer->mask), (size_t)(writer->position - end)};
    }
    *sequence = outflow->sent_sequence;
    while (end < writer->position) {
        hermes_header_t header = header_at(outflow, end);
        uint64_t bytes = hermes_frame_bytes(header.length);
        if (header.type != HERMES_TYPE_DATA || end + bytes - outflow->sent > most)
            break;
        end += bytes;
        ++*sequence;
    }
    return (struct iovec){writer->data + (outflow->sent & writer->mask), (size_t)(end - outflow->sent)};
}

/* Of more runs than are remembered two are one. */
static void remember_run(struct outflow *outflow)
{
    if (outflow->run_count < OUTFLOW_RUNS)
        outflow->run_count++;
    outflow->runs[(outflow->run_first + outflow->run_count - 1) % OUTFLOW_RUNS] =
        (struct outflow_run){.end = outflow->sent, .sequence = outflow->sent_sequence};
}

static int send_all(struct outflow *outflow)
{
    while (outflow->sent_sequence < outflow->writer->sequence) {
        uint64_t sequence;
        struct iovec run = next_run(outflow, &sequence);
        if (run.iov_len == 0)
            return HERMES_EAGAIN;
        int rc = channel_send_flow(&outflow->client->channel, WIRE_PUBLISH, outflow->handle, &run);
        if (rc < 0)
            return rc == HERMES_ENOMEM ? HERMES_EAGAIN : rc;
        outflow->sent += run.iov_len;
        outflow->sent_sequence = sequence;
        if (sequence > outflow->sent_most)
            outflow->sent_most = sequence;
        outflow->credit -= run.iov_len;
        remember_run(outflow);
    }
    return HERMES_OK;
}

int outflow_settle(struct outflow *outflow, uint64_t until_ns)
{
    int rc = HERMES_OK;
    (void)channel_is_up(&outflow->client->channel);
    if (outflow->over == 0 && !outflow_is_attached(outflow))
        rc = open_again(outflow, until_ns);
    if (outflow->over != 0)
        return outflow->over;
    return rc < 0 ? rc : send_all(outflow);
}

bool outflow_is_behind(const struct outflow *outflow)
{
    uint64_t next = outflow_is_attached(outflow) ? outflow->sent_sequence : committed(outflow) + 1;
    return outflow->writer != NULL && next < outflow->writer->sequence;
}

void outflow_tend(struct outflow *outflow)
{
    if (outflow->over == 0 && outflow_is_behind(outflow))
        (void)outflow_settle(outflow, 0);
}

bool outflow_take_news(struct outflow *outflow)
{
    bool has_news = outflow->has_news;
    outflow->has_news = false;
    return has_news;
}

void outflow_sleep(struct outflow *outflow, uint64_t timeout_ns)
{
    uint64_t most_ns = client_next_attempt(outflow->client), pause_ns = clock_left_ns(outflow->ask_ns);
    if (outflow_is_attached(outflow) || most_ns > longest_sleep_ns)
        most_ns = longest_sleep_ns;
    if (!outflow_is_attached(outflow) && pause_ns > 0)
        most_ns = pause_ns < longest_sleep_ns ? pause_ns : longest_sleep_ns;
    (void)channel_sleep(&outflow->client->channel, timeout_ns < most_ns ? timeout_ns : most_ns);
}

/* ---- opening and closing ---- */

static int make_ring(struct outflow *outflow, const struct wire_intake *opened)
{
    int fd;
    int rc = map_create_memfd("hermes-ring", WINDOW_HEADER_BYTES + RING_BYTES, &outflow->window_map, &fd);
    if (rc < 0)
        return rc;
    close(fd);
    if ((rc = map_create_memfd("hermes-line", STATUS_BYTES, &outflow->status_map, &fd)) < 0)
        return rc;
    close(fd);
    struct status *status = outflow->status = outflow->status_map.address;
    window_init(outflow->window_map.address, RING_BYTES, opened->topic_id, opened->epoch, 0, opened->sequence,
                false);
    atomic_init(&status->state, (uint32_t)STATE_OPEN);
    atomic_init(&status->ring_marks[LINE], (uint64_t)RING_ID);
    atomic_init(&status->rings[LINE].id, (uint64_t)RING_ID);
    atomic_init(&status->rings[LINE].consumed_sequence, opened->sequence - 1);
    atomic_init(&status->rings[LINE].log_position, opened->sequence - 1);
    atomic_init(&status->durable, opened->sequence - 1);
    return HERMES_OK;
}

int outflow_open(struct hermes_client *client, const char *topic, uint64_t until_ns, struct outflow **out)
{
    struct outflow *outflow = *out = calloc(1, sizeof *outflow);
    if (outflow == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a publisher");
    outflow->client = client;
    outflow->topic = topic;
    asked_init(&outflow->opening);
    struct wire_publisher_open request = request_of(outflow);
    int rc = asked_request(client, &outflow->opening, WIRE_INTAKE_OPEN, &request, sizeof request, until_ns);
    if (rc < 0)
        return rc;
    outflow->opened = outflow->opening.answer.intake;
    outflow->handle = outflow->opened.handle;
    outflow->connection = client->channel.connected;
    outflow->credit = outflow->opened.credit <= INT64_MAX ? outflow->opened.credit : 0;
    outflow->sent_sequence = outflow->sent_most = outflow->opened.sequence;
    outflow->durable.sequence = outflow->awaited.sequence = outflow->counts_from = outflow->opened.sequence;
    outflow->counts_in = outflow->opened.epoch;
    rc = outflow->opened.sequence == 0 ? HERMES_EPROTOCOL : make_ring(outflow, &outflow->opened);
    return rc < 0 ? error_set(&client->error, rc, "a ring for topic '%s'", topic) : HERMES_OK;
}

int outflow_close(struct outflow *outflow, uint64_t until_ns)
{
    asked_forget(outflow->client, &outflow->opening);
    int rc = outflow_is_attached(outflow) ? client_close_handle(outflow->client, outflow->handle, until_ns)
                                          : HERMES_EDISCONNECTED;
    outflow->handle = 0;
    return rc;
}

void outflow_free(struct outflow *outflow)
{
    if (outflow == NULL)
        return;
    asked_drop(&outflow->opening);
    map_release(&outflow->status_map);
    map_release(&outflow->window_map);
    free(outflow);
}
