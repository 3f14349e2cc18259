/*
 * A subscriber, as the files that make one up see it: attach.c opens it, speaks with its brokers and closes
 * it, subscriber.c reads and waits. Members of groups
 * and holders of durable subscriptions have a place in a page besides (member.c); what they do with messages
 * is in claims.c and durable.c.
 */
#ifndef CLIENT_SUBSCRIBER_H
#define CLIENT_SUBSCRIBER_H

#include "client/asked.h"
#include "client/inflow.h"
#include "group/group.h"
#include "io/notifier.h"

/* Of a durable subscription: where a seek took its reader. */
struct sought {
    uint64_t page; /* the place was in that one; 0: nowhere */
    uint64_t position, sequence, below_sequence, below_time;
};

/* Of a group's member, or of who has a durable subscription. */
struct member {
    char name[WIRE_GROUP_BYTES];
    bool durable;
    uint32_t from;
    uint32_t ack; /* enum hermes_ack_mode */
    struct map page_map;
    struct group_page *page;
    struct group_member group; /* not of a durable subscription */
    bool page_is_lent;         /* by this broker: the next one does not know of it */
    uint64_t page_id, id;      /* what the broker knows us by, if it comes back */
    uint32_t line;
    bool no_room;  /* too much is in flight: there is nothing to do but for who has news */
    bool holds;    /* HERMES_ACK_AUTO: the message given out last is done when the next is asked for */
    uint64_t held; /* its position; of a durable subscription, that behind it */
    uint16_t held_claim, pending_claim;
    uint16_t claim; /* of a durable subscription: what all its messages carry */
    uint64_t held_sequence;
    struct sought sought;
    uint64_t given_to; /* of a durable subscription: behind the farthest message it was given */
    bool pending;      /* a message was claimed again that cannot be read before a broker is back */
    uint64_t pending_at;
    bool in_gap;                   /* messages are gone, and it is not known yet how many */
    bool gap_is_untold;            /* and who finds out how many is told */
    struct group_place before_gap; /* where it began; sequence UINT64_MAX: not known, and not counted */
    struct group_place left;       /* when others were ahead, and it went there: where it was; else 0, 0 */
};

struct hermes_subscriber {
    struct reader reader;
    struct member *member; /* NULL: alone */
    struct inflow *inflow; /* its messages come through the connection; NULL: through shared memory */
    bool plain;            /* neither a member nor waited for, in shared memory, and nothing is late */
    int late;              /* an error that hermes_poll_many(), or arming, came to; 0: none */
    struct error_text late_text;
    bool push_back;
    bool membarrier;
    struct readers *readers; /* where publishers see how far we are; NULL: they do not wait for us */
    uint64_t tell_at; /* publishers are told from here on, or when there is nothing to read; 0: always */
    uint32_t reader_line;
    uint64_t reader_id;
    struct map readers_map;
    struct hermes_client *client;
    struct hermes_subscriber *next;
    char topic[WIRE_TOPIC_BYTES];
    uint64_t topic_id;
    uint32_t handle;
    uint64_t spin_ns;
    uint32_t instance;   /* of the broker that knows us; that of the log says which there is */
    uint64_t connection; /* to it: channel.connected */
    uint64_t greet_ns;   /* a new broker is not greeted before */
    uint64_t greet_pause_ns;
    struct map status_map, doorbell_map, told_map;
    struct told told;     /* where it tells how far it is; a member's page says that */
    struct asked opening; /* by which a new broker knows us, and the log's next one */
    struct asked part;    /* of the log, without which there is nothing to read */
    uint8_t part_request[sizeof(struct wire_segment)];
    uint64_t until_ns;         /* the deadline of a call that may wait for the broker; 0: it may not */
    uint64_t look_ns;          /* the last pause of an event loop that waits for an answer */
    struct notifier *notifier; /* NULL: nobody asked for a descriptor */
    bool starved;              /* the next message wants a broker, and none is there, or has not answered */
    bool awaits_part;          /* the same, still to be told when the descriptor was armed for it */
    bool deleted;              /* a broker that does not know the topic any more said so */
};

/* ---- subscriber.c ---- */

/* What a reader's error means for the subscriber: 0: nothing now. */
int subscriber_failed(struct hermes_subscriber *s, int rc);
void subscriber_tell_publishers(struct hermes_subscriber *s);
bool subscriber_is_plain(const struct hermes_subscriber *s);

/*
 * ---- attach.c ----
 *
 * What polling needs of the broker is asked for without waiting: `opening` and `part` are requests under way,
 * whose answers later calls find. Waiting for one is hermes_wait()'s.
 */

/* Ends what the broker gave, waiting until then for its answer if others wait for that, and frees it. A
 * broker that does not know a member yet is greeted before, which is waited for until known_ns. */
void subscriber_close(struct hermes_subscriber *s, uint64_t known_ns, uint64_t until_ns);
/* Of those that are closed from now on. */
uint64_t subscriber_goodbye_until(void);
/* Out of the client's list, and gone. The broker is not told. */
void subscriber_free(struct hermes_subscriber *s);
/* Opens the topic (and the group) anew. HERMES_EDISCONNECTED: not yet. */
int subscriber_attach_again(struct hermes_subscriber *s);
/* A restarted broker has taken the log up: only the session is new. Not more often than client_ensure()
 * tries. */
void subscriber_greet_again(struct hermes_subscriber *s);
/* Does not wait for its answer, if the deadline is past. */
void subscriber_close_handle(struct hermes_subscriber *s, uint64_t until_ns);
/* Its broker said so in the page, or the next one when it was asked: for good. */
bool subscriber_is_deleted(const struct hermes_subscriber *s);
int subscriber_tell_deleted(struct hermes_subscriber *s);
/* Without a look whether a new broker is there, or answers. */
uint64_t subscriber_longest_sleep(const struct hermes_subscriber *s);
/* The same where there is nothing to read before that: longer each time. */
uint64_t subscriber_next_look(struct hermes_subscriber *s);
/* Is the broker another than the one that knows us? Whatever a member does, wherever it reads: what a broker
 * does not hear of for a lease is others'. */
static inline bool subscriber_is_due(const struct hermes_subscriber *s)
{
    return (uint32_t)(status_load_seal(s->reader.status) >> 32) != s->instance;
}
/* There is another broker than the one that lent the page, and it has not answered yet: what is taken or
 * acknowledged there counts for nobody. */
static inline bool subscriber_is_orphan(const struct hermes_subscriber *s)
{
    return s->member->page_is_lent && subscriber_is_due(s);
}
static inline void subscriber_greet_if_due(struct hermes_subscriber *s)
{
    if (__builtin_expect(subscriber_is_due(s), 0))
        subscriber_greet_again(s);
}

/* Its log is over, and there is another broker: a member goes over to that one's by polling, with the place
 * that it has. Who greets asks for the place alone, and to give that back would end what the member holds. */
static inline bool subscriber_goes_over(const struct hermes_subscriber *s)
{
    return s->member != NULL && subscriber_is_due(s) &&
           atomic_load_explicit(&s->reader.status->state, memory_order_acquire) == STATE_CLOSED;
}

/* Of member.c. */
int member_new(struct hermes_client *client, const hermes_subscriber_options_t *options,
               struct member **member);
void member_free(struct member *member);
void member_request(const struct member *member, struct wire_subscriber_open *request);
/* Takes up what the broker gave, and the page's descriptor. *next is what the member will be; until it
 * becomes that all is as it was, and next->page_map is to be released. is_another(): the place is not the one
 * that the member had, and becoming it wants member_start(): who stands elsewhere skips messages of the
 * group, or has them again. */
int member_adopt(struct hermes_client *client, const struct member *member,
                 const struct wire_subscriber *opened, int page_fd, struct member *next);
void member_become(struct member *member, const struct member *next);
bool member_is_another(const struct member *member, const struct wire_subscriber *opened);
/* The reader goes to where the group stands; of a durable subscription, to where it was sought to in the same
 * page, but for what is done behind that. */
int member_start(struct hermes_subscriber *s);
void member_start_at(struct reader *reader, uint64_t position);
/* The reader of a durable subscription was sought, and stands there. */
void member_sought(struct hermes_subscriber *s);
/* The group was reset, the broker stopped, or took us for dead: begins anew as another member. 0: perhaps not
 * yet (member_is_current()). */
int member_join_again(struct hermes_subscriber *s);
/* The reader, which expected that sequence (0: any) at position, was told rc. What cannot be read is passed
 * over once, by one member, who is told, and counts it: at once if it is known how much it is. */
int member_pass_over(struct hermes_subscriber *s, uint64_t position, uint64_t sequence, int rc);
/* What says how much was gone was read only now, behind a gap that nobody was told of yet: HERMES_EGONE, and
 * the message is for the next call; else 0. */
int member_tell_gap(struct hermes_subscriber *s, const hermes_message_t *message);
/* Else with the first message behind it. */
void member_end_gap(struct hermes_subscriber *s, uint64_t position, uint64_t sequence);
/* Has the group still this page, and this line for us? */
/* The broker does not know the group any more: from now on the page says so, as it would have at the
 * deletion. */
void member_is_gone(struct member *member);
bool member_is_current(const struct member *member);
/* Is there something to do? Cheap: for spinning. */
bool member_ready(const struct hermes_subscriber *s);
/* What to sleep on for who relies on nobody; true: there is something to do already. */
bool member_park(struct hermes_subscriber *s, struct futex_word words[2], unsigned *count);
/* As reader_wait(). member_hand_on() then. */
int member_wait(struct hermes_subscriber *s, uint64_t timeout_ns, uint64_t spin_ns);
/* After member_wait(), before whatever else than polling and waiting again: others rely on who waits. rc:
 * what the poll told; 0: nothing. NULL is allowed. */
void member_hand_on(struct member *member, int rc);

/* Of claims.c and durable.c. */
int claims_poll(struct hermes_subscriber *s, hermes_message_t *message);
int durable_poll(struct hermes_subscriber *s, hermes_message_t *message);
int durable_ack(struct hermes_subscriber *s, const hermes_message_t *message);

static inline int member_poll(struct hermes_subscriber *s, hermes_message_t *message)
{
    return s->member->durable ? durable_poll(s, message) : claims_poll(s, message);
}

#endif
