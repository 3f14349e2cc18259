/* hermes stat: what one sample of the counters comes to, and how it is shown. */
#ifndef CLI_STAT_H
#define CLI_STAT_H

#include "counters/view.h"

/* One sample, the one before it, and what of both is asked for. */
struct stat_frame {
    const struct view *view;
    const struct view_sample *now;
    const struct view_sample *before; /* NULL: none, so there are no rates */
    char *const *patterns;            /* of topics; none: all */
    int pattern_count;
    bool is_alive;
};

/* Does anybody ask for what belongs to that topic? "": for what belongs to none. */
bool stat_wants(const struct stat_frame *frame, const char *topic);

/* The row of the topic that the row belongs to; NULL: of none, or it is not there any more. */
const struct view_row *stat_topic_of(const struct stat_frame *frame, const struct view_row *row);

/* Bytes between what was read, or done, and the end of the topic: as far as it is told, so at most. false:
 * not known; what is told is nonsense. */
bool stat_lag(const struct stat_frame *frame, const struct view_row *row, uint64_t *bytes);

/* By how much a counter grew a second; 0: not known. */
double stat_rate(const struct stat_frame *frame, const struct view_row *row, const char *name);

/* All of it as one JSON document, on one line. */
void stat_print_json(const struct stat_frame *frame);

/* As tables. width: of the terminal, 0: there is none; rows: at most so many lines, 0: all; clear: each line
 * ends what stood there before. */
void stat_print_table(const struct stat_frame *frame, int width, int rows, bool clear);

#endif
