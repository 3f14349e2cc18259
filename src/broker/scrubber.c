#include "broker/scrubber.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/note.h"
#include "log/verify.h"

/* Nobody is in a hurry after a start. */
static const uint64_t first_pass_ns = 60000000000u;

/* How often it looks whether there is something new. */
static uint64_t look_ns(const struct scrubber *scrubber)
{
    return scrubber->interval_ns == 0 ? 10000000 : 60000000000u;
}

static void tell(void *context, uint64_t from, uint64_t to, int error)
{
    const struct log *log = context;
    note("%s: damaged from position %" PRIu64 " to %" PRIu64 ": %s", log->directory, from, to,
         hermes_strerror(error));
}

/* ---- when ---- */

/* Where the pass over this log goes on. Returns 0, or when there may be something to read. */
static uint64_t go_on(const struct scrubber *scrubber, struct log *log, uint64_t now_ns)
{
    struct scrub *scrub = &log->scrub;
    if (scrub->due_ns == 0)
        scrub->due_ns =
            now_ns + (scrubber->interval_ns < first_pass_ns ? scrubber->interval_ns : first_pass_ns);
    uint64_t first = atomic_load_explicit(&log->status->first, memory_order_acquire);
    uint64_t durable = atomic_load_explicit(&log->status->durable, memory_order_acquire);
    if (now_ns >= scrub->due_ns && scrub->position >= durable && scrub->position > first) { /* once round */
        atomic_store_explicit(&log->status->corrupt, scrub->found, memory_order_relaxed);
        *scrub = (struct scrub){.due_ns = now_ns + scrubber->interval_ns};
    }
    if (now_ns < scrub->due_ns)
        return scrub->due_ns;
    if (durable <= first)
        return now_ns + look_ns(scrubber);
    if (scrub->position < first) { /* retention went by */
        scrub->position = first;
        scrub->sequence = 0;
    }
    return 0;
}

/* Takes the next turn: stretches of all logs come one after the other, each for as long as the rate says. */
static uint64_t take_turn(struct scrubber *scrubber, uint64_t bytes, uint64_t now_ns)
{
    uint64_t cost_ns = bytes * 1000 / (scrubber->bytes_per_second / 1000000);
    /* Relaxed: it is a number, and says nothing of anything else. */
    uint64_t turn_ns, free_ns = atomic_load_explicit(&scrubber->free_ns, memory_order_relaxed);
    do
        turn_ns = free_ns > now_ns ? free_ns : now_ns;
    while (!atomic_compare_exchange_weak_explicit(&scrubber->free_ns, &free_ns, turn_ns + cost_ns,
                                                  memory_order_relaxed, memory_order_relaxed));
    return turn_ns;
}

/* ---- what ---- */

static struct verify next_stretch(struct log *log)
{
    return (struct verify){.capacity = log->capacity,
                           .segment_bytes = log->status->segment_bytes,
                           .end = atomic_load_explicit(&log->status->durable, memory_order_acquire),
                           .position = log->scrub.position,
                           .sequence = log->scrub.sequence,
                           .damage = tell,
                           .context = log};
}

static uint64_t end_of_stretch(const struct verify *verify)
{
    uint64_t until = (verify->position | (verify->capacity - 1)) + 1;
    return until < verify->end ? until : verify->end;
}

static bool make_room(struct scrubber *scrubber, uint64_t bytes)
{
    if (bytes <= scrubber->buffer_bytes)
        return true;
    uint8_t *grown = realloc(scrubber->buffer, bytes);
    if (grown == NULL)
        return false;
    scrubber->buffer = grown;
    scrubber->buffer_bytes = bytes;
    return true;
}

static void check(struct scrubber *scrubber, struct log *log, struct verify *verify)
{
    struct error_text ignored;
    struct store_place place;
    if (!make_room(scrubber, verify->capacity))
        return;
    int rc = store_find(&log->store, STORE_BY_POSITION, verify->position, &place, &ignored);
    if (rc < 0 && rc != HERMES_ENOTFOUND) /* retention was faster, or there was no descriptor: next time */
        return;
    (void)verify_segment(verify, place.fd, end_of_stretch(verify), scrubber->buffer, &ignored);
    if (place.fd >= 0)
        close(place.fd);
    log->scrub.position = verify->position;
    log->scrub.sequence = verify->sequence;
    log->scrub.found += verify->damaged;
    if (log->scrub.found > atomic_load_explicit(&log->status->corrupt, memory_order_relaxed))
        atomic_store_explicit(&log->status->corrupt, log->scrub.found, memory_order_relaxed);
}

/* ---- the task ---- */

static uint64_t scrub(struct task *task, uint64_t now_ns)
{
    struct scrubbing *scrubbing =
        (struct scrubbing *)(void *)((char *)task - offsetof(struct scrubbing, task));
    struct scrubber *scrubber = scrubbing->scrubber;
    struct log *log = scrubbing->log;
    uint64_t due_ns = go_on(scrubber, log, now_ns);
    if (due_ns != 0)
        return due_ns;
    struct verify verify = next_stretch(log);
    if (scrubbing->turn_ns == 0)
        scrubbing->turn_ns = take_turn(scrubber, end_of_stretch(&verify) - verify.position, now_ns);
    if (scrubbing->turn_ns > now_ns)
        return scrubbing->turn_ns;
    scrubbing->turn_ns = 0;
    /* Acquire pairs with the release below: the buffer. A disk that hangs must not take all workers. */
    if (atomic_exchange_explicit(&scrubber->busy, true, memory_order_acquire))
        return now_ns + look_ns(scrubber) / 10; /* and another turn */
    check(scrubber, log, &verify);
    atomic_store_explicit(&scrubber->busy, false, memory_order_release);
    return 0;
}

void scrubber_add(struct scrubber *scrubber, struct scrubbing *scrubbing, struct log *log)
{
    if (scrubber->bytes_per_second == 0)
        return;
    scrubbing->task.run = scrub;
    scrubbing->log = log;
    scrubbing->scrubber = scrubber;
    workers_add(scrubber->workers, &scrubbing->task);
}

void scrubber_stop(struct scrubber *scrubber)
{
    free(scrubber->buffer);
    scrubber->buffer = NULL;
    scrubber->buffer_bytes = 0;
}
