/* Who of a group's sleeping members wakes for a message: one, and another in its stead once it is awake, dead
 * or stopped. Members are processes of their own. */
#include "members.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/wait.h"
#include "client/subscriber.h"

enum { CROWD = 8 };

/* What the members tell, in memory that they share with the test. */
struct crowd {
    _Atomic unsigned joined, taken, done;
    _Atomic uint32_t lingers; /* a member goes on with its message until this is over */
    bool by_descriptor;
    pid_t member[CROWD];
};

static int wait_by_descriptor(hermes_subscriber_t *member, hermes_message_t *message)
{
    for (int rc;;) {
        if ((rc = hermes_poll(member, message)) != 0 || (rc = hermes_subscriber_arm(member)) < 0)
            return rc;
        struct pollfd wanted = {.fd = hermes_subscriber_fd(member), .events = POLLIN};
        if (rc == 0)
            (void)poll(&wanted, 1, -1);
    }
}

static hermes_subscriber_t *join_by_itself(void)
{
    hermes_client_t *client;
    hermes_subscriber_t *member;
    hermes_subscriber_options_t options = {
        .size = sizeof options, .group = "risk", .from = HERMES_FROM_FIRST, .ack = HERMES_ACK_MANUAL};
    if (hermes_connect(NULL, &client) != 0 || hermes_subscriber_open(client, "t", &options, &member) != 0)
        _exit(1);
    return member;
}

static void live_as_member(struct crowd *crowd)
{
    hermes_subscriber_t *member = join_by_itself();
    atomic_fetch_add(&crowd->joined, 1);
    for (hermes_message_t message;;) {
        int rc = crowd->by_descriptor ? wait_by_descriptor(member, &message)
                                      : hermes_wait(member, &message, patience_ns);
        if (rc != 1 || hermes_ack(member, &message) != 0)
            _exit(1);
        atomic_fetch_add(&crowd->taken, 1);
        while (atomic_load(&crowd->lingers))
            futex_wait(&crowd->lingers, 1, patience_ns);
        atomic_fetch_add(&crowd->done, 1);
    }
}

static void await_count(const _Atomic unsigned *counter, unsigned count)
{
    for (time_t start = time(NULL); atomic_load(counter) < count; sched_yield())
        if (time(NULL) - start > PATIENCE)
            fail_msg("%u of %u", atomic_load(counter), count);
    assert_int_equal(atomic_load(counter), count);
}

static void await_crowd(const struct crowd *crowd)
{
    for (unsigned i = 0; i < CROWD; i++)
        if (crowd->member[i] != 0)
            await_sleep(crowd->member[i], crowd->member[i]);
}

/* Asks to be woken by its event loop, which has something else to do from then on. */
static void live_busily(struct crowd *crowd)
{
    hermes_message_t message;
    hermes_subscriber_t *member = join_by_itself();
    if (hermes_poll(member, &message) != 0)
        _exit(1);
    if (hermes_subscriber_arm(member) == HERMES_ENOTSUP)
        atomic_store(&crowd->done, 1);
    atomic_store(&crowd->joined, 1);
    for (;;)
        pause();
}

static struct crowd *make_crowd(void)
{
    struct crowd *crowd =
        mmap(NULL, sizeof *crowd, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(crowd, MAP_FAILED);
    return crowd;
}

static struct crowd *start_crowd_that_waits(bool by_descriptor)
{
    struct crowd *crowd = make_crowd();
    crowd->by_descriptor = by_descriptor;
    for (unsigned i = 0; i < CROWD; i++) {
        pid_t member = test_fork();
        if (member == 0)
            live_as_member(crowd);
        crowd->member[i] = member;
    }
    await_count(&crowd->joined, CROWD);
    await_crowd(crowd);
    return crowd;
}

static struct crowd *start_crowd(void)
{
    return start_crowd_that_waits(false);
}

static void kill_member(struct crowd *crowd, unsigned i)
{
    int status;
    kill(crowd->member[i], SIGKILL);
    assert_int_equal(waitpid(crowd->member[i], &status, 0), crowd->member[i]);
    assert_true(WIFSIGNALED(status)); /* else something went wrong there before */
    crowd->member[i] = 0;
}

static void end_crowd(struct crowd *crowd)
{
    for (unsigned i = 0; i < CROWD; i++)
        if (crowd->member[i] != 0)
            kill_member(crowd, i);
    munmap(crowd, sizeof *crowd);
}

/* How often they have gone to sleep by themselves. */
static unsigned long sleeps_of(const struct crowd *crowd)
{
    unsigned long sum = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        char path[64], line[128];
        unsigned long one = 0;
        snprintf(path, sizeof path, "/proc/%d/status", (int)crowd->member[i]);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        while (fgets(line, sizeof line, file) != NULL &&
               sscanf(line, "voluntary_ctxt_switches: %lu", &one) != 1)
            ;
        fclose(file);
        assert_int_not_equal(one, 0);
        sum += one;
    }
    return sum;
}

static hermes_publisher_t *open_publisher(struct fixture *f)
{
    hermes_publisher_t *publisher;
    assert_int_equal(hermes_publisher_open(f->client, "t", NULL, &publisher), 0);
    return publisher;
}

/* One more, and somebody has it. */
static void pass_one(hermes_publisher_t *publisher, const struct crowd *crowd)
{
    unsigned before = atomic_load(&crowd->taken);
    uint64_t number = before + 1;
    assert_int_equal(hermes_publish(publisher, &number, sizeof number, NULL), 0);
    await_count(&crowd->taken, before + 1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void test_few_of_those_who_sleep_wake_for_a_message(void **state)
{
    struct fixture *f = *state;
    enum { MESSAGES = 100, WAKES = 4 }; /* for each: who takes it, and the next one to watch */
    make_topic(f, "t", false);
    struct crowd *crowd = start_crowd();
    hermes_publisher_t *publisher = open_publisher(f);
    unsigned long before = sleeps_of(crowd);
    uint64_t start = now_ns();
    for (unsigned i = 0; i < MESSAGES; i++) {
        pass_one(publisher, crowd);
        await_crowd(crowd);
    }
    /* Each looks four times in a second by itself. */
    unsigned long idle = CROWD * ((now_ns() - start) / 250000000 + 1), sleeps = sleeps_of(crowd) - before;
    if (sleeps > MESSAGES * WAKES + idle)
        fail_msg("%d messages woke %d members %lu times (and %lu at most by themselves)", MESSAGES, CROWD,
                 sleeps, idle);
    end_crowd(crowd);
}

/* Whoever watches is among those who die. */
static void test_who_dies_asleep_leaves_no_message_lying(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    struct crowd *crowd = start_crowd();
    hermes_publisher_t *publisher = open_publisher(f);
    for (unsigned i = 0; i + 1 < CROWD; i++) {
        kill_member(crowd, i);
        for (int times = 0; times < 3; times++)
            pass_one(publisher, crowd);
        await_crowd(crowd);
    }
    end_crowd(crowd);
}

static void test_who_dies_asleep_without_a_broker_leaves_no_message_lying(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    struct crowd *crowd = start_crowd();
    hermes_publisher_t *publisher = open_publisher(f);
    stop_broker(f, SIGKILL);
    for (unsigned i = 0; i + 1 < CROWD; i++) {
        kill_member(crowd, i);
        for (int times = 0; times < 3; times++)
            pass_one(publisher, crowd);
        await_crowd(crowd);
    }
    start_broker(f);
    pass_one(publisher, crowd);
    end_crowd(crowd);
}

static void test_who_is_stopped_asleep_leaves_no_message_lying(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    struct crowd *crowd = start_crowd();
    hermes_publisher_t *publisher = open_publisher(f);
    for (unsigned i = 0; i + 1 < CROWD; i++) {
        int status;
        kill(crowd->member[i], SIGSTOP);
        assert_int_equal(waitpid(crowd->member[i], &status, WUNTRACED), crowd->member[i]);
        for (int times = 0; times < 3; times++)
            pass_one(publisher, crowd);
    }
    for (unsigned i = 0; i + 1 < CROWD; i++)
        kill(crowd->member[i], SIGCONT);
    for (int times = 0; times < 20; times++)
        pass_one(publisher, crowd);
    end_crowd(crowd);
}

/* Each that takes one goes on with it; the next is for who still sleeps. */
static void test_who_works_for_long_leaves_no_message_lying(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    struct crowd *crowd = start_crowd();
    hermes_publisher_t *publisher = open_publisher(f);
    atomic_store(&crowd->lingers, 1);
    for (unsigned i = 0; i < CROWD; i++)
        pass_one(publisher, crowd);
    atomic_store(&crowd->lingers, 0);
    futex_wake_all(&crowd->lingers);
    await_count(&crowd->done, CROWD);
    await_crowd(crowd);
    atomic_store(&crowd->lingers, 1); /* and at once */
    for (uint64_t i = 1; i <= CROWD; i++)
        assert_int_equal(hermes_publish(publisher, &i, sizeof i, NULL), 0);
    await_count(&crowd->taken, 2 * CROWD);
    end_crowd(crowd);
}

/* ---- the page says who watches ---- */

struct sleeper {
    hermes_subscriber_t *member;
    _Atomic pid_t thread;
    bool watches; /* still, when it has its message */
};

static bool watches(const hermes_subscriber_t *member)
{
    const struct member *m = member->member;
    return group_watched_by(atomic_load(&m->page->watch)) == m->line + 1;
}

static void *sleep_once(void *argument)
{
    struct sleeper *sleeper = argument;
    hermes_message_t message;
    atomic_store(&sleeper->thread, gettid());
    int rc = hermes_wait(sleeper->member, &message, patience_ns);
    sleeper->watches = watches(sleeper->member) || rc != 1;
    return NULL;
}

static void test_who_returns_with_a_message_has_handed_on(void **state)
{
    struct fixture *f = *state;
    enum { SLEEPERS = 3 };
    make_topic(f, "t", false);
    hermes_publisher_t *publisher = open_publisher(f);
    struct sleeper sleepers[SLEEPERS] = {{0}};
    pthread_t threads[SLEEPERS];
    for (unsigned i = 0; i < SLEEPERS; i++) {
        sleepers[i].member = join(another());
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_once, &sleepers[i]), 0);
        while (atomic_load(&sleepers[i].thread) == 0)
            sched_yield();
        await_sleep(getpid(), atomic_load(&sleepers[i].thread));
    }
    for (uint64_t number = 0; number < SLEEPERS; number++)
        assert_int_equal(hermes_publish(publisher, &number, sizeof number, NULL), 0);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(sleepers[i].watches);
        hermes_disconnect(sleepers[i].member->client);
    }
}

static void test_who_returns_without_a_message_has_handed_on(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_subscriber_t *member = join(f->client);
    uint32_t before = atomic_load(&member->member->page->watch);
    expect_nothing(member);
    assert_int_not_equal(atomic_load(&member->member->page->watch), before); /* it had it */
    assert_false(watches(member));
}

static void test_who_can_take_nothing_new_does_not_watch(void **state)
{
    struct fixture *f = *state;
    enum { FIT = 4096 };
    hermes_group_options_t options = {
        .size = sizeof options, .from = HERMES_FROM_FIRST, .span_bytes = 256 * 1024};
    make_topic(f, "t", false);
    assert_int_equal(hermes_group_create(f->client, "t", "risk", &options), 0);
    publish(f, "t", 1, FIT + 1);
    hermes_subscriber_t *member = join(f->client);
    for (uint64_t number = 1; number <= FIT; number++)
        expect(member, number);
    uint32_t before = atomic_load(&member->member->page->watch);
    expect_nothing(member); /* as long as these are held */
    assert_int_equal(atomic_load(&member->member->page->watch), before);
}

/* A member may lie down between its greeting of a broker that is new and the answer. */
static void test_who_is_answered_has_handed_on(void **state)
{
    struct fixture *f = *state;
    hermes_message_t message;
    make_topic(f, "t", false);
    hermes_subscriber_t *member = join(f->client);
    for (int times = 0; times < 5; times++) {
        restart(f, SIGKILL);
        for (bool due = true; due; due = subscriber_is_due(member)) {
            assert_true(group_keep_watch(&member->member->group));
            assert_int_equal(hermes_poll(member, &message), 0);
        }
        group_hand_on(&member->member->group, false); /* as it does before it returns to its caller */
        assert_false(watches(member));
    }
}

/* Its event loop may be busy with other things. */
static void test_nobody_relies_on_who_waits_by_a_descriptor(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    hermes_subscriber_t *member = join(f->client);
    hermes_message_t message;
    assert_int_equal(hermes_poll(member, &message), 0);
    assert_int_equal(hermes_subscriber_arm(member), 0);
    assert_false(watches(member));
}

/* That is why. Members of both kinds sleep beside one whose loop does not come, and it leaves nothing lying.
 */
static void test_no_message_waits_for_an_event_loop_that_is_busy(void **state)
{
    struct fixture *f = *state;
    make_topic(f, "t", false);
    struct crowd *busy = make_crowd();
    busy->member[0] = test_fork(); /* it has a thread; who forks others has none */
    if (busy->member[0] == 0)
        live_busily(busy);
    await_count(&busy->joined, 1);
    if (atomic_load(&busy->done) != 0) {
        end_crowd(busy);
        skip();
    }
    hermes_publisher_t *publisher = open_publisher(f);
    for (int by_descriptor = 0; by_descriptor < 2; by_descriptor++) {
        struct crowd *crowd = start_crowd_that_waits(by_descriptor);
        for (int times = 0; times < 20; times++) {
            pass_one(publisher, crowd);
            await_crowd(crowd);
        }
        end_crowd(crowd);
    }
    end_crowd(busy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_few_of_those_who_sleep_wake_for_a_message),
        TEST(test_who_dies_asleep_leaves_no_message_lying),
        TEST(test_who_dies_asleep_without_a_broker_leaves_no_message_lying),
        TEST(test_who_is_stopped_asleep_leaves_no_message_lying),
        TEST(test_who_works_for_long_leaves_no_message_lying),
        TEST(test_who_returns_with_a_message_has_handed_on),
        TEST(test_who_returns_without_a_message_has_handed_on),
        TEST(test_who_can_take_nothing_new_does_not_watch),
        TEST(test_who_is_answered_has_handed_on),
        TEST(test_nobody_relies_on_who_waits_by_a_descriptor),
        TEST(test_no_message_waits_for_an_event_loop_that_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
