/* hermes bench log, store and topic. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "cli/bench.h"
#include "core/store.h"

enum { BATCH = 32 };

static void must(int rc, const char *what, const char *sentence)
{
    if (rc < 0)
        exit(cli_fail(what, rc, sentence));
}

static void make_directory(char path[32])
{
    snprintf(path, 32, "/tmp/hermes-bench-XXXXXX");
    if (mkdtemp(path) == NULL)
        exit(cli_fail("cannot make a directory in /tmp", 0, strerror(errno)));
}

/* ---- embedded log ---- */

struct log_flow {
    char path[32];
    uint64_t count;
    uint32_t size;
    _Atomic uint32_t *ready;
};

static void log_produce(void *context)
{
    struct log_flow *flow = context;
    static uint8_t payload[65536];
    hermes_log_t *log;
    must(hermes_log_open(flow->path, NULL, &log), flow->path, hermes_log_last_error(NULL));
    atomic_store(flow->ready, 1);
    while (atomic_load(flow->ready) != 2)
        cpu_relax();
    for (uint64_t i = 0; i < flow->count; i++) {
        int rc;
        while ((rc = hermes_log_append(log, payload, flow->size, NULL)) == HERMES_EAGAIN)
            hermes_log_wait_room(log, 1000000000);
        must(rc, "append", hermes_log_last_error(log));
    }
    must(hermes_log_close(log), "close", "");
}

static void log_throughput(struct bench *bench, uint32_t size)
{
    struct log_flow flow = {.count = 20000 * bench->scale, .size = size, .ready = bench_shared(64)};
    make_directory(flow.path);
    struct bench_result *result = bench_add(bench, "embedded log, stored, across cores", size);
    result->line_rtt_ns = bench_line_rtt();
    pid_t child = bench_child(log_produce, &flow);
    while (atomic_load(flow.ready) != 1)
        cpu_relax();
    hermes_log_reader_t *reader;
    hermes_message_t message;
    must(hermes_log_reader_open(flow.path, NULL, &reader), flow.path, hermes_log_reader_last_error(NULL));
    must(hermes_log_reader_seek_first(reader), "seek", hermes_log_reader_last_error(reader));
    uint64_t start = cli_now_ns(), sum = 0;
    atomic_store(flow.ready, 2);
    for (uint64_t i = 0; i < flow.count;) {
        int rc = hermes_log_reader_poll(reader, &message);
        must(rc, "read", hermes_log_reader_last_error(reader));
        if (rc == 0) {
            cpu_relax();
            continue;
        }
        sum += bench_read(message.payload, message.length);
        i++;
    }
    bench_keep(sum);
    double seconds = (double)(cli_now_ns() - start) / 1e9;
    result->messages_per_second = (double)flow.count / seconds;
    result->bytes_per_second = (double)flow.count * (double)hermes_frame_bytes(size) / seconds;
    bench_join(child);
    hermes_log_reader_close(reader);
    path_sweep(flow.path, "");
    bench_print(bench, result);
}

void bench_log(struct bench *bench)
{
    log_throughput(bench, 32);
    log_throughput(bench, 256);
    log_throughput(bench, 1024);
}

/* ---- store ---- */

void bench_store(struct bench *bench)
{
    char path[32];
    make_directory(path);
    struct store store;
    struct error_text text;
    enum { CHUNK = 256 * 1024 };
    static uint8_t chunk[CHUNK];
    must(store_open(&store, path, STORE_SEGMENT_DEFAULT, 1, STORE_WRITE, &text), path, text.bytes);
    uint64_t chunks = 8192 * bench->scale / 100, start = cli_now_ns();
    for (uint64_t i = 0; i < chunks; i++)
        must(store_append(&store, chunk, CHUNK, store.sequence + CHUNK / 64, 1, &text), "append", text.bytes);
    struct bench_result *result = bench_add(bench, "store append (pwrite, page cache)", CHUNK);
    result->bytes_per_second = (double)chunks * CHUNK * 1e9 / (double)(cli_now_ns() - start);
    bench_print(bench, result);

    uint64_t syncs = 10 * bench->scale;
    start = cli_now_ns();
    for (uint64_t i = 0; i < syncs; i++) {
        must(store_append(&store, chunk, 4096, store.sequence + 64, 1, &text), "append", text.bytes);
        must(store_sync(&store, 1, &text), "sync", text.bytes);
    }
    result = bench_add(bench, "store append and fdatasync", 4096);
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)syncs;
    bench_print(bench, result);
    store_close(&store);
    path_sweep(path, "");
}

/* ---- topics, through a broker ---- */

struct topic_flow {
    char home[32];
    pid_t broker;
    uint64_t count, rounds;
    uint32_t size;
    uint32_t flags;
    bool batch;
    const char *there, *back;
    _Atomic uint32_t *ready;
};

static void start_broker(struct topic_flow *flow)
{
    char program[PATH_BYTES];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 2);
    int fds[2];
    if (length <= 0 || pipe2(fds, O_CLOEXEC) != 0)
        exit(cli_fail("start a broker", 0, strerror(errno)));
    program[length] = 'd'; /* hermesd stands beside hermes */
    program[length + 1] = 0;
    setenv("HERMES_HOME", flow->home, 1);
    flow->broker = fork();
    if (flow->broker == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(fds[1], STDOUT_FILENO);
        execl(program, "hermesd", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    char line[256];
    if (read(fds[0], line, sizeof line) <= 0)
        exit(cli_fail(program, HERMES_EDISCONNECTED, "the broker did not start"));
    close(fds[0]);
}

static void stop_broker(struct topic_flow *flow)
{
    char path[64];
    kill(flow->broker, SIGTERM);
    waitpid(flow->broker, NULL, 0);
    static const char *const topics[] = {"there", "back", "async", "shared"};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/data/topics/%s", flow->home, topics[i]);
        path_sweep(path, "");
    }
    snprintf(path, sizeof path, "%s/data/topics", flow->home);
    path_sweep(path, "");
    snprintf(path, sizeof path, "%s/data", flow->home);
    path_sweep(path, "");
    path_sweep(flow->home, "");
}

static hermes_subscriber_t *subscribe(hermes_client_t *client, const char *topic, bool verify)
{
    hermes_subscriber_t *subscriber;
    must(hermes_subscriber_open(client, topic, &subscriber), topic, hermes_last_error(client));
    hermes_subscriber_set_verify(subscriber, verify);
    return subscriber;
}

static hermes_publisher_t *publish_to(hermes_client_t *client, const char *topic, uint32_t flags)
{
    hermes_publisher_t *publisher;
    hermes_publisher_options_t options = {.size = sizeof options, .flags = flags};
    must(hermes_publisher_open(client, topic, &options, &publisher), topic, hermes_last_error(client));
    return publisher;
}

static void wait_for(const struct topic_flow *flow, uint32_t value)
{
    for (uint64_t looks = 1; atomic_load(flow->ready) != value; looks++) {
        cpu_relax();
        siginfo_t info = {.si_pid = 0};
        if (looks % 1000000 == 0 && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0)
            exit(cli_fail("benchmark", 0, "the other process ended early"));
    }
}

static void topic_echo(void *context)
{
    struct topic_flow *flow = context;
    hermes_client_t *client = cli_connect();
    bool verify = flow->flags == 0;
    hermes_subscriber_t *subscriber = subscribe(client, flow->there, verify);
    hermes_publisher_t *publisher = publish_to(client, flow->back, flow->flags);
    hermes_message_t message;
    atomic_store(flow->ready, 1);
    for (uint64_t i = 0; i < flow->rounds;) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 0) {
            cpu_relax();
            continue;
        }
        must(rc, "poll", hermes_last_error(client));
        bench_keep(bench_read(message.payload, message.length));
        must(hermes_publish(publisher, message.payload, message.length, NULL), "publish",
             hermes_last_error(client));
        i++;
    }
    hermes_disconnect(client);
}

static void topic_rtt(void *context, struct histogram *histogram)
{
    struct topic_flow *flow = context;
    static uint8_t payload[65536];
    atomic_store(flow->ready, 0);
    pid_t child = bench_child(topic_echo, flow);
    hermes_client_t *client = cli_connect();
    bool verify = flow->flags == 0;
    hermes_subscriber_t *subscriber = subscribe(client, flow->back, verify);
    hermes_publisher_t *publisher = publish_to(client, flow->there, flow->flags);
    hermes_message_t message;
    wait_for(flow, 1);
    for (uint64_t i = 0; i < flow->rounds; i++) {
        uint64_t start = cli_now_ns();
        must(hermes_publish(publisher, payload, flow->size, NULL), "publish", hermes_last_error(client));
        int rc;
        while ((rc = hermes_poll(subscriber, &message)) == 0)
            cpu_relax();
        must(rc, "poll", hermes_last_error(client));
        bench_keep(bench_read(message.payload, message.length));
        histogram_record(histogram, cli_now_ns() - start);
    }
    bench_join(child);
    hermes_disconnect(client);
}

static void topic_produce(void *context)
{
    struct topic_flow *flow = context;
    static uint8_t payload[65536];
    hermes_slice_t slices[BATCH];
    for (int i = 0; i < BATCH; i++)
        slices[i] = (hermes_slice_t){payload, flow->size};
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = publish_to(client, flow->there, flow->flags);
    atomic_store(flow->ready, 1);
    wait_for(flow, 2);
    for (uint64_t i = 0; i < flow->count; i += flow->batch ? BATCH : 1) {
        int64_t rc = flow->batch ? hermes_publish_batch(publisher, slices, BATCH)
                                 : hermes_publish(publisher, payload, flow->size, NULL);
        must((int)rc, "publish", hermes_last_error(client));
    }
    must(hermes_publisher_wait(publisher, HERMES_COMMITTED, 60000000000u), "commit",
         hermes_last_error(client));
    hermes_disconnect(client);
}

/*
 * A memory topic does not push back: who is overtaken skips. What counts is what the subscriber has
 * received, and its rate is what is reported; `lost` counts against it by itself.
 */
static void topic_throughput(struct bench *bench, struct topic_flow *flow, const char *name)
{
    struct bench_result *result = bench_add(bench, name, flow->size);
    result->line_rtt_ns = bench_line_rtt();
    atomic_store(flow->ready, 0);
    hermes_client_t *client = cli_connect();
    hermes_subscriber_t *subscriber = subscribe(client, flow->there, flow->flags == 0);
    pid_t child = bench_child(topic_produce, flow);
    hermes_message_t message = {.sequence = 0};
    wait_for(flow, 1);
    uint64_t received = 0, first = 0, sum = 0, start = cli_now_ns(), idle_since = 0;
    atomic_store(flow->ready, 2);
    for (;;) {
        int rc = hermes_poll(subscriber, &message);
        if (rc == 0) {
            cpu_relax();
            /* The last message may have been overwritten: half a second of silence is the end. */
            uint64_t now = cli_now_ns();
            if (idle_since == 0)
                idle_since = now;
            if (received > 0 && now - idle_since > 500000000)
                break;
            continue;
        }
        idle_since = 0;
        if (rc == HERMES_EGONE)
            continue;
        must(rc, "poll", hermes_last_error(client));
        sum += bench_read(message.payload, message.length);
        if (received++ == 0)
            first = message.sequence;
        if (message.sequence - first + 1 >= flow->count)
            break;
    }
    uint64_t end = idle_since != 0 ? idle_since : cli_now_ns();
    bench_keep(sum);
    result->messages_per_second = (double)received * 1e9 / (double)(end - start);
    result->bytes_per_second = result->messages_per_second * (double)hermes_frame_bytes(flow->size);
    bench_join(child);
    hermes_disconnect(client);
    bench_print(bench, result);
}

static void create(hermes_client_t *client, const char *topic, uint32_t durability, uint32_t shared)
{
    hermes_topic_options_t options = {.size = sizeof options, .durability = durability, .shared = shared};
    must(hermes_topic_create(client, topic, &options), topic, hermes_last_error(client));
}

static double publish_cost(hermes_publisher_t *publisher, uint64_t rounds, uint32_t size)
{
    static uint8_t payload[65536];
    uint64_t start = cli_now_ns();
    for (uint64_t i = 0; i < rounds; i++)
        must(hermes_publish(publisher, payload, size, NULL), "publish", "");
    return (double)(cli_now_ns() - start) / (double)rounds;
}

static void publishing_alone(struct bench *bench)
{
    hermes_client_t *client = cli_connect();
    static const struct {
        const char *name;
        uint32_t flags;
    } ways[] = {{"publish, nobody reads", 0},
                {"publish without checksum, nobody reads", HERMES_PUBLISH_NO_CRC}};
    for (int i = 0; i < 2; i++) {
        hermes_publisher_t *publisher = publish_to(client, "there", ways[i].flags);
        struct bench_result *result = bench_add(bench, ways[i].name, 64);
        result->ns_per_operation = publish_cost(publisher, 50000 * bench->scale, 64);
        bench_print(bench, result);
        hermes_publisher_close(publisher);
    }
    hermes_disconnect(client);
}

void bench_topic(struct bench *bench)
{
    struct topic_flow flow = {.count = 50000 * bench->scale,
                              .rounds = 1000 * bench->scale,
                              .there = "there",
                              .back = "back",
                              .ready = bench_shared(64)};
    static const uint32_t sizes[] = {32, 64, 256, 1024};
    make_directory(flow.home);
    start_broker(&flow);
    hermes_client_t *client = cli_connect();
    create(client, "there", HERMES_DURABILITY_MEMORY, 0);
    create(client, "back", HERMES_DURABILITY_MEMORY, 0);
    create(client, "async", HERMES_DURABILITY_ASYNC, 0);
    create(client, "shared", HERMES_DURABILITY_MEMORY, 1);
    hermes_disconnect(client);

    flow.size = 32;
    flow.flags = HERMES_PUBLISH_NO_CRC;
    bench_latency(bench, "topic round trip, no checksum", 32, topic_rtt, &flow);
    flow.flags = 0;
    bench_latency(bench, "topic round trip, checksum and verify", 32, topic_rtt, &flow);
    publishing_alone(bench);
    for (int i = 0; i < 4; i++) {
        flow.size = sizes[i];
        flow.flags = HERMES_PUBLISH_NO_CRC;
        topic_throughput(bench, &flow, "topic, one at a time, no checksum");
    }
    flow.size = 32;
    flow.batch = true;
    topic_throughput(bench, &flow, "topic, batches of 32, no checksum");
    flow.batch = false;
    flow.flags = 0;
    flow.size = 64;
    topic_throughput(bench, &flow, "topic, one at a time, checksum and verify");
    flow.there = "async";
    flow.count /= 10;
    topic_throughput(bench, &flow, "stored topic, one at a time");
    flow.there = "shared";
    flow.flags = HERMES_PUBLISH_NO_CRC;
    topic_throughput(bench, &flow, "shared topic (three processes, two cores)");
    stop_broker(&flow);
}
