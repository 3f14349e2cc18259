/* The persister's looks at a log, in a time of the test's own (the linker keeps its task for us: --wrap). */
#include "log_fixture.h"

#include "base/clock.h"
#include "broker/persister.h"

enum { INTERVAL_MS = 100 };
static const uint64_t ms = 1000000;

void __wrap_workers_add(struct workers *workers, struct task *task);
void __wrap_workers_ring(struct workers *workers, struct task *task);
bool __wrap_workers_may_linger(struct workers *workers);

void __wrap_workers_add(struct workers *workers, struct task *task)
{
    (void)workers;
    (void)task;
}

void __wrap_workers_ring(struct workers *workers, struct task *task)
{
    (void)workers;
    (void)task;
}

bool __wrap_workers_may_linger(struct workers *workers)
{
    (void)workers;
    return false;
}

struct persisted {
    struct fixture f;
    struct workers *nobody;
    struct persister persister;
    struct persisting persisting;
    uint64_t begin_ns, due_ns;
};

static void begin(struct persisted *p)
{
    *p = (struct persisted){.due_ns = 0};
    setup(&p->f);
    fill_segments(&p->f, 3);
    persister_start(&p->persister, (struct workers *)(void *)&p->nobody, INTERVAL_MS);
    assert_int_equal(persister_add(&p->persister, &p->persisting, &p->f.log), 0);
    p->due_ns = p->begin_ns = clock_monotonic_ns();
}

static void end(struct persisted *p)
{
    p->persisting.task.left(&p->persisting.task);
    persister_release(&p->persisting);
    persister_stop(&p->persister);
    teardown(&p->f);
}

static void look(struct persisted *p, uint64_t now_ns)
{
    p->due_ns = p->persisting.task.run(&p->persisting.task, now_ns);
}

/* The looks that are due by then. */
static void look_until(struct persisted *p, uint64_t end_ns)
{
    while (p->due_ns <= end_ns)
        look(p, p->due_ns);
}

static uint64_t first_position(const struct persisted *p)
{
    return atomic_load(&p->f.log.status->first);
}

/* Between two looks, just when it finds that nothing has come for a while, and when it is parked. */
static void what_is_to_be_kept_is_looked_at_whenever_that_is_altered(void **state)
{
    (void)state;
    for (uint64_t after_ms = 35; after_ms < 400; after_ms += 20) {
        static struct persisted p;
        begin(&p);
        look_until(&p, p.begin_ns + 30 * ms);
        publish(&p.f, 1);
        look(&p, p.begin_ns + 30 * ms); /* the last message: no sync is due */
        look_until(&p, p.begin_ns + after_ms * ms);
        assert_int_equal(first_position(&p), 0);
        atomic_store(&p.f.log.keep_bytes, SEGMENT);
        persister_ring(&p.persisting);
        look(&p, p.begin_ns + after_ms * ms);
        look_until(&p, p.begin_ns + 1000 * ms);
        if (first_position(&p) == 0)
            fail_msg("altered after %d ms", (int)after_ms);
        end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_to_be_kept_is_looked_at_whenever_that_is_altered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
