#include "broker/request/group_requests.h"

#include <stdio.h>
#include <string.h>

#include "broker/group_change.h"
#include "broker/group_make.h"
#include "broker/later.h"
#include "broker/request/answer.h"
#include "broker/topics.h"

enum { GROUPS_A_REPLY = 92 };
_Static_assert(sizeof(struct wire_groups) + GROUPS_A_REPLY * sizeof(struct wire_group_info) <= WIRE_REPLY_MAX,
               "a full list fits a reply");

static int check_group(struct session *session, struct topic *topic, struct error_text *text)
{
    return group_check_create(session, topic, (const void *)session->request.payload, text);
}

static int make_dead_letter(struct session *session, const struct topic *topic,
                            const struct wire_group *request, struct error_text *text)
{
    const struct topic *failed = session->later.changes;
    if (failed != NULL && failed->change_result < 0) {
        *text = failed->change_text;
        return failed->change_result;
    }
    struct topic *letters;
    struct wire_topic_create create = {.durability = topic->durability, .shared = 1};
    snprintf(create.topic, sizeof create.topic, "%s", request->dead_letter);
    int rc = topics_create(session->broker, session->uid, &create, &letters, text);
    if (rc < 0)
        return rc;
    later_change(session, letters);
    topic_release(letters);
    return later_turn(session, letters, &letters->turns);
}

/* The topic for dead letters is there, or is made first; but not for a group that will be refused. */
static int want_dead_letter(struct session *session, struct topic *topic, const struct wire_group *request,
                            struct error_text *text)
{
    if (memchr(request->dead_letter, 0, sizeof request->dead_letter) == NULL)
        return error_set(text, HERMES_ENAME, "name of the dead-letter topic");
    struct topic *letters = topic_find(session->broker, request->dead_letter);
    int rc = group_check_dead_letter(topic, request->dead_letter, letters, text);
    if (rc < 0 || (letters != NULL && !letters->opening))
        return rc;
    if (letters != NULL)
        return later_turn(session, letters, &letters->turns);
    if (session->later.changes == NULL && !later_result(session, check_group, &rc, text))
        return later_work(session, topic, &topic->affairs, check_group, NULL);
    return rc < 0 ? rc : make_dead_letter(session, topic, request, text);
}

static int create_group(struct session *session, struct topic *topic, struct error_text *text)
{
    return group_create(session, topic, (const void *)session->request.payload, text);
}

/* The group's tasks were taken out for it. */
static int alter_group(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_group *request = (const void *)session->request.payload;
    int rc = group_alter(session, topic, request, text);
    group_go_on(session, topic, request->group);
    return rc;
}

static int delete_group(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_group *request = (const void *)session->request.payload;
    int rc = group_delete(session, topic, request, text);
    if (rc < 0)
        group_go_on(session, topic, request->group);
    return rc;
}

/* Others may have been before it: the group is looked up in the turn in which it is worked on. */
static bool group_begins(struct session *session)
{
    const struct wire_group *request = (const void *)session->request.payload;
    struct topic *topic = session->later.topic;
    struct group *group = NULL;
    struct error_text ignored;
    if (topic->deleting)
        return false;
    int rc = group_find(session, topic, request->group, &group, &ignored);
    if (rc == 0)
        keeper_pauses(&session->later.job, &group->kept);
    return rc == 0 || (rc == HERMES_ENOTFOUND && session->later.work == delete_group);
}

static int administer(struct session *session, const struct wire_group *request, later_work_t work,
                      struct error_text *text)
{
    struct topic *topic;
    int rc;
    if (later_result(session, work, &rc, text))
        return answer_done(session, rc);
    rc = answer_find_topic(session, request->topic, &topic, text);
    if (rc != 0)
        return rc;
    if (work == create_group && request->dead_letter[0] != 0 &&
        (rc = want_dead_letter(session, topic, request, text)) != 0)
        return rc;
    if (work == create_group)
        return later_work(session, topic, &topic->affairs, work, NULL);
    if (!later_may_use(session, &topic->affairs))
        return later_turn(session, topic, &topic->affairs);
    struct group *group;
    rc = group_find(session, topic, request->group, &group, text);
    if (rc < 0 && (rc != HERMES_ENOTFOUND || work != delete_group))
        return rc;
    return later_work(session, topic, &topic->affairs, work, group_begins);
}

static int list_groups(struct session *session, struct topic *topic, struct error_text *text)
{
    const struct wire_group_list *request = (const void *)session->request.payload;
    struct wire_groups *groups = (struct wire_groups *)(void *)session->reply->payload;
    char after[WIRE_GROUP_BYTES];
    snprintf(after, sizeof after, "%.*s", WIRE_GROUP_BYTES - 1, request->after);
    *groups = (struct wire_groups){0};
    for (struct group *group = topic->groups; group != NULL; group = group->next) {
        int order = strcmp(group->name, after);
        if (request->exact != 0 ? order != 0 : order <= 0)
            continue;
        if (groups->head.count == GROUPS_A_REPLY) {
            groups->head.more = 1;
            break;
        }
        group_describe(group, &groups->groups[groups->head.count++]);
    }
    if (request->exact != 0 && groups->head.count == 0)
        return error_say(text, HERMES_ENOTFOUND, "no group '%s' of topic '%s'", after, topic->name);
    answer(session, WIRE_GROUPS, groups,
           (uint32_t)(sizeof *groups + groups->head.count * sizeof(struct wire_group_info)));
    return HERMES_OK;
}

int group_requests_list(struct session *session, const struct wire_group_list *request,
                        struct error_text *text)
{
    struct topic *topic;
    int rc;
    if (later_result(session, list_groups, &rc, text))
        return rc;
    rc = answer_find_topic(session, request->topic, &topic, text);
    return rc != 0 ? rc : later_work(session, topic, &topic->affairs, list_groups, NULL);
}

int group_requests_create(struct session *session, const struct wire_group *request, struct error_text *text)
{
    return administer(session, request, create_group, text);
}

int group_requests_alter(struct session *session, const struct wire_group *request, struct error_text *text)
{
    return administer(session, request, alter_group, text);
}

int group_requests_delete(struct session *session, const struct wire_group *request, struct error_text *text)
{
    return administer(session, request, delete_group, text);
}
