/*
 * A subscriber, or the reader of an embedded log, as the files that make one up see it: subscriber.c opens,
 * polls and seeks, batch.c fills lists and arrays, view.c lends messages where they stand, member.c says what
 * is done.
 */
#ifndef READER_H
#define READER_H

#include "module.h"

/* What the two differ in. */
struct source {
    int (*poll)(void *, hermes_message_t *);
    int (*wait)(void *, hermes_message_t *, uint64_t);
    int (*seek_first)(void *);
    int (*seek_end)(void *);
    int (*seek_sequence)(void *, uint64_t);
    int (*seek_time)(void *, uint64_t);
    int (*seek_position)(void *, uint64_t);
    const char *(*last_error)(void *);
};

/* What was handed out and not acked: of a member of a group, or of who has a durable subscription. Only what
 * acknowledging needs of a message. */
struct held {
    bool wanted; /* false: there is nothing to acknowledge */
    bool automatic;
    hermes_message_t *messages;
    size_t count, room;
};

struct view;

struct reader {
    struct handle handle;
    const struct source *source;
    void *reader; /* hermes_subscriber_t or hermes_log_reader_t */
    struct view *lent;
    int pending;            /* an error that came behind messages that were handed out: the next call tells */
    bool has_stash;         /* a message that did not fit where it was wanted: the next call gives it */
    hermes_message_t stash; /* its payload is still valid: nothing else was read */
    struct held held;
};

/* A message where it stands, as long as nothing else is read. */
struct view {
    PyObject_HEAD struct reader *reader; /* NULL: released */
    hermes_message_t message;
    Py_ssize_t exports;
};

PyObject *reader_failed(struct reader *self, int rc);

/* -1 and an exception unless it may be read from now. */
int reader_check(struct reader *self);

/*
 * The next message: tried under the GIL, waited for without it. 1; 0: timed out; -1 and an exception.
 * HERMES_ECLOSED is told as such where ends is not NULL.
 */
int reader_take(struct reader *self, hermes_message_t *message, uint64_t timeout_ns, bool *ends);

/* One more of a batch, if there is one: as hermes_poll(). Needs no GIL. */
static inline int reader_take_more(struct reader *self, hermes_message_t *message)
{
    return self->source->poll(self->reader, message);
}

/* The only argument, if there is one; -1 and an exception. */
int reader_optional(const char *name, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
                    PyObject **value);

/* Of batch.c, view.c and member.c: methods. */
PyObject *reader_poll_many(struct reader *self, PyObject *arguments, PyObject *keywords);
PyObject *reader_recv_batch(struct reader *self, PyObject *arguments, PyObject *keywords);
PyObject *reader_poll_view(struct reader *self, PyObject *const *arguments, Py_ssize_t count,
                           PyObject *names);
PyObject *reader_ack(struct reader *self, PyObject *const *arguments, Py_ssize_t count);
PyObject *reader_nack(struct reader *self, PyObject *message);
PyObject *reader_renew(struct reader *self, PyObject *message);
PyObject *reader_deliveries(struct reader *self, PyObject *message);
bool reader_is_lent(struct handle *handle);

/* Of member.c. The message was handed out; false: no memory to remember it. Needs no GIL. */
bool held_note(struct reader *self, const hermes_message_t *message);
/* But not the last one, after all. */
static inline void held_drop(struct reader *self)
{
    self->held.count -= self->held.count > 0;
}
/* The next one is asked for: what was handed out is done, where that is automatic. */
void held_settle(struct reader *self);
void held_release(struct reader *self);

/* Sequence, position, length and claim of a Message or View; -1 and an exception. */
int message_take(struct state *state, PyObject *object, hermes_message_t *message);

#endif
