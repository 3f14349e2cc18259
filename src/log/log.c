#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/standard.h"
#include "log/recovery.h"
#include "log/tail.h"

void log_window_path(const char *prefix, uint32_t epoch, char *path, size_t size)
{
    snprintf(path, size, "%s.%" PRIu32 ".window", prefix, epoch);
}

static void other_path(const struct log *log, const char *suffix, char *path, size_t size)
{
    snprintf(path, size, "%s.%s", log->prefix, suffix);
}

static void remove_shared(const struct log *log)
{
    static const char *const files[] = {"bell", "status", "epochs"};
    char path[320];
    log_window_path(log->prefix, log->epoch, path, sizeof path);
    unlink(path);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        other_path(log, files[i], path, sizeof path);
        unlink(path);
    }
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
    epochs_close(&log->epochs);
    origins_close(&log->origins);
    pthread_mutex_destroy(&log->lock);
}

/* ---- opening ---- */

static int open_window(struct log *log, struct error_text *text)
{
    char path[320];
    log_window_path(log->prefix, log->epoch, path, sizeof path);
    log->window_fd = standard_move_above(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
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

/* The records of epochs. Those of an embedded log without a store live as long as its shared memory. */
static int open_epochs(struct log *log, const struct log_options *options, struct error_text *text)
{
    char path[STORE_PATH_MAX + 8];
    bool stored = log->durability != DURABILITY_MEMORY;
    if (options->directory != NULL)
        snprintf(path, sizeof path, "%s/epochs", options->directory);
    else
        other_path(log, "epochs", path, sizeof path);
    return epochs_open(&log->epochs, path, stored, stored ? log->store.checkpoint.epoch : 0, text);
}

/*
 * How far publishers from afar have come. What an orderly stop said of a log in memory, which it ended,
 * counts for the next start alone. Should a batch have lost its end this is noted before anybody publishes:
 * else what comes next would be taken for the rest of it.
 */
static void open_origins(struct log *log, const struct log_options *options, uint32_t last_epoch)
{
    char path[STORE_PATH_MAX + 8];
    struct origins *origins = &log->origins;
    bool stored = log->durability != DURABILITY_MEMORY;
    if (!options->has_origins)
        return;
    snprintf(path, sizeof path, "%s/origins", options->directory);
    int rc = origins_open(origins, path);
    if (rc < 0 && rc != HERMES_ENOTFOUND)
        return;
    uint64_t position = stored ? log->store.position : 0, saved = origins->position;
    if (rc < 0 || (!stored && (log->taken_up || origins->epoch != last_epoch)))
        origins_forget(origins, position, stored ? last_epoch : UINT32_MAX);
    else if (stored)
        origins_follow(origins, &log->store, last_epoch);
    bool is_torn = stored && !log->taken_up && origins_end(origins, log->store.sequence);
    if (rc < 0 || is_torn || (!log->taken_up && saved != position))
        (void)origins_save(origins, position, log->epoch);
}

/* The first epoch since a reboot, an orderly stop, or ever. What the one before it left in memory is lost. */
static int note_first_epoch(struct log *log, uint64_t position, uint64_t sequence, struct error_text *text)
{
    struct epoch_record record;
    int rc = HERMES_OK;
    if (epochs_find(&log->epochs, log->epochs.last, &record) == 0 && record.end == EPOCH_OPEN) {
        record.end = EPOCH_LOST;
        record.end_position = position;
        record.end_sequence = sequence;
        rc = epochs_write(&log->epochs, &record, text);
    }
    if (rc == 0)
        rc = epochs_next_start(&log->epochs, &log->epoch, text);
    record = (struct epoch_record){log->epoch, EPOCH_OPEN, position, sequence, position, sequence};
    if (rc == 0)
        rc = epochs_write(&log->epochs, &record, text);
    if (rc == 0)
        status_note_epoch(log->status, &record);
    return rc;
}

/* A status page under a name that nobody looks for yet, and the first window, which nobody has written to. */
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
    if (log->durability != DURABILITY_MEMORY) {
        position = log->store.position;
        sequence = log->store.sequence;
    }
    rc = note_first_epoch(log, position, sequence, text);
    if (rc == 0)
        rc = log_make_window(log, log->epoch, &log->window_map, &log->window_fd, text);
    if (rc < 0)
        return rc;
    log->window = log->window_map.address;
    window_init(log->window, log->capacity, status->topic_id, log->epoch, position, sequence,
                !log->membarrier);
    atomic_store(&status->persisted, position);
    atomic_store(&status->persisted_sequence, sequence);
    atomic_store(&status->durable, position);
    atomic_store(&status->durable_sequence, sequence);
    atomic_store(&status->seal, status_seal(options->instance, log->epoch - 1));
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
    uint64_t ring = atomic_load(&status->journal_ring);
    uint32_t index = atomic_load(&status->journal_line);
    if (ring != 0 && index < STATUS_RINGS && atomic_load(&status->rings[index].id) == ring) {
        struct status_ring *line = &status->rings[index];
        uint64_t position = atomic_load(&status->journal_log_position), messages = 0, bytes;
        hermes_header_t header;
        int rc;
        while ((rc = window_poll(log->window->data, log->capacity - 1, position, &header, &bytes)) > 0) {
            messages += rc == POLL_DATA;
            position += bytes;
            if (rc == POLL_DATA)
                atomic_store(&line->log_sequence, header.sequence);
        }
        /* As drain() does: who reads how many are in the log finds no earlier end of it than theirs. */
        atomic_store(&line->log_position, position);
        atomic_store(&line->consumed_sequence, atomic_load(&status->journal_sequence) + messages);
    }
    atomic_store(&status->journal_ring, 0);
}

/* Rings died with the broker that had them: their producers find out by their marks, and how far they came by
 * their lines. */
static void end_rings(struct status *status)
{
    for (unsigned i = 0; i < STATUS_RINGS; i++) {
        if (atomic_load(&status->rings[i].ended) == RING_TAKEN_FROM)
            atomic_store(&status->rings[i].ended, RING_LOST);
        atomic_store(&status->ring_marks[i], 0);
    }
}

/*
 * The sequence behind what is stored. The last owner may have died between the two words that say how far
 * that is (log_persist()): then it is that of the messages behind the position, which stand in the window,
 * one after the other up to the one that the word names.
 */
static uint64_t stored_sequence(const struct log *log)
{
    const uint64_t start = atomic_load(&log->status->persisted),
                   told = atomic_load(&log->status->persisted_sequence);
    uint64_t position = start, sequence = 0, first = told, bytes;
    hermes_header_t header;
    int rc;
    while (position - start < log->capacity &&
           (rc = window_poll(log->window->data, log->capacity - 1, position, &header, &bytes)) > 0) {
        position += bytes;
        if (rc != POLL_DATA)
            continue;
        if (sequence == 0)
            first = sequence = header.sequence;
        if (header.sequence != sequence || sequence >= told)
            return told;
        if (++sequence == told)
            return first;
    }
    return told;
}

/* HERMES_ENOTFOUND: there is none, or none that can be used: then the store is the truth. */
static int take_up_status(struct log *log, const struct log_options *options, struct error_text *text)
{
    char path[320];
    other_path(log, "status", path, sizeof path);
    int fd = standard_move_above(open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0) /* only what is not there is made anew: to be out of descriptors destroys nothing */
        return errno == ENOENT ? HERMES_ENOTFOUND : error_set_errno(text, "open", path);
    uint64_t size;
    int rc = map_file_size(fd, &size);
    if (rc == 0 && size != STATUS_BYTES)
        rc = HERMES_ENOTFOUND;
    else if (rc == 0 && (rc = map_fd(fd, STATUS_BYTES, MAP_READ_WRITE, MAP_PREFAULT, &log->status_map)) < 0)
        error_set(text, rc, "cannot map %s", path);
    close(fd);
    if (rc < 0)
        return rc;
    struct status *status = log->status_map.address;
    if (status_check(status) < 0 || status->topic_id != options->topic_id || status_is_closed(status))
        return HERMES_ENOTFOUND;
    log->status = status;
    /* Whatever is wanted now: what the window holds was told to be in the log. */
    log->capacity = status->window_bytes;
    if (log->durability != DURABILITY_MEMORY && status->segment_bytes != options->segment_bytes)
        return error_say(text, HERMES_EINVALID,
                         "segments of %" PRIu64 " bytes: those of this log are of %" PRIu64,
                         options->segment_bytes, status->segment_bytes);
    log->epoch = atomic_load(&status->epoch);
    rc = open_window(log, text);
    if (rc < 0)
        return rc;
    if (log->durability != DURABILITY_MEMORY) {
        uint64_t sequence = stored_sequence(log);
        atomic_store(&status->persisted_sequence, sequence);
        rc = store_resume(&log->store, atomic_load(&status->persisted), sequence, text);
        if (rc == 0)
            rc = tail_write_again(&log->store, atomic_load(&status->durable), text);
        if (rc < 0)
            return rc;
    }
    repair_journal(log);
    end_rings(status);
    atomic_store(&status->state, STATE_OPEN);
    struct epoch_record record = {0};
    bool known = status_find_epoch(status, log->epoch, &record);
    uint32_t sealed = (uint32_t)atomic_load(&status->seal);
    if (known && record.end != EPOCH_OPEN) {
        log->ended = true;
        log->end = (struct window_end){record.end_position, record.end_sequence, 0};
        atomic_store(&status->writer, WRITER_NOBODY); /* the last owner may not have come to that */
    } else if (sealed >= log->epoch || atomic_load(&status->writer) == WRITER_OWNER) {
        log_end(log, EPOCH_LEFT); /* what the last owner began, or was itself */
    }
    /* The instance is new, the sealed epoch as it was: publishers and readers that live go on. */
    sealed = (uint32_t)atomic_load(&status->seal);
    atomic_store(&status->seal, status_seal(options->instance, sealed));
    return HERMES_OK;
}

/* Nothing of it counts. */
static void leave_status(struct log *log, const struct log_options *options)
{
    map_release(&log->window_map);
    map_release(&log->status_map);
    if (log->window_fd >= 0)
        close(log->window_fd);
    log->window_fd = -1;
    log->window = NULL;
    log->status = NULL;
    log->capacity = options->window_bytes;
}

int log_open(struct log *log, const struct log_options *options, struct error_text *text)
{
    *log = (struct log){.status_fd = -1,
                        .window_fd = -1,
                        .doorbell_fd = -1,
                        .durability = options->durability,
                        .epochs = {.fd = -1},
                        .origins = {.fd = -1},
                        .capacity = options->window_bytes,
                        .instance = options->instance};
    if (!window_capacity_is_legal(options->window_bytes))
        return error_say(text, HERMES_EINVALID,
                         "window of %" PRIu64 " bytes: it must be a power of two from %d to %d",
                         options->window_bytes, WINDOW_MIN_BYTES, WINDOW_MAX_BYTES);
    if (options->durability != DURABILITY_MEMORY &&
        (options->segment_bytes < options->window_bytes || options->segment_bytes > STORE_SEGMENT_MAX ||
         options->segment_bytes % options->window_bytes != 0))
        return error_say(text, HERMES_EINVALID,
                         "segment of %" PRIu64 " bytes: it must be a multiple of the window's %" PRIu64
                         ", and 1024G at most",
                         options->segment_bytes, options->window_bytes);
    int used = snprintf(log->prefix, sizeof log->prefix, "%s", options->prefix);
    if (used < 0 || (size_t)used >= sizeof log->prefix)
        return error_set(text, HERMES_ETOOLARGE, "path %s", options->prefix);
    pthread_mutex_init(&log->lock, NULL);
    origins_init(&log->origins);
    log->membarrier = barrier_register();

    bool is_new = false;
    bool survives = false; /* a status page, which may or may not be of use */
    uint32_t last_epoch;
    int rc = HERMES_OK;
    if (log->durability != DURABILITY_MEMORY) {
        snprintf(log->directory, sizeof log->directory, "%s", options->directory);
        log->store = (struct store){.directory = -1, .checkpoint_fd = -1, .fd = -1};
        char status[320];
        other_path(log, "status", status, sizeof status);
        survives = access(status, F_OK) == 0;
        rc = store_open(&log->store, options->directory, options->segment_bytes, options->topic_id,
                        survives ? STORE_RESUME : STORE_WRITE, text);
    }
    if (rc == 0)
        rc = open_epochs(log, options, text);
    last_epoch = log->epochs.last;
    if (rc == 0)
        rc = make_doorbell(log, options->doorbell_is_file, text);
    if (rc == 0) {
        rc = take_up_status(log, options, text);
        log->taken_up = rc == 0;
        if (rc == HERMES_ENOTFOUND) {
            leave_status(log, options);
            rc = survives ? store_recover(&log->store, text) : HERMES_OK;
        }
        if (!log->taken_up && rc == 0) {
            rc = make_status(log, options, text);
            is_new = rc == 0;
        }
    }
    if (rc == 0) {
        char path[320];
        other_path(log, "status", path, sizeof path);
        log->status_fd = standard_move_above(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (log->status_fd < 0)
            rc = error_set_errno(text, "open", path);
    }
    if (rc < 0) {
        if (is_new)
            remove_shared(log); /* nobody has it */
        log_forget(log);
        return rc;
    }
    if (log->durability != DURABILITY_MEMORY) {
        atomic_store(&log->status->first, store_first(&log->store));
        /* A purge may have been cut short by a crash, and the window live on. */
        window_forget(log->window, atomic_load(&log->store.floor));
    }
    open_origins(log, options, last_epoch);
    return HERMES_OK;
}

/* ---- for the persister and the readers ---- */

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
    /* Relaxed: what is not stored yet is there, whatever the persister does meanwhile. */
    uint64_t position = atomic_load_explicit(&log->status->persisted, memory_order_relaxed);
    uint64_t offset = position & (log->capacity - 1);
    bool more = log->ended ? position < log->end.position
                           : atomic_load_explicit(window_commit_word(log->window->data, offset),
                                                  memory_order_acquire) != 0;
    log_unlock(log);
    return more;
}

/* Somebody removed its name, and its epoch goes on. The descriptor may be replaced while we look, so what it
 * gives is looked at: -1 and ENOENT, it is not that epoch's. */
static int open_nameless_window(const struct log *log, uint32_t epoch)
{
    char path[32];
    struct window header;
    snprintf(path, sizeof path, "/proc/self/fd/%d", log->window_fd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (pread(fd, &header, offsetof(struct window, position), 0) ==
            (ssize_t)offsetof(struct window, position) &&
        header.magic == WINDOW_MAGIC && header.topic_id == log->status->topic_id && header.epoch == epoch)
        return fd;
    close(fd);
    errno = ENOENT;
    return -1;
}

int log_window_reader_fd(const struct log *log, uint32_t epoch, int *fd)
{
    char path[320];
    if (epoch != atomic_load_explicit(&log->status->epoch, memory_order_acquire))
        return HERMES_EAGAIN;
    log_window_path(log->prefix, epoch, path, sizeof path);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 && errno == ENOENT)
        *fd = open_nameless_window(log, epoch);
    return *fd < 0 ? error_from_errno(errno) : HERMES_OK;
}

/* ---- closing ---- */

void log_abandon(struct log *log)
{
    log_forget(log);
}

/* Everything into the store, durable. */
static int store_all(struct log *log)
{
    int64_t done;
    while ((done = log_persist(log, log->capacity)) > 0)
        ;
    return done < 0 ? (int)done : log_sync(log);
}

/* With those of whom nothing is in the log: of a log in memory nothing else tells. */
static void save_origins(struct log *log)
{
    for (unsigned i = 0; i < STATUS_RINGS && log->origins.fd >= 0; i++) {
        const struct status_ring *line = &log->status->rings[i];
        uint64_t origin = atomic_load(&line->origin);
        struct origin known = {.id = atomic_load(&line->id),
                               .last = atomic_load(&line->consumed_sequence),
                               .uid = (uint32_t)(origin - 1)};
        if (known.id != 0 && origin != 0)
            origins_set(&log->origins, &known, log->epoch);
    }
    (void)origins_save(&log->origins, log->durability == DURABILITY_MEMORY ? 0 : log->store.position,
                       log->epoch);
}

int log_close(struct log *log, enum status_state state)
{
    log_end(log, EPOCH_STOPPED); /* first: what a publisher is told was committed is in what follows */
    int rc = state == STATE_DELETED ? HERMES_OK : store_all(log);
    if (rc == 0) {
        struct epoch_record record;
        struct error_text ignored; /* should it fail, the next start finds the same end in the store */
        if (state != STATE_DELETED && status_find_epoch(log->status, log->epoch, &record))
            (void)epochs_write(&log->epochs, &record, &ignored);
        if (state != STATE_DELETED)
            save_origins(log);
        /* Release pairs with the reader's acquire of state: where the log ends is known before that it does.
         */
        atomic_store_explicit(&log->status->state, state, memory_order_release);
        remove_shared(log);
    }
    /* Else nothing may be thrown away that only shared memory still has: a full disk must be able to heal.
     * The epoch is over, and the next owner goes on from there, as after a crash. */
    atomic_fetch_add_explicit(&log->window->bell, 1, memory_order_release);
    futex_wake_all(&log->window->bell);
    atomic_fetch_add_explicit(&log->status->durable_bell, 1, memory_order_release);
    futex_wake_all(&log->status->durable_bell);
    log_forget(log);
    return rc == 0 && log->cut ? HERMES_EMALFORMED : rc;
}
