#include "ck.h"

#include <ck_ring.h>
#include <stdlib.h>

struct ring {
    _Alignas(128) ck_ring_t indices;
    _Alignas(128) unsigned char elements[];
};

CK_RING_PROTOTYPE(of_8, ck_8)
CK_RING_PROTOTYPE(of_64, ck_64)

void *ck_new(size_t capacity, size_t element_size)
{
    struct ring *ring = aligned_alloc(128, sizeof *ring + capacity * element_size);
    if (ring == NULL)
        abort();
    ck_ring_init(&ring->indices, (unsigned)capacity);
    return ring;
}

void ck_free(void *ring)
{
    free(ring);
}

#define OF(SIZE, NAME, KIND)                                                                                 \
    bool ck_push_##NAME##SIZE(void *to, const struct ck_##SIZE *element)                                     \
    {                                                                                                        \
        struct ring *ring = to;                                                                              \
        struct ck_##SIZE copy = *element; /* its interface wants it writable */                              \
        return ck_ring_enqueue_##KIND##_of_##SIZE(&ring->indices,                                            \
                                                  (struct ck_##SIZE *)(void *)ring->elements, &copy);        \
    }                                                                                                        \
    bool ck_pop_##NAME##SIZE(void *from, struct ck_##SIZE *element)                                          \
    {                                                                                                        \
        struct ring *ring = from;                                                                            \
        return ck_ring_dequeue_##KIND##_of_##SIZE(&ring->indices,                                            \
                                                  (struct ck_##SIZE *)(void *)ring->elements, element);      \
    }

OF(8, , spsc)
OF(64, , spsc)
OF(8, many_, mpmc)
OF(64, many_, mpmc)
