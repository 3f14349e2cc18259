#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void log_window_path(const char *prefix, uint32_t epoch, char *path, size_t size)
{
    snprintf(path, size, "%s.%" PRIu32 ".window", prefix, epoch);
}

static void other_path(const struct log *log, const char *suffix, char *path, size_t size)
{
    snprintf(path, size, "%s.%s", log->prefix, suffix);
}

static void log_forget(struct log *log)
{
    map_release(&log->status_map);
    map_release(&log->window_map);
    map_release(&log->doorbell_map);
    if (log->status_fd >= 0)
        close(log->status_fd);
    if (log->window_fd >= 0)
        close(log->window_fd);
    if (log->doorbell_fd >= 0)
        close(log->doorbell_fd);
    if (log->durability != DURABILITY_MEMORY)
        store_close(&log->store);
    pthread_mutex_destroy(&log->lock);
}

/* ---- windows ---- */

static int make_window(struct log *log, uint32_t epoch, uint64_t position, uint64_t sequence, struct map *map,
                       int *fd, struct error_text *text)
{
    char path[320];
    log_window_path(log->prefix, epoch, path, sizeof path);
    unlink(path); /* one that a crash left half made */
    int rc = map_create(path, WINDOW_HEADER_BYTES + log->capacity, map, fd);
    if (rc < 0)
        return error_set(text, rc, "cannot make the window %s of %" PRIu64 " bytes", path,
                         WINDOW_HEADER_BYTES + log->capacity);
    window_init(map->address, log->capacity, log->status->topic_id, epoch, position, sequence, false);
    return HERMES_OK;
}

static int open_window(struct log *log, struct error_text *text)
{
    char path[320];
    log_window_path(log->prefix, log->epoch, path, sizeof path);
    log->window_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (log->window_fd < 0)
        return error_set_errno(text, "open window", path);
    uint64_t size, capacity;
    int rc = map_file_size(log->window_fd, &size);
    if (rc == 0 && size != WINDOW_HEADER_BYTES + log->capacity)
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(log->window_fd, (size_t)size, MAP_READ_WRITE, MAP_PREFAULT, &log->window_map);
    if (rc == 0)
        rc = window_check(log->window_map.address, log->window_map.size, &capacity);
    if (rc < 0)
        return error_set(text, rc, "window %s", path);
    log->window = log->window_map.address;
    return HERMES_OK;
}

/* From where committed frames can be walked with known sequence: what is persisted; in a memory topic,
 * the writer's own word, which a stored topic never has to take. */
static void walk_start(const struct log *log, uint64_t *position, uint64_t *sequence)
{
    if (log->durability != DURABILITY_MEMORY) {
        *position = atomic_load_explicit(&log->status->persisted, memory_order_relaxed);
        *sequence = atomic_load_explicit(&log->status->persisted_sequence, memory_order_relaxed);
    } else {
        *position = atomic_load_explicit(&log->window->position, memory_order_acquire);
        *sequence = atomic_load_explicit(&log->window->sequence, memory_order_relaxed);
    }
}

/*
 * A memory topic's writer that died between its commit word and its position leaves them apart by one
 * frame or batch; the walk finds it. The two words themselves may be apart by the same accident, so the
 * sequence is taken from the first frame behind the position where there is one.
 */
static struct window_end find_end(struct log *log)
{
    uint64_t position, sequence, mask = log->capacity - 1;
    walk_start(log, &position, &sequence);
    if (log->durability == DURABILITY_MEMORY) {
        hermes_header_t header;
        uint64_t bytes;
        if (position % HERMES_FRAME_ALIGNMENT != 0)
            return (struct window_end){position & ~63ull, sequence, HERMES_EMALFORMED};
        if (window_poll(log->window->data, mask, position, &header, &bytes) > 0)
            sequence = header.sequence;
    }
    return window_walk(log->window->data, mask, position, sequence, position + log->capacity);
}

/* ---- opening ---- */

static int make_doorbell(struct log *log, bool is_file, struct error_text *text)
{
    int rc;
    if (is_file) {
        char path[320];
        other_path(log, "bell", path, sizeof path);
        unlink(path);
        rc = map_create(path, 4096, &log->doorbell_map, &log->doorbell_fd);
    } else {
        rc = map_create_memfd("hermes-bell", 4096, &log->doorbell_map, &log->doorbell_fd);
    }
    log->doorbell = log->doorbell_map.address;
    return rc < 0 ? error_set(text, rc, "cannot make a doorbell in shared memory") : HERMES_OK;
}

/* A status page under a name that nobody looks for yet, and the first window. */
static int fill_status(struct log *log, const struct log_options *options, const char *temporary,
                       struct error_text *text)
{
    int fd;
    int rc = map_create(temporary, STATUS_BYTES, &log->status_map, &fd);
    if (rc < 0)
        return error_set(text, rc, "cannot make %s", temporary);
    close(fd);
    struct status *status = log->status = log->status_map.address;
    status->version = STATUS_VERSION;
    status->shared = options->shared;
    status->topic_id = options->topic_id;
    status->window_bytes = options->window_bytes;
    status->segment_bytes = options->segment_bytes;
    status->durability = options->durability;
    status->magic = STATUS_MAGIC;

    uint64_t position = 0, sequence = 1;
    uint32_t epoch = 0;
    if (log->durability != DURABILITY_MEMORY) {
        position = log->store.position;
        sequence = log->store.sequence;
        epoch = log->store.checkpoint.epoch;
    }
    log->epoch = epoch + 1;
    struct map map;
    rc = make_window(log, log->epoch, position, sequence, &map, &log->window_fd, text);
    if (rc < 0)
        return rc;
    log->window_map = map;
    log->window = map.address;
    atomic_store(&status->persisted, position);
    atomic_store(&status->persisted_sequence, sequence);
    atomic_store(&status->durable, position);
    atomic_store(&status->durable_sequence, sequence);
    atomic_store(&status->epoch_start, position);
    atomic_store(&status->seal, status_seal(options->instance, epoch));
    atomic_store(&status->epoch, log->epoch);
    atomic_store(&status->state, STATE_OPEN);
    return HERMES_OK;
}

static int make_status(struct log *log, const struct log_options *options, struct error_text *text)
{
    char path[320], temporary[328];
    other_path(log, "status", path, sizeof path);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    unlink(temporary);
    int rc = fill_status(log, options, temporary, text);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = error_set_errno(text, "rename to", path);
    if (rc < 0) {
        unlink(temporary);
        log_window_path(log->prefix, log->epoch, path, sizeof path);
        unlink(path);
    }
    return rc;
}

/* The last owner may have died between appending to the log what a ring held and saying so in the ring's line
 * (sequencer.c). Producers believe that line as soon as they see a new instance in the seal. */
static void repair_journal(struct log *log)
{
    struct status *status = log->status;
    uint32_t ring = atomic_load(&status->journal_ring);
    if (ring == 0 || ring > STATUS_RINGS)
        return;
    uint64_t position = atomic_load(&status->journal_log_position), messages = 0, bytes;
    hermes_header_t header;
    int rc;
    while ((rc = window_poll(log->window->data, log->capacity - 1, position, &header, &bytes)) > 0) {
        messages += rc == POLL_DATA;
        position += bytes;
    }
    atomic_store(&status->rings[ring - 1].consumed_sequence,
                 atomic_load(&status->journal_sequence) + messages);
    atomic_store(&status->journal_ring, 0);
}

/* HERMES_ENOTFOUND: there is none, or none that can be used: then the store is the truth. */
static int take_up_status(struct log *log, const struct log_options *options, struct error_text *text)
{
    char path[320];
    other_path(log, "status", path, sizeof path);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return HERMES_ENOTFOUND;
    uint64_t size;
    int rc = map_file_size(fd, &size);
    if (rc == 0 && size != STATUS_BYTES)
        rc = HERMES_EMALFORMED;
    if (rc == 0)
        rc = map_fd(fd, STATUS_BYTES, MAP_READ_WRITE, MAP_PREFAULT, &log->status_map);
    close(fd);
    if (rc < 0)
        return HERMES_ENOTFOUND;
    struct status *status = log->status_map.address;
    if (status_check(status) < 0 || status->topic_id != options->topic_id ||
        status->window_bytes != options->window_bytes || atomic_load(&status->state) == STATE_CLOSED ||
        atomic_load(&status->state) == STATE_DELETED) {
        map_release(&log->status_map);
        return HERMES_ENOTFOUND;
    }
    log->status = status;
    log->epoch = atomic_load(&status->epoch);
    rc = open_window(log, text);
    if (rc < 0)
        return rc;
    if (log->durability != DURABILITY_MEMORY) {
        rc = store_resume(&log->store, atomic_load(&status->persisted),
                          atomic_load(&status->persisted_sequence), text);
        if (rc < 0)
            return rc;
    }
    repair_journal(log);
    /* The instance is new, the sealed epoch as it was: publishers and readers that live go on. */
    uint32_t sealed = (uint32_t)atomic_load(&status->seal);
    atomic_store(&status->state, STATE_OPEN);
    atomic_store(&status->seal, status_seal(options->instance, sealed));
    return sealed >= log->epoch ? log_new_epoch(log, text) : HERMES_OK;
}

int log_open(struct log *log, const struct log_options *options, struct error_text *text)
{
    *log = (struct log){.status_fd = -1,
                        .window_fd = -1,
                        .doorbell_fd = -1,
                        .durability = options->durability,
                        .capacity = options->window_bytes,
                        .instance = options->instance};
    if (!window_capacity_is_legal(options->window_bytes))
        return error_set(text, HERMES_EINVALID,
                         "window of %" PRIu64 " bytes: it must be a power of two from %d to %d",
                         options->window_bytes, WINDOW_MIN_BYTES, WINDOW_MAX_BYTES);
    if (options->durability != DURABILITY_MEMORY && (options->segment_bytes < options->window_bytes ||
                                                     options->segment_bytes % options->window_bytes != 0))
        return error_set(text, HERMES_EINVALID,
                         "segment of %" PRIu64 " bytes: it must be a multiple of the window's %" PRIu64,
                         options->segment_bytes, options->window_bytes);
    int used = snprintf(log->prefix, sizeof log->prefix, "%s", options->prefix);
    if (used < 0 || (size_t)used >= sizeof log->prefix)
        return error_set(text, HERMES_ETOOLARGE, "path %s", options->prefix);
    pthread_mutex_init(&log->lock, NULL);
    barrier_register();

    int rc = HERMES_OK;
    if (log->durability != DURABILITY_MEMORY) {
        snprintf(log->directory, sizeof log->directory, "%s", options->directory);
        log->store = (struct store){.directory = -1, .checkpoint_fd = -1, .fd = -1};
        char status[320];
        other_path(log, "status", status, sizeof status);
        rc = store_open(&log->store, options->directory, options->segment_bytes, options->topic_id,
                        access(status, F_OK) == 0 ? STORE_RESUME : STORE_WRITE, text);
    }
    if (rc == 0)
        rc = make_doorbell(log, options->doorbell_is_file, text);
    if (rc == 0) {
        rc = take_up_status(log, options, text);
        log->taken_up = rc == 0;
        if (rc == HERMES_ENOTFOUND)
            rc = make_status(log, options, text);
    }
    if (rc == 0) {
        char path[320];
        other_path(log, "status", path, sizeof path);
        log->status_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (log->status_fd < 0)
            rc = error_set_errno(text, "open", path);
    }
    if (rc < 0) {
        log_forget(log);
        return rc;
    }
    if (log->durability != DURABILITY_MEMORY)
        atomic_store(&log->status->first, store_first(&log->store));
    return HERMES_OK;
}

/* ---- change of publisher ---- */

int log_new_epoch(struct log *log, struct error_text *text)
{
    struct status *status = log->status;
    uint32_t next = log->epoch + 1;
    /* (1), (2), (3) of status.h. Release pairs with readers' acquire in status_load_seal(). */
    atomic_store_explicit(&status->seal, status_seal(log->instance, log->epoch), memory_order_release);
    barrier_remote();
    struct window_end end = find_end(log);

    struct map map;
    int fd;
    int rc = make_window(log, next, end.position, end.sequence, &map, &fd, text);
    if (rc < 0)
        return rc;
    /* (4) The frames that are still readable move over, so no reader has to stay behind. */
    struct window *window = map.address;
    uint64_t first = atomic_load_explicit(&log->window->overwrite_limit, memory_order_relaxed);
    uint64_t oldest = end.position > log->capacity ? end.position - log->capacity : 0;
    first = (first + HERMES_FRAME_ALIGNMENT - 1) & ~(uint64_t)(HERMES_FRAME_ALIGNMENT - 1);
    if (first < oldest)
        first = oldest;
    if (first > end.position)
        first = end.position;
    for (uint64_t p = first; p < end.position;) {
        uint64_t offset = p & (log->capacity - 1), run = log->capacity - offset;
        if (run > end.position - p)
            run = end.position - p;
        window_copy_out(window->data + offset, log->window->data + offset, run);
        p += run;
    }
    window->first = first;
    atomic_store_explicit(&window->overwrite_limit, first, memory_order_relaxed);
    /* The next writer may be slow to come: readers must not take old bytes for its first frame. */
    atomic_store_explicit(window_commit_word(window->data, end.position & (log->capacity - 1)), 0,
                          memory_order_relaxed);

    /* (5) Release pairs with the acquire of epoch in reader.c: the window is complete. */
    atomic_store_explicit(&status->epoch_start, end.position, memory_order_relaxed);
    atomic_store_explicit(&status->epoch, next, memory_order_release);
    futex_wake_all(&status->epoch);
    atomic_fetch_add_explicit(&log->window->bell, 1, memory_order_release);
    futex_wake_all(&log->window->bell);

    char path[320];
    log_window_path(log->prefix, log->epoch, path, sizeof path);
    unlink(path);
    map_release(&log->window_map);
    close(log->window_fd);
    log->window_map = map;
    log->window = window;
    log->window_fd = fd;
    log->epoch = next;
    return HERMES_OK;
}

struct futex_word log_park(struct log *log)
{
    log_lock(log);
    /* Acquire pairs with the release in window_ring(). */
    struct futex_word word = {&log->window->bell,
                              atomic_load_explicit(&log->window->bell, memory_order_acquire)};
    atomic_store_explicit(&log->doorbell->parked, 1, memory_order_relaxed);
    log_unlock(log);
    return word;
}

bool log_has_more(struct log *log)
{
    log_lock(log);
    uint64_t offset = log->store.position & (log->capacity - 1);
    bool more =
        atomic_load_explicit(window_commit_word(log->window->data, offset), memory_order_acquire) != 0;
    log_unlock(log);
    return more;
}

int log_window_reader_fd(struct log *log, int *fd)
{
    char path[320];
    log_window_path(log->prefix, log->epoch, path, sizeof path);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return *fd < 0 ? error_from_errno(errno) : HERMES_OK;
}

/* ---- closing ---- */

void log_abandon(struct log *log)
{
    log_forget(log);
}

int log_close(struct log *log, enum status_state state)
{
    /* Seal first: what a publisher is told was committed is in the walk that follows. */
    atomic_store_explicit(&log->status->seal, status_seal(log->instance, log->epoch), memory_order_release);
    barrier_remote();
    int rc = HERMES_OK;
    if (state != STATE_DELETED) {
        int64_t done;
        while ((done = log_persist(log, log->capacity)) > 0)
            ;
        rc = done < 0 ? (int)done : log_sync(log);
    }
    /* The end is what was stored: a commit that came since then does not count, and its publisher, who
     * saw the seal, finds that out here. */
    uint64_t end = log->durability == DURABILITY_MEMORY ? find_end(log).position : log->store.position;
    atomic_store_explicit(&log->status->epoch_start, end, memory_order_relaxed);
    /* Release pairs with the reader's acquire of state: where the log ends is known before that it does. */
    atomic_store_explicit(&log->status->state, state, memory_order_release);
    atomic_fetch_add_explicit(&log->window->bell, 1, memory_order_release);
    futex_wake_all(&log->window->bell);
    atomic_fetch_add_explicit(&log->status->durable_bell, 1, memory_order_release);
    futex_wake_all(&log->status->durable_bell);

    /* Nothing may be thrown away that only shared memory still has: a full disk must be able to heal. */
    if (rc == 0) {
        char path[320];
        log_window_path(log->prefix, log->epoch, path, sizeof path);
        unlink(path);
        other_path(log, "bell", path, sizeof path);
        unlink(path);
        other_path(log, "status", path, sizeof path);
        unlink(path);
    } else {
        atomic_store_explicit(&log->status->state, STATE_FAILED, memory_order_release);
    }
    log_forget(log);
    return rc;
}
