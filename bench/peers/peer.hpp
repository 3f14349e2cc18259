// What the peers' benchmarks share: the same work as `hermes bench ring`, by the same clock, in two pinned
// processes (shared memory) where the peer can live there, else in two pinned threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sched.h>
#include <thread>
#include <vector>

inline uint64_t now_ns()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000000000u + uint64_t(t.tv_nsec);
}

inline void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(size_t(cpu), &set);
    sched_setaffinity(0, sizeof set, &set);
}

inline void relax()
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

template <size_t Bytes> struct element {
    uint64_t words[Bytes / 8];
    uint64_t read() const
    {
        uint64_t sum = 0;
        for (uint64_t word : words)
            sum += word;
        return sum;
    }
};

inline void keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

// What reading the clock twice adds to a round trip.
inline double clock_cost()
{
    std::vector<uint64_t> times;
    for (int i = 0; i < 10000; i++) {
        uint64_t start = now_ns();
        times.push_back(now_ns() - start);
    }
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return double(times[times.size() / 2]);
}

// The bare line, as in hermes bench.
inline double line_rtt()
{
    double best = 1e9;
    for (int paused = 0; paused < 2; paused++) {
        alignas(128) static std::atomic<uint64_t> ping, pong;
        ping = pong = 0;
        constexpr uint64_t rounds = 20000;
        std::thread echo([=] {
            pin(1);
            for (uint64_t i = 1; i <= rounds; i++) {
                while (ping.load(std::memory_order_acquire) != i)
                    if (paused)
                        relax();
                pong.store(i, std::memory_order_release);
            }
        });
        pin(0);
        std::vector<uint64_t> times;
        for (uint64_t i = 1; i <= rounds; i++) {
            uint64_t start = now_ns();
            ping.store(i, std::memory_order_release);
            while (pong.load(std::memory_order_acquire) != i)
                if (paused)
                    relax();
            times.push_back(now_ns() - start);
        }
        echo.join();
        std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
        best = std::min(best, double(times[times.size() / 2]));
    }
    return best - clock_cost();
}

struct lines {
    double before, after;
    int thrown_away; // runs whose two lines differed by more than a fifth: the cores had moved
};

// Runs measure between two looks at the line, again, up to eight times, where they differ too much.
template <typename F> lines beside_the_line(F measure)
{
    for (int thrown_away = 0;; thrown_away++) {
        double before = line_rtt();
        measure();
        double after = line_rtt();
        bool steady = std::max(before, after) <= 1.2 * std::min(before, after);
        if (steady || thrown_away == 7)
            return {before, after, thrown_away + !steady};
    }
}

// Ends a result.
inline void print_lines(const lines &l)
{
    printf(",\"line_before_ns\":%.0f,\"line_after_ns\":%.0f,\"thrown_away\":%d}", l.before, l.after, l.thrown_away);
}

// bench/compare.py --scale PERCENT: less work, or more.
inline uint64_t scaled(uint64_t work)
{
    const char *percent = getenv("HERMES_BENCH_SCALE");
    uint64_t count = percent != nullptr ? work * strtoull(percent, nullptr, 10) / 100 : work;
    return count < 100 ? 100 : count;
}

// Ring: bool push(const T &), bool pop(T &).
template <typename Ring, typename T> void measure(const char *name, bool &first)
{
    const uint64_t count = scaled(10000000), rounds = scaled(100000);
    T value{};
    uint64_t sum = 0;
    {
        Ring ring;
        uint64_t start = now_ns();
        T popped{};
        for (uint64_t i = 0; i < count; i++) {
            value.words[0] = i;
            ring.push(value);
            ring.pop(popped);
            keep(popped.read());
        }
        printf("%s{\"name\":\"%s push+pop, one thread\",\"size_bytes\":%zu,\"ns_per_operation\":%.3f}",
               first ? "" : ",\n", name, sizeof(T), double(now_ns() - start) / double(count));
        first = false;
    }
    double seconds = 0;
    lines line = beside_the_line([&] {
        Ring ring;
        std::thread producer([&] {
            pin(1);
            T mine{};
            for (uint64_t i = 0; i < count; i++) {
                mine.words[0] = i;
                while (!ring.push(mine))
                    relax();
            }
        });
        pin(0);
        uint64_t start = now_ns();
        for (uint64_t i = 0; i < count; i++) {
            while (!ring.pop(value))
                relax();
            sum += value.read();
        }
        seconds = double(now_ns() - start) / 1e9;
        producer.join();
    });
    printf(",\n{\"name\":\"%s across cores, one at a time\",\"size_bytes\":%zu,"
           "\"messages_per_second\":%.0f",
           name, sizeof(T), double(count) / seconds);
    print_lines(line);
    std::vector<uint64_t> times;
    line = beside_the_line([&] {
        Ring there, back;
        times.clear();
        std::thread echo([&] {
            pin(1);
            T mine{};
            for (uint64_t i = 0; i < rounds; i++) {
                while (!there.pop(mine))
                    relax();
                keep(mine.read());
                back.push(mine);
            }
        });
        pin(0);
        for (uint64_t i = 0; i < rounds; i++) {
            uint64_t start = now_ns();
            there.push(value);
            while (!back.pop(value))
                relax();
            sum += value.read();
            times.push_back(now_ns() - start);
        }
        echo.join();
    });
    std::sort(times.begin(), times.end());
    printf(",\n{\"name\":\"%s round trip\",\"size_bytes\":%zu,\"rtt_p50_ns\":%.0f,\"rtt_p99_ns\":%.0f",
           name, sizeof(T), double(times[rounds / 2]) - clock_cost(), double(times[rounds * 99 / 100]) - clock_cost());
    print_lines(line);
    keep(sum);
}
