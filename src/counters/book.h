/*
 * The writer of the counters: the broker's. Takes entries for what comes, and gives them back when it goes.
 *
 *     book_open()                          at the start, in the broker's directory; what a former one left
 *                                          there stays until
 *     book_show()                          the start is through
 *     entry = book_take(book, &identity)   a session, a topic, a publisher ... has come
 *     counters_add(entry, value, 1)        whoever writes that value, and nobody else
 *     book_give_back(book, entry)          it has gone
 *     book_close()                         an orderly stop: the files go. A crash leaves them to be read
 *
 * Counting fails nobody: where there is no room, an entry that nobody sees takes what is counted, and
 * header->missing says so. Costs a few hundred nanoseconds where something comes or goes, and now and then
 * 200 KiB of shared memory; a relaxed store for each change of a value.
 *
 * Threads: any for take and give back, which are under a lock that is held for no system call but the one
 * that enlarges a file in memory.
 */
#ifndef COUNTERS_BOOK_H
#define COUNTERS_BOOK_H

#include <pthread.h>

#include "base/path.h"
#include "counters/page.h"
#include "log/told.h"

struct counters_book {
    pthread_mutex_t lock;
    struct map map, told_map;
    int fd, told_fd; /* told_fd is handed to clients that are trusted; -1: none */
    struct counters_header *header;
    struct counters_entry *entries;
    struct told_line *lines;
    uint32_t *free; /* entries that were given back: the last one first */
    uint32_t free_count, used;
    struct counters_entry nowhere; /* takes what finds no room */
    bool is_open, is_shown;
    char directory[SHM_PATH_BYTES];
};

/* Whose process the broker is, and where it can be found. */
struct book_identity {
    const char *directory; /* in shared memory */
    const char *socket, *data;
    uint32_t instance;
};

/* What came. */
struct book_entry {
    enum counters_kind kind;
    const char *label;
    uint64_t id, topic, session;
    uint32_t pid, uid;
};

/* An error is not fatal: nothing is seen then, and all the others may be called. */
int book_open(struct counters_book *book, const struct book_identity *identity, struct error_text *text);

/* From here on who looks finds it, in place of what a former broker left. */
void book_show(struct counters_book *book);

/* Never NULL. All its values are 0. */
struct counters_entry *book_take(struct counters_book *book, const struct book_entry *what);
/* NULL is allowed. Whoever wrote its values does so no more. */
void book_give_back(struct counters_book *book, struct counters_entry *entry);

/* 1 + the line of clients.told that belongs to the entry, fresh, and what tells it from that of others who
 * had the line before; 0: it has none. */
uint32_t book_line(struct counters_book *book, const struct counters_entry *entry, uint64_t *generation);

/* What was shown is there no more. */
void book_close(struct counters_book *book);

#endif
