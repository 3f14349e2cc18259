#include "broker/principal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct principal {
    struct principal *next;
    uid_t uid;
    uint64_t holds[HOLDINGS];
};

static const struct {
    const char *what;
    const char *setting;
} names[HOLDINGS] = {
    [HOLDS_SESSIONS] = {"connections", "sessions_per_user"},
    [HOLDS_SILENT] = {"connections that have not said hello", "silent_per_user"},
    [HOLDS_RINGS] = {"publishers with a ring", "rings_per_user"},
    [HOLDS_GROUPS] = {"groups and durable subscriptions", "groups_per_user"},
    [HOLDS_MEMORY] = {"bytes of shared memory for rings and groups", "memory_per_user"},
};

const char *principal_setting(enum holding what)
{
    return names[what].setting;
}

static struct principal **find(const struct principals *principals, uid_t uid)
{
    struct principal **at = (struct principal **)&principals->first;
    while (*at != NULL && (*at)->uid != uid)
        at = &(*at)->next;
    return at;
}

static uint64_t holds(const struct principals *principals, uid_t uid, enum holding what)
{
    const struct principal *principal = *find(principals, uid);
    return principal == NULL ? 0 : principal->holds[what];
}

uint64_t principal_holds(struct principals *principals, uid_t uid, enum holding what)
{
    pthread_mutex_lock(&principals->lock);
    uint64_t amount = holds(principals, uid, what);
    pthread_mutex_unlock(&principals->lock);
    return amount;
}

static int add(struct principals *principals, uid_t uid, enum holding what, uint64_t amount)
{
    struct principal *principal = *find(principals, uid);
    if (principal == NULL) {
        principal = calloc(1, sizeof *principal);
        if (principal == NULL)
            return HERMES_ENOMEM;
        principal->uid = uid;
        principal->next = principals->first;
        principals->first = principal;
    }
    principal->holds[what] += amount;
    return HERMES_OK;
}

int principal_add(struct principals *principals, uid_t uid, enum holding what, uint64_t amount)
{
    pthread_mutex_lock(&principals->lock);
    int rc = add(principals, uid, what, amount);
    pthread_mutex_unlock(&principals->lock);
    return rc;
}

/* Numbers from 2^31 on stand for names (broker/request/access.c). */
static const char *describe(uid_t uid, char words[32])
{
    if (uid >> 31 != 0)
        return uid == (uid_t)-1 ? "who does not say who it is" : "this client";
    snprintf(words, 32, "user %u", (unsigned)uid);
    return words;
}

int principal_take(struct principals *principals, uid_t uid, enum holding what, uint64_t amount,
                   struct error_text *text)
{
    int rc = HERMES_OK;
    char words[32];
    pthread_mutex_lock(&principals->lock);
    uint64_t most = principals->most[what], held = holds(principals, uid, what);
    if (amount > most || held > most - amount)
        rc = error_set(text, HERMES_ELIMIT,
                       "%s has %" PRIu64 " %s and may have %" PRIu64 " ([limits] %s in hermes.conf)",
                       describe(uid, words), held, names[what].what, most, names[what].setting);
    else if ((rc = add(principals, uid, what, amount)) < 0)
        error_set(text, rc, "%s", describe(uid, words));
    pthread_mutex_unlock(&principals->lock);
    return rc;
}

static bool holds_nothing(const struct principal *principal)
{
    for (unsigned i = 0; i < HOLDINGS; i++)
        if (principal->holds[i] != 0)
            return false;
    return true;
}

void principal_give_back(struct principals *principals, uid_t uid, enum holding what, uint64_t amount)
{
    pthread_mutex_lock(&principals->lock);
    struct principal **at = find(principals, uid), *principal = *at;
    assert(principal != NULL && principal->holds[what] >= amount);
    principal->holds[what] -= amount;
    if (holds_nothing(principal)) {
        *at = principal->next;
        free(principal);
    }
    pthread_mutex_unlock(&principals->lock);
}
