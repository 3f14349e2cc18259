/* hermes replay FILE --topic T | hermes replay --from-topic S --topic T */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/feed/feed.h"
#include "cli/parse.h"
#include "cli/publishing.h"
#include "cli/schedule.h"
#include "cli/when.h"

static const char documentation[] =
    "Publish a recorded feed with its own timing.\v"
    "FILE is Nasdaq TotalView-ITCH 5.0 in binary form, or CSV; either may be gzip-compressed; - is standard "
    "input. "
    "Each ITCH message (without its two-byte length) or line becomes one message; a heading and blank lines "
    "do not. "
    "Each is checked first: the feed ends with an error that says line and column, or byte, before anything "
    "of a "
    "bad one goes out. Times come from the ITCH time stamp or the CSV's time column: that of a heading time, "
    "timestamp, ts or seconds, in seconds, or with _ms, _us or _ns at its end; without a heading the first, "
    "if it "
    "goes forward and has fractions. A feed without times goes as fast as possible. What is late after a "
    "pause is "
    "not sent in a burst: the intervals go on from there.\n\n"
    "--from-topic S replays a stored topic: all that is there, or what was published between two times, by "
    "each "
    "message's own, in the order of the topic; damage is told and passed over, exit 1. --keep-times gives "
    "the "
    "messages the time stamps that they have in S; else they get those of now."
    "\n\nExamples:\n"
    "  hermes replay quotes.csv --topic quotes\n"
    "  hermes replay feed.itch.gz --topic itch --speed max\n"
    "  hermes replay --from-topic orders --topic copy --since -1h --speed 10" CLI_EXIT_CODES;

static const struct argp_option options[] = {
    {"topic", 't', "T", 0, "Publish to topic T (required)", 0},
    {"speed", 's', "X|max", 0, "Factor of the original speed (1); max: without waits", 0},
    {"from-topic", 'f', "S", 0, "Replay topic S instead of a file", 0},
    {"since", 'i', "TIME", 0, "Of topic S, from this time on: " WHEN_TIME, 0},
    {"until", 'u', "TIME", 0, "Of topic S, up to before this time", 0},
    {"keep-times", 'k', NULL, 0,
     "Of topic S, each message with its own time stamp; one that is none (by hand: the library refuses it) "
     "is told of, and is the present time",
     0},
    {"time-column", 'c', "N|NAME", 0,
     "The CSV's time column, from 1 or by its heading; 0: none (found by itself)", 0},
    {"symbol", 'y', "S", 0, "Of the feed, stock S alone: ITCH, or CSV whose heading has a symbol", 0},
    {0},
};

struct arguments {
    const char *file;
    const char *topic;
    const char *source;
    double speed; /* 0: max */
    const char *time_column;
    const char *symbol;
    uint64_t since, until;
    bool keeps_times;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 't':
        a->topic = value;
        return 0;
    case 's':
        a->speed = strcmp(value, "max") == 0 ? 0 : cli_number(state, "--speed", value);
        if (a->speed == 0 && strcmp(value, "max") != 0)
            argp_error(state, "--speed %s: a factor above 0, or max", value);
        return 0;
    case 'f':
        a->source = value;
        return 0;
    case 'i':
        a->since = cli_time(state, "--since", value);
        return 0;
    case 'u':
        a->until = cli_time(state, "--until", value);
        return 0;
    case 'k':
        a->keeps_times = true;
        return 0;
    case 'c':
        a->time_column = value;
        return 0;
    case 'y':
        a->symbol = value;
        if (value[0] == 0)
            argp_error(state, "--symbol: of which stock?");
        return 0;
    case ARGP_KEY_ARG:
        a->file = cli_argument(state, value);
        return 0;
    case ARGP_KEY_END:
        if (a->topic == NULL || (a->file == NULL) == (a->source == NULL))
            argp_usage(state);
        if (a->file != NULL && (a->since != 0 || a->until != UINT64_MAX || a->keeps_times))
            argp_error(state, "--since, --until and --keep-times are for --from-topic");
        if (a->source != NULL && (a->time_column != NULL || a->symbol != NULL))
            argp_error(state, "--time-column and --symbol are for a file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- a file ---- */

static const char *name_of(const char *file)
{
    return strcmp(file, "-") == 0 ? "standard input" : file;
}

static int open_feed(const struct arguments *a, struct feed **feed)
{
    struct error_text text = {{0}};
    struct feed_wish wish = {.columns.time_column = a->time_column, .symbol = a->symbol, .stop = &cli_stop};
    int rc = feed_open(a->file, wish, feed, &text);
    if (rc < 0 && !cli_stop)
        cli_fail(name_of(a->file), rc, text.bytes);
    return rc;
}

/* Nobody is surprised by a feed that goes out all at once. */
static void say_if_untimed(const struct arguments *a, const struct feed *feed)
{
    if (!feed->is_itch && feed->columns.time == 0 && a->speed != 0 && a->time_column == NULL)
        fprintf(stderr,
                "hermes: %s: no column is known to have times: as fast as possible (--time-column "
                "says which it is, or 0)\n",
                name_of(a->file));
}

/* What is wrong with the feed is told here, and *failed; an error that is returned is of the topic. */
static int replay_file(const struct arguments *a, struct feed *feed, hermes_publisher_t *publisher,
                       bool *failed)
{
    struct schedule schedule = {.speed = a->speed, .unit = feed_unit(feed)};
    struct feed_record record;
    struct error_text text = {{0}};
    uint64_t published = 0;
    int rc = 0, fed;
    while ((fed = feed_next(feed, &record, &text)) > 0) {
        if (published == 0)
            say_if_untimed(a, feed);
        if (record.timed)
            schedule_wait(&schedule, record.time_ns, feed_at(feed));
        if (cli_stop || (rc = publishing_send(publisher, record.bytes, record.length, 0)) < 0)
            break;
        published++;
    }
    schedule_report(&schedule);
    if (fed == 0 && feed_may_be_cut(feed))
        fprintf(stderr, "hermes: %s: its last line has no newline: it may be cut short\n", name_of(a->file));
    if (fed < 0 && !cli_stop) {
        *failed = true;
        cli_fail(name_of(a->file), fed, text.bytes);
        fprintf(stderr, "hermes: messages that went out before that: %" PRIu64 "\n", published);
    }
    return rc < 0 ? rc : 0;
}

/* ---- a topic ---- */

static int open_source(const struct arguments *a, hermes_client_t *client, hermes_subscriber_t **subscriber,
                       uint64_t *end)
{
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = hermes_topic_describe(client, a->source, &info);
    if (rc == 0)
        rc = hermes_subscriber_open(client, a->source, NULL, subscriber);
    if (rc == 0)
        rc = a->since != 0 ? hermes_seek_time(*subscriber, a->since) : hermes_seek_first(*subscriber);
    *end = info.last_sequence;
    return rc;
}

/* 0: nothing comes any more. A broker that is just coming back is waited for, too. */
static int next_of_source(hermes_subscriber_t *subscriber, hermes_message_t *message)
{
    int rc = cli_next(subscriber, message);
    return rc == 0 || rc == HERMES_EDISCONNECTED ? hermes_wait(subscriber, message, 1000000000) : rc;
}

/* What the source cannot give is told here; an error that is returned is of the topic that it goes to. */
static int replay_topic(const struct arguments *a, hermes_client_t *client, hermes_publisher_t *publisher,
                        bool *damaged)
{
    hermes_subscriber_t *subscriber = NULL;
    hermes_message_t message;
    struct schedule schedule = {.speed = a->speed, .unit = "message", .may_go_back_ns = 1000000000};
    uint64_t end, undated = 0;
    int rc = open_source(a, client, &subscriber, &end);
    if (rc < 0) {
        *damaged = true;
        cli_fail_topic(client, a->source, rc);
        return HERMES_OK;
    }
    /* What is there now, not what comes meanwhile: a topic may be replayed into itself. */
    for (uint64_t last = 0; !cli_stop && last < end;) {
        rc = next_of_source(subscriber, &message);
        if (rc == 0)
            break;
        if (rc == HERMES_EINTERRUPTED)
            continue;
        if (rc < 0) {
            *damaged = true;
            cli_fail(a->source, rc, hermes_last_error(client));
            if (!cli_is_damage(rc))
                break;
            continue;
        }
        last = message.sequence;
        if (last > end) /* published since */
            break;
        /* Clocks step back, and publishers have their own: a later time says nothing about what comes next.
         */
        if (message.timestamp < a->since || (a->until != UINT64_MAX && message.timestamp >= a->until))
            continue;
        bool is_time = message.timestamp != 0 && message.timestamp <= INT64_MAX;
        if (is_time)
            schedule_wait(&schedule, message.timestamp, message.sequence);
        if (cli_stop)
            break;
        undated += a->keeps_times && !is_time;
        rc = publishing_send(publisher, message.payload, message.length,
                             a->keeps_times && is_time ? message.timestamp : 0);
        if (rc < 0)
            return rc;
    }
    schedule_report(&schedule);
    if (undated > 0)
        fprintf(stderr, "hermes: %" PRIu64 " messages carried no time, and have the present one\n", undated);
    return HERMES_OK;
}

/* *failed: it was told what of the source did not go out. */
static int replay(const struct arguments *a, hermes_client_t *client, struct feed *feed, bool *failed)
{
    hermes_publisher_t *publisher;
    bool syncs;
    int rc = publishing_open(client, a->topic, 0, &publisher, &syncs);
    if (rc < 0)
        return rc;
    rc = feed != NULL ? replay_file(a, feed, publisher, failed) : replay_topic(a, client, publisher, failed);
    int waited = publishing_confirm(publisher, syncs ? HERMES_DURABLE : HERMES_COMMITTED);
    if (rc == 0 && waited == 0)
        publishing_tell_sequence(client, publisher, a->topic);
    rc = rc < 0 ? rc : waited;
    if (rc < 0 && rc != HERMES_EINTERRUPTED)
        cli_fail(a->topic, rc, hermes_last_error(client));
    int closed = publishing_close(client, publisher, a->topic);
    *failed |= rc < 0 || closed < 0 || cli_stop; /* stopped: not all of it was replayed */
    return HERMES_OK;
}

int cli_replay(int argc, char **argv)
{
    struct arguments a = {.speed = 1, .until = UINT64_MAX};
    const struct argp argp = {options, parse, "[FILE]", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    hermes_client_t *client = cli_connect();
    struct feed *feed = NULL;
    bool failed = a.file != NULL && open_feed(&a, &feed) < 0;
    if (!failed) {
        int rc = replay(&a, client, feed, &failed);
        if (rc < 0) {
            failed = true;
            cli_fail_topic(client, a.topic, rc);
        }
    }
    if (feed != NULL)
        feed_close(feed);
    hermes_disconnect(client);
    return failed ? EXIT_FAILED : EXIT_GOOD;
}
