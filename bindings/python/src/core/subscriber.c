/* Subscriber, and the reader of an embedded log: the same object over two interfaces of the library. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

/* One interface's functions, for any reader. */
#define SOURCE(name, type, prefix, position_of, sentence)                                                    \
    static int name##_poll(void *reader, hermes_message_t *message)                                          \
    {                                                                                                        \
        return prefix##poll((type *)reader, message);                                                        \
    }                                                                                                        \
    static int name##_wait(void *reader, hermes_message_t *message, uint64_t timeout_ns)                     \
    {                                                                                                        \
        return prefix##wait((type *)reader, message, timeout_ns);                                            \
    }                                                                                                        \
    static int name##_seek(void *reader, struct start start)                                                 \
    {                                                                                                        \
        switch (start.kind) {                                                                                \
        case START_FIRST:                                                                                    \
            return prefix##seek_first((type *)reader);                                                       \
        case START_SEQUENCE:                                                                                 \
            return prefix##seek_sequence((type *)reader, start.value);                                       \
        case START_TIME:                                                                                     \
            return prefix##seek_time((type *)reader, start.value);                                           \
        case START_POSITION:                                                                                 \
            return prefix##seek_position((type *)reader, start.value);                                       \
        default:                                                                                             \
            return prefix##seek_end((type *)reader);                                                         \
        }                                                                                                    \
    }                                                                                                        \
    static uint64_t name##_position(void *reader)                                                            \
    {                                                                                                        \
        return position_of;                                                                                  \
    }                                                                                                        \
    static const char *name##_last_error(void *reader)                                                       \
    {                                                                                                        \
        (void)reader;                                                                                        \
        return sentence;                                                                                     \
    }                                                                                                        \
    static const struct source name = {name##_poll,      name##_wait,     name##_seek,                       \
                                       name##_seek_last, name##_position, name##_last_error}

static hermes_subscriber_counters_t counters_of(void *reader)
{
    hermes_subscriber_counters_t counters = {.size = sizeof counters};
    (void)hermes_subscriber_describe(reader, &counters);
    return counters;
}

/* The message that is the topic's last at the moment, and where there is none the end. */
static int subscriber_source_seek_last(hermes_client_t *client, const char *topic, void *reader)
{
    hermes_topic_info_t info = {.size = sizeof info};
    int rc = hermes_topic_describe(client, topic, &info);
    if (rc < 0)
        return rc;
    return info.last_sequence > 0 ? hermes_seek_sequence(reader, info.last_sequence)
                                  : hermes_seek_end(reader);
}

/* Is there a message from that sequence on? 1 or 0; or an error. */
static int log_reaches(void *reader, uint64_t sequence)
{
    hermes_message_t message;
    int rc = hermes_log_reader_seek_sequence(reader, sequence);
    if (rc == 0)
        rc = hermes_log_reader_poll(reader, &message);
    return rc == HERMES_ECLOSED ? 0 : rc; /* the end of a log that was closed */
}

/* A log says nothing of its last sequence: the largest that it reaches. */
static int log_source_seek_last(hermes_client_t *client, const char *topic, void *reader)
{
    (void)client;
    (void)topic;
    uint64_t before = hermes_log_reader_position(reader), last = 0, step = 1;
    int rc;
    for (; (rc = log_reaches(reader, last + step)) == 1; step *= 2) /* twice as far each time ... */
        last += step;
    for (step /= 2; rc >= 0 && step > 0; step /= 2) /* ... and then half as far */
        if ((rc = log_reaches(reader, last + step)) == 1)
            last += step;
    if (rc >= 0)
        rc = last > 0 ? hermes_log_reader_seek_sequence(reader, last) : hermes_log_reader_seek_end(reader);
    if (rc < 0)
        (void)hermes_log_reader_seek_position(reader, before);
    return rc;
}

/* The sentence of a subscriber is its session's. */
SOURCE(subscriber_source, hermes_subscriber_t, hermes_, counters_of(reader).position, NULL);
SOURCE(log_source, hermes_log_reader_t, hermes_log_reader_, hermes_log_reader_position(reader),
       hermes_log_reader_last_error(reader));

PyObject *reader_failed(struct reader *self, int rc)
{
    const char *sentence = self->source->last_error(self->reader);
    return sentence != NULL ? raise_error(self->handle.state, rc, sentence) : raise_of(&self->handle, rc);
}

/* ---- taking messages ---- */

void reader_keep(struct reader *self, const hermes_message_t *message)
{
    self->kept = *message;
    if (message->payload != self->kept_bytes && message->length > 0)
        memcpy(self->kept_bytes, message->payload, message->length);
    self->kept.payload = self->kept_bytes;
    self->keeps = true;
}

static int noted(struct reader *self, const hermes_message_t *message)
{
    if (__builtin_expect(!self->held.wanted, 1) || held_note(self, message))
        return 1;
    reader_keep(self, message);
    PyErr_NoMemory();
    return -1;
}

void reader_take_back(struct reader *self, const hermes_message_t *message)
{
    held_drop(self);
    reader_keep(self, message);
}

static bool is_transient(int rc)
{
    return rc == 0 || rc == HERMES_EDISCONNECTED || rc == HERMES_EINTERRUPTED;
}

/* What a wait came to while a signal was on its way, whose handler raised: the next call tells. */
static void put_off(struct reader *self, const hermes_message_t *message, int rc)
{
    if (rc > 0)
        reader_keep(self, message);
    else if (!is_transient(rc))
        self->pending = rc;
}

/* Waits INSIDE, in slices. As hermes_wait(), with an exception where it is -1 and not an error of that. Looks
 * at signals after each slice, also where a message came with one: left to the interpreter, a handler that
 * raises would take the message with it. */
static int wait_inside(struct reader *self, hermes_message_t *message, uint64_t timeout_ns, bool *raised)
{
    uint64_t start = monotonic_ns();
    int rc = 0;
    for (uint64_t waited = 0; waited < timeout_ns; waited = monotonic_ns() - start) {
        uint64_t left = timeout_ns - waited, slice = left < SLICE_NS ? left : SLICE_NS;
        UNLOCKED(rc = self->source->wait(self->reader, message, slice));
        if (handle_go_on(&self->handle) < 0) {
            put_off(self, message, rc);
            *raised = true;
            return -1;
        }
        if (!is_transient(rc))
            return rc;
    }
    return rc;
}

/* Somebody closed it while this call waited, and that is how the iteration ends. */
static bool was_ended(struct reader *self)
{
    return handle_is_closed(&self->handle) && self->handle.stage != STAGE_FORKED &&
           PyErr_ExceptionMatches(self->handle.state->errors[-HERMES_ECLOSED]);
}

static int wait_for_one(struct reader *self, hermes_message_t *message, uint64_t timeout_ns, bool *ends)
{
    bool raised = false;
    if (handle_enter(&self->handle) < 0)
        return -1;
    int rc = wait_inside(self, message, timeout_ns, &raised);
    if (raised && ends != NULL && was_ended(self)) {
        PyErr_Clear();
        *ends = true;
    } else if (!raised && rc == HERMES_ECLOSED && ends != NULL) {
        *ends = true;
        rc = -1;
    } else if (!raised && rc < 0 && rc != HERMES_EINTERRUPTED) {
        reader_failed(self, rc);
    }
    if (rc > 0)
        rc = noted(self, message);
    handle_leave(&self->handle);
    return rc == HERMES_EINTERRUPTED && !raised ? 0 : rc < 0 ? -1 : rc;
}

int reader_take(struct reader *self, hermes_message_t *message, uint64_t timeout_ns, bool *ends)
{
    if (__builtin_expect(self->held.automatic, 0))
        held_settle(self);
    if (__builtin_expect(self->keeps, 0)) {
        self->keeps = false;
        *message = self->kept;
        return noted(self, message);
    }
    int rc = self->pending;
    self->pending = 0;
    if (__builtin_expect(rc == 0, 1))
        rc = self->source->poll(self->reader, message);
    if (__builtin_expect(rc > 0, 1))
        return noted(self, message);
    if (is_transient(rc) && timeout_ns > 0)
        return wait_for_one(self, message, timeout_ns, ends);
    if (rc == 0 || rc == HERMES_EINTERRUPTED)
        return 0;
    if (rc == HERMES_ECLOSED && ends != NULL)
        *ends = true;
    else
        reader_failed(self, rc);
    return -1;
}

/* ---- one at a time ---- */

/* Who begins to iterate over what was closed is told; who does already is at the end. */
static PyObject *reader_iter(struct reader *self)
{
    if (self->handle.stage >= STAGE_CLOSING && handle_check(&self->handle) < 0)
        return NULL;
    return Py_NewRef((PyObject *)self);
}

static PyObject *reader_next(struct reader *self)
{
    hermes_message_t message;
    bool ends = self->handle.stage == STAGE_CLOSING || self->handle.stage == STAGE_CLOSED;
    if (ends || handle_check(&self->handle) < 0)
        return NULL; /* with ends there is no exception: the iteration is over */
    return reader_take(self, &message, HERMES_FOREVER, &ends) > 0 ? reader_hand_out(self, &message) : NULL;
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
        take_timeout(self->handle.state, timeout, &timeout_ns) < 0 || handle_check(&self->handle) < 0)
        return NULL;
    int rc = reader_take(self, &message, timeout_ns, NULL);
    if (rc > 0)
        return reader_hand_out(self, &message);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- where to read ---- */

/* What was kept stays to be read where this fails. */
static int go_to(struct reader *self, struct start start)
{
    int rc;
    bool ended;
    hermes_client_t *client = self->handle.client;
    const char *topic = client == NULL ? NULL : PyUnicode_AsUTF8AndSize(self->handle.topic, NULL);
    if (handle_enter(&self->handle) < 0)
        return -1;
    ASKING(self->handle.state, &self->handle, ended,
           rc = start.kind == START_LAST ? self->source->seek_last(client, topic, self->reader)
                                         : self->source->seek(self->reader, start));
    if (rc == 0) {
        self->pending = 0;
        self->keeps = false;
    } else if (!ended) {
        reader_failed(self, rc);
    }
    handle_leave(&self->handle);
    return rc < 0 || ended ? -1 : 0;
}

static PyObject *reader_seek(struct reader *self, PyObject *object)
{
    struct start start;
    if (take_start(self->handle.state, object, &start) < 0 || go_to(self, start) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *reader_seek_position(struct reader *self, PyObject *position)
{
    struct start start = {START_POSITION, 0};
    if (take_integer(self->handle.state, position, "a position", 0, UINT64_MAX, &start.value) < 0 ||
        go_to(self, start) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- event loops ---- */

static PyObject *reader_fileno(struct reader *self, PyObject *unused)
{
    (void)unused;
    if (handle_check_lent(&self->handle) < 0)
        return NULL;
    int rc = hermes_subscriber_fd(self->reader);
    return rc < 0 ? reader_failed(self, rc) : PyLong_FromLong(rc);
}

static PyObject *reader_arm(struct reader *self, PyObject *unused)
{
    (void)unused;
    if (handle_check(&self->handle) < 0)
        return NULL;
    int rc = self->keeps || self->pending != 0 ? 1 : hermes_subscriber_arm(self->reader);
    return rc < 0 ? reader_failed(self, rc) : PyBool_FromLong(rc);
}

static PyObject *reader_receive(struct reader *self, PyObject *unused)
{
    (void)unused;
    return PyObject_CallMethod(self->handle.state->support, "receive", "O", self);
}

static PyObject *reader_aiter(struct reader *self)
{
    if (self->handle.stage >= STAGE_CLOSING && handle_check(&self->handle) < 0)
        return NULL;
    return PyObject_CallMethod(self->handle.state->support, "AsyncIterator", "O", self);
}

/* ---- opening and closing ---- */

static void refuse_lent(struct handle *handle)
{
    (void)handle;
    PyErr_SetString(PyExc_BufferError, "a view of the last message is in use: release it first");
}

static void close_subscriber(struct handle *handle)
{
    hermes_disconnect(handle->client);
}

static void forget_subscriber(struct handle *handle)
{
    hermes_forget(handle->client);
}

/* Tasks that wait for its descriptor, which is nobody's now. */
static void wake_tasks(struct handle *handle)
{
    PyObject *done = PyObject_CallMethod(handle->state->support, "wake", "O", (PyObject *)handle);
    Py_XDECREF(done);
}

static void close_log_reader(struct handle *handle)
{
    hermes_log_reader_close(((struct reader *)(void *)handle)->reader);
}

static const struct handle_kind subscriber_kind = {.close = close_subscriber,
                                                   .forget = forget_subscriber,
                                                   .is_exported = reader_is_exported,
                                                   .is_lent = reader_is_lent,
                                                   .refuse_lent = refuse_lent,
                                                   .take_back = reader_take_back_view,
                                                   .closed = wake_tasks};
static const struct handle_kind log_reader_kind = {.close = close_log_reader,
                                                   .forget = close_log_reader,
                                                   .is_exported = reader_is_exported,
                                                   .refuse_lent = refuse_lent,
                                                   .take_back = reader_take_back_view};

/* Not open yet: it has nothing to close. */
static struct reader *reader_new(PyTypeObject *type)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct reader *self = (struct reader *)(void *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->kept_bytes = malloc(HERMES_PAYLOAD_MAX);
    if (self->kept_bytes != NULL)
        return self;
    Py_DECREF(self);
    PyErr_NoMemory();
    return NULL;
}

/* Ids are this process's: what another made cannot be acknowledged here. */
static uint32_t next_id(void)
{
    static uint32_t last;
    last += last + 1 == 0 ? 2 : 1;
    return last;
}

static void reader_dealloc(struct reader *self)
{
    PyObject_GC_UnTrack(self);
    held_release(self);
    uint8_t *bytes = self->kept_bytes;
    handle_dealloc(&self->handle);
    free(bytes);
}

PyObject *subscriber_new(struct handle *parent, hermes_client_t *session, PyObject *topic,
                         const struct start *start, const struct subscribing *how)
{
    struct reader *self = reader_new(parent->state->subscriber_type);
    if (self == NULL || session_is_wanted(parent, session) < 0) {
        if (self == NULL)
            hermes_disconnect(session);
        Py_XDECREF((PyObject *)self);
        return NULL;
    }
    handle_init(&self->handle, &subscriber_kind, parent->state, parent, topic);
    self->handle.client = session;
    self->source = &subscriber_source;
    self->ticket.origin = next_id();
    const char *name = PyUnicode_AsUTF8AndSize(topic, NULL);
    /* C acknowledges by itself when the next message is asked for; here that may be one of a batch. */
    hermes_subscriber_options_t options = how->options;
    self->held.wanted = (options.group != NULL || options.name != NULL) && options.ack != HERMES_ACK_NONE;
    self->held.automatic = self->held.wanted && options.ack == HERMES_ACK_AUTO;
    self->held.only_last = options.name != NULL;
    if (self->held.wanted)
        options.ack = HERMES_ACK_MANUAL;
    hermes_subscriber_t *subscriber = NULL;
    int rc;
    bool ended;
    (void)handle_enter(&self->handle); /* it is new */
    ASKING(parent->state, &self->handle, ended,
           rc = hermes_subscriber_open(session, name, &options, &subscriber));
    self->reader = subscriber;
    if (rc == 0) {
        hermes_subscriber_set_verify(subscriber, how->verify);
        hermes_subscriber_set_spin(subscriber, how->spin_ns);
    } else if (!ended) {
        raise_of(&self->handle, rc);
    }
    handle_leave(&self->handle);
    if (rc == 0 && !ended && (start == NULL ? handle_check(&self->handle) : go_to(self, *start)) == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

PyObject *log_reader_open(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"path", "start", NULL};
    PyObject *path_object, *start_object = NULL, *path = NULL;
    struct start start = {START_FIRST, 0};
    struct state *state = module_state(module);
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:reader", names, &path_object, &start_object) ||
        (start_object != NULL && take_start(state, start_object, &start) < 0) ||
        take_path(state, path_object, &path) < 0)
        return NULL;
    struct reader *self = reader_new(state->reader_type);
    hermes_log_reader_t *reader = NULL;
    int rc = HERMES_ENOMEM;
    if (self != NULL)
        UNLOCKED(rc = hermes_log_reader_open(PyBytes_AsString(path), &reader));
    Py_DECREF(path);
    if (self != NULL && rc < 0) {
        raise_error(state, rc, hermes_log_reader_last_error(NULL));
        Py_CLEAR(self);
    }
    if (self == NULL)
        return NULL;
    handle_init(&self->handle, &log_reader_kind, state, NULL, path_object);
    self->source = &log_source;
    self->reader = reader;
    if (go_to(self, start) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* ---- what Python sees ---- */

/* Of the next message, which may be one that is kept. */
static uint64_t position_of(struct reader *self)
{
    return self->keeps ? self->kept.position : self->source->position(self->reader);
}

static PyObject *get_position(struct reader *self, void *unused)
{
    (void)unused;
    return handle_check_lent(&self->handle) < 0 ? NULL : PyLong_FromUnsignedLongLong(position_of(self));
}

static PyObject *get_lost(struct reader *self, void *unused)
{
    (void)unused;
    return handle_check_lent(&self->handle) < 0 ? NULL
                                                : PyLong_FromUnsignedLongLong(counters_of(self->reader).lost);
}

static PyObject *get_corrupt(struct reader *self, void *unused)
{
    (void)unused;
    return handle_check_lent(&self->handle) < 0
               ? NULL
               : PyLong_FromUnsignedLongLong(counters_of(self->reader).corrupt);
}

static PyObject *represent(struct reader *self, const char *what)
{
    bool known = self->handle.stage == STAGE_IDLE || self->handle.stage == STAGE_LENT;
    return handle_repr(&self->handle, what, known ? "position" : NULL, known ? position_of(self) : 0);
}

static PyObject *subscriber_repr(struct reader *self)
{
    return represent(self, "Subscriber");
}

static PyObject *log_reader_repr(struct reader *self)
{
    return represent(self, "LogReader");
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
         "seek($self, start, /)\n--\n\n"                                                                     \
         "Where to read next: 'first', 'end', 'last', a sequence or a datetime. Where that fails, reading "  \
         "goes on\nwhere it was."},                                                                          \
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
     "The message (a Message or View) is done: no member of the group gets it again, but after a reset. "
     "Several may\n"
     "be held, and acked in any order. With a durable subscription all before it is done, too, and a message "
     "before what\n"
     "is done already changes nothing. Without a message: all that was received and is not acked.\n\n"
     "Raises Expired: it is not this subscriber's any more: another has it (its lease ran out, or it was "
     "nacked),\n"
     "the group was reset, the broker was stopped, or the message is dead. A message that was given to\n"
     "the same member twice is two, each of which says so for itself; but two that are eight deliveries "
     "apart are one.\n"
     "Raises InvalidArgument: it was never given out, or this is no member. Disconnected, and nothing is "
     "done: a message\n"
     "of a durable subscription that is not the last one had to be looked up, and no broker answered. Over "
     "a connection,\n"
     "where each waits for the broker's answer: none came in time, and it is said all the same, as soon as "
     "there is one."},
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
     "How often the message had been given out when this subscriber was given it so, that time included; 1 "
     "for who is no\nmember; 0: not known any more. Over a connection a message counts as given out once it "
     "was sent."},
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
    {"position", (getter)get_position, NULL, "The position of the next message.", NULL},
    {"lost", (getter)get_lost, NULL, "Messages that were overwritten or retired before they were read.",
     NULL},
    {"corrupt", (getter)get_corrupt, NULL, "Damaged messages.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef reader_properties[] = {
    {"closed", (getter)handle_get_closed, NULL, "Whether it was closed.", NULL},
    {"position", (getter)get_position, NULL, "The position of the next message.", NULL},
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
    {Py_tp_repr, (void *)subscriber_repr},
    {Py_tp_dealloc, (void *)reader_dealloc},
    {Py_tp_methods, subscriber_methods},
    {Py_tp_getset, subscriber_properties},
    {Py_tp_members, topic_members},
    {Py_tp_iter, (void *)reader_iter},
    {Py_tp_traverse, (void *)handle_traverse},
    {Py_tp_clear, (void *)handle_clear},
    {Py_tp_iternext, (void *)reader_next},
    {Py_am_aiter, (void *)reader_aiter},
    {0, NULL},
};

PyType_Spec subscriber_spec = {"hermes_msg.Subscriber", sizeof(struct reader), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                                   Py_TPFLAGS_IMMUTABLETYPE,
                               subscriber_slots};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "Reads a log by its path: for message in reader. Made by hermes.log.reader().\n\n"
                "Iteration waits while a writer has the log open, or died with it open, and ends at the end "
                "of one\nthat was closed; poll() raises Closed there. Either goes on when it is asked again "
                "and somebody wrote\nmeanwhile."},
    {Py_tp_repr, (void *)log_reader_repr},
    {Py_tp_dealloc, (void *)reader_dealloc},
    {Py_tp_methods, reader_methods},
    {Py_tp_getset, reader_properties},
    {Py_tp_members, path_members},
    {Py_tp_iter, (void *)reader_iter},
    {Py_tp_traverse, (void *)handle_traverse},
    {Py_tp_clear, (void *)handle_clear},
    {Py_tp_iternext, (void *)reader_next},
    {0, NULL},
};

PyType_Spec reader_spec = {"hermes_msg.LogReader", sizeof(struct reader), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                               Py_TPFLAGS_IMMUTABLETYPE,
                           reader_slots};
