/* hermes pub TOPIC */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/parse.h"
#include "cli/publishing.h"
#include "cli/record.h"

static const char documentation[] =
    "Publish each line of standard input as one message, and print the last sequence.\v"
    "Lines go out as they are, without their newline; one of more than 65,536 bytes is an error. With "
    "--count, "
    "messages are generated instead: a counter in text, padded to --size. The command returns when all is "
    "committed, with --durable and on sync topics when all is on disk. A signal ends it within two "
    "seconds, waits included: nothing goes out any more, half a line neither, and it says how many messages "
    "are in the topic.\n\n"
    "--json: each line is an object with \"payload\" (UTF-8 text, or base64 where \"encoding\" is "
    "\"base64\") or "
    "\"payload_base64\", as hermes sub --json writes it, so that hermes sub A --json | hermes pub B --json "
    "copies a topic; "
    "with --keep-times \"timestamp\", in nanoseconds since 1970, is the message's time. Other members and "
    "empty lines are "
    "passed over. A line that is wrong ends it, and what stands before it is in the topic.\n\n"
    "Examples:\n"
    "  echo hello | hermes pub orders\n"
    "  hermes pub orders --file lines.txt --durable\n"
    "  hermes pub orders --count 1000 --size 200 --rate 5000\n"
    "  hermes sub orders --from first --timeout 0 --json | hermes pub copy --json\n\n"
    "Exit codes: 0 all is in; 1 not all could be read, or is in; 64 wrong usage.";

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0, "Read lines from FILE", 0},
    {"json", 'j', NULL, 0, "Lines are JSON: payload, encoding, timestamp", 0},
    {"keep-times", 'k', NULL, 0, "With --json: each message with its own time stamp", 0},
    {"count", 'n', "N", 0, "Generate N messages", 0},
    {"size", 's', "B", 0, "Bytes of a generated message, 0 to 65536 (64)", 0},
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
    bool has_count, has_size, no_crc, durable;
    bool json, keeps_times;
    bool failed; /* not all of the file could be read, or a line of JSON; it was told */
};

/* Of a line of JSON: the largest payload with each byte escaped, and room for other members. */
enum { JSON_LINE_MAX = 1 << 20 };

static void check(struct argp_state *state, const struct arguments *a)
{
    if (a->json && a->has_count)
        argp_error(state, "--json is of lines, and --count generates messages");
    if (a->keeps_times && !a->json)
        argp_error(state, "--keep-times is of --json: lines have no times");
    if (a->has_count && a->file != NULL)
        argp_error(state, "--count and --file are two things: messages are generated, or read");
    if (a->has_size && !a->has_count)
        argp_error(state, "--size is of generated messages (--count)");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'f':
        a->file = value;
        return 0;
    case 'n':
        a->count = cli_count(state, "--count", value, UINT64_MAX);
        a->has_count = true;
        return 0;
    case 's':
        a->size = cli_size(state, "--size", value);
        a->has_size = true;
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
        check(state, a);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Until message i is due; false: a signal came, and it does not go out. */
static bool pace(const struct arguments *a, uint64_t start_ns, uint64_t i)
{
    return a->rate > 0 ? cli_sleep_until_due(start_ns, (double)i * 1e9 / a->rate) : !cli_stop;
}

static int publish_generated(struct arguments *a, hermes_publisher_t *publisher)
{
    static char payload[HERMES_PAYLOAD_MAX + 32];
    uint64_t start = cli_now_ns(), i = 0;
    int rc = 0;
    memset(payload, '.', sizeof payload);
    for (; rc == 0 && i < a->count && pace(a, start, i); i++) {
        char number[24];
        int digits = snprintf(number, sizeof number, "%llu ", (unsigned long long)i + 1);
        memcpy(payload, number, (size_t)digits);
        rc = publishing_send(publisher, payload, a->size, 0);
    }
    /* So many were asked for; lines end where they are ended. */
    a->failed = rc < 0 || i < a->count;
    return rc;
}

/* false: it is told what is wrong with the line. */
static bool take_record(struct arguments *a, char *line, size_t length, uint64_t number,
                        struct record *record)
{
    struct error_text text;
    *record = (struct record){line, length, 0};
    if (!a->json)
        return true;
    a->failed = record_parse(line, length, record, &text) < 0;
    if (a->failed)
        fprintf(stderr, "hermes pub: line %llu: %s\n", (unsigned long long)number, text.bytes);
    if (!a->keeps_times)
        record->timestamp = 0;
    return !a->failed;
}

/* What was read before is in all the same. */
static void tell_unread(struct arguments *a, const struct lines *lines, uint64_t number, int rc)
{
    const char *name = a->file != NULL ? a->file : "standard input";
    a->failed = true;
    if (rc != HERMES_ETOOLARGE)
        cli_fail(name, rc, rc == HERMES_EIO ? strerror(lines->error) : NULL);
    else if (a->json)
        fprintf(stderr, "hermes: %s: line %llu has more than %zu bytes\n", name, (unsigned long long)number,
                lines->most);
    else
        fprintf(stderr, "hermes: %s: line %llu is %s\n", name, (unsigned long long)number,
                hermes_strerror(rc));
}

static int publish_lines(struct arguments *a, hermes_publisher_t *publisher, int fd)
{
    struct lines lines;
    struct record record;
    char *line;
    size_t length;
    uint64_t start = cli_now_ns(), i = 0;
    int published = 0, rc = lines_open(&lines, fd, a->json ? JSON_LINE_MAX : HERMES_PAYLOAD_MAX);
    for (; rc >= 0 && published == 0 && (rc = lines_next(&lines, &line, &length)) > 0; i++) {
        if (a->json && length == 0)
            continue;
        if (!take_record(a, line, length, i + 1, &record) || !pace(a, start, i))
            break;
        published = publishing_send(publisher, record.payload, record.length, record.timestamp);
        if (published < 0 && !cli_stop)
            fprintf(stderr, "hermes pub: line %llu of %zu bytes\n", (unsigned long long)i + 1, length);
    }
    if (rc < 0)
        tell_unread(a, &lines, i + 1, rc);
    lines_close(&lines);
    return published;
}

static int publish_all(struct arguments *a, hermes_client_t *client, hermes_publisher_t *publisher, int fd)
{
    int rc = a->has_count ? publish_generated(a, publisher) : publish_lines(a, publisher, fd);
    int waited = publishing_confirm(publisher, a->durable ? HERMES_DURABLE : HERMES_COMMITTED);
    if (rc == 0 && waited == 0)
        publishing_tell_sequence(client, publisher, a->topic);
    /* Interrupted before a message was taken: what counts is what was. */
    return rc < 0 && rc != HERMES_EINTERRUPTED ? rc : waited;
}

int cli_pub(int argc, char **argv)
{
    struct arguments a = {.size = 64};
    const struct argp argp = {options, parse, "TOPIC", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    int fd = STDIN_FILENO;
    if (a.file != NULL && (fd = open(a.file, O_RDONLY | O_CLOEXEC)) < 0)
        return cli_fail(a.file, 0, strerror(errno));
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = NULL;
    bool syncs = false;
    int rc = publishing_open(client, a.topic, a.no_crc ? HERMES_PUBLISH_NO_CRC : 0, &publisher, &syncs);
    a.durable |= syncs;
    if (rc == 0)
        rc = publish_all(&a, client, publisher, fd);
    if (rc < 0 && rc != HERMES_EINTERRUPTED)
        cli_fail_topic(client, a.topic, rc);
    if (publisher != NULL && publishing_close(client, publisher, a.topic) < 0)
        rc = HERMES_EAGAIN;
    hermes_disconnect(client);
    return rc < 0 || a.failed ? EXIT_FAILED : EXIT_GOOD;
}
