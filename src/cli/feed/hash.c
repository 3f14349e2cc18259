#include "cli/feed/hash.h"

#include <stdlib.h>

#include "hermes/error.h"

enum { FIRST_BITS = 10 };

static size_t mask(const struct hash *hash)
{
    return ((size_t)1 << hash->bits) - 1;
}

/* Where a key would stand: its bits are mixed as SplitMix64 does (Steele, Lea, Flood: Fast Splittable
 * Pseudorandom Number Generators, 2014), since references that are counted up, or by steps, are the rule. */
static size_t home(const struct hash *hash, uint64_t key)
{
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return (size_t)(key >> (64 - hash->bits));
}

/* The slot of a key, or the free one where it would go. */
static struct hash_slot *find(const struct hash *hash, uint64_t key)
{
    size_t at = home(hash, key);
    while (hash->slots[at].value != 0 && hash->slots[at].key != key)
        at = (at + 1) & mask(hash);
    return &hash->slots[at];
}

int hash_open(struct hash *hash)
{
    *hash = (struct hash){.bits = FIRST_BITS};
    hash->slots = calloc((size_t)1 << hash->bits, sizeof *hash->slots);
    return hash->slots != NULL ? HERMES_OK : HERMES_ENOMEM;
}

void hash_close(struct hash *hash)
{
    free(hash->slots);
    hash->slots = NULL;
}

uint64_t hash_get(const struct hash *hash, uint64_t key)
{
    return find(hash, key)->value;
}

static int grow(struct hash *hash)
{
    struct hash larger = {.bits = hash->bits + 1, .used = hash->used};
    larger.slots = calloc((size_t)1 << larger.bits, sizeof *larger.slots);
    if (larger.slots == NULL)
        return HERMES_ENOMEM;
    for (size_t i = 0; i <= mask(hash); i++)
        if (hash->slots[i].value != 0)
            *find(&larger, hash->slots[i].key) = hash->slots[i];
    free(hash->slots);
    *hash = larger;
    return HERMES_OK;
}

int hash_put(struct hash *hash, uint64_t key, uint64_t value)
{
    struct hash_slot *slot = find(hash, key);
    if (slot->value != 0) {
        slot->value = value;
        return HERMES_OK;
    }
    if (hash->used > mask(hash) / 2) {
        int rc = grow(hash);
        if (rc < 0)
            return rc;
        slot = find(hash, key);
    }
    *slot = (struct hash_slot){key, value};
    hash->used++;
    return HERMES_OK;
}

/* What follows without a gap moves up where its way from home would lead over the free slot (Knuth, The Art
 * of Computer Programming 3, 6.4, algorithm R). */
void hash_remove(struct hash *hash, uint64_t key)
{
    size_t gap = (size_t)(find(hash, key) - hash->slots);
    if (hash->slots[gap].value == 0)
        return;
    for (size_t at = gap;;) {
        at = (at + 1) & mask(hash);
        struct hash_slot *slot = &hash->slots[at];
        if (slot->value == 0)
            break;
        size_t way = (at - home(hash, slot->key)) & mask(hash);
        if (way < ((at - gap) & mask(hash)))
            continue;
        hash->slots[gap] = *slot;
        gap = at;
    }
    hash->slots[gap].value = 0;
    hash->used--;
}
