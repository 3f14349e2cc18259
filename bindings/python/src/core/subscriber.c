/* Subscriber, and the reader of an embedded log: the same object over two interfaces of the library. */
#include "module.h"

#include <string.h>

/* What the two differ in. */
struct source {
    int (*poll)(void *, hermes_message_t *);
    int (*wait)(void *, hermes_message_t *, uint64_t);
    int (*seek_first)(void *);
    int (*seek_end)(void *);
    int (*seek_sequence)(void *, uint64_t);
    int (*seek_time)(void *, uint64_t);
    int (*seek_position)(void *, uint64_t);
    const char *(*last_error)(void *);
};

struct view;

struct reader {
    struct handle handle;
    const struct source *source;
    void *reader; /* hermes_subscriber_t or hermes_log_reader_t */
    struct view *lent;
    int pending; /* an error that came behind messages that were handed out: the next call tells */
};

/* A message where it stands, as long as nothing else is read. */
struct view {
    PyObject_HEAD struct reader *reader; /* NULL: released */
    hermes_message_t message;
    Py_ssize_t exports;
};

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

static PyObject *failed(struct reader *self, int rc)
{
    const char *sentence = self->source->last_error(self->reader);
    return sentence != NULL ? raise_error(self->handle.state, rc, sentence) : raise_of(&self->handle, rc);
}

static int check(struct reader *self)
{
    if (handle_check(&self->handle) < 0)
        return -1;
    if (__builtin_expect(self->lent != NULL, 0)) {
        PyErr_SetString(PyExc_BufferError, "a view of the last message is in use: release it first");
        return -1;
    }
    return 0;
}

/*
 * The next message: tried under the GIL, waited for without it. 1; 0: timed out; -1 and an exception.
 * HERMES_ECLOSED is told as such where ends is not NULL.
 */
static int next(struct reader *self, hermes_message_t *message, uint64_t timeout_ns, bool *ends)
{
    int rc = self->pending;
    self->pending = 0;
    if (__builtin_expect(rc == 0, 1))
        rc = self->source->poll(self->reader, message);
    if (__builtin_expect(rc > 0, 1))
        return rc;
    uint64_t start = 0, waited = 0;
    while (rc == 0 || rc == HERMES_EDISCONNECTED || rc == HERMES_EINTERRUPTED) {
        if (waited >= timeout_ns)
            break;
        if (start == 0)
            start = monotonic_ns();
        uint64_t left = timeout_ns - waited, slice = left < SLICE_NS ? left : SLICE_NS;
        WITHOUT_GIL(&self->handle, rc = self->source->wait(self->reader, message, slice));
        if (rc > 0)
            return rc;
        if (PyErr_CheckSignals() < 0 || check(self) < 0)
            return -1;
        waited = monotonic_ns() - start;
    }
    if (rc == 0 || rc == HERMES_EINTERRUPTED)
        return 0;
    if (rc == HERMES_ECLOSED && ends != NULL)
        *ends = true;
    else
        failed(self, rc);
    return -1;
}

/* ---- one at a time ---- */

static PyObject *reader_next(struct reader *self)
{
    hermes_message_t message;
    bool ends = false;
    if (check(self) < 0)
        return NULL;
    if (next(self, &message, HERMES_FOREVER, &ends) > 0)
        return message_new(self->handle.state, &message);
    return NULL; /* with ends there is no exception: the iteration is over */
}

/* The only argument, if there is one; -1 and an exception. */
static int optional(const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
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
    if (optional("timeout", arguments, count, names, &timeout) < 0 ||
        (timeout != NULL && take_timeout(timeout, &timeout_ns) < 0) || check(self) < 0)
        return NULL;
    int rc = next(self, &message, timeout_ns, NULL);
    if (rc > 0)
        return message_new(self->handle.state, &message);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- many ---- */

static PyObject *reader_poll_many(struct reader *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"n", "timeout", NULL};
    Py_ssize_t most;
    PyObject *timeout = NULL;
    uint64_t timeout_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "n|O:poll_many", names, &most, &timeout) ||
        (timeout != NULL && take_timeout(timeout, &timeout_ns) < 0) || check(self) < 0)
        return NULL;
    if (most < 0) {
        PyErr_SetString(PyExc_ValueError, "n is 0 or more");
        return NULL;
    }
    PyObject *list = PyList_New(0);
    hermes_message_t message;
    int rc = list == NULL || most == 0 ? 0 : next(self, &message, timeout_ns, NULL);
    while (rc > 0) {
        PyObject *item = message_new(self->handle.state, &message);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_XDECREF(item);
            rc = -1;
            break;
        }
        Py_DECREF(item);
        if (PyList_Size(list) == most)
            return list;
        rc = self->source->poll(self->reader, &message);
        if (rc < 0) {
            self->pending = rc;
            return list;
        }
    }
    if (rc < 0)
        Py_CLEAR(list);
    return list;
}

struct batch {
    struct reader *reader;
    hermes_message_t message; /* the first; then the one that was last looked at */
    char *items;
    size_t item_bytes;
    uint64_t *headers; /* NULL: not wanted; else sequence and time stamp of each */
    size_t most, done;
    bool mismatch;
};

/* Without the GIL: from the first message on, which is there, up to most. */
static void fill(struct batch *b)
{
    for (;;) {
        if (b->message.length != b->item_bytes) {
            b->mismatch = true;
            /* It is read by whoever asks for it as it is. */
            b->reader->pending = b->reader->source->seek_position(b->reader->reader, b->message.position);
            return;
        }
        memcpy(b->items + b->done * b->item_bytes, b->message.payload, b->item_bytes);
        if (b->headers != NULL) {
            b->headers[2 * b->done] = b->message.sequence;
            b->headers[2 * b->done + 1] = b->message.timestamp;
        }
        if (++b->done == b->most)
            return;
        int rc = b->reader->source->poll(b->reader->reader, &b->message);
        if (rc <= 0) {
            b->reader->pending = rc;
            return;
        }
    }
}

/* Rows of a writable array, all of one size. */
static int rows_of(PyObject *array, Py_buffer *buffer, size_t *rows, size_t *row_bytes)
{
    if (refuse_objects(array) < 0 ||
        PyObject_GetBuffer(array, buffer, PyBUF_WRITABLE | PyBUF_ND | PyBUF_C_CONTIGUOUS) < 0)
        return -1;
    *rows = buffer->ndim > 0 ? (size_t)buffer->shape[0] : 0;
    *row_bytes = *rows > 0 ? (size_t)buffer->len / *rows : 0;
    if (buffer->ndim > 0)
        return 0;
    PyBuffer_Release(buffer);
    PyErr_SetString(PyExc_ValueError, "an array has at least one dimension");
    return -1;
}

/* numpy.empty(n, dtype) */
static PyObject *empty_array(Py_ssize_t n, PyObject *dtype)
{
    PyObject *numpy = PyImport_ImportModule("numpy");
    PyObject *array = numpy == NULL ? NULL : PyObject_CallMethod(numpy, "empty", "nO", n, dtype);
    Py_XDECREF(numpy);
    return array;
}

static PyObject *receive_into(struct reader *self, PyObject *out, PyObject *headers, Py_ssize_t n,
                              uint64_t timeout_ns)
{
    struct batch batch = {.reader = self};
    Py_buffer items, headers_buffer;
    size_t rows, header_rows = 0, header_bytes = 0;
    if (rows_of(out, &items, &rows, &batch.item_bytes) < 0)
        return NULL;
    if (headers != Py_None && rows_of(headers, &headers_buffer, &header_rows, &header_bytes) < 0) {
        PyBuffer_Release(&items);
        return NULL;
    }
    batch.items = items.buf;
    batch.most = n < 0 || (size_t)n > rows ? rows : (size_t)n;
    PyObject *result = NULL;
    if (headers != Py_None && (header_rows < batch.most || (batch.most > 0 && header_bytes != 16))) {
        PyErr_SetString(PyExc_ValueError,
                        "headers needs an item of 16 bytes for each message: dtype=hermes.HEADERS");
    } else if (check(self) == 0) { /* the arrays may have run code of their own */
        batch.headers = headers != Py_None ? headers_buffer.buf : NULL;
        int rc = batch.most == 0 ? 0 : next(self, &batch.message, timeout_ns, NULL);
        if (rc > 0 && batch.most > 64)
            WITHOUT_GIL(&self->handle, fill(&batch));
        else if (rc > 0)
            fill(&batch);
        if (rc >= 0 && batch.done == 0 && batch.mismatch)
            PyErr_Format(self->handle.state->error_layout, "message %llu has %u bytes, the array's items %zu",
                         (unsigned long long)batch.message.sequence, batch.message.length, batch.item_bytes);
        else if (rc >= 0)
            result = PySequence_GetSlice(out, 0, (Py_ssize_t)batch.done);
    }
    if (headers != Py_None)
        PyBuffer_Release(&headers_buffer);
    PyBuffer_Release(&items);
    return result;
}

static PyObject *reader_recv_batch(struct reader *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"n", "dtype", "out", "headers", "timeout", NULL};
    PyObject *n_object = Py_None, *dtype = Py_None, *out = Py_None, *headers = Py_None, *timeout = NULL;
    uint64_t timeout_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|OO$OOO:recv_batch", names, &n_object, &dtype,
                                     &out, &headers, &timeout) ||
        (timeout != NULL && take_timeout(timeout, &timeout_ns) < 0))
        return NULL;
    Py_ssize_t n = n_object == Py_None ? -1 : PyLong_AsSsize_t(n_object);
    if (PyErr_Occurred())
        return NULL;
    if (n < 0 && (n_object != Py_None || out == Py_None)) {
        PyErr_SetString(PyExc_ValueError, "n is 0 or more; it may be left out only where out is given");
        return NULL;
    }
    if ((out == Py_None) == (dtype == Py_None)) {
        PyErr_SetString(PyExc_TypeError,
                        "recv_batch(n, dtype) makes an array, recv_batch(n, out=array) fills one");
        return NULL;
    }
    PyObject *array = out == Py_None ? empty_array(n, dtype) : Py_NewRef(out);
    PyObject *result = array == NULL ? NULL : receive_into(self, array, headers, n, timeout_ns);
    Py_XDECREF(array);
    return result;
}

/* ---- in place ---- */

static PyObject *reader_poll_view(struct reader *self, PyObject *const *arguments, Py_ssize_t count,
                                  PyObject *names)
{
    PyObject *timeout;
    uint64_t timeout_ns = 0;
    struct state *state = self->handle.state;
    if (optional("timeout", arguments, count, names, &timeout) < 0 ||
        (timeout != NULL && take_timeout(timeout, &timeout_ns) < 0) || check(self) < 0)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->view_type, Py_tp_alloc);
    struct view *view = (struct view *)(void *)allocate(state->view_type, 0);
    if (view == NULL)
        return NULL;
    int rc = next(self, &view->message, timeout_ns, NULL);
    if (rc <= 0) {
        Py_DECREF(view);
        return rc < 0 ? NULL : Py_NewRef(Py_None);
    }
    view->reader = (struct reader *)(void *)Py_NewRef((PyObject *)self);
    self->lent = view;
    return (PyObject *)view;
}

static bool is_lent(struct handle *handle)
{
    struct reader *self = (struct reader *)(void *)handle;
    return self->lent != NULL && self->lent->exports > 0;
}

static int view_release_now(struct view *view)
{
    if (view->exports > 0) {
        PyErr_Format(PyExc_BufferError, "%zd views of this message are still in use", view->exports);
        return -1;
    }
    if (view->reader != NULL) {
        view->reader->lent = NULL;
        Py_CLEAR(view->reader);
    }
    return 0;
}

static void view_dealloc(struct view *view)
{
    (void)view_release_now(view); /* whoever exports holds a reference */
    PyTypeObject *type = Py_TYPE((PyObject *)view);
    PyObject_Free(view);
    Py_DECREF(type);
}

static int view_get_buffer(struct view *view, Py_buffer *buffer, int flags)
{
    if (view->reader == NULL || !view->reader->handle.open) {
        buffer->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "this view was released");
        return -1;
    }
    if (PyBuffer_FillInfo(buffer, (PyObject *)view, (void *)(uintptr_t)view->message.payload,
                          (Py_ssize_t)view->message.length, 1, flags) < 0)
        return -1;
    view->exports++;
    return 0;
}

static void view_release_buffer(struct view *view, Py_buffer *buffer)
{
    (void)buffer;
    view->exports--;
}

static PyObject *view_release(struct view *view, PyObject *unused)
{
    (void)unused;
    if (view_release_now(view) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *view_enter(PyObject *view, PyObject *unused)
{
    (void)unused;
    return Py_NewRef(view);
}

static PyObject *view_exit(struct view *view, PyObject *const *arguments, Py_ssize_t count)
{
    (void)arguments;
    (void)count;
    return view_release(view, NULL);
}

static int view_is_true(struct view *view)
{
    (void)view;
    return 1; /* though it may be empty */
}

static Py_ssize_t view_length(struct view *view)
{
    return (Py_ssize_t)view->message.length;
}

/* ---- where to read ---- */

static int start_at(struct reader *self, PyObject *start)
{
    self->pending = 0;
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
        failed(self, rc);
    return rc < 0 ? -1 : 0;
}

static PyObject *reader_seek(struct reader *self, PyObject *start)
{
    if (check(self) < 0 || start_at(self, start) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *reader_seek_position(struct reader *self, PyObject *position)
{
    uint64_t value = PyLong_AsUnsignedLongLong(position);
    int rc;
    if (PyErr_Occurred() || check(self) < 0)
        return NULL;
    WITHOUT_GIL(&self->handle, rc = self->source->seek_position(self->reader, value));
    if (rc < 0)
        return failed(self, rc);
    Py_RETURN_NONE;
}

/* ---- event loops ---- */

static PyObject *reader_fileno(struct reader *self, PyObject *unused)
{
    (void)unused;
    if (handle_check(&self->handle) < 0)
        return NULL;
    int rc = hermes_subscriber_fd(self->reader);
    return rc < 0 ? failed(self, rc) : PyLong_FromLong(rc);
}

static PyObject *reader_arm(struct reader *self, PyObject *unused)
{
    (void)unused;
    if (check(self) < 0)
        return NULL;
    int rc = hermes_subscriber_arm(self->reader);
    return rc < 0 ? failed(self, rc) : PyBool_FromLong(rc);
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
        self->handle.is_lent = is_lent;
    }
    return self;
}

static void reader_dealloc(struct reader *self)
{
    handle_dealloc(&self->handle);
}

PyObject *subscriber_new(struct handle *parent, hermes_client_t *session, PyObject *topic, PyObject *start,
                         bool verify, uint64_t spin_ns)
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
    hermes_subscriber_t *subscriber = NULL;
    int rc = HERMES_EINVALID;
    WITHOUT_GIL(&self->handle, rc = hermes_subscriber_open(session, name, NULL, &subscriber));
    self->reader = subscriber;
    if (rc < 0) {
        raise_of(&self->handle, rc);
    } else {
        hermes_subscriber_set_verify(subscriber, verify);
        hermes_subscriber_set_spin(subscriber, spin_ns);
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
     "The next Message; None: there is none within timeout seconds (None: wait for ever)."},                 \
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
    {Py_tp_doc,
     "Reads a log by its path: for message in reader. Made by hermes.log.reader().\n\n"
     "Iteration waits while a writer has the log open, and ends at the end of one that nobody writes to."},
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

static PyMethodDef view_methods[] = {
    {"release", (PyCFunction)view_release, METH_NOARGS,
     "release($self, /)\n--\n\nLets reading go on. BufferError while memoryviews or arrays of it are in "
     "use."},
    {"__enter__", view_enter, METH_NOARGS, "Itself."},
    {"__exit__", (PyCFunction)(void *)view_exit, METH_FASTCALL, "release()"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef view_members[] = {
    {"position", T_ULONGLONG, offsetof(struct view, message.position), READONLY,
     "Byte offset in the topic's log."},
    {"sequence", T_ULONGLONG, offsetof(struct view, message.sequence), READONLY, "1, 2, 3 ... in the topic."},
    {"timestamp", T_ULONGLONG, offsetof(struct view, message.timestamp), READONLY, "Nanoseconds since 1970."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot view_slots[] = {
    {Py_tp_doc,
     "A message where it stands: memoryview(view), numpy.frombuffer(view, dtype). Made by poll_view().\n\n"
     "    with sub.poll_view(1.0) as view:\n"
     "        total = numpy.frombuffer(view, '<f8').sum()\n\n"
     "Leaving the block while an array or memoryview of it is alive raises BufferError."},
    {Py_tp_dealloc, (void *)view_dealloc},
    {Py_tp_methods, view_methods},
    {Py_tp_members, view_members},
    {Py_nb_bool, (void *)view_is_true},
    {Py_sq_length, (void *)view_length},
    {Py_bf_getbuffer, (void *)view_get_buffer},
    {Py_bf_releasebuffer, (void *)view_release_buffer},
    {0, NULL},
};

PyType_Spec view_spec = {"hermes_msg.View", sizeof(struct view), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                         view_slots};
