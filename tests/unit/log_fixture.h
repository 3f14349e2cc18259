/* A log of the test's own as its owner sees it, small, with a directory on the disk, and its writer. */
#ifndef TESTS_UNIT_LOG_FIXTURE_H
#define TESTS_UNIT_LOG_FIXTURE_H

#include "test.h"

#include "log/log.h"
#include "log/publish.h"

enum { WINDOW = WINDOW_MIN_BYTES, SEGMENT = STORE_SEGMENT_MIN };

struct fixture {
    char directory[64], prefix[96];
    struct log log;
};

static inline void open_log_with(struct fixture *f, uint64_t window_bytes, enum log_durability durability)
{
    struct error_text text;
    struct log_options options = {.prefix = f->prefix,
                                  .directory = f->directory,
                                  .topic_id = 7,
                                  .window_bytes = window_bytes,
                                  .segment_bytes = SEGMENT,
                                  .durability = durability,
                                  .instance = 1};
    int rc = log_open(&f->log, &options, &text);
    if (rc < 0)
        print_message("%s\n", text.bytes);
    assert_int_equal(rc, 0);
}

static inline void open_log(struct fixture *f)
{
    open_log_with(f, WINDOW, DURABILITY_ASYNC);
}

static inline void begin_writing(struct fixture *f)
{
    struct error_text text;
    assert_int_equal(log_begin(&f->log, WRITER_OWNER, &text), 0);
}

static inline void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    strcpy(f->directory, "/tmp/hermes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->prefix, sizeof f->prefix, "%s/shm", f->directory);
    open_log(f);
    begin_writing(f);
}

static inline void teardown(struct fixture *f)
{
    assert_int_equal(log_close(&f->log, STATE_CLOSED), 0);
    test_remove(f->directory);
}

static inline void publish(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(publish_one(&f->log.writer, "0123456789abcdefghijklmnopqrstuv", 32, 1000 + i, true),
                         0);
}

static inline void persist_all(struct fixture *f)
{
    int64_t done;
    while ((done = log_persist(&f->log, WINDOW)) > 0)
        ;
    assert_int_equal(done, 0);
}

static inline void sync_all(struct fixture *f)
{
    persist_all(f);
    assert_int_equal(log_sync(&f->log), 0);
}

/* Until there are so many segments. */
static inline void fill_segments(struct fixture *f, size_t count)
{
    while (f->log.store.entry_count < count) {
        publish(f, 2000);
        sync_all(f);
    }
}

static inline uint64_t persisted(const struct fixture *f)
{
    return atomic_load(&f->log.status->persisted);
}

#endif
