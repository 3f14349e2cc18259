/* All that streams: a part of the loop's turn, and what the loop is woken by. */
#ifndef BROKER_STREAM_STREAMS_H
#define BROKER_STREAM_STREAMS_H

#include "broker/broker.h"

/* Lets connections send, each in its turn, some hundred KiB at most; returns how many bytes that are. The
 * poller is to run then. */
uint64_t streams_turn(struct broker *broker);

/* Has logs ring when there is more to send. How long to sleep: 0: there is something to do after all. */
uint64_t streams_park(struct broker *broker);

/* When no session is left. */
void streams_close(struct broker *broker);

#endif
