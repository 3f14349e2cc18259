/* hermes verify [TOPIC] */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/parse.h"

static const char documentation[] = "Check everything that is stored: every header, checksum and sequence.\v"
                                    "Without TOPIC, all topics. Damaged ranges are told by their positions "
                                    "in the log, topics that are not served by their names; both count as "
                                    "failed. The topic may be in use."
                                    "\n\nExamples:\n"
                                    "  hermes verify\n"
                                    "  hermes verify orders --json" CLI_EXIT_CODES;

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "One JSON object for each topic", 0},
    {0},
};

struct arguments {
    const char *topic;
    bool json;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        a->topic = cli_argument(state, value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

struct found {
    const struct arguments *arguments;
    const char *topic;
    bool any;
};

static void damage(void *context, uint64_t from, uint64_t to, int error)
{
    struct found *found = context;
    if (found->arguments->json)
        printf("%s{\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"error\":\"%s\"}", found->any ? "," : "", from,
               to, hermes_strerror(error));
    else
        printf("%s: DAMAGED from position %" PRIu64 " to %" PRIu64 ": %s\n", found->topic, from, to,
               hermes_strerror(error));
    found->any = true;
}

static int verify_topic(hermes_client_t *client, const struct arguments *a, const char *topic, bool *damaged)
{
    struct found found = {a, topic, false};
    hermes_verification_t result = {.size = sizeof result};
    if (a->json)
        printf("{\"topic\":\"%s\",\"damage\":[", topic);
    int rc = hermes_topic_verify(client, topic, damage, &found, &result);
    if (a->json)
        printf("],\"first_position\":%" PRIu64 ",\"end_position\":%" PRIu64 ",\"messages\":%" PRIu64
               ",\"damaged\":%" PRIu64 ",\"complete\":%s}\n",
               result.first_position, result.end_position, result.messages, result.damaged,
               rc == 0 ? "true" : "false");
    else if (rc == 0)
        printf("%s: %" PRIu64 " messages right from position %" PRIu64 " to %" PRIu64 ", %" PRIu64
               " damaged ranges\n",
               topic, result.messages, result.first_position, result.end_position, result.damaged);
    *damaged |= result.damaged > 0;
    return rc;
}

typedef int (*lister_t)(hermes_client_t *client, const char *after, hermes_topic_info_t *infos, size_t count);
typedef int (*visitor_t)(hermes_client_t *client, const struct arguments *a, const hermes_topic_info_t *info,
                         bool *damaged);

static int verify_stored(hermes_client_t *client, const struct arguments *a, const hermes_topic_info_t *info,
                         bool *damaged)
{
    return info->durability == HERMES_DURABILITY_MEMORY ? 0 : verify_topic(client, a, info->name, damaged);
}

/* Nothing of it can be looked at, so nobody may take it for right. */
static int tell_unserved(hermes_client_t *client, const struct arguments *a, const hermes_topic_info_t *info,
                         bool *damaged)
{
    (void)client;
    *damaged = true;
    if (a->json)
        printf("{\"topic\":\"%s\",\"served\":false,\"complete\":false}\n", info->name);
    else
        printf("%s: NOT SERVED, and not looked at: the broker said why when it started\n", info->name);
    return 0;
}

static int for_each(hermes_client_t *client, const struct arguments *a, lister_t list, visitor_t visit,
                    bool *damaged)
{
    enum { PAGE = 64 };
    hermes_topic_info_t *infos = calloc(PAGE, sizeof *infos);
    if (infos != NULL)
        infos[0].size = sizeof *infos;
    char after[128] = "";
    int count = infos == NULL ? HERMES_ENOMEM : 0, rc = 0;
    while (infos != NULL && rc == 0 && (count = list(client, after, infos, PAGE)) > 0) {
        for (int i = 0; i < count && rc == 0; i++)
            rc = visit(client, a, &infos[i], damaged);
        memcpy(after, infos[count - 1].name, sizeof after);
    }
    free(infos);
    return rc < 0 ? rc : count;
}

static int verify_all(hermes_client_t *client, const struct arguments *a, bool *damaged)
{
    int rc = for_each(client, a, hermes_topic_list, verify_stored, damaged);
    return rc < 0 ? rc : for_each(client, a, hermes_topic_list_unserved, tell_unserved, damaged);
}

int cli_verify(int argc, char **argv)
{
    struct arguments a = {0};
    const struct argp argp = {options, parse, "[TOPIC]", documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    hermes_client_t *client = cli_connect();
    bool damaged = false;
    int rc = a.topic != NULL ? verify_topic(client, &a, a.topic, &damaged) : verify_all(client, &a, &damaged);
    if (rc < 0)
        cli_fail_topic(client, a.topic != NULL ? a.topic : "verify", rc);
    hermes_disconnect(client);
    return rc < 0 || damaged ? EXIT_FAILED : EXIT_GOOD;
}
