#include "broker/request/mirror_requests.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "broker/later.h"
#include "broker/mirror/grants.h"
#include "broker/mirror/mirror.h"
#include "broker/request/access.h"
#include "broker/request/answer.h"
#include "broker/request/handles.h"

_Static_assert(sizeof(struct wire_mirrors) + MIRRORS_MAX * sizeof(struct wire_mirror_info) <= WIRE_REPLY_MAX,
               "all fit a reply");
_Static_assert((int)WIRE_URL_BYTES == (int)UDP_URL_BYTES, "of one size");
_Static_assert((int)WIRE_MIRROR_SERVES == (int)MIRROR_SERVES &&
                   (int)WIRE_MIRROR_FOLLOWS == (int)MIRROR_FOLLOWS,
               "the same roles");

/* What came of the change that this request began; false: it has begun none. */
static bool is_changed(const struct session *session, struct topic *topic, int *rc, struct error_text *text)
{
    struct mirrored *mirrored = &topic->mirrored;
    if (mirrored->asker != session->id)
        return false;
    mirrored->asker = 0;
    *rc = mirrored->result;
    *text = mirrored->text;
    return true;
}

static void take_url(char url[UDP_URL_BYTES], const char from[WIRE_URL_BYTES])
{
    snprintf(url, UDP_URL_BYTES, "%.*s", WIRE_URL_BYTES - 1, from);
}

int mirror_requests_add(struct session *session, const struct wire_mirror_add *request,
                        struct error_text *text)
{
    struct topic *topic;
    char url[UDP_URL_BYTES];
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (is_changed(session, topic, &rc, text))
        return answer_done(session, rc);
    if (request->role != WIRE_MIRROR_SERVES && request->role != WIRE_MIRROR_FOLLOWS)
        return error_say(text, HERMES_EINVALID, "a mirror of topic '%s' that neither serves nor follows",
                         topic->name);
    take_url(url, request->url);
    rc = mirror_add(topic, (enum mirror_role)request->role, url, session->id, text);
    return rc < 0 ? rc : later_turn(session, topic, &topic->turns);
}

/* The one that is meant. HERMES_ENOTFOUND; HERMES_EINVALID: each of two may be. */
static int find(struct topic *topic, const char *url, struct mirror **meant, struct error_text *text)
{
    struct mirror *found = NULL;
    for (enum mirror_role role = MIRROR_SERVES; role <= MIRROR_FOLLOWS; role++) {
        struct mirror *mirror = mirror_find(topic->broker, topic, role);
        if (mirror == NULL || (url[0] != 0 && strcmp(mirror->engine.url, url) != 0))
            continue;
        if (found != NULL)
            return error_say(text, HERMES_EINVALID, "topic '%s' has two mirrors: which, %s or %s?",
                             topic->name, found->engine.url, mirror->engine.url);
        found = mirror;
    }
    if (found == NULL)
        return error_say(text, HERMES_ENOTFOUND, "topic '%s' has no mirror%s%s", topic->name,
                         url[0] != 0 ? " at " : "", url);
    *meant = found;
    return HERMES_OK;
}

int mirror_requests_remove(struct session *session, const struct wire_mirror_remove *request,
                           struct error_text *text)
{
    struct topic *topic;
    char url[UDP_URL_BYTES];
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (is_changed(session, topic, &rc, text))
        return answer_done(session, rc);
    take_url(url, request->url);
    struct mirror *mirror = NULL;
    rc = find(topic, url, &mirror, text);
    if (rc == 0)
        rc = mirror_remove(mirror, session->id, text);
    return rc < 0 ? rc : later_turn(session, topic, &topic->turns);
}

/* One for each topic: what ends with the session, or with the right to subscribe. */
static struct handle *grant_handle(struct session *session, struct topic *topic, struct error_text *text)
{
    for (unsigned i = 0; i < session->handle_count; i++) {
        struct handle *handle = &session->handles[i];
        if (handle->id != 0 && handle->kind == HANDLE_GRANT && handle->topic == topic)
            return handle;
    }
    struct handle *handle = handles_new(session, topic, text);
    if (handle != NULL)
        handle->kind = HANDLE_GRANT;
    return handle;
}

static int give_key(struct session *session, const struct mirror *mirror, uint64_t topic_id,
                    struct error_text *text)
{
    struct wire_mirror_grant grant = {.topic_id = topic_id};
    struct seal_grant key;
    int rc = grants_give(mirror->engine.grants, session->id, clock_monotonic_ns(), &key, &grant.lasts_ns);
    if (rc < 0)
        return error_set(text, rc, "topic '%s' has no place for another grant now (%d, %d of a session)",
                         mirror->engine.topic->name, GRANTS_MAX, GRANTS_A_SESSION);
    snprintf(grant.url, sizeof grant.url, "%s", mirror->engine.url);
    memcpy(grant.secret, key.secret, sizeof grant.secret);
    grant.id = key.id;
    grant.member = key.member;
    answer(session, WIRE_MIRROR_GRANT, &grant, sizeof grant); /* which is wiped when it is sent */
    explicit_bzero(&key, sizeof key);
    explicit_bzero(&grant, sizeof grant);
    return HERMES_OK;
}

int mirror_requests_key(struct session *session, const struct wire_topic *request, struct error_text *text)
{
    struct topic *topic;
    int rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (session->remote && session->secure == NULL)
        return error_say(text, HERMES_EACCESS, "keys go over tls:// alone: anybody could read them here");
    const struct mirror *mirror = mirror_find(session->broker, topic, MIRROR_SERVES);
    if (mirror == NULL || mirror->changing)
        return error_say(text, HERMES_ENOTFOUND, "topic '%s' is not sent from here (hermes mirror serve)",
                         topic->name);
    if (mirror->grants.group && session->broker->config.insecure)
        return error_say(
            text, HERMES_ENOTSUP,
            "topic '%s' is sent to a group in the clear ([net] insecure = true there): add it by "
            "udp://",
            topic->name);
    if (grant_handle(session, topic, text) == NULL)
        return HERMES_ELIMIT;
    return give_key(session, mirror, topic->id, text);
}

static uint64_t figure(const struct engine *engine, enum mirror_figure which)
{
    return atomic_load_explicit(&engine->figures[which], memory_order_relaxed);
}

static void describe(const struct engine *engine, struct wire_mirror_info *info)
{
    *info = (struct wire_mirror_info){
        .role = (uint32_t)engine->role,
        .state = atomic_load_explicit(&engine->state, memory_order_relaxed),
        .error = atomic_load_explicit(&engine->error, memory_order_relaxed),
        .receivers = (uint32_t)figure(engine, MIRROR_RECEIVERS),
        .position = figure(engine, MIRROR_POSITION),
        .lag_bytes = figure(engine, MIRROR_LAG_BYTES),
        .rtt_ns = figure(engine, MIRROR_RTT_NS),
        .datagrams = figure(engine, MIRROR_DATAGRAMS),
        .bytes = figure(engine, MIRROR_BYTES),
        .lost = figure(engine, MIRROR_LOST),
        .repaired = figure(engine, MIRROR_REPAIRED),
        .gone = figure(engine, MIRROR_GONE),
        .duplicates = figure(engine, MIRROR_DUPLICATES),
        .naks = figure(engine, MIRROR_NAKS),
        .overruns = figure(engine, MIRROR_OVERRUNS),
        .refused = figure(engine, MIRROR_REFUSED),
    };
    snprintf(info->topic, sizeof info->topic, "%s", engine->topic->name);
    snprintf(info->url, sizeof info->url, "%s", engine->url);
}

int mirror_requests_list(struct session *session)
{
    struct wire_mirrors *mirrors = (struct wire_mirrors *)(void *)session->reply->payload;
    struct access_sight sight;
    access_look(session, &sight);
    *mirrors = (struct wire_mirrors){0};
    for (const struct mirror *mirror = session->broker->mirrors; mirror != NULL; mirror = mirror->next)
        if (access_sees(&sight, mirror->engine.topic->name))
            describe(&mirror->engine, &mirrors->mirrors[mirrors->head.count++]);
    answer(session, WIRE_MIRRORS, mirrors,
           (uint32_t)(sizeof *mirrors + mirrors->head.count * sizeof(struct wire_mirror_info)));
    return HERMES_OK;
}
