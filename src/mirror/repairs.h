/*
 * Which repairs are on their way: for each 64 bytes of the log the number of the datagram that last carried
 * them again, and to whom. A NAK says up to which number its receiver had heard; what was repaired with a
 * higher one was on its way then, and is not sent twice. No clock is in it, and no guess: that is what
 * numbers that are fresh for every transmission are for.
 *
 * A table of fixed size, by position: cells of 2,048 bytes, 4 MiB of them. What is pushed out of it costs a
 * repair too many.
 */
#ifndef MIRROR_REPAIRS_H
#define MIRROR_REPAIRS_H

#include <stdbool.h>
#include <stdint.h>

enum { REPAIRS_CELLS = 2048, REPAIRS_SLOTS = 32, REPAIRS_CELL_BYTES = 2048 };

struct repairs {
    struct repair {
        uint64_t cell;                  /* position / REPAIRS_CELL_BYTES */
        uint32_t to;                    /* the receiver; 0: all */
        uint32_t number[REPAIRS_SLOTS]; /* of each 64 bytes the lower half; 0: none */
        uint64_t latest;                /* of the numbers: all are within 2^32 below it; 0: none */
    } cells[REPAIRS_CELLS];
};

/* Is the slot at position on its way, to who had heard of datagrams up to heard? */
bool repairs_on_their_way(const struct repairs *repairs, uint64_t position, uint32_t to, uint64_t heard);

/* These bytes go with that number. */
void repairs_sent(struct repairs *repairs, uint64_t position, uint64_t bytes, uint32_t to, uint64_t number);

#endif
