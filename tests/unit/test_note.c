/* Notes: whatever standard error does, who makes a note never waits. */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>

#include "base/note.h"

enum { A_SECOND_NS = 1000000000 };

static char everything[1 << 20];

/* All that comes out of a pipe whose other end is closed. */
static const char *read_all(int fd)
{
    size_t used = 0;
    ssize_t got;
    while ((got = read(fd, everything + used, sizeof everything - 1 - used)) > 0)
        used += (size_t)got;
    everything[used] = 0;
    close(fd);
    return everything;
}

static unsigned count(const char *text, const char *what)
{
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        found++;
    return found;
}

static void they_come_out_in_order(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    note("before the thread: %d", 1);
    assert_int_equal(note_start("program", pair[1]), 0);
    note("behind it: %d", 2);
    note_stop(A_SECOND_NS);
    close(pair[1]);
    assert_string_equal(read_all(pair[0]), "program: before the thread: 1\nprogram: behind it: 2\n");
}

static void a_flood_is_told_once(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_int_equal(note_start("program", pair[1]), 0);
    for (int i = 0; i < 250000; i++)
        note("flood %d.", i);
    note("something else");
    note_stop(A_SECOND_NS);
    close(pair[1]);
    const char *text = read_all(pair[0]);
    assert_in_range(count(text, "\n"), NOTES_OF_A_KIND + 1, NOTES_OF_A_KIND + 20);
    assert_int_equal(count(text, "flood 0."), 1);
    assert_int_equal(count(text, "something else"), 1);
    assert_int_equal(count(text, "more like this: flood 249999."), 1);
}

static void *read_late(void *argument)
{
    (void)read_all(*(int *)argument);
    return NULL;
}

/* Several threads, formats of their own (so that the rate does not hide it), and a pipe that nobody reads. */
static void *make_many(void *argument)
{
    static const char *const formats[] = {"a %0600d", "b %0600d", "c %0600d", "d %0600d", "e %0600d",
                                          "f %0600d", "g %0600d", "h %0600d", "i %0600d", "j %0600d",
                                          "k %0600d", "l %0600d", "m %0600d", "n %0600d", "o %0600d"};
    (void)argument;
    for (int i = 0; i < NOTES_OF_A_KIND; i++)
        for (size_t k = 0; k < sizeof formats / sizeof formats[0]; k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            note(formats[k], i);
#pragma GCC diagnostic pop
        }
    return NULL;
}

static void a_pipe_that_nobody_reads_holds_nobody_up(void **state)
{
    (void)state;
    int pair[2];
    uint64_t before = note_dropped();
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_int_equal(note_start("program", pair[1]), 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0); /* they came back: that is the test */
    assert_true(note_dropped() > before);
    /* Read again, and it is told how many there were not. */
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_late, &pair[0]), 0);
    note_stop(20ull * A_SECOND_NS);
    close(pair[1]);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_non_null(strstr(everything, "notes were lost"));
}

static void stopping_is_bounded(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(pair[1], everything, sizeof everything) > 0)
        ;
    assert_int_equal(note_start("program", pair[1]), 0);
    uint64_t before = note_dropped();
    note("nobody will read this");
    note_stop(1000000);
    assert_int_equal(note_dropped() - before, 1);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_come_out_in_order),
        cmocka_unit_test(a_flood_is_told_once),
        cmocka_unit_test(a_pipe_that_nobody_reads_holds_nobody_up),
        cmocka_unit_test(stopping_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
