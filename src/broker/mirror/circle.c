#include "broker/mirror/circle.h"

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

/* Somebody has the next secret. */
static struct sealing *turn_over(struct circle *c, const struct grant *grant, uint64_t now_ns)
{
    struct seal_grant own = grant->key;
    struct sealing *next;
    own.member = SEAL_SENDER;
    if (sealing_make(&next, &own, GRANTS_MAX) < 0)
        return NULL;
    drop_former(c);
    c->former = c->latest;
    c->former_id = c->latest_id;
    c->latest = next;
    c->latest_id = own.id;
    c->since_ns = now_ns;
    c->waits = c->former != NULL;
    return next;
}

/* The member that is on it: it is listened to, if it has a grant. */
static bool admit(struct sealing *sealing, struct grants *grants, uint64_t now_ns, uint16_t id,
                  const void *bytes)
{
    uint16_t member = sealing_member(bytes);
    return member != 0 && grants_find(grants, id, member, now_ns) != NULL &&
           sealing_admit(sealing, member) != HERMES_ELIMIT;
}

int64_t circle_unseal(struct circle *c, struct grants *grants, uint64_t now_ns, void *bytes, size_t length)
{
    uint16_t id = sealing_id(bytes, length);
    struct sealing *sealing = under(c, id);
    struct grant *grant = sealing == NULL ? grants_find(grants, id, 0, now_ns) : NULL;
    if (grant != NULL)
        sealing = turn_over(c, grant, now_ns);
    if (sealing == NULL || !admit(sealing, grants, now_ns, id, bytes))
        return HERMES_EACCESS;
    return sealing_unseal(sealing, bytes, length);
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
