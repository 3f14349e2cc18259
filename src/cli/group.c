/* hermes group create|list|info|reset|alter|delete|dead */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/table.h"
#include "cli/terminal.h"

static const char documentation[] =
    "Create, list, describe, reset, alter and delete consumer groups and durable subscriptions, and see "
    "what a group gave up.\v"
    "create TOPIC NAME  make a group; hermes sub --group NAME makes one as well,\n"
    "                   with the defaults\n"
    "list [TOPIC]       all groups and durable subscriptions, of a topic or of all\n"
    "info TOPIC NAME    everything about one: where it stands, what is in flight,\n"
    "                   what came again\n"
    "reset TOPIC NAME   set it to --from; what its members hold counts no more;\n"
    "                   refused while messages before that are dead and cannot be\n"
    "                   put into the dead-letter topic\n"
    "alter TOPIC NAME   change --lease or --max-deliveries, while the group is used\n"
    "delete TOPIC NAME  refused while it has members, those among them that may\n"
    "                   come back after a crash of the broker, and while dead\n"
    "                   messages cannot be put into the dead-letter topic\n"
    "dead TOPIC NAME    what the group gave up, from its dead-letter topic: the\n"
    "                   sequence that a message had in TOPIC, when it died, how\n"
    "                   often it was given out\n\n"
    "dead --requeue publishes those messages in TOPIC again, the payload as it was. All groups and "
    "subscribers of TOPIC get them, with new sequences and time stamps, behind what is there. How far it "
    "came is remembered in the dead-letter topic, by a durable subscription named requeue.NAME.HASH: a "
    "second call goes on behind the last letter that was put back. Each is put back at least once: it is "
    "published, stored as TOPIC's durability says, and then remembered, and then comes the next. So a call "
    "that is killed makes the next one repeat one letter at most; a power cut, those of the last tenth of a "
    "second before it. --sequence picks some messages, put back already or not, and changes nothing of what "
    "is remembered. A letter that was cut, because the message was longer than 65,216 bytes, is told and "
    "passed over, and the exit code is 1."
    "\n\nExamples:\n"
    "  hermes group create orders billing --dead-letter orders.dead -m 5\n"
    "  hermes group list\n"
    "  hermes group info orders billing\n"
    "  hermes group reset orders billing --from time:-1h\n"
    "  hermes group dead orders billing --requeue\n"
    "  hermes group delete orders billing" CLI_EXIT_CODES;

static const struct argp_option options[] = {
    {"from", 'f', "WHERE", 0,
     "create: where it begins, first, end (default), seq:N or time:T; reset: where it is set to", 0},
    {"lease", 'l', "TIME", 0, "How long a member may have a message before another gets it (30s)", 0},
    {"max-deliveries", 'm', "N", 0, "After so many it goes to the dead-letter topic (0: no limit)", 0},
    {"dead-letter", 'd', "TOPIC", 0, "create: that topic, shared, made if need be; else they are dropped", 0},
    {"span", 's', "SIZE", 0, "create: how far apart in the log messages in flight may be (4M)", 0},
    {"durable", 'n', NULL, 0, "create: a durable subscription, for one subscriber at a time", 0},
    {"requeue", 'r', NULL, 0, "dead: put them back into TOPIC, those that were not put back before", 0},
    {"sequence", 'q', "N", 0, "dead: the message that had this sequence in TOPIC; up to 64 times", 0},
    {"json", 'j', NULL, 0, "list, info and dead as JSON, a line for each; dead has the payloads", 0},
    {"payload", 'P', "FORM", 0, "dead --json: text, base64 or auto (as text where it is UTF-8)", 0},
    {0},
};

enum action { CREATE, LIST, INFO, RESET, ALTER, DELETE, DEAD };

struct arguments {
    enum action action;
    const char *topic, *name;
    struct cli_from from;
    bool json, has_from, has_payload;
    struct cli_dead dead;
    uint32_t altered; /* enum hermes_group_alter */
    hermes_group_options_t group;
};

static void check_options(struct argp_state *state, const struct arguments *a)
{
    const bool makes = a->action == CREATE, alters = a->action == ALTER, resets = a->action == RESET;
    cli_refuse(state, a->has_from && !makes && !resets, "--from", "create and reset");
    cli_refuse(state, a->altered != 0 && !makes && !alters, "--lease or --max-deliveries",
               "create and alter");
    cli_refuse(state, a->group.dead_letter != NULL && !makes, "--dead-letter", "create");
    cli_refuse(state, a->group.span_bytes != 0 && !makes, "--span", "create");
    cli_refuse(state, a->group.durable != 0 && !makes, "--durable", "create");
    cli_refuse(state, a->dead.requeue && a->action != DEAD, "--requeue", "dead");
    cli_refuse(state, a->dead.count > 0 && a->action != DEAD, "--sequence", "dead");
    cli_refuse(state, a->json && a->action != LIST && a->action != INFO && a->action != DEAD, "--json",
               "list, info and dead");
    cli_refuse(state, a->has_payload && (a->action != DEAD || !a->json), "--payload", "dead --json");
}

static void check(struct argp_state *state, const struct arguments *a)
{
    if (state->arg_num == 0 || (a->action != LIST && a->name == NULL))
        argp_usage(state);
    if (a->action == LIST && a->name != NULL)
        argp_usage(state);
    check_options(state, a);
    if (a->action == RESET && !a->has_from)
        argp_error(state, "reset to what? --from first, end, seq:N or time:T");
    if (a->action == ALTER && a->altered == 0)
        argp_error(state, "alter what? --lease or --max-deliveries");
}

static void add_sequence(struct argp_state *state, struct cli_dead *dead, const char *value)
{
    enum { MOST = sizeof dead->sequences / sizeof dead->sequences[0] };
    uint64_t sequence = cli_count(state, "--sequence", value, UINT64_MAX);
    if (sequence == 0)
        argp_error(state, "--sequence 0: sequences begin with 1");
    if (dead->count == MOST)
        argp_error(state, "--sequence: at most %d of them", MOST);
    dead->sequences[dead->count++] = sequence;
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    static const char *const actions[] = {"create", "list", "info", "reset", "alter", "delete", "dead", NULL};
    struct arguments *a = state->input;
    switch (key) {
    case 'f':
        a->from = cli_from(state, "--from", value);
        a->has_from = true;
        if (a->from.kind == CLI_FROM_LAST)
            argp_error(state, "--from last is where it stands already");
        return 0;
    case 'l':
        a->group.lease_ns = cli_duration(state, "--lease", value);
        if (a->group.lease_ns == 0)
            argp_error(state, "--lease %s: it is from 10ms to 24h", value);
        a->altered |= HERMES_GROUP_LEASE;
        return 0;
    case 'm': /* what the broker can count it says itself */
        a->group.max_deliveries = (uint32_t)cli_count(state, "--max-deliveries", value, UINT32_MAX);
        a->altered |= HERMES_GROUP_DELIVERIES;
        return 0;
    case 'd':
        a->group.dead_letter = value;
        return 0;
    case 's':
        a->group.span_bytes = cli_size(state, "--span", value);
        if (a->group.span_bytes == 0)
            argp_error(state, "--span %s: it is above 0", value);
        return 0;
    case 'n':
        a->group.durable = 1;
        return 0;
    case 'r':
        a->dead.requeue = true;
        return 0;
    case 'q':
        add_sequence(state, &a->dead, value);
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case 'P':
        a->dead.payload = cli_payload(state, value);
        a->has_payload = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            a->action = (enum action)cli_word(state, "action", value, actions);
        else if (state->arg_num == 1)
            a->topic = value;
        else if (state->arg_num == 2)
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

/* ---- printing ---- */

static unsigned long long behind(const hermes_topic_info_t *topic, const hermes_group_info_t *g)
{
    return topic->last_sequence > g->last_sequence ? topic->last_sequence - g->last_sequence : 0;
}

static void print_json(const hermes_topic_info_t *topic, const hermes_group_info_t *g)
{
    printf("{\"topic\":\"%s\",\"name\":\"%s\",\"kind\":\"%s\",\"uid\":%u,\"members\":%u,\"behind\":%llu,"
           "\"position\":%llu,\"done_position\":%llu,\"last_sequence\":%llu,\"in_flight\":%llu,"
           "\"redelivered\":%llu,\"expired\":%llu,\"dead\":%llu,\"lost\":%llu",
           topic->name, g->name, g->durable ? "durable" : "group", g->uid, g->members, behind(topic, g),
           (unsigned long long)g->position, (unsigned long long)g->done_position,
           (unsigned long long)g->last_sequence, (unsigned long long)g->in_flight,
           (unsigned long long)g->redelivered, (unsigned long long)g->expired, (unsigned long long)g->dead,
           (unsigned long long)g->lost);
    if (!g->durable)
        printf(",\"lease_ns\":%llu,\"max_deliveries\":%u,\"dead_letter\":\"%s\",\"span_bytes\":%llu",
               (unsigned long long)g->lease_ns, g->max_deliveries, g->dead_letter,
               (unsigned long long)g->span_bytes);
    puts("}");
}

static void print_lost(uint64_t lost)
{
    char text[160];
    snprintf(
        text, sizeof text,
        "%llu messages: overwritten, removed or damaged before anybody got them, or before they came again",
        (unsigned long long)lost);
    int label = printf("lost         ");
    terminal_print_wrapped(text, (unsigned)label, terminal_columns(STDOUT_FILENO));
}

static void print_info(const hermes_topic_info_t *topic, const hermes_group_info_t *g)
{
    printf("name         %s\nkind         %s of topic %s\nowner        user %u\nmembers      %u\n"
           "position     %llu, behind message %llu\nbehind       %llu messages\n",
           g->name, g->durable ? "durable subscription" : "group", topic->name, g->uid, g->members,
           (unsigned long long)g->position, (unsigned long long)g->last_sequence, behind(topic, g));
    if (g->lost > 0)
        print_lost(g->lost);
    if (g->durable)
        return;
    printf("done         up to position %llu\nin flight    %llu messages, within %llu bytes\n"
           "lease        %.3g seconds\nredelivered  %llu times; %llu lease%s ran out\n",
           (unsigned long long)g->done_position, (unsigned long long)g->in_flight,
           (unsigned long long)g->span_bytes, (double)g->lease_ns / 1e9, (unsigned long long)g->redelivered,
           (unsigned long long)g->expired, g->expired == 1 ? "" : "s");
    if (g->max_deliveries == 0)
        puts("deliveries   no limit");
    else
        printf("deliveries   at most %u, then %s%s; %llu messages so far\n", g->max_deliveries,
               g->dead_letter[0] != 0 ? "to topic " : "dropped", g->dead_letter, (unsigned long long)g->dead);
}

static void add_row(struct table *table, const hermes_topic_info_t *topic, const hermes_group_info_t *g)
{
    table_text(table, topic->name);
    table_text(table, g->name);
    table_text(table, g->durable ? "durable" : "group");
    table_print(table, "%u", g->members);
    table_print(table, "%llu", behind(topic, g));
    table_print(table, "%llu", (unsigned long long)g->in_flight);
    table_print(table, "%llu", (unsigned long long)g->redelivered);
    table_print(table, "%llu", (unsigned long long)g->dead);
}

/* table NULL: as JSON. */
static int list_of(hermes_client_t *client, const hermes_topic_info_t *topic, struct table *table)
{
    enum { PAGE = 32 };
    hermes_group_info_t infos[PAGE];
    infos[0].size = sizeof infos[0];
    char after[128] = "";
    int count;
    while ((count = hermes_group_list(client, topic->name, after, infos, PAGE)) > 0) {
        for (int i = 0; i < count; i++)
            if (table != NULL)
                add_row(table, topic, &infos[i]);
            else
                print_json(topic, &infos[i]);
        memcpy(after, infos[count - 1].name, sizeof after);
    }
    return count;
}

static int list_all(hermes_client_t *client, const struct arguments *a, struct table *table)
{
    hermes_topic_info_t topic = {.size = sizeof topic};
    if (a->topic != NULL) {
        int rc = hermes_topic_describe(client, a->topic, &topic);
        return rc < 0 ? rc : list_of(client, &topic, table);
    }
    int count, rc = 0;
    char after[128] = "";
    while (rc >= 0 && (count = hermes_topic_list(client, after, &topic, 1)) > 0) {
        memcpy(after, topic.name, sizeof after);
        rc = list_of(client, &topic, table);
        if (rc == HERMES_ENOTFOUND) /* deleted meanwhile */
            rc = 0;
    }
    return rc < 0 ? rc : count;
}

static int list(hermes_client_t *client, const struct arguments *a)
{
    static const char *const headings[] = {"TOPIC",      "NAME",   "KIND",  "#MEMBERS", "#BEHIND",
                                           "#IN FLIGHT", "#AGAIN", "#DEAD", NULL};
    struct table table;
    if (a->json)
        return list_all(client, a, NULL);
    table_begin(&table, headings);
    int rc = list_all(client, a, &table);
    return table_end(&table, stdout, terminal_columns(STDOUT_FILENO)) ? rc : HERMES_ENOMEM;
}

/* ---- acting ---- */

/* Where --from is in the topic. */
static int find_position(hermes_client_t *client, struct arguments *a)
{
    if (a->from.kind == CLI_FROM_END || a->from.kind == CLI_FROM_FIRST) {
        a->group.from = a->from.kind == CLI_FROM_END ? HERMES_FROM_END : HERMES_FROM_FIRST;
        return 0;
    }
    hermes_subscriber_t *subscriber;
    hermes_message_t message = {.position = 0};
    int rc = hermes_subscriber_open(client, a->topic, NULL, &subscriber);
    if (rc < 0)
        return rc;
    rc = cli_seek(subscriber, a->from);
    if (rc == 0)
        rc = cli_next(subscriber, &message);
    if (rc == 1) {
        a->group.from = HERMES_FROM_POSITION;
        a->group.position = message.position;
    }
    hermes_subscriber_close(subscriber);
    return rc < 0 ? rc : 0; /* 0: nothing that late; the end */
}

static int act(hermes_client_t *client, struct arguments *a)
{
    hermes_topic_info_t topic = {.size = sizeof topic};
    hermes_group_info_t group = {.size = sizeof group};
    int rc;
    switch (a->action) {
    case CREATE:
        rc = find_position(client, a);
        return rc < 0 ? rc : hermes_group_create(client, a->topic, a->name, &a->group);
    case RESET:
        rc = find_position(client, a);
        return rc < 0 ? rc : hermes_group_alter(client, a->topic, a->name, HERMES_GROUP_POSITION, &a->group);
    case ALTER:
        return hermes_group_alter(client, a->topic, a->name, a->altered, &a->group);
    case DELETE:
        return hermes_group_delete(client, a->topic, a->name);
    case LIST:
        return list(client, a);
    default:
        rc = hermes_topic_describe(client, a->topic, &topic);
        if (rc == 0)
            rc = hermes_group_describe(client, a->topic, a->name, &group);
        if (rc == 0)
            (a->json ? print_json : print_info)(&topic, &group);
        return rc;
    }
}

/* It may be the topic, or the group, that is not there. */
static void fail(hermes_client_t *client, const struct arguments *a, int rc)
{
    hermes_topic_info_t topic = {.size = sizeof topic};
    if (rc == HERMES_ENOTFOUND && a->topic != NULL &&
        hermes_topic_describe(client, a->topic, &topic) == HERMES_ENOTFOUND)
        cli_fail_topic(client, a->topic, rc);
    else
        cli_fail(a->name != NULL    ? a->name
                 : a->topic != NULL ? a->topic
                                    : "groups",
                 rc, hermes_last_error(client));
}

int cli_group(int argc, char **argv)
{
    struct arguments a = {.group = {.size = sizeof a.group}};
    const struct argp argp = {options, parse, "ACTION [TOPIC [NAME]]", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    hermes_client_t *client = cli_connect();
    int rc;
    if (a.action == DEAD) {
        a.dead.topic = a.topic;
        a.dead.name = a.name;
        a.dead.json = a.json;
        rc = cli_group_dead(client, &a.dead);
        hermes_disconnect(client);
        return rc;
    }
    rc = act(client, &a);
    if (rc < 0)
        fail(client, &a, rc);
    hermes_disconnect(client);
    return rc < 0 ? EXIT_FAILED : EXIT_GOOD;
}
