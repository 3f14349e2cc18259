/*
 * hermes bench rate: how late messages are that are due at given moments, whatever the rate that the topic
 * could reach. A message counts from when it was due, not from when its publisher came to it: who is held up
 * is late with all that was due meanwhile. By turns with it, the same schedule on loops that look at the
 * clock and do nothing else: how late both cores are by themselves.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bench/arrivals.h"
#include "bench/bench.h"

enum { SIZE = 64, TURNS = 4, MOST_A_TURN = 500000, HEAD_START_NS = 20000, LONE = 1000 };

struct shared {
    _Alignas(64) _Atomic uint32_t publisher_turn, subscriber_turn; /* counts up: both have come to a turn */
    _Alignas(64) _Atomic uint64_t start_ns;
    uint64_t due_ns[MOST_A_TURN];
    uint32_t late_ns[MOST_A_TURN]; /* the publisher's core, by itself */
};

struct rate {
    struct shared *shared;
    double per_second;
    struct arrivals arrivals;
    uint64_t count; /* of a turn */
    struct histogram delay, empty;
};

/* Both begin together; the subscriber says when. */
static uint64_t begin_publishing(struct shared *shared, uint32_t turn)
{
    /* Pairs with begin_receiving(): releases what the publisher left in late_ns, acquires the start. */
    atomic_store_explicit(&shared->publisher_turn, turn, memory_order_release);
    while (atomic_load_explicit(&shared->subscriber_turn, memory_order_acquire) != turn)
        cpu_relax();
    return atomic_load_explicit(&shared->start_ns, memory_order_relaxed);
}

static void await_publisher(const struct shared *shared, uint32_t turn)
{
    /* Pairs with begin_publishing(). */
    for (uint64_t looks = 1; atomic_load_explicit(&shared->publisher_turn, memory_order_acquire) != turn;
         looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
}

static uint64_t begin_receiving(struct shared *shared, uint32_t turn)
{
    await_publisher(shared, turn);
    uint64_t start = cli_now_ns() + HEAD_START_NS;
    atomic_store_explicit(&shared->start_ns, start, memory_order_relaxed);
    atomic_store_explicit(&shared->subscriber_turn, turn, memory_order_release);
    return start;
}

static uint64_t spin_until(uint64_t due_ns)
{
    uint64_t now;
    while ((now = cli_now_ns()) < due_ns)
        cpu_relax();
    return now;
}

static uint32_t lateness(uint64_t now, uint64_t due)
{
    return now - due < UINT32_MAX ? (uint32_t)(now - due) : UINT32_MAX;
}

static void publish_turn(hermes_client_t *client, hermes_publisher_t *publisher, const struct rate *rate,
                         uint64_t start)
{
    uint64_t payload[SIZE / 8] = {0};
    for (uint64_t i = 0; i < rate->count; i++) {
        payload[0] = start + rate->shared->due_ns[i];
        spin_until(payload[0]);
        bench_must(hermes_publish(publisher, payload, SIZE, NULL), "publish", hermes_last_error(client));
    }
}

static void publish_all(void *context)
{
    const struct rate *rate = context;
    struct shared *shared = rate->shared;
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, "push-back", HERMES_PUBLISH_NO_CRC);
    for (uint32_t turn = 1; turn <= 2 * TURNS;) {
        uint64_t start = begin_publishing(shared, turn++);
        for (uint64_t i = 0; i < rate->count; i++) {
            uint64_t due = start + shared->due_ns[i];
            shared->late_ns[i] = lateness(spin_until(due), due);
        }
        publish_turn(client, publisher, rate, begin_publishing(shared, turn++));
    }
    hermes_disconnect(client);
}

static void receive_turn(hermes_client_t *client, hermes_subscriber_t *subscriber, struct rate *rate)
{
    hermes_message_t message;
    for (uint64_t i = 0, looks = 1; i < rate->count;) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 0) {
            cpu_relax();
            bench_other_lives(looks++);
            continue;
        }
        bench_must(rc, "poll", hermes_last_error(client));
        uint64_t due;
        memcpy(&due, message.payload, sizeof due);
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(&rate->delay, cli_now_ns() - due);
        i++;
    }
}

/* Both cores at once. A message would have been held up by the one that was away longer. */
static void empty_turn(struct rate *rate, uint32_t turn)
{
    static uint32_t late_ns[MOST_A_TURN];
    struct shared *shared = rate->shared;
    memset(late_ns, 0, rate->count * sizeof *late_ns); /* touched before it is measured with */
    uint64_t start = begin_receiving(shared, turn);
    for (uint64_t i = 0; i < rate->count; i++) {
        uint64_t due = start + shared->due_ns[i];
        late_ns[i] = lateness(spin_until(due), due);
    }
    await_publisher(shared, turn + 1); /* it leaves shared->late_ns alone from then on */
    for (uint64_t i = 0; i < rate->count; i++)
        histogram_record(&rate->empty, late_ns[i] > shared->late_ns[i] ? late_ns[i] : shared->late_ns[i]);
}

static struct bench_tail tail(const struct histogram *histogram)
{
    return (struct bench_tail){.p50_ns = (double)histogram_quantile(histogram, 0.5),
                               .p99_ns = (double)histogram_quantile(histogram, 0.99),
                               .p999_ns = (double)histogram_quantile(histogram, 0.999),
                               .p9999_ns = (double)histogram_quantile(histogram, 0.9999)};
}

static void measure(struct bench_result *result, void *context)
{
    struct rate *rate = context;
    struct shared *shared = rate->shared;
    atomic_store(&shared->publisher_turn, 0); /* nobody else is there yet */
    atomic_store(&shared->subscriber_turn, 0);
    histogram_reset(&rate->delay);
    histogram_reset(&rate->empty);
    arrivals_fill(&rate->arrivals, rate->per_second, shared->due_ns, rate->count);
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = bench_subscribe_push_back(client, "push-back");
    pid_t child = bench_child(publish_all, rate);
    for (uint32_t turn = 1; turn <= 2 * TURNS; turn += 2) {
        empty_turn(rate, turn);
        begin_receiving(shared, turn + 1);
        receive_turn(client, subscriber, rate);
    }
    bench_join(child);
    hermes_disconnect(client);
    result->delay = tail(&rate->delay);
    result->empty = tail(&rate->empty);
    bench_take_quantiles(result, &rate->delay, 0);
}

static void add_rate(struct bench *bench, struct rate *rate, const char *name)
{
    double per_turn = rate->per_second * (double)bench->scale / 100 / TURNS;
    rate->count = per_turn > MOST_A_TURN ? MOST_A_TURN : per_turn < 10 ? 10 : (uint64_t)per_turn;
    struct bench_result *result = bench_add(bench, name, SIZE);
    bench_beside_the_line(result, measure, rate);
    bench_print(bench, result);
}

static void add_arrivals(struct bench *bench, struct rate *rate, double per_second, const char *kind)
{
    char name[sizeof bench->results->name];
    int rc = arrivals_open(&rate->arrivals, kind);
    if (rc < 0)
        exit(cli_fail(kind, 0,
                      rc == -EINVAL ? "no lines that begin with rising times in seconds" : strerror(-rc)));
    snprintf(name, sizeof name, "topic at %g M/s, %s arrivals", per_second / 1e6, rate->arrivals.name);
    rate->per_second = per_second;
    add_rate(bench, rate,
             rate->per_second == LONE && strcmp(kind, "even") == 0 ? "topic, a lone message each millisecond"
                                                                   : name);
    arrivals_close(&rate->arrivals);
}

void bench_rate(struct bench *bench)
{
    static const struct {
        double per_second;
        const char *arrivals;
    } all[] = {{LONE, "even"},   {1e5, "poisson"}, {1e6, "poisson"},
               {2e6, "poisson"}, {5e6, "poisson"}, {1e6, "quotes"}};
    static struct rate rate;
    struct bench_broker broker;
    rate.shared = bench_shared(sizeof *rate.shared);
    bench_broker_start(&broker);
    hermes_client_t *client = cli_connect();
    bench_create_push_back(client, "push-back", HERMES_DURABILITY_MEMORY);
    hermes_disconnect(client);
    if (bench->per_second > 0 || bench->arrivals != NULL)
        add_arrivals(bench, &rate, bench->per_second > 0 ? bench->per_second : 1e6,
                     bench->arrivals != NULL ? bench->arrivals : "poisson");
    else
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            add_arrivals(bench, &rate, all[i].per_second, all[i].arrivals);
    bench_broker_stop(&broker);
    munmap(rate.shared, sizeof *rate.shared);
}
