/*
 * Principals: who the clients are - a uid - and what each of them may hold at a time, over all its sessions,
 * so that none can lock out the others. docs/reference/limits.md has the same in words.
 *
 * What is held is counted where it is made and given back where its memory or descriptor goes, which may be
 * after its session. A principal is known as long as it holds anything. Any thread may ask and take.
 */
#ifndef BROKER_PRINCIPAL_H
#define BROKER_PRINCIPAL_H

#include <pthread.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum holding {
    HOLDS_SESSIONS, /* connections */
    HOLDS_SILENT,   /* of those, such as have not greeted yet */
    HOLDS_RINGS,    /* publishers that go through the broker */
    HOLDS_GROUPS,   /* and durable subscriptions */
    HOLDS_MEMORY,   /* bytes of shared memory: rings and groups' pages */
    HOLDINGS
};

struct principals {
    pthread_mutex_t lock; /* all zeros: open */
    struct principal *first;
    uint64_t most[HOLDINGS]; /* for each principal */
};

/* The setting in hermes.conf, section "limits", that says how much of it. */
const char *principal_setting(enum holding what);

/* HERMES_ELIMIT, with a sentence that names the limit and its setting; HERMES_ENOMEM. */
int principal_take(struct principals *principals, uid_t uid, enum holding what, uint64_t amount,
                   struct error_text *text);

/* The same for what is there already, whatever the limit is now. HERMES_ENOMEM. */
int principal_add(struct principals *principals, uid_t uid, enum holding what, uint64_t amount);

/* No more than was taken or added. */
void principal_give_back(struct principals *principals, uid_t uid, enum holding what, uint64_t amount);

uint64_t principal_holds(struct principals *principals, uid_t uid, enum holding what);

#endif
