// What the peers of `hermes bench net` share: the same flows over TCP on this host, between the same processes on the
// same cores: the publisher on one, the subscriber on the other, the broker wherever the kernel puts it. Everybody
// sleeps while there is nothing to do; every byte received is read; nothing may be lost.
#pragma once
#include "peer.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <functional>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <string>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace net {

[[noreturn]] inline void die(const std::string &what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what.c_str());
    exit(1);
}

// Time on a CPU of all threads of a process.
inline uint64_t cpu_ns(pid_t pid)
{
    uint64_t sum = 0;
    std::string path = "/proc/" + std::to_string(pid) + "/task";
    DIR *tasks = pid == 0 ? nullptr : opendir(path.c_str());
    while (dirent *task = tasks == nullptr ? nullptr : readdir(tasks)) {
        unsigned long long ran = 0;
        FILE *stat = fopen((path + "/" + task->d_name + "/schedstat").c_str(), "re");
        if (stat == nullptr)
            continue;
        if (fscanf(stat, "%llu", &ran) == 1)
            sum += ran;
        fclose(stat);
    }
    if (tasks != nullptr)
        closedir(tasks);
    return sum;
}

inline uint64_t read_all(const void *bytes, size_t length)
{
    auto *p = static_cast<const uint8_t *>(bytes);
    uint64_t sum = 0, word;
    for (; length >= 8; length -= 8, p += 8) {
        memcpy(&word, p, 8);
        sum += word;
    }
    while (length-- > 0)
        sum += *p++;
    return sum;
}

// One that is free at the moment.
inline int free_port()
{
    sockaddr_in at{};
    socklen_t length = sizeof at;
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (sockaddr *)&at, sizeof at) != 0 || getsockname(fd, (sockaddr *)&at, &length) != 0)
        die("no port is free");
    close(fd);
    return ntohs(at.sin_port);
}

// As soon as somebody listens there.
inline int connect_to(int port)
{
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(uint16_t(port));
    for (int tries = 0; tries < 1000; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (connect(fd, (sockaddr *)&at, sizeof at) == 0)
            return fd;
        close(fd);
        usleep(10000);
    }
    die("nobody listens at port " + std::to_string(port));
}

inline void unpin()
{
    cpu_set_t set;
    memset(&set, 0xff, sizeof set);
    sched_setaffinity(0, sizeof set, &set);
}

// A program that ends with this one.
inline pid_t start(const std::vector<std::string> &command)
{
    fflush(stdout);
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    unpin();
    std::vector<char *> words;
    for (const std::string &word : command)
        words.push_back(const_cast<char *>(word.c_str()));
    words.push_back(nullptr);
    if (freopen("/dev/null", "w", stdout) == nullptr)
        _exit(1);
    execvp(words[0], words.data());
    _exit(127);
}

inline void stop(pid_t pid)
{
    kill(pid, SIGTERM);
    waitpid(pid, nullptr, 0);
}

struct publisher {
    virtual ~publisher() = default;
    virtual void ready() {} // everybody who subscribed is known
    virtual void publish(const void *bytes, size_t size) = 0;
    virtual void flush() = 0; // what was published is on its way
    virtual void finish() { flush(); } // and has been taken
};

// Calls back for each message.
struct subscriber {
    uint64_t count = 0, sum = 0;
    virtual ~subscriber() = default;
    virtual void wait() = 0;                          // sleeps until some have come, and reads them
    virtual int fd() = 0;                             // for an event loop
    virtual void read_what_is_there() = 0;            // which it said
    void got(const void *bytes, size_t size)
    {
        count++;
        sum += read_all(bytes, size);
    }
};

struct peer {
    std::string name;
    const pid_t &broker; // 0: none
    // A topic of that name, before anybody comes to it, for a stream or for single messages; and all of them are done with.
    std::function<void(const std::string &topic, bool streams)> create = [](const std::string &, bool) {};
    std::function<void()> clean = [] {};
    std::function<std::unique_ptr<publisher>(const std::string &topic, unsigned subscribers)> publish;
    std::function<std::unique_ptr<subscriber>(const std::string &topic)> subscribe;
};

struct common {
    alignas(64) std::atomic<uint32_t> step;
    uint64_t publisher_cpu_ns;
    sem_t all_received;

    void reach(uint32_t to) { step.store(to); }
    void await(uint32_t wanted) const
    {
        for (uint64_t looks = 1; step.load() < wanted; looks++) {
            relax();
            siginfo_t info{};
            if (looks % (1 << 20) == 0 && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0)
                die("another process ended early");
        }
    }
};

inline common *shared()
{
    static common *made = [] {
        void *memory = mmap(nullptr, sizeof(common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        auto *fresh = static_cast<common *>(memory);
        sem_init(&fresh->all_received, 1, 0);
        return fresh;
    }();
    return made;
}

inline pid_t child(const std::function<void()> &body)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(1);
        body();
        _exit(0);
    }
    return pid;
}

inline void join(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("the other process failed");
}

// A fresh one each time: what the last run left is nobody's.
inline std::string fresh_topic()
{
    static int number;
    return "t" + std::to_string(++number);
}

struct figures {
    double messages_per_second, cpu_seconds_per_million;
};

inline void publish_all(const peer &p, const std::string &topic, unsigned subscribers, size_t size, uint64_t count)
{
    static const uint8_t payload[65536] = {};
    auto to = p.publish(topic, subscribers);
    to->ready();
    shared()->reach(1);
    shared()->await(2);
    uint64_t before = cpu_ns(getpid());
    for (uint64_t i = 0; i < count; i++)
        to->publish(payload, size);
    to->finish();
    while (sem_wait(&shared()->all_received) != 0) { // a thread of its client's may still be sending
    }
    shared()->publisher_cpu_ns = cpu_ns(getpid()) - before;
}

inline figures one_way(const peer &p, size_t size, uint64_t count)
{
    std::string topic = fresh_topic();
    p.create(topic, true);
    shared()->reach(0);
    pin(0);
    auto from = p.subscribe(topic);
    pid_t other = child([&] { publish_all(p, topic, 1, size, count); });
    shared()->await(1);
    uint64_t cpu = cpu_ns(getpid()) + cpu_ns(p.broker), start = now_ns();
    shared()->reach(2);
    while (from->count < count)
        from->wait();
    uint64_t end = now_ns();
    cpu = cpu_ns(getpid()) + cpu_ns(p.broker) - cpu;
    sem_post(&shared()->all_received);
    join(other);
    p.clean();
    cpu += shared()->publisher_cpu_ns;
    keep(from->sum);
    return {double(count) * 1e9 / double(end - start), double(cpu) / 1e3 / double(count)};
}

inline figures to_all(const peer &p, unsigned subscribers, size_t size, uint64_t count)
{
    std::string topic = fresh_topic();
    std::vector<std::unique_ptr<subscriber>> all;
    uint64_t wanted = count * subscribers, came = 0;
    int events = epoll_create1(EPOLL_CLOEXEC);
    p.create(topic, true);
    shared()->reach(0);
    pin(0);
    auto take = [&](subscriber *one) {
        uint64_t before = one->count;
        one->read_what_is_there();
        came += one->count - before;
    };
    for (unsigned i = 0; i < subscribers; i++) {
        all.push_back(p.subscribe(topic));
        epoll_event event{EPOLLIN, {.ptr = all.back().get()}};
        epoll_ctl(events, EPOLL_CTL_ADD, all.back()->fd(), &event);
    }
    pid_t other = child([&] { publish_all(p, topic, subscribers, size, count); });
    shared()->await(1);
    for (auto &one : all)
        take(one.get());
    uint64_t cpu = cpu_ns(getpid()) + cpu_ns(p.broker), start = now_ns();
    shared()->reach(2);
    while (came < wanted) {
        epoll_event ready[64];
        int some = epoll_wait(events, ready, 64, 60000);
        if (some == 0)
            die("messages are missing");
        for (int i = 0; i < some; i++)
            take(static_cast<subscriber *>(ready[i].data.ptr));
    }
    uint64_t end = now_ns();
    cpu = cpu_ns(getpid()) + cpu_ns(p.broker) - cpu;
    sem_post(&shared()->all_received);
    join(other);
    p.clean();
    cpu += shared()->publisher_cpu_ns;
    close(events);
    return {double(wanted) * 1e9 / double(end - start), double(cpu) / 1e3 / double(wanted)};
}

inline void round_trips(const peer &p, size_t size, uint64_t rounds, std::vector<uint64_t> &times)
{
    static const uint8_t payload[65536] = {};
    std::string there = fresh_topic(), back = fresh_topic();
    p.create(there, false);
    p.create(back, false);
    shared()->reach(0);
    times.clear();
    pin(0);
    auto answers = p.subscribe(back);
    pid_t other = child([&] {
        auto questions = p.subscribe(there);
        auto reply = p.publish(back, 1);
        reply->ready();
        shared()->reach(1);
        for (uint64_t i = 0; i < rounds; i++) {
            while (questions->count == i)
                questions->wait();
            reply->publish(payload, size);
            reply->flush();
        }
        while (sem_wait(&shared()->all_received) != 0) {
        }
    });
    shared()->await(1);
    auto ask = p.publish(there, 1);
    ask->ready();
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t start = now_ns();
        ask->publish(payload, size);
        ask->flush();
        while (answers->count == i)
            answers->wait();
        times.push_back(now_ns() - start);
    }
    sem_post(&shared()->all_received);
    join(other);
    p.clean();
    std::sort(times.begin(), times.end());
}

inline bool &is_first()
{
    static bool first = true;
    return first;
}

inline void print_begin(const std::string &name, size_t size)
{
    printf("%s{\"name\":\"%s\",\"size_bytes\":%zu", is_first() ? "" : ",\n", name.c_str(), size);
    is_first() = false;
}

inline void add_stream(const peer &p, const std::string &what, size_t size, const std::function<figures()> &measure)
{
    figures found{};
    lines line = beside_the_line([&] { found = measure(); });
    print_begin(p.name + ", " + what, size);
    printf(",\"messages_per_second\":%.0f,\"cpu_seconds_per_million\":%.4f", found.messages_per_second,
           found.cpu_seconds_per_million);
    print_lines(line);
}

// divisor: of those that are so slow that nobody would wait for as many.
inline void add_one_way(const peer &p, const std::string &what, unsigned divisor)
{
    for (size_t size : {64, 1024})
        add_stream(p, what, size, [&] { return one_way(p, size, scaled(size == 64 ? 1000000 : 200000) / divisor); });
}

inline void add_to_all(const peer &p, unsigned divisor)
{
    for (unsigned subscribers : {1u, 10u, 100u})
        add_stream(p, "to " + std::to_string(subscribers) + (subscribers == 1 ? " subscriber" : " subscribers"), 64,
                   [&] { return to_all(p, subscribers, 64, scaled(1000000 / subscribers) / divisor); });
}

inline void add_round_trips(const peer &p)
{
    std::vector<uint64_t> times;
    lines line = beside_the_line([&] { round_trips(p, 64, scaled(3000), times); });
    print_begin(p.name + ", request and reply, all asleep", 64);
    printf(",\"rtt_p50_ns\":%.0f,\"rtt_p99_ns\":%.0f", double(times[times.size() / 2]) - clock_cost(),
           double(times[times.size() * 99 / 100]) - clock_cost());
    print_lines(line);
}

// A hundred connections, and a topic for each run.
inline void raise_descriptor_limit()
{
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// A directory for what a broker stores, which goes with this process.
struct directory {
    std::string path;
    pid_t owner = getpid();
    directory()
    {
        char made[] = "/tmp/hermes-bench-peer-XXXXXX";
        if (mkdtemp(made) == nullptr)
            die("cannot make a directory in /tmp");
        path = made;
    }
    ~directory()
    {
        pid_t pid = getpid() == owner ? fork() : -1;
        if (pid == 0) {
            execlp("rm", "rm", "-rf", "--", path.c_str(), (char *)nullptr);
            _exit(127);
        }
        if (pid > 0)
            waitpid(pid, nullptr, 0);
    }
};

} // namespace net
