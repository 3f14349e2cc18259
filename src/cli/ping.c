/* hermes ping: is the broker there, which one, and how full is its shared memory. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/parse.h"
#include "cli/when.h"

static const char documentation[] =
    "Ask the broker whether it is there, and tell which one it is.\v"
    "Version, process, since when; its directory in shared memory, how much is in it, and how much its file "
    "system "
    "has left; and how long an answer took. With --count or --interval again and again, until Ctrl-C without "
    "--count. What was not answered counts as failed. A broker that is started at this moment "
    "is waited for, "
    "one second."
    "\n\nExamples:\n"
    "  hermes ping\n"
    "  hermes ping --count 3 --interval 0.1" CLI_EXIT_CODES;

static const struct argp_option options[] = {
    {"count", 'n', "N", 0, "Ask N times (1)", 0},
    {"interval", 'i', "S", 0, "S seconds from one to the next (1)", 0},
    {"json", 'j', NULL, 0, "As JSON, a line for each answer", 0},
    {0},
};

struct arguments {
    uint64_t count; /* 0: no end */
    double interval_s;
    bool has_count, has_interval, json;
};

struct memory {
    bool known;
    uint64_t used_bytes, free_bytes, size_bytes; /* in the broker's directory; of the file system */
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'n':
        a->count = cli_size(state, "--count", value);
        a->has_count = true;
        if (a->count == 0)
            argp_error(state, "--count 0: once at least");
        return 0;
    case 'i':
        a->interval_s = cli_number(state, "--interval", value);
        a->has_interval = true;
        if (a->interval_s > 86400)
            argp_error(state, "--interval %s: a day at most", value);
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        return 0;
    case ARGP_KEY_END:
        if (!a->has_count)
            a->count = a->has_interval ? 0 : 1;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What the files there take. Others than the broker's user and root may not look: false. */
static bool sum_files(const char *directory, uint64_t *bytes)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    struct stat status;
    if (dir == NULL)
        return false;
    while ((entry = readdir(dir)) != NULL)
        if (fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
            *bytes += (uint64_t)status.st_blocks * 512;
    closedir(dir);
    return true;
}

static struct memory look_at(const char *directory)
{
    struct memory memory = {.known = false};
    struct statvfs system;
    if (directory[0] == 0 || !sum_files(directory, &memory.used_bytes) || statvfs(directory, &system) != 0)
        return memory;
    memory.known = true;
    memory.free_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    memory.size_bytes = (uint64_t)system.f_blocks * system.f_frsize;
    return memory;
}

static void print_json(const hermes_broker_info_t *info, const struct memory *memory, uint64_t since_ns,
                       uint64_t answer_ns, const char *transport)
{
    printf("{\"version\":\"%s\",\"pid\":%" PRIu32 ",\"uid\":%" PRIu32 ",\"since\":%" PRIu64
           ",\"uptime_ns\":%" PRIu64 ",\"answer_ns\":%" PRIu64 ",\"transport\":\"%s\",\"memory\":",
           info->version, info->pid, info->uid, since_ns, info->uptime_ns, answer_ns, transport);
    cli_print_json_string(stdout, info->memory, strlen(info->memory));
    if (memory->known)
        printf(",\"memory_used_bytes\":%" PRIu64 ",\"memory_free_bytes\":%" PRIu64
               ",\"memory_size_bytes\":%" PRIu64,
               memory->used_bytes, memory->free_bytes, memory->size_bytes);
    puts("}");
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void print_broker(const hermes_broker_info_t *info, const struct memory *memory, uint64_t since_ns,
                         const char *transport)
{
    char since[WHEN_DATE_BYTES];
    printf("broker        hermesd %s, process %" PRIu32 " of user %" PRIu32 "\n", info->version, info->pid,
           info->uid);
    printf("messages go   through %s\n", strcmp(transport, "shm") == 0 ? "shared memory" : transport);
    printf("serves since  %sZ, for %.0f s\n", when_date((int64_t)(since_ns / 1000000000u), since),
           (double)info->uptime_ns / 1e9);
    printf("memory        %s\n", info->memory);
    if (memory->known)
        printf("              %.1f MiB in it; %.1f of %.1f MiB are free\n", mib(memory->used_bytes),
               mib(memory->free_bytes), mib(memory->size_bytes));
}

static int ping(hermes_client_t *client, const struct arguments *a, bool first)
{
    hermes_broker_info_t info = {.size = sizeof info};
    uint64_t start = cli_now_ns();
    int rc = hermes_ping(client);
    uint64_t answer_ns = cli_now_ns() - start;
    if (rc == 0 && (first || a->json))
        rc = hermes_broker_describe(client, &info);
    if (rc < 0)
        return cli_fail("ping", rc, hermes_last_error(client));
    uint64_t since_ns = clock_realtime_ns() - info.uptime_ns;
    struct memory memory = look_at(info.memory);
    if (a->json) {
        print_json(&info, &memory, since_ns, answer_ns, hermes_transport(client));
        return EXIT_GOOD;
    }
    if (first)
        print_broker(&info, &memory, since_ns, hermes_transport(client));
    printf("answered in   %.1f us\n", (double)answer_ns / 1e3);
    return EXIT_GOOD;
}

int cli_ping(int argc, char **argv)
{
    struct arguments a = {.interval_s = 1};
    const struct argp argp = {options, parse, NULL, documentation, NULL, NULL, NULL};
    cli_parse(&argp, argc, argv, &a);
    cli_catch_signals();
    hermes_client_t *client = cli_connect();
    uint64_t start = cli_now_ns(), interval_ns = (uint64_t)(a.interval_s * 1e9);
    int code = EXIT_GOOD;
    for (uint64_t i = 0; (a.count == 0 || i < a.count) && !cli_stop && cli_flush(true); i++) {
        cli_sleep_until(start + i * interval_ns);
        if (!cli_stop && ping(client, &a, i == 0) != EXIT_GOOD)
            code = EXIT_FAILED;
    }
    hermes_disconnect(client);
    return code;
}
