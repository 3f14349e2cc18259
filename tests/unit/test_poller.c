/* Both pollers, the same tests. */
#include "test.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/un.h>

#include "io/poller.h"

struct probe {
    struct poller_op op;
    int calls;
    int result;
};

static void note(struct poller_op *op, int result)
{
    struct probe *probe = (struct probe *)op;
    probe->calls++;
    probe->result = result;
}

static void note_and_close(struct poller_op *op, int result)
{
    note(op, result);
    close(op->fd);
}

static void run_until(struct poller *poller, const struct probe *probe, int calls)
{
    for (int i = 0; i < 100 && probe->calls < calls; i++)
        poller_run(poller, 100000000);
    assert_int_equal(probe->calls, calls);
}

static void exercise(enum poller_backend backend)
{
    struct poller *poller;
    struct error_text text;
    int rc = poller_open(backend, &poller, &text);
    if (rc < 0 && backend == POLLER_URING) {
        print_message("io_uring is not to be had here: %s\n", text.bytes);
        return;
    }
    assert_int_equal(rc, 0);
    struct probe read_probe = {.op.done = note}, send_probe = {.op.done = note},
                 end_probe = {.op.done = note};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    char buffer[16] = "";
    assert_int_equal(poller_receive(poller, &read_probe.op, pair[0], buffer, sizeof buffer), 0);
    assert_int_equal(poller_run(poller, 1000000), 0);
    struct iovec part = {"hello", 5};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    assert_int_equal(poller_send(poller, &send_probe.op, pair[1], &message), 0);
    run_until(poller, &send_probe, 1);
    assert_int_equal(send_probe.result, 5);
    run_until(poller, &read_probe, 1);
    assert_int_equal(read_probe.result, 5);
    assert_string_equal(buffer, "hello");
    /* A peer that goes away ends what is under way. */
    assert_int_equal(poller_receive(poller, &end_probe.op, pair[0], buffer, sizeof buffer), 0);
    poller_forget(poller, pair[1]);
    close(pair[1]);
    run_until(poller, &end_probe, 1);
    assert_int_equal(end_probe.result, 0);
    poller_forget(poller, pair[0]);
    close(pair[0]);

    int event = eventfd(0, EFD_CLOEXEC);
    struct probe event_probe = {.op.done = note};
    uint64_t value = 0;
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(poller_read(poller, &event_probe.op, event, &value, sizeof value), 0);
        assert_int_equal(eventfd_write(event, (eventfd_t)i), 0);
        run_until(poller, &event_probe, i);
        assert_int_equal(value, i);
    }
    poller_forget(poller, event);
    close(event);

    /* A descriptor that somebody else holds too, closed when it is done; the next one has its number. */
    for (int i = 0; i < 3; i++) {
        struct probe last_probe = {.op.done = note_and_close};
        event = eventfd(0, EFD_CLOEXEC);
        int theirs = dup(event);
        assert_int_equal(poller_read(poller, &last_probe.op, event, &value, sizeof value), 0);
        assert_int_equal(eventfd_write(theirs, 1), 0);
        run_until(poller, &last_probe, 1);
        assert_int_equal(last_probe.result, sizeof value);
        close(theirs);
    }

    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "hermes-test-%d-%d", (int)getpid(),
             (int)backend);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 8), 0);
    struct probe accept_probe = {.op.done = note};
    assert_int_equal(poller_accept(poller, &accept_probe.op, listener), 0);
    for (int i = 1; i <= 3; i++) {
        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        poller_run(poller, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
        run_until(poller, &accept_probe, i);
        assert_true(accept_probe.result >= 0);
        close(accept_probe.result);
        close(client);
    }
    poller_forget(poller, listener);
    close(listener);
    poller_close(poller);
}

static void io_uring(void **state)
{
    (void)state;
    exercise(POLLER_URING);
}

static void epoll(void **state)
{
    (void)state;
    exercise(POLLER_EPOLL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(io_uring), cmocka_unit_test(epoll)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
