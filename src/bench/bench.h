/*
 * What the benchmarks share: two pinned processes, the bare cache line to compare with, and results.
 * A latency is worth nothing here without the line beside it: where the two cores are changes under
 * the program.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <math.h>
#include <sys/types.h>

#include "base/histogram.h"
#include "base/wait.h"
#include "cli/cli.h"

enum { BENCH_QUANTILES = 41, BENCH_RESULTS = 8192, BENCH_PATH_BYTES = 64 };

/* Where the plot's points are: 1 - 10^(-i/10), from 0 to four nines. */
static inline double bench_quantile(unsigned i)
{
    return 1 - pow(10, -(double)i / 10);
}

/* How late what was due at given moments. */
struct bench_tail {
    double p50_ns, p99_ns, p999_ns, p9999_ns;
};

struct bench_result {
    char name[64];
    char note[96]; /* what a reader has to know; else empty */
    uint64_t size_bytes;
    double rtt_p50_ns, rtt_p99_ns, ratio_to_line;
    double line_before_ns, line_after_ns, line_rtt_ns; /* of one round trip; the last: their mean */
    struct bench_tail delay,
        empty; /* of messages, from when they were due; of a loop that does nothing else */
    double one_way_p50_ns, one_way_p99_ns;
    double call_p50_ns, call_p99_ns;
    double repair_p50_ns, repair_p99_ns; /* from when what was lost would have come to when it had */
    double messages_per_second, ns_per_operation, bytes_per_second;
    double lost_percent; /* where may_lose */
    double cpu_percent, resident_bytes;
    double cpu_seconds_per_million;    /* of messages: the broker's and all clients' */
    double messages_per_core_second;   /* of the broker's */
    double quantiles[BENCH_QUANTILES]; /* of a latency, for the plot; see bench_quantile() */
    unsigned thrown_away;              /* tries whose two lines differed by more than a fifth */
    bool unsteady;                     /* so did those of the last try, whose figures these are */
    bool may_lose;                     /* who is overtaken on this topic skips */
};

struct bench {
    bool json;
    uint64_t scale;    /* percent of the usual amount of work */
    double per_second; /* of the suite rate; 0, NULL: all of its own */
    const char *arrivals;
    unsigned count;
    struct bench_result results[BENCH_RESULTS];
};

void bench_ring(struct bench *bench);
void bench_mpmc(struct bench *bench);
void bench_codec(struct bench *bench);
void bench_log(struct bench *bench);
void bench_store(struct bench *bench);
void bench_topic(struct bench *bench);
void bench_broker(struct bench *bench);
void bench_rate(struct bench *bench);
void bench_eager(struct bench *bench);
void bench_net(struct bench *bench);
void bench_udp(struct bench *bench);

/* A result to fill in; printed by bench_print() when it is complete. */
struct bench_result *bench_add(struct bench *bench, const char *name, uint64_t size_bytes);
void bench_print(const struct bench *bench, const struct bench_result *result);

/* All of them as JSON, with the program's version and the machine. */
void bench_print_document(const struct bench *bench);

/* How many CPUs the process may use. */
int bench_cpus(void);

/* Pins this thread: side 0 to the first, side 1 to the second of the CPUs that the process may use; -1:
 * unpins. */
void bench_pin(int side);

void bench_pin_process(pid_t pid, int side);

/* Shared, zeroed, prefaulted memory that a child inherits. */
void *bench_shared(size_t bytes);

/* Runs body in a child, pinned to the other CPU. */
pid_t bench_child(void (*body)(void *context), void *context);
void bench_join(pid_t pid);

/* Time on a CPU of all threads of a process that there are now, in nanoseconds. */
uint64_t bench_cpu_ns(pid_t pid);

/* What the plot needs of a distribution, less the clock's own cost; it is the last one then. */
void bench_take_quantiles(struct bench_result *result, const struct histogram *histogram, double clock_cost);

/* Draws all distributions; writes the last one. false: there is none. */
bool bench_plot(const struct bench *bench, FILE *file);
bool bench_write_hgrm(FILE *file);

/* What reading the clock before and after adds to a latency. */
double bench_clock_cost(void);

/* Median round trip of one cache line each way, the better of with and without `pause`. */
double bench_line_rtt(void);

/* Where the two cores are, by a line's round trip: close (below 100 ns: they share more than the last cache),
 * near (to 200), between (to 300) or far. */
const char *bench_placement(double line_rtt_ns);

/*
 * Runs measure, which fills in the result, between two looks at the line, and fills in these; again, up to
 * eight times, where they differ by more than a fifth: the cores have moved.
 */
void bench_beside_the_line(struct bench_result *result,
                           void (*measure)(struct bench_result *result, void *context), void *context);

/* Adds and prints the latencies that measure records, beside the line. */
void bench_latency(struct bench *bench, const char *name, uint64_t size_bytes,
                   void (*measure)(void *context, struct histogram *histogram), void *context);

/* For loops that wait for a child: every million looks, ends the program with a message if a child has
 * failed. */
void bench_other_lives(uint64_t looks);

/* Ends the program with a message if rc is an error. */
void bench_must(int rc, const char *what, const char *sentence);

/* A directory in TMPDIR, or in /tmp, with what belongs to it in shared memory. It is deleted when this
 * process says so, or has ended, and its children with it. */
struct bench_directory {
    char path[BENCH_PATH_BYTES];
    int in_use; /* who works in it has this open; not beyond exec(), unless that is cleared */
    pid_t keeper;
};

void bench_directory_make(struct bench_directory *directory);
/* In parent instead. */
void bench_directory_make_in(struct bench_directory *directory, const char *parent);
void bench_directory_delete(struct bench_directory *directory);

/* A broker of the benchmark's own; HERMES_HOME leads to it. */
struct bench_broker {
    struct bench_directory home;
    pid_t pid;
    uint64_t start_ns; /* when it was started */
    char backend[16];  /* of its event loop: io_uring or epoll */
};

void bench_broker_start(struct bench_broker *broker);

/* The same with that hermes.conf, in which it listens at one address: HERMES_URL is that, and HERMES_TLS_CA
 * who vouches for it, where it is tls://. */
void bench_broker_start_listening(struct bench_broker *broker, const char *configuration);
void bench_broker_stop(struct bench_broker *broker);

/* What it stores: confirmations, publishing beside the persister, reading back. */
void bench_durability(struct bench *bench, const struct bench_broker *broker);
void bench_create(hermes_client_t *client, const char *topic, uint32_t durability, uint32_t shared);
hermes_subscriber_t *bench_subscribe(hermes_client_t *client, const char *topic, bool verify);
/* Of a topic whose publishers wait for the subscriber: nothing is lost. */
void bench_create_push_back(hermes_client_t *client, const char *topic, uint32_t durability);
hermes_subscriber_t *bench_subscribe_push_back(hermes_client_t *client, const char *topic);
hermes_publisher_t *bench_publish_to(hermes_client_t *client, const char *topic, uint32_t flags);

/* Reads every byte, so that a message counts only when it has arrived. */
static inline uint64_t bench_read(const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    uint64_t sum = 0, word;
    for (; length >= 8; length -= 8, p += 8) {
        memcpy(&word, p, 8);
        sum += word;
    }
    while (length-- > 0)
        sum += *p++;
    return sum;
}

/* Keeps a value from being optimised away. */
static inline void bench_keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

#endif
