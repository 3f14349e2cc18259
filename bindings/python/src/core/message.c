/* Message: what a subscriber receives, copied out; and the codec. */
#include "reader.h"

#include <string.h>

struct message {
    PyObject_VAR_HEAD struct state *state;
    uint64_t position, sequence, timestamp;
    uint16_t flags, claim;
    char payload[];
};

PyObject *message_new(struct state *state, const hermes_message_t *from)
{
    struct message *message =
        (struct message *)(void *)state->message_alloc(state->message_type, (Py_ssize_t)from->length);
    if (message == NULL)
        return NULL;
    message->state = state;
    message->position = from->position;
    message->sequence = from->sequence;
    message->timestamp = from->timestamp;
    message->flags = from->flags;
    message->claim = from->claim;
    memcpy(message->payload, from->payload, from->length);
    return (PyObject *)message;
}

int message_take(struct state *state, PyObject *object, hermes_message_t *taken)
{
    *taken = (hermes_message_t){.payload = NULL};
    if (PyObject_TypeCheck(object, state->message_type)) {
        const struct message *message = (const struct message *)object;
        taken->position = message->position;
        taken->sequence = message->sequence;
        taken->length = (uint32_t)Py_SIZE(object);
        taken->claim = message->claim;
        return 0;
    }
    if (PyObject_TypeCheck(object, state->view_type)) {
        *taken = ((const struct view *)object)->message;
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "a Message or View, not %R", (PyObject *)Py_TYPE(object));
    return -1;
}

static void message_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_Free(self);
    Py_DECREF(type);
}

static Py_ssize_t message_length(PyObject *self)
{
    return Py_SIZE(self);
}

/* A message without payload is one, too: "if message:" asks whether there is one. */
static int message_is_true(PyObject *self)
{
    (void)self;
    return 1;
}

static int message_get_buffer(PyObject *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, self, ((struct message *)self)->payload, Py_SIZE(self), 1, flags);
}

static PyObject *get_payload(PyObject *self, void *unused)
{
    (void)unused;
    return PyBytes_FromStringAndSize(((struct message *)self)->payload, Py_SIZE(self));
}

static PyObject *get_time(PyObject *self, void *unused)
{
    (void)unused;
    struct message *message = (struct message *)self;
    return PyObject_CallMethod(message->state->support, "to_datetime", "K",
                               (unsigned long long)message->timestamp);
}

static PyObject *get_has_checksum(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong((((struct message *)self)->flags & HERMES_FLAG_CRC) != 0);
}

static PyObject *message_repr(PyObject *self)
{
    struct message *message = (struct message *)self;
    Py_ssize_t shown = Py_SIZE(self) < 32 ? Py_SIZE(self) : 32;
    PyObject *payload = PyBytes_FromStringAndSize(message->payload, shown);
    PyObject *text = payload == NULL
                         ? NULL
                         : PyUnicode_FromFormat("Message(sequence=%llu, timestamp=%llu, payload=%R%s)",
                                                (unsigned long long)message->sequence,
                                                (unsigned long long)message->timestamp, payload,
                                                shown < Py_SIZE(self) ? "..." : "");
    Py_XDECREF(payload);
    return text;
}

static PyMemberDef members[] = {
    {"position", T_ULONGLONG, offsetof(struct message, position), READONLY,
     "Byte offset in the topic's log."},
    {"sequence", T_ULONGLONG, offsetof(struct message, sequence), READONLY, "1, 2, 3 ... in the topic."},
    {"timestamp", T_ULONGLONG, offsetof(struct message, timestamp), READONLY,
     "When it was published, in nanoseconds since 1970-01-01 UTC."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"payload", get_payload, NULL, "The payload, as bytes.", NULL},
    {"time", get_time, NULL, "timestamp as an aware datetime (UTC), cut to microseconds.", NULL},
    {"has_checksum", get_has_checksum, NULL, "Whether its publisher sent a checksum, which was then right.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "A message, and a buffer with its payload: bytes(message), memoryview(message), len(message).\n\n"
     "It is a copy of its own: keep it as long as you like, in any thread."},
    {Py_tp_dealloc, (void *)message_dealloc},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_repr, (void *)message_repr},
    {Py_nb_bool, (void *)message_is_true},
    {Py_sq_length, (void *)message_length},
    {Py_bf_getbuffer, (void *)message_get_buffer},
    {0, NULL},
};

PyType_Spec message_spec = {"hermes_msg.Message", offsetof(struct message, payload), 1,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                            slots};

/* ---- codec ---- */

PyObject *message_encode(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"payload", "sequence", "timestamp", "checksum", NULL};
    Py_buffer payload;
    PyObject *sequence_object = NULL, *timestamp_object = NULL;
    int checksum = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "y*|$OOp:encode", names, &payload, &sequence_object,
                                     &timestamp_object, &checksum))
        return NULL;
    uint64_t sequence = 1, timestamp = 0;
    if (sequence_object != NULL)
        sequence = PyLong_AsUnsignedLongLong(sequence_object);
    if (timestamp_object != NULL && !PyErr_Occurred())
        timestamp = PyLong_AsUnsignedLongLong(timestamp_object);
    PyObject *bytes = NULL;
    hermes_header_t header;
    size_t length = (size_t)payload.len;
    if (!PyErr_Occurred()) {
        int rc = checksum ? hermes_message_encode(&header, payload.buf, length, sequence, timestamp)
                          : hermes_message_encode_plain(&header, length, sequence, timestamp);
        if (rc < 0)
            raise_error(module_state(module), rc, NULL);
        else
            bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(sizeof header + length));
    }
    if (bytes != NULL) {
        char *to = PyBytes_AsString(bytes);
        memcpy(to, &header, sizeof header);
        if (length > 0)
            memcpy(to + sizeof header, payload.buf, length);
    }
    PyBuffer_Release(&payload);
    return bytes;
}

PyObject *message_decode(PyObject *module, PyObject *object)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(object, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    struct state *state = module_state(module);
    PyObject *message = NULL;
    hermes_header_t header;
    const char *payload = (const char *)buffer.buf + sizeof header;
    int rc = HERMES_EMALFORMED;
    if (buffer.len >= (Py_ssize_t)sizeof header) {
        memcpy(&header, buffer.buf, sizeof header); /* which need not be aligned */
        rc = hermes_message_verify(&header, payload, (size_t)buffer.len);
        if (rc == 0 && header.type != HERMES_TYPE_DATA)
            rc = HERMES_EMALFORMED;
    }
    if (rc == 0) {
        hermes_message_t from = {.sequence = header.sequence,
                                 .timestamp = header.timestamp,
                                 .payload = payload,
                                 .length = header.length,
                                 .flags = header.flags};
        message = message_new(state, &from);
    } else {
        raise_error(state, rc, NULL);
    }
    PyBuffer_Release(&buffer);
    return message;
}
