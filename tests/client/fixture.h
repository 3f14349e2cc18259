/* A real broker of the test's own, and a client of it. */
#ifndef TESTS_CLIENT_FIXTURE_H
#define TESTS_CLIENT_FIXTURE_H

#include "../unit/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "hermes/hermes.h"

struct fixture {
    char home[64];
    pid_t broker;
    hermes_client_t *client;
};

/* denied: a system call that it is refused, as in a container (tests/system/deny.c); NULL: none. */
static inline void start_broker_denied(struct fixture *f, const char *denied)
{
    int pipes[2];
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
    assert_int_equal(hermes_topic_create(f->client, name, &options), 0);
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
