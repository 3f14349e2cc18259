/* What client, publisher, subscriber and log have in common: closed, busy, lent, forked. */
#include "module.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* All that is open in this process. Under the GIL. */
static struct handle *open_handles;

void handle_init(struct handle *handle, struct state *state, struct handle *parent, PyObject *topic)
{
    handle->state = state;
    handle->parent = parent;
    Py_XINCREF((PyObject *)parent);
    handle->topic = topic;
    Py_XINCREF(topic);
    handle->open = true;
    handle->next = open_handles;
    handle->link = &open_handles;
    if (open_handles != NULL)
        open_handles->link = &handle->next;
    open_handles = handle;
}

static void unlink_handle(struct handle *handle)
{
    *handle->link = handle->next;
    if (handle->next != NULL)
        handle->next->link = handle->link;
    handle->open = false;
}

int handle_refuse(struct handle *handle)
{
    struct state *state = handle->state;
    if (handle->forked)
        PyErr_SetString(state->error_forked,
                        "this was opened by the parent process; connect again in the child");
    else if (!handle->open)
        PyErr_SetString(state->errors[-HERMES_ECLOSED], "this object was closed");
    else
        PyErr_SetString(state->error_in_use,
                        "another thread is inside this object at this moment: one thread at a time");
    return -1;
}

/* May it be closed now? */
static int check_closing(struct handle *handle)
{
    if (handle->busy)
        return handle_refuse(handle);
    if (handle->is_lent != NULL && handle->is_lent(handle)) {
        PyErr_SetString(PyExc_BufferError, "views of its memory are still in use: release them first");
        return -1;
    }
    return 0;
}

static void close_now(struct handle *handle)
{
    unlink_handle(handle);
    WITHOUT_GIL(handle, handle->close(handle)); /* which asks the broker, who may be slow */
    handle->client = NULL;
}

int handle_close(struct handle *handle)
{
    if (!handle->open)
        return 0;
    if (check_closing(handle) < 0)
        return -1;
    close_now(handle);
    return 0;
}

/* What a child that was closed with its parent left is the parent's to tell. */
static void inherit_missing(struct handle *parent, struct handle *child)
{
    parent->missing += child->missing;
    if (child->missing > 0)
        memcpy(parent->sentence, child->sentence, sizeof parent->sentence);
    child->missing = 0;
}

int handle_close_children(struct handle *parent)
{
    for (struct handle *h = open_handles; h != NULL; h = h->next)
        if (h->parent == parent && check_closing(h) < 0)
            return -1;
    for (struct handle *h = open_handles; h != NULL;) {
        if (h->parent == parent && !h->busy) {
            Py_INCREF((PyObject *)h); /* its last name may go while the GIL is somebody else's */
            close_now(h);
            inherit_missing(parent, h);
            Py_DECREF((PyObject *)h);
            h = open_handles; /* others may have come and gone meanwhile */
        } else {
            h = h->next;
        }
    }
    return 0;
}

void handle_dealloc(struct handle *handle)
{
    handle->dropped = true;
    if (handle->open)
        close_now(handle);
    Py_CLEAR(handle->parent);
    Py_CLEAR(handle->topic);
    PyTypeObject *type = Py_TYPE((PyObject *)handle);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(handle);
    Py_DECREF(type);
}

/*
 * A forked child has our descriptors and our memory. It lets go of them, so that the broker notices when the
 * parent dies; but for what a thread of the parent's was inside of at that moment, or what is lent out: that
 * stays as it is.
 */
PyObject *handle_forget_all(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    while (open_handles != NULL) {
        struct handle *handle = open_handles;
        unlink_handle(handle);
        handle->forked = true;
        if (!handle->busy && !(handle->is_lent != NULL && handle->is_lent(handle)))
            handle->forget(handle);
        handle->busy = false;
        handle->client = NULL;
    }
    Py_RETURN_NONE;
}

/* ---- methods ---- */

PyObject *handle_method_close(struct handle *self, PyObject *unused)
{
    (void)unused;
    if (handle_close(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *handle_method_close_counting(struct handle *self, PyObject *unused)
{
    (void)unused;
    if (handle_close(self) < 0)
        return NULL;
    return PyLong_FromLongLong(self->missing);
}

PyObject *handle_method_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (handle_check((struct handle *)self) < 0)
        return NULL;
    return Py_NewRef(self);
}

PyObject *handle_method_exit(struct handle *self, PyObject *const *arguments, Py_ssize_t count)
{
    PyObject *closed = PyObject_CallMethod((PyObject *)self, "close", NULL);
    if (closed == NULL)
        return NULL;
    Py_DECREF(closed);
    bool under_way = count > 0 && arguments[0] != Py_None; /* an exception, which says enough */
    if (self->missing > 0 && !under_way)
        return raise_error(self->state, HERMES_ETIMEOUT, self->sentence);
    Py_RETURN_NONE;
}

PyObject *handle_get_closed(struct handle *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(!self->open);
}

/* ---- arguments ---- */

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int take_timeout(PyObject *seconds, uint64_t *ns)
{
    *ns = HERMES_FOREVER;
    if (seconds == NULL || seconds == Py_None)
        return 0;
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(value) || value < 0) {
        PyErr_SetString(PyExc_ValueError, "a time-out is in seconds, 0 or more, or None to wait for ever");
        return -1;
    }
    if (value < 1e9)
        *ns = (uint64_t)(value * 1e9);
    return 0;
}

int take_bytes(PyObject *object, void *bytes)
{
    unsigned long long value = PyLong_AsUnsignedLongLong(object);
    if (value == (unsigned long long)-1 && PyErr_Occurred())
        return 0;
    *(unsigned long long *)bytes = value;
    return 1;
}

int take_age(struct state *state, PyObject *age, uint64_t *ns)
{
    *ns = 0;
    if (age == NULL || age == Py_None)
        return 0;
    PyObject *number = PyObject_CallMethod(state->support, "to_ns", "O", age);
    unsigned long long value = number == NULL ? 0 : PyLong_AsUnsignedLongLong(number);
    Py_XDECREF(number);
    if (PyErr_Occurred())
        return -1;
    *ns = value;
    return 0;
}

int refuse_objects(PyObject *array)
{
    bool objects = false;
    PyObject *dtype = PyObject_GetAttrString(array, "dtype");
    PyObject *has = dtype == NULL ? NULL : PyObject_GetAttrString(dtype, "hasobject");
    Py_XDECREF(dtype);
    if (has != NULL) {
        objects = PyObject_IsTrue(has) != 0;
        Py_DECREF(has);
    } else {
        Py_buffer buffer;
        PyErr_Clear();
        if (PyObject_GetBuffer(array, &buffer, PyBUF_FORMAT | PyBUF_STRIDES) < 0)
            return -1;
        objects = buffer.format != NULL && strchr(buffer.format, 'O') != NULL;
        PyBuffer_Release(&buffer);
    }
    if (objects)
        PyErr_SetString(PyExc_TypeError, "an array of Python objects cannot be a message");
    return objects ? -1 : 0;
}

const char *take_text(PyObject *object, const char *what)
{
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s is a str, not %R", what, Py_TYPE(object));
        return NULL;
    }
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (text != NULL && strlen(text) != (size_t)length) {
        PyErr_Format(PyExc_ValueError, "%s has a null character in it", what);
        return NULL;
    }
    return text;
}

int take_confirmation(PyObject *name, enum hermes_confirmation *confirmation)
{
    const char *text = take_text(name, "a confirmation");
    if (text == NULL)
        return -1;
    *confirmation = HERMES_COMMITTED;
    if (strcmp(text, "committed") == 0)
        return 0;
    *confirmation = HERMES_DURABLE;
    if (strcmp(text, "durable") == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "a confirmation is 'committed' or 'durable', not %R", name);
    return -1;
}
