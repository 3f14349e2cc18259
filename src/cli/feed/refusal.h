/* What is wrong with a feed, in a sentence that says where. */
#ifndef CLI_FEED_REFUSAL_H
#define CLI_FEED_REFUSAL_H

#include "base/error.h"

/* Formats the sentence; returns HERMES_EMALFORMED. */
__attribute__((format(printf, 2, 3))) int feed_refuse(struct error_text *text, const char *format, ...);

#endif
