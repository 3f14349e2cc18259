/* A claim: room for one message in the log itself. */
#define _GNU_SOURCE 1
#include "publisher.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct claim {
    PyObject_HEAD struct publisher *publisher; /* NULL: committed or aborted */
    void *payload;
    Py_ssize_t length;
    Py_ssize_t exports;
    PyObject *view; /* a weak reference to what __enter__ gave, which has us */
    uint64_t sequence;
};

PyObject *publisher_claim(struct publisher *self, PyObject *length_object)
{
    uint64_t length = 0;
    struct state *state = self->handle.state;
    if (take_integer(state, length_object, "a claim's length", 0, PY_SSIZE_T_MAX, &length) < 0)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(state->claim_type, Py_tp_alloc);
    struct claim *claim = (struct claim *)(void *)allocate(state->claim_type, 0);
    if (claim == NULL)
        return NULL;
    struct attempt a = {.claims = true, .is_step = true, .length = (size_t)length};
    int rc = handle_check(&self->handle);
    if (rc == 0 && (rc = attempt_once(self, &a)) < 0)
        rc = attempt_complete(self, &a, rc);
    if (rc == 0 && self->handle.stage != STAGE_IDLE) /* it was closed on the way out */
        rc = handle_refuse(&self->handle);
    if (rc < 0) {
        Py_DECREF(claim);
        return NULL;
    }
    claim->publisher = (struct publisher *)(void *)Py_NewRef((PyObject *)self);
    claim->payload = a.claimed;
    claim->length = (Py_ssize_t)length;
    self->claim = claim;
    self->handle.stage = STAGE_LENT;
    return (PyObject *)claim;
}

bool claim_is_exported(struct handle *handle)
{
    const struct publisher *self = (struct publisher *)(void *)handle;
    return self->claim->exports > 0;
}

void claim_refuse_lent(struct handle *handle)
{
    refuse_argument(handle->state, "a claim is open: leave its block, or commit or abort it first");
}

/* Pages of our own in place of the parent's, with what stands there: a forked child has but one thread. */
void claim_shield(struct handle *handle)
{
    const struct claim *claim = ((struct publisher *)(void *)handle)->claim;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)claim->payload & ~(page - 1);
    size_t bytes = (((uintptr_t)claim->payload + (size_t)claim->length + page - 1) & ~(page - 1)) - from;
    if (bytes == 0)
        return;
    void *own = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own != MAP_FAILED)
        memcpy(own, (const void *)from, bytes);
    /* Without memory better a crash here than a message that nobody sent there. */
    if (own == MAP_FAILED ||
        mremap(own, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)from) == MAP_FAILED)
        (void)mprotect((void *)from, bytes, PROT_READ);
}

/* The publisher goes on without it; its reference is the caller's. NULL: it had been ended before. */
static struct publisher *end_claim(struct claim *claim)
{
    struct publisher *publisher = claim->publisher;
    claim->publisher = NULL;
    if (publisher == NULL)
        return NULL;
    publisher->claim = NULL;
    if (publisher->handle.stage == STAGE_LENT)
        publisher->handle.stage = STAGE_IDLE;
    return publisher;
}

/* Nobody writes to it any more. */
static void abort_claim(struct claim *claim)
{
    struct publisher *publisher = end_claim(claim);
    hermes_abort(publisher->publisher);
    Py_DECREF((PyObject *)publisher);
}

void claim_take_back(struct handle *handle)
{
    abort_claim(((struct publisher *)(void *)handle)->claim);
}

/* The view that __enter__ gave ends with the claim. It cannot, while others look through it. */
static int release_view(struct claim *claim)
{
    PyObject *view = claim->view == NULL ? NULL : PyWeakref_GetObject(claim->view);
    if (view == NULL || view == Py_None)
        return 0;
    Py_INCREF(view);
    PyObject *released = PyObject_CallMethod(view, "release", NULL);
    Py_DECREF(view);
    Py_XDECREF(released);
    return released == NULL ? -1 : 0;
}

static int check_ending(struct claim *claim)
{
    if (release_view(claim) < 0)
        return -1;
    if (claim->exports > 0) {
        PyErr_Format(PyExc_BufferError, "%zd views of the claim are still in use", claim->exports);
        return -1;
    }
    if (claim->publisher == NULL)
        return refuse_argument(PyType_GetModuleState(Py_TYPE((PyObject *)claim)),
                               "this claim was committed or aborted before");
    return claim->publisher->handle.stage == STAGE_LENT ? 0 : handle_refuse(&claim->publisher->handle);
}

static PyObject *claim_commit(struct claim *self, PyObject *unused)
{
    (void)unused;
    if (check_ending(self) < 0)
        return NULL;
    struct publisher *publisher = end_claim(self);
    struct attempt a = {.total = 1};
    int rc = hermes_commit(publisher->publisher, &a.sequence);
    a.taken = rc == 0 || rc == HERMES_EDISCONNECTED;
    rc = rc < 0 || publisher->confirms ? attempt_complete(publisher, &a, rc) : 0;
    self->sequence = a.sequence;
    Py_DECREF((PyObject *)publisher);
    return rc < 0 ? NULL : PyLong_FromUnsignedLongLong(self->sequence);
}

static PyObject *claim_abort(struct claim *self, PyObject *unused)
{
    (void)unused;
    if (check_ending(self) < 0)
        return NULL;
    abort_claim(self);
    Py_RETURN_NONE;
}

static PyObject *claim_enter(struct claim *self, PyObject *unused)
{
    (void)unused;
    PyObject *view = PyMemoryView_FromObject((PyObject *)self);
    PyObject *reference = view == NULL ? NULL : PyWeakref_NewRef(view, NULL);
    if (reference == NULL) {
        Py_XDECREF(view);
        return NULL;
    }
    Py_XDECREF(self->view);
    self->view = reference;
    return view;
}

static PyObject *claim_exit(struct claim *self, PyObject *const *arguments, Py_ssize_t count)
{
    if (self->publisher == NULL)
        Py_RETURN_NONE; /* ended inside the block */
    bool good = count > 0 && arguments[0] == Py_None;
    PyObject *result = good ? claim_commit(self, NULL) : claim_abort(self, NULL);
    if (result == NULL)
        return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static void claim_dealloc(struct claim *self)
{
    PyObject_GC_UnTrack(self);
    bool is_open = self->publisher != NULL && self->publisher->handle.stage == STAGE_LENT;
    if (is_open)
        abort_claim(self);
    else
        Py_XDECREF((PyObject *)end_claim(self)); /* of the parent process */
    Py_CLEAR(self->view);
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static int claim_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct claim *claim = (struct claim *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)claim->publisher);
    Py_VISIT(claim->view);
    return 0;
}

/* Of a cycle: what is exported is cleared by who has it. */
static int claim_clear(PyObject *self)
{
    Py_CLEAR(((struct claim *)self)->view);
    return 0;
}

static int claim_get_buffer(struct claim *self, Py_buffer *buffer, int flags)
{
    if (self->publisher == NULL || self->publisher->handle.stage != STAGE_LENT) {
        buffer->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "this claim was committed or aborted");
        return -1;
    }
    if (PyBuffer_FillInfo(buffer, (PyObject *)self, self->payload, self->length, 0, flags) < 0)
        return -1;
    self->exports++;
    return 0;
}

static void claim_release_buffer(struct claim *self, Py_buffer *buffer)
{
    (void)buffer;
    self->exports--;
}

static PyObject *claim_get_sequence(struct claim *self, void *unused)
{
    (void)unused;
    return self->sequence == 0 ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(self->sequence);
}

static PyObject *claim_repr(struct claim *self)
{
    bool is_open = self->publisher != NULL && self->publisher->handle.stage == STAGE_LENT;
    return PyUnicode_FromFormat("Claim(%zd bytes, sequence=%llu, %s)", self->length,
                                (unsigned long long)self->sequence, is_open ? "open" : "ended");
}

/* ---- what Python sees ---- */

static PyMethodDef claim_methods[] = {
    {"commit", (PyCFunction)claim_commit, METH_NOARGS,
     "commit($self, /)\n--\n\nPublishes what was written; its sequence."},
    {"abort", (PyCFunction)claim_abort, METH_NOARGS,
     "abort($self, /)\n--\n\nGives the room back; nothing is published."},
    {"__enter__", (PyCFunction)claim_enter, METH_NOARGS, "A writable memoryview of the room."},
    {"__exit__", (PyCFunction)(void *)claim_exit, METH_FASTCALL, "commit(), or abort() after an exception."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef claim_properties[] = {
    {"sequence", (getter)claim_get_sequence, NULL, "The message's sequence once it was committed; else None.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot claim_slots[] = {
    {Py_tp_doc,
     "Room for one message in the log. Made by Publisher.claim(); a writable buffer.\n\n"
     "Ending it while an array or another memoryview of it is alive raises BufferError, and the claim stays\n"
     "open: nobody can write to a message that is out."},
    {Py_tp_dealloc, (void *)claim_dealloc},
    {Py_tp_traverse, (void *)claim_traverse},
    {Py_tp_clear, (void *)claim_clear},
    {Py_tp_repr, (void *)claim_repr},
    {Py_tp_methods, claim_methods},
    {Py_tp_getset, claim_properties},
    {Py_bf_getbuffer, (void *)claim_get_buffer},
    {Py_bf_releasebuffer, (void *)claim_release_buffer},
    {0, NULL},
};

PyType_Spec claim_spec = {"hermes_msg.Claim", sizeof(struct claim), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                              Py_TPFLAGS_IMMUTABLETYPE,
                          claim_slots};
