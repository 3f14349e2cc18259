/*
 * A topic log as its owner sees it - the broker, or the writer in embedded use: status page, hot
 * window, doorbell and store, and the rules that tie them together.
 *
 * Files, with P the prefix in shared memory and D the directory on disk:
 *     P.status            status page            survives its owner; taken up again by the next
 *     P.<epoch>.window    hot window             one for each epoch; the former is removed
 *     P.bell              doorbell (embedded; a broker's is a sealed memfd)
 *     D/epochs            what is known for good of each epoch
 *     D/origins           how far publishers from afar have come
 *     D/                  store (durability other than memory)
 *
 * Threads: log_lock() around everything but log_persist() and log_sync(), which take it themselves.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <pthread.h>

#include "log/epochs.h"
#include "log/origins.h"
#include "log/status.h"
#include "log/store.h"
#include "log/window.h"

struct log_options {
    const char *prefix;    /* P */
    const char *directory; /* D; NULL: epochs are remembered in shared memory, for DURABILITY_MEMORY only */
    uint64_t topic_id;
    uint64_t window_bytes; /* of one that is made; one that is taken up stays as it is: log.capacity */
    uint64_t segment_bytes;
    enum log_durability durability;
    bool shared;
    bool doorbell_is_file;
    bool has_origins;  /* publishers from afar: D/origins */
    uint32_t instance; /* of the owner: another at each start, never 0 */
};

/* How far the owner's scrubber has come; its own business. */
struct scrub {
    uint64_t position, sequence; /* of the next frame to check */
    uint64_t found;              /* damaged ranges in this pass */
    uint64_t due_ns;             /* when the next pass may begin; 0: not known yet */
};

struct log {
    pthread_mutex_t lock;
    char prefix[256];
    char directory[STORE_PATH_MAX];
    enum log_durability durability;
    struct map status_map, window_map, doorbell_map;
    struct status *status;
    struct window *window;
    struct doorbell *doorbell;
    int status_fd;   /* read-only, to be handed out */
    int window_fd;   /* read-write */
    int doorbell_fd; /* read-write */
    uint64_t capacity;
    uint32_t instance;
    uint32_t epoch;
    struct epochs epochs;
    struct origins origins;
    bool ended; /* the epoch is over; `end` says where */
    struct window_end end;
    bool cut; /* the owner itself wrote more than stood there at the end: somebody wrote over its window */
    struct window_writer writer;            /* WRITER_OWNER */
    struct readers *readers;                /* whom the owner's writer waits for; NULL: nobody */
    const _Atomic uint32_t *persister_bell; /* and whom it rings; NULL: nobody */
    struct store store;
    bool taken_up;         /* the shared memory of a former owner: nothing of what it held is lost */
    bool membarrier;       /* the owner has it; else the writers of its windows fence */
    bool failed;           /* the store refused a write: nothing more is confirmed */
    _Atomic int malformed; /* set by the persister for the owner's other thread: why the publisher must go */
    struct error_text error;
    uint64_t told_ns;            /* when the owner last told of it */
    uint64_t retry_ns;           /* the owner's persister leaves it alone until then */
    _Atomic uint64_t keep_bytes; /* retention; 0: all */
    _Atomic uint64_t keep_ns;
    struct scrub scrub;
};

/* Makes the log or takes it up where the last owner left it, alive or not: finishes a change of
 * publisher that was cut short, drains nothing (the persister does). */
int log_open(struct log *log, const struct log_options *options, struct error_text *text);

/*
 * Who writes the log. log_renew() opens a fresh epoch, which nobody writes yet; log_take() gives it to a
 * writer: WRITER_CLIENT, which is then handed window_fd, or WRITER_OWNER, whose log->writer it makes ready.
 * log_begin() is both. There is no other way to a window: whoever published before can no longer.
 *
 * Whatever can fail is done before anything is sealed: after an error of log_renew() the former writer goes
 * on as if nothing had been asked (but after HERMES_EIO from the record of the epoch, when the log has no
 * writer). It wakes all readers. It costs the making of a window, and for a stored log an fdatasync: not for
 * an event loop. log_take() costs next to nothing, and cannot fail.
 */
int log_renew(struct log *log, struct error_text *text);
bool log_is_fresh(const struct log *log);
void log_take(struct log *log, enum status_writer who);
int log_begin(struct log *log, enum status_writer who, struct error_text *text);

/* Ends the current epoch: what is committed now counts, nothing later does, and readers read up to there.
 * Needs no room, so it cannot fail. Nothing happens if it is over already. Costs a walk over what is not
 * stored yet. */
void log_end(struct log *log, enum epoch_end why);

/* May anything be committed to the log as it is? */
static inline bool log_has_writer(const struct log *log)
{
    return atomic_load_explicit(&log->status->writer, memory_order_relaxed) != WRITER_NOBODY;
}

/* Where the log ends for who comes now: the writer's own word, which one that misbehaves may have made up;
 * once the epoch is over, its end, beyond which the window may hold a commit that came too late to count. For
 * the thread that begins and ends epochs. */
static inline struct window_end log_committed(const struct log *log)
{
    if (log->ended)
        return log->end;
    return (struct window_end){.position = atomic_load(&log->window->position),
                               .sequence = atomic_load(&log->window->sequence)};
}

/* Of writer.c, for log_open(): the file of a window that is still to be initialised. */
int log_make_window(struct log *log, uint32_t epoch, struct map *map, int *fd, struct error_text *text);

enum { LOG_PERSIST_BYTES = STORE_STAGE_BYTES - FRAME_MAX_BYTES }; /* at a time */

/* Stores a copy of up to limit bytes that stand committed in the window, and the rest of the frame that
 * stands there; returns how many. Much less than limit: that is all for now. Under its own lock. A malformed
 * frame is HERMES_EMALFORMED: the publisher must go (log_end, EPOCH_MALFORMED). */
int64_t log_persist(struct log *log, uint64_t limit);

/* Confirms what is persisted: fdatasync, checkpoint, status page, wakes waiters. */
int log_sync(struct log *log);

/* Makes the store's next segment ahead, if it is time to. Should that fail, the roll that needs it says so.
 */
void log_prepare(struct log *log);

/* Deletes segments that retention no longer keeps, of what is durable. Returns how many, or an error. */
int log_retain(struct log *log);

/*
 * Drops every message that the log has. On a full disk what is stored goes first, for what is not to be
 * stored and go as well; HERMES_EFULL (or another error that heals): that did not make room, and what stands
 * in memory stays. Positions and sequences go on. Whoever reads older ones is told HERMES_EGONE (as with
 * retention, at the end of a segment that is mapped and goes as a whole); who writes goes on and notices
 * nothing. Of a stored log it is for good when this returns, and a crash in the middle of it has dropped all
 * or nothing. The thread that stores the log, while the epoch does not change. Costs what log_persist() and
 * log_sync() of what is not stored yet cost, a sync of the checkpoint and one for each segment.
 */
int log_purge(struct log *log);

/*
 * The log goes on at a later position, and with that sequence: a copy of another log, which has no more what
 * lies between. Readers are told HERMES_EGONE. For WRITER_OWNER's thread; of a stored log while nobody else
 * stores it. HERMES_EINVALID: not a later position; or a stored log that has messages already, which would be
 * left with a hole.
 */
int log_jump(struct log *log, uint64_t position, uint64_t sequence, struct error_text *text);

/* Asks the writer to ring at its next commit, as a reader that parks does: the word to sleep on, once
 * barrier_remote() was called and log_has_more() still says no. */
struct futex_word log_park(struct log *log);
bool log_has_more(struct log *log);

/* Readable by users other than the owner: path of the current window, and its name for an epoch. */
void log_window_path(const char *prefix, uint32_t epoch, char *path, size_t size);

/* Descriptor of the window of that epoch for reading only. Any thread. HERMES_EAGAIN: it is not the current
 * one. */
int log_window_reader_fd(const struct log *log, uint32_t epoch, int *fd);

/* Everything into the store, synced; files in shared memory removed; readers and writers told.
 * HERMES_EMALFORMED with log->cut: all that is done, and what the owner wrote behind the end is lost. */
int log_close(struct log *log, enum status_state state);

/* Leaves shared memory as it is: what a crash does. For tests of recovery. */
void log_abandon(struct log *log);

static inline void log_lock(struct log *log)
{
    pthread_mutex_lock(&log->lock);
}

static inline void log_unlock(struct log *log)
{
    pthread_mutex_unlock(&log->lock);
}

#endif
