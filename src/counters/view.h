/*
 * Counters, read from outside: of a broker that runs, or of one that was killed. Asks nobody, and disturbs
 * nobody: everything is mapped read-only.
 *
 * A sample is all entries with the values that their columns say, wherever those stand. Which columns there
 * are is the file's word: a broker that is newer than this has more.
 *
 * Nothing that stands there is taken at its word but as a number to be shown: sizes and places are checked
 * against the files. Threads: a view is one thread's.
 */
#ifndef COUNTERS_VIEW_H
#define COUNTERS_VIEW_H

#include "base/path.h"
#include "counters/page.h"
#include "log/told.h"

enum { VIEW_VALUES_MAX = 32 /* of one kind */ };

struct view_row {
    struct counters_copy entry;
    uint32_t index;                  /* of the entry */
    uint32_t topic_row;              /* 1 + the row of its topic; 0: it has none */
    uint32_t known;                  /* bit i: value[i] is known */
    uint64_t value[VIEW_VALUES_MAX]; /* of the columns of its kind, in their order */
};

struct view_sample {
    uint64_t taken_ns; /* CLOCK_MONOTONIC */
    struct view_row *rows;
    size_t count, room;
};

struct view {
    char directory[SHM_PATH_BYTES];
    struct map map, told_map;
    const struct counters_header *header;
    struct counters_column columns[COUNTERS_COLUMNS_MAX];
    unsigned column_count;
    uint64_t inode;
};

/* HERMES_ENOTFOUND: nothing is kept there; HERMES_EACCESS, HERMES_EVERSION, HERMES_EMALFORMED. */
int view_open(struct view *view, const char *directory, struct error_text *text);
void view_close(struct view *view);

/* Is the process that writes it there? Of a container that cannot be looked into: did it show itself lately?
 */
bool view_is_alive(const struct view *view, const struct view_sample *sample);
/* Has another broker taken the place of the one that this view is of? */
bool view_is_replaced(const struct view *view);

/* In place of what *sample had, all zeros at first. Sorted by topic, then kind. HERMES_ENOMEM. */
int view_take(struct view *view, struct view_sample *sample);
void view_release(struct view_sample *sample);

/* The same thing in another sample of the same view; NULL: it was not there. */
const struct view_row *view_find(const struct view_sample *sample, const struct view_row *row);

/* The value of that name. false: the row's kind has none, or it is not known. */
bool view_value(const struct view *view, const struct view_row *row, const char *name, uint64_t *value);
/* The same, or 0. */
uint64_t view_number(const struct view *view, const struct view_row *row, const char *name);

#endif
