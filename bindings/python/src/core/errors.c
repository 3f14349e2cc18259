/* The exceptions: one for each HERMES_E..., all below hermes.Error; where Python has a word for it, below
 * that too. */
#include "module.h"

#include <stdio.h>
#include <string.h>

struct kind {
    int code;
    const char *name;
    PyObject **also; /* NULL: Error alone */
    int retry;       /* worth trying again as it is, later */
    const char *documentation;
};

/* Of an error that is not about publishing: see tell_outcome(). */
static int set_unpublished(PyObject *attributes)
{
    PyObject *zero = PyLong_FromLong(0);
    int rc = zero == NULL ? -1 : PyDict_SetItemString(attributes, "taken", zero);
    Py_XDECREF(zero);
    return rc < 0 || PyDict_SetItemString(attributes, "outcome", Py_None) < 0 ||
                   PyDict_SetItemString(attributes, "sequence", Py_None) < 0
               ? -1
               : 0;
}

static int add(PyObject *module, const char *name, PyObject *bases, int code, int retry,
               const char *documentation, PyObject **out)
{
    char full[64];
    snprintf(full, sizeof full, "hermes_msg.%s", name);
    PyObject *attributes = Py_BuildValue("{s:i,s:O,s:s}", "code", code, "retry", retry ? Py_True : Py_False,
                                         "name", hermes_error_name(code));
    if (bases == NULL && attributes != NULL && set_unpublished(attributes) < 0)
        Py_CLEAR(attributes);
    *out = attributes == NULL ? NULL : PyErr_NewExceptionWithDoc(full, documentation, bases, attributes);
    Py_XDECREF(attributes);
    return *out == NULL ? -1 : PyModule_AddObjectRef(module, name, *out);
}

static int add_below(PyObject *module, struct state *state, const struct kind *kind, PyObject **out)
{
    PyObject *bases = kind->also == NULL ? PyTuple_Pack(1, state->errors[0])
                                         : PyTuple_Pack(2, state->errors[0], *kind->also);
    int rc = bases == NULL
                 ? -1
                 : add(module, kind->name, bases, kind->code, kind->retry, kind->documentation, out);
    Py_XDECREF(bases);
    return rc;
}

int errors_add(PyObject *module, struct state *state)
{
    const struct kind kinds[] = {
        {HERMES_EINVALID, "InvalidArgument", &PyExc_ValueError, 0,
         "An argument is outside its documented range."},
        {HERMES_ENOMEM, "OutOfMemory", &PyExc_MemoryError, 0, "Out of memory."},
        {HERMES_EIO, "StoreError", &PyExc_OSError, 0,
         "The operating system refused a read, a write or a mapping."},
        {HERMES_EFULL, "NoSpace", &PyExc_OSError, 1, "Disk or shared memory is full."},
        {HERMES_EACCESS, "AccessDenied", &PyExc_PermissionError, 0, "Permission denied."},
        {HERMES_ENOTFOUND, "TopicNotFound", &PyExc_LookupError, 0, "No such topic or log."},
        {HERMES_EEXISTS, "TopicExists", NULL, 0, "A topic of that name exists already."},
        {HERMES_EBUSY, "Busy", NULL, 1, "In use: another publisher, another writer."},
        {HERMES_EAGAIN, "NoRoom", NULL, 1, "No room within the time given; nothing was published."},
        {HERMES_ETIMEOUT, "Timeout", &PyExc_TimeoutError, 1, "The time given ran out."},
        {HERMES_ETOOLARGE, "PayloadTooLarge", &PyExc_ValueError, 0, "A payload over 65,536 bytes."},
        {HERMES_ENAME, "InvalidName", &PyExc_ValueError, 0,
         "Not a legal topic name: 1 to 127 of A-Z a-z 0-9 . _ -, not starting with . or -."},
        {HERMES_EVERSION, "VersionError", NULL, 0, "Written by another, unknown version."},
        {HERMES_EMALFORMED, "MalformedError", NULL, 0, "The bytes are not what the format says."},
        {HERMES_ECHECKSUM, "ChecksumError", NULL, 0,
         "CRC-32 does not match. The next call goes on behind it."},
        {HERMES_ECORRUPT, "CorruptError", NULL, 0,
         "Stored bytes are damaged. The next call goes on behind them."},
        {HERMES_EGONE, "Gone", NULL, 0,
         "Messages were overwritten or retired before they were read. The next call goes on with the oldest "
         "there is."},
        {HERMES_EFENCED, "Fenced", NULL, 0, "Another publisher has taken over; this one may only be closed."},
        {HERMES_EDISCONNECTED, "Disconnected", &PyExc_ConnectionError, 1,
         "No broker. What was being published goes out if one comes back while the publisher is open."},
        {HERMES_EPROTOCOL, "ProtocolError", NULL, 0, "The peer broke the control protocol."},
        {HERMES_ELIMIT, "LimitReached", NULL, 0, "A documented limit is reached."},
        {HERMES_ENOTSUP, "NotSupported", NULL, 0, "This kernel, machine or topic cannot do it."},
        {HERMES_ECLOSED, "Closed", NULL, 0,
         "The topic, the group or the durable subscription was deleted, or this object was closed."},
        {HERMES_EINTERRUPTED, "Interrupted", NULL, 1, "A signal handler asked to stop waiting."},
        {HERMES_EEXPIRED, "Expired", NULL, 0,
         "The message is not this subscriber's any more: it comes again, or came, or is given up."},
    };
    if (add(module, "Error", NULL, 0, 0,
            "The base of all. code: the HERMES_E... number; name: its name; retry: whether the same call may "
            "succeed\n"
            "later, and does nothing twice. Of a call that publishes, outcome: 'not published', 'pending' "
            "(it "
            "waits to go\n"
            "into the topic and must not be sent again) or 'published'; taken: of how many messages, the "
            "first "
            "ones, that\n"
            "is so; sequence: of the last one, if that is known. Else None and 0.",
            &state->errors[0]) < 0)
        return -1;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (add_below(module, state, &kinds[i], &state->errors[-kinds[i].code]) < 0)
            return -1;
    const struct kind in_use = {HERMES_EBUSY, "InUse", NULL, 1,
                                "Another thread is inside this object at this moment. One thread at a time."};
    const struct kind forked = {HERMES_ECLOSED, "Forked", NULL, 0,
                                "This object is the parent process's. Connect again in the child."};
    const struct kind layout = {
        HERMES_EINVALID, "LayoutMismatch", &PyExc_ValueError, 0,
        "The next message has not the size of the array's items. It is still to be read."};
    return add_below(module, state, &in_use, &state->error_in_use) < 0 ||
                   add_below(module, state, &forked, &state->error_forked) < 0 ||
                   add_below(module, state, &layout, &state->error_layout) < 0
               ? -1
               : 0;
}

/* Of bytes that need not be UTF-8: paths are in it. */
static PyObject *text_of(const char *sentence)
{
    return PyUnicode_DecodeUTF8(sentence, (Py_ssize_t)strlen(sentence), "backslashreplace");
}

PyObject *raise_error(struct state *state, int code, const char *sentence)
{
    int index = code < 0 && code > -ERRORS ? -code : 0;
    if (sentence == NULL || sentence[0] == 0)
        sentence = hermes_strerror(code);
    PyObject *text = text_of(sentence);
    if (text != NULL)
        PyErr_SetObject(state->errors[index], text);
    Py_XDECREF(text);
    return NULL;
}

PyObject *raise_of(struct handle *handle, int code)
{
    const char *sentence = handle->client != NULL ? hermes_last_error(handle->client) : NULL;
    return raise_error(handle->state, code, sentence);
}
