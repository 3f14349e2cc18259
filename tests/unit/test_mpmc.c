#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "hermes/mpmc.h"

enum { CAPACITY = 64, MOST_SIDES = 4 };

/* Whole if check and filler say what number and side do. */
struct element {
    uint64_t number;
    uint32_t side;
    uint32_t check;
    uint8_t filler[17];
};

static struct element make(uint32_t side, uint64_t number)
{
    struct element e = {.number = number, .side = side, .check = (uint32_t)(number * 2654435761u) ^ side};
    memset(e.filler, (int)(number ^ side), sizeof e.filler);
    return e;
}

static bool is_whole(const struct element *e)
{
    struct element wanted = make(e->side, e->number);
    return e->check == wanted.check && memcmp(e->filler, wanted.filler, sizeof wanted.filler) == 0;
}

static size_t ring_bytes(void)
{
    return hermes_mpmc_bytes(sizeof(struct element), CAPACITY);
}

static hermes_mpmc_t make_ring(void *memory, uint32_t flags)
{
    hermes_mpmc_t ring;
    assert_int_equal(hermes_mpmc_init(memory, ring_bytes(), sizeof(struct element), CAPACITY, flags), 0);
    assert_int_equal(hermes_mpmc_attach(&ring, memory, ring_bytes()), 0);
    return ring;
}

static void *new_memory(void)
{
    void *memory = mmap(NULL, ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void test_refuses(void **state)
{
    (void)state;
    static _Alignas(64) uint8_t memory[8192];
    hermes_mpmc_t ring;
    assert_int_equal(hermes_mpmc_bytes(8, 0), 0);
    assert_int_equal(hermes_mpmc_bytes(8, 1), 0);
    assert_int_equal(hermes_mpmc_bytes(8, 3), 0);
    assert_int_equal(hermes_mpmc_bytes(0, 4), 0);
    assert_int_equal(hermes_mpmc_bytes(SIZE_MAX, 4), 0);
    assert_int_equal(hermes_mpmc_bytes(1ull << 40, 1ull << 31), 0);
    assert_int_equal(hermes_mpmc_bytes(8, 1ull << 32), 0);
    size_t needed = hermes_mpmc_bytes(8, 64);
    assert_true(needed > 0 && needed < sizeof memory);
    assert_int_equal(hermes_mpmc_init(NULL, needed, 8, 64, 0), HERMES_EINVALID);
    assert_int_equal(hermes_mpmc_init(memory + 8, needed, 8, 64, 0), HERMES_EINVALID);
    assert_int_equal(hermes_mpmc_init(memory, needed - 1, 8, 64, 0), HERMES_EINVALID);
    assert_int_equal(hermes_mpmc_init(memory, needed, 8, 64, 4), HERMES_EINVALID);
    assert_int_equal(hermes_mpmc_attach(&ring, memory, needed), HERMES_EMALFORMED);
    assert_int_equal(hermes_mpmc_init(memory, needed, 8, 64, 0), 0);
    assert_int_equal(hermes_mpmc_attach(&ring, memory, needed - 1), HERMES_EMALFORMED);
    assert_int_equal(hermes_mpmc_attach(&ring, memory, 10), HERMES_EINVALID);
    assert_int_equal(hermes_mpmc_attach(&ring, NULL, needed), HERMES_EINVALID);
    assert_int_equal(hermes_mpmc_attach(&ring, memory, needed), 0);
    /* Any one byte of its description changed: refused, or still within its memory. */
    for (size_t i = 0; i < 24; i++)
        for (int bit = 0; bit < 8; bit++) {
            memory[i] ^= (uint8_t)(1 << bit);
            if (hermes_mpmc_attach(&ring, memory, sizeof memory) == 0)
                assert_true(hermes_mpmc_bytes(ring.element_size, ring.mask + 1) <= sizeof memory);
            memory[i] ^= (uint8_t)(1 << bit);
        }
}

/* Against a plain queue: one at a time, in batches, in place; all variants. */
static void test_is_a_queue(void **state)
{
    (void)state;
    void *memory = new_memory();
    for (uint32_t flags = 0; flags < 4; flags++) {
        hermes_mpmc_t ring = make_ring(memory, flags);
        struct element batch[CAPACITY + 10];
        uint64_t in = 0, out = 0, seed = 7 + flags, first;
        for (unsigned round = 0; round < 20000; round++) {
            uint64_t wanted = test_random(&seed) % (CAPACITY + 10), free = CAPACITY - (in - out), did = 0;
            for (uint64_t i = 0; i < wanted; i++)
                batch[i] = make(0, in + i);
            switch (test_random(&seed) % 3) {
            case 0:
                while (did < wanted && hermes_mpmc_push(&ring, &batch[did], sizeof *batch))
                    did++;
                break;
            case 1:
                did = hermes_mpmc_push_many(&ring, batch, wanted, sizeof *batch);
                break;
            default:
                did = wanted == 0 ? 0 : hermes_mpmc_claim(&ring, wanted, &first);
                for (uint64_t i = did; i > 0; i--) /* in any order */
                    memcpy(hermes_mpmc_at(&ring, first + i - 1, sizeof *batch), &batch[i - 1], sizeof *batch);
                hermes_mpmc_commit(&ring, first, did, sizeof *batch);
            }
            assert_int_equal(did, wanted < free ? wanted : free);
            in += did;
            assert_int_equal(hermes_mpmc_count(&ring), in - out);
            wanted = test_random(&seed) % (CAPACITY + 10);
            did = 0;
            switch (test_random(&seed) % 3) {
            case 0:
                while (did < wanted && hermes_mpmc_pop(&ring, &batch[did], sizeof *batch))
                    did++;
                break;
            case 1:
                did = hermes_mpmc_pop_many(&ring, batch, wanted, sizeof *batch);
                break;
            default:
                did = wanted == 0 ? 0 : hermes_mpmc_peek(&ring, wanted, sizeof *batch, &first);
                for (uint64_t i = 0; i < did; i++)
                    memcpy(&batch[i], hermes_mpmc_at(&ring, first + i, sizeof *batch), sizeof *batch);
                hermes_mpmc_release(&ring, first, did);
            }
            assert_int_equal(did, wanted < in - out ? wanted : in - out);
            for (uint64_t i = 0; i < did; i++) {
                assert_int_equal(batch[i].number, out++);
                assert_true(is_whole(&batch[i]));
            }
        }
    }
    munmap(memory, ring_bytes());
}

/* ---- threads ---- */

struct stress {
    hermes_mpmc_t ring;
    unsigned producers;
    uint64_t each;
    _Atomic uint64_t popped;
    _Atomic uint64_t sum, mixed;
    _Atomic unsigned next_side;
};

static uint64_t mix(const struct element *e)
{
    return (e->number * 31 + e->side + 1) * 0x9E3779B97F4A7C15u;
}

static void *push_all(void *argument)
{
    struct stress *s = argument;
    uint32_t side = atomic_fetch_add(&s->next_side, 1);
    uint64_t seed = side + 1;
    struct element batch[9];
    for (uint64_t i = 0; i < s->each;) {
        uint64_t count = test_random(&seed) % 9 + 1;
        if (count > s->each - i)
            count = s->each - i;
        for (uint64_t k = 0; k < count; k++)
            batch[k] = make(side, i + k);
        uint64_t pushed = count == 1 ? hermes_mpmc_push(&s->ring, batch, sizeof *batch)
                                     : hermes_mpmc_push_many(&s->ring, batch, count, sizeof *batch);
        i += pushed;
        if (pushed == 0)
            sched_yield();
    }
    return NULL;
}

static void *pop_all(void *argument)
{
    struct stress *s = argument;
    uint64_t last[MOST_SIDES] = {0}, seed = 99, sum = 0, mixed = 0;
    struct element batch[9];
    while (atomic_load_explicit(&s->popped, memory_order_relaxed) < s->each * s->producers) {
        uint64_t got = test_random(&seed) % 2 ? hermes_mpmc_pop(&s->ring, batch, sizeof *batch)
                                              : hermes_mpmc_pop_many(&s->ring, batch, 9, sizeof *batch);
        for (uint64_t i = 0; i < got; i++) {
            assert_true(is_whole(&batch[i]));
            assert_true(batch[i].side < s->producers);
            assert_true(batch[i].number + 1 > last[batch[i].side]); /* in its producer's order */
            last[batch[i].side] = batch[i].number + 1;
            sum += batch[i].number;
            mixed ^= mix(&batch[i]);
        }
        if (got > 0)
            atomic_fetch_add_explicit(&s->popped, got, memory_order_relaxed);
        else
            sched_yield();
    }
    atomic_fetch_add(&s->sum, sum);
    atomic_fetch_xor(&s->mixed, mixed);
    return NULL;
}

static void stress(void *memory, unsigned producers, unsigned consumers, uint32_t flags, uint64_t each)
{
    struct stress s = {.ring = make_ring(memory, flags), .producers = producers, .each = each};
    pthread_t threads[2 * MOST_SIDES];
    for (unsigned i = 0; i < producers + consumers; i++)
        pthread_create(&threads[i], NULL, i < producers ? push_all : pop_all, &s);
    for (unsigned i = 0; i < producers + consumers; i++)
        pthread_join(threads[i], NULL);
    uint64_t mixed = 0;
    for (uint32_t side = 0; side < producers; side++)
        for (uint64_t i = 0; i < each; i++)
            mixed ^= mix(&(struct element){.number = i, .side = side});
    assert_int_equal(s.popped, each * producers);
    assert_int_equal(s.sum, producers * (each * (each - 1) / 2));
    assert_int_equal(s.mixed, mixed); /* each of them, once */
    assert_int_equal(hermes_mpmc_count(&s.ring), 0);
}

static void test_threads(void **state)
{
    (void)state;
    uint64_t each = (getenv("HERMES_TEST_LONG") != NULL) ? 100000000 : 200000;
    void *memory = new_memory();
    stress(memory, 1, 1, 0, each);
    stress(memory, 1, 1, HERMES_MPMC_ONE_PRODUCER | HERMES_MPMC_ONE_CONSUMER, each);
    stress(memory, 2, 2, 0, each);
    stress(memory, 1, 3, HERMES_MPMC_ONE_PRODUCER, each);
    stress(memory, 3, 1, HERMES_MPMC_ONE_CONSUMER, each);
    stress(memory, 4, 4, 0, each);
    munmap(memory, ring_bytes());
}

/* ---- processes that are stopped and killed ---- */

enum { SIDES = 3, TRACKED = 1 << 20 };

struct shared {
    _Atomic uint64_t pushed[SIDES];       /* by each producer: push() has returned */
    _Atomic uint8_t seen[SIDES][TRACKED]; /* pop() has returned it */
};

static void produce_forever(const hermes_mpmc_t *ring, struct shared *shared, uint32_t side)
{
    for (uint64_t i = shared->pushed[side]; i < TRACKED; i++) {
        struct element e = make(side, i);
        while (!hermes_mpmc_push(ring, &e, sizeof e))
            sched_yield();
        shared->pushed[side] = i + 1;
    }
    for (;;)
        pause();
}

static void consume_forever(const hermes_mpmc_t *ring, struct shared *shared)
{
    for (struct element e;;) {
        if (!hermes_mpmc_pop(ring, &e, sizeof e))
            sched_yield();
        else if (!is_whole(&e) || e.side >= SIDES)
            _exit(1);
        else
            atomic_fetch_add(&shared->seen[e.side][e.number], 1);
    }
}

static void test_processes_are_killed(void **state)
{
    (void)state;
    unsigned rounds = (getenv("HERMES_TEST_LONG") != NULL) ? 2000 : 40;
    uint64_t seed = 5;
    void *memory = new_memory();
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    hermes_mpmc_t ring = make_ring(memory, 0);
    uint64_t start[SIDES] = {0}, missing = 0, unfinished = 0;
    for (unsigned round = 0; round < rounds; round++) {
        pid_t children[2 * SIDES];
        for (unsigned i = 0; i < 2 * SIDES; i++)
            if ((children[i] = test_fork()) == 0) {
                if (i < SIDES)
                    produce_forever(&ring, shared, i);
                consume_forever(&ring, shared);
            }
        /* Some are stopped for a while; the others go on or wait, and nothing is lost by that. */
        for (unsigned i = 0; i < 6; i++) {
            uint64_t goal = shared->pushed[0] + test_random(&seed) % 500;
            pid_t child = children[test_random(&seed) % (2 * SIDES)];
            kill(child, SIGSTOP);
            for (unsigned patience = 0; shared->pushed[0] < goal && patience < 1000; patience++)
                sched_yield();
            kill(child, SIGCONT);
        }
        for (unsigned i = 0; i < 2 * SIDES; i++)
            kill(children[i], SIGKILL);
        for (unsigned i = 0; i < 2 * SIDES; i++) {
            int status;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_true(WIFSIGNALED(status)); /* not by finding an element broken */
        }
        hermes_mpmc_losses_t losses;
        assert_int_equal(hermes_mpmc_recover(&ring, &losses), 0);
        assert_true(losses.abandoned <= SIDES);
        assert_true(losses.unfinished <= SIDES);
        unfinished += SIDES; /* also those that were given back, and not yet noted as seen */
        struct element e;
        while (hermes_mpmc_pop(&ring, &e, sizeof e)) {
            assert_true(is_whole(&e));
            shared->seen[e.side][e.number]++;
        }
        assert_int_equal(hermes_mpmc_count(&ring), 0);
        assert_int_equal(hermes_mpmc_recover(&ring, &losses), 0);
        assert_int_equal(losses.abandoned + losses.unfinished, 0);
        for (unsigned side = 0; side < SIDES; side++) {
            uint64_t end = shared->pushed[side];
            for (uint64_t i = start[side]; i < end; i++) {
                assert_true(shared->seen[side][i] <= 1);
                missing += shared->seen[side][i] == 0;
            }
            /* One push may have been complete and not noted: it is not pushed again. */
            if (end < TRACKED && shared->seen[side][end] == 1)
                shared->pushed[side] = ++end;
            else if (end < TRACKED)
                shared->pushed[side] = end;
            start[side] = end;
            if (end > TRACKED - 100000)
                round = rounds;
        }
        assert_true(missing <= unfinished);
    }
    assert_true(start[0] > 1000);
    munmap(shared, sizeof *shared);
    munmap(memory, ring_bytes());
}

static void test_who_wants_none_gets_none(void **state)
{
    (void)state;
    void *memory = new_memory();
    hermes_mpmc_t ring = make_ring(memory, 0);
    struct element e = make(1, 1);
    uint64_t first = 77;
    assert_int_equal(hermes_mpmc_claim(&ring, 0, &first), 0);
    assert_int_equal(hermes_mpmc_push_many(&ring, NULL, 0, sizeof e), 0);
    assert_int_equal(hermes_mpmc_count(&ring), 0);
    assert_true(hermes_mpmc_push(&ring, &e, sizeof e));
    assert_int_equal(hermes_mpmc_peek(&ring, 0, sizeof e, &first), 0);
    assert_int_equal(hermes_mpmc_pop_many(&ring, NULL, 0, sizeof e), 0);
    assert_true(hermes_mpmc_pop(&ring, &e, sizeof e));
    assert_int_equal(first, 77);
    munmap(memory, ring_bytes());
}

/* What it takes a side to die in the middle, each way, by hand. */
static void test_recovers(void **state)
{
    (void)state;
    void *memory = new_memory();
    for (unsigned lap = 0; lap < 3 * CAPACITY; lap += 7) {
        hermes_mpmc_t ring = make_ring(memory, 0);
        struct element e = make(1, 1);
        uint64_t first;
        for (unsigned i = 0; i < lap; i++) {
            assert_true(hermes_mpmc_push(&ring, &e, sizeof e));
            assert_true(hermes_mpmc_pop(&ring, &e, sizeof e));
        }
        for (uint64_t i = 0; i < 10; i++) {
            e = make(0, i);
            if (i == 3 || i == 4 || i == 9)
                assert_int_equal(hermes_mpmc_claim(&ring, 1, &first), 1); /* and dies */
            else
                assert_true(hermes_mpmc_push(&ring, &e, sizeof e));
        }
        assert_int_equal(hermes_mpmc_peek(&ring, 2, sizeof e, &first), 2); /* takes 0 and 1, and dies */
        assert_true(hermes_mpmc_pop(&ring, &e, sizeof e));
        assert_int_equal(e.number, 2);
        assert_false(hermes_mpmc_pop(&ring, &e, sizeof e)); /* 3 was claimed and not pushed */
        hermes_mpmc_losses_t losses;
        assert_int_equal(hermes_mpmc_recover(&ring, &losses), 0);
        assert_int_equal(losses.abandoned, 3);
        assert_int_equal(losses.unfinished, 2);
        for (uint64_t i = 5; i < 9; i++) {
            assert_true(hermes_mpmc_pop(&ring, &e, sizeof e));
            assert_int_equal(e.number, i);
        }
        assert_false(hermes_mpmc_pop(&ring, &e, sizeof e));
        for (unsigned i = 0; i < CAPACITY; i++)
            assert_true(hermes_mpmc_push(&ring, &e, sizeof e));
        assert_false(hermes_mpmc_push(&ring, &e, sizeof e));
    }
    munmap(memory, ring_bytes());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_is_a_queue),
        cmocka_unit_test(test_who_wants_none_gets_none),
        cmocka_unit_test(test_recovers),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_processes_are_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
