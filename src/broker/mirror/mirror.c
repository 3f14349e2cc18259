#include "broker/mirror/mirror.h"

#include <errno.h>
#include <ini.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/note.h"
#include "broker/mirror/follow.h"
#include "broker/mirror/serve.h"
#include "broker/topics.h"

enum { PATIENCE_MS = 2000 }; /* with who answers for names, while somebody waits for us */

/* As enum mirror_role. */
static const char *const roles[] = {NULL, "serves", "follows"};

static struct mirror *of(struct job *job)
{
    return (struct mirror *)(void *)((char *)job - offsetof(struct mirror, job));
}

struct mirror *mirror_find(struct broker *broker, const struct topic *topic, enum mirror_role role)
{
    struct mirror *mirror = broker->mirrors;
    while (mirror != NULL && (mirror->engine.topic != topic || mirror->engine.role != role))
        mirror = mirror->next;
    return mirror;
}

/* ---- the definition: in the turn of topic->turns ---- */

/* As it was, or as it is now, after a crash too. */
static int write_definition(const struct topic *topic, struct error_text *text)
{
    char path[PATH_BYTES], next[PATH_BYTES], bytes[3 * UDP_URL_BYTES] = "";
    topic_path(topic->broker, topic->name, "mirror.conf", path);
    topic_path(topic->broker, topic->name, "mirror.conf.new", next);
    for (enum mirror_role role = MIRROR_SERVES; role <= MIRROR_FOLLOWS; role++)
        if (topic->mirrored.url[role][0] != 0)
            snprintf(bytes + strlen(bytes), sizeof bytes - strlen(bytes), "%s = %s\n", roles[role],
                     topic->mirrored.url[role]);
    int rc = HERMES_OK;
    if (bytes[0] == 0) {
        if (unlink(path) != 0 && errno != ENOENT)
            return error_set_errno(text, "delete", path);
        return path_sync_parent(path, text);
    }
    unlink(next); /* of one that was not finished */
    rc = topic_write_whole(next, bytes, strlen(bytes), text);
    if (rc == 0 && rename(next, path) != 0)
        rc = error_set_errno(text, "rename to", path);
    if (rc < 0)
        unlink(next);
    return rc < 0 ? rc : path_sync_parent(path, text);
}

static void set_url(struct mirror *mirror, const char *url)
{
    snprintf(mirror->engine.topic->mirrored.url[mirror->engine.role], UDP_URL_BYTES, "%s", url);
}

/* ---- beginning ---- */

static void forget(struct mirror *mirror)
{
    struct mirror **at = &mirror->broker->mirrors;
    struct topic *topic = mirror->engine.topic;
    while (*at != mirror)
        at = &(*at)->next;
    *at = mirror->next;
    mirror->broker->mirror_count--;
    book_give_back(&mirror->broker->book, mirror->engine.counters);
    topic->mirrored.count--;
    if (mirror->engine.role == MIRROR_FOLLOWS)
        topic->mirrored.follows = false;
    else
        topic->mirrored.grants = NULL;
    grants_wipe(&mirror->grants);
    topic_release(topic);
    free(mirror);
}

static void tell_asker(struct mirror *mirror)
{
    struct mirrored *mirrored = &mirror->engine.topic->mirrored;
    mirrored->asker = mirror->asker;
    mirrored->result = mirror->result;
    mirrored->text = mirror->text;
}

/* HERMES_EAGAIN: nobody has said so in the time that somebody may be kept waiting for it. */
static int find_address(const struct engine *engine, struct lookup_answer *answer, struct error_text *text)
{
    struct lookup_wish wish = {.url = engine->url, .topic = engine->topic->name};
    struct lookup *lookup;
    int rc = lookup_open(&lookup, &wish, text);
    if (rc < 0)
        return rc;
    struct pollfd polled = {.fd = lookup_fd(lookup), .events = POLLIN};
    (void)poll(&polled, 1, PATIENCE_MS);
    bool told = lookup_take(lookup, answer);
    lookup_close(lookup);
    if (!told)
        return HERMES_EAGAIN;
    *text = answer->text;
    return answer->error;
}

/* Who asks for it shall know at once that the address cannot be had, or is nobody's. */
static int try_address(const struct engine *engine, struct error_text *text)
{
    struct mirror_socket_config config;
    struct mirror_socket *socket;
    struct lookup_answer answer;
    if (config_is_secure(engine->url)) /* which may answer later than now */
        return HERMES_OK;
    int rc = find_address(engine, &answer, text);
    if (rc == HERMES_EAGAIN) /* its thread goes on trying */
        return HERMES_OK;
    if (rc < 0 || engine->role != MIRROR_SERVES)
        return rc;
    rc = engine_place(&answer.there, &answer.group, &config);
    if (rc == 0)
        rc = mirror_socket_open(&socket, &config);
    if (rc < 0)
        return error_say(text, rc, "%s cannot be bound: %s", engine->url, hermes_strerror(rc));
    mirror_socket_close(socket);
    return HERMES_OK;
}

static int refuse_messages(const struct topic *topic, struct error_text *text)
{
    return error_say(text, HERMES_EINVALID,
                     "topic '%s' has messages of its own: what is copied begins with none", topic->name);
}

/* The log has a fresh epoch, which nobody writes: what its last publisher wrote until now counts. */
static int take_log(struct mirror *mirror)
{
    struct log *log = &mirror->engine.topic->log;
    int rc = log_renew(log, &mirror->text);
    if (rc < 0 || mirror->told || log_committed(log).position == 0)
        return rc;
    return refuse_messages(mirror->engine.topic, &mirror->text);
}

/* On a worker. Whatever may fail is tried before the definition stands, or takes it back. */
static void define(struct job *job)
{
    struct mirror *mirror = of(job);
    struct engine *engine = &mirror->engine;
    mirror->result = mirror->told ? HERMES_OK : try_address(engine, &mirror->text);
    if (mirror->result == 0)
        mirror->result = engine_prepare(engine, &mirror->text);
    if (mirror->result < 0)
        return;
    if (!mirror->told) {
        set_url(mirror, engine->url);
        mirror->result = write_definition(engine->topic, &mirror->text);
    }
    if (mirror->result == 0 && engine->role == MIRROR_FOLLOWS)
        mirror->result = take_log(mirror);
    if (mirror->result == 0)
        return;
    engine_end(engine);
    engine_join(engine);
    if (!mirror->told) {
        struct error_text ignored;
        set_url(mirror, "");
        (void)write_definition(engine->topic, &ignored);
    }
}

static void defined(struct job *job)
{
    struct mirror *mirror = of(job);
    struct topic *topic = mirror->engine.topic;
    mirror->changing = false;
    tell_asker(mirror);
    if (mirror->result == 0) {
        if (mirror->engine.role == MIRROR_FOLLOWS)
            log_take(&topic->log, WRITER_OWNER);
        mirror->told = true;
        engine_go(&mirror->engine);
        return;
    }
    note("topic '%s' has no mirror at %s: %s", topic->name, mirror->engine.url, mirror->text.bytes);
    engine_tell(&mirror->engine, MIRROR_FAILED, mirror->result);
    if (!mirror->told)
        forget(mirror);
}

static int check_copy(struct topic *topic, struct error_text *text)
{
    if (topic->shared)
        return error_say(text, HERMES_EINVALID,
                         "topic '%s' is shared, and a copy has one writer: delete it, and create it again",
                         topic->name);
    int rc = topic_check_free(topic, text);
    if (rc < 0)
        return rc;
    topic_look(topic);
    return topic->told_position == 0 ? HERMES_OK : refuse_messages(topic, text);
}

/* Who serves answers those alone who have a key, and who follows over TLS is given one. */
static int check_safety(const struct broker *broker, enum mirror_role role, const char *url,
                        struct error_text *text)
{
    if (broker->config.insecure || role == MIRROR_SERVES || config_is_secure(url))
        return HERMES_OK;
    return error_say(
        text, HERMES_EACCESS,
        "what comes from a udp:// address is neither encrypted nor authenticated, and is copied "
        "only where [net] insecure = true says so; tls://HOST:PORT, where its broker listens, gives a "
        "key");
}

static int check(struct topic *topic, enum mirror_role role, const char *url, struct error_text *text)
{
    struct broker *broker = topic->broker;
    const struct mirror *other = mirror_find(broker, topic, role);
    int rc = config_check_mirror(url, role == MIRROR_FOLLOWS, text);
    if (rc == 0)
        rc = check_safety(broker, role, url, text);
    if (rc < 0)
        return rc;
    if (other != NULL && other->changing)
        return error_say(text, HERMES_EBUSY, "the mirror of topic '%s' is being changed", topic->name);
    if (other != NULL)
        return error_say(text, HERMES_EEXISTS, "topic '%s' %s %s (hermes mirror remove)", topic->name,
                         roles[role], other->engine.url);
    if (broker->mirror_count >= MIRRORS_MAX)
        return error_say(text, HERMES_ELIMIT, "%u mirrors", broker->mirror_count);
    return role == MIRROR_FOLLOWS ? check_copy(topic, text) : HERMES_OK;
}

/* Of a URL that was checked. */
static bool is_of_group(const char *url)
{
    char base[UDP_URL_BYTES];
    struct udp_group group;
    struct error_text ignored;
    return udp_split(url, base, &group, &ignored) == 0 && group.address.ss_family != 0;
}

static struct mirror *make(struct topic *topic, enum mirror_role role, const char *url)
{
    struct broker *broker = topic->broker;
    struct mirror *mirror = calloc(1, sizeof *mirror);
    if (mirror == NULL)
        return NULL;
    mirror->broker = broker;
    mirror->engine.topic = topic;
    mirror->engine.role = role;
    mirror->engine.body = role == MIRROR_SERVES ? serve_body : follow_body;
    mirror->engine.grants = &mirror->grants;
    mirror->engine.identity = &broker->config.mirror_identity;
    if (role == MIRROR_SERVES) {
        topic->mirrored.grants = &mirror->grants;
        mirror->grants.group = is_of_group(url);
    }
    snprintf(mirror->engine.url, sizeof mirror->engine.url, "%s", url);
    const struct book_entry entry = {
        .kind = COUNTERS_MIRROR, .label = url, .id = broker_next_id(broker), .topic = topic->id};
    mirror->engine.counters = book_take(&broker->book, &entry);
    counters_set(mirror->engine.counters, MIRROR_COUNTS_FOLLOWS, role == MIRROR_FOLLOWS);
    mirror->next = broker->mirrors;
    broker->mirrors = mirror;
    broker->mirror_count++;
    topic->mirrored.count++;
    topic_hold(topic);
    return mirror;
}

static void begin(struct mirror *mirror)
{
    struct topic *topic = mirror->engine.topic;
    if (mirror->engine.role == MIRROR_FOLLOWS) {
        topic->mirrored.follows = true;
        topic_forgo_grace(topic);
    }
    mirror->changing = true;
    mirror->job = (struct job){.work = define, .done = defined};
    topic_look(topic);
    workers_submit(&mirror->broker->workers, &topic->turns, &mirror->job);
}

int mirror_add(struct topic *topic, enum mirror_role role, const char *url, uint64_t asker,
               struct error_text *text)
{
    int rc = check(topic, role, url, text);
    if (rc < 0)
        return rc;
    struct mirror *mirror = make(topic, role, url);
    if (mirror == NULL)
        return error_set(text, HERMES_ENOMEM, "a mirror of topic '%s'", topic->name);
    mirror->asker = asker;
    begin(mirror);
    return HERMES_OK;
}

/* ---- ending ---- */

/* On a worker: who copied writes the log no more, and it is a topic like others. */
static void undo(struct job *job)
{
    struct mirror *mirror = of(job);
    struct topic *topic = mirror->engine.topic;
    char path[PATH_BYTES];
    engine_join(&mirror->engine);
    set_url(mirror, "");
    mirror->result = write_definition(topic, &mirror->text);
    if (mirror->result < 0)
        set_url(mirror, mirror->engine.url);
    if (mirror->result < 0 || mirror->engine.role != MIRROR_FOLLOWS)
        return;
    if (atomic_load(&topic->log.status->writer) == WRITER_OWNER)
        log_end(&topic->log, EPOCH_LEFT);
    topic_path(topic->broker, topic->name, "mirror.epoch", path);
    unlink(path);
}

static void undone(struct job *job)
{
    struct mirror *mirror = of(job);
    tell_asker(mirror);
    if (mirror->result == 0) {
        forget(mirror);
        return;
    }
    mirror->changing = false; /* to be removed again: as long as the definition stands, it is one */
    engine_tell(&mirror->engine, MIRROR_FAILED, mirror->result);
}

int mirror_remove(struct mirror *mirror, uint64_t asker, struct error_text *text)
{
    struct topic *topic = mirror->engine.topic;
    if (mirror->changing)
        return error_say(text, HERMES_EBUSY, "the mirror of topic '%s' is being changed", topic->name);
    mirror->changing = true;
    mirror->asker = asker;
    mirror->result = HERMES_OK;
    engine_end(&mirror->engine);
    mirror->job = (struct job){.work = undo, .done = undone};
    topic_look(topic);
    workers_submit(&mirror->broker->workers, &topic->turns, &mirror->job);
    return HERMES_OK;
}

/* ---- from run to run ---- */

static int definition_line(void *user, const char *section, const char *name, const char *value)
{
    struct topic *topic = user;
    (void)section;
    for (enum mirror_role role = MIRROR_SERVES; role <= MIRROR_FOLLOWS; role++)
        if (strcmp(name, roles[role]) == 0 && strlen(value) < UDP_URL_BYTES) {
            snprintf(topic->mirrored.url[role], UDP_URL_BYTES, "%s", value);
            return 1;
        }
    return 0;
}

void mirrors_load(struct broker *broker)
{
    char path[PATH_BYTES];
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next) {
        topic_path(broker, topic->name, "mirror.conf", path);
        int line = ini_parse(path, definition_line, topic);
        if (line > 0)
            note("topic '%s': %s: line %d cannot be read", topic->name, path, line);
        topic->mirrored.follows = topic->mirrored.url[MIRROR_FOLLOWS][0] != 0;
    }
}

static void start(struct topic *topic, enum mirror_role role)
{
    const char *url = topic->mirrored.url[role];
    struct error_text text;
    struct mirror *mirror = make(topic, role, url);
    if (mirror == NULL)
        return;
    mirror->told = true;
    if (check_safety(topic->broker, role, url, &text) == 0) {
        begin(mirror);
        return;
    }
    note("topic '%s' %s %s no more: %s", topic->name, roles[role], url, text.bytes);
    engine_tell(&mirror->engine, MIRROR_FAILED, HERMES_EACCESS); /* listed, and can be removed */
}

/* A topic that a configured mirror is of, which is being made. */
struct awaited {
    struct job job;
    struct topic *topic;
    const struct config_mirror *wanted;
};

static void add_configured(struct topic *topic, const struct config_mirror *wanted)
{
    struct error_text text;
    enum mirror_role role = wanted->follows ? MIRROR_FOLLOWS : MIRROR_SERVES;
    if (mirror_add(topic, role, wanted->url, 0, &text) < 0)
        note("[mirror] %s = %s %s: %s", wanted->follows ? "add" : "serve", wanted->topic, wanted->url,
             text.bytes);
}

static void topic_is_made(struct job *job)
{
    struct awaited *awaited = (struct awaited *)(void *)job;
    struct topic *topic = awaited->topic;
    if (topic->change_result == 0)
        add_configured(topic, awaited->wanted);
    else
        note("[mirror] add = %s: %s", awaited->wanted->topic, topic->change_text.bytes);
    topic_release(topic);
    free(awaited);
}

static void make_topic(struct broker *broker, const struct config_mirror *wanted)
{
    struct wire_topic_create request = {.durability = DURABILITY_ASYNC};
    struct awaited *awaited = malloc(sizeof *awaited);
    struct error_text text = {"no memory"};
    struct topic *topic;
    memcpy(request.topic, wanted->topic, sizeof request.topic);
    if (awaited == NULL || topics_create(broker, broker->uid, &request, &topic, &text) < 0) {
        note("[mirror] add = %s: %s", wanted->topic, text.bytes);
        free(awaited);
        return;
    }
    *awaited = (struct awaited){.job = {.done = topic_is_made}, .topic = topic, .wanted = wanted};
    topics_await_change(topic, &awaited->job);
}

static void start_configured(struct broker *broker, const struct config_mirror *wanted)
{
    struct topic *topic = topic_find(broker, wanted->topic);
    if (topic == NULL && wanted->follows)
        make_topic(broker, wanted);
    else if (topic == NULL)
        note("[mirror] serve = %s: there is no such topic yet: the next start looks again", wanted->topic);
    else if (topic->mirrored.url[wanted->follows ? MIRROR_FOLLOWS : MIRROR_SERVES][0] == 0)
        add_configured(topic, wanted);
}

/* What the configuration says comes before what was said by hand. */
static void override(struct broker *broker)
{
    for (unsigned i = 0; i < broker->config.mirror_count; i++) {
        const struct config_mirror *wanted = &broker->config.mirrors[i];
        struct topic *topic = topic_find(broker, wanted->topic);
        char *url =
            topic == NULL ? NULL : topic->mirrored.url[wanted->follows ? MIRROR_FOLLOWS : MIRROR_SERVES];
        if (url != NULL && url[0] != 0)
            memcpy(url, wanted->url, UDP_URL_BYTES);
    }
}

void mirrors_start(struct broker *broker)
{
    override(broker);
    for (struct topic *topic = broker->topics; topic != NULL; topic = topic->next)
        for (enum mirror_role role = MIRROR_SERVES; role <= MIRROR_FOLLOWS; role++)
            if (topic->mirrored.url[role][0] != 0)
                start(topic, role);
    for (unsigned i = 0; i < broker->config.mirror_count; i++)
        start_configured(broker, &broker->config.mirrors[i]);
}

void mirrors_stop(struct broker *broker)
{
    for (struct mirror *mirror = broker->mirrors; mirror != NULL; mirror = mirror->next)
        engine_end(&mirror->engine);
    for (struct mirror *mirror = broker->mirrors, *next; mirror != NULL; mirror = next) {
        next = mirror->next;
        engine_join(&mirror->engine);
        forget(mirror);
    }
}
