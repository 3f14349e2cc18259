#include "hermes/spsc.h"

#include <stdatomic.h>

enum { RING_MAGIC = 0x43535053 /* "SPSC" */, KIND_INDEXED = 1, KIND_SLOTS = 2 };

_Static_assert(sizeof(hermes_spsc_t) == 3 * HERMES_SPSC_LINE, "head and tail on lines of their own");
_Static_assert(offsetof(hermes_spsc_t, head) == HERMES_SPSC_LINE, "head");
_Static_assert(offsetof(hermes_spsc_t, tail) == 2 * HERMES_SPSC_LINE, "tail");

static size_t ring_bytes(size_t stride, size_t capacity)
{
    size_t slots;
    if (stride == 0 || capacity < 2 || capacity > (1ull << 32) || (capacity & (capacity - 1)) != 0 ||
        __builtin_mul_overflow(stride, capacity, &slots) || slots > SIZE_MAX / 2)
        return 0;
    return sizeof(hermes_spsc_t) + slots;
}

size_t hermes_spsc_bytes(size_t element_size, size_t capacity)
{
    return ring_bytes(element_size, capacity);
}

size_t hermes_slot_bytes(size_t element_size, size_t capacity)
{
    if (element_size == 0 || element_size > SIZE_MAX / 4)
        return 0;
    return ring_bytes(hermes_slot_stride(element_size), capacity);
}

static int ring_init(void *memory, size_t bytes, size_t needed, uint32_t kind, size_t element_size,
                     size_t capacity)
{
    if (memory == NULL || (uintptr_t)memory % 64 != 0 || needed == 0 || needed > bytes)
        return HERMES_EINVALID;
    memset(memory, 0, needed);
    hermes_spsc_t *ring = memory;
    ring->kind = kind;
    ring->element_size = element_size;
    ring->capacity = capacity;
    /* Release pairs with the acquire in ring_check(): who sees the magic sees the rest. */
    __atomic_store_n(&ring->magic, RING_MAGIC, __ATOMIC_RELEASE);
    return HERMES_OK;
}

int hermes_spsc_init(void *memory, size_t bytes, size_t element_size, size_t capacity)
{
    return ring_init(memory, bytes, hermes_spsc_bytes(element_size, capacity), KIND_INDEXED, element_size,
                     capacity);
}

int hermes_slot_init(void *memory, size_t bytes, size_t element_size, size_t capacity)
{
    return ring_init(memory, bytes, hermes_slot_bytes(element_size, capacity), KIND_SLOTS, element_size,
                     capacity);
}

/* Reads the shared description once and checks it against the memory that is really there. */
static int ring_check(const hermes_spsc_t *ring, size_t bytes, uint32_t kind, uint64_t *element_size,
                      uint64_t *mask)
{
    if (ring == NULL || bytes < sizeof *ring || (uintptr_t)ring % 64 != 0)
        return HERMES_EINVALID;
    if (__atomic_load_n(&ring->magic, __ATOMIC_ACQUIRE) != RING_MAGIC || ring->kind != kind)
        return HERMES_EMALFORMED;
    uint64_t size = __atomic_load_n(&ring->element_size, __ATOMIC_RELAXED);
    uint64_t capacity = __atomic_load_n(&ring->capacity, __ATOMIC_RELAXED);
    size_t needed =
        kind == KIND_SLOTS ? hermes_slot_bytes(size, capacity) : hermes_spsc_bytes(size, capacity);
    if (needed == 0 || needed > bytes)
        return HERMES_EMALFORMED;
    *element_size = size;
    *mask = capacity - 1;
    return HERMES_OK;
}

static int attach_producer(hermes_spsc_producer_t *p, void *memory, size_t bytes, uint32_t kind)
{
    *p = (hermes_spsc_producer_t){.ring = memory};
    int rc = ring_check(memory, bytes, kind, &p->element_size, &p->mask);
    if (rc < 0)
        return rc;
    p->slots = (uint8_t *)memory + sizeof(hermes_spsc_t);
    p->limit = __atomic_load_n(&p->ring->tail, __ATOMIC_ACQUIRE) + p->mask + 1;
    return HERMES_OK;
}

static int attach_consumer(hermes_spsc_consumer_t *c, void *memory, size_t bytes, uint32_t kind)
{
    *c = (hermes_spsc_consumer_t){.ring = memory};
    int rc = ring_check(memory, bytes, kind, &c->element_size, &c->mask);
    if (rc < 0)
        return rc;
    c->slots = (uint8_t *)memory + sizeof(hermes_spsc_t);
    c->tail = c->told = __atomic_load_n(&c->ring->tail, __ATOMIC_RELAXED);
    c->head = c->pace.tail = c->tail;
    return HERMES_OK;
}

int hermes_spsc_producer_attach(hermes_spsc_producer_t *producer, void *memory, size_t bytes)
{
    int rc = attach_producer(producer, memory, bytes, KIND_INDEXED);
    if (rc < 0)
        return rc;
    producer->head = __atomic_load_n(&producer->ring->head, __ATOMIC_RELAXED);
    return producer->limit - producer->head <= producer->mask + 1 ? HERMES_OK : HERMES_EMALFORMED;
}

int hermes_spsc_consumer_attach(hermes_spsc_consumer_t *consumer, void *memory, size_t bytes)
{
    return attach_consumer(consumer, memory, bytes, KIND_INDEXED);
}

static uint64_t mark_at(const uint8_t *slots, uint64_t index, uint64_t mask, size_t stride)
{
    return __atomic_load_n((const uint64_t *)(const void *)(slots + (index & mask) * stride + stride - 8),
                           __ATOMIC_ACQUIRE);
}

/* The head of this ring is in its marks: go on behind the last one. */
int hermes_slot_producer_attach(hermes_spsc_producer_t *producer, void *memory, size_t bytes)
{
    int rc = attach_producer(producer, memory, bytes, KIND_SLOTS);
    if (rc < 0)
        return rc;
    size_t stride = hermes_slot_stride(producer->element_size);
    producer->head = producer->limit - producer->mask - 1;
    while (producer->head != producer->limit &&
           mark_at(producer->slots, producer->head, producer->mask, stride) == producer->head + 1)
        producer->head++;
    return HERMES_OK;
}

int hermes_slot_consumer_attach(hermes_spsc_consumer_t *consumer, void *memory, size_t bytes)
{
    return attach_consumer(consumer, memory, bytes, KIND_SLOTS);
}
