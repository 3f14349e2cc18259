/*
 * Which of the latest numbers were there already: the ring of bits of RFC 6479, which forgets a word of 64 at
 * a time. What is older than it remembers counts as having been there.
 *
 * Two steps, since only a number that is known to be genuine may move the window: is it new; and, once the
 * datagram was opened, it is there now.
 */
#ifndef MIRROR_REPLAY_H
#define MIRROR_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

struct replay {
    uint64_t latest; /* 0: none yet */
    uint32_t words;  /* it remembers 64 × (words - 1) numbers at least */
    uint64_t *seen;  /* so many, 0 at first */
};

bool replay_is_new(const struct replay *replay, uint64_t number); /* 0 never is */
void replay_mark(struct replay *replay, uint64_t number);

#endif
