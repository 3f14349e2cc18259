/*
 * Dead letters on the event loop: what groups' tasks have posted (letters.h) goes into the topics it is for.
 */
#ifndef BROKER_DELIVERY_H
#define BROKER_DELIVERY_H

#include "broker/broker.h"

/* What one group has posted: some ten microseconds. When the post's event_fd is readable. */
void delivery_turn(struct broker *broker);

#endif
