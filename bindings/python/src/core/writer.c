/* The writer of an embedded log. Its reader is in subscriber.c. */
#include "module.h"

struct writer {
    struct handle handle;
    hermes_log_t *log;
};

static PyObject *failed(struct writer *self, int rc)
{
    return raise_error(self->handle.state, rc, hermes_log_last_error(self->log));
}

static int close_failed; /* of the last close_writer(), which runs under one GIL or one handle's */

static void close_writer(struct handle *handle)
{
    struct writer *self = (struct writer *)(void *)handle;
    close_failed = hermes_log_close(self->log);
    self->log = NULL;
}

static void forget_writer(struct handle *handle)
{
    ((struct writer *)(void *)handle)->log =
        NULL; /* its threads are the parent's: what it maps stays mapped */
}

PyObject *writer_open(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"path", "window_bytes", "segment_bytes", "sync_interval", "checksum", NULL};
    PyObject *path_object;
    unsigned long long window = 0, segment = 0;
    double interval = 0.01;
    int checksum = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$O&O&dp:open", names, &path_object, take_bytes,
                                     &window, take_bytes, &segment, &interval, &checksum))
        return NULL;
    if (!(interval >= 0.001 && interval <= 3600)) {
        PyErr_SetString(PyExc_ValueError, "sync_interval is in seconds, 0.001 to 3600");
        return NULL;
    }
    struct state *state = module_state(module);
    PyObject *path = NULL;
    if (!PyUnicode_FSConverter(path_object, &path))
        return NULL;
    hermes_log_options_t options = {.size = sizeof options,
                                    .window_bytes = window,
                                    .segment_bytes = segment,
                                    .sync_interval_ms = (uint32_t)(interval * 1000 + 0.5),
                                    .flags = checksum ? 0 : HERMES_LOG_NO_CRC};
    hermes_log_t *log = NULL;
    PyThreadState *thread = PyEval_SaveThread();
    int rc = hermes_log_open(PyBytes_AsString(path), &options, &log);
    PyEval_RestoreThread(thread);
    Py_DECREF(path);
    if (rc < 0)
        return raise_error(state, rc, hermes_log_last_error(NULL));
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->writer_type, Py_tp_alloc);
    struct writer *self = (struct writer *)(void *)allocate(state->writer_type, 0);
    if (self == NULL) {
        (void)hermes_log_close(log);
        return NULL;
    }
    handle_init(&self->handle, state, NULL, path_object);
    self->handle.close = close_writer;
    self->handle.forget = forget_writer;
    self->log = log;
    return (PyObject *)self;
}

/* Appends, without the GIL where it must wait for room. -1 and an exception. */
static int append(struct writer *self, const void *payload, size_t length, uint64_t *sequence)
{
    int rc = hermes_log_append(self->log, payload, length, sequence);
    while (rc == HERMES_EAGAIN) {
        WITHOUT_GIL(&self->handle, rc = hermes_log_wait_room(self->log, SLICE_NS));
        if (PyErr_CheckSignals() < 0 || handle_check(&self->handle) < 0)
            return -1;
        if (rc == 0 || rc == HERMES_ETIMEOUT)
            rc = hermes_log_append(self->log, payload, length, sequence);
    }
    if (rc < 0)
        failed(self, rc);
    return rc < 0 ? -1 : 0;
}

static PyObject *writer_append(struct writer *self, PyObject *payload)
{
    Py_buffer buffer;
    uint64_t sequence = 0;
    if (PyObject_GetBuffer(payload, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    int rc = handle_check(&self->handle);
    if (rc == 0)
        rc = append(self, buffer.buf == NULL ? "" : buffer.buf, (size_t)buffer.len, &sequence);
    PyBuffer_Release(&buffer);
    return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(sequence);
}

static PyObject *writer_sync(struct writer *self, PyObject *unused)
{
    (void)unused;
    int rc;
    if (handle_check(&self->handle) < 0)
        return NULL;
    WITHOUT_GIL(&self->handle, rc = hermes_log_sync(self->log));
    if (rc < 0)
        return failed(self, rc);
    Py_RETURN_NONE;
}

static PyObject *writer_close(struct writer *self, PyObject *unused)
{
    (void)unused;
    bool was_open = self->handle.open;
    if (handle_close(&self->handle) < 0)
        return NULL;
    if (was_open && close_failed < 0)
        return raise_error(self->handle.state, close_failed, NULL);
    Py_RETURN_NONE;
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
    {"__exit__", (PyCFunction)(void *)handle_method_exit, METH_FASTCALL, "close()"},
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
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec writer_spec = {"hermes_msg.LogWriter", sizeof(struct writer), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                           slots};
