/*
 * Datagrams that nobody else reads, makes or repeats: AES-256-GCM by OpenSSL, under keys of a secret that the
 * members of a stream share (seal_keys.h). Between a state machine and its socket, at either end:
 *
 *     sealing_make(&sealing, &grant, members_max);
 *     while (sender_next(sender, now_ns, packet) > 0)
 *         packet->length = (uint32_t)sealing_seal(sealing, packet->bytes, packet->length);
 *     ...
 *     int64_t plain = sealing_unseal(sealing, bytes, length);          // what came; in place
 *     if (plain > 0)
 *         receiver_receive(receiver, now_ns, &from, bytes, (size_t)plain);
 *
 * The 48 bytes of the head are authenticated, and can be read; the body is encrypted; the tag is behind it.
 * In place of the CRC stand the secret's id and the member. docs/reference/udp.md is the same in words.
 *
 * What is sealed once is never sealed again under the same number, whatever is asked of it. What was opened
 * is never opened again: a window of numbers for each member, moved only by what was genuine. Who is not
 * known costs a look at 32 bits.
 *
 * It protects a stream from everybody outside. Members of a group have one secret: they could speak in one
 * another's name, and in the sender's. Whoever is to be shut out is left out of the next secret; a shell has
 * one struct sealing for each secret that is in use, and tells them apart by sealing_id().
 *
 * Threads: one. Memory: 2 KiB, 160 bytes for each member, and OpenSSL's two contexts; nothing is allocated
 * for a datagram but by OpenSSL where a key is new.
 */
#ifndef MIRROR_SEAL_H
#define MIRROR_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mirror/seal_keys.h"

struct sealing;

struct seal_counters {
    uint64_t sealed, opened;
    uint64_t malformed; /* too short, too long, not sealed at all */
    uint64_t strange;   /* under another secret, or of nobody that is known */
    uint64_t repeated;  /* opened before, or too old to tell */
    uint64_t forged;    /* the tag is wrong: somebody's doing, or the network's */
};

enum { SEAL_MEMBERS_MAX = 65535 };

/*
 * members_max: whom it listens to at a time. A sender: receivers that it admits (below), 1 or more. A
 * receiver: the sender, and so many others whose NAKs it hears, as they are heard.
 * HERMES_EINVALID, HERMES_ENOMEM, HERMES_EIO (OpenSSL has no AES-256-GCM here). The secret is copied, and
 * wiped by sealing_free().
 */
int sealing_make(struct sealing **sealing, const struct seal_grant *grant, uint32_t members_max);
void sealing_free(struct sealing *sealing); /* NULL is allowed */

/* A sender's: this receiver was handed the secret, and is listened to from now on; or never any more.
 * HERMES_EINVALID: 0; HERMES_EEXISTS; HERMES_ELIMIT: members_max are there. */
int sealing_admit(struct sealing *sealing, uint16_t member);
void sealing_dismiss(struct sealing *sealing, uint16_t member);

/*
 * Seals in place a datagram that was finished without CRC; there is room for DATAGRAM_TAG_BYTES behind it.
 * Its length then. HERMES_EMALFORMED: it is none; HERMES_EINVALID: its number is not higher than that of the
 * one before; HERMES_EIO. After an error it must not be sent.
 */
int64_t sealing_seal(struct sealing *sealing, void *bytes, size_t length);

/*
 * Opens in place what came from anybody. Its length then: a datagram for datagram_check() with
 * DATAGRAM_GUARDED_BY_TAG. HERMES_EMALFORMED, HERMES_EACCESS (another secret, or member), HERMES_EEXISTS (it
 * was opened before, or may have been), HERMES_ECHECKSUM (forged or damaged; what stands there is nothing).
 */
int64_t sealing_unseal(struct sealing *sealing, void *bytes, size_t length);

/* Under which secret it is sealed; 0: it is not. */
uint16_t sealing_id(const void *bytes, size_t length);
/* By which member, of one that has an id. */
uint16_t sealing_member(const void *bytes);

const struct seal_counters *sealing_counters(const struct sealing *sealing);

#endif
