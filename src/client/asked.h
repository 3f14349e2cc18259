/* What the broker was asked, and its answer once it is there: nobody has to wait for it. */
#ifndef CLIENT_ASKED_H
#define CLIENT_ASKED_H

#include "client/client.h"

struct asked {
    enum wire_type type; /* 0: nothing */
    uint64_t correlation;
    uint64_t since_ns;
    bool answered;
    int error; /* of the answer */
    struct error_text text;
    union {
        struct wire_publisher publisher;
        struct wire_epoch epoch;
        struct wire_subscriber subscriber;
        struct wire_place place;
        struct wire_outlet outlet;
        struct wire_intake intake;
        struct wire_member member;
    } answer;
    int fds[WIRE_FDS_MAX]; /* that came with it */
};

void asked_init(struct asked *asked);

/* Sends the request, in place of what was asked before, which must be answered or forgotten. Waits for
 * nothing. HERMES_EDISCONNECTED: nobody is there, or takes it. */
int asked_send(struct hermes_client *client, struct asked *asked, enum wire_type type, const void *request,
               uint32_t bytes);

/* The answer. HERMES_EDISCONNECTED: it is not there yet (asked->type), or never comes; HERMES_EINTERRUPTED:
 * it is not there yet, and who waits is not to wait on. Else it is the caller's, with its descriptors, and
 * nothing is asked any more. */
int asked_await(struct hermes_client *client, struct asked *asked, uint64_t until_ns);

/* Both, as client_request_until(). */
int asked_request(struct hermes_client *client, struct asked *asked, enum wire_type type, const void *request,
                  uint32_t bytes, uint64_t until_ns);

/* Is its answer still to come? */
static inline bool asked_is_under_way(const struct asked *asked)
{
    return asked->type != 0 && !asked->answered;
}

/* Is the channel's last reply the answer to that? Then it is there. */
bool asked_take(struct asked *asked, struct channel *channel);

/* The descriptor at index, now the caller's; -1 if there is none. */
int asked_take_fd(struct asked *asked, unsigned index);

/* The answer is not wanted any more, whether it is there or not: what it opened, or will, is closed. */
void asked_forget(struct hermes_client *client, struct asked *asked);

/* The same without a word to the broker: all that it was given is this process's. */
void asked_drop(struct asked *asked);

#endif
