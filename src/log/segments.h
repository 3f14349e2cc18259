/*
 * The segments of a store, as any thread may search them. The store's owner has a list of its own, and
 * publishes an immutable copy of it by pointer whenever it changes: who searches takes a reference, and waits
 * for no disk but the one it reads from itself.
 */
#ifndef LOG_SEGMENTS_H
#define LOG_SEGMENTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A segment. Headers are read when they are needed: opening does not take longer the more there are. What was
 * read is filled in by whoever needed it first: it is the same for all. */
struct store_entry {
    uint64_t base;
    _Atomic uint64_t first_sequence; /* 0: the header was not read yet, or cannot be */
    _Atomic uint64_t created;        /* when it was begun, which is when the one before it was full */
    _Atomic uint64_t before;         /* the greatest time stamp of all messages before it */
    _Atomic bool timed; /* before is known; if it cannot be, a search begins in an earlier segment */
};

struct segment_list {
    size_t users; /* under the lock */
    size_t count;
    struct store_entry entries[];
};

/* Where the current one is published. The lock is held for some instructions, never through a system call. */
struct segments {
    pthread_mutex_t lock;
    struct segment_list *list; /* NULL: none was published yet */
};

/* A copy of them; NULL: no memory. To be published, or freed with free(). */
struct segment_list *segment_list_make(const struct store_entry *entries, size_t count);

/* Takes the list over. NULL: nothing is published any more. */
void segments_publish(struct segments *segments, struct segment_list *list);

/* What is published; NULL: nothing. To be given back. */
struct segment_list *segments_take(struct segments *segments);

/* Gives it back. true: by now another one is published. */
bool segments_give_back(struct segments *segments, struct segment_list *list);

#endif
