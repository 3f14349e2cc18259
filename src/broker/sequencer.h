/*
 * The sequencer: takes frames from producers' rings, gives each its place in the topic's one order,
 * and appends it to the log. It runs in the event loop.
 *
 * A ring is a window of its own, written by its producer, gated by `consumed` in the status page. What
 * stands there belongs to a stranger: the header is copied once and checked, the payload copied once,
 * by a length that no longer changes. Sequence and CRC are put right without reading the payload.
 *
 * What a ring holds outlives its session. A ring that is left takes nothing more (its mark goes, then every
 * producer fences: barrier_remote()), but what was committed until then goes into the log as room allows, and
 * only then the ring goes. Its line says `ended` from then on, for a producer that lives and asks; it is free
 * when the producer closed in order or has another ring; when no line is free, the one whose ring ended
 * longest ago is given away, those of a former broker first.
 *
 * Exactly once across a crash of the broker. Before a batch the journal names the ring, the end of the
 * log, and the last message consumed from that ring; after it, the ring's line is stored. If the
 * broker dies in between, the messages behind the journal's position came from that ring and no other, so
 * counting them gives the ring's line; the next owner of the log does that before anybody can see that
 * it is there (repair_journal() in log/log.c). The producer, reconnecting, reads that line and sends
 * again what is not in the log.
 */
#ifndef BROKER_SEQUENCER_H
#define BROKER_SEQUENCER_H

#include "broker/session.h"
#include "broker/topic.h"
#include "log/pace.h"

/* A producer's ring of a topic whose log the broker writes. */
struct ring {
    struct topic *topic;
    struct broker *broker;
    struct session *session; /* NULL: it is left */
    unsigned index;          /* in the status page, and in topic->rings */
    uint64_t id;             /* 0, until it has its line: another than all before */
    uid_t uid;               /* whose share of rings and memory it is of */
    struct map map;
    int fd;
    int eventfd;
    const uint8_t *data;
    uint64_t mask;
    uint64_t position;
    uint64_t sequence; /* of its next message */
    struct pace pace;  /* its producer is let go ahead, as a publisher is by readers */
    bool is_fed;       /* the loop fills it, with what came through a connection */
    bool condemned;    /* it sent something malformed */
    bool left;         /* no later than `until` */
    uint64_t until;    /* what is left of it: nothing behind this counts */
    bool keeps_line;   /* its producer may come and ask */
    struct poller_owner owner;
    struct poller_op wake;
    struct job job; /* gives its memory back */
};

/* Its memory, in the principal's share; nobody has it yet. Any thread: ring_make(); the loop: the others. */
int ring_new(struct session *session, struct ring **ring, struct error_text *text);
int ring_make(struct ring *ring, struct error_text *text);
void ring_free(struct ring *ring);

/* Gives it a line of the topic, whose log the owner writes. sequence: of its first message. */
int sequencer_add_ring(struct topic *topic, struct ring *ring, struct session *session, uint64_t sequence,
                       struct error_text *text);
/* Its producer knows of it: from here on its line outlives a crash of ours, in place of that of a former ring
 * with its id. A line whose producer never learned of it is free after one. */
void sequencer_keep_line(struct ring *ring);
/* The line of the ring with that id, whether it is there still or not; -1: there is none (any more). */
int sequencer_find_line(const struct topic *topic, uint64_t id);
/* The loop fills it itself from now on: before it sleeps it need not ask for news of it. */
void sequencer_feed(struct ring *ring);

/*
 * What the loop has for a ring that it feeds goes into the log at once where the ring is empty, and there is
 * room: without a copy in the ring, and a turn for it. For who crashes and comes back it came from the ring.
 *
 *     if (sequencer_begin(ring, &batch)) {
 *         while (sequencer_take(ring, &batch, ...))
 *             ...
 *         sequencer_end_batch(ring, &batch);
 *     }
 */
struct batch {
    uint64_t begin;  /* in the log */
    uint64_t end;    /* behind that the journal would be overwritten */
    uint64_t first;  /* its first message */
    uint8_t *origin; /* the place of its ORIGIN frame; NULL: it has none */
};

/* false: by way of the ring. */
bool sequencer_begin(const struct ring *ring, struct batch *batch);
/* The ring's next message, whose header was checked. false: the rest by way of the ring. */
bool sequencer_take(struct ring *ring, const struct batch *batch, const hermes_header_t *header,
                    const uint8_t *payload, uint64_t frame_bytes);
void sequencer_end_batch(const struct ring *ring, const struct batch *batch);

/* Takes no more from it but what was committed by now. closed: its producer said so, and will not ask. */
void sequencer_leave_ring(struct ring *ring, bool closed);
/* The producer of a line that is left has another one now. */
void sequencer_free_line(struct topic *topic, uint32_t line, uint64_t id);
/* At an orderly stop, when no session and no task is there any more: what is in the rings goes into the log,
 * and that into its store, as far as there is room. Rings that still hold something are given up: true. */
bool sequencer_end(struct topic *topic);

/*
 * Appends frames that the broker made itself, one after the other and whole but for sequence and commit, to a
 * shared topic that is open. *appended: how many are in it. HERMES_EAGAIN: for the rest there is no room, or
 * the log changes hands; HERMES_EIO: its store failed.
 */
int sequencer_append(struct topic *topic, const uint8_t *frames, size_t bytes, unsigned *appended);

/* One turn over the rings, some hundred KiB at most; returns how many bytes moved, with those that went past
 * rings since the last one. */
uint64_t sequencer_turn(struct broker *broker);
/* Announces that producers must wake us; returns how long to sleep: 0: there is something to do after all. */
uint64_t sequencer_park(struct broker *broker);
void sequencer_unpark(struct broker *broker);

#endif
