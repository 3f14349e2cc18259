/* hermes mirror add|serve|list|remove */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/terminal.h"

static const char documentation[] =
    "Copies of topics on other brokers, over UDP: the same messages at the same\n"
    "positions, with the same sequences.\v"
    "serve TOPIC URL   send the topic from that address of this host,\n"
    "                  udp://HOST:PORT, to whoever adds it\n"
    "add TOPIC URL     make TOPIC here a copy of what is served there, and keep it\n"
    "                  one: it goes on where it was after a restart of either\n"
    "                  broker, and takes no publisher of its own. The topic is made\n"
    "                  if there is none. URL is tls://HOST:PORT, where that broker\n"
    "                  listens: it is asked for a key, and where to receive\n"
    "                  from. For multicast the URL of serve has\n"
    "                  ?group=ADDRESS:PORT&interface=NAME&ttl=N behind it, and\n"
    "                  that of add ?interface=NAME\n"
    "list              all mirrors of this broker: how far they are, what was lost\n"
    "                  on the way, sent again, and lost for good\n"
    "remove TOPIC [URL]  end it, for good; what was copied stays, and takes\n"
    "                  publishers\n"
    "\nWho asks for a key needs the right to subscribe, and shows what [mirror] ca,\n"
    "token_file, certificate and key in its hermes.conf say. Without a key, by\n"
    "udp://HOST:PORT, what is sent is neither encrypted nor authenticated: both\n"
    "brokers need [net] insecure = true."
    "\n\nExamples:\n"
    "  hermes mirror serve orders udp://127.0.0.1:7400\n"
    "  hermes mirror add orders.copy udp://127.0.0.1:7400\n"
    "  hermes mirror add quotes tls://broker.example:7443\n"
    "  hermes mirror add quotes.there udp://[::1]:7401 --durability memory\n"
    "  hermes mirror list --json\n"
    "  hermes mirror remove orders.copy" CLI_EXIT_CODES;

static const struct argp_option options[] = {
    {"durability", 'd', "KIND", 0, "add: of a topic that is made: async (default), sync or memory", 0},
    {"window", 'w', "SIZE", 0, "add: its hot window, not smaller than its source's (4M)", 0},
    {"segment", 'g', "SIZE", 0, "add: its segment files: a multiple of the window (64M)", 0},
    {"json", 'j', NULL, 0, "list as JSON", 0},
    {0},
};

enum action { ADD, SERVE, LIST, REMOVE };

struct arguments {
    enum action action;
    const char *topic, *url;
    bool json, makes;
    bool told; /* why it failed */
    hermes_topic_options_t made;
};

/* As enum action has them. */
static const char *const actions[] = {"add", "serve", "list", "remove", NULL};

static enum action action_of(struct argp_state *state, const char *word)
{
    struct suggestion suggestion;
    suggest_begin(&suggestion, word);
    for (int i = 0; actions[i] != NULL; i++) {
        if (strcmp(word, actions[i]) == 0)
            return (enum action)i;
        suggest_look_at(&suggestion, actions[i]);
    }
    if (suggestion.name[0] != 0)
        argp_error(state, "no action '%s'; did you mean %s?", word, suggestion.name);
    argp_error(state, "no action '%s': add, serve, list or remove", word);
    return LIST;
}

static void check(struct argp_state *state, const struct arguments *a)
{
    const unsigned least[] = {[ADD] = 3, [SERVE] = 3, [LIST] = 1, [REMOVE] = 2};
    const unsigned most[] = {[ADD] = 3, [SERVE] = 3, [LIST] = 1, [REMOVE] = 3};
    if (state->arg_num == 0 || state->arg_num < least[a->action] || state->arg_num > most[a->action])
        argp_usage(state);
    if (a->makes && a->action != ADD)
        argp_error(state, "--durability, --window and --segment are of add");
    if (a->json && a->action != LIST)
        argp_error(state, "--json is of list");
}

/* As enum hermes_durability has them. */
static const char *const durabilities[] = {"async", "sync", "memory", NULL};

static void take_argument(struct arguments *a, const char *value, struct argp_state *state)
{
    if (state->arg_num == 0)
        a->action = action_of(state, value);
    else if (state->arg_num == 1)
        a->topic = value;
    else if (state->arg_num == 2)
        a->url = value;
    else
        argp_usage(state);
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'd':
        a->made.durability = (enum hermes_durability)cli_choice(state, "--durability", value, durabilities);
        a->makes = true;
        return 0;
    case 'w':
        a->made.window_bytes = cli_size(state, "--window", value);
        a->makes = true;
        return 0;
    case 'g':
        a->made.segment_bytes = cli_size(state, "--segment", value);
        a->makes = true;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        take_argument(a, value, state);
        return 0;
    case ARGP_KEY_END:
        check(state, a);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *state_name(const hermes_mirror_info_t *info)
{
    static const char *const names[] = {"starting", "waiting", "active", "diverged", "failed"};
    return info->state < sizeof names / sizeof names[0] ? names[info->state] : "unknown";
}

static const char *role_name(const hermes_mirror_info_t *info)
{
    return info->role == HERMES_MIRROR_SERVES ? "serves" : "follows";
}

static void print_json(const hermes_mirror_info_t *i)
{
    printf("{\"topic\":\"%s\",\"role\":\"%s\",\"url\":", i->topic, role_name(i));
    cli_print_json_string(stdout, i->url, strlen(i->url));
    printf(",\"state\":\"%s\",\"error\":\"%s\",\"receivers\":%u,\"position\":%llu,\"lag_bytes\":%llu,"
           "\"rtt_ns\":%llu,\"datagrams\":%llu,\"bytes\":%llu,\"lost\":%llu,\"repaired\":%llu,\"gone\":%llu,"
           "\"duplicates\":%llu,\"naks\":%llu,\"overruns\":%llu,\"refused\":%llu}\n",
           state_name(i), i->error == 0 ? "" : hermes_error_name(i->error), i->receivers,
           (unsigned long long)i->position, (unsigned long long)i->lag_bytes, (unsigned long long)i->rtt_ns,
           (unsigned long long)i->datagrams, (unsigned long long)i->bytes, (unsigned long long)i->lost,
           (unsigned long long)i->repaired, (unsigned long long)i->gone, (unsigned long long)i->duplicates,
           (unsigned long long)i->naks, (unsigned long long)i->overruns, (unsigned long long)i->refused);
}

static void add_row(struct table *table, const hermes_mirror_info_t *i)
{
    table_text(table, i->topic);
    table_text(table, role_name(i));
    table_text(table, i->url);
    table_text(table, state_name(i));
    table_print(table, "%llu", (unsigned long long)i->position);
    table_print(table, "%llu", (unsigned long long)i->lag_bytes);
    table_print(table, "%.1f", (double)i->rtt_ns / 1e3);
    table_print(table, "%llu", (unsigned long long)i->lost);
    table_print(table, "%llu", (unsigned long long)i->repaired);
    table_print(table, "%llu", (unsigned long long)i->gone);
}

static int list(hermes_client_t *client, bool json)
{
    static const char *const headings[] = {"TOPIC",       "ROLE",    "URL",     "STATE",
                                           "#POSITION",   "#BEHIND", "#RTT us", "#LOST BYTES",
                                           "#SENT AGAIN", "#GONE",   NULL};
    static hermes_mirror_info_t infos[HERMES_MIRRORS_MAX];
    infos[0].size = sizeof infos[0];
    int count = hermes_mirror_list(client, infos, HERMES_MIRRORS_MAX);
    struct table table;
    table_begin(&table, headings);
    for (int i = 0; i < count; i++)
        if (json)
            print_json(&infos[i]);
        else
            add_row(&table, &infos[i]);
    if (!json && !table_end(&table, stdout, terminal_columns(STDOUT_FILENO)))
        return HERMES_ENOMEM;
    return count;
}

/* The topic is made where there is none. */
static int add(hermes_client_t *client, struct arguments *a)
{
    int rc = hermes_topic_create(client, a->topic, &a->made);
    if (rc < 0 && rc != HERMES_EEXISTS)
        return rc;
    bool made = rc == 0;
    rc = hermes_mirror_add(client, a->topic, HERMES_MIRROR_FOLLOWS, a->url);
    if (rc == 0 || !made)
        return rc;
    cli_fail_topic(client, a->topic, rc);
    a->told = true;
    (void)hermes_topic_delete(client, a->topic); /* nothing is left behind */
    return rc;
}

static int act(hermes_client_t *client, struct arguments *a)
{
    switch (a->action) {
    case ADD:
        return add(client, a);
    case SERVE:
        return hermes_mirror_add(client, a->topic, HERMES_MIRROR_SERVES, a->url);
    case REMOVE:
        return hermes_mirror_remove(client, a->topic, a->url);
    default:
        return list(client, a->json);
    }
}

int cli_mirror(int argc, char **argv)
{
    struct arguments a = {.made = {.size = sizeof a.made}};
    const struct argp argp = {options, parse, "ACTION [TOPIC [URL]]", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    hermes_client_t *client = cli_connect();
    int rc = act(client, &a);
    if (rc < 0 && a.topic != NULL && !a.told)
        cli_fail_topic(client, a.topic, rc);
    else if (rc < 0 && !a.told)
        cli_fail(NULL, rc, hermes_last_error(client));
    hermes_disconnect(client);
    return rc < 0 ? EXIT_FAILED : EXIT_GOOD;
}
