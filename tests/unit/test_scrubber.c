/*
 * The scrubber beside what moves under it: retention between its look and its read, rolls, a lack of
 * descriptors. Nothing of that is damage, and what is damage is still found (the linker puts our openat in
 * place of the system's, and keeps its task for us: --wrap).
 */
#include "log_fixture.h"

#include <errno.h>
#include <fcntl.h>

#include "broker/scrubber.h"

/* ---- what happens when a segment is opened ---- */

static void (*meanwhile)(struct log *log); /* once */
static struct log *its_log;
static int refusal; /* errno, of so many calls */
static unsigned refusals;

int __real_openat(int directory, const char *name, int flags, mode_t mode);
int __wrap_openat(int directory, const char *name, int flags, mode_t mode);

int __wrap_openat(int directory, const char *name, int flags, mode_t mode)
{
    if (refusals > 0) {
        refusals--;
        errno = refusal;
        return -1;
    }
    void (*now)(struct log * log) = meanwhile;
    meanwhile = NULL;
    if (now != NULL)
        now(its_log);
    return __real_openat(directory, name, flags, mode);
}

/* ---- its turns ---- */

int __wrap_workers_add(struct workers *workers, struct task *task);

int __wrap_workers_add(struct workers *workers, struct task *task)
{
    (void)workers;
    (void)task;
    return HERMES_OK;
}

struct scrubbed {
    struct fixture f;
    struct scrubber scrubber;
    struct scrubbing scrubbing;
    uint64_t now_ns;
    uint64_t found; /* damaged ranges, in the worst of all passes */
};

static void begin(struct scrubbed *s, size_t segments)
{
    *s = (struct scrubbed){.scrubber = {.bytes_per_second = UINT64_C(1) << 40}, .now_ns = 1};
    setup(&s->f);
    fill_segments(&s->f, segments);
    its_log = &s->f.log;
    scrubber_add(&s->scrubber, &s->scrubbing, &s->f.log);
}

static void end(struct scrubbed *s)
{
    scrubber_stop(&s->scrubber);
    teardown(&s->f);
}

static void turn(struct scrubbed *s)
{
    s->scrubbing.task.run(&s->scrubbing.task, s->now_ns += 1000000000u);
    uint64_t found = atomic_load(&s->f.log.status->corrupt);
    s->found = found > s->found ? found : s->found;
}

/* From wherever it is to the end of a pass that begins now. */
static void whole_pass(struct scrubbed *s)
{
    for (int i = 0; i < 2; i++) {
        uint64_t before;
        do {
            before = s->f.log.scrub.position;
            turn(s);
        } while (s->f.log.scrub.position > before);
    }
}

/* ---- tests ---- */

static void retire_two(struct log *log)
{
    size_t before = log->store.entry_count;
    assert_true(before >= 4);
    atomic_store(&log->keep_bytes, log->store.position - log->store.entries[2].base);
    assert_int_equal(log_retain(log), 2);
}

/* At every stretch of the first two segments. */
static void what_retention_takes_is_no_damage(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns <= 2 * SEGMENT / WINDOW; turns++) {
        static struct scrubbed s;
        begin(&s, 5);
        for (unsigned i = 0; i < turns; i++)
            turn(&s);
        assert_int_equal(s.f.log.scrub.position, turns * WINDOW);
        meanwhile = retire_two;
        turn(&s);
        assert_null(meanwhile);
        whole_pass(&s);
        whole_pass(&s);
        assert_int_equal(s.found, 0);
        end(&s);
    }
}

static void roll(struct log *log)
{
    struct fixture *f = (struct fixture *)(void *)((char *)log - offsetof(struct fixture, log));
    fill_segments(f, log->store.entry_count + 1);
}

/* Wherever it reads: also at the very end of what there is. */
static void a_roll_is_no_damage(void **state)
{
    (void)state;
    static struct scrubbed s;
    begin(&s, 3);
    for (unsigned i = 0; i < 12; i++) {
        meanwhile = roll;
        turn(&s);
        assert_int_equal(s.found, 0);
    }
    whole_pass(&s);
    whole_pass(&s);
    assert_int_equal(s.found, 0);
    end(&s);
}

static void a_lack_of_descriptors_is_no_damage(void **state)
{
    static const int reasons[] = {EMFILE, ENFILE, ENOMEM, EINTR};
    (void)state;
    static struct scrubbed s;
    begin(&s, 3);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        uint64_t before = s.f.log.scrub.position;
        refusal = reasons[i];
        refusals = 3; /* segment and index */
        turn(&s);
        refusals = 0;
        assert_int_equal(s.found, 0);
        assert_int_equal(s.f.log.scrub.position, before);
        turn(&s); /* the same stretch, and it is read */
        assert_int_equal(s.f.log.scrub.position, before + WINDOW);
    }
    whole_pass(&s);
    assert_int_equal(s.found, 0);
    end(&s);
}

static void damage_is_found_beside_all_that(void **state)
{
    (void)state;
    static struct scrubbed s;
    char path[160];
    begin(&s, 6);
    int fd = s.f.log.store.fd; /* the last one */
    char byte;
    off_t at = SEGMENT_HEADER_BYTES + 64 * 5 + 40;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    meanwhile = retire_two;
    whole_pass(&s);
    whole_pass(&s);
    assert_int_equal(s.found, 1);
    snprintf(path, sizeof path, "%s/%020d.log", s.f.directory, 3 * SEGMENT); /* somebody else deletes one */
    assert_int_equal(unlink(path), 0);
    whole_pass(&s);
    whole_pass(&s);
    assert_int_equal(s.found, 2);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_retention_takes_is_no_damage),
        cmocka_unit_test(a_roll_is_no_damage),
        cmocka_unit_test(a_lack_of_descriptors_is_no_damage),
        cmocka_unit_test(damage_is_found_beside_all_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
