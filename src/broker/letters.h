/*
 * Dead letters: a message that a group gave up goes into the group's dead-letter topic, in an envelope
 * (hermes/letter.h) that says whence it came. Of the steps only the short ones are the event loop's:
 *
 *     group's task   sees DEAD words, reads their messages from window or store, makes frames of them, posts
 *     loop           appends the frames to the dead-letter topic's log, as from a producer's ring
 * (delivery.h) group's task   DEAD -> DONE
 *
 * A broker that dies between the last two finds the word DEAD, and the letter is there twice: at least once.
 * Whatever is in the way - the topic is missing, is full, changes hands - words stay DEAD, and it is tried
 * again; nobody waits for it but this group, and that only for the room of the message.
 */
#ifndef BROKER_LETTERS_H
#define BROKER_LETTERS_H

#include <pthread.h>

#include "base/error.h"
#include "broker/workers.h"
#include "group/record.h"
#include "log/log.h"

enum { LETTERS_A_TURN = 64, LETTERS_BYTES = 2 * FRAME_MAX_BYTES };

/* Letters that wait for the loop, of one group each. */
struct post {
    pthread_mutex_t lock; /* never held through a system call but the ringing of event_fd, or of who waits */
    struct letters *first, *last;
    int event_fd; /* readable when there is something to deliver */
};

/* AWAITED: delivered, and not durable when that was last asked. */
enum letters_stage { LETTERS_HERE, LETTERS_POSTED, LETTERS_ANSWERED, LETTERS_AWAITED };

/* Of one group; its task's, but while they are posted. */
struct letters {
    struct post *post;
    struct workers *workers;
    struct task *task;
    struct log *log; /* the group's topic */
    const char *topic, *group;
    const struct group_record *settings;

    struct {
        uint64_t position, word;
    } letter[LETTERS_A_TURN];
    unsigned count;
    uint8_t *frames; /* one after the other, whole but for sequence and commit */
    size_t bytes;

    enum letters_stage stage; /* under the post's lock, as what follows */
    unsigned delivered;       /* so many of them are in the topic of that id, and end there */
    int result;               /* why not all */
    uint64_t to, end;
    bool durable;
    bool quiet;               /* the task is out, and not rung */
    _Atomic uint32_t answers; /* for who waits meanwhile: sleeps on it */
    struct letters *next;

    uint64_t due_ns; /* not before: something was in the way */
    uint64_t ask_ns; /* between two questions */
    uint64_t told_ns;
};

int post_open(struct post *post, struct error_text *text);
void post_close(struct post *post);

/* Fills in what became of the frames, and result. HERMES_EAGAIN: there may be room soon. */
typedef void (*post_deliver_t)(void *context, struct letters *letters);
/* Loop: deals with what one group has posted; event_fd is readable again if there is more. */
void post_deliver_next(struct post *post, post_deliver_t deliver, void *context);

/*
 * The task's, of a group with leases and a dead-letter topic: settles what was posted, and posts what else is
 * DEAD. Returns when it is due again; TASK_WHEN_RUNG: when the answer comes, or somebody sees dead messages.
 * *changed: words were.
 */
uint64_t letters_run(struct letters *letters, struct group_page *page, uint64_t mask, uint64_t now_ns,
                     bool *changed);

/* While its task is out nobody rings it: it may be freed by then. */
void letters_quieten(struct letters *letters, bool quiet);

/*
 * Of a group whose task is out, before its page goes: puts away the messages below that position that are
 * DEAD. Returns how many are not; then something is in the way. Not on the loop, which has to deliver them:
 * blocks for a second at most.
 */
uint64_t letters_finish(struct letters *letters, struct group_page *page, uint64_t mask, uint64_t below);

/* The same at the broker's end: what was delivered is as safe as it ever will be. The task is out. */
void letters_settle_last(struct letters *letters, struct group_page *page, uint64_t mask);

/* Of a group whose task is out: what was posted is not delivered any more. */
void letters_withdraw(struct letters *letters);

#endif
