/* Members of groups, and durable subscriptions: what was handed out, and when it is done. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

static hermes_message_t message_of(const struct held_message *held)
{
    return (hermes_message_t){
        .position = held->position, .sequence = held->sequence, .length = held->length, .claim = held->claim};
}

/* Does it still make a difference to acknowledge it? Its lease may have run out long ago. */
static bool counts(struct reader *self, const struct held_message *held)
{
    hermes_message_t message = message_of(held);
    return !held->done && (self->held.only_last || hermes_deliveries(self->reader, &message) > 0);
}

/* Closes the gaps; the order stays. */
static void compact(struct reader *self, bool all_that_count)
{
    struct held *held = &self->held;
    size_t to = 0;
    for (size_t from = held->first; from < held->count; from++)
        if (all_that_count ? counts(self, &held->messages[from]) : !held->messages[from].done)
            held->messages[to++] = held->messages[from];
    held->first = held->done = 0;
    held->count = to;
}

/* Room for one more: what does not count any more goes first, so that it is never more than twice what does.
 */
static bool make_room(struct reader *self)
{
    struct held *held = &self->held;
    if (held->count < held->room)
        return true;
    compact(self, true);
    if (held->count * 2 < held->room)
        return true;
    size_t room = held->room == 0 ? 64 : held->room * 2;
    struct held_message *grown = realloc(held->messages, room * sizeof *grown);
    if (grown == NULL)
        return held->count < held->room;
    held->messages = grown;
    held->room = room;
    return true;
}

bool held_note(struct reader *self, const hermes_message_t *message)
{
    struct held *held = &self->held;
    if (held->only_last &&
        held->count - held->first == 2) /* the one before is the last again, where this is dropped */
        held->first++;
    if (!make_room(self))
        return false;
    held->messages[held->count++] = (struct held_message){
        ++self->ticket.number, message->position, message->sequence, message->length, message->claim, false};
    return true;
}

void held_drop(struct reader *self)
{
    self->held.count -= self->held.count > self->held.first;
}

static int acknowledge_all(struct reader *self)
{
    struct held *held = &self->held;
    int first = 0;
    if (held->only_last && held->count > held->first)
        held->first = held->count - 1; /* those before it are done with it, and would have to be looked up */
    for (size_t i = held->first; i < held->count; i++) {
        hermes_message_t message = message_of(&held->messages[i]);
        int rc = held->messages[i].done ? 0 : hermes_ack(self->reader, &message);
        first = first == 0 ? rc : first;
    }
    if (first == HERMES_EINTERRUPTED || first == HERMES_EDISCONNECTED) /* nothing is done: ask again */
        return first;
    held->first = held->count = held->done = 0;
    return first;
}

/* What another got meanwhile is the other's; nobody can do anything about it here. */
void held_settle(struct reader *self)
{
    if (!self->keeps) {
        (void)acknowledge_all(self);
        return;
    }
    /* C gave out another one since. What would have to be looked up is done with that. */
    hermes_interrupt_t before = wait_for_nothing();
    (void)acknowledge_all(self);
    (void)hermes_set_interrupt(before);
}

void held_release(struct reader *self)
{
    free(self->held.messages);
    self->held = (struct held){.messages = NULL};
}

/* No longer ours to acknowledge. */
static void forget(struct reader *self, uint64_t ticket)
{
    struct held *held = &self->held;
    size_t low = held->first, high = held->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (held->messages[middle].ticket < ticket)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == held->count || held->messages[low].ticket != ticket || held->messages[low].done)
        return;
    held->messages[low].done = true;
    held->done++;
    while (held->first < held->count && held->messages[held->first].done) {
        held->first++;
        held->done--;
    }
    if (held->done > 64 && held->done > (held->count - held->first) / 2)
        compact(self, false);
}

/*
 * A Message or View that this subscriber handed out. Another's is Expired, as a message that somebody else
 * has; what nobody was given as a member is InvalidArgument, which C says too.
 */
static int take_own(struct reader *self, PyObject *object, hermes_message_t *message, struct ticket *ticket)
{
    if (message_take(self->handle.state, object, message, ticket) < 0 || handle_check_lent(&self->handle) < 0)
        return -1;
    if (ticket->origin == self->ticket.origin || !self->held.wanted)
        return 0;
    raise_error(self->handle.state, message->claim != 0 ? HERMES_EEXPIRED : HERMES_EINVALID,
                "this message was not handed out by this subscriber");
    return -1;
}

/* Nobody else comes to what is held while it waits. */
static PyObject *told(struct reader *self, struct asking *a, int rc)
{
    bool ended = asking_seldom_end(a);
    PyObject *result = ended ? NULL : rc < 0 ? reader_failed(self, rc) : Py_NewRef(Py_None);
    asking_seldom_leave(a);
    return result;
}

static PyObject *tell(struct reader *self, PyObject *object,
                      int (*say)(hermes_subscriber_t *, const hermes_message_t *), bool ends)
{
    hermes_message_t message;
    struct ticket ticket;
    struct asking a = {.state = self->handle.state, .handle = &self->handle};
    if (take_own(self, object, &message, &ticket) < 0)
        return NULL;
    asking_seldom_begin(&a);
    int rc = say(self->reader, &message);
    if (ends && (rc == 0 || rc == HERMES_EEXPIRED))
        forget(self, ticket.number);
    return told(self, &a, rc);
}

PyObject *reader_ack(struct reader *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "there is one argument, message");
        return NULL;
    }
    if (count == 1 && arguments[0] != Py_None)
        return tell(self, arguments[0], hermes_ack, true);
    struct asking a = {.state = self->handle.state, .handle = &self->handle};
    if (handle_check_lent(&self->handle) < 0)
        return NULL;
    asking_seldom_begin(&a);
    int rc = acknowledge_all(self);
    return told(self, &a, rc);
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
    struct ticket ticket;
    if (message_take(self->handle.state, object, &message, &ticket) < 0 ||
        handle_check_lent(&self->handle) < 0)
        return NULL;
    bool is_ours = ticket.origin == self->ticket.origin || !self->held.wanted;
    return PyLong_FromUnsignedLong(is_ours ? hermes_deliveries(self->reader, &message) : 0);
}
