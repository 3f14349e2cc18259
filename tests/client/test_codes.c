/* What is asked for wrongly, or cannot be had, is told by the code that its header names. */
#include "counters.h"
#include "kinds.h"

#include <fcntl.h>
#include <sys/resource.h>

/* ---- options ---- */

static void test_unknown_flags_are_told_by_publishers_and_subscribers_alike(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t flags = (uint32_t)1 << bit;
        hermes_publisher_options_t publishes = {.size = sizeof publishes, .flags = flags};
        hermes_subscriber_options_t subscribes = {.size = sizeof subscribes, .flags = flags};
        if ((flags & (HERMES_PUBLISH_NO_CRC | HERMES_PUBLISH_NO_WAIT)) == 0)
            assert_int_equal(hermes_publisher_open(f->client, "t", &publishes, &publisher), HERMES_ENOTSUP);
        if ((flags & HERMES_SUBSCRIBE_PUSH_BACK) == 0)
            assert_int_equal(hermes_subscriber_open(f->client, "t", &subscribes, &subscriber),
                             HERMES_ENOTSUP);
    }
}

static void test_segments_have_a_largest_size(void **state)
{
    struct fixture *f = *state;
    for (unsigned bit = 41; bit < 64; bit++) {
        hermes_topic_options_t options = {.size = sizeof options,
                                          .durability = bit % 3,
                                          .window_bytes = 256 * 1024,
                                          .segment_bytes = (uint64_t)1 << bit};
        assert_int_equal(hermes_topic_create(f->client, "t", &options), HERMES_EINVALID);
        assert_non_null(strstr(hermes_last_error(f->client), "1024G"));
    }
}

/* ---- the oldest position ---- */

static void test_a_lapped_memory_topic_says_what_is_its_oldest_position(void **state)
{
    struct fixture *f = *state;
    static const char message[1000];
    hermes_topic_info_t info = {.size = sizeof info};
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    hermes_message_t read;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &subscriber), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(hermes_publish(publisher, message, sizeof message, NULL), 0);
        if (i == 0) {
            assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
            assert_int_equal(info.first_position, 0);
        }
    }
    assert_int_equal(hermes_topic_describe(f->client, "t", &info), 0);
    assert_true(info.first_position > 0);
    assert_true(info.committed_position - info.first_position <= info.window_bytes);
    assert_int_equal(hermes_seek_position(subscriber, info.first_position), 0);
    assert_int_equal(hermes_poll(subscriber, &read), 1);
    uint64_t oldest = read.sequence;
    assert_int_equal(hermes_seek_first(subscriber), 0);
    assert_int_equal(hermes_poll(subscriber, &read), 1);
    assert_int_equal(read.sequence, oldest);
    assert_int_equal(hermes_publisher_close(publisher), 0);
}

/* ---- descriptors ---- */

/* ---- payloads ---- */

/* That does not pass: who is told otherwise tries again and again. */
static void test_what_is_no_message_is_refused_as_that_though_no_broker_is_there(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    hermes_publisher_set_wait(publisher, 1000000);
    stop_broker(f, SIGTERM);
    assert_int_equal(hermes_publish(publisher, "x", 1, NULL), HERMES_EDISCONNECTED);
    assert_int_equal(hermes_publish(publisher, "x", 1, NULL), HERMES_EAGAIN);
    static const char large[HERMES_PAYLOAD_MAX + 1];
    const hermes_slice_t slices[] = {{large, sizeof large}, {NULL, 1}};
    void *payload;
    assert_int_equal(hermes_publish(publisher, large, sizeof large, NULL), HERMES_ETOOLARGE);
    assert_int_equal(hermes_publish_at(publisher, 1, NULL, 1, NULL), HERMES_EINVALID);
    assert_int_equal(hermes_publish_batch(publisher, &slices[0], 1), HERMES_ETOOLARGE);
    assert_int_equal(hermes_publish_batch(publisher, &slices[1], 1), HERMES_EINVALID);
    assert_int_equal(hermes_claim(publisher, sizeof large, &payload), HERMES_ETOOLARGE);
    assert_int_equal(hermes_publisher_close(publisher), 1);
}

static void allow_descriptors(rlim_t most)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_who_is_out_of_descriptors_is_told_so(void **state)
{
    struct fixture *f = *state;
    hermes_publisher_t *publisher;
    hermes_subscriber_t *subscriber;
    struct rlimit before;
    if (transport() != NULL)
        skip(); /* none are passed */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    make_topic(f, "t", false);
    make_topic(f, "shared", true);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(next > 0);
    close(next);
    for (rlim_t more = 0; more < 2; more++) {
        allow_descriptors((rlim_t)next + more);
        assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), HERMES_ELIMIT);
        assert_non_null(strstr(hermes_last_error(f->client), "descriptors"));
        assert_int_equal(hermes_publisher_open(f->client, "shared", NULL, &publisher), HERMES_ELIMIT);
        assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &subscriber), HERMES_ELIMIT);
        assert_int_equal(hermes_ping(f->client), 0);
    }
    allow_descriptors(before.rlim_cur);
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    assert_int_equal(hermes_publisher_close(publisher), 0);
    assert_int_equal(hermes_subscriber_open(f->client, "t", NULL, &subscriber), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unknown_flags_are_told_by_publishers_and_subscribers_alike,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_segments_have_a_largest_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lapped_memory_topic_says_what_is_its_oldest_position, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_message_is_refused_as_that_though_no_broker_is_there,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_is_out_of_descriptors_is_told_so, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
