// boost::lockfree::spsc_queue, ck_ring and moodycamel's ReaderWriterQueue, as Debian packages them.
#include "ck.h"
#include "peer.hpp"

#include <boost/lockfree/spsc_queue.hpp>
#include <readerwriterqueue/readerwriterqueue.h>

constexpr size_t capacity = 4096;

template <size_t Bytes> struct boost_ring {
    using T = element<Bytes>;
    boost::lockfree::spsc_queue<T, boost::lockfree::capacity<capacity>> queue;
    bool push(const T &value) { return queue.push(value); }
    bool pop(T &value) { return queue.pop(value); }
};

template <size_t Bytes> struct moodycamel_ring {
    using T = element<Bytes>;
    moodycamel::ReaderWriterQueue<T> queue{capacity};
    bool push(const T &value) { return queue.try_enqueue(value); }
    bool pop(T &value) { return queue.try_dequeue(value); }
};

#define CK_RING(SIZE)                                                                                        \
    struct ck_ring_##SIZE {                                                                                  \
        using T = element<SIZE>;                                                                             \
        void *ring = ck_new(capacity, SIZE);                                                                 \
        ck_ring_##SIZE() = default;                                                                          \
        ck_ring_##SIZE(const ck_ring_##SIZE &) = delete;                                                     \
        ~ck_ring_##SIZE() { ck_free(ring); }                                                                 \
        bool push(const T &value) { return ck_push_##SIZE(ring, (const ck_##SIZE *)&value); }                \
        bool pop(T &value) { return ck_pop_##SIZE(ring, (ck_##SIZE *)&value); }                              \
    }
CK_RING(8);
CK_RING(64);

int main()
{
    bool first = true;
    printf("{\"results\":[\n");
    measure<boost_ring<8>, element<8>>("boost spsc_queue", first);
    measure<boost_ring<64>, element<64>>("boost spsc_queue", first);
    measure<ck_ring_8, element<8>>("ck_ring", first);
    measure<ck_ring_64, element<64>>("ck_ring", first);
    measure<moodycamel_ring<8>, element<8>>("moodycamel ReaderWriterQueue", first);
    measure<moodycamel_ring<64>, element<64>>("moodycamel ReaderWriterQueue", first);
    printf("]}\n");
}
