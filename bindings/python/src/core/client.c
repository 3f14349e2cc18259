/* Client: topics, and what is opened on them. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

/* What a session is opened by: its URL, and hermes_connect_options_t's fields. */
enum how { URL, TLS_CA, TLS_CERT, TLS_KEY, TLS_SERVER_NAME, TOKEN, TOKEN_FILE, HOW };

struct client {
    struct handle handle;
    PyObject *how; /* a tuple of bytes, for a path need not be text; None: the default */
};

static const char *said(PyObject *how, enum how which)
{
    PyObject *bytes = PyTuple_GetItem(how, which);
    return bytes == Py_None ? NULL : PyBytes_AsString(bytes);
}

/* A session with the broker, for what is opened through parent; NULL: for a client. */
static hermes_client_t *connect_by(struct state *state, struct handle *parent, PyObject *how)
{
    hermes_client_t *client = NULL;
    const hermes_connect_options_t options = {.size = sizeof options,
                                              .tls_ca = said(how, TLS_CA),
                                              .tls_cert = said(how, TLS_CERT),
                                              .tls_key = said(how, TLS_KEY),
                                              .tls_server_name = said(how, TLS_SERVER_NAME),
                                              .token = said(how, TOKEN),
                                              .token_file = said(how, TOKEN_FILE)};
    const char *url = said(how, URL);
    Py_INCREF(how); /* its owner may go while we wait */
    int rc;
    bool ended;
    ASKING(state, parent, ended, rc = hermes_connect_with(url, &options, &client));
    Py_DECREF(how);
    if (ended) {
        (void)hermes_disconnect(client);
        return NULL;
    }
    if (rc < 0)
        raise_error(state, rc, hermes_last_error(NULL));
    return client;
}

int session_is_wanted(struct handle *parent, hermes_client_t *session)
{
    if (parent->stage < STAGE_CLOSING)
        return 0;
    UNLOCKED(hermes_disconnect(session));
    return handle_refuse(parent);
}

static void close_client(struct handle *handle)
{
    hermes_disconnect(handle->client);
}

static void forget_client(struct handle *handle)
{
    hermes_forget(handle->client);
}

static const struct handle_kind client_kind = {.close = close_client, .forget = forget_client};

/* Bytes of what was given; a path where it may be one. NULL and an exception. */
static PyObject *take_said(struct state *state, enum how which, PyObject *given)
{
    PyObject *bytes = NULL;
    if (given == Py_None)
        return Py_NewRef(Py_None);
    if (which != TLS_SERVER_NAME && which != TOKEN) {
        (void)take_path(state, given, &bytes);
        return bytes;
    }
    if (!PyUnicode_Check(given)) { /* a secret is not shown */
        PyErr_Format(PyExc_TypeError, "%s is a str", which == TOKEN ? "a token" : "a server's name");
        return NULL;
    }
    bytes = PyUnicode_AsUTF8String(given);
    if (bytes != NULL && strlen(PyBytes_AsString(bytes)) == (size_t)PyBytes_Size(bytes))
        return bytes;
    Py_CLEAR(bytes);
    PyErr_Clear();
    refuse_argument(state, "%s has no such characters", which == TOKEN ? "a token" : "a server's name");
    return NULL;
}

static PyObject *take_how(struct state *state, PyObject *given[HOW])
{
    PyObject *how = PyTuple_New(HOW);
    for (int i = 0; how != NULL && i < HOW; i++) {
        PyObject *bytes = take_said(state, (enum how)i, given[i]);
        if (bytes == NULL || PyTuple_SetItem(how, i, bytes) < 0)
            Py_CLEAR(how);
    }
    return how;
}

PyObject *client_connect(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"url",   "tls_ca",     "tls_cert", "tls_key", "tls_server_name",
                            "token", "token_file", NULL};
    PyObject *given[HOW] = {Py_None, Py_None, Py_None, Py_None, Py_None, Py_None, Py_None};
    struct state *state = module_state(module);
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O$OOOOOO:connect", names, &given[URL],
                                     &given[TLS_CA], &given[TLS_CERT], &given[TLS_KEY],
                                     &given[TLS_SERVER_NAME], &given[TOKEN], &given[TOKEN_FILE]))
        return NULL;
    PyObject *how = take_how(state, given);
    if (how == NULL)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->client_type, Py_tp_alloc);
    struct client *client = (struct client *)(void *)allocate(state->client_type, 0);
    hermes_client_t *session = client == NULL ? NULL : connect_by(state, NULL, how);
    if (session != NULL) {
        handle_init(&client->handle, &client_kind, state, NULL, given[URL]);
        client->handle.client = session;
        client->how = Py_NewRef(how);
    } else {
        Py_CLEAR(client);
    }
    Py_DECREF(how);
    return (PyObject *)client;
}

static void client_dealloc(struct client *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->how);
    handle_dealloc(&self->handle);
}

static PyObject *client_repr(struct handle *self)
{
    return handle_repr(self, "Client", NULL, 0);
}

static PyObject *client_ping(struct handle *self, PyObject *unused)
{
    (void)unused;
    int rc;
    bool ended;
    if (handle_enter(self) < 0)
        return NULL;
    ASKING(self->state, self, ended, rc = hermes_ping(self->client));
    return handle_done(self, rc, ended);
}

/* ---- topics ---- */

static const char *const durabilities[] = {"async", "sync", "memory", NULL};
static const char *const when_full_words[] = {"error", "wait", NULL};

static PyObject *client_create_topic(struct handle *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"name",          "durability", "shared", "window_bytes",
                            "segment_bytes", "keep_bytes", "keep",   "when_full",
                            "push_back",     "exist_ok",   NULL};
    PyObject *name, *durability = NULL, *window = NULL, *segment = NULL, *keep_bytes = NULL, *keep = NULL,
                    *when_full = NULL;
    int shared = 0, push_back = 0, exist_ok = 0, rc;
    bool ended;
    const char *text;
    struct state *state = self->state;
    hermes_topic_options_t options = {.size = sizeof options};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$OpOOOOOpp:create_topic", names, &name,
                                     &durability, &shared, &window, &segment, &keep_bytes, &keep, &when_full,
                                     &push_back, &exist_ok) ||
        (text = take_text(state, name, "a topic's name")) == NULL ||
        take_choice(state, durability, "durability", durabilities, &options.durability) < 0 ||
        take_choice(state, when_full, "when_full", when_full_words, &options.full_waits) < 0 ||
        take_size(state, window, "window_bytes", &options.window_bytes) < 0 ||
        take_size(state, segment, "segment_bytes", &options.segment_bytes) < 0 ||
        take_size(state, keep_bytes, "keep_bytes", &options.keep_bytes) < 0 ||
        take_age(state, keep, &options.keep_ns) < 0 || handle_enter(self) < 0)
        return NULL;
    options.shared = shared != 0;
    options.push_back = push_back != 0;
    ASKING(self->state, self, ended, rc = hermes_topic_create(self->client, text, &options));
    return handle_done(self, rc == HERMES_EEXISTS && exist_ok ? 0 : rc, ended);
}

static PyObject *client_alter_topic(struct handle *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"name", "keep_bytes", "keep", "when_full", NULL};
    PyObject *name, *keep_bytes = NULL, *keep = NULL, *when_full = NULL;
    const char *text;
    struct state *state = self->state;
    hermes_topic_options_t options = {.size = sizeof options};
    int rc;
    bool ended;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$OOO:alter_topic", names, &name, &keep_bytes,
                                     &keep, &when_full) ||
        (text = take_text(state, name, "a topic's name")) == NULL ||
        take_size(state, keep_bytes, "keep_bytes", &options.keep_bytes) < 0 ||
        take_age(state, keep, &options.keep_ns) < 0 ||
        take_choice(state, when_full, "when_full", when_full_words, &options.full_waits) < 0 ||
        handle_enter(self) < 0)
        return NULL;
    uint32_t fields = (keep_bytes != NULL ? HERMES_ALTER_KEEP_BYTES : 0u) |
                      (keep != NULL ? HERMES_ALTER_KEEP_NS : 0u) |
                      (when_full != NULL ? HERMES_ALTER_FULL_WAITS : 0u);
    ASKING(self->state, self, ended, rc = hermes_topic_alter(self->client, text, fields, &options));
    return handle_done(self, rc, ended);
}

static PyObject *client_delete_topic(struct handle *self, PyObject *name)
{
    int rc;
    bool ended;
    const char *text = take_text(self->state, name, "a topic's name");
    if (text == NULL || handle_enter(self) < 0)
        return NULL;
    ASKING(self->state, self, ended, rc = hermes_topic_delete(self->client, text));
    return handle_done(self, rc, ended);
}

static PyObject *client_purge_topic(struct handle *self, PyObject *name)
{
    int rc;
    bool ended;
    const char *text = take_text(self->state, name, "a topic's name");
    if (text == NULL || handle_enter(self) < 0)
        return NULL;
    ASKING(self->state, self, ended, rc = hermes_topic_purge(self->client, text));
    return handle_done(self, rc, ended);
}

static PyObject *info_of(struct state *state, const hermes_topic_info_t *i)
{
    return PyObject_CallMethod(
        state->support, "topic_info", "sKsNKKKKKKKIIINKKKKsNNI", i->name, (unsigned long long)i->topic_id,
        i->durability <= HERMES_DURABILITY_MEMORY ? durabilities[i->durability] : "unknown",
        PyBool_FromLong((long)i->shared), (unsigned long long)i->window_bytes,
        (unsigned long long)i->segment_bytes, (unsigned long long)i->first_position,
        (unsigned long long)i->committed_position, (unsigned long long)i->persisted_position,
        (unsigned long long)i->durable_position, (unsigned long long)i->last_sequence, i->epoch,
        i->publishers, i->subscribers, PyBool_FromLong((long)i->failed), (unsigned long long)i->refused,
        (unsigned long long)i->corrupt, (unsigned long long)i->keep_bytes, (unsigned long long)i->keep_ns,
        when_full_words[i->full_waits != 0], PyBool_FromLong((long)i->full),
        PyBool_FromLong((long)i->push_back), i->waited_for);
}

static PyObject *client_topic(struct handle *self, PyObject *name)
{
    hermes_topic_info_t info = {.size = sizeof info};
    int rc;
    bool ended;
    const char *text = take_text(self->state, name, "a topic's name");
    if (text == NULL || handle_enter(self) < 0)
        return NULL;
    ASKING(self->state, self, ended, rc = hermes_topic_describe(self->client, text, &info));
    if (rc < 0 || ended)
        return handle_done(self, rc, ended);
    handle_leave(self);
    return info_of(self->state, &info);
}

/* Up to PAGE more; -1 and an exception. */
enum { PAGE = 64 };
static int list_page(struct handle *self, const char *after, hermes_topic_info_t *infos)
{
    int count;
    bool ended;
    infos[0].size = sizeof infos[0];
    if (handle_enter(self) < 0)
        return -1;
    ASKING(self->state, self, ended, count = hermes_topic_list(self->client, after, infos, PAGE));
    if (count < 0 && !ended)
        raise_of(self, count);
    handle_leave(self);
    return count < 0 || ended ? -1 : count;
}

static int append_infos(struct state *state, PyObject *list, const hermes_topic_info_t *infos, int count)
{
    int rc = 0;
    for (int i = 0; i < count && rc == 0; i++) {
        PyObject *info = info_of(state, &infos[i]);
        rc = info == NULL ? -1 : PyList_Append(list, info);
        Py_XDECREF(info);
    }
    return rc;
}

static PyObject *client_topics(struct handle *self, PyObject *unused)
{
    (void)unused;
    PyObject *list = PyList_New(0);
    hermes_topic_info_t *infos = calloc(PAGE, sizeof *infos);
    char after[sizeof infos->name] = "";
    int count = infos == NULL || list == NULL ? -1 : PAGE;
    if (infos == NULL)
        PyErr_NoMemory();
    while (count == PAGE) {
        count = list_page(self, after, infos);
        if (count > 0)
            memcpy(after, infos[count - 1].name, sizeof after);
        if (append_infos(self->state, list, infos, count) < 0)
            count = -1;
    }
    free(infos);
    if (count < 0)
        Py_CLEAR(list);
    return list;
}

struct damages {
    struct damage {
        uint64_t from, to;
        int error;
    } * at;
    size_t count, room;
};

static void note_damage(void *context, uint64_t from, uint64_t to, int error)
{
    struct damages *damages = context;
    if (damages->count == damages->room) {
        size_t room = damages->room == 0 ? 64 : damages->room * 2;
        struct damage *more = realloc(damages->at, room * sizeof *more);
        if (more == NULL)
            return;
        damages->at = more;
        damages->room = room;
    }
    damages->at[damages->count++] = (struct damage){from, to, error};
}

static PyObject *client_verify_topic(struct handle *self, PyObject *name)
{
    const char *text = take_text(self->state, name, "a topic's name");
    if (text == NULL || handle_enter(self) < 0)
        return NULL;
    struct damages damages = {NULL, 0, 0};
    hermes_verification_t result = {.size = sizeof result};
    int rc;
    bool ended;
    ASKING(self->state, self, ended,
           rc = hermes_topic_verify(self->client, text, note_damage, &damages, &result));
    PyObject *list = ended ? NULL : rc < 0 ? raise_of(self, rc) : PyList_New(0);
    handle_leave(self);
    for (size_t i = 0; list != NULL && i < damages.count; i++) {
        const struct damage *d = &damages.at[i];
        PyObject *item = Py_BuildValue("KKs", (unsigned long long)d->from, (unsigned long long)d->to,
                                       hermes_error_name(d->error));
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    free(damages.at);
    return list == NULL ? NULL
                        : PyObject_CallMethod(self->state->support, "verification", "KKKN",
                                              (unsigned long long)result.first_position,
                                              (unsigned long long)result.end_position,
                                              (unsigned long long)result.messages, list);
}

/* ---- publishers and subscribers ---- */

static PyObject *client_publisher(struct client *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"topic", "checksum", "wait_durable", "timeout", NULL};
    PyObject *topic, *timeout = NULL;
    int checksum = 1, wait_durable = 1;
    uint64_t wait_ns = 10000000000u;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$ppO:publisher", names, &topic, &checksum,
                                     &wait_durable, &timeout) ||
        take_text(self->handle.state, topic, "a topic's name") == NULL ||
        take_timeout(self->handle.state, timeout, &wait_ns) < 0 || handle_check(&self->handle) < 0)
        return NULL;
    hermes_client_t *session = connect_by(self->handle.state, &self->handle, self->how);
    if (session == NULL)
        return NULL;
    return publisher_new(&self->handle, session, topic, checksum ? 0 : HERMES_PUBLISH_NO_CRC,
                         wait_durable != 0, wait_ns);
}

/* Where a group or durable subscription begins if it is not there yet: it cannot be anywhere in between. */
static int take_beginning(struct state *state, PyObject *start, uint32_t *from)
{
    static const char *const words[] = {"end", "first", NULL};
    if (start != NULL && !PyUnicode_Check(start))
        return refuse_argument(state, "a group or durable subscription begins at 'end' or 'first', and then "
                                      "goes on where it stands; Client.reset_group() moves it");
    return take_choice(state, start, "start", words, from);
}

static PyObject *client_subscriber(struct client *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"topic", "start", "group", "name", "ack", "push_back", "verify", "spin", NULL};
    static const char *const acks[] = {"auto", "manual", "none", NULL};
    struct state *state = self->handle.state;
    PyObject *topic, *start = NULL, *group = Py_None, *name = Py_None, *ack = NULL, *spin = NULL;
    int verify = 1, push_back = 0;
    struct start from = {START_END, 0};
    struct subscribing how = {.options = {.size = sizeof how.options}, .spin_ns = 20000};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O$OOOppO:subscriber", names, &topic, &start,
                                     &group, &name, &ack, &push_back, &verify, &spin) ||
        take_text(state, topic, "a topic's name") == NULL || take_timeout(state, spin, &how.spin_ns) < 0 ||
        take_choice(state, ack, "ack", acks, &how.options.ack) < 0 ||
        (group != Py_None && (how.options.group = take_text(state, group, "a group's name")) == NULL) ||
        (name != Py_None && (how.options.name = take_text(state, name, "a subscription's name")) == NULL))
        return NULL;
    bool alone = group == Py_None && name == Py_None;
    if (alone ? start != NULL && take_start(state, start, &from) < 0
              : take_beginning(state, start, &how.options.from) < 0)
        return NULL;
    how.verify = verify != 0;
    how.options.flags = push_back ? HERMES_SUBSCRIBE_PUSH_BACK : 0;
    hermes_client_t *session =
        handle_check(&self->handle) < 0 ? NULL : connect_by(state, &self->handle, self->how);
    if (session == NULL)
        return NULL;
    return subscriber_new(&self->handle, session, topic, alone && start != NULL ? &from : NULL, &how);
}

static PyMethodDef methods[] = {
    {"create_topic", (PyCFunction)(void *)client_create_topic, METH_VARARGS | METH_KEYWORDS,
     "create_topic($self, name, *, durability='async', shared=False, window_bytes=0, segment_bytes=0, "
     "keep_bytes=0,\n"
     "             keep=None, when_full='error', push_back=False, exist_ok=False)\n--\n\n"
     "Makes a topic. durability: 'memory' (survives any process, not a stop), 'async' (on disk within 10 ms) "
     "or\n"
     "'sync' (send() returns when it is on disk). shared: up to 256 publishers at once, in one order; else "
     "one at a\n"
     "time, which is faster. keep_bytes, keep (seconds or timedelta): retention. when_full: what publishers "
     "do while\n"
     "the disk is full. push_back: they wait for subscribers that ask for it. Raises TopicExists, "
     "InvalidName, InvalidArgument, LimitReached, NoSpace."},
    {"alter_topic", (PyCFunction)(void *)client_alter_topic, METH_VARARGS | METH_KEYWORDS,
     "alter_topic($self, name, *, keep_bytes=..., keep=..., when_full=...)\n--\n\n"
     "Changes what is given, at once, whoever publishes or reads."},
    {"delete_topic", (PyCFunction)client_delete_topic, METH_O,
     "delete_topic($self, name, /)\n--\n\nDeletes a topic and all it stores. Raises Busy while it has a "
     "publisher."},
    {"purge_topic", (PyCFunction)client_purge_topic, METH_O,
     "purge_topic($self, name, /)\n--\n\nDrops all messages of a topic, for good, whoever publishes and "
     "reads. Positions and sequences go on; who was to read them is told Gone once."},
    {"topic", (PyCFunction)client_topic, METH_O,
     "topic($self, name, /)\n--\n\nWhat is known of a topic: a TopicInfo."},
    {"topics", (PyCFunction)client_topics, METH_NOARGS,
     "topics($self, /)\n--\n\nAll topics, by name: a list of TopicInfo."},
    {"verify_topic", (PyCFunction)client_verify_topic, METH_O,
     "verify_topic($self, name, /)\n--\n\n"
     "Reads all that is stored of a topic and checks every byte: a Verification. Raises NotSupported for "
     "'memory'."},
    {"publisher", (PyCFunction)(void *)client_publisher, METH_VARARGS | METH_KEYWORDS,
     "publisher($self, topic, *, checksum=True, wait_durable=True, timeout=10.0)\n--\n\n"
     "A Publisher, with a session of its own: it may live in another thread than this client. timeout: how "
     "long a\n"
     "send may wait for room or for a broker that restarts. wait_durable=False: on a 'sync' topic too, "
     "send() returns\n"
     "when the message is committed. Raises TopicNotFound; Busy: an exclusive topic has its publisher "
     "already."},
    {"subscriber", (PyCFunction)(void *)client_subscriber, METH_VARARGS | METH_KEYWORDS,
     "subscriber($self, topic, start='end', *, group=None, name=None, ack='auto', push_back=False, "
     "verify=True,\n"
     "           spin=2e-05)\n--\n\n"
     "A Subscriber, with a session of its own. start: 'end' (what is published from now on), 'first' (all "
     "that\n"
     "there is), 'last' (the newest message), an int (the message with that sequence) or a datetime (the "
     "first message from then on). "
     "spin: how\n"
     "long, in seconds, a wait looks for messages before it sleeps. verify=False: checksums are not "
     "checked.\n\n"
     "group: a member of that group, whose members share the messages: each goes to one of them. name: a "
     "durable\n"
     "subscription, which goes on where it stood. Either is made if it is not there, and then begins at "
     "start ('end' or\n"
     "'first'). ack: 'auto' (what was received is done once more is asked for), 'manual' (Subscriber.ack()) "
     "or, for\n"
     "groups, 'none' (at most once). push_back: publishers of a push-back topic wait for this subscriber; "
     "not for members\nof a group."},
    {"create_group", (PyCFunction)(void *)client_create_group, METH_VARARGS | METH_KEYWORDS,
     "create_group($self, topic, name, *, start='end', lease=30.0, max_deliveries=0, dead_letter=None, "
     "durable=False,\n"
     "             span_bytes=0, exist_ok=False)\n--\n\n"
     "Makes a consumer group. lease (seconds or timedelta): how long a member may have a message before "
     "another gets it.\n"
     "max_deliveries: after so many, the message goes to the topic dead_letter, which is made if need be, or "
     "is dropped.\n"
     "durable: a durable subscription instead, which has none of all this but start: InvalidArgument. "
     "span_bytes: how far apart in the log messages in flight may be."},
    {"alter_group", (PyCFunction)(void *)client_alter_group, METH_VARARGS | METH_KEYWORDS,
     "alter_group($self, topic, name, *, lease=..., max_deliveries=...)\n--\n\n"
     "Changes what is given, at once, whoever is a member."},
    {"reset_group", (PyCFunction)(void *)client_reset_group, METH_VARARGS | METH_KEYWORDS,
     "reset_group($self, topic, name, start)\n--\n\n"
     "Sets a group or durable subscription to 'first', 'end', a sequence or a datetime. What members hold "
     "then counts\nno more (Expired). Raises Busy: what died before start cannot be put into the dead-letter "
     "topic."},
    {"delete_group", (PyCFunction)(void *)client_delete_group, METH_VARARGS | METH_KEYWORDS,
     "delete_group($self, topic, name)\n--\n\nRaises Busy while it has members, or had some when "
     "its broker\nwas killed that may still come back, and while what died cannot be put into the "
     "dead-letter topic."},
    {"group", (PyCFunction)(void *)client_group, METH_VARARGS | METH_KEYWORDS,
     "group($self, topic, name)\n--\n\nWhat is known of a group or durable subscription: a GroupInfo."},
    {"groups", (PyCFunction)client_groups, METH_O,
     "groups($self, topic, /)\n--\n\nAll groups and durable subscriptions of a topic, by name."},
    {"ping", (PyCFunction)client_ping, METH_NOARGS,
     "ping($self, /)\n--\n\nReturns once the broker has answered."},
    {"close", (PyCFunction)handle_method_close_counting, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Closes the client and all that was opened through it; calls of other threads end with Closed. Returns "
     "how many messages of its publishers are "
     "not "
     "in\n"
     "their topics: see Publisher.close(). BufferError while views are in use."},
    {"__enter__", handle_method_enter, METH_NOARGS, "Itself."},
    {"__exit__", (PyCFunction)(void *)handle_method_exit, METH_FASTCALL, "close()"},
    {NULL, NULL, 0, NULL},
};

static PyObject *get_transport(struct handle *self, void *unused)
{
    (void)unused;
    if (handle_enter(self) < 0)
        return NULL;
    PyObject *transport = PyUnicode_FromString(hermes_transport(self->client));
    handle_leave(self);
    return transport;
}

static PyGetSetDef properties[] = {
    {"closed", (getter)handle_get_closed, NULL, "Whether it was closed.", NULL},
    {"transport", (getter)get_transport, NULL,
     "The way that messages go: 'shm' (through shared memory), 'unix', 'tcp' or 'tls'.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A session with a broker: makes and lists topics, opens publishers and subscribers.\n\n"
                "Made by connect(). One thread at a time; what it opens has sessions of its own. After a "
                "fork, the child\n"
                "connects again (Forked)."},
    {Py_tp_dealloc, (void *)client_dealloc},
    {Py_tp_traverse, (void *)handle_traverse},
    {Py_tp_clear, (void *)handle_clear},
    {Py_tp_repr, (void *)client_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec client_spec = {"hermes_msg.Client", sizeof(struct client), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                               Py_TPFLAGS_IMMUTABLETYPE,
                           slots};
