/* Publisher: opened and closed, and what is confirmed. */
#include "publisher.h"

#include <stdio.h>

/* ---- confirmations ---- */

static PyObject *publisher_wait(struct publisher *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"sequence", "confirmation", "timeout", NULL};
    PyObject *sequence = Py_None, *confirmation_name = NULL, *timeout = Py_None;
    enum hermes_confirmation confirmation = HERMES_COMMITTED;
    struct state *state = self->handle.state;
    uint64_t timeout_ns = HERMES_FOREVER, number = 0;
    bool raised = false;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|OOO:wait", names, &sequence, &confirmation_name,
                                     &timeout) ||
        take_confirmation(state, confirmation_name, &confirmation) < 0 ||
        take_timeout(state, timeout, &timeout_ns) < 0 ||
        take_integer(state, sequence == Py_None ? NULL : sequence, "a sequence", 1, UINT64_MAX, &number) <
            0 ||
        handle_enter(&self->handle) < 0)
        return NULL;
    int rc = await_inside(self, number, confirmation, timeout_ns, &raised);
    return handle_done(&self->handle, rc, raised);
}

static PyObject *publisher_confirmed(struct publisher *self, PyObject *const *arguments, Py_ssize_t count)
{
    enum hermes_confirmation confirmation = HERMES_COMMITTED;
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "there is one argument, confirmation");
        return NULL;
    }
    if (take_confirmation(self->handle.state, count == 1 ? arguments[0] : NULL, &confirmation) < 0 ||
        handle_check_lent(&self->handle) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(hermes_publisher_confirmed(self->publisher, confirmation));
}

static PyObject *publisher_accepted(struct publisher *self, PyObject *unused)
{
    (void)unused;
    if (handle_check_lent(&self->handle) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(hermes_publisher_accepted(self->publisher));
}

static PyObject *get_sequence(struct publisher *self, void *unused)
{
    (void)unused;
    if (handle_check_lent(&self->handle) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(hermes_publisher_sequence(self->publisher));
}

/* ---- opening and closing ---- */

/*
 * Until all is in, in slices: a signal may end it, and the publisher is open as before. Where that leaves
 * nothing of the time, the broker's answer is not waited for.
 */
static int settle_publisher(struct handle *handle)
{
    struct publisher *self = (struct publisher *)(void *)handle;
    uint64_t start = monotonic_ns(), waited = 0;
    int rc = self->publisher == NULL ? HERMES_OK : HERMES_ETIMEOUT; /* it may not have been opened */
    while (handle->stage == STAGE_CLOSING && /* a handler may fork, and this be the child */
           waited < self->wait_ns && (rc == HERMES_ETIMEOUT || rc == HERMES_EDISCONNECTED)) {
        uint64_t left = self->wait_ns - waited, slice = left < SLICE_NS ? left : SLICE_NS;
        UNLOCKED(rc = hermes_publisher_wait(self->publisher, HERMES_COMMITTED, slice));
        if (PyErr_CheckSignals() < 0)
            return -1;
        waited = monotonic_ns() - start;
    }
    self->left_ns = waited < self->wait_ns ? self->wait_ns - waited : 0;
    return 0;
}

static void close_publisher(struct handle *handle)
{
    struct publisher *self = (struct publisher *)(void *)handle;
    if (self->publisher != NULL)
        hermes_publisher_set_wait(self->publisher, handle->dropped ? 0 : self->left_ns);
    handle->missing = hermes_disconnect(handle->client);
    if (handle->missing > 0)
        snprintf(handle->sentence, sizeof handle->sentence, "%s", hermes_last_error(NULL));
}

static void forget_publisher(struct handle *handle)
{
    hermes_forget(handle->client);
}

static const struct handle_kind publisher_kind = {.settle = settle_publisher,
                                                  .close = close_publisher,
                                                  .forget = forget_publisher,
                                                  .is_exported = claim_is_exported,
                                                  .shield = claim_shield,
                                                  .take_back = claim_take_back,
                                                  .refuse_lent = claim_refuse_lent};

PyObject *publisher_new(struct handle *parent, hermes_client_t *session, PyObject *topic, uint32_t flags,
                        bool wait_durable, uint64_t wait_ns)
{
    struct state *state = parent->state;
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->publisher_type, Py_tp_alloc);
    struct publisher *self = (struct publisher *)(void *)allocate(state->publisher_type, 0);
    if (self == NULL || session_is_wanted(parent, session) < 0) {
        if (self == NULL)
            hermes_disconnect(session);
        Py_XDECREF((PyObject *)self);
        return NULL;
    }
    handle_init(&self->handle, &publisher_kind, state, parent, topic);
    self->handle.client = session;
    self->wait_ns = wait_ns;
    const char *name = PyUnicode_AsUTF8AndSize(topic, NULL);
    /* Confirmations are waited for here, where signals are let in. */
    hermes_publisher_options_t options = {.size = sizeof options, .flags = flags | HERMES_PUBLISH_NO_WAIT};
    hermes_topic_info_t info = {.size = sizeof info};
    int rc;
    bool ended;
    (void)handle_enter(&self->handle); /* it is new */
    ASKING(state, &self->handle, ended, rc = hermes_publisher_open(session, name, &options, &self->publisher);
           rc = rc < 0 ? rc : hermes_topic_describe(session, name, &info));
    if (rc == 0)
        hermes_publisher_set_wait(self->publisher, 0);
    else if (!ended)
        raise_of(&self->handle, rc);
    self->numbered = info.shared == 0;
    self->confirms = wait_durable && info.durability == HERMES_DURABILITY_SYNC;
    handle_leave(&self->handle);
    if (rc == 0 && !ended && handle_check(&self->handle) == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void publisher_dealloc(struct publisher *self)
{
    handle_dealloc(&self->handle);
}

static PyObject *publisher_repr(struct publisher *self)
{
    bool known = self->handle.stage == STAGE_IDLE || self->handle.stage == STAGE_LENT;
    return handle_repr(&self->handle, "Publisher", known ? "sequence" : NULL,
                       known ? hermes_publisher_sequence(self->publisher) : 0);
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
     "a broker is back, and must not be sent again. The error's outcome, taken and retry say so."},
    {"send_at", (PyCFunction)(void *)publisher_send_at, METH_FASTCALL,
     "send_at($self, timestamp, payload, /)\n--\n\n"
     "send() with a time stamp of one's own, in nanoseconds since 1970, 1 to 2**63 - 1: the exchange's, or "
     "the network\n"
     "card's. Stamps need not go forward."},
    {"send_many", (PyCFunction)publisher_send_many, METH_O,
     "send_many($self, iterable, /)\n--\n\n"
     "Publishes each item; returns how many. On a 'sync' topic it waits once, for all. Should one be "
     "refused, or the\n"
     "iterator fail, those before it are published, and taken of the exception is how many."},
    {"send_batch", (PyCFunction)publisher_send_batch, METH_O,
     "send_batch($self, array, /)\n--\n\nPublishes each item along the first axis of a C-contiguous array; "
     "returns how many."},
    {"send_batch_at", (PyCFunction)(void *)publisher_send_batch_at, METH_FASTCALL,
     "send_batch_at($self, timestamps, array, /)\n--\n\n"
     "send_batch(), row i with the time stamp timestamps[i], as of send_at(): an array of 64-bit integers."},
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
    {Py_tp_traverse, (void *)handle_traverse},
    {Py_tp_clear, (void *)handle_clear},
    {Py_tp_repr, (void *)publisher_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec publisher_spec = {"hermes_msg.Publisher", sizeof(struct publisher), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                                  Py_TPFLAGS_IMMUTABLETYPE,
                              slots};
