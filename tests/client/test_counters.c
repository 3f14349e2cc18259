/* What clients tell of themselves, beside what the broker counts: read as hermes stat reads it. */
#include "fixture.h"

#include "counters/find.h"
#include "log/window.h"

enum { PAYLOAD = 100, FRAME = 192, TELL_BYTES = 16384 };

struct seen {
    struct view view;
    struct view_sample sample;
};

static void look(struct seen *seen)
{
    struct error_text text;
    view_close(&seen->view);
    assert_int_equal(find_counters(&seen->view, NULL, &text), 0);
    assert_int_equal(view_take(&seen->view, &seen->sample), 0);
}

static void forget(struct seen *seen)
{
    view_close(&seen->view);
    view_release(&seen->sample);
}

/* The one row of that kind; of a subscriber, the one that is alone. */
static const struct view_row *row_of(const struct seen *seen, unsigned kind)
{
    const struct view_row *found = NULL;
    for (size_t i = 0; i < seen->sample.count; i++)
        if (seen->sample.rows[i].entry.kind == kind) {
            assert_null(found);
            found = &seen->sample.rows[i];
        }
    assert_non_null(found);
    return found;
}

static uint64_t number(struct seen *seen, unsigned kind, const char *name)
{
    uint64_t value;
    look(seen);
    if (!view_value(&seen->view, row_of(seen, kind), name, &value))
        fail_msg("%s is not known", name);
    return value;
}

static hermes_publisher_t *publisher_of(struct fixture *f, uint64_t wait_ns)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    hermes_publisher_set_wait(publisher, wait_ns);
    return publisher;
}

static hermes_subscriber_t *subscriber_of(struct fixture *f, uint32_t from, uint32_t flags)
{
    hermes_subscriber_t *s;
    hermes_subscriber_options_t options = {.size = sizeof options, .from = from, .flags = flags};
    assert_int_equal(hermes_subscriber_open(f->client, "t", &options, &s), 0);
    return s;
}

static void publish(hermes_publisher_t *publisher, unsigned count)
{
    char payload[PAYLOAD] = "x";
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), 0);
}

/* Each step of the way: what was told is where it is, or so many bytes before. */
static void read_and_check(struct seen *seen, hermes_subscriber_t *s, unsigned count)
{
    hermes_message_t message;
    hermes_subscriber_counters_t at = {.size = sizeof at};
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(hermes_wait(s, &message, 10000000000), 1);
        if (i % 16 != 0)
            continue;
        hermes_subscriber_describe(s, &at);
        uint64_t told = number(seen, COUNTERS_SUBSCRIBER, "position_bytes");
        assert_true(told <= at.position && at.position - told <= TELL_BYTES + FRAME);
    }
}

static void test_a_subscriber_tells_how_far_it_is(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.view.header = NULL};
    hermes_message_t message;
    make_topic_of(f, "t", false, HERMES_DURABILITY_MEMORY);
    hermes_publisher_t *publisher = publisher_of(f, 0);
    hermes_subscriber_t *s = subscriber_of(f, HERMES_FROM_END, 0);
    assert_int_equal(number(&seen, COUNTERS_SUBSCRIBER, "position_bytes"), 0);
    publish(publisher, 1000);
    read_and_check(&seen, s, 1000);
    assert_int_equal(hermes_wait(s, &message, 1000000), 0); /* who sleeps has told to the byte */
    assert_int_equal(number(&seen, COUNTERS_SUBSCRIBER, "position_bytes"), 1000 * FRAME);
    publish(publisher, 5000); /* laps it */
    assert_int_equal(hermes_poll(s, &message), HERMES_EGONE);
    while (hermes_wait(s, &message, 1000000) == 1)
        ;
    assert_int_equal(number(&seen, COUNTERS_SUBSCRIBER, "position_bytes"),
                     number(&seen, COUNTERS_TOPIC, "head_position_bytes"));
    hermes_subscriber_counters_t at = {.size = sizeof at};
    hermes_subscriber_describe(s, &at);
    assert_true(at.lost > 0);
    assert_int_equal(number(&seen, COUNTERS_SUBSCRIBER, "lost_messages"), at.lost);
    forget(&seen);
}

static void test_a_reader_of_the_store_tells_how_far_it_is(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.view.header = NULL};
    hermes_message_t message;
    make_topic(f, "t", false);
    hermes_publisher_t *publisher = publisher_of(f, 10000000000);
    publish(publisher, 10000);
    hermes_subscriber_t *s = subscriber_of(f, HERMES_FROM_FIRST, 0);
    read_and_check(&seen, s, 10000);
    assert_int_equal(hermes_wait(s, &message, 1000000), 0);
    assert_int_equal(number(&seen, COUNTERS_SUBSCRIBER, "position_bytes"),
                     number(&seen, COUNTERS_TOPIC, "head_position_bytes"));
    assert_int_equal(hermes_seek_first(s), 0); /* behind what it told before */
    read_and_check(&seen, s, 100);
    forget(&seen);
}

static void test_what_found_no_room_is_counted(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.view.header = NULL};
    hermes_topic_options_t options = {
        .size = sizeof options, .push_back = 1, .window_bytes = 256 * 1024, .segment_bytes = 1024 * 1024};
    assert_int_equal(hermes_topic_create(f->client, "t", &options), 0);
    subscriber_of(f, HERMES_FROM_END, HERMES_SUBSCRIBE_PUSH_BACK);
    hermes_publisher_t *publisher = publisher_of(f, 0);
    char payload[PAYLOAD] = "x";
    assert_int_equal(number(&seen, COUNTERS_PUBLISHER, "refused_calls"), 0);
    while (hermes_publish(publisher, payload, sizeof payload, NULL) == 0)
        ;
    assert_int_equal(number(&seen, COUNTERS_PUBLISHER, "refused_calls"), 1);
    assert_int_equal(number(&seen, COUNTERS_PUBLISHER, "waits"), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), HERMES_EAGAIN);
    hermes_publisher_set_wait(publisher, 2000000);
    assert_int_equal(hermes_publish(publisher, payload, sizeof payload, NULL), HERMES_EAGAIN);
    assert_int_equal(number(&seen, COUNTERS_PUBLISHER, "refused_calls"), 5);
    assert_int_equal(number(&seen, COUNTERS_PUBLISHER, "waits"), 1);
    forget(&seen);
}

static void test_clients_go_on_telling_the_next_broker(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.view.header = NULL};
    hermes_message_t message;
    make_topic(f, "t", true);
    hermes_publisher_t *publisher = publisher_of(f, 10000000000);
    hermes_subscriber_t *s = subscriber_of(f, HERMES_FROM_END, 0);
    publish(publisher, 10);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_COMMITTED, 10000000000), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(hermes_wait(s, &message, 10000000000), 1);
    stop_broker(f, SIGKILL);
    assert_int_equal(number(&seen, COUNTERS_TOPIC, "next_sequence"), 11);
    assert_false(view_is_alive(&seen.view, &seen.sample));
    start_broker(f);
    publish(publisher, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(hermes_wait(s, &message, 10000000000), 1);
    uint64_t told = 0;
    for (time_t start = time(NULL); told != 20 * FRAME;) { /* once it has greeted it */
        assert_int_equal(hermes_wait(s, &message, 1000000), 0);
        look(&seen);
        for (size_t i = 0; i < seen.sample.count; i++)
            if (seen.sample.rows[i].entry.kind == COUNTERS_SUBSCRIBER)
                told = view_number(&seen.view, &seen.sample.rows[i], "position_bytes");
        assert_true(time(NULL) - start < 60);
    }
    assert_int_equal(number(&seen, COUNTERS_PUBLISHER, "taken_sequence"), 20);
    assert_int_equal(number(&seen, COUNTERS_PUBLISHER, "refused_calls"), 0);
    forget(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_subscriber_tells_how_far_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_of_the_store_tells_how_far_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_found_no_room_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clients_go_on_telling_the_next_broker, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
