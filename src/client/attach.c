/* How a subscriber is opened, goes on with its broker's successor, and is closed. */
#include <stdlib.h>
#include <string.h>

#include "base/abi.h"
#include "base/clock.h"
#include "base/wait.h"
#include "client/subscriber.h"
#include "io/interrupt.h"

static const uint64_t default_spin_ns = 20000;
/* A greeting that is under way is looked after so often: seldom, if the broker does not run. */
static const uint64_t first_look_ns = 50000, longest_look_ns = 10000000;
/* A broker that says no is asked again: soon, for what it does not hear of for a lease is others', and less
 * and less often. */
static const uint64_t greet_again_ns = 20000000, greet_at_least_ns = 1000000000,
                      member_greets_at_least_ns = 100000000;
static const uint64_t look_again_ns = 1000000;
/* So long a member that closes tries to be known to a broker that came back. */
static const uint64_t goodbye_ns = 200000000;
/* client_ensure() tries as often. */
static const uint64_t connect_again_ns = 10000000;

/* ---- windows and segments ---- */

/* To a reader, a broker that does not answer is away. */
static int away(int rc)
{
    return rc == HERMES_ETIMEOUT ? HERMES_EDISCONNECTED : rc;
}

/* What is asked twice in a row is the same request, and its answer may be there by now. */
static int look_for_part(struct hermes_subscriber *s, enum wire_type type, const void *request,
                         uint32_t bytes)
{
    bool is_asked = s->part.type == type && memcmp(s->part_request, request, bytes) == 0;
    if (!is_asked) {
        asked_forget(s->client, &s->part);
        int rc = asked_send(s->client, &s->part, type, request, bytes);
        if (rc < 0)
            return rc;
        memcpy(s->part_request, request, bytes);
    }
    return asked_await(s->client, &s->part, 0);
}

/* A part of the log. HERMES_EDISCONNECTED: nobody is there, or (s->part is under way) there is no answer yet.
 */
static int open_part(struct hermes_subscriber *s, enum wire_type type, const void *request, uint32_t bytes)
{
    member_hand_on(s->member, 0); /* that may take long */
    int rc = s->until_ns != 0 ? away(asked_request(s->client, &s->part, type, request, bytes, s->until_ns))
                              : look_for_part(s, type, request, bytes);
    s->starved = s->awaits_part = rc == HERMES_EDISCONNECTED;
    if (!s->starved)
        s->look_ns = 0;
    return rc;
}

static int open_window(void *context, uint32_t epoch, int *fd)
{
    struct hermes_subscriber *s = context;
    struct wire_window request = {.topic_id = s->topic_id, .epoch = epoch};
    int rc = open_part(s, WIRE_WINDOW_OPEN, &request, sizeof request);
    *fd = rc == 0 ? asked_take_fd(&s->part, 0) : -1;
    return rc == 0 && *fd < 0 ? client_miss_fd(s->client) : rc;
}

static int open_segment(void *context, enum store_key key, uint64_t value, struct store_place *place)
{
    struct hermes_subscriber *s = context;
    struct wire_segment request = {.topic_id = s->topic_id, .key = key, .value = value};
    const struct wire_place *found = &s->part.answer.place;
    int rc = open_part(s, WIRE_SEGMENT_OPEN, &request, sizeof request);
    *place = (struct store_place){.fd = -1};
    if (rc < 0)
        return rc;
    *place = (struct store_place){asked_take_fd(&s->part, 0), found->position, found->sequence,
                                  found->indexed != 0};
    return place->fd < 0 ? client_miss_fd(s->client) : HERMES_OK;
}

/* ---- what the broker gives ---- */

static void fill_request(const struct hermes_subscriber *s, struct wire_subscriber_open *request)
{
    *request = (struct wire_subscriber_open){.durable = 0};
    memcpy(request->topic, s->topic, sizeof request->topic);
    if (s->member != NULL)
        member_request(s->member, request);
    request->push_back = s->push_back;
    request->resume_reader = s->reader_id;
    request->resume_reader_line = s->reader_line;
}

static int ask_to_open(struct hermes_subscriber *s)
{
    struct wire_subscriber_open request;
    member_hand_on(s->member, 0); /* the page may be another's then */
    fill_request(s, &request);
    return s->until_ns != 0
               ? asked_request(s->client, &s->opening, WIRE_SUBSCRIBER_OPEN, &request, sizeof request,
                               s->until_ns)
               : asked_send(s->client, &s->opening, WIRE_SUBSCRIBER_OPEN, &request, sizeof request);
}

/* Asks to open the topic, unless that is under way, and looks for the answer. HERMES_EDISCONNECTED: nobody is
 * there, or (s->opening is under way) there is none yet; HERMES_ETIMEOUT: none, and it was waited for. */
static int open_again(struct hermes_subscriber *s)
{
    int rc = HERMES_OK;
    if (s->until_ns != 0)
        return ask_to_open(s);
    if (s->opening.type == 0 && (rc = ask_to_open(s)) < 0)
        return rc;
    rc = asked_await(s->client, &s->opening, 0);
    if (rc != HERMES_EDISCONNECTED)
        s->look_ns = 0;
    return rc;
}

/* Handles are a connection's: the next one gives the same numbers to others. */
void subscriber_close_handle(struct hermes_subscriber *s, uint64_t until_ns)
{
    if (s->connection == s->client->channel.connected)
        (void)client_close_handle(s->client, s->handle, until_ns);
    s->handle = 0;
}

/* What was opened is not wanted. */
static void decline(struct hermes_subscriber *s)
{
    asked_drop(&s->opening);
    (void)client_close_handle(s->client, s->opening.answer.subscriber.handle, 0);
}

static int map_given(struct hermes_subscriber *s, unsigned index, size_t bytes, enum map_access access,
                     struct map *map)
{
    return client_map_fd(s->client, asked_take_fd(&s->opening, index), bytes, access, map);
}

/* Takes up the line that publishers look at: the last descriptor of the reply. */
static int adopt_line(struct hermes_subscriber *s, const struct wire_subscriber *opened)
{
    struct map map;
    int rc = map_given(s, s->member != NULL ? 3 : 2, READERS_BYTES, MAP_READ_WRITE, &map);
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

/* The page and the line of who is more than a reader. */
static int adopt_place(struct hermes_subscriber *s, const struct wire_subscriber *opened)
{
    struct member next = {.page = NULL};
    int rc = HERMES_OK;
    if (s->member != NULL)
        rc = member_adopt(s->client, s->member, opened, asked_take_fd(&s->opening, 2), &next);
    if (rc == 0 && s->push_back)
        rc = adopt_line(s, opened);
    if (rc == 0 && s->member != NULL)
        member_become(s->member, &next);
    else
        map_release(&next.page_map);
    return rc;
}

/* Who knows us by now: the broker at the other end of this connection. It may be dead and look alive, and
 * the seal its successor's, who does not. */
static void note_greeting(struct hermes_subscriber *s)
{
    s->connection = s->client->channel.connected;
    s->instance = s->client->instance;
}

/* Nobody is to be greeted for this page any more. */
static void note_end(struct hermes_subscriber *s)
{
    s->connection = s->client->channel.connected;
    s->instance = (uint32_t)(status_load_seal(s->reader.status) >> 32);
}

static int tell_deleted(struct hermes_subscriber *s)
{
    return error_say(&s->client->error, HERMES_ENOTFOUND, "topic '%s' was deleted", s->topic);
}

/* A log that is over is so for good. */
static int check_state(struct hermes_subscriber *s, const struct status *status)
{
    uint32_t state = atomic_load_explicit(&status->state, memory_order_acquire);
    if (state == STATE_CLOSED)
        return error_say(&s->client->error, HERMES_EDISCONNECTED, "topic '%s': its broker is stopping",
                         s->topic);
    return state == STATE_DELETED ? tell_deleted(s) : HERMES_OK;
}

static int check_status(struct hermes_subscriber *s, const struct wire_subscriber *opened,
                        const struct status *status)
{
    struct error_text *text = &s->client->error;
    int rc = status_check(status);
    if (rc < 0)
        return error_set(text, rc, "the status page of topic '%s'", s->topic);
    rc = check_state(s, status);
    if (rc == 0 && s->topic_id != 0 && opened->topic_id != s->topic_id)
        rc = tell_deleted(s);
    return rc;
}

static void take_line(struct hermes_subscriber *s, const struct wire_subscriber *opened)
{
    client_map_told(s->client, s->member == NULL ? opened->told_line : 0, opened->told_generation,
                    &s->told_map, &s->told);
    s->reader.told = s->told;
}

/* Takes up what was opened, all but the reader's part. On failure it is declined. */
static int take_up(struct hermes_subscriber *s)
{
    const struct wire_subscriber *opened = &s->opening.answer.subscriber;
    struct map status = {0}, doorbell = {0};
    int rc = map_given(s, 0, STATUS_BYTES, MAP_READ, &status);
    if (rc == 0)
        rc = map_given(s, 1, 4096, MAP_READ_WRITE, &doorbell);
    if (rc == 0)
        rc = check_status(s, opened, status.address);
    if (rc == 0)
        rc = adopt_place(s, opened);
    if (rc < 0) {
        map_release(&status);
        map_release(&doorbell);
        decline(s);
        return rc;
    }
    asked_drop(&s->opening);
    map_release(&s->status_map);
    map_release(&s->doorbell_map);
    s->status_map = status;
    s->doorbell_map = doorbell;
    s->handle = opened->handle;
    s->topic_id = opened->topic_id;
    take_line(s, opened);
    note_greeting(s);
    return HERMES_OK;
}

/* ---- opening ---- */

static int check_options(struct hermes_client *client, const hermes_subscriber_options_t *options)
{
    const char *wrong = NULL;
    bool alone = options->group == NULL && options->name == NULL;
    if ((options->flags & ~HERMES_SUBSCRIBE_PUSH_BACK) != 0 || options->reserved != 0)
        return error_say(&client->error, HERMES_ENOTSUP,
                         "flags or fields of a subscriber that this library does not know");
    if (options->group != NULL && options->name != NULL)
        wrong = "a subscriber is a member of a group or has a durable subscription, not both";
    else if (options->from > HERMES_FROM_FIRST)
        wrong = "a subscriber begins at the first message or at the end";
    else if (options->ack > HERMES_ACK_NONE || (options->ack != HERMES_ACK_AUTO && alone) ||
             (options->ack == HERMES_ACK_NONE && options->group == NULL))
        wrong = "this way to acknowledge is for members of groups (and, but for none, durable subscriptions)";
    return wrong == NULL ? HERMES_OK : error_say(&client->error, HERMES_EINVALID, "%s", wrong);
}

/* Opens the topic and fills in *s but for the client's list. */
static int attach(struct hermes_subscriber *s)
{
    struct wire_subscriber_open request;
    fill_request(s, &request);
    int rc =
        asked_request(s->client, &s->opening, WIRE_SUBSCRIBER_OPEN, &request, sizeof request, s->until_ns);
    if (rc == 0)
        rc = take_up(s);
    if (rc < 0)
        return rc;
    rc = reader_open(&s->reader, s->status_map.address, s->doorbell_map.address,
                     (struct reader_source){open_window, open_segment, s}, VERIFY_ALL);
    if (rc == HERMES_ECLOSED) { /* since it was given to us: the page says it, or the broker, of a topic that
                                   it is about to delete */
        rc = check_state(s, s->status_map.address);
        return rc < 0 ? rc : tell_deleted(s);
    }
    s->reader.told = s->told;
    if (rc < 0)
        s->client->error = s->reader.error;
    return rc;
}

static int new_subscriber(hermes_client_t *client, const char *topic,
                          const hermes_subscriber_options_t *options, struct hermes_subscriber **out)
{
    struct hermes_subscriber *s = calloc(1, sizeof *s);
    *out = s;
    if (s == NULL)
        return error_set(&client->error, HERMES_ENOMEM, "a subscriber");
    s->client = client;
    s->next = client->subscribers;
    client->subscribers = s;
    asked_init(&s->part);
    asked_init(&s->opening);
    s->spin_ns = default_spin_ns;
    s->push_back = (options->flags & HERMES_SUBSCRIBE_PUSH_BACK) != 0;
    s->membarrier = s->push_back && barrier_register();
    int rc = client_put_topic(client, s->topic, topic);
    if (rc == 0 && (options->group != NULL || options->name != NULL))
        rc = member_new(client, options, &s->member);
    s->plain = subscriber_is_plain(s);
    return rc;
}

/* To where it begins. */
static int start(struct hermes_subscriber *s, uint32_t from)
{
    int rc = HERMES_OK;
    if (s->member != NULL)
        rc = member_start(s);
    else if (from == HERMES_FROM_FIRST)
        rc = hermes_seek_first(s);
    if (rc == 0 && s->push_back)
        subscriber_tell_publishers(s);
    if (rc == 0)
        reader_tell(&s->reader);
    return rc;
}

/* Through the connection. */
static int open_inflow(struct hermes_subscriber *s, const hermes_subscriber_options_t *options)
{
    const struct inflow_kind kind = {.name = s->member != NULL ? s->member->name : NULL,
                                     .durable = s->member != NULL && s->member->durable,
                                     .push_back = s->push_back,
                                     .from = options->from,
                                     .ack = options->ack};
    s->plain = false;
    return inflow_open(s->client, s->topic, &kind, &s->reader, s->until_ns, &s->inflow);
}

static int open_in_memory(struct hermes_subscriber *s, const hermes_subscriber_options_t *options)
{
    int rc = attach(s);
    return rc < 0 ? rc : start(s, options->from);
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
    uint64_t until_ns = clock_deadline_ns(client->request_timeout_ns);
    near_settle(client, until_ns);
    struct hermes_subscriber *s;
    rc = new_subscriber(client, topic, &options, &s);
    if (s == NULL)
        return rc;
    s->until_ns = until_ns;
    if (rc == 0)
        rc = client_streams(client) ? open_inflow(s, &options) : open_in_memory(s, &options);
    s->until_ns = 0;
    if (rc < 0) {
        struct error_text why = client->error;
        if (s->inflow != NULL)
            inflow_close(s->inflow, 0, 0);
        subscriber_close_handle(s, 0);
        subscriber_free(s);
        client->error = why;
        return rc;
    }
    *out = s;
    return HERMES_OK;
}

/* ---- when the broker changes ---- */

static bool has_no_group(const struct hermes_subscriber *s)
{
    return s->member != NULL &&
           atomic_load_explicit(&s->member->page->state, memory_order_acquire) == GROUP_DELETED;
}

bool subscriber_is_deleted(const struct hermes_subscriber *s)
{
    return s->deleted || has_no_group(s) ||
           atomic_load_explicit(&s->reader.status->state, memory_order_acquire) == STATE_DELETED;
}

int subscriber_tell_deleted(struct hermes_subscriber *s)
{
    if (!s->deleted && has_no_group(s))
        return error_say(&s->client->error, HERMES_ECLOSED, "'%s' of topic '%s' was deleted", s->member->name,
                         s->topic);
    return error_say(&s->client->error, HERMES_ECLOSED, "topic '%s' was deleted", s->topic);
}

/*
 * A broker that stopped in good order took its shared memory along; the next one has the same log at
 * the same positions. (A memory topic begins anew.)
 */
int subscriber_attach_again(struct hermes_subscriber *s)
{
    if (subscriber_is_deleted(s))
        return subscriber_tell_deleted(s);
    int rc = open_again(s);
    if (rc == 0)
        rc = take_up(s);
    if (rc == HERMES_ECLOSED && s->member != NULL)
        member_is_gone(s->member);
    if (rc == HERMES_EIO) /* not served after this start: the next one may */
        rc = HERMES_EDISCONNECTED;
    s->deleted = rc == HERMES_ENOTFOUND;
    if (s->deleted)
        return subscriber_tell_deleted(s);
    if (rc < 0)
        return rc;
    reader_move(&s->reader, s->status_map.address, s->doorbell_map.address);
    return s->member != NULL ? member_start(s) : HERMES_OK;
}

static void greet_later(struct hermes_subscriber *s, uint64_t least_ns, uint64_t most_ns)
{
    uint64_t pause_ns = s->greet_pause_ns * 2;
    pause_ns = pause_ns > least_ns ? pause_ns : least_ns;
    s->greet_pause_ns = pause_ns < most_ns ? pause_ns : most_ns;
    s->greet_ns = clock_monotonic_ns() + s->greet_pause_ns;
}

static void greet_after_refusal(struct hermes_subscriber *s)
{
    greet_later(s, greet_again_ns, s->member != NULL ? member_greets_at_least_ns : greet_at_least_ns);
}

/* The doorbell is all that is new, and perhaps the page. false: it is not our log any more, or could not be
 * had. */
static bool take_greeting(struct hermes_subscriber *s, const struct wire_subscriber *opened)
{
    struct map doorbell = {0};
    if (map_given(s, 1, 4096, MAP_READ_WRITE, &doorbell) < 0)
        return false;
    if (adopt_place(s, opened) < 0) {
        map_release(&doorbell);
        return false;
    }
    asked_drop(&s->opening);
    map_release(&s->doorbell_map);
    s->doorbell_map = doorbell;
    s->reader.doorbell = doorbell.address;
    s->reader.owner_changed = false;
    s->handle = opened->handle;
    take_line(s, opened);
    note_greeting(s);
    return true;
}

/* A restarted broker has taken the log up: nothing changed but the doorbell (and a group's page, if it had to
 * be made anew). */
void subscriber_greet_again(struct hermes_subscriber *s)
{
    uint64_t now = clock_monotonic_ns();
    if (now < s->greet_ns || subscriber_goes_over(s) || client_ensure(s->client) < 0)
        return;
    if (s->client->channel.connected == s->connection) { /* the former broker's end is not seen yet */
        s->greet_ns = now + look_again_ns;
        return;
    }
    int rc = open_again(s);
    if (rc == HERMES_ECLOSED && s->member != NULL)
        member_is_gone(s->member);
    if (rc < 0) { /* it does not run, or says no: messages come without it */
        if (asked_is_under_way(&s->opening))
            greet_later(s, first_look_ns, longest_look_ns);
        else
            greet_after_refusal(s);
        return;
    }
    const struct wire_subscriber *opened = &s->opening.answer.subscriber;
    bool moves = s->member != NULL && member_is_another(s->member, opened);
    /* A log that was closed meanwhile is another's by now: that is found out by reading to its end. */
    bool same = opened->topic_id == s->topic_id &&
                atomic_load_explicit(&s->reader.status->state, memory_order_acquire) != STATE_CLOSED;
    if (!same || !take_greeting(s, opened)) {
        decline(s);
        if (!same)
            note_end(s);
        else
            greet_after_refusal(s);
        return;
    }
    s->greet_pause_ns = 0;
    if (moves) /* else the group would be carried to where this member was, over all that lies between */
        (void)member_start(s);
}

uint64_t subscriber_longest_sleep(const struct hermes_subscriber *s)
{
    uint64_t most_ns = reader_longest_sleep(&s->reader);
    if (!subscriber_is_due(s))
        return most_ns;
    uint64_t now = clock_monotonic_ns(), due_ns = s->greet_ns > now ? s->greet_ns - now : 0;
    due_ns = due_ns > first_look_ns ? due_ns : first_look_ns;
    return due_ns < most_ns ? due_ns : most_ns;
}

uint64_t subscriber_next_look(struct hermes_subscriber *s)
{
    s->look_ns = s->look_ns == 0 ? first_look_ns : s->look_ns * 2;
    if (s->look_ns > longest_look_ns)
        s->look_ns = longest_look_ns;
    return s->look_ns;
}

/* ---- closing ---- */

void subscriber_free(struct hermes_subscriber *s)
{
    struct hermes_subscriber **at = &s->client->subscribers;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    notifier_forget(s->notifier);
    inflow_free(s->inflow);
    reader_close(&s->reader);
    asked_drop(&s->part);
    asked_drop(&s->opening);
    map_release(&s->status_map);
    map_release(&s->doorbell_map);
    map_release(&s->readers_map);
    map_release(&s->told_map);
    member_free(s->member);
    free(s);
}

/* A broker that does not know this member yet would keep its place, and what it holds, for a while. */
static void become_known(struct hermes_subscriber *s, uint64_t until_ns)
{
    s->until_ns = until_ns; /* greeting waits for the answer */
    while (subscriber_is_due(s) && clock_monotonic_ns() < until_ns && interrupt_ask() == 0) {
        s->greet_ns = 0;
        subscriber_greet_again(s);
        uint64_t left = clock_left_ns(until_ns);
        if (subscriber_is_due(s)) /* until the former broker hangs up; its successor may not listen yet */
            (void)channel_sleep(&s->client->channel, left < connect_again_ns ? left : connect_again_ns);
    }
    s->until_ns = 0;
}

uint64_t subscriber_goodbye_until(void)
{
    return clock_deadline_ns(goodbye_ns);
}

void subscriber_close(struct hermes_subscriber *s, uint64_t known_ns, uint64_t until_ns)
{
    if (s->inflow != NULL)
        inflow_close(s->inflow, known_ns, until_ns);
    if (s->member != NULL && s->handle != 0)
        become_known(s, known_ns < until_ns ? known_ns : until_ns);
    asked_forget(s->client, &s->opening);
    subscriber_close_handle(s, subscriber_is_plain(s) ? 0 : until_ns); /* nobody waits for what that has */
    if (interrupt_ask() >= 0) { /* in a child there is no thread to stop */
        notifier_stop(s->notifier);
        s->notifier = NULL;
    }
    subscriber_free(s);
}

void hermes_subscriber_close(hermes_subscriber_t *s)
{
    if (s != NULL)
        subscriber_close(s, subscriber_goodbye_until(), clock_deadline_ns(s->client->request_timeout_ns));
}
