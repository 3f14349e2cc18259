/*
 * history_publisher URL LOG PUBLISHER RUN: publishes as its standard input says, and logs each call.
 *
 *     open TOPIC WAIT_MS TRY_MS [no_wait]  what may pass is tried again for so long
 *     publish COUNT SIZE                   one by one, until one fails
 *     batch COUNT SIZE
 *     claim SIZE                           then commit, or abort
 *     wait committed|durable MS
 *     wait_for committed|durable MS        the last message that has a number
 *     confirmed
 *     poll                                 what its handlers were told
 *     set_wait MS
 *     ping
 *     lose                                 the session
 *     stop_at_connect                      the next time, until it is told to go on
 *     mix SEED COUNT PAUSE_US              any of these, at random; opens anew what was fenced
 *     close
 *     disconnect
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "stamp.h"
#include "worker.h"

enum { BATCH_MAX = 4096 };

static const char *url;
static uint32_t publisher_id, run;
static uint64_t numbered;
static uint64_t numbered_last; /* the library's number of the last message that it gave one */
static hermes_client_t *client;
static hermes_publisher_t *publisher;
static void *claimed;
static size_t claimed_size;
static char topic[128];
static uint64_t wait_ns;
static uint32_t flags;
static uint8_t buffer[HERMES_PAYLOAD_MAX + 64];

static uint64_t notified[HERMES_DURABLE + 1]; /* by hermes_publisher_poll() */

static const char *why(int64_t rc)
{
    return rc < 0 && client != NULL ? hermes_last_error(client) : "";
}

/* How many messages count by now, whether those that count no more may be in even so, and the sentence. */
static const char *counts(int64_t rc)
{
    static char line[400];
    snprintf(line, sizeof line, "accepted=%" PRIu64 " uncertain=%d %s", hermes_publisher_accepted(publisher),
             strstr(why(rc), "not known any more") != NULL, why(rc));
    return line;
}

static void on_confirmed(void *context, uint64_t sequence)
{
    *(uint64_t *)context = sequence;
}

static void notify(void)
{
    notified[HERMES_COMMITTED] = notified[HERMES_DURABLE] = 0;
    for (int c = HERMES_COMMITTED; c <= HERMES_DURABLE; c++)
        hermes_publisher_notify(publisher, (enum hermes_confirmation)c, on_confirmed, &notified[c]);
}

/* gives_way: to the next command. */
static void do_open(uint64_t try_ns, bool gives_way)
{
    uint64_t until = now_ns() + try_ns;
    hermes_publisher_options_t options = {.size = sizeof options, .flags = flags, .wait_ns = wait_ns};
    if (publisher != NULL || worker_connect(url, until, &client) < 0)
        return;
    record_call("open topic=%s wait_ms=%" PRIu64 " try_ms=%" PRIu64 " flags=%u", topic, wait_ns / 1000000,
                try_ns / 1000000, flags);
    int rc;
    while ((rc = hermes_publisher_open(client, topic, &options, &publisher)) < 0 && may_pass(rc) &&
           now_ns() < until && !(gives_way && worker_is_wanted()))
        pause_us(1000);
    record_outcome(rc, "%s", why(rc));
    if (rc == 0)
        notify();
}

static void open_publisher(char **words)
{
    snprintf(topic, sizeof topic, "%s", words[1]);
    wait_ns = number(words[2]) * 1000000;
    flags = strcmp(words[4], "no_wait") == 0 ? HERMES_PUBLISH_NO_WAIT : 0;
    do_open(number(words[3]) * 1000000, false);
}

static int64_t do_publish(size_t size)
{
    uint64_t sequence = 0;
    size_t stamped = size > HERMES_PAYLOAD_MAX ? HERMES_PAYLOAD_MAX : size;
    stamp_write(buffer, stamped, publisher_id, run, ++numbered);
    record_call("publish number=%" PRIu64 " count=1 size=%zu", numbered, size);
    int rc = hermes_publish(publisher, buffer, size, &sequence);
    record_outcome(rc, "sequence=%" PRIu64 " %s", sequence, counts(rc));
    if (rc == 0 && sequence > 0)
        numbered_last = sequence;
    return rc;
}

static void publish(char **words)
{
    for (uint64_t left = number(words[1]); left > 0 && publisher != NULL; left--)
        if (do_publish(number(words[2])) < 0)
            return;
}

static int64_t do_batch(size_t count, size_t size)
{
    static hermes_slice_t slices[BATCH_MAX];
    static uint8_t *bytes;
    count = count < BATCH_MAX ? count : BATCH_MAX;
    bytes = realloc(bytes, count * size);
    if (bytes == NULL)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        stamp_write(bytes + i * size, size, publisher_id, run, numbered + 1 + i);
        slices[i] = (hermes_slice_t){bytes + i * size, size};
    }
    record_call("batch number=%" PRIu64 " count=%zu size=%zu", numbered + 1, count, size);
    numbered += count;
    int64_t rc = hermes_publish_batch(publisher, slices, count);
    record_outcome(rc, "%s", counts(rc));
    return rc;
}

static void batch(char **words)
{
    if (publisher != NULL)
        do_batch(number(words[1]), number(words[2]));
}

static int do_claim(size_t size)
{
    record_call("claim size=%zu", size);
    int rc = hermes_claim(publisher, size, &claimed);
    record_outcome(rc, "%s", counts(rc));
    claimed_size = rc < 0 ? 0 : size;
    if (rc < 0)
        claimed = NULL;
    else
        stamp_write(claimed, size, publisher_id, run, ++numbered);
    return rc;
}

static int do_commit(void)
{
    uint64_t sequence = 0;
    record_call("commit number=%" PRIu64 " count=1 size=%zu", numbered, claimed_size);
    int rc = hermes_commit(publisher, &sequence);
    record_outcome(rc, "sequence=%" PRIu64 " %s", sequence, counts(rc));
    claimed = NULL;
    return rc;
}

static void do_abort(void)
{
    record_call("abort number=%" PRIu64 " count=1 size=%zu", numbered, claimed_size);
    hermes_abort(publisher);
    record_outcome(0, "%s", counts(0));
    claimed = NULL;
}

static void claim(char **words)
{
    if (publisher != NULL && claimed == NULL)
        do_claim(number(words[1]));
}

static void commit(char **words)
{
    (void)words;
    if (claimed != NULL)
        do_commit();
}

static void abort_claim(char **words)
{
    (void)words;
    if (claimed != NULL)
        do_abort();
}

static int do_wait(enum hermes_confirmation confirmation, uint64_t ms)
{
    record_call("wait what=%s ms=%" PRIu64, confirmation == HERMES_DURABLE ? "durable" : "committed", ms);
    int rc = hermes_publisher_wait(publisher, confirmation, ms * 1000000);
    record_outcome(rc, "%s", counts(rc));
    return rc;
}

/* For the last message that has a number. */
static int do_wait_for(enum hermes_confirmation confirmation, uint64_t ms)
{
    if (numbered_last == 0)
        return HERMES_OK;
    record_call("wait_for what=%s sequence=%" PRIu64 " ms=%" PRIu64,
                confirmation == HERMES_DURABLE ? "durable" : "committed", numbered_last, ms);
    int rc = hermes_publisher_wait_for(publisher, numbered_last, confirmation, ms * 1000000);
    record_outcome(rc, "%s", counts(rc));
    return rc;
}

static void wait_for(char **words)
{
    if (publisher != NULL)
        do_wait(strcmp(words[1], "durable") == 0 ? HERMES_DURABLE : HERMES_COMMITTED, number(words[2]));
}

static void wait_for_last(char **words)
{
    if (publisher != NULL)
        do_wait_for(strcmp(words[1], "durable") == 0 ? HERMES_DURABLE : HERMES_COMMITTED, number(words[2]));
}

static void confirmed(char **words)
{
    (void)words;
    if (publisher == NULL)
        return;
    record_call("confirmed");
    uint64_t committed = hermes_publisher_confirmed(publisher, HERMES_COMMITTED);
    uint64_t durable = hermes_publisher_confirmed(publisher, HERMES_DURABLE);
    record_outcome(0, "committed=%" PRIu64 " durable=%" PRIu64 " %s", committed, durable, counts(0));
}

static void poll_handlers(char **words)
{
    (void)words;
    if (publisher == NULL)
        return;
    record_call("poll");
    int rc = hermes_publisher_poll(publisher);
    record_outcome(rc, "committed=%" PRIu64 " durable=%" PRIu64 " %s", notified[HERMES_COMMITTED],
                   notified[HERMES_DURABLE], counts(rc));
}

static void set_wait(char **words)
{
    wait_ns = number(words[1]) * 1000000;
    if (publisher != NULL)
        hermes_publisher_set_wait(publisher, wait_ns);
}

static void ping(char **words)
{
    (void)words;
    if (client == NULL)
        return;
    record_call("ping");
    int rc = hermes_ping(client);
    record_outcome(rc, "%s", why(rc));
}

/* The session ends, as if the broker had hung up: rings and windows stay where they are. */
static void lose(char **words)
{
    (void)words;
    record_call("lose");
    record_outcome(worker_hang_up(), "%s", "");
}

static void stop_at_connect(char **words)
{
    (void)words;
    worker_stop_at_connect();
}

/* Of messages that are not in when their publisher is closed: so many the broker still has. */
static uint64_t left_to_broker(void)
{
    const char *sentence = hermes_last_error(client),
               *end = strstr(sentence, " messages are left to the broker");
    while (end != NULL && end > sentence && end[-1] != ' ')
        end--;
    return end == NULL ? 0 : number(end);
}

static void close_publisher(char **words)
{
    (void)words;
    if (publisher == NULL)
        return;
    record_call("close wait_ms=%" PRIu64, wait_ns / 1000000);
    int64_t rc = hermes_publisher_close(publisher);
    bool uncertain = rc > 0 && strstr(hermes_last_error(client), "not known any more") != NULL;
    record_outcome(rc, "left=%" PRIu64 " uncertain=%d %s", rc > 0 ? left_to_broker() : 0, uncertain,
                   rc > 0 ? hermes_last_error(client) : "");
    publisher = NULL;
    numbered_last = 0;
    claimed = NULL;
}

static void disconnect(char **words)
{
    close_publisher(words);
    record_call("disconnect");
    hermes_disconnect(client);
    record_outcome(0, "%s", "");
    client = NULL;
}

static size_t any_size(void)
{
    uint64_t kind = random_below(32);
    if (kind == 0)
        return sizeof(struct stamp) + random_below(HERMES_PAYLOAD_MAX - sizeof(struct stamp) + 1);
    return sizeof(struct stamp) + random_below(kind < 8 ? 4000 : 600);
}

static int64_t any_call(void)
{
    char *none[WORDS_MAX] = {NULL};
    uint64_t kind = random_below(100);
    if (kind < 45)
        return do_publish(any_size());
    if (kind < 70)
        return do_batch(2 + random_below(80), sizeof(struct stamp) + random_below(600));
    if (kind < 82) {
        int rc = do_claim(any_size());
        if (rc < 0)
            return rc;
        pause_us(random_below(2000)); /* what happens meanwhile must not change what commit says */
        if (kind > 78)
            do_abort();
        else
            return do_commit();
    } else if (kind < 88) {
        return do_wait(HERMES_COMMITTED, 1 + random_below(300));
    } else if (kind < 90) {
        return do_wait(HERMES_DURABLE, 1 + random_below(300));
    } else if (kind < 92) {
        return do_wait_for(random_below(2) == 0 ? HERMES_COMMITTED : HERMES_DURABLE, 1 + random_below(300));
    } else if (kind < 95) {
        confirmed(none);
        poll_handlers(none);
    } else if (kind < 98) {
        ping(none);
    } else if (kind < 99) {
        return do_publish(HERMES_PAYLOAD_MAX + 1 + random_below(60));
    } else {
        close_publisher(none);
    }
    return 0;
}

static void mix(char **words)
{
    random_seed(number(words[1]));
    uint64_t most = number(words[3]);
    for (uint64_t left = number(words[2]); left > 0 && !worker_is_wanted(); left--) {
        if (publisher == NULL)
            do_open(50000000, true);
        int64_t rc = publisher == NULL ? 0 : any_call();
        if (rc == HERMES_EFENCED || rc == HERMES_ECLOSED)
            close_publisher(words);
        pause_us(random_below(most + 1));
    }
}

int main(int argc, char **argv)
{
    static const struct command commands[] = {
        {"open", open_publisher},
        {"publish", publish},
        {"batch", batch},
        {"claim", claim},
        {"commit", commit},
        {"abort", abort_claim},
        {"wait", wait_for},
        {"wait_for", wait_for_last},
        {"confirmed", confirmed},
        {"lose", lose},
        {"stop_at_connect", stop_at_connect},
        {"poll", poll_handlers},
        {"set_wait", set_wait},
        {"ping", ping},
        {"mix", mix},
        {"close", close_publisher},
        {"disconnect", disconnect},
        {NULL, NULL},
    };
    if (argc < 5)
        return 64;
    url = argv[1];
    record_open(argv[2]);
    publisher_id = (uint32_t)number(argv[3]);
    run = (uint32_t)number(argv[4]);
    worker_run(commands);
}
