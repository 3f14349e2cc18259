#include "broker/mirror/circle.h"

#include <openssl/crypto.h>

#include "base/error.h"

/* NULL: neither. */
static struct sealing *under(const struct circle *c, uint16_t id)
{
    if (id == 0)
        return NULL;
    return id == c->latest_id ? c->latest : id == c->former_id ? c->former : NULL;
}

static void drop_former(struct circle *c)
{
    sealing_free(c->former);
    c->former = NULL;
    c->former_id = 0;
    c->waits = false;
}

/* Never back: who left since has those before. Ids go round. */
static bool is_newer(const struct circle *c, uint16_t id)
{
    return c->latest == NULL || (int16_t)(uint16_t)(id - c->latest_id) > 0;
}

/* Somebody has the next secret. */
static void turn_over(struct circle *c, struct sealing *next, uint16_t id, uint64_t now_ns)
{
    drop_former(c);
    c->former = c->latest;
    c->former_id = c->latest_id;
    c->latest = next;
    c->latest_id = id;
    c->since_ns = now_ns;
    c->waits = c->former != NULL;
}

/* The member that is on it: it is listened to, if it has a grant. */
static bool admit(struct sealing *sealing, struct grants *grants, uint64_t now_ns, uint16_t id,
                  const void *bytes)
{
    uint16_t member = sealing_member(bytes);
    return member != 0 && grants_find(grants, id, member, now_ns) != NULL &&
           sealing_admit(sealing, member) != HERMES_ELIMIT;
}

static int64_t open_as(struct sealing *sealing, struct grants *grants, uint64_t now_ns, uint16_t id,
                       void *bytes, size_t length)
{
    return admit(sealing, grants, now_ns, id, bytes) ? sealing_unseal(sealing, bytes, length)
                                                     : HERMES_EACCESS;
}

/* An id by itself anybody can write: all turn over only for what opens. */
static int64_t open_next(struct circle *c, struct grants *grants, uint64_t now_ns, uint16_t id, void *bytes,
                         size_t length)
{
    struct sealing *next;
    struct grant *grant = is_newer(c, id) ? grants_find(grants, id, sealing_member(bytes), now_ns) : NULL;
    if (grant == NULL)
        return HERMES_EACCESS;
    struct seal_grant own = grant->key;
    own.member = SEAL_SENDER;
    int rc = sealing_make(&next, &own, GRANTS_MAX);
    OPENSSL_cleanse(&own, sizeof own);
    if (rc < 0)
        return HERMES_EACCESS;
    int64_t plain = open_as(next, grants, now_ns, id, bytes, length);
    if (plain > 0)
        turn_over(c, next, id, now_ns);
    else
        sealing_free(next);
    return plain;
}

int64_t circle_unseal(struct circle *c, struct grants *grants, uint64_t now_ns, void *bytes, size_t length)
{
    uint16_t id = sealing_id(bytes, length);
    struct sealing *sealing = under(c, id);
    if (id == 0)
        return HERMES_EACCESS;
    return sealing == NULL ? open_next(c, grants, now_ns, id, bytes, length)
                           : open_as(sealing, grants, now_ns, id, bytes, length);
}

int64_t circle_seal(struct circle *c, void *bytes, size_t length)
{
    struct sealing *sealing = c->waits ? c->former : c->latest;
    return sealing == NULL ? HERMES_EACCESS : sealing_seal(sealing, bytes, length);
}

void circle_look(struct circle *c, const struct grants *grants, uint64_t now_ns)
{
    if (c->waits && (now_ns - c->since_ns >= GRANT_CHANGES_NS || !grants_await(grants, c->former_id)))
        c->waits = false;
}

void circle_dismiss(struct circle *c, const struct seal_grant *member)
{
    struct sealing *sealing = under(c, member->id);
    if (sealing != NULL)
        sealing_dismiss(sealing, member->member);
}

void circle_free(struct circle *c)
{
    drop_former(c);
    sealing_free(c->latest);
    c->latest = NULL;
    c->latest_id = 0;
}
