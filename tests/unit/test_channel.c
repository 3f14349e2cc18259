/* The client's end of the socket, beside a broker's end that the test has itself. */
#include "test.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "io/channel.h"
#include "io/conduit.h"

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

/* ---- what is on its way ---- */

static int64_t takes_nothing(struct carrier *carrier, const struct iovec *parts, int count)
{
    (void)carrier;
    (void)parts;
    (void)count;
    return HERMES_EAGAIN;
}

static void close_nothing(struct carrier *carrier)
{
    (void)carrier;
}

/* In all that this process may write to, but the secret itself, which is there in two halves. */
static bool is_in_memory(const uint8_t *first_half, const uint8_t *second_half, size_t half)
{
    char line[256];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (!found && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from, to;
        if (strstr(line, "[heap]") == NULL || sscanf(line, "%lx-%lx", &from, &to) != 2)
            continue;
        const uint8_t *end = (const uint8_t *)to - 2 * half;
        for (const uint8_t *at = (const uint8_t *)from; !found && at <= end; at++)
            found = memcmp(at, first_half, half) == 0 && memcmp(at + half, second_half, half) == 0;
    }
    fclose(maps);
    return found;
}

static void what_waited_to_be_sent_leaves_nothing_in_memory_when_more_comes(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* whose heaps are elsewhere, and keep what was freed from being used again */
#endif
    enum { HALF = 32 };
    static const struct carrier_kind kind = {.write = takes_nothing, .close = close_nothing};
    static uint8_t secret[2][HALF], more[64 * 1024];
    struct carrier carrier = {.kind = &kind, .fd = -1};
    struct conduit conduit;
    memset(secret[0], 0x5A, HALF);
    memset(secret[1], 0xA5, HALF);
    uint8_t *const halves[] = {secret[1], secret[0]}; /* so that it stands nowhere else */
    assert_int_equal(conduit_open(&conduit, &carrier), 0);
    /* Behind what a heap writes into what is free. */
    const struct iovec token[] = {{more, 1024}, {halves[0], HALF}, {halves[1], HALF}};
    const struct iovec rest = {more, sizeof more};
    assert_int_equal(conduit_send(&conduit, token, 3), 0);
    void *const in_its_way = malloc(8192); /* it grows elsewhere */
    assert_true(is_in_memory(halves[0], halves[1], HALF));
    assert_int_equal(conduit_send(&conduit, &rest, 1), 0);
    conduit_close(&conduit);
    assert_false(is_in_memory(halves[0], halves[1], HALF));
    free(in_its_way);
}

enum { SECRET_BYTES = 32 };

/* A message with a secret, and the beginning of the next one; then nothing. */
static int64_t gives_a_secret(struct carrier *carrier, void *to, size_t bytes)
{
    uint8_t *at = to;
    hermes_header_t header;
    carrier->is_dry = true;
    if (carrier->fd-- != 0 || bytes < 2 * sizeof header + SECRET_BYTES)
        return HERMES_EAGAIN;
    wire_header(&header, WIRE_MIRROR_GRANT, 1, SECRET_BYTES);
    memcpy(at, &header, sizeof header);
    memset(at + sizeof header, 0x5A, SECRET_BYTES);
    wire_header(&header, WIRE_OK, 2, 0);
    memcpy(at + sizeof header + SECRET_BYTES, &header, sizeof header);
    return (int64_t)(2 * sizeof header + SECRET_BYTES);
}

/* Right behind it, and when what followed was taken as well and the next byte goes to the front. */
static void what_was_taken_leaves_nothing_in_memory_once_it_is_wiped(void **state)
{
    (void)state;
    static const struct carrier_kind kind = {.read = gives_a_secret, .close = close_nothing};
    static const uint8_t nothing[SECRET_BYTES];
    for (int later = 0; later < 2; later++) {
        struct carrier carrier = {.kind = &kind, .fd = 0};
        struct conduit conduit;
        hermes_header_t header;
        const uint8_t *secret, *payload;
        assert_int_equal(conduit_open(&conduit, &carrier), 0);
        assert_int_equal(conduit_next(&conduit, &header, &secret), 1);
        assert_int_equal(secret[0], 0x5A);
        if (!later)
            conduit_wipe(&conduit);
        assert_int_equal(conduit_next(&conduit, &header, &payload), 1);
        assert_int_equal(header.type, WIRE_OK); /* what was not taken stays */
        assert_int_equal(conduit_next(&conduit, &header, &payload), 0);
        if (later)
            conduit_wipe(&conduit);
        assert_memory_equal(secret, nothing, SECRET_BYTES);
        conduit_close(&conduit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waited_to_be_sent_leaves_nothing_in_memory_when_more_comes),
        cmocka_unit_test(what_was_taken_leaves_nothing_in_memory_once_it_is_wiped),
        cmocka_unit_test(who_is_refused_before_it_says_hello_hears_why),
        cmocka_unit_test(who_is_refused_after_it_said_hello_hears_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
