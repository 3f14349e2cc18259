/* Members of groups, and durable subscriptions: what was handed out, and when it is done. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

bool held_note(struct reader *self, const hermes_message_t *message)
{
    struct held *held = &self->held;
    if (held->count == held->room) {
        size_t room = held->room == 0 ? 64 : held->room * 2;
        hermes_message_t *grown = realloc(held->messages, room * sizeof *grown);
        if (grown == NULL)
            return false;
        held->messages = grown;
        held->room = room;
    }
    held->messages[held->count++] = *message;
    return true;
}

/* What another got meanwhile is the other's; nobody can do anything about it here. */
void held_settle(struct reader *self)
{
    for (size_t i = 0; i < self->held.count; i++)
        (void)hermes_ack(self->reader, &self->held.messages[i]);
    self->held.count = 0;
}

void held_release(struct reader *self)
{
    free(self->held.messages);
    self->held.messages = NULL;
    self->held.count = self->held.room = 0;
}

/* No longer ours to acknowledge. Usually it is the first. The same message may be there under another claim:
 * it was given back, and came again. */
static void forget(struct held *held, const hermes_message_t *message)
{
    for (size_t i = 0; i < held->count; i++)
        if (held->messages[i].position == message->position && held->messages[i].claim == message->claim) {
            held->count--;
            memmove(&held->messages[i], &held->messages[i + 1], (held->count - i) * sizeof *held->messages);
            return;
        }
}

static PyObject *tell(struct reader *self, PyObject *object,
                      int (*say)(hermes_subscriber_t *, const hermes_message_t *), bool ends)
{
    hermes_message_t message;
    if (handle_check(&self->handle) < 0 || message_take(self->handle.state, object, &message) < 0)
        return NULL;
    int rc = say(self->reader, &message);
    if (ends && (rc == 0 || rc == HERMES_EEXPIRED))
        forget(&self->held, &message);
    if (rc < 0)
        return reader_failed(self, rc);
    Py_RETURN_NONE;
}

PyObject *reader_ack(struct reader *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "there is one argument, message");
        return NULL;
    }
    if (count == 1 && arguments[0] != Py_None)
        return tell(self, arguments[0], hermes_ack, true);
    if (handle_check(&self->handle) < 0)
        return NULL;
    int first = 0;
    for (size_t i = 0; i < self->held.count; i++) {
        int rc = hermes_ack(self->reader, &self->held.messages[i]);
        first = first == 0 ? rc : first;
    }
    self->held.count = 0;
    if (first < 0)
        return reader_failed(self, first);
    Py_RETURN_NONE;
}

PyObject *reader_nack(struct reader *self, PyObject *message)
{
    return tell(self, message, hermes_nack, true);
}

PyObject *reader_renew(struct reader *self, PyObject *message)
{
    return tell(self, message, hermes_renew, false);
}

PyObject *reader_deliveries(struct reader *self, PyObject *object)
{
    hermes_message_t message;
    if (handle_check(&self->handle) < 0 || message_take(self->handle.state, object, &message) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(hermes_deliveries(self->reader, &message));
}
