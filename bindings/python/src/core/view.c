/* View: a message where it stands. */
#include "reader.h"

PyObject *reader_poll_view(struct reader *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names)
{
    PyObject *timeout;
    uint64_t timeout_ns = 0;
    struct state *state = self->handle.state;
    if (reader_optional("timeout", arguments, count, names, &timeout) < 0 ||
        take_timeout(state, timeout, &timeout_ns) < 0)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->view_type, Py_tp_alloc);
    struct view *view = (struct view *)(void *)allocate(state->view_type, 0);
    if (view == NULL)
        return NULL;
    hermes_message_t message;
    int rc = handle_check(&self->handle) < 0 ? -1 : reader_take(self, &message, timeout_ns, NULL);
    if (rc <= 0) {
        Py_DECREF(view);
        return rc < 0 ? NULL : Py_NewRef(Py_None);
    }
    view->message = message;
    view->ticket = self->ticket;
    view->reader = (struct reader *)(void *)Py_NewRef((PyObject *)self);
    self->lent = view;
    self->handle.stage = STAGE_LENT;
    return (PyObject *)view;
}

bool reader_is_exported(struct handle *handle)
{
    struct reader *self = (struct reader *)(void *)handle;
    return self->lent != NULL && self->lent->exports > 0;
}

bool reader_is_lent(struct handle *handle)
{
    return ((struct reader *)(void *)handle)->lent != NULL;
}

static int view_release_now(struct view *view)
{
    if (view->exports > 0) {
        PyErr_Format(PyExc_BufferError, "%zd views of this message are still in use", view->exports);
        return -1;
    }
    struct reader *reader = view->reader;
    if (reader == NULL)
        return 0;
    view->reader = NULL;
    reader->lent = NULL;
    if (reader->handle.stage == STAGE_LENT)
        reader->handle.stage = STAGE_IDLE;
    Py_DECREF((PyObject *)reader);
    return 0;
}

void reader_take_back_view(struct handle *handle)
{
    (void)view_release_now(((struct reader *)(void *)handle)->lent);
}

static void view_dealloc(struct view *view)
{
    PyObject_GC_UnTrack(view);
    (void)view_release_now(view); /* whoever exports holds a reference */
    PyTypeObject *type = Py_TYPE((PyObject *)view);
    PyObject_GC_Del(view);
    Py_DECREF(type);
}

static int view_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)((struct view *)self)->reader);
    return 0;
}

/* Of a cycle: it may still be exported, to what is cleared after it. */
static int view_clear(PyObject *self)
{
    struct view *view = (struct view *)self;
    if (view->exports == 0)
        (void)view_release_now(view);
    return 0;
}

static int view_get_buffer(struct view *view, Py_buffer *buffer, int flags)
{
    if (view->reader == NULL || view->reader->handle.stage != STAGE_LENT) {
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

static PyObject *view_repr(struct view *view)
{
    return PyUnicode_FromFormat(
        "View(sequence=%llu, position=%llu, %u bytes, %s)", (unsigned long long)view->message.sequence,
        (unsigned long long)view->message.position, view->message.length,
        view->reader != NULL && view->reader->handle.stage == STAGE_LENT ? "open" : "released");
}

/* ---- what Python sees ---- */

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
    {Py_tp_traverse, (void *)view_traverse},
    {Py_tp_clear, (void *)view_clear},
    {Py_tp_repr, (void *)view_repr},
    {Py_tp_methods, view_methods},
    {Py_tp_members, view_members},
    {Py_nb_bool, (void *)view_is_true},
    {Py_sq_length, (void *)view_length},
    {Py_bf_getbuffer, (void *)view_get_buffer},
    {Py_bf_releasebuffer, (void *)view_release_buffer},
    {0, NULL},
};

PyType_Spec view_spec = {"hermes_msg.View", sizeof(struct view), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                             Py_TPFLAGS_IMMUTABLETYPE,
                         view_slots};
