#include "client/inflow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/standard.h"
#include "log/frames.h"

enum { GIVE_BACK_BYTES = INFLOW_CREDIT_BYTES / 4 };
#define NO_RUN UINT64_MAX

_Static_assert(sizeof(struct inflow_run) <= INFLOW_NOTE_BYTES, "run");

/* A broker that does not serve the topic now is asked again, less and less often. */
static const uint64_t first_pause_ns = 20000000, longest_pause_ns = 1000000000;
/* Who sleeps looks again so often, whatever happens: the net under the mechanism. */
static const uint64_t longest_sleep_ns = 250000000;

/* ---- the ring ---- */

static struct inflow_run *last_run(struct inflow *inflow)
{
    return inflow->last == NO_RUN ? &inflow->run
                                  : (struct inflow_run *)(void *)inflow_at(inflow, inflow->last);
}

void inflow_begin_at(struct inflow *inflow, uint64_t position)
{
    inflow->taken = inflow->put;
    inflow->last = NO_RUN;
    inflow->run = (struct inflow_run){.end = position};
}

/* Who goes on with a durable subscription gets all that is not acknowledged once more: how much of it has
 * come already. */
static uint64_t had_of(struct inflow *inflow, const struct wire_log *log, uint64_t count)
{
    uint64_t end = last_run(inflow)->end;
    if (inflow->member == NULL || log->position >= end || count > inflow->granted)
        return 0;
    return end - log->position < count ? end - log->position : count;
}

static int put_log(struct inflow *inflow, const struct wire_log *log, const uint8_t *frames, uint64_t count)
{
    struct inflow_run *last = last_run(inflow), next = {log->position + count, log->position, log->sequence};
    if (log->position < last->end || next.end < log->position || count > inflow->granted ||
        !inflow_has_room(inflow, INFLOW_NOTE_BYTES + count))
        return HERMES_EPROTOCOL;
    if (log->position == last->end) {
        last->end = next.end;
    } else {
        uint8_t description[INFLOW_NOTE_BYTES] = {0};
        memcpy(description, &next, sizeof next);
        inflow->last = inflow->put;
        inflow_put(inflow, description, sizeof description);
    }
    inflow_put(inflow, frames, count);
    inflow->granted -= count;
    return HERMES_OK;
}

/* ---- what comes ---- */

static void ring_bell(struct inflow *inflow)
{
    static const struct itimerspec now = {.it_value.tv_nsec = 1};
    if (inflow->armed) {
        timerfd_settime(inflow->timer, 0, &now, NULL);
        inflow->timer_due_ns = 0;
    }
    inflow->armed = false;
}

static int take_log(struct inflow *inflow, const hermes_header_t *header, const uint8_t *payload)
{
    struct wire_log log;
    if (header->length < sizeof log)
        return HERMES_EMALFORMED;
    memcpy(&log, payload, sizeof log);
    if (log.end > inflow->log_end)
        inflow->log_end = log.end;
    uint64_t count = header->length - sizeof log;
    if (log.position % HERMES_FRAME_ALIGNMENT != 0 || count % HERMES_FRAME_ALIGNMENT != 0)
        return count == 0 ? HERMES_OK : HERMES_EMALFORMED;
    uint64_t had = had_of(inflow, &log, count);
    log.position += had;
    inflow->granted -= had;
    return had == count ? HERMES_OK : put_log(inflow, &log, payload + sizeof log + had, count - had);
}

static int take_end(struct inflow *inflow, const hermes_header_t *header, const uint8_t *payload)
{
    if (header->length < sizeof inflow->end)
        return HERMES_EMALFORMED;
    memcpy(&inflow->end, payload, sizeof inflow->end);
    inflow->end.text[sizeof inflow->end.text - 1] = 0;
    inflow->ended = true;
    return HERMES_OK;
}

int inflow_take(struct inflow *inflow, const hermes_header_t *header, const uint8_t *payload)
{
    int rc;
    if (inflow->ended && header->type != WIRE_SETTLED)
        return HERMES_EPROTOCOL;
    if (header->type == WIRE_END)
        rc = take_end(inflow, header, payload);
    else if (header->type == WIRE_LOG)
        rc = inflow_is_given(inflow) ? HERMES_EPROTOCOL : take_log(inflow, header, payload);
    else
        rc = inflow->member == NULL ? HERMES_EPROTOCOL : far_member_take(inflow, header, payload);
    ring_bell(inflow);
    return rc;
}

/* ---- outlets ---- */

int inflow_tell_deleted(struct inflow *inflow)
{
    inflow->deleted = true;
    if (inflow->member != NULL)
        return error_say(&inflow->client->error, HERMES_ECLOSED, "'%s' of topic '%s' was deleted",
                         inflow->member->name, inflow->topic);
    return error_say(&inflow->client->error, HERMES_ECLOSED, "topic '%s' was deleted", inflow->topic);
}

static struct wire_outlet_open request_of(const struct inflow *inflow, enum wire_outlet_from from,
                                          uint64_t value)
{
    struct wire_outlet_open request = {.topic_id = inflow->topic_id,
                                       .from = from,
                                       .push_back = inflow->push_back,
                                       .value = value,
                                       .credit = INFLOW_CREDIT_BYTES};
    memcpy(request.topic, inflow->topic, sizeof request.topic);
    return request;
}

void inflow_take_up(struct inflow *inflow, uint32_t handle, uint64_t topic_id, uint32_t durability,
                    uint64_t credit)
{
    asked_drop(&inflow->opening);
    inflow->handle = handle;
    inflow->connection = inflow->client->channel.connected;
    inflow->topic_id = topic_id;
    inflow->durability = durability;
    inflow->granted = credit;
    inflow->ended = false;
    inflow->ask_pause_ns = 0;
}

static void take_up(struct inflow *inflow)
{
    const struct wire_outlet *opened = &inflow->opening.answer.outlet;
    inflow_take_up(inflow, opened->handle, opened->topic_id, opened->durability, INFLOW_CREDIT_BYTES);
    inflow_begin_at(inflow, opened->position);
}

static uint64_t sequence_of(const struct wire_outlet *opened)
{
    return opened->position == 0 ? 1 : opened->sequence; /* so what is lost from there on is counted */
}

/* Another outlet in place of one that ended with its connection. Where it begins elsewhere, what lies between
 * is gone; but a log in memory that ended with its broker begins anew, and so does the reader. */
static void go_on(struct inflow *inflow)
{
    struct reader *reader = inflow->reader;
    const struct wire_outlet *opened = &inflow->opening.answer.outlet;
    bool in_memory = opened->durability == HERMES_DURABILITY_MEMORY,
         here = opened->position == reader->position;
    bool follows = reader->sequence == 0 || opened->sequence == 0 || opened->sequence == reader->sequence;
    take_up(inflow);
    if (here && in_memory && !follows && inflow->asks_from == WIRE_OUTLET_POSITION) {
        inflow->unwanted = inflow->handle;
        inflow->handle = 0;
        inflow->asks_from = WIRE_OUTLET_FIRST;
        return;
    }
    inflow->asks_from = WIRE_OUTLET_POSITION;
    if (here && follows)
        return;
    bool anew = in_memory && (here || opened->position < reader->position);
    inflow->gone = !anew;
    if (reader->gap_from == 0 && opened->position > reader->position)
        reader->gap_from = reader->sequence;
    if (anew)
        reader->skip_below_sequence = reader->skip_below_time = reader->gap_from = 0;
    reader->skipping = reader->skipping && !anew;
    if (opened->position < reader->position)
        inflow->log_end = opened->position;
    reader_hop(reader, opened->position, sequence_of(opened));
}

bool inflow_take_reply(struct inflow *inflow, struct channel *channel)
{
    if (!asked_take(&inflow->opening, channel))
        return false;
    if (inflow->opening.error == 0 && inflow->member != NULL)
        far_member_go_on(inflow);
    else if (inflow->opening.error == 0)
        go_on(inflow);
    ring_bell(inflow);
    return true;
}

bool inflow_is_attached(const struct inflow *inflow)
{
    const struct channel *channel = &inflow->client->channel;
    return inflow->handle != 0 && inflow->connection == channel->connected && channel->fd >= 0;
}

bool inflow_awaits_broker(const struct inflow *inflow)
{
    if (!inflow_is_attached(inflow))
        return true;
    return inflow_is_given(inflow) ? inflow->member->unread > 0 || inflow->member->awaits
                                   : inflow->reader->position < inflow->log_end;
}

int inflow_ask_later(struct inflow *inflow)
{
    uint64_t pause_ns = inflow->ask_pause_ns * 2;
    pause_ns = pause_ns > first_pause_ns ? pause_ns : first_pause_ns;
    inflow->ask_pause_ns = pause_ns < longest_pause_ns ? pause_ns : longest_pause_ns;
    inflow->ask_ns = clock_monotonic_ns() + inflow->ask_pause_ns;
    return HERMES_OK;
}

/* The broker said no. What is to be told; HERMES_OK: it is asked for something else, or again, later. */
static int note_refusal(struct inflow *inflow, int rc)
{
    bool is_position = inflow->asks_from == WIRE_OUTLET_POSITION;
    bool in_memory = inflow->durability == HERMES_DURABILITY_MEMORY;
    if (rc == HERMES_ECLOSED || (rc == HERMES_ENOTFOUND && !is_position))
        return inflow_tell_deleted(inflow);
    if (is_position && (rc == HERMES_EGONE || (rc == HERMES_ENOTFOUND && in_memory)))
        inflow->asks_from = WIRE_OUTLET_FIRST;
    else if (is_position && rc == HERMES_ENOTFOUND) /* the log lost its end, or there is no such topic */
        inflow->asks_from = WIRE_OUTLET_END;
    else if (rc == HERMES_EIO || rc == HERMES_EAGAIN || rc == HERMES_EBUSY) /* not served: it may pass */
        return inflow_ask_later(inflow);
    else {
        (void)inflow_ask_later(inflow);
        return rc;
    }
    return HERMES_OK;
}

void inflow_close_handle(struct inflow *inflow, uint32_t handle, uint64_t until_ns)
{
    if (inflow->connection == inflow->client->channel.connected)
        (void)client_close_handle(inflow->client, handle, until_ns);
}

/* All that came was read, and there is no outlet for more. */
static int open_again(struct inflow *inflow)
{
    if (inflow->unwanted != 0)
        inflow_close_handle(inflow, inflow->unwanted, 0);
    inflow->unwanted = inflow->handle = 0;
    if (inflow->opening.type == 0) {
        if (clock_monotonic_ns() < inflow->ask_ns)
            return HERMES_OK;
        struct wire_outlet_open request = request_of(inflow, inflow->asks_from, inflow->reader->position);
        if (asked_send(inflow->client, &inflow->opening, WIRE_OUTLET_OPEN, &request, sizeof request) < 0)
            return HERMES_OK;
    }
    int rc = asked_await(inflow->client, &inflow->opening, 0);
    if (rc == 0)
        go_on(inflow);
    return rc == 0 || rc == HERMES_EDISCONNECTED || rc == HERMES_EINTERRUPTED ? HERMES_OK
                                                                              : note_refusal(inflow, rc);
}

/* What has come in, and what is due. */
static int look(struct inflow *inflow)
{
    if (inflow->member != NULL)
        return far_member_look(inflow);
    (void)channel_take_in(&inflow->client->channel);
    inflow->client->tend(inflow->client);
    if (!inflow_is_empty(inflow) || inflow->ended || inflow_is_attached(inflow))
        return HERMES_OK;
    return open_again(inflow);
}

/* ---- reading ---- */

void inflow_give_credit(struct inflow *inflow, uint64_t bytes)
{
    struct wire_credit credit = {.bytes = bytes};
    if (channel_send_flow(&inflow->client->channel, WIRE_CREDIT, inflow->handle,
                          &(struct iovec){&credit, sizeof credit}) == 0)
        inflow->granted += bytes;
}

/* Room for more, once it is worth a message. What the caller was given last is his no longer. */
static void give_back(struct inflow *inflow)
{
    uint64_t room = INFLOW_CREDIT_BYTES - inflow->granted, unread = inflow->put - inflow->taken;
    inflow->released = inflow->taken;
    room = unread < room ? room - unread : 0;
    if (room < GIVE_BACK_BYTES || inflow->ended || !inflow_is_attached(inflow))
        return;
    inflow_give_credit(inflow, room);
}

static int tell_gone(struct inflow *inflow)
{
    inflow->gone = false;
    return error_say(&inflow->client->error, HERMES_EGONE,
                     "older messages were overwritten or removed: going on at position %" PRIu64,
                     inflow->reader->position);
}

/* What follows stands elsewhere: what lies between is gone, and it is known how many messages that were, if
 * it was known which came next. */
static int begin_run(struct inflow *inflow)
{
    struct reader *reader = inflow->reader;
    uint64_t expected = reader->gap_from != 0 ? reader->gap_from : reader->sequence;
    memcpy(&inflow->run, inflow_at(inflow, inflow->taken), sizeof inflow->run);
    if (inflow->last == inflow->taken)
        inflow->last = NO_RUN;
    inflow->taken += INFLOW_NOTE_BYTES;
    reader->gap_from = 0;
    if (expected != 0 && inflow->run.sequence > expected)
        reader->lost += inflow->run.sequence - expected;
    reader_hop(reader, inflow->run.position, inflow->run.sequence);
    return expected == inflow->run.sequence ? HERMES_OK : tell_gone(inflow);
}

/* Goes on behind what is wrong, and says what and where. */
static int tell_damage(struct inflow *inflow, struct frames *frames, int error)
{
    struct reader *reader = inflow->reader;
    uint64_t from = frames->position;
    reader->corrupt++;
    if (error == HERMES_ECORRUPT) { /* a message, but not the next one */
        reader->sequence = 0;
        return error_set(&inflow->client->error, error, "sequence jumps at position %" PRIu64, from);
    }
    frames_skip_damage(frames);
    inflow->taken += frames->position - from;
    reader->position = frames->position;
    reader->sequence = 0;
    return error_set(&inflow->client->error, error == HERMES_ENOTFOUND ? HERMES_EMALFORMED : error,
                     "damaged from position %" PRIu64 " to %" PRIu64, from, reader->position);
}

/* Messages before the wanted sequence or time pass unseen. */
static bool is_wanted(struct reader *reader, const hermes_header_t *header)
{
    if (!reader->skipping)
        return true;
    if (header->sequence < reader->skip_below_sequence || header->timestamp < reader->skip_below_time)
        return false;
    reader->skip_below_sequence = reader->skip_below_time = 0;
    reader->skipping = false;
    return true;
}

/* Where checksums are nobody's concern: inline. */
static int next_frame(struct frames *frames, struct frame *frame)
{
    bool is_message_likely = frames->check == FRAME_HEADERS && frames->position < frames->end;
    return is_message_likely ? frames_next_message(frames, frame) : frames_next(frames, frame);
}

/* 1: a message; 0: what was to be read of this run is; or what is wrong with it. */
static int read_run(struct inflow *inflow, hermes_message_t *message)
{
    struct reader *reader = inflow->reader;
    struct frames frames = {.data = inflow_at(inflow, inflow->taken),
                            .base = reader->position,
                            .end = inflow->run.end,
                            .position = reader->position,
                            .sequence = reader->sequence,
                            .check = reader->verify ? FRAME_CHECKSUMS : FRAME_HEADERS};
    struct frame frame;
    int rc;
    while ((rc = next_frame(&frames, &frame)) > 0) {
        inflow->taken += frame.bytes;
        reader->position = frames.position;
        reader->sequence = frames.sequence;
        if (frame.header.type != HERMES_TYPE_DATA)
            continue;
        if (reader->gap_from != 0 && frame.header.sequence > reader->gap_from)
            reader->lost += frame.header.sequence - reader->gap_from;
        reader->gap_from = 0;
        if (!is_wanted(reader, &frame.header))
            continue;
        *message = frame_message(&frame);
        return 1;
    }
    return rc < 0 ? tell_damage(inflow, &frames, rc) : 0;
}

/* All that came before it is read. */
static int tell_end(struct inflow *inflow)
{
    struct reader *reader = inflow->reader;
    const struct wire_end *end = &inflow->end;
    int code = end->code < 0 ? end->code : HERMES_EPROTOCOL;
    inflow->ended = false;
    if (code == HERMES_ECLOSED) {
        inflow->handle = 0;
        return inflow_tell_deleted(inflow);
    }
    inflow_close_handle(inflow, inflow->handle, 0);
    inflow->handle = 0;
    if (code != HERMES_ECORRUPT && code != HERMES_EMALFORMED && code != HERMES_ECHECKSUM) {
        (void)inflow_ask_later(inflow);
    } else if (end->position > reader->position && end->position % HERMES_FRAME_ALIGNMENT == 0) {
        reader->corrupt++;
        reader_hop(reader, end->position, 0);
    }
    return error_say(&inflow->client->error, code, "%s", end->text);
}

int inflow_read(struct inflow *inflow, hermes_message_t *message)
{
    give_back(inflow);
    for (bool looked = false;;) {
        int rc = HERMES_OK;
        if (inflow->gone)
            return tell_gone(inflow);
        if (inflow->reader->position < inflow->run.end)
            rc = read_run(inflow, message);
        if (rc != 0)
            return rc;
        if (!inflow_is_empty(inflow))
            rc = begin_run(inflow);
        else if (inflow->deleted)
            return inflow_tell_deleted(inflow);
        else if (inflow->ended)
            return tell_end(inflow);
        else if (looked)
            return 0;
        else {
            looked = true;
            rc = look(inflow);
        }
        if (rc < 0)
            return rc;
    }
}

/* Who looks itself is not rung for. */
int inflow_poll(struct inflow *inflow, hermes_message_t *message)
{
    bool armed = inflow->armed;
    inflow->armed = false;
    int rc = inflow->member != NULL ? far_member_poll(inflow, message) : inflow_read(inflow, message);
    inflow->armed = armed && rc == 0;
    inflow->has_looked = rc == 0 && inflow->member == NULL;
    return rc;
}

/* ---- opening, seeking ---- */

/* Who begins in the middle is to know whether more is to come before the first of it has. */
static void ask_for_end(struct inflow *inflow, uint64_t until_ns)
{
    struct wire_topic request;
    struct wire_topic_info info;
    memcpy(request.topic, inflow->topic, sizeof request.topic);
    int rc = client_request_until(inflow->client, WIRE_TOPIC_DESCRIBE, &request, sizeof request, WIRE_TOPICS,
                                  sizeof(struct wire_list_head) + sizeof info, until_ns);
    if (rc < 0)
        return; /* then it is known with the first of them */
    memcpy(&info, inflow->client->channel.reply + sizeof(struct wire_list_head), sizeof info);
    if (info.committed_position > inflow->log_end)
        inflow->log_end = info.committed_position;
}

/* Waits for it; the former outlet goes. */
static int open_at(struct inflow *inflow, enum wire_outlet_from from, uint64_t value, uint64_t until_ns)
{
    struct wire_outlet_open request = request_of(inflow, from, value);
    int rc =
        asked_request(inflow->client, &inflow->opening, WIRE_OUTLET_OPEN, &request, sizeof request, until_ns);
    if (rc < 0)
        return rc;
    const struct wire_outlet *opened = &inflow->opening.answer.outlet;
    struct reader *reader = inflow->reader;
    uint32_t former = inflow_is_attached(inflow) ? inflow->handle : 0;
    take_up(inflow); /* before anything is received again, which may be for it */
    inflow->released = inflow->taken;
    inflow->asks_from = WIRE_OUTLET_POSITION;
    inflow->gone = false;
    reader->gap_from = 0; /* what a seek passes over is not lost */
    reader->skip_below_sequence = from == WIRE_OUTLET_SEQUENCE ? value : 0;
    reader->skip_below_time = from == WIRE_OUTLET_TIME ? value : 0;
    reader->skipping = from == WIRE_OUTLET_SEQUENCE || from == WIRE_OUTLET_TIME;
    reader_hop(reader, opened->position, sequence_of(opened));
    inflow->log_end = opened->position;
    inflow_close_handle(inflow, former, 0);
    if (from != WIRE_OUTLET_END)
        ask_for_end(inflow, until_ns);
    return HERMES_OK;
}

static int refuse_to_seek(struct inflow *inflow)
{
    struct error_text *text = &inflow->client->error;
    const char *name = inflow->member->name;
    if (inflow->member->durable)
        return error_say(
            text, HERMES_ENOTSUP,
            "durable subscription '%s' of topic '%s' is read through a connection, and cannot seek", name,
            inflow->topic);
    return error_say(text, HERMES_EINVALID,
                     "a member of group '%s' cannot seek by itself (hermes group reset)", name);
}

int inflow_seek(struct inflow *inflow, enum wire_outlet_from from, uint64_t value, uint64_t until_ns)
{
    if (inflow->deleted)
        return inflow_tell_deleted(inflow);
    if (inflow->member != NULL)
        return refuse_to_seek(inflow);
    int rc = open_at(inflow, from, value, until_ns);
    return rc == HERMES_ECLOSED ? inflow_tell_deleted(inflow) : rc;
}

int inflow_open(struct hermes_client *client, const char *topic, const struct inflow_kind *kind,
                struct reader *reader, uint64_t until_ns, struct inflow **out)
{
    struct inflow *inflow = *out = calloc(1, sizeof *inflow);
    if (inflow == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a subscriber");
    inflow->client = client;
    inflow->reader = reader;
    inflow->topic = topic;
    inflow->push_back = kind->push_back;
    inflow->events = inflow->timer = -1;
    inflow->last = NO_RUN;
    asked_init(&inflow->opening);
    *reader = (struct reader){.verify = true, .found = READER_NOTHING_FOUND};
    int rc = map_create_twice(INFLOW_RING_BYTES, &inflow->ring);
    if (rc < 0)
        return error_set(&client->error, rc, "room for what comes of topic '%s'", topic);
    if (kind->name != NULL)
        return (rc = far_member_new(inflow, kind)) < 0 ? rc : far_member_open(inflow, until_ns);
    return open_at(inflow, kind->from == HERMES_FROM_FIRST ? WIRE_OUTLET_FIRST : WIRE_OUTLET_END, 0,
                   until_ns);
}

void inflow_close(struct inflow *inflow, uint64_t known_ns, uint64_t until_ns)
{
    if (inflow->member != NULL)
        far_member_close(inflow, known_ns, until_ns);
    asked_forget(inflow->client, &inflow->opening);
    if (inflow->unwanted != 0)
        inflow_close_handle(inflow, inflow->unwanted, 0);
    bool is_waited_for = inflow->member != NULL || inflow->push_back;
    inflow_close_handle(inflow, inflow->handle, is_waited_for ? until_ns : 0);
    inflow->handle = 0;
}

void inflow_free(struct inflow *inflow)
{
    if (inflow == NULL)
        return;
    asked_drop(&inflow->opening);
    map_release(&inflow->ring);
    free(inflow->member);
    if (inflow->events >= 0)
        close(inflow->events);
    if (inflow->timer >= 0)
        close(inflow->timer);
    free(inflow);
}

/* ---- waiting ---- */

uint64_t inflow_next_look(const struct inflow *inflow)
{
    uint64_t due_ns = 0, attempt_ns = client_next_attempt(inflow->client);
    uint64_t pause_ns = clock_left_ns(inflow->ask_ns);
    bool is_asked = attempt_ns == UINT64_MAX && inflow->opening.type != 0;
    if (inflow_is_attached(inflow) || (pause_ns == 0 && is_asked))
        due_ns = longest_sleep_ns;
    else if (pause_ns > 0)
        due_ns = pause_ns;
    else if (attempt_ns < UINT64_MAX)
        due_ns = attempt_ns;
    return due_ns < longest_sleep_ns ? due_ns : longest_sleep_ns;
}

int inflow_sleep(struct inflow *inflow, uint64_t timeout_ns)
{
    uint64_t most_ns = inflow_next_look(inflow);
    return channel_sleep(&inflow->client->channel, timeout_ns < most_ns ? timeout_ns : most_ns);
}

static int make_events(struct inflow *inflow)
{
    inflow->events = standard_move_above(epoll_create1(EPOLL_CLOEXEC));
    inflow->timer = standard_move_above(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    struct epoll_event event = {.events = EPOLLIN};
    if (inflow->events >= 0 && inflow->timer >= 0 &&
        epoll_ctl(inflow->events, EPOLL_CTL_ADD, inflow->timer, &event) == 0)
        return HERMES_OK;
    int rc = error_set_errno(&inflow->client->error, "make", "a descriptor for an event loop");
    if (inflow->events >= 0)
        close(inflow->events);
    if (inflow->timer >= 0)
        close(inflow->timer);
    inflow->events = inflow->timer = -1;
    return rc;
}

int inflow_fd(struct inflow *inflow)
{
    int rc = inflow->events >= 0 ? HERMES_OK : make_events(inflow);
    return rc < 0 ? rc : inflow->events;
}

/* The connection may be another than it was, under the same number. */
static void watch_connection(struct inflow *inflow)
{
    const struct channel *channel = &inflow->client->channel;
    struct epoll_event event = {.events = (uint32_t)channel_events(channel)};
    if (channel->fd < 0 || (inflow->watched == channel->begun && inflow->watched_events == event.events))
        return;
    if (epoll_ctl(inflow->events, EPOLL_CTL_ADD, channel->fd, &event) != 0 &&
        (errno != EEXIST || epoll_ctl(inflow->events, EPOLL_CTL_MOD, channel->fd, &event) != 0))
        return; /* until the next time, the timer is all there is */
    inflow->watched = channel->begun;
    inflow->watched_events = event.events;
}

/* Fires when it is worth looking though nothing comes; somewhat sooner, too, so that it is not set each time.
 */
static void set_timer(struct inflow *inflow)
{
    uint64_t look_ns = inflow_next_look(inflow), now_ns = clock_monotonic_ns();
    look_ns = look_ns > 0 ? look_ns : 1;
    if (inflow->timer_due_ns > now_ns + look_ns / 2 && inflow->timer_due_ns <= now_ns + look_ns)
        return;
    const struct itimerspec next = {
        .it_value = {(time_t)(look_ns / 1000000000u), (long)(look_ns % 1000000000u)}};
    timerfd_settime(inflow->timer, 0, &next, NULL);
    inflow->timer_due_ns = now_ns + look_ns;
}

static bool is_ready(const struct inflow *inflow)
{
    if (inflow->deleted || inflow->gone)
        return true;
    if (inflow->member != NULL && !far_member_ready(inflow))
        return false;
    return inflow_is_given(inflow) || !inflow_is_empty(inflow) || inflow->ended ||
           inflow->reader->position < inflow->run.end;
}

int inflow_arm(struct inflow *inflow, int *late)
{
    int rc = inflow_fd(inflow);
    *late = 0;
    if (rc < 0)
        return rc;
    if (!inflow->ended && inflow_is_empty(inflow) && !inflow->has_looked)
        *late = look(inflow);
    inflow->has_looked = false;
    if (*late < 0)
        return 1;
    if (inflow_is_given(inflow))
        gifts_ask_for_more(inflow, clock_monotonic_ns());
    else if (inflow->member != NULL)
        give_back(inflow);
    if (is_ready(inflow) || channel_has_more(&inflow->client->channel))
        return 1;
    set_timer(inflow);
    watch_connection(inflow);
    inflow->armed = true;
    return 0;
}
