// Aeron over UDP on this host: two pinned processes, each one thread that spins through its own media driver (in
// INVOKER mode), its client and what it measures: the fastest that Aeron can be on two cores. Every byte received is
// read. Loss is made by Aeron's own interceptor at the receiver's driver: of datagrams with data, by chance.
#include "peer.hpp"

#include <cstring>
#include <filesystem>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include "aeronc.h"
#include "aeronmd.h"
}

// Aeron's advice for throughput: large socket buffers, a window of the same size, many datagrams a system call.
static const char *const settings[][2] = {
    {"AERON_THREADING_MODE", "INVOKER"},
    {"AERON_DIR_DELETE_ON_START", "1"},
    {"AERON_TERM_BUFFER_SPARSE_FILE", "0"},
    {"AERON_SOCKET_SO_RCVBUF", "4194304"},
    {"AERON_SOCKET_SO_SNDBUF", "4194304"},
    {"AERON_RCV_INITIAL_WINDOW_LENGTH", "4194304"},
    {"AERON_RECEIVER_IO_VECTOR_CAPACITY", "16"},
    {"AERON_SENDER_IO_VECTOR_CAPACITY", "16"},
    {"AERON_NETWORK_PUBLICATION_MAX_MESSAGES_PER_SEND", "16"},
};

[[noreturn]] static void die(const char *what)
{
    fprintf(stderr, "peer_aeron_udp: %s: %s\n", what, aeron_errmsg());
    exit(1);
}

constexpr uint64_t BATCH = 32;

struct shared {
    std::atomic<uint32_t> step;
    uint64_t nanoseconds;
    uint64_t times[]; // of round trips
};

enum step : uint32_t { MEETING, MET, GOES, DONE };

static std::string directory_of(int which)
{
    return "/dev/shm/peer-aeron-udp-" + std::to_string(getppid()) + "-" + std::to_string(which);
}

// A driver, and a client of it.
struct side {
    aeron_driver_context_t *driver_context = nullptr;
    aeron_driver_t *driver = nullptr;
    aeron_context_t *context = nullptr;
    aeron_t *client = nullptr;
    uint64_t turns = 0;

    explicit side(int which)
    {
        const std::string directory = directory_of(which);
        for (auto &setting : settings)
            setenv(setting[0], setting[1], 1);
        if (aeron_driver_context_init(&driver_context) < 0 || aeron_driver_context_set_dir(driver_context, directory.c_str()) < 0 ||
            aeron_driver_init(&driver, driver_context) < 0 || aeron_driver_start(driver, true) < 0)
            die("driver");
        aeron_driver_main_do_work(driver);
        if (aeron_context_init(&context) < 0 || aeron_context_set_dir(context, directory.c_str()) < 0 ||
            aeron_context_set_use_conductor_agent_invoker(context, true) < 0 || aeron_init(&client, context) < 0 || aeron_start(client) < 0)
            die("client");
    }
    void turn()
    {
        aeron_driver_main_do_work(driver);
        if (++turns % 1024 == 0) // it only says that it lives
            aeron_main_do_work(client);
    }
    void begin()
    {
        aeron_driver_main_do_work(driver);
        aeron_main_do_work(client);
    }
    aeron_exclusive_publication_t *publication(const std::string &channel)
    {
        aeron_async_add_exclusive_publication_t *pending = nullptr;
        aeron_exclusive_publication_t *made = nullptr;
        if (aeron_async_add_exclusive_publication(&pending, client, channel.c_str(), 1001) < 0)
            die("publication");
        for (; made == nullptr; begin())
            if (aeron_async_add_exclusive_publication_poll(&made, pending) < 0)
                die("publication");
        return made;
    }
    aeron_subscription_t *subscription(const std::string &channel)
    {
        aeron_async_add_subscription_t *pending = nullptr;
        aeron_subscription_t *made = nullptr;
        if (aeron_async_add_subscription(&pending, client, channel.c_str(), 1001, nullptr, nullptr, nullptr, nullptr) < 0)
            die("subscription");
        for (; made == nullptr; begin())
            if (aeron_async_add_subscription_poll(&made, pending) < 0)
                die("subscription");
        return made;
    }
    aeron_image_t *image(aeron_subscription_t *subscription)
    {
        aeron_image_t *image = nullptr;
        while ((image = aeron_subscription_image_at_index(subscription, 0)) == nullptr)
            begin();
        return image;
    }
    void meet(aeron_exclusive_publication_t *publication)
    {
        while (!aeron_exclusive_publication_is_connected(publication))
            begin();
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

static bool offered(aeron_exclusive_publication_t *publication, const void *payload, size_t size)
{
    int64_t rc = aeron_exclusive_publication_offer(publication, (const uint8_t *)payload, size, nullptr, nullptr);
    if (rc < 0 && rc != AERON_PUBLICATION_BACK_PRESSURED && rc != AERON_PUBLICATION_ADMIN_ACTION && rc != AERON_PUBLICATION_NOT_CONNECTED)
        die("publication");
    return rc >= 0;
}

static void offer(side &me, aeron_exclusive_publication_t *publication, const void *payload, size_t size)
{
    while (!offered(publication, payload, size))
        me.turn();
}

// Others' ports are none of ours: fresh ones each time.
static int port = 0;

static std::string channel(int which)
{
    return "aeron:udp?endpoint=127.0.0.1:" + std::to_string(port + which);
}

template <typename F> static pid_t child(F body)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        body();
        _exit(0);
    }
    return pid;
}

// Two children, since a driver reads its settings once.
template <typename F, typename G> static void both(F one, G other)
{
    pid_t pids[] = {child(one), child(other)};
    bool good = true;
    for (pid_t pid : pids) {
        int status = 0;
        good &= waitpid(pid, &status, 0) == pid && status == 0;
    }
    for (int which = 0; which < 2; which++)
        std::filesystem::remove_all("/dev/shm/peer-aeron-udp-" + std::to_string(getpid()) + "-" + std::to_string(which));
    if (!good)
        exit(1);
    port += 2;
}

static void round_trips(shared *common, size_t size, uint64_t rounds)
{
    common->step = MEETING;
    alignas(8) static uint8_t payload[1024];
    both(
        [&] {
            pin(0);
            side me(0);
            received r;
            aeron_subscription_t *back = me.subscription(channel(1));
            aeron_exclusive_publication_t *there = me.publication(channel(0));
            aeron_image_t *image = me.image(back);
            me.meet(there);
            while (common->step.load() != MET)
                me.turn();
            for (uint64_t i = 0; i < rounds; i++) {
                uint64_t start = now_ns();
                offer(me, there, payload, size);
                while (r.count == i) {
                    me.turn();
                    aeron_image_poll(image, on_message, &r, 1);
                }
                common->times[i] = now_ns() - start;
            }
            keep(r.sum);
            common->step = DONE;
        },
        [&] {
            pin(1);
            side me(1);
            received r;
            aeron_subscription_t *there = me.subscription(channel(0));
            aeron_exclusive_publication_t *back = me.publication(channel(1));
            aeron_image_t *image = me.image(there);
            me.meet(back);
            common->step = MET;
            for (uint64_t answered = 0; common->step.load() != DONE;) {
                me.turn();
                aeron_image_poll(image, on_message, &r, 1);
                for (; answered < r.count; answered++)
                    offer(me, back, payload, size);
            }
            keep(r.sum);
        });
    std::sort(common->times, common->times + rounds);
}

static double throughput(shared *common, size_t size, uint64_t count, const char *loss)
{
    common->step = MEETING;
    alignas(8) static uint8_t payload[1024];
    both(
        [&] {
            pin(0);
            if (loss != nullptr) {
                setenv("AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS", "loss", 1);
                setenv("AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_LOSS_ARGS", loss, 1);
            }
            side me(0);
            received r;
            aeron_image_t *image = me.image(me.subscription(channel(0)));
            while (common->step.load() != MET)
                me.turn();
            uint64_t start = now_ns();
            common->step = GOES;
            while (r.count < count) {
                me.turn();
                aeron_image_poll(image, on_message, &r, 256);
            }
            common->nanoseconds = now_ns() - start;
            keep(r.sum);
            common->step = DONE;
        },
        [&] {
            pin(1);
            side me(1);
            aeron_exclusive_publication_t *publication = me.publication(channel(0));
            me.meet(publication);
            common->step = MET;
            while (common->step.load() != GOES)
                me.turn();
            for (uint64_t i = 0; i < count; me.turn())
                for (uint64_t k = 0; k < BATCH && i < count && offered(publication, payload, size); k++)
                    i++;
            while (common->step.load() != DONE)
                me.turn();
        });
    return double(count) * 1e9 / double(common->nanoseconds);
}

static bool first = true;

static void begin_result(const char *name, size_t size)
{
    printf("%s{\"name\":\"aeron udp, %s\",\"size_bytes\":%zu", first ? "" : ",\n", name, size);
    first = false;
}

static void add_round_trip(shared *common, size_t size, uint64_t rounds)
{
    lines line = beside_the_line([&] { round_trips(common, size, rounds); });
    begin_result("round trip", size);
    printf(",\"rtt_p50_ns\":%.0f,\"rtt_p99_ns\":%.0f", double(common->times[rounds / 2]) - clock_cost(),
           double(common->times[rounds * 99 / 100]) - clock_cost());
    print_lines(line);
}

static void add_stream(shared *common, const char *name, size_t size, uint64_t count, const char *loss)
{
    double rate = 0;
    lines line = beside_the_line([&] { rate = throughput(common, size, count, loss); });
    begin_result(name, size);
    printf(",\"messages_per_second\":%.0f", rate);
    print_lines(line);
}

int main()
{
    uint64_t rounds = scaled(10000);
    auto *common = static_cast<shared *>(mmap(nullptr, sizeof(shared) + rounds * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                                              MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    port = 20000 + getpid() % 20000;
    printf("{\"results\":[\n");
    add_round_trip(common, 64, rounds);
    for (size_t size : {32, 1024}) {
        uint64_t count = scaled(size < 1024 ? 2000000 : 400000);
        add_stream(common, "stream", size, count, nullptr);
        add_stream(common, "stream, 1 % lost", size, count, "rate=0.01|seed=1|recv-msg-mask=0x2");
        // It is so slow then that fewer are enough.
        add_stream(common, "stream, 10 % lost", size, count / 20, "rate=0.1|seed=1|recv-msg-mask=0x2");
    }
    printf("]}\n");
    return 0;
}
