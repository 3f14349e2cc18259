/*
 * A broker that dies between appending to a log what a ring held and saying so in the ring's line: what the
 * next one finds is counted once, and nothing of it is called durable before it is synced.
 */
#include "log_fixture.h"

#include "client/publisher.h"

enum { LINE = 5, FRAME = 64 };
static const uint64_t ring_id = 77;

/* As the sequencer gives a ring its line, and as it begins and ends a batch (broker/sequencer.c). */

static void begin_line(struct fixture *f)
{
    struct status_ring *line = &f->log.status->rings[LINE];
    atomic_store(&line->log_position, f->log.writer.position);
    atomic_store(&line->log_sequence, f->log.writer.sequence - 1);
    atomic_store(&line->ended, RING_TAKEN_FROM);
    atomic_store(&line->id, ring_id);
    atomic_store(&f->log.status->ring_marks[LINE], ring_id);
}

static void begin_batch(struct fixture *f, uint64_t consumed_sequence)
{
    struct status *status = f->log.status;
    atomic_store(&status->journal_ring, 0);
    atomic_store(&status->journal_log_position, f->log.writer.position);
    atomic_store(&status->journal_sequence, consumed_sequence);
    atomic_store(&status->journal_line, LINE);
    atomic_store(&status->journal_ring, ring_id);
}

static void end_batch(struct fixture *f, uint64_t consumed_sequence)
{
    struct status_ring *line = &f->log.status->rings[LINE];
    atomic_store(&line->log_position, f->log.writer.position);
    atomic_store(&line->log_sequence, f->log.writer.sequence - 1);
    atomic_store(&line->consumed_sequence, consumed_sequence);
    atomic_store(&line->consumed, consumed_sequence * FRAME);
}

/* The ring's producer, which lives through all of it, looks at the page. */
static void look(hermes_publisher_t *producer, const struct fixture *f)
{
    producer->status = f->log.status;
    producer->ring = &f->log.status->rings[LINE];
    producer->writer.mark = &f->log.status->ring_marks[LINE];
}

static void die_and_start_again(struct fixture *f, hermes_publisher_t *producer)
{
    log_abandon(&f->log);
    open_log(f);
    assert_true(f->log.taken_up);
    look(producer, f);
}

/* Ten of its thirty messages are durable, and `found` of the others in the log when the broker dies. */
static void death_in_mid_batch(uint64_t found)
{
    struct fixture f;
    char ring[1];
    hermes_publisher_t producer = {.kind = WIRE_RING,
                                   .durability = HERMES_DURABILITY_ASYNC,
                                   .ring_id = ring_id,
                                   .first_sequence = 1,
                                   .attached = {.window = {.address = ring}},
                                   .writer = {.sequence = 31}};
    setup(&f);
    look(&producer, &f);
    publish(&f, 3); /* other producers' */
    begin_line(&f);
    begin_batch(&f, 0);
    publish(&f, 10);
    end_batch(&f, 10);
    sync_all(&f);
    assert_int_equal(hermes_publisher_confirmed(&producer, HERMES_DURABLE), 10);
    publish(&f, 4);
    begin_batch(&f, 10);
    publish(&f, (unsigned)found);
    for (int deaths = 0; deaths < 2; deaths++) { /* none of them makes anything durable */
        die_and_start_again(&f, &producer);
        assert_int_equal(hermes_publisher_confirmed(&producer, HERMES_COMMITTED), 10 + found);
        assert_int_equal(hermes_publisher_confirmed(&producer, HERMES_DURABLE), 10);
        persist_all(&f); /* in files, and nowhere else */
        assert_int_equal(hermes_publisher_confirmed(&producer, HERMES_DURABLE), 10);
    }
    if (found > 0)
        assert_int_equal(hermes_publisher_sequence(&producer), 17 + found);
    sync_all(&f);
    assert_int_equal(hermes_publisher_confirmed(&producer, HERMES_DURABLE), 10 + found);
    assert_int_equal(f.log.store.synced_position, (17 + found) * FRAME);
    teardown(&f);
}

static void what_a_death_in_mid_batch_left_is_durable_when_it_is_synced(void **state)
{
    (void)state;
    for (uint64_t found = 0; found <= 20; found += 5)
        death_in_mid_batch(found);
}

/* Its producer left, and another has the line: the journal is of no ring that there is. */
static void a_journal_of_a_ring_that_is_gone_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    begin_line(&f);
    begin_batch(&f, 0);
    publish(&f, 10);
    end_batch(&f, 10);
    struct status_ring *line = &f.log.status->rings[LINE];
    atomic_store(&line->id, ring_id + 1);
    atomic_store(&line->consumed_sequence, 2);
    atomic_store(&line->log_position, 5 * FRAME);
    hermes_publisher_t unconcerned = {0};
    die_and_start_again(&f, &unconcerned);
    line = &f.log.status->rings[LINE];
    assert_int_equal(atomic_load(&line->consumed_sequence), 2);
    assert_int_equal(atomic_load(&line->log_position), 5 * FRAME);
    assert_int_equal(atomic_load(&f.log.status->journal_ring), 0);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_death_in_mid_batch_left_is_durable_when_it_is_synced),
        cmocka_unit_test(a_journal_of_a_ring_that_is_gone_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
