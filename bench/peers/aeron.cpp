// Aeron IPC: an exclusive publication and an image between two pinned processes, through Aeron's C client, with
// its media driver (argument 1: the program) beside them on the same two cores. Every byte received is read.
#include "peer.hpp"

#include <cstring>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include "aeronc.h"
}

static std::string directory;

[[noreturn]] static void die(const char *what)
{
    fprintf(stderr, "peer_aeron: %s: %s\n", what, aeron_errmsg());
    exit(1);
}

static pid_t start_driver(const char *program, const char *idle)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("AERON_DIR", directory.c_str(), 1);
        setenv("AERON_DIR_DELETE_ON_START", "1", 1);
        setenv("AERON_DIR_DELETE_ON_SHUTDOWN", "1", 1);
        setenv("AERON_THREADING_MODE", "SHARED", 1);
        setenv("AERON_TERM_BUFFER_SPARSE_FILE", "0", 1); // touched before use, as ours
        setenv("AERON_SHARED_IDLE_STRATEGY", idle, 1);
        freopen("/dev/null", "w", stdout);
        execl(program, program, (char *)nullptr);
        _exit(127);
    }
    return pid; // the client library waits until it serves
}

struct side {
    aeron_context_t *context = nullptr;
    aeron_t *client = nullptr;

    side()
    {
        if (aeron_context_init(&context) < 0 || aeron_context_set_dir(context, directory.c_str()) < 0 ||
            aeron_init(&client, context) < 0 || aeron_start(client) < 0)
            die("client");
    }
    ~side()
    {
        aeron_close(client);
        aeron_context_close(context);
    }
    aeron_exclusive_publication_t *publication(int stream)
    {
        aeron_async_add_exclusive_publication_t *pending = nullptr;
        aeron_exclusive_publication_t *made = nullptr;
        if (aeron_async_add_exclusive_publication(&pending, client, "aeron:ipc", stream) < 0)
            die("publication");
        while (made == nullptr) {
            if (aeron_async_add_exclusive_publication_poll(&made, pending) < 0)
                die("publication");
            sched_yield();
        }
        return made;
    }
    aeron_subscription_t *subscription(int stream)
    {
        aeron_async_add_subscription_t *pending = nullptr;
        aeron_subscription_t *made = nullptr;
        if (aeron_async_add_subscription(&pending, client, "aeron:ipc", stream, nullptr, nullptr, nullptr, nullptr) < 0)
            die("subscription");
        while (made == nullptr) {
            if (aeron_async_add_subscription_poll(&made, pending) < 0)
                die("subscription");
            sched_yield();
        }
        return made;
    }
    static aeron_image_t *image(aeron_subscription_t *subscription)
    {
        aeron_image_t *image = nullptr;
        while ((image = aeron_subscription_image_at_index(subscription, 0)) == nullptr)
            sched_yield();
        return image;
    }
};

struct received {
    uint64_t count = 0, sum = 0;
};

static void on_message(void *context, const uint8_t *buffer, size_t length, aeron_header_t *)
{
    auto *r = static_cast<received *>(context);
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word;
        memcpy(&word, buffer + i, 8);
        r->sum += word;
    }
    r->count++;
}

static bool refused(int64_t rc)
{
    if (rc >= 0)
        return false;
    if (rc != AERON_PUBLICATION_BACK_PRESSURED && rc != AERON_PUBLICATION_ADMIN_ACTION &&
        rc != AERON_PUBLICATION_NOT_CONNECTED)
        die("publication");
    relax();
    return true;
}

using publisher = void (*)(aeron_exclusive_publication_t *, const void *payload, size_t size);

static void offer(aeron_exclusive_publication_t *publication, const void *payload, size_t size)
{
    while (refused(aeron_exclusive_publication_offer(publication, (const uint8_t *)payload, size, nullptr, nullptr))) {
    }
}

static void claim(aeron_exclusive_publication_t *publication, size_t size, aeron_buffer_claim_t *claimed)
{
    while (refused(aeron_exclusive_publication_try_claim(publication, size, claimed))) {
    }
}

static void try_claim(aeron_exclusive_publication_t *publication, const void *payload, size_t size)
{
    aeron_buffer_claim_t claimed;
    claim(publication, size, &claimed);
    memcpy(claimed.data, payload, size);
    aeron_buffer_claim_commit(&claimed);
}

// Aeron's C client has no call for many messages. What comes nearest, and is faster: claims committed from the last to
// the first, so that the subscriber sees all of them at once.
constexpr uint64_t BATCH = 32;

static void batch(aeron_exclusive_publication_t *publication, const void *payload, size_t size)
{
    aeron_buffer_claim_t claims[BATCH];
    for (auto &claimed : claims) {
        claim(publication, size, &claimed);
        memcpy(claimed.data, payload, size);
    }
    for (uint64_t i = BATCH; i-- > 0;)
        aeron_buffer_claim_commit(&claims[i]);
}

/* One process waits here, blocked, until the other is done with what it made (or is dead). */
struct until_done {
    int ends[2];

    until_done()
    {
        if (pipe(ends) < 0)
            die("pipe");
    }
    void wait()
    {
        char none;
        close(ends[1]);
        while (read(ends[0], &none, 1) < 0) {
        }
        close(ends[0]);
    }
    void done()
    {
        close(ends[0]);
        close(ends[1]);
    }
};

static int stream = 1000; // fresh ones each time: the last one's images linger

static void round_trips(publisher publish, size_t size, uint64_t rounds, std::vector<uint64_t> &times)
{
    alignas(8) uint8_t payload[1024] = {};
    stream += 2;
    until_done measured;
    pid_t child = fork();
    if (child == 0) {
        pin(1);
        side me;
        aeron_subscription_t *there = me.subscription(stream);
        aeron_exclusive_publication_t *back = me.publication(stream + 1);
        aeron_image_t *image = side::image(there);
        received r;
        for (uint64_t i = 0; i < rounds; i++) {
            while (r.count == i)
                if (aeron_image_poll(image, on_message, &r, 1) <= 0)
                    relax();
            publish(back, payload, size);
        }
        keep(r.sum);
        measured.wait();
        _exit(0);
    }
    times.clear();
    {
        pin(0);
        side me;
        aeron_exclusive_publication_t *there = me.publication(stream);
        aeron_image_t *image = side::image(me.subscription(stream + 1));
        while (!aeron_exclusive_publication_is_connected(there))
            sched_yield();
        received r;
        for (uint64_t i = 0; i < rounds; i++) {
            uint64_t start = now_ns();
            publish(there, payload, size);
            while (r.count == i)
                if (aeron_image_poll(image, on_message, &r, 1) <= 0)
                    relax();
            times.push_back(now_ns() - start);
        }
        keep(r.sum);
    }
    measured.done();
    waitpid(child, nullptr, 0);
    std::sort(times.begin(), times.end());
}

// publish: a_call messages.
static double throughput(publisher publish, uint64_t a_call, size_t size, uint64_t count)
{
    stream += 2;
    auto *ready = static_cast<std::atomic<uint32_t> *>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    until_done measured;
    pid_t child = fork();
    if (child == 0) {
        alignas(8) uint8_t payload[1024] = {};
        pin(1);
        side me;
        aeron_exclusive_publication_t *publication = me.publication(stream);
        while (!aeron_exclusive_publication_is_connected(publication) || ready->load() == 0)
            sched_yield();
        for (uint64_t i = 0; i < count; i += a_call)
            publish(publication, payload, size);
        measured.wait();
        _exit(0);
    }
    double seconds;
    {
        pin(0);
        side me;
        aeron_image_t *image = side::image(me.subscription(stream));
        received r;
        uint64_t start = now_ns();
        ready->store(1);
        while (r.count < count)
            if (aeron_image_poll(image, on_message, &r, 256) <= 0)
                relax();
        seconds = double(now_ns() - start) / 1e9;
        keep(r.sum);
    }
    measured.done();
    waitpid(child, nullptr, 0);
    munmap(ready, 4096);
    return double(count) / seconds;
}

static bool first = true;

static void begin_result(const char *name, size_t size)
{
    printf("%s{\"name\":\"%s\",\"size_bytes\":%zu", first ? "" : ",\n", name, size);
    first = false;
}

static void add_round_trip(const char *name, publisher publish, size_t size)
{
    std::vector<uint64_t> times;
    lines line = beside_the_line([&] { round_trips(publish, size, scaled(100000), times); });
    begin_result(name, size);
    printf(",\"rtt_p50_ns\":%.0f,\"rtt_p99_ns\":%.0f", double(times[times.size() / 2]) - clock_cost(),
           double(times[times.size() * 99 / 100]) - clock_cost());
    print_lines(line);
}

static void add_stream(const char *name, publisher publish, uint64_t a_call, size_t size)
{
    uint64_t count = scaled(size < 1024 ? 5000000 : 1000000) / BATCH * BATCH;
    double rate = 0;
    lines line = beside_the_line([&] { rate = throughput(publish, a_call, size, count); });
    begin_result(name, size);
    printf(",\"messages_per_second\":%.0f", rate);
    print_lines(line);
}

// Argument: the driver's idle strategy. backoff, its default, is the best one with two cores.
int main(int argc, char **argv)
{
    directory = "/dev/shm/peer-aeron-" + std::to_string(getpid());
    pid_t driver = start_driver(MEDIA_DRIVER, argc > 1 ? argv[1] : "backoff");
    printf("{\"results\":[\n");
    for (size_t size : {32, 64, 256, 1024}) {
        add_round_trip("aeron ipc offer, round trip", offer, size);
        add_round_trip("aeron ipc tryClaim, round trip", try_claim, size);
        add_stream("aeron ipc offer, one at a time", offer, 1, size);
        add_stream("aeron ipc tryClaim, one at a time", try_claim, 1, size);
        add_stream("aeron ipc tryClaim, batches of 32", batch, BATCH, size);
    }
    printf("]}\n");
    kill(driver, SIGTERM);
    waitpid(driver, nullptr, 0);
    return 0;
}
