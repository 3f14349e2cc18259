#include "hermes/mpmc.h"

enum { RING_MAGIC = 0x434D504D /* "MPMC" */ };

static const uint32_t known_flags = HERMES_MPMC_ONE_PRODUCER | HERMES_MPMC_ONE_CONSUMER;

_Static_assert(sizeof(hermes_mpmc_shared_t) == 3 * HERMES_SPSC_LINE, "head and tail on lines of their own");
_Static_assert(offsetof(hermes_mpmc_shared_t, head) == HERMES_SPSC_LINE, "head");
_Static_assert(offsetof(hermes_mpmc_shared_t, tail) == 2 * HERMES_SPSC_LINE, "tail");

static size_t counters_bytes(size_t capacity)
{
    return (capacity * sizeof(uint32_t) + HERMES_SPSC_LINE - 1) & ~(size_t)(HERMES_SPSC_LINE - 1);
}

size_t hermes_mpmc_bytes(size_t element_size, size_t capacity)
{
    size_t slots;
    if (element_size == 0 || element_size > SIZE_MAX / 4 || capacity < 2 || capacity > (1ull << 31) ||
        (capacity & (capacity - 1)) != 0 ||
        __builtin_mul_overflow(hermes_mpmc_stride(element_size), capacity, &slots) || slots > SIZE_MAX / 2)
        return 0;
    return sizeof(hermes_mpmc_shared_t) + counters_bytes(capacity) + slots;
}

int hermes_mpmc_init(void *memory, size_t bytes, size_t element_size, size_t capacity, uint32_t flags)
{
    size_t needed = hermes_mpmc_bytes(element_size, capacity);
    if (memory == NULL || (uintptr_t)memory % 64 != 0 || needed == 0 || needed > bytes ||
        (flags & ~known_flags) != 0)
        return HERMES_EINVALID;
    memset(memory, 0, needed);
    hermes_mpmc_shared_t *shared = memory;
    shared->flags = flags;
    shared->element_size = element_size;
    shared->capacity = capacity;
    /* Release pairs with the acquire in hermes_mpmc_attach(): who sees the magic sees the rest. */
    __atomic_store_n(&shared->magic, RING_MAGIC, __ATOMIC_RELEASE);
    return HERMES_OK;
}

int hermes_mpmc_attach(hermes_mpmc_t *ring, void *memory, size_t bytes)
{
    *ring = (hermes_mpmc_t){.shared = memory};
    hermes_mpmc_shared_t *shared = memory;
    if (shared == NULL || bytes < sizeof *shared || (uintptr_t)memory % 64 != 0)
        return HERMES_EINVALID;
    if (__atomic_load_n(&shared->magic, __ATOMIC_ACQUIRE) != RING_MAGIC)
        return HERMES_EMALFORMED;
    /* Others may write here: each is read once, checked, and kept. */
    uint64_t size = __atomic_load_n(&shared->element_size, __ATOMIC_RELAXED);
    uint64_t capacity = __atomic_load_n(&shared->capacity, __ATOMIC_RELAXED);
    uint32_t flags = __atomic_load_n(&shared->flags, __ATOMIC_RELAXED);
    size_t needed = hermes_mpmc_bytes(size, capacity);
    if (needed == 0 || needed > bytes || (flags & ~known_flags) != 0)
        return HERMES_EMALFORMED;
    ring->emptied = (uint32_t *)(void *)((uint8_t *)memory + sizeof *shared);
    ring->slots = (uint8_t *)memory + sizeof *shared + counters_bytes(capacity);
    ring->mask = capacity - 1;
    ring->element_size = size;
    ring->shift = (uint32_t)__builtin_ctzll(capacity);
    ring->flags = flags;
    return HERMES_OK;
}

int hermes_mpmc_recover(const hermes_mpmc_t *r, hermes_mpmc_losses_t *losses)
{
    *losses = (hermes_mpmc_losses_t){0, 0};
    uint64_t head = __atomic_load_n(&r->shared->head, __ATOMIC_ACQUIRE);
    uint64_t tail = __atomic_load_n(&r->shared->tail, __ATOMIC_ACQUIRE);
    uint64_t capacity = r->mask + 1;
    if (head - tail > capacity)
        return HERMES_EMALFORMED;
    /* Behind the tail, a lap at most: whose element was taken, and not given back. */
    for (uint64_t place = tail > capacity ? tail - capacity : 0; place < tail; place++)
        if (hermes_mpmc_is_free_(r, place)) {
            hermes_mpmc_release(r, place, 1);
            losses->unfinished++;
        }
    for (uint64_t place = tail; place < head; place++) {
        uint64_t *mark = hermes_mpmc_mark_(r, place, r->element_size),
                 now = __atomic_load_n(mark, __ATOMIC_ACQUIRE);
        if (now != place + 1 && now != ((place + 1) | HERMES_MPMC_ABANDONED_)) {
            __atomic_store_n(mark, (place + 1) | HERMES_MPMC_ABANDONED_, __ATOMIC_RELEASE);
            losses->abandoned++;
        }
    }
    return HERMES_OK;
}
