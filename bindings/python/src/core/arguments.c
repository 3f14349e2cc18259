/* What Python passes, as C needs it. Everything here may run Python code. */
#include "module.h"

#include <math.h>
#include <string.h>

int refuse_argument(struct state *state, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *sentence = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    if (sentence != NULL)
        PyErr_SetObject(state->errors[-HERMES_EINVALID], sentence);
    Py_XDECREF(sentence);
    return -1;
}

int take_integer(struct state *state, PyObject *object, const char *what, uint64_t least, uint64_t most,
                 uint64_t *value)
{
    if (object == NULL)
        return 0;
    PyObject *number = PyNumber_Index(object);
    if (number == NULL)
        return -1;
    uint64_t taken = PyLong_AsUnsignedLongLong(number);
    Py_DECREF(number);
    bool failed = PyErr_Occurred() != NULL;
    if (failed && !PyErr_ExceptionMatches(PyExc_OverflowError))
        return -1;
    PyErr_Clear();
    if (failed || taken < least || taken > most)
        return refuse_argument(state, "%s is a number from %llu to %llu, not %R", what,
                               (unsigned long long)least, (unsigned long long)most, object);
    *value = taken;
    return 0;
}

/* The exception that is set: a ValueError becomes InvalidArgument, which says of what. */
static int name_value_error(struct state *state, const char *what)
{
    PyObject *type, *reason, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_ValueError))
        return -1;
    PyErr_Fetch(&type, &reason, &traceback);
    refuse_argument(state, "%s: %S", what, reason);
    Py_XDECREF(type);
    Py_XDECREF(reason);
    Py_XDECREF(traceback);
    return -1;
}

/* What a function of _support makes of it: an int, or ValueError, which becomes InvalidArgument. */
static int ask_support(struct state *state, const char *function, PyObject *object, const char *what,
                       uint64_t *value)
{
    PyObject *number = PyObject_CallMethod(state->support, function, "O", object);
    if (number == NULL)
        return name_value_error(state, what);
    int rc = take_integer(state, number, what, 0, UINT64_MAX, value);
    Py_DECREF(number);
    return rc;
}

int take_size(struct state *state, PyObject *size, const char *what, uint64_t *bytes)
{
    if (size != NULL && PyUnicode_Check(size))
        return ask_support(state, "to_bytes", size, what, bytes);
    return take_integer(state, size, what, 0, UINT64_MAX, bytes);
}

int take_age(struct state *state, PyObject *age, uint64_t *ns)
{
    if (age == Py_None)
        *ns = 0;
    return age == NULL || age == Py_None ? 0 : ask_support(state, "to_ns", age, "a time", ns);
}

int take_timeout(struct state *state, PyObject *seconds, uint64_t *ns)
{
    if (seconds == NULL)
        return 0;
    *ns = HERMES_FOREVER;
    if (seconds == Py_None)
        return 0;
    if (!PyFloat_Check(seconds) && !PyLong_Check(seconds)) /* the usual need no help */
        return ask_support(state, "to_ns", seconds, "a time-out", ns);
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError))
            return -1;
        PyErr_Clear();
        value = -1;
    }
    if (isnan(value) || value < 0)
        return refuse_argument(state, "a time-out is in seconds, 0 or more, or None to wait for ever, not %R",
                               seconds);
    if (value < 1e9)
        *ns = (uint64_t)(value * 1e9);
    return 0;
}

const char *take_text(struct state *state, PyObject *object, const char *what)
{
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s is a str, not %R", what, Py_TYPE(object));
        return NULL;
    }
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(object, &length);
    if (text != NULL && strlen(text) == (size_t)length)
        return text;
    if (text == NULL && !PyErr_ExceptionMatches(PyExc_UnicodeError))
        return NULL;
    PyErr_Clear();
    refuse_argument(state, "%s cannot be %R", what, object);
    return NULL;
}

int take_path(struct state *state, PyObject *object, PyObject **path)
{
    if (PyUnicode_FSConverter(object, path))
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_ValueError)) /* a null character, or one that no name has */
        return -1;
    PyErr_Clear();
    return refuse_argument(state, "a path cannot be %R", object);
}

int take_choice(struct state *state, PyObject *object, const char *what, const char *const *words,
                uint32_t *number)
{
    if (object == NULL)
        return 0;
    const char *text = take_text(state, object, what);
    if (text == NULL)
        return -1;
    for (uint32_t i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0) {
            *number = i;
            return 0;
        }
    return refuse_argument(state, "%s cannot be %R", what, object);
}

int take_confirmation(struct state *state, PyObject *name, enum hermes_confirmation *confirmation)
{
    static const char *const words[] = {"committed", "durable", NULL};
    uint32_t number = HERMES_COMMITTED;
    int rc = take_choice(state, name, "a confirmation ('committed' or 'durable')", words, &number);
    *confirmation = (enum hermes_confirmation)number;
    return rc;
}

int take_start(struct state *state, PyObject *object, struct start *start)
{
    static const char *const words[] = {"first", "end", "last", NULL};
    if (PyUnicode_Check(object)) {
        uint32_t word = 0;
        int rc = take_choice(state, object, "start ('end', 'first', 'last', a sequence or a datetime)", words,
                             &word);
        start->kind = word == 0 ? START_FIRST : word == 1 ? START_END : START_LAST;
        return rc;
    }
    if (PyLong_Check(object) && !PyBool_Check(object)) {
        start->kind = START_SEQUENCE;
        return take_integer(state, object, "a sequence", 0, UINT64_MAX, &start->value);
    }
    PyObject *is_time = PyObject_CallMethod(state->support, "is_datetime", "O", object);
    bool known = is_time == Py_True;
    Py_XDECREF(is_time);
    if (is_time == NULL)
        return -1;
    if (!known) {
        PyErr_Format(PyExc_TypeError, "start is 'end', 'first', 'last', a sequence or a datetime, not %R",
                     object);
        return -1;
    }
    start->kind = START_TIME;
    return ask_support(state, "to_timestamp", object, "start", &start->value);
}

/* ---- buffers ---- */

/* Does the format (PEP 3118) speak of pointers? What stands between colons are names of fields. */
static bool format_has_pointers(const char *format)
{
    for (bool in_name = false; *format != 0; format++) {
        if (*format == ':')
            in_name = !in_name;
        else if (in_name)
            continue;
        else if (*format == 'Z' && format[1] != 0 && strchr("fdg", format[1]) != NULL)
            format++; /* a complex number */
        else if (strchr("OPzZX&", *format) != NULL)
            return true;
    }
    return false;
}

static int refuse_pointers(void)
{
    PyErr_SetString(PyExc_TypeError, "an array of Python objects or pointers cannot be a message");
    return -1;
}

/* NumPy has types that formats have no letter for: times. Such an array says so in its dtype. */
static int take_without_format(PyObject *object, Py_buffer *buffer, int flags)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *dtype = PyObject_GetAttrString(object, "dtype");
    PyObject *has = dtype == NULL ? NULL : PyObject_GetAttrString(dtype, "hasobject");
    Py_XDECREF(dtype);
    if (has == NULL) {
        PyErr_Restore(type, value, traceback);
        return -1;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    int pointers = PyObject_IsTrue(has);
    Py_DECREF(has);
    if (pointers != 0)
        return pointers < 0 ? -1 : refuse_pointers();
    return PyObject_GetBuffer(object, buffer, flags);
}

int take_buffer(struct state *state, PyObject *object, Py_buffer *buffer, int flags)
{
    flags |= PyBUF_ND | PyBUF_C_CONTIGUOUS;
    if (PyObject_GetBuffer(object, buffer, flags | PyBUF_FORMAT) < 0) {
        int rc = take_without_format(object, buffer, flags);
        return rc < 0 ? name_value_error(state, "an array") : 0;
    }
    if (buffer->format == NULL || !format_has_pointers(buffer->format))
        return 0;
    PyBuffer_Release(buffer);
    return refuse_pointers();
}
