#include "worker.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

enum { WINDOW_OPEN = 31 }; /* the request's type: docs/reference/protocol.md */

static char input[65536];
static size_t input_used;
static uint64_t state = 1;
static bool stops_at_connect, stops_at_window;

bool worker_is_wanted(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return memchr(input, '\n', input_used) != NULL || poll(&in, 1, 0) > 0;
}

static void next_line(char *line, size_t size)
{
    char *end;
    while ((end = memchr(input, '\n', input_used)) == NULL) {
        ssize_t got = read(STDIN_FILENO, input + input_used, sizeof input - input_used);
        if (got <= 0)
            exit(0);
        input_used += (size_t)got;
    }
    *end = 0;
    snprintf(line, size, "%.*s", (int)(size - 1), input);
    input_used -= (size_t)(end + 1 - input);
    memmove(input, end + 1, input_used);
}

static void run_line(const struct command *commands, char *line)
{
    static char nothing[] = "";
    char *words[WORDS_MAX], *rest = NULL;
    for (int i = 0; i < WORDS_MAX; i++) {
        words[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
        if (words[i] == NULL)
            words[i] = nothing;
    }
    for (; commands->name != NULL; commands++)
        if (strcmp(commands->name, words[0]) == 0) {
            commands->run(words);
            return;
        }
    fprintf(stderr, "no command '%s'\n", words[0]);
    exit(64);
}

void worker_run(const struct command *commands)
{
    for (;;) {
        char line[256];
        next_line(line, sizeof line);
        run_line(commands, line);
        if (write(STDOUT_FILENO, "done\n", 5) != 5)
            exit(0);
    }
}

uint64_t number(const char *word)
{
    return strtoull(word, NULL, 10);
}

void random_seed(uint64_t seed)
{
    state = seed * 0x9E3779B97F4A7C15u | 1;
}

uint64_t random_below(uint64_t bound)
{
    state ^= state << 13; /* xorshift64 (Marsaglia, 2003) */
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

void pause_us(uint64_t microseconds)
{
    struct timespec pause = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000 * 1000)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

bool may_pass(int rc)
{
    return rc == HERMES_EDISCONNECTED || rc == HERMES_EBUSY || rc == HERMES_ETIMEOUT || rc == HERMES_EFULL;
}

int worker_connect(const char *url, uint64_t until_ns, hermes_client_t **client)
{
    int rc = HERMES_OK;
    if (*client != NULL)
        return rc;
    record_call("connect");
    while ((rc = hermes_connect(url, client)) < 0 && may_pass(rc) && now_ns() < until_ns)
        pause_us(1000);
    record_outcome(rc, "%s", rc < 0 ? hermes_last_error(NULL) : "");
    return rc;
}

int worker_hang_up(void)
{
    int rc = HERMES_EDISCONNECTED;
    for (int fd = STDERR_FILENO + 1; fd < 256; fd++) {
        struct sockaddr_un peer = {.sun_family = AF_UNSPEC};
        socklen_t length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 && peer.sun_family == AF_UNIX &&
            shutdown(fd, SHUT_RDWR) == 0)
            rc = HERMES_OK;
    }
    return rc;
}

void worker_stop_at_connect(void)
{
    stops_at_connect = true;
}

void worker_stop_at_window(void)
{
    stops_at_window = true;
}

static void stand_still(bool *wanted)
{
    if (!*wanted)
        return;
    *wanted = false;
    raise(SIGSTOP);
}

/* In the place of libc's: what a machine does that has no time for this process just now. */
int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
    stand_still(&stops_at_connect);
    return (int)syscall(SYS_connect, fd, address.__sockaddr__, length);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    hermes_header_t header;
    memcpy(&header, bytes, size < sizeof header ? 0 : sizeof header);
    if (size >= sizeof header && header.type == WINDOW_OPEN)
        stand_still(&stops_at_window);
    return syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0);
}
