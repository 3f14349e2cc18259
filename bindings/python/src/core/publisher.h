/*
 * A publisher, as the files that make one up see it: publisher.c opens it and tells what is confirmed,
 * sending.c sends, claim.c lends room in the log itself.
 */
#ifndef PUBLISHER_H
#define PUBLISHER_H

#include "module.h"

struct claim;

struct publisher {
    struct handle handle;
    hermes_publisher_t *publisher;
    uint64_t wait_ns;
    uint64_t left_ns;    /* of it, once it is closed */
    bool confirms;       /* a send is complete when it is durable */
    bool numbered;       /* its messages are numbered as the topic does */
    struct claim *claim; /* while the handle is LENT */
};

/* One call that publishes: what it wants, and what it has come to. */
struct attempt {
    const void *payload; /* one message ... */
    size_t length;
    uint64_t given_ns;            /* its time stamp; 0: now */
    const hermes_slice_t *slices; /* ... or some, those that are still to go; */
    const uint64_t *times_ns;     /* and theirs; NULL: now */
    size_t count;
    bool claims; /* or room for one */
    void *claimed;
    bool is_step; /* of more: the disk is waited for once, at the end */

    uint64_t sequence; /* of the one message; 0: not known */
    uint64_t total;    /* messages of this attempt, */
    uint64_t taken;    /* and so many of them, the first ones, are in the topic or wait to go in; */
    uint64_t earlier;  /* and so many of the same call before them */
};

/* One try, without waiting: HERMES_OK, or HERMES_EAGAIN or another error, with what was taken counted. */
int attempt_once(struct publisher *self, struct attempt *a);

/*
 * What is left after a try that came to rc: waits for room or a broker, and on a sync topic for the disk. 0;
 * -1 and an exception that says what was taken.
 */
int attempt_complete(struct publisher *self, struct attempt *a, int rc);

/*
 * The exception that is set gets what the call has come to: `taken`, `outcome` ("published": all that was
 * taken is in the topic; "pending": it waits to go in; "not published": nothing was taken), `sequence`, and
 * with one of our own `retry`: nothing was taken, and the reason may pass. The handle is IDLE or INSIDE, or
 * nothing is asked of it.
 */
void tell_outcome(struct publisher *self, const struct attempt *a);

/* Waits INSIDE until it is that; HERMES_OK, an error, or -1 with *raised: an exception is set. sequence 0:
 * all. */
int await_inside(struct publisher *self, uint64_t sequence, enum hermes_confirmation confirmation,
                 uint64_t timeout_ns, bool *raised);

/* Of sending.c and claim.c: methods. */
PyObject *publisher_send(struct publisher *self, PyObject *payload);
PyObject *publisher_send_at(struct publisher *self, PyObject *const *arguments, Py_ssize_t count);
PyObject *publisher_send_many(struct publisher *self, PyObject *iterable);
PyObject *publisher_send_batch(struct publisher *self, PyObject *array);
PyObject *publisher_send_batch_at(struct publisher *self, PyObject *const *arguments, Py_ssize_t count);
PyObject *publisher_claim(struct publisher *self, PyObject *length);
bool claim_is_exported(struct handle *handle);
void claim_shield(struct handle *handle);
void claim_refuse_lent(struct handle *handle);
void claim_take_back(struct handle *handle);

#endif
