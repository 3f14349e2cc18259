#include "broker/mirror/grants.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <sys/random.h>

#include "base/error.h"

static const uint64_t for_now = UINT64_MAX; /* until_ns of who stands */

/* ---- the loop's ---- */

static bool is_of(const struct grant *grant, uint64_t session)
{
    return grant_is_given(grant) && grant->session == session;
}

static bool stands(const struct grant *grant)
{
    return atomic_load_explicit(&grant->until_ns, memory_order_relaxed) == for_now;
}

static void end_at(struct grant *grant, uint64_t until_ns)
{
    if (!grant_is_over(grant, until_ns)) /* an end is never put off */
        atomic_store_explicit(&grant->until_ns, until_ns, memory_order_relaxed);
}

static bool is_used(const struct grants *grants, uint16_t id)
{
    for (int i = 0; i < GRANTS_MAX; i++)
        if (grant_is_given(&grants->all[i]) && grants->all[i].id == id)
            return true;
    return false;
}

static uint16_t next_id(struct grants *grants)
{
    do
        grants->last_id++;
    while (grants->last_id == 0 || is_used(grants, grants->last_id));
    return grants->last_id;
}

static void make_secret(struct grants *grants, struct seal_grant *key)
{
    *key = (struct seal_grant){.id = next_id(grants)};
    ssize_t got = getrandom(key->secret, sizeof key->secret, 0);
    assert(got == (ssize_t)sizeof key->secret); /* so few come whole (getrandom(2)) */
    (void)got;
}

/* Of a group: is it that which all shall have? */
static bool is_shared(const struct grants *grants, uint16_t id, uint64_t now_ns)
{
    return id != 0 && id == grants->shared.id && grants->shared.member < UINT16_MAX &&
           now_ns - grants->shared_ns < GRANT_LASTS_NS;
}

static void share(struct grants *grants, uint64_t now_ns)
{
    if (!is_shared(grants, grants->shared.id, now_ns)) {
        make_secret(grants, &grants->shared);
        grants->shared_ns = now_ns;
    }
    grants->shared.member++;
}

static int fill(struct grants *grants, struct grant *grant, uint64_t session, uint64_t now_ns)
{
    if (grants->group) {
        share(grants, now_ns);
        grant->key = grants->shared;
    } else {
        make_secret(grants, &grant->key);
        grant->key.member = 1;
    }
    grant->session = session;
    grant->id = grant->key.id;
    grant->given_ns = now_ns;
    atomic_store_explicit(&grant->until_ns, for_now, memory_order_relaxed);
    /* release: with grant_is_given() of the thread. */
    atomic_store_explicit(&grant->state, GRANT_GIVEN, memory_order_release);
    return HERMES_OK;
}

/* NULL: there is none, or none for that session. */
static struct grant *find_place(struct grants *grants, uint64_t session)
{
    struct grant *place = NULL;
    int taken = 0;
    for (int i = 0; i < GRANTS_MAX; i++) {
        taken += is_of(&grants->all[i], session);
        if (place == NULL && !grant_is_given(&grants->all[i]))
            place = &grants->all[i];
    }
    return taken < GRANTS_A_SESSION ? place : NULL;
}

/* Its next one: the one before holds on until its receiver has heard of it, those before that do not. Where
 * there is no place all stays as it is: it lives on what it has, and asks again. */
static int follow(struct grants *grants, uint64_t session, uint64_t now_ns, struct grant **given)
{
    struct grant *place = find_place(grants, session);
    if (place == NULL)
        return HERMES_ELIMIT;
    for (int i = 0; i < GRANTS_MAX; i++)
        if (is_of(&grants->all[i], session))
            end_at(&grants->all[i], stands(&grants->all[i]) ? now_ns + GRANT_LAPSES_NS : now_ns);
    *given = place;
    return fill(grants, place, session, now_ns);
}

/* When it was made, if it is the one to have; 0: it is not. */
static uint64_t made_ns(const struct grants *grants, const struct grant *grant, uint64_t now_ns)
{
    if (grants->group)
        return is_shared(grants, grant->key.id, now_ns) ? grants->shared_ns : 0;
    return now_ns - grant->given_ns < GRANT_LASTS_NS ? grant->given_ns : 0;
}

int grants_give(struct grants *grants, uint64_t session, uint64_t now_ns, struct seal_grant *key,
                uint64_t *lasts_ns)
{
    struct grant *given = NULL;
    int rc = HERMES_OK;
    for (int i = 0; i < GRANTS_MAX && given == NULL; i++)
        if (is_of(&grants->all[i], session) && stands(&grants->all[i]) &&
            made_ns(grants, &grants->all[i], now_ns) != 0)
            given = &grants->all[i];
    if (given == NULL)
        rc = follow(grants, session, now_ns, &given);
    if (rc < 0)
        return rc;
    *key = given->key;
    *lasts_ns = GRANT_LASTS_NS - (now_ns - made_ns(grants, given, now_ns));
    return HERMES_OK;
}

void grants_end(struct grants *grants, uint64_t session, uint64_t until_ns)
{
    for (int i = 0; i < GRANTS_MAX; i++) {
        if (!is_of(&grants->all[i], session))
            continue;
        if (grants->all[i].id == grants->shared.id)
            grants->shared.id = 0; /* who leaves knows it */
        end_at(&grants->all[i], until_ns);
    }
}

void grants_wipe(struct grants *grants)
{
    OPENSSL_cleanse(grants, sizeof *grants);
}

/* ---- the thread's ---- */

struct grant *grants_find(struct grants *grants, uint16_t id, uint16_t member, uint64_t now_ns)
{
    for (int i = 0; i < GRANTS_MAX; i++) {
        struct grant *grant = &grants->all[i];
        if (grant_is_given(grant) && !grant_is_over(grant, now_ns) && grant->key.id == id &&
            (member == 0 || grant->key.member == member))
            return grant;
    }
    return NULL;
}

bool grants_await(const struct grants *grants, uint16_t id)
{
    for (int i = 0; i < GRANTS_MAX; i++)
        if (grant_is_given(&grants->all[i]) && stands(&grants->all[i]) && grants->all[i].key.id == id)
            return true;
    return false;
}

void grant_return(struct grant *grant)
{
    OPENSSL_cleanse(&grant->key, sizeof grant->key);
    /* release: with the loop's acquire in grant_is_given(), which then fills it in. */
    atomic_store_explicit(&grant->state, GRANT_FREE, memory_order_release);
}
