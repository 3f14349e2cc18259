/*
 * The extension module hermes_msg._core, on CPython's limited API.
 *
 * Every publisher and subscriber has a session with the broker of its own, so that each may live in a thread
 * of its own. All functions run under the GIL, and let go of it only inside UNLOCKED(), while they wait.
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

struct state {
    PyObject *errors[ERRORS]; /* by -code; [0]: hermes.Error, the base of all */
    PyObject *error_in_use, *error_forked, *error_layout;
    PyTypeObject *client_type, *publisher_type, *claim_type, *subscriber_type, *reader_type, *view_type,
        *message_type, *writer_type;
    PyObject *support; /* the module hermes_msg._support */
};

/*
 * What one may do with a handle now. A call that waits lets go of the GIL, and looks at signals, INSIDE
 * alone: whatever runs meanwhile - another thread, a signal handler, a finalizer - is refused. Every call
 * looks at the stage last, when all of Python's own code that it needs (conversions, iterators, buffers) has
 * run; from there on no Python code runs unless it is INSIDE.
 */
enum stage {
    STAGE_IDLE,    /* open, and nobody inside */
    STAGE_INSIDE,  /* a call is, of this thread or another */
    STAGE_LENT,    /* a view or claim is out: nothing but that, and what is said of messages */
    STAGE_CLOSING, /* somebody closes it */
    STAGE_CLOSED,
    STAGE_FORKED, /* it is our parent's */
};

struct handle;

/* What one type of handle does in its own way. */
struct handle_kind {
    int (*settle)(
        struct handle *); /* before it: waits in slices; -1 and an exception. NULL: nothing to wait for */
    void (*close)(struct handle *); /* without the GIL */
    void (*forget)(struct handle *);
    bool (*is_exported)(struct handle *); /* memory of it is in use; NULL: never */
    bool (*is_lent)(struct handle *);     /* something is out; NULL: no call is INSIDE meanwhile */
    void (*shield)(struct handle *);      /* that memory, in a forked child: it must not write to ours */
    void (*refuse_lent)(struct handle *); /* the exception of who comes while it is LENT */
    void (*take_back)(struct handle *);   /* what is lent and not in use: IDLE again */
    void (*closed)(struct handle *);      /* afterwards, with the GIL; may set an exception. NULL: nothing */
};

/* What all handles have in common. In a list of what this process has open, for the child after a fork. */
struct handle {
    PyObject_HEAD struct state *state;
    const struct handle_kind *kind;
    struct handle *next, **link;
    hermes_client_t *client; /* its session; NULL: an embedded log's */
    struct handle *parent;   /* the client object that it was opened through; a strong reference */
    PyObject *topic;
    enum stage stage;
    bool ending;          /* somebody closed it while a call is INSIDE, which closes it when it leaves */
    bool dropped;         /* it is closed because nobody has it any more: nothing is waited for */
    unsigned long inside; /* the thread that is INSIDE, or is CLOSING it */
    int64_t missing;    /* once it is closed: messages that were sent through it and are not in their topic */
    char sentence[512]; /* what becomes of them */
};

/* Without the GIL, for no longer than a slice. Of a handle that others can reach: only INSIDE. */
#define UNLOCKED(...)                                                                                        \
    do {                                                                                                     \
        PyThreadState *thread_ = PyEval_SaveThread();                                                        \
        __VA_ARGS__;                                                                                         \
        PyEval_RestoreThread(thread_);                                                                       \
    } while (0)

/*
 * Without the GIL, for what the broker answers, however long it takes: signals are looked at meanwhile, and
 * whether somebody closed the handle. `ended` becomes true, with an exception, where that ended it; what the
 * code in the macro came to is to be looked at all the same.
 */
struct asking {
    struct state *state;
    struct handle *handle; /* that is INSIDE or CLOSING, or that something is opened through; NULL: none */
    bool ended;
    PyThreadState *thread;
    hermes_interrupt_t before;
    uint64_t looked_ns;
    unsigned long forks;
    enum stage stage; /* of the handle, before */
};
void asking_begin(struct asking *asking);
bool asking_end(struct asking *asking);
#define ASKING(of_state, of_handle, ended_, ...)                                                             \
    do {                                                                                                     \
        struct asking asking_ = {.state = (of_state), .handle = (of_handle)};                                \
        asking_begin(&asking_);                                                                              \
        __VA_ARGS__;                                                                                         \
        (ended_) = asking_end(&asking_);                                                                     \
    } while (0)
/*
 * The same for what seldom waits, of a handle that is IDLE or LENT: the GIL is let go, and the handle is
 * entered, once it does, and not before. To leave it is for the caller, once it has told what came of it.
 */
void asking_seldom_begin(struct asking *asking);
bool asking_seldom_end(struct asking *asking);
void asking_seldom_leave(struct asking *asking);
/* What this thread closes does not wait for the broker, until hermes_set_interrupt() with what this returns.
 */
hermes_interrupt_t wait_for_nothing(void);

/* Until a call of another thread ends, for a slice at most; -1 and an exception: a signal. */
int wait_for_end(void);
/* One has ended. */
void tell_waiting(void);

/* -1 and an exception unless the handle may be used now. */
int handle_refuse(struct handle *handle);
static inline int handle_check(struct handle *handle)
{
    return __builtin_expect(handle->stage == STAGE_IDLE, 1) ? 0 : handle_refuse(handle);
}
/* For what may be said while a view is out, too. */
static inline int handle_check_lent(struct handle *handle)
{
    return handle->stage == STAGE_IDLE || handle->stage == STAGE_LENT ? 0 : handle_refuse(handle);
}

/* handle_check(), and then nobody else may come in until this thread leaves; an exception that is set stays.
 */
int handle_enter(struct handle *handle);
void handle_leave(struct handle *handle);
/* The two for who has checked that already, and for what was LENT, and is so again unless it was given back.
 */
void handle_let_in(struct handle *handle);
void handle_leave_as(struct handle *handle, enum stage stage);
/* Between two slices of a wait: -1 and an exception if a signal, or who closed the handle, ends it. */
int handle_go_on(struct handle *handle);

/* Is this thread INSIDE of it, or CLOSING it? */
bool handle_is_mine(const struct handle *handle);
/* How often this process has come out of a fork as the child. */
unsigned long handle_forks(void);

static inline bool handle_is_closed(const struct handle *handle)
{
    return handle->stage >= STAGE_CLOSING || handle->ending;
}

void handle_init(struct handle *handle, const struct handle_kind *kind, struct state *state,
                 struct handle *parent, PyObject *topic);
/*
 * Closes it and all that was opened through it. A call that another thread is INSIDE of ends with Closed
 * first; one of this thread (a signal handler, a finalizer closes it) closes it on its way out. While a call
 * of this thread is under way, on whatever handle, nobody is waited for: the other may wait for us. -1 and an
 * exception: BufferError while memory of it is in use; or a signal, which leaves it open where messages were
 * waited for, and closed where an answer was. Closed already: nothing happens.
 */
int handle_close(struct handle *handle);
void handle_dealloc(struct handle *handle);
int handle_traverse(PyObject *self, visitproc visit, void *arg);
int handle_clear(PyObject *self);
/* What(topic, number=value, stage); number NULL: without. */
PyObject *handle_repr(struct handle *handle, const char *what, const char *number, uint64_t value);
PyObject *handle_method_close(struct handle *self, PyObject *unused);
/* The same, and returns how many messages are not in their topic. */
PyObject *handle_method_close_counting(struct handle *self, PyObject *unused);
PyObject *handle_method_enter(PyObject *self, PyObject *unused);
PyObject *handle_method_exit(struct handle *self, PyObject *const *arguments, Py_ssize_t count);
PyObject *handle_get_closed(struct handle *self, void *unused);
/* In the child after a fork. */
PyObject *handle_forget_all(PyObject *module, PyObject *unused);
/* What a request came to, and out of the handle: None; or NULL, with the exception for rc, or the one that
 * ended it. */
PyObject *handle_done(struct handle *handle, int rc, bool ended);

/* Sets the exception for a code and the sentence that goes with it; returns NULL. */
PyObject *raise_error(struct state *state, int code, const char *sentence);
PyObject *raise_of(struct handle *handle, int code);
int errors_add(PyObject *module, struct state *state);

/* InvalidArgument, with a sentence as PyErr_Format() makes it; returns -1. */
int refuse_argument(struct state *state, const char *format, ...);

/* Now, on the clock that time-outs are counted by. */
uint64_t monotonic_ns(void);
/* How long the GIL is left alone before signals are looked at, at most. */
#define SLICE_NS 40000000u

/*
 * Arguments. 0, or -1 and an exception: TypeError for another type, InvalidArgument for a value that is none.
 * All may run Python code: they come before the handle is looked at. NULL leaves the value as it is.
 */

/* Seconds, a timedelta, or a str as the command line has it ("10ms"); None: for ever. */
int take_timeout(struct state *state, PyObject *seconds, uint64_t *ns);
/* The same; None: 0. */
int take_age(struct state *state, PyObject *age, uint64_t *ns);
/* An int, or a str as the command line has it ("4M"). */
int take_size(struct state *state, PyObject *size, const char *what, uint64_t *bytes);
/* An int (or what has __index__) from least to most. */
int take_integer(struct state *state, PyObject *object, const char *what, uint64_t least, uint64_t most,
                 uint64_t *value);
const char *take_text(struct state *state, PyObject *object, const char *what);
/* Anything that is one, as bytes, which the caller owns. */
int take_path(struct state *state, PyObject *object, PyObject **path);
/* One of some words, the last of which is NULL; *number: which. */
int take_choice(struct state *state, PyObject *object, const char *what, const char *const *words,
                uint32_t *number);
/* "committed" or "durable". */
int take_confirmation(struct state *state, PyObject *name, enum hermes_confirmation *confirmation);

/* Where to begin to read. */
struct start {
    enum start_kind { START_FIRST, START_END, START_LAST, START_SEQUENCE, START_TIME, START_POSITION } kind;
    uint64_t value;
};
int take_start(struct state *state, PyObject *object, struct start *start);

/* The bytes of anything with the buffer protocol, in one piece; flags besides: PyBUF_WRITABLE. TypeError for
 * pointers, which must not leave this process or come from another. To be released. */
int take_buffer(struct state *state, PyObject *object, Py_buffer *buffer, int flags);

/* Of groups.c: methods of Client. */
PyObject *client_create_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_alter_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_reset_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_delete_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_group(struct handle *self, PyObject *arguments, PyObject *keywords);
PyObject *client_groups(struct handle *self, PyObject *topic);

/* Who handed a message out, and as which of its messages: nobody else may acknowledge it. */
struct ticket {
    uint64_t number;
    uint32_t origin; /* a subscriber's id; 0: nobody */
};
PyObject *message_new(struct state *state, const hermes_message_t *message, struct ticket ticket);
PyObject *message_restore(PyObject *module, PyObject *arguments);

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
PyObject *subscriber_new(struct handle *parent, hermes_client_t *session, PyObject *topic,
                         const struct start *start, const struct subscribing *how);
/* -1 and Closed if parent was closed meanwhile. */
int session_is_wanted(struct handle *parent, hermes_client_t *session);
PyObject *writer_open(PyObject *module, PyObject *arguments, PyObject *keywords);
PyObject *log_reader_open(PyObject *module, PyObject *arguments, PyObject *keywords);
PyObject *message_encode(PyObject *module, PyObject *arguments, PyObject *keywords);
PyObject *message_decode(PyObject *module, PyObject *buffer);

struct state *module_state(PyObject *module);

#endif
