/* hermes sub TOPIC */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

static const char documentation[] =
    "Print the messages of a topic.\v"
    "--from says where to begin: first (the oldest there is), end (what comes from now on; the default), "
    "seq:N, "
    "or time:T with T in nanoseconds since 1970 or as 2012-06-21T09:30:00 in UTC. Formats: lines (payload "
    "and a "
    "newline), raw (payload alone), hex, json (one object a line, payload in base64 where it is not UTF-8). "
    "Runs until --count messages, --timeout seconds without one, or Ctrl-C.";

static const struct argp_option options[] = {
    {"from", 'f', "WHERE", 0, "first, end, seq:N or time:T", 0},
    {"count", 'n', "N", 0, "Stop after N messages", 0},
    {"timeout", 't', "S", 0, "Stop after S seconds without a message", 0},
    {"format", 'o', "FORMAT", 0, "lines, raw, hex or json", 0},
    {0},
};

enum from { FROM_END, FROM_FIRST, FROM_SEQUENCE, FROM_TIME };
enum format { FORMAT_LINES, FORMAT_RAW, FORMAT_HEX, FORMAT_JSON };

struct arguments {
    const char *topic;
    enum from from;
    uint64_t from_value;
    uint64_t count;
    double timeout;
    enum format format;
};

static void parse_from(struct argp_state *state, struct arguments *a, const char *value)
{
    char *end;
    if (strcmp(value, "first") == 0) {
        a->from = FROM_FIRST;
    } else if (strcmp(value, "end") == 0) {
        a->from = FROM_END;
    } else if (strncmp(value, "seq:", 4) == 0) {
        a->from = FROM_SEQUENCE;
        a->from_value = strtoull(value + 4, &end, 10);
        if (value[4] < '0' || value[4] > '9' || *end != 0)
            argp_error(state, "--from %s: seq: wants a number", value);
    } else if (strncmp(value, "time:", 5) == 0) {
        a->from = FROM_TIME;
        a->from_value = cli_time(state, "--from time:", value + 5);
    } else {
        argp_error(state, "--from %s: it is first, end, seq:N or time:T", value);
    }
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    static const char *const formats[] = {"lines", "raw", "hex", "json", NULL};
    struct arguments *a = state->input;
    switch (key) {
    case 'f':
        parse_from(state, a, value);
        return 0;
    case 'n':
        a->count = cli_size(state, "--count", value);
        return 0;
    case 't':
        a->timeout = cli_number(state, "--timeout", value);
        return 0;
    case 'o':
        a->format = (enum format)cli_choice(state, "--format", value, formats);
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

static void print(const struct arguments *a, const hermes_message_t *message)
{
    const uint8_t *bytes = message->payload;
    switch (a->format) {
    case FORMAT_LINES:
        fwrite(bytes, 1, message->length, stdout);
        fputc('\n', stdout);
        break;
    case FORMAT_RAW:
        fwrite(bytes, 1, message->length, stdout);
        break;
    case FORMAT_HEX:
        printf("%llu ", (unsigned long long)message->sequence);
        for (uint32_t i = 0; i < message->length; i++)
            printf("%02x", bytes[i]);
        fputc('\n', stdout);
        break;
    case FORMAT_JSON:
        cli_print_message_json(stdout, a->topic, message);
        break;
    }
}

static int seek(const struct arguments *a, hermes_subscriber_t *subscriber)
{
    switch (a->from) {
    case FROM_FIRST:
        return hermes_seek_first(subscriber);
    case FROM_SEQUENCE:
        return hermes_seek_sequence(subscriber, a->from_value);
    case FROM_TIME:
        return hermes_seek_time(subscriber, a->from_value);
    default:
        return 0;
    }
}

int cli_sub(int argc, char **argv)
{
    struct arguments a = {.count = UINT64_MAX, .timeout = INFINITY};
    const struct argp argp = {options, parse, "TOPIC", documentation, NULL, NULL, NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    cli_catch_signals();
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber;
    int rc = hermes_subscriber_open(client, a.topic, &subscriber);
    if (rc == 0)
        rc = seek(&a, subscriber);
    uint64_t timeout_ns = isinf(a.timeout) || a.timeout > 1e9 ? HERMES_FOREVER : (uint64_t)(a.timeout * 1e9);
    bool damaged = false;
    for (uint64_t seen = 0; rc >= 0 && seen < a.count && !cli_stop && !ferror(stdout);) {
        hermes_message_t message;
        rc = hermes_poll(subscriber, &message);
        if (rc == 0 || rc == HERMES_EDISCONNECTED) {
            fflush(stdout); /* before sleeping, never for each message of a burst */
            rc = hermes_wait(subscriber, &message, timeout_ns);
            if (rc == 0)
                break;
        }
        if (rc > 0) {
            print(&a, &message);
            seen++;
        } else if (rc == HERMES_EINTERRUPTED) {
            rc = 0;
        } else if (cli_is_damage(rc)) {
            damaged = true;
            cli_fail(a.topic, rc, hermes_last_error(client));
            rc = 0;
        }
    }
    if (rc < 0)
        cli_fail(a.topic, rc, hermes_last_error(client));
    hermes_disconnect(client);
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    return rc < 0 || damaged || !written ? EXIT_FAILED : EXIT_GOOD;
}
