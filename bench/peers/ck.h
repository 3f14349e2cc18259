/* ck_ring's header is C only: its functions in a C file, inlined into the measurement at link time. */
#ifndef PEERS_CK_H
#define PEERS_CK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ck_8 {
    uint64_t words[1];
};
struct ck_64 {
    uint64_t words[8];
};

void *ck_new(size_t capacity, size_t element_size);
void ck_free(void *ring);
bool ck_push_8(void *ring, const struct ck_8 *element);
bool ck_pop_8(void *ring, struct ck_8 *element);
bool ck_push_64(void *ring, const struct ck_64 *element);
bool ck_pop_64(void *ring, struct ck_64 *element);
/* The same for many producers and many consumers. */
bool ck_push_many_8(void *ring, const struct ck_8 *element);
bool ck_pop_many_8(void *ring, struct ck_8 *element);
bool ck_push_many_64(void *ring, const struct ck_64 *element);
bool ck_pop_many_64(void *ring, struct ck_64 *element);

#ifdef __cplusplus
}
#endif
#endif
