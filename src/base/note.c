#include "base/note.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "base/wait.h"

enum { KINDS = 64, PROGRAM_BYTES = 32, LOOK_MS = 100 };

/* Notes of one format, in the seconds since begin_ns. */
struct kind {
    const char *format; /* NULL: free */
    uint64_t begin_ns;
    unsigned written;
    uint64_t more;         /* that were only counted */
    char last[NOTE_BYTES]; /* of those, the latest */
};

static struct {
    pthread_mutex_t lock; /* never held through a write, nor while somebody is woken who may want it */
    /* For the thread that writes; changed under the lock. Not a condition: who signals one may have to wait
     * (broker/workers.h). */
    _Atomic uint32_t changed;
    pthread_cond_t idle;
    char queue[NOTES_QUEUED][NOTE_BYTES];
    unsigned first, count;
    struct kind kinds[KINDS];
    uint64_t dropped, dropped_told;
    bool stopping;
    bool running;
    bool writing;
    bool ended;
    uint64_t until_ns; /* stopping: no longer than that */
    pthread_t thread;
    char program[PROGRAM_BYTES];
    int fd;
} notes = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER, .fd = STDERR_FILENO};

/* ---- making them, under the lock ---- */

static void put(const char *line)
{
    if (notes.count == NOTES_QUEUED) {
        notes.dropped++;
        return;
    }
    snprintf(notes.queue[(notes.first + notes.count++) % NOTES_QUEUED], NOTE_BYTES, "%s", line);
    atomic_fetch_add_explicit(&notes.changed, 1, memory_order_relaxed);
}

static void tell_more(struct kind *kind)
{
    char line[NOTE_BYTES];
    if (kind->more == 0)
        return;
    snprintf(line, sizeof line, "%" PRIu64 " more like this: %.*s", kind->more, NOTE_BYTES - 40, kind->last);
    kind->more = 0;
    put(line);
}

/* The kind of a format; of more kinds than we keep, the one that is oldest makes room. */
static struct kind *kind_of(const char *format, uint64_t now)
{
    struct kind *oldest = &notes.kinds[0];
    for (struct kind *kind = notes.kinds; kind < notes.kinds + KINDS; kind++) {
        if (kind->format == format)
            return kind;
        if (kind->begin_ns < oldest->begin_ns)
            oldest = kind;
    }
    tell_more(oldest);
    *oldest = (struct kind){.format = format, .begin_ns = now};
    return oldest;
}

static bool is_over(const struct kind *kind, uint64_t now)
{
    return now - kind->begin_ns >= NOTE_KIND_SECONDS * 1000000000ull;
}

void note(const char *format, ...)
{
    char line[NOTE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    uint64_t now = clock_monotonic_ns();
    pthread_mutex_lock(&notes.lock);
    uint32_t before = atomic_load_explicit(&notes.changed, memory_order_relaxed);
    struct kind *kind = kind_of(format, now);
    if (is_over(kind, now)) {
        tell_more(kind);
        kind->begin_ns = now;
        kind->written = 0;
    }
    if (kind->written < NOTES_OF_A_KIND) {
        kind->written++;
        put(line);
    } else {
        kind->more++;
        memcpy(kind->last, line, sizeof line);
    }
    bool wakes = atomic_load_explicit(&notes.changed, memory_order_relaxed) != before;
    pthread_mutex_unlock(&notes.lock);
    if (wakes)
        futex_wake_one(&notes.changed);
}

uint64_t note_dropped(void)
{
    pthread_mutex_lock(&notes.lock);
    uint64_t dropped = notes.dropped;
    pthread_mutex_unlock(&notes.lock);
    return dropped;
}

/* ---- writing them ---- */

/* Waits until there is room: false if it is time to stop and there is none. Makes no descriptor non-blocking:
 * standard error is shared with others, who did not ask for that. */
static bool wait_for_room(void)
{
    for (;;) {
        struct pollfd waiting = {.fd = notes.fd, .events = POLLOUT};
        int ready = poll(&waiting, 1, LOOK_MS);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
        pthread_mutex_lock(&notes.lock);
        bool give_up = notes.stopping && clock_monotonic_ns() >= notes.until_ns;
        pthread_mutex_unlock(&notes.lock);
        if (give_up)
            return false;
    }
}

static bool write_line(const char *text)
{
    char line[PROGRAM_BYTES + NOTE_BYTES + 4];
    int used = snprintf(line, sizeof line, "%s: %s\n", notes.program, text);
    return wait_for_room() && write(notes.fd, line, (size_t)used) == (ssize_t)used;
}

/* The next line; false: there is none. Under the lock. */
static bool take(char line[NOTE_BYTES])
{
    if (notes.count == 0 && notes.dropped > notes.dropped_told) {
        snprintf(line, NOTE_BYTES, "%" PRIu64 " notes were lost: standard error did not take them",
                 notes.dropped - notes.dropped_told);
        notes.dropped_told = notes.dropped;
        return true;
    }
    if (notes.count == 0)
        return false;
    memcpy(line, notes.queue[notes.first], NOTE_BYTES);
    notes.first = (notes.first + 1) % NOTES_QUEUED;
    notes.count--;
    return true;
}

/* Kinds whose time is over, or all of them. True if one has still to be told of later. */
static bool tell_counted(bool all)
{
    bool later = false;
    uint64_t now = clock_monotonic_ns();
    for (struct kind *kind = notes.kinds; kind < notes.kinds + KINDS; kind++) {
        if (all || is_over(kind, now))
            tell_more(kind);
        later |= kind->more != 0;
    }
    return later;
}

static struct timespec in_future(uint64_t ns)
{
    uint64_t until = clock_monotonic_ns() + ns;
    return (struct timespec){(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
}

static void wait_for_notes(bool some_seconds)
{
    uint32_t seen = atomic_load_explicit(&notes.changed, memory_order_relaxed); /* the order is the lock's */
    pthread_mutex_unlock(&notes.lock);
    (void)futex_wait(&notes.changed, seen,
                     some_seconds ? NOTE_KIND_SECONDS / 2 * 1000000000ull : FUTEX_FOREVER);
    pthread_mutex_lock(&notes.lock);
}

static void *write_all(void *unused)
{
    char line[NOTE_BYTES];
    (void)unused;
    pthread_mutex_lock(&notes.lock);
    for (;;) {
        bool stopping = notes.stopping, later = tell_counted(stopping);
        if (take(line)) {
            notes.writing = true;
            pthread_mutex_unlock(&notes.lock);
            bool written = write_line(line);
            pthread_mutex_lock(&notes.lock);
            notes.writing = false;
            notes.dropped += !written;
            if (!written && notes.stopping) { /* nor will it take the others */
                notes.dropped += notes.count;
                notes.count = 0;
                break;
            }
        } else if (stopping) {
            break;
        } else {
            pthread_cond_broadcast(&notes.idle);
            wait_for_notes(later);
        }
    }
    notes.ended = true;
    pthread_cond_broadcast(&notes.idle);
    pthread_mutex_unlock(&notes.lock);
    return NULL;
}

int note_start(const char *program, int fd)
{
    pthread_mutex_lock(&notes.lock);
    snprintf(notes.program, sizeof notes.program, "%s", program);
    notes.fd = fd;
    notes.stopping = false;
    notes.ended = false;
    notes.running = true;
    pthread_mutex_unlock(&notes.lock);
    int rc = thread_start(&notes.thread, write_all, NULL);
    notes.running = rc == 0;
    return rc;
}

void note_flush(uint64_t timeout_ns)
{
    struct timespec until = in_future(timeout_ns);
    int late = 0;
    pthread_mutex_lock(&notes.lock);
    while (notes.running && (notes.count > 0 || notes.writing) && late == 0)
        late = pthread_cond_clockwait(&notes.idle, &notes.lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&notes.lock);
}

void note_stop(uint64_t timeout_ns)
{
    struct timespec until = in_future(timeout_ns + LOOK_MS * 2000000ull);
    int late = 0;
    pthread_mutex_lock(&notes.lock);
    bool running = notes.running;
    notes.stopping = true;
    notes.until_ns = clock_monotonic_ns() + timeout_ns;
    notes.running = false;
    atomic_fetch_add_explicit(&notes.changed, 1, memory_order_relaxed);
    futex_wake_one(&notes.changed);
    while (running && !notes.ended && late == 0)
        late = pthread_cond_clockwait(&notes.idle, &notes.lock, CLOCK_MONOTONIC, &until);
    bool ended = notes.ended;
    pthread_mutex_unlock(&notes.lock);
    if (!running)
        write_all(NULL);
    else if (ended)
        pthread_join(notes.thread, NULL);
    else
        pthread_detach(notes.thread); /* it hangs in a write, and ends with the process */
}
