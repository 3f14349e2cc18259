/* The writer of an embedded log. Its reader is in subscriber.c. */
#include "module.h"

struct writer {
    struct handle handle;
    hermes_log_t *log;
    int close_result;
};

static PyObject *failed(struct writer *self, int rc)
{
    return raise_error(self->handle.state, rc, hermes_log_last_error(self->log));
}

static void close_writer(struct handle *handle)
{
    struct writer *self = (struct writer *)(void *)handle;
    self->close_result = hermes_log_close(self->log);
    self->log = NULL;
}

/* Its threads are the parent's: what it maps stays mapped. */
static void forget_writer(struct handle *handle)
{
    ((struct writer *)(void *)handle)->log = NULL;
}

static const struct handle_kind writer_kind = {.close = close_writer, .forget = forget_writer};

PyObject *writer_open(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"path", "window_bytes", "segment_bytes", "sync_interval", "checksum", NULL};
    struct state *state = module_state(module);
    PyObject *path_object, *window = NULL, *segment = NULL, *interval = NULL, *path = NULL;
    uint64_t interval_ns = 10000000;
    int checksum = 1;
    hermes_log_options_t options = {.size = sizeof options};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$OOOp:open", names, &path_object, &window,
                                     &segment, &interval, &checksum) ||
        take_size(state, window, "window_bytes", &options.window_bytes) < 0 ||
        take_size(state, segment, "segment_bytes", &options.segment_bytes) < 0 ||
        take_timeout(state, interval, &interval_ns) < 0)
        return NULL;
    if (interval_ns < 1000000 || interval_ns > 3600000000000u) {
        refuse_argument(state, "sync_interval is in seconds, 0.001 to 3600");
        return NULL;
    }
    options.sync_interval_ms = (uint32_t)((interval_ns + 500000) / 1000000);
    options.flags = checksum ? 0 : HERMES_LOG_NO_CRC;
    if (take_path(state, path_object, &path) < 0)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->writer_type, Py_tp_alloc);
    struct writer *self = (struct writer *)(void *)allocate(state->writer_type, 0);
    int rc = HERMES_ENOMEM;
    if (self != NULL)
        UNLOCKED(rc = hermes_log_open(PyBytes_AsString(path), &options, &self->log));
    Py_DECREF(path);
    if (rc == 0) {
        handle_init(&self->handle, &writer_kind, state, NULL, path_object);
    } else if (self != NULL) {
        raise_error(state, rc, hermes_log_last_error(NULL));
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* Waits for room without the GIL, and appends. 0, an error, or -1 with *raised: an exception is set. */
static int append_patiently(struct writer *self, const void *payload, size_t length, uint64_t *sequence,
                            bool *raised)
{
    int rc = HERMES_EAGAIN;
    while (rc == HERMES_EAGAIN) {
        UNLOCKED(rc = hermes_log_wait_room(self->log, SLICE_NS));
        *raised = handle_go_on(&self->handle) < 0;
        if (*raised)
            return -1;
        if (rc == 0 || rc == HERMES_ETIMEOUT)
            rc = hermes_log_append(self->log, payload, length, sequence);
    }
    return rc;
}

/* 0; -1 and an exception. */
static int append(struct writer *self, const void *payload, size_t length, uint64_t *sequence)
{
    bool raised = false;
    if (handle_check(&self->handle) < 0)
        return -1;
    int rc = hermes_log_append(self->log, payload, length, sequence);
    if (__builtin_expect(rc == 0, 1))
        return 0;
    (void)handle_enter(&self->handle);
    if (rc == HERMES_EAGAIN)
        rc = append_patiently(self, payload, length, sequence, &raised);
    if (rc < 0 && !raised)
        failed(self, rc);
    handle_leave(&self->handle);
    return rc < 0 ? -1 : 0;
}

static PyObject *writer_append(struct writer *self, PyObject *payload)
{
    Py_buffer buffer;
    uint64_t sequence = 0;
    if (take_buffer(self->handle.state, payload, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    int rc = append(self, buffer.buf == NULL ? "" : buffer.buf, (size_t)buffer.len, &sequence);
    PyBuffer_Release(&buffer);
    return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(sequence);
}

static PyObject *writer_sync(struct writer *self, PyObject *unused)
{
    (void)unused;
    int rc;
    if (handle_enter(&self->handle) < 0)
        return NULL;
    UNLOCKED(rc = hermes_log_sync(self->log));
    if (rc < 0)
        failed(self, rc);
    handle_leave(&self->handle);
    return rc < 0 ? NULL : Py_NewRef(Py_None);
}

/* Told once, to who closes it, and not while something else is under way. */
static PyObject *writer_close(struct writer *self, PyObject *unused)
{
    (void)unused;
    if (handle_close(&self->handle) < 0)
        return NULL;
    int rc = self->close_result;
    self->close_result = 0;
    if (rc < 0)
        return raise_error(self->handle.state, rc, NULL);
    Py_RETURN_NONE;
}

static PyObject *writer_exit(struct writer *self, PyObject *const *arguments, Py_ssize_t count)
{
    bool under_way = count > 0 && arguments[0] != Py_None;
    PyObject *closed = writer_close(self, NULL);
    if (closed != NULL || !under_way || !PyErr_ExceptionMatches(self->handle.state->errors[0]))
        return closed;
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyObject *writer_repr(struct writer *self)
{
    bool known = self->handle.stage == STAGE_IDLE;
    return handle_repr(&self->handle, "LogWriter", known ? "sequence" : NULL,
                       known ? hermes_log_sequence(self->log) : 0);
}

static PyObject *get_position(struct writer *self, void *unused)
{
    (void)unused;
    return handle_check(&self->handle) < 0 ? NULL
                                           : PyLong_FromUnsignedLongLong(hermes_log_position(self->log));
}

static PyObject *get_sequence(struct writer *self, void *unused)
{
    (void)unused;
    return handle_check(&self->handle) < 0 ? NULL
                                           : PyLong_FromUnsignedLongLong(hermes_log_sequence(self->log));
}

static void writer_dealloc(struct writer *self)
{
    handle_dealloc(&self->handle);
}

static PyMethodDef methods[] = {
    {"append", (PyCFunction)writer_append, METH_O,
     "append($self, payload, /)\n--\n\nAppends one message; its sequence. Readers see it at once."},
    {"sync", (PyCFunction)writer_sync, METH_NOARGS,
     "sync($self, /)\n--\n\nReturns when all appended so far is on disk."},
    {"close", (PyCFunction)writer_close, METH_NOARGS, "close($self, /)\n--\n\nStores and syncs everything."},
    {"__enter__", handle_method_enter, METH_NOARGS, "Itself."},
    {"__exit__", (PyCFunction)(void *)writer_exit, METH_FASTCALL, "close()"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"closed", (getter)handle_get_closed, NULL, "Whether it was closed.", NULL},
    {"position", (getter)get_position, NULL, "The position behind the last message.", NULL},
    {"sequence", (getter)get_sequence, NULL, "Of the last message; 0: none yet.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"path", T_OBJECT, offsetof(struct handle, topic), READONLY, "The log's path."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Appends to a log by its path, without a broker. Made by hermes.log.open()."},
    {Py_tp_dealloc, (void *)writer_dealloc},
    {Py_tp_traverse, (void *)handle_traverse},
    {Py_tp_clear, (void *)handle_clear},
    {Py_tp_repr, (void *)writer_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec writer_spec = {"hermes_msg.LogWriter", sizeof(struct writer), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                               Py_TPFLAGS_IMMUTABLETYPE,
                           slots};
