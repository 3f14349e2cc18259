/* hermes bench log and store: files, without a broker. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/bench.h"
#include "log/recovery.h"
#include "log/store.h"

/* ---- embedded log ---- */

struct log_flow {
    struct bench_directory directory;
    uint64_t count;
    uint32_t size;
    _Atomic uint32_t *ready;
};

static void log_produce(void *context)
{
    struct log_flow *flow = context;
    static uint8_t payload[65536];
    hermes_log_t *log;
    bench_must(hermes_log_open(flow->directory.path, NULL, &log), flow->directory.path,
               hermes_log_last_error(NULL));
    atomic_store(flow->ready, 1);
    while (atomic_load(flow->ready) != 2)
        cpu_relax();
    for (uint64_t i = 0; i < flow->count; i++) {
        int rc;
        while ((rc = hermes_log_append(log, payload, flow->size, NULL)) == HERMES_EAGAIN)
            hermes_log_wait_room(log, 1000000000);
        bench_must(rc, "append", hermes_log_last_error(log));
    }
    bench_must(hermes_log_close(log), "close", "");
}

static void measure_log(struct bench_result *result, void *context)
{
    struct log_flow *flow = context;
    bench_directory_make(&flow->directory);
    atomic_store(flow->ready, 0);
    pid_t child = bench_child(log_produce, flow);
    for (uint64_t looks = 1; atomic_load(flow->ready) != 1; looks++) {
        cpu_relax();
        bench_other_lives(looks);
    }
    hermes_log_reader_t *reader;
    hermes_message_t message;
    bench_must(hermes_log_reader_open(flow->directory.path, &reader), flow->directory.path,
               hermes_log_reader_last_error(NULL));
    bench_must(hermes_log_reader_seek_first(reader), "seek", hermes_log_reader_last_error(reader));
    uint64_t start = cli_now_ns(), sum = 0;
    atomic_store(flow->ready, 2);
    for (uint64_t i = 0, looks = 1; i < flow->count;) {
        int rc = hermes_log_reader_poll(reader, &message);
        bench_must(rc, "read", hermes_log_reader_last_error(reader));
        if (rc == 0) {
            cpu_relax();
            bench_other_lives(looks++);
            continue;
        }
        sum += bench_read(message.payload, message.length);
        i++;
    }
    bench_keep(sum);
    double seconds = (double)(cli_now_ns() - start) / 1e9;
    result->messages_per_second = (double)flow->count / seconds;
    result->bytes_per_second = (double)flow->count * (double)hermes_frame_bytes(flow->size) / seconds;
    bench_join(child);
    hermes_log_reader_close(reader);
    bench_directory_delete(&flow->directory);
}

static void log_throughput(struct bench *bench, uint32_t size)
{
    struct log_flow flow = {.count = 20000 * bench->scale, .size = size, .ready = bench_shared(64)};
    struct bench_result *result = bench_add(bench, "embedded log, stored, across cores", size);
    bench_beside_the_line(result, measure_log, &flow);
    bench_print(bench, result);
}

void bench_log(struct bench *bench)
{
    log_throughput(bench, 32);
    log_throughput(bench, 256);
    log_throughput(bench, 1024);
}

/* ---- store ---- */

/* What the file system gives for the same: a preallocated file, filled from its beginning, synced. */
static void write_bare(const char *directory, const void *chunk, size_t bytes, unsigned count)
{
    char path[BENCH_PATH_BYTES + 8];
    snprintf(path, sizeof path, "%s/bare", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)(bytes * count)) != 0)
        exit(cli_fail(path, 0, strerror(errno)));
    for (unsigned i = 0; i < count; i++)
        if (pwrite(fd, chunk, bytes, (off_t)(i * bytes)) != (ssize_t)bytes)
            exit(cli_fail(path, 0, strerror(errno)));
    if (fdatasync(fd) != 0)
        exit(cli_fail(path, 0, strerror(errno)));
    close(fd);
    unlink(path);
}

void bench_store(struct bench *bench)
{
    struct bench_directory directory;
    bench_directory_make(&directory);
    const char *path = directory.path;
    struct store store;
    struct error_text text;
    enum { CHUNK = 256 * 1024 };
    static uint8_t chunk[CHUNK];
    bench_must(store_open(&store, path, STORE_SEGMENT_DEFAULT, 1, STORE_WRITE, &text), path, text.bytes);
    enum { A_SEGMENT = STORE_SEGMENT_DEFAULT / CHUNK };
    uint64_t segments = 1 + 32 * bench->scale / 100, ours = 0, bare = 0, start;
    for (uint64_t i = 0; i < segments; i++) { /* by turns: the disk has its moods */
        start = cli_now_ns();
        for (unsigned k = 0; k < A_SEGMENT; k++)
            bench_must(store_append(&store, chunk, CHUNK, store.sequence + CHUNK / 64, 1, &text), "append",
                       text.bytes);
        bench_must(store_sync(&store, &text), "sync", text.bytes);
        ours += cli_now_ns() - start;
        start = cli_now_ns();
        write_bare(path, chunk, CHUNK, A_SEGMENT);
        bare += cli_now_ns() - start;
    }
    double bytes = (double)segments * STORE_SEGMENT_DEFAULT;
    struct bench_result *result = bench_add(bench, "store append, synced at each segment's end", CHUNK);
    result->bytes_per_second = bytes * 1e9 / (double)ours;
    bench_print(bench, result);
    result = bench_add(bench, "bare pwrite and fdatasync of the same", CHUNK);
    result->bytes_per_second = bytes * 1e9 / (double)bare;
    bench_print(bench, result);

    uint64_t syncs = 10 * bench->scale;
    start = cli_now_ns();
    for (uint64_t i = 0; i < syncs; i++) {
        bench_must(store_append(&store, chunk, 4096, store.sequence + 64, 1, &text), "append", text.bytes);
        bench_must(store_sync(&store, &text), "sync", text.bytes);
    }
    result = bench_add(bench, "store append and fdatasync", 4096);
    result->ns_per_operation = (double)(cli_now_ns() - start) / (double)syncs;
    bench_print(bench, result);
    store_close(&store);
    bench_directory_delete(&directory);
}
