/*
 * The copy of a log that a receiver builds: what came in order goes to the sink at once, what lies beyond a
 * gap waits in a staging area, addressed by position, until the gap is closed.
 *
 *      sink has it     staged: behind a gap, or         not looked at yet
 *                      more than the sink would take
 *     ──────────────┬──────────┬─────────────────┬────────────────────────┬──────
 *                position   frontier        position + window          announced
 *
 * Everything below the frontier is there or in a gap. What was announced beyond the window is not a gap yet:
 * it becomes one, a quarter of a window at a time, as the position moves on. So somebody who joins late, and
 * somebody who lost one datagram, are the same case, and no memory grows with how far behind one is.
 *
 * Memory: window_bytes for the staging area, and GAPS_MAX gaps.
 */
#ifndef MIRROR_IMAGE_H
#define MIRROR_IMAGE_H

#include "mirror/gaps.h"

/* Who gets the log. What it is given is valid for the call. */
struct mirror_sink {
    void *context;
    /* The next bytes of the log. How many of them it takes: what it has no room for stays staged, is offered
     * again by image_offer(), and counts for the window until then. */
    uint64_t (*bytes)(void *context, uint64_t position, const uint8_t *bytes, uint64_t length);
    /* These do not exist any more at the sender, and never come. What comes next begins a frame. */
    void (*lost)(void *context, uint64_t position, uint64_t length);
    /* From position on - which may be reached later - the log is of that epoch, and what stands before is
     * final. Who starts again with what it has says the epoch that it was told last. */
    void (*epoch)(void *context, uint64_t position, uint32_t epoch);
};

struct image {
    const struct mirror_sink *sink;
    uint8_t *staging;
    uint64_t window_bytes; /* a power of two */
    uint64_t position;
    uint64_t frontier;
    uint64_t announced;
    uint32_t epoch;                /* the latest that it was told of; 0: none */
    uint64_t missed, missed_bytes; /* gaps that were noticed */
    struct gaps gaps;
};

/* How gaps are written down that are noticed now. */
struct notice {
    uint64_t number; /* of the datagram that showed them */
    uint64_t now_ns;
    uint64_t due_ns; /* when to ask for them */
};

enum image_taken {
    IMAGE_NEW,
    IMAGE_OLD,     /* it had all of that */
    IMAGE_BEYOND,  /* it does not fit the window: it will be asked for */
    IMAGE_NO_ROOM, /* for one more gap: likewise */
};

/* Begins anew. */
void image_start(struct image *image, uint64_t position, uint32_t epoch);

/* Bytes of the log. */
enum image_taken image_take(struct image *image, uint64_t position, const uint8_t *bytes, uint32_t length,
                            const struct notice *notice);

/* The sink may have room again. */
void image_offer(struct image *image, const struct notice *notice);

/* Is there something that the sink did not take? */
bool image_holds(struct image *image);

/* There is something up to there, or was. */
void image_announce(struct image *image, uint64_t position, const struct notice *notice);

/* What lies before position is gone. */
void image_skip(struct image *image, uint64_t position, const struct notice *notice);

/* The next epoch begins there: what is staged from there on is not of the log. false: the sink has such bytes
 * already. */
bool image_begin_epoch(struct image *image, uint64_t position, uint32_t epoch);

/* Nobody knows any more whether what is staged is of the log: it is asked for again. */
void image_forget_staged(struct image *image);

#endif
