#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/when.h"

volatile sig_atomic_t cli_stop;

static void raise_stop(int number)
{
    (void)number;
    cli_stop = 1;
}

void cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = raise_stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_fail(const char *what, int error, const char *sentence)
{
    fprintf(stderr, "hermes: %s: %s\n", what,
            sentence != NULL && sentence[0] != 0 ? sentence : hermes_strerror(error));
    return EXIT_FAILED;
}

static int output_error;

bool cli_flush(bool now)
{
    if (output_error == 0 && ((now && fflush(stdout) != 0) || ferror(stdout)))
        output_error = errno != 0 ? errno : EIO;
    return output_error == 0;
}

int cli_finish(int code)
{
    return cli_flush(true) ? code : cli_fail("standard output", 0, strerror(output_error));
}

/* A broker that was started a moment ago, or again after a crash, may need that moment. */
hermes_client_t *cli_connect(void)
{
    static const uint64_t patience_ns = 1000000000;
    hermes_client_t *client;
    uint64_t start = cli_now_ns();
    int rc;
    while ((rc = hermes_connect(NULL, &client)) == HERMES_EDISCONNECTED &&
           cli_now_ns() - start < patience_ns && !cli_stop)
        cli_sleep_until(cli_now_ns() + 5000000);
    if (rc < 0)
        exit(cli_fail("connect", rc, hermes_last_error(NULL)));
    return client;
}

uint64_t cli_size(struct argp_state *state, const char *option, const char *value)
{
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    const char *unit = *end != 0 ? strchr(units, *end & ~0x20) : NULL;
    unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
    if (unit != NULL)
        end++;
    if (unit != NULL && (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0))
        end += strlen(end);
    if (errno != 0 || value[0] < '0' || value[0] > '9' || *end != 0 || number > UINT64_MAX >> shift)
        argp_error(state, "%s %s: not a size (say 65536, 64K or 4M)", option, value);
    return number << shift;
}

uint64_t cli_time(struct argp_state *state, const char *option, const char *value)
{
    uint64_t ns = 0;
    if (when_time(value, clock_realtime_ns(), &ns) < 0)
        argp_error(state, "%s %s: not a time (" WHEN_TIME ")", option, value);
    return ns;
}

uint64_t cli_duration(struct argp_state *state, const char *option, const char *value)
{
    uint64_t ns = 0;
    if (when_duration(value, &ns) < 0)
        argp_error(state, "%s %s: not a duration (say 90s, 15m, 24h or 7d)", option, value);
    return ns;
}

struct cli_from cli_from(struct argp_state *state, const char *option, const char *value)
{
    struct cli_from from = {CLI_FROM_END, 0};
    char *end;
    if (strcmp(value, "first") == 0) {
        from.kind = CLI_FROM_FIRST;
    } else if (strcmp(value, "last") == 0) {
        from.kind = CLI_FROM_LAST;
    } else if (strncmp(value, "seq:", 4) == 0) {
        from.kind = CLI_FROM_SEQUENCE;
        from.value = strtoull(value + 4, &end, 10);
        if (value[4] < '0' || value[4] > '9' || *end != 0)
            argp_error(state, "%s %s: seq: wants a number", option, value);
    } else if (strncmp(value, "time:", 5) == 0) {
        char name[32];
        snprintf(name, sizeof name, "%s time:", option);
        from.kind = CLI_FROM_TIME;
        from.value = cli_time(state, name, value + 5);
    } else if (strcmp(value, "end") != 0) {
        argp_error(state, "%s %s: it is first, end, last, seq:N or time:T", option, value);
    }
    return from;
}

int cli_seek(hermes_subscriber_t *subscriber, struct cli_from from)
{
    switch (from.kind) {
    case CLI_FROM_FIRST:
        return hermes_seek_first(subscriber);
    case CLI_FROM_END:
        return hermes_seek_end(subscriber);
    case CLI_FROM_SEQUENCE:
        return hermes_seek_sequence(subscriber, from.value);
    case CLI_FROM_TIME:
        return hermes_seek_time(subscriber, from.value);
    default:
        return HERMES_OK;
    }
}

int cli_next(hermes_subscriber_t *subscriber, hermes_message_t *message)
{
    static const uint64_t slice_ns = 1000000, patience_ns = 10000000000;
    hermes_subscriber_counters_t told = {.size = sizeof told};
    uint64_t start = cli_now_ns();
    int rc = hermes_poll(subscriber, message);
    while (rc == 0 && hermes_subscriber_describe(subscriber, &told) == 0 && told.awaits_broker != 0 &&
           cli_now_ns() - start < patience_ns && !cli_stop)
        rc = hermes_wait(subscriber, message, slice_ns);
    return rc == HERMES_EINTERRUPTED ? 0 : rc; /* cli_stop tells */
}

double cli_number(struct argp_state *state, const char *option, const char *value)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end != 0 || !isfinite(number) || number < 0)
        argp_error(state, "%s %s: not a number", option, value);
    return number;
}

const char *cli_argument(struct argp_state *state, const char *value)
{
    if (state->arg_num > 0)
        argp_usage(state);
    return value;
}

int cli_choice(struct argp_state *state, const char *option, const char *value, const char *const names[])
{
    char list[128] = "";
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(value, names[i]) == 0)
            return i;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s",
                 i == 0                 ? ""
                 : names[i + 1] == NULL ? " or "
                                        : ", ",
                 names[i]);
    }
    argp_error(state, "%s %s: it is %s", option, value, list);
    return 0;
}

bool cli_is_damage(int error)
{
    return error == HERMES_EGONE || error == HERMES_ECHECKSUM || error == HERMES_ECORRUPT ||
           error == HERMES_EMALFORMED;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above 10FFFF. */
bool cli_is_utf8(const void *bytes, size_t length)
{
    const uint8_t *p = bytes, *end = p + length;
    while (p < end) {
        uint8_t c = *p++;
        if (c < 0x80)
            continue;
        int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
        if (c < 0xC2 || c > 0xF4 || end - p < more)
            return false;
        uint8_t low = c == 0xE0   ? 0xA0
                      : c == 0xF0 ? 0x90
                                  : 0x80,
                high = c == 0xED   ? 0x9F
                       : c == 0xF4 ? 0x8F
                                   : 0xBF;
        if (*p < low || *p > high)
            return false;
        for (p++; --more > 0; p++)
            if ((*p & 0xC0) != 0x80)
                return false;
    }
    return true;
}

void cli_print_json_string(FILE *file, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    fputc('"', file);
    for (size_t i = 0; i < length; i++) {
        if (p[i] == '"' || p[i] == '\\')
            fprintf(file, "\\%c", p[i]);
        else if (p[i] < 0x20 || p[i] == 0x7F)
            fprintf(file, "\\u%04x", p[i]);
        else
            fputc(p[i], file);
    }
    fputc('"', file);
}

void cli_print_base64(FILE *file, const void *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)p[i + 2] : 0);
        fputc(digits[group >> 18 & 63], file);
        fputc(digits[group >> 12 & 63], file);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', file);
        fputc(left > 2 ? digits[group & 63] : '=', file);
    }
}

void cli_print_payload_json(FILE *file, const void *bytes, size_t length)
{
    if (cli_is_utf8(bytes, length)) {
        fputs("\"payload\":", file);
        cli_print_json_string(file, bytes, length);
        return;
    }
    fputs("\"encoding\":\"base64\",\"payload\":\"", file);
    cli_print_base64(file, bytes, length);
    fputc('"', file);
}

void cli_print_message_json(FILE *file, const char *topic, const hermes_message_t *message)
{
    fprintf(file, "{\"topic\":\"%s\",\"sequence\":%llu,\"timestamp\":%llu,\"length\":%u,", topic,
            (unsigned long long)message->sequence, (unsigned long long)message->timestamp, message->length);
    cli_print_payload_json(file, message->payload, message->length);
    fputs("}\n", file);
}

uint64_t cli_now_ns(void)
{
    return clock_monotonic_ns();
}

void cli_sleep_until(uint64_t monotonic_ns)
{
    struct timespec until = {(time_t)(monotonic_ns / 1000000000u), (long)(monotonic_ns % 1000000000u)};
    while (!cli_stop && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
}
