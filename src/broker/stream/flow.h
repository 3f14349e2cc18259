/* What goes out of a connection's streams next, and what comes in for them. */
#ifndef BROKER_STREAM_FLOW_H
#define BROKER_STREAM_FLOW_H

#include "broker/stream/stream.h"

extern const struct flow stream_flow;

#endif
