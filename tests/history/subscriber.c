/*
 * history_subscriber URL LOG: reads as its standard input says, and logs what it was given.
 *
 *     open TOPIC first|end TRY_MS [push_back]   what may pass is tried again for so long
 *     armed                                     from now on it waits by hermes_subscriber_arm() and poll(2)
 *     read COUNT SILENCE_MS PAUSE_US            until so many came, or none for so long, or it is wanted
 *     until SEQUENCE SILENCE_MS                 until that message came, or none for so long
 *     seek first|end|sequence|position [VALUE]
 *     save                                      where it stands
 *     seek saved                                where it stood then
 *     lose                                      the session
 *     mix SEED COUNT                            any of these, at random
 *     close
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "record.h"
#include "stamp.h"
#include "worker.h"

static const char *url;
static hermes_client_t *client;
static hermes_subscriber_t *subscriber;
static char topic[128], from[8];
static uint32_t flags;
static bool armed;
static uint64_t saved_position, saved_sequence;
static uint64_t last_sequence; /* since it was opened, or sought */
static uint64_t greatest_sequence;

static const char *why(int rc)
{
    return rc < 0 && client != NULL ? hermes_last_error(client) : "";
}

static uint64_t position(void)
{
    hermes_subscriber_counters_t counters = {.size = sizeof counters};
    return hermes_subscriber_describe(subscriber, &counters) < 0 ? 0 : counters.position;
}

/* gives_way: to the next command. */
static void do_open(uint64_t try_ns, bool gives_way)
{
    uint64_t until = now_ns() + try_ns;
    hermes_subscriber_options_t options = {.size = sizeof options, .flags = flags};
    options.from = strcmp(from, "first") == 0 ? HERMES_FROM_FIRST : HERMES_FROM_END;
    if (subscriber != NULL || worker_connect(url, until, &client) < 0)
        return;
    record_call("subscribe topic=%s from=%s flags=%u", topic, from, flags);
    int rc;
    while ((rc = hermes_subscriber_open(client, topic, &options, &subscriber)) < 0 && may_pass(rc) &&
           now_ns() < until && !(gives_way && worker_is_wanted()))
        pause_us(1000);
    record_outcome(rc, "position=%" PRIu64 " %s", rc < 0 ? 0 : position(), why(rc));
    saved_sequence = last_sequence = 0;
}

static void open_subscriber(char **words)
{
    snprintf(topic, sizeof topic, "%s", words[1]);
    snprintf(from, sizeof from, "%s", words[2]);
    flags = strcmp(words[4], "push_back") == 0 ? HERMES_SUBSCRIBE_PUSH_BACK : 0;
    do_open(number(words[3]) * 1000000, false);
}

static void arm(char **words)
{
    (void)words;
    armed = true;
}

static void see(const hermes_message_t *message)
{
    struct stamp stamp;
    last_sequence = message->sequence;
    if (last_sequence > greatest_sequence)
        greatest_sequence = last_sequence;
    if (stamp_read(message->payload, message->length, &stamp))
        record_seen("m %" PRIu64 " %" PRIu64 " %u %u %" PRIu64, message->sequence, message->position,
                    stamp.publisher, stamp.run, stamp.number);
    else
        record_seen("t %" PRIu64 " %" PRIu64 " %u", message->sequence, message->position, message->length);
}

static const uint64_t short_ns = 20000000;
enum { ERRORS_MAX = 50 }; /* in a row: reading does not go on, and the judge sees them */

/* As hermes_wait(), by the descriptor alone: who is not woken sleeps on. */
static int wait_armed(hermes_message_t *message, uint64_t timeout_ns)
{
    uint64_t until = now_ns() + timeout_ns;
    for (;;) {
        int rc = hermes_poll(subscriber, message);
        if (rc != 0 || now_ns() >= until)
            return rc;
        rc = hermes_subscriber_arm(subscriber);
        if (rc < 0)
            return rc;
        struct pollfd fd = {.fd = hermes_subscriber_fd(subscriber), .events = POLLIN};
        if (rc == 0 && poll(&fd, 1, (int)(timeout_ns / 1000000)) == 0)
            return 0;
    }
}

/* One message, or a while of nothing. Returns as hermes_wait(). */
static int read_one(unsigned *errors, uint64_t slice_ns)
{
    hermes_message_t message;
    int rc = armed ? wait_armed(&message, slice_ns) : hermes_wait(subscriber, &message, slice_ns);
    if (rc > 0)
        see(&message);
    else if (rc == 0)
        record_flush();
    else
        record_seen("e %d", rc);
    *errors = rc > 0 ? 0 : *errors + (rc < 0 && rc != HERMES_EDISCONNECTED);
    return rc;
}

static void do_read(uint64_t count, uint64_t silence_ns, uint64_t pause)
{
    uint64_t heard_ns = now_ns(), got = 0;
    unsigned errors = 0;
    record_call("read count=%" PRIu64 " silence_ms=%" PRIu64, count, silence_ns / 1000000);
    while (got < count && errors < ERRORS_MAX && !worker_is_wanted()) {
        if (read_one(&errors, short_ns) > 0) {
            heard_ns = now_ns();
            got++;
        } else if (now_ns() - heard_ns >= silence_ns) {
            break;
        }
        if (pause > 0)
            pause_us(pause);
    }
    record_outcome((int64_t)got, "position=%" PRIu64, position());
}

static void read_some(char **words)
{
    if (subscriber != NULL)
        do_read(number(words[1]), number(words[2]) * 1000000, number(words[3]));
}

static void read_until(char **words)
{
    uint64_t target = number(words[1]), silence_ns = number(words[2]) * 1000000, heard_ns = now_ns();
    unsigned errors = 0;
    if (subscriber == NULL)
        return;
    record_call("until sequence=%" PRIu64 " silence_ms=%" PRIu64, target, silence_ns / 1000000);
    while (last_sequence < target && errors < ERRORS_MAX && now_ns() - heard_ns < silence_ns)
        if (read_one(&errors, armed ? silence_ns : short_ns) > 0)
            heard_ns = now_ns();
    record_outcome(0, "last=%" PRIu64 " position=%" PRIu64, last_sequence, position());
}

static void do_seek(const char *where, uint64_t value)
{
    record_call("seek where=%s value=%" PRIu64, where, value);
    int rc = strcmp(where, "first") == 0      ? hermes_seek_first(subscriber)
             : strcmp(where, "end") == 0      ? hermes_seek_end(subscriber)
             : strcmp(where, "sequence") == 0 ? hermes_seek_sequence(subscriber, value)
                                              : hermes_seek_position(subscriber, value);
    record_outcome(rc, "position=%" PRIu64 " %s", position(), why(rc));
    last_sequence = 0;
}

/* What comes next is the message behind the last one that was read. */
static void save(char **words)
{
    (void)words;
    if (subscriber == NULL || last_sequence == 0)
        return;
    saved_position = position();
    saved_sequence = last_sequence + 1;
}

static void seek_saved(void)
{
    record_call("seek where=saved value=%" PRIu64 " sequence=%" PRIu64, saved_position, saved_sequence);
    int rc = hermes_seek_position(subscriber, saved_position);
    record_outcome(rc, "position=%" PRIu64 " %s", position(), why(rc));
    last_sequence = 0;
}

static void seek(char **words)
{
    if (subscriber == NULL)
        return;
    if (strcmp(words[1], "saved") == 0)
        seek_saved();
    else
        do_seek(words[1], number(words[2]));
}

static void close_subscriber(char **words)
{
    (void)words;
    if (subscriber == NULL)
        return;
    record_call("unsubscribe");
    hermes_subscriber_close(subscriber);
    record_outcome(0, "%s", "");
    subscriber = NULL;
}

static void lose(char **words)
{
    (void)words;
    record_call("lose");
    record_outcome(worker_hang_up(), "%s", "");
}

static void any_seek(void)
{
    char *none[WORDS_MAX] = {NULL};
    uint64_t kind = random_below(9);
    if (kind == 0)
        do_seek("first", 0);
    else if (kind == 1)
        do_seek("end", 0);
    else if (kind == 2)
        do_seek("sequence", 1 + random_below(greatest_sequence + 10));
    else if (kind == 3) /* beyond the end */
        do_seek("position", (position() & ~(uint64_t)63) + 64 * (1 + random_below(100000)));
    else if (kind == 4) /* perhaps inside a payload */
        do_seek("position", random_below(position() / 64 + 1) * 64);
    else if (kind == 5)
        close_subscriber(none);
    else if (kind > 6 && saved_sequence > 0)
        seek_saved();
    else
        save(none);
}

static void mix(char **words)
{
    random_seed(number(words[1]));
    uint64_t seeks = number(words[3]); /* of a hundred steps */
    for (uint64_t left = number(words[2]); left > 0 && !worker_is_wanted(); left--) {
        if (subscriber == NULL)
            do_open(50000000, true);
        if (subscriber == NULL)
            pause_us(10000);
        else if (random_below(100) < seeks)
            any_seek();
        else
            do_read(1 + random_below(500), 50000000, random_below(10) == 0 ? 500 : 0);
    }
}

int main(int argc, char **argv)
{
    static const struct command commands[] = {
        {"open", open_subscriber},
        {"armed", arm},
        {"read", read_some},
        {"until", read_until},
        {"seek", seek},
        {"save", save},
        {"lose", lose},
        {"mix", mix},
        {"close", close_subscriber},
        {NULL, NULL},
    };
    if (argc < 3)
        return 64;
    url = argv[1];
    record_open(argv[2]);
    worker_run(commands);
}
