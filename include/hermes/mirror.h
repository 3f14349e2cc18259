/*
 * hermes/mirror.h - a log on many hosts over UDP, without a broker: a receiver, and a sender of an embedded
 * log.
 *
 * A sender sends its log in datagrams (docs/reference/udp.md has every byte), to one receiver or to a
 * multicast group. A receiver gets the same messages, with the same positions, sequences and time stamps, in
 * order and without a gap; what is lost on the way it asks for again, from the log itself, however old it is.
 * Link with libhermes-mirror (pkg-config hermes-mirror; CMake Hermes::hermes_mirror_shared), which needs
 * OpenSSL's libcrypto; libhermes is the same version.
 *
 *     hermes_mirror_sender_options_t options = {.size = sizeof options};     // beside who writes to log
 *     options.local = "udp://192.0.2.7:7001";
 *     options.flags = HERMES_MIRROR_INSECURE;                    // on a network of your own; else a key
 *     hermes_mirror_sender_t *sender;
 *     if (hermes_mirror_sender_open(log, &options, &sender) < 0)
 *         errx(1, "%s", hermes_mirror_sender_last_error(NULL));
 *     while (!done)
 *         hermes_mirror_sender_run(sender, 1000000000);
 *
 *     hermes_mirror_receiver_options_t options = {.size = sizeof options};   // on another host
 *     options.sender = "udp://192.0.2.7:7001";
 *     options.flags = HERMES_MIRROR_INSECURE;
 *     hermes_mirror_receiver_t *receiver;
 *     if (hermes_mirror_receiver_open(&options, &receiver) < 0)
 *         errx(1, "%s", hermes_mirror_receiver_last_error(NULL));
 *     hermes_message_t message;
 *     int rc;
 *     while ((rc = hermes_mirror_receiver_wait(receiver, &message, 1000000000)) != HERMES_ECLOSED)
 *         if (rc > 0)
 *             fwrite(message.payload, 1, message.length, stdout);
 *
 * examples/c/mirror_send.c and mirror_receive.c are whole programs.
 *
 * Nothing works behind anybody's back: no thread, no signal. What is to be received, asked for, repaired and
 * reported is so within run, poll and wait, which are to be called again and again. Who calls nothing for a
 * second is taken for gone by the other end. A receiver then joins again and catches up, as it does after a
 * restart of the sender; after its own it goes on where it was if it kept the place
 * (hermes_mirror_receiver_place()).
 *
 * Safety. With a key every datagram is encrypted and authenticated, and none is taken twice. Its secret is
 * the sender's choice, 32 random bytes at each of its starts, and how receivers are handed it, each with a
 * number of its own, is the programs' affair: over TLS, not in a file. Another secret takes another sender.
 * All who have the secret could speak in one another's name. Without a key anybody who can send to a host can
 * forge messages to it: only HERMES_MIRROR_INSECURE allows that. Either way a sender sends nothing but
 * challenges, shorter than what they answer, to who has not shown that it gets what is sent to its address.
 *
 * Threads: a handle is for one thread at a time; different handles are independent, and a sender may have
 * another thread than who writes to its log. Memory: a receiver: twice its window and two
 * megabytes, of which only what is used is touched; a sender: a megabyte, and 4 KiB for each receiver there
 * may be. Nothing is allocated after opening.
 */
#ifndef HERMES_MIRROR_H
#define HERMES_MIRROR_H

#include <stddef.h>
#include <stdint.h>

#include "hermes/log.h"
#include "hermes/message.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hermes_mirror_receiver hermes_mirror_receiver_t;
typedef struct hermes_mirror_sender hermes_mirror_sender_t;

/*
 * What the sender made, and handed a receiver. A secret is of one start of a sender, a member's number of one
 * start of a receiver: with the old one after a restart nonces would be used twice, which gives them away.
 */
typedef struct hermes_mirror_key {
    uint8_t secret[32];
    uint16_t id;     /* of the secret: 1, 2, 3 ... of the sender's; not 0 */
    uint16_t member; /* 0: the sender; of a receiver 1, 2, 3 ..., as it was handed out */
} hermes_mirror_key_t;

#define HERMES_MIRROR_LIVE UINT64_MAX /* a position: what comes from now on */
#define HERMES_MIRROR_INSECURE 1u     /* a flag: without a key */

/* ---- receiving ---- */

typedef struct hermes_mirror_receiver_options {
    size_t size;        /* sizeof(hermes_mirror_receiver_options_t): lets the struct grow */
    const char *sender; /* "udp://HOST:PORT"; IPv6 in brackets. What comes from elsewhere is not looked at */
    const char *local;  /* likewise, of this host, port 0: any. NULL: any port, and any address; with a group
                           the one that this host has on the way to the sender */
    const char *group;  /* likewise, of a multicast stream. NULL: it is sent to this receiver alone */
    const char *interface; /* of the group, as "eth1". NULL: the kernel's choice */
    uint64_t topic_id;     /* that the sender must have */
    uint64_t position; /* where to begin: 0: with the first message; HERMES_MIRROR_LIVE; or a former place */
    uint32_t epoch;    /* of a former place; else 0 */
    uint32_t flags;    /* HERMES_MIRROR_...; others: HERMES_ENOTSUP */
    uint64_t window_bytes; /* beyond a gap that it keeps: a power of two, 64 KiB to 1 GiB; 0: 4 MiB */
    uint64_t tag;          /* of a group of receivers that hold the sender up together; 0: none */
    uint64_t silence_ns;   /* after so long without a word the sender is taken for gone; 0: 1 s */
    uint32_t socket_bytes; /* of the kernel's receive buffer, as far as net.core.rmem_max allows; 0: 4 MiB */
    uint32_t spin_us;      /* so long wait looks again and again before it sleeps: up to 1 s; 0: not at all */
    const hermes_mirror_key_t *key; /* NULL: none */
} hermes_mirror_receiver_options_t;

/*
 * Opens, and begins to join; what the sender is asked, and answers, is so within poll and wait. Strings and
 * the key are copied. *receiver is NULL after
 *     HERMES_EINVALID   no size or no sender; an address that is none, or not of this host; a value outside
 *                       of its range; neither key nor HERMES_MIRROR_INSECURE, or both
 *     HERMES_ENOTSUP    an option that this library is too old to know
 *     HERMES_ENOTFOUND  a host or an interface of that name is not known
 *     HERMES_EBUSY      the local address is in use
 *     HERMES_EACCESS    the operating system does not allow it
 *     HERMES_ENOMEM     no memory
 *     HERMES_EIO        it refused a socket, or has no AES-256-GCM
 */
HERMES_API int hermes_mirror_receiver_open(const hermes_mirror_receiver_options_t *options,
                                           hermes_mirror_receiver_t **receiver);

/*
 * 1: *message is the next one, its payload valid until the next call with this receiver; 0: none now.
 *     HERMES_EGONE      the sender does not have what was to come next any more: the next call goes on with
 *                       the oldest that it has, and the sequences say how many messages that were
 *     HERMES_ECLOSED    the log has ended, and all of it was returned
 *     HERMES_EFENCED    what was returned is not, or not any more, in the sender's log: it is another one, or
 *                       lost its end. This handle may only be closed
 *     HERMES_ECHECKSUM  a message is damaged, and was so at the sender; the next call goes on behind it
 *     HERMES_EMALFORMED what came is no log. This handle may only be closed
 * Cost: some 20 ns and the checksum of a message that is there already; else a system call or two, which
 * fetch up to 512 KiB.
 */
HERMES_API int hermes_mirror_receiver_poll(hermes_mirror_receiver_t *receiver, hermes_message_t *message);

/* The same, waiting up to timeout_ns. 0: timed out. HERMES_EINTERRUPTED: a signal handler ran meanwhile. */
HERMES_API int hermes_mirror_receiver_wait(hermes_mirror_receiver_t *receiver, hermes_message_t *message,
                                           uint64_t timeout_ns);

/* For loops of one's own: poll when one of these is readable (how many: 1 or 2), and when so many ns have
 * gone by. They stay the receiver's. */
HERMES_API int hermes_mirror_receiver_descriptors(const hermes_mirror_receiver_t *receiver,
                                                  int descriptors[2]);
HERMES_API uint64_t hermes_mirror_receiver_patience_ns(const hermes_mirror_receiver_t *receiver);

/* Behind the last message that was returned: where a later receiver of the same log goes on. */
HERMES_API void hermes_mirror_receiver_place(const hermes_mirror_receiver_t *receiver, uint64_t *position,
                                             uint32_t *epoch);

enum hermes_mirror_state {
    HERMES_MIRROR_JOINING = 0,   /* nobody answers yet, or any more */
    HERMES_MIRROR_RECEIVING = 1, /* the sender is there */
    HERMES_MIRROR_ENDED = 2,     /* all there will be has come */
    HERMES_MIRROR_DIVERGED = 3,  /* HERMES_EFENCED */
};

typedef struct hermes_mirror_receiver_info {
    size_t size;                   /* sizeof(hermes_mirror_receiver_info_t), set by the caller */
    uint32_t state;                /* enum hermes_mirror_state */
    uint32_t sealed;               /* 1: with a key */
    uint64_t datagrams, bytes;     /* received, of the log */
    uint64_t missed, missed_bytes; /* gaps that were noticed, and what was missing */
    uint64_t late;                 /* gaps that were closed by what had only been overtaken */
    uint64_t lost_bytes;           /* that the sender had no more */
    uint64_t duplicates;           /* slices that were there already */
    uint64_t beyond;               /* that did not fit the window */
    uint64_t naks, joins;          /* sent */
    uint64_t overflows;            /* times that the kernel's buffer was full */
    uint64_t refused;              /* datagrams: malformed or damaged */
    uint64_t strange;              /* of others, of another stream or time; sealed: under another key */
    uint64_t forged, repeated;     /* sealed: that did not open; that had been opened */
} hermes_mirror_receiver_info_t;

/* HERMES_EINVALID: the size was not set. */
HERMES_API int hermes_mirror_receiver_describe(const hermes_mirror_receiver_t *receiver,
                                               hermes_mirror_receiver_info_t *info);

/* Says good-bye to the sender, so that it waits no longer. NULL is allowed. */
HERMES_API void hermes_mirror_receiver_close(hermes_mirror_receiver_t *receiver);

/* NULL: of the last opening of this thread that failed. */
HERMES_API const char *hermes_mirror_receiver_last_error(const hermes_mirror_receiver_t *receiver);

/* ---- sending ---- */

enum hermes_mirror_flow {
    HERMES_MIRROR_ALL = 0,      /* the slowest receiver's window holds the sender up: nobody falls behind */
    HERMES_MIRROR_MAX = 1,      /* the fastest one's: who falls behind catches up from the log */
    HERMES_MIRROR_MIN_GROUP = 2 /* the slowest of those with the tag, once so many are there */
};

typedef struct hermes_mirror_sender_options {
    size_t size;            /* sizeof(hermes_mirror_sender_options_t): lets the struct grow */
    const char *local;      /* "udp://HOST:PORT", of this host, where receivers join; port 0: any */
    const char *group;      /* likewise: a multicast group to which the log is sent. NULL: to one receiver */
    const char *interface;  /* of the group, as "eth1". NULL: the kernel's choice */
    uint64_t topic_id;      /* any number; receivers name the same */
    uint64_t bytes_per_s;   /* no faster; 0: as fast as receivers let it */
    uint64_t window_bytes;  /* no receiver makes it send more ahead, up to 1 GiB; 0: 4 MiB */
    uint64_t silence_ns;    /* who says nothing for so long is taken for gone; 0: 1 s */
    uint64_t group_tag;     /* HERMES_MIRROR_MIN_GROUP: whose window counts, */
    uint32_t group_min;     /* and how many must be there */
    uint32_t flow;          /* enum hermes_mirror_flow */
    uint32_t receivers_max; /* at a time, up to 1,024; 0: 64; without a group 1 */
    uint32_t hops;          /* how far what goes to the group gets; 0: 1, to hosts on the same link */
    uint32_t socket_bytes;  /* of the kernel's receive buffer, as of a receiver; 0: 4 MiB */
    uint32_t flags;         /* HERMES_MIRROR_...; others: HERMES_ENOTSUP */
    uint32_t slice_bytes;   /* of the log in a datagram: 512 to 4,096, a multiple of 64; 0: 1,408, over IPv6
                             * 1,344, which fit the MTU of Ethernet */
    uint32_t spin_us;       /* so long run looks again and again before it sleeps: up to 1 s; 0: not at all */
    const hermes_mirror_key_t *key; /* member 0. NULL: none */
} hermes_mirror_sender_options_t;

/*
 * Sends that log, from what it has on. The log stays open until the sender is closed. It is begun with a new
 * sender after hermes_log_open(): receivers go on with that, where they are. *sender is NULL after
 *     HERMES_EINVALID   no size or no address; an address that is none, or not of this host; a value outside
 *                       of its range; neither key nor HERMES_MIRROR_INSECURE, or both
 *     HERMES_ENOTSUP    an option that this library is too old to know
 *     HERMES_ENOTFOUND  a host or an interface of that name is not known
 *     HERMES_EBUSY      the address is in use
 *     HERMES_EACCESS    the operating system does not allow it
 *     HERMES_ENOMEM, HERMES_ELIMIT  no memory, no descriptor
 *     HERMES_EIO        it refused a socket, or has no AES-256-GCM
 */
HERMES_API int hermes_mirror_sender_open(hermes_log_t *log, const hermes_mirror_sender_options_t *options,
                                         hermes_mirror_sender_t **sender);

/*
 * Does what is to be done: 1: something was received or sent; 0: for timeout_ns there was nothing. While
 * somebody is there, new messages are noticed by who sleeps in it within a millisecond, by who calls it again
 * and again with 0 at once. HERMES_EINTERRUPTED: a signal handler ran meanwhile.
 */
HERMES_API int hermes_mirror_sender_run(hermes_mirror_sender_t *sender, uint64_t timeout_ns);

/* Nothing more will be written: receivers that have everything are told HERMES_ECLOSED. Go on running until
 * hermes_mirror_sender_describe() says that this is done and nobody is there any more: a receiver leaves when
 * it is closed, or a while after it was told (silence_ns). Whose last words were lost on the way may have had
 * everything, and nobody knows: give up some seconds after the last one has gone. */
HERMES_API void hermes_mirror_sender_end(hermes_mirror_sender_t *sender);

/* With a key: that receiver was handed the secret, and is heard from now on; or never any more (who has the
 * secret still reads: give out another). admit: HERMES_EINVALID: 0, or there is no key; HERMES_EEXISTS;
 * HERMES_ELIMIT: receivers_max are admitted. dismiss: HERMES_EINVALID: there is no key. */
HERMES_API int hermes_mirror_sender_admit(hermes_mirror_sender_t *sender, uint16_t member);
HERMES_API int hermes_mirror_sender_dismiss(hermes_mirror_sender_t *sender, uint16_t member);

/* As of a receiver: run when one of these is readable, and when so many ns have gone by. */
HERMES_API int hermes_mirror_sender_descriptors(const hermes_mirror_sender_t *sender, int descriptors[2]);
HERMES_API uint64_t hermes_mirror_sender_patience_ns(const hermes_mirror_sender_t *sender);

typedef struct hermes_mirror_sender_info {
    size_t size;                    /* sizeof(hermes_mirror_sender_info_t), set by the caller */
    uint32_t port;                  /* where receivers join */
    uint32_t receivers;             /* that are there */
    uint64_t done;                  /* 1: since the end somebody had everything, and all who are there have */
    uint64_t position;              /* all below was sent */
    uint64_t datagrams, bytes;      /* of the log, for the first time */
    uint64_t repairs, repair_bytes; /* and again */
    uint64_t naks, joins;           /* received */
    uint64_t full;                  /* joins that found no place */
    uint64_t gone;                  /* asked for what does not exist any more */
    uint64_t refused;               /* datagrams: malformed or damaged */
    uint64_t strange;               /* of who is no receiver; sealed: under another key */
    uint64_t forged, repeated;      /* sealed: that did not open; that had been opened */
} hermes_mirror_sender_info_t;

/* HERMES_EINVALID: the size was not set. */
HERMES_API int hermes_mirror_sender_describe(const hermes_mirror_sender_t *sender,
                                             hermes_mirror_sender_info_t *info);

/* NULL is allowed. Receivers wait for another. */
HERMES_API void hermes_mirror_sender_close(hermes_mirror_sender_t *sender);

/* NULL: of the last opening of this thread that failed. */
HERMES_API const char *hermes_mirror_sender_last_error(const hermes_mirror_sender_t *sender);

#ifdef __cplusplus
}
#endif
#endif
