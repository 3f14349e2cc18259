#include "log/window.h"

#include <assert.h>
#include <unistd.h>

#include "base/crc32.h"

int status_check(const struct status *status)
{
    if (status->magic != STATUS_MAGIC)
        return HERMES_EMALFORMED;
    if (status->version != STATUS_VERSION)
        return HERMES_EVERSION;
    if (!window_capacity_is_legal(status->window_bytes))
        return HERMES_EMALFORMED;
    return HERMES_OK;
}

void window_init(struct window *window, uint64_t capacity, uint64_t topic_id, uint32_t epoch,
                 uint64_t position, uint64_t sequence, bool writer_fences)
{
    window->version = WINDOW_VERSION;
    window->header_bytes = WINDOW_HEADER_BYTES;
    window->capacity = capacity;
    window->topic_id = topic_id;
    window->epoch = epoch;
    window->writer_fences = writer_fences;
    window->first = position;
    atomic_store_explicit(&window->position, position, memory_order_relaxed);
    atomic_store_explicit(&window->sequence, sequence, memory_order_relaxed);
    /* What stood below position never was in this window. */
    atomic_store_explicit(&window->overwrite_limit, position, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    window->magic = WINDOW_MAGIC;
}

int window_check(const struct window *window, size_t bytes, uint64_t *capacity)
{
    if (bytes < WINDOW_HEADER_BYTES || window->magic != WINDOW_MAGIC)
        return HERMES_EMALFORMED;
    if (window->version != WINDOW_VERSION)
        return HERMES_EVERSION;
    uint64_t c = *(const volatile uint64_t *)&window->capacity;
    if (!window_capacity_is_legal(c) || bytes < WINDOW_HEADER_BYTES + c)
        return HERMES_EMALFORMED;
    *capacity = c;
    return HERMES_OK;
}

uint64_t window_oldest(const struct window *window, uint64_t end)
{
    /* Acquire pairs with the release fence in window_make_room(), as in window_still_there(). */
    uint64_t limit = atomic_load_explicit(&window->overwrite_limit, memory_order_acquire);
    /* Anybody who may write the window may write these. */
    uint64_t capacity = *(const volatile uint64_t *)&window->capacity;
    uint64_t oldest = *(const volatile uint64_t *)&window->first;
    if (limit > oldest)
        oldest = (limit + capacity - 1) & ~(capacity - 1);
    bool sane = window_capacity_is_legal(capacity) && oldest % HERMES_FRAME_ALIGNMENT == 0 && oldest <= end;
    return sane && end - oldest <= capacity ? oldest : end;
}

void window_forget(struct window *window, uint64_t position)
{
    if (atomic_load_explicit(&window->overwrite_limit, memory_order_relaxed) >= position)
        return;
    *(volatile uint64_t *)&window->first = position;
    /* Release pairs with the acquire in window_oldest(): who sees the limit sees where a frame begins. */
    atomic_store_explicit(&window->overwrite_limit, position, memory_order_release);
}

void window_writer_init(struct window_writer *writer, const struct window_writer_options *options,
                        uint64_t position, uint64_t sequence)
{
    struct window *window = options->window;
    *writer = (struct window_writer){
        .data = window->data,
        .mask = window->capacity - 1,
        .position = position,
        .sequence = sequence,
        .zeroed = position,
        .mark = options->mark,
        .seal = options->seal,
        .parked = options->doorbell != NULL ? &options->doorbell->parked : options->parked,
        .epoch = options->epoch,
        .membarrier = options->membarrier,
        .window = window,
        .gate = options->gate,
        .readers = options->readers,
        .persister_bell = options->persister_bell,
        .doorbell = options->doorbell,
        .eventfd = options->eventfd,
        .rung_at = position,
    };
    (void)window_make_room(writer, position + WINDOW_ZERO_AHEAD);
}

/*
 * Zeroing the commit word at q destroys the byte at q - C. So first the overwrite limit must say so,
 * and the gate must have let q - C go. Limits move in steps of C/32, or readers would fetch that line
 * for every message.
 */
int window_make_room(struct window_writer *writer, uint64_t end)
{
    uint64_t capacity = writer->mask + 1;
    if (end > writer->may_zero) {
        uint64_t may_zero = end + capacity / 32;
        if (writer->readers != NULL) {
            uint64_t slowest = readers_slowest(writer->readers);
            if (slowest < may_zero - capacity && may_zero > capacity)
                may_zero = slowest + capacity;
            if (may_zero < end)
                return HERMES_EAGAIN;
        }
        if (writer->gate != NULL) {
            /* Acquire pairs with the persister's (sequencer's) release: it is done with those bytes. */
            uint64_t open_to = atomic_load_explicit(writer->gate, memory_order_acquire) + capacity;
            if (writer->persister_bell != NULL && end + capacity / 2 > open_to &&
                writer->position - writer->rung_at >= capacity / 8) {
                writer->rung_at = writer->position;
                futex_wake_all(writer->persister_bell);
            }
            if (open_to < may_zero)
                may_zero = open_to;
            if (may_zero < end) {
                if (writer->persister_bell != NULL)
                    futex_wake_all(writer->persister_bell);
                return HERMES_EAGAIN;
            }
        }
        if (may_zero > capacity &&
            may_zero - capacity >
                atomic_load_explicit(&writer->window->overwrite_limit, memory_order_relaxed)) {
            /* W1: raise the limit before the first byte of the next lap. Pairs with the acquire fence
             * in window_still_there(). */
            atomic_store_explicit(&writer->window->overwrite_limit, may_zero - capacity,
                                  memory_order_relaxed);
            atomic_thread_fence(memory_order_release);
        }
        writer->may_zero = may_zero;
    }
    for (; writer->zeroed < end; writer->zeroed += HERMES_FRAME_ALIGNMENT)
        atomic_store_explicit(window_commit_word(writer->data, writer->zeroed & writer->mask), 0,
                              memory_order_relaxed);
    return HERMES_OK;
}

void window_jump(struct window_writer *writer, uint64_t position, uint64_t sequence)
{
    window_forget(writer->window, position);
    /* Relaxed: ordered before the new position by its release. Readers come to this word next. */
    atomic_store_explicit(window_commit_word(writer->data, position & writer->mask), 0, memory_order_relaxed);
    writer->position = writer->rung_at = position;
    writer->sequence = sequence;
    writer->zeroed = writer->may_zero = position + HERMES_FRAME_ALIGNMENT;
    (void)window_after_commit(writer);
}

/*
 * Wakes half a window later than it could. A writer that goes on for each eighth that was read keeps its
 * readers a lap behind for good: what they read has left the caches by then, and both sleep and wake each
 * other for little. With half a window read they catch up while it wakes, and go on close behind it.
 */
bool window_waits_for_readers(const struct window_writer *writer, uint64_t *wanted)
{
    uint64_t capacity = writer->mask + 1, room = capacity / 8;
    room = room > 2 * FRAME_MAX_BYTES ? room : 2 * FRAME_MAX_BYTES;
    if (writer->readers == NULL || writer->position + room <= capacity ||
        readers_slowest(writer->readers) >= writer->position + room - capacity)
        return false;
    *wanted = writer->position - capacity / 2;
    return true;
}

/* Fills the rest of the lap; with a checksum always, for a flipped bit could make a message of it. The frame
 * at the end of a window is at most FRAME_MAX_BYTES - 64 long, so that its length fits a header. */
int window_pad(struct window_writer *writer)
{
    uint64_t offset = writer->position & writer->mask;
    uint64_t rest = writer->mask + 1 - offset;
    assert(rest < FRAME_MAX_BYTES);
    int rc = HERMES_OK;
    uint64_t end = writer->position + rest + HERMES_FRAME_ALIGNMENT;
    if (end > writer->zeroed && (rc = window_make_room(writer, end)) < 0)
        return rc;
    const uint64_t word = hermes_commit_word(HERMES_TYPE_PAD, HERMES_FLAG_CRC);
    uint8_t *frame = writer->data + offset;
    uint32_t length = (uint32_t)(rest - HERMES_HEADER_BYTES);
    window_zero(frame + HERMES_HEADER_BYTES, length);
    window_header_in(frame, writer->sequence, 0, length,
                     crc32_message(frame + HERMES_HEADER_BYTES, length, word, writer->sequence, 0));
    window_commit(writer, word, rest, 0);
    return HERMES_OK;
}

/*
 * Wakes who sleeps. The flag is lowered before the bell changes, so a reader that raises it in between
 * either finds the bell changed and does not sleep, or - having raised it before our commit became
 * visible - is among those woken. A flag left up by a reader that was killed costs this one call.
 */
void window_ring(struct window_writer *writer)
{
    if (writer->doorbell != NULL) {
        atomic_store_explicit(&writer->doorbell->parked, 0, memory_order_relaxed);
        /* Release pairs with the acquire load of the bell before a reader's last look. */
        atomic_fetch_add_explicit(&writer->window->bell, 1, memory_order_release);
        futex_wake_all(&writer->window->bell);
    } else if (writer->eventfd >= 0) {
        uint64_t one = 1;
        ssize_t ignored = write(writer->eventfd, &one, sizeof one); /* full: it is readable anyway */
        (void)ignored;
    }
}

struct window_end window_walk(const uint8_t *data, uint64_t mask, uint64_t position, uint64_t sequence,
                              uint64_t until)
{
    struct window_end end = {position, sequence, 0};
    while (end.position < until) {
        hermes_header_t header;
        uint64_t frame_bytes;
        int rc = window_poll(data, mask, end.position, &header, &frame_bytes);
        if (rc == POLL_EMPTY)
            break;
        if (rc > 0 && header.sequence != end.sequence)
            rc = HERMES_EMALFORMED;
        if (rc < 0) {
            end.error = rc;
            break;
        }
        end.position += frame_bytes;
        if (rc == POLL_DATA)
            end.sequence++;
    }
    return end;
}

#ifdef WINDOW_TSAN
/* Frames are whole 8-byte words on both sides but for the producer's own payload. */
void window_copy_in(void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        atomic_store_explicit((_Atomic uint8_t *)to + i, ((const uint8_t *)from)[i], memory_order_relaxed);
}

void window_copy_out(void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)to)[i] = atomic_load_explicit((const _Atomic uint8_t *)from + i, memory_order_relaxed);
}

void window_zero(void *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        atomic_store_explicit((_Atomic uint8_t *)to + i, 0, memory_order_relaxed);
}
#endif
