/* Many messages in one call: lists, and arrays. */
#include "reader.h"

#include <string.h>

PyObject *reader_poll_many(struct reader *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"n", "timeout", NULL};
    Py_ssize_t most;
    PyObject *timeout = NULL;
    uint64_t timeout_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "n|O:poll_many", names, &most, &timeout) ||
        (timeout != NULL && take_timeout(timeout, &timeout_ns) < 0) || reader_check(self) < 0)
        return NULL;
    if (most < 0) {
        PyErr_SetString(PyExc_ValueError, "n is 0 or more");
        return NULL;
    }
    PyObject *list = PyList_New(0);
    hermes_message_t message;
    int rc = list == NULL || most == 0 ? 0 : reader_take(self, &message, timeout_ns, NULL);
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
        rc = reader_take_more(self, &message);
        if (rc < 0) {
            self->pending = rc;
            return list;
        }
        if (rc > 0 && self->held.wanted && !held_note(self, &message)) {
            PyErr_NoMemory();
            rc = -1;
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
            b->reader->has_stash = true; /* it is had by whoever asks for it as it is */
            b->reader->stash = b->message;
            if (b->done == 0) /* it was noted when it was taken */
                held_drop(b->reader);
            return;
        }
        if (b->done > 0 && b->reader->held.wanted && !held_note(b->reader, &b->message)) {
            b->reader->has_stash = true;
            b->reader->stash = b->message;
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
    } else if (reader_check(self) == 0) { /* the arrays may have run code of their own */
        batch.headers = headers != Py_None ? headers_buffer.buf : NULL;
        int rc = batch.most == 0 ? 0 : reader_take(self, &batch.message, timeout_ns, NULL);
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

PyObject *reader_recv_batch(struct reader *self, PyObject *arguments, PyObject *keywords)
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
