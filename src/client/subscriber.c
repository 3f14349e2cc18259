/* Subscribers: a reader whose windows and segments the broker hands out. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "base/clock.h"
#include "base/wait.h"
#include "client/subscriber.h"

static const uint64_t default_spin_ns = 20000;
static const uint64_t broker_is_away_ns = 10000000; /* between two looks of an event loop */

/* To a reader, a broker that does not answer is away. */
static int away(int rc)
{
    return rc == HERMES_ETIMEOUT ? HERMES_EDISCONNECTED : rc;
}

/* So long a broker that came back may take to answer a greeting, and then it is left alone: for as long the
 * first time, for what it does not hear of for a lease is others', and longer each time, for it may hang. */
static const uint64_t greeting_ns = 20000000, greet_again_ns = 1000000000, member_greets_again_ns = 100000000;
static const uint64_t look_again_ns = 1000000;
/* So long a member that closes tries to be known to a broker that came back. */
static const uint64_t goodbye_ns = 200000000;

static int open_window(void *context, uint32_t epoch, int *fd)
{
    struct hermes_subscriber *s = context;
    struct wire_window request = {.topic_id = s->topic_id, .epoch = epoch};
    member_hand_on(s->member, 0); /* that may take long */
    int rc = client_request(s->client, WIRE_WINDOW_OPEN, &request, sizeof request, WIRE_OK, 0);
    *fd = rc == 0 ? channel_take_fd(&s->client->channel, 0) : -1;
    return rc == 0 && *fd < 0 ? client_miss_fd(s->client) : away(rc);
}

static int open_segment(void *context, enum store_key key, uint64_t value, struct store_place *place)
{
    struct hermes_subscriber *s = context;
    member_hand_on(s->member, 0);
    return away(client_open_segment(s->client, s->topic_id, key, value, place));
}

static int request_open(const struct hermes_subscriber *s, struct wire_subscriber *opened, uint64_t until_ns)
{
    struct wire_subscriber_open request = {.durable = 0};
    memcpy(request.topic, s->topic, sizeof request.topic);
    member_hand_on(s->member, 0); /* the page may be another's then */
    if (s->member != NULL)
        member_request(s->member, &request);
    request.push_back = s->push_back;
    request.resume_reader = s->reader_id;
    request.resume_reader_line = s->reader_line;
    int rc = client_request_until(s->client, WIRE_SUBSCRIBER_OPEN, &request, sizeof request, WIRE_SUBSCRIBER,
                                  sizeof *opened, until_ns);
    if (rc == 0)
        memcpy(opened, s->client->channel.reply, sizeof *opened);
    return rc;
}

void subscriber_close_handle(struct hermes_subscriber *s)
{
    (void)client_close_handle(s->client, s->handle, clock_deadline_ns(s->client->request_timeout_ns));
    s->handle = 0;
}

/* Takes up the line that publishers look at: the last descriptor of the reply. */
static int adopt_line(struct hermes_subscriber *s, const struct wire_subscriber *opened)
{
    struct map map;
    int rc = client_map(s->client, s->member != NULL ? 3 : 2, READERS_BYTES, MAP_READ_WRITE, &map);
    if (rc == 0 &&
        ((rc = readers_check(map.address, map.size)) < 0 || opened->reader_line >= READERS_LINES)) {
        map_release(&map);
        rc = error_set(&s->client->error, HERMES_EMALFORMED, "the readers of topic '%s'", s->topic);
    }
    if (rc < 0)
        return rc;
    map_release(&s->readers_map);
    s->readers_map = map;
    s->readers = map.address;
    s->reader_line = opened->reader_line;
    s->reader_id = opened->reader;
    return HERMES_OK;
}

/* Tells publishers how far we are. What is in the store they cannot overwrite. */
static void tell_publishers(struct hermes_subscriber *s)
{
    const struct reader *reader = &s->reader;
    bool behind = reader->in_store &&
                  reader->position < atomic_load_explicit(&reader->status->persisted, memory_order_relaxed);
    readers_moved(s->readers, s->reader_line, behind ? READERS_NOBODY : reader->position, s->membarrier);
}

static bool is_plain(const struct hermes_subscriber *s)
{
    return !s->push_back && s->member == NULL;
}

/* Who knows us by now: the broker at the other end of this connection. */
static void note_greeting(struct hermes_subscriber *s)
{
    s->connection = s->client->channel.connected;
    s->instance = (uint32_t)(status_load_seal(s->reader.status) >> 32);
    if (!channel_is_up(&s->client->channel))
        s->instance--; /* that may be its successor's, who does not */
}

/* Opens the topic and fills in *s but for the client's list. */
static int attach(struct hermes_subscriber *s, enum reader_verify verify)
{
    struct hermes_client *client = s->client;
    struct wire_subscriber opened;
    struct member next = {.page = NULL};
    int rc = request_open(s, &opened, UINT64_MAX);
    if (rc < 0)
        return rc;
    s->handle = opened.handle;
    s->topic_id = opened.topic_id;
    rc = client_map(client, 0, STATUS_BYTES, MAP_READ, &s->status_map);
    if (rc == 0)
        rc = client_map(client, 1, 4096, MAP_READ_WRITE, &s->doorbell_map);
    if (rc == 0 && s->member != NULL)
        rc = member_adopt(client, s->member, &opened, &next);
    if (rc == 0 && s->push_back)
        rc = adopt_line(s, &opened);
    if (rc == 0 && (rc = status_check(s->status_map.address)) < 0)
        error_set(&client->error, rc, "the status page of topic '%s'", s->topic);
    if (rc == 0) {
        rc = reader_open(&s->reader, s->status_map.address, s->doorbell_map.address,
                         (struct reader_source){open_window, open_segment, s}, verify);
        if (rc < 0)
            client->error = s->reader.error;
        else
            note_greeting(s);
        const struct status *status = s->status_map.address;
        if (rc == HERMES_ECLOSED && atomic_load(&status->state) == STATE_CLOSED)
            rc = error_set(&client->error, HERMES_EDISCONNECTED, "topic '%s': its broker is stopping",
                           s->topic);
        else if (rc == HERMES_ECLOSED)
            rc = error_set(&client->error, HERMES_ENOTFOUND, "topic '%s' was deleted", s->topic);
    }
    if (rc == 0 && s->member != NULL)
        member_become(s->member, &next); /* not before there is something to read from */
    if (rc < 0) {
        map_release(&s->status_map);
        map_release(&s->doorbell_map);
        map_release(&s->readers_map);
        map_release(&next.page_map);
        struct error_text why = client->error;
        subscriber_close_handle(s);
        client->error = why;
    }
    return rc;
}

static int check_options(struct hermes_client *client, const hermes_subscriber_options_t *options)
{
    const char *wrong = NULL;
    bool alone = options->group == NULL && options->name == NULL;
    if (options->flags & ~HERMES_SUBSCRIBE_PUSH_BACK)
        return error_set(&client->error, HERMES_ENOTSUP, "flags of a subscriber");
    if (options->group != NULL && options->name != NULL)
        wrong = "a subscriber is a member of a group or has a durable subscription, not both";
    else if (options->from > HERMES_FROM_FIRST)
        wrong = "a subscriber begins at the first message or at the end";
    else if (options->ack > HERMES_ACK_NONE || (options->ack != HERMES_ACK_AUTO && alone) ||
             (options->ack == HERMES_ACK_NONE && options->group == NULL))
        wrong = "this way to acknowledge is for members of groups (and, but for none, durable subscriptions)";
    return wrong == NULL ? HERMES_OK : error_set(&client->error, HERMES_EINVALID, "%s", wrong);
}

int hermes_subscriber_open(hermes_client_t *client, const char *topic,
                           const hermes_subscriber_options_t *given, hermes_subscriber_t **out)
{
    *out = NULL;
    hermes_subscriber_options_t options = {.size = sizeof options};
    int rc = given == NULL ? HERMES_OK : abi_take(&options, sizeof options, given);
    if (rc < 0)
        return error_set(&client->error, rc, "options of a subscriber");
    rc = check_options(client, &options);
    if (rc < 0)
        return rc;
    struct hermes_subscriber *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a subscriber");
    s->client = client;
    s->spin_ns = default_spin_ns;
    s->push_back = (options.flags & HERMES_SUBSCRIBE_PUSH_BACK) != 0;
    s->membarrier = s->push_back && barrier_register();
    rc = client_put_topic(client, s->topic, topic);
    if (rc == 0 && (options.group != NULL || options.name != NULL))
        rc = member_new(client, &options, &s->member);
    s->plain = is_plain(s);
    if (rc == 0)
        rc = attach(s, VERIFY_ALL);
    if (rc < 0) {
        member_free(s->member);
        free(s);
        return rc;
    }
    s->next = client->subscribers;
    client->subscribers = s;
    if (s->member != NULL)
        rc = member_start(s);
    else if (options.from == HERMES_FROM_FIRST)
        rc = hermes_seek_first(s);
    if (rc == 0 && s->push_back)
        tell_publishers(s);
    if (rc < 0) {
        struct error_text why = client->error;
        hermes_subscriber_close(s);
        client->error = why;
        return rc;
    }
    *out = s;
    return HERMES_OK;
}

/* ---- when the broker changes ---- */

static void detach(struct hermes_subscriber *s)
{
    reader_close(&s->reader);
    map_release(&s->status_map);
    map_release(&s->doorbell_map);
    map_release(&s->readers_map);
}

/* Its broker said so in the page, or the next one when it was asked: for good. */
static bool has_no_group(const struct hermes_subscriber *s)
{
    return s->member != NULL &&
           atomic_load_explicit(&s->member->page->state, memory_order_acquire) == GROUP_DELETED;
}

static bool is_deleted(const struct hermes_subscriber *s)
{
    return s->deleted || has_no_group(s) ||
           atomic_load_explicit(&s->reader.status->state, memory_order_acquire) == STATE_DELETED;
}

static int tell_deleted(struct hermes_subscriber *s)
{
    if (!s->deleted && has_no_group(s))
        return error_set(&s->client->error, HERMES_ECLOSED, "'%s' of topic '%s' was deleted", s->member->name,
                         s->topic);
    return error_set(&s->client->error, HERMES_ECLOSED, "topic '%s' was deleted", s->topic);
}

/*
 * A broker that stopped in good order took its shared memory along; the next one has the same log at
 * the same positions. (A memory topic begins anew.)
 */
int subscriber_attach_again(struct hermes_subscriber *s)
{
    struct hermes_subscriber fresh = {.client = s->client,
                                      .next = s->next,
                                      .spin_ns = s->spin_ns,
                                      .notifier = s->notifier,
                                      .member = s->member,
                                      .plain = s->plain,
                                      .push_back = s->push_back,
                                      .membarrier = s->membarrier};
    memcpy(fresh.topic, s->topic, sizeof fresh.topic);
    uint64_t position = s->reader.position, sequence = s->reader.sequence, gap_from = s->reader.gap_from;
    if (is_deleted(s))
        return tell_deleted(s);
    int rc = client_ensure(s->client);
    if (rc == 0)
        rc = away(attach(&fresh, s->reader.verify ? VERIFY_ALL : VERIFY_STORE_ONLY));
    if (rc == HERMES_ECLOSED && s->member != NULL)
        member_is_gone(s->member);
    if (rc == HERMES_EIO) /* not served after this start: the next one may */
        rc = HERMES_EDISCONNECTED;
    if (rc == 0 && fresh.topic_id != s->topic_id) { /* another topic of that name */
        detach(&fresh);
        subscriber_close_handle(&fresh);
        rc = HERMES_ENOTFOUND;
    }
    s->deleted = rc == HERMES_ENOTFOUND;
    if (s->deleted)
        return tell_deleted(s);
    if (rc < 0)
        return rc;
    fresh.reader.lost = s->reader.lost;
    fresh.reader.corrupt = s->reader.corrupt;
    bool stored = s->reader.stored;
    detach(s);
    *s = fresh;
    s->reader.source.context = s;
    if (s->member != NULL)
        return member_start(s);
    if (!stored) { /* from its first message on, so that what was overtaken by now is told */
        reader_hop(&s->reader, 0, 1);
        return HERMES_OK;
    }
    rc = reader_resume(&s->reader, position, sequence);
    s->reader.gap_from = gap_from;
    if (rc < 0)
        s->client->error = s->reader.error;
    return rc;
}

/* A restarted broker has taken the log up: nothing changed but the doorbell (and a group's page, if it had to
 * be made anew). */
void subscriber_greet_again(struct hermes_subscriber *s)
{
    struct wire_subscriber opened;
    struct member next = {.page = NULL};
    struct map doorbell = {0};
    uint64_t now = clock_monotonic_ns();
    if (now < s->greet_ns || client_ensure(s->client) < 0)
        return;
    if (s->client->channel.connected == s->connection) { /* the former broker's end is not seen yet */
        s->greet_ns = now + look_again_ns;
        return;
    }
    int rc = request_open(s, &opened, now + greeting_ns);
    if (rc == HERMES_ECLOSED && s->member != NULL)
        member_is_gone(s->member);
    if (rc < 0) { /* it does not run: messages come without it */
        s->greet_pause_ns = s->greet_pause_ns == 0 ? greeting_ns : s->greet_pause_ns * 2;
        uint64_t most = s->member != NULL ? member_greets_again_ns : greet_again_ns;
        s->greet_pause_ns = s->greet_pause_ns < most ? s->greet_pause_ns : most;
        s->greet_ns = clock_monotonic_ns() + s->greet_pause_ns;
        return;
    }
    s->greet_pause_ns = 0;
    bool moves = s->member != NULL && member_is_another(s->member, &opened);
    /* A log that was closed meanwhile is another's by now: that is found out by reading to its end. */
    bool same = opened.topic_id == s->topic_id &&
                atomic_load_explicit(&s->reader.status->state, memory_order_acquire) != STATE_CLOSED;
    if (!same || client_map(s->client, 1, 4096, MAP_READ_WRITE, &doorbell) < 0 ||
        (s->member != NULL && member_adopt(s->client, s->member, &opened, &next) < 0) ||
        (s->push_back && adopt_line(s, &opened) < 0)) {
        map_release(&doorbell);
        map_release(&next.page_map);
        s->handle = opened.handle;
        subscriber_close_handle(s);
        if (!same)
            note_greeting(s);
        return;
    }
    map_release(&s->doorbell_map);
    s->doorbell_map = doorbell;
    s->reader.doorbell = doorbell.address;
    s->handle = opened.handle;
    s->reader.owner_changed = false;
    note_greeting(s);
    if (s->member != NULL)
        member_become(s->member, &next);
    if (moves) /* else the group would be carried to where this member was, over all that lies between */
        (void)member_start(s);
}

/* ---- reading ---- */

int subscriber_failed(struct hermes_subscriber *s, int rc)
{
    if (rc == HERMES_ECLOSED) {
        rc = subscriber_attach_again(s);
        return rc == HERMES_EDISCONNECTED ? 0 : rc; /* nothing to read until a broker is back */
    }
    s->starved = rc == HERMES_EDISCONNECTED;
    s->client->error = s->reader.error;
    return rc;
}

static int tell_late(struct hermes_subscriber *s)
{
    int rc = s->late;
    s->client->error = s->late_text;
    s->late = 0;
    s->plain = is_plain(s);
    return rc;
}

static int poll_with_others(struct hermes_subscriber *s, hermes_message_t *message)
{
    if (s->late != 0)
        return tell_late(s);
    if (s->push_back)
        subscriber_greet_if_due(s); /* or we are waited for no longer */
    int rc = s->member != NULL ? member_poll(s, message) : reader_poll(&s->reader, message);
    if (rc < 0 && s->member == NULL)
        rc = subscriber_failed(s, rc);
    if (s->push_back)
        tell_publishers(s);
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

/* A poll told rc: nothing, or that a broker is needed. */
static int wait_for(struct hermes_subscriber *s, hermes_message_t *message, int rc, uint64_t timeout_ns)
{
    uint64_t start = clock_monotonic_ns(), waited = 0;
    while (waited < timeout_ns) {
        subscriber_greet_if_due(s);
        if (rc == HERMES_EDISCONNECTED || is_away(s)) {
            member_hand_on(s->member, rc);
            struct timespec pause = {0, 1000000}; /* no broker: there is nothing to sleep on */
            clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        } else {
            uint64_t left = timeout_ns - waited;
            rc = s->member != NULL ? member_wait(s, left, s->spin_ns)
                                   : reader_wait(&s->reader, left, s->spin_ns);
            if (rc == HERMES_EINTERRUPTED) /* what came as well may be another member's by now */
                return (rc = hermes_poll(s, message)) != 0 ? rc : HERMES_EINTERRUPTED;
        }
        rc = hermes_poll(s, message);
        if (rc != 0 && rc != HERMES_EDISCONNECTED)
            return rc;
        waited = clock_monotonic_ns() - start;
    }
    return rc;
}

int hermes_wait(hermes_subscriber_t *s, hermes_message_t *message, uint64_t timeout_ns)
{
    int rc = hermes_poll(s, message);
    if ((rc != 0 && rc != HERMES_EDISCONNECTED) || timeout_ns == 0)
        return rc;
    rc = wait_for(s, message, rc, timeout_ns);
    member_hand_on(s->member, rc == HERMES_EINTERRUPTED ? 0 : rc);
    return rc;
}

int hermes_subscriber_fd(hermes_subscriber_t *s)
{
    if (s->notifier == NULL) {
        int rc = notifier_start(&s->notifier);
        if (rc < 0)
            return error_set(&s->client->error, rc, "a descriptor for topic '%s'", s->topic);
    }
    return notifier_fd(s->notifier);
}

int hermes_subscriber_arm(hermes_subscriber_t *s)
{
    int rc = hermes_subscriber_fd(s);
    if (rc < 0)
        return rc;
    subscriber_greet_if_due(s);
    if (s->late != 0)
        return 1;
    if (s->starved || is_away(s)) {
        s->starved = false;
        notifier_arm(s->notifier, &(struct futex_word){NULL, 0}, 0, broker_is_away_ns);
        return 0;
    }
    struct futex_word words[2];
    unsigned count = 1;
    words[0].word = &s->reader.window->bell;
    if (s->member != NULL ? member_park(s, words, &count) : reader_park(&s->reader, &words[0].expected))
        return 1;
    notifier_arm(s->notifier, words, count, reader_longest_sleep(&s->reader));
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

/* Members of a group stand where the group does. */
static int may_seek(struct hermes_subscriber *s)
{
    if (is_deleted(s))
        return tell_deleted(s);
    if (s->member == NULL)
        return HERMES_OK;
    s->member->set_back = false; /* who seeks means it */
    if (s->member->durable)
        return HERMES_OK;
    return error_set(&s->client->error, HERMES_EINVALID,
                     "a member of group '%s' cannot seek by itself (hermes group reset)", s->member->name);
}

static int sought(struct hermes_subscriber *s, int rc)
{
    if (rc == HERMES_ECLOSED && !is_deleted(s))
        return error_set(&s->client->error, HERMES_EDISCONNECTED, "topic '%s' is not served", s->topic);
    if (rc < 0)
        s->client->error = s->reader.error;
    else if (s->push_back && s->readers != NULL)
        tell_publishers(s);
    return rc;
}

int hermes_seek_first(hermes_subscriber_t *s)
{
    int rc = may_seek(s);
    return rc < 0 ? rc : sought(s, reader_seek_first(&s->reader));
}

int hermes_seek_end(hermes_subscriber_t *s)
{
    int rc = may_seek(s);
    return rc < 0 ? rc : sought(s, reader_seek_end(&s->reader));
}

int hermes_seek_sequence(hermes_subscriber_t *s, uint64_t sequence)
{
    int rc = may_seek(s);
    return rc < 0 ? rc : sought(s, reader_seek_sequence(&s->reader, sequence));
}

int hermes_seek_time(hermes_subscriber_t *s, uint64_t timestamp_ns)
{
    int rc = may_seek(s);
    return rc < 0 ? rc : sought(s, reader_seek_time(&s->reader, timestamp_ns));
}

int hermes_seek_position(hermes_subscriber_t *s, uint64_t position)
{
    int rc = may_seek(s);
    return rc < 0 ? rc : sought(s, reader_seek_position(&s->reader, position));
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
    hermes_subscriber_counters_t told = {0, s->reader.position, s->reader.lost, s->reader.corrupt};
    return abi_give(counters, &told, sizeof told);
}

void subscriber_free(struct hermes_subscriber *s)
{
    struct hermes_subscriber **at = &s->client->subscribers;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    notifier_forget(s->notifier);
    detach(s);
    member_free(s->member);
    free(s);
}

/* A broker that does not know this member yet would keep its place, and what it holds, for a while. */
static void say_goodbye(struct hermes_subscriber *s)
{
    uint64_t until = clock_deadline_ns(goodbye_ns);
    while (subscriber_is_due(s) && clock_monotonic_ns() < until) {
        struct timespec pause = {0, 1000000};
        s->greet_ns = 0;
        subscriber_greet_again(s);
        if (subscriber_is_due(s))
            clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
}

void hermes_subscriber_close(hermes_subscriber_t *s)
{
    if (s == NULL)
        return;
    if (s->member != NULL && s->handle != 0)
        say_goodbye(s);
    subscriber_close_handle(s);
    notifier_stop(s->notifier);
    s->notifier = NULL;
    subscriber_free(s);
}
