/* Many messages in one call: lists, and arrays. */
#include "reader.h"

#include <string.h>

/* The list has as many as could be had; what came instead of one more is told by the next call. */
static PyObject *poll_more(struct reader *self, PyObject *list, hermes_message_t *message, size_t most)
{
    for (size_t count = 1;; count++) {
        PyObject *item = reader_hand_out(self, message);
        int failed = item == NULL ? -1 : PyList_Append(list, item);
        if (item != NULL && failed < 0)
            reader_take_back(self, message);
        Py_XDECREF(item);
        if (failed < 0) {
            if (count > 1)
                PyErr_Clear(); /* those that are in the list are not lost */
            return count > 1 ? list : NULL;
        }
        int rc = count == most ? 0 : reader_take_more(self, message);
        if (rc > 0 && self->held.wanted && !held_note(self, message)) {
            reader_keep(self, message);
            rc = 0;
        }
        if (rc <= 0) {
            self->pending = rc;
            return list;
        }
    }
}

PyObject *reader_poll_many(struct reader *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"n", "timeout", NULL};
    PyObject *n, *timeout = NULL;
    struct state *state = self->handle.state;
    uint64_t most = 0, timeout_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:poll_many", names, &n, &timeout) ||
        take_integer(state, n, "n", 0, PY_SSIZE_T_MAX, &most) < 0 ||
        take_timeout(state, timeout, &timeout_ns) < 0)
        return NULL;
    PyObject *list = PyList_New(0); /* before: it may run the collector, and that anything */
    hermes_message_t message;
    if (list == NULL || handle_check(&self->handle) < 0) {
        Py_XDECREF(list);
        return NULL;
    }
    int rc = most == 0 ? 0 : reader_take(self, &message, timeout_ns, NULL);
    if (rc == 0)
        return list;
    PyObject *filled = rc < 0 ? NULL : poll_more(self, list, &message, (size_t)most);
    if (filled == NULL)
        Py_DECREF(list);
    return filled;
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

/* Without the GIL: from the first message on, which is there and noted, up to most. What does not fit is had
 * by whoever asks for it as it is. */
static void fill(struct batch *b)
{
    for (;;) {
        if (b->message.length != b->item_bytes) {
            b->mismatch = true;
            held_drop(b->reader);
            reader_keep(b->reader, &b->message);
            return;
        }
        memcpy(b->items + b->done * b->item_bytes, b->message.payload, b->item_bytes);
        if (b->headers != NULL) {
            b->headers[2 * b->done] = b->message.sequence;
            b->headers[2 * b->done + 1] = b->message.timestamp;
        }
        if (++b->done == b->most)
            return;
        int rc = reader_take_more(b->reader, &b->message);
        if (rc <= 0) {
            b->reader->pending = rc;
            return;
        }
        if (b->reader->held.wanted && !held_note(b->reader, &b->message)) {
            reader_keep(b->reader, &b->message);
            return;
        }
    }
}

/* Rows of a writable array, all of one size. */
static int rows_of(struct state *state, PyObject *array, Py_buffer *buffer, size_t *rows, size_t *row_bytes)
{
    if (take_buffer(state, array, buffer, PyBUF_WRITABLE) < 0)
        return -1;
    *rows = buffer->ndim > 0 ? (size_t)buffer->shape[0] : 0;
    *row_bytes = *rows > 0 ? (size_t)buffer->len / *rows : 0;
    if (buffer->ndim > 0)
        return 0;
    PyBuffer_Release(buffer);
    return refuse_argument(state, "an array has at least one dimension");
}

/* numpy.empty(n, dtype) */
static PyObject *empty_array(Py_ssize_t n, PyObject *dtype)
{
    PyObject *numpy = PyImport_ImportModule("numpy");
    PyObject *array = numpy == NULL ? NULL : PyObject_CallMethod(numpy, "empty", "nO", n, dtype);
    Py_XDECREF(numpy);
    return array;
}

/* Can its first items be had as a part of it? Else they would be taken, and never seen. */
static int check_slices(PyObject *out)
{
    PyObject *none = PySequence_GetSlice(out, 0, 0);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

/* Up to 64 under the GIL, which costs less than to let go of it. */
static int receive(struct batch *batch, uint64_t timeout_ns)
{
    struct reader *self = batch->reader;
    int rc = batch->most == 0 ? 0 : reader_take(self, &batch->message, timeout_ns, NULL);
    if (rc <= 0)
        return rc;
    if (batch->most <= 64) {
        fill(batch);
    } else {
        (void)handle_enter(&self->handle); /* it was left just now */
        UNLOCKED(fill(batch));
        handle_leave(&self->handle);
    }
    if (batch->done > 0 || !batch->mismatch)
        return 0;
    PyErr_Format(self->handle.state->error_layout, "message %llu has %u bytes, the array's items %zu",
                 (unsigned long long)batch->message.sequence, batch->message.length, batch->item_bytes);
    return -1;
}

static PyObject *receive_into(struct reader *self, PyObject *out, PyObject *headers, Py_ssize_t n,
                              uint64_t timeout_ns)
{
    struct batch batch = {.reader = self};
    Py_buffer items, headers_buffer;
    size_t rows, header_rows = 0, header_bytes = 0;
    if (rows_of(self->handle.state, out, &items, &rows, &batch.item_bytes) < 0)
        return NULL;
    if (check_slices(out) < 0) {
        PyBuffer_Release(&items);
        return NULL;
    }
    if (headers != Py_None &&
        rows_of(self->handle.state, headers, &headers_buffer, &header_rows, &header_bytes) < 0) {
        PyBuffer_Release(&items);
        return NULL;
    }
    batch.items = items.buf;
    batch.most = n < 0 || (size_t)n > rows ? rows : (size_t)n;
    batch.headers = headers != Py_None ? headers_buffer.buf : NULL;
    int rc = -1;
    if (headers != Py_None && (header_rows < batch.most || (batch.most > 0 && header_bytes != 16)))
        refuse_argument(self->handle.state,
                        "headers needs an item of 16 bytes for each message: dtype=hermes.HEADERS");
    else if (handle_check(&self->handle) == 0)
        rc = receive(&batch, timeout_ns);
    if (headers != Py_None)
        PyBuffer_Release(&headers_buffer);
    PyBuffer_Release(&items);
    return rc < 0 ? NULL : PySequence_GetSlice(out, 0, (Py_ssize_t)batch.done);
}

PyObject *reader_recv_batch(struct reader *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"n", "dtype", "out", "headers", "timeout", NULL};
    PyObject *n_object = Py_None, *dtype = Py_None, *out = Py_None, *headers = Py_None, *timeout = NULL;
    struct state *state = self->handle.state;
    uint64_t timeout_ns = 0, number = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|OO$OOO:recv_batch", names, &n_object, &dtype,
                                     &out, &headers, &timeout) ||
        take_timeout(state, timeout, &timeout_ns) < 0 ||
        take_integer(state, n_object == Py_None ? NULL : n_object, "n", 0, PY_SSIZE_T_MAX, &number) < 0)
        return NULL;
    if ((out == Py_None) == (dtype == Py_None)) {
        PyErr_SetString(PyExc_TypeError,
                        "recv_batch(n, dtype) makes an array, recv_batch(n, out=array) fills one");
        return NULL;
    }
    Py_ssize_t n = n_object == Py_None ? -1 : (Py_ssize_t)number;
    if (n < 0 && out == Py_None) {
        refuse_argument(state, "n may be left out only where out is given");
        return NULL;
    }
    PyObject *array = out == Py_None ? empty_array(n, dtype) : Py_NewRef(out);
    PyObject *result = array == NULL ? NULL : receive_into(self, array, headers, n, timeout_ns);
    Py_XDECREF(array);
    return result;
}
