/*
 * The secrets that a group of receivers shares with who sends to it: the one that all have, and while they
 * come to have the next one, both. For the thread that serves.
 */
#ifndef BROKER_MIRROR_CIRCLE_H
#define BROKER_MIRROR_CIRCLE_H

#include "broker/mirror/grants.h"
#include "mirror/seal.h"

struct circle {
    struct sealing *latest, *former; /* NULL: none yet */
    uint16_t latest_id, former_id;
    uint64_t since_ns; /* when the latest was first heard of */
    bool waits;        /* the former one is sealed with: not all have the latest */
};

/* Opens in place what a member sealed. Its length then; HERMES_E...: it is no member's. */
int64_t circle_unseal(struct circle *circle, struct grants *grants, uint64_t now_ns, void *bytes,
                      size_t length);

/* Seals for all. HERMES_EACCESS: nobody is there. */
int64_t circle_seal(struct circle *circle, void *bytes, size_t length);

/* Time has passed: have all heard of the latest? */
void circle_look(struct circle *circle, const struct grants *grants, uint64_t now_ns);

/* That one leaves. */
void circle_dismiss(struct circle *circle, const struct seal_grant *member);

void circle_free(struct circle *circle);

#endif
