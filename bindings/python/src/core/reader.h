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
    int (*seek)(void *, struct start);
    int (*seek_last)(hermes_client_t *, const char *topic, void *);
    uint64_t (*position)(void *);
    const char *(*last_error)(void *);
};

/* Only what acknowledging needs of a message. */
struct held_message {
    uint64_t ticket, position, sequence;
    uint32_t length;
    uint16_t claim;
    bool done;
};

/*
 * What was handed out and not acknowledged, by ticket: of a member of a group, each; of who has a durable
 * subscription, the last two, for an acknowledgement is of all before it.
 */
struct held {
    bool wanted; /* false: there is nothing to acknowledge */
    bool automatic;
    bool only_last;
    struct held_message *messages;
    size_t first, count, room; /* from first up to count, some of them done */
    size_t done;
};

struct view;

struct reader {
    struct handle handle;
    const struct source *source;
    void *reader;          /* hermes_subscriber_t or hermes_log_reader_t */
    struct view *lent;     /* while the handle is LENT */
    struct ticket ticket;  /* of the message that was handed out last */
    int pending;           /* an error that came behind messages that were handed out: the next call tells */
    bool keeps;            /* a message that was taken, but not handed out: the next call gives it */
    hermes_message_t kept; /* its payload is in kept_bytes */
    uint8_t *kept_bytes;   /* room for any */
    struct held held;
};

/* A message where it stands, as long as nothing else is read. */
struct view {
    PyObject_HEAD struct reader *reader; /* NULL: released */
    hermes_message_t message;
    struct ticket ticket;
    Py_ssize_t exports;
};

PyObject *reader_failed(struct reader *self, int rc);

/*
 * The next message of a reader that is IDLE: tried under the GIL, waited for without it. 1; 0: timed out; -1
 * and an exception. HERMES_ECLOSED, and that somebody closed it, is told as such where ends is not NULL. Its
 * payload is valid while no Python code runs.
 */
int reader_take(struct reader *self, hermes_message_t *message, uint64_t timeout_ns, bool *ends);

/* One more of a batch, if there is one: as hermes_poll(). Needs no GIL. */
static inline int reader_take_more(struct reader *self, hermes_message_t *message)
{
    return self->source->poll(self->reader, message);
}

/* It was taken, but cannot be handed out now. Needs no GIL, and cannot fail. */
void reader_keep(struct reader *self, const hermes_message_t *message);

/* It was taken and noted, but cannot be handed out after all. */
void reader_take_back(struct reader *self, const hermes_message_t *message);

/* The Message that was taken and noted; NULL and an exception: it is kept. */
static inline PyObject *reader_hand_out(struct reader *self, const hermes_message_t *message)
{
    PyObject *made = message_new(self->handle.state, message, self->ticket);
    if (__builtin_expect(made == NULL, 0))
        reader_take_back(self, message);
    return made;
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
bool reader_is_exported(struct handle *handle);
bool reader_is_lent(struct handle *handle);
void reader_take_back_view(struct handle *handle);

/* Of member.c. The message was handed out; false: no memory to remember it. Needs no GIL. */
bool held_note(struct reader *self, const hermes_message_t *message);
/* But not the last one, after all. */
void held_drop(struct reader *self);
/* The next one is asked for: what was handed out is done, where that is automatic. */
void held_settle(struct reader *self);
void held_release(struct reader *self);

/* Sequence, position, length and claim of a Message or View, and who handed it out; -1 and an exception. */
int message_take(struct state *state, PyObject *object, hermes_message_t *message, struct ticket *ticket);

#endif
