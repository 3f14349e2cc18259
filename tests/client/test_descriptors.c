/*
 * A program without standard descriptors: what the library opens never stands in their place, where whatever
 * is printed would get into it.
 */
#include "fixture.h"

#include <fcntl.h>
#include <unistd.h>

enum { STANDARD = 3, SEGMENT_BYTES = 1 << 20, PAYLOAD = 60000 };

/* Nothing is asserted meanwhile: there is nowhere to say what failed. */
static void close_standard(int saved[STANDARD])
{
    for (int fd = 0; fd < STANDARD; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, STANDARD);
        close(fd);
    }
}

static void restore_standard(const int saved[STANDARD])
{
    for (int fd = 0; fd < STANDARD; fd++) {
        if (saved[fd] >= 0)
            dup2(saved[fd], fd);
        close(saved[fd]);
    }
}

static unsigned taken(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < STANDARD; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_nothing_of_a_session_stands_in_their_place(void **state)
{
    (void)state;
    hermes_client_t *client;
    hermes_publisher_t *publisher = NULL;
    hermes_subscriber_t *subscriber = NULL;
    int saved[STANDARD];
    close_standard(saved);
    int rc = hermes_connect(NULL, &client);
    rc = rc < 0 ? rc : hermes_topic_create(client, "t", NULL);
    rc = rc < 0 ? rc : hermes_publisher_open(client, "t", NULL, &publisher);
    rc = rc < 0 ? rc : hermes_publish(publisher, "x", 1, NULL);
    rc = rc < 0 ? rc : hermes_subscriber_open(client, "t", NULL, &subscriber);
    rc = rc < 0 ? rc : hermes_subscriber_fd(subscriber);
    unsigned count = taken();
    restore_standard(saved);
    assert_true(rc >= STANDARD || rc == HERMES_ENOTSUP);
    assert_int_equal(count, 0);
    assert_int_equal(hermes_disconnect(client), 0);
}

/* Until there are several segments. */
static int fill(hermes_log_t *log)
{
    static const char payload[PAYLOAD];
    int rc = 0;
    for (unsigned i = 0; i < 3 * SEGMENT_BYTES / PAYLOAD && rc == 0; i++)
        while ((rc = hermes_log_append(log, payload, sizeof payload, NULL)) == HERMES_EAGAIN)
            ;
    return rc;
}

static void test_nothing_of_a_log_stands_in_their_place(void **state)
{
    struct fixture *f = *state;
    const hermes_log_options_t options = {
        .size = sizeof options, .window_bytes = 256 << 10, .segment_bytes = SEGMENT_BYTES};
    hermes_log_t *log = NULL;
    hermes_log_reader_t *reader = NULL;
    hermes_message_t message;
    char path[128];
    int saved[STANDARD];
    snprintf(path, sizeof path, "%s/log", f->home);
    close_standard(saved);
    int rc = hermes_log_open(path, &options, &log);
    rc = rc < 0 ? rc : fill(log);
    rc = rc < 0 ? rc : hermes_log_reader_open(path, &reader);
    rc = rc < 0 ? rc : hermes_log_reader_seek_first(reader);
    rc = rc < 0 ? rc : hermes_log_reader_poll(reader, &message);
    unsigned count = taken();
    restore_standard(saved);
    assert_int_equal(rc, 1);
    assert_int_equal(count, 0);
    hermes_log_reader_close(reader);
    assert_int_equal(hermes_log_close(log), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_of_a_session_stands_in_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_of_a_log_stands_in_their_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
