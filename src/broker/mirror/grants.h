/*
 * Who may receive a topic that is sent: secrets, which the loop hands out and the thread that sends seals
 * with (mirror/seal.h).
 *
 *     to each a sender of its own   each receiver has a secret of its own, for the numbers of each sender -
 *                                   nonces - begin at 1: who may not receive any more is shut out at once,
 *                                   without a word to the others
 *     to a group                    all have the same, each with a number of its own beside it. When one of
 *                                   them leaves, or it is an hour old, there is another for those who stay:
 *                                   they ask for it (once a second), and are sealed for with it when all have
 *                                   it, or after GRANT_CHANGES_NS
 *
 *     loop      grants_give(grants, session, now_ns, &grant);   grants_end(grants, session, now_ns + lapse);
 *     thread    grants_find(grants, id)                         -> what is sealed with it
 *               grants_is_over(grant, now_ns), grants_return(grant)
 *
 * A place is the loop's while it is free, and the thread's from when it is given until the thread returns it:
 * `state` says whose, and neither waits for the other. When it is over stands beside it, and may be told at
 * any time.
 */
#ifndef BROKER_MIRROR_GRANTS_H
#define BROKER_MIRROR_GRANTS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "mirror/seal_keys.h"

enum {
    GRANTS_MAX = 32,      /* 16 receivers, each of which may have its next one already */
    GRANTS_A_SESSION = 4, /* those two, and what is over and not returned yet: none takes all places */
};

#define GRANT_LASTS_NS 3600000000000u /* then it is followed by another: an hour */
#define GRANT_CHANGES_NS 3000000000u  /* so long a group is given to hear of its next secret */
#define GRANT_LAPSES_NS 10000000000u  /* so long it holds on when its session, or its time, is over */

enum grant_state { GRANT_FREE, GRANT_GIVEN };

struct grant {
    _Atomic uint32_t state; /* enum grant_state */
    _Atomic uint64_t until_ns;
    struct seal_grant key; /* as its receiver has it: the sender is member SEAL_SENDER */
    uint64_t session;      /* the loop's: whose it is */
    uint16_t id;           /* the loop's: of the key, which the thread may be wiping by now */
    uint64_t given_ns;     /* the loop's */
};

struct grants {
    struct grant all[GRANTS_MAX];
    uint16_t last_id;
    bool group;
    struct seal_grant shared; /* of the group, and the last member's number. id 0: there is none (any more) */
    uint64_t shared_ns;       /* when it was made */
};

/* ---- the loop's ---- */

/* The session's grant: that which it has, or another where it has none or its time is over. *lasts_ns: from
 * now on. HERMES_ELIMIT: all places are taken, or GRANTS_A_SESSION by this one; what it has it keeps. */
int grants_give(struct grants *grants, uint64_t session, uint64_t now_ns, struct seal_grant *key,
                uint64_t *lasts_ns);

/* What that session has is over then. */
void grants_end(struct grants *grants, uint64_t session, uint64_t until_ns);

/* When there is no thread any more: secrets are wiped. */
void grants_wipe(struct grants *grants);

/* ---- the thread's ---- */

/* NULL: nobody was handed a secret of that id, or it is over. member 0: whose does not matter. */
struct grant *grants_find(struct grants *grants, uint16_t id, uint16_t member, uint64_t now_ns);

/* Has somebody that secret, and not the one after it yet? */
bool grants_await(const struct grants *grants, uint16_t id);

static inline bool grant_is_given(const struct grant *grant)
{
    /* acquire: with the loop's release in grants_give(): the key is there. */
    return atomic_load_explicit(&grant->state, memory_order_acquire) == GRANT_GIVEN;
}

/* relaxed: a time by itself, which may be heard of a turn later. */
static inline bool grant_is_over(const struct grant *grant, uint64_t now_ns)
{
    return atomic_load_explicit(&grant->until_ns, memory_order_relaxed) <= now_ns;
}

/* It is over, and nothing is sealed with it any more. */
void grant_return(struct grant *grant);

#endif
