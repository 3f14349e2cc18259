/* The ring of one type: as test_spsc.c, for elements of odd sizes and of even ones, between threads and
 * processes. */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "hermes/spsc_typed.h"

enum { CAPACITY = 64, MOST = 100 };

struct element {
    uint64_t number;
    uint64_t check;
    uint8_t filler[9];
};

struct line {
    uint64_t words[8];
};

HERMES_SPSC_DEFINE(ring, struct element, CAPACITY);
HERMES_SPSC_DEFINE(lines, struct line, 2);
HERMES_SPSC_DEFINE(bytes, uint8_t, 4096);
HERMES_SPSC_DEFINE(names, const char *, 4);

_Static_assert(offsetof(ring_t, head) % HERMES_SPSC_LINE == 0 &&
                   offsetof(ring_t, tail) % HERMES_SPSC_LINE == 0 &&
                   offsetof(ring_t, tail) - offsetof(ring_t, head) == HERMES_SPSC_LINE &&
                   sizeof(ring_t) == offsetof(ring_t, tail) + HERMES_SPSC_LINE,
               "head and tail on lines of their own");

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

static void fills_and_empties(void **state)
{
    (void)state;
    static ring_t ring;
    ring_producer_t p = ring_producer(&ring);
    ring_consumer_t c = ring_consumer(&ring);
    struct element e;
    uint64_t in = 0, out = 0, seed = 3;
    for (unsigned round = 0; round < 20000; round++) {
        for (uint64_t n = test_random(&seed) % 80; n > 0; n--) {
            e = make(in);
            bool pushed = ring_push(&p, &e);
            assert_int_equal(pushed, in - out < CAPACITY);
            in += pushed;
        }
        for (uint64_t n = test_random(&seed) % 80; n > 0; n--) {
            bool popped = ring_pop(&c, &e);
            assert_int_equal(popped, out < in);
            if (popped)
                verify(&e, out++);
        }
    }
}

/* Words are written in pairs, and the smallest ring has two slots; single bytes have no pairs. */
static void elements_of_other_sizes(void **state)
{
    (void)state;
    static lines_t lines;
    static bytes_t bytes;
    lines_producer_t lp = lines_producer(&lines);
    lines_consumer_t lc = lines_consumer(&lines);
    bytes_producer_t bp = bytes_producer(&bytes);
    bytes_consumer_t bc = bytes_consumer(&bytes);
    struct line line, popped;
    uint8_t byte = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        for (uint64_t n = 0; n < 3; n++) {
            for (uint64_t w = 0; w < 8; w++)
                line.words[w] = i * 100 + n * 10 + w;
            assert_int_equal(lines_push(&lp, &line), n < 2);
        }
        for (uint64_t n = 0; n < 3; n++) {
            assert_int_equal(lines_pop(&lc, &popped), n < 2);
            for (uint64_t w = 0; w < 8 && n < 2; w++)
                assert_int_equal(popped.words[w], i * 100 + n * 10 + w);
        }
        byte = (uint8_t)(i * 7);
        assert_true(bytes_push(&bp, &byte));
        byte = 0;
        assert_true(bytes_pop(&bc, &byte));
        assert_int_equal(byte, (uint8_t)(i * 7));
    }
}

/* The const in the functions' types is then the pointer's, not that of what it points to. */
static void elements_may_be_pointers(void **state)
{
    (void)state;
    static names_t names;
    names_producer_t p = names_producer(&names);
    names_consumer_t c = names_consumer(&names);
    const char *const wanted[] = {"one", "two", "three"}, *popped, **span, *const * view;
    assert_true(names_push(&p, wanted));
    assert_int_equal(names_claim(&p, 1, &span), 1);
    *span = wanted[1];
    names_commit(&p, 1);
    assert_int_equal(names_push_many(&p, wanted + 2, 1), 1);
    assert_true(names_pop(&c, &popped));
    assert_ptr_equal(popped, wanted[0]);
    assert_int_equal(names_peek(&c, 1, &view), 1);
    assert_ptr_equal(*view, wanted[1]);
    names_release(&c, 1);
    assert_int_equal(names_pop_many(&c, &popped, 1), 1);
    assert_ptr_equal(popped, wanted[2]);
}

/* Whoever was killed is replaced, in the first lap and in later ones; the other side notices nothing. */
static void sides_are_replaced(void **state)
{
    (void)state;
    static ring_t ring;
    uint64_t in = 0, out = 0, seed = 11;
    for (unsigned round = 0; round < 500; round++) {
        ring_producer_t p = ring_producer(&ring);
        ring_consumer_t c = ring_consumer(&ring);
        struct element e;
        for (uint64_t more = test_random(&seed) % MOST; more > 0; more--) {
            e = make(in);
            if (!ring_push(&p, &e))
                break;
            in++;
        }
        for (uint64_t more = test_random(&seed) % MOST; more > 0 && ring_pop(&c, &e); more--)
            verify(&e, out++);
    }
    assert_true(in > 10 * CAPACITY);
}

static void batches_and_spans(void **state)
{
    (void)state;
    static ring_t ring;
    ring_producer_t p = ring_producer(&ring);
    ring_consumer_t c = ring_consumer(&ring);
    struct element elements[MOST];
    uint64_t in = 0, out = 0, seed = 5;
    for (unsigned round = 0; round < 5000; round++) {
        uint64_t wanted = test_random(&seed) % MOST, room = CAPACITY - (in - out);
        for (uint64_t i = 0; i < wanted; i++)
            elements[i] = make(in + i);
        uint64_t pushed = ring_push_many(&p, elements, wanted);
        assert_int_equal(pushed, wanted < room ? wanted : room);
        in += pushed;
        struct element *span;
        uint64_t claimed = ring_claim(&p, 7, &span);
        for (uint64_t i = 0; i < claimed; i++)
            span[i] = make(in + i);
        ring_commit(&p, claimed);
        in += claimed;
        const struct element *view;
        uint64_t seen = ring_peek(&c, 5, &view);
        assert_true(seen > 0 || in == out);
        for (uint64_t i = 0; i < seen; i++)
            verify(&view[i], out + i);
        ring_release(&c, seen);
        out += seen;
        wanted = test_random(&seed) % MOST;
        uint64_t popped = ring_pop_many(&c, elements, wanted);
        assert_int_equal(popped, wanted < in - out ? wanted : in - out);
        for (uint64_t i = 0; i < popped; i++)
            verify(&elements[i], out++);
    }
}

enum { COUNT = 2000000, EACH_TIME = 5 };

/* One at a time, many, and in place, by turns. */
static void *produce(void *argument)
{
    ring_producer_t p = ring_producer(argument);
    for (uint64_t i = 0, turn = 0; i < COUNT; turn++) {
        struct element e[EACH_TIME], *span = e;
        uint64_t left = COUNT - i, wanted = turn % 3 == 0 ? 1 : EACH_TIME, done;
        wanted = left < wanted ? left : wanted;
        done = turn % 3 == 2 ? ring_claim(&p, wanted, &span) : wanted;
        for (uint64_t n = 0; n < done; n++)
            span[n] = make(i + n);
        if (turn % 3 == 0)
            done = ring_push(&p, e);
        else if (turn % 3 == 1)
            done = ring_push_many(&p, e, wanted);
        else
            ring_commit(&p, done);
        i += done;
        if (done == 0)
            sched_yield();
    }
    return NULL;
}

static bool is_right(const struct element *e, uint64_t number)
{
    struct element wanted = make(number);
    return e->number == number && e->check == wanted.check &&
           memcmp(e->filler, wanted.filler, sizeof wanted.filler) == 0;
}

/* Returns how many came, one after the other, and whole. */
static uint64_t consume(ring_t *ring)
{
    ring_consumer_t c = ring_consumer(ring);
    uint64_t next = 0;
    for (uint64_t turn = 0; next < COUNT; turn++) {
        struct element e[EACH_TIME];
        const struct element *span = e;
        uint64_t done = turn % 3 == 0   ? ring_pop(&c, e)
                        : turn % 3 == 1 ? ring_pop_many(&c, e, EACH_TIME)
                                        : ring_peek(&c, EACH_TIME, &span);
        for (uint64_t n = 0; n < done; n++)
            if (!is_right(&span[n], next++))
                return next - 1;
        if (turn % 3 == 2)
            ring_release(&c, done);
        if (done == 0)
            sched_yield();
    }
    return next;
}

static void two_threads(void **state)
{
    (void)state;
    static ring_t ring;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, produce, &ring), 0);
    assert_int_equal(consume(&ring), COUNT);
    pthread_join(thread, NULL);
}

static void two_processes(void **state)
{
    (void)state;
    ring_t *ring = mmap(NULL, sizeof *ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(ring != MAP_FAILED);
    pid_t child = test_fork();
    if (child == 0) {
        produce(ring);
        _exit(0);
    }
    assert_int_equal(consume(ring), COUNT);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(ring, sizeof *ring);
}

/* Whatever stands in the indices, no side leaves the slots. */
static void lies_do_not_lead_out_of_the_ring(void **state)
{
    (void)state;
    static struct {
        uint8_t before[HERMES_SPSC_LINE];
        ring_t ring;
        uint8_t after[HERMES_SPSC_LINE];
    } memory;
    static const uint64_t lies[] = {1u << 20, UINT64_MAX, CAPACITY + 1, (uint64_t)1 << 63};
    struct element elements[MOST] = {0}, *span;
    const struct element *view;
    for (unsigned i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        memset(&memory, 0, sizeof memory);
        ring_producer_t p = ring_producer(&memory.ring);
        ring_consumer_t c = ring_consumer(&memory.ring);
        memory.ring.head = memory.ring.tail = lies[i];
        assert_true(ring_peek(&c, MOST, &view) <= CAPACITY);
        assert_true(ring_claim(&p, CAPACITY + 1, &span) <= CAPACITY);
        assert_true(ring_pop_many(&c, elements, MOST) <= MOST);
        memset(elements, 0xff, sizeof elements);
        assert_true(ring_push_many(&p, elements, MOST) <= MOST);
        for (unsigned n = 0; n < 3 * CAPACITY; n++) {
            (void)ring_push(&p, elements);
            (void)ring_pop(&c, elements + 1);
        }
        p = ring_producer(&memory.ring);
        c = ring_consumer(&memory.ring);
        (void)ring_push(&p, elements);
        (void)ring_pop(&c, elements + 1);
        for (unsigned n = 0; n < HERMES_SPSC_LINE; n++)
            assert_int_equal(memory.before[n] | memory.after[n], 0);
    }
}

#if defined(__x86_64__)
static void who_has_elements_does_not_wait_for_more(void **state)
{
    (void)state;
    static ring_t ring;
    ring_producer_t p = ring_producer(&ring);
    ring_consumer_t c = ring_consumer(&ring);
    struct element elements[8] = {0};
    const struct element *view;
    assert_int_equal(ring_push_many(&p, elements, 3), 3);
    assert_int_equal(ring_peek(&c, 1, &view), 1);
    const hermes_spsc_pace_t before = c.pace =
        (hermes_spsc_pace_t){.ticks = __builtin_ia32_rdtsc(), .waits = true};
    assert_int_equal(ring_peek(&c, 8, &view), 3);
    assert_int_equal(ring_pop_many(&c, elements, 8), 3);
    assert_memory_equal(&c.pace, &before, sizeof before); /* did without it */
}

/* One that looked until it has all that it may take would keep what it has as long as more comes. */
static void many_are_popped_after_one_look(void **state)
{
    (void)state;
    static ring_t ring;
    ring_producer_t p = ring_producer(&ring);
    ring_consumer_t c = ring_consumer(&ring);
    struct element elements[8] = {0};
    assert_int_equal(ring_push_many(&p, elements, 3), 3);
    c.pace.tail -= UINT64_MAX / HERMES_SPSC_DENSE_; /* a dense stream: each empty look waits */
    assert_int_equal(ring_pop_many(&c, elements, 8), 3);
    assert_true(c.pace.waits);
    assert_int_equal(c.pace.tail, 0); /* where it looked last */
}

/* What others took before it says nothing about how fast elements come. */
static void a_new_consumer_of_an_old_ring_does_not_wait(void **state)
{
    (void)state;
    static ring_t ring;
    ring.head = ring.tail = UINT64_MAX / HERMES_SPSC_DENSE_;
    ring_consumer_t c = ring_consumer(&ring);
    struct element e;
    assert_false(ring_pop(&c, &e));
    assert_false(c.pace.waits);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_and_empties),
        cmocka_unit_test(elements_of_other_sizes),
        cmocka_unit_test(elements_may_be_pointers),
        cmocka_unit_test(sides_are_replaced),
        cmocka_unit_test(batches_and_spans),
        cmocka_unit_test(two_threads),
        cmocka_unit_test(two_processes),
        cmocka_unit_test(lies_do_not_lead_out_of_the_ring),
#if defined(__x86_64__)
        cmocka_unit_test(who_has_elements_does_not_wait_for_more),
        cmocka_unit_test(many_are_popped_after_one_look),
        cmocka_unit_test(a_new_consumer_of_an_old_ring_does_not_wait),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
