/*
 * The extension module hermes_msg._core, on CPython's limited API.
 *
 * Every publisher and subscriber has a session with the broker of its own, so that each may live in a thread
 * of its own. All functions run under the GIL, and let go of it only inside WITHOUT_GIL(), while they wait; a
 * handle that somebody waits in is busy, and refuses everybody else.
 */
#ifndef MODULE_H
#define MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifdef Py_GIL_DISABLED
#error "hermes-msg needs the GIL: its handles are guarded by it. Build it for a Python that has one."
#endif

#include <stdbool.h>
#include <stdint.h>

#include "hermes/hermes.h"

enum { ERRORS = 26 };

struct handle;

struct state {
    PyObject *errors[ERRORS]; /* by -code; [0]: hermes.Error, the base of all */
    PyObject *error_in_use, *error_forked, *error_layout;
    PyTypeObject *client_type, *publisher_type, *claim_type, *subscriber_type, *reader_type, *view_type,
        *message_type, *writer_type;
    allocfunc message_alloc;
    PyObject *support; /* the module hermes_msg._support */
};

/* What all handles have in common. In a list of what this process has open, for the child after a fork. */
struct handle {
    PyObject_HEAD struct state *state;
    struct handle *next, **link;
    hermes_client_t *client; /* its session; NULL: an embedded log's */
    struct handle *parent;   /* the client object that it was opened through; a strong reference */
    PyObject *topic;
    bool open;
    bool forked;        /* it is our parent's */
    bool busy;          /* a thread is inside, without the GIL */
    bool dropped;       /* it is closed because nobody has it any more: nothing is waited for */
    int64_t missing;    /* once it is closed: messages that were sent through it and are not in their topic */
    char sentence[512]; /* what becomes of them */
    void (*close)(struct handle *);
    void (*forget)(struct handle *);
    /* Exported views that end with it. NULL: there cannot be any. */
    bool (*is_lent)(struct handle *);
};

#define WITHOUT_GIL(handle, statement)                                                                       \
    do {                                                                                                     \
        (handle)->busy = true;                                                                               \
        PyThreadState *thread_ = PyEval_SaveThread();                                                        \
        statement;                                                                                           \
        PyEval_RestoreThread(thread_);                                                                       \
        (handle)->busy = false;                                                                              \
    } while (0)

/* -1 and an exception unless the handle may be used now. */
int handle_refuse(struct handle *handle);
static inline int handle_check(struct handle *handle)
{
    return __builtin_expect(handle->open && !handle->busy, 1) ? 0 : handle_refuse(handle);
}

void handle_init(struct handle *handle, struct state *state, struct handle *parent, PyObject *topic);
/* Closes; -1 and an exception if it is in use or lent. Closed already: nothing happens. */
int handle_close(struct handle *handle);
void handle_dealloc(struct handle *handle);
PyObject *handle_method_close(struct handle *self, PyObject *unused);
/* The same, and returns how many messages are not in their topic. */
PyObject *handle_method_close_counting(struct handle *self, PyObject *unused);
PyObject *handle_method_enter(PyObject *self, PyObject *unused);
PyObject *handle_method_exit(struct handle *self, PyObject *const *arguments, Py_ssize_t count);
PyObject *handle_get_closed(struct handle *self, void *unused);
/* Closes all that were opened through parent, or none: -1 and an exception. */
int handle_close_children(struct handle *parent);
/* In the child after a fork. */
PyObject *handle_forget_all(PyObject *module, PyObject *unused);

/* Sets the exception for a code and the sentence that goes with it; returns NULL. */
PyObject *raise_error(struct state *state, int code, const char *sentence);
PyObject *raise_of(struct handle *handle, int code);
int errors_add(PyObject *module, struct state *state);

/* Seconds, or None for ever. -1 and an exception: not a time. */
int take_timeout(PyObject *seconds, uint64_t *ns);
/* Now, on the clock that time-outs are counted by. */
uint64_t monotonic_ns(void);
/* How long the GIL is left alone before signals are looked at, at most. */
#define SLICE_NS 50000000u

/* A converter for PyArg_Parse...(O&): an int from 0 to 2^64 - 1. */
int take_bytes(PyObject *object, void *bytes);
/* Seconds or a timedelta; None: 0. */
int take_age(struct state *state, PyObject *age, uint64_t *ns);

/* -1 and an exception for an array whose items are pointers, which must not leave this process or come from
 * another. */
int refuse_objects(PyObject *array);

/* "committed" or "durable". */
int take_confirmation(PyObject *name, enum hermes_confirmation *confirmation);
const char *take_text(PyObject *object, const char *what);

/* One of some words, the last of which is NULL; *number: which. */
int take_choice(PyObject *object, const char *what, const char *const *words, uint32_t *number);

/* Of groups.c: methods of Client. */
PyObject *client_create_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_alter_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_reset_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_delete_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_groups(struct handle *self, PyObject *topic);

PyObject *message_new(struct state *state, const hermes_message_t *message);

/* Type specifications, one a file. */
extern PyType_Spec client_spec, publisher_spec, claim_spec, subscriber_spec, reader_spec, view_spec,
    message_spec, writer_spec;

/* Module functions. */
PyObject *client_connect(PyObject *module, PyObject *arguments, PyObject *keywords);
/* They take over the session, also when they fail. */
PyObject *publisher_new(struct handle *parent, hermes_client_t *session, PyObject *topic, uint32_t flags,
                        bool wait_durable, uint64_t wait_ns);
struct subscribing {
    hermes_subscriber_options_t options;
    bool verify;
    uint64_t spin_ns;
};
PyObject *subscriber_new(struct handle *parent, hermes_client_t *session, PyObject *topic, PyObject *start,
                         const struct subscribing *how);
PyObject *writer_open(PyObject *module, PyObject *arguments, PyObject *keywords);
PyObject *log_reader_open(PyObject *module, PyObject *arguments, PyObject *keywords);
PyObject *message_encode(PyObject *module, PyObject *arguments, PyObject *keywords);
PyObject *message_decode(PyObject *module, PyObject *buffer);

struct state *module_state(PyObject *module);

#endif
