/* hermesd: the broker, in the foreground. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/note.h"
#include "base/standard.h"
#include "broker/loop.h"
#include "broker/mirror/lookup.h"

/* --version and -V; libc must see it. */
__attribute__((visibility("default"))) const char *argp_program_version = "hermesd " PROGRAM_VERSION;

static const char documentation[] =
    "Hermes message broker. Runs in the foreground, prints one line when it serves, and stops in good order "
    "at SIGTERM or SIGINT."
    "\vWith HERMES_HOME=DIR (an absolute path) in the environment, socket, store and configuration are under "
    "DIR, so that any "
    "number of brokers run side by side. Exit codes: 0 stopped in good order; 1 it could not start or "
    "something could not be stored; 64 wrong usage.";

/* So long a stop waits for a standard error that takes nothing. */
static const uint64_t notes_flush_ns = 1000000000;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "Read FILE instead of the default hermes.conf", 0},
    {"data", 'd', "DIR", 0, "Keep the store under DIR, an absolute path", 0},
    {"backend", 'b', "NAME", 0, "Event loop: auto, io_uring or epoll", 0},
    {"wait", 'w', "HOW", 0, "adaptive (sleep when idle) or spin (never sleep: needs a core of its own)", 0},
    {0},
};

struct arguments {
    const char *config;
    const char *data;
    int backend; /* enum poller_backend; -1: as configured */
    const char *wait;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'c':
        arguments->config = value;
        return 0;
    case 'd': /* as in the configuration */
        if (value[0] != '/' || strlen(value) >= PATH_BYTES)
            argp_error(state, "--data %s: it is an absolute path of at most %d bytes", value, PATH_BYTES - 1);
        arguments->data = value;
        return 0;
    case 'b':
        arguments->backend = config_parse_backend(value);
        if (arguments->backend < 0)
            argp_error(state, "--backend %s: it is auto, io_uring or epoll", value);
        return 0;
    case 'w':
        if (strcmp(value, "spin") != 0 && strcmp(value, "adaptive") != 0)
            argp_error(state, "--wait %s: it is adaptive or spin", value);
        arguments->wait = value;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void override(struct config *config, const struct arguments *arguments)
{
    if (arguments->data != NULL)
        snprintf(config->location.data, sizeof config->location.data, "%s", arguments->data);
    if (arguments->backend >= 0)
        config->backend = (enum poller_backend)arguments->backend;
    if (arguments->wait != NULL && strcmp(arguments->wait, "spin") == 0)
        config->spin_us = UINT32_MAX;
    else if (arguments->wait != NULL && config->spin_us == UINT32_MAX)
        config->spin_us = CONFIG_SPIN_US;
}

/* sd_notify(3), without the library: one datagram to the socket that systemd names. */
static void notify_systemd(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

int main(int argc, char **argv)
{
    loop_hold_signals();
    standard_take_free_numbers();
    struct arguments arguments = {.backend = -1};
    const struct argp argp = {options, parse, NULL, documentation, NULL, NULL, NULL};
    argp_err_exit_status = 64;
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);

    loop_before_threads();
    lookup_prepare();
    static struct loop loop;
    (void)note_start("hermesd", STDERR_FILENO);
    struct config config;
    struct error_text text = {{0}};
    int rc = config_load(&config, arguments.config, &text);
    if (rc == 0)
        override(&config, &arguments);
    if (rc == 0)
        rc = loop_open(&loop, &config, &text);
    if (rc < 0) {
        note("%s", text.bytes);
        note_stop(notes_flush_ns);
        return 1;
    }
    note_flush(notes_flush_ns); /* what the start has to say stands before the line that it is over */
    printf("hermesd: serving on %s (%u topics, %s)\n", config.location.socket, loop.broker.topic_count,
           poller_name(loop.broker.poller));
    for (unsigned i = 0; i < loop.remote_count; i++) {
        char url[TCP_URL_BYTES];
        tcp_name(loop.remote[i].fd, url);
        if (loop.remote[i].secure)
            memcpy(url, "tls", 3); /* in place of tcp */
        printf("hermesd: listening on %s\n", url);
    }
    fflush(stdout);
    notify_systemd("READY=1");
    loop_run(&loop);
    notify_systemd("STOPPING=1");
    rc = loop_close(&loop, &text);
    if (rc < 0)
        note("%s", text.bytes);
    note_stop(notes_flush_ns);
    return rc < 0;
}
