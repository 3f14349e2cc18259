#include "broker/request/access.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/note.h"
#include "base/path.h"
#include "broker/request/answer.h"
#include "broker/request/handles.h"
#include "broker/topics.h"

/* What a payload begins with. */
enum subject { OF_NOTHING, OF_TOPIC, OF_ID };

static const struct {
    uint8_t type, right; /* enum right: any of them will do; 0: none is needed */
    enum subject subject;
} guarded[] = {
    {WIRE_HELLO, 0, OF_NOTHING},
    {WIRE_AUTHENTICATE, 0, OF_NOTHING},
    {WIRE_TOPIC_CREATE, RIGHT_CREATE, OF_TOPIC},
    {WIRE_TOPIC_ALTER, RIGHT_ADMINISTER, OF_TOPIC},
    {WIRE_TOPIC_DELETE, RIGHT_ADMINISTER, OF_TOPIC},
    {WIRE_TOPIC_PURGE, RIGHT_ADMINISTER, OF_TOPIC},
    {WIRE_TOPIC_DESCRIBE, RIGHTS_ALL, OF_TOPIC},
    {WIRE_TOPIC_LIST, 0, OF_NOTHING},    /* has what is seen */
    {WIRE_UNSERVED_LIST, 0, OF_NOTHING}, /* the same */
    {WIRE_PUBLISHER_OPEN, RIGHT_PUBLISH, OF_TOPIC},
    {WIRE_PUBLISHER_MAPPED, 0, OF_NOTHING}, /* what it has opened, as the next one */
    {WIRE_CLOSE, 0, OF_NOTHING},
    {WIRE_FORGET, 0, OF_NOTHING},
    {WIRE_SUBSCRIBER_OPEN, RIGHT_SUBSCRIBE, OF_TOPIC},
    {WIRE_WINDOW_OPEN, RIGHT_SUBSCRIBE, OF_ID},
    {WIRE_SEGMENT_OPEN, RIGHT_SUBSCRIBE, OF_ID},
    {WIRE_GROUP_CREATE, RIGHT_SUBSCRIBE, OF_TOPIC}, /* and more, where it names a dead-letter topic */
    {WIRE_GROUP_ALTER, RIGHT_ADMINISTER, OF_TOPIC},
    {WIRE_GROUP_DELETE, RIGHT_ADMINISTER, OF_TOPIC},
    {WIRE_GROUP_LIST, RIGHTS_ALL, OF_TOPIC},
    {WIRE_EPOCH_FIND, RIGHT_PUBLISH | RIGHT_SUBSCRIBE, OF_ID},
    {WIRE_MIRROR_ADD, RIGHT_ADMINISTER, OF_TOPIC},
    {WIRE_MIRROR_REMOVE, RIGHT_ADMINISTER, OF_TOPIC},
    {WIRE_MIRROR_LIST, 0, OF_NOTHING}, /* has what is seen */
    {WIRE_MIRROR_KEY, RIGHT_SUBSCRIBE, OF_TOPIC},
    {WIRE_BROKER_DESCRIBE, 0, OF_NOTHING},
    {WIRE_PING, 0, OF_NOTHING},
    {WIRE_INVITE, 0, OF_NOTHING}, /* as what it is already */
    {WIRE_SHOW, 0, OF_NOTHING},   /* by an invitation, as the next one */
    {WIRE_ENTER, 0, OF_NOTHING},
    {WIRE_OUTLET_OPEN, RIGHT_SUBSCRIBE, OF_TOPIC},
    {WIRE_INTAKE_OPEN, RIGHT_PUBLISH, OF_TOPIC},
    {WIRE_MEMBER_OPEN, RIGHT_SUBSCRIBE, OF_TOPIC},
};

enum { GUARDED = sizeof guarded / sizeof guarded[0] };

static int find(uint8_t type)
{
    for (int i = 0; i < GUARDED; i++)
        if (guarded[i].type == type)
            return i;
    return -1;
}

int access_right_for(uint8_t type)
{
    int at = find(type);
    return at < 0 ? -1 : guarded[at].right;
}

/* ---- who it is ---- */

/* Named ones are counted like users, by numbers that uids seldom have: another for each name, but for a
 * coincidence in 2^31, which costs no more than a common limit. */
static uid_t number_of(const struct broker *broker, const char *who)
{
    uint64_t hash = path_hash(who);
    uid_t number = 0x80000000u | (uid_t)((hash ^ hash >> 32) & 0x7fffffffu);
    while (number == SESSION_REMOTE_USER || number == broker->uid)
        number ^= 1u << 16;
    return number;
}

static int become(struct session *session, const char *who, struct error_text *text)
{
    int rc = session->remote ? session_become(session, number_of(session->broker, who), text) : HERMES_OK;
    if (rc < 0)
        return rc;
    snprintf(session->who, sizeof session->who, "%s", who);
    session->is_known = true;
    return HERMES_OK;
}

int access_greet(struct session *session, struct error_text *text)
{
    char name[TLS_NAME_BYTES], who[RULE_WHO_BYTES];
    if (session->who[0] != 0) /* hello, again */
        return HERMES_OK;
    snprintf(session->who, sizeof session->who, "anonymous");
    if (!session->remote) {
        snprintf(who, sizeof who, "uid:%u", (unsigned)session->uid);
        return become(session, who, text);
    }
    if (session->secure == NULL || !tls_peer_name(session->secure->tls, name))
        return HERMES_OK;
    snprintf(who, sizeof who, "cert:%s", name);
    session->ends_s = tls_peer_ends_s(session->secure->tls);
    return become(session, who, text);
}

static int refuse_token(const struct session *session, const char *why, struct error_text *text)
{
    counters_add(session->broker->counters, LOOP_REFUSED_TOKENS, 1);
    note("refused: a token of %s, which %s", session->peer, why);
    return error_say(text, HERMES_EACCESS, "that token is not known, or is over, or was revoked");
}

int access_present(struct session *session, const struct wire_authenticate *request, struct error_text *text)
{
    char who[RULE_WHO_BYTES];
    const struct token *token = tokens_find(&session->broker->security->tokens, request->token);
    if (token == NULL)
        return refuse_token(session, "is not known", text);
    if (token_is_over(token, (int64_t)time(NULL)))
        return refuse_token(session, "is over", text);
    snprintf(who, sizeof who, "token:%s", token->name);
    int rc = become(session, who, text);
    if (rc < 0)
        return rc;
    memcpy(session->token, token->hash, sizeof session->token);
    session->has_token = true;
    session->ends_s = token->ends_s;
    return HERMES_OK;
}

/* ---- what it may ---- */

static bool is_free(const struct session *session)
{
    return session->broker->security->rules.count == 0 ||
           (!session->remote && broker_trusts(session->broker, session->uid));
}

static unsigned rights_to(const struct session *session, const char *topic)
{
    return is_free(session) ? RIGHTS_ALL
                            : rules_rights(&session->broker->security->rules, session->who, topic);
}

/* For who keeps an eye on it. How often is the notes' affair. */
static void tell(const struct session *session, unsigned wanted, const char *topic)
{
    counters_add(session->broker->counters, LOOP_REFUSED_REQUESTS, 1);
    note("refused: %s (%s) may not %s topic '%s'", session->who, session->peer, rules_verb(wanted), topic);
}

static int refuse(const struct session *session, unsigned wanted, const char *topic, struct error_text *text)
{
    tell(session, wanted, topic);
    return error_say(text, HERMES_EACCESS, "%s may not %s topic '%s'", session->who, rules_verb(wanted),
                     topic);
}

static int check_name(const struct session *session, const char topic[WIRE_TOPIC_BYTES], unsigned wanted,
                      struct error_text *text)
{
    int rc = answer_check_name(topic, text);
    if (rc < 0)
        return rc;
    unsigned has = rights_to(session, topic);
    if ((has & wanted) != 0)
        return HERMES_OK;
    if (has != 0 || wanted == RIGHT_CREATE) /* whether there is one or not */
        return refuse(session, wanted, topic, text);
    tell(session, wanted, topic);
    return answer_no_topic(topic, text);
}

static int check_id(const struct session *session, uint64_t id, unsigned wanted, struct error_text *text)
{
    const struct topic *topic = topic_by_id(session->broker, id);
    unsigned has = topic == NULL ? RIGHTS_ALL : rights_to(session, topic->name);
    if ((has & wanted) != 0)
        return HERMES_OK;
    if (has != 0)
        return refuse(session, wanted, topic->name, text);
    tell(session, wanted, topic->name);
    return answer_deleted(text);
}

/* What a group gives up is published there, and the topic is made if there is none. */
static int check_letters(const struct session *session, const struct wire_group *group,
                         struct error_text *text)
{
    const unsigned wanted = RIGHT_CREATE | RIGHT_PUBLISH;
    char topic[WIRE_TOPIC_BYTES];
    snprintf(topic, sizeof topic, "%.*s", WIRE_TOPIC_BYTES - 1, group->dead_letter);
    unsigned missing = topic[0] == 0 ? 0 : wanted & ~rights_to(session, topic);
    return missing == 0 ? HERMES_OK : refuse(session, missing, topic, text);
}

int access_check(struct session *session, struct error_text *text)
{
    const void *payload = session->request.payload;
    uint8_t type = session->request.header.type;
    if (session_is_awaited(session) && type != WIRE_HELLO && type != WIRE_AUTHENTICATE)
        return error_say(text, HERMES_EACCESS,
                         "who comes this way must say who it is, by a certificate or a token");
    int at = find(type);
    if (is_free(session))
        return HERMES_OK;
    if (at < 0)
        return error_set(text, HERMES_EACCESS, "request of type %d", type);
    if (guarded[at].subject == OF_ID) {
        uint64_t id;
        memcpy(&id, payload, sizeof id);
        return check_id(session, id, guarded[at].right, text);
    }
    int rc =
        guarded[at].subject == OF_TOPIC ? check_name(session, payload, guarded[at].right, text) : HERMES_OK;
    return rc == 0 && type == WIRE_GROUP_CREATE ? check_letters(session, payload, text) : rc;
}

void access_look(const struct session *session, struct access_sight *sight)
{
    sight->all = is_free(session);
    sight->count = sight->all ? 0 : rules_of(&session->broker->security->rules, session->who, sight->of);
}

bool access_sees(const struct access_sight *sight, const char *topic)
{
    return sight->all || rules_any(sight->of, sight->count, topic);
}

/* ---- who may stay ---- */

static bool is_known_still(const struct session *session)
{
    const struct security *security = session->broker->security;
    if (!session->has_token)
        return session->secure == NULL || security->tls == NULL ||
               tls_is_still_trusted(session->secure->tls, security->tls);
    const struct token *token = tokens_named(&security->tokens, session->who + strlen("token:"));
    return token != NULL && memcmp(token->hash, session->token, sizeof session->token) == 0 &&
           !token_is_over(token, (int64_t)time(NULL));
}

static unsigned wanted_for(const struct handle *handle)
{
    bool publishes = handle->kind == HANDLE_PUBLISHER || handle->kind == HANDLE_RING;
    return publishes ? RIGHT_PUBLISH : RIGHT_SUBSCRIBE;
}

static const struct handle *find_forbidden(const struct session *session)
{
    for (unsigned i = 0; i < session->handle_count; i++) {
        const struct handle *handle = &session->handles[i];
        if (handle->id != 0 && (rights_to(session, handle->topic->name) & wanted_for(handle)) == 0)
            return handle;
    }
    return NULL;
}

/* Its ward ends with it, and is not awaited again, either: the grants of both are over now. */
static void shut_out(struct session *session, const struct error_text *text)
{
    handles_revoke_grants(session);
    if (session->ward != NULL)
        handles_revoke_grants(session->ward);
    session_refuse(session, 0, HERMES_EACCESS, text);
}

static void turn_out(struct session *session, const char *why)
{
    struct error_text text;
    error_say(&text, HERMES_EACCESS, "%s is let in no more: %s", session->who, why);
    shut_out(session, &text);
}

static bool is_there(const struct session *session)
{
    return session->greeted && !session->closing && !session->refused;
}

void access_expire(struct broker *broker)
{
    int64_t now_s = (int64_t)time(NULL);
    for (struct session *session = broker->sessions, *next; session != NULL; session = next) {
        next = session->next;
        if (session->ends_s != 0 && session->ends_s <= now_s && is_there(session))
            turn_out(session, "its time is over");
    }
}

static void review(struct session *session)
{
    struct error_text text;
    const struct handle *forbidden;
    if (!is_known_still(session)) {
        turn_out(session, "it was revoked, or is over");
    } else if ((forbidden = find_forbidden(session)) != NULL) {
        (void)refuse(session, wanted_for(forbidden), forbidden->topic->name, &text);
        shut_out(session, &text);
    }
}

/* To verify a certificate takes 0.1 ms. */
bool access_review(struct broker *broker)
{
    enum { A_TURN = 8 };
    unsigned looked = 0, generation = broker->security->generation;
    for (struct session *session = broker->sessions, *next; session != NULL; session = next) {
        next = session->next;
        if (session->reviewed == generation || !is_there(session))
            continue;
        if (looked++ == A_TURN)
            return true;
        session->reviewed = generation;
        review(session);
    }
    return false;
}
