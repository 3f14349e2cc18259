/* Message: what a subscriber receives, copied out; and the codec. */
#include "reader.h"

#include <string.h>

struct message {
    PyObject_VAR_HEAD uint64_t position, sequence, timestamp;
    uint64_t number; /* of its ticket */
    uint32_t origin;
    uint16_t flags, claim;
    char payload[];
};
/* So that arrays of any type over it are aligned: objects are, to 16 bytes. */
_Static_assert(offsetof(struct message, payload) % 16 == 0, "alignment of payloads");

PyObject *message_new(struct state *state, const hermes_message_t *from, struct ticket ticket)
{
    /* By hand: what an allocator of types zeroes is written here anyway. It cannot run the collector. */
    struct message *message = PyObject_Malloc(sizeof *message + from->length);
    if (message == NULL)
        return PyErr_NoMemory();
    PyObject_InitVar((PyVarObject *)message, state->message_type, (Py_ssize_t)from->length);
    message->position = from->position;
    message->sequence = from->sequence;
    message->timestamp = from->timestamp;
    message->flags = from->flags;
    message->claim = from->claim;
    message->number = ticket.number;
    message->origin = ticket.origin;
    memcpy(message->payload, from->payload, from->length);
    return (PyObject *)message;
}

int message_take(struct state *state, PyObject *object, hermes_message_t *taken, struct ticket *ticket)
{
    *taken = (hermes_message_t){.payload = NULL};
    if (PyObject_TypeCheck(object, state->message_type)) {
        const struct message *message = (const struct message *)object;
        taken->position = message->position;
        taken->sequence = message->sequence;
        taken->length = (uint32_t)Py_SIZE(object);
        taken->claim = message->claim;
        *ticket = (struct ticket){message->number, message->origin};
        return 0;
    }
    if (PyObject_TypeCheck(object, state->view_type)) {
        *taken = ((const struct view *)object)->message;
        *ticket = ((const struct view *)object)->ticket;
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
    struct state *state = PyType_GetModuleState(Py_TYPE(self));
    return PyObject_CallMethod(state->support, "to_datetime", "K",
                               (unsigned long long)((struct message *)self)->timestamp);
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

/* ---- as a value ---- */

static PyObject *message_compare(PyObject *self, PyObject *other, int operation)
{
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(self) != Py_TYPE(other))
        return Py_NewRef(Py_NotImplemented);
    const struct message *a = (struct message *)self, *b = (struct message *)other;
    bool equal = a->sequence == b->sequence && a->position == b->position && a->timestamp == b->timestamp &&
                 Py_SIZE(self) == Py_SIZE(other) &&
                 memcmp(a->payload, b->payload, (size_t)Py_SIZE(self)) == 0;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t message_hash(PyObject *self)
{
    const struct message *message = (struct message *)self;
    uint64_t hash = (message->sequence * 0x9e3779b97f4a7c15u) ^ message->timestamp;
    return (Py_hash_t)hash == -1 ? -2 : (Py_hash_t)hash;
}

/* What was pickled is nobody's to acknowledge. */
static PyObject *message_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    const struct message *message = (struct message *)self;
    struct state *state = PyType_GetModuleState(Py_TYPE(self));
    PyObject *restore = PyObject_GetAttrString(state->support, "restore_message");
    PyObject *payload = get_payload(self, NULL), *made = NULL;
    if (restore != NULL && payload != NULL)
        made = Py_BuildValue("O(OKKKH)", restore, payload, (unsigned long long)message->position,
                             (unsigned long long)message->sequence, (unsigned long long)message->timestamp,
                             message->flags);
    Py_XDECREF(restore);
    Py_XDECREF(payload);
    return made;
}

PyObject *message_restore(PyObject *module, PyObject *arguments)
{
    Py_buffer payload;
    unsigned long long position, sequence, timestamp;
    unsigned flags;
    if (!PyArg_ParseTuple(arguments, "y*KKKI:_restore_message", &payload, &position, &sequence, &timestamp,
                          &flags))
        return NULL;
    PyObject *message = NULL;
    hermes_message_t from = {.position = position,
                             .sequence = sequence,
                             .timestamp = timestamp,
                             .payload = payload.buf,
                             .length = (uint32_t)payload.len,
                             .flags = (uint16_t)(flags & HERMES_FLAG_CRC)};
    if (payload.len > HERMES_PAYLOAD_MAX)
        raise_error(module_state(module), HERMES_ETOOLARGE, NULL);
    else
        message = message_new(module_state(module), &from, (struct ticket){0, 0});
    PyBuffer_Release(&payload);
    return message;
}

static PyObject *message_decode_text(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"encoding", "errors", NULL};
    const char *encoding = "utf-8", *errors = "strict";
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|ss:decode", names, &encoding, &errors))
        return NULL;
    return PyUnicode_Decode(((struct message *)self)->payload, Py_SIZE(self), encoding, errors);
}

static PyMethodDef methods[] = {
    {"decode", (PyCFunction)(void *)message_decode_text, METH_VARARGS | METH_KEYWORDS,
     "decode($self, encoding='utf-8', errors='strict')\n--\n\nThe payload as a str."},
    {"__reduce__", message_reduce, METH_NOARGS, "For pickle; a copy cannot be acknowledged."},
    {NULL, NULL, 0, NULL},
};

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
     "It is a copy of its own: keep it as long as you like, in any thread. Equal to one of the same "
     "sequence, "
     "position,\ntime stamp and payload."},
    {Py_tp_dealloc, (void *)message_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {Py_tp_repr, (void *)message_repr},
    {Py_tp_richcompare, (void *)message_compare},
    {Py_tp_hash, (void *)message_hash},
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
    struct state *state = module_state(module);
    PyObject *object, *sequence_object = NULL, *timestamp_object = NULL;
    uint64_t sequence = 1, timestamp = 0;
    int checksum = 1;
    Py_buffer payload;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$OOp:encode", names, &object, &sequence_object,
                                     &timestamp_object, &checksum) ||
        take_integer(state, sequence_object, "a sequence", 0, UINT64_MAX, &sequence) < 0 ||
        take_integer(state, timestamp_object, "a time stamp", 0, UINT64_MAX, &timestamp) < 0 ||
        take_buffer(state, object, &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *bytes = NULL;
    hermes_header_t header;
    size_t length = (size_t)payload.len;
    if (length <= HERMES_PAYLOAD_MAX)
        bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(sizeof header + length));
    else
        raise_error(state, HERMES_ETOOLARGE, NULL);
    if (bytes != NULL) {
        char *to = PyBytes_AsString(bytes), *copy = to + sizeof header;
        if (length > 0)
            memcpy(copy, payload.buf, length);
        if (checksum) /* of the copy: others may write to the original */
            (void)hermes_message_encode(&header, copy, length, sequence, timestamp);
        else
            (void)hermes_message_encode_plain(&header, length, sequence, timestamp);
        memcpy(to, &header, sizeof header);
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
        message = message_new(state, &from, (struct ticket){0, 0});
    } else {
        raise_error(state, rc, NULL);
    }
    PyBuffer_Release(&buffer);
    return message;
}
