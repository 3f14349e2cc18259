#include "broker/scrubber.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "broker/broker.h"
#include "log/verify.h"

/* Nobody is in a hurry after a start. */
static const uint64_t first_pass_ns = 60000000000u;

/* How often it looks whether there is something new. */
static uint64_t look_ns(const struct scrubber *scrubber)
{
    return scrubber->interval_ns == 0 ? 10000000 : 60000000000u;
}

/* One stretch of one log. The log itself may be gone by the time that it is done. */
struct stretch {
    struct log *log;
    uint64_t topic_id;
    int fd;
    uint64_t until;
    char directory[STORE_PATH_MAX];
    struct verify verify;
};

static void tell(void *context, uint64_t from, uint64_t to, int error)
{
    const struct stretch *stretch = context;
    note("%s: damaged from position %" PRIu64 " to %" PRIu64 ": %s", stretch->directory, from, to,
         hermes_strerror(error));
}

/* What is next in this log; false: nothing now. *due_ns: when to look again. */
static bool choose_in(const struct scrubber *scrubber, struct log *log, uint64_t now, struct stretch *stretch,
                      uint64_t *due_ns)
{
    if (log->durability == DURABILITY_MEMORY)
        return false;
    struct scrub *scrub = &log->scrub;
    if (scrub->due_ns == 0)
        scrub->due_ns = now + (scrubber->interval_ns < first_pass_ns ? scrubber->interval_ns : first_pass_ns);
    uint64_t first = atomic_load_explicit(&log->status->first, memory_order_acquire);
    uint64_t durable = atomic_load_explicit(&log->status->durable, memory_order_acquire);
    if (now >= scrub->due_ns && scrub->position >= durable && scrub->position > first) { /* once round */
        atomic_store_explicit(&log->status->corrupt, scrub->found, memory_order_relaxed);
        *scrub = (struct scrub){.due_ns = now + scrubber->interval_ns};
    }
    if (now < scrub->due_ns || durable <= first) {
        uint64_t next = now < scrub->due_ns ? scrub->due_ns : now + look_ns(scrubber);
        *due_ns = next < *due_ns ? next : *due_ns;
        return false;
    }
    if (scrub->position < first) { /* retention went by */
        scrub->position = first;
        scrub->sequence = 0;
    }
    *stretch = (struct stretch){
        .log = log,
        .topic_id = log->status->topic_id,
        .until = (scrub->position | (log->capacity - 1)) + 1,
        .verify = {.capacity = log->capacity,
                   .segment_bytes = log->status->segment_bytes,
                   .end = durable,
                   .position = scrub->position,
                   .sequence = scrub->sequence,
                   .damage = tell},
    };
    if (stretch->until > durable)
        stretch->until = durable;
    snprintf(stretch->directory, sizeof stretch->directory, "%s", log->directory);
    struct error_text ignored;
    log_lock(log);
    struct store_place place;
    (void)store_find(&log->store, STORE_BY_POSITION, scrub->position, &place, &ignored);
    log_unlock(log);
    stretch->fd = place.fd;
    return true;
}

static bool choose(struct scrubber *scrubber, uint64_t now, struct stretch *stretch, uint64_t *due_ns)
{
    bool found = false;
    struct persister *persister = scrubber->persister;
    pthread_mutex_lock(&persister->lock);
    for (unsigned i = 0; i < persister->count && !found; i++)
        found = choose_in(scrubber, persister->logs[i], now, stretch, due_ns);
    pthread_mutex_unlock(&persister->lock);
    return found;
}

static void check(struct scrubber *scrubber, struct stretch *stretch)
{
    struct verify *verify = &stretch->verify;
    struct error_text ignored;
    verify->context = stretch;
    if (verify->capacity > scrubber->buffer_bytes) {
        uint8_t *grown = realloc(scrubber->buffer, verify->capacity);
        if (grown == NULL)
            return;
        scrubber->buffer = grown;
        scrubber->buffer_bytes = verify->capacity;
    }
    (void)verify_segment(verify, stretch->fd, stretch->until, scrubber->buffer, &ignored);
    if (stretch->fd >= 0)
        close(stretch->fd);
}

static void note_result(struct scrubber *scrubber, const struct stretch *stretch)
{
    struct persister *persister = scrubber->persister;
    pthread_mutex_lock(&persister->lock);
    for (unsigned i = 0; i < persister->count; i++) {
        struct log *log = persister->logs[i];
        if (log != stretch->log || log->status->topic_id != stretch->topic_id)
            continue;
        log->scrub.position = stretch->verify.position;
        log->scrub.sequence = stretch->verify.sequence;
        log->scrub.found += stretch->verify.damaged;
        if (log->scrub.found > atomic_load_explicit(&log->status->corrupt, memory_order_relaxed))
            atomic_store_explicit(&log->status->corrupt, log->scrub.found, memory_order_relaxed);
    }
    pthread_mutex_unlock(&persister->lock);
}

static void *scrubber_main(void *argument)
{
    struct scrubber *scrubber = argument;
    while (atomic_load_explicit(&scrubber->stop, memory_order_acquire) == 0) {
        uint64_t now = clock_monotonic_ns(), due = now + look_ns(scrubber);
        struct stretch stretch;
        if (choose(scrubber, now, &stretch, &due)) {
            uint64_t from = stretch.verify.position;
            check(scrubber, &stretch);
            note_result(scrubber, &stretch);
            due = now + (stretch.verify.position - from) * 1000 / (scrubber->bytes_per_second / 1000000);
        }
        now = clock_monotonic_ns();
        if (due > now)
            futex_wait(&scrubber->stop, 0, due - now);
    }
    return NULL;
}

int scrubber_start(struct scrubber *scrubber)
{
    if (scrubber->bytes_per_second == 0)
        return HERMES_OK;
    int rc = thread_start(&scrubber->thread, scrubber_main, scrubber);
    scrubber->running = rc == 0;
    return rc;
}

void scrubber_stop(struct scrubber *scrubber)
{
    if (!scrubber->running)
        return;
    atomic_store_explicit(&scrubber->stop, 1, memory_order_release);
    futex_wake_all(&scrubber->stop);
    pthread_join(scrubber->thread, NULL);
    free(scrubber->buffer);
    scrubber->running = false;
}
