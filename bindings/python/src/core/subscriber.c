/* Subscriber, and the reader of an embedded log: the same object over two interfaces of the library. */
#include "reader.h"

#include <string.h>

/* One interface's functions, for any reader. */
#define SOURCE(name, type, prefix, sentence)                                                                 \
    static int name##_poll(void *reader, hermes_message_t *message)                                          \
    {                                                                                                        \
        return prefix##poll((type *)reader, message);                                                        \
    }                                                                                                        \
    static int name##_wait(void *reader, hermes_message_t *message, uint64_t timeout_ns)                     \
    {                                                                                                        \
        return prefix##wait((type *)reader, message, timeout_ns);                                            \
    }                                                                                                        \
    static int name##_seek_first(void *reader)                                                               \
    {                                                                                                        \
        return prefix##seek_first((type *)reader);                                                           \
    }                                                                                                        \
    static int name##_seek_end(void *reader)                                                                 \
    {                                                                                                        \
        return prefix##seek_end((type *)reader);                                                             \
    }                                                                                                        \
    static int name##_seek_sequence(void *reader, uint64_t value)                                            \
    {                                                                                                        \
        return prefix##seek_sequence((type *)reader, value);                                                 \
    }                                                                                                        \
    static int name##_seek_time(void *reader, uint64_t value)                                                \
    {                                                                                                        \
        return prefix##seek_time((type *)reader, value);                                                     \
    }                                                                                                        \
    static int name##_seek_position(void *reader, uint64_t value)                                            \
    {                                                                                                        \
        return prefix##seek_position((type *)reader, value);                                                 \
    }                                                                                                        \
    static const char *name##_last_error(void *reader)                                                       \
    {                                                                                                        \
        (void)reader;                                                                                        \
        return sentence;                                                                                     \
    }                                                                                                        \
    static const struct source name = {name##_poll,          name##_wait,          name##_seek_first,        \
                                       name##_seek_end,      name##_seek_sequence, name##_seek_time,         \
                                       name##_seek_position, name##_last_error}

SOURCE(subscriber_source, hermes_subscriber_t, hermes_, NULL); /* its session has the sentence */
SOURCE(log_source, hermes_log_reader_t, hermes_log_reader_, hermes_log_reader_last_error(reader));

PyObject *reader_failed(struct reader *self, int rc)
{
    const char *sentence = self->source->last_error(self->reader);
    return sentence != NULL ? raise_error(self->handle.state, rc, sentence) : raise_of(&self->handle, rc);
}

int reader_check(struct reader *self)
{
    if (handle_check(&self->handle) < 0)
        return -1;
    if (__builtin_expect(self->lent != NULL, 0)) {
        PyErr_SetString(PyExc_BufferError, "a view of the last message is in use: release it first");
        return -1;
    }
    return 0;
}

static int taken(struct reader *self, const hermes_message_t *message)
{
    if (__builtin_expect(!self->held.wanted, 1) || held_note(self, message))
        return 1;
    PyErr_NoMemory();
    return -1;
}

int reader_take(struct reader *self, hermes_message_t *message, uint64_t timeout_ns, bool *ends)
{
    if (__builtin_expect(self->held.automatic, 0))
        held_settle(self);
    if (__builtin_expect(self->has_stash, 0)) {
        self->has_stash = false;
        *message = self->stash;
        return taken(self, message);
    }
    int rc = self->pending;
    self->pending = 0;
    if (__builtin_expect(rc == 0, 1))
        rc = self->source->poll(self->reader, message);
    if (__builtin_expect(rc > 0, 1))
        return taken(self, message);
    uint64_t start = 0, waited = 0;
    while (rc == 0 || rc == HERMES_EDISCONNECTED || rc == HERMES_EINTERRUPTED) {
        if (waited >= timeout_ns)
            break;
        if (start == 0)
            start = monotonic_ns();
        uint64_t left = timeout_ns - waited, slice = left < SLICE_NS ? left : SLICE_NS;
        WITHOUT_GIL(&self->handle, rc = self->source->wait(self->reader, message, slice));
        if (rc > 0)
            return taken(self, message);
        if (PyErr_CheckSignals() < 0 || reader_check(self) < 0)
            return -1;
        waited = monotonic_ns() - start;
    }
    if (rc == 0 || rc == HERMES_EINTERRUPTED)
        return 0;
    if (rc == HERMES_ECLOSED && ends != NULL)
        *ends = true;
    else
        reader_failed(self, rc);
    return -1;
}

/* ---- one at a time ---- */

static PyObject *reader_next(struct reader *self)
{
    hermes_message_t message;
    bool ends = false;
    if (reader_check(self) < 0)
        return NULL;
    if (reader_take(self, &message, HERMES_FOREVER, &ends) > 0)
        return message_new(self->handle.state, &message);
    return NULL; /* with ends there is no exception: the iteration is over */
}

int reader_optional(const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
                    PyObject **value)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    *value = NULL;
    if (count + named == 0)
        return 0;
    PyObject *given = named == 0 ? NULL : PyTuple_GetItem(names, 0);
    if (count + named > 1 || (given != NULL && PyUnicode_CompareWithASCIIString(given, name) != 0)) {
        PyErr_Format(PyExc_TypeError, "there is one argument, %s", name);
        return -1;
    }
    *value = arguments[0];
    return 0;
}

static PyObject *reader_poll(struct reader *self, PyObject *const *arguments, Py_ssize_t count,
                             PyObject *names)
{
    hermes_message_t message;
    PyObject *timeout;
    uint64_t timeout_ns = 0;
    if (reader_optional("timeout", arguments, count, names, &timeout) < 0 ||
        (timeout != NULL && take_timeout(timeout, &timeout_ns) < 0) || reader_check(self) < 0)
        return NULL;
    int rc = reader_take(self, &message, timeout_ns, NULL);
    if (rc > 0)
        return message_new(self->handle.state, &message);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- where to read ---- */

static int start_at(struct reader *self, PyObject *start)
{
    self->pending = 0;
    self->has_stash = false;
    struct state *state = self->handle.state;
    int rc;
    if (PyLong_Check(start) && !PyBool_Check(start)) {
        uint64_t sequence = PyLong_AsUnsignedLongLong(start);
        if (PyErr_Occurred())
            return -1;
        WITHOUT_GIL(&self->handle, rc = self->source->seek_sequence(self->reader, sequence));
    } else if (PyUnicode_Check(start)) {
        bool first = PyUnicode_CompareWithASCIIString(start, "first") == 0;
        if (!first && PyUnicode_CompareWithASCIIString(start, "end") != 0) {
            PyErr_Format(PyExc_ValueError, "start is 'end', 'first', a sequence or a datetime, not %R",
                         start);
            return -1;
        }
        WITHOUT_GIL(&self->handle, rc = first ? self->source->seek_first(self->reader)
                                              : self->source->seek_end(self->reader));
    } else {
        PyObject *number = PyObject_CallMethod(state->support, "to_timestamp", "O", start);
        if (number == Py_None)
            PyErr_Format(PyExc_TypeError, "start is 'end', 'first', a sequence or a datetime, not %R", start);
        uint64_t ns = number == NULL || number == Py_None ? 0 : PyLong_AsUnsignedLongLong(number);
        Py_XDECREF(number);
        if (PyErr_Occurred())
            return -1;
        if (handle_check(&self->handle) < 0)
            return -1;
        WITHOUT_GIL(&self->handle, rc = self->source->seek_time(self->reader, ns));
    }
    if (rc < 0)
        reader_failed(self, rc);
    return rc < 0 ? -1 : 0;
}

static PyObject *reader_seek(struct reader *self, PyObject *start)
{
    if (reader_check(self) < 0 || start_at(self, start) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *reader_seek_position(struct reader *self, PyObject *position)
{
    uint64_t value = PyLong_AsUnsignedLongLong(position);
    int rc;
    if (PyErr_Occurred() || reader_check(self) < 0)
        return NULL;
    WITHOUT_GIL(&self->handle, rc = self->source->seek_position(self->reader, value));
    if (rc < 0)
        return reader_failed(self, rc);
    Py_RETURN_NONE;
}

/* ---- event loops ---- */

static PyObject *reader_fileno(struct reader *self, PyObject *unused)
{
    (void)unused;
    if (handle_check(&self->handle) < 0)
        return NULL;
    int rc = hermes_subscriber_fd(self->reader);
    return rc < 0 ? reader_failed(self, rc) : PyLong_FromLong(rc);
}

static PyObject *reader_arm(struct reader *self, PyObject *unused)
{
    (void)unused;
    if (reader_check(self) < 0)
        return NULL;
    int rc = self->has_stash || self->pending != 0 ? 1 : hermes_subscriber_arm(self->reader);
    return rc < 0 ? reader_failed(self, rc) : PyBool_FromLong(rc);
}

static PyObject *reader_receive(struct reader *self, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(self->handle.state->support, "receive", "O", self);
}

static PyObject *reader_aiter(struct reader *self)
{
    return PyObject_CallMethod(self->handle.state->support, "AsyncIterator", "O", self);
}

/* ---- opening and closing ---- */

static void close_subscriber(struct handle *handle)
{
    hermes_disconnect(handle->client);
}

static void forget_subscriber(struct handle *handle)
{
    hermes_forget(handle->client);
}

static void close_log_reader(struct handle *handle)
{
    hermes_log_reader_close(((struct reader *)(void *)handle)->reader);
}

static struct reader *reader_new(PyTypeObject *type, struct state *state, struct handle *parent,
                                 PyObject *topic)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct reader *self = (struct reader *)(void *)allocate(type, 0);
    if (self != NULL) {
        handle_init(&self->handle, state, parent, topic);
        self->handle.is_lent = reader_is_lent;
    }
    return self;
}

static void reader_dealloc(struct reader *self)
{
    held_release(self);
    handle_dealloc(&self->handle);
}

PyObject *subscriber_new(struct handle *parent, hermes_client_t *session, PyObject *topic, PyObject *start,
                         const struct subscribing *how)
{
    struct reader *self = reader_new(parent->state->subscriber_type, parent->state, parent, topic);
    if (self == NULL) {
        hermes_disconnect(session);
        return NULL;
    }
    self->handle.client = session;
    self->handle.close = close_subscriber;
    self->handle.forget = forget_subscriber;
    self->source = &subscriber_source;
    const char *name = take_text(topic, "a topic's name");
    /* C acknowledges by itself when the next message is asked for; here that may be one of a batch. */
    hermes_subscriber_options_t options = how->options;
    self->held.wanted = (options.group != NULL || options.name != NULL) && options.ack != HERMES_ACK_NONE;
    self->held.automatic = self->held.wanted && options.ack == HERMES_ACK_AUTO;
    if (self->held.wanted)
        options.ack = HERMES_ACK_MANUAL;
    hermes_subscriber_t *subscriber = NULL;
    int rc = HERMES_EINVALID;
    WITHOUT_GIL(&self->handle, rc = hermes_subscriber_open(session, name, &options, &subscriber));
    self->reader = subscriber;
    if (rc < 0) {
        raise_of(&self->handle, rc);
    } else {
        hermes_subscriber_set_verify(subscriber, how->verify);
        hermes_subscriber_set_spin(subscriber, how->spin_ns);
        if (start == NULL || start_at(self, start) == 0)
            return (PyObject *)self;
    }
    Py_DECREF(self);
    return NULL;
}

PyObject *log_reader_open(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"path", "start", NULL};
    PyObject *path_object, *start = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:reader", names, &path_object, &start))
        return NULL;
    struct state *state = module_state(module);
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(path_object, &path))
        return NULL;
    struct reader *self = NULL;
    hermes_log_reader_t *reader = NULL;
    PyThreadState *thread = PyEval_SaveThread();
    int rc = hermes_log_reader_open(PyBytes_AsString(path), &reader);
    PyEval_RestoreThread(thread);
    if (rc < 0)
        raise_error(state, rc, hermes_log_reader_last_error(NULL));
    else if ((self = reader_new(state->reader_type, state, NULL, path_object)) == NULL)
        hermes_log_reader_close(reader);
    Py_DECREF(path);
    if (self == NULL)
        return NULL;
    self->handle.close = self->handle.forget = close_log_reader;
    self->source = &log_source;
    self->reader = reader;
    PyObject *first = start == NULL ? PyUnicode_FromString("first") : Py_NewRef(start);
    if (first == NULL || start_at(self, first) < 0)
        Py_CLEAR(self);
    Py_XDECREF(first);
    return (PyObject *)self;
}

/* ---- what Python sees ---- */

static PyObject *get_counter(struct reader *self, void *which)
{
    hermes_subscriber_counters_t counters = {.size = sizeof counters};
    if (handle_check(&self->handle) < 0)
        return NULL;
    (void)hermes_subscriber_describe(self->reader, &counters);
    const char *name = which;
    return PyLong_FromUnsignedLongLong(name[0] == 'p'   ? counters.position
                                       : name[0] == 'l' ? counters.lost
                                                        : counters.corrupt);
}

static PyObject *get_log_position(struct reader *self, void *unused)
{
    (void)unused;
    if (handle_check(&self->handle) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(hermes_log_reader_position(self->reader));
}

#define READING                                                                                              \
    {"poll", (PyCFunction)(void *)reader_poll, METH_FASTCALL | METH_KEYWORDS,                                \
     "poll($self, timeout=0)\n--\n\n"                                                                        \
     "The next Message; None: there is none within timeout seconds (None: wait for ever). With 0 the "       \
     "broker\n"                                                                                              \
     "is not waited for either, should it have to open the next part of the log."},                          \
        {"poll_many", (PyCFunction)(void *)reader_poll_many, METH_VARARGS | METH_KEYWORDS,                   \
         "poll_many($self, n, timeout=0)\n--\n\n"                                                            \
         "Up to n messages that are there, as a list; waits for the first as poll() does."},                 \
        {"poll_view", (PyCFunction)(void *)reader_poll_view, METH_FASTCALL | METH_KEYWORDS,                  \
         "poll_view($self, timeout=0)\n--\n\n"                                                               \
         "The next message as a View, a buffer where it stands: no copy for large messages of the store. "   \
         "Nothing\n"                                                                                         \
         "else can be read until the view is released."},                                                    \
        {"recv_batch", (PyCFunction)(void *)reader_recv_batch, METH_VARARGS | METH_KEYWORDS,                 \
         "recv_batch($self, n=None, dtype=None, *, out=None, headers=None, timeout=0)\n--\n\n"               \
         "Up to n messages as the items of a NumPy array: a new one of dtype, or the first n items of out; " \
         "returns\n"                                                                                         \
         "the part that was filled. headers: an array of dtype hermes.HEADERS, for sequence and time stamp " \
         "of each.\n"                                                                                        \
         "Raises LayoutMismatch if the next message has another size; poll() still gives it."},              \
        {"seek", (PyCFunction)reader_seek, METH_O,                                                           \
         "seek($self, start, /)\n--\n\nWhere to read next: 'first', 'end', a sequence or a datetime."},      \
        {"seek_position", (PyCFunction)reader_seek_position, METH_O,                                         \
         "seek_position($self, position, /)\n--\n\nTo a position that a message or a reader had."},          \
        {"close", (PyCFunction)handle_method_close, METH_NOARGS,                                             \
         "close($self, /)\n--\n\nBufferError while views are in use."},                                      \
        {"__enter__", handle_method_enter, METH_NOARGS, "Itself."},                                          \
    {                                                                                                        \
        "__exit__", (PyCFunction)(void *)handle_method_exit, METH_FASTCALL, "close()"                        \
    }

static PyMethodDef subscriber_methods[] = {
    READING,
    {"ack", (PyCFunction)(void *)reader_ack, METH_FASTCALL,
     "ack($self, message=None, /)\n--\n\n"
     "The message (a Message or View) is done: no member of the group gets it again. Several may be held, "
     "and "
     "acked\n"
     "in any order. With a durable subscription all before it is done, too, and a message before what is "
     "done\n"
     "already changes nothing. Without a message: all that was received and is not acked.\n\n"
     "Raises Expired: it is not this subscriber's any more: another has it (its lease ran out, or it was "
     "nacked),\n"
     "the group was reset, the broker was stopped, or the message is dead. A message that was given "
     "to\n"
     "the same member twice is two, each of which says so for itself; but two that are eight deliveries "
     "apart "
     "are one.\nRaises InvalidArgument: it was never given out, or this is no member."},
    {"nack", (PyCFunction)reader_nack, METH_O,
     "nack($self, message, /)\n--\n\nThis member of a group cannot deal with it: another gets it, or the "
     "same "
     "again, at once;\nafter max_deliveries it is dead. Raises Expired as ack(),\nand for what is done "
     "already."},
    {"renew", (PyCFunction)reader_renew, METH_O,
     "renew($self, message, /)\n--\n\nThe lease of a group's member begins anew: for work that takes longer. "
     "Raises "
     "Expired as nack()."},
    {"deliveries", (PyCFunction)reader_deliveries, METH_O,
     "deliveries($self, message, /)\n--\n\n"
     "How often the message was given to a member, this time included; 0: not known any more."},
    {"receive", (PyCFunction)reader_receive, METH_NOARGS,
     "receive($self, /)\n--\n\nawait sub.receive(): the next Message, waited for in the event loop."},
    {"fileno", (PyCFunction)reader_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\n"
     "A descriptor for event loops, readable once there may be a message; to be armed when poll() gave "
     "None."},
    {"arm", (PyCFunction)reader_arm, METH_NOARGS,
     "arm($self, /)\n--\n\nFalse: wait for the descriptor. True: there is a message already, poll() again."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef reader_methods[] = {READING, {NULL, NULL, 0, NULL}};

static PyGetSetDef subscriber_properties[] = {
    {"closed", (getter)handle_get_closed, NULL, "Whether it was closed.", NULL},
    {"position", (getter)get_counter, NULL, "The position of the next message.", "p"},
    {"lost", (getter)get_counter, NULL, "Messages that were overwritten or retired before they were read.",
     "l"},
    {"corrupt", (getter)get_counter, NULL, "Damaged messages.", "c"},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef reader_properties[] = {
    {"closed", (getter)handle_get_closed, NULL, "Whether it was closed.", NULL},
    {"position", (getter)get_log_position, NULL, "The position of the next message.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef topic_members[] = {
    {"topic", T_OBJECT, offsetof(struct handle, topic), READONLY, "The topic's name."},
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef path_members[] = {
    {"path", T_OBJECT, offsetof(struct handle, topic), READONLY, "The log's path."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot subscriber_slots[] = {
    {Py_tp_doc, "Reads a topic: for message in subscriber, or async for. Made by Client.subscriber().\n\n"
                "Iteration waits for ever, without the GIL, and ends when the topic is deleted. One thread "
                "at a time (InUse)."},
    {Py_tp_dealloc, (void *)reader_dealloc},
    {Py_tp_methods, subscriber_methods},
    {Py_tp_getset, subscriber_properties},
    {Py_tp_members, topic_members},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)reader_next},
    {Py_am_aiter, (void *)reader_aiter},
    {0, NULL},
};

PyType_Spec subscriber_spec = {
    "hermes_msg.Subscriber", sizeof(struct reader), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, subscriber_slots};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "Reads a log by its path: for message in reader. Made by hermes.log.reader().\n\n"
                "Iteration waits while a writer has the log open, or died with it open, and ends at the end "
                "of one\nthat was closed; poll() raises Closed there. Either goes on when it is asked again "
                "and somebody wrote\nmeanwhile."},
    {Py_tp_dealloc, (void *)reader_dealloc},
    {Py_tp_methods, reader_methods},
    {Py_tp_getset, reader_properties},
    {Py_tp_members, path_members},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)reader_next},
    {0, NULL},
};

PyType_Spec reader_spec = {"hermes_msg.LogReader", sizeof(struct reader), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                           reader_slots};
