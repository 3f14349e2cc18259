/* hermes: one program, subcommands. */
#include <string.h>

#include "base/standard.h"
#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"bench", cli_bench, "measure rings, codec, log, store and topics beside the bare cache line"},
    {"demo", cli_demo, "a market feed through a trading bot, a risk engine, analytics and an executor"},
    {"dump", cli_dump, "print the headers of a segment file or a topic, and check every checksum"},
    {"export", cli_export, "write a stored topic as CSV, JSON lines or pcapng"},
    {"group", cli_group, "create, list, describe, reset and delete consumer groups; what they gave up"},
    {"info", cli_info, "describe the broker: since when, for whom, how long its longest turn was"},
    {"pub", cli_pub, "publish lines, or generated messages, to a topic"},
    {"replay", cli_replay, "publish a recorded feed (ITCH, CSV, another topic) with its own timing"},
    {"sub", cli_sub, "print the messages of a topic"},
    {"topic", cli_topic, "create, list, describe, alter and delete topics"},
    {"verify", cli_verify, "check everything that is stored, of a topic or of all"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void usage(FILE *file)
{
    fputs("Usage: hermes COMMAND [OPTION...]\n\nMoves messages between programs on this host.\n\n", file);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("  version    print the version\n\n"
          "hermes COMMAND --help tells more. All but bench, dump of a file and demo talk to a running "
          "hermesd,\n"
          "found through HERMES_HOME or in the default place.\n"
          "Exit codes: 0 done; 1 failed, with a message; 64 wrong usage.\n",
          file);
}

int main(int argc, char **argv)
{
    standard_take_free_numbers();
    argp_err_exit_status = EXIT_USAGE;
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return cli_finish(EXIT_GOOD);
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        puts("hermes 0.1.0");
        return cli_finish(EXIT_GOOD);
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            static char name[64]; /* what argp prints in messages and usage */
            snprintf(name, sizeof name, "hermes %s", commands[i].name);
            argv[1] = name;
            return cli_finish(commands[i].run(argc - 1, argv + 1));
        }
    fprintf(stderr, "hermes: no command '%s'; hermes help lists them\n", argv[1]);
    return EXIT_USAGE;
}
