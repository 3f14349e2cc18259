#include "mirror/replay.h"

enum { WORD_BITS = 64 };

static uint64_t *word_of(const struct replay *replay, uint64_t number)
{
    return &replay->seen[number / WORD_BITS % replay->words];
}

static uint64_t bit_of(uint64_t number)
{
    return (uint64_t)1 << number % WORD_BITS;
}

bool replay_is_new(const struct replay *replay, uint64_t number)
{
    if (number > replay->latest)
        return true;
    if (replay->latest / WORD_BITS - number / WORD_BITS >= replay->words)
        return false; /* its word has another's bits by now */
    return number != 0 && (*word_of(replay, number) & bit_of(number)) == 0;
}

void replay_mark(struct replay *replay, uint64_t number)
{
    if (number > replay->latest) {
        uint64_t words = number / WORD_BITS - replay->latest / WORD_BITS;
        for (uint64_t i = 0; i < words && i < replay->words; i++)
            *word_of(replay, number - i * WORD_BITS) = 0;
        replay->latest = number;
    }
    *word_of(replay, number) |= bit_of(number);
}
