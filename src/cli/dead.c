/* hermes group dead TOPIC NAME: the messages that a group gave up, and how to put them back. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/terminal.h"
#include "cli/when.h"
#include "hermes/letter.h"

static const uint64_t wait_ns = 10000000000, slice_ns = 250000000, busy_ns = 3000000000,
                      progress_interval_ns = 250000000;
static const uint64_t settle_ns = 70000000000; /* longer than the longest sync_interval_ms */

struct walk {
    const struct cli_dead *what;
    hermes_client_t *client;
    hermes_topic_info_t source, letters; /* where the messages were, and where they are */
    char place[128];      /* the durable subscription that says how far letters were put back */
    uint64_t put_back_to; /* its position */
    hermes_subscriber_t *subscriber;
    hermes_publisher_t *publisher; /* NULL: they are listed only */
    bool remembers;                /* the subscriber is that durable subscription */
    bool failed;                   /* some could not be read, or put back */
    bool rewound; /* the broker was stopped, and the letters since it last remembered come again */
    uint64_t found, done;
    hermes_message_t last; /* the letter up to which all are dealt with; its payload is gone */
    uint64_t progress_at;  /* monotonic; UINT64_MAX: nobody watches */
};

/* ---- finding them ---- */

/* One for each group of each topic, whatever stands in the dead-letter topic beside: names may be too long to
 * stand there whole, so a hash (FNV-1a) tells them apart. */
static void name_place(struct walk *w)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (unsigned i = 0; i < 8; i++)
        hash = (hash ^ (w->source.topic_id >> 8 * i & 0xff)) * 0x100000001B3u;
    for (const char *c = w->what->name; *c != 0; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001B3u;
    snprintf(w->place, sizeof w->place, "requeue.%.102s.%016" PRIx64, w->what->name, hash);
}

/* What else stands in the topic, of other groups or no letter at all, is not ours to touch. */
static const hermes_letter_t *letter_of_group(const struct walk *w, const hermes_message_t *message)
{
    const hermes_letter_t *letter = hermes_letter_of(message);
    bool ours =
        letter != NULL && letter->topic_id == w->source.topic_id && strcmp(letter->group, w->what->name) == 0;
    if (!ours || w->what->count == 0)
        return ours ? letter : NULL;
    for (size_t i = 0; i < w->what->count; i++)
        if (w->what->sequences[i] == letter->sequence)
            return letter;
    return NULL;
}

static uint32_t bytes_here(const hermes_message_t *message)
{
    return message->length - HERMES_LETTER_BYTES;
}

static bool is_cut(const hermes_message_t *message, const hermes_letter_t *letter)
{
    return letter->payload_bytes != bytes_here(message);
}

static const void *payload_of(const hermes_message_t *message)
{
    return (const uint8_t *)message->payload + HERMES_LETTER_BYTES;
}

/* ---- listing ---- */

static const char *reason_of(const hermes_letter_t *letter)
{
    return letter->reason == HERMES_LETTER_DELIVERIES ? "deliveries" : "unknown";
}

static void print_json(const struct walk *w, const hermes_message_t *message, const hermes_letter_t *letter)
{
    printf("{\"topic\":\"%s\",\"group\":\"%s\",\"sequence\":%" PRIu64 ",\"position\":%" PRIu64
           ",\"timestamp\":%" PRIu64 ",\"deliveries\":%u,\"reason\":\"%s\",\"buried_ns\":%" PRIu64
           ",\"letter\":%" PRIu64 ",\"length\":%u,\"cut\":%s,\"requeued\":%s,",
           w->what->topic, w->what->name, letter->sequence, letter->position, letter->timestamp,
           letter->deliveries, reason_of(letter), letter->buried_ns, message->sequence, letter->payload_bytes,
           is_cut(message, letter) ? "true" : "false", message->position < w->put_back_to ? "true" : "false");
    cli_print_payload_json(stdout, payload_of(message), bytes_here(message), w->what->payload);
    fputs("}\n", stdout);
}

static void print_line(const struct walk *w, const hermes_message_t *message, const hermes_letter_t *letter)
{
    char when[WHEN_DATE_BYTES];
    printf("%12" PRIu64 "  %s.%03uZ %11u %7u%s%s\n", letter->sequence,
           when_date((int64_t)(letter->buried_ns / 1000000000u), when),
           (unsigned)(letter->buried_ns / 1000000 % 1000), letter->deliveries, letter->payload_bytes,
           is_cut(message, letter) ? "  cut" : "", message->position < w->put_back_to ? "  put back" : "");
}

/* ---- putting back ---- */

/* What was published is as safe as its topic makes it. */
static int confirm(const struct walk *w)
{
    enum hermes_confirmation how =
        w->source.durability == HERMES_DURABILITY_MEMORY ? HERMES_COMMITTED : HERMES_DURABLE;
    uint64_t start = cli_now_ns();
    int rc;
    do
        rc = hermes_publisher_wait(w->publisher, how, slice_ns);
    while (rc == HERMES_ETIMEOUT && cli_now_ns() - start < (cli_stop ? wait_ns : settle_ns));
    return rc;
}

/* Only then it is remembered: a power cut does not make us skip a letter. */
static int settle(struct walk *w)
{
    if (w->publisher == NULL || w->last.position == UINT64_MAX)
        return HERMES_OK;
    int rc = confirm(w);
    if (rc == 0 && w->remembers)
        rc = hermes_ack(w->subscriber, &w->last);
    w->rewound = rc == HERMES_EEXPIRED;
    return w->rewound ? HERMES_OK : rc;
}

static int put_back(struct walk *w, const hermes_message_t *message, const hermes_letter_t *letter)
{
    if (is_cut(message, letter)) {
        fprintf(stderr,
                "hermes: %s: message %" PRIu64 " has %u bytes, of which the letter holds %u: it is not put "
                "back; the whole of it is in the topic as long as that keeps it\n",
                w->what->topic, letter->sequence, letter->payload_bytes, bytes_here(message));
        w->failed = true;
        return HERMES_OK;
    }
    int rc = hermes_publish(w->publisher, payload_of(message), bytes_here(message), NULL);
    w->done += rc == 0;
    return rc;
}

/* The next broker after one that was killed keeps a place for who had it, for 2 s (grace_ms), though it be
 * gone. */
static bool is_busy_for_long(int rc, uint64_t start)
{
    if (rc != HERMES_EBUSY || cli_stop || cli_now_ns() - start > busy_ns)
        return true;
    cli_sleep_until(cli_now_ns() + 20000000);
    return false;
}

/* Who has a session on an exclusive topic is in the way, and the sentence alone would not say what to do. */
static int open_publisher(struct walk *w)
{
    hermes_publisher_options_t how = {.size = sizeof how, .flags = HERMES_PUBLISH_NO_WAIT};
    uint64_t start = cli_now_ns();
    int rc;
    do
        rc = hermes_publisher_open(w->client, w->what->topic, &how, &w->publisher);
    while (!is_busy_for_long(rc, start));
    if (rc == HERMES_EBUSY)
        fprintf(
            stderr,
            "hermes: %s takes one publisher at a time: end that one, or wait for it, or let it publish them; "
            "'hermes group dead %s %s --json' has their payloads\n",
            w->what->topic, w->what->topic, w->what->name);
    return rc;
}

/* ---- one after the other ---- */

static void show_share(uint64_t letters, uint64_t percent)
{
    char line[80];
    snprintf(line, sizeof line, "%" PRIu64 " letters, %" PRIu64 "%% of the topic read", letters, percent);
    terminal_show(line);
}

static void show_progress(struct walk *w, const hermes_message_t *message, bool last)
{
    uint64_t now = w->progress_at == UINT64_MAX ? 0 : cli_now_ns();
    if (w->progress_at == UINT64_MAX || (!last && now < w->progress_at))
        return;
    w->progress_at = now + progress_interval_ns;
    uint64_t all = w->letters.committed_position - w->letters.first_position;
    uint64_t read =
        message->position > w->letters.first_position ? message->position - w->letters.first_position : 0;
    if (last)
        terminal_show("");
    else
        show_share(w->found, all == 0 ? 100 : 100 * (read < all ? read : all) / all);
}

/* Read once more, after the broker was stopped: nothing is left to do but to remember it. */
static bool is_dealt_with(struct walk *w, const hermes_message_t *message)
{
    if (w->last.position == UINT64_MAX || message->position > w->last.position)
        return false;
    if (message->position == w->last.position) {
        w->last = *message;
        w->rewound = false;
    }
    return true;
}

static int deal_with(struct walk *w, const hermes_message_t *message)
{
    if (is_dealt_with(w, message))
        return HERMES_OK;
    const hermes_letter_t *letter = letter_of_group(w, message);
    int rc = HERMES_OK;
    if (letter != NULL) {
        w->found++;
        if (w->publisher != NULL)
            rc = put_back(w, message, letter);
        else
            (w->what->json ? print_json : print_line)(w, message, letter);
    }
    if (rc < 0)
        return rc;
    w->last = *message;
    show_progress(w, message, false);
    return letter != NULL && w->remembers ? settle(w) : HERMES_OK; /* who is killed repeats one at most */
}

/* The next message. A broker that is away may come back; a signal may come between a look and a sleep. */
static int next_message(struct walk *w, hermes_message_t *message)
{
    uint64_t start = cli_now_ns();
    int rc;
    do
        rc = hermes_wait(w->subscriber, message, slice_ns);
    while ((rc == 0 || rc == HERMES_EDISCONNECTED || rc == HERMES_EINTERRUPTED) && !cli_stop &&
           cli_now_ns() - start < wait_ns);
    return rc == 0 && !cli_stop ? HERMES_ETIMEOUT : rc;
}

/* What was put back before is, whatever came then. */
static void say_what_failed(struct walk *w, int rc)
{
    w->failed = true;
    if (rc == HERMES_ETIMEOUT)
        fprintf(
            stderr,
            "hermes: %s: the broker, or its disk, does not answer at the moment: the other letters are as "
            "they were; call it again\n",
            w->letters.name);
    else
        cli_fail(w->letters.name, rc, hermes_last_error(w->client));
    (void)settle(w);
}

/* Up to what stands in the topic now: what dies meanwhile is for the next time. */
static bool is_at_the_end(const struct walk *w)
{
    hermes_subscriber_counters_t at = {.size = sizeof at};
    hermes_subscriber_describe(w->subscriber, &at);
    return !w->rewound && at.position >= w->letters.committed_position;
}

static int step(struct walk *w)
{
    hermes_message_t message;
    int rc = next_message(w, &message);
    if (rc > 0)
        return deal_with(w, &message);
    if (!cli_is_damage(rc))
        return rc == HERMES_EINTERRUPTED ? HERMES_OK : rc;
    w->failed = true;
    cli_fail(w->letters.name, rc, hermes_last_error(w->client));
    return HERMES_OK;
}

static void walk(struct walk *w)
{
    int rc = HERMES_OK;
    do {
        while (rc >= 0 && !is_at_the_end(w) && !cli_stop && cli_flush(false))
            rc = step(w);
        if (rc >= 0)
            rc = settle(w);
    } while (rc >= 0 && w->rewound && !cli_stop);
    show_progress(w, &w->last, true);
    if (rc < 0)
        say_what_failed(w, rc);
}

/* ---- all of it ---- */

static int open_subscriber(struct walk *w)
{
    hermes_subscriber_options_t how = {
        .size = sizeof how, .name = w->place, .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    w->remembers = w->what->requeue && w->what->count == 0;
    uint64_t start = cli_now_ns();
    int rc;
    do
        rc = hermes_subscriber_open(w->client, w->letters.name, w->remembers ? &how : NULL, &w->subscriber);
    while (!is_busy_for_long(rc, start));
    if (rc == HERMES_EBUSY)
        fputs("hermes: somebody else is putting them back at the moment\n", stderr);
    if (rc == 0 && !w->remembers)
        rc = hermes_seek_first(w->subscriber);
    return rc;
}

static void say_what_was_done(const struct walk *w)
{
    const struct cli_dead *what = w->what;
    if (what->json) {
        printf("{\"topic\":\"%s\",\"group\":\"%s\",\"found\":%" PRIu64 ",\"requeued\":%" PRIu64 "}\n",
               what->topic, what->name, w->found, w->done);
        return;
    }
    if (w->done > 0)
        printf("%" PRIu64 " message%s put back into topic %s: all its groups and subscribers get them, not "
               "%s alone%s\n",
               w->done, w->done == 1 ? "" : "s", what->topic, what->name,
               w->remembers ? "" : "; --requeue without --sequence does not know of it");
    else
        printf("no message put back: %s%s\n", what->name,
               w->found > 0      ? " has letters, but none that is whole"
               : what->count > 0 ? " has no letter of that sequence"
                                 : " has no letter that was not put back before");
}

static int list_or_put_back(struct walk *w)
{
    hermes_group_info_t place = {.size = sizeof place};
    int rc = hermes_group_describe(w->client, w->letters.name, w->place, &place);
    if (rc == 0)
        w->put_back_to = place.position;
    if (rc < 0 && rc != HERMES_ENOTFOUND)
        return rc;
    if (w->what->requeue && (rc = open_publisher(w)) < 0)
        return rc;
    if ((rc = open_subscriber(w)) < 0)
        return rc;
    if (!w->what->requeue && !w->what->json)
        printf("%12s  %-24s %11s %7s\n", "SEQUENCE", "DIED", "DELIVERIES", "BYTES");
    bool watched = isatty(STDERR_FILENO) && (w->what->requeue || !isatty(STDOUT_FILENO));
    w->progress_at = watched ? 0 : UINT64_MAX;
    walk(w);
    if (w->what->requeue)
        say_what_was_done(w);
    if (cli_stop)
        fputs("hermes: stopped; the others are as they were\n", stderr);
    return HERMES_OK;
}

int cli_group_dead(hermes_client_t *client, const struct cli_dead *what)
{
    struct walk w = {.what = what,
                     .client = client,
                     .source = {.size = sizeof w.source},
                     .letters = {.size = sizeof w.letters},
                     .last = {.position = UINT64_MAX}};
    hermes_group_info_t group = {.size = sizeof group};
    int rc = hermes_topic_describe(client, what->topic, &w.source);
    if (rc == 0)
        rc = hermes_group_describe(client, what->topic, what->name, &group);
    if (rc == 0 && group.dead_letter[0] == 0)
        return cli_fail(what->name, 0,
                        group.durable
                            ? "it is a durable subscription: only a group gives messages up"
                            : "the group has no dead-letter topic: what it gives up is dropped; 'hermes "
                              "group create ... --dead-letter TOPIC' gives a group one");
    if (rc == 0)
        rc = hermes_topic_describe(client, group.dead_letter, &w.letters);
    cli_catch_signals();
    name_place(&w);
    if (rc == 0)
        rc = list_or_put_back(&w);
    if (rc < 0)
        cli_fail(cli_names(hermes_last_error(client), what->topic) ? NULL : what->name, rc,
                 hermes_last_error(client));
    return rc < 0 || w.failed || cli_stop ? EXIT_FAILED : EXIT_GOOD;
}
