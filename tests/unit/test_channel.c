/* The client's end of the socket, beside a broker's end that the test has itself. */
#include "test.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "io/channel.h"

struct ends {
    struct channel channel;
    int broker; /* the other end of the connection */
};

static void connect_ends(struct ends *ends)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct error_text text;
    char directory[] = "/tmp/hermes-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", directory);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(channel_connect(&ends->channel, address.sun_path, clock_deadline_ns(1000000000), &text),
                     0);
    ends->broker = accept(listener, NULL, NULL);
    assert_true(ends->broker >= 0);
    close(listener);
    unlink(address.sun_path);
    rmdir(directory);
}

static void refuse(int fd)
{
    struct {
        hermes_header_t header;
        struct wire_error error;
    } answer = {.error = {.code = HERMES_ELIMIT, .text = "no place"}};
    wire_header(&answer.header, WIRE_ERROR, 1, sizeof answer.error);
    assert_int_equal(write(fd, &answer, sizeof answer), sizeof answer);
    close(fd);
}

/* Once for a client's first connection, once for a later one: what was asked before has other numbers. */
static void who_is_refused_before_it_says_hello_hears_why(void **state)
{
    (void)state;
    static struct ends ends;
    for (int connection = 0; connection < 2; connection++) {
        struct error_text text = {{0}};
        struct wire_hello hello = {.protocol = WIRE_PROTOCOL};
        connect_ends(&ends);
        refuse(ends.broker);
        int rc = channel_send(&ends.channel, WIRE_HELLO, &hello, sizeof hello, clock_deadline_ns(1000000000),
                              &text);
        assert_int_equal(rc, HERMES_ELIMIT);
        assert_string_equal(text.bytes, "no place");
        assert_false(channel_is_up(&ends.channel));
        ends.channel.correlation = 57;
    }
}

/* Likewise who said it just before. */
static void who_is_refused_after_it_said_hello_hears_why(void **state)
{
    (void)state;
    static struct ends ends;
    for (int connection = 0; connection < 2; connection++) {
        struct error_text text = {{0}};
        struct wire_hello hello = {.protocol = WIRE_PROTOCOL};
        uint64_t until = clock_deadline_ns(1000000000);
        connect_ends(&ends);
        assert_int_equal(channel_send(&ends.channel, WIRE_HELLO, &hello, sizeof hello, until, &text), 0);
        refuse(ends.broker);
        assert_int_equal(channel_receive(&ends.channel, ends.channel.correlation, until, &text), 0);
        assert_int_equal(channel_read(&ends.channel, WIRE_WELCOME, 0, &text), HERMES_ELIMIT);
        assert_string_equal(text.bytes, "no place");
        channel_close(&ends.channel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_refused_before_it_says_hello_hears_why),
        cmocka_unit_test(who_is_refused_after_it_said_hello_hears_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
