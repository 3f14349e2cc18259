/*
 * Parts of a world, for one another: world_log.c (the log, and what sinks get of it), world_sends.c (what is
 * sent, and what must hold of that), world_seals.c (sealing, and who is against it), world.c (what happens).
 */
#ifndef TESTS_MIRROR_WORLD_PARTS_H
#define TESTS_MIRROR_WORLD_PARTS_H

#include "mirror/world.h"

enum { SENDER = RECEIVERS_MAX, TOPIC = 77 };

void world_breaks(struct world *w, const char *what);
void world_check(struct world *w, bool holds, const char *what);

/* Kinds: S the sender, R a receiver, G the group, X somebody. */
struct mirror_address world_address(char kind, uint32_t index, uint32_t start);

/* The source. */
bool world_log_bytes(void *context, uint64_t position, uint32_t length, uint8_t *to, uint64_t *first);
uint64_t world_log_epoch_end(void *context, uint32_t epoch);

/* A sink that compares; context: the host. */
extern const struct mirror_sink world_sink;

/* Is what the host has the sender's log? */
bool world_differs(const struct host *host);
void world_check_copy(struct host *host);

/* Starts it, or starts it again with what it has. */
void world_start_receiver(struct host *host);
void world_wake_host(struct host *host, uint64_t at_ns);

/* Sends all that there is to be sent now. */
void world_pump_sender(struct world *w);
void world_pump_host(struct host *host);

enum datagram_guard world_guard(const struct world *w);

/* Where that is by a tag, what shells do (world_seals.c). The sender starts: a secret that is new, and
 * everybody is handed it. A receiver starts: it is handed the secret. */
void world_new_secret(struct world *w);
void world_grant(struct host *host);
void world_seal(struct world *w, struct sealing *by, const struct mirror_address *from,
                struct mirror_packet *packet);
/* host NULL: at the sender. false: it is not genuine, or was there already. */
bool world_unseal(struct world *w, struct host *host, struct flight *flight);
/* Sends once more what was sent, damaged or not. */
void world_replay(struct world *w);
void world_forget_secrets(struct world *w);

void world_sender_sends(struct world *w, struct mirror_packet *packet);
struct flight world_flight(const struct mirror_packet *packet, const struct mirror_address *from);

#endif
