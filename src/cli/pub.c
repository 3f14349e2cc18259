/* hermes pub TOPIC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/record.h"

static const char documentation[] =
    "Publish each line of standard input as one message, and print the last sequence.\v"
    "Lines go out as they are, without their newline; one of more than 65,536 bytes is an error. With "
    "--count, "
    "messages are generated instead: a counter in text, padded to --size. The command returns when all is "
    "committed, with --durable and on sync topics when all is on disk. A signal ends it within two "
    "seconds, waits included: it says how many messages are in the topic.\n\n"
    "--json: each line is an object with \"payload\" (UTF-8 text, or base64 where \"encoding\" is "
    "\"base64\") or "
    "\"payload_base64\", as hermes sub --json writes it, so that hermes sub A --json | hermes pub B --json "
    "copies a topic; "
    "with --keep-times \"timestamp\", in nanoseconds since 1970, is the message's time. Other members and "
    "empty lines are "
    "passed over. A line that is wrong ends it, and what stands before it is in the topic.";

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0, "Read lines from FILE", 0},
    {"json", 'j', NULL, 0, "Lines are JSON: payload, encoding, timestamp", 0},
    {"keep-times", 'k', NULL, 0, "With --json: each message with its own time stamp", 0},
    {"count", 'n', "N", 0, "Generate N messages", 0},
    {"size", 's', "B", 0, "Bytes of a generated message (64)", 0},
    {"rate", 'r', "R", 0, "Messages a second (as fast as possible)", 0},
    {"no-crc", 'c', NULL, 0, "Without checksums", 0},
    {"durable", 'd', NULL, 0, "Wait until all is on disk", 0},
    {0},
};

struct arguments {
    const char *topic;
    const char *file;
    uint64_t count;
    uint64_t size;
    double rate;
    bool no_crc;
    bool durable;
    bool json, keeps_times;
    bool is_wrong;  /* a line of JSON */
    int read_error; /* of the file; 0: it was read to its end */
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'f':
        a->file = value;
        return 0;
    case 'n':
        a->count = cli_size(state, "--count", value);
        return 0;
    case 's':
        a->size = cli_size(state, "--size", value);
        if (a->size > HERMES_PAYLOAD_MAX)
            argp_error(state, "--size %s: a payload has at most 65536 bytes", value);
        return 0;
    case 'r':
        a->rate = cli_number(state, "--rate", value);
        return 0;
    case 'c':
        a->no_crc = true;
        return 0;
    case 'd':
        a->durable = true;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case 'k':
        a->keeps_times = true;
        return 0;
    case ARGP_KEY_ARG:
        a->topic = cli_argument(state, value);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        if (a->json && a->count > 0)
            argp_error(state, "--json is of lines, and --count generates messages");
        if (a->keeps_times && !a->json)
            argp_error(state, "--keep-times is of --json: lines have no times");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* So long a call may wait before it is seen whether a signal came. */
static const uint64_t slice_ns = 100000000;

/* And so long what was taken may take to get in when one did. */
static const uint64_t farewell_ns = 2000000000;

static const uint64_t publish_wait_ns = 10000000000u, confirm_wait_ns = 60000000000u;

/* What a wait that a signal ended says; other failures are what they are. */
static int unless_stopped(int rc)
{
    bool waited = rc == HERMES_EAGAIN || rc == HERMES_EDISCONNECTED || rc == HERMES_ETIMEOUT;
    return waited && cli_stop ? HERMES_EINTERRUPTED : rc;
}

static int publish_once(hermes_publisher_t *publisher, const struct record *record)
{
    return record->timestamp != 0
               ? hermes_publish_at(publisher, record->timestamp, record->payload, record->length, NULL)
               : hermes_publish(publisher, record->payload, record->length, NULL);
}

/* hermes_publish(), which a signal ends: HERMES_EINTERRUPTED. */
static int publish(hermes_publisher_t *publisher, const struct record *record)
{
    uint64_t until = cli_now_ns() + publish_wait_ns;
    int rc = publish_once(publisher, record);
    while (rc == HERMES_EAGAIN && !cli_stop && cli_now_ns() < until)
        rc = publish_once(publisher, record);
    while (rc == HERMES_EDISCONNECTED && !cli_stop &&
           cli_now_ns() < until) /* it goes out with the next broker */
        if ((rc = hermes_publisher_wait(publisher, HERMES_COMMITTED, slice_ns)) == HERMES_ETIMEOUT)
            rc = HERMES_EDISCONNECTED;
    return unless_stopped(rc);
}

static int confirm(hermes_publisher_t *publisher, enum hermes_confirmation confirmation)
{
    uint64_t until = cli_now_ns() + confirm_wait_ns;
    bool stops = false;
    int rc;
    do {
        if (cli_stop && !stops) {
            stops = true;
            until = cli_now_ns() + farewell_ns;
        }
        rc = hermes_publisher_wait(publisher, confirmation, slice_ns);
    } while (rc == HERMES_ETIMEOUT && cli_now_ns() < until);
    return unless_stopped(rc);
}

/* When message i is due. */
static void pace(const struct arguments *a, uint64_t start_ns, uint64_t i)
{
    if (a->rate > 0)
        cli_sleep_until(start_ns + (uint64_t)((double)i * 1e9 / a->rate));
}

static int publish_generated(const struct arguments *a, hermes_publisher_t *publisher)
{
    static char payload[HERMES_PAYLOAD_MAX + 32];
    uint64_t start = cli_now_ns();
    memset(payload, '.', sizeof payload);
    for (uint64_t i = 0; i < a->count && !cli_stop; i++) {
        char number[24];
        int digits = snprintf(number, sizeof number, "%llu ", (unsigned long long)i + 1);
        memcpy(payload, number, (size_t)digits);
        pace(a, start, i);
        int rc = publish(publisher, &(struct record){payload, a->size, 0});
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* false: it is told what is wrong with the line. */
static bool take_record(struct arguments *a, char *line, size_t length, uint64_t number,
                        struct record *record)
{
    struct error_text text;
    *record = (struct record){line, length, 0};
    if (!a->json)
        return true;
    a->is_wrong = record_parse(line, length, record, &text) < 0;
    if (a->is_wrong)
        fprintf(stderr, "hermes pub: line %llu: %s\n", (unsigned long long)number, text.bytes);
    if (!a->keeps_times)
        record->timestamp = 0;
    return !a->is_wrong;
}

static int publish_lines(struct arguments *a, hermes_publisher_t *publisher, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    struct record record;
    uint64_t start = cli_now_ns();
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && !cli_stop && (length = getline(&line, &room, file)) >= 0; i++) {
        if (length > 0 && line[length - 1] == '\n')
            length--;
        if (a->json && length == 0)
            continue;
        if (!take_record(a, line, (size_t)length, i + 1, &record))
            break;
        pace(a, start, i);
        rc = publish(publisher, &record);
        if (rc < 0)
            fprintf(stderr, "hermes pub: line %llu of %zd bytes\n", (unsigned long long)i + 1, length);
    }
    if (ferror(file) && !cli_stop)
        a->read_error = errno;
    free(line);
    return rc;
}

static int publish_all(struct arguments *a, hermes_publisher_t *publisher, FILE *file)
{
    hermes_publisher_set_wait(publisher, slice_ns);
    int rc = a->count > 0 ? publish_generated(a, publisher) : publish_lines(a, publisher, file);
    int waited = confirm(publisher, a->durable ? HERMES_DURABLE : HERMES_COMMITTED);
    if (rc == 0 && waited == 0)
        printf("%llu\n", (unsigned long long)hermes_publisher_sequence(publisher));
    /* Interrupted before a message was taken: what counts is what was. */
    return rc < 0 && rc != HERMES_EINTERRUPTED ? rc : waited;
}

/* What was taken and is not in, and how much is. */
static int close_and_tell(const struct arguments *a, hermes_client_t *client, hermes_publisher_t *publisher)
{
    uint64_t accepted = hermes_publisher_accepted(publisher);
    if (cli_stop)
        hermes_publisher_set_wait(publisher, farewell_ns);
    int64_t missing = hermes_publisher_close(publisher);
    if (missing > 0)
        fprintf(stderr, "hermes pub: %s\n", hermes_last_error(client));
    if (missing > 0 || cli_stop)
        fprintf(stderr, "hermes pub: %llu of %llu messages are in topic %s\n",
                (unsigned long long)(accepted - (uint64_t)missing), (unsigned long long)accepted, a->topic);
    return missing > 0 ? HERMES_EAGAIN : HERMES_OK;
}

int cli_pub(int argc, char **argv)
{
    struct arguments a = {.size = 64};
    const struct argp argp = {options, parse, "TOPIC", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    FILE *file = stdin;
    if (a.file != NULL && (file = fopen(a.file, "re")) == NULL)
        return cli_fail(a.file, 0, strerror(errno));
    cli_catch_signals();
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = NULL;
    hermes_publisher_options_t how = {
        .size = sizeof how, .flags = HERMES_PUBLISH_NO_WAIT | (a.no_crc ? HERMES_PUBLISH_NO_CRC : 0)};
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = hermes_topic_describe(client, a.topic, &info);
    if (rc == 0)
        rc = hermes_publisher_open(client, a.topic, &how, &publisher);
    a.durable |= info.durability == HERMES_DURABILITY_SYNC;
    if (rc == 0)
        rc = publish_all(&a, publisher, file);
    if (rc < 0 && rc != HERMES_EINTERRUPTED)
        cli_fail_topic(client, a.topic, rc);
    if (publisher != NULL && close_and_tell(&a, client, publisher) < 0)
        rc = HERMES_EAGAIN;
    if (a.read_error != 0) /* what was read before it is in all the same */
        rc = -cli_fail(a.file != NULL ? a.file : "standard input", 0, strerror(a.read_error));
    if (a.is_wrong)
        rc = HERMES_EMALFORMED;
    hermes_disconnect(client);
    return rc < 0 ? EXIT_FAILED : EXIT_GOOD;
}
