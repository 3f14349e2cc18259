/*
 * Mirrors: a topic of this broker that is sent to others in datagrams, or that is a copy of another broker's
 * (docs/reference/udp.md, src/mirror/).
 *
 *     serves    others get the topic from an address of ours: serve.c
 *     follows   the topic here is the copy of what is sent from there, at the same positions: follow.c
 *
 * Each is a thread of its own. A topic that is sent is read as any reader does, so who publishes to it
 * notices nothing; where it is read from the store, a disk holds up nobody else. A topic that follows has
 * that thread for its writer (WRITER_OWNER): no publisher is let in, and nobody alters, purges or deletes its
 * log.
 *
 *     <topic>/mirror.conf    from where to where, for the next start
 *     <topic>/mirror.epoch   of a copy: how far its source's epochs were told; record.h
 *
 * All is the loop's, but what the threads have (engine.h). What waits for a disk or for a thread is a job of
 * topic->turns.
 */
#ifndef BROKER_MIRROR_MIRROR_H
#define BROKER_MIRROR_MIRROR_H

#include "broker/mirror/engine.h"
#include "broker/mirror/grants.h"
#include "broker/topic.h"

enum { MIRRORS_MAX = 64 };

struct mirror {
    struct mirror *next; /* in broker->mirrors */
    struct broker *broker;
    struct engine engine;
    struct grants grants; /* serves */
    bool changing;        /* it is being begun, or ended */
    bool told;            /* its definition is on the disk */
    uint64_t asker;       /* the session that asked for that; 0: none */
    struct job job;
    int result;
    struct error_text text;
};

/* NULL: the topic has none of that role. */
struct mirror *mirror_find(struct broker *broker, const struct topic *topic, enum mirror_role role);

/* Begins to make one, and to end one, in topic->turns: behind that job topic->mirror_result says what came of
 * it, to who asked. HERMES_EEXISTS, HERMES_EBUSY, HERMES_ELIMIT, HERMES_EINVALID, ...: nothing was begun. */
int mirror_add(struct topic *topic, enum mirror_role role, const char *url, uint64_t asker,
               struct error_text *text);
int mirror_remove(struct mirror *mirror, uint64_t asker, struct error_text *text);

/* Those of a former run: read from the disk, when topics are; and begun again, when nothing can fail any
 * more.
 */
void mirrors_load(struct broker *broker);
void mirrors_start(struct broker *broker);

/* An orderly stop, when no job is under way: all threads end. Blocks. */
void mirrors_stop(struct broker *broker);

#endif
