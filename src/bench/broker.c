/* hermes bench broker: what the broker costs: its start, its idleness, the way through its sequencer, a
 * wake-up. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

enum { SIZE = 64 };

static uint8_t payload[SIZE];

/* ---- start and idleness ---- */

static void start_to_first_message(struct bench *bench, struct bench_broker *broker)
{
    bench_broker_start(broker);
    hermes_client_t *client = cli_connect();
    bench_create(client, "idle", HERMES_DURABILITY_ASYNC, 1);
    hermes_subscriber_t *subscriber = bench_subscribe(client, "idle", true);
    hermes_publisher_t *publisher = bench_publish_to(client, "idle", 0);
    hermes_message_t message;
    bench_must(hermes_publish(publisher, payload, SIZE, NULL), "publish", hermes_last_error(client));
    bench_must(hermes_wait(subscriber, &message, HERMES_FOREVER), "wait", hermes_last_error(client));
    struct bench_result *result = bench_add(bench, "broker: start to first message", SIZE);
    result->ns_per_operation = (double)(cli_now_ns() - broker->start_ns);
    bench_print(bench, result);
    hermes_disconnect(client);
}

/* Resident memory that is the process's own: without the shared windows. */
static double own_memory(pid_t pid)
{
    char path[64], line[256];
    unsigned long long kilobytes, sum = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *status = fopen(path, "re");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %llu", &kilobytes) == 1 || sscanf(line, "RssFile: %llu", &kilobytes) == 1)
            sum += kilobytes;
    if (status != NULL)
        fclose(status);
    return (double)sum * 1024;
}

static void idle(struct bench *bench, const struct bench_broker *broker)
{
    const uint64_t span_ns = 20000000 * bench->scale;
    hermes_client_t *client = cli_connect();
    bench_create(client, "waiting", HERMES_DURABILITY_ASYNC, 0);
    (void)bench_publish_to(client, "waiting", 0);
    (void)bench_publish_to(client, "idle", 0);
    (void)bench_subscribe(client, "waiting", true);
    cli_sleep_until(cli_now_ns() + 1500000000); /* by then it rests */
    uint64_t before = bench_cpu_ns(broker->pid), start = cli_now_ns();
    cli_sleep_until(start + span_ns);
    uint64_t ran = bench_cpu_ns(broker->pid) - before;
    struct bench_result *result = bench_add(bench, "broker: idle, two publishers, a subscriber", 0);
    result->cpu_percent = 100.0 * (double)ran / (double)(cli_now_ns() - start);
    result->resident_bytes = own_memory(broker->pid);
    bench_print(bench, result);
    hermes_disconnect(client);
}

/* ---- through the sequencer ----
 * The client publishes and subscribes on one core, the broker's loop turns on the other: two hops. */

static void sequencer_round_trip(void *context, struct histogram *histogram)
{
    const uint64_t *rounds = context;
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = bench_subscribe(client, "shared", false);
    hermes_publisher_t *publisher = bench_publish_to(client, "shared", HERMES_PUBLISH_NO_CRC);
    hermes_message_t message;
    for (uint64_t i = 0, looks = 1; i < *rounds; i++) {
        uint64_t start = cli_now_ns();
        bench_must(hermes_publish(publisher, payload, SIZE, NULL), "publish", hermes_last_error(client));
        int rc;
        while ((rc = hermes_poll(subscriber, &message)) == 0) {
            cpu_relax();
            bench_other_lives(looks++);
        }
        bench_must(rc, "poll", hermes_last_error(client));
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(histogram, cli_now_ns() - start);
    }
    hermes_disconnect(client);
}

static void sequencer_throughput(struct bench_result *result, void *context)
{
    const uint64_t *count = context;
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, "shared", 0);
    uint64_t start = cli_now_ns();
    for (uint64_t i = 0; i < *count; i++)
        bench_must(hermes_publish(publisher, payload, SIZE, NULL), "publish", hermes_last_error(client));
    bench_must(hermes_publisher_wait(publisher, HERMES_COMMITTED, HERMES_FOREVER), "commit",
               hermes_last_error(client));
    result->messages_per_second = (double)*count * 1e9 / (double)(cli_now_ns() - start);
    hermes_disconnect(client);
}

static void through_the_sequencer(struct bench *bench, const struct bench_broker *broker)
{
    cpu_set_t before;
    sched_getaffinity(broker->pid, sizeof before, &before);
    bench_pin_process(broker->pid, 1);
    hermes_client_t *client = cli_connect();
    bench_create(client, "shared", HERMES_DURABILITY_MEMORY, 1);
    hermes_disconnect(client);
    uint64_t rounds = 1000 * bench->scale, count = 20000 * bench->scale;
    bench_latency(bench, "through the sequencer and back, no checksum", SIZE, sequencer_round_trip, &rounds);
    struct bench_result *result = bench_add(bench, "through the sequencer, until committed", SIZE);
    bench_beside_the_line(result, sequencer_throughput, &count);
    bench_print(bench, result);
    sched_setaffinity(broker->pid, sizeof before, &before);
}

/* ---- one way ---- */

struct one_way {
    const char *topic;
    uint64_t count;
    uint64_t pause_ns;
    uint64_t spin_ns;
    struct histogram histogram;
    _Atomic uint32_t *ready;
};

/* Messages carry the time of their sending; this side's clock is the same. */
static void receive_one_way(void *context)
{
    struct one_way *way = context;
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = bench_subscribe(client, way->topic, false);
    hermes_subscriber_set_spin(subscriber, way->spin_ns);
    atomic_store(way->ready, 1);
    hermes_message_t message;
    for (uint64_t i = 0; i < way->count; i++) {
        bench_must(hermes_wait(subscriber, &message, HERMES_FOREVER), "wait", hermes_last_error(client));
        uint64_t sent;
        memcpy(&sent, message.payload, sizeof sent);
        histogram_record(&way->histogram, cli_now_ns() - sent);
    }
    hermes_disconnect(client);
}

static void send_one_way(struct one_way *way)
{
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, way->topic, HERMES_PUBLISH_NO_CRC);
    for (uint64_t looks = 1; atomic_load(way->ready) == 0; looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
    for (uint64_t i = 0; i < way->count; i++) {
        uint64_t now = cli_now_ns(), due = now + way->pause_ns;
        if (way->spin_ns == 0)
            cli_sleep_until(due);
        while ((now = cli_now_ns()) < due)
            cpu_relax();
        bench_must(hermes_publish(publisher, &now, sizeof now, NULL), "publish", hermes_last_error(client));
    }
    hermes_disconnect(client);
}

static void add_one_way(struct bench *bench, const char *name, const struct histogram *histogram)
{
    struct bench_result *result = bench_add(bench, name, 8);
    double cost = bench_clock_cost();
    result->one_way_p50_ns = (double)histogram_quantile(histogram, 0.5) - cost;
    result->one_way_p99_ns = (double)histogram_quantile(histogram, 0.99) - cost;
    bench_take_quantiles(result, histogram, cost);
    bench_print(bench, result);
}

static void *receive_in_thread(void *context)
{
    bench_pin(1);
    receive_one_way(context);
    return NULL;
}

static void same_process(struct bench *bench)
{
    struct one_way *way = bench_shared(sizeof *way);
    *way = (struct one_way){
        .topic = "thread", .count = 1000 * bench->scale, .pause_ns = 1000, .spin_ns = HERMES_FOREVER};
    way->ready = bench_shared(64);
    histogram_reset(&way->histogram);
    pthread_t thread;
    if (pthread_create(&thread, NULL, receive_in_thread, way) != 0)
        exit(cli_fail("start a thread", HERMES_ENOMEM, NULL));
    send_one_way(way);
    pthread_join(thread, NULL);
    add_one_way(bench, "same process, one way, no checksum", &way->histogram);
}

struct bare_wake {
    _Atomic uint32_t word;
    _Atomic uint64_t sent;
    uint64_t count, pause_ns;
    struct histogram histogram;
};

static void sleep_on_futex(void *context)
{
    struct bare_wake *wake = context;
    for (uint32_t i = 0; i < wake->count; i++) {
        while (atomic_load(&wake->word) == i)
            (void)futex_wait(&wake->word, i, FUTEX_FOREVER);
        histogram_record(&wake->histogram, cli_now_ns() - atomic_load(&wake->sent));
    }
}

/* A subscriber that sleeps, and beside it what the kernel takes to wake anybody. */
static void parked(struct bench *bench)
{
    struct one_way *way = bench_shared(sizeof *way);
    *way = (struct one_way){.topic = "parked", .count = 10 * bench->scale, .pause_ns = 500000, .spin_ns = 0};
    way->ready = bench_shared(64);
    histogram_reset(&way->histogram);
    pid_t child = bench_child(receive_one_way, way);
    send_one_way(way);
    bench_join(child);
    add_one_way(bench, "parked subscriber, publish to running", &way->histogram);

    struct bare_wake *wake = bench_shared(sizeof *wake);
    wake->count = way->count;
    histogram_reset(&wake->histogram);
    child = bench_child(sleep_on_futex, wake);
    for (uint64_t i = 0; i < wake->count; i++) {
        cli_sleep_until(cli_now_ns() + way->pause_ns);
        atomic_store(&wake->sent, cli_now_ns());
        atomic_fetch_add(&wake->word, 1);
        futex_wake_all(&wake->word);
    }
    bench_join(child);
    add_one_way(bench, "bare futex, wake to running", &wake->histogram);
}

/* ---- many subscribers ---- */

static void beside_idle_subscribers(struct bench *bench, unsigned subscribers, const char *name)
{
    enum { SESSIONS = 4, A_SESSION = 25, WARM_UP = 100000 };
    hermes_client_t *clients[SESSIONS], *client = cli_connect();
    for (unsigned i = 0; i < SESSIONS; i++)
        clients[i] = cli_connect();
    for (unsigned i = 0; i < subscribers; i++)
        (void)bench_subscribe(clients[i / A_SESSION], "thread", false);
    hermes_publisher_t *publisher = bench_publish_to(client, "thread", HERMES_PUBLISH_NO_CRC);
    uint64_t count = 50000 * bench->scale, start = 0;
    for (uint64_t i = 0; i < count + WARM_UP; i++) {
        if (i == WARM_UP)
            start = cli_now_ns();
        bench_must(hermes_publish(publisher, payload, SIZE, NULL), "publish", hermes_last_error(client));
    }
    struct bench_result *result = bench_add(bench, name, SIZE);
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)count;
    bench_print(bench, result);
    hermes_disconnect(client);
    for (unsigned i = 0; i < SESSIONS; i++)
        hermes_disconnect(clients[i]);
}

void bench_broker(struct bench *bench)
{
    struct bench_broker broker;
    start_to_first_message(bench, &broker);
    idle(bench, &broker);
    through_the_sequencer(bench, &broker);
    hermes_client_t *client = cli_connect();
    bench_create(client, "thread", HERMES_DURABILITY_MEMORY, 0);
    bench_create(client, "parked", HERMES_DURABILITY_MEMORY, 0);
    hermes_disconnect(client);
    same_process(bench);
    parked(bench);
    beside_idle_subscribers(bench, 1, "publish, 1 idle subscriber, no checksum");
    beside_idle_subscribers(bench, 100, "publish, 100 idle subscribers, no checksum");
    bench_durability(bench, &broker);
    bench_broker_stop(&broker);
}
