/* hermes cert authority|server|client */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auth/certificates.h"
#include "auth/place.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/when.h"

static const char documentation[] =
    "Make a private authority, and certificates for TLS that it signs.\v"
    "authority          the authority alone: ca.crt, for all who are to trust it,\n"
    "                   and ca.key, for nobody\n"
    "server [HOST...]   server.crt and server.key, for hermesd, by the names and\n"
    "                   addresses under which it is reached (localhost, 127.0.0.1,\n"
    "                   ::1 and this host's name)\n"
    "client NAME        NAME.crt and NAME.key, for a client, whom rules call\n"
    "                   cert:NAME\n\n"
    "server and client make an authority first, if there is none.\n\n"
    "Files are PEM, in certs beside hermes.conf, keys ECDSA P-256 with mode 0600.\n"
    "hermesd listens with them where hermes.conf says listen = tls://HOST:PORT in\n"
    "its section [net], and reads new ones after hermes auth reload. Whoever has an\n"
    "authority already needs none of this: [tls] certificate, key and client_ca\n"
    "name any files."
    "\n\nExamples:\n"
    "  hermes cert server\n"
    "  hermes cert server broker.example.org 10.0.0.5 --force\n"
    "  hermes cert client risk-engine --days 90\n"
    "  hermes cert client analytics --json" CLI_EXIT_CODES;

enum { OPTION_DIR = 1, OPTION_DAYS, OPTION_UNTIL };

static const struct argp_option options[] = {
    {"dir", OPTION_DIR, "DIR", 0, "Keep them in DIR (certs, beside hermes.conf)", 0},
    {"days", OPTION_DAYS, "N", 0, "They hold for N days (365; the authority: 3650)", 0},
    {"until", OPTION_UNTIL, "TIME", 0, "They hold until then, say 2027-01-01", 0},
    {"force", 'f', NULL, 0, "In place of those that are there", 0},
    {"json", 'j', NULL, 0, "Say what was made as JSON, one object a line", 0},
    {0},
};

static const char *const actions[] = {"authority", "server", "client", NULL}; /* as enum certificate_kind */

static const int64_t day_s = 86400;
/* Clocks differ: who is a little behind takes it all the same. */
static const int64_t backdated_s = 3600;

struct arguments {
    bool has_action, json, force;
    enum certificate_kind kind;
    const char *directory;
    const char *words[CERTIFICATE_HOSTS_MAX];
    unsigned count;
    uint64_t days;
    int64_t until_s; /* 0: by days */
};

static void take_word(struct argp_state *state, struct arguments *a, const char *word)
{
    if (!a->has_action) {
        a->has_action = true;
        a->kind = (enum certificate_kind)cli_word(state, "action", word, actions);
        return;
    }
    if (a->count == CERTIFICATE_HOSTS_MAX)
        argp_error(state, "at most %d names and addresses", CERTIFICATE_HOSTS_MAX);
    a->words[a->count++] = word;
}

static void check(struct argp_state *state, const struct arguments *a)
{
    if (!a->has_action || (a->kind == CERTIFICATE_AUTHORITY && a->count > 0))
        argp_usage(state);
    if (a->kind == CERTIFICATE_CLIENT && a->count != 1)
        argp_error(state, "client wants one name: what rules will call it");
    if (a->days != 0 && a->until_s != 0)
        argp_error(state, "--days or --until, not both");
}

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case OPTION_DIR:
        a->directory = value;
        return 0;
    case OPTION_DAYS:
        a->days = cli_count(state, "--days", value, 36500);
        if (a->days == 0)
            argp_error(state, "--days 0: it is 1 or more");
        return 0;
    case OPTION_UNTIL:
        a->until_s = (int64_t)(cli_time(state, "--until", value) / 1000000000u);
        return 0;
    case 'f':
        a->force = true;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        take_word(state, a, value);
        return 0;
    case ARGP_KEY_END:
        check(state, a);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void show(const struct arguments *a, const struct certificate *made, const char *file, const char *key)
{
    char until[WHEN_DATE_BYTES];
    when_date(made->until_s, until);
    if (!a->json) {
        printf("%-10s %s\n%-10s %s\n%-10s %sZ\n", actions[made->kind], file, "  key", key, "  until", until);
        for (unsigned i = 0; i < made->host_count; i++)
            printf("%-10s %s\n", "  host", made->hosts[i]);
        return;
    }
    printf("{\"kind\":\"%s\",\"name\":", actions[made->kind]);
    cli_print_json_string(stdout, made->name, strlen(made->name));
    printf(",\"certificate\":");
    cli_print_json_string(stdout, file, strlen(file));
    printf(",\"key\":");
    cli_print_json_string(stdout, key, strlen(key));
    printf(",\"until\":\"%sZ\",\"hosts\":[", until);
    for (unsigned i = 0; i < made->host_count; i++)
        printf("%s\"%s\"", i > 0 ? "," : "", made->hosts[i]);
    puts("]}");
}

static int make(const struct arguments *a, struct certificate *certificate, const char *directory)
{
    char file[PATH_BYTES], key[PATH_BYTES];
    struct error_text text;
    int64_t now_s = (int64_t)time(NULL), days = certificate->kind == CERTIFICATE_AUTHORITY ? 3650 : 365;
    if (a->days != 0)
        days = (int64_t)a->days;
    certificate->until_s = a->until_s != 0 ? a->until_s : now_s + days * day_s;
    certificate->from_s = now_s - backdated_s;
    if (certificate->from_s >= certificate->until_s) /* it is over already: for who tries that */
        certificate->from_s = certificate->until_s - day_s;
    int rc = certificate_make(certificate, directory, file, key, &text);
    if (rc < 0)
        return cli_fail(NULL, rc, text.bytes);
    show(a, certificate, file, key);
    return EXIT_GOOD;
}

static int make_authority(const struct arguments *a, const char *directory)
{
    struct arguments own = *a;
    struct certificate authority = {.kind = CERTIFICATE_AUTHORITY,
                                    .name = "hermes",
                                    .replaces = a->force && a->kind == CERTIFICATE_AUTHORITY};
    if (a->kind != CERTIFICATE_AUTHORITY) { /* it lives longer than what it signs first */
        own.days = 0;
        own.until_s = 0;
    }
    return make(&own, &authority, directory);
}

static void name_hosts(const struct arguments *a, struct certificate *server)
{
    static char here[CERTIFICATE_NAME_BYTES];
    for (; server->host_count < a->count; server->host_count++)
        server->hosts[server->host_count] = a->words[server->host_count];
    if (a->count > 0)
        return;
    server->hosts[server->host_count++] = "localhost";
    server->hosts[server->host_count++] = "127.0.0.1";
    server->hosts[server->host_count++] = "::1";
    if (gethostname(here, sizeof here - 1) == 0 && here[0] != 0 && strcmp(here, "localhost") != 0)
        server->hosts[server->host_count++] = here;
}

/* A server's or a client's; with an authority, where there is none. */
static int make_signed(const struct arguments *a, const char *directory)
{
    bool is_client = a->kind == CERTIFICATE_CLIENT;
    struct certificate certificate = {
        .kind = a->kind, .name = is_client ? a->words[0] : "hermesd", .replaces = a->force};
    struct error_text text;
    if (!is_client)
        name_hosts(a, &certificate);
    int rc = certificate_check(&certificate, &text); /* before an authority is made for nothing */
    if (rc < 0)
        return cli_fail(NULL, rc, text.bytes);
    int code = certificate_has_authority(directory) ? EXIT_GOOD : make_authority(a, directory);
    return code == EXIT_GOOD ? make(a, &certificate, directory) : code;
}

int cli_cert(int argc, char **argv)
{
    struct arguments a = {.directory = NULL};
    const struct argp argp = {options, parse, "authority\nserver [HOST...]\nclient NAME", documentation, NULL,
                              NULL,    NULL};
    char directory[PATH_BYTES];
    struct error_text text;
    cli_parse(&argp, argc, argv, &a);
    int rc = a.directory == NULL ? place_of("certs", directory, &text)
                                 : place_absolute(a.directory, directory, &text);
    if (rc < 0)
        return cli_fail(NULL, rc, text.bytes);
    return a.kind == CERTIFICATE_AUTHORITY ? make_authority(&a, directory) : make_signed(&a, directory);
}
