/* hermes topic create|list|info|alter|delete */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/table.h"
#include "cli/terminal.h"

static const char documentation[] =
    "Create, list, describe, alter, purge and delete topics.\v"
    "create NAME   make a topic: exclusive (one publisher at a time) and async\n"
    "              unless told otherwise\n"
    "list          all topics, one a line\n"
    "info NAME     everything about one topic\n"
    "alter NAME    change retention or what a full disk does, while the topic is\n"
    "              used\n"
    "purge NAME    drop all messages that are in it, for good, while it is used;\n"
    "              positions and sequences go on. Who was to read them is told, and\n"
    "              goes on with the next that is published; groups keep their\n"
    "              place, and count them as lost. Disk space comes back in whole\n"
    "              segments\n"
    "delete NAME   the topic and all it stored; refused while it has a publisher"
    "\n\nExamples:\n"
    "  hermes topic create orders\n"
    "  hermes topic create quotes --shared --durability memory --window 16M\n"
    "  hermes topic list\n"
    "  hermes topic info orders --json\n"
    "  hermes topic alter orders --keep-age 7d\n"
    "  hermes topic purge orders\n"
    "  hermes topic delete quotes" CLI_EXIT_CODES;

static const struct argp_option options[] = {
    {"shared", 's', NULL, 0, "Any number of publishers, in one order", 0},
    {"durability", 'd', "KIND", 0, "async (default), sync or memory", 0},
    {"window", 'w', "SIZE", 0, "Hot window: a power of two, 256K to 1G (4M)", 0},
    {"segment", 'g', "SIZE", 0, "Segment file: a multiple of the window (64M)", 0},
    {"keep-bytes", 'b', "SIZE", 0, "Remove old segments, but keep so many bytes (0: all)", 0},
    {"keep-age", 'a', "TIME", 0, "Remove segments whose messages are all older, say 7d (0: none)", 0},
    {"when-full", 'f', "error|wait", 0, "What publishers do when the disk is full (error)", 0},
    {"push-back", 'p', NULL, 0, "create: publishers wait for subscribers that ask for it", 0},
    {"json", 'j', NULL, 0, "list and info as JSON", 0},
    {0},
};

enum action { CREATE, LIST, INFO, ALTER, PURGE, DELETE };

struct arguments {
    enum action action;
    const char *name;
    bool json, has_durability;
    uint32_t altered; /* enum hermes_alter */
    hermes_topic_options_t topic;
};

/* As enum action has them. */
static const char *const actions[] = {"create", "list", "info", "alter", "purge", "delete", NULL};

static void check(struct argp_state *state, const struct arguments *a)
{
    const bool makes = a->action == CREATE, alters = a->action == ALTER;
    if (state->arg_num == 0 || (a->action == LIST) != (a->name == NULL))
        argp_usage(state);
    cli_refuse(state, a->topic.shared && !makes, "--shared", "create");
    cli_refuse(state, a->has_durability && !makes, "--durability", "create");
    cli_refuse(state, a->topic.window_bytes != 0 && !makes, "--window", "create");
    cli_refuse(state, a->topic.segment_bytes != 0 && !makes, "--segment", "create");
    cli_refuse(state, a->topic.push_back && !makes, "--push-back", "create");
    cli_refuse(state, a->altered != 0 && !makes && !alters, "--keep-bytes, --keep-age or --when-full",
               "create and alter");
    cli_refuse(state, a->json && a->action != LIST && a->action != INFO, "--json", "list and info");
    if (alters && a->altered == 0)
        argp_error(state, "alter what? --keep-bytes, --keep-age or --when-full");
}

/* As enum hermes_durability has them. */
static const char *const durabilities[] = {"async", "sync", "memory", NULL};
static const char *const when_full[] = {"error", "wait", NULL};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 's':
        a->topic.shared = 1;
        return 0;
    case 'd':
        a->topic.durability = (enum hermes_durability)cli_choice(state, "--durability", value, durabilities);
        a->has_durability = true;
        return 0;
    case 'w':
        a->topic.window_bytes = cli_size(state, "--window", value);
        if (a->topic.window_bytes == 0)
            argp_error(state, "--window 0: it is a power of two from 256K to 1G");
        return 0;
    case 'g':
        a->topic.segment_bytes = cli_size(state, "--segment", value);
        if (a->topic.segment_bytes == 0)
            argp_error(state, "--segment 0: it is a multiple of the window, 1M to 1024G");
        return 0;
    case 'b':
        a->topic.keep_bytes = cli_size(state, "--keep-bytes", value);
        a->altered |= HERMES_ALTER_KEEP_BYTES;
        return 0;
    case 'a':
        a->topic.keep_ns = cli_duration(state, "--keep-age", value);
        a->altered |= HERMES_ALTER_KEEP_NS;
        return 0;
    case 'f':
        a->topic.full_waits = cli_choice(state, "--when-full", value, when_full) == 1;
        a->altered |= HERMES_ALTER_FULL_WAITS;
        return 0;
    case 'p':
        a->topic.push_back = 1;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            a->action = (enum action)cli_word(state, "action", value, actions);
        else if (state->arg_num == 1)
            a->name = value;
        else
            argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        check(state, a);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *durability(const hermes_topic_info_t *info)
{
    return info->durability <= HERMES_DURABILITY_MEMORY ? durabilities[info->durability] : "unknown";
}

static void print_json(const hermes_topic_info_t *i)
{
    printf(
        "{\"name\":\"%s\",\"shared\":%s,\"durability\":\"%s\",\"window_bytes\":%llu,\"segment_bytes\":%llu,"
        "\"last_sequence\":%llu,\"first_position\":%llu,\"committed_position\":%llu,"
        "\"persisted_position\":%llu,\"durable_position\":%llu,\"epoch\":%u,\"publishers\":%u,"
        "\"subscribers\":%u,\"failed\":%s,\"full\":%s,\"refused\":%llu,\"corrupt\":%llu,\"keep_bytes\":%llu,"
        "\"keep_ns\":%llu,\"when_full\":\"%s\",\"push_back\":%s,\"waited_for\":%u}\n",
        i->name, i->shared ? "true" : "false", durability(i), (unsigned long long)i->window_bytes,
        (unsigned long long)i->segment_bytes, (unsigned long long)i->last_sequence,
        (unsigned long long)i->first_position, (unsigned long long)i->committed_position,
        (unsigned long long)i->persisted_position, (unsigned long long)i->durable_position, i->epoch,
        i->publishers, i->subscribers, i->failed ? "true" : "false", i->full ? "true" : "false",
        (unsigned long long)i->refused, (unsigned long long)i->corrupt, (unsigned long long)i->keep_bytes,
        (unsigned long long)i->keep_ns, i->full_waits ? "wait" : "error", i->push_back ? "true" : "false",
        i->waited_for);
}

static void print_info(const hermes_topic_info_t *i)
{
    printf("topic        %s\nkind         %s, %s\nmessages     %llu\nfirst        position %llu\n"
           "committed    position %llu\npersisted    position %llu\ndurable      position %llu\n"
           "window       %llu bytes, epoch %u\nsegment      %llu bytes\npublishers   %u\nsubscribers  %u\n",
           i->name, i->shared ? "shared" : "exclusive", durability(i), (unsigned long long)i->last_sequence,
           (unsigned long long)i->first_position, (unsigned long long)i->committed_position,
           (unsigned long long)i->persisted_position, (unsigned long long)i->durable_position,
           (unsigned long long)i->window_bytes, i->epoch, (unsigned long long)i->segment_bytes, i->publishers,
           i->subscribers);
    if (i->push_back)
        printf("push-back    publishers wait for %u of them\n", i->waited_for);
    if (i->keep_bytes != 0)
        printf("retention    %llu bytes at least\n", (unsigned long long)i->keep_bytes);
    if (i->keep_ns != 0)
        printf("retention    %.0f seconds at least\n", (double)i->keep_ns / 1e9);
    if (i->full)
        puts("state        FULL: no room on the disk; it goes on by itself when there is");
    if (i->corrupt)
        printf("corrupt      %llu damaged frames found (hermes verify)\n", (unsigned long long)i->corrupt);
    if (i->failed)
        puts("state        FAILED: the store refused a write; see the broker's messages");
    if (i->refused)
        printf("refused      %llu malformed frames\n", (unsigned long long)i->refused);
}

static void add_row(struct table *table, const hermes_topic_info_t *t)
{
    table_text(table, t->name);
    table_text(table, t->shared ? "shared" : "exclusive");
    table_text(table, durability(t));
    table_print(table, "%llu", (unsigned long long)t->last_sequence);
    table_print(table, "%llu", (unsigned long long)(t->committed_position - t->first_position));
    table_print(table, "%u", t->publishers);
    table_print(table, "%u", t->subscribers);
}

static int list(hermes_client_t *client, bool json)
{
    static const char *const headings[] = {"TOPIC",  "KIND",  "DURABLE", "#MESSAGES",
                                           "#BYTES", "#PUBS", "#SUBS",   NULL};
    enum { PAGE = 128 };
    hermes_topic_info_t *infos = calloc(PAGE, sizeof *infos);
    if (infos != NULL)
        infos[0].size = sizeof *infos;
    char after[128] = "";
    int count = infos == NULL ? HERMES_ENOMEM : 0;
    struct table table;
    table_begin(&table, headings);
    while (infos != NULL && (count = hermes_topic_list(client, after, infos, PAGE)) > 0) {
        for (int i = 0; i < count; i++)
            if (json)
                print_json(&infos[i]);
            else
                add_row(&table, &infos[i]);
        memcpy(after, infos[count - 1].name, sizeof after);
    }
    free(infos);
    if (!json && !table_end(&table, stdout, terminal_columns(STDOUT_FILENO)))
        return HERMES_ENOMEM;
    return count;
}

static int act(hermes_client_t *client, const struct arguments *a)
{
    hermes_topic_info_t info = {.size = sizeof info};
    int rc;
    switch (a->action) {
    case CREATE:
        return hermes_topic_create(client, a->name, &a->topic);
    case ALTER:
        return hermes_topic_alter(client, a->name, a->altered, &a->topic);
    case PURGE:
        return hermes_topic_purge(client, a->name);
    case DELETE:
        return hermes_topic_delete(client, a->name);
    case LIST:
        return list(client, a->json);
    default:
        rc = hermes_topic_describe(client, a->name, &info);
        if (rc == 0)
            (a->json ? print_json : print_info)(&info);
        return rc;
    }
}

int cli_topic(int argc, char **argv)
{
    struct arguments a = {.topic = {.size = sizeof a.topic}};
    const struct argp argp = {options, parse, "ACTION [NAME]", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    hermes_client_t *client = cli_connect();
    int rc = act(client, &a);
    if (rc < 0 && a.name != NULL)
        cli_fail_topic(client, a.name, rc);
    else if (rc < 0)
        cli_fail(NULL, rc, hermes_last_error(client));
    hermes_disconnect(client);
    return rc < 0 ? EXIT_FAILED : EXIT_GOOD;
}
