/*
 * hermes/error.h - the errors that every Hermes function returns.
 *
 * A function that can fail returns 0 (or a count) on success and one of these negative values
 * otherwise. errno is never the answer. Where context helps, the handle keeps a sentence:
 * hermes_last_error(), hermes_log_last_error().
 *
 *     int rc = hermes_publish(publisher, "hi", 2, NULL);
 *     if (rc < 0) fprintf(stderr, "publish: %s\n", hermes_strerror(rc));
 *
 * Thread-safe. Cost: none worth naming.
 */
#ifndef HERMES_ERROR_H
#define HERMES_ERROR_H

#ifdef __cplusplus
extern "C" {
#define HERMES_STATIC_ASSERT static_assert
#else
#define HERMES_STATIC_ASSERT _Static_assert
#endif

#if defined(__GNUC__)
#define HERMES_API __attribute__((visibility("default")))
#else
#define HERMES_API
#endif

enum hermes_error {
    HERMES_OK = 0,
    HERMES_EINVALID = -1,       /* an argument is outside its documented range */
    HERMES_ENOMEM = -2,         /* out of memory */
    HERMES_EIO = -3,            /* the operating system refused a read, a write or a mapping */
    HERMES_EFULL = -4,          /* no room: disk or shared memory is full */
    HERMES_EACCESS = -5,        /* permission denied */
    HERMES_ENOTFOUND = -6,      /* no such topic, file, position or broker */
    HERMES_EEXISTS = -7,        /* it exists already */
    HERMES_EBUSY = -8,          /* in use: another publisher, another writer, another broker */
    HERMES_EAGAIN = -9,         /* nothing now: the log would have to wait */
    HERMES_ETIMEOUT = -10,      /* the time given ran out */
    HERMES_ETOOLARGE = -11,     /* payload over 65,536 bytes, or a value over its limit */
    HERMES_ENAME = -12,         /* not a legal topic name */
    HERMES_EVERSION = -13,      /* written by another, unknown version */
    HERMES_EMALFORMED = -14,    /* the bytes are not what the format says */
    HERMES_ECHECKSUM = -15,     /* CRC-32 does not match */
    HERMES_ECORRUPT = -16,      /* stored bytes below the confirmed end are damaged */
    HERMES_EGONE = -17,         /* that position no longer exists: overwritten or retired */
    HERMES_EFENCED = -18,       /* another publisher has taken over; this handle may only be closed */
    HERMES_EDISCONNECTED = -19, /* the broker went away */
    HERMES_EPROTOCOL = -20,     /* the peer broke the control protocol */
    HERMES_ELIMIT = -21,        /* a documented limit is reached */
    HERMES_ENOTSUP = -22,       /* this kernel or machine cannot do it, or this library does not know it */
    HERMES_ECLOSED = -23,       /* the topic was deleted, or the log was closed */
    HERMES_EINTERRUPTED = -24,  /* a signal handler asked to stop waiting */
    HERMES_EEXPIRED = -25, /* the message is not this member's any more: it comes again, or is given up */
};

/* "HERMES_EFENCED: another publisher has taken over ..." for a code; never NULL. Static storage. */
HERMES_API const char *hermes_strerror(int error);

/* "HERMES_EFENCED": the bare name, for logs and scripts. Static storage. */
HERMES_API const char *hermes_error_name(int error);

#ifdef __cplusplus
}
#endif
#endif
