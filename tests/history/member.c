/*
 * history_member URL LOG: a member of a group, or who has a durable subscription. It does what its standard
 * input says, and logs each call.
 *
 *     join TOPIC GROUP first|end manual|auto|none TRY_MS      what may pass is tried again for so long
 *     durable TOPIC NAME first|end manual|auto TRY_MS
 *     take COUNT SILENCE_MS            keeps what it is given, until so many came, or none for so long
 *     work COUNT SILENCE_MS            acks each at once; gives way to the next command
 *     poll                             takes what is there now, if anything is
 *     ack|nack|renew WHICH             first, last, any, all: of what it keeps. SEQUENCE: of all it was ever
 *                                      given the last time that it was given this; old: the first time
 *     keep MS EVERY_MS                 renews all it keeps, every so often
 *     counters
 *     lose                             the session
 *     stop_at_window                   the next time that it asks for one, until it is told to go on
 *     mix SEED COUNT LEASE_MS          any of these, at random, and some of it too late
 *     close
 *     disconnect
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "record.h"
#include "stamp.h"
#include "worker.h"

enum { GIVEN = 256, KEPT_MAX = 12, ERRORS_MAX = 50 };

/* A message as it was given, once. */
struct given {
    hermes_message_t message;
    uint64_t take; /* the call's number in the log */
    bool kept;     /* neither acked nor given back */
};

typedef int (*verb_t)(hermes_subscriber_t *, const hermes_message_t *);

static const char *url;
static hermes_client_t *client;
static hermes_subscriber_t *member;
static char topic[128], name[128], from[8], ack[8];
static bool durable;
static struct given given[GIVEN];
static uint64_t given_count; /* all in all; the latest GIVEN are remembered */
static const uint64_t slice_ns = 20000000;

static const char *why(int64_t rc)
{
    return rc < 0 && client != NULL ? hermes_last_error(client) : "";
}

static bool is_manual(void)
{
    return strcmp(ack, "manual") == 0;
}

/* ---- coming and going ---- */

static hermes_subscriber_options_t options(void)
{
    hermes_subscriber_options_t options = {.size = sizeof options};
    options.group = durable ? NULL : name;
    options.name = durable ? name : NULL;
    options.from = strcmp(from, "first") == 0 ? HERMES_FROM_FIRST : HERMES_FROM_END;
    options.ack = is_manual()                ? HERMES_ACK_MANUAL
                  : strcmp(ack, "none") == 0 ? HERMES_ACK_NONE
                                             : HERMES_ACK_AUTO;
    return options;
}

/* gives_way: to the next command. */
static void do_open(uint64_t try_ns, bool gives_way)
{
    uint64_t until = now_ns() + try_ns;
    hermes_subscriber_options_t wanted = options();
    if (member != NULL || worker_connect(url, until, &client) < 0)
        return;
    record_call("%s topic=%s name=%s from=%s ack=%s try_ms=%" PRIu64, durable ? "durable" : "join", topic,
                name, from, ack, try_ns / 1000000);
    int rc;
    while ((rc = hermes_subscriber_open(client, topic, &wanted, &member)) < 0 && may_pass(rc) &&
           now_ns() < until && !(gives_way && worker_is_wanted()))
        pause_us(1000);
    record_outcome(rc, "%s", why(rc));
    given_count = 0;
}

static void open_as(char **words, bool as_durable)
{
    durable = as_durable;
    snprintf(topic, sizeof topic, "%s", words[1]);
    snprintf(name, sizeof name, "%s", words[2]);
    snprintf(from, sizeof from, "%s", words[3]);
    snprintf(ack, sizeof ack, "%s", words[4]);
    do_open(number(words[5]) * 1000000, false);
}

static void join(char **words)
{
    open_as(words, false);
}

static void open_durable(char **words)
{
    open_as(words, true);
}

static void close_member(char **words)
{
    (void)words;
    if (member == NULL)
        return;
    record_call("leave");
    hermes_subscriber_close(member);
    record_outcome(0, "%s", "");
    member = NULL;
}

static void disconnect(char **words)
{
    close_member(words);
    record_call("part");
    hermes_disconnect(client);
    record_outcome(0, "%s", "");
    client = NULL;
}

static void lose(char **words)
{
    (void)words;
    record_call("lose");
    record_outcome(worker_hang_up(), "%s", "");
}

static void stop_at_window(char **words)
{
    (void)words;
    worker_stop_at_window();
}

/* ---- being given messages ---- */

static void remember(const hermes_message_t *message)
{
    given[given_count++ % GIVEN] = (struct given){*message, record_number(), is_manual()};
}

/* What it was given, with the number that its publisher gave it, and how often it was given to anybody. */
static void record_given(const hermes_message_t *message, uint64_t queued)
{
    struct stamp stamp = {.number = 0};
    bool whole = stamp_read(message->payload, message->length, &stamp);
    record_outcome(1,
                   "sequence=%" PRIu64 " position=%" PRIu64 " length=%u key=%u.%u.%" PRIu64
                   " deliveries=%u queued_ns=%" PRIu64,
                   message->sequence, message->position, message->length, stamp.publisher, stamp.run,
                   whole ? stamp.number : 0, hermes_deliveries(member, message), queued);
}

static int take_one(uint64_t timeout_ns)
{
    hermes_message_t message;
    uint64_t queued = queued_ns();
    record_call("take timeout_ms=%" PRIu64, timeout_ns / 1000000);
    int rc = timeout_ns == 0 ? hermes_poll(member, &message) : hermes_wait(member, &message, timeout_ns);
    queued = queued_ns() - queued;
    if (rc != 1) {
        record_outcome(rc, "queued_ns=%" PRIu64 " %s", queued, why(rc));
        return rc;
    }
    record_given(&message, queued);
    remember(&message);
    return rc;
}

static int do_verb(const char *what, verb_t verb, struct given *which)
{
    uint64_t queued = queued_ns();
    record_call("%s sequence=%" PRIu64 " take=%" PRIu64, what, which->message.sequence, which->take);
    int rc = verb(member, &which->message);
    record_outcome(rc, "queued_ns=%" PRIu64 " %s", queued_ns() - queued, why(rc));
    if (verb != hermes_renew || rc < 0)
        which->kept = false;
    return rc;
}

static uint64_t first_given(void)
{
    return given_count > GIVEN ? given_count - GIVEN : 0;
}

static uint64_t kept(void)
{
    uint64_t count = 0;
    for (uint64_t i = first_given(); i < given_count; i++)
        count += given[i % GIVEN].kept;
    return count;
}

/* The at-th that it keeps; NULL: it keeps fewer. */
static struct given *kept_at(uint64_t at)
{
    for (uint64_t i = first_given(); i < given_count; i++)
        if (given[i % GIVEN].kept && at-- == 0)
            return &given[i % GIVEN];
    return NULL;
}

/* Of all times that the message was given, the last, or the first. */
static struct given *given_as(uint64_t sequence, bool first)
{
    struct given *found = NULL;
    for (uint64_t i = first_given(); i < given_count; i++)
        if (given[i % GIVEN].message.sequence == sequence && (found == NULL || !first))
            found = &given[i % GIVEN];
    return found;
}

static struct given *which_of(char **words)
{
    uint64_t count = kept();
    if (strcmp(words[1], "first") == 0)
        return kept_at(0);
    if (strcmp(words[1], "last") == 0)
        return count == 0 ? NULL : kept_at(count - 1);
    if (strcmp(words[1], "any") == 0)
        return count == 0 ? NULL : kept_at(random_below(count));
    return given_as(number(words[1]), strcmp(words[2], "old") == 0);
}

static void with_verb(char **words, verb_t verb)
{
    struct given *which;
    if (member == NULL)
        return;
    if (strcmp(words[1], "all") != 0) {
        if ((which = which_of(words)) != NULL)
            do_verb(words[0], verb, which);
    } else if (verb == hermes_renew) {
        for (uint64_t at = 0; (which = kept_at(at)) != NULL; at += which->kept)
            do_verb(words[0], verb, which);
    } else {
        while ((which = kept_at(0)) != NULL)
            do_verb(words[0], verb, which);
    }
}

static void ack_some(char **words)
{
    with_verb(words, hermes_ack);
}

static void nack_some(char **words)
{
    with_verb(words, hermes_nack);
}

static void renew_some(char **words)
{
    with_verb(words, hermes_renew);
}

/* ---- longer tasks ---- */

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void take_until(uint64_t count, uint64_t silence_ns, bool works)
{
    uint64_t heard_ns = now_ns(), got = 0;
    for (unsigned errors = 0; member != NULL && got < count && errors < ERRORS_MAX;) {
        if (works && worker_is_wanted())
            return;
        int rc = take_one(at_most(slice_ns, silence_ns));
        errors = rc >= 0 ? 0 : errors + (rc != HERMES_EDISCONNECTED && rc != HERMES_EGONE);
        if (rc < 0)
            pause_us(1000);
        if (rc == 1) {
            heard_ns = now_ns();
            got++;
            if (works && is_manual())
                do_verb("ack", hermes_ack, &given[(given_count - 1) % GIVEN]);
        } else if (now_ns() - heard_ns >= silence_ns) {
            return;
        }
    }
}

static void take(char **words)
{
    take_until(number(words[1]), number(words[2]) * 1000000, false);
}

static void work(char **words)
{
    take_until(number(words[1]), number(words[2]) * 1000000, true);
}

static void poll_once(char **words)
{
    (void)words;
    if (member != NULL)
        take_one(0);
}

static void keep(char **words)
{
    static char all_words[] = "all", renew_words[] = "renew";
    char *all[WORDS_MAX] = {renew_words, all_words};
    for (uint64_t end = now_ns() + number(words[1]) * 1000000; member != NULL && now_ns() < end;) {
        renew_some(all);
        pause_us(number(words[2]) * 1000);
    }
}

static void counters(char **words)
{
    (void)words;
    if (member == NULL)
        return;
    hermes_subscriber_counters_t counted = {.size = sizeof counted};
    record_call("counters");
    int rc = hermes_subscriber_describe(member, &counted);
    record_outcome(rc, "position=%" PRIu64 " lost=%" PRIu64 " corrupt=%" PRIu64, counted.position,
                   counted.lost, counted.corrupt);
}

/* ---- at random ---- */

/* Something that was done with, or taken away, long ago. */
static void too_late(void)
{
    static const verb_t verbs[] = {hermes_ack, hermes_nack, hermes_renew};
    static const char *const names[] = {"ack", "nack", "renew"};
    uint64_t known = given_count - first_given(), verb = durable ? 0 : random_below(3);
    if (known == 0)
        return;
    struct given *which = &given[(first_given() + random_below(known)) % GIVEN];
    if (!which->kept)
        do_verb(names[verb], verbs[verb], which);
}

static void any_of_kept(void)
{
    uint64_t kind = random_below(100), count = kept();
    if (count == 0)
        return;
    struct given *which = kept_at(random_below(3) == 0 ? random_below(count) : 0);
    if (durable || kind < 70)
        do_verb("ack", hermes_ack, which);
    else if (kind < 80)
        do_verb("nack", hermes_nack, which);
    else
        do_verb("renew", hermes_renew, which);
}

static void any_call(uint64_t lease_ms)
{
    static const uint64_t waits_ns[] = {0, 0, 1000000, 20000000, 100000000};
    char *none[WORDS_MAX] = {NULL};
    uint64_t kind = random_below(1000);
    if (kind < 3)
        pause_us(lease_ms * 1000 + random_below(lease_ms * 1000)); /* all it keeps expires */
    else if (kind < 8)
        pause_us(random_below(lease_ms * 1000));
    else if (kind < 12)
        random_below(2) == 0 ? close_member(none) : disconnect(none);
    else if (kind < 30)
        too_late();
    else if (kind < 40)
        counters(none);
    else if (!is_manual() || (kind < 550 && kept() < KEPT_MAX))
        take_one(waits_ns[random_below(5)]);
    else
        any_of_kept();
}

static void mix(char **words)
{
    random_seed(number(words[1]));
    for (uint64_t left = number(words[2]); left > 0 && !worker_is_wanted(); left--) {
        if (member == NULL)
            do_open(50000000, true);
        if (member == NULL)
            pause_us(10000);
        else
            any_call(number(words[3]));
    }
}

int main(int argc, char **argv)
{
    static const struct command commands[] = {
        {"join", join},
        {"durable", open_durable},
        {"take", take},
        {"work", work},
        {"poll", poll_once},
        {"ack", ack_some},
        {"nack", nack_some},
        {"renew", renew_some},
        {"keep", keep},
        {"counters", counters},
        {"lose", lose},
        {"mix", mix},
        {"close", close_member},
        {"disconnect", disconnect},
        {"stop_at_window", stop_at_window},
        {NULL, NULL},
    };
    if (argc < 3)
        return 64;
    url = argv[1];
    record_open(argv[2]);
    worker_run(commands);
}
