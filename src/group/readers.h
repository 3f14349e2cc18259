/*
 * The readers page of a push-back topic: how far the subscribers are that asked to be waited for. The topic's
 * writer overwrites nothing that one of them has still to read: to it they are one more gate, beside the
 * store's (window_make_room()). Read once in a thirty-second of a window, so it costs a writer nothing while
 * nobody is behind.
 *
 *     64     wanted, room   the writer waits until the slowest is at `wanted`, and sleeps on `room`
 *     128    active         which lines count: the broker's. A reader that dies is cleared with its session
 *     192    lines          each its reader's: the position that it reads next
 *
 * A reader that reads from the store is not waited for: nothing that it needs can be overwritten. It counts
 * again once it is back in the window.
 *
 *     reader                                  writer that found no room
 *     cursor = position                       wanted = position - C + half of C
 *     (barrier_publisher)                     barrier_remote()
 *     wanted crossed? then room++, wake       no room still? then sleep while room is as it was
 */
#ifndef GROUP_READERS_H
#define GROUP_READERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wait.h"
#include "hermes/error.h"

enum {
    READERS_MAGIC = 0x41455248 /* "HREA" */,
    READERS_VERSION = 1,
    READERS_LINES = 64,
    READERS_BYTES = 8192
};

#define READERS_NOBODY UINT64_MAX

struct readers_line {
    _Alignas(64) _Atomic uint64_t id; /* of the subscriber that has it; 0: free */
    _Atomic uint64_t cursor;          /* READERS_NOBODY: not waited for at the moment */
};

struct readers {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint64_t topic_id;

    _Alignas(64) _Atomic uint64_t wanted; /* READERS_NOBODY: no writer waits */
    _Atomic uint32_t room;

    _Alignas(64) _Atomic uint64_t active; /* bit i: line i counts */

    struct readers_line line[READERS_LINES];
};

_Static_assert(offsetof(struct readers, wanted) == 64, "wanted");
_Static_assert(offsetof(struct readers, active) == 128, "active");
_Static_assert(offsetof(struct readers, line) == 192, "lines");
_Static_assert(sizeof(struct readers) <= READERS_BYTES, "size");

void readers_init(struct readers *readers, uint64_t topic_id);
int readers_check(const struct readers *readers, size_t bytes);

/* The owner's: a line for a new reader, counted from cursor on; -1: all are taken. */
int readers_add(struct readers *readers, uint64_t id, uint64_t cursor);
void readers_remove(struct readers *readers, unsigned line);

/* The writer's: what the slowest reads next; READERS_NOBODY. */
uint64_t readers_slowest(const struct readers *readers);

/* A writer that does not sleep here says that it waits for the slowest to be at wanted; and that it waits no
 * more: itself, or the owner for one that died over it. */
void readers_say_wait(struct readers *readers, uint64_t wanted);
void readers_forget_wait(struct readers *readers);

/* Sleeps until the slowest is at wanted, or for timeout_ns. */
void readers_wait(struct readers *readers, uint64_t wanted, uint64_t timeout_ns);

void readers_wake(struct readers *readers);

/* A reader's: it reads next at cursor. registered: barrier_register() of this process. */
static inline void readers_moved(struct readers *readers, unsigned line, uint64_t cursor, bool registered)
{
    _Atomic uint64_t *mine = &readers->line[line].cursor;
    uint64_t before = atomic_load_explicit(mine, memory_order_relaxed);
    if (before == cursor)
        return;
    /* Release pairs with the acquire in readers_slowest(): those bytes are copied. */
    atomic_store_explicit(mine, cursor, memory_order_release);
    barrier_publisher(registered);
    uint64_t wanted = atomic_load_explicit(&readers->wanted, memory_order_relaxed);
    if (__builtin_expect(before < wanted && cursor >= wanted, 0))
        readers_wake(readers);
}

#endif
