/*
 * What client and broker say, on the Unix socket and over TCP alike.
 *
 * Every unit is a message with the 32-byte header: SEQUENCE is the correlation id that the reply
 * repeats, TYPE says what it is, the payload is one of the structs below (little-endian, fixed layout,
 * strings zero-terminated). No CRC: the socket does not damage bytes. Descriptors travel beside the
 * reply (SCM_RIGHTS), in the order stated. The broker answers in order; a client need not wait for an
 * answer before it asks for something else, and closes what came too late for it.
 *
 * Beside requests and replies frames of logs flow: from the broker, for what OUTLET_OPEN opened, and to it,
 * for INTAKE_OPEN. In messages of a flow SEQUENCE is the handle, and nothing answers them.
 * docs/reference/protocol.md is the same in words.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "hermes/message.h"

enum {
    WIRE_PROTOCOL = 2,
    WIRE_TOPIC_BYTES = 128, /* with its final zero */
    WIRE_REQUEST_MAX = 1024,
    WIRE_REPLY_MAX = 32768,
    WIRE_GROUP_BYTES = 128,
    WIRE_URL_BYTES = 128,
    WIRE_FDS_MAX = 5,
    WIRE_FLOW_MAX = 256 * 1024, /* bytes of frames in one LOG or PUBLISH */
    WIRE_KEY_BYTES = 32,        /* of an invitation, each of its three */
    WIRE_PATH_BYTES = 108,      /* that the address of a Unix socket has (unix(7)) */
};

enum wire_type {
    WIRE_HELLO = 16,   /* wire_hello -> WIRE_WELCOME. First, once */
    WIRE_WELCOME = 17, /* wire_welcome; for who is trusted clients.told (log/told.h) */
    WIRE_ERROR = 18,   /* in place of any reply */
    WIRE_OK = 19,
    WIRE_TOPIC_CREATE = 20,     /* wire_topic_create -> WIRE_OK */
    WIRE_TOPIC_DELETE = 21,     /* wire_topic -> WIRE_OK */
    WIRE_TOPIC_LIST = 22,       /* wire_list -> WIRE_TOPICS */
    WIRE_TOPIC_DESCRIBE = 23,   /* wire_topic -> WIRE_TOPICS */
    WIRE_TOPICS = 24,           /* wire_topics */
    WIRE_PUBLISHER_OPEN = 25,   /* wire_publisher_open -> WIRE_PUBLISHER */
    WIRE_PUBLISHER = 26,        /* wire_publisher; status, window, doorbell, persister's bell, and of a
                                 * push-back topic its readers | status, ring, eventfd */
    WIRE_PUBLISHER_MAPPED = 27, /* wire_handle -> WIRE_OK: the ring may be sealed now */
    WIRE_CLOSE = 28,            /* wire_handle -> WIRE_OK */
    WIRE_SUBSCRIBER_OPEN = 29,  /* wire_subscriber_open -> WIRE_SUBSCRIBER */
    WIRE_SUBSCRIBER = 30,       /* wire_subscriber; status, doorbell, and of a member the group's
                                 * page, of who is to be waited for the readers page */
    WIRE_WINDOW_OPEN = 31,      /* wire_window -> WIRE_OK; window (read-only) */
    WIRE_SEGMENT_OPEN = 32,     /* wire_segment -> WIRE_PLACE; segment (read-only) */
    WIRE_PING = 33,             /* nothing -> WIRE_OK */
    WIRE_TOPIC_ALTER = 34,      /* wire_topic_alter -> WIRE_OK */
    WIRE_PLACE = 35,            /* wire_place */
    WIRE_GROUP_CREATE = 36,     /* wire_group -> WIRE_OK */
    WIRE_GROUP_ALTER = 37,      /* wire_group -> WIRE_OK */
    WIRE_GROUP_DELETE = 38,     /* wire_group -> WIRE_OK */
    WIRE_GROUP_LIST = 39,       /* wire_group_list -> WIRE_GROUPS */
    WIRE_GROUPS = 40,           /* wire_groups */
    WIRE_EPOCH_FIND = 41,       /* wire_epoch_find -> WIRE_EPOCH */
    WIRE_EPOCH = 42,            /* wire_epoch */
    WIRE_BROKER_DESCRIBE = 43,  /* nothing -> WIRE_BROKER */
    WIRE_BROKER = 44,           /* wire_broker */
    WIRE_FORGET = 45,           /* wire_forget -> WIRE_OK */
    WIRE_UNSERVED_LIST = 46,    /* wire_list -> WIRE_TOPICS: name and id, the rest 0 */
    WIRE_TOPIC_PURGE = 47,      /* wire_topic -> WIRE_OK */
    WIRE_AUTHENTICATE = 48,     /* wire_authenticate -> WIRE_OK */
    WIRE_MIRROR_ADD = 49,       /* wire_mirror_add -> WIRE_OK */
    WIRE_MIRROR_REMOVE = 50,    /* wire_mirror_remove -> WIRE_OK */
    WIRE_MIRROR_LIST = 51,      /* nothing -> WIRE_MIRRORS */
    WIRE_MIRRORS = 52,          /* wire_mirrors */
    WIRE_MIRROR_KEY = 53,       /* wire_topic -> WIRE_MIRROR_GRANT */
    WIRE_MIRROR_GRANT = 54,     /* wire_mirror_grant */
    WIRE_INVITE = 55,           /* over TCP, on this host: nothing -> WIRE_INVITATION */
    WIRE_INVITATION = 56,       /* wire_invitation: to a session with shared memory, as the same one */
    WIRE_SHOW = 57,             /* on the Unix socket: wire_show -> WIRE_OK; a memfd with `shown` */
    WIRE_ENTER = 58,            /* then: wire_enter -> WIRE_OK. It is who the inviting session is */

    /* Streams: a topic's frames through the connection itself. */
    WIRE_OUTLET_OPEN = 64, /* wire_outlet_open -> WIRE_OUTLET */
    WIRE_OUTLET = 65,      /* wire_outlet */
    WIRE_INTAKE_OPEN = 66, /* wire_publisher_open -> WIRE_INTAKE */
    WIRE_INTAKE = 67,      /* wire_intake */
    /* Flows; what comes from the broker is W, to it R. */
    WIRE_LOG = 68,     /* W: wire_log, then frames as they stand in the log */
    WIRE_CREDIT = 69,  /* R: wire_credit */
    WIRE_PUBLISH = 70, /* R: frames */
    WIRE_CONFIRM = 71, /* W: wire_confirm */
    WIRE_END = 72,     /* W: wire_end; nothing more comes of that handle */
    /* Members of groups, and durable subscriptions, through the connection itself. */
    WIRE_MEMBER_OPEN = 73, /* wire_member_open -> WIRE_MEMBER */
    WIRE_MEMBER = 74,      /* wire_member */
    WIRE_GIVEN = 75,       /* W: wire_given, a wire_gift for each message, then their frames */
    WIRE_ACK = 76,         /* R: a wire_ack for each message */
    WIRE_NACK = 77,        /* R: the same */
    WIRE_RENEW = 78,       /* R: the same */
    WIRE_SETTLED = 79,     /* W: wire_settled, then a wire_refusal for each that was refused */
};

/* What a broker says of the connection in its welcome. */
enum wire_capability {
    WIRE_PASSES_DESCRIPTORS = 1,
    WIRE_AWAITS_TOKEN = 2, /* before AUTHENTICATE it answers nothing else */
    WIRE_INVITES = 4,      /* both ends seem to be on one host: WIRE_INVITE may be asked for */
};

struct wire_hello {
    uint16_t protocol;
    uint16_t reserved[3];
    char name[64];
};

struct wire_welcome {
    uint16_t protocol;
    uint16_t capabilities; /* enum wire_capability */
    uint32_t instance;     /* another at each start of the broker */
    uint32_t payload_max;
    uint32_t topics_max;
    uint32_t publishers_max; /* of one shared topic */
    uint32_t pid;
};

struct wire_authenticate {
    char token[64]; /* zero-filled */
};

/* Told over TCP. Its name says which it is; `shown` is the broker's proof that it is at the socket, and
 * `said` the client's that it was invited, for who has shown itself alone. */
struct wire_invitation {
    uint8_t name[WIRE_KEY_BYTES];
    uint8_t shown[WIRE_KEY_BYTES];
    uint8_t said[WIRE_KEY_BYTES];
    char path[WIRE_PATH_BYTES]; /* of the broker's Unix socket, absolute */
    uint32_t reserved;
};

struct wire_show {
    uint8_t name[WIRE_KEY_BYTES];
};

struct wire_enter {
    uint8_t name[WIRE_KEY_BYTES];
    uint8_t said[WIRE_KEY_BYTES];
};

struct wire_broker {
    char engine[16];   /* of the event loop: "io_uring", "epoll" */
    uint32_t instance; /* as in the welcome */
    uint32_t pid;
    uint32_t uid;
    uint32_t membarrier; /* 0: publishers fence for themselves */
    uint32_t sessions;
    uint32_t topics;
    uint64_t uptime_ns;
    uint64_t longest_turn_ns; /* of the event loop: so long others had to wait */
    uint64_t notes_lost;      /* that standard error did not take */
    uint64_t longest_own_ns;  /* of a turn: it had a processor, or slept */
    uint64_t blocked_turns;   /* that slept */
    char version[16];         /* of the program */
    char memory[128];         /* its directory in shared memory */
};

struct wire_error {
    int32_t code;
    char text[252];
};

struct wire_topic {
    char topic[WIRE_TOPIC_BYTES];
};

struct wire_topic_create {
    char topic[WIRE_TOPIC_BYTES];
    uint32_t durability;
    uint32_t shared;
    uint64_t window_bytes;  /* 0: the broker's default */
    uint64_t segment_bytes; /* 0: the broker's default */
    uint64_t keep_bytes;    /* retention; 0: all */
    uint64_t keep_ns;
    uint32_t full_waits;
    uint32_t push_back;
};

enum wire_alter { WIRE_ALTER_KEEP_BYTES = 1, WIRE_ALTER_KEEP_NS = 2, WIRE_ALTER_FULL_WAITS = 4 };

struct wire_topic_alter {
    char topic[WIRE_TOPIC_BYTES];
    uint32_t fields; /* which of the following: enum wire_alter */
    uint32_t full_waits;
    uint64_t keep_bytes;
    uint64_t keep_ns;
};

struct wire_list {
    char after[WIRE_TOPIC_BYTES]; /* names greater than this; "": from the beginning */
};

struct wire_topic_info {
    char topic[WIRE_TOPIC_BYTES];
    uint64_t topic_id;
    uint32_t durability;
    uint32_t shared;
    uint64_t window_bytes;
    uint64_t segment_bytes;
    uint64_t first_position;
    uint64_t committed_position;
    uint64_t persisted_position;
    uint64_t durable_position;
    uint64_t last_sequence;
    uint32_t epoch;
    uint32_t publishers;
    uint32_t subscribers;
    uint32_t state;
    uint64_t refused; /* malformed frames and the publishers that sent them */
    uint64_t corrupt; /* damaged frames that were found in the store */
    uint64_t keep_bytes;
    uint64_t keep_ns;
    uint32_t full_waits;
    uint32_t full;
    uint32_t push_back;
    uint32_t waited_for; /* subscribers that publishers wait for */
};

/* How a list begins. */
struct wire_list_head {
    uint32_t count; /* that follow */
    uint32_t more;  /* there are more than fit a reply */
};

struct wire_topics {
    struct wire_list_head head;
    struct wire_topic_info topics[];
};

struct wire_publisher_open {
    char topic[WIRE_TOPIC_BYTES];
    uint64_t resume_topic_id; /* a publisher that survived a broker: what it had; else 0 */
    uint32_t resume_epoch;    /* exclusive */
    uint32_t resume_ring;     /* 1 + the line of the ring it had: it is not needed any more; 0: none */
    uint64_t resume_ring_id;
    uint64_t sequence; /* ring: that of its next message; 0: 1 */
};

enum wire_publisher_kind { WIRE_DIRECT = 1, WIRE_RING = 2 };

struct wire_publisher {
    uint32_t handle;
    uint32_t kind;
    uint64_t topic_id;
    uint32_t epoch;
    uint32_t ring; /* index of its line in the status page */
    uint64_t ring_id;
    uint64_t position; /* where writing begins */
    uint64_t sequence; /* of the next message */
    uint32_t durability;
    uint32_t resumed;
    uint32_t push_back;
    uint32_t told_line; /* 1 + its line in what came with the welcome, to tell in; 0: none */
    uint64_t told_generation;
};

enum wire_from { WIRE_FROM_END = 0, WIRE_FROM_FIRST = 1, WIRE_FROM_POSITION = 2 };

struct wire_subscriber_open {
    char topic[WIRE_TOPIC_BYTES];
    char group[WIRE_GROUP_BYTES]; /* or the name of a durable subscription; "": neither */
    uint32_t durable;             /* which of the two; made if it is not there */
    uint32_t from;                /* and then begins there: enum wire_from, not a position */
    uint64_t resume_page;         /* a member that survived a broker: what it had; else 0 */
    uint64_t resume_member;
    uint32_t resume_line;
    uint32_t push_back;     /* publishers are to wait for it */
    uint64_t resume_reader; /* and so they did before the broker restarted: what it had; else 0 */
    uint32_t resume_reader_line;
    uint32_t resume_made; /* the group that the page was of; 0: not known */
};

struct wire_subscriber {
    uint32_t handle;
    uint32_t durability;
    uint64_t topic_id;
    uint64_t page; /* of a member: which page it is, and its line there */
    uint64_t member;
    uint32_t line;
    uint32_t reader_line; /* of who is waited for: its line in the readers page */
    uint64_t reader;
    uint32_t told_line; /* as of a publisher */
    uint32_t reserved;
    uint64_t told_generation;
};

enum wire_group_alter { WIRE_GROUP_LEASE = 1, WIRE_GROUP_DELIVERIES = 2, WIRE_GROUP_POSITION = 4 };

struct wire_group {
    char topic[WIRE_TOPIC_BYTES];
    char group[WIRE_GROUP_BYTES];
    char dead_letter[WIRE_TOPIC_BYTES]; /* "": none */
    uint32_t durable;
    uint32_t fields; /* to alter: enum wire_group_alter */
    uint64_t lease_ns;
    uint32_t max_deliveries; /* 0: no limit */
    uint32_t from;           /* enum wire_from */
    uint64_t position;
    uint64_t span_bytes; /* 0: the default */
};

struct wire_group_list {
    char topic[WIRE_TOPIC_BYTES];
    char after[WIRE_GROUP_BYTES]; /* names greater than this; "": from the beginning */
    uint32_t exact;               /* that name alone, or WIRE_ERROR */
    uint32_t reserved;
};

struct wire_group_info {
    char group[WIRE_GROUP_BYTES];
    char dead_letter[WIRE_TOPIC_BYTES];
    uint32_t durable;
    uint32_t uid;
    uint32_t members;
    uint32_t max_deliveries;
    uint64_t lease_ns;
    uint64_t span_bytes;
    uint64_t position;      /* every message below it was given to somebody */
    uint64_t done_position; /* and below this all are done */
    uint64_t last_sequence; /* about: of the last message that was given to somebody */
    uint64_t in_flight;
    uint64_t redelivered;
    uint64_t expired;
    uint64_t dead;
    uint64_t lost;
};

struct wire_groups {
    struct wire_list_head head;
    struct wire_group_info groups[];
};

struct wire_epoch_find {
    uint64_t topic_id;
    uint32_t epoch;
    uint32_t reserved;
};

/* As struct epoch_record of log/status.h. */
struct wire_epoch {
    uint32_t epoch;
    uint32_t end; /* enum epoch_end */
    uint64_t first_position, first_sequence;
    uint64_t end_position, end_sequence;
};

enum wire_mirror_role { WIRE_MIRROR_SERVES = 1, WIRE_MIRROR_FOLLOWS = 2 };

struct wire_mirror_add {
    char topic[WIRE_TOPIC_BYTES];
    char url[WIRE_URL_BYTES]; /* udp://HOST:PORT */
    uint32_t role;            /* enum wire_mirror_role: it is sent from there, or copied from there */
    uint32_t reserved;
};

struct wire_mirror_remove {
    char topic[WIRE_TOPIC_BYTES];
    char url[WIRE_URL_BYTES]; /* of several; "": it has but one */
};

struct wire_mirror_info {
    char topic[WIRE_TOPIC_BYTES];
    char url[WIRE_URL_BYTES];
    uint32_t role;
    uint32_t state;      /* enum hermes_topic_mirror_state */
    int32_t error;       /* why it waits or failed; 0: for no error */
    uint32_t receivers;  /* serves: that are there */
    uint64_t position;   /* serves: all of them have what is below; follows: the copy has */
    uint64_t lag_bytes;  /* behind the log's end, as far as it is known */
    uint64_t rtt_ns;     /* 0: not measured yet */
    uint64_t datagrams;  /* of the log: sent for the first time; received */
    uint64_t bytes;      /* likewise */
    uint64_t lost;       /* bytes that were noticed to be missing */
    uint64_t repaired;   /* serves: bytes that were sent again */
    uint64_t gone;       /* serves: how often what was asked for did not exist; follows: bytes of that */
    uint64_t duplicates; /* follows: datagrams with what was there already */
    uint64_t naks;       /* received; sent */
    uint64_t overruns;   /* follows: how often its socket was full */
    uint64_t refused;    /* datagrams: damaged, malformed, or strangers' */
};

/* All of them: they fit. */
struct wire_mirrors {
    struct wire_list_head head;
    struct wire_mirror_info mirrors[];
};

/* A key to the datagrams of a topic that is sent: good for as long as the session that asked stands, and asks
 * again before lasts_ns are over. */
struct wire_mirror_grant {
    uint64_t topic_id;
    uint64_t lasts_ns;        /* from now on */
    char url[WIRE_URL_BYTES]; /* udp://HOST:PORT, from where they are sent */
    uint8_t secret[32];
    uint16_t id;     /* of the secret; never 0 */
    uint16_t member; /* the receiver's number with it; never 0 */
    uint32_t reserved;
};

struct wire_handle {
    uint32_t handle;
    uint32_t reserved;
};

/* Nobody waits for the answer to that request of the session any more: what it opened is closed. */
struct wire_forget {
    uint64_t correlation;
};

struct wire_window {
    uint64_t topic_id;
    uint32_t epoch;
    uint32_t reserved;
};

struct wire_segment {
    uint64_t topic_id;
    uint32_t key; /* enum store_key */
    uint32_t reserved;
    uint64_t value;
};

struct wire_place {
    uint64_t position; /* of a frame at or before what was searched for */
    uint64_t sequence; /* of the first message from there on; 0: not known */
    uint32_t indexed;  /* it is not far behind */
    uint32_t reserved;
};

enum wire_outlet_from {
    WIRE_OUTLET_END,
    WIRE_OUTLET_FIRST,
    WIRE_OUTLET_POSITION,
    WIRE_OUTLET_SEQUENCE,
    WIRE_OUTLET_TIME
};

struct wire_outlet_open {
    char topic[WIRE_TOPIC_BYTES];
    uint64_t topic_id;  /* that it must have; 0: any */
    uint32_t from;      /* enum wire_outlet_from */
    uint32_t push_back; /* publishers are to wait for it */
    uint64_t value;     /* position, sequence or time */
    uint64_t credit;    /* so many bytes of frames may be sent */
};

struct wire_outlet {
    uint32_t handle;
    uint32_t durability;
    uint64_t topic_id;
    uint64_t position; /* of the first frame that comes */
    uint64_t sequence; /* of the first message; 0: not known yet */
    uint32_t epoch;
    uint32_t shared;
};

struct wire_intake {
    uint32_t handle;
    uint32_t durability;
    uint64_t topic_id;
    uint32_t epoch;
    uint32_t line;     /* of its ring: */
    uint64_t ring_id;  /* what its publisher says when it comes again */
    uint64_t sequence; /* of the first message to be sent, in the publisher's count */
    uint32_t resumed;  /* all before it are in the topic, and it is not */
    uint32_t shared;
    uint64_t credit; /* so many bytes of frames may be sent */
};

struct wire_log {
    uint32_t epoch; /* the current one */
    uint32_t reserved;
    uint64_t position; /* of the first frame. Later than where the last LOG ended: what is between is gone */
    uint64_t sequence; /* of the first message from there on; 0: no frames */
    uint64_t end;      /* of the log, by now */
};

struct wire_credit {
    uint64_t bytes; /* of frames, more */
};

/* Of a publisher's own count of its messages. */
struct wire_confirm {
    uint64_t committed; /* the last that is in the log */
    uint64_t durable;   /* the last that is as safe as the topic keeps it */
    uint64_t position;  /* where the log ended behind `committed` */
    uint64_t credit;    /* bytes of frames, more */
};

struct wire_member_open {
    struct wire_subscriber_open subscriber; /* the reader that it had is not resumed */
    uint64_t topic_id;                      /* that it must have; 0: any */
    uint64_t credit;                        /* so many bytes of frames may be sent */
    uint32_t at_most_once;                  /* of a group: what is sent is done */
    uint32_t least; /* of a group: each message counts as so many bytes of credit at least */
};

struct wire_member {
    uint32_t handle;
    uint32_t durability;
    uint64_t topic_id;
    uint64_t position; /* of a durable subscription: of the first frame that comes */
    uint32_t epoch;
    uint32_t shared;
    uint64_t page; /* which page it is, and its line there: what it says when it comes again */
    uint64_t member;
    uint32_t line;
    uint32_t made;      /* which group of that name; 0: not known */
    uint16_t claim;     /* of a durable subscription: that of all its messages */
    uint16_t continues; /* and nobody had it since: what was given then is acked with this claim, too */
    uint32_t lease_ms;  /* of a group, at this moment; 0: of a durable subscription */
};

struct wire_given {
    uint32_t epoch;
    uint32_t count; /* of messages */
    uint64_t end;   /* of the log, by now */
    uint64_t lost;  /* messages that this member found to be gone, or damaged */
    int32_t why;    /* of the latest */
    uint32_t reserved;
};

struct wire_gift {
    uint64_t position;
    uint16_t claim;
    uint16_t deliveries;
    uint32_t reserved;
};

struct wire_ack {
    uint64_t position;
    uint64_t sequence;
    uint32_t length; /* payload bytes */
    uint16_t claim;
    uint16_t reserved;
};

struct wire_settled {
    uint64_t settled; /* so many of all that came are taken, or refused */
    uint32_t refused; /* that follow */
    uint32_t reserved;
};

struct wire_refusal {
    uint64_t number; /* the first that came is 1 */
    uint64_t position;
    int32_t code;
    uint32_t reserved;
};

struct wire_end {
    int32_t code;
    uint32_t reserved;
    uint64_t position; /* outlet: where to go on, if one may */
    char text[240];
};

_Static_assert(sizeof(struct wire_outlet_open) == 160, "outlet_open");
_Static_assert(sizeof(struct wire_outlet) == 40, "outlet");
_Static_assert(sizeof(struct wire_intake) == 56, "intake");
_Static_assert(sizeof(struct wire_log) == 32, "log");
_Static_assert(sizeof(struct wire_credit) == 8, "credit");
_Static_assert(sizeof(struct wire_confirm) == 32, "confirm");
_Static_assert(sizeof(struct wire_end) == 256, "end");
_Static_assert(sizeof(struct wire_member_open) == 328, "member_open");
_Static_assert(sizeof(struct wire_member) == 64, "member");
_Static_assert(sizeof(struct wire_given) == 32, "given");
_Static_assert(sizeof(struct wire_gift) == 16, "gift");
_Static_assert(sizeof(struct wire_ack) == 24, "ack");
_Static_assert(sizeof(struct wire_settled) == 16, "settled");
_Static_assert(sizeof(struct wire_refusal) == 24, "refusal");
_Static_assert(sizeof(struct wire_hello) == 72, "hello");
_Static_assert(sizeof(struct wire_welcome) == 24, "welcome");
_Static_assert(sizeof(struct wire_broker) == 224, "broker");
_Static_assert(sizeof(struct wire_authenticate) == 64, "authenticate");
_Static_assert(sizeof(struct wire_invitation) == 208, "invitation");
_Static_assert(sizeof(struct wire_show) == 32, "show");
_Static_assert(sizeof(struct wire_enter) == 64, "enter");
_Static_assert(sizeof(struct wire_error) == 256, "error");
_Static_assert(sizeof(struct wire_topic_create) == 176, "topic_create");
_Static_assert(sizeof(struct wire_topic_info) == 264, "topic_info");
_Static_assert(sizeof(struct wire_topic_alter) == 152, "topic_alter");
_Static_assert(sizeof(struct wire_publisher_open) == 160, "publisher_open");
_Static_assert(sizeof(struct wire_publisher) == 72, "publisher");
_Static_assert(sizeof(struct wire_subscriber_open) == 304, "subscriber_open");
_Static_assert(sizeof(struct wire_subscriber) == 64, "subscriber");
_Static_assert(sizeof(struct wire_group) == 424, "group");
_Static_assert(sizeof(struct wire_group_list) == 264, "group_list");
_Static_assert(sizeof(struct wire_group_info) == 352, "group_info");
_Static_assert(sizeof(struct wire_segment) == 24, "segment");
_Static_assert(sizeof(struct wire_place) == 24, "place");
_Static_assert(sizeof(struct wire_window) == 16, "window");
_Static_assert(sizeof(struct wire_handle) == 8, "handle");
_Static_assert(sizeof(struct wire_forget) == 8, "forget");
_Static_assert(sizeof(struct wire_epoch_find) == 16, "epoch_find");
_Static_assert(sizeof(struct wire_epoch) == 40, "epoch");
_Static_assert(sizeof(struct wire_mirror_add) == 264, "mirror_add");
_Static_assert(sizeof(struct wire_mirror_remove) == 256, "mirror_remove");
_Static_assert(sizeof(struct wire_mirror_info) == 368, "mirror_info");
_Static_assert(sizeof(struct wire_mirror_grant) == 184, "mirror_grant");

/* A control header. */
void wire_header(hermes_header_t *header, enum wire_type type, uint64_t correlation, uint32_t length);

/* Is this header one of a control message of at most length_max payload bytes? HERMES_E... */
int wire_header_check(const hermes_header_t *header, uint32_t length_max);

/* Payload bytes that a request of this type has; -1: not a request. */
int wire_request_bytes(uint8_t type);

/* Does the reply to such a request pass descriptors? */
bool wire_passes_descriptors(uint8_t type);

/* Is it a message that flows to the broker, and has no answer? */
bool wire_flows(uint8_t type);

/* Is this a header of a flow to the broker, of the length that such a message may have? HERMES_EPROTOCOL: no
 * flow; HERMES_ETOOLARGE, HERMES_EMALFORMED, HERMES_EVERSION. */
int wire_flow_check(const hermes_header_t *header);

/* A name field from a stranger: terminated, and a legal topic name. */
int wire_topic_check(const char topic[WIRE_TOPIC_BYTES]);

/* A grant from a stranger: is each field one that it may be? HERMES_EMALFORMED. */
int wire_mirror_grant_check(const struct wire_mirror_grant *grant);

#endif
