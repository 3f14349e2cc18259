/* A real broker of the test's own, and a client of it. */
#ifndef TESTS_CLIENT_FIXTURE_H
#define TESTS_CLIENT_FIXTURE_H

#include "../unit/test.h"

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "hermes/hermes.h"

struct fixture {
    char home[64];
    pid_t broker;
    hermes_client_t *client;
    int port_fd; /* keeps the broker's TCP port while there is no broker; 0: it has none */
    unsigned port;
};

/* How what hermes_connect(NULL) gives reaches the broker: by "tcp", "tls", "unix" (the socket, without shared
 * memory), or NULL: as usual. */
static inline const char *transport(void)
{
    return getenv("HERMES_TEST_TRANSPORT");
}

/* A port that a broker may have, now and after each of its starts, and nobody else: bound, never listened on.
 */
static inline void reserve_port(struct fixture *f)
{
    const int yes = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    f->port_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->port_fd > 0);
    assert_int_equal(setsockopt(f->port_fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    assert_int_equal(bind(f->port_fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(f->port_fd, (struct sockaddr *)&at, &length), 0);
    f->port = ntohs(at.sin_port);
}

static inline void run_hermes(const char *arguments)
{
    char command[512];
    snprintf(command, sizeof command, "%s/hermes %s > /dev/null 2>&1", BIN_DIR, arguments);
    assert_int_equal(system(command), 0);
}

/* The broker that is started next listens there, too, and goes by these settings. */
static inline void listen_with(struct fixture *f, const char *scheme, const char *settings)
{
    char path[128];
    if (f->port_fd == 0)
        reserve_port(f);
    snprintf(path, sizeof path, "%s/hermes.conf", f->home);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "[net]\nlisten = %s://127.0.0.1:%u\n%s", scheme, f->port, settings);
    assert_int_equal(fclose(file), 0);
}

/* An authority for the broker and its clients. */
static inline void make_certificates(const struct fixture *f)
{
    char path[128];
    run_hermes("cert server");
    snprintf(path, sizeof path, "%s/certs/ca.crt", f->home);
    setenv("HERMES_TLS_CA", path, 1);
}

static inline void use_transport(struct fixture *f)
{
    char url[128];
    unsetenv("HERMES_URL");
    if (transport() == NULL)
        return;
    if (strcmp(transport(), "tls") == 0)
        make_certificates(f);
    if (strcmp(transport(), "unix") == 0) {
        snprintf(url, sizeof url, "unix:%s/broker.sock?shm=no", f->home);
    } else {
        listen_with(f, transport(), "");
        snprintf(url, sizeof url, "%s://127.0.0.1:%u?shm=no", transport(), f->port);
    }
    setenv("HERMES_URL", url, 1);
}

/* A broker that was killed may have its port for some milliseconds more: as long as its io_uring lives. */
static inline void await_port(const struct fixture *f)
{
    const int yes = 1;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)f->port)};
    for (bool is_free = false; !is_free; sched_yield()) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
        is_free = bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
        close(fd);
    }
}

/* denied: a system call that it is refused, as in a container (tests/system/deny.c); NULL: none. */
static inline void start_broker_denied(struct fixture *f, const char *denied)
{
    int pipes[2];
    if (f->port_fd > 0)
        await_port(f);
    assert_int_equal(pipe(pipes), 0);
    f->broker = test_fork();
    if (f->broker == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        if (denied != NULL)
            execl(BIN_DIR "/deny", "deny", denied, "--", BIN_DIR "/hermesd", (char *)NULL);
        else
            execl(BIN_DIR "/hermesd", "hermesd", (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    char line[512]; /* "serving on ...": it is ready */
    assert_true(read(pipes[0], line, sizeof line) > 0);
    close(pipes[0]);
}

static inline void start_broker(struct fixture *f)
{
    start_broker_denied(f, NULL);
}

static inline void stop_broker(struct fixture *f, int signal_number)
{
    int status = 0;
    /* A test that failed may have left it stopped. Not after the signal: whom a leak checker stops for a look
     * at its memory while it ends would be woken from that, and the checker wait for ever. */
    kill(f->broker, SIGCONT);
    kill(f->broker, signal_number);
    assert_int_equal(waitpid(f->broker, &status, 0), f->broker);
    if (signal_number == SIGTERM)
        assert_int_equal(status, 0);
    f->broker = 0;
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->home, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(f->home));
    setenv("HERMES_HOME", f->home, 1);
    setenv("HERMES_REQUEST_TIMEOUT_MS", "60000", 1); /* a disk that others keep busy takes its time */
    use_transport(f);
    /* On a disk that others keep busy a topic takes its time. */
    setenv("HERMES_REQUEST_TIMEOUT_MS", "60000", 1);
    start_broker(f);
    assert_int_equal(hermes_connect(NULL, &f->client), 0);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    hermes_disconnect(f->client);
    if (f->broker > 0)
        stop_broker(f, SIGTERM);
    if (f->port_fd > 0)
        close(f->port_fd);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->home);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* Returns once that thread sleeps in the kernel. */
static inline void await_sleep(pid_t process, pid_t thread)
{
    char path[64], line[512], state = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)process, (int)thread);
    for (time_t start = time(NULL); state != 'S';) {
        if (time(NULL) - start > 60)
            fail_msg("thread %d does not go to sleep", (int)thread);
        FILE *file = fopen(path, "r");
        if (file == NULL || fgets(line, sizeof line, file) == NULL || strrchr(line, ')') == NULL)
            fail_msg("cannot read %s", path);
        fclose(file);
        state = strrchr(line, ')')[2];
    }
}

static inline void make_topic_of(struct fixture *f, const char *name, bool shared,
                                 enum hermes_durability durability)
{
    hermes_topic_options_t options = {.size = sizeof options,
                                      .durability = durability,
                                      .shared = shared,
                                      .window_bytes = 256 * 1024,
                                      .segment_bytes = 1024 * 1024};
    int rc = hermes_topic_create(f->client, name, &options);
    if (rc != 0)
        fail_msg("%d: %s", rc, hermes_last_error(f->client));
}

static inline void make_topic(struct fixture *f, const char *name, bool shared)
{
    make_topic_of(f, name, shared, HERMES_DURABILITY_ASYNC);
}

/* A publisher that is closing may still have it for a moment. */
static inline void delete_topic(struct fixture *f, const char *topic)
{
    int rc;
    while ((rc = hermes_topic_delete(f->client, topic)) == HERMES_EBUSY)
        ;
    assert_int_equal(rc, 0);
}

/* What polls come to: what one of them asks the broker for, a later one finds. */
static inline int poll_until_told(hermes_subscriber_t *subscriber, hermes_message_t *message)
{
    int rc;
    while ((rc = hermes_poll(subscriber, message)) == 0)
        ;
    return rc;
}

#endif
