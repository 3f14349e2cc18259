/* hermes info: the broker itself. */
#include <inttypes.h>

#include "cli/cli.h"
#include "cli/parse.h"

static const char documentation[] =
    "Describe the broker.\v"
    "longest turn: the longest time that its event loop was busy with one thing, since it began, so that "
    "everybody else had to wait; of its own: the same, less what other processes had of the processor "
    "meanwhile; blocked: turns in which the loop slept. Notes lost: lines that its standard error did not "
    "take."
    "\n\nExamples:\n"
    "  hermes info\n"
    "  hermes info --json" CLI_EXIT_CODES;

static void print_json(const hermes_broker_info_t *info)
{
    printf("{\"engine\": \"%s\", \"pid\": %" PRIu32 ", \"uid\": %" PRIu32 ", \"sessions\": %" PRIu32
           ", \"topics\": %" PRIu32 ", \"uptime_ns\": %" PRIu64 ", \"longest_turn_ns\": %" PRIu64
           ", \"longest_own_ns\": %" PRIu64 ", \"blocked_turns\": %" PRIu64 ", \"notes_lost\": %" PRIu64
           ", \"membarrier\": %s, \"instance\": %" PRIu32 "}\n",
           info->engine, info->pid, info->uid, info->sessions, info->topics, info->uptime_ns,
           info->longest_turn_ns, info->longest_own_ns, info->blocked_turns, info->notes_lost,
           info->membarrier ? "true" : "false", info->instance);
}

static void print_info(const hermes_broker_info_t *info)
{
    printf("process       %" PRIu32 ", of user %" PRIu32 "\n", info->pid, info->uid);
    printf("serves for    %.1f s\n", (double)info->uptime_ns / 1e9);
    printf("engine        %s%s\n", info->engine,
           info->membarrier ? "" : ", without membarrier: publishers fence");
    printf("sessions      %" PRIu32 "\n", info->sessions);
    printf("topics        %" PRIu32 "\n", info->topics);
    printf("longest turn  %.3f ms; of its own %.3f ms; %" PRIu64 " were blocked\n",
           (double)info->longest_turn_ns / 1e6, (double)info->longest_own_ns / 1e6, info->blocked_turns);
    printf("notes lost    %" PRIu64 "\n", info->notes_lost);
}

int cli_info(int argc, char **argv)
{
    bool json = cli_parse_json(documentation, "As JSON", argc, argv);
    hermes_client_t *client = cli_connect();
    hermes_broker_info_t info = {.size = sizeof info};
    int rc = hermes_broker_describe(client, &info);
    if (rc == 0)
        (json ? print_json : print_info)(&info);
    else
        cli_fail("info", rc, hermes_last_error(client));
    hermes_disconnect(client);
    return rc < 0 ? EXIT_FAILED : EXIT_GOOD;
}
