/* A batch on a sync topic: what its return says of how much is taken, and of the disk. */
#include "counters.h"

#include <glob.h>

enum { COUNT = 300 };

struct batch {
    uint64_t numbers[COUNT];
    hermes_slice_t slices[COUNT];
};

/* Counters from first on. */
static void fill(struct batch *batch, uint64_t first)
{
    for (unsigned i = 0; i < COUNT; i++) {
        batch->numbers[i] = first + i;
        batch->slices[i] = (hermes_slice_t){&batch->numbers[i], sizeof batch->numbers[i]};
    }
}

/* What a call that was a success says it did. */
static void expect_published(hermes_publisher_t *publisher, uint64_t count)
{
    assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), count);
    assert_int_equal(hermes_publisher_accepted(publisher), count);
    assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, 0), 0);
}

static const char *begin(struct fixture *f, bool shared)
{
    const char *topic = shared ? "shared" : "exclusive";
    make_topic_of(f, topic, shared, HERMES_DURABILITY_SYNC);
    return topic;
}

static void end(hermes_client_t *client, hermes_publisher_t *publisher, const char *topic, uint64_t count)
{
    assert_int_equal(hermes_publisher_close(publisher), 0);
    hermes_disconnect(client);
    expect_counters(topic, count);
}

/* In one go, and in several: a window, and a ring, have room for the messages of three calls or so. */
static void test_a_batch_is_on_disk_when_it_returns(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = begin(*state, shared);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        struct batch batch;
        for (uint64_t done = 0; done < 60 * COUNT; done += COUNT) {
            fill(&batch, done + 1);
            assert_int_equal(hermes_publish_batch(publisher, batch.slices, COUNT), COUNT);
            expect_published(publisher, done + COUNT);
        }
        assert_int_equal(hermes_publish_batch(publisher, batch.slices, 0), 0);
        end(client, publisher, topic, 60 * COUNT);
    }
}

/* More than window or ring have room for: part of it goes the slow way. */
static void test_a_batch_that_waits_for_room_is_on_disk_when_it_returns(void **state)
{
    static uint8_t payload[4000];
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = begin(*state, shared);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        hermes_slice_t slices[COUNT];
        for (unsigned i = 0; i < COUNT; i++)
            slices[i] = (hermes_slice_t){payload, sizeof payload};
        assert_int_equal(hermes_publish_batch(publisher, slices, COUNT), COUNT);
        expect_published(publisher, COUNT);
        assert_int_equal(hermes_publisher_close(publisher), 0);
        hermes_disconnect(client);
    }
}

/* The first ones are taken, and on disk; the next call tells why not all. */
static void test_what_stands_before_a_message_that_is_refused_is_on_disk(void **state)
{
    enum { GOOD = 100 };
    static uint8_t large[HERMES_PAYLOAD_MAX + 1];
    const hermes_slice_t bad[] = {{large, sizeof large}, {NULL, 5}};
    const int why[] = {HERMES_ETOOLARGE, HERMES_EINVALID};
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = begin(*state, shared);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        for (unsigned i = 0; i < 2; i++) {
            struct batch batch;
            fill(&batch, i * GOOD + 1);
            batch.slices[GOOD] = bad[i];
            assert_int_equal(hermes_publish_batch(publisher, batch.slices, COUNT), GOOD);
            expect_published(publisher, (i + 1) * GOOD);
            assert_int_equal(hermes_publish_batch(publisher, batch.slices + GOOD, COUNT - GOOD), why[i]);
            expect_published(publisher, (i + 1) * GOOD);
        }
        end(client, publisher, topic, 2 * GOOD);
    }
}

/* A broker that stands still: as much as there is room for is taken, and not on disk. */
static void test_a_time_out_amid_a_batch_tells_how_much_of_it_stands(void **state)
{
    struct fixture *f = *state;
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = begin(f, shared);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        struct batch batch;
        uint64_t accepted = 0;
        hermes_publisher_set_wait(publisher, soon_ns);
        kill(f->broker, SIGSTOP);
        for (int64_t rc = HERMES_ETIMEOUT; rc == HERMES_ETIMEOUT;) {
            uint64_t before = accepted;
            fill(&batch, before + 1);
            rc = hermes_publish_batch(publisher, batch.slices, COUNT);
            accepted = hermes_publisher_accepted(publisher);
            if (rc == HERMES_ETIMEOUT)
                assert_in_range(accepted, before + 1, before + COUNT);
            else /* no room for a single one */
                assert_int_equal(rc, HERMES_EAGAIN);
            assert_true(rc == HERMES_ETIMEOUT || accepted == before);
        }
        if (transport() == NULL)
            assert_true(accepted % COUNT != 0); /* there was one of which not all were taken */
        assert_true(hermes_publisher_confirmed(publisher, HERMES_DURABLE) == 0);
        kill(f->broker, SIGCONT);
        hermes_publisher_set_wait(publisher, patience_ns);
        fill(&batch, accepted + 1);
        assert_int_equal(hermes_publish_batch(publisher, batch.slices, COUNT), COUNT);
        expect_published(publisher, accepted + COUNT);
        end(client, publisher, topic, accepted + COUNT);
    }
}

/* Somebody deletes the file that is written to: nothing more will be on disk. */
static void test_a_store_that_fails_tells_how_much_of_a_batch_stands(void **state)
{
    struct fixture *f = *state;
    for (int shared = 0; shared < 2; shared++) {
        const char *topic = begin(f, shared);
        hermes_client_t *client = connect_client();
        hermes_publisher_t *publisher = publisher_of(client, topic, 0);
        struct batch batch;
        char pattern[160];
        glob_t found;
        fill(&batch, 1);
        assert_int_equal(hermes_publish_batch(publisher, batch.slices, COUNT), COUNT);
        snprintf(pattern, sizeof pattern, "%s/data/topics/%s/*.log", f->home, topic);
        assert_int_equal(glob(pattern, 0, NULL, &found), 0);
        assert_int_equal(found.gl_pathc, 1);
        assert_int_equal(unlink(found.gl_pathv[0]), 0);
        globfree(&found);
        fill(&batch, COUNT + 1);
        assert_int_equal(hermes_publish_batch(publisher, batch.slices, COUNT), HERMES_EIO);
        assert_int_equal(hermes_publisher_accepted(publisher), 2 * COUNT);
        assert_int_equal(hermes_publisher_confirmed(publisher, HERMES_DURABLE), COUNT);
        assert_int_equal(hermes_publisher_wait_for(publisher, COUNT, HERMES_DURABLE, patience_ns), 0);
        assert_int_equal(hermes_publisher_wait(publisher, HERMES_DURABLE, patience_ns), HERMES_EIO);
        hermes_disconnect(client);
        delete_topic(f, topic); /* or the broker could not stop in good order */
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_batch_is_on_disk_when_it_returns),
        TEST(test_a_batch_that_waits_for_room_is_on_disk_when_it_returns),
        TEST(test_what_stands_before_a_message_that_is_refused_is_on_disk),
        TEST(test_a_time_out_amid_a_batch_tells_how_much_of_it_stands),
        TEST(test_a_store_that_fails_tells_how_much_of_a_batch_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
