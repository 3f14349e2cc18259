/* hermes/log.h: a log by path. The writer owns it and runs the persister in a thread of its own. */
#include "log/embedded.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/abi.h"
#include "base/clock.h"
#include "base/path.h"
#include "base/shm.h"
#include "base/standard.h"
#include "base/thread.h"
#include "log/publish.h"
#include "log/reader.h"
#include "log/recovery.h"

struct hermes_log {
    hermes_clock_t clock;
    bool crc;
    uint8_t *claimed;
    uint32_t claimed_length;
    size_t too_long; /* for append(): HERMES_PAYLOAD_MAX + 1, or, while a claim is open, whatever it is */

    struct log log;
    int lock_fd;
    struct shm shm;
    pthread_t persister;
    pthread_mutex_t store_lock; /* one thread at a time hands on to the store */
    _Atomic bool stop;
    _Atomic int store_error; /* of the persister's last try */
    uint32_t sync_interval_ms;
    struct error_text error;
};

struct hermes_log_reader {
    struct reader reader;
    char path[PATH_BYTES];
    char prefix[SHM_PATH_BYTES + 8];
    struct map status_map, doorbell_map;
    struct status *offline; /* made up here: the log has no living shared memory */
    int offline_window;
    struct error_text error;
};

enum { DEFAULT_SYNC_INTERVAL_MS = 10 };

static const uint64_t spin_before_sleep_ns = 20000;

static bool is_path(const char *path)
{
    return path != NULL && path[0] != 0;
}

static int take_options(hermes_log_options_t *options, const hermes_log_options_t *given)
{
    *options = (hermes_log_options_t){.size = sizeof *options};
    int rc = given == NULL ? HERMES_OK : abi_take(options, sizeof *options, given);
    if (rc == 0 && (options->flags & ~HERMES_LOG_NO_CRC) != 0)
        rc = HERMES_ENOTSUP;
    if (options->window_bytes == 0)
        options->window_bytes = WINDOW_DEFAULT_BYTES;
    if (options->segment_bytes == 0)
        options->segment_bytes =
            options->window_bytes > STORE_SEGMENT_DEFAULT ? options->window_bytes : STORE_SEGMENT_DEFAULT;
    if (options->sync_interval_ms == 0)
        options->sync_interval_ms = DEFAULT_SYNC_INTERVAL_MS;
    return rc;
}

/* ---- writing ---- */

static void *persister_main(void *argument)
{
    struct hermes_log *log = argument;
    _Atomic uint32_t *bell = &log->log.status->persister_bell;
    uint64_t last_sync = clock_monotonic_ns(), interval = (uint64_t)log->sync_interval_ms * 1000000u;
    const uint64_t quarter = log->log.capacity / 4,
                   most = quarter < LOG_PERSIST_BYTES ? quarter : LOG_PERSIST_BYTES;
    while (!atomic_load_explicit(&log->stop, memory_order_acquire)) {
        pthread_mutex_lock(&log->store_lock);
        int64_t done = log_persist(&log->log, most);
        int rc = done < 0 ? (int)done : HERMES_OK;
        uint64_t now = clock_monotonic_ns();
        if (now - last_sync >= interval) {
            int synced = log_sync(&log->log);
            rc = rc < 0 ? rc : synced;
            log_prepare(&log->log);
            last_sync = now;
        }
        pthread_mutex_unlock(&log->store_lock);
        atomic_store_explicit(&log->store_error, rc, memory_order_release);
        if (done < (int64_t)most / 2) /* near the writer, which rings when it needs room */
            futex_wait(bell, 0, interval);
    }
    return NULL;
}

static int start_persister(struct hermes_log *log, struct error_text *text)
{
    int rc = thread_start(&log->persister, persister_main, log);
    return rc == 0 ? HERMES_OK : error_set(text, rc, "cannot start a thread");
}

static int lock_log(struct hermes_log *log, const char *path, struct error_text *text)
{
    char lock_path[PATH_BYTES];
    int used = snprintf(lock_path, sizeof lock_path, "%s/lock", path);
    if (used < 0 || (size_t)used >= sizeof lock_path)
        return error_set(text, HERMES_ETOOLARGE, "path %s", path);
    log->lock_fd = standard_move_above(open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (log->lock_fd < 0)
        return error_set_errno(text, "open", lock_path);
    if (flock(log->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return error_say(text, HERMES_EBUSY, "somebody else writes to the log %s", path);
    return HERMES_OK;
}

static __thread struct error_text open_error;

static void forget_claim(struct hermes_log *log)
{
    log->claimed = NULL;
    log->too_long = HERMES_PAYLOAD_MAX + 1;
}

/*
 * Windows of other epochs, and a status page that got no name: who made them died before anybody could know
 * of them. The log is ours alone, and who still reads an older window has it mapped.
 */
static void sweep(const struct hermes_log *log)
{
    char window[SHM_PATH_BYTES + 64];
    log_window_path("log", log->log.epoch, window, sizeof window);
    DIR *directory = opendir(log->shm.path);
    struct dirent *item;
    while (directory != NULL && (item = readdir(directory)) != NULL)
        if (strncmp(item->d_name, "log.", 4) == 0 && strcmp(item->d_name, window) != 0 &&
            strcmp(item->d_name, "log.status") != 0 && strcmp(item->d_name, "log.bell") != 0)
            unlinkat(dirfd(directory), item->d_name, 0);
    if (directory != NULL)
        closedir(directory);
}

int hermes_log_open(const char *path, const hermes_log_options_t *given, hermes_log_t **out)
{
    *out = NULL;
    if (!is_path(path))
        return error_say(&open_error, HERMES_EINVALID, "a log needs a path");
    hermes_log_options_t options;
    int rc = take_options(&options, given);
    if (rc < 0)
        return error_set(&open_error, rc, "options of the log %s", path);
    struct hermes_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return error_set(&open_error, HERMES_ENOMEM, "a log's handle");
    struct error_text *text = &open_error;
    char prefix[SHM_PATH_BYTES + 8];
    log->crc = (options.flags & HERMES_LOG_NO_CRC) == 0;
    log->sync_interval_ms = options.sync_interval_ms;
    log->lock_fd = log->shm.fd = -1;
    pthread_mutex_init(&log->store_lock, NULL);
    rc = path_make_parents(path, text);
    if (rc == 0)
        rc = lock_log(log, path, text);
    if (rc == 0)
        rc = shm_open_directory(&log->shm, path, text);
    if (rc < 0)
        goto fail;
    struct error_text ignored;
    (void)shm_tell_home(&log->shm, &ignored);
    snprintf(prefix, sizeof prefix, "%s/log", log->shm.path);
    struct log_options log_options = {
        .prefix = prefix,
        .directory = path,
        .window_bytes = options.window_bytes,
        .segment_bytes = options.segment_bytes,
        .durability = DURABILITY_ASYNC,
        .doorbell_is_file = true,
        .instance = (uint32_t)clock_realtime_ns() | 1,
    };
    if ((rc = log_open(&log->log, &log_options, text)) < 0)
        goto fail;
    /* Whoever wrote before is dead, for the lock was free: its window still gets a clean successor. */
    log->log.persister_bell = &log->log.status->persister_bell;
    if ((rc = log_begin(&log->log, WRITER_OWNER, text)) < 0)
        goto fail_log;
    sweep(log);
    hermes_clock_init(&log->clock);
    forget_claim(log);
    if ((rc = start_persister(log, text)) < 0)
        goto fail_log;
    *out = log;
    return HERMES_OK;
fail_log:
    if (log->log.taken_up)
        log_abandon(&log->log);
    else
        (void)log_close(&log->log,
                        STATE_CLOSED); /* there is nothing in it that anybody could come back for */
fail:
    shm_close_directory(&log->shm);
    if (log->lock_fd >= 0)
        close(log->lock_fd);
    free(log);
    return rc;
}

/* What of the store's troubles the caller can tell apart; all others are final, too. */
static int store_code(int rc)
{
    switch (rc) {
    case HERMES_OK:
    case HERMES_EFULL:
    case HERMES_ELIMIT:
    case HERMES_ENOMEM:
    case HERMES_ECORRUPT:
    case HERMES_EMALFORMED:
        return rc;
    default:
        return HERMES_EIO;
    }
}

/* What the persister found decides what a full window means. */
static int full_reason(struct hermes_log *log)
{
    int rc = store_code(atomic_load_explicit(&log->store_error, memory_order_acquire));
    return rc < 0 ? error_set(&log->error, rc, "the store took no more")
                  : error_say(&log->error, HERMES_EAGAIN, "the window is full, and waits for the disk");
}

static int too_large(struct hermes_log *log, size_t length)
{
    return error_set(&log->error, HERMES_ETOOLARGE, "a message of %zu bytes", length);
}

static int no_payload(struct hermes_log *log, size_t length)
{
    return error_set(&log->error, HERMES_EINVALID, "no payload of %zu bytes", length);
}

/* It stands where the next message would go. */
static int claim_is_open(struct hermes_log *log)
{
    return error_say(&log->error, HERMES_EINVALID, "a claim is open: commit or abort it first");
}

static int no_time(struct hermes_log *log, uint64_t timestamp_ns)
{
    return error_say(&log->error, HERMES_EINVALID,
                     "%" PRIu64 " is no time stamp: that is 1 to 9223372036854775807 ns since 1970",
                     timestamp_ns);
}

/* The time that a message has: the given one, or (0) now. */
static inline uint64_t time_of(struct hermes_log *log, uint64_t given_ns)
{
    return given_ns != 0 ? given_ns : hermes_clock_now(&log->clock);
}

__attribute__((always_inline)) static inline int
append(struct hermes_log *log, uint64_t given_ns, const void *payload, size_t length, uint64_t *sequence)
{
    if (__builtin_expect(length >= log->too_long, 0))
        return log->claimed != NULL ? claim_is_open(log) : too_large(log, length);
    if (length > HERMES_PAYLOAD_MAX)
        __builtin_unreachable(); /* so that this costs no more than the one comparison */
    int rc = publish_one(&log->log.writer, payload, length, time_of(log, given_ns), log->crc);
    if (rc < 0)
        return rc == HERMES_EAGAIN ? full_reason(log) : rc == HERMES_EINVALID ? no_payload(log, length) : rc;
    if (sequence != NULL)
        *sequence = log->log.writer.sequence - 1;
    return rc;
}

int hermes_log_append(hermes_log_t *log, const void *payload, size_t length, uint64_t *sequence)
{
    return append(log, 0, payload, length, sequence);
}

int hermes_log_append_at(hermes_log_t *log, uint64_t timestamp_ns, const void *payload, size_t length,
                         uint64_t *sequence)
{
    if (__builtin_expect(!publish_is_time(timestamp_ns), 0))
        return no_time(log, timestamp_ns);
    return append(log, timestamp_ns, payload, length, sequence);
}

/* times_ns NULL: all of now. */
__attribute__((always_inline)) static inline int64_t
append_batch(struct hermes_log *log, const uint64_t *times_ns, const hermes_slice_t *slices, size_t count)
{
    if (log->claimed != NULL)
        return claim_is_open(log);
    size_t done = 0;
    int rc = HERMES_OK;
    uint64_t now = times_ns != NULL ? 0 : hermes_clock_now(&log->clock);
    for (; done < count; done++) {
        if (slices[done].length > HERMES_PAYLOAD_MAX) {
            rc = too_large(log, slices[done].length);
            break;
        }
        if (slices[done].data == NULL && slices[done].length > 0) {
            rc = no_payload(log, slices[done].length);
            break;
        }
        if (times_ns != NULL && !publish_is_time(times_ns[done])) {
            rc = no_time(log, times_ns[done]);
            break;
        }
        uint32_t length = (uint32_t)slices[done].length;
        uint64_t bytes = hermes_frame_bytes(length);
        uint8_t *frame = window_reserve(&log->log.writer, bytes, &rc);
        if (frame == NULL)
            break;
        uint64_t word = publish_fill(frame, slices[done].data, length, log->log.writer.sequence,
                                     times_ns != NULL ? times_ns[done] : now, log->crc);
        window_commit(&log->log.writer, word, bytes, 1);
    }
    int after = window_after_commit(&log->log.writer);
    if (after < 0)
        return after;
    if (done > 0 || rc == HERMES_OK)
        return (int64_t)done; /* what it was that stopped there the rest tells by itself */
    return rc == HERMES_EAGAIN ? full_reason(log) : rc;
}

int64_t hermes_log_append_batch(hermes_log_t *log, const hermes_slice_t *slices, size_t count)
{
    return append_batch(log, NULL, slices, count);
}

int64_t hermes_log_append_batch_at(hermes_log_t *log, const uint64_t *timestamps_ns,
                                   const hermes_slice_t *slices, size_t count)
{
    return timestamps_ns == NULL && count > 0 ? no_time(log, 0)
                                              : append_batch(log, timestamps_ns, slices, count);
}

int hermes_log_claim(hermes_log_t *log, size_t length, void **payload)
{
    if (log->claimed != NULL)
        return claim_is_open(log);
    if (length > HERMES_PAYLOAD_MAX)
        return too_large(log, length);
    int rc = HERMES_OK;
    log->claimed = window_reserve(&log->log.writer, hermes_frame_bytes((uint32_t)length), &rc);
    if (log->claimed == NULL)
        return rc == HERMES_EAGAIN ? full_reason(log) : rc;
    log->claimed_length = (uint32_t)length;
    log->too_long = 0;
    *payload = log->claimed + HERMES_HEADER_BYTES;
    return HERMES_OK;
}

__attribute__((always_inline)) static inline int commit(struct hermes_log *log, uint64_t given_ns,
                                                        uint64_t *sequence)
{
    if (log->claimed == NULL)
        return error_say(&log->error, HERMES_EINVALID, "commit without a claim");
    uint64_t word = publish_fill(log->claimed, NULL, log->claimed_length, log->log.writer.sequence,
                                 time_of(log, given_ns), log->crc);
    if (sequence != NULL)
        *sequence = log->log.writer.sequence;
    window_commit(&log->log.writer, word, hermes_frame_bytes(log->claimed_length), 1);
    forget_claim(log);
    return window_after_commit(&log->log.writer);
}

int hermes_log_commit(hermes_log_t *log, uint64_t *sequence)
{
    return commit(log, 0, sequence);
}

int hermes_log_commit_at(hermes_log_t *log, uint64_t timestamp_ns, uint64_t *sequence)
{
    return publish_is_time(timestamp_ns) ? commit(log, timestamp_ns, sequence) : no_time(log, timestamp_ns);
}

void hermes_log_abort(hermes_log_t *log)
{
    if (log->claimed != NULL)
        window_abort(log->claimed, log->claimed_length);
    forget_claim(log);
}

int hermes_log_wait_room(hermes_log_t *log, uint64_t timeout_ns)
{
    if (log->claimed != NULL)
        return claim_is_open(log);
    uint64_t start = clock_monotonic_ns();
    int rc = HERMES_OK;
    while (window_reserve(&log->log.writer, FRAME_MAX_BYTES, &rc) == NULL) {
        if ((rc = full_reason(log)) != HERMES_EAGAIN)
            return rc;
        if (clock_monotonic_ns() - start >= timeout_ns)
            return error_set(&log->error, HERMES_ETIMEOUT, "no room yet");
        sched_yield();
    }
    return HERMES_OK;
}

int hermes_log_sync(hermes_log_t *log)
{
    int64_t done;
    pthread_mutex_lock(&log->store_lock);
    while ((done = log_persist(&log->log, log->log.capacity)) > 0)
        ;
    int rc = store_code(done < 0 ? (int)done : log_sync(&log->log));
    if (rc < 0)
        error_set(&log->error, rc, "%s", log->log.error.bytes);
    pthread_mutex_unlock(&log->store_lock);
    return rc;
}

struct log *embedded_log(hermes_log_t *log)
{
    return &log->log;
}

uint64_t hermes_log_position(const hermes_log_t *log)
{
    return log->log.writer.position;
}

uint64_t hermes_log_sequence(const hermes_log_t *log)
{
    return log->log.writer.sequence - 1;
}

int hermes_log_close(hermes_log_t *log)
{
    if (log == NULL)
        return HERMES_OK;
    atomic_store_explicit(&log->stop, true, memory_order_release);
    atomic_store_explicit(&log->log.status->persister_bell, 1, memory_order_relaxed);
    futex_wake_all(&log->log.status->persister_bell);
    pthread_join(log->persister, NULL);
    atomic_store_explicit(&log->log.status->persister_bell, 0, memory_order_relaxed);
    int rc = store_code(log_close(&log->log, STATE_CLOSED));
    if (rc < 0)
        error_set(&open_error, rc, "%s", log->log.error.bytes);
    shm_close_directory(&log->shm);
    close(log->lock_fd);
    free(log);
    return rc;
}

const char *hermes_log_last_error(const hermes_log_t *log)
{
    return log == NULL ? open_error.bytes : log->error.bytes;
}

/* ---- reading ---- */

static int source_open_window(void *context, uint32_t epoch, int *fd)
{
    struct hermes_log_reader *reader = context;
    if (reader->offline != NULL) {
        *fd = standard_move_above(dup(reader->offline_window));
        return *fd < 0 ? error_from_errno(errno) : HERMES_OK;
    }
    char path[SHM_PATH_BYTES + 64];
    log_window_path(reader->prefix, epoch, path, sizeof path);
    *fd = standard_move_above(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (*fd < 0)
        return errno == ENOENT ? HERMES_EAGAIN : error_from_errno(errno);
    return HERMES_OK;
}

static int source_open_segment(void *context, enum store_key key, uint64_t value, struct store_place *place)
{
    struct hermes_log_reader *reader = context;
    struct store store;
    int rc = store_open(&store, reader->path, 0, 0, STORE_READ, &reader->error);
    if (rc < 0)
        return rc;
    rc = store_find(&store, key, value, place, &reader->error);
    store_close(&store);
    return rc;
}

static int map_path(const char *path, size_t size, enum map_access access, struct map *map)
{
    int fd =
        standard_move_above(open(path, (access == MAP_READ ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0)
        return error_from_errno(errno);
    uint64_t actual;
    int rc = map_file_size(fd, &actual);
    if (rc == 0 && actual < size)
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(fd, size, access, MAP_PREFAULT, map);
    close(fd);
    return rc;
}

/* A log that nobody has open: a status page that says where it ends, and a window with nothing in it. */
static int go_offline(struct hermes_log_reader *reader)
{
    struct store store;
    int rc = store_open(&store, reader->path, 0, 0, STORE_READ, &reader->error);
    if (rc < 0)
        return rc;
    uint64_t end = store.position, sequence = store.sequence, first = store_first(&store);
    bool empty = store.entry_count == 0;
    store_close(&store);
    if (empty)
        return error_say(&reader->error, HERMES_ENOTFOUND, "no log at %s", reader->path);
    reader->offline = aligned_alloc(4096, STATUS_BYTES);
    if (reader->offline == NULL)
        return HERMES_ENOMEM;
    memset(reader->offline, 0, STATUS_BYTES);
    *reader->offline =
        (struct status){.magic = STATUS_MAGIC, .version = STATUS_VERSION, .durability = DURABILITY_ASYNC};
    atomic_store(&reader->offline->epoch, 1);
    status_note_epoch(reader->offline, &(struct epoch_record){.epoch = 1,
                                                              .end = EPOCH_STOPPED,
                                                              .first_position = first,
                                                              .end_position = end,
                                                              .end_sequence = sequence});
    atomic_store(&reader->offline->persisted, end);
    atomic_store(&reader->offline->persisted_sequence, sequence);
    atomic_store(&reader->offline->durable, end);
    atomic_store(&reader->offline->first, first);
    atomic_store(&reader->offline->state, STATE_CLOSED);
    struct map map;
    rc = map_create_memfd("hermes-empty", WINDOW_HEADER_BYTES + WINDOW_MIN_BYTES, &map,
                          &reader->offline_window);
    if (rc < 0)
        return error_set(&reader->error, rc, "an empty window");
    window_init(map.address, WINDOW_MIN_BYTES, 0, 1, end, sequence, false);
    map_release(&map);
    return HERMES_OK;
}

/* Lets go of what it reads through. */
static void detach(struct hermes_log_reader *reader)
{
    reader_close(&reader->reader);
    map_release(&reader->status_map);
    map_release(&reader->doorbell_map);
    if (reader->offline_window >= 0)
        close(reader->offline_window);
    reader->offline_window = -1;
    free(reader->offline);
    reader->offline = NULL;
}

static int read_through(struct hermes_log_reader *reader, const struct status *status)
{
    int rc = reader_open(&reader->reader, status, reader->doorbell_map.address,
                         (struct reader_source){source_open_window, source_open_segment, reader}, VERIFY_ALL);
    if (rc < 0)
        reader->error = reader->reader.error;
    return rc;
}

/* HERMES_ECLOSED: its writer has just gone, or nobody has it open. */
static int attach_to_writer(struct hermes_log_reader *reader)
{
    char file[SHM_PATH_BYTES + 32];
    snprintf(file, sizeof file, "%s.status", reader->prefix);
    if (map_path(file, STATUS_BYTES, MAP_READ, &reader->status_map) < 0 ||
        status_check(reader->status_map.address) < 0)
        return HERMES_ECLOSED;
    snprintf(file, sizeof file, "%s.bell", reader->prefix);
    (void)map_path(file, 4096, MAP_READ_WRITE, &reader->doorbell_map);
    return read_through(reader, reader->status_map.address);
}

static int attach_to_files(struct hermes_log_reader *reader)
{
    int rc = go_offline(reader);
    if (rc == 0)
        rc = read_through(reader, reader->offline);
    if (rc == 0) /* from here on nothing will be added to it */
        atomic_store(&reader->offline->seal, status_seal(0, 1));
    return rc;
}

/* A reader at the end. NULL: open_error says why. */
static struct hermes_log_reader *reader_new(const char *path, int *rc)
{
    struct hermes_log_reader *reader = aligned_alloc(64, (sizeof *reader + 63) & ~(size_t)63);
    *rc = HERMES_ENOMEM;
    if (reader == NULL)
        return NULL;
    *reader = (struct hermes_log_reader){.offline_window = -1};
    char shm[SHM_PATH_BYTES];
    int used = snprintf(reader->path, sizeof reader->path, "%s", path);
    *rc = used < 0 || (size_t)used >= sizeof reader->path ? HERMES_ETOOLARGE : HERMES_OK;
    if (*rc == 0)
        *rc = path_shm_for(path, shm, &reader->error);
    if (*rc == 0) {
        snprintf(reader->prefix, sizeof reader->prefix, "%s/log", shm);
        *rc = attach_to_writer(reader);
    }
    if (*rc == HERMES_ECLOSED) {
        detach(reader);
        *rc = attach_to_files(reader);
    }
    if (*rc == 0)
        return reader;
    if (reader->error.bytes[0] == 0)
        error_set(&reader->error, *rc, "%s", path);
    open_error = reader->error;
    hermes_log_reader_close(reader);
    return NULL;
}

int hermes_log_reader_open(const char *path, hermes_log_reader_t **out)
{
    *out = NULL;
    if (!is_path(path))
        return error_say(&open_error, HERMES_EINVALID, "a log needs a path");
    int rc;
    *out = reader_new(path, &rc);
    return rc;
}

/*
 * The log was read to its end, and nobody wrote to it then: whoever does now, or did meanwhile, has other
 * shared memory. Goes over to that, or to what is in the files by now, at the same position. What keeps us
 * from it leaves all as it was.
 */
static int look_again(struct hermes_log_reader *reader)
{
    if (!status_is_closed(reader->reader.status))
        return HERMES_OK;
    int rc;
    struct hermes_log_reader *fresh = reader_new(reader->path, &rc);
    if (fresh == NULL)
        return HERMES_OK;
    const struct reader *before = &reader->reader;
    rc = reader_resume(&fresh->reader, before->position, before->sequence);
    fresh->reader.skip_below_sequence = before->skip_below_sequence;
    fresh->reader.skip_below_time = before->skip_below_time;
    fresh->reader.skipping = fresh->reader.detour = before->skipping;
    detach(reader);
    *reader = *fresh; /* and all that it has */
    reader->reader.source.context = reader;
    free(fresh);
    return rc;
}

int hermes_log_reader_poll(hermes_log_reader_t *reader, hermes_message_t *message)
{
    int rc = reader_poll(&reader->reader, message);
    if (__builtin_expect(rc != HERMES_ECLOSED, 1))
        return rc;
    rc = look_again(reader);
    return rc < 0 ? rc : reader_poll(&reader->reader, message);
}

int hermes_log_reader_wait(hermes_log_reader_t *reader, hermes_message_t *message, uint64_t timeout_ns)
{
    uint64_t start = clock_monotonic_ns(), waited = 0;
    for (;;) {
        int rc = hermes_log_reader_poll(reader, message);
        if (rc != 0 || waited >= timeout_ns)
            return rc;
        rc = reader_wait(&reader->reader, timeout_ns - waited, spin_before_sleep_ns);
        if (rc == HERMES_EINTERRUPTED)
            return rc;
        waited = clock_monotonic_ns() - start;
    }
}

int hermes_log_reader_seek_first(hermes_log_reader_t *reader)
{
    (void)look_again(reader);
    return reader_seek_first(&reader->reader);
}

int hermes_log_reader_seek_end(hermes_log_reader_t *reader)
{
    (void)look_again(reader);
    return reader_seek_end(&reader->reader);
}

int hermes_log_reader_seek_sequence(hermes_log_reader_t *reader, uint64_t sequence)
{
    (void)look_again(reader);
    return reader_seek_sequence(&reader->reader, sequence);
}

int hermes_log_reader_seek_time(hermes_log_reader_t *reader, uint64_t timestamp_ns)
{
    (void)look_again(reader);
    return reader_seek_time(&reader->reader, timestamp_ns);
}

int hermes_log_reader_seek_position(hermes_log_reader_t *reader, uint64_t position)
{
    (void)look_again(reader);
    return reader_seek_position(&reader->reader, position);
}

uint64_t hermes_log_reader_position(const hermes_log_reader_t *reader)
{
    return reader->reader.position;
}

void hermes_log_reader_close(hermes_log_reader_t *reader)
{
    if (reader == NULL)
        return;
    detach(reader);
    free(reader);
}

const char *hermes_log_reader_last_error(const hermes_log_reader_t *reader)
{
    return reader == NULL ? open_error.bytes : reader->reader.error.bytes;
}
