#include "test.h"

#include <pthread.h>
#include <sched.h>

#include "hermes/spsc.h"

enum { CAPACITY = 64 };

struct element {
    uint64_t number;
    uint64_t check;
    uint8_t filler[9];
};

static struct element make(uint64_t number)
{
    struct element e = {.number = number, .check = ~number * 3};
    memset(e.filler, (int)number, sizeof e.filler);
    return e;
}

static void verify(const struct element *e, uint64_t number)
{
    struct element wanted = make(number);
    assert_int_equal(e->number, wanted.number);
    assert_int_equal(e->check, wanted.check);
    assert_memory_equal(e->filler, wanted.filler, sizeof wanted.filler);
}

static size_t ring_bytes(bool slots)
{
    return slots ? hermes_slot_bytes(sizeof(struct element), CAPACITY)
                 : hermes_spsc_bytes(sizeof(struct element), CAPACITY);
}

static void *make_ring(bool slots)
{
    void *memory = aligned_alloc(128, (ring_bytes(slots) + 127) & ~(size_t)127);
    assert_non_null(memory);
    int rc = slots ? hermes_slot_init(memory, ring_bytes(slots), sizeof(struct element), CAPACITY)
                   : hermes_spsc_init(memory, ring_bytes(slots), sizeof(struct element), CAPACITY);
    assert_int_equal(rc, 0);
    return memory;
}

static void fills_and_empties(void **state)
{
    (void)state;
    for (int slots = 0; slots < 2; slots++) {
        void *memory = make_ring(slots);
        hermes_spsc_producer_t p;
        hermes_spsc_consumer_t c;
        struct element e;
        assert_int_equal((slots ? hermes_slot_producer_attach
                                : hermes_spsc_producer_attach)(&p, memory, ring_bytes(slots)),
                         0);
        assert_int_equal((slots ? hermes_slot_consumer_attach
                                : hermes_spsc_consumer_attach)(&c, memory, ring_bytes(slots)),
                         0);
        uint64_t in = 0, out = 0, seed = 3;
        for (unsigned round = 0; round < 20000; round++) {
            for (uint64_t n = test_random(&seed) % 80; n > 0; n--) {
                e = make(in);
                bool pushed = slots ? hermes_slot_push(&p, &e, sizeof e) : hermes_spsc_push(&p, &e, sizeof e);
                /* The slot ring may hide up to an eighth of its room until the consumer tells. */
                if (in - out == CAPACITY)
                    assert_false(pushed);
                else if (!slots || in - out < CAPACITY - CAPACITY / 8 - 1)
                    assert_true(pushed);
                in += pushed;
            }
            for (uint64_t n = test_random(&seed) % 80; n > 0; n--) {
                bool popped = slots ? hermes_slot_pop(&c, &e, sizeof e) : hermes_spsc_pop(&c, &e, sizeof e);
                assert_int_equal(popped, out < in);
                if (popped)
                    verify(&e, out++);
            }
        }
        free(memory);
    }
}

/* Whoever was killed is replaced, in the first lap and in later ones; the other side notices nothing. */
static void sides_are_replaced(void **state)
{
    (void)state;
    for (int slots = 0; slots < 2; slots++) {
        void *memory = make_ring(slots);
        uint64_t in = 0, out = 0, seed = 11, lowest = 0;
        for (unsigned round = 0; round < 500; round++) {
            hermes_spsc_producer_t p;
            hermes_spsc_consumer_t c;
            assert_int_equal((slots ? hermes_slot_producer_attach
                                    : hermes_spsc_producer_attach)(&p, memory, ring_bytes(slots)),
                             0);
            assert_int_equal((slots ? hermes_slot_consumer_attach
                                    : hermes_spsc_consumer_attach)(&c, memory, ring_bytes(slots)),
                             0);
            for (uint64_t more = test_random(&seed) % 100; more > 0; more--) {
                struct element e = make(in);
                if (!(slots ? hermes_slot_push(&p, &e, sizeof e) : hermes_spsc_push(&p, &e, sizeof e)))
                    break;
                in++;
            }
            /* A slot ring's new consumer may see again what the old one had taken and not yet told of. */
            out = slots ? lowest : out;
            for (uint64_t more = test_random(&seed) % 100; more > 0; more--) {
                struct element e, expected = make(out);
                if (!(slots ? hermes_slot_pop(&c, &e, sizeof e) : hermes_spsc_pop(&c, &e, sizeof e)))
                    break;
                assert_memory_equal(&e, &expected, sizeof e);
                out++;
            }
            lowest = c.told;
            assert_true(!slots || out - lowest <= CAPACITY / 8);
        }
        assert_true(in > 10 * CAPACITY);
        free(memory);
    }
}

static void batches_and_spans(void **state)
{
    (void)state;
    void *memory = make_ring(false);
    hermes_spsc_producer_t p;
    hermes_spsc_consumer_t c;
    struct element in_elements[100], out_elements[100];
    uint64_t in = 0, out = 0, seed = 5;
    hermes_spsc_producer_attach(&p, memory, ring_bytes(false));
    hermes_spsc_consumer_attach(&c, memory, ring_bytes(false));
    for (unsigned round = 0; round < 5000; round++) {
        uint64_t wanted = test_random(&seed) % 100;
        for (uint64_t i = 0; i < wanted; i++)
            in_elements[i] = make(in + i);
        uint64_t room = CAPACITY - (in - out);
        uint64_t pushed = hermes_spsc_push_many(&p, in_elements, wanted, sizeof in_elements[0]);
        assert_int_equal(pushed, wanted < room ? wanted : room);
        in += pushed;
        void *span;
        uint64_t claimed = hermes_spsc_claim(&p, 7, sizeof(struct element), &span);
        for (uint64_t i = 0; i < claimed; i++)
            ((struct element *)span)[i] = make(in + i);
        hermes_spsc_commit(&p, claimed);
        in += claimed;
        const void *view;
        uint64_t seen = hermes_spsc_peek(&c, 5, sizeof(struct element), &view);
        for (uint64_t i = 0; i < seen; i++)
            verify(&((const struct element *)view)[i], out + i);
        hermes_spsc_release(&c, seen);
        out += seen;
        wanted = test_random(&seed) % 100;
        uint64_t popped = hermes_spsc_pop_many(&c, out_elements, wanted, sizeof out_elements[0]);
        assert_int_equal(popped, wanted < in - out ? wanted : in - out);
        for (uint64_t i = 0; i < popped; i++)
            verify(&out_elements[i], out++);
    }
    free(memory);
}

struct run {
    void *memory;
    bool slots;
    uint64_t count;
};

static void *produce(void *argument)
{
    struct run *run = argument;
    hermes_spsc_producer_t p;
    (run->slots ? hermes_slot_producer_attach : hermes_spsc_producer_attach)(&p, run->memory,
                                                                             ring_bytes(run->slots));
    for (uint64_t i = 0; i < run->count;) {
        struct element e = make(i);
        bool pushed = run->slots ? hermes_slot_push(&p, &e, sizeof e) : hermes_spsc_push(&p, &e, sizeof e);
        i += pushed;
        if (!pushed)
            sched_yield();
    }
    return NULL;
}

static void two_threads(void **state)
{
    (void)state;
    const char *is_long = getenv("HERMES_TEST_LONG");
    for (int slots = 0; slots < 2; slots++) {
        struct run run = {make_ring(slots), slots, is_long != NULL ? 100000000 : 2000000};
        hermes_spsc_consumer_t c;
        (slots ? hermes_slot_consumer_attach : hermes_spsc_consumer_attach)(&c, run.memory,
                                                                            ring_bytes(slots));
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, produce, &run), 0);
        for (uint64_t i = 0; i < run.count;) {
            struct element e;
            if (slots ? hermes_slot_pop(&c, &e, sizeof e) : hermes_spsc_pop(&c, &e, sizeof e))
                verify(&e, i++);
            else
                sched_yield();
        }
        pthread_join(thread, NULL);
        free(run.memory);
    }
}

#if defined(__x86_64__)
static void a_consumer_of_a_dense_stream_looks_less_often(void **state)
{
    (void)state;
    uint64_t before = __builtin_ia32_rdtsc();
    hermes_spsc_pace_t begun = {.ticks = before, .tail = 0, .interval = HERMES_SPSC_JUDGE_};
    hermes_spsc_pace_t pace = hermes_spsc_pace_(begun, UINT64_MAX / HERMES_SPSC_DENSE_);
    assert_true(pace.waits);
    assert_int_equal(pace.at, pace.tail); /* each empty look */

    hermes_spsc_pace_t next = hermes_spsc_pace_(pace, pace.tail);
    assert_true(next.ticks - pace.ticks >= HERMES_SPSC_PAUSE_);
    assert_false(next.waits); /* nothing came meanwhile */
    assert_int_equal(next.at, pace.tail + next.interval);
}

static void a_lone_element_is_not_waited_for(void **state)
{
    (void)state;
    hermes_spsc_pace_t pace = {.ticks = __builtin_ia32_rdtsc() - HERMES_SPSC_DENSE_ * 1000, .interval = 1};
    pace = hermes_spsc_pace_(pace, 1000);
    assert_false(pace.waits);
    assert_int_equal(pace.interval, HERMES_SPSC_JUDGE_);
}

static void waiting_that_is_of_no_use_becomes_rare(void **state)
{
    (void)state;
    hermes_spsc_pace_t pace = {.interval = HERMES_SPSC_JUDGE_};
    for (uint64_t tail = 1; tail < 20; tail++) {
        pace.waits = true;
        pace = hermes_spsc_pace_(pace, tail);
    }
    assert_int_equal(pace.interval, HERMES_SPSC_JUDGE_MOST_);
}

/* A stream that was dense until now: the next empty look would wait. */
static hermes_spsc_pace_t waiting(void)
{
    return (hermes_spsc_pace_t){.ticks = __builtin_ia32_rdtsc(), .waits = true};
}

static void who_has_elements_does_not_wait_for_more(void **state)
{
    (void)state;
    static _Alignas(128) char memory[8192];
    hermes_spsc_producer_t p;
    hermes_spsc_consumer_t c;
    uint64_t elements[8] = {0};
    const void *span;
    assert_int_equal(hermes_spsc_init(memory, sizeof memory, 8, 64), 0);
    assert_int_equal(hermes_spsc_producer_attach(&p, memory, sizeof memory), 0);
    assert_int_equal(hermes_spsc_consumer_attach(&c, memory, sizeof memory), 0);
    assert_int_equal(hermes_spsc_push_many(&p, elements, 3, 8), 3);
    assert_int_equal(hermes_spsc_peek(&c, 1, 8, &span), 1);
    const hermes_spsc_pace_t before = c.pace = waiting();
    assert_int_equal(hermes_spsc_peek(&c, 8, 8, &span), 3);
    assert_int_equal(hermes_spsc_pop_many(&c, elements, 8, 8), 3);
    assert_memory_equal(&c.pace, &before, sizeof before); /* did without it */
}

/* What others took before it says nothing about how fast elements come. */
static void a_new_consumer_of_an_old_ring_does_not_wait(void **state)
{
    (void)state;
    static _Alignas(128) char memory[8192];
    hermes_spsc_consumer_t c;
    uint64_t element;
    assert_int_equal(hermes_spsc_init(memory, sizeof memory, 8, 64), 0);
    hermes_spsc_t *ring = (hermes_spsc_t *)memory;
    ring->head = ring->tail = UINT64_MAX / HERMES_SPSC_DENSE_;
    assert_int_equal(hermes_spsc_consumer_attach(&c, memory, sizeof memory), 0);
    assert_false(hermes_spsc_pop(&c, &element, sizeof element));
    assert_false(c.pace.waits);
}
#endif

static void bad_arguments(void **state)
{
    (void)state;
    static _Alignas(128) char memory[8192];
    hermes_spsc_producer_t p;
    hermes_spsc_consumer_t c;
    assert_int_equal(hermes_spsc_bytes(8, 3), 0);
    assert_int_equal(hermes_spsc_bytes(0, 4), 0);
    assert_int_equal(hermes_spsc_bytes(SIZE_MAX / 2, 1024), 0);
    assert_int_equal(hermes_slot_bytes(SIZE_MAX, 2), 0);
    assert_int_equal(hermes_spsc_init(memory + 8, 4096, 8, 4), HERMES_EINVALID);
    assert_int_equal(hermes_spsc_init(memory, 100, 8, 4), HERMES_EINVALID);
    assert_int_equal(hermes_spsc_producer_attach(&p, memory, sizeof memory), HERMES_EMALFORMED);
    assert_int_equal(hermes_spsc_init(memory, sizeof memory, 8, 64), 0);
    assert_int_equal(hermes_slot_producer_attach(&p, memory, sizeof memory), HERMES_EMALFORMED);
    assert_int_equal(hermes_spsc_producer_attach(&p, memory, 500), HERMES_EMALFORMED);
    assert_int_equal(hermes_spsc_consumer_attach(&c, memory, sizeof memory), 0);
    /* The other side lies about its index: nothing is read beyond the ring. */
    uint64_t element;
    ((hermes_spsc_t *)memory)->head = 1u << 20;
    assert_false(hermes_spsc_pop(&c, &element, sizeof element));
    assert_int_equal(hermes_spsc_producer_attach(&p, memory, sizeof memory), HERMES_EMALFORMED);
    ((hermes_spsc_t *)memory)->capacity = 1ull << 40;
    assert_int_equal(hermes_spsc_consumer_attach(&c, memory, sizeof memory), HERMES_EMALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_and_empties),
        cmocka_unit_test(sides_are_replaced),
        cmocka_unit_test(batches_and_spans),
        cmocka_unit_test(two_threads),
        cmocka_unit_test(bad_arguments),
#if defined(__x86_64__)
        cmocka_unit_test(a_consumer_of_a_dense_stream_looks_less_often),
        cmocka_unit_test(a_lone_element_is_not_waited_for),
        cmocka_unit_test(waiting_that_is_of_no_use_becomes_rare),
        cmocka_unit_test(who_has_elements_does_not_wait_for_more),
        cmocka_unit_test(a_new_consumer_of_an_old_ring_does_not_wait),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
