/* hermes sub TOPIC */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/template.h"
#include "cli/when.h"

static const char documentation[] =
    "Print the messages of a topic.\v"
    "--from says where to begin: first (the oldest there is), end (what comes from now on; the default), "
    "seq:N, or time:T with T one of " WHEN_TIME ". --last N begins with the newest N.\n\n"
    "--group and --name are made if they are not there, and then begin at --from (first or end); those that "
    "are go on where they stand, whatever --from says. With them a message counts as done once it is "
    "printed; with --ack none, when it is received.\n\n"
    "Formats:\n"
    "  lines     the payload and a newline; on a terminal control characters and\n"
    "            what is no UTF-8 stand there as \\xNN\n"
    "  raw, hex  the payload alone; in hexadecimal, a line each\n"
    "  json      one object a line, as hermes pub --json takes it: a payload that\n"
    "            is UTF-8 stands there as text, any other in base64, with\n"
    "            \"encoding\":\"base64\" beside it; --payload text or base64 makes all\n"
    "            alike, and text puts U+FFFD where bytes are no UTF-8\n"
    "  '%o %s\\n'  a template, as kcat has it:\n"
    "            " TEMPLATE_FIELDS ",\n"
    "            " TEMPLATE_TIMES "; \\n \\r \\t \\\\ and \\xHH\n\n"
    "Runs until --count messages, --timeout seconds without one, or Ctrl-C; ends as soon as nobody reads its "
    "output any more, too. Waits for a broker that goes away, and says so on standard error.\n\n"
    "Examples:\n"
    "  hermes sub orders\n"
    "  hermes sub orders --last 10 --timeout 0\n"
    "  hermes sub orders --from time:-5m --count 1\n"
    "  hermes sub orders --from first --timeout 0 --format '%o %D %s\\n'\n"
    "  hermes sub orders --group billing --from first --count 2\n\n"
    "Exit codes: 0 done; 1 failed, or messages were lost or damaged; 64 wrong usage.";

static const struct argp_option options[] = {
    {"from", 'f', "WHERE", 0, "first, end, seq:N or time:T; with --name last as well: where it stands", 0},
    {"last", 'l', "N", 0, "From the newest N messages on", 0},
    {"group", 'g', "GROUP", 0, "Share the messages with the group's other members", 0},
    {"ack", 'a', "auto|none", 0, "Members: at least once (auto, the default) or at most once", 0},
    {"name", 'N', "NAME", 0, "A durable subscription: goes on where it stood", 0},
    {"push-back", 'p', NULL, 0, "Publishers of a push-back topic wait for this subscriber", 0},
    {"count", 'n', "N", 0, "Stop after N messages", 0},
    {"timeout", 't', "S", 0, "Stop after S seconds without a message", 0},
    {"format", 'o', "FORMAT", 0, "lines, raw, hex, json, or a template such as '%o %s\\n'", 0},
    {"json", 'j', NULL, 0, "As --format json", 0},
    {"payload", 'P', "FORM", 0, "json: text, base64 or auto (as text where it is UTF-8)", 0},
    {0},
};

enum format { FORMAT_LINES, FORMAT_RAW, FORMAT_HEX, FORMAT_JSON, FORMAT_TEMPLATE };

struct arguments {
    const char *topic;
    const char *group, *name;
    bool at_most_once, has_ack, has_from, has_last, push_back;
    struct cli_from from;
    uint64_t count, last;
    double timeout;
    enum format format;
    const char *template;
    enum cli_payload payload;
    bool has_payload, visible;
};

static void check(struct argp_state *state, const struct arguments *a)
{
    if (a->group != NULL && a->name != NULL)
        argp_error(state, "--group and --name are two things: members share messages, a name is one's own");
    if (a->has_ack && a->group == NULL)
        argp_error(state, "--ack is for members of a group (--group)");
    if (a->push_back && a->group != NULL)
        argp_error(state, "--push-back is of one subscriber: publishers do not wait for members of a group");
    if (a->has_payload && a->format != FORMAT_JSON)
        argp_error(state, "--payload is of --format json");
    if (a->has_last && (a->has_from || a->group != NULL || a->name != NULL))
        argp_error(state,
                   "--last says where to begin: not with --from, and not with --group or --name, which go on "
                   "where they stand");
    if (a->has_from && a->from.kind == CLI_FROM_LAST && a->name == NULL)
        argp_error(state, "--from last: whose last? --name NAME keeps where it stands");
    if ((a->group != NULL || a->name != NULL) &&
        (a->from.kind == CLI_FROM_SEQUENCE || a->from.kind == CLI_FROM_TIME))
        argp_error(state,
                   "a group or durable subscription begins at the first message or at the end, and then "
                   "goes on where it stands; hermes group reset moves it");
}

static void set_format(struct argp_state *state, struct arguments *a, const char *value)
{
    static const char *const formats[] = {"lines", "raw", "hex", "json", "a template ('%s\\n')", NULL};
    if (!template_is(value)) {
        a->format = (enum format)cli_choice(state, "--format", value, formats);
        return;
    }
    const char *wrong = template_wrong(value);
    if (wrong != NULL)
        argp_error(state, "--format: '%.2s' is none of %s; nor \\n, \\r, \\t, \\\\, \\xHH", wrong,
                   TEMPLATE_LETTERS);
    a->format = FORMAT_TEMPLATE;
    a->template = value;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    static const char *const acks[] = {"auto", "none", NULL};
    struct arguments *a = state->input;
    switch (key) {
    case 'f':
        a->from = cli_from(state, "--from", value);
        a->has_from = true;
        return 0;
    case 'g':
        a->group = value;
        return 0;
    case 'p':
        a->push_back = true;
        return 0;
    case 'N':
        a->name = value;
        return 0;
    case 'a':
        a->at_most_once = cli_choice(state, "--ack", value, acks) == 1;
        a->has_ack = true;
        return 0;
    case 'n':
        a->count = cli_count(state, "--count", value, UINT64_MAX);
        return 0;
    case 't':
        a->timeout = cli_number(state, "--timeout", value);
        return 0;
    case 'l':
        a->last = cli_count(state, "--last", value, UINT64_MAX);
        a->has_last = true;
        return 0;
    case 'o':
        set_format(state, a, value);
        return 0;
    case 'j':
        a->format = FORMAT_JSON;
        return 0;
    case 'P':
        a->payload = cli_payload(state, value);
        a->has_payload = true;
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

static void print(const struct arguments *a, const hermes_message_t *message)
{
    const uint8_t *bytes = message->payload;
    switch (a->format) {
    case FORMAT_LINES:
        if (a->visible)
            cli_print_visible(stdout, bytes, message->length);
        else
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
        cli_print_message_json(stdout, a->topic, message, a->payload);
        break;
    case FORMAT_TEMPLATE:
        template_print(stdout, a->template, a->topic, message);
        break;
    }
}

/* The newest there are now, and what comes behind them; fewer where fewer are kept. */
static int seek_last(hermes_client_t *client, hermes_subscriber_t *subscriber, const struct arguments *a)
{
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = hermes_topic_describe(client, a->topic, &info);
    if (rc < 0)
        return rc;
    return hermes_seek_sequence(subscriber,
                                info.last_sequence > a->last ? info.last_sequence - a->last + 1 : 1);
}

/* What is printed is done only once it is written: who is killed before prints it again. */
static int open_subscriber(hermes_client_t *client, const struct arguments *a, hermes_subscriber_t **out)
{
    bool member = a->group != NULL || a->name != NULL;
    hermes_subscriber_options_t how = {
        .size = sizeof how,
        .group = a->group,
        .name = a->name,
        .from = a->from.kind == CLI_FROM_FIRST ? HERMES_FROM_FIRST : HERMES_FROM_END,
        .ack = a->at_most_once ? HERMES_ACK_NONE
               : member        ? HERMES_ACK_MANUAL
                               : HERMES_ACK_AUTO,
        .flags = a->push_back ? HERMES_SUBSCRIBE_PUSH_BACK : 0,
    };
    int rc = hermes_subscriber_open(client, a->topic, &how, out);
    if (rc < 0 || member)
        return rc;
    return a->has_last ? seek_last(client, *out, a) : cli_seek(*out, a->from);
}

/* Whoever misspells a group gets one of that name, and nothing of what the group meant has: it is said. */
static bool is_new(hermes_client_t *client, const struct arguments *a)
{
    hermes_group_info_t info = {.size = sizeof info};
    const char *name = a->group != NULL ? a->group : a->name;
    return name != NULL && hermes_group_describe(client, a->topic, name, &info) == HERMES_ENOTFOUND;
}

static void tell_new(const struct arguments *a)
{
    const char *name = a->group != NULL ? a->group : a->name;
    fprintf(stderr,
            "hermes sub: %s '%s' of topic '%s' was not there, and was made (hermes group delete %s %s)\n",
            a->group != NULL ? "group" : "durable subscription", name, a->topic, a->topic, name);
}

/* ---- waiting ---- */

static const uint64_t slice_ns = 250000000;

/* What may have changed while nothing came: whether anybody reads what we print, whether the broker is there.
 */
struct outlook {
    hermes_client_t *client;
    uint64_t next_ns; /* the next look */
    bool is_alone;    /* without a broker; it was told */
};

static void look_around(struct outlook *outlook)
{
    uint64_t now = cli_now_ns();
    if (now < outlook->next_ns)
        return;
    outlook->next_ns = now + slice_ns;
    cli_look_for_reader();
    bool is_alone = hermes_is_connected(outlook->client) == 0;
    if (is_alone != outlook->is_alone)
        fputs(is_alone ? "hermes sub: the broker is away; waiting for it\n"
                       : "hermes sub: the broker is back\n",
              stderr);
    outlook->is_alone = is_alone;
}

/* Not for long at a time: a signal may come between a look at cli_stop and the sleep. */
static int wait_for(struct outlook *outlook, hermes_subscriber_t *subscriber, hermes_message_t *message,
                    uint64_t timeout_ns)
{
    uint64_t start = cli_now_ns(), waited = 0;
    int rc;
    do {
        uint64_t left = timeout_ns - waited;
        look_around(outlook);
        rc = hermes_wait(subscriber, message, left < slice_ns ? left : slice_ns);
        waited = cli_now_ns() - start;
    } while ((rc == 0 || rc == HERMES_EDISCONNECTED) && waited < timeout_ns && !cli_stop && cli_flush(false));
    return rc;
}

int cli_sub(int argc, char **argv)
{
    struct arguments a = {.count = UINT64_MAX, .timeout = INFINITY};
    const struct argp argp = {options, parse, "TOPIC", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    a.visible = cli_is_terminal(stdout);
    hermes_client_t *client = cli_connect();
    struct outlook outlook = {.client = client};
    hermes_subscriber_t *subscriber;
    bool makes = is_new(client, &a);
    int rc = open_subscriber(client, &a, &subscriber);
    if (rc == 0 && makes)
        tell_new(&a);
    cli_catch_signals(); /* not before: a broker that stands does not keep anybody */
    bool acks = a.name != NULL || (a.group != NULL && !a.at_most_once);
    uint64_t timeout_ns = isinf(a.timeout) || a.timeout > 1e9 ? HERMES_FOREVER : (uint64_t)(a.timeout * 1e9);
    bool damaged = false;
    for (uint64_t seen = 0; rc >= 0 && seen < a.count && !cli_stop && cli_flush(false);) {
        hermes_message_t message;
        rc = cli_next(subscriber, &message);
        if (rc == 0 || rc == HERMES_EDISCONNECTED) {
            cli_flush(true); /* before sleeping, never for each message of a burst */
            rc = wait_for(&outlook, subscriber, &message, timeout_ns);
            if (rc == 0)
                break;
        }
        if (rc > 0) {
            print(&a, &message);
            seen++;
            if (acks && cli_flush(true) && (rc = hermes_ack(subscriber, &message)) == HERMES_EEXPIRED)
                rc = cli_fail(a.topic, rc, hermes_last_error(client)); /* it comes again: no reason to end */
        } else if (rc == HERMES_EINTERRUPTED) {
            rc = 0;
        } else if (cli_is_damage(rc)) {
            damaged = true;
            cli_fail(a.topic, rc, hermes_last_error(client));
            rc = 0;
        }
    }
    if (rc < 0)
        cli_fail_topic(client, a.topic, rc);
    hermes_disconnect(client);
    return rc < 0 || damaged ? EXIT_FAILED : EXIT_GOOD;
}
