/* What the broker reads of its own logs while a publisher goes: nothing is taken for the end that is none. */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "broker/group_place.h"
#include "broker/topic.h"
#include "log/publish.h"

enum { COUNT = 10 };

static struct topic topic;
static _Atomic bool is_ending, is_waited_for;

/* log_end() calls it when the seal says that the epoch is over, and nothing says yet where. It is held up
 * there until somebody who reads has come to that, and waits. */
bool __real_barrier_remote(void);
bool __wrap_barrier_remote(void);

bool __wrap_barrier_remote(void)
{
    if (atomic_load(&is_ending))
        while (!atomic_load(&is_waited_for))
            sched_yield();
    return __real_barrier_remote();
}

static void *end_epoch(void *context)
{
    log_end(context, EPOCH_LEFT);
    return NULL;
}

static char state_of(pid_t thread)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    return strrchr(line, ')')[2];
}

/* Lets the epoch end once that thread sleeps, or is through. */
struct look {
    pid_t thread;
    _Atomic bool is_through;
};

static void *let_it_end(void *context)
{
    struct look *look = context;
    while (!atomic_load(&look->is_through) && state_of(look->thread) != 'S')
        sched_yield();
    atomic_store(&is_waited_for, true);
    return NULL;
}

static void open_log(const char *directory, const char *prefix)
{
    struct error_text text;
    const struct log_options options = {.prefix = prefix,
                                        .directory = directory,
                                        .topic_id = 7,
                                        .window_bytes = WINDOW_MIN_BYTES,
                                        .segment_bytes = STORE_SEGMENT_MIN,
                                        .durability = DURABILITY_ASYNC,
                                        .instance = 1};
    assert_int_equal(log_open(&topic.log, &options, &text), 0);
    assert_int_equal(log_begin(&topic.log, WRITER_OWNER, &text), 0);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(publish_one(&topic.log.writer, "0123456789abcdef", 16, 1000 + i, true), 0);
}

/* Asks beside an epoch that ends. */
static struct group_place place_beside_an_end(uint32_t from)
{
    struct group_place place = {0};
    struct error_text text;
    pthread_t ends, lets;
    struct look look = {.thread = gettid()};
    uint64_t open_seal = status_load_seal(topic.log.status);
    atomic_store(&is_ending, true);
    assert_int_equal(pthread_create(&ends, NULL, end_epoch, &topic.log), 0);
    while (status_load_seal(topic.log.status) == open_seal)
        sched_yield();
    assert_int_equal(pthread_create(&lets, NULL, let_it_end, &look), 0);
    assert_int_equal(place_find(&topic, from, 0, &place, &text), 0);
    atomic_store(&look.is_through, true);
    pthread_join(lets, NULL);
    pthread_join(ends, NULL);
    atomic_store(&is_ending, false);
    return place;
}

static void test_where_a_group_begins_while_an_epoch_ends(void **state)
{
    (void)state;
    TEST_DIRECTORY(directory);
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s/shm", directory);
    open_log(directory, prefix);
    struct group_place place = place_beside_an_end(WIRE_FROM_FIRST);
    assert_int_equal(place.position, 0);
    assert_int_equal(place.sequence, 0); /* and not the last one's */
    assert_int_equal(log_close(&topic.log, STATE_CLOSED), 0);
    test_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_a_group_begins_while_an_epoch_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
