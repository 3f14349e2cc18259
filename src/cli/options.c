#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/suggest.h"
#include "cli/when.h"

volatile sig_atomic_t cli_stop;

static void raise_stop(int number)
{
    (void)number;
    cli_stop = 1;
}

void cli_catch_signals(void)
{
    struct sigaction action = {.sa_handler = raise_stop}, former;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &former) == 0 && former.sa_handler != SIG_IGN) /* nohup(1) */
        sigaction(SIGHUP, &action, NULL);
}

/* Most sentences of the library name what they are about: it is not said twice. */
bool cli_names(const char *sentence, const char *what)
{
    char quoted[160]; /* a name has at most 127 characters */
    int length = snprintf(quoted, sizeof quoted, "'%s'", what);
    return length < (int)sizeof quoted && strstr(sentence, quoted) != NULL;
}

int cli_fail(const char *what, int error, const char *sentence)
{
    if (sentence == NULL || sentence[0] == 0)
        sentence = hermes_strerror(error);
    if (what == NULL || cli_names(sentence, what))
        fprintf(stderr, "hermes: %s\n", sentence);
    else
        fprintf(stderr, "hermes: %s: %s\n", what, sentence);
    return EXIT_FAILED;
}

static int output_error;

bool cli_flush(bool now)
{
    if (output_error == 0 && ((now && fflush(stdout) != 0) || ferror(stdout)))
        output_error = errno != 0 ? errno : EIO;
    return output_error == 0;
}

void cli_look_for_reader(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};
    if (poll(&output, 1, 0) <= 0 || (output.revents & (POLLERR | POLLHUP)) == 0)
        return;
    raise(SIGPIPE);
    output_error = EPIPE; /* it was ignored */
}

int cli_finish(int code)
{
    static bool is_told;
    if (cli_flush(true))
        return code;
    if (!is_told)
        cli_fail("standard output", 0, strerror(output_error));
    is_told = true;
    return EXIT_FAILED;
}

/* A broker that was started a moment ago, or again after a crash, may need that moment. */
hermes_client_t *cli_connect(void)
{
    static const uint64_t patience_ns = 1000000000, longest_pause_ns = 80000000;
    hermes_client_t *client;
    uint64_t start = cli_now_ns(), pause_ns = 5000000;
    int rc;
    while ((rc = hermes_connect(NULL, &client)) == HERMES_EDISCONNECTED &&
           cli_now_ns() - start < patience_ns && !cli_stop) {
        cli_sleep_until(cli_now_ns() + pause_ns);
        pause_ns = pause_ns < longest_pause_ns ? 2 * pause_ns : pause_ns;
    }
    if (rc < 0)
        exit(cli_fail(NULL, rc, hermes_last_error(NULL)));
    return client;
}

/* Digits, and perhaps K, M or G: 2^10, 2^20, 2^30. */
static bool read_scaled(const char *value, uint64_t *number, char **end)
{
    static const char units[] = "KMG";
    errno = 0;
    *number = strtoull(value, end, 10);
    const char *unit = **end != 0 ? strchr(units, **end & ~0x20) : NULL;
    unsigned shift = unit != NULL ? 10 * (unsigned)(unit - units + 1) : 0;
    if (errno != 0 || value[0] < '0' || value[0] > '9' || *number > UINT64_MAX >> shift)
        return false;
    *end += unit != NULL;
    *number <<= shift;
    return true;
}

uint64_t cli_size(struct argp_state *state, const char *option, const char *value)
{
    uint64_t number;
    char *end;
    bool is_size = read_scaled(value, &number, &end);
    if (is_size && end[-1] > '9' && (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0))
        end += strlen(end);
    if (!is_size || *end != 0)
        argp_error(state, "%s %s: not a size (say 65536, 64K or 4M)", option, value);
    return number;
}

uint64_t cli_count(struct argp_state *state, const char *option, const char *value, uint64_t most)
{
    uint64_t number;
    char *end;
    if (!read_scaled(value, &number, &end) || *end != 0)
        argp_error(state, "%s %s: not a number (0, 1, 2, ...)", option, value);
    if (number > most)
        argp_error(state, "%s %s: at most %" PRIu64, option, value, most);
    return number;
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
        errno = 0;
        from.value = strtoull(value + 4, &end, 10);
        if (value[4] < '0' || value[4] > '9' || *end != 0 || errno != 0)
            argp_error(state, "%s %s: seq: wants a number, of 64 bits at most", option, value);
    } else if (strncmp(value, "time:", 5) == 0) {
        from.kind = CLI_FROM_TIME;
        if (when_time(value + 5, clock_realtime_ns(), &from.value) < 0)
            argp_error(state, "%s %s: not a time (" WHEN_TIME ")", option, value);
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
    /* Longer than a request takes to be given up, which is told as an error. */
    static const uint64_t slice_ns = 1000000, patience_ns = 60000000000;
    hermes_subscriber_counters_t told = {.size = sizeof told};
    uint64_t start = cli_now_ns();
    int rc = hermes_poll(subscriber, message);
    while (rc == 0 && hermes_subscriber_describe(subscriber, &told) == 0 && told.awaits_broker != 0 &&
           !cli_stop) {
        if (cli_now_ns() - start >= patience_ns)
            return HERMES_ETIMEOUT;
        rc = hermes_wait(subscriber, message, slice_ns);
    }
    return rc == HERMES_EINTERRUPTED ? 0 : rc; /* cli_stop tells */
}

double cli_number(struct argp_state *state, const char *option, const char *value)
{
    char *end;
    double number = strtod(value, &end);
    if (end == value || *end != 0 || !isfinite(number))
        argp_error(state, "%s %s: not a number", option, value);
    if (number < 0)
        argp_error(state, "%s %s: it is 0 or more", option, value);
    return number;
}

const char *cli_argument(struct argp_state *state, const char *value)
{
    if (state->arg_num > 0)
        argp_usage(state);
    return value;
}

static int find_word(const char *word, const char *const names[])
{
    int i = 0;
    while (names[i] != NULL && strcmp(word, names[i]) != 0)
        i++;
    return names[i] != NULL ? i : -1;
}

/* "a, b or c" */
static void list_words(const char *const names[], char list[128])
{
    size_t used = 0;
    for (int i = 0; names[i] != NULL && used < 128; i++) {
        const char *before = i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(list + used, 128 - used, "%s%s", before, names[i]);
    }
}

int cli_choice(struct argp_state *state, const char *option, const char *value, const char *const names[])
{
    char list[128];
    int found = find_word(value, names);
    list_words(names, list);
    if (found < 0)
        argp_error(state, "%s %s: it is %s", option, value, list);
    return found;
}

int cli_word(struct argp_state *state, const char *kind, const char *word, const char *const names[])
{
    struct suggestion suggestion;
    char list[128];
    int found = find_word(word, names);
    if (found >= 0)
        return found;
    suggest_begin(&suggestion, word);
    for (int i = 0; names[i] != NULL; i++)
        suggest_look_at(&suggestion, names[i]);
    list_words(names, list);
    if (suggestion.name[0] != 0)
        argp_error(state, "no %s '%s'; did you mean %s?", kind, word, suggestion.name);
    argp_error(state, "no %s '%s': %s", kind, word, list);
    return 0;
}

void cli_refuse(struct argp_state *state, bool given, const char *option, const char *action)
{
    if (given)
        argp_error(state, "%s is of %s", option, action);
}

enum cli_payload cli_payload(struct argp_state *state, const char *value)
{
    static const char *const forms[] = {"auto", "text", "base64", NULL}; /* as enum cli_payload */
    return (enum cli_payload)cli_choice(state, "--payload", value, forms);
}

bool cli_is_damage(int error)
{
    return error == HERMES_EGONE || error == HERMES_ECHECKSUM || error == HERMES_ECORRUPT ||
           error == HERMES_EMALFORMED;
}

uint64_t cli_now_ns(void)
{
    return clock_monotonic_ns();
}

bool cli_sleep_until(uint64_t monotonic_ns)
{
    /* Not for long at a time: a signal may come between a look at cli_stop and the sleep. */
    static const uint64_t slice_ns = 250000000;
    for (uint64_t now; !cli_stop && (now = cli_now_ns()) < monotonic_ns;) {
        uint64_t until_ns = monotonic_ns - now < slice_ns ? monotonic_ns : now + slice_ns;
        struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    return !cli_stop;
}

bool cli_sleep_until_due(uint64_t start_ns, double ns)
{
    return cli_sleep_until(ns < (double)(UINT64_MAX - start_ns) ? start_ns + (uint64_t)ns : UINT64_MAX);
}
