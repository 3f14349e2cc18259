/* The catalogue of counters: written by one, read from outside while things come and go. */
#include "test.h"
#include <fcntl.h>
#include <unistd.h>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/shm.h"
#include "counters/book.h"
#include "counters/view.h"

struct fixture {
    char directory[64];
    struct counters_book book;
    struct view view;
    struct view_sample sample;
};

static void open_book(struct fixture *f, uint32_t instance)
{
    struct error_text text;
    const struct book_identity identity = {
        .directory = f->directory, .socket = "/tmp/socket", .data = "/tmp/data", .instance = instance};
    assert_int_equal(book_open(&f->book, &identity, &text), 0);
    book_show(&f->book);
}

static int setup(void **state)
{
    struct fixture *f = aligned_alloc(64, (sizeof *f + 63) / 64 * 64);
    memset(f, 0, sizeof *f);
    strcpy(f->directory, "/dev/shm/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    open_book(f, 7);
    struct error_text text;
    assert_int_equal(view_open(&f->view, f->directory, &text), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    view_release(&f->sample);
    view_close(&f->view);
    book_close(&f->book);
    assert_int_equal(rmdir(f->directory), 0); /* nothing is left */
    free(f);
    return 0;
}

static struct counters_entry *take(struct fixture *f, uint64_t number)
{
    char label[32];
    snprintf(label, sizeof label, "session %llu", (unsigned long long)number);
    return book_take(&f->book, &(struct book_entry){.kind = COUNTERS_SESSION,
                                                    .label = label,
                                                    .id = number,
                                                    .session = number,
                                                    .pid = (uint32_t)number,
                                                    .uid = (uint32_t)number + 1});
}

static void test_what_was_counted_is_read(void **state)
{
    struct fixture *f = *state;
    struct counters_entry *entry = take(f, 5);
    counters_add(entry, SESSION_REQUESTS, 3);
    counters_add(entry, SESSION_REQUESTS, 4);
    assert_int_equal(view_take(&f->view, &f->sample), 0);
    assert_int_equal(f->sample.count, 1);
    const struct view_row *row = &f->sample.rows[0];
    assert_int_equal(row->entry.kind, COUNTERS_SESSION);
    assert_string_equal(row->entry.label, "session 5");
    assert_int_equal(row->entry.id, 5);
    assert_int_equal(row->entry.pid, 5);
    assert_int_equal(row->entry.uid, 6);
    uint64_t requests;
    assert_true(view_value(&f->view, row, "requests", &requests));
    assert_int_equal(requests, 7);
    assert_false(view_value(&f->view, row, "no such column", &requests));
    assert_true(view_is_alive(&f->view, &f->sample));
}

static void test_a_longer_label_is_cut_and_ends(void **state)
{
    struct fixture *f = *state;
    char label[300];
    memset(label, 'x', sizeof label - 1);
    label[sizeof label - 1] = 0;
    book_take(&f->book, &(struct book_entry){.kind = COUNTERS_TOPIC, .label = label});
    assert_int_equal(view_take(&f->view, &f->sample), 0);
    assert_int_equal(strlen(f->sample.rows[0].entry.label), COUNTERS_LABEL_WORDS * 8 - 1);
}

static void test_what_has_gone_is_not_seen_and_its_place_begins_with_zeros(void **state)
{
    struct fixture *f = *state;
    struct counters_entry *entry = take(f, 1);
    counters_add(entry, SESSION_REQUESTS, 9);
    uint64_t first = atomic_load(&entry->generation);
    book_give_back(&f->book, entry);
    assert_int_equal(view_take(&f->view, &f->sample), 0);
    assert_int_equal(f->sample.count, 0);
    assert_ptr_equal(take(f, 2), entry);
    assert_int_equal(atomic_load(&entry->generation), first + 2);
    assert_int_equal(view_take(&f->view, &f->sample), 0);
    assert_int_equal(f->sample.count, 1);
    assert_int_equal(f->sample.rows[0].entry.id, 2);
    assert_int_equal(view_number(&f->view, &f->sample.rows[0], "requests"), 0);
}

static void test_another_broker_gives_other_generations(void **state)
{
    struct fixture *f = *state;
    uint64_t before = atomic_load(&take(f, 1)->generation);
    book_close(&f->book);
    open_book(f, 8);
    assert_true(view_is_replaced(&f->view));
    assert_int_not_equal(atomic_load(&take(f, 1)->generation), before);
    assert_int_equal(view_take(&f->view, &f->sample), 0); /* of the broker before: mapped still */
    assert_false(view_is_alive(&f->view, &f->sample));
}

static void test_what_a_former_broker_left_stays_until_the_next_one_is_shown(void **state)
{
    struct fixture *f = *state;
    struct counters_book failed;
    struct error_text text;
    const struct book_identity identity = {
        .directory = f->directory, .socket = "", .data = "", .instance = 9};
    assert_int_equal(book_open(&failed, &identity, &text), 0);
    assert_false(view_is_replaced(&f->view));
    book_close(&failed); /* a start that failed */
    assert_false(view_is_replaced(&f->view));
}

/* ---- lines that clients write ---- */

static struct told_line *line_of(struct fixture *f, const struct counters_entry *entry, struct told *told)
{
    uint32_t line = book_line(&f->book, entry, &told->generation);
    assert_int_not_equal(line, 0);
    told->line = &f->book.lines[line - 1];
    return told->line;
}

static void test_a_line_counts_for_who_has_it_alone(void **state)
{
    struct fixture *f = *state;
    const struct book_entry what = {.kind = COUNTERS_SUBSCRIBER, .label = "reader"};
    struct counters_entry *entry = book_take(&f->book, &what);
    struct told former, told;
    uint64_t position, at[TOLD_VALUES] = {[TOLD_POSITION] = 640, [TOLD_LOST] = 2};
    line_of(f, entry, &former);
    view_take(&f->view, &f->sample);
    assert_false(
        view_value(&f->view, &f->sample.rows[0], "position_bytes", &position)); /* nothing was told */
    told_write(&former, at);
    view_take(&f->view, &f->sample);
    assert_int_equal(view_number(&f->view, &f->sample.rows[0], "position_bytes"), 640);
    assert_int_equal(view_number(&f->view, &f->sample.rows[0], "lost_messages"), 2);
    book_give_back(&f->book, entry);
    assert_ptr_equal(book_take(&f->book, &what), entry);
    told_write(&former, at); /* it was not told yet that it has lost its line */
    view_take(&f->view, &f->sample);
    assert_false(view_value(&f->view, &f->sample.rows[0], "position_bytes", &position));
    line_of(f, entry, &told);
    at[TOLD_POSITION] = 64;
    told_write(&told, at);
    view_take(&f->view, &f->sample);
    assert_int_equal(view_number(&f->view, &f->sample.rows[0], "position_bytes"), 64);
}

static void test_nonsense_in_a_line_is_not_believed(void **state)
{
    struct fixture *f = *state;
    struct counters_entry *entry = book_take(&f->book, &(struct book_entry){.kind = COUNTERS_SUBSCRIBER});
    struct told told;
    struct told_line *line = line_of(f, entry, &told);
    uint64_t seed = 42, position;
    for (int round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < TOLD_VALUES; i++)
            atomic_store(&line->value[i], test_random(&seed));
        atomic_store(&line->sum, test_random(&seed));
        assert_int_equal(view_take(&f->view, &f->sample), 0);
        assert_false(view_value(&f->view, &f->sample.rows[0], "position_bytes", &position));
    }
}

/* ---- room ---- */

static void test_ten_thousand_sessions_fit_into_four_megabytes(void **state)
{
    struct fixture *f = *state;
    struct stat counters, told;
    char path[128];
    for (uint64_t i = 1; i <= 10000; i++)
        take(f, i);
    assert_int_equal(view_take(&f->view, &f->sample), 0);
    assert_int_equal(f->sample.count, 10000);
    assert_int_equal(atomic_load(&f->book.header->missing), 0);
    snprintf(path, sizeof path, "%s/" SHM_COUNTERS, f->directory);
    assert_int_equal(stat(path, &counters), 0);
    snprintf(path, sizeof path, "%s/" SHM_TOLD, f->directory);
    assert_int_equal(stat(path, &told), 0);
    assert_true((counters.st_blocks + told.st_blocks) * 512 <= 4 * 1024 * 1024);
}

static void test_what_finds_no_room_is_counted_and_counts_on(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, limit;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = COUNTERS_ENTRIES_AT + 600 * sizeof(struct counters_entry);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (uint64_t i = 1; i <= 512; i++)
        take(f, i);
    struct counters_entry *nowhere = take(f, 513);
    counters_add(nowhere, SESSION_REQUESTS, 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    uint64_t generation;
    assert_int_equal(book_line(&f->book, nowhere, &generation), 0);
    book_give_back(&f->book, nowhere);
    assert_int_equal(atomic_load(&f->book.header->missing), 1);
    assert_int_equal(view_take(&f->view, &f->sample), 0);
    assert_int_equal(f->sample.count, 512);
    take(f, 514); /* there is room again */
    assert_int_equal(view_take(&f->view, &f->sample), 0);
    assert_int_equal(f->sample.count, 513);
}

/* ---- coming and going, while somebody reads ---- */

struct churn {
    struct fixture *f;
    uint64_t first;
    _Atomic uint32_t over;
};

enum { HELD = 40, COMINGS = 10000 };

/* All that an entry says follows from its number. */
static void *come_and_go(void *context)
{
    struct churn *churn = context;
    struct counters_entry *held[HELD] = {NULL};
    struct told told;
    for (uint64_t i = 0; i < COMINGS; i++) {
        unsigned at = (unsigned)(i * 7 % HELD);
        uint64_t number = churn->first + i;
        book_give_back(&churn->f->book, held[at]);
        held[at] = take(churn->f, number);
        told.line = &churn->f->book.lines[book_line(&churn->f->book, held[at], &told.generation) - 1];
        counters_add(held[at], SESSION_REQUESTS, number);
        told_write(&told, (const uint64_t[TOLD_VALUES]){number, number, number});
    }
    for (unsigned i = 0; i < HELD; i++)
        book_give_back(&churn->f->book, held[i]);
    atomic_store_explicit(&churn->over, 1, memory_order_release); /* pairs with the acquire in the test */
    return NULL;
}

static void check_row(const struct view *view, const struct view_row *row)
{
    char label[32];
    uint64_t number = row->entry.id, told[TOLD_VALUES];
    snprintf(label, sizeof label, "session %llu", (unsigned long long)number);
    assert_string_equal(row->entry.label, label);
    assert_int_equal(row->entry.session, number);
    assert_int_equal(row->entry.pid, number);
    assert_int_equal(row->entry.uid, number + 1);
    uint64_t requests = view_number(view, row, "requests");
    assert_true(requests == 0 || requests == number);
    const struct told_line *lines = view->told_map.address;
    if (told_read(&lines[row->index], row->entry.generation, told)) {
        assert_int_equal(told[0], number);
        assert_int_equal(told[2], number);
    }
}

static void test_a_reader_never_mixes_two_while_ten_thousand_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct churn churns[2] = {{.f = f, .first = 1}, {.f = f, .first = 1000000}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &churns[i]), 0);
    bool over = false;
    while (!over) {
        over = atomic_load_explicit(&churns[0].over, memory_order_acquire) != 0 &&
               atomic_load_explicit(&churns[1].over, memory_order_acquire) != 0;
        assert_int_equal(view_take(&f->view, &f->sample), 0);
        for (size_t i = 0; i < f->sample.count; i++)
            check_row(&f->view, &f->sample.rows[i]);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(f->sample.count, 0);
    assert_int_equal(atomic_load(&f->book.header->missing), 0);
}

enum { TURNS = 100000 };

static void *change_hands(void *context)
{
    struct churn *churn = context;
    struct counters_entry *entry = NULL;
    for (uint64_t number = 1; number <= TURNS; number++) {
        book_give_back(&churn->f->book, entry);
        entry = book_take(&churn->f->book, &(struct book_entry){.kind = COUNTERS_SESSION,
                                                                .label = number % 2 == 0 ? "even" : "odd",
                                                                .id = number,
                                                                .topic = number,
                                                                .session = number});
    }
    atomic_store_explicit(&churn->over, 1, memory_order_release); /* pairs with the acquire in the test */
    return NULL;
}

static void test_an_entry_is_never_read_half_of_one_and_half_of_the_next(void **state)
{
    struct fixture *f = *state;
    struct churn churn = {.f = f};
    struct counters_copy copy;
    struct counters_entry *entry = take(f, 0);
    book_give_back(&f->book, entry); /* the next ones have its place */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, change_hands, &churn), 0);
    while (atomic_load_explicit(&churn.over, memory_order_acquire) == 0) {
        if (!counters_read(entry, &copy))
            continue;
        assert_int_equal(copy.topic, copy.id);
        assert_int_equal(copy.session, copy.id);
        assert_string_equal(copy.label, copy.id % 2 == 0 ? "even" : "odd");
    }
    pthread_join(thread, NULL);
}

/* ---- files that are not what they should be ---- */

static void test_a_file_that_is_no_catalogue_is_refused(void **state)
{
    struct fixture *f = *state;
    struct view view;
    struct error_text text;
    struct counters_header *header = f->book.header;
    header->version = 99;
    assert_int_equal(view_open(&view, f->directory, &text), HERMES_EVERSION);
    header->version = COUNTERS_VERSION;
    header->entry_bytes = 8;
    assert_int_equal(view_open(&view, f->directory, &text), HERMES_EVERSION);
    header->entry_bytes = sizeof(struct counters_entry);
    header->magic = 0;
    assert_int_equal(view_open(&view, f->directory, &text), HERMES_EMALFORMED);
    header->magic = COUNTERS_MAGIC;
    assert_int_equal(view_open(&view, "/dev/shm/hermes-none", &text), HERMES_ENOTFOUND);
}

/* Who looks is root, perhaps, and whose it is a stranger. */
static void test_a_file_that_is_cut_short_while_it_is_looked_at_shows_nothing(void **state)
{
    struct fixture *f = *state;
    char path[128], copy[] = "/dev/shm/hermes-test-XXXXXX";
    struct error_text text;
    struct view view;
    struct view_sample sample = {0};
    book_take(&f->book, &(struct book_entry){.kind = COUNTERS_TOPIC, .topic = 3, .id = 3});
    assert_non_null(mkdtemp(copy));
    snprintf(path, sizeof path, "%s/%s", copy, SHM_COUNTERS);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat status;
    char name[128];
    snprintf(name, sizeof name, "%s/%s", f->directory, SHM_COUNTERS);
    assert_int_equal(stat(name, &status), 0);
    assert_int_equal(write(fd, f->book.header, (size_t)status.st_size), status.st_size);
    assert_int_equal(view_open(&view, copy, &text), 0);
    assert_int_equal(view_take(&view, &sample), 0);
    assert_true(sample.count > 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(view_take(&view, &sample), 0);
    assert_int_equal(sample.count, 0);
    view_release(&sample);
    view_close(&view);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(copy), 0);
}

static void test_a_count_or_a_column_that_lies_reads_nothing_outside(void **state)
{
    struct fixture *f = *state;
    struct view view;
    struct error_text text;
    uint64_t seed = 7;
    struct counters_column *columns = (void *)((uint8_t *)f->book.header + COUNTERS_COLUMNS_AT);
    take(f, 1);
    book_take(&f->book, &(struct book_entry){.kind = COUNTERS_TOPIC, .topic = 3, .id = 3});
    for (int round = 0; round < 200; round++) {
        for (unsigned i = 0; i < f->book.header->columns; i++) {
            columns[i].source = (uint16_t)(test_random(&seed) % 9);
            columns[i].offset = (uint32_t)test_random(&seed) >> test_random(&seed) % 32;
            columns[i].bytes = (uint16_t)(test_random(&seed) % 10);
        }
        atomic_store(&f->book.header->entries, test_random(&seed));
        f->book.header->columns = (uint16_t)test_random(&seed);
        assert_int_equal(view_open(&view, f->directory, &text), 0);
        assert_int_equal(view_take(&view, &f->sample), 0);
        view_close(&view);
        f->book.header->columns = COUNTERS_COLUMNS_MAX;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_counted_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_cut_short_while_it_is_looked_at_shows_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_longer_label_is_cut_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_has_gone_is_not_seen_and_its_place_begins_with_zeros, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_another_broker_gives_other_generations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_a_former_broker_left_stays_until_the_next_one_is_shown,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_counts_for_who_has_it_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_in_a_line_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ten_thousand_sessions_fit_into_four_megabytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_finds_no_room_is_counted_and_counts_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_never_mixes_two_while_ten_thousand_come_and_go, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_entry_is_never_read_half_of_one_and_half_of_the_next, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_no_catalogue_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_count_or_a_column_that_lies_reads_nothing_outside, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
