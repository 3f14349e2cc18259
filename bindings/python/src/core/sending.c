/* Sending: one message, many, an array of them; and what became of them. */
#include "publisher.h"

/* So many go to C in one call. */
enum { STEP = 64 };

/* ---- tries ---- */

/* By the codes that hermes/publisher.h names: was the message taken, though there is an error? Where it does
 * not say, the count of what was accepted does (attempt_complete()). */
static int one_taken(struct attempt *a, int rc)
{
    a->taken += rc == HERMES_OK || rc == HERMES_EDISCONNECTED;
    return rc;
}

int attempt_once(struct publisher *self, struct attempt *a)
{
    if (a->claims)
        return hermes_claim(self->publisher, a->length, &a->claimed);
    if (a->slices == NULL && a->given_ns != 0)
        return one_taken(
            a, hermes_publish_at(self->publisher, a->given_ns, a->payload, a->length, &a->sequence));
    if (a->slices == NULL)
        return one_taken(a, hermes_publish(self->publisher, a->payload, a->length, &a->sequence));
    int64_t done = a->times_ns == NULL
                       ? hermes_publish_batch(self->publisher, a->slices, a->count)
                       : hermes_publish_batch_at(self->publisher, a->times_ns, a->slices, a->count);
    if (done < 0)
        return (int)done;
    a->times_ns = a->times_ns == NULL ? NULL : a->times_ns + done;
    a->taken += (uint64_t)done;
    a->slices += done;
    a->count -= (size_t)done;
    return a->count == 0 ? HERMES_OK : HERMES_EAGAIN;
}

/* ---- waiting ---- */

static uint64_t slice_of(uint64_t start, uint64_t timeout_ns, uint64_t *waited)
{
    *waited = monotonic_ns() - start;
    uint64_t left = *waited < timeout_ns ? timeout_ns - *waited : 0;
    return left < SLICE_NS ? left : SLICE_NS;
}

int await_inside(struct publisher *self, uint64_t sequence, enum hermes_confirmation confirmation,
                 uint64_t timeout_ns, bool *raised)
{
    uint64_t start = monotonic_ns(), waited;
    for (;;) {
        uint64_t slice = slice_of(start, timeout_ns, &waited);
        int rc;
        UNLOCKED(rc = sequence == 0
                          ? hermes_publisher_wait(self->publisher, confirmation, slice)
                          : hermes_publisher_wait_for(self->publisher, sequence, confirmation, slice));
        if (rc == 0 || (rc != HERMES_ETIMEOUT && rc != HERMES_EDISCONNECTED) || waited + slice >= timeout_ns)
            return rc;
        *raised = handle_go_on(&self->handle) < 0;
        if (*raised)
            return -1;
    }
}

/* Until there is room, or a broker; slices as far as they are not in. */
static int try_patiently(struct publisher *self, struct attempt *a, int rc, bool *raised)
{
    uint64_t start = monotonic_ns(), waited = 0;
    while (rc == HERMES_EAGAIN) {
        uint64_t slice = slice_of(start, self->wait_ns, &waited);
        UNLOCKED(hermes_publisher_set_wait(self->publisher, slice); rc = attempt_once(self, a);
                 hermes_publisher_set_wait(self->publisher, 0));
        if (rc != HERMES_EAGAIN || waited >= self->wait_ns)
            break;
        *raised = handle_go_on(&self->handle) < 0;
        if (*raised)
            return -1;
    }
    if (rc != HERMES_EDISCONNECTED)
        return rc;
    (void)slice_of(start, self->wait_ns, &waited); /* it stands with us, and goes out with the next broker */
    rc = await_inside(self, 0, HERMES_COMMITTED, waited < self->wait_ns ? self->wait_ns - waited : 0, raised);
    if (rc == 0)
        a->sequence = hermes_publisher_confirmed(self->publisher, HERMES_COMMITTED);
    return rc == HERMES_ETIMEOUT ? HERMES_EDISCONNECTED : rc;
}

/* ---- outcomes ---- */

static void set_attribute(PyObject *object, const char *name, PyObject *value)
{
    if (value == NULL || PyObject_SetAttrString(object, name, value) < 0)
        PyErr_Clear(); /* an exception without attributes of its own says less */
    Py_XDECREF(value);
}

/* While a claim is open C says no more than up to which number they are. */
static bool are_in_beside_claim(struct publisher *self)
{
    uint64_t last = self->numbered ? hermes_publisher_sequence(self->publisher)
                                   : hermes_publisher_accepted(self->publisher);
    return hermes_publisher_confirmed(self->publisher, HERMES_COMMITTED) >= last;
}

static bool are_in(struct publisher *self)
{
    switch (self->handle.stage) {
    case STAGE_IDLE:
    case STAGE_INSIDE:
        return hermes_publisher_wait(self->publisher, HERMES_COMMITTED, 0) == 0;
    case STAGE_LENT:
        return are_in_beside_claim(self);
    case STAGE_CLOSED:
        return self->handle.missing == 0;
    default:
        return false; /* nothing is asked of it */
    }
}

static const char *outcome_of(struct publisher *self, uint64_t taken)
{
    return taken == 0 ? "not published" : are_in(self) ? "published" : "pending";
}

/* For who catches an exception that is not of ours, and for who reads it. */
static void add_note(PyObject *exception, uint64_t taken, const char *outcome)
{
    PyObject *note = PyUnicode_FromFormat("hermes: %llu of the messages were taken before that (%s)",
                                          (unsigned long long)taken, outcome);
    PyObject *done = note == NULL ? NULL : PyObject_CallMethod(exception, "add_note", "O", note);
    if (done == NULL)
        PyErr_Clear();
    Py_XDECREF(done);
    Py_XDECREF(note);
}

void tell_outcome(struct publisher *self, const struct attempt *a)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    uint64_t taken = a->earlier + a->taken;
    const char *outcome = outcome_of(self, taken);
    bool is_ours = PyErr_GivenExceptionMatches(value, self->handle.state->errors[0]);
    bool has_number = taken > 0 && a->sequence != 0;
    set_attribute(value, "outcome", PyUnicode_FromString(outcome));
    set_attribute(value, "taken", PyLong_FromUnsignedLongLong(taken));
    set_attribute(value, "sequence",
                  has_number ? PyLong_FromUnsignedLongLong(a->sequence) : Py_NewRef(Py_None));
    if (is_ours && taken > 0)
        set_attribute(value, "retry", Py_NewRef(Py_False));
    else if (taken > 0)
        add_note(value, taken, outcome);
    PyErr_Restore(type, value, traceback);
}

/* What was accepted since `before` is what was taken: an error may have taken some of it back, and some of
 * what the call sent before. */
static void count_taken(struct publisher *self, struct attempt *a, uint64_t before)
{
    uint64_t after = hermes_publisher_accepted(self->publisher);
    uint64_t taken = after > before ? after - before : 0, lost = after < before ? before - after : 0;
    a->taken = taken < a->total ? taken : a->total;
    a->earlier -= lost < a->earlier ? lost : a->earlier;
}

/* A signal that came while this call waited, though that came to an end: its handler raises here, where what
 * became of the call can be told, and not in the interpreter behind it. */
static int look_at_signals(struct publisher *self, const struct attempt *a, bool *raised)
{
    *raised = PyErr_CheckSignals() < 0;
    if (*raised && a->claims && self->handle.stage == STAGE_INSIDE)
        hermes_abort(self->publisher); /* nobody gets to see it */
    return *raised ? -1 : 0;
}

int attempt_complete(struct publisher *self, struct attempt *a, int rc)
{
    bool raised = false;
    if (handle_enter(&self->handle) < 0)
        return -1;
    uint64_t before = hermes_publisher_accepted(self->publisher) - a->taken;
    if (rc < 0)
        rc = try_patiently(self, a, rc, &raised);
    if (rc == 0 && self->confirms && !a->is_step)
        rc = await_inside(self, 0, HERMES_DURABLE, self->wait_ns, &raised);
    if (rc == 0)
        rc = look_at_signals(self, a, &raised);
    if (rc < 0 && !raised)
        raise_of(&self->handle, rc);
    if (rc < 0 && self->handle.stage == STAGE_INSIDE) {
        count_taken(self, a, before);
        tell_outcome(self, a);
    }
    handle_leave(&self->handle);
    return rc < 0 ? -1 : 0;
}

/* ---- one ---- */

/* What a first try came to, if that is not all. */
__attribute__((noinline)) static PyObject *send_complete(struct publisher *self, const void *payload,
                                                         size_t length, int rc, uint64_t sequence)
{
    struct attempt a = {.payload = payload, .length = length, .total = 1, .sequence = sequence};
    (void)one_taken(&a, rc);
    return attempt_complete(self, &a, rc) < 0 ? NULL : PyLong_FromUnsignedLongLong(a.sequence);
}

static PyObject *send_bytes(struct publisher *self, const void *payload, size_t length)
{
    uint64_t sequence = 0;
    if (handle_check(&self->handle) < 0)
        return NULL;
    int rc = hermes_publish(self->publisher, payload, length, &sequence);
    if (__builtin_expect(rc < 0 || self->confirms, 0))
        return send_complete(self, payload, length, rc, sequence);
    return PyLong_FromUnsignedLongLong(sequence);
}

PyObject *publisher_send(struct publisher *self, PyObject *payload)
{
    if (Py_TYPE(payload) == &PyBytes_Type) /* the usual, and the quick one */
        return send_bytes(self, PyBytes_AsString(payload), (size_t)PyBytes_Size(payload));
    Py_buffer buffer;
    if (take_buffer(self->handle.state, payload, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *sent = send_bytes(self, buffer.buf == NULL ? "" : buffer.buf, (size_t)buffer.len);
    PyBuffer_Release(&buffer);
    return sent;
}

PyObject *publisher_send_at(struct publisher *self, PyObject *const *arguments, Py_ssize_t count)
{
    struct attempt a = {.total = 1};
    Py_buffer buffer;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "there are two arguments, timestamp and payload");
        return NULL;
    }
    if (take_integer(self->handle.state, arguments[0], "a time stamp", 1, INT64_MAX, &a.given_ns) < 0 ||
        take_buffer(self->handle.state, arguments[1], &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    a.payload = buffer.buf == NULL ? "" : buffer.buf;
    a.length = (size_t)buffer.len;
    int rc = handle_check(&self->handle);
    if (rc == 0) {
        rc = attempt_once(self, &a);
        rc = rc < 0 || self->confirms ? attempt_complete(self, &a, rc) : 0;
    }
    PyBuffer_Release(&buffer);
    return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(a.sequence);
}

/* ---- many ---- */

/* After so long the GIL is somebody else's for a moment, and signals are looked at. Longer than Python's
 * switch interval of 5 ms: a thread that waits for the GIL insists on it only once it has waited so long in
 * peace; let go more often, it is taken back each time before that thread has woken up. */
static const uint64_t breath_ns = 10000000;
/* And the clock is looked at after so much. */
enum { LOOK_MESSAGES = 1024, LOOK_BYTES = 1 << 20 };

/* A call that sends many, in steps. Between two of them others may use the publisher. */
struct sending {
    uint64_t taken;
    size_t messages, bytes; /* since the last look at the clock */
    uint64_t breathed_ns;
};

static int breathe(struct publisher *self, struct sending *s)
{
    if (s->messages < LOOK_MESSAGES && s->bytes < LOOK_BYTES)
        return 0;
    s->messages = s->bytes = 0;
    if (monotonic_ns() - s->breathed_ns < breath_ns)
        return 0;
    if (handle_enter(&self->handle) < 0)
        return -1;
    UNLOCKED();
    int rc = handle_go_on(&self->handle);
    handle_leave(&self->handle);
    s->breathed_ns = monotonic_ns();
    return rc;
}

/* What has come of the call so far, for the exception that is set. */
static int tell_so_far(struct publisher *self, const struct sending *s)
{
    tell_outcome(self, &(struct attempt){.earlier = s->taken});
    return -1;
}

/* times_ns NULL: now. */
static int send_step(struct publisher *self, struct sending *s, const hermes_slice_t *slices,
                     const uint64_t *times_ns, size_t count)
{
    struct attempt a = {.slices = slices,
                        .times_ns = times_ns,
                        .count = count,
                        .total = count,
                        .earlier = s->taken,
                        .is_step = true};
    if (count == 0)
        return 0;
    if (handle_check(&self->handle) < 0)
        return tell_so_far(self, s);
    int rc = attempt_once(self, &a);
    if (rc < 0 && attempt_complete(self, &a, rc) < 0)
        return -1;
    s->taken += count;
    s->messages += count;
    for (size_t i = 0; i < count; i++)
        s->bytes += slices[i].length;
    return breathe(self, s) < 0 ? tell_so_far(self, s) : 0;
}

/* All that was sent is in the topic where that is said of one message, and on disk. */
static int send_end(struct publisher *self, const struct sending *s)
{
    struct attempt a = {.earlier = s->taken};
    if (s->taken == 0)
        return 0;
    if (handle_check(&self->handle) < 0)
        return tell_so_far(self, s);
    bool is_out = !self->numbered || hermes_publisher_wait(self->publisher, HERMES_COMMITTED, 0) == 0;
    if (!is_out || self->confirms)
        return attempt_complete(self, &a, is_out ? 0 : HERMES_EDISCONNECTED);
    return PyErr_CheckSignals() < 0 ? tell_so_far(self, s) : 0; /* one since the last breath */
}

/* Items of an iterator while they are on their way. */
struct items {
    hermes_slice_t slices[STEP];
    PyObject *bytes[STEP]; /* kept while their slices are in use; NULL: a buffer is */
    Py_buffer buffers[STEP];
    size_t count;
};

/* false: that was the last one, or there is an exception. */
static bool items_add(struct state *state, struct items *items, PyObject *iterator)
{
    PyObject *item = PyIter_Next(iterator);
    size_t i = items->count;
    if (item == NULL)
        return false;
    items->bytes[i] = item;
    if (Py_TYPE(item) == &PyBytes_Type) {
        items->slices[i] = (hermes_slice_t){PyBytes_AsString(item), (size_t)PyBytes_Size(item)};
    } else {
        int rc = take_buffer(state, item, &items->buffers[i], PyBUF_SIMPLE);
        items->bytes[i] = NULL;
        Py_DECREF(item);
        if (rc < 0)
            return false;
        const void *data = items->buffers[i].buf;
        items->slices[i] = (hermes_slice_t){data == NULL ? "" : data, (size_t)items->buffers[i].len};
    }
    items->count++;
    return true;
}

static void items_release(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        if (items->bytes[i] != NULL)
            Py_DECREF(items->bytes[i]);
        else
            PyBuffer_Release(&items->buffers[i]);
    items->count = 0;
}

/* The iterator's exception, or that of an item that cannot be sent, is the call's, whatever became of what
 * came before it: that is its context. */
static void prefer(PyObject *type, PyObject *value, PyObject *traceback)
{
    PyObject *other_type, *other, *other_traceback;
    PyErr_Fetch(&other_type, &other, &other_traceback);
    PyErr_NormalizeException(&other_type, &other, &other_traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (other != NULL && other != value)
        PyException_SetContext(value, Py_NewRef(other));
    Py_XDECREF(other_type);
    Py_XDECREF(other);
    Py_XDECREF(other_traceback);
    PyErr_Restore(type, value, traceback);
}

PyObject *publisher_send_many(struct publisher *self, PyObject *iterable)
{
    PyObject *iterator = PyObject_GetIter(iterable), *type = NULL, *value = NULL, *traceback = NULL;
    if (iterator == NULL)
        return NULL;
    struct sending s = {.breathed_ns = monotonic_ns()};
    struct items items;
    bool goes_on = true;
    int rc = 0;
    items.count = 0;
    while (rc == 0 && goes_on) {
        while (items.count < STEP && (goes_on = items_add(self->handle.state, &items, iterator)))
            ;
        if (PyErr_Occurred())
            PyErr_Fetch(&type, &value, &traceback);
        rc = send_step(self, &s, items.slices, NULL, items.count);
        items_release(&items);
    }
    Py_DECREF(iterator);
    if (rc == 0)
        rc = send_end(self, &s);
    if (type == NULL)
        return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(s.taken);
    prefer(type, value, traceback);
    if (rc == 0)
        (void)tell_so_far(self, &s);
    return NULL;
}

/* times: an array of as many integers of 64 bits, or NULL. */
static PyObject *send_rows(struct publisher *self, const Py_buffer *times, PyObject *array)
{
    Py_buffer buffer;
    if (take_buffer(self->handle.state, array, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    struct sending s = {.breathed_ns = monotonic_ns()};
    int rc = buffer.ndim > 0 ? 0 : -1;
    if (rc < 0)
        refuse_argument(self->handle.state, "an array has at least one dimension; send() sends one message");
    Py_ssize_t rows = buffer.ndim > 0 ? buffer.shape[0] : 0;
    if (rc == 0 && times != NULL && times->len / times->itemsize != rows)
        rc = refuse_argument(self->handle.state, "there is one time stamp for each row");
    size_t length = rows > 0 ? (size_t)(buffer.len / rows) : 0;
    hermes_slice_t slices[STEP];
    for (Py_ssize_t done = 0; rc == 0 && done < rows;) {
        const uint64_t *from = times == NULL ? NULL : (const uint64_t *)times->buf + done;
        size_t count = 0;
        for (; count < STEP && done < rows; count++, done++)
            slices[count] = (hermes_slice_t){(const char *)buffer.buf + (size_t)done * length, length};
        rc = send_step(self, &s, slices, from, count);
    }
    PyBuffer_Release(&buffer);
    if (rc == 0)
        rc = rows > 0 ? send_end(self, &s) : handle_check(&self->handle);
    return rc < 0 ? NULL : PyLong_FromSsize_t(rows);
}

PyObject *publisher_send_batch(struct publisher *self, PyObject *array)
{
    return send_rows(self, NULL, array);
}

PyObject *publisher_send_batch_at(struct publisher *self, PyObject *const *arguments, Py_ssize_t count)
{
    Py_buffer times;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "there are two arguments, timestamps and an array");
        return NULL;
    }
    if (take_buffer(self->handle.state, arguments[0], &times, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *sent = NULL;
    if (times.itemsize == 8 && times.format != NULL && strchr("qQlL", times.format[0]) != NULL &&
        (uintptr_t)times.buf % 8 == 0)
        sent = send_rows(self, &times, arguments[1]);
    else
        PyErr_SetString(PyExc_TypeError, "time stamps are an array of integers of 64 bits");
    PyBuffer_Release(&times);
    return sent;
}
