/* A hash table of numbers: open addressing, linear probing, no tombstones, at most half full. */
#ifndef CLI_FEED_HASH_H
#define CLI_FEED_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash {
    struct hash_slot {
        uint64_t key, value; /* value 0: free */
    } * slots;
    unsigned bits; /* of the number of slots */
    size_t used;
};

int hash_open(struct hash *hash); /* HERMES_ENOMEM */
void hash_close(struct hash *hash);

uint64_t hash_get(const struct hash *hash, uint64_t key); /* 0: it is not there */
/* value: not 0. Replaces what is there. HERMES_ENOMEM, and nothing has changed. */
int hash_put(struct hash *hash, uint64_t key, uint64_t value);
void hash_remove(struct hash *hash, uint64_t key); /* nothing, if it is not there */

#endif
