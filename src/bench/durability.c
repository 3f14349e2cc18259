/* hermes bench broker, continued: what is stored. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/bench.h"

enum { SIZE = 64 };

static const uint8_t payload[SIZE];

enum { GROUP = 1024, FRAME = 128 };

static void sync_group(hermes_client_t *client, hermes_publisher_t *publisher, unsigned count)
{
    static hermes_slice_t slices[GROUP];
    for (unsigned i = 0; i < count; i++)
        slices[i] = (hermes_slice_t){payload, SIZE};
    bench_must((int)hermes_publish_batch(publisher, slices, count), "publish", hermes_last_error(client));
}

/* What the file system takes for the same: a preallocated file, written from its beginning. */
struct bare {
    char path[BENCH_PATH_BYTES + 8];
    int fd;
    uint64_t offset, ns;
};

static struct bare open_bare(const struct bench_broker *broker, uint64_t bytes)
{
    struct bare bare = {.fd = -1};
    snprintf(bare.path, sizeof bare.path, "%s/bare", broker->home.path);
    bare.fd = open(bare.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (bare.fd < 0 || posix_fallocate(bare.fd, 0, (off_t)bytes) != 0)
        exit(cli_fail(bare.path, 0, "cannot be made"));
    return bare;
}

static void bare_group(struct bare *bare, unsigned count)
{
    static const uint8_t records[GROUP * FRAME] = {1};
    uint64_t start = cli_now_ns();
    if (pwrite(bare->fd, records, (size_t)count * FRAME, (off_t)bare->offset) < 0 || fdatasync(bare->fd) != 0)
        exit(cli_fail("write", 0, "to the file beside the store"));
    bare->offset += (uint64_t)count * FRAME;
    bare->ns += cli_now_ns() - start;
}

static void add_both(struct bench *bench, const char *name, const char *bare_name, uint64_t ours,
                     struct bare *bare, uint64_t operations)
{
    close(bare->fd);
    unlink(bare->path);
    struct bench_result *result = bench_add(bench, name, SIZE);
    result->ns_per_operation = (double)ours / (double)operations;
    bench_print(bench, result);
    result = bench_add(bench, bare_name, SIZE);
    result->ns_per_operation = (double)bare->ns / (double)operations;
    bench_print(bench, result);
}

/* By turns: groups to a sync topic until they are durable, and bare writes and syncs of as much. */
static void confirmed(struct bench *bench, const struct bench_broker *broker, unsigned count,
                      const char *name, const char *bare_name)
{
    const uint64_t rounds = 2 * bench->scale + 1;
    struct bare bare = open_bare(broker, rounds * count * FRAME);
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publisher = bench_publish_to(client, "sync", 0);
    uint64_t ours = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t start = cli_now_ns();
        sync_group(client, publisher, count);
        ours += cli_now_ns() - start;
        bare_group(&bare, count);
    }
    hermes_disconnect(client);
    add_both(bench, name, bare_name, ours, &bare, rounds * count);
}

/* One message from each of 64 publishers, until all are durable; beside it one write and sync of as much. */
static void confirmed_to_many(struct bench *bench, const struct bench_broker *broker)
{
    enum { PUBLISHERS = 64 };
    const uint64_t rounds = 2 * bench->scale + 1;
    struct bare bare = open_bare(broker, rounds * PUBLISHERS * FRAME);
    hermes_client_t *clients[PUBLISHERS];
    hermes_publisher_t *publishers[PUBLISHERS];
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        clients[i] = cli_connect();
        publishers[i] = bench_publish_to(clients[i], "sync-many", HERMES_PUBLISH_NO_WAIT);
    }
    uint64_t ours = 0;
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t start = cli_now_ns();
        for (unsigned k = 0; k < PUBLISHERS; k++)
            bench_must(hermes_publish(publishers[k], payload, SIZE, NULL), "publish",
                       hermes_last_error(clients[k]));
        for (unsigned k = 0; k < PUBLISHERS; k++)
            bench_must(hermes_publisher_wait(publishers[k], HERMES_DURABLE, HERMES_FOREVER), "wait",
                       hermes_last_error(clients[k]));
        ours += cli_now_ns() - start;
        bare_group(&bare, PUBLISHERS);
    }
    for (unsigned i = 0; i < PUBLISHERS; i++)
        hermes_disconnect(clients[i]);
    add_both(bench, "sync topic, 64 publishers, until all are durable", "bare pwrite and fdatasync of the 64",
             ours, &bare, rounds);
}

/*
 * What one call costs, at a pace that the persister keeps up with, while it copies and syncs on the other
 * core: by turns to a topic that it has nothing to do with, and to one that it stores.
 */
static void beside_the_persister(struct bench *bench)
{
    enum { TURNS = 10, PACE_NS = 500 };
    static const char *const topics[] = {"unstored", "stored"};
    static struct histogram histograms[2];
    hermes_client_t *client = cli_connect();
    hermes_publisher_t *publishers[2];
    bench_create(client, topics[0], HERMES_DURABILITY_MEMORY, 0);
    bench_create(client, topics[1], HERMES_DURABILITY_ASYNC, 0);
    for (int i = 0; i < 2; i++) {
        publishers[i] = bench_publish_to(client, topics[i], HERMES_PUBLISH_NO_CRC);
        histogram_reset(&histograms[i]);
    }
    for (unsigned turn = 0; turn < 2 * TURNS; turn++) {
        uint64_t due = cli_now_ns(), count = 2000 * bench->scale;
        for (uint64_t i = 0; i < count; i++, due += PACE_NS) {
            uint64_t start;
            while ((start = cli_now_ns()) < due)
                cpu_relax();
            bench_must(hermes_publish(publishers[turn % 2], payload, SIZE, NULL), "publish",
                       hermes_last_error(client));
            histogram_record(&histograms[turn % 2], cli_now_ns() - start);
        }
    }
    hermes_disconnect(client);
    double cost = bench_clock_cost();
    for (int i = 0; i < 2; i++) {
        struct bench_result *result = bench_add(
            bench, i == 0 ? "publish to a memory topic, 2 M/s" : "publish to an async topic, 2 M/s", SIZE);
        result->call_p50_ns = (double)histogram_quantile(&histograms[i], 0.5) - cost;
        result->call_p99_ns = (double)histogram_quantile(&histograms[i], 0.99) - cost;
        bench_take_quantiles(result, &histograms[i], cost);
        bench_print(bench, result);
    }
}

/* The next message; where the broker has to be asked for the next part of the store, after its answer. */
static void read_next(hermes_client_t *client, hermes_subscriber_t *subscriber, hermes_message_t *message)
{
    int rc = hermes_poll(subscriber, message);
    if (rc == 0)
        rc = hermes_wait(subscriber, message, 10000000000u);
    bench_must(rc == 0 ? HERMES_ETIMEOUT : rc, "read", hermes_last_error(client));
}

/* From the first message on, out of the page cache, every byte checked and read. */
static void read_back(struct bench *bench, uint32_t size)
{
    char topic[32];
    static uint8_t large[65536];
    snprintf(topic, sizeof topic, "stored-%u", size);
    hermes_client_t *client = cli_connect();
    bench_create(client, topic, HERMES_DURABILITY_ASYNC, 0);
    hermes_publisher_t *publisher = bench_publish_to(client, topic, 0);
    uint64_t count = 5000000 * bench->scale / size, sum = 0;
    for (uint64_t i = 0; i < count; i++)
        bench_must(hermes_publish(publisher, large, size, NULL), "publish", hermes_last_error(client));
    bench_must(hermes_publisher_wait(publisher, HERMES_DURABLE, HERMES_FOREVER), "wait",
               hermes_last_error(client));
    hermes_subscriber_t *subscriber = bench_subscribe(client, topic, true);
    bench_must(hermes_seek_first(subscriber), "seek", hermes_last_error(client));
    hermes_message_t message;
    uint64_t start = cli_now_ns();
    for (uint64_t i = 0; i < count; i++) {
        read_next(client, subscriber, &message);
        sum += bench_read(message.payload, message.length);
    }
    double seconds = (double)(cli_now_ns() - start) / 1e9;
    bench_keep(sum);
    struct bench_result *result = bench_add(bench, "read back from the store", size);
    result->messages_per_second = (double)count / seconds;
    result->bytes_per_second = (double)count * (double)hermes_frame_bytes(size) / seconds;
    bench_print(bench, result);

    enum { SEEKS = 500 };
    uint64_t state = 88172645463325252u;
    start = cli_now_ns();
    for (unsigned i = 0; i < SEEKS; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        bench_must(hermes_seek_sequence(subscriber, 1 + state % count), "seek", hermes_last_error(client));
        read_next(client, subscriber, &message);
        bench_must(message.sequence == 1 + state % count ? HERMES_OK : HERMES_EGONE, "read", NULL);
    }
    result = bench_add(bench, "seek in the store and read", size);
    result->ns_per_operation = (double)(cli_now_ns() - start) / SEEKS;
    bench_print(bench, result);
    hermes_disconnect(client);
}

void bench_durability(struct bench *bench, const struct bench_broker *broker)
{
    hermes_client_t *client = cli_connect();
    bench_create(client, "sync", HERMES_DURABILITY_SYNC, 0);
    bench_create(client, "sync-many", HERMES_DURABILITY_SYNC, 1);
    hermes_disconnect(client);
    confirmed(bench, broker, 1, "sync topic, until durable", "bare pwrite and fdatasync of the same");
    confirmed(bench, broker, GROUP, "sync topic, 1,024 together until durable",
              "bare pwrite and fdatasync of the 1,024");
    confirmed_to_many(bench, broker);
    beside_the_persister(bench);
    read_back(bench, 64);
    read_back(bench, 1024);
}
