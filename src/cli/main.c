/* hermes: one program, subcommands. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/standard.h"
#include "cli/cli.h"
#include "cli/suggest.h"
#include "cli/terminal.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"auth", cli_auth, "tokens for other hosts, and rules: who may do what"},
    {"bench", cli_bench, "measure rings, codec, log, store and topics on this machine"},
    {"cert", cli_cert, "make a private authority and certificates for TLS"},
    {"demo", cli_demo, "a market feed through a bot, a risk engine, analytics, an executor"},
    {"doctor", cli_doctor, "look at what this machine gives and withholds; changes nothing"},
    {"dump", cli_dump, "print the headers of a segment file or a topic, check checksums"},
    {"export", cli_export, "write a stored topic as CSV, JSON lines or pcapng"},
    {"group", cli_group, "create, list, describe, reset, delete consumer groups; dead letters"},
    {"info", cli_info, "describe the broker: since when, for whom, its longest turn"},
    {"mirror", cli_mirror, "copies of topics on other brokers, over UDP"},
    {"ping", cli_ping, "is the broker up, which one, and how full is its shared memory"},
    {"pub", cli_pub, "publish lines, or generated messages, to a topic"},
    {"replay", cli_replay, "publish a recorded feed (ITCH, CSV, a topic) with its own timing"},
    {"stat", cli_stat, "rates, lags, who is waited for, of a broker that runs or was killed"},
    {"sub", cli_sub, "print the messages of a topic"},
    {"topic", cli_topic, "create, list, describe, alter, purge and delete topics"},
    {"verify", cli_verify, "check everything that is stored, of a topic or of all"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* Of each command --version and -V; libc must see it. */
__attribute__((visibility("default"))) const char *argp_program_version = "hermes " PROGRAM_VERSION;

static void usage(FILE *file)
{
    fputs("Usage: hermes [--url URL] COMMAND [OPTION...]\n\nMoves messages between programs, on this host "
          "and over "
          "a network.\n\n",
          file);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("  version    print the version (-V, --version)\n\n"
          "hermes help COMMAND tells more, with examples. All but auth, bench, cert, demo,\n"
          "doctor, stat and dump of a file talk to a running hermesd: at --url (shm:,\n"
          "unix:PATH, tcp://HOST:PORT, tls://HOST:PORT; several with commas are tried in\n"
          "turn), or where HERMES_URL says, else through HERMES_HOME or in the default\n"
          "place. Whom to trust and who one is: --tls-ca, --tls-cert, --tls-key,\n"
          "--tls-server-name, --token-file; HERMES_TLS_CA, ..., HERMES_TOKEN_FILE.\n"
          "Exit codes: 0 done; 1 failed, with a message; 64 wrong usage.\n",
          file);
}

static int run(int index, int argc, char **argv)
{
    static char name[64]; /* what argp prints in messages and usage */
    snprintf(name, sizeof name, "hermes %s", commands[index].name);
    argv[0] = name;
    return cli_finish(commands[index].run(argc, argv));
}

static int find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return i;
    return -1;
}

static int refuse(const char *name)
{
    struct suggestion suggestion;
    suggest_begin(&suggestion, name);
    for (int i = 0; i < COMMANDS; i++)
        suggest_look_at(&suggestion, commands[i].name);
    suggest_look_at(&suggestion, "help");
    suggest_look_at(&suggestion, "version");
    fprintf(stderr, "hermes: no command '%s'; ", name);
    if (suggestion.name[0] != 0)
        fprintf(stderr, "did you mean %s? ", suggestion.name);
    fputs("hermes help lists them\n", stderr);
    return EXIT_USAGE;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

static bool is_help(const char *word)
{
    return is_one_of(word, "help", "--help", "-h") || strcmp(word, "-?") == 0;
}

static bool is_version(const char *word)
{
    return is_one_of(word, "version", "--version", "-V");
}

static int version(void)
{
    puts(argp_program_version);
    return cli_finish(EXIT_GOOD);
}

/* hermes help, hermes help sub */
static int help(const char *name)
{
    static char option[] = "--help";
    static char *arguments[] = {NULL, option, NULL};
    int index = name != NULL ? find(name) : -1;
    if (index >= 0)
        return run(index, 2, arguments);
    if (name != NULL && is_version(name))
        return version();
    if (name != NULL && !is_help(name))
        return refuse(name);
    usage(stdout);
    return cli_finish(EXIT_GOOD);
}

/* argp ends the process by itself once it has printed --help or --usage. */
static void finish_help(void)
{
    if (!cli_flush(true))
        _exit(cli_finish(EXIT_GOOD));
}

/* How to reach the broker: options of every command, and the variables that say the same. */
static const struct {
    const char *option, *variable;
} connection[] = {
    {"--url", "HERMES_URL"},
    {"--tls-ca", "HERMES_TLS_CA"},
    {"--tls-cert", "HERMES_TLS_CERT"},
    {"--tls-key", "HERMES_TLS_KEY"},
    {"--tls-server-name", "HERMES_TLS_SERVER_NAME"},
    {"--token-file", "HERMES_TOKEN_FILE"},
};

/* Which of them the argument is, and what stands behind its "=", else NULL; -1: none. */
static int find_option(const char *argument, const char **value)
{
    for (int i = 0; i < (int)(sizeof connection / sizeof connection[0]); i++) {
        size_t length = strlen(connection[i].option);
        if (strncmp(argument, connection[i].option, length) != 0 ||
            (argument[length] != '=' && argument[length] != 0))
            continue;
        *value = argument[length] == '=' ? argument + length + 1 : NULL;
        return i;
    }
    return -1;
}

static const char *what_it_wants(const char *option)
{
    return strcmp(option, "--url") == 0 ? "a URL: shm:, unix:PATH, tcp://HOST:PORT or tls://HOST:PORT"
           : strcmp(option, "--tls-server-name") == 0 ? "the name that the broker's certificate has"
                                                      : "a file";
}

/* Empty is "$URL" that is not set: another broker, or nobody to trust, is not what was meant. */
static int refuse_value(const char *option, const char *value)
{
    if (value == NULL)
        fprintf(stderr, "hermes: %s wants %s\n", option, what_it_wants(option));
    else
        fprintf(stderr, "hermes: %s '': it is empty\n", option);
    return -1;
}

/* Takes these out of the arguments, wherever they stand before a "--": what they say is in the environment
 * then, as if it had been there. Returns how many arguments are left; -1: one lacks its value, and that was
 * told. */
static int take_connection(int argc, char **argv)
{
    int kept = 1, i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value;
        int option = find_option(argv[i], &value);
        if (option < 0) {
            argv[kept++] = argv[i];
            continue;
        }
        if (value == NULL)
            value = argv[++i];
        if (value == NULL || value[0] == 0)
            return refuse_value(connection[option].option, value);
        setenv(connection[option].variable, value, 1);
        if (strcmp(connection[option].option, "--token-file") == 0)
            unsetenv("HERMES_TOKEN"); /* what is said here holds */
    }
    while (i < argc)
        argv[kept++] = argv[i++];
    argv[kept] = NULL;
    return kept;
}

int main(int argc, char **argv)
{
    standard_take_free_numbers();
    terminal_guard_errors();
    argp_err_exit_status = EXIT_USAGE;
    atexit(finish_help);
    if ((argc = take_connection(argc, argv)) < 0)
        return EXIT_USAGE;
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (is_help(argv[1]))
        return help(argc > 2 ? argv[2] : NULL);
    if (is_version(argv[1]))
        return version();
    int index = find(argv[1]);
    return index >= 0 ? run(index, argc - 1, argv + 1) : refuse(argv[1]);
}
