/* hermes pub TOPIC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const char documentation[] =
    "Publish each line of standard input as one message, and print the last sequence.\v"
    "Lines go out as they are, without their newline; one of more than 65,536 bytes is an error. With "
    "--count, "
    "messages are generated instead: a counter in text, padded to --size. The command returns when all is "
    "committed, with --durable and on sync topics when all is on disk.";

static const struct argp_option options[] = {
    {"file", 'f', "FILE", 0, "Read lines from FILE", 0},
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
    case ARGP_KEY_ARG:
        a->topic = cli_argument(state, value);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
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
        int rc = hermes_publish(publisher, payload, a->size, NULL);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int publish_lines(const struct arguments *a, hermes_publisher_t *publisher, FILE *file)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    uint64_t start = cli_now_ns();
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && !cli_stop && (length = getline(&line, &room, file)) >= 0; i++) {
        if (length > 0 && line[length - 1] == '\n')
            length--;
        pace(a, start, i);
        rc = hermes_publish(publisher, line, (size_t)length, NULL);
        if (rc < 0)
            fprintf(stderr, "hermes pub: line %llu of %zd bytes\n", (unsigned long long)i + 1, length);
    }
    free(line);
    return rc;
}

int cli_pub(int argc, char **argv)
{
    struct arguments a = {.size = 64};
    const struct argp argp = {options, parse, "TOPIC", documentation, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    FILE *file = stdin;
    if (a.file != NULL && (file = fopen(a.file, "re")) == NULL)
        return cli_fail(a.file, 0, strerror(errno));
    cli_catch_signals();
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher;
    hermes_publisher_options_t how = {
        .size = sizeof how, .flags = HERMES_PUBLISH_NO_WAIT | (a.no_crc ? HERMES_PUBLISH_NO_CRC : 0)};
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = hermes_topic_describe(client, a.topic, &info);
    if (rc == 0)
        rc = hermes_publisher_open(client, a.topic, &how, &publisher);
    if (rc == 0) {
        a.durable |= info.durability == HERMES_DURABILITY_SYNC;
        rc = a.count > 0 ? publish_generated(&a, publisher) : publish_lines(&a, publisher, file);
        int waited =
            hermes_publisher_wait(publisher, a.durable ? HERMES_DURABLE : HERMES_COMMITTED, 60000000000u);
        rc = rc < 0 ? rc : waited;
        if (rc == 0)
            printf("%llu\n", (unsigned long long)hermes_publisher_sequence(publisher));
    }
    if (rc < 0)
        cli_fail(a.topic, rc, hermes_last_error(client));
    hermes_disconnect(client);
    return rc < 0 ? EXIT_FAILED : EXIT_GOOD;
}
