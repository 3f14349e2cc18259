// boost::lockfree::queue, ck_ring, moodycamel's ConcurrentQueue and DPDK's rte_ring, as Debian packages them, each as
// many to many.
#include "ck.h"
#include "peer.hpp"

#include <boost/lockfree/queue.hpp>
#include <concurrentqueue/concurrentqueue.h>
#include <sched.h>
#ifdef WITH_DPDK
#include "dpdk.h"
#endif

constexpr size_t capacity = 4096;

template <size_t Bytes> struct boost_queue {
    using T = element<Bytes>;
    boost::lockfree::queue<T, boost::lockfree::capacity<capacity>> queue;
    bool push(const T &value) { return queue.bounded_push(value); }
    bool pop(T &value) { return queue.pop(value); }
};

template <size_t Bytes> struct moodycamel_queue {
    using T = element<Bytes>;
    moodycamel::ConcurrentQueue<T> queue{capacity};
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
        bool push(const T &value) { return ck_push_many_##SIZE(ring, (const ck_##SIZE *)&value); }           \
        bool pop(T &value) { return ck_pop_many_##SIZE(ring, (ck_##SIZE *)&value); }                         \
    }
CK_RING(8);
CK_RING(64);

#ifdef WITH_DPDK
template <size_t Bytes> struct dpdk_ring {
    using T = element<Bytes>;
    void *ring = dpdk_new(capacity, Bytes);
    dpdk_ring() = default;
    dpdk_ring(const dpdk_ring &) = delete;
    ~dpdk_ring() { free(ring); }
    bool push(const T &value) { return dpdk_push<Bytes>(ring, &value); }
    bool pop(T &value) { return dpdk_pop<Bytes>(ring, &value); }
};
#endif

inline void idle(unsigned &turns)
{
    if (++turns % 64 == 0)
        sched_yield();
    else
        relax();
}

template <typename Ring, typename T> void two_and_two(const char *name)
{
    const uint64_t count = scaled(5000000);
    double seconds = 0;
    lines line = beside_the_line([&] {
        Ring ring;
        auto produce = [&](int cpu) {
            pin(cpu);
            T mine{};
            unsigned turns = 0;
            for (uint64_t i = 0; i < count; i++) {
                mine.words[0] = i;
                while (!ring.push(mine))
                    idle(turns);
            }
        };
        auto consume = [&](int cpu) {
            pin(cpu);
            T mine{};
            uint64_t sum = 0;
            unsigned turns = 0;
            for (uint64_t i = 0; i < count; i++) {
                while (!ring.pop(mine))
                    idle(turns);
                sum += mine.read();
            }
            keep(sum);
        };
        uint64_t start = now_ns();
        std::thread threads[] = {std::thread(produce, 1), std::thread(produce, 0), std::thread(consume, 1)};
        consume(0);
        for (auto &thread : threads)
            thread.join();
        seconds = double(now_ns() - start) / 1e9;
    });
    printf(",\n{\"name\":\"%s two and two on two cores\",\"size_bytes\":%zu,\"messages_per_second\":%.0f", name,
           sizeof(T), 2 * double(count) / seconds);
    print_lines(line);
}

template <typename Ring, typename T> void all(const char *name, bool &first)
{
    measure<Ring, T>(name, first);
    two_and_two<Ring, T>(name);
}

int main()
{
    bool first = true;
    printf("{\"results\":[\n");
    all<boost_queue<8>, element<8>>("boost queue", first);
    all<boost_queue<64>, element<64>>("boost queue", first);
    all<ck_ring_8, element<8>>("ck_ring", first);
    all<ck_ring_64, element<64>>("ck_ring", first);
    all<moodycamel_queue<8>, element<8>>("moodycamel ConcurrentQueue", first);
    all<moodycamel_queue<64>, element<64>>("moodycamel ConcurrentQueue", first);
#ifdef WITH_DPDK
    all<dpdk_ring<8>, element<8>>("DPDK rte_ring", first);
    all<dpdk_ring<64>, element<64>>("DPDK rte_ring", first);
#endif
    printf("]}\n");
}
