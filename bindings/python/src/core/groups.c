/* Groups and durable subscriptions from outside: made, altered, listed, deleted. */
#include "module.h"

/* As hermes/group.h says. */
enum { DELIVERIES_MAX = 2047 };

#include <stdlib.h>
#include <string.h>

/* Topic and name, which every method begins with. */
static int take_names(struct handle *self, PyObject *topic, PyObject *name, const char **topic_text,
                      const char **name_text)
{
    *topic_text = take_text(self->state, topic, "a topic's name");
    *name_text = *topic_text == NULL ? NULL : take_text(self->state, name, "a group's name");
    return *name_text == NULL ? -1 : 0;
}

/* Where to begin; a sequence or a time is looked for in the topic. */
static int take_group_start(struct handle *self, PyObject *topic, PyObject *start,
                            hermes_group_options_t *options)
{
    static const char *const words[] = {"end", "first", NULL};
    if (start == NULL)
        return 0;
    if (PyUnicode_Check(start) && PyUnicode_CompareWithASCIIString(start, "last") != 0)
        return take_choice(self->state, start, "start", words, &options->from);
    PyObject *position =
        PyObject_CallMethod(self->state->support, "find_position", "OOO", (PyObject *)self, topic, start);
    if (position == NULL)
        return -1;
    if (position != Py_None) { /* None: nothing that late; the end */
        options->from = HERMES_FROM_POSITION;
        options->position = PyLong_AsUnsignedLongLong(position);
    }
    Py_DECREF(position);
    return 0;
}

PyObject *client_create_group(struct handle *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"topic",       "name",    "start",      "lease",    "max_deliveries",
                            "dead_letter", "durable", "span_bytes", "exist_ok", NULL};
    PyObject *topic, *name, *start = NULL, *lease = NULL, *dead_letter = Py_None, *most_object = NULL,
                            *span = NULL;
    uint64_t most = 0;
    int durable = 0, exist_ok = 0, rc;
    bool ended;
    const char *topic_text, *name_text;
    struct state *state = self->state;
    hermes_group_options_t options = {.size = sizeof options};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|$OOOOpOp:create_group", names, &topic, &name,
                                     &start, &lease, &most_object, &dead_letter, &durable, &span,
                                     &exist_ok) ||
        take_names(self, topic, name, &topic_text, &name_text) < 0 ||
        take_integer(state, most_object, "max_deliveries", 0, DELIVERIES_MAX, &most) < 0 ||
        take_size(state, span, "span_bytes", &options.span_bytes) < 0 ||
        take_age(state, lease, &options.lease_ns) < 0 ||
        (dead_letter != Py_None &&
         (options.dead_letter = take_text(state, dead_letter, "a topic's name")) == NULL) ||
        take_group_start(self, topic, start, &options) < 0 || handle_enter(self) < 0)
        return NULL;
    options.max_deliveries = (uint32_t)most;
    options.durable = durable != 0;
    ASKING(self->state, self, ended, rc = hermes_group_create(self->client, topic_text, name_text, &options));
    return handle_done(self, rc == HERMES_EEXISTS && exist_ok ? 0 : rc, ended);
}

PyObject *client_alter_group(struct handle *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"topic", "name", "lease", "max_deliveries", NULL};
    PyObject *topic, *name, *lease = NULL, *most_object = NULL;
    const char *topic_text, *name_text;
    uint64_t most = 0;
    int rc;
    bool ended;
    hermes_group_options_t options = {.size = sizeof options};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|$OO:alter_group", names, &topic, &name, &lease,
                                     &most_object) ||
        take_names(self, topic, name, &topic_text, &name_text) < 0 ||
        take_age(self->state, lease, &options.lease_ns) < 0 ||
        take_integer(self->state, most_object, "max_deliveries", 0, DELIVERIES_MAX, &most) < 0 ||
        handle_enter(self) < 0)
        return NULL;
    options.max_deliveries = (uint32_t)most;
    uint32_t fields =
        (lease != NULL ? HERMES_GROUP_LEASE : 0u) | (most_object != NULL ? HERMES_GROUP_DELIVERIES : 0u);
    ASKING(self->state, self, ended,
           rc = hermes_group_alter(self->client, topic_text, name_text, fields, &options));
    return handle_done(self, rc, ended);
}

PyObject *client_reset_group(struct handle *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"topic", "name", "start", NULL};
    PyObject *topic, *name, *start;
    const char *topic_text, *name_text;
    int rc;
    bool ended;
    hermes_group_options_t options = {.size = sizeof options};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO:reset_group", names, &topic, &name, &start) ||
        take_names(self, topic, name, &topic_text, &name_text) < 0 ||
        take_group_start(self, topic, start, &options) < 0 || handle_enter(self) < 0)
        return NULL;
    ASKING(self->state, self, ended,
           rc = hermes_group_alter(self->client, topic_text, name_text, HERMES_GROUP_POSITION, &options));
    return handle_done(self, rc, ended);
}

PyObject *client_delete_group(struct handle *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"topic", "name", NULL};
    PyObject *topic, *name;
    const char *topic_text, *name_text;
    int rc;
    bool ended;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO:delete_group", names, &topic, &name) ||
        take_names(self, topic, name, &topic_text, &name_text) < 0 || handle_enter(self) < 0)
        return NULL;
    ASKING(self->state, self, ended, rc = hermes_group_delete(self->client, topic_text, name_text));
    return handle_done(self, rc, ended);
}

static PyObject *info_of(struct state *state, const hermes_group_info_t *i)
{
    return PyObject_CallMethod(
        state->support, "group_info", "sNIIIKsKKKKKKKKK", i->name, PyBool_FromLong((long)i->durable), i->uid,
        i->members, i->max_deliveries, (unsigned long long)i->lease_ns, i->dead_letter,
        (unsigned long long)i->span_bytes, (unsigned long long)i->position,
        (unsigned long long)i->done_position, (unsigned long long)i->last_sequence,
        (unsigned long long)i->in_flight, (unsigned long long)i->redelivered, (unsigned long long)i->expired,
        (unsigned long long)i->dead, (unsigned long long)i->lost);
}

PyObject *client_group(struct handle *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"topic", "name", NULL};
    PyObject *topic, *name;
    const char *topic_text, *name_text;
    hermes_group_info_t info = {.size = sizeof info};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO:group", names, &topic, &name) ||
        take_names(self, topic, name, &topic_text, &name_text) < 0 || handle_enter(self) < 0)
        return NULL;
    int rc;
    bool ended;
    ASKING(self->state, self, ended, rc = hermes_group_describe(self->client, topic_text, name_text, &info));
    if (rc < 0 || ended)
        return handle_done(self, rc, ended);
    handle_leave(self);
    return info_of(self->state, &info);
}

PyObject *client_groups(struct handle *self, PyObject *topic)
{
    enum { MOST = 256 }; /* of one topic */
    const char *text = take_text(self->state, topic, "a topic's name");
    hermes_group_info_t *infos = text == NULL ? NULL : calloc(MOST, sizeof *infos);
    if (infos == NULL)
        return text == NULL ? NULL : PyErr_NoMemory();
    infos[0].size = sizeof infos[0];
    if (handle_enter(self) < 0) {
        free(infos);
        return NULL;
    }
    int count;
    bool ended;
    ASKING(self->state, self, ended, count = hermes_group_list(self->client, text, "", infos, MOST));
    if (count < 0 && !ended)
        raise_of(self, count);
    handle_leave(self);
    PyObject *list = count < 0 || ended ? NULL : PyList_New(0);
    for (int i = 0; i < count && list != NULL; i++) {
        PyObject *info = info_of(self->state, &infos[i]);
        if (info == NULL || PyList_Append(list, info) < 0)
            Py_CLEAR(list);
        Py_XDECREF(info);
    }
    free(infos);
    return list;
}
