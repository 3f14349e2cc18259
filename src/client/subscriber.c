/* Subscribers: a reader whose windows and segments the broker hands out. */
#include <errno.h>
#include <time.h>

#include "base/abi.h"
#include "base/clock.h"
#include "base/wait.h"
#include "client/subscriber.h"

enum { TELL_PARTS = 64 }; /* of a window: publishers need not know more exactly where we are */

/* Tells publishers how far we are. What is in the store they cannot overwrite. */
void subscriber_tell_publishers(struct hermes_subscriber *s)
{
    const struct reader *reader = &s->reader;
    bool behind = reader->in_store &&
                  reader->position < atomic_load_explicit(&reader->status->persisted, memory_order_relaxed);
    readers_moved(s->readers, s->reader_line, behind ? READERS_NOBODY : reader->position, s->membarrier);
    s->tell_at = reader->in_store ? 0 : reader->position + (reader->mask + 1) / TELL_PARTS;
}

bool subscriber_is_plain(const struct hermes_subscriber *s)
{
    return !s->push_back && s->member == NULL && s->inflow == NULL;
}

/* ---- reading ---- */

int subscriber_failed(struct hermes_subscriber *s, int rc)
{
    if (rc == HERMES_ECLOSED) {
        rc = subscriber_attach_again(s);
        return rc == HERMES_EDISCONNECTED ? 0 : rc; /* nothing to read until a broker is back */
    }
    s->starved = s->awaits_part = rc == HERMES_EDISCONNECTED;
    if (s->starved && asked_is_under_way(&s->part) &&
        clock_monotonic_ns() - s->part.since_ns < s->client->request_timeout_ns)
        return 0; /* an answer may take as long */
    s->client->error = s->reader.error;
    return rc;
}

static int tell_late(struct hermes_subscriber *s)
{
    int rc = s->late;
    s->client->error = s->late_text;
    s->late = 0;
    s->plain = subscriber_is_plain(s);
    return rc;
}

static int poll_with_others(struct hermes_subscriber *s, hermes_message_t *message)
{
    if (s->late != 0)
        return tell_late(s);
    if (s->inflow != NULL)
        return inflow_poll(s->inflow, message);
    if (s->push_back)
        subscriber_greet_if_due(s); /* or we are waited for no longer */
    int rc = s->member != NULL ? member_poll(s, message) : reader_poll(&s->reader, message);
    if (rc < 0 && s->member == NULL)
        rc = subscriber_failed(s, rc);
    if (s->push_back && (rc <= 0 || s->member != NULL || s->reader.position >= s->tell_at))
        subscriber_tell_publishers(s);
    return rc;
}

int hermes_poll(hermes_subscriber_t *s, hermes_message_t *message)
{
    if (__builtin_expect(!s->plain, 0))
        return poll_with_others(s, message);
    int rc = reader_poll(&s->reader, message);
    return __builtin_expect(rc < 0, 0) ? subscriber_failed(s, rc) : rc;
}

/* Is there no broker, and nothing to sleep on? */
static bool is_away(const struct hermes_subscriber *s)
{
    return atomic_load_explicit(&s->reader.status->state, memory_order_acquire) == STATE_CLOSED ||
           (s->member != NULL && !member_is_current(s->member));
}

/* Nothing can be read before the broker answers. */
static bool awaits_answer(const struct hermes_subscriber *s)
{
    return (s->awaits_part && asked_is_under_way(&s->part)) ||
           (is_away(s) && asked_is_under_way(&s->opening));
}

/* Until there may be something, at most so long. HERMES_EINTERRUPTED. */
static int sleep_a_while(struct hermes_subscriber *s, uint64_t timeout_ns)
{
    static const uint64_t answer_ns = 10000000, pause_ns = 1000000;
    if (s->starved || is_away(s))
        member_hand_on(s->member, s->starved);
    if (awaits_answer(s))
        return channel_sleep(&s->client->channel, timeout_ns < answer_ns ? timeout_ns : answer_ns);
    if (s->starved || is_away(s)) { /* no broker: there is nothing to sleep on */
        struct timespec pause = {0, (long)(timeout_ns < pause_ns ? timeout_ns : pause_ns)};
        return clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL) == EINTR ? HERMES_EINTERRUPTED : HERMES_OK;
    }
    uint64_t most_ns = subscriber_longest_sleep(s);
    timeout_ns = timeout_ns < most_ns ? timeout_ns : most_ns;
    return s->member != NULL ? member_wait(s, timeout_ns, s->spin_ns)
                             : reader_wait(&s->reader, timeout_ns, s->spin_ns);
}

/* A poll told rc: nothing, or that a broker is needed. */
static int wait_for(struct hermes_subscriber *s, hermes_message_t *message, int rc, uint64_t timeout_ns)
{
    uint64_t start = clock_monotonic_ns(), waited = 0;
    while (waited < timeout_ns) {
        subscriber_greet_if_due(s);
        bool is_interrupted = sleep_a_while(s, timeout_ns - waited) == HERMES_EINTERRUPTED;
        s->starved = s->awaits_part = false;
        rc = hermes_poll(s, message); /* what came as well may be another member's by now */
        if (rc != 0 && rc != HERMES_EDISCONNECTED)
            return rc;
        if (is_interrupted)
            return HERMES_EINTERRUPTED;
        waited = clock_monotonic_ns() - start;
    }
    return rc;
}

/* The same where messages come through the connection. */
static int wait_for_inflow(struct hermes_subscriber *s, hermes_message_t *message, uint64_t timeout_ns)
{
    uint64_t start = clock_monotonic_ns(), waited = 0;
    for (; waited < timeout_ns; waited = clock_monotonic_ns() - start) {
        bool is_interrupted = false;
        if (waited < s->spin_ns && inflow_is_attached(s->inflow))
            cpu_relax();
        else
            is_interrupted = inflow_sleep(s->inflow, timeout_ns - waited) == HERMES_EINTERRUPTED;
        int rc = hermes_poll(s, message);
        if (rc != 0 || is_interrupted)
            return rc != 0 ? rc : HERMES_EINTERRUPTED;
    }
    if (inflow_is_attached(s->inflow))
        return 0;
    return client_say_away(s->client, s->topic);
}

int hermes_wait(hermes_subscriber_t *s, hermes_message_t *message, uint64_t timeout_ns)
{
    int rc = hermes_poll(s, message);
    if ((rc != 0 && rc != HERMES_EDISCONNECTED) || timeout_ns == 0)
        return rc;
    if (s->inflow != NULL)
        return wait_for_inflow(s, message, timeout_ns);
    rc = wait_for(s, message, rc, timeout_ns);
    member_hand_on(s->member, rc == HERMES_EINTERRUPTED ? 0 : rc);
    return rc;
}

int hermes_subscriber_fd(hermes_subscriber_t *s)
{
    if (s->inflow != NULL)
        return inflow_fd(s->inflow);
    if (s->notifier == NULL) {
        int rc = notifier_start(&s->notifier);
        if (rc < 0)
            return error_set(&s->client->error, rc, "a descriptor for topic '%s'", s->topic);
    }
    return notifier_fd(s->notifier);
}

static int arm_inflow(struct hermes_subscriber *s)
{
    int rc = inflow_arm(s->inflow, &s->late);
    if (s->late != 0)
        s->late_text = s->client->error;
    return rc;
}

int hermes_subscriber_arm(hermes_subscriber_t *s)
{
    if (s->inflow != NULL)
        return s->late != 0 ? 1 : arm_inflow(s);
    int rc = hermes_subscriber_fd(s);
    if (rc < 0)
        return rc;
    subscriber_greet_if_due(s);
    if (s->late != 0)
        return 1;
    if (s->starved || is_away(s)) {
        s->starved = false;
        notifier_arm(s->notifier, &(struct futex_word){NULL, 0}, 0, subscriber_next_look(s));
        return 0;
    }
    struct futex_word words[2];
    unsigned count = 1;
    words[0].word = &s->reader.window->bell;
    if (s->member != NULL ? member_park(s, words, &count) : reader_park(&s->reader, &words[0].expected))
        return 1;
    notifier_arm(s->notifier, words, count, subscriber_longest_sleep(s));
    return 0;
}

static bool is_told_once(int rc)
{
    return rc == HERMES_EGONE || rc == HERMES_ECORRUPT || rc == HERMES_ECHECKSUM || rc == HERMES_EMALFORMED;
}

int64_t hermes_poll_many(hermes_subscriber_t *s, size_t most, hermes_handler_t handler, void *context)
{
    hermes_message_t message;
    int64_t count = 0;
    while ((size_t)count < most) {
        int rc = hermes_poll(s, &message);
        if (rc < 0 && count == 0)
            return rc;
        if (rc < 0 && is_told_once(rc)) { /* by the next call, whichever that is */
            s->late = rc;
            s->late_text = s->client->error;
            s->plain = false;
        }
        if (rc <= 0)
            break;
        count++;
        if (handler(context, &message) != 0)
            break;
    }
    return count;
}

/* What is sought is in the log as it is now: its next owner's, if that is there. Else in what the last one
 * left, but for a durable subscription, which begins with the next one's word of its place. */
static int move_to_owner(struct hermes_subscriber *s)
{
    if (!is_away(s))
        return HERMES_OK;
    if (s->member != NULL)
        subscriber_close_handle(s, 0);
    int rc = subscriber_attach_again(s);
    if (rc == HERMES_ETIMEOUT)
        return error_say(&s->client->error, HERMES_EDISCONNECTED, "topic '%s': the broker does not answer",
                         s->topic);
    return rc == HERMES_EDISCONNECTED && s->member == NULL ? HERMES_OK : rc;
}

/* Who seeks waits for the broker. Members of a group stand where the group does. */
static int begin_seek(struct hermes_subscriber *s)
{
    if (subscriber_is_deleted(s))
        return subscriber_tell_deleted(s);
    if (s->member != NULL && !s->member->durable)
        return error_say(&s->client->error, HERMES_EINVALID,
                         "a member of group '%s' cannot seek by itself (hermes group reset)",
                         s->member->name);
    s->until_ns = clock_deadline_ns(s->client->request_timeout_ns);
    int rc = move_to_owner(s);
    if (rc < 0)
        s->until_ns = 0;
    return rc;
}

static int sought(struct hermes_subscriber *s, int rc)
{
    s->until_ns = 0;
    s->starved = s->awaits_part = false;
    if (rc == HERMES_ECLOSED && !subscriber_is_deleted(s))
        return error_say(&s->client->error, HERMES_EDISCONNECTED, "topic '%s' is not served", s->topic);
    if (rc < 0)
        s->client->error = s->reader.error;
    else if (s->member != NULL)
        member_sought(s);
    if (rc == 0 && s->push_back && s->readers != NULL)
        subscriber_tell_publishers(s);
    return rc;
}

static int seek_reader(struct reader *reader, enum wire_outlet_from from, uint64_t value)
{
    switch (from) {
    case WIRE_OUTLET_FIRST:
        return reader_seek_first(reader);
    case WIRE_OUTLET_POSITION:
        return reader_seek_position(reader, value);
    case WIRE_OUTLET_SEQUENCE:
        return reader_seek_sequence(reader, value);
    case WIRE_OUTLET_TIME:
        return reader_seek_time(reader, value);
    default:
        return reader_seek_end(reader);
    }
}

static int seek(struct hermes_subscriber *s, enum wire_outlet_from from, uint64_t value)
{
    if (s->inflow != NULL)
        return inflow_seek(s->inflow, from, value, clock_deadline_ns(s->client->request_timeout_ns));
    int rc = begin_seek(s);
    return rc < 0 ? rc : sought(s, seek_reader(&s->reader, from, value));
}

int hermes_seek_first(hermes_subscriber_t *s)
{
    return seek(s, WIRE_OUTLET_FIRST, 0);
}

int hermes_seek_end(hermes_subscriber_t *s)
{
    return seek(s, WIRE_OUTLET_END, 0);
}

int hermes_seek_sequence(hermes_subscriber_t *s, uint64_t sequence)
{
    return seek(s, WIRE_OUTLET_SEQUENCE, sequence);
}

int hermes_seek_time(hermes_subscriber_t *s, uint64_t timestamp_ns)
{
    return seek(s, WIRE_OUTLET_TIME, timestamp_ns);
}

int hermes_seek_position(hermes_subscriber_t *s, uint64_t position)
{
    return seek(s, WIRE_OUTLET_POSITION, position);
}

void hermes_subscriber_set_verify(hermes_subscriber_t *s, int on)
{
    s->reader.verify = on != 0;
}

void hermes_subscriber_set_spin(hermes_subscriber_t *s, uint64_t spin_ns)
{
    s->spin_ns = spin_ns;
}

int hermes_subscriber_describe(const hermes_subscriber_t *s, hermes_subscriber_counters_t *counters)
{
    bool awaits = s->inflow != NULL ? inflow_awaits_broker(s->inflow) : awaits_answer(s);
    hermes_subscriber_counters_t told = {.position = s->reader.position,
                                         .lost = s->reader.lost,
                                         .corrupt = s->reader.corrupt,
                                         .awaits_broker = awaits};
    return abi_give(counters, &told, sizeof told);
}
