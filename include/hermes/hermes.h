/* hermes/hermes.h - all of libhermes. Each header explains its own part. hermes/mirror.h is
 * libhermes-mirror's. */
#ifndef HERMES_HERMES_H
#define HERMES_HERMES_H

#include "hermes/client.h"
#include "hermes/clock.h"
#include "hermes/error.h"
#include "hermes/letter.h"
#include "hermes/log.h"
#include "hermes/message.h"
#include "hermes/mpmc.h"
#include "hermes/spsc.h"
#include "hermes/spsc_typed.h"

#endif
