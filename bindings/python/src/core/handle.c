/* What client, publisher, subscriber and log have in common: the stages of module.h. */
#include "module.h"

#include <string.h>

/* All that is open in this process. Under the GIL. */
static struct handle *open_handles;
static unsigned long forks;

unsigned long handle_forks(void)
{
    return forks;
}

void handle_init(struct handle *handle, const struct handle_kind *kind, struct state *state,
                 struct handle *parent, PyObject *topic)
{
    handle->kind = kind;
    handle->state = state;
    handle->parent = parent;
    Py_XINCREF((PyObject *)parent);
    handle->topic = topic;
    Py_XINCREF(topic);
    handle->stage = STAGE_IDLE;
    handle->next = open_handles;
    handle->link = &open_handles;
    if (open_handles != NULL)
        open_handles->link = &handle->next;
    open_handles = handle;
}

static void unlink_handle(struct handle *handle)
{
    if (handle->link == NULL)
        return;
    *handle->link = handle->next;
    if (handle->next != NULL)
        handle->next->link = handle->link;
    handle->link = NULL;
}

/* ---- who may come in ---- */

int handle_refuse(struct handle *handle)
{
    struct state *state = handle->state;
    if (handle->stage == STAGE_FORKED)
        PyErr_SetString(state->error_forked,
                        "this was opened by the parent process; connect again in the child");
    else if (handle_is_closed(handle))
        PyErr_SetString(state->errors[-HERMES_ECLOSED], "this object was closed");
    else if (handle->stage == STAGE_LENT)
        handle->kind->refuse_lent(handle);
    else
        PyErr_SetString(state->error_in_use,
                        "a call is inside this object at this moment, of another thread or of the one that a "
                        "signal handler interrupted: one at a time");
    return -1;
}

int handle_enter(struct handle *handle)
{
    if (handle_check(handle) < 0)
        return -1;
    handle_let_in(handle);
    return 0;
}

void handle_let_in(struct handle *handle)
{
    handle->stage = STAGE_INSIDE;
    handle->inside = PyThread_get_thread_ident();
}

void handle_leave(struct handle *handle)
{
    handle_leave_as(handle, STAGE_IDLE);
}

void handle_leave_as(struct handle *handle, enum stage stage)
{
    if (handle->stage != STAGE_INSIDE) /* a signal handler forked, and this is the child */
        return;
    bool is_lent = stage == STAGE_LENT && handle->kind->is_lent(handle); /* it may have been given back */
    handle->stage = is_lent ? STAGE_LENT : STAGE_IDLE;
    tell_waiting();
    if (!handle->ending)
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (handle_close(handle) < 0) {
        handle->ending = false;
        PyErr_WriteUnraisable((PyObject *)handle);
    }
    PyErr_Restore(type, value, traceback);
}

int handle_go_on(struct handle *handle)
{
    if (PyErr_CheckSignals() < 0)
        return -1;
    return handle->stage == STAGE_INSIDE && !handle->ending ? 0 : handle_refuse(handle);
}

PyObject *handle_done(struct handle *handle, int rc, bool ended)
{
    PyObject *result = ended ? NULL : rc < 0 ? raise_of(handle, rc) : Py_NewRef(Py_None);
    handle_leave(handle);
    return result;
}

/* ---- closing ---- */

static bool is_in_use(const struct handle *handle)
{
    return handle->stage == STAGE_INSIDE || handle->stage == STAGE_CLOSING;
}

bool handle_is_mine(const struct handle *handle)
{
    return is_in_use(handle) && handle->inside == PyThread_get_thread_ident();
}

/* Is a call of this thread under way, that a signal handler or a finalizer interrupted? */
static bool is_nested(void)
{
    for (const struct handle *h = open_handles; h != NULL; h = h->next)
        if (handle_is_mine(h))
            return true;
    return false;
}

static int check_exports(struct handle *handle)
{
    if (handle->stage != STAGE_LENT || !handle->kind->is_exported(handle))
        return 0;
    PyErr_SetString(PyExc_BufferError, "views of its memory are still in use: release them first");
    return -1;
}

/* Asks the broker, who may be slow: others find it CLOSING, and the child of a fork in the list. It is closed
 * then, though a signal has ended that: an exception. */
static void close_now(struct handle *handle)
{
    bool ended;
    handle->stage = STAGE_CLOSING;
    handle->inside = PyThread_get_thread_ident();
    if (handle->dropped) {
        hermes_interrupt_t before = wait_for_nothing();
        UNLOCKED(handle->kind->close(handle));
        (void)hermes_set_interrupt(before);
    } else {
        ASKING(handle->state, handle, ended, handle->kind->close(handle));
        (void)ended;
    }
    unlink_handle(handle);
    if (handle->stage == STAGE_CLOSING)
        handle->stage = STAGE_CLOSED;
    handle->client = NULL;
    tell_waiting();
}

/* Is it to be closed by who is inside: this thread itself, or one that may wait for us? */
static bool is_left_to_others(const struct handle *handle, bool is_nested_call)
{
    return is_in_use(handle) && (is_nested_call || handle_is_mine(handle));
}

static void end_soon(struct handle *handle)
{
    handle->ending |= handle->stage == STAGE_INSIDE;
}

/* What a child that was closed with its parent left is the parent's to tell. */
static void inherit_missing(struct handle *parent, struct handle *child)
{
    parent->missing += child->missing;
    if (child->missing > 0)
        memcpy(parent->sentence, child->sentence, sizeof parent->sentence);
    child->missing = 0;
}

static struct handle *next_child(const struct handle *parent, bool nested)
{
    for (struct handle *h = open_handles; h != NULL; h = h->next) {
        if (h->parent != parent)
            continue;
        if (!is_left_to_others(h, nested))
            return h;
        end_soon(h);
    }
    return NULL;
}

static int close_handle(struct handle *handle, bool nested);

/* Others may come and go while one is closed. */
static int close_children(struct handle *parent, bool nested)
{
    for (struct handle *h = open_handles; h != NULL; h = h->next)
        if (h->parent == parent && check_exports(h) < 0)
            return -1;
    for (struct handle *h; (h = next_child(parent, nested)) != NULL;) {
        Py_INCREF((PyObject *)h); /* its last name may go while the GIL is somebody else's */
        int rc = close_handle(h, nested);
        if (rc == 0)
            inherit_missing(parent, h);
        Py_DECREF((PyObject *)h);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* With what is still to come of the exception that is set. */
static void tell_closed(struct handle *handle)
{
    PyObject *type, *value, *traceback;
    if (handle->kind->closed == NULL)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    handle->kind->closed(handle);
    if (type == NULL)
        return;
    if (PyErr_Occurred())
        PyErr_WriteUnraisable((PyObject *)handle);
    PyErr_Restore(type, value, traceback);
}

static int close_handle(struct handle *handle, bool nested)
{
    while (is_in_use(handle) && !is_left_to_others(handle, nested)) {
        end_soon(handle);
        if (wait_for_end() < 0)
            return -1;
    }
    if (is_in_use(handle)) {
        end_soon(handle);
        return 0;
    }
    if (handle->stage >= STAGE_CLOSING)
        return 0;
    if (check_exports(handle) < 0)
        return -1;
    if (handle->stage == STAGE_LENT)
        handle->kind->take_back(handle);
    handle->stage = STAGE_CLOSING; /* nothing more is opened through it */
    handle->inside = PyThread_get_thread_ident();
    if (close_children(handle, nested) < 0 ||
        (handle->kind->settle != NULL && handle->kind->settle(handle) < 0)) {
        if (handle->stage == STAGE_CLOSING)
            handle->stage = STAGE_IDLE;
        tell_waiting();
        return -1;
    }
    if (handle->stage == STAGE_FORKED)
        return handle_refuse(handle);
    close_now(handle);
    tell_closed(handle);
    return PyErr_Occurred() ? -1 : 0;
}

int handle_close(struct handle *handle)
{
    return close_handle(handle, is_nested());
}

void handle_dealloc(struct handle *handle)
{
    PyObject_GC_UnTrack(handle);
    handle->dropped = true;
    if (handle->kind != NULL && handle->stage < STAGE_CLOSING) {
        unlink_handle(handle); /* who looks through the list must not find it any more */
        close_now(handle);
    }
    Py_CLEAR(handle->parent);
    Py_CLEAR(handle->topic);
    PyTypeObject *type = Py_TYPE((PyObject *)handle);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(handle);
    Py_DECREF(type);
}

int handle_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct handle *handle = (struct handle *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)handle->parent);
    Py_VISIT(handle->topic);
    return 0;
}

int handle_clear(PyObject *self)
{
    struct handle *handle = (struct handle *)self;
    Py_CLEAR(handle->parent);
    Py_CLEAR(handle->topic);
    return 0;
}

/* ---- after a fork ---- */

/*
 * A forked child has our descriptors and our memory. It lets go of them, so that the broker notices when the
 * parent dies; but for what a thread of the parent's was inside of at that moment, or what is lent out: that
 * stays mapped, and what can be written to it is the child's own from here on.
 */
PyObject *handle_forget_all(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    forks++;
    while (open_handles != NULL) {
        struct handle *handle = open_handles;
        bool exported = handle->stage == STAGE_LENT && handle->kind->is_exported(handle);
        unlink_handle(handle);
        if (exported && handle->kind->shield != NULL)
            handle->kind->shield(handle);
        if (!exported && (handle->stage == STAGE_IDLE || handle->stage == STAGE_LENT))
            handle->kind->forget(handle);
        handle->stage = STAGE_FORKED;
        handle->client = NULL;
    }
    Py_RETURN_NONE;
}

/* ---- methods ---- */

PyObject *handle_method_close(struct handle *self, PyObject *unused)
{
    (void)unused;
    if (handle_close(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *handle_method_close_counting(struct handle *self, PyObject *unused)
{
    (void)unused;
    if (handle_close(self) < 0)
        return NULL;
    return PyLong_FromLongLong(self->missing);
}

PyObject *handle_method_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (handle_check((struct handle *)self) < 0)
        return NULL;
    return Py_NewRef(self);
}

/* What was sent and is not in its topic: to send it again is for who knows what the sentence says. */
static PyObject *raise_missing(struct handle *self)
{
    PyObject *type, *value, *traceback;
    raise_error(self->state, HERMES_ETIMEOUT, self->sentence);
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *outcome = PyUnicode_FromString("pending"), *taken = PyLong_FromLongLong(self->missing);
    if (outcome == NULL || taken == NULL || PyObject_SetAttrString(value, "outcome", outcome) < 0 ||
        PyObject_SetAttrString(value, "taken", taken) < 0 ||
        PyObject_SetAttrString(value, "retry", Py_False) < 0)
        PyErr_Clear();
    Py_XDECREF(outcome);
    Py_XDECREF(taken);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

PyObject *handle_method_exit(struct handle *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (handle_close(self) < 0)
        return NULL;
    bool under_way = count > 0 && arguments[0] != Py_None; /* an exception, which says enough */
    if (self->missing > 0 && !under_way)
        return raise_missing(self);
    Py_RETURN_NONE;
}

PyObject *handle_get_closed(struct handle *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(handle_is_closed(self));
}

static const char *const stages[] = {"open", "in use", "lent", "closing", "closed", "forked"};

PyObject *handle_repr(struct handle *self, const char *what, const char *number, uint64_t value)
{
    PyObject *name = self->topic != NULL ? self->topic : Py_None;
    const char *stage = stages[self->stage];
    if (number == NULL)
        return PyUnicode_FromFormat("%s(%R, %s)", what, name, stage);
    return PyUnicode_FromFormat("%s(%R, %s=%llu, %s)", what, name, number, (unsigned long long)value, stage);
}
