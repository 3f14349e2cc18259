// DPDK's ring in plain memory: no hugepages, no environment of its own. Its default mode, many to many.
#pragma once
#include <cstdlib>
#include <rte_ring.h>
#include <rte_ring_elem.h>

inline void *dpdk_new(unsigned capacity, unsigned size)
{
    void *ring = aligned_alloc(128, (size_t(rte_ring_get_memsize_elem(size, capacity)) + 127) & ~size_t(127));
    if (ring == nullptr || rte_ring_init(static_cast<rte_ring *>(ring), "bench", capacity, 0) != 0)
        abort();
    return ring;
}

template <size_t Bytes> inline bool dpdk_push(void *ring, const void *value)
{
    return rte_ring_mp_enqueue_elem(static_cast<rte_ring *>(ring), const_cast<void *>(value), Bytes) == 0;
}

template <size_t Bytes> inline bool dpdk_pop(void *ring, void *value)
{
    return rte_ring_mc_dequeue_elem(static_cast<rte_ring *>(ring), value, Bytes) == 0;
}
