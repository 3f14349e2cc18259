/* A topic that there is not: which one may be meant. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/suggest.h"

static void look_at_topics(hermes_client_t *client, struct suggestion *suggestion)
{
    enum { PAGE = 64 };
    hermes_topic_info_t *infos = calloc(PAGE, sizeof *infos);
    char after[SUGGEST_BYTES] = "";
    int count;
    if (infos == NULL)
        return;
    infos[0].size = sizeof *infos;
    while ((count = hermes_topic_list(client, after, infos, PAGE)) > 0) {
        for (int i = 0; i < count; i++)
            suggest_look_at(suggestion, infos[i].name);
        memcpy(after, infos[count - 1].name, sizeof after);
    }
    free(infos);
}

int cli_fail_topic(hermes_client_t *client, const char *topic, int error)
{
    struct suggestion suggestion;
    hermes_topic_info_t info = {.size = sizeof info};
    cli_fail(topic, error, hermes_last_error(client));
    /* There may be such a topic all the same: a group of it is what was not found. */
    if (error != HERMES_ENOTFOUND || hermes_topic_describe(client, topic, &info) != HERMES_ENOTFOUND)
        return EXIT_FAILED;
    suggest_begin(&suggestion, topic);
    look_at_topics(client, &suggestion);
    if (suggestion.name[0] != 0)
        fprintf(stderr, "hermes: did you mean topic '%s'?\n", suggestion.name);
    return EXIT_FAILED;
}
