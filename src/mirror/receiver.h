/*
 * A receiver of a mirror: from datagrams and time to datagrams, and a log. No socket, no clock, no thread: a
 * shell has those (or a simulator).
 *
 *     receiver_open(&receiver, &config, &sink);
 *     for (;;) {
 *         wait for a datagram until receiver_wake_ns(receiver)
 *         receiver_receive(receiver, now_ns, &from, bytes, length);    // calls the sink
 *         while (receiver_next(receiver, now_ns, &packet) > 0)
 *             send packet
 *     }
 *
 * It joins by itself, and again when nothing was heard for long; goes on where it was; follows the sender's
 * epochs and restarts. Where it cannot - its log and the sender's differ, or the sender's has ended - it says
 * so in its state and sends nothing more of its own accord.
 *
 * Times are any monotonic clock's, which does not go back. Nothing is allocated after receiver_open():
 * window_bytes, and about 200 KiB. Whatever the datagrams are, a call touches nothing else, and takes as long
 * as it takes to copy a datagram and to go once over the gaps (GAPS_MAX).
 */
#ifndef MIRROR_RECEIVER_H
#define MIRROR_RECEIVER_H

#include "mirror/image.h"
#include "mirror/naks.h"
#include "mirror/packet.h"

struct receiver_config {
    uint64_t topic_id;            /* 0: whatever the sender has */
    uint64_t known_topic_id;      /* whose bytes its sink has: another is another log; 0: none's */
    struct mirror_address sender; /* only what comes from there counts */
    uint64_t position;            /* the first byte it wants; DATAGRAM_LIVE: what comes from now on */
    uint32_t epoch;               /* that its sink was told last; 0: none */
    bool multicast;               /* NAKs go to the group, and those of others are heard */
    bool sealed;                  /* datagrams were opened before they come here */
    uint64_t tag;                 /* of a group of receivers that hold the window; 0: none */
    uint64_t window_bytes;        /* a power of two, 64 KiB to 1 GiB: bytes beyond a gap that it keeps */
    uint64_t silence_ns;          /* after so long without a word the sender is taken for gone; 0: 1 s */
    uint64_t seed;                /* random, and another at each start */
};

enum receiver_state {
    RECEIVER_JOINING,   /* nobody has answered yet, or any more */
    RECEIVER_RECEIVING, /* the log goes on */
    RECEIVER_ENDED,     /* the sink has the last byte there will be */
    RECEIVER_DIVERGED,  /* it has bytes that are not in the sender's log, or of another topic */
    RECEIVER_LEFT,
};

struct receiver_counters {
    uint64_t datagrams, bytes;     /* received, of the log */
    uint64_t refused;              /* malformed, damaged, of an unknown version */
    uint64_t strange;              /* not from the sender, or of another session */
    uint64_t duplicates, beyond;   /* slices that were there already; that did not fit */
    uint64_t missed_bytes, missed; /* noticed; in how many gaps */
    uint64_t late;                 /* gaps that were closed by what was only late */
    uint64_t lost_bytes;           /* that the sender had no more */
    uint64_t naks, overheard;      /* sent; of others */
    uint64_t overflows, joins;
};

struct receiver;

/* HERMES_EINVALID, HERMES_ENOMEM. The sink is copied. */
int receiver_open(struct receiver **receiver, const struct receiver_config *config,
                  const struct mirror_sink *sink);
void receiver_close(struct receiver *receiver);

/* 0, or why it was dropped: as datagram_check(); HERMES_EACCESS: a stranger's. */
int receiver_receive(struct receiver *receiver, uint64_t now_ns, const struct mirror_address *from,
                     const void *bytes, size_t length);

/* 1: *packet is to be sent; 0: nothing, until receiver_wake_ns(). */
int receiver_next(struct receiver *receiver, uint64_t now_ns, struct mirror_packet *packet);

uint64_t receiver_wake_ns(const struct receiver *receiver);

/* The sink did not take all, and may have room again: it is offered what it left. false: it left nothing, or
 * has taken all now. */
bool receiver_offer(struct receiver *receiver, uint64_t now_ns);

/* The socket had to drop datagrams: the window becomes smaller, and grows again little by little. */
void receiver_overflowed(struct receiver *receiver, uint64_t now_ns);

/* Says good-bye with the next packet. */
void receiver_leave(struct receiver *receiver, uint64_t now_ns);

/* Who has left comes again, and goes on where it was: a log that has ended may be written on. */
void receiver_return(struct receiver *receiver, uint64_t now_ns);

enum receiver_state receiver_state(const struct receiver *receiver);
uint64_t receiver_position(const struct receiver *receiver);
/* All below was sent, as far as it was heard. */
uint64_t receiver_announced(const struct receiver *receiver);
/* Of the sender's topic; 0: not heard yet. Within the sink's epoch() it is known. */
uint64_t receiver_topic_id(const struct receiver *receiver);
/* As the sender measures it; 0: not yet. */
uint64_t receiver_rtt_ns(const struct receiver *receiver);
const struct receiver_counters *receiver_counters(const struct receiver *receiver);

/* Bytes of memory, but for the window itself. */
size_t receiver_memory(void);

#endif
