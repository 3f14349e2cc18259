/*
 * How close behind a log's writer to read.
 *
 * A reader at the head of a log that is being written has its hardware prefetchers fetch the lines that the
 * writer is about to store to, and each of these stores then has to get its line back: both go at the speed
 * of lines that travel. A reader some kilobytes behind costs the writer nothing, and finds whole runs of
 * frames. So as long as messages come faster than lines travel, a reader reads what was there half a
 * microsecond ago; as soon as they do not, it follows the head, word for word.
 *
 * Following: what comes is read at once. An empty look, when there is time anyway, every PACE_JUDGE_BYTES,
 * measures how long a line takes and how fast messages came: faster, and the reader begins to pace.
 * Pacing: looks where the writer is, waits PACE_PAUSE_NS if that is near, and reads up to there. Ends with
 * the first look that finds messages slower, or none.
 *
 * A message waits at most for two pauses longer than it would have: 1 us. Bursts of less than
 * PACE_JUDGE_BYTES and lone messages are read as if there were no pace. docs/explanation/performance.md has
 * the measurements.
 */
#ifndef LOG_PACE_H
#define LOG_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    PACE_PAUSE_NS = 500,
    PACE_NEAR_BYTES = 16384, /* whoever is further behind does not wait */
    PACE_BEHIND_BYTES = 8192,
    PACE_JUDGE_BYTES = 8192,
    PACE_TRAVEL_MOST_NS = 500,  /* between sockets; more was an interruption */
    PACE_LINE_NS = 12,          /* of each further line of a message */
    PACE_BEHIND_MOST = 1 << 30, /* the largest window there is */
};

#define PACE_FOLLOWING UINT64_MAX

/* Private to a reader; zeroed is a good beginning. */
struct pace {
    uint64_t until;              /* a frame from here on is read after pace_look() */
    uint64_t judge_at;           /* an empty look from here on is for pace_judge() */
    uint64_t leave_ns;           /* pace_leaves() until then; 0: it does not */
    uint64_t at_ns;              /* of the last of either, */
    uint64_t position, sequence; /* and where the reader was */
};

/* Before a frame at position >= pace->until, whose sequence is that (0: not known). Takes up to
 * PACE_PAUSE_NS. The writer's word is a hint, and may be a stranger's: what is read is decided by the frames.
 */
void pace_look(struct pace *pace, const _Atomic uint64_t *writer, uint64_t position, uint64_t sequence);

/* The same for who has other things to do meanwhile, and comes again: true: what is there is left for now. */
bool pace_leaves(struct pace *pace, const _Atomic uint64_t *writer, uint64_t position, uint64_t sequence);

/* Nothing is there at position >= pace->judge_at. */
void pace_judge(struct pace *pace, const _Atomic uint64_t *writer, uint64_t position, uint64_t sequence);

#endif
