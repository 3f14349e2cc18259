/* Publisher, and the claim: room in the log itself. */
#include "module.h"

#include <stdio.h>
#include <string.h>

struct claim;

struct publisher {
    struct handle handle;
    hermes_publisher_t *publisher;
    uint64_t wait_ns;
    bool confirms; /* a send is complete when it is durable */
    struct claim *claim;
};

struct claim {
    PyObject_HEAD struct publisher *publisher; /* NULL: committed or aborted */
    void *payload;
    Py_ssize_t length;
    Py_ssize_t exports;
    PyObject *view; /* what __enter__ gave */
    uint64_t sequence;
};

/* ---- waiting ---- */

static uint64_t slice_of(uint64_t start, uint64_t timeout_ns, uint64_t *waited)
{
    *waited = monotonic_ns() - start;
    uint64_t left = *waited < timeout_ns ? timeout_ns - *waited : 0;
    return left < SLICE_NS ? left : SLICE_NS;
}

/* Waits for a confirmation without the GIL, and lets signals in. -1 and an exception. */
static int await(struct publisher *self, uint64_t sequence, enum hermes_confirmation confirmation,
                 uint64_t timeout_ns)
{
    uint64_t start = monotonic_ns(), waited;
    for (;;) {
        uint64_t slice = slice_of(start, timeout_ns, &waited);
        int rc;
        WITHOUT_GIL(&self->handle,
                    rc = sequence == 0
                             ? hermes_publisher_wait(self->publisher, confirmation, slice)
                             : hermes_publisher_wait_for(self->publisher, sequence, confirmation, slice));
        if (rc == 0)
            return 0;
        if ((rc != HERMES_ETIMEOUT && rc != HERMES_EDISCONNECTED) || waited + slice >= timeout_ns) {
            raise_of(&self->handle, rc);
            return -1;
        }
        if (PyErr_CheckSignals() < 0 || handle_check(&self->handle) < 0)
            return -1;
    }
}

/* One thing to publish, or room to claim. */
struct attempt {
    const void *payload;
    size_t length;
    uint64_t sequence;
    const hermes_slice_t *slices; /* NULL: one message */
    size_t count;
    void *claimed;
    bool claims;
};

static int try_once(struct publisher *self, struct attempt *a)
{
    if (a->claims)
        return hermes_claim(self->publisher, a->length, &a->claimed);
    if (a->slices == NULL)
        return hermes_publish(self->publisher, a->payload, a->length, &a->sequence);
    int64_t done = hermes_publish_batch(self->publisher, a->slices, a->count);
    if (done < 0)
        return (int)done;
    a->slices += done;
    a->count -= (size_t)done;
    return a->count == 0 ? HERMES_OK : HERMES_EAGAIN;
}

/*
 * A try without waiting did not do: without the GIL, until there is room, or a broker. Slices are tried again
 * as far as they are not in. -1 and an exception.
 */
static int try_patiently(struct publisher *self, struct attempt *a, int rc)
{
    uint64_t start = monotonic_ns(), waited;
    while (rc == HERMES_EAGAIN) {
        uint64_t slice = slice_of(start, self->wait_ns, &waited);
        WITHOUT_GIL(&self->handle, {
            hermes_publisher_set_wait(self->publisher, slice);
            rc = try_once(self, a);
            hermes_publisher_set_wait(self->publisher, 0);
        });
        if (rc == HERMES_EAGAIN && waited >= self->wait_ns)
            break;
        if (rc == HERMES_EAGAIN && (PyErr_CheckSignals() < 0 || handle_check(&self->handle) < 0))
            return -1;
    }
    if (rc == HERMES_EDISCONNECTED) { /* it stands with us, and goes out with the next broker */
        (void)slice_of(start, self->wait_ns, &waited);
        return await(self, 0, HERMES_COMMITTED, waited < self->wait_ns ? self->wait_ns - waited : 0);
    }
    if (rc < 0)
        raise_of(&self->handle, rc);
    return rc < 0 ? -1 : 0;
}

static int complete(struct publisher *self, struct attempt *a, int rc)
{
    if (__builtin_expect(rc < 0, 0) && try_patiently(self, a, rc) < 0)
        return -1;
    return self->confirms ? await(self, 0, HERMES_DURABLE, self->wait_ns) : 0;
}

static int check(struct publisher *self)
{
    if (handle_check(&self->handle) < 0)
        return -1;
    if (__builtin_expect(self->claim != NULL, 0)) {
        PyErr_SetString(self->handle.state->errors[-HERMES_EINVALID],
                        "a claim is open: leave its block, or commit or abort it first");
        return -1;
    }
    return 0;
}

/* ---- sending ---- */

static PyObject *publisher_send(struct publisher *self, PyObject *payload)
{
    struct attempt a = {.sequence = 0};
    int rc;
    if (Py_TYPE(payload) == &PyBytes_Type) { /* the usual, and the quick one */
        if (check(self) < 0)
            return NULL;
        a.payload = PyBytes_AsString(payload);
        a.length = (size_t)PyBytes_Size(payload);
        rc = hermes_publish(self->publisher, a.payload, a.length, &a.sequence);
        if (__builtin_expect(rc < 0 || self->confirms, 0) && complete(self, &a, rc) < 0)
            return NULL;
        return PyLong_FromUnsignedLongLong(a.sequence);
    }
    Py_buffer buffer;
    if (PyObject_GetBuffer(payload, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    a.payload = buffer.buf == NULL ? "" : buffer.buf;
    a.length = (size_t)buffer.len;
    rc = check(self);
    if (rc == 0)
        rc = complete(self, &a, hermes_publish(self->publisher, a.payload, a.length, &a.sequence));
    PyBuffer_Release(&buffer);
    return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(a.sequence);
}

enum { STEP = 64 };

static int send_slices(struct publisher *self, const hermes_slice_t *slices, size_t count)
{
    struct attempt a = {.slices = slices, .count = count};
    if (count == 0)
        return 0;
    if (check(self) < 0)
        return -1;
    int rc = try_once(self, &a);
    return rc < 0 ? try_patiently(self, &a, rc) : 0;
}

static PyObject *publisher_send_many(struct publisher *self, PyObject *iterable)
{
    PyObject *iterator = PyObject_GetIter(iterable), *item = NULL;
    if (iterator == NULL)
        return NULL;
    hermes_slice_t slices[STEP];
    PyObject *bytes[STEP]; /* kept while their slices are in use; NULL: a buffer is */
    Py_buffer buffers[STEP];
    Py_ssize_t sent = 0;
    int rc = 0;
    do {
        size_t count = 0;
        while (count < STEP && (item = PyIter_Next(iterator)) != NULL) {
            bytes[count] = item;
            if (Py_TYPE(item) == &PyBytes_Type) {
                slices[count] = (hermes_slice_t){PyBytes_AsString(item), (size_t)PyBytes_Size(item)};
            } else {
                rc = PyObject_GetBuffer(item, &buffers[count], PyBUF_SIMPLE);
                Py_DECREF(item);
                if (rc < 0)
                    break;
                bytes[count] = NULL;
                const void *data = buffers[count].buf;
                slices[count] = (hermes_slice_t){data == NULL ? "" : data, (size_t)buffers[count].len};
            }
            count++;
        }
        /* What came before an item that cannot be sent is sent; but the exception is the item's. */
        bool failed = PyErr_Occurred() != NULL;
        if (failed) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            if (send_slices(self, slices, count) == 0)
                PyErr_Restore(type, value, traceback);
            else {
                Py_XDECREF(type);
                Py_XDECREF(value);
                Py_XDECREF(traceback);
            }
            rc = -1;
        } else {
            rc = send_slices(self, slices, count);
        }
        sent += (Py_ssize_t)count;
        for (size_t i = 0; i < count; i++)
            if (bytes[i] != NULL)
                Py_DECREF(bytes[i]);
            else
                PyBuffer_Release(&buffers[i]);
    } while (rc == 0 && item != NULL);
    Py_DECREF(iterator);
    if (rc == 0 && self->confirms && sent > 0)
        rc = check(self) < 0 ? -1 : await(self, 0, HERMES_DURABLE, self->wait_ns);
    return rc < 0 ? NULL : PyLong_FromSsize_t(sent);
}

static PyObject *publisher_send_batch(struct publisher *self, PyObject *array)
{
    Py_buffer buffer;
    if (refuse_objects(array) < 0 || PyObject_GetBuffer(array, &buffer, PyBUF_ND | PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    int rc = buffer.ndim > 0 ? check(self) : -1;
    if (buffer.ndim == 0)
        PyErr_SetString(PyExc_ValueError, "an array has at least one dimension; send() sends one message");
    Py_ssize_t rows = buffer.ndim > 0 ? buffer.shape[0] : 0;
    size_t length = rows > 0 ? (size_t)(buffer.len / rows) : 0;
    hermes_slice_t slices[STEP];
    for (Py_ssize_t done = 0; rc == 0 && done < rows;) {
        size_t count = 0;
        for (; count < STEP && done < rows; count++, done++)
            slices[count] = (hermes_slice_t){(const char *)buffer.buf + (size_t)done * length, length};
        rc = send_slices(self, slices, count);
    }
    PyBuffer_Release(&buffer);
    if (rc == 0 && self->confirms && rows > 0)
        rc = check(self) < 0 ? -1 : await(self, 0, HERMES_DURABLE, self->wait_ns);
    return rc < 0 ? NULL : PyLong_FromSsize_t(rows);
}

/* ---- claims ---- */

static PyObject *publisher_claim(struct publisher *self, PyObject *length_object)
{
    Py_ssize_t length = PyLong_AsSsize_t(length_object);
    if (PyErr_Occurred())
        return NULL;
    if (length < 0) {
        PyErr_SetString(PyExc_ValueError, "a claim of less than 0 bytes");
        return NULL;
    }
    if (check(self) < 0)
        return NULL;
    PyTypeObject *type = self->handle.state->claim_type;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct claim *claim = (struct claim *)(void *)allocate(type, 0);
    if (claim == NULL)
        return NULL;
    struct attempt a = {.claims = true, .length = (size_t)length};
    int rc = try_once(self, &a);
    if (rc < 0 && try_patiently(self, &a, rc) < 0) {
        Py_DECREF(claim);
        return NULL;
    }
    claim->publisher = (struct publisher *)(void *)Py_NewRef((PyObject *)self);
    claim->payload = a.claimed;
    claim->length = length;
    self->claim = claim;
    return (PyObject *)claim;
}

static bool is_lent(struct handle *handle)
{
    const struct publisher *self = (struct publisher *)(void *)handle;
    return self->claim != NULL && self->claim->exports > 0;
}

/* The publisher goes on without it. NULL: it had been ended before. */
static struct publisher *end_claim(struct claim *claim)
{
    struct publisher *publisher = claim->publisher;
    claim->publisher = NULL;
    if (publisher != NULL)
        publisher->claim = NULL;
    return publisher;
}

/* The view that __enter__ gave ends with the claim; -1 and BufferError where others are in use. */
static int check_ending(struct claim *claim)
{
    if (claim->view != NULL) {
        PyObject *released = PyObject_CallMethod(claim->view, "release", NULL);
        if (released == NULL)
            return -1;
        Py_DECREF(released);
        Py_CLEAR(claim->view);
    }
    if (claim->exports > 0) {
        PyErr_Format(PyExc_BufferError, "%zd views of the claim are still in use", claim->exports);
        return -1;
    }
    if (claim->publisher == NULL) {
        PyErr_SetString(PyExc_ValueError, "this claim was committed or aborted before");
        return -1;
    }
    return handle_check(&claim->publisher->handle);
}

static PyObject *claim_commit(struct claim *self, PyObject *unused)
{
    (void)unused;
    if (check_ending(self) < 0)
        return NULL;
    struct publisher *publisher = end_claim(self);
    struct attempt a = {.sequence = 0};
    int rc = hermes_commit(publisher->publisher, &self->sequence);
    rc = rc < 0 || publisher->confirms ? complete(publisher, &a, rc) : 0;
    Py_DECREF((PyObject *)publisher);
    return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(self->sequence);
}

static PyObject *claim_abort(struct claim *self, PyObject *unused)
{
    (void)unused;
    if (check_ending(self) < 0)
        return NULL;
    struct publisher *publisher = end_claim(self);
    hermes_abort(publisher->publisher);
    Py_DECREF((PyObject *)publisher);
    Py_RETURN_NONE;
}

static PyObject *claim_enter(struct claim *self, PyObject *unused)
{
    (void)unused;
    Py_CLEAR(self->view);
    self->view = PyMemoryView_FromObject((PyObject *)self);
    return self->view == NULL ? NULL : Py_NewRef(self->view);
}

static PyObject *claim_exit(struct claim *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (self->publisher == NULL)
        Py_RETURN_NONE; /* ended inside the block */
    bool good = count > 0 && arguments[0] == Py_None;
    PyObject *result = good ? claim_commit(self, NULL) : claim_abort(self, NULL);
    if (result == NULL)
        return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static void claim_dealloc(struct claim *self)
{
    Py_CLEAR(self->view);
    struct publisher *publisher = end_claim(self);
    if (publisher != NULL && publisher->handle.open)
        hermes_abort(publisher->publisher);
    Py_XDECREF((PyObject *)publisher);
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static int claim_get_buffer(struct claim *self, Py_buffer *buffer, int flags)
{
    if (self->publisher == NULL || !self->publisher->handle.open) {
        buffer->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "this claim was committed or aborted");
        return -1;
    }
    if (PyBuffer_FillInfo(buffer, (PyObject *)self, self->payload, self->length, 0, flags) < 0)
        return -1;
    self->exports++;
    return 0;
}

static void claim_release_buffer(struct claim *self, Py_buffer *buffer)
{
    (void)buffer;
    self->exports--;
}

static PyObject *claim_get_sequence(struct claim *self, void *unused)
{
    (void)unused;
    return self->sequence == 0 ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(self->sequence);
}

/* ---- confirmations ---- */

static PyObject *publisher_wait(struct publisher *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"sequence", "confirmation", "timeout", NULL};
    PyObject *sequence = Py_None, *confirmation_name = NULL, *timeout = NULL;
    enum hermes_confirmation confirmation = HERMES_COMMITTED;
    uint64_t timeout_ns;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|OOO:wait", names, &sequence, &confirmation_name,
                                     &timeout) ||
        (confirmation_name != NULL && take_confirmation(confirmation_name, &confirmation) < 0) ||
        take_timeout(timeout, &timeout_ns) < 0)
        return NULL;
    uint64_t number = sequence == Py_None ? 0 : PyLong_AsUnsignedLongLong(sequence);
    if (PyErr_Occurred() || check(self) < 0 || await(self, number, confirmation, timeout_ns) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *publisher_confirmed(struct publisher *self, PyObject *const *arguments, Py_ssize_t count)
{
    enum hermes_confirmation confirmation = HERMES_COMMITTED;
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "there is one argument, confirmation");
        return NULL;
    }
    if ((count == 1 && take_confirmation(arguments[0], &confirmation) < 0) || handle_check(&self->handle) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(hermes_publisher_confirmed(self->publisher, confirmation));
}

static PyObject *publisher_accepted(struct publisher *self, PyObject *unused)
{
    (void)unused;
    if (handle_check(&self->handle) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(hermes_publisher_accepted(self->publisher));
}

static PyObject *get_sequence(struct publisher *self, void *unused)
{
    (void)unused;
    if (handle_check(&self->handle) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(hermes_publisher_sequence(self->publisher));
}

/* ---- opening and closing ---- */

static void close_publisher(struct handle *handle)
{
    struct publisher *self = (struct publisher *)(void *)handle;
    if (self->publisher != NULL)
        hermes_publisher_set_wait(self->publisher, handle->dropped ? 0 : self->wait_ns);
    handle->missing = hermes_disconnect(handle->client);
    if (handle->missing > 0)
        snprintf(handle->sentence, sizeof handle->sentence, "%s", hermes_last_error(NULL));
}

static void forget_publisher(struct handle *handle)
{
    hermes_forget(handle->client);
}

PyObject *publisher_new(struct handle *parent, hermes_client_t *session, PyObject *topic, uint32_t flags,
                        bool wait_durable, uint64_t wait_ns)
{
    struct state *state = parent->state;
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->publisher_type, Py_tp_alloc);
    struct publisher *self = (struct publisher *)(void *)allocate(state->publisher_type, 0);
    if (self == NULL) {
        hermes_disconnect(session);
        return NULL;
    }
    handle_init(&self->handle, state, parent, topic);
    self->handle.client = session;
    self->handle.close = close_publisher;
    self->handle.forget = forget_publisher;
    self->handle.is_lent = is_lent;
    self->wait_ns = wait_ns;
    const char *name = take_text(topic, "a topic's name");
    /* Confirmations are waited for here, where signals are let in. */
    hermes_publisher_options_t options = {.size = sizeof options, .flags = flags | HERMES_PUBLISH_NO_WAIT};
    hermes_topic_info_t info = {.size = sizeof info};
    int rc;
    WITHOUT_GIL(&self->handle, {
        rc = hermes_publisher_open(session, name, &options, &self->publisher);
        rc = rc < 0 ? rc : hermes_topic_describe(session, name, &info);
    });
    if (rc < 0) {
        raise_of(&self->handle, rc);
        Py_DECREF(self);
        return NULL;
    }
    hermes_publisher_set_wait(self->publisher, 0);
    self->confirms = wait_durable && info.durability == HERMES_DURABILITY_SYNC;
    return (PyObject *)self;
}

static void publisher_dealloc(struct publisher *self)
{
    handle_dealloc(&self->handle);
}

/* ---- what Python sees ---- */

static PyMethodDef methods[] = {
    {"send", (PyCFunction)publisher_send, METH_O,
     "send($self, payload, /)\n--\n\n"
     "Publishes one message: bytes, or anything with the buffer protocol, to 65,536 bytes. Subscribers see "
     "it at once.\n"
     "Returns its sequence: in the topic if that is exclusive, else this publisher's own count. On a 'sync' "
     "topic it\n"
     "is durable then. Raises PayloadTooLarge; NoRoom, NoSpace, Fenced: not published; Disconnected: it goes "
     "out when\n"
     "a broker is back."},
    {"send_many", (PyCFunction)publisher_send_many, METH_O,
     "send_many($self, iterable, /)\n--\n\n"
     "Publishes each item; returns how many. On a 'sync' topic it waits once, for all. Should one be "
     "refused, those\n"
     "before it are published."},
    {"send_batch", (PyCFunction)publisher_send_batch, METH_O,
     "send_batch($self, array, /)\n--\n\nPublishes each item along the first axis of a C-contiguous array; "
     "returns how many."},
    {"claim", (PyCFunction)publisher_claim, METH_O,
     "claim($self, n, /)\n--\n\n"
     "Room for n bytes in the log itself, to be written in place:\n\n"
     "    with pub.claim(8) as view:\n"
     "        struct.pack_into('<d', view, 0, price)\n\n"
     "Committed at the end of the block, aborted by an exception in it."},
    {"wait", (PyCFunction)(void *)publisher_wait, METH_VARARGS | METH_KEYWORDS,
     "wait($self, sequence=None, confirmation='committed', timeout=None)\n--\n\n"
     "Returns when the message that send() numbered so (None: all so far) is 'committed' (in the topic, in "
     "its order)\n"
     "or 'durable' (on disk). Raises Timeout; StoreError: it never will be; NotSupported: a 'memory' topic."},
    {"confirmed", (PyCFunction)(void *)publisher_confirmed, METH_FASTCALL,
     "confirmed($self, confirmation='committed', /)\n--\n\nUp to which sequence is that? Asks nobody: a few "
     "loads."},
    {"close", (PyCFunction)handle_method_close_counting, METH_NOARGS,
     "close($self, /)\n--\n\n"
     "Waits, as long as send() would, until all that was sent is in the topic, and closes it. Returns how "
     "many "
     "messages\n"
     "are not in: 0, unless there is no room or no broker; at the end of a with block they raise Timeout, "
     "which "
     "says what\n"
     "becomes of them. BufferError while a claim's views are in use; an open claim is aborted."},
    {"accepted", (PyCFunction)publisher_accepted, METH_NOARGS,
     "accepted($self, /)\n--\n\n"
     "How many messages were taken, all in all: they are in the topic, or wait to go in. What was refused or "
     "fenced does\n"
     "not count."},
    {"__enter__", handle_method_enter, METH_NOARGS, "Itself."},
    {"__exit__", (PyCFunction)(void *)handle_method_exit, METH_FASTCALL, "close()"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"closed", (getter)handle_get_closed, NULL, "Whether it was closed.", NULL},
    {"sequence", (getter)get_sequence, NULL,
     "The last sequence in the topic, as far as this publisher knows.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"topic", T_OBJECT, offsetof(struct handle, topic), READONLY, "The topic's name."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Publishes to a topic. Made by Client.publisher(). One thread at a time (InUse)."},
    {Py_tp_dealloc, (void *)publisher_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec publisher_spec = {
    "hermes_msg.Publisher", sizeof(struct publisher), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE, slots};

static PyMethodDef claim_methods[] = {
    {"commit", (PyCFunction)claim_commit, METH_NOARGS,
     "commit($self, /)\n--\n\nPublishes what was written; its sequence."},
    {"abort", (PyCFunction)claim_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nGives the room back; nothing is published."},
    {"__enter__", (PyCFunction)claim_enter, METH_NOARGS, "A writable memoryview of the room."},
    {"__exit__", (PyCFunction)(void *)claim_exit, METH_FASTCALL, "commit(), or abort() after an exception."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef claim_properties[] = {
    {"sequence", (getter)claim_get_sequence, NULL, "The message's sequence once it was committed; else None.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot claim_slots[] = {
    {Py_tp_doc,
     "Room for one message in the log. Made by Publisher.claim(); a writable buffer.\n\n"
     "Ending it while an array or another memoryview of it is alive raises BufferError, and the claim stays\n"
     "open: nobody can write to a message that is out."},
    {Py_tp_dealloc, (void *)claim_dealloc},
    {Py_tp_methods, claim_methods},
    {Py_tp_getset, claim_properties},
    {Py_bf_getbuffer, (void *)claim_get_buffer},
    {Py_bf_releasebuffer, (void *)claim_release_buffer},
    {0, NULL},
};

PyType_Spec claim_spec = {"hermes_msg.Claim", sizeof(struct claim), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                          claim_slots};
