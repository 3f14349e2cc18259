/* The module itself: its functions, types and constants. */
#include "module.h"

struct state *module_state(PyObject *module)
{
    return PyModule_GetState(module);
}

static PyMethodDef functions[] = {
    {"connect", (PyCFunction)(void *)client_connect, METH_VARARGS | METH_KEYWORDS,
     "connect(url=None, *, tls_ca=None, tls_cert=None, tls_key=None, tls_server_name=None, token=None, "
     "token_file=None)\n--\n\n"
     "A session with a broker: a Client. url: 'tls://HOST:PORT', 'tcp://HOST:PORT', 'unix:/path/broker.sock' "
     "or the\n"
     "path, several with commas; None: $HERMES_URL, else $HERMES_HOME, else the default place of this "
     "user.\n"
     "A broker of this host is gone on with through shared memory, whatever the URL (Client.transport); a "
     "URL\n"
     "that ends in '?shm=no' stays on the connection.\n\n"
     "tls_ca: a file of the authorities that may vouch for the broker. tls_cert, tls_key: files of this "
     "client's\n"
     "certificate and key. tls_server_name: what the broker's certificate is to name, where that is not "
     "HOST. "
     "token:\n"
     "the secret that says who this is; token_file: a file whose first line it is, read for each connection. "
     "None:\n"
     "$HERMES_TLS_CA ... $HERMES_TOKEN_FILE; '': nothing. Raises Disconnected if nobody listens there, "
     "AccessDenied\n"
     "if one end does not trust the other, and says why."},
    {"_open_log", (PyCFunction)(void *)writer_open, METH_VARARGS | METH_KEYWORDS,
     "_open_log(path, *, window_bytes=0, segment_bytes=0, sync_interval=0.01, checksum=True)\n--\n\n"
     "Opens the log at path for appending; makes it if it is not there. One writer at a time (Busy)."},
    {"_open_log_reader", (PyCFunction)(void *)log_reader_open, METH_VARARGS | METH_KEYWORDS,
     "_open_log_reader(path, start='first')\n--\n\n"
     "Opens the log at path for reading, in any process. start as in Client.subscriber()."},
    {"encode", (PyCFunction)(void *)message_encode, METH_VARARGS | METH_KEYWORDS,
     "encode(payload, *, sequence=1, timestamp=0, checksum=True)\n--\n\n"
     "A message as it stands in the log and on the wire: header of 32 bytes, then payload."},
    {"decode", message_decode, METH_O,
     "decode(buffer, /)\n--\n\n"
     "The message that encode() gave these bytes for. Raises MalformedError, ChecksumError, VersionError or\n"
     "PayloadTooLarge for bytes that are none."},
    {"_restore_message", message_restore, METH_VARARGS, "What pickle calls."},
    {"_forget_all", handle_forget_all, METH_NOARGS, "After a fork, in the child."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

static int execute(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    if (errors_add(module, state) < 0)
        return -1;
    const struct {
        PyTypeObject **type;
        PyType_Spec *spec;
    } types[] = {
        {&state->client_type, &client_spec},   {&state->publisher_type, &publisher_spec},
        {&state->claim_type, &claim_spec},     {&state->subscriber_type, &subscriber_spec},
        {&state->reader_type, &reader_spec},   {&state->view_type, &view_spec},
        {&state->message_type, &message_spec}, {&state->writer_type, &writer_spec},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if ((*types[i].type = add_type(module, types[i].spec)) == NULL)
            return -1;
    state->support = PyImport_ImportModule("hermes_msg._support");
    if (state->support == NULL || PyModule_AddIntConstant(module, "PAYLOAD_MAX", HERMES_PAYLOAD_MAX) < 0 ||
        PyModule_AddIntConstant(module, "HEADER_BYTES", HERMES_HEADER_BYTES) < 0)
        return -1;
    /* What a child inherits is its parent's: see handle.c. */
    PyObject *os = PyImport_ImportModule("os"), *forget = PyObject_GetAttrString(module, "_forget_all");
    PyObject *arguments = PyTuple_New(0), *keywords = Py_BuildValue("{s:O}", "after_in_child", forget);
    PyObject *at_fork = os == NULL ? NULL : PyObject_GetAttrString(os, "register_at_fork");
    PyObject *done = at_fork == NULL || keywords == NULL || arguments == NULL
                         ? NULL
                         : PyObject_Call(at_fork, arguments, keywords);
    bool failed = done == NULL;
    Py_XDECREF(done);
    Py_XDECREF(at_fork);
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    Py_XDECREF(forget);
    Py_XDECREF(os);
    return failed ? -1 : 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *state = PyModule_GetState(module);
    Py_VISIT(state->support);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)execute}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "hermes_msg._core",
    .m_doc = "The C part of hermes_msg.",
    .m_size = sizeof(struct state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
};

PyMODINIT_FUNC PyInit__core(void);
PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
